// Error objects: one block of the caller's memory, so that an error outlives everything
// else. When there is no memory for one, there is one that needs none.
#include "cli/lib/lib.h"

struct ddg_error {
    ddg_allocator from; // resize NULL: malloc's
    enum ddg_error_kind kind;
    size_t n;
    const ddg_message *messages;
    const char *text;
};

static const ddg_message no_memory_message = {.severity = DDG_IS_ERROR,
                                              .text = "out of memory"};
static const ddg_error no_memory = {.kind = DDG_ERROR_MEMORY,
                                    .n = 1,
                                    .messages = &no_memory_message,
                                    .text = "ddg: error: out of memory\n"};

// Nobody writes to an error, and ddg_error_free knows this one.
ddg_error *error_no_memory(void) {
    return (ddg_error *)&no_memory;
}

// ---- making --------------------------------------------------------------------------
static size_t bytes_of(const char *s) {
    return s ? strlen(s) + 1 : 0;
}

static size_t error_bytes(const struct diags *d, const struct text *text) {
    size_t bytes = sizeof(ddg_error) + d->list.n * sizeof(ddg_message) + text->n + 1;
    for (size_t i = 0; i < d->list.n; i++) {
        const struct diag *x = &d->list.at[i];
        bytes += bytes_of(x->message) + bytes_of(x->help);
        if (x->span.file) bytes += bytes_of(x->span.file->path);
    }
    return bytes;
}

// Copies a string to where *at is, and moves on.
static const char *put(char **at, const char *s) {
    if (!s) return NULL;
    char *copy = memcpy(*at, s, strlen(s) + 1);
    *at += strlen(s) + 1;
    return copy;
}

static ddg_message message_of(const struct diag *x, char **at) {
    static const enum ddg_severity severities[] = {[DIAG_ERROR] = DDG_IS_ERROR,
                                                   [DIAG_WARNING] = DDG_IS_WARNING,
                                                   [DIAG_NOTE] = DDG_IS_NOTE};
    ddg_message m = {.severity = severities[x->severity],
                     .text = put(at, x->message),
                     .help = put(at, x->help)};
    if (!x->span.file) return m;
    m.file = put(at, x->span.file->path);
    m.start = x->span.start;
    m.end = size_max(x->span.start, x->span.end);
    source_locate(x->span.file, m.start, &m.line, &m.column);
    return m;
}

ddg_error *error_of(const ddg_allocator *from, enum ddg_error_kind kind,
                    const struct diags *d) {
    struct text text = {.arena = d->arena};
    diags_render(d, false, &text);
    size_t bytes = error_bytes(d, &text);
    ddg_error *e = from ? from->resize(from->ctx, NULL, bytes) : malloc(bytes);
    if (!e) return error_no_memory();
    ddg_message *messages = (ddg_message *)(e + 1);
    char *at = (char *)(messages + d->list.n);
    *e = (ddg_error){.kind = kind, .n = d->list.n, .messages = messages};
    if (from) e->from = *from;
    for (size_t i = 0; i < e->n; i++) messages[i] = message_of(&d->list.at[i], &at);
    e->text = put(&at, text.n ? text.at : "");
    return e;
}

struct saying {
    const ddg_allocator *from;
    enum ddg_error_kind kind;
    const char *words;
    ddg_error *error;
};

static void say(void *ctx) {
    struct saying *s = ctx;
    struct cleanup drop;
    struct diags d;
    struct arena *words = arena_must();
    cleanup_push(&drop, arena_drop, words);
    diags_init(&d, words);
    diag_error(&d, NO_SPAN, "%s", s->words);
    s->error = error_of(s->from, s->kind, &d);
    cleanup_run(&drop);
}

void error_say(ddg_error **to, const ddg_allocator *from, enum ddg_error_kind kind,
               const char *fmt, ...) {
    if (!to) return;
    char words[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    struct memory memory = {0};
    if (from) memory = (struct memory){from->resize, from->ctx};
    struct saying s = {from, kind, words, NULL};
    struct scope scope = {.memory = from ? &memory : NULL, .catches = true};
    bool done = scope_run(&scope, say, &s) == SCOPE_DONE;
    *to = done ? s.error : error_no_memory();
}

bool is_null(ddg_context *c, const char *what, ddg_error **error) {
    error_say(error, c ? &c->allocator : NULL, DDG_ERROR_ARGUMENT, "%s is NULL", what);
    return false;
}

// ---- asking --------------------------------------------------------------------------
enum ddg_error_kind ddg_error_kind(const ddg_error *e) {
    return e ? e->kind : DDG_ERROR_ARGUMENT;
}

const char *ddg_error_text(const ddg_error *e) {
    return e ? e->text : "";
}

size_t ddg_error_count(const ddg_error *e) {
    return e ? e->n : 0;
}

bool ddg_error_message(const ddg_error *e, size_t i, ddg_message *out) {
    if (!out || i >= ddg_error_count(e)) return false;
    *out = e->messages[i];
    return true;
}

void ddg_error_free(ddg_error *e) {
    if (!e || e == &no_memory) return;
    ddg_allocator from = e->from;
    if (from.resize) from.resize(from.ctx, e, 0);
    else free(e);
}
