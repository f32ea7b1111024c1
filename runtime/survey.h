// Before paying: what a run would find in the store and what it would compute.
#ifndef DDG_SURVEY_H
#define DDG_SURVEY_H

#include "runtime/run.h"

struct survey_node {  // one stage of the plan
    const char *name; // the user's, for the value
    const char *op;   // "shap_patches", "train"; NULL: a save
    const char *part; // "place" (of a crop), "target" (of shap_patches), or NULL
    bool remembered;  // has a place in the store
    size_t rows, reused, computed;
    size_t vague;    // of computed: rows that might yet be found, once what comes before
                     // them is computed
    double flops;    // of all the rows to compute, as counted on the tensor functions
    uint64_t bytes;  // that they would add to the store
    double seconds;  // to compute them, from recorded rates; < 0: nothing is known
    uint32_t column; // of the plan; UINT32_MAX: a save, or a training
};

struct survey {
    size_t n;
    struct survey_node *nodes; // what is computed first comes first
    double flops, seconds;     // in all; seconds < 0: something is not known
    uint64_t bytes;
    const struct trained *trained; // by plan train; without stages: it would be trained
};

// Adds what an act found to what others did (cli/acts.h); words are copied into arena.
void survey_join(struct survey *all, const struct survey *act, struct arena *arena);

// Reads images where the store does not know their contents, but decodes and computes
// nothing. The plan's functions need not be loaded, but their flops must be known.
bool plan_survey(const struct plan *p, const struct run_options *o, struct arena *arena,
                 struct survey *out, struct diags *d);

#endif
