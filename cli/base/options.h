// How options are read and shown, and those that `ddg` and compiled programs both have.
#ifndef DDG_BASE_OPTIONS_H
#define DDG_BASE_OPTIONS_H

#include "cli/base/args.h"
#include "cli/base/process.h"

struct option {
    char letter; // in struct command
    // value NULL: the option stands alone; "[=FILE]": or a value follows behind the =.
    const char *name, *value;
    const char *help;
    // Returns NULL, or what it expected instead of the value, which is NULL where none
    // came.
    const char *(*take)(struct args *a, const char *value);
};

struct option_list {
    const struct option *at;
    size_t n;
};
extern const struct option_list run_options; // threads, the store, reports

const char *take_define(struct args *a, const char *value); // for -D name=value

// Says what is wrong with the command line of `program`; returns EXIT_USAGE.
int usage_error_of(const char *program, const char *fmt, ...) PRINTF_LIKE(2, 3);
int usage_error_va(const char *program, const char *fmt, va_list ap);

// The option that arg is, or NULL. *value: what follows in the same argument (-Dk=4,
// --size=5G), or NULL.
const struct option *option_find(const struct option_list *l, const char *arg,
                                 const char **value);
// Reads it: its value, when it wants one that did not follow, is argv[++*i].
int option_take(const struct option *o, const char *program, const char *value,
                char **argv, size_t *i, struct args *a);
// What no single option shows. EXIT_DONE, or EXIT_USAGE after saying what is wrong.
int options_check(const char *program, const struct args *a);

// ---- help ----------------------------------------------------------------------------
enum { HELP_COLUMN = 20, HELP_WIDTH = 88 };
// Words, each after a blank or at the next line's HELP_COLUMN. *column: where `to` is.
void help_words(const char *text, int *column, FILE *to);
// "  --size SIZE", up to the blank before HELP_COLUMN at least; returns the column.
int help_option(const struct option *o, FILE *to);
void exit_codes_help(FILE *to);

#endif
