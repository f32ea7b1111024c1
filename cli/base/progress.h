// What a run says while it goes on.
#ifndef DDG_PROGRESS_H
#define DDG_PROGRESS_H

#include "runtime/base/base.h"

struct progress {
    FILE *to;
    bool terminal;
    const char *stage; // being shown
    double shown;      // seconds of the stage at the last line
};

struct progress progress_new(FILE *to);
void progress_stage(void *progress, const char *name, size_t done, size_t rows,
                    double seconds);
void progress_end(struct progress *p); // leaves a clean line behind

#endif
