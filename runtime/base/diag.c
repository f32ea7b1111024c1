// The error printer. A source line is walked glyph by glyph: each has some bytes and some
// cells on the screen, so that a caret stands under what it means whatever the line
// holds.
#include "runtime/base/diag.h"

#include "runtime/base/utf8.h"

#include <unistd.h>

#define TAB        8
#define VIEW_CELLS 160 // a longer line is shown as the part around its span
#define VIEW_LEAD  60  // cells shown before the span then

// ---- gathering ----------------------------------------------------------------------
static const char NO_MEMORY[] = "out of memory";

void diags_init(struct diags *d, struct arena *arena) {
    *d = (struct diags){.arena = arena};
    d->list.at = vec_grow(arena, NULL, 0, &d->list.cap, sizeof *d->list.at);
}

// Past the limit nothing more is kept: a note there belongs to an error nobody sees.
static bool full(const struct diags *d) {
    return d->errors > DIAGS_MAX_ERRORS;
}

struct
    words { // to be put together; va_list may be an array, which can only be pointed to
    struct diags *d;
    const char *fmt;
    va_list *ap;
    const char *out;
};

static void write_words(void *ctx) {
    struct words *w = ctx;
    w->out = arena_vprintf(w->d->arena, w->fmt, *w->ap);
}

static void grow_list(void *ctx) {
    struct diags *d = ctx;
    d->list.at =
        vec_grow(d->arena, d->list.at, d->list.n, &d->list.cap, sizeof *d->list.at);
}

// False: there was no memory for that.
static bool attempt(struct diags *d, void (*fn)(void *), void *ctx) {
    struct scope scope = scope_same();
    enum scope_end end = scope_run(&scope, fn, ctx);
    if (end == SCOPE_BUG) scope_raise(&scope);
    d->no_memory |= end == SCOPE_NO_MEMORY;
    return end == SCOPE_DONE;
}

static void keep(struct diags *d, enum severity severity, struct span at,
                 const char *message) {
    if (d->list.n == d->list.cap && !attempt(d, grow_list, d)) return;
    d->list.at[d->list.n++] = (struct diag){severity, at, message, NULL};
}

static void add(struct diags *d, enum severity severity, struct span at, const char *fmt,
                va_list *ap) {
    struct words w = {d, fmt, ap, NULL};
    if (severity == DIAG_ERROR) d->errors++;
    if (full(d)) return;
    keep(d, severity, at, attempt(d, write_words, &w) ? w.out : NO_MEMORY);
}

bool diag_error(struct diags *d, struct span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_ERROR, at, fmt, &ap);
    va_end(ap);
    return false;
}

bool diag_note(struct diags *d, struct span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_NOTE, at, fmt, &ap);
    va_end(ap);
    return false;
}

bool diag_about(struct diags *d, size_t before, struct span at) {
    for (size_t i = before; i < d->list.n; i++)
        if (!d->list.at[i].span.file) d->list.at[i].span = at;
    return false;
}

bool diag_warning(struct diags *d, struct span at, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_WARNING, at, fmt, &ap);
    va_end(ap);
    return false;
}

bool diag_no_memory(struct diags *d, struct span at) {
    d->errors++;
    d->no_memory = true;
    if (!full(d)) keep(d, DIAG_ERROR, at, NO_MEMORY);
    return false;
}

bool diag_help(struct diags *d, const char *fmt, ...) {
    if (!fmt || full(d) || d->list.n == 0) return false;
    va_list ap;
    va_start(ap, fmt);
    struct words w = {d, fmt, &ap, NULL};
    if (attempt(d, write_words, &w)) d->list.at[d->list.n - 1].help = w.out;
    va_end(ap);
    return false;
}

#define NAMES_SHOWN 16

// "it has `ipc`, `factor` and `sigma`"
bool diag_help_names(struct diags *d, const char *name,
                     const char *(*get)(const void *ctx, size_t i), const void *ctx) {
    const char *near = near_miss(name, get, ctx);
    struct text t = {.arena = d->arena};
    size_t n = 0;
    if (near) return diag_help(d, "did you mean `%s`?", near);
    while (get(ctx, n)) n++;
    if (n == 0) return diag_help(d, "it has none");
    for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
        text_add(&t, "%s`%s`", i == 0 ? "" : i + 1 < n ? ", " : " and ", get(ctx, i));
    if (n > NAMES_SHOWN) text_add(&t, " and %zu more", n - NAMES_SHOWN);
    return diag_help(d, "it has %s", t.at);
}

// ---- glyphs -------------------------------------------------------------------------
#define REPLACEMENT 0xFFFDu // stands for a byte that is no character

