// How networks are stored: as exporters with local functions and data files write them,
// in half floats, and in ways that nobody should. Files are made from those of
// tests/data/onnx/make_files.py; data files lie in a folder of this process.
#include "onnx_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

// ---- a folder for data files ---------------------------------------------------------
static int setup_folder(void **state) {
    setup(state);
    struct bench *b = *state;
    char *folder = arena_printf(b->arena, "/tmp/ddg-test-onnx-%ld", (long)getpid());
    assert_int_equal(mkdir(folder, 0700), 0);
    b->scratch = arena_printf(b->arena, "%s/net.onnx", folder);
    return 0;
}

static const char *in_folder(struct bench *b, const char *name) {
    return path_beside(b->arena, b->scratch, name);
}

static int teardown_folder(void **state) {
    struct bench *b = *state;
    assert_int_equal(system(arena_printf(b->arena, "rm -r '%s'", in_folder(b, ""))), 0);
    return teardown(state);
}

static void write_file(struct bench *b, const char *name, const void *data, size_t n) {
    FILE *f = fopen(in_folder(b, name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

// ---- what networks mean --------------------------------------------------------------
static void networks_give_pytorchs_logits(void **state) {
    static const struct {
        const char *name;
        size_t channels, params;
    } NETS[] = {{"modules", 3, 12}, {"dynamo", 2, 5}, {"half", 3, 2}, {"brain", 3, 2}};
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(NETS); i++) {
        const struct model *m = load_named(b, NETS[i].name, NETS[i].channels);
        diags_print(&b->diags, stderr, false);
        assert_non_null(m);
        check_function(b, m->func);
        check_logits(b, m->func, arena_printf(b->arena, MODELS "%s_x.npy", NETS[i].name),
                     arena_printf(b->arena, MODELS "%s_y.npy", NETS[i].name));
        size_t params = 0;
        for (size_t k = 0; k < m->func->nodes.n; k++)
            params += node_at(m->func, (nid)k)->op == OP_PARAM;
        assert_int_equal(params, NETS[i].params);
    }
}

static void functions_are_what_they_hold(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "modules", 3), *flat = load_named(b, "flat", 3);
    assert_true(digest_eq(m->digest, flat->digest));
}

// A function's tensors are there when the network is imported at another size.
static void functions_are_imported_at_other_sizes(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "modules", 3);
    const struct func *f = model_at_size(b->arena, m, 13, 11, &b->diags, NO_SPAN);
    assert_non_null(f);
    check_function(b, f);
    assert_int_equal(type_at(f, 0)->dim[1], 13);
}

// ---- data files ----------------------------------------------------------------------
// The network "dynamo" with its data file as data.bin beside it.
static Onnx__ModelProto *with_data(struct bench *b) {
    size_t n;
    char *data = file_read(b->arena, MODELS "dynamo.onnx.data", 1 << 20, &n);
    write_file(b, "data.bin", data, n);
    Onnx__ModelProto *m = unpack(b, "dynamo");
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        Onnx__TensorProto *t = m->graph->initializer[i];
        for (size_t k = 0; k < t->n_external_data; k++)
            if (strcmp(t->external_data[k]->key, "location") == 0)
                set_string(&t->external_data[k]->value, "data.bin");
    }
    return m;
}

static char **entry(Onnx__ModelProto *m, const char *tensor, const char *key) {
    Onnx__TensorProto *t = tensor_named(m, tensor);
    for (size_t i = 0; i < t->n_external_data; i++)
        if (strcmp(t->external_data[i]->key, key) == 0)
            return &t->external_data[i]->value;
    fail_msg("no %s of %s", key, tensor);
    return NULL;
}

static void drop_entry(Onnx__ModelProto *m, const char *tensor, const char *key) {
    char **value = entry(m, tensor, key);
    Onnx__TensorProto *t = tensor_named(m, tensor);
    for (size_t i = 0; i < t->n_external_data; i++)
        if (&t->external_data[i]->value == value)
            set_string(&t->external_data[i]->key, "checksum");
}

static void data_files_may_be_many_and_deep(void **state) {
    struct bench *b = *state;
    struct digest d = load_named(b, "dynamo", 2)->digest;
    Onnx__ModelProto *m = with_data(b);
    assert_int_equal(mkdir(in_folder(b, "sub"), 0700), 0);
    assert_int_equal(link(in_folder(b, "data.bin"), in_folder(b, "sub/data")), 0);
    set_string(entry(m, "w", "location"), "./sub//data");
    set_string(entry(m, "b", "location"), "sub/data");
    drop_entry(m, "h", "length"); // then as long as the tensor
    const struct model *got = reload(b, m, 2);
    diags_print(&b->diags, stderr, false);
    assert_non_null(got);
    assert_true(digest_eq(got->digest, d));
}

