// For programs linked with --wrap=nanosleep. What of a store looks wrong is looked at
// again after a while, as another process may just be writing it; where there is no
// other, nothing is waited for.
#ifndef TEST_ALONE_H
#define TEST_ALONE_H

#include <stdbool.h>
#include <time.h>

static bool alone = true;

int __real_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);

int __wrap_nanosleep(const struct timespec *t, struct timespec *left) {
    return alone ? 0 : __real_nanosleep(t, left);
}

#endif
