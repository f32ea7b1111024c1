// Type rules, private to ir/: the table's rules, what is checked of every op before its
// own rule runs, and what the rules share.
#ifndef DDG_RULES_H
#define DDG_RULES_H

#include "ir/ir.h"

// Operand counts and kinds, attribute kinds, ranges and choices, as the table declares
// them.
bool check_operands(enum op op, struct rule_ctx *c);
bool check_attrs(enum op op, struct rule_ctx *c);
// All of that, then the op's own rule, then the size of what it gave. For ops whose type
// is given (no rule in the table) *out is the type to check. Errors begin with the op's
// name.
bool check_node(enum op op, struct rule_ctx *c, struct type *out);

// What a rule returns on failure: of no one operand or attribute, or of the one numbered.
bool rule_fail(struct rule_ctx *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool rule_fail_in(struct rule_ctx *c, int operand, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
bool rule_fail_attr(struct rule_ctx *c, int attr, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Are two numbers given, the lower one first?
bool rule_interval(struct rule_ctx *c, int attr, const char *name);
const char *rule_type(struct rule_ctx *c, size_t operand); // its text, for messages

// Attributes shared by conv, conv_dx, conv_dw and conv_dw_sqnorm come first in all of
// them.
enum { CONV_STRIDES, CONV_PADS, CONV_DILATIONS, CONV_GROUPS, CONV_SIZE_H, CONV_SIZE_W };
// Of maxpool, maxpool_dx, maxpool_jvp, avgpool and avgpool_dx.
enum { POOL_KERNEL, POOL_STRIDES, POOL_PADS, POOL_COUNT_PAD, POOL_H, POOL_W };

// Of batch_norm.
enum { NORM_EPSILON, NORM_MOMENTUM, NORM_MEAN, NORM_VAR };

bool rule_images(struct rule_ctx *c, struct type *out);
bool rule_save(struct rule_ctx *c, struct type *out);
bool rule_check(struct rule_ctx *c, struct type *out);
bool rule_shap(struct rule_ctx *c, struct type *out);
bool rule_gradcam(struct rule_ctx *c, struct type *out);
bool rule_pool(struct rule_ctx *c, struct type *out);
bool rule_perturb(struct rule_ctx *c, struct type *out);
bool rule_crop(struct rule_ctx *c, struct type *out);
bool rule_random_crop(struct rule_ctx *c, struct type *out);
bool rule_score(struct rule_ctx *c, struct type *out);
bool rule_random(struct rule_ctx *c, struct type *out);
bool rule_topk(struct rule_ctx *c, struct type *out);
bool rule_where(struct rule_ctx *c, struct type *out);
bool rule_stitch(struct rule_ctx *c, struct type *out);
bool rule_relabel(struct rule_ctx *c, struct type *out);

bool rule_train(struct rule_ctx *c, struct type *out);
bool rule_stage(struct rule_ctx *c, struct type *out);
bool rule_ask(struct rule_ctx *c, struct type *out);
bool rule_augment(struct rule_ctx *c, struct type *out);
bool rule_resized_crop(struct rule_ctx *c, struct type *out);
bool rule_accuracy(struct rule_ctx *c, struct type *out);
bool rule_confusion(struct rule_ctx *c, struct type *out);
bool rule_mean_std(struct rule_ctx *c, struct type *out);
bool rule_report(struct rule_ctx *c, struct type *out);

bool rule_setting(struct rule_ctx *c, struct type *out);
bool rule_elementwise(struct rule_ctx *c, struct type *out);
bool rule_elementwise_f32(struct rule_ctx *c, struct type *out);
bool rule_cast(struct rule_ctx *c, struct type *out);
bool rule_reshape(struct rule_ctx *c, struct type *out);
bool rule_broadcast(struct rule_ctx *c, struct type *out);
bool rule_transpose(struct rule_ctx *c, struct type *out);
bool rule_slice(struct rule_ctx *c, struct type *out);
bool rule_pad(struct rule_ctx *c, struct type *out);
bool rule_concat(struct rule_ctx *c, struct type *out);
bool rule_gather(struct rule_ctx *c, struct type *out);
bool rule_take(struct rule_ctx *c, struct type *out);
bool rule_choose(struct rule_ctx *c, struct type *out);
bool rule_window(struct rule_ctx *c, struct type *out);
bool rule_reduce(struct rule_ctx *c, struct type *out);
bool rule_argmax(struct rule_ctx *c, struct type *out);

bool rule_matmul(struct rule_ctx *c, struct type *out);
bool rule_conv(struct rule_ctx *c, struct type *out);
bool rule_conv_dx(struct rule_ctx *c, struct type *out);
bool rule_conv_dw(struct rule_ctx *c, struct type *out);
bool rule_conv_dw_sqnorm(struct rule_ctx *c, struct type *out);
bool rule_pool2d(struct rule_ctx *c, struct type *out);
bool rule_maxpool_dx(struct rule_ctx *c, struct type *out);
bool rule_maxpool_jvp(struct rule_ctx *c, struct type *out);
bool rule_avgpool_dx(struct rule_ctx *c, struct type *out);
bool rule_normal(struct rule_ctx *c, struct type *out);
bool rule_random_box(struct rule_ctx *c, struct type *out);
bool rule_resize(struct rule_ctx *c, struct type *out);
bool rule_grad(struct rule_ctx *c, struct type *out);
bool rule_pack(struct rule_ctx *c, struct type *out);
bool rule_batch_sum(struct rule_ctx *c, struct type *out);
bool rule_batch_norm(struct rule_ctx *c, struct type *out);

#endif
