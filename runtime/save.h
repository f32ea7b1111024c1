// What a run writes: one result folder or .npy file a save, and, where it was asked for,
// the same in memory.
#ifndef DDG_SAVE_H
#define DDG_SAVE_H

#include "runtime/keep.h"
#include "runtime/rowset.h"

struct save; // one plan_save being written

struct saves {
    struct arena *arena;
    const struct plan *plan;
    const struct rowsets *rowsets;
    bool files;        // are written
    struct keep *keep; // NULL: nothing is kept
    struct save **at;  // by plan save
};

// The parts of a save that one chunk of rows has; NULL where the save has none. Boxes and
// maps: one for each row of the reader behind.
struct save_chunk {
    size_t first, rows; // of the save's rowset
    const uint8_t *pixels;
    const float *labels, *maps;
    const int32_t *boxes;
    const char *values;
};

void saves_init(struct saves *s, struct arena *arena, const struct plan *plan,
                const struct rowsets *rowsets, bool files, struct keep *keep);
// Checks that every target can be written, before anything is computed. Readers are open.
bool saves_check(struct saves *s, struct diags *d);
// The save's rowset is made: its number of rows is known.
bool save_begin(struct saves *s, size_t which, struct diags *d);
// Chunks arrive in order, one at a time.
bool save_chunk(struct saves *s, size_t which, const struct save_chunk *c,
                struct decoder *decoder, struct diags *d);
bool saves_commit(struct saves *s, struct diags *d);
void saves_abandon(struct saves *s); // whatever was not committed

#endif
