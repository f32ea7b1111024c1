// The command line of a compiled program: options, and the program's own params.
//
// `--sigma 0.2`, `--sigma=0.2` and `-D sigma=0.2` set the param `sigma`. Where a param
// has an option's name, the option is meant, and -D sets the param.
#ifndef DDG_EXE_LINE_H
#define DDG_EXE_LINE_H

#include "cli/base/options.h"
#include "runtime/settings.h"

struct line {
    const char *program; // as it was started
    struct args args;
    const char *define; // room for the last -D in args
    VEC(struct setting) settings;
};

extern const struct option_list exe_options; // besides run_options

// Whether somebody only asks: "--help" (or -h), "--version".
bool line_asks(char **argv, const char *option);
// argv: behind the program's name. EXIT_DONE, or EXIT_USAGE after saying what is wrong.
int line_read(struct line *l, struct arena *arena, const struct plan *p, char **argv);
// Whether `--name` is an option rather than the param.
bool line_is_option(const char *name);

#endif
