// Where a run's time goes, kernel by kernel and worker by worker.
//
//     struct profile *p = profile_new(threads, false);
//     profile_begin(p, plan);
//     ...                                    // plan_run, with run_options.profile = p
//     profile_rows(p, arena, &rows);
//
// Each worker writes into a lane of its own, so nothing is locked and nothing is shared
// while a stage runs. A lane is a stopwatch with laps: what passed since the last lap
// belongs to what has just ended, so all of a chunk's time belongs to something, and a
// lap reads the clock once. Laps are wall-clock time. The processor's time, read once a
// call of a function, says whether other programs came between; kernels' times are at the
// pace of the calls that none did.
//
// Everything takes a NULL profile or lane, and does nothing then.
#ifndef DDG_PROFILE_H
#define DDG_PROFILE_H

#include "runtime/plan.h"
#include "runtime/timeline.h"

struct profile;
struct profile_lane;

enum profile_part { // of a chunk, besides its kernels
    PROFILE_READ,   // rows read and decoded, columns looked up
    PROFILE_STORE,  // claimed, looked up, published, in the store
    PROFILE_TURN,   // waiting for the chunks before to be saved
    PROFILE_SAVE,
    PROFILE_REST, // steps between kernels, keeping columns
    PROFILE_PARTS,
};

// spans: what happens is kept one by one, too, as far as memory for it goes
// (runtime/trace.h). NULL: no memory.
struct profile *profile_new(size_t workers, bool spans);
void profile_free(struct profile *p);
// A plan is about to be run; what was gathered of the one before is dropped, unless it
// was kept: then it counts with what comes after, though its plan is gone. In arena.
void profile_begin(struct profile *p, const struct plan *plan);
void profile_keep(struct profile *p, struct arena *arena);
void profile_forget(struct profile *p); // what was kept

// ---- workers -------------------------------------------------------------------------
struct profile_lane *profile_lane(struct profile *p, size_t worker);
void profile_chunk(struct profile_lane *l, const char *stage); // begins
void profile_chunk_done(struct profile_lane *l, size_t rows);
void profile_lap(struct profile_lane *l, enum profile_part part);
// Around a call of the function, and behind each of its kernels (nth of f->calls).
void profile_call(struct profile_lane *l, const struct plan_func *f);
void profile_call_done(struct profile_lane *l, size_t rows);
void profile_kernel(struct profile_lane *l, size_t nth, size_t rows);
// All workers of a stage are done, after so long.
void profile_stage(struct profile *p, size_t workers, double seconds);

// ---- what was gathered ---------------------------------------------------------------
struct profile_row { // kernels of a plan's function that are equal in words, together
    const char *func, *what, *how;
    size_t layers;       // how many kernels these are
    uint64_t calls;      // of their code
    uint64_t rows;       // all of theirs together
    double seconds;      // of a processor
    double flops, bytes; // in all
};
// Into arena, what takes longest first.
size_t profile_rows(const struct profile *p, struct arena *arena,
                    struct profile_row **out);

// Seconds of all workers together; they add up to `all`.
struct profile_sum {
    double all;            // of the stages' wall-clock time, for each worker
    double kernels, rough; // of them, what no call was without interruption of
    double parts[PROFILE_PARTS];
    double taken; // by other programs, while kernels were to run
    double idle;  // no chunk was left
};
struct profile_sum profile_sum(const struct profile *p);

// ---- spans ---------------------------------------------------------------------------
enum profile_kind { SPAN_PHASE, SPAN_CHUNK, SPAN_PART, SPAN_CALL, SPAN_KERNEL };

struct profile_span {
    enum profile_kind kind;
    uint32_t rows;       // 0: of none
    const char *name;    // the plan's, or of a phase the profile's
    double began, ended; // on clock_seconds
};
// Calls fn with every span, once in the profile's life: of the phases outside of workers
// (track 0), then of the workers (from 1 on). After a plan was run, while it is there.
void profile_spans(struct profile *p,
                   void (*fn)(void *ctx, size_t track, const struct profile_span *s),
                   void *ctx);
size_t profile_tracks(const struct profile *p);
// How many spans of a track there was no room for, since this was last asked.
size_t profile_left_out(struct profile *p, size_t track);
// For timeline.watch: the phases of the thread that began the timeline.
void profile_phase(void *profile, const char *name, double began, double ended);

#endif
