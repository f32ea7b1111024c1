// Inside the lowering pass: what lower.c (rowsets, stages, slots) and lower_ops.c (what
// each pipeline op becomes) share.
//
// Lowering works backwards from the saves. A want names a pipeline value and a facet of
// it. What is costly, what places crops, and what belongs to the rows of another rowset
// becomes a column, with a stage of its own that computes it; everything else is computed
// where it is wanted. Inside a stage a want becomes a slot: a leaf (a column among them),
// or the output of a tensor function. Pixels are never columns but made again.
#ifndef DDG_LOWER_H
#define DDG_LOWER_H

#include "ir/build.h"
#include "passes/pass.h"

#define SLOT_NONE UINT32_MAX

struct want {
    nid v;
    enum facet facet;
    uint32_t slot;
};

struct stage_build {
    uint32_t rowset;
    const char *name;
    bool saves; // see plan_stage
    uint32_t target;
    VEC(struct plan_slot) slots;
    VEC(struct type) types; // of slots
    VEC(struct plan_step) steps;
    VEC(struct plan_sink) sinks;
    VEC(struct want) have; // values that already have a slot
};

struct shared_func { // of trainings
    struct digest digest;
    uint32_t func;
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
    VEC(struct kept) kept; // parallel to columns
    VEC(struct plan_trial) trials;
    VEC(struct plan_agreement) agreements;
    VEC(struct plan_save) saves;
    VEC(struct plan_train) trains;
    VEC(nid) train_nodes; // parallel to trains
    VEC(struct plan_measure) measures;
    VEC(nid) measured; // parallel to measures
    VEC(struct plan_table) tables;
    VEC(struct model_save) model_saves;
    VEC(struct stage_build *) stages;
    VEC(struct plan_func) funcs;
    VEC(struct shared_func) shared;
};

// A tensor function being built for one step of a stage.
struct fn {
    struct lower *l;
    struct stage_build *s;
    struct builder b;
    size_t mult;
    VEC(uint32_t) in; // slots
    VEC(nid) inputs;  // parallel to in
};

// ---- lower.c -------------------------------------------------------------------------
const char *shown_name(const struct node *n); // the user's, or its op's
struct stage_build *stage_new(struct lower *l, uint32_t rowset, const char *name,
                              bool saves, uint32_t target);
void sink_add(struct lower *l, struct stage_build *s, enum sink_role role, uint32_t slot);
// The column that keeps a facet of a value; its stage is made later.
uint32_t column_of(struct lower *l, nid v, enum facet facet);
uint32_t rowset_at(const struct lower *l, nid v);
size_t mult_of(const struct lower *l, const struct stage_build *s, uint32_t rowset);
uint32_t slot_leaf(struct lower *l, struct stage_build *s, enum leaf_kind kind,
                   uint32_t rowset, size_t mult, struct type t);
// Another slot's memory, seen as rows of another type.
uint32_t slot_view(struct lower *l, struct stage_build *s, uint32_t of, size_t mult,
                   struct type t);
// A row that topk picked is a row of its operand: the value whose rows they are.
nid value_behind(const struct lower *l, nid v);
// A crop of images as they were read lies where it was placed: both facets are one.
enum facet facet_of(const struct lower *l, nid v, enum facet facet);
// Whether the stages that want it read it from a column.
bool is_column(const struct lower *l, const struct stage_build *s, nid v,
               enum facet facet);
// The slot of a value in a stage, computing it if need be.
uint32_t slot_of(struct lower *l, struct stage_build *s, nid v, enum facet facet);

struct fn *fn_begin(struct lower *l, struct stage_build *s, size_t mult, nid v,
                    const char *part);
// The slot as an argument: one row for a row, a group of rows ([g, ...]) when the slot
// has a higher multiplicity, a value shared by the rows of a call when it has a lower
// one.
nid fn_input(struct fn *f, uint32_t slot);
// Ends the function with its one result, and returns the slot that holds it. A function
// that only hands its argument on makes no step: the slot is the argument's.
uint32_t fn_finish(struct fn *f, nid result);
// Ends it with several results, each in a slot of its own.
void fn_finish_all(struct fn *f, const nid *results, size_t n, uint32_t *slots);

// ---- lower_ops.c ---------------------------------------------------------------------
// Computes a value of the stage's multiplicity for it, in functions of its own.
uint32_t lower_compute(struct lower *l, struct stage_build *s, nid v, enum facet facet);
// shap_patches, in lower_shap.c.
uint32_t lower_shap(struct lower *l, struct stage_build *s, nid v);
uint32_t lower_predicted(struct lower *l, struct stage_build *s, nid v);
// gradcam, in lower_gradcam.c: of node n, which is v.
nid lower_gradcam(struct fn *f, const struct node *n, nid v);
// check, in lower_check.c.
uint32_t lower_variants(struct lower *l, struct stage_build *s, nid v);
// accuracy, and all measures and reports, in lower_measure.c.
uint32_t lower_right(struct lower *l, struct stage_build *s, nid v);
void want_table(struct lower *l, nid out);
// train, in lower_train.c.
void want_train(struct lower *l, nid out);
nid train_labels(const struct node *n); // the operand; NID_NONE: the rows' classes

// Parts that lower_ops.c and lower_shap.c share.
nid part_pixels(struct fn *f, nid v);
// The images that x was read from have so many classes; user: the node to blame.
void rows_have_classes(struct lower *l, nid x, size_t classes, const struct node *user);
// i32[]: the class of v's row, for a model of `classes` outputs.
nid part_class(struct fn *f, nid v, size_t classes, nid user);
nid part_normalise(struct fn *f, const struct model *model, nid pixels);
// The model's logits f32[K], the network read again at the pixels' size if need be. After
// an error (said) some value of that type. user: the node to blame.
nid part_logits(struct fn *f, nid model_node, nid normalised, bool keep_params, nid user);
nid part_log_sum_exp(struct fn *f, nid logits);
nid part_count(struct fn *f, size_t k);             // i32[k]: 0, 1, 2, ...
nid part_pick(struct fn *f, nid values, nid index); // values[index]

#endif
