// From text to a checked pipeline graph.
//
// program_load parses a file and what it imports, binds parameters, expands `def`s,
// checks types and shapes, loads the models (their shapes are needed) and leaves a
// function of pipeline ops whose outputs are the `save`s. Nothing a save does not reach
// stays in it, but everything written is checked.
#ifndef DDG_FRONTEND_H
#define DDG_FRONTEND_H

#include "ir/ir.h"
#include "runtime/timeline.h"

struct param {
    const char *name;
    struct value value;            // after -D
    const char *folder;            // where a path in it starts; NULL: the current one
    bool set;                      // by -D
    const struct formula *follows; // how its default follows from other params, or NULL
    const char *doc;               // the comment behind it, or NULL
    struct span span;
};

struct program {
    const char *path;
    struct func *graph; // FAMILY_PIPELINE; outs are OP_SAVE and OP_CHECK nodes
    VEC(struct param) params;
    VEC(const struct source *) sources; // its files
};

struct program_options {
    const char *path;
    const char *const *defines; // "name=value", from -D
    size_t ndefines;
    // The program itself, instead of what is in the file; imports and paths still start
    // where path, which need not exist, says.
    const char *text;
    bool api; // defines did not come from a command line: messages show no -D
    struct timeline *times; // may be NULL
    // What `onnx` is in the program, instead of the files it names; or NULL.
    const struct model *model;
    bool bf16; // the precision of networks for which the program says none
};

// NULL when anything is wrong; everything found is in d.
struct program *program_load(struct arena *arena, const struct program_options *o,
                             struct diags *d);

// ---- sweeps --------------------------------------------------------------------------
// `-D sigma=0.05,0.1 -D ipc=1,10` asks for every combination of values, the last param
// changing fastest. Commas inside brackets and quotes do not part values.
struct sweep_point {
    const char
        *name; // "sigma=0.05,ipc=10", fit for a folder's name; NULL: nothing is swept
    const char *const *defines; // one value each
    size_t ndefines;
};

#define SWEEP_MAX_POINTS 10000

// At least one point. False, with the reason in d: an empty value, the same value twice,
// too many points, two points of one name.
bool sweep_points(struct arena *arena, const char *const *defines, size_t ndefines,
                  struct sweep_point **points, size_t *n, struct diags *d);
// Where a point's result goes: the point's name becomes a folder before the last
// component, so that all results of one point lie together ("out/infoutil" to
// "out/sigma=0.05/infoutil"). point NULL: `to` as it is.
const char *sweep_target(struct arena *arena, const char *to, const char *point);

#endif