// Puts n bytes that were in a data file into the message itself.
static void keep_inside(Onnx__TensorProto *t, const char *data, size_t n) {
    t->has_data_location = false;
    for (size_t k = 0; k < t->n_external_data; k++)
        protobuf_c_message_free_unpacked(&t->external_data[k]->base, NULL);
    t->n_external_data = 0;
    t->has_raw_data = true;
    t->raw_data.len = n;
    t->raw_data.data = malloc(n);
    memcpy(t->raw_data.data, data, n);
}

static void keep_all_inside(struct bench *b, Onnx__ModelProto *m) {
    size_t n;
    const char *data = file_read(b->arena, MODELS "dynamo.onnx.data", 1 << 20, &n);
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        Onnx__TensorProto *t = m->graph->initializer[i];
        size_t at = strtoul(*entry(m, t->name, "offset"), NULL, 10);
        keep_inside(t, data + at, strtoul(*entry(m, t->name, "length"), NULL, 10));
    }
}

// Kept in the file itself the weights are the same network.
static void the_digest_does_not_see_where_weights_are(void **state) {
    struct bench *b = *state;
    struct digest d = load_named(b, "dynamo", 2)->digest;
    Onnx__ModelProto *m = unpack(b, "dynamo");
    keep_all_inside(b, m);
    const struct model *inside = reload(b, m, 2);
    assert_non_null(inside);
    assert_true(digest_eq(inside->digest, d));
    m = with_data(b);
    write_file(b, "data.bin", "x", 1); // and the data file's content is what counts
    assert_null(reload(b, m, 2));
}

static void data_is_read_far_behind_in_a_file(void **state) {
    struct bench *b = *state;
    struct digest d = load_named(b, "dynamo", 2)->digest;
    const int64_t far = INT64_C(5) << 30; // a hole of 5 GiB before it
    Onnx__ModelProto *m = with_data(b);
    size_t n;
    char *data = file_read(b->arena, in_folder(b, "data.bin"), 1 << 20, &n);
    int fd = open(in_folder(b, "data.bin"), O_WRONLY);
    assert_int_equal(pwrite(fd, data, n, far), n);
    close(fd);
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        Onnx__TensorProto *t = m->graph->initializer[i];
        if (!t->n_external_data) continue;
        char **at = entry(m, t->name, "offset");
        set_string(at, arena_printf(b->arena, "%lld", far + strtoll(*at, NULL, 10)));
    }
    const struct model *got = reload(b, m, 2);
    diags_print(&b->diags, stderr, false);
    assert_non_null(got);
    assert_true(digest_eq(got->digest, d));
}

static void check_message(struct bench *b, const char *message) {
    assert_int_equal(b->diags.errors, 1);
    assert_string_equal(b->diags.list.at[0].message,
                        arena_printf(b->arena, "%s: %s", b->scratch, message));
}

