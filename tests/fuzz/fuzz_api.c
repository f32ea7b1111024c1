// Calls of the C interface in any order with any arguments: no crash, no leak, and every
// failure an error object that can be read.
//
//     fuzz_api -max_len=128 CORPUS
//
// An input is a list of calls: a byte says which, those behind it with what. Objects live
// in slots, some of them empty; strings come from a table or from the input; what an
// allocator fails is part of the input too. A small compiled program is loaded from a
// file, and a result of the one of tests/unit/api_rig.h is there; what takes long
// (compiling, running, stores) is done once in so many times that an input asks for it.
// Nothing is written but in a folder of the fuzzer's own.
#include "tests/unit/api_rig.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SLOTS         3
#define COMPILE_EVERY 2048
#define LOAD_EVERY    8
#define RUN_EVERY     256
#define WRITE_EVERY   4096
#define STORE_EVERY   1024

struct input {
    const uint8_t *at, *end;
    struct tally tally;
    ddg_context *contexts[SLOTS];
    ddg_pipeline *pipelines[SLOTS];
    ddg_result *results[SLOTS];
    ddg_error *error; // kept from one call to the next
    bool begun;       // the first pipeline was there
    char strings[4][40];
    size_t nstrings;
};

// Of the whole fuzzing: where files lie, and how often what takes long was asked for.
struct always {
    struct fixture *f;
    ddg_context *context;
    ddg_result *result;
    char plan[128], written[128], store[128];
    size_t compiles, loads, runs, writes, stores;
};

static struct always *always(void) {
    static struct always one;
    return &one;
}

static const char small_program[] =
    "param data: string = \"images\"\n"
    "param limit: int = 1\n"
    "param k: int = 3  # a seed\n"
    "param size: int = 4\n"
    "param to: string = \"out\"\n"
    "train = images(data, size = 8, limit = limit)\n"
    "save(random_crop(train, size = size, seed = k, count = 1), to = to)\n";

static bool now_and_then(size_t *asked, size_t every) {
    return ++*asked % every == 0;
}

