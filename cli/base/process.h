// What a process of ours has to do with the system: memory for its work, how it ends.
#ifndef DDG_PROCESS_H
#define DDG_PROCESS_H

#include "runtime/base/base.h"

enum exit_code {
    EXIT_DONE,
    EXIT_WRONG,   // the program, its data or the store is wrong
    EXIT_USAGE,   // the command line is
    EXIT_BUG,     // we are
    EXIT_STOPPED, // by a signal; process_end ends the process by that signal
};

// Before anything else: what crashes is our bug, and says so.
void process_begin(void);
// What main returns after a command that gave this exit_code. Looks that all output was
// written; ends the process by the signal that stopped the command.
int process_end(int code);

// Calls fn with an arena of its own, dropped afterwards; says so when memory runs out.
int with_arena(int (*fn)(void *ctx, struct arena *arena), void *ctx);

#endif