static void wrong_data_files_are_explained(void **state) {
    static const struct {
        const char *key, *value, *message; // of the tensor w
    } CASES[] = {
        {"location", "", "is kept in another file, whose name is missing"},
        {"location", "/etc/passwd",
         "is kept in the file `/etc/passwd`, outside of the network's own folder"},
        {"location", "sub/../../data.bin",
         "is kept in the file `sub/../../data.bin`, outside of the network's own folder"},
        {"location", "nothing.bin",
         "is kept in the file `nothing.bin`, which cannot be read: No such file or "
         "directory"},
        {"location", "data.bin/x",
         "is kept in the file `data.bin/x`, which cannot be read: Not a directory"},
        {"location", "sub",
         "is kept in the file `sub`, which cannot be read: Is a directory"},
        {"location", "fifo",
         "is kept in the file `fifo`, which cannot be read: it is no ordinary file"},
        {"location", "link",
         "is kept in the file `link`, which cannot be read: it is, or lies behind, a "
         "symbolic link"},
        {"location", "out/data.bin",
         "is kept in the file `out/data.bin`, which cannot be read: it is, or lies "
         "behind, a symbolic link"},
        {"offset", "-4", "is kept in another file, with offset = `-4`"},
        {"offset", "4k", "is kept in another file, with offset = `4k`"},
        {"offset", "36893488147419103232",
         "is kept in another file, with offset = `36893488147419103232`"},
        {"offset", "18446744073709551615",
         "takes 360 bytes from byte 18446744073709551615 on of the file `data.bin`, "
         "which has 1836"},
        {"offset", "1604",
         "takes 360 bytes from byte 1604 on of the file `data.bin`, which has 1836"},
        {"length", "364", "should take 360 bytes (90 of float) and has 364"},
    };
    struct bench *b = *state;
    assert_int_equal(mkdir(in_folder(b, "sub"), 0700), 0);
    assert_int_equal(mkfifo(in_folder(b, "fifo"), 0600), 0);
    assert_int_equal(symlink("data.bin", in_folder(b, "link")), 0);
    assert_int_equal(symlink(".", in_folder(b, "out")), 0);
    for (size_t i = 0; i < COUNT(CASES); i++) {
        Onnx__ModelProto *m = with_data(b);
        set_string(entry(m, "w", CASES[i].key), CASES[i].value);
        assert_null(reload(b, m, 2));
        check_message(b, arena_printf(b->arena, "the tensor `w` %s", CASES[i].message));
    }
}

// A small data file does not become many large weights.
static void data_is_not_shared_without_bound(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *m = with_data(b);
    int64_t dims[] = {5, 2, 1 << 10, 1 << 10};
    assert_int_equal(truncate(in_folder(b, "data.bin"), 4 * 10 << 20), 0);
    const char *names[] = {"w", "b", "v", "c", "h"};
    for (size_t i = 0; i < COUNT(names); i++) {
        Onnx__TensorProto *t = tensor_named(m, names[i]);
        t->dims = realloc(t->dims, sizeof dims);
        memcpy(t->dims, dims, sizeof dims);
        t->n_dims = 4;
        set_string(entry(m, names[i], "offset"), "0");
        set_string(entry(m, names[i], "length"), "41943040");
    }
    assert_null(reload(b, m, 2)); // four times and 16 MiB
    check_message(b, "the tensor `h` and those before it are the same bytes of a data "
                     "file too many times");
}

// ---- files that change ---------------------------------------------------------------
static void files_that_change_are_noticed(void **state) {
    struct bench *b = *state;
    struct onnx_log log = {&b->diags, NO_SPAN, b->scratch};
    struct onnx_disk disk;
    struct onnx_disk_file *data;
    char byte;
    write_file(b, "net.onnx", "some bytes", 10);
    write_file(b, "data.bin", "others", 6);
    assert_true(onnx_disk_open(&disk, b->scratch, b->arena, &log));
    assert_true(onnx_disk_data(&disk, "it", "data.bin", &data));
    assert_true(onnx_disk_read(&disk, data, 5, &byte, 1));
    assert_int_equal(byte, 's');
    assert_true(onnx_disk_unchanged(&disk));
    assert_int_equal(truncate(in_folder(b, "data.bin"), 3), 0);
    assert_false(onnx_disk_unchanged(&disk));
    check_message(b, "its data file `data.bin` changed while it was read");
    assert_false(onnx_disk_read(&disk, data, 5, &byte, 1));
    assert_int_equal(truncate(b->scratch, 9), 0);
    diags_init(&b->diags, b->arena);
    assert_false(onnx_disk_read(&disk, &disk.model, 9, &byte, 1));
    check_message(b, "changed while it was read");
    onnx_disk_close(&disk);
}

// Another file put in its place (a rename) leaves the one that is read as it was.
static void a_file_that_is_replaced_is_read_to_its_end(void **state) {
    struct bench *b = *state;
    struct onnx_log log = {&b->diags, NO_SPAN, b->scratch};
    struct onnx_disk disk;
    char byte;
    write_file(b, "net.onnx", "some bytes", 10);
    assert_true(onnx_disk_open(&disk, b->scratch, b->arena, &log));
    write_file(b, "other", "x", 1);
    assert_int_equal(rename(in_folder(b, "other"), b->scratch), 0);
    assert_true(onnx_disk_read(&disk, &disk.model, 9, &byte, 1));
    assert_int_equal(byte, 's');
    assert_true(onnx_disk_unchanged(&disk));
    onnx_disk_close(&disk);
}

// ---- memory --------------------------------------------------------------------------
struct counted { // memory that counts what is held
    struct memory memory;
    size_t now, most;
};

