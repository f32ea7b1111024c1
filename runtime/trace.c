// See trace.h. The format: "Trace Event Format", the JSON object form. Complete events
// ("X") carry all spans; times are microseconds.
#include "runtime/trace.h"

#include "runtime/json.h"

#include <errno.h>
#include <math.h>

struct trace {
    FILE *file; // NULL once closed
    const char *path;
    struct arena *arena;
    double origin; // what is time 0, on clock_seconds
    bool more;     // an event stands before
    size_t tracks; // that have a name, and
    double *ends;  //   when the last span of each began
};

static void close_file(void *trace) {
    struct trace *t = trace;
    if (t->file) fclose(t->file);
}

static void event(struct trace *t) {
    fputs(t->more ? ",\n" : "\n", t->file);
    t->more = true;
}

// Events that say what a process or a track is called.
static void name_track(struct trace *t, const char *what, size_t track,
                       const char *name) {
    event(t);
    fprintf(t->file,
            "{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"%s\",\"args\":{\"name\":%s}}",
            track, what, json_string(t->arena, name));
}

static void order_track(struct trace *t, size_t track) {
    event(t);
    fprintf(t->file,
            "{\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"name\":\"thread_sort_index\","
            "\"args\":{\"sort_index\":%zu}}",
            track, track);
}

static bool write_failed(const struct trace *t, int why, struct diags *d) {
    return diag_error(d, NO_SPAN, "the trace `%s` cannot be written: %s", t->path,
                      strerror(why));
}

struct trace *trace_open(struct arena *arena, const char *path, const char *process,
                         double origin, struct diags *d) {
    struct trace *t = NEW(arena, struct trace);
    *t = (struct trace){.path = path, .arena = arena, .origin = origin};
    if (!(t->file = fopen(path, "we"))) {
        write_failed(t, errno, d);
        return NULL;
    }
    arena_defer(arena, close_file, t);
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", t->file);
    name_track(t, "process_name", 0, process);
    return t;
}

// ---- spans ---------------------------------------------------------------------------
static const char *const categories[] = {[SPAN_PHASE] = "phase",
                                         [SPAN_CHUNK] = "chunk",
                                         [SPAN_PART] = "part",
                                         [SPAN_CALL] = "function",
                                         [SPAN_KERNEL] = "kernel"};

#define WORDS_FOR 1000 // spans, after which their words are let go of

struct adding {
    struct trace *trace;
    struct arena *words;
    size_t spans;
};

static const char *words_of(struct adding *a, const char *s) {
    if (++a->spans % WORDS_FOR == 0) {
        arena_free(a->words);
        a->words = arena_must();
    }
    return json_string(a->words, s);
}

// To whole nanoseconds, both ends alike: what began when another ended then does so in
// the file, where viewers let go of spans that cross others. 0 is also what came before
// there was a clock to read.
static double microseconds(const struct trace *t, double at) {
    return at > t->origin ? round(1e9 * (at - t->origin)) / 1e3 : 0;
}

static void add_span(void *ctx, size_t track, const struct profile_span *s) {
    struct adding *a = ctx;
    struct trace *t = a->trace;
    double ts = microseconds(t, s->began), dur = microseconds(t, s->ended) - ts;
    if (ts > t->ends[track]) t->ends[track] = ts;
    event(t);
    fprintf(t->file,
            "{\"ph\":\"X\",\"pid\":1,\"tid\":%zu,\"cat\":\"%s\",\"name\":%s,"
            "\"ts\":%.3f,\"dur\":%.3f",
            track, categories[s->kind], words_of(a, s->name), ts, dur > 0 ? dur : 0);
    if (s->rows) fprintf(t->file, ",\"args\":{\"rows\":%u}", (unsigned)s->rows);
    fputc('}', t->file);
}

// A track that had no room for all of its spans says so itself.
static void add_cut(struct trace *t, size_t track, size_t left_out) {
    if (!left_out) return;
    event(t);
    fprintf(t->file,
            "{\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":%zu,\"ts\":%.3f,\"name\":\"%zu "
            "spans are left out: no room, calls and kernels first\"}",
            track, t->ends[track], left_out);
}

static void name_tracks(struct trace *t, const struct profile *p) {
    if (t->tracks) return;
    t->tracks = profile_tracks(p);
    t->ends = NEW_N(t->arena, double, t->tracks);
    for (size_t i = 0; i < t->tracks; i++) {
        const char *worker = arena_printf(t->arena, "worker %zu", i);
        name_track(t, "thread_name", i, i ? worker : "main");
        order_track(t, i);
    }
}

void trace_add(struct trace *t, struct profile *p) {
    name_tracks(t, p);
    struct adding a = {.trace = t, .words = arena_must()};
    profile_spans(p, add_span, &a);
    arena_free(a.words);
    for (size_t i = 0; i < t->tracks; i++) add_cut(t, i, profile_left_out(p, i));
}

bool trace_close(struct trace *t, struct diags *d) {
    fputs("\n]}\n", t->file);
    bool ok = !ferror(t->file);
    int why = errno;
    ok = fclose(t->file) == 0 && ok;
    if (!ok && !why) why = errno;
    t->file = NULL;
    return ok || write_failed(t, why ? why : EIO, d);
}
