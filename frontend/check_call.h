// A call of one of the language's ops while it is checked: what its parts share.
#ifndef DDG_CHECK_CALL_H
#define DDG_CHECK_CALL_H

#include "frontend/check_core.h"

struct op_call {
    struct checker *c;
    const struct frame *f;
    const struct call *call;
    const struct op_info *info;
    size_t nin, nattrs;                                 // of the table's row
    struct result args[OP_MAX_OPERANDS + OP_MAX_ATTRS]; // by slot
    VEC(nid) in;                                        // NID_NONE: absent
    VEC(const struct expr *) from;                      // what these came from, or NULL
    struct value attrs[OP_MAX_ATTRS];
};

// What an attribute came from; NULL: it has its default.
const struct expr *call_attr_expr(const struct op_call *o, const char *name);
struct value *call_attr(struct op_call *o, const char *name); // CHECKs it exists

// ---- check_model.c: `onnx` and the networks ddg builds ------------------------------
// Made once, also when that failed: NULL then, and why is said.
const struct model *check_model(struct op_call *o);

// ---- check_train.c ------------------------------------------------------------------
// What the type rules cannot see. False: said.
bool check_train(struct op_call *o);
// Is there such a stage? *same: the training itself, when the stage is its last.
bool check_stage(struct op_call *o, nid *same);
// The numbers of a report, row after row, in place of lists of lists; names its rows and
// columns unless the program does. False: said.
bool check_report_table(struct op_call *o);

#endif