#define HEAD ((size_t)64)

static void *counting(void *ctx, void *p, size_t n) {
    struct counted *c = ctx;
    char *old = p ? (char *)p - HEAD : NULL;
    size_t had = 0;
    if (old) memcpy(&had, old, sizeof had);
    c->now = c->now - had + n;
    if (c->now > c->most) c->most = c->now;
    if (n == 0) {
        free(old);
        return NULL;
    }
    char *new = realloc(old, n + HEAD);
    assert_non_null(new);
    memcpy(new, &n, sizeof n);
    return new + HEAD;
}

static void load_counted(void *path) {
    struct bench b = {.arena = arena_must()};
    assert_non_null(load(&b, path, 2));
    arena_free(b.arena);
}

// "dynamo" with a million features in its last layers, in one file; its size.
static size_t write_large(struct bench *b) {
    Onnx__ModelProto *m = unpack(b, "dynamo");
    const size_t features = (size_t)1 << 20;
    static const struct {
        const char *name;
        size_t columns;
    } WEIGHTS[] = {{"v", 5}, {"c", 1}, {"h", 3}};
    char *zeros = NEW_N(b->arena, char, 5 * features * sizeof(float));
    keep_all_inside(b, m);
    for (size_t i = 0; i < COUNT(WEIGHTS); i++) {
        Onnx__TensorProto *t = tensor_named(m, WEIGHTS[i].name);
        free(t->raw_data.data);
        keep_inside(t, zeros, WEIGHTS[i].columns * features * sizeof(float));
        t->dims[0] = (int64_t)features;
    }
    size_t n = onnx__model_proto__get_packed_size(m);
    assert_non_null(reload(b, m, 2));
    return n;
}

static void weights_are_in_memory_once(void **state) {
    struct bench *b = *state;
    struct counted c = {.memory = {counting, &c}};
    struct scope scope = {.memory = &c.memory};
    size_t file = write_large(b);
    assert_true(file > (size_t)32 << 20);
    assert_int_equal(scope_run(&scope, load_counted, (void *)b->scratch), SCOPE_DONE);
    assert_int_equal(c.now, 0);
    if (c.most > file + file / 16) fail_msg("%zu bytes for a file of %zu", c.most, file);
}

// ---- half floats ---------------------------------------------------------------------
static void check_widened(struct bench *b, int32_t type, const void *data, size_t bytes,
                          const float *want, size_t n) {
    struct onnx_log log = {&b->diags, NO_SPAN, b->scratch};
    struct onnx_disk disk;
    struct onnx_tensor out;
    char location[] = "location", file[] = "data.bin";
    Onnx__StringStringEntryProto e = ONNX__STRING_STRING_ENTRY_PROTO__INIT, *list = &e;
    Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
    int64_t dim = (int64_t)n;
    e.key = location;
    e.value = file;
    t.n_external_data = t.n_dims = 1;
    t.external_data = &list;
    t.dims = &dim;
    t.has_data_type = true;
    t.data_type = type;
    write_file(b, "net.onnx", "x", 1);
    write_file(b, "data.bin", data, bytes);
    assert_true(onnx_disk_open(&disk, b->scratch, b->arena, &log));
    bool ok = onnx_tensor_read(&t, "it", &disk, b->arena, &log, &out);
    onnx_disk_close(&disk);
    assert_int_equal(ok, want != NULL);
    if (ok) assert_memory_equal(out.data, want, n * sizeof *want);
}

static void half_floats_are_widened(void **state) {
    const int32_t half_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16,
                  brain_type = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
    uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x0000, 0x3555};
    const float want[] = {1, -2, 0x1p-24f, -0x1.ff8p-15f, 65504, 0, 0.333251953125f};
    uint16_t brain[] = {0x3f80, 0xc000, 0x4049, 0x0001, 0x7f7f, 0, 0};
    const float wide[] = {1, -2, 3.140625f, 0x1p-133f, 0x1.fep127f, 0, 0};
    check_widened(*state, half_type, half, sizeof half, want, COUNT(want));
    check_widened(*state, brain_type, brain, sizeof brain, wide, COUNT(wide));
    brain[3] = 0x7f80; // infinity
    check_widened(*state, brain_type, brain, sizeof brain, NULL, COUNT(brain));
}

