// The commands, and what the command line says to them. main.c holds the table of
// commands, options.c the table of options; a command lives in the file named after it.
#ifndef DDG_COMMAND_H
#define DDG_COMMAND_H

#include "cli/base/args.h"
#include "cli/base/process.h"

enum command_group { GROUP_PROGRAM, GROUP_STORE, GROUP_LANGUAGE, GROUP_COUNT };

struct command {
    enum command_group group;
    const char *name;     // one word, or two
    const char *operands; // as the help shows them
    const char *summary;
    int (*run)(const struct args *a, struct arena *arena); // returns an exit_code
    size_t least, most;                                    // operands
    const char *options; // letters of those it takes (options.c)
};

int command_compile(const struct args *a, struct arena *arena);
int command_inspect(const struct args *a, struct arena *arena);
int command_model(const struct args *a, struct arena *arena);
int command_check(const struct args *a, struct arena *arena);
int command_dump(const struct args *a, struct arena *arena);
int command_ops(const struct args *a, struct arena *arena);
int command_run(const struct args *a, struct arena *arena);
int command_plan(const struct args *a, struct arena *arena);
int command_why(const struct args *a, struct arena *arena);
int command_store_stats(const struct args *a, struct arena *arena);
int command_store_verify(const struct args *a, struct arena *arena);
int command_store_gc(const struct args *a, struct arena *arena);
int command_store_clear(const struct args *a, struct arena *arena);
int command_store_path(const struct args *a, struct arena *arena);

// The stages that `ddg dump` can print.
void list_dump_stages(FILE *to);

#endif
