// Why a value will be computed and not found.
#ifndef DDG_WHY_H
#define DDG_WHY_H

#include "runtime/survey.h"

struct why_change {         // one field of the record that is another in the store
    const char *field;      // "samples", "model.weights.12"
    const char *then, *now; // NULL: there was, or is, none
    const char *then_label, *now_label; // for people: "layer3.0.conv1.weight"
};

struct why {
    struct survey_node node;
    enum why_kind {
        WHY_NOTHING,  // every row is in the store
        WHY_NOT_KEPT, // this value costs too little to be remembered
        WHY_NO_STORE, // there is no store to look in
        WHY_NEVER,    // nothing of this op was ever stored
        WHY_CHANGED,  // the same op was stored, with the changes below
        WHY_ROWS,     // computed before, but not of all rows: see below
        WHY_VAGUE,    // depends on what is computed before it
    } kind;
    size_t nchanges; // WHY_CHANGED
    const struct why_change *changes;
    const char *like;        // the user's name of the nearest earlier value
    int64_t used;            // when it was used last, in days since 1970
    uint64_t had;            // how many values of it are stored
    size_t new_rows;         // WHY_ROWS: of contents never seen by it
    size_t relabelled;       // WHY_ROWS: rows that were stored under another class
    const char *first;       // WHY_ROWS: the first such row, "airplane/0001.png"
    const char *first_class; // the class it had then, or NULL
    const char *before;      // WHY_VAGUE: the value that is computed before it
    const char *reason;      // all of this in a sentence or two, for people
};

// Whether a plan has a value of that name, so that plan_why knows it.
bool plan_keeps(const struct plan *p, const char *node);

// node: the name of a value of the program, or of an op where it has none. False, said in
// d: no value of that name (with the nearest), or what plan_survey fails of.
bool plan_why(const struct plan *p, const struct run_options *o, const char *node,
              struct arena *arena, struct why *out, struct diags *d);

#endif
