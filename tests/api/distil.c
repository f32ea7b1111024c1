// distil PROGRAM TO PLAN: compiles a program that has the params of
// tests/cases/run/small.ddg, runs it with another k into TO, compares its arrays with
// what is written there, is stopped once, and writes it compiled to PLAN, and to PLAN.exe
// as an executable.
#include "check.h"

struct watch {
    size_t calls;
    bool stop;
};

static bool look(void *ctx, const ddg_progress *now) {
    struct watch *w = ctx;
    EXPECT(now->done <= now->rows);
    w->calls++;
    return !w->stop;
}

// Names of a program's own are no matter to the library.
int arena_new(void);
int arena_new(void) {
    return 7;
}

static void expect_stops(ddg_pipeline *p) {
    struct watch w = {0, true};
    ddg_error *e = NULL;
    ddg_run_options o = {.size = sizeof o, .progress = look, .ctx = &w};
    EXPECT(!ddg_run(p, &o, &e));
    EXPECT(ddg_error_kind(e) == DDG_ERROR_STOPPED);
    ddg_error_free(e);
}

static void run(ddg_pipeline *p, const char *to) {
    struct watch w = {0, false};
    ddg_error *e = NULL;
    ddg_run_options o = {.size = sizeof o, .threads = 2, .progress = look, .ctx = &w};
    ddg_set(p, "k", "8", &e);
    expect_no_error(e);
    ddg_set(p, "to", to, &e);
    expect_no_error(e);
    EXPECT(!ddg_set(p, "kk", "8", &e));
    EXPECT(strstr(ddg_error_text(e), "no param `kk`"));
    ddg_error_free(e);
    e = NULL;
    ddg_result *r = ddg_run(p, &o, &e);
    expect_no_error(e);
    EXPECT(r && w.calls > 0 && ddg_result_count(r) == 1);
    ddg_array labels = array_of(r, 0, DDG_LABELS), pixels = array_of(r, 0, DDG_PIXELS);
    EXPECT(labels.shape[0] == 20 && labels.shape[1] == 10);
    EXPECT(pixels.rank == 4 && pixels.shape[2] == 32 && pixels.element == DDG_UINT8);
    EXPECT(!strcmp(ddg_result_class(r, 0, 0), "arrow"));
    expect_labels(&labels, to);
    ddg_result_free(r);
}

int main(int argc, char **argv) {
    EXPECT(argc == 4);
    ddg_error *e = NULL;
    ddg_context *c = ddg_open(NULL, &e);
    ddg_pipeline *p = ddg_compile_file(c, argv[1], NULL, 0, &e);
    expect_no_error(e);
    expect_stops(p);
    run(p, argv[2]);
    ddg_write(p, argv[3], NULL, 0, false, &e);
    expect_no_error(e);
    char exe[1024];
    snprintf(exe, sizeof exe, "%s.exe", argv[3]);
    ddg_write(p, exe, NULL, 0, true, &e);
    expect_no_error(e);
    ddg_pipeline_free(p);
    ddg_close(c);
    return arena_new() - 7;
}
