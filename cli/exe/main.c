// A compiled program: the runtime, and behind it in the same file the pipeline
// (runtime/bundle.h).
//
// `ddg compile` writes this executable with a bundle appended. It links no compiler: only
// the runtime and cli/base.
#include "cli/base/session.h"
#include "cli/exe/help.h"
#include "cli/exe/line.h"
#include "runtime/pool.h"

struct start {
    char **argv;
    struct timeline times;
};

static int tell(const struct diags *d, bool ok) {
    diags_print(d, stderr, diag_color(stderr));
    return ok ? EXIT_DONE : EXIT_WRONG;
}

static struct bundle *open_self(struct start *s, struct arena *arena, struct diags *d) {
    double began = timeline_now(&s->times);
    struct bundle *b = bundle_open_self(arena, s->argv[0], d);
    if (!b)
        diag_help(d, "the pipeline lies at the end of this file: `strip` and the like "
                     "take it away; compile it again");
    timeline_add(&s->times, began, "read the plan", NULL);
    return b;
}

// The plan for this processor, with params as they were set; its code is there.
static struct plan *prepare(struct start *s, struct bundle *b, const struct line *l,
                            struct arena *arena, struct diags *d) {
    double began = timeline_now(&s->times);
    struct bundle_variant *v = bundle_choose(b, d);
    if (!v || !plan_set(arena, v->plan, l->settings.at, l->settings.n, d)) return NULL;
    bool ok = bundle_load(b, v, d);
    timeline_add(&s->times, began, "map the code", NULL);
    return ok ? v->plan : NULL;
}

static int run_plan(const struct plan *p, const struct args *a, struct arena *arena,
                    struct diags *d) {
    const struct session_load loaded = {0};
    struct session s = session_of(a, arena);
    struct run_report r = {0};
    session_begin(&s, false);
    bool ok = session_run(&s, p, &loaded, arena, &r, d);
    if (ok) session_report(&s, &r, NULL);
    if (d->errors) help_missing(p, d);
    int code = tell(d, ok);
    session_end(&s, ok);
    return r.stopped ? EXIT_STOPPED : code;
}

static int run_self(void *ctx, struct arena *arena) {
    struct start *s = ctx;
    char **argv = s->argv + 1;
    struct diags d;
    diags_init(&d, arena);
    struct bundle *b = open_self(s, arena, &d);
    if (!b) return tell(&d, false);
    struct line l = {.program = s->argv[0]};
    l.args = (struct args){.threads = pool_cores(), .times = &s->times};
    if (line_asks(argv, "--help") || line_asks(argv, "-h"))
        return help_print(b, l.program, arena, stdout), EXIT_DONE;
    if (line_asks(argv, "--version")) return version_print(b, stdout), EXIT_DONE;
    int code = line_read(&l, arena, b->variants[0].plan, argv);
    if (code != EXIT_DONE) return code;
    const struct plan *p = prepare(s, b, &l, arena, &d);
    return p ? run_plan(p, &l.args, arena, &d) : tell(&d, false);
}

int main(int argc, char **argv) {
    struct start s = {.argv = argv};
    timeline_begin(&s.times);
    process_begin();
    if (argc < 1) return EXIT_USAGE; // not even a name
    int code = with_arena(run_self, &s);
    timeline_end(&s.times);
    return process_end(code);
}
