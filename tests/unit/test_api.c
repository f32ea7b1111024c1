// The C interface: what its functions give, what they refuse, and in which words.
#include "api_rig.h"

#include "cli/lib/lib.h"
#include "runtime/image.h"
#include "runtime/npy.h"

#include <locale.h>

// ---- a context and a pipeline of the rig ---------------------------------------------
struct opened {
    struct fixture *f;
    ddg_context *c;
    ddg_pipeline *p;
    ddg_error *e;
};

static struct opened open_rig(void **state) {
    struct opened o = {.f = *state};
    o.c = rig_open(NULL, NULL, &o.e);
    rig_fine(o.c, o.e);
    o.p = rig_compile(o.c, o.f, &o.e);
    rig_fine(o.p, o.e);
    return o;
}

static void close_rig(struct opened *o) {
    ddg_pipeline_free(o->p);
    ddg_close(o->c);
}

static ddg_param param_named(const ddg_pipeline *p, const char *name) {
    ddg_param out;
    for (size_t i = 0; ddg_param_at(p, i, &out); i++)
        if (!strcmp(out.name, name)) return out;
    fail_msg("no param %s", name);
    return out;
}

// ---- wrong arguments -----------------------------------------------------------------
static void nothing_given_is_an_error(void **state) {
    struct opened o = open_rig(state);
    ddg_define no_name = {NULL, "1"}, no_value = {"k", NULL}, bad = {"k=", "1"};
    const char *targets[] = {NULL};
    ddg_array a;
#define WRONG(call, words)                                                               \
    do {                                                                                 \
        assert_false(call);                                                              \
        rig_wrong(&o.e, DDG_ERROR_ARGUMENT, words);                                      \
    } while (0)
    WRONG(ddg_compile_file(NULL, "a", NULL, 0, &o.e), "the context is NULL");
    WRONG(ddg_compile_file(o.c, NULL, NULL, 0, &o.e), "the path is NULL");
    WRONG(ddg_compile_file(o.c, "a", NULL, 1, &o.e), "the array of defines is NULL");
    WRONG(ddg_compile_file(o.c, "a", &no_name, 1, &o.e), "the define 0 has no name");
    WRONG(ddg_compile_file(o.c, "a", &no_value, 1, &o.e), "the define 0 has no value");
    WRONG(ddg_compile_file(o.c, "a", &bad, 1, &o.e), "a name that no param can have");
    WRONG(ddg_compile_text(NULL, "a", "", NULL, 0, &o.e), "the context is NULL");
    WRONG(ddg_compile_text(o.c, NULL, "", NULL, 0, &o.e), "the name is NULL");
    WRONG(ddg_compile_text(o.c, "a", NULL, NULL, 0, &o.e), "the text is NULL");
    WRONG(ddg_load(NULL, "a", &o.e), "the context is NULL");
    WRONG(ddg_load(o.c, NULL, &o.e), "the path is NULL");
    WRONG(ddg_set(NULL, "k", "1", &o.e), "the pipeline is NULL");
    WRONG(ddg_set(o.p, NULL, "1", &o.e), "the param's name is NULL");
    WRONG(ddg_set(o.p, "k", NULL, &o.e), "the param's value is NULL");
    WRONG(ddg_write(NULL, "a", NULL, 0, false, &o.e), "the pipeline is NULL");
    WRONG(ddg_write(o.p, NULL, NULL, 0, false, &o.e), "the path is NULL");
    WRONG(ddg_write(o.p, "a", NULL, 1, false, &o.e), "the array of targets is NULL");
    WRONG(ddg_write(o.p, "a", targets, 1, false, &o.e), "a target is NULL");
    WRONG(ddg_run(NULL, NULL, &o.e), "the pipeline is NULL");
    WRONG(ddg_result_array(NULL, 0, DDG_PIXELS, &a, &o.e), "the result is NULL");
#undef WRONG
    close_rig(&o);
}