// More elements than are widened at a time.
static void many_half_floats_are_widened(void **state) {
    struct bench *b = *state;
    const size_t n = 10007;
    uint16_t *half = NEW_N(b->arena, uint16_t, n);
    float *want = NEW_N(b->arena, float, n);
    for (size_t i = 0; i < n; i++) {
        half[i] = (uint16_t)(0x6400 + i % 1024); // 1024 and so many
        want[i] = (float)(1024 + i % 1024);
    }
    check_widened(b, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16, half, 2 * n, want, n);
}

// ---- functions -----------------------------------------------------------------------
static Onnx__FunctionProto *function_named(Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->functions[i]->name, name) == 0) return m->functions[i];
    fail_msg("no function %s", name);
    return NULL;
}

static void calls_itself(Onnx__ModelProto *m) {
    Onnx__NodeProto *n = function_named(m, "aten_clamp")->node[0];
    set_string(&n->op_type, "head");
    set_string(&n->domain, "pkg.torch.2.1");
}
static void calls_with_too_much(Onnx__ModelProto *m) {
    Onnx__FunctionProto *f = function_named(m, "aten_conv2d");
    free(f->input[--f->n_input]);
    set_string(&f->node[0]->input[2], "");
}
static void takes_too_much(Onnx__ModelProto *m) {
    Onnx__FunctionProto *f = function_named(m, "features");
    free(f->output[--f->n_output]);
}
static void two_functions(Onnx__ModelProto *m) {
    set_string(&function_named(m, "softmax_flat")->name, "aten_mean");
}
static void ancient(Onnx__ModelProto *m) {
    function_named(m, "aten_mean")->opset_import[0]->version = 7;
}
static void unknown_inside(Onnx__ModelProto *m) {
    Onnx__NodeProto *n = function_named(m, "aten_conv2d")->node[0];
    set_string(&n->op_type, "Frobnicate");
    set_string(&n->name, "n0");
}
static void nothing_inside(Onnx__ModelProto *m) {
    set_string(&function_named(m, "aten_mean")->node[0]->input[0], "nowhere");
}
static void wrong_inside(Onnx__ModelProto *m) {
    Onnx__NodeProto *n = function_named(m, "features")->node[0];
    set_string(&n->name, "conv1");
    attr_named(n, "padding")->n_ints = 3;
}

static void wrong_functions_are_explained(void **state) {
    static const struct {
        void (*spoil)(Onnx__ModelProto *m);
        const char *message;
    } CASES[] = {
        {calls_itself, "its function `head` calls itself"},
        {calls_with_too_much, "node `features/aten_conv2d` gives 3 inputs to the "
                              "function `aten_conv2d`, which "
                              "has 2"},
        {takes_too_much, "node `features` takes 2 outputs of the function `features`, "
                         "which has 1"},
        {two_functions, "two functions have the name `aten_mean`"},
        {ancient, "uses ONNX opset 7; ddg reads 9 to 23"},
        {unknown_inside, "op Frobnicate is not supported (nodes "
                         "`features/aten_conv2d/n0`, `aten_conv2d/n0`)"},
        {nothing_inside, "ReduceMean `aten_mean/ReduceMean` reads `aten_mean/nowhere#6`, "
                         "which nothing in "
                         "the file makes"},
        {wrong_inside, "Conv `features/conv1/Conv` has 3 pads; a 2-D op has 4"},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        Onnx__ModelProto *m = with_data(b);
        CASES[i].spoil(m);
        assert_null(reload(b, m, 2));
        check_message(b, CASES[i].message);
    }
}

