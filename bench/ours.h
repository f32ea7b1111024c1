// Programs of ddg, compiled once and run again and again, with what each run took.
#ifndef DDG_BENCH_OURS_H
#define DDG_BENCH_OURS_H

#include "cli/driver.h"
#include "runtime/profile.h"

struct ours { // one program
    struct arena *arena;
    struct driver driver;
    size_t threads;
    double compile_s; // text to machine code of all its functions
};

struct outcome {    // of one run
    double rate;    // rows of its costly stages a second
    double forward; // the same, but for reading the rows: in the functions alone
    double seconds; // of all stages
};

// body: statements over `x` (the images) and `t` (the model) that save into `out`, a path
// pattern of which is in the body as %s. limit: images of each class; 0: all.
struct task {
    const char *model, *images, *body;
    size_t size, limit;
    const char *folder; // that it may write in
    bool bf16;          // permitted
};

// False: said on stderr.
bool ours_open(struct ours *o, const struct task *p, size_t threads);
// profile: may be NULL; else what it gathered is there until the next run.
bool ours_run(struct ours *o, struct profile *profile, struct outcome *out);
void ours_close(struct ours *o);
// Writes the program's text; NULL: it could not be written.
const char *task_write(struct arena *a, const struct task *p);

#endif
