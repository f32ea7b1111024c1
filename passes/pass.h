// The passes: from a pipeline graph to kernels, in the order of one table (passes.c).
//
// A module carries everything between the front end and code generation. `lower` fills
// plan (rowsets, stages, saves) and funcs from graph; the passes after it each rebuild or
// annotate the tensor functions, one at a time. A pass is one file and one function; what
// it needs and keeps stands in the line above that function.
#ifndef DDG_PASS_H
#define DDG_PASS_H

#include "ir/kernel.h"
#include "runtime/plan.h"
#include "runtime/timeline.h"

// A map of so few channels is not worth blocks of its own, and convolutions that read it
// make it themselves, a row at a time.
#define FEW_CHANNELS 4

// What of a pipeline value is meant.
enum facet {
    FACET_VALUE,  // the numbers of maps, scores, labels
    FACET_PIXELS, // u8 [C,H,W] of images
    FACET_PLACE,  // i32[4]: where a crop lies in its operand
    FACET_BOX,    // i32[4]: where images' pixels lie in the image they were read from
    FACET_PREDICTED, // i32: what the model of shap_patches, check or confusion answers
    FACET_VARIANTS, // i32[TRIAL_VARIANTS]: the same of images given to it otherwise
    FACET_RIGHT,    // i32: 1 where the model of accuracy is right
};

struct kept { // what a column of the plan keeps
    nid v;    // of the graph
    enum facet facet;
    // What no attribute says. shap_patches: the constant matrix that solves for the
    // values; gradcam: which of the network's maps are taken.
    struct digest more;
};

struct module_func {
    struct func *f;
    struct kfunc *k; // from fuse on
    size_t passed;   // rows of the table that it has been through
    // Of the algorithms that are not those that cost least, kernel by kernel; 0: none.
    struct digest tuned;
};

struct twin {       // of the graph:
    nid v, in_fp32; // a value that a network may compute in bf16, and the same in fp32
};

struct model_save { // a network that is written when the run is done
    const char *to;
    struct span span;
    const struct model *model;
};

struct tuning;

struct module {
    struct arena *arena;
    const struct target *target;
    const struct func *graph;      // of pipeline ops
    VEC(struct module_func) funcs; // plan->funcs[i] is made from funcs.at[i]
    struct plan *plan;
    const struct kept *kept; // by plan column, from lower on
    const nid *trains;       // of the graph, by plan train, from lower on
    size_t nmodel_saves;     // from lower on; the runtime knows no networks
    struct model_save *model_saves;
    struct timeline *times;   // may be NULL
    const struct twin *twins; // values to compare, see graph_twinned; may be NULL
    size_t ntwins;
    // Every coalition is evaluated by itself: what sharing is tested against.
    bool unshared;
    const struct tuning *tuning; // passes/tuning.h; NULL: what costs least
};

struct pass {
    const char *name;
    const char *summary;
    // One of the two: the whole module once, or each tensor function.
    bool (*module)(struct module *m, struct diags *d);
    bool (*func)(struct module *m, struct module_func *f, struct diags *d);
};

// The table, ended by a row without a name.
extern const struct pass passes[];

// The passes of the whole module. The functions they make can then be taken through the
// others one at a time, as they are needed. Test builds verify functions between passes.
bool passes_run_module(struct module *m, struct diags *d);
// Takes function i through the passes up to and including `last` (NULL: all); what it has
// been through before is not done again.
bool passes_run_func(struct module *m, size_t i, const char *last, struct diags *d);
// All of that, the module's passes and those of every function, up to `last`.
bool passes_run(struct module *m, const char *last, struct diags *d);
// Floating-point operations of one row, as counted on function i once its gradients are
// expanded; the passes up to there are run on it.
bool module_flops(struct module *m, size_t i, double *flops, struct diags *d);
// The module as text: the graph before lower, then the stages and the tensor functions.
void module_print(const struct module *m, struct text *out);

// The pipeline with a `check` of every model and the images that it is given somewhere,
// as they were read; what the program checks itself is not checked again.
struct func *graph_checked(struct arena *a, const struct func *graph);

// The pipeline with a twin of every value that a network may compute in bf16: the same
// value of the same images, in fp32. Nothing reads it; a run compares some of its rows.
const struct func *graph_twinned(struct arena *a, const struct func *graph,
                                 const struct twin **twins, size_t *n);

bool pass_lower(struct module *m, struct diags *d);
bool pass_cache(struct module *m, struct diags *d);
bool pass_diff(struct module *m, struct module_func *f, struct diags *d);
bool pass_fold_norm(struct module *m, struct module_func *f, struct diags *d);
bool pass_sqnorm(struct module *m, struct module_func *f, struct diags *d);
bool pass_shapes(struct module *m, struct module_func *f, struct diags *d);
bool pass_pack(struct module *m, struct module_func *f, struct diags *d);
bool pass_unfold(struct module *m, struct module_func *f, struct diags *d);
bool pass_narrow(struct module *m, struct module_func *f, struct diags *d);
bool pass_precision(struct module *m, struct module_func *f, struct diags *d);
bool pass_fuse(struct module *m, struct module_func *f, struct diags *d);
bool pass_hand_over(struct module *m, struct module_func *f, struct diags *d);
bool pass_algorithms(struct module *m, struct module_func *f, struct diags *d);
bool pass_layout(struct module *m, struct module_func *f, struct diags *d);
bool pass_memory(struct module *m, struct module_func *f, struct diags *d);

#endif
