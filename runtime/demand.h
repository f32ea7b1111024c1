// What a run asks for, from the saves backwards.
//
// A save asks for the columns its stage reads, for all of its rows. A column asked for
// some rows looks first at what this run has, then in the store, and only for the rows
// that are left asks for what its own stage reads, and computes them. To look in the
// store a row's key must be known, which may ask for other columns (where a crop lies)
// and for images' contents, but never for pixels.
//
// With `look` set nothing is computed: rows that would be are marked as planned, and what
// follows from them is not known.
#ifndef DDG_DEMAND_H
#define DDG_DEMAND_H

#include "runtime/list.h"
#include "runtime/run.h"
#include "runtime/save.h"
#include "runtime/train.h"

enum have { HAVE_NOT, HAVE_VALUE, HAVE_PLANNED };

struct tally { // of one stage of the plan
    bool touched;
    size_t order; // in which stages were first asked for
    size_t rows, reused, computed;
    size_t
        vague; // of the rows that would be computed: those whose keys are not known yet
    double seconds; // without what it asked for
};

struct foreseen { // looking: all rows of `rowset` will read the column
    uint32_t rowset, column;
};

struct demand {
    struct arena *arena;
    const struct plan *plan;
    const struct run_options *options;
    struct rowsets *rowsets;
    struct saves *saves; // NULL when looking
    bool look;
    struct tally *tallies; // by plan stage
    size_t touched;
    VEC(struct foreseen) foreseen;
    size_t audited;
    size_t ntrained; // trainings that are done
    const struct trained *trained;
    VEC(struct run_check) checks;         // done so far
    VEC(struct run_agreement) agreements; // the same
    const struct measured_table *tables;  // once all is measured
    // Where a run was told to stop.
    bool stopped;
    const char *stopped_in;
    size_t stopped_done, stopped_rows;
    // Progress
    const struct plan_stage *stage;
    size_t stage_rows, stage_before; // being computed; done in rounds before
    double stage_start;
};

void demand_init(struct demand *m, struct arena *arena, const struct plan *plan,
                 const struct run_options *o, struct rowsets *rowsets,
                 struct saves *saves);
// Computes and writes (or, looking, goes through) one save. The readers are open.
bool demand_save(struct demand *m, uint32_t save, struct diags *d);
// Leaves a column's values of these rows, ascending, in the rowsets; looking, goes
// through what that takes. The rowset is made.
bool demand_column(struct demand *m, uint32_t column, const struct list *rows,
                   struct diags *d);
// Makes a rowset; looking, leaves it when its rows follow from what would be computed.
bool demand_rowset(struct demand *m, uint32_t which, struct diags *d);
// Runs a training, with all it is learnt from; out->stages is there when it is known.
// Looking, goes through what that takes: known when the store has it.
bool demand_train(struct demand *m, uint32_t train, struct trained *out, struct diags *d);
// Looking: a stage may be asked for so many of its rows.
bool demand_perhaps(struct demand *m, const struct plan_stage *s, size_t rows,
                    struct diags *d);
// Looking, after all saves: goes through what is known of a save's rows though not which
// they are, because what they are chosen by would have to be computed.
bool demand_foresee(struct demand *m, uint32_t save, struct diags *d);

#endif