struct range {
    uint32_t first, last;
};

// Marks that join the character before them, and characters without a picture.
static const struct range zero_wide[] = {
    {0x0300, 0x036F},   {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A},
    {0x064B, 0x065F},   {0x06D6, 0x06DC}, {0x0900, 0x0902}, {0x0E31, 0x0E31},
    {0x0E34, 0x0E3A},   {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF},
    {0x200B, 0x200F},   {0x2060, 0x2064}, {0x20D0, 0x20FF}, {0x302A, 0x302D},
    {0x3099, 0x309A},   {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
    {0xE0100, 0xE01EF},
};

// East Asian wide and full-width characters, and pictures.
static const struct range two_wide[] = {
    {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},
    {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},
    {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
    {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
};

static bool in_ranges(const struct range *r, size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last) return true;
    return false;
}

// Controls, and the marks that turn the direction of what follows, must not reach a
// terminal: the line shown would not be the line that was read.
static bool steers(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

struct glyph {
    size_t bytes, cells;
    uint32_t code; // REPLACEMENT: print that instead of the bytes
};

// The glyph at s (n > 0 bytes left) when it starts in this column, from 0.
static struct glyph glyph_at(const char *s, size_t n, size_t column) {
    uint32_t c;
    size_t len = utf8_length(s, n, &c);
    if (len == 0) return (struct glyph){1, 1, REPLACEMENT};
    if (c == '\t') return (struct glyph){1, TAB - column % TAB, c};
    if (steers(c)) return (struct glyph){len, 1, REPLACEMENT};
    size_t cells = 1;
    if (c >= 0x300) {
        if (in_ranges(zero_wide, COUNT(zero_wide), c)) cells = 0;
        else if (in_ranges(two_wide, COUNT(two_wide), c)) cells = 2;
    }
    return (struct glyph){len, cells, c};
}

static size_t cells_of(const char *s, size_t n) {
    size_t column = 0;
    for (size_t i = 0; i < n;) {
        struct glyph g = glyph_at(s + i, n - i, column);
        column += g.cells;
        i += g.bytes;
    }
    return column;
}

// ---- places -------------------------------------------------------------------------
struct line { // of a source, without its end
    const char *text;
    size_t n, number;
};

static struct line line_at(const struct source *s, size_t at) {
    size_t start = 0, number = 1, end;
    at = size_min(at, s->n);
    for (size_t i = 0; i < at; i++) {
        if (s->text[i] != '\n') continue;
        start = i + 1;
        number++;
    }
    const char *stop = memchr(s->text + at, '\n', s->n - at);
    end = stop ? (size_t)(stop - s->text) : s->n;
    if (end > start && s->text[end - 1] == '\r') end--;
    return (struct line){s->text + start, end - start, number};
}

// Cells of the line before the byte `at` of its source.
static size_t cells_before(const struct source *s, const struct line *l, size_t at) {
    size_t offset = size_min(at, s->n) - (size_t)(l->text - s->text);
    return cells_of(l->text, size_min(offset, l->n));
}

void source_locate(const struct source *s, size_t at, size_t *line, size_t *column) {
    struct line l = line_at(s, at);
    *line = l.number;
    *column = cells_before(s, &l, at) + 1;
}

// ---- printing -----------------------------------------------------------------------
struct printer {
    struct text *to;
    bool color;
};

static void put(struct text *to, const char *s) {
    text_add_n(to, s, strlen(s));
}

static void paint(const struct printer *p, const char *code) {
    if (p->color) text_add(p->to, "\033[%sm", code);
}

#define BOLD  "1"
#define BLUE  "1;34"
#define PLAIN "0"

static const char *severity_name(enum severity s) {
    return s == DIAG_ERROR ? "error" : s == DIAG_WARNING ? "warning" : "note";
}

static const char *severity_color(enum severity s) {
    return s == DIAG_ERROR ? "1;31" : s == DIAG_WARNING ? "1;35" : "1;36";
}

static void print_glyph(struct text *to, const char *s, struct glyph g) {
    if (g.code == '\t') text_add(to, "%*s", (int)g.cells, "");
    else if (g.code == REPLACEMENT) put(to, "\xEF\xBF\xBD");
    else text_add_n(to, s, g.bytes);
}

// What stands in the cells [lo, hi) of a line.
static void print_cells(struct text *to, const struct line *l, size_t lo, size_t hi) {
    size_t column = 0;
    for (size_t i = 0; i < l->n;) {
        struct glyph g = glyph_at(l->text + i, l->n - i, column);
        if (column >= hi && g.cells) break; // a mark still joins the last cell
        if (column >= lo) print_glyph(to, l->text + i, g);
        column += g.cells;
        i += g.bytes;
    }
}

// A message or a path: as it is, but for what would steer a terminal.
static void print_text(struct text *to, const char *s) {
    for (size_t n = strlen(s); n;) {
        struct glyph g = glyph_at(s, n, 0);
        if (*s == '\n') put(to, "\n");
        else print_glyph(to, s, g);
        s += g.bytes;
        n -= g.bytes;
    }
}

static void print_gutter(const struct printer *p, size_t number, int digits) {
    paint(p, BLUE);
    if (number) text_add(p->to, "  %*zu |", digits, number);
    else text_add(p->to, "  %*s |", digits, "");
    paint(p, PLAIN);
}

// The cells [lo, hi) of a line that are shown, for a span that starts in cell `start`.
static void choose_view(size_t width, size_t start, size_t *lo, size_t *hi) {
    *lo = 0;
    *hi = size_max(width, 1);
    if (width <= VIEW_CELLS) return;
    *lo = start > VIEW_LEAD ? start - VIEW_LEAD : 0;
    *hi = *lo + VIEW_CELLS;
}

static void print_underline(const struct printer *p, enum severity severity,
                            size_t indent, size_t n) {
    text_add(p->to, " %*s", (int)indent, "");
    paint(p, severity_color(severity));
    put(p->to, "^");
    for (size_t i = 1; i < n; i++) put(p->to, "~");
    paint(p, PLAIN);
    put(p->to, "\n");
}

// The line a span starts in and the marks under it. A span that runs on is marked to the
// line's end; an empty one still gets its caret.
static void print_excerpt(const struct printer *p, const struct diag *d,
                          const struct line *l, int digits) {
    const struct source *s = d->span.file;
    size_t start = cells_before(s, l, d->span.start);
    size_t end = cells_before(s, l, size_max(d->span.start, d->span.end));
    size_t width = cells_of(l->text, l->n), lo, hi;
    choose_view(width, start, &lo, &hi);
    print_gutter(p, l->number, digits);
    if (l->n) put(p->to, " ");
    if (lo) put(p->to, "...");
    print_cells(p->to, l, lo, hi);
    put(p->to, hi < width ? "...\n" : "\n");
    print_gutter(p, 0, digits);
    size_t indent = start - lo + (lo ? 3 : 0), stop = size_min(end, hi);
    print_underline(p, d->severity, indent, stop > start ? stop - start : 1);
}

static int decimal_digits(size_t v) {
    int n = 1;
    for (; v >= 10; v /= 10) n++;
    return n;
}

static void print_head(const struct printer *p, const struct diag *d,
                       const struct line *l) {
    paint(p, BOLD);
    if (l) {
        print_text(p->to, d->span.file->path);
        size_t column = cells_before(d->span.file, l, d->span.start) + 1;
        text_add(p->to, ":%zu:%zu: ", l->number, column);
    } else {
        put(p->to, "ddg: ");
    }
    paint(p, severity_color(d->severity));
    text_add(p->to, "%s: ", severity_name(d->severity));
    paint(p, PLAIN);
    paint(p, BOLD);
    print_text(p->to, d->message);
    paint(p, PLAIN);
    put(p->to, "\n");
}

static void print_one(const struct printer *p, const struct diag *d) {
    struct line l = {0};
    int digits = -1; // without a line the help starts where a line number would
    if (d->span.file) {
        l = line_at(d->span.file, d->span.start);
        digits = decimal_digits(l.number);
    }
    print_head(p, d, d->span.file ? &l : NULL);
    if (d->span.file) print_excerpt(p, d, &l, digits);
    if (!d->help) return;
    text_add(p->to, "%*s", digits + 3, "");
    paint(p, BLUE);
    put(p->to, "= help: ");
    paint(p, PLAIN);
    print_text(p->to, d->help);
    put(p->to, "\n");
}

void diags_render(const struct diags *d, bool color, struct text *out) {
    struct printer p = {out, color};
    for (size_t i = 0; i < d->list.n; i++) print_one(&p, &d->list.at[i]);
    if (!full(d)) return;
    size_t more = d->errors - DIAGS_MAX_ERRORS;
    text_add(out, "ddg: %zu more error%s not shown\n", more, more == 1 ? "" : "s");
}

void diags_print(const struct diags *d, FILE *to, bool color) {
    struct text t = {.arena = d->arena};
    diags_render(d, color, &t);
    if (t.n) fwrite(t.at, 1, t.n, to);
}

bool diag_color(FILE *to) {
    const char *no = getenv("NO_COLOR");
    return (!no || !*no) && isatty(fileno(to));
}
