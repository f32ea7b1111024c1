// One program, or the points of a sweep: what `-D sigma=0.05,0.1` asks for.
#ifndef DDG_POINTS_H
#define DDG_POINTS_H

#include "cli/command.h"
#include "cli/driver.h"

struct points {
    const struct args *args;
    const struct tuning *tuning; // passes/tuning.h; NULL: none was asked for
    struct sweep_point *at;
    size_t n; // 1: nothing is swept
};

// False: said on stderr.
bool points_open(const struct args *a, struct arena *arena, struct points *out);
// For commands that take no sweep: EXIT_DONE when there is one point.
int points_single(const struct points *p, const char *command);
// Loads and lowers every point, each in memory of its own that is dropped again; says
// what is wrong, and at which points. An exit_code.
int points_check(const struct points *p);
// "point 2 of 3: sigma=0.1", when there are several.
void points_announce(const struct points *p, size_t i, FILE *to);

void point_driver(const struct points *p, size_t i, struct arena *arena,
                  struct driver *v);
void driver_say(const struct driver *v); // what was found, on stderr
// Prints what was found and ends the driver.
int driver_end(struct driver *v, bool ok);

#endif