static void nothing_asked_is_nothing(void **state) {
    (void)state;
    ddg_param param;
    ddg_saved saved;
    ddg_stats stats;
    ddg_message message;
    assert_int_equal(ddg_param_count(NULL), 0);
    assert_false(ddg_param_at(NULL, 0, &param));
    assert_int_equal(ddg_result_count(NULL), 0);
    assert_false(ddg_result_saved(NULL, 0, &saved));
    assert_false(ddg_result_stats(NULL, &stats));
    ddg_checked check;
    assert_int_equal(ddg_result_check_count(NULL), 0);
    assert_false(ddg_result_check(NULL, 0, &check));
    assert_null(ddg_result_class(NULL, 0, 0));
    assert_null(ddg_trouble(NULL));
    assert_int_equal(ddg_error_count(NULL), 0);
    assert_false(ddg_error_message(NULL, 0, &message));
    assert_string_equal(ddg_error_text(NULL), "");
    assert_int_equal((ddg_error_kind)(NULL), DDG_ERROR_ARGUMENT);
    ddg_error_free(NULL);
    ddg_result_free(NULL);
    ddg_pipeline_free(NULL);
    ddg_stop(NULL);
    ddg_close(NULL);
}

static void structures_say_their_size(void **state) {
    struct opened o = open_rig(state);
    ddg_options open = {.size = 0};
    assert_null(ddg_open(&open, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "ddg_options.size is 0");
    open.size = sizeof open + 8; // of a later version
    assert_null(ddg_open(&open, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "ddg_options.size");
    open = (ddg_options){.size = sizeof open.size, .store = DDG_STORE_AT};
    ddg_context *c = ddg_open(&open, &o.e); // what lies behind the size is not read
    rig_fine(c, o.e);
    ddg_close(c);
    ddg_run_options run = {.size = sizeof run - 1};
    assert_null(ddg_run(o.p, &run, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "ddg_run_options.size");
    run = (ddg_run_options){.size = sizeof run, .threads = SIZE_MAX};
    assert_null(ddg_run(o.p, &run, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "more than 1024");
    close_rig(&o);
}

static void options_are_checked(void **state) {
    (void)state;
    ddg_error *e = NULL;
    ddg_allocator none = {0};
    ddg_options o = {.size = sizeof o, .store = DDG_STORE_AT};
    assert_null(ddg_open(&o, &e));
    rig_wrong(&e, DDG_ERROR_ARGUMENT, "ddg_options.store_path is NULL");
    o = (ddg_options){.size = sizeof o, .allocator = &none};
    assert_null(ddg_open(&o, &e));
    rig_wrong(&e, DDG_ERROR_ARGUMENT, "ddg_allocator.resize is NULL");
    int kind = 99;
    o = (ddg_options){.size = sizeof o};
    memcpy(&o.store, &kind, sizeof kind);
    assert_null(ddg_open(&o, &e));
    rig_wrong(&e, DDG_ERROR_ARGUMENT, "no ddg_store");
}

// ---- errors --------------------------------------------------------------------------
static void errors_say_where(void **state) {
    (void)state;
    struct tally t = tally_new();
    ddg_error *e = NULL;
    ddg_context *c = rig_open(&t, NULL, &e);
    rig_fine(c, e);
    assert_null(ddg_compile_text(c, "f.ddg", "\nx = shap_patch(1)\n", NULL, 0, &e));
    ddg_close(c);
    assert_int_equal(t.blocks, 1); // an error needs no context
    ddg_message m;
    assert_int_equal((ddg_error_kind)(e), DDG_ERROR_PROGRAM);
    assert_true(ddg_error_count(e) >= 1);
    assert_true(ddg_error_message(e, 0, &m));
    assert_int_equal(m.severity, DDG_IS_ERROR);
    assert_string_equal(m.text, "unknown op `shap_patch`");
    assert_string_equal(m.help, "did you mean `shap_patches`?");
    assert_string_equal(m.file, "f.ddg");
    assert_int_equal(m.start, 5);
    assert_int_equal(m.end, 15);
    assert_int_equal(m.line, 2);
    assert_int_equal(m.column, 5);
    assert_string_equal(ddg_error_text(e), "f.ddg:2:5: error: unknown op `shap_patch`\n"
                                           "  2 | x = shap_patch(1)\n"
                                           "    |     ^~~~~~~~~~\n"
                                           "    = help: did you mean `shap_patches`?\n");
    assert_false(ddg_error_message(e, ddg_error_count(e), &m));
    assert_false(ddg_error_message(e, 0, NULL));
    ddg_error_free(e);
    assert_int_equal(t.blocks, 0);
}

static void errors_may_be_left_out(void **state) {
    struct tally t = tally_new();
    (void)state;
    ddg_context *c = rig_open(&t, NULL, NULL);
    assert_non_null(c);
    assert_null(ddg_compile_text(c, "f.ddg", "x = 1 +", NULL, 0, NULL));
    assert_null(ddg_compile_file(c, "/nowhere.ddg", NULL, 0, NULL));
    assert_null(ddg_load(c, "/nowhere.plan", NULL));
    ddg_close(c);
    assert_int_equal(t.blocks, 0);
}

static void no_memory_at_all_is_an_error(void **state) {
    (void)state;
    struct tally t = tally_new();
    t.fail_at = 1;
    t.fail_on = true;
    ddg_error *e = NULL;
    assert_null(rig_open(&t, NULL, &e));
    ddg_message m;
    assert_true(ddg_error_message(e, 0, &m));
    assert_string_equal(m.text, "out of memory");
    rig_wrong(&e, DDG_ERROR_MEMORY, "out of memory");
    assert_int_equal(t.blocks, 0);
}

static bool fail_a_check(struct call *call, void *ctx) {
    (void)call;
    CHECK(ctx != NULL);
    return true;
}

static void failed_checks_are_errors(void **state) {
    struct opened o = open_rig(state);
    assert_false(serve(o.c, fail_a_check, NULL, &o.e));
    rig_wrong(&o.e, DDG_ERROR_BUG, "check failed: ctx != NULL");
    assert_false(ddg_set(o.p, "k", "1", &o.e));
    rig_wrong(&o.e, DDG_ERROR_BUG, "can only be closed");
    // What a failed check leaves is not let go of, so that nobody waits for its locks; a
    // test may.
    o.c->broken = false;
    close_rig(&o);
}

static void programs_that_save_nothing(void **state) {
    struct opened o = open_rig(state);
    assert_null(ddg_compile_text(o.c, "f.ddg", "param a: int = 1\n", NULL, 0, &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "f.ddg saves nothing");
    close_rig(&o);
}

// ---- params --------------------------------------------------------------------------
static void params_are_listed(void **state) {
    struct opened o = open_rig(state);
    assert_int_equal(ddg_param_count(o.p), RIG_PARAMS);
    ddg_param data = param_named(o.p, "data"), size = param_named(o.p, "size");
    ddg_param temperature = param_named(o.p, "temperature");
    assert_string_equal(data.type, "string");
    assert_string_equal(data.doc, "one folder a class");
    assert_null(data.fixed);
    assert_string_equal(temperature.type, "float");
    assert_string_equal(temperature.value, "4");
    assert_string_equal(size.type, "int");
    assert_non_null(size.fixed);
    assert_null(size.doc);
    ddg_param out;
    assert_false(ddg_param_at(o.p, RIG_PARAMS, &out));
    assert_false(ddg_param_at(o.p, 0, NULL));
    close_rig(&o);
}

static void params_are_set(void **state) {
    struct opened o = open_rig(state);
    const char *before = param_named(o.p, "temperature").value;
    rig_fine(ddg_set(o.p, "temperature", "0.5", &o.e), o.e);
    assert_string_equal(param_named(o.p, "temperature").value, "0.5");
    assert_string_equal(before, "4"); // what was asked for stays
    assert_false(ddg_set(o.p, "temperature", "-1", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "temperature");
    assert_false(ddg_set(o.p, "temperature", "hot", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "temperature");
    assert_false(ddg_set(o.p, "temperatur", "1", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "did you mean `temperature`?");
    assert_false(ddg_set(o.p, "size", "9", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "cannot be set any more");
    assert_string_equal(param_named(o.p, "temperature").value, "0.5");
    close_rig(&o);
}

// ---- runs ----------------------------------------------------------------------------
static ddg_result *run_in_memory(struct opened *o) {
    ddg_run_options options = rig_in_memory();
    ddg_result *r = ddg_run(o->p, &options, &o->e);
    rig_fine(r, o->e);
    return r;
}

static ddg_array array_of(const ddg_result *r, size_t i, enum ddg_part part) {
    ddg_array a = {0};
    ddg_error *e = NULL;
    rig_fine(ddg_result_array(r, i, part, &a, &e), e);
    return a;
}

static void same_numbers(const ddg_array *a, const char *path, struct fixture *f) {
    struct npy file;
    if (!npy_read(f->a, path, &file, NO_SPAN, &f->d)) fail_msg("%s", path);
    assert_int_equal(a->element, DDG_FLOAT32);
    assert_int_equal(a->rank, file.rank);
    for (size_t i = 0; i < a->rank; i++) assert_int_equal(a->shape[i], file.dim[i]);
    assert_memory_equal(a->data, file.data, file.count * sizeof(float));
}

// Image i of class `cls`, decoded, against planes of pixels.
static void same_image(struct fixture *f, const char *to, size_t cls, size_t i,
                       const uint8_t *planes, size_t side) {
    char why[256];
    size_t n;
    struct image image;
    char *path = arena_printf(f->a, "%s/%05zu/class%05zu_id%05zu.png", to, cls, cls, i);
    char *bytes = file_read(f->a, path, 1 << 20, &n);
    if (!bytes || !image_decode((uint8_t *)bytes, n, &image, why, sizeof why))
        fail_msg("%s", path);
    assert_int_equal(image.h, side);
    assert_int_equal(image.w, side);
    for (size_t at = 0; at < 3 * side * side; at++)
        assert_int_equal(planes[at],
                         image.data[at % (side * side) * 3 + at / (side * side)]);
    mem_free(image.data);
}

static void arrays_are_what_files_hold(void **state) {
    struct opened o = open_rig(state);
    char *to = path_of(o.f, "deep/out");
    rig_fine(ddg_set(o.p, "to", to, &o.e), o.e);
    rig_fine(ddg_set(o.p, "k", "2", &o.e), o.e);
    ddg_result *r = ddg_run(o.p, NULL, &o.e);
    rig_fine(r, o.e);
    ddg_array pixels = array_of(r, 0, DDG_PIXELS), classes = array_of(r, 0, DDG_CLASSES);
    ddg_array labels = array_of(r, 0, DDG_LABELS), values = array_of(r, 1, DDG_VALUES);
    size_t rows = RIG_CLASSES * 2, shape[4] = {rows, 3, 8, 8};
    assert_int_equal(pixels.element, DDG_UINT8);
    assert_int_equal(pixels.rank, 4);
    assert_memory_equal(pixels.shape, shape, sizeof shape);
    assert_int_equal(classes.element, DDG_INT32);
    assert_int_equal(classes.shape[0], rows);
    same_numbers(&labels, arena_printf(o.f->a, "%s/labels.npy", to), o.f);
    same_numbers(&values, arena_printf(o.f->a, "%s.npy", to), o.f);
    for (size_t i = 0; i < rows; i++) {
        assert_int_equal(((const int32_t *)classes.data)[i], i / 2);
        same_image(o.f, to, i / 2, i % 2, (const uint8_t *)pixels.data + i * 192, 8);
    }
    ddg_result_free(r);
    close_rig(&o);
}

static void results_are_described(void **state) {
    struct opened o = open_rig(state);
    ddg_result *r = run_in_memory(&o);
    ddg_pipeline_free(o.p); // a result lives on
    ddg_saved saved;
    ddg_stats stats;
    ddg_array a;
    assert_int_equal(ddg_result_count(r), 2);
    assert_true(ddg_result_saved(r, 0, &saved));
    assert_string_equal(saved.to, path_of(o.f, "out"));
    assert_true(saved.images);
    assert_int_equal(saved.rows, RIG_CLASSES);
    assert_int_equal(saved.classes, RIG_CLASSES);
    assert_string_equal(ddg_result_class(r, 0, 2), "cross");
    assert_null(ddg_result_class(r, 0, RIG_CLASSES));
    assert_true(ddg_result_saved(r, 1, &saved));
    assert_false(saved.images);
    assert_int_equal(saved.rows, 2 * RIG_CLASSES);
    assert_int_equal(saved.classes, 0);
    assert_false(ddg_result_saved(r, 2, &saved));
    assert_true(ddg_result_stats(r, &stats));
    assert_int_equal(stats.rows, 3 * RIG_CLASSES); // losses, and labels of half of them
    assert_int_equal(stats.computed, stats.rows);
    assert_false(ddg_result_array(r, 2, DDG_VALUES, &a, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "there is no save 2: the result has 2");
    assert_false(ddg_result_array(r, 1, DDG_PIXELS, &a, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "has no pixels");
    assert_false(ddg_result_array(r, 0, DDG_VALUES, &a, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "has no values");
    assert_false(ddg_result_array(r, 0, (enum ddg_part)7, &a, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "7 is no ddg_part");
    assert_false(ddg_result_array(r, 0, DDG_PIXELS, NULL, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "where the array goes is NULL");
    ddg_result_free(r);
    ddg_close(o.c);
}

static void files_and_arrays_can_be_left_out(void **state) {
    struct opened o = open_rig(state);
    ddg_run_options options = rig_in_memory();
    ddg_array a;
    ddg_saved saved;
    // Where nothing could be written.
    rig_fine(ddg_set(o.p, "to", "/proc/nowhere/out", &o.e), o.e);
    ddg_result *r = run_in_memory(&o);
    assert_int_equal(array_of(r, 0, DDG_CLASSES).shape[0], RIG_CLASSES);
    ddg_result_free(r);
    assert_null(ddg_run(o.p, NULL, &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "/proc/nowhere");
    options.no_arrays = true;
    r = ddg_run(o.p, &options, &o.e);
    rig_fine(r, o.e);
    assert_true(ddg_result_saved(r, 0, &saved));
    assert_int_equal(saved.rows, RIG_CLASSES);
    assert_false(ddg_result_array(r, 0, DDG_PIXELS, &a, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "no_arrays");
    ddg_result_free(r);
    close_rig(&o);
}

static void what_was_set_is_what_runs(void **state) {
    struct opened o = open_rig(state);
    ddg_result *first = run_in_memory(&o);
    rig_fine(ddg_set(o.p, "temperature", "1", &o.e), o.e);
    rig_fine(ddg_set(o.p, "k", "2", &o.e), o.e);
    ddg_result *second = run_in_memory(&o);
    ddg_array a = array_of(first, 0, DDG_LABELS), b = array_of(second, 0, DDG_LABELS);
    assert_int_equal(a.shape[0], RIG_CLASSES);
    assert_int_equal(b.shape[0], 2 * RIG_CLASSES);
    assert_memory_not_equal(a.data, b.data, a.shape[1] * sizeof(float));
    // The same program, compiled with that.
    ddg_define defines[] = {{"temperature", "1"}, {"k", "2"}};
    ddg_pipeline *p =
        ddg_compile_text(o.c, path_of(o.f, "rig.ddg"), rig_program, defines, 2, &o.e);
    rig_fine(p, o.e);
    ddg_run_options options = rig_in_memory();
    ddg_result *third = ddg_run(p, &options, &o.e);
    rig_fine(third, o.e);
    ddg_array c = array_of(third, 0, DDG_LABELS);
    assert_memory_equal(b.data, c.data, b.shape[0] * b.shape[1] * sizeof(float));
    ddg_result_free(first);
    ddg_result_free(second);
    ddg_result_free(third);
    ddg_pipeline_free(p);
    close_rig(&o);
}

// ---- progress and stopping -----------------------------------------------------------
struct watch {
    struct opened *o;
    size_t calls, refused;
    bool go_on;
};

static bool look(void *ctx, const ddg_progress *now) {
    struct watch *w = ctx;
    ddg_error *e = NULL;
    assert_non_null(now->value);
    assert_true(now->done <= now->rows);
    w->calls++;
    // The context is busy: it says so, and nothing breaks.
    if (!ddg_set(w->o->p, "k", "2", &e)) w->refused++;
    ddg_error_free(e);
    ddg_pipeline_free(w->o->p);
    ddg_close(w->o->c);
    return w->go_on;
}

static void progress_is_told_and_can_stop(void **state) {
    struct opened o = open_rig(state);
    struct watch w = {.o = &o, .go_on = true};
    ddg_run_options options = rig_in_memory();
    options.progress = look;
    options.ctx = &w;
    ddg_result *r = ddg_run(o.p, &options, &o.e);
    rig_fine(r, o.e);
    ddg_result_free(r);
    assert_true(w.calls > 2);
    assert_int_equal(w.refused, w.calls);
    w.go_on = false;
    assert_null(ddg_run(o.p, &options, &o.e));
    rig_wrong(&o.e, DDG_ERROR_STOPPED, "stopped in");
    ddg_stop(o.p);
    w.go_on = true;
    assert_null(ddg_run(o.p, &options, &o.e));
    rig_wrong(&o.e, DDG_ERROR_STOPPED, "stopped in");
    r = ddg_run(o.p, &options, &o.e); // one run is stopped, not all
    rig_fine(r, o.e);
    ddg_result_free(r);
    close_rig(&o);
}

// A network of other classes.
static void checks_are_told(void **state) {
    struct fixture *f = *state;
    ddg_error *e = NULL;
    ddg_checked check;
    ddg_run_options in_memory = rig_in_memory();
    ddg_context *c = rig_open(NULL, NULL, &e);
    rig_fine(c, e);
    const char *text = "photos = images(\"" IMAGES "\", size = 8)\n"
                       "net = onnx(\"" TEST_DATA "/onnx/pooled.onnx\", "
                       "mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25])\n"
                       "param sure: float = 0\n"
                       "check(net, photos, per_class = 30, at_least = sure)\n";
    ddg_pipeline *p = ddg_compile_text(c, path_of(f, "c.ddg"), text, NULL, 0, &e);
    rig_fine(p, e);
    ddg_result *r = ddg_run(p, &in_memory, &e);
    rig_fine(r, e);
    assert_int_equal(ddg_result_count(r), 0);
    assert_int_equal(ddg_result_check_count(r), 1);
    assert_true(ddg_result_check(r, 0, &check));
    assert_string_equal(check.model, "net");
    assert_string_equal(check.images, "photos");
    assert_int_equal(check.rows, 300);
    assert_true(check.right < 100 && !check.guessing); // a number means another class
    assert_non_null(strstr(check.warnings, "tells 7 classes apart, but `photos` has 10"));
    assert_false(ddg_result_check(r, 1, &check));
    assert_false(ddg_result_check(r, 0, NULL));
    ddg_result_free(r);
    assert_true(ddg_set(p, "sure", "0.75", &e));
    assert_null(ddg_run(p, &in_memory, &e));
    rig_wrong(&e, DDG_ERROR_PROGRAM, "and `at_least` wants 75%");
    ddg_pipeline_free(p);
    ddg_close(c);
}

// ---- trainings -----------------------------------------------------------------------
struct training {
    size_t calls, stop_at; // 0: never
};

static bool watch_training(void *ctx, const ddg_progress *now) {
    struct training *w = ctx;
    assert_true(now->done <= now->rows);
    return ++w->calls != w->stop_at;
}

static ddg_pipeline *compile_training(struct fixture *f, struct training *w,
                                      ddg_context **c, ddg_error **e) {
    static const char text[] =
        "photos = images(\"" IMAGES "\", size = 8)\n"
        "wise = train(mlp(classes = 10, size = 8, hidden = [8]), photos, epochs = 30,\n"
        "             rate = 0.1)\n"
        "save(relabel(wise, photos), to = \"wise.npy\")\n";
    ddg_options o = {.size = sizeof o,
                     .store = DDG_STORE_AT,
                     .store_path = path_of(f, "trained"),
                     .progress = watch_training,
                     .ctx = w};
    *c = ddg_open(&o, e);
    rig_fine(*c, *e);
    return ddg_compile_text(*c, path_of(f, "t.ddg"), text, NULL, 0, e);
}

// Programs train when they are compiled: who compiles hears of it, and may stop it.
static void trainings_are_told_of_and_stop(void **state) {
    struct fixture *f = *state;
    ddg_error *e = NULL;
    ddg_context *c;
    struct training w = {.stop_at = 1};
    assert_null(compile_training(f, &w, &c, &e));
    rig_wrong(&e, DDG_ERROR_STOPPED, "stopped in `wise`");
    ddg_close(c);
    w.stop_at = 0;
    ddg_pipeline *p = compile_training(f, &w, &c, &e);
    rig_fine(p, e);
    assert_true(w.calls > 1);
    ddg_pipeline_free(p);
    ddg_close(c);
}

// ---- the store -----------------------------------------------------------------------
static void stores_remember(void **state) {
    struct fixture *f = *state;
    ddg_error *e = NULL;
    ddg_stats stats;
    for (int round = 0; round < 2; round++) {
        ddg_context *c = rig_open(NULL, path_of(f, "store"), &e);
        rig_fine(c, e);
        struct opened o = {f, c, rig_compile(c, f, &e), NULL};
        rig_fine(o.p, e);
        ddg_result *r = run_in_memory(&o);
        assert_null(ddg_trouble(c));
        assert_true(ddg_result_stats(r, &stats));
        assert_int_equal(stats.reused, round ? stats.rows : 0);
        ddg_result_free(r);
        close_rig(&o);
    }
}

static void a_store_that_cannot_be_is_trouble(void **state) {
    struct fixture *f = *state;
    struct opened o = {.f = f};
    o.c = rig_open(NULL, "/proc/nowhere/store", &o.e);
    rig_fine(o.c, o.e);
    assert_non_null(ddg_trouble(o.c));
    assert_non_null(strstr(ddg_trouble(o.c), "/proc/nowhere"));
    o.p = rig_compile(o.c, f, &o.e);
    rig_fine(o.p, o.e);
    ddg_result_free(run_in_memory(&o));
    close_rig(&o);
}

// ---- compiled files ------------------------------------------------------------------
static void written_pipelines_run_the_same(void **state) {
    struct opened o = open_rig(state);
    char *path = path_of(o.f, "rig.plan");
    rig_fine(ddg_set(o.p, "temperature", "1.5", &o.e), o.e);
    rig_fine(ddg_write(o.p, path, NULL, 0, false, &o.e), o.e);
    struct opened l = {.f = o.f, .c = o.c};
    l.p = ddg_load(o.c, path, &o.e);
    rig_fine(l.p, o.e);
    assert_string_equal(param_named(l.p, "temperature").value, "1.5");
    assert_string_equal(param_named(l.p, "temperature").doc, "softness of labels");
    assert_non_null(param_named(l.p, "size").fixed);
    for (int k = 1; k <= 2; k++) {
        char *text = arena_printf(o.f->a, "%d", k);
        rig_fine(ddg_set(o.p, "k", text, &o.e), o.e);
        rig_fine(ddg_set(l.p, "k", text, &o.e), o.e);
        ddg_result *a = run_in_memory(&o), *b = run_in_memory(&l);
        ddg_array x = array_of(a, 0, DDG_LABELS), y = array_of(b, 0, DDG_LABELS);
        assert_int_equal(x.shape[0], y.shape[0]);
        assert_memory_equal(x.data, y.data, x.shape[0] * x.shape[1] * sizeof(float));
        ddg_result_free(a);
        ddg_result_free(b);
    }
    assert_false(ddg_write(l.p, path, NULL, 0, false, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "was loaded, not compiled");
    assert_false(ddg_write(o.p, path, (const char *[]){"pdp-11"}, 1, false, &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "pdp-11");
    ddg_pipeline_free(l.p);
    close_rig(&o);
}

static void put_program(const char *path, const char *text) {
    FILE *to = fopen(path, "wb");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

// What is written is what was compiled, or nothing.
static void changed_programs_are_not_written(void **state) {
    struct opened o = open_rig(state);
    char *program = path_of(o.f, "moving.ddg"), *path = path_of(o.f, "moving.plan");
    put_program(program, rig_program);
    ddg_pipeline *p = ddg_compile_file(o.c, program, NULL, 0, &o.e);
    rig_fine(p, o.e);
    rig_fine(ddg_set(p, "k", "2", &o.e), o.e);
    rig_fine(ddg_write(p, path, NULL, 0, false, &o.e), o.e);
    put_program(program, arena_printf(o.f->a, "%s# later\n", rig_program));
    assert_false(ddg_write(p, path, NULL, 0, false, &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "is another by now");
    ddg_pipeline_free(p);
    close_rig(&o);
}

static const char training[] =
    "param rate: float = 0.01\n"
    "param temperature: float = 1\n"
    "photos = images(\"images\", size = 8)\n"
    "net = train(mlp(classes = 7, size = 8, hidden = [6]), photos, epochs = 2,\n"
    "            batch = 4, rate = rate)\n"
    "save(relabel(net, photos, temperature = temperature), to = \"soft.npy\")\n";

// What is trained is trained once, when the program is compiled; what depends on it is
// not.
static void networks_are_trained_when_compiled(void **state) {
    struct opened o = open_rig(state);
    ddg_run_options in_memory = rig_in_memory();
    char *path = path_of(o.f, "trained.plan");
    ddg_pipeline *p =
        ddg_compile_text(o.c, path_of(o.f, "t.ddg"), training, NULL, 0, &o.e);
    rig_fine(p, o.e);
    assert_non_null(param_named(p, "rate").fixed);
    assert_null(param_named(p, "temperature").fixed);
    assert_false(ddg_set(p, "rate", "0.1", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "cannot be set any more");
    rig_fine(ddg_set(p, "temperature", "3", &o.e), o.e);
    rig_fine(ddg_write(p, path, NULL, 0, false, &o.e), o.e);
    ddg_pipeline *loaded = ddg_load(o.c, path, &o.e);
    rig_fine(loaded, o.e);
    ddg_result *r = ddg_run(p, &in_memory, &o.e);
    rig_fine(r, o.e);
    ddg_result *again = ddg_run(loaded, &in_memory, &o.e);
    rig_fine(again, o.e);
    ddg_array a = array_of(r, 0, DDG_VALUES), b = array_of(again, 0, DDG_VALUES);
    assert_int_equal(a.shape[0] * a.shape[1], 2 * RIG_CLASSES * 7);
    assert_memory_equal(a.data, b.data, a.shape[0] * a.shape[1] * sizeof(float));
    ddg_result_free(r);
    ddg_result_free(again);
    ddg_pipeline_free(loaded);
    ddg_pipeline_free(p);
    close_rig(&o);
}

static void what_is_no_compiled_file_is_refused(void **state) {
    struct opened o = open_rig(state);
    assert_null(ddg_load(o.c, IMAGES "/arrow/0000.png", &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "0000.png");
    assert_null(ddg_load(o.c, path_of(o.f, "nowhere"), &o.e));
    rig_wrong(&o.e, DDG_ERROR_PROGRAM, "nowhere");
    close_rig(&o);
}

// ---- ends ----------------------------------------------------------------------------
static void objects_may_outlive_their_context(void **state) {
    struct fixture *f = *state;
    struct tally t = tally_new();
    struct opened o = {.f = f, .c = rig_open(&t, NULL, NULL)};
    o.p = rig_compile(o.c, f, &o.e);
    rig_fine(o.p, o.e);
    ddg_result *r = run_in_memory(&o);
    ddg_close(o.c);
    assert_null(ddg_run(o.p, NULL, &o.e));
    rig_wrong(&o.e, DDG_ERROR_ARGUMENT, "the context is closed");
    assert_string_equal(param_named(o.p, "k").value, "1");
    ddg_pipeline_free(o.p);
    assert_int_equal(array_of(r, 0, DDG_CLASSES).shape[0], RIG_CLASSES);
    ddg_result_free(r);
    assert_int_equal(t.blocks, 0);
}

// ---- the caller's locale -------------------------------------------------------------
static bool german(struct fixture *f) {
    char *command = arena_printf(f->a, "localedef -i de_DE -f UTF-8 %s/de >%s/said 2>&1",
                                 f->root, f->root);
    if (system(command) != 0) return false;
    setenv("LOCPATH", f->root, 1);
    return setlocale(LC_ALL, "de") && strtod("1,5", NULL) == 1.5;
}

static bool see_the_locale(void *ctx, const ddg_progress *now) {
    (void)now;
    *(bool *)ctx = strtod("1,5", NULL) == 1.5;
    return true;
}

static void locales_change_nothing(void **state) {
    struct opened o = open_rig(state);
    rig_fine(ddg_set(o.p, "temperature", "1.5", &o.e), o.e);
    ddg_result *before = run_in_memory(&o);
    if (!german(o.f)) skip();
    bool seen = false;
    ddg_run_options options = rig_in_memory();
    options.progress = see_the_locale;
    options.ctx = &seen;
    struct opened g = open_rig(state);
    rig_fine(ddg_set(g.p, "temperature", "1.5", &g.e), g.e);
    ddg_result *after = ddg_run(g.p, &options, &g.e);
    rig_fine(after, g.e);
    assert_true(seen);
    assert_string_equal(param_named(g.p, "temperature").value, "1.5");
    assert_true(strtod("1,5", NULL) == 1.5);
    setlocale(LC_ALL, "C");
    ddg_array a = array_of(before, 0, DDG_LABELS), b = array_of(after, 0, DDG_LABELS);
    assert_memory_equal(a.data, b.data, a.shape[0] * a.shape[1] * sizeof(float));
    ddg_result_free(before);
    ddg_result_free(after);
    close_rig(&g);
    close_rig(&o);
}

static void versions_agree(void **state) {
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", DDG_VERSION_MAJOR, DDG_VERSION_MINOR,
             DDG_VERSION_PATCH);
    assert_string_equal(ddg_version(), text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(nothing_given_is_an_error),
        TEST(nothing_asked_is_nothing),
        TEST(structures_say_their_size),
        TEST(options_are_checked),
        TEST(errors_say_where),
        TEST(errors_may_be_left_out),
        TEST(no_memory_at_all_is_an_error),
        TEST(failed_checks_are_errors),
        TEST(programs_that_save_nothing),
        TEST(params_are_listed),
        TEST(params_are_set),
        TEST(arrays_are_what_files_hold),
        TEST(results_are_described),
        TEST(checks_are_told),
        TEST(files_and_arrays_can_be_left_out),
        TEST(what_was_set_is_what_runs),
        TEST(progress_is_told_and_can_stop),
        TEST(trainings_are_told_of_and_stop),
        TEST(stores_remember),
        TEST(a_store_that_cannot_be_is_trouble),
        TEST(written_pipelines_run_the_same),
        TEST(changed_programs_are_not_written),
        TEST(networks_are_trained_when_compiled),
        TEST(what_is_no_compiled_file_is_refused),
        TEST(objects_may_outlive_their_context),
        TEST(locales_change_nothing),
        TEST(versions_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
