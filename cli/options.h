// The options of the commands, from one table: how they are read, and what the help says.
#ifndef DDG_OPTIONS_H
#define DDG_OPTIONS_H

#include "cli/base/options.h"
#include "cli/command.h"

// Reads what stands behind a command's name. a->defines must have room for all of it.
// EXIT_DONE, or EXIT_USAGE after saying what is wrong.
int options_parse(const struct command *c, char **argv, struct args *a);
// Says what is wrong with the command line; returns EXIT_USAGE.
int usage_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

// One option a line, with the commands of the table that take it; only NULL: all options,
// else those of that command.
void options_help(const struct command *commands, size_t n, const struct command *only,
                  FILE *to);

// "5G", "500MB", "1.5TiB": all powers of 1024. False: no such size.
bool parse_size(const char *s, uint64_t *out);

#endif