// ---- arguments -----------------------------------------------------------------------
static uint8_t next(struct input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static const char *const words[] = {"",
                                    "k",
                                    "temperature",
                                    "to",
                                    "data",
                                    "limit",
                                    "size",
                                    "sizes",
                                    "1",
                                    "2",
                                    "-1",
                                    "0.5",
                                    "1e999",
                                    "nan",
                                    "[1, 2]",
                                    "\"a\"",
                                    "true",
                                    "a=b",
                                    "\xff\xfe",
                                    "native",
                                    "x86-64",
                                    "vax",
                                    "10000000",
                                    "1,2",
                                    "/dev/null",
                                    "/nowhere/x",
                                    "x = 1",
                                    "param a: int = 1",
                                    "save(images(\"a\", size = 4), to = \"b\")",
                                    "9223372036854775807",
                                    "1 + 1",
                                    "images"};

// NULL now and then; else of the table, or the input's own bytes.
static const char *any_string(struct input *in) {
    uint8_t b = next(in);
    if (b == 0xff) return NULL;
    if (b < 0xc0 || in->nstrings == COUNT(in->strings)) return words[b % COUNT(words)];
    char *s = in->strings[in->nstrings++];
    size_t n = size_min(b - 0xc0u, sizeof in->strings[0] - 1);
    for (size_t i = 0; i < n; i++) s[i] = (char)next(in);
    s[n] = 0;
    return s;
}

static size_t any_size(struct input *in) {
    uint8_t b = next(in);
    return b < 0xf0 ? b : SIZE_MAX - (0xffu - b);
}

static size_t any_slot(struct input *in) {
    return next(in) % SLOTS;
}

// The first time, a pipeline is there, so that short inputs reach far.
static ddg_pipeline *any_pipeline(struct input *in) {
    size_t i = any_slot(in);
    if (i > 0 || in->begun) return in->pipelines[i];
    in->begun = true;
    if (in->pipelines[0] || in->tally.fail_at) return in->pipelines[0];
    if (!in->contexts[0]) in->contexts[0] = rig_open(&in->tally, NULL, NULL);
    return in->pipelines[0] = ddg_load(in->contexts[0], always()->plan, NULL);
}

// In an empty slot, the result that is always there.
static const ddg_result *any_result(struct input *in) {
    const ddg_result *r = in->results[any_slot(in)];
    return r || next(in) % 4 == 0 ? r : always()->result;
}

// ---- what must hold ------------------------------------------------------------------
static void read_error(const ddg_error *e) {
    ddg_message m;
    size_t read = strlen(ddg_error_text(e));
    CHECK(ddg_error_count(e) >= 1 && read > 0);
    for (size_t i = 0; ddg_error_message(e, i, &m); i++) {
        read += strlen(m.text) + (m.help ? strlen(m.help) : 0);
        CHECK(m.start <= m.end && (!m.file || (m.line >= 1 && m.column >= 1)));
    }
    CHECK(!ddg_error_message(e, ddg_error_count(e), &m) && read > 0);
    CHECK((ddg_error_kind)(e) != DDG_ERROR_BUG);
}

// Of a call that may fail: it says why when it does, and only then.
static void check_call(struct input *in, bool ok, ddg_error *e, bool asked) {
    CHECK(ok ? !e : !asked || e);
    if (!e) return;
    read_error(e);
    bool memory = (ddg_error_kind)(e) == DDG_ERROR_MEMORY;
    CHECK(!memory || in->tally.fail_at);
    ddg_error_free(in->error);
    in->error = e;
}

// With a place for an error, or without one.
#define CALL(in, call)                                                                   \
    do {                                                                                 \
        ddg_error *e = NULL, **error = next(in) % 8 ? &e : NULL;                         \
        bool ok = (call);                                                                \
        check_call(in, ok, e, error != NULL);                                            \
    } while (0)

static uint8_t read_bytes(const void *data, size_t n) {
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum ^= ((const uint8_t *)data)[i];
    return sum;
}

static void read_array(const ddg_array *a) {
    size_t n = a->element == DDG_UINT8 ? 1 : 4;
    CHECK(a->rank >= 1 && a->rank <= COUNT(a->shape));
    for (size_t i = 0; i < a->rank; i++) n *= a->shape[i];
    char sum = (char)read_bytes(a->data, n);
    CHECK(memchr(&sum, sum, 1));
}

static void read_params(const ddg_pipeline *p) {
    ddg_param q;
    size_t n = 0, known = ddg_param_count(p);
    for (size_t i = 0; i < known; i++) {
        if (!ddg_param_at(p, i, &q)) continue; // no memory for its value
        n += strlen(q.name) + strlen(q.type) + strlen(q.value);
        n += (q.doc ? strlen(q.doc) : 0) + (q.fixed ? strlen(q.fixed) : 0);
    }
    CHECK(n < SIZE_MAX / 2 && !ddg_param_at(p, known, &q));
}

// ---- calls ---------------------------------------------------------------------------
static void call_open(struct input *in) {
    size_t i = any_slot(in);
    ddg_allocator a = {next(in) % 16 ? tally_resize : NULL, &in->tally};
    int store = next(in);
    ddg_options o = {.size = any_size(in), .allocator = next(in) % 4 ? &a : NULL};
    if (next(in) % 4) o.size = sizeof o;
    if (next(in) % 4) store %= 3;
    if (store == DDG_STORE_DEFAULT) store = DDG_STORE_NONE; // somebody's own
    if (store == DDG_STORE_AT && now_and_then(&always()->stores, STORE_EVERY))
        o.store_path = always()->store;
    memcpy(&o.store, &store, sizeof o.store);
    ddg_close(in->contexts[i]);
    CALL(in, (in->contexts[i] = ddg_open(next(in) % 8 ? &o : NULL, error)) != NULL);
}

static void call_close(struct input *in) {
    size_t i = any_slot(in);
    ddg_close(in->contexts[i]);
    in->contexts[i] = NULL;
}

static void call_trouble(struct input *in) {
    const char *s = ddg_trouble(in->contexts[any_slot(in)]);
    CHECK(!s || *s);
}

static void call_load(struct input *in) {
    size_t i = any_slot(in), c = any_slot(in);
    const char *path = next(in) % 4 ? always()->plan : any_string(in);
    if (path == always()->plan && !now_and_then(&always()->loads, LOAD_EVERY)) return;
    ddg_pipeline_free(in->pipelines[i]);
    CALL(in, (in->pipelines[i] = ddg_load(in->contexts[c], path, error)) != NULL);
}

static void call_compile(struct input *in) {
    size_t i = any_slot(in), n = next(in) % 3;
    ddg_context *c = in->contexts[any_slot(in)];
    ddg_define defines[2] = {{any_string(in), any_string(in)},
                             {any_string(in), any_string(in)}};
    const ddg_define *d = next(in) % 8 ? defines : NULL;
    const char *name = any_string(in), *text = any_string(in);
    bool file = next(in) % 4 == 0, rig = next(in) % 2;
    bool skips = c && name && text && !now_and_then(&always()->compiles, COMPILE_EVERY);
    if (skips) return;
    if (rig) name = path_of(always()->f, "rig.ddg"), text = rig_program;
    ddg_pipeline_free(in->pipelines[i]);
    in->pipelines[i] = NULL;
    if (file) CALL(in, (in->pipelines[i] = ddg_compile_file(c, name, d, n, error)));
    else CALL(in, (in->pipelines[i] = ddg_compile_text(c, name, text, d, n, error)));
}

static void call_write(struct input *in) {
    ddg_pipeline *p = any_pipeline(in);
    const char *targets[2] = {any_string(in), any_string(in)};
    const char *const *t = next(in) % 8 ? targets : NULL;
    const char *to = next(in) % 8 ? always()->written : NULL;
    bool executable = next(in) % 2;
    size_t n = next(in) % 3;
    if (!p || !to || now_and_then(&always()->writes, WRITE_EVERY))
        CALL(in, ddg_write(p, to, t, n, executable, error));
}

static void call_pipeline_free(struct input *in) {
    size_t i = any_slot(in);
    ddg_pipeline_free(in->pipelines[i]);
    in->pipelines[i] = NULL;
}

static void call_params(struct input *in) {
    ddg_param q;
    ddg_pipeline *p = any_pipeline(in);
    read_params(p);
    ddg_param_at(p, any_size(in), next(in) % 8 ? &q : NULL);
}

static void call_set(struct input *in) {
    ddg_pipeline *p = any_pipeline(in);
    const char *name = any_string(in), *value = any_string(in);
    CALL(in, ddg_set(p, name, value, error));
}

static void call_stop(struct input *in) {
    ddg_stop(any_pipeline(in));
}

// In the middle of a run: calls of its context are refused, and break nothing.
static bool look(void *ctx, const ddg_progress *now) {
    struct input *in = ctx;
    uint8_t b = next(in);
    CHECK(now->value && now->done <= now->rows);
    for (size_t i = 0; i < SLOTS; i++) {
        ddg_error *e = NULL;
        ddg_pipeline *p = in->pipelines[i];
        read_params(p);
        if (b & 1 && p && !ddg_set(p, "k", "2", &e)) read_error(e);
        ddg_error_free(e);
    }
    return b < 0xf0;
}

// Only over the fuzzer's own images.
static bool may_run(ddg_pipeline *p) {
    ddg_param q;
    for (size_t i = 0; ddg_param_at(p, i, &q); i++)
        if (!strcmp(q.name, "data") && !strstr(q.value, "ddg-test-")) return false;
    return ddg_param_count(p) >= 5;
}

static void call_run(struct input *in) {
    size_t r = any_slot(in);
    ddg_pipeline *p = any_pipeline(in);
    ddg_run_options o = {.size = sizeof o, .threads = any_size(in), .no_files = true};
    uint8_t b = next(in);
    o.no_arrays = b & 1;
    if (b & 2) o.progress = look;
    o.ctx = in;
    if (b % 16 == 15) o.size = any_size(in);
    bool wrong = o.size != sizeof o || o.threads > 1024 || !p;
    // An older caller's structure, whose fields behind the first are not read.
    if (o.size < sizeof o && p) return;
    if (!wrong && (!may_run(p) || !now_and_then(&always()->runs, RUN_EVERY))) return;
    ddg_result_free(in->results[r]);
    if (o.threads > 4 && o.threads <= 1024) o.threads = 4;
    CALL(in, (in->results[r] = ddg_run(p, &o, error)) != NULL);
}

static void call_result_free(struct input *in) {
    size_t i = any_slot(in);
    ddg_result_free(in->results[i]);
    in->results[i] = NULL;
}

static void call_result(struct input *in) {
    const ddg_result *r = any_result(in);
    size_t i = any_size(in);
    ddg_saved saved;
    ddg_stats stats;
    if (ddg_result_saved(r, i, &saved))
        CHECK(*saved.to && (!saved.classes || *ddg_result_class(r, i, 0)));
    CHECK(ddg_result_saved(r, i, &saved) == (i < ddg_result_count(r)));
    CHECK(ddg_result_stats(r, &stats) == (r != NULL));
    ddg_checked check;
    CHECK(ddg_result_check(r, i, &check) == (i < ddg_result_check_count(r)));
    ddg_result_class(r, i, any_size(in));
    ddg_result_saved(r, i, NULL);
}

static void call_array(struct input *in) {
    const ddg_result *r = any_result(in);
    size_t i = next(in) % 4 ? next(in) % 2 : any_size(in);
    int number = next(in);
    enum ddg_part part;
    ddg_array a = {0};
    if (number < 0xf0) number %= 5;
    else number -= 0xf8;
    memcpy(&part, &number, sizeof part);
    bool given = next(in) % 8;
    CALL(in, ddg_result_array(r, i, part, given ? &a : NULL, error));
    if (a.data) read_array(&a);
}

static void call_error(struct input *in) {
    ddg_message m;
    ddg_error_message(in->error, any_size(in), next(in) % 8 ? &m : NULL);
    ddg_error_free(in->error);
    in->error = NULL;
}

static void call_fail(struct input *in) {
    in->tally.fail_at = in->tally.calls + next(in);
    in->tally.fail_on = next(in) % 2;
}

static void (*const calls[])(struct input *) = {
    call_open,  call_close,         call_trouble, call_load,  call_compile,
    call_write, call_pipeline_free, call_params,  call_set,   call_stop,
    call_run,   call_result_free,   call_result,  call_array, call_error,
    call_fail,  call_set,           call_array,   call_run};

// ---- an input ------------------------------------------------------------------------
static void let_go(struct input *in) {
    for (size_t i = 0; i < SLOTS; i++) ddg_close(in->contexts[i]);
    for (size_t i = 0; i < SLOTS; i++) ddg_pipeline_free(in->pipelines[i]);
    for (size_t i = 0; i < SLOTS; i++) ddg_result_free(in->results[i]);
    ddg_error_free(in->error);
    CHECK(in->tally.blocks == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct input in = {.at = data, .end = data + n, .tally = tally_new()};
    while (in.at < in.end) {
        in.nstrings = 0;
        calls[next(&in) % COUNT(calls)](&in);
    }
    let_go(&in);
    return 0;
}

static void end(void) {
    void *f = always()->f;
    ddg_result_free(always()->result);
    ddg_close(always()->context);
    teardown(&f);
}

static ddg_pipeline *compile(const char *text) {
    ddg_error *e = NULL;
    char *name = path_of(always()->f, "rig.ddg");
    ddg_pipeline *p = ddg_compile_text(always()->context, name, text, NULL, 0, &e);
    if (!p) BUG("%s", ddg_error_text(e));
    return p;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    void *state = NULL;
    struct always *o = always();
    ddg_run_options options = rig_in_memory();
    (void)argc;
    (void)argv;
    CHECK(rig_setup(&state) == 0);
    o->f = state;
    snprintf(o->plan, sizeof o->plan, "%s/small.plan", o->f->root);
    snprintf(o->written, sizeof o->written, "%s/written.plan", o->f->root);
    snprintf(o->store, sizeof o->store, "%s/store", o->f->root);
    o->context = rig_open(NULL, NULL, NULL);
    ddg_pipeline *small = compile(small_program), *rig = compile(rig_program);
    CHECK(ddg_write(small, o->plan, NULL, 0, false, NULL));
    CHECK(o->result = ddg_run(rig, &options, NULL));
    ddg_pipeline_free(small);
    ddg_pipeline_free(rig);
    atexit(end);
    return 0;
}
