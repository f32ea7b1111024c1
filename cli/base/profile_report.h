// What `--profile` says: the kernels of a run, what else its workers did, how fast the
// machine could have been.
#ifndef DDG_PROFILE_REPORT_H
#define DDG_PROFILE_REPORT_H

#include "cli/base/emit.h"
#include "runtime/profile.h"

struct profile_report {
    const struct profile *profile;
    const struct timeline *times; // phases outside of workers; may be NULL
    double peak;                  // operations a second of one worker; 0: not known
    size_t lanes;                 // of the vectors that the peak is of
    size_t workers;
    struct arena *arena;
};

void profile_print(const struct profile_report *r, FILE *to);
// The member "profile", into the object that is open.
void profile_emit(const struct profile_report *r, struct emit *e);

#endif