static char **names(size_t n, const char *name) {
    char **list = malloc(n * sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = strdup(name);
    return list;
}

static Onnx__NodeProto *call(const char *function) {
    Onnx__NodeProto *n = malloc(sizeof *n);
    onnx__node_proto__init(n);
    n->op_type = strdup(function);
    n->domain = strdup("tower");
    n->n_input = n->n_output = 1;
    n->input = names(1, "x");
    n->output = names(1, "y");
    return n;
}

// Functions f0 .. f(levels - 1), each of which calls the next one so many times.
static const struct model *load_tower(struct bench *b, size_t levels, size_t times) {
    Onnx__ModelProto *m = with_data(b);
    m->functions =
        realloc(m->functions, (m->n_functions + levels) * sizeof *m->functions);
    for (size_t i = 0; i < levels; i++) {
        Onnx__FunctionProto *f = malloc(sizeof *f);
        onnx__function_proto__init(f);
        f->name = strdup(arena_printf(b->arena, "f%zu", i));
        f->domain = strdup("tower");
        f->n_input = f->n_output = 1;
        f->input = names(1, "x");
        f->output = names(1, "y");
        f->n_node = i + 1 < levels ? times : 0;
        f->node = malloc((f->n_node + 1) * sizeof *f->node);
        for (size_t k = 0; k < f->n_node; k++) {
            f->node[k] = call(arena_printf(b->arena, "f%zu", i + 1));
            set_string(&f->node[k]->output[0], k ? "other" : "y");
        }
        m->functions[m->n_functions++] = f;
    }
    Onnx__GraphProto *g = m->graph;
    g->node = realloc(g->node, (g->n_node + 1) * sizeof *g->node);
    g->node[g->n_node++] = call("f0");
    return reload(b, m, 2);
}

static void functions_do_not_grow_without_bound(void **state) {
    struct bench *b = *state;
    assert_null(load_tower(b, 40, 2));
    check_message(b, "its functions call each other so often that the network is far "
                     "larger than the file");
    assert_null(load_tower(b, 5000, 1));
    check_message(b, "its functions call each other more than 64 deep");
    assert_non_null(load_tower(b, 64, 1));
}

// ---- ops that are not known ----------------------------------------------------------
static void no_unknown_op_is_left_out(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *m = unpack(b, "arithmetic");
    size_t n = m->graph->n_node;
    assert_true(n > DIAGS_MAX_ERRORS + 2);
    for (size_t i = 0; i < n; i++)
        set_string(&m->graph->node[i]->op_type, arena_printf(b->arena, "Frob%zu_", i));
    assert_null(reload(b, m, 3));
    assert_int_equal(b->diags.errors, DIAGS_MAX_ERRORS);
    const char *last = b->diags.list.at[b->diags.list.n - 1].message;
    size_t named = 0;
    for (size_t i = 0; i < n; i++) {
        const char *op = arena_printf(b->arena, "Frob%zu_", i);
        bool found = false;
        for (size_t k = 0; k < b->diags.list.n; k++)
            found |= strstr(b->diags.list.at[k].message, op) != NULL;
        named += found;
    }
    assert_int_equal(named, n);
    assert_non_null(
        strstr(last, arena_printf(b->arena, "%zu more ops are not supported: Frob",
                                  n - DIAGS_MAX_ERRORS + 1)));
}

static void unknown_ops_come_with_advice(void **state) {
    static const struct {
        const char *domain, *op, *help;
    } CASES[] = {
        {"", "ConvTranspose", "`Resize` and then `Conv`"},
        {"", "If", "without branches and loops"},
        {"", "NonZero", "depends on pixels"},
        {"", "QuantizeLinear", "before quantization"},
        {"", "GlobalAveragPool", "did the file mean `GlobalAveragePool`?"},
        {"com.microsoft", "FusedConv", "onnxruntime"},
        {"org.pytorch.aten", "ATen", "ONNX_ATEN_FALLBACK"},
        {"pkg.onnxscript.torch_lib", "aten_relu", "export it again"},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        Onnx__ModelProto *m = unpack(b, "pooled");
        set_string(&node_named(m, "/Relu")->op_type, CASES[i].op);
        set_string(&node_named(m, "/Relu")->domain, CASES[i].domain);
        assert_null(reload(b, m, 3));
        assert_int_equal(b->diags.errors, 1);
        const char *help = b->diags.list.at[0].help;
        if (!help || !strstr(help, CASES[i].help))
            fail_msg("%s: %s", CASES[i].op, help ? help : "no help");
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_folder, teardown_folder)
    const struct CMUnitTest tests[] = {
        TEST(networks_give_pytorchs_logits),
        TEST(functions_are_what_they_hold),
        TEST(functions_are_imported_at_other_sizes),
        TEST(data_files_may_be_many_and_deep),
        TEST(the_digest_does_not_see_where_weights_are),
        TEST(data_is_read_far_behind_in_a_file),
        TEST(wrong_data_files_are_explained),
        TEST(data_is_not_shared_without_bound),
        TEST(files_that_change_are_noticed),
        TEST(a_file_that_is_replaced_is_read_to_its_end),
        TEST(weights_are_in_memory_once),
        TEST(half_floats_are_widened),
        TEST(many_half_floats_are_widened),
        TEST(wrong_functions_are_explained),
        TEST(functions_do_not_grow_without_bound),
        TEST(no_unknown_op_is_left_out),
        TEST(unknown_ops_come_with_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
