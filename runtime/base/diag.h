// Errors for people: where, the line itself, what was expected and what came.
//
// Everything that can fail because of the user takes a `struct diags *`, adds what it
// found and returns false. A span points into a source file; the zero span means "no
// place in the text" (the data or the machine is at fault). Several errors are gathered
// in one run.
#ifndef DDG_DIAG_H
#define DDG_DIAG_H

#include "runtime/base/base.h"

struct source { // one file of program text
    const char *path;
    const char *text; // NUL-terminated; n bytes
    size_t n;
};

struct span { // bytes [start, end) of a source; file NULL: no place
    const struct source *file;
    uint32_t start, end;
};

enum severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE };

struct diag {
    enum severity severity;
    struct span span;
    const char *message;
    const char *help; // "did you mean `x`?", or NULL
};

struct diags {
    struct arena *arena; // owns the messages
    VEC(struct diag) list;
    size_t errors;
    bool no_memory; // one of them is that memory ran out
};

#define DIAGS_MAX_ERRORS 20 // further errors are counted, not kept

// Makes room for the first few, which are told even when there is no memory for their
// words: only this gives up, and what adds an error may hold what it has to let go of.
void diags_init(struct diags *d, struct arena *arena);
// All return false, so that a failing function can `return diag_error(...)`.
bool diag_error(struct diags *d, struct span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
// A note belongs to the error before it ("the list opened here").
bool diag_note(struct diags *d, struct span at, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool diag_warning(struct diags *d, struct span at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// "out of memory"
bool diag_no_memory(struct diags *d, struct span at);
// What was said from the `before`-th diagnostic on, by who does not know about what, is
// about `at`.
bool diag_about(struct diags *d, size_t before, struct span at);
// Adds a help line to the last diagnostic; a NULL fmt adds nothing.
bool diag_help(struct diags *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
// What a name that is not there may have meant: the nearest of those there are, or all of
// them. get as for near_miss.
bool diag_help_names(struct diags *d, const char *name,
                     const char *(*get)(const void *ctx, size_t i), const void *ctx);

// Line and column (both from 1; columns count display cells, tabs to the next multiple of
// 8) of a byte offset.
void source_locate(const struct source *s, size_t at, size_t *line, size_t *column);
// Adds all, in order, as
//     file.ddg:3:7: error: unknown op `shap_patch`
//       3 | phi = shap_patch(teacher, train)
//         |       ^~~~~~~~~~
//         = help: did you mean `shap_patches`?
void diags_render(const struct diags *d, bool color, struct text *out);
void diags_print(const struct diags *d, FILE *to, bool color);
// True when `to` is a terminal and NO_COLOR is unset or empty.
bool diag_color(FILE *to);

static const struct span NO_SPAN = {0};

#endif
