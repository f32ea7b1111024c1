// Inside the lowering pass: what lower.c (rowsets, stages, slots) and lower_ops.c (what each
// pipeline op becomes) share.
//
// Lowering works backwards. A stage streams the rows of one rowset; it is built from what is
// wanted of those rows: what saves write, what later stages want kept, what topk ranks. A
// want names a pipeline value and a facet of it. Inside a stage a want becomes a slot: a
// leaf, or the output of a tensor function. A value of an ancestor rowset is kept there and
// read back (a leaf), unless it is pixels, which are made again.
#ifndef DDG_LOWER_H
#define DDG_LOWER_H

#include "ir/build.h"
#include "passes/pass.h"

enum facet {
    FACET_VALUE,     // the numbers of maps, scores, labels
    FACET_PIXELS,    // u8 [C,H,W] of images
    FACET_PLACE,     // i32[4]: where a crop lies in its operand
    FACET_BOX,       // i32[4]: where images' pixels lie in the image they were read from
    FACET_PREDICTED, // i32: shap_patches' target, the class its model answers
};

#define SLOT_NONE UINT32_MAX

struct want {
    nid v;
    enum facet facet;
    uint32_t slot;
};

struct stage_build {
    uint32_t rowset;
    VEC(struct plan_slot) slots;
    VEC(struct type) types; // of slots
    VEC(struct plan_step) steps;
    VEC(struct plan_sink) sinks;
    VEC(struct want) have; // values that already have a slot
    struct text name;
};

struct column_want {
    nid v;
    enum facet facet;
    uint32_t column;
};

struct lower {
    struct module *m;
    struct arena *arena;
    struct diags *d;
    const struct func *graph;
    bool failed;
    VEC(struct plan_rowset) rowsets;
    VEC(nid) makers;     // the node that makes each rowset
    uint32_t *rowset_of; // plan rowset by a type's rowset id
    VEC(struct plan_column) columns;
    VEC(struct column_want) kept; // parallel to columns
    VEC(struct plan_save) saves;
    struct stage_build **stages; // by plan rowset; NULL: nothing wanted of it
    VEC(struct plan_func) funcs;
};

// A tensor function being built for one step of a stage.
struct fn {
    struct lower *l;
    struct stage_build *s;
    struct builder b;
    size_t mult;
    const char *shown; // in the stage's name, or NULL
    VEC(uint32_t) in;  // slots
    VEC(nid) inputs;   // parallel to in
};

// ---- lower.c --------------------------------------------------------------------------
uint32_t rowset_at(const struct lower *l, nid v);
size_t mult_of(const struct lower *l, const struct stage_build *s, uint32_t rowset);
uint32_t slot_leaf(struct lower *l, struct stage_build *s, enum leaf_kind kind,
                   uint32_t rowset, size_t mult, struct type t);
// A row that topk picked is a row of its operand: the value whose rows they are.
nid value_behind(const struct lower *l, nid v);
// A crop of images as they were read lies where it was placed: both facets are one.
enum facet facet_of(const struct lower *l, nid v, enum facet facet);
// The slot of a value in a stage, computing it if need be.
uint32_t slot_of(struct lower *l, struct stage_build *s, nid v, enum facet facet);

struct fn *fn_begin(struct lower *l, struct stage_build *s, size_t mult, nid v,
                    const char *part);
// The slot as an argument: one row for a row, a group of rows ([g, ...]) when the slot has a
// higher multiplicity, a value shared by the rows of a call when it has a lower one.
nid fn_input(struct fn *f, uint32_t slot);
// Ends the function with its one result, and returns the slot that holds it. A function
// that only hands its argument on makes no step: the slot is the argument's.
uint32_t fn_finish(struct fn *f, nid result);

// ---- lower_ops.c ----------------------------------------------------------------------
// Computes a value of the stage's multiplicity for it, in functions of its own.
uint32_t lower_compute(struct lower *l, struct stage_build *s, nid v, enum facet facet);
// shap_patches, in lower_shap.c.
uint32_t lower_shap(struct lower *l, struct stage_build *s, nid v);
uint32_t lower_predicted(struct lower *l, struct stage_build *s, nid v);

// Parts that lower_ops.c and lower_shap.c share.
nid part_pixels(struct fn *f, nid v);
// i32[]: the class of v's row, for a model of `classes` outputs.
nid part_class(struct fn *f, nid v, size_t classes, nid user);
nid part_normalise(struct fn *f, const struct model *model, nid pixels);
// The model's logits f32[K], the network read again at the pixels' size if need be. After an
// error (said) some value of that type. user: the node to blame.
nid part_logits(struct fn *f, nid model_node, nid normalised, bool keep_params, nid user);
nid part_log_sum_exp(struct fn *f, nid logits);
nid part_pick(struct fn *f, nid values, nid index); // values[index]

#endif
