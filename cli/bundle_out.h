// From a checked program to a compiled file: code, constants and plan for each target.
#ifndef DDG_BUNDLE_OUT_H
#define DDG_BUNDLE_OUT_H

#include "cli/driver.h"

#define TARGETS_MAX 8

// Writes what v has loaded (driver_load), compiled for each of n targets, best first; n
// 0: this machine. prefix: the runtime's executable, or NULL for a file to be opened by
// others. False: said in v->d.
bool driver_write(struct driver *v, const char *const *targets, size_t n,
                  const void *prefix, size_t prefix_n, const char *to);

#endif
