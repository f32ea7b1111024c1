// The keys of remembered values: everything that decides a value changes its key, and
// nothing else does.
//
// Both directions are shown over the whole op table. Each program below is compiled;
// then, for every node of its graph and every attribute of the node's op, the graph is
// made again with that attribute changed to other values that the op takes, and compiled.
// What must have changed is worked out here from what the ops mean (effect_*), not from
// how passes/cache.c comes by it. An op or an attribute that no program varies fails the
// test.
//
// Run with op versions raised too: the linker lets this program stand between the
// compiler and the op table (--wrap=op_info, in tests/CMakeLists.txt).
#include "cli/acts.h"
#include "frontend/digest.h"
#include "frontend/frontend.h"
#include "frontend/model.h"
#include "frontend/networks.h"
#include "frontend/onnx/onnx.h"
#include "ir/build.h"
#include "passes/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

// ---- op versions, raised -------------------------------------------------------------
static enum op raised = OP_COUNT; // the op whose version is raised; OP_COUNT: none
static struct op_info raised_info;

const struct op_info *__real_op_info(enum op op);
const struct op_info *__wrap_op_info(enum op op);

const struct op_info *__wrap_op_info(enum op op) {
    return op == raised ? &raised_info : __real_op_info(op);
}

static void raise_version(enum op op) {
    raised = op;
    if (op == OP_COUNT) return;
    raised_info = *__real_op_info(op);
    raised_info.version++;
}

// ---- programs ------------------------------------------------------------------------
#define HEAD                                                                             \
    "train = images(\"data\", size = 16)\n"                                              \
    "teacher = onnx(\"a.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1])\n"

static const char infoutil[] =
    HEAD "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
         "heat = pool(phi, window = 8, stride = 4)\n"
         "noisy = perturb(heat, sigma = 0.1, seed = 1)\n"
         "xi = crop(train, at = noisy, size = 8)\n"
         "util = gradnorm(teacher, xi)\n"
         "best = topk(xi, by = util, k = 4, per = class)\n"
         "set = stitch(best, factor = 2)\n"
         "save(set, labels = relabel(teacher, set, temperature = 20), to = \"out/a\")\n"
         "save(loss(teacher, train), to = \"out/b.npy\")\n";

static const char rded[] =
    HEAD "tries = random_crop(train, size = 8, count = 3, seed = 4)\n"
         "best = topk(tries, by = loss(teacher, tries), k = 5, per = \"all\")\n"
         "save(stitch(best, factor = 1, size = 12), to = \"out/c\")\n"
         "save(gradnorm(teacher, stitch(best, factor = 1, size = 12)), to = \"d.npy\")\n";

// Another teacher beside; targets that the model chooses; crops of crops.
static const char nested[] =
    HEAD "other = onnx(\"b.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1])\n"
         "phi = shap_patches(other, train, grid = 2, samples = 9, seed = 0,\n"
         "                   target = \"predicted\", sampling = \"paired\")\n"
         "part = crop(train, at = phi, size = 12, resize = 16)\n"
         "again = shap_patches(teacher, part, grid = 3, coalitions = \"z.npy\")\n"
         "small = crop(part, at = again, size = 8)\n"
         "save(relabel(other, small, temperature = 2), to = \"e.npy\")\n"
         "save(loss(teacher, small), to = \"f.npy\")\n";

static const char exact[] =
    HEAD "phi = shap_patches(teacher, train, grid = 2, sampling = \"exact\")\n"
         "save(phi, to = \"g.npy\")\n"
         "save(perturb(phi, sigma = 0.5, seed = 3, scale = \"relative\"), to = "
         "\"h.npy\")\n";

static const char checked[] =
    HEAD "check(teacher, train, per_class = 3, at_least = 0.25)\n"
         "part = random_crop(train, size = 8, count = 2, seed = 4)\n"
         "check(onnx(\"b.onnx\", mean = [0, 0, 0], std = [1, 1, 1]), part)\n";

static const char attended[] =
    HEAD "cam = gradcam(teacher, train, grid = 4)\n"
         "part = crop(train, at = gradcam(teacher, train, grid = 2, layer = \"Relu\"),\n"
         "            size = 8)\n"
         "save(cam, to = \"i.npy\")\n"
         "save(loss(teacher, part), to = \"j.npy\")\n"
         "some = where(train, by = margin(teacher, train), above = 0, below = 9)\n"
         "few = topk(some, by = random(some, seed = 5), k = 1)\n"
         "save(gradnorm(teacher, few), to = \"k.npy\")\n";

static const char drawn[] =
    "train = images(\"data\", size = 16)\n"
    "net = onnx(\"" TEST_DATA "/shapes.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, "
    "0.5, 1], init = random,\n"
    "           seed = 3)\n"
    "save(loss(net, train), to = \"l.npy\")\n";

static const char *const PROGRAMS[] = {infoutil, rded,     nested, exact,
                                       checked,  attended, drawn};

// Networks that ddg builds, measures, and trainings: of those the first act (cli/acts.h).
#define GIVEN "classes = 4, seed = 3, mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1]"

static const char built[] =
    "x = images(\"data\", size = 32)\n"
    "save(relabel(mlp(" GIVEN ", size = 32, hidden = [8, 6]), x), to = \"a.npy\")\n"
    "save(relabel(lenet(" GIVEN ", size = 32), x), to = \"b.npy\")\n"
    "small = convnet(" GIVEN ", size = 32, depth = 2, width = 8)\n"
    "save(relabel(small, x), to = \"c.npy\")\n"
    "save(relabel(resnet(" GIVEN ", size = 32, depth = 8), x), to = \"d.npy\")\n";

static const char large[] =
    "x = images(\"data\", size = 32)\n"
    "save(relabel(vgg11(" GIVEN ", size = 32), x), to = \"e.npy\")\n";

static const char deep[] =
    "x = images(\"data\", size = 32)\n"
    "save(relabel(mobilenet_v2(" GIVEN ", size = 32), x), to = \"f.npy\")\n";

static const char measured[] =
    HEAD "report(mean_std([accuracy(teacher, train, top = 2)]), to = \"spread\")\n"
         "report(confusion(teacher, train))\n";

static const char trained[] =
    HEAD "net = mlp(" GIVEN ", size = 16, hidden = [8, 6])\n"
         "a = train(net, train, epochs = 4, batch = 6, rate = 0.1, keep = [1, 2],\n"
         "          schedule = \"step\", milestones = [1.5, 3], warmup = 0.5,\n"
         "          decay = 0.01, temperature = 2,\n"
         "          augment = [resized_crop(), padded_crop(), flip(),\n"
         "                     jitter(brightness = 0.1), cutout(size = 4),\n"
         "                     patch_shuffle(factor = 2), cutmix()])\n"
         "save(a@2, to = \"a.onnx\")\n";

static const char asking[] =
    HEAD "net = mlp(" GIVEN ", size = 16, hidden = [8])\n"
         "wise = train(net, train, epochs = 2, rate = 0.1, optimizer = \"adam\",\n"
         "             labels = ask(net, temperature = 3), augment = [mixup()])\n"
         "save(wise, to = \"b.onnx\")\n";

static const char labelled[] =
    HEAD "set = random_crop(train, size = 8, count = 2, seed = 4)\n"
         "net = mlp(classes = 7, size = 8)\n"
         "told = train(net, set, epochs = 2, rate = 0.1,\n"
         "             labels = relabel(teacher, set, temperature = 2))\n"
         "save(told, to = \"c.onnx\")\n";

static const char *const MORE[] = {built,   large,  deep,    measured,
                                   trained, asking, labelled};
#define ALL_PROGRAMS (COUNT(PROGRAMS) + COUNT(MORE))

// ---- files ---------------------------------------------------------------------------
// NAME.onnx and NAME.npy have beside them NAME_copy, the same written otherwise, and
// NAME_other, the same network with one weight changed or another matrix.
static void write_bytes(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static Onnx__ModelProto *read_network(struct fixture *f) {
    size_t n;
    char *data = file_read(f->a, TEST_DATA "/onnx/pooled.onnx", 1 << 20, &n);
    assert_non_null(data);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, (uint8_t *)data);
    assert_non_null(m);
    return m;
}

static void write_network(struct fixture *f, Onnx__ModelProto *m, const char *path) {
    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *data = NEW_N(f->a, uint8_t, n);
    onnx__model_proto__pack(m, data);
    onnx__model_proto__free_unpacked(m, NULL);
    write_bytes(path, data, n);
}

static void write_otherwise(Onnx__ModelProto *m) {
    Onnx__GraphProto *g = m->graph;
    for (size_t i = 0, j = g->n_node; i + 1 < j; i++) {
        Onnx__NodeProto *n = g->node[i];
        g->node[i] = g->node[--j];
        g->node[j] = n;
    }
    free(m->producer_name);
    m->producer_name = strdup("another tool");
}

static void change_weight(Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_initializer; i++)
        if (strcmp(m->graph->initializer[i]->name, name) == 0) {
            m->graph->initializer[i]->raw_data.data[0] ^= 128;
            return;
        }
    fail_msg("no weight %s", name);
}

static void make_network(struct fixture *f, const char *changed, bool otherwise,
                         const char *path) {
    Onnx__ModelProto *m = read_network(f);
    if (changed) change_weight(m, changed);
    if (otherwise) write_otherwise(m);
    write_network(f, m, path);
}

// 0/1 rows over nine patches, enough of them to determine all.
static void make_coalitions(const char *path, size_t odd) {
    enum { HEADER = 128, ROWS = 40, PATCHES = 9 };
    uint8_t file[HEADER + ROWS * PATCHES];
    memset(file, ' ', HEADER);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    static const char text[] =
        "{'descr': '|u1', 'fortran_order': False, 'shape': (40, 9), }";
    memcpy(file + 10, text, strlen(text));
    file[HEADER - 1] = '\n';
    uint32_t random = 1 + (uint32_t)odd;
    for (size_t i = 0; i < ROWS * PATCHES; i++) {
        random = random * 1664525 + 1013904223;
        file[HEADER + i] = (uint8_t)(i < 2 * PATCHES ? i < PATCHES : random >> 31);
    }
    write_bytes(path, file, sizeof file);
}

static void write_method(void) {
    static const char text[] =
        "def telling(model, x) {\n"
        "    phi = shap_patches(model, x, grid = 2, samples = 9, seed = 0)\n"
        "    where = perturb(pool(phi, 8, 4), sigma = noise, seed = 1)\n"
        "    return crop(x, at = where, size = 8)\n"
        "}\n"
        "param noise: float = 1e-1\n";
    write_bytes("method.ddg", text, strlen(text));
}

static int enter(void **state) {
    if (setup(state)) return -1;
    struct fixture *f = *state;
    if (chdir(f->root) != 0) return -1;
    make_network(f, NULL, false, "a.onnx");
    make_network(f, NULL, true, "a_copy.onnx");
    make_network(f, "a.weight", false, "a_other.onnx");
    make_network(f, "b.weight", false, "b.onnx");
    make_network(f, "b.weight", true, "b_copy.onnx");
    make_network(f, "n.running_mean", false, "b_other.onnx");
    make_coalitions("z.npy", 0);
    make_coalitions("z_copy.npy", 0);
    make_coalitions("z_other.npy", 1);
    write_method();
    raise_version(OP_COUNT);
    return 0;
}

static int leave(void **state) {
    raise_version(OP_COUNT);
    return chdir("/") == 0 ? teardown(state) : -1;
}

// ---- compiling -----------------------------------------------------------------------
struct compiled {
    const struct func *graph;
    const struct plan *plan;
    const struct kept *kept; // by column
    const nid *trains;       // by plan train
};

static bool compile_module(struct fixture *f, struct module m, const char *numerics,
                           bool bf16, struct compiled *out) {
    struct target *target = NEW(f->a, struct target);
    *target =
        (struct target){.lanes = 8, .registers = 16, .bf16 = bf16, .numerics = numerics};
    m.arena = f->a;
    m.target = target;
    if (!passes_run_module(&m, &f->d)) return false;
    *out = (struct compiled){m.graph, m.plan, m.kept, m.trains};
    return true;
}

static bool compile_graph(struct fixture *f, const struct func *graph,
                          const char *numerics, struct compiled *out) {
    return compile_module(f, (struct module){.graph = graph}, numerics, true, out);
}

static const struct func *load_text_as(struct fixture *f, const char *text, bool bf16) {
    write_bytes("program.ddg", text, strlen(text));
    struct program_options o = {.path = "program.ddg", .bf16 = bf16};
    diags_init(&f->d, f->a);
    struct program *p = program_load(f->a, &o, &f->d);
    diags_print(&f->d, stderr, false);
    assert_non_null(p);
    return p->graph;
}

static const struct func *load_text(struct fixture *f, const char *text) {
    return load_text_as(f, text, false);
}

static struct compiled compile(struct fixture *f, const char *text) {
    struct compiled c;
    if (!compile_graph(f, load_text(f, text), "plain", &c)) {
        diags_print(&f->d, stderr, false);
        fail_msg("does not compile");
    }
    return c;
}

// Of all programs: what is lowered of it first.
static struct compiled compile_nth(struct fixture *f, size_t p) {
    struct compiled c;
    struct acts acts;
    if (p < COUNT(PROGRAMS)) return compile(f, PROGRAMS[p]);
    acts_init(&acts, f->a, load_text(f, MORE[p - COUNT(PROGRAMS)]));
    bool ok = compile_graph(f, acts_at(&acts, f->a, 0, false).graph, "plain", &c);
    diags_print(&f->d, stderr, false);
    assert_true(ok);
    return c;
}

// The column of c that keeps the same; UINT32_MAX: none.
static uint32_t same_column(const struct compiled *c, struct kept k) {
    for (uint32_t i = 0; i < c->plan->ncolumns; i++)
        if (c->kept[i].v == k.v && c->kept[i].facet == k.facet) return i;
    return UINT32_MAX;
}

// ---- what must change ----------------------------------------------------------------
// How a change reaches a column: through what its record says; through its rows'
// identities (their images at another size); through where crops lie, which its keys hold
// as it comes out. Nothing at all: 0.
enum { RECORD = 1, ROWS = 2, BOXES = 4 };

struct change {
    nid at;
    int attr;     // -1: the version of its op, wherever that is used
    bool content; // of an attribute that is a path: the file's content changes with it
};

struct effect { // of two graphs, node for node
    const struct func *before, *after;
    struct change change;
};

static bool is_changed(const struct effect *e, nid v) {
    if (e->change.attr >= 0) return v == e->change.at;
    return node_at(e->before, v)->op == node_at(e->before, e->change.at)->op;
}

// Ops that hand pixels on: what each of their attributes, and their version, does to the
// pixels of a row that is there before and after.
static const struct {
    enum op op;
    const char *attr; // NULL: the version
    unsigned effect;
} PIXEL_EFFECTS[] = {
    {OP_IMAGES, NULL, RECORD},
    {OP_IMAGES, "path", 0},
    {OP_IMAGES, "size", ROWS},
    {OP_IMAGES, "limit", 0},
    {OP_IMAGES, "on_error", 0},
    {OP_CROP, NULL, BOXES},
    {OP_CROP, "size", BOXES},
    {OP_CROP, "resize", 0},
    {OP_RANDOM_CROP, NULL, BOXES},
    {OP_RANDOM_CROP, "size", 0},
    {OP_RANDOM_CROP, "scale", BOXES},
    {OP_RANDOM_CROP, "ratio", BOXES},
    {OP_RANDOM_CROP, "count", 0},
    {OP_RANDOM_CROP, "seed", BOXES},
    {OP_STITCH, NULL, RECORD},
    {OP_STITCH, "factor", RECORD},
    {OP_STITCH, "size", 0}, // but for the shape that it gives
    {OP_TOPK, NULL, 0},
    {OP_WHERE, NULL, 0},
    {OP_WHERE, "above", 0},
    {OP_WHERE, "below", 0},
    {OP_TOPK, "k", 0},
    {OP_TOPK, "per", 0},
    {OP_TOPK, "order", 0},
};

static unsigned own_pixels(enum op op, int attr) {
    const char *name = attr < 0 ? NULL : __real_op_info(op)->attrs[attr].name;
    for (size_t i = 0; i < COUNT(PIXEL_EFFECTS); i++) {
        const char *listed = PIXEL_EFFECTS[i].attr;
        if (PIXEL_EFFECTS[i].op != op || !name != !listed) continue;
        if (!name || !strcmp(name, listed)) return PIXEL_EFFECTS[i].effect;
    }
    fail_msg("PIXEL_EFFECTS does not say what `%s` of %s does to pixels",
             name ? name : "the version", __real_op_info(op)->name);
    return 0;
}

static unsigned effect_value(const struct effect *e, nid v);

static bool shape_changes(const struct effect *e, nid v) {
    return !type_same_shape(type_at(e->before, v), type_at(e->after, v));
}

static unsigned effect_pixels(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    unsigned all = shape_changes(e, v) && n->op != OP_IMAGES ? RECORD : 0;
    if (is_changed(e, v)) all |= own_pixels(n->op, e->change.attr);
    if (n->op == OP_CROP && effect_value(e, n->in[1])) all |= BOXES;
    if (n->op != OP_IMAGES) all |= effect_pixels(e, n->in[0]);
    return all;
}

// A network is known by what it computes, wherever it came from.
static unsigned effect_model(const struct effect *e, nid v) {
    if (!is_changed(e, v) || e->change.attr < 0) return 0;
    // What it is called does not matter: fp32 is what it is without.
    const struct model *was = node_at(e->before, v)->model;
    const struct model *is = node_at(e->after, v)->model;
    if (node_at(e->before, v)->op != OP_ONNX)
        return digest_eq(was->digest, is->digest) ? 0 : RECORD;
    if (!strcmp(__real_op_info(OP_ONNX)->attrs[e->change.attr].name, "precision"))
        return was->bf16 != is->bf16 ? RECORD : 0;
    return digest_eq(was->digest, is->digest) ? 0 : RECORD;
}

// A path stands for what the file holds.
static unsigned own_value(const struct effect *e, const struct node *n) {
    if (e->change.attr < 0) return RECORD;
    bool path = __real_op_info(n->op)->attrs[e->change.attr].path;
    return !path || e->change.content ? RECORD : 0;
}

static unsigned effect_value(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    if (op_picks(n->op)) return effect_value(e, n->in[0]);
    unsigned all = is_changed(e, v) ? own_value(e, n) : 0;
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == NID_NONE) continue;
        switch (type_at(e->before, n->in[i])->kind) {
        case KIND_MODEL: all |= effect_model(e, n->in[i]); break;
        case KIND_IMAGES: all |= effect_pixels(e, n->in[i]); break;
        default: all |= effect_value(e, n->in[i]); break;
        }
    }
    return all;
}

// Where a crop lies, in images of some size: by its map, and by the size it has before it
// is resized.
static unsigned effect_place(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    unsigned all = effect_value(e, n->in[1]);
    if (shape_changes(e, n->in[0])) all |= RECORD;
    if (!is_changed(e, v)) return all;
    bool resize = e->change.attr >= 0 &&
                  !strcmp(__real_op_info(OP_CROP)->attrs[e->change.attr].name, "resize");
    return resize ? all : all | RECORD;
}

// The model's answer on the whole image: of the op's own attributes, none.
static unsigned effect_predicted(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    unsigned own = is_changed(e, v) && e->change.attr < 0 ? RECORD : 0;
    return own | effect_model(e, n->in[0]) | effect_pixels(e, n->in[1]);
}

// Everything but which stages are kept.
static unsigned own_train(const struct effect *e, nid v) {
    if (!is_changed(e, v)) return 0;
    if (e->change.attr < 0) return RECORD;
    return strcmp(__real_op_info(OP_TRAIN)->attrs[e->change.attr].name, "keep") ? RECORD
                                                                                : 0;
}

static unsigned effect_labels(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    if (n->op != OP_ASK) return effect_value(e, v);
    return (is_changed(e, v) ? RECORD : 0) | effect_model(e, n->in[0]);
}

static unsigned effect_train(const struct effect *e, nid v) {
    const struct node *n = node_at(e->before, v);
    unsigned all = own_train(e, v) | effect_model(e, n->in[0]);
    all |= effect_pixels(e, n->in[1]);
    if (shape_changes(e, n->in[1])) all |= RECORD; // the network is made for it
    if (n->nin > 2 && n->in[2] != NID_NONE) all |= effect_labels(e, n->in[2]);
    for (uint32_t i = 3; i < n->nin; i++)
        if (n->in[i] != NID_NONE && is_changed(e, n->in[i])) all |= RECORD;
    return all;
}

static unsigned effect_column(const struct effect *e, struct kept k) {
    switch (k.facet) {
    case FACET_VALUE:
    case FACET_RIGHT: return effect_value(e, k.v);
    case FACET_PLACE: return effect_place(e, k.v);
    case FACET_PREDICTED:
    case FACET_VARIANTS: return effect_predicted(e, k.v);
    case FACET_PIXELS:
    case FACET_BOX: break;
    }
    fail_msg("a value of facet %d is remembered", (int)k.facet);
    return 0;
}

// ---- what does change ----------------------------------------------------------------
static bool has_key(const struct plan_memo *m, enum key_kind kind) {
    for (size_t i = 0; i < m->nkeys; i++)
        if (m->keys[i].kind == kind) return true;
    return false;
}

static bool same_keys(const struct plan_memo *a, const struct plan_memo *b) {
    if (a->nkeys != b->nkeys) return false;
    for (size_t i = 0; i < a->nkeys; i++)
        if (a->keys[i].kind != b->keys[i].kind || a->keys[i].rowset != b->keys[i].rowset)
            return false;
    return true;
}

static const char *describe(struct fixture *f, const struct effect *e, struct kept k) {
    const struct node *n = node_at(e->before, e->change.at);
    const struct node *v = node_at(e->before, k.v);
    return arena_printf(f->a, "`%s` of `%s` and facet %d of `%s`",
                        e->change.attr < 0
                            ? "version"
                            : __real_op_info(n->op)->attrs[e->change.attr].name,
                        n->name ? n->name : __real_op_info(n->op)->name, (int)k.facet,
                        v->name ? v->name : __real_op_info(v->op)->name);
}

static void check_column(struct fixture *f, const struct effect *e, struct kept k,
                         const struct plan_memo *was, const struct plan_memo *is) {
    unsigned effect = node_at(e->before, k.v)->op == OP_TRAIN ? effect_train(e, k.v)
                                                              : effect_column(e, k);
    bool changed = !digest_eq(was->record.key, is->record.key);
    if ((effect & RECORD) && !changed)
        fail_msg("%s: the key must change and does not", describe(f, e, k));
    if (!(effect & (RECORD | ROWS)) && changed)
        fail_msg("%s: the key changes and must not", describe(f, e, k));
    if ((effect & ROWS) && !changed && !has_key(was, KEY_ROW))
        fail_msg("%s: rows are not known by their images", describe(f, e, k));
    if ((effect & BOXES) && !(effect & RECORD) && !has_key(was, KEY_COLUMN))
        fail_msg("%s: rows are not known by where crops lie", describe(f, e, k));
    if (!effect && !same_keys(was, is))
        fail_msg("%s: other keys are joined", describe(f, e, k));
}

// How many columns were compared.
static size_t check_columns(struct fixture *f, const struct effect *e,
                            const struct compiled *was, const struct compiled *is) {
    size_t n = 0;
    for (uint32_t i = 0; i < was->plan->ncolumns; i++) {
        if (!was->plan->columns[i].memo) continue;
        uint32_t same = same_column(is, was->kept[i]);
        if (same == UINT32_MAX) { // only the target's is there or not by an attribute
            assert_int_equal(was->kept[i].facet, FACET_PREDICTED);
            continue;
        }
        check_column(f, e, was->kept[i], was->plan->columns[i].memo,
                     is->plan->columns[same].memo);
        n++;
    }
    for (uint32_t i = 0; i < was->plan->ntrains; i++, n++)
        check_column(f, e, (struct kept){.v = was->trains[i]}, was->plan->trains[i].memo,
                     is->plan->trains[i].memo);
    return n;
}

// ---- changed graphs ------------------------------------------------------------------
static nid copy_built(struct fixture *f, struct builder *b, const struct node *n,
                      const struct value *attrs, bool changed) {
    const struct model *m = n->model; // drawing the weights of them all takes long
    struct rule_ctx error;
    if (!build_check_attrs(b, n->op, attrs, &error)) return NID_NONE;
    if (changed) m = network_build(f->a, n->op, attrs, &f->d, n->span);
    b->name = n->name;
    return m ? b_model(b, n->op, attrs, m) : NID_NONE;
}

static nid copy_network(struct fixture *f, struct builder *b, const struct node *n,
                        const struct value *attrs, bool changed) {
    if (n->op != OP_ONNX) return copy_built(f, b, n, attrs, changed);
    struct model_options o = {
        .path = attrs[0].s, .mean = attrs[1].fs, .std = attrs[2].fs};
    o.nmean = attrs[1].n, o.nstd = attrs[2].n;
    const struct model *read = model_load(f->a, &o, &f->d);
    if (read && attrs[5].kind == VAL_STRING) read = model_drawn(f->a, read, attrs[6].i);
    if (read && attrs[4].kind == VAL_INT)
        read =
            model_with_head(f->a, read, (size_t)attrs[4].i, attrs[6].i, &f->d, NO_SPAN);
    if (!read) return NID_NONE;
    struct model *m = arena_dup(f->a, read, 1, sizeof *read);
    m->bf16 = attrs[3].kind == VAL_STRING && !strcmp(attrs[3].s, "bf16");
    b->name = n->name;
    return b_onnx(b, attrs, m);
}

// The graph with one attribute of one node changed; NULL when that does not fit together,
// or makes two nodes one.
static const struct func *change_graph(struct fixture *f, const struct func *g, nid at,
                                       size_t attr, struct value to) {
    struct builder b;
    builder_init(&b, f->a, g->name);
    for (nid v = 0; v < g->nodes.n; v++) {
        const struct node *n = node_at(g, v);
        struct value *attrs =
            arena_dup(f->a, n->attrs, op_attr_count(n->op), sizeof *attrs);
        if (v == at) attrs[attr] = to;
        b.name = n->name;
        b.span = n->span;
        struct rule_ctx error;
        nid made = n->model ? copy_network(f, &b, n, attrs, v == at)
                            : build_node(&b, n->op, n->in, n->nin, attrs, &error);
        if (made != v) return NULL;
    }
    for (size_t i = 0; i < g->outs.n; i++)
        build_output(&b, g->out_names.at[i], g->outs.at[i]);
    return builder_finish(&b);
}

#define MOST_VALUES 8

struct values {
    size_t n;
    struct value at[MOST_VALUES];
    bool content[MOST_VALUES];
};

static void add_value(struct values *out, struct value v, bool content) {
    CHECK(out->n < MOST_VALUES);
    out->at[out->n] = v;
    out->content[out->n++] = content;
}

static void add_paths(struct fixture *f, const char *path, struct values *out) {
    const char *dot = strrchr(path, '.');
    if (!dot) dot = path + strlen(path);
    static const char *const suffixes[] = {"_copy", "_other"};
    for (size_t i = 0; i < 2; i++)
        add_value(out,
                  val_string(arena_printf(f->a, "%.*s%s%s", (int)(dot - path), path,
                                          suffixes[i], dot)),
                  i == 1);
}

static void add_choices(struct fixture *f, const char *choices, const char *now,
                        struct values *out) {
    for (const char *c = choices; *c;) {
        size_t n = strcspn(c, "|");
        const char *choice = arena_strndup(f->a, c, n);
        if (!now || strcmp(choice, now) != 0) add_value(out, val_string(choice), true);
        c += n + (c[n] == '|');
    }
}

// Some values of the attribute's kind, in its range, that it does not have now. Which of
// them fit the rest of the program is found by trying.
static struct values other_values(struct fixture *f, const struct attr_spec *s,
                                  const struct value *now) {
    struct values out = {0};
    bool none = now->kind == VAL_NONE;
    if (!none && s->fallback && !strcmp(s->fallback, "none"))
        add_value(&out, (struct value){.kind = VAL_NONE}, true);
    switch (s->kind) {
    case VAL_INT:
        for (int64_t k = 0; none && k < 5; k++) {
            static const int64_t tried[] = {4, 8, 12, 16, 20};
            add_value(&out, val_int(tried[k]), true);
        }
        for (int64_t k = -1; !none && k <= 1; k += 2) {
            add_value(&out, val_int(now->i + k), true);
            add_value(&out, val_int(k < 0 ? now->i / 2 : now->i * 2 + 2), true);
        }
        break;
    case VAL_FLOAT:
        add_value(&out, val_float(now->f + 0.5), true);
        add_value(&out, val_float(now->f / 2 + 1e-9), true);
        break;
    case VAL_BOOL: add_value(&out, val_bool(!now->i), true); break;
    case VAL_STRING:
        if (s->path && !none) add_paths(f, now->s, &out);
        if (s->choices) add_choices(f, s->choices, now->s, &out);
        if (!s->path && !s->choices) add_value(&out, val_string("other"), true);
        break;
    case VAL_FLOATS:
        for (size_t i = 0; i < now->n; i++) {
            double *changed = arena_dup(f->a, now->fs, now->n, sizeof *changed);
            changed[i] = changed[i] * 0.875;
            if (i < 4) add_value(&out, val_floats(changed, now->n), true);
        }
        break;
    case VAL_INTS:
        for (size_t i = 0; i < now->n && i < 4; i++) {
            int64_t *changed = arena_dup(f->a, now->is, now->n, sizeof *changed);
            changed[i]++;
            add_value(&out, val_ints(changed, now->n), true);
        }
        break;
    case VAL_NONE: fail_msg("no pipeline op has such an attribute yet");
    }
    return out;
}

// ---- every attribute of every op -----------------------------------------------------
struct coverage { // how many changed graphs were compared, by op and attribute
    size_t attrs[OP_COUNT][OP_MAX_ATTRS];
};

// What is made to look at one change is let go of when it was looked at.
static struct arena *aside(struct fixture *f) {
    struct arena *a = f->a;
    f->a = arena_must();
    diags_init(&f->d, f->a);
    return a;
}

static void back(struct fixture *f, struct arena *a) {
    arena_free(f->a);
    f->a = a;
    diags_init(&f->d, f->a);
}

static void vary_attr(struct fixture *f, const struct compiled *was, nid at, size_t attr,
                      struct coverage *done) {
    const struct node *n = node_at(was->graph, at);
    struct arena *outer = aside(f);
    struct values to =
        other_values(f, &__real_op_info(n->op)->attrs[attr], &n->attrs[attr]);
    for (size_t i = 0; i < to.n; i++) {
        struct compiled is;
        if (value_eq(&to.at[i], &n->attrs[attr])) continue;
        diags_init(&f->d, f->a);
        const struct func *g = change_graph(f, was->graph, at, attr, to.at[i]);
        if (!g || !compile_graph(f, g, "plain", &is)) continue;
        struct effect e = {was->graph, g, {at, (int)attr, to.content[i]}};
        if (check_columns(f, &e, was, &is)) done->attrs[n->op][attr]++;
    }
    back(f, outer);
}

// Of a stage no act has anything: it is a network by then.
static bool is_compiled(enum op op) {
    return __real_op_info(op)->family == FAMILY_PIPELINE && op != OP_STAGE;
}

// Most networks take images of one size alone, which cannot be changed by itself.
static bool is_varied(enum op op, size_t attr) {
    bool network = __real_op_info(op)->flags & OPF_NETWORK;
    return is_compiled(op) &&
           !(network && !strcmp(__real_op_info(op)->attrs[attr].name, "size"));
}

static void attributes_change_what_depends_on_them(void **state) {
    struct fixture *f = *state;
    struct coverage *done = NEW(f->a, struct coverage);
    for (size_t p = 0; p < ALL_PROGRAMS; p++) {
        struct arena *outer = aside(f);
        struct compiled was = compile_nth(f, p);
        for (nid v = 0; v < was.graph->nodes.n; v++)
            for (size_t i = 0; i < op_attr_count(node_at(was.graph, v)->op); i++)
                vary_attr(f, &was, v, i, done);
        back(f, outer);
    }
    for (enum op op = 0; op < OP_COUNT; op++)
        for (size_t i = 0; i < op_attr_count(op); i++)
            if (is_varied(op, i) && !done->attrs[op][i])
                fail_msg("no program here varies `%s` of %s: add one to PROGRAMS",
                         __real_op_info(op)->attrs[i].name, __real_op_info(op)->name);
}

static void versions_change_what_depends_on_them(void **state) {
    struct fixture *f = *state;
    bool done[OP_COUNT] = {0};
    for (size_t p = 0; p < ALL_PROGRAMS; p++) {
        struct arena *outer = aside(f);
        struct compiled was = compile_nth(f, p), is = {0};
        for (nid v = 0; v < was.graph->nodes.n; v++) {
            struct arena *all = aside(f);
            enum op op = node_at(was.graph, v)->op;
            raise_version(op);
            assert_true(compile_graph(f, was.graph, "plain", &is));
            raise_version(OP_COUNT);
            struct effect e = {was.graph, was.graph, {v, -1, true}};
            if (check_columns(f, &e, &was, &is)) done[op] = true;
            back(f, all);
        }
        back(f, outer);
    }
    for (enum op op = 0; op < OP_COUNT; op++)
        if (is_compiled(op) && !done[op])
            fail_msg("no program here uses %s: add one to PROGRAMS",
                     __real_op_info(op)->name);
}

static void numerics_change_everything(void **state) {
    struct fixture *f = *state;
    for (size_t p = 0; p < ALL_PROGRAMS; p++) {
        struct arena *outer = aside(f);
        struct compiled was = compile_nth(f, p), is = {0};
        assert_true(compile_graph(f, was.graph, "bf16", &is));
        for (uint32_t i = 0; i < was.plan->ncolumns; i++) {
            const struct plan_memo *a = was.plan->columns[i].memo;
            if (a)
                assert_false(
                    digest_eq(a->record.key, is.plan->columns[i].memo->record.key));
        }
        for (uint32_t i = 0; i < was.plan->ntrains; i++)
            assert_false(digest_eq(was.plan->trains[i].memo->record.key,
                                   is.plan->trains[i].memo->record.key));
        back(f, outer);
    }
}

// ---- precision -----------------------------------------------------------------------
static const struct plan_memo *memo_of(const struct compiled *c, uint32_t column) {
    return c->plan->columns[column].memo;
}

static void bf16_counts_where_there_is_such(void **state) {
    struct fixture *f = *state;
    for (size_t p = 0; p < COUNT(PROGRAMS); p++) {
        struct compiled in_fp32 = compile(f, PROGRAMS[p]), without = {0}, with = {0};
        struct module m = {.graph = load_text_as(f, PROGRAMS[p], true)};
        assert_true(compile_module(f, m, "plain", false, &without));
        assert_true(compile_module(f, m, "plain", true, &with));
        for (uint32_t i = 0; i < with.plan->ncolumns; i++) {
            const struct plan_memo *was = memo_of(&in_fp32, i), *is = memo_of(&with, i);
            if (!was) continue;
            assert_true(digest_eq(was->record.key, memo_of(&without, i)->record.key));
            assert_false(digest_eq(was->record.key, is->record.key));
        }
    }
}

static struct digest key_of_first_training(struct fixture *f, const char *text,
                                           bool bf16) {
    struct acts acts;
    struct compiled c;
    acts_init(&acts, f->a, load_text_as(f, text, bf16));
    assert_true(compile_graph(f, acts_at(&acts, f->a, 0, false).graph, "plain", &c));
    return c.plan->trains[0].memo->record.key;
}

// Trainings are in fp32 whatever a run permits; only who is asked may answer in bf16.
static void bf16_of_a_run_reaches_trainings_by_teachers_alone(void **state) {
    static const char files[] =
        "x = images(\"data\", size = 16)\n"
        "net = onnx(\"a.onnx\", mean = [0, 0, 0], std = [1, 1, 1])\n"
        "wise = onnx(\"b.onnx\", mean = [0, 0, 0], std = [1, 1, 1])\n"
        "t = train(net, x, epochs = 1, rate = 0.1%s)\n"
        "save(t, to = \"t.onnx\")\n";
    struct fixture *f = *state;
    const char *alone = arena_printf(f->a, files, "");
    const char *asks = arena_printf(f->a, files, ", labels = ask(wise)");
    assert_true(digest_eq(key_of_first_training(f, alone, false),
                          key_of_first_training(f, alone, true)));
    assert_false(digest_eq(key_of_first_training(f, asks, false),
                           key_of_first_training(f, asks, true)));
}

static struct compiled compile_twinned(struct fixture *f, const char *text) {
    struct compiled c = {0};
    struct module m = {0};
    m.graph = graph_twinned(f->a, load_text_as(f, text, true), &m.twins, &m.ntwins);
    assert_true(compile_module(f, m, "plain", true, &c));
    return c;
}

// Without what says which images: those of a twin may be found in bf16.
static bool same_kind(const struct plan_column *a, const struct plan_column *b) {
    return a->memo && b->memo && !strcmp(a->name, b->name) && !strcmp(a->op, b->op) &&
           digest_eq(a->memo->record.key, b->memo->record.key);
}

// What has to be computed in fp32 to be compared is found there by a run in fp32.
static void twins_are_known_as_what_fp32_gives(void **state) {
    struct fixture *f = *state;
    static const size_t twins[] = {4, 2, 4, 1, 0, 5, 1}; // by program
    for (size_t p = 0; p < COUNT(PROGRAMS); p++) {
        struct compiled in_fp32 = compile(f, PROGRAMS[p]);
        struct compiled c = compile_twinned(f, PROGRAMS[p]);
        assert_int_equal(c.plan->nagreements, twins[p]);
        for (size_t i = 0; i < c.plan->nagreements; i++) {
            const struct plan_agreement *g = &c.plan->agreements[i];
            const struct plan_column *twin = &c.plan->columns[g->twin];
            bool found = false;
            for (uint32_t k = 0; k < in_fp32.plan->ncolumns; k++)
                found = found || same_kind(twin, &in_fp32.plan->columns[k]);
            assert_true(found);
            assert_int_not_equal(g->twin, g->column);
            assert_int_equal(twin->rowset, c.plan->columns[g->column].rowset);
        }
    }
}

// A twin explains what its own network answers.
static void answers_are_compared_where_networks_choose(void **state) {
    struct fixture *f = *state;
    struct compiled c = compile_twinned(f, nested);
    size_t chosen = 0;
    for (size_t i = 0; i < c.plan->nagreements; i++) {
        const struct plan_agreement *g = &c.plan->agreements[i];
        if (g->answers == UINT32_MAX) continue;
        chosen++;
        assert_string_equal(c.plan->columns[g->answers].part, "target");
        assert_string_equal(c.plan->columns[g->twin_answers].part, "target.fp32");
        assert_string_equal(c.plan->columns[g->column].name, "phi");
    }
    assert_int_equal(chosen, 1);
}

// Where the program has it anyway, it is not computed for the comparison.
static void a_value_in_both_precisions_is_its_own_twin(void **state) {
    struct fixture *f = *state;
    struct compiled c = compile_twinned(
        f,
        "x = images(\"data\", size = 16)\n"
        "fast = onnx(\"a.onnx\", mean = [0, 0, 0], std = [1, 1, 1], precision = bf16)\n"
        "slow = onnx(\"a.onnx\", mean = [0, 0, 0], std = [1, 1, 1], precision = fp32)\n"
        "save(loss(fast, x), to = \"a.npy\")\n"
        "save(loss(slow, x), to = \"b.npy\")\n");
    assert_int_equal(c.plan->ncolumns, 2);
    assert_int_equal(c.plan->nagreements, 1);
}

static struct digest key_of_training(struct fixture *f, const char *net,
                                     const char *teacher) {
    const char *text = arena_printf(
        f->a,
        "x = images(\"data\", size = 16)\n"
        "net = onnx(\"a.onnx\", mean = [0, 0, 0], std = [1, 1, 1], precision = %s)\n"
        "wise = onnx(\"b.onnx\", mean = [0, 0, 0], std = [1, 1, 1], precision = %s)\n"
        "t = train(net, x, epochs = 1, rate = 0.1, labels = ask(wise))\n"
        "save(t, to = \"t.onnx\")\n",
        net, teacher);
    return key_of_first_training(f, text, false);
}

// Trainings are in fp32; a teacher that is asked answers in its own precision.
static void of_a_training_the_teachers_precision_counts(void **state) {
    struct fixture *f = *state;
    struct digest plain = key_of_training(f, "fp32", "fp32");
    struct digest asked = key_of_training(f, "fp32", "bf16");
    assert_false(digest_eq(plain, asked));
    assert_true(digest_eq(plain, key_of_training(f, "bf16", "fp32")));
    assert_true(digest_eq(asked, key_of_training(f, "bf16", "bf16")));
}

// The same function with its parameters first, from the last to the first.
static const struct func *with_params_first(struct fixture *f, const struct func *net) {
    struct builder b;
    nid *to = NEW_N(f->a, nid, net->nodes.n), in[8];
    builder_init(&b, f->a, net->name);
    to[0] = b_input(&b, attr_str(node_at(net, 0), "name"), *type_at(net, 0));
    for (nid v = (nid)net->nodes.n; v-- > 1;)
        if (node_at(net, v)->op == OP_PARAM)
            to[v] = build_copy(&b, node_at(net, v), NULL);
    for (nid v = 1; v < net->nodes.n; v++) {
        const struct node *n = node_at(net, v);
        assert_true(n->nin <= COUNT(in));
        for (uint32_t k = 0; k < n->nin; k++)
            in[k] = n->in[k] == NID_NONE ? NID_NONE : to[n->in[k]];
        if (n->op != OP_PARAM) to[v] = build_copy(&b, n, in);
    }
    build_output(&b, net->out_names.at[0], to[net->outs.at[0]]);
    return builder_finish(&b);
}

// What a training keeps are numbers in the order of the function's nodes, of which the
// network's digest says nothing.
static void the_order_of_parameters_counts_in_trainings(void **state) {
    struct fixture *f = *state;
    struct acts acts;
    struct compiled before, after;
    acts_init(&acts, f->a, load_text(f, trained));
    const struct func *graph = acts_at(&acts, f->a, 0, false).graph;
    assert_true(compile_graph(f, graph, "plain", &before));
    for (nid v = 0; v < graph->nodes.n; v++) {
        struct node *n = &graph->nodes.at[v];
        if (n->op != OP_MLP) continue;
        struct model *other = arena_dup(f->a, n->model, 1, sizeof *other);
        other->func = with_params_first(f, n->model->func);
        model_digest(other, f->a);
        assert_true(digest_eq(other->digest, n->model->digest));
        n->model = other;
    }
    assert_true(compile_graph(f, graph, "plain", &after));
    const struct plan_train *a = &before.plan->trains[0], *b = &after.plan->trains[0];
    assert_string_not_equal(a->params[0].name, b->params[0].name);
    assert_false(digest_eq(a->memo->record.key, b->memo->record.key));
}

// ---- labels --------------------------------------------------------------------------
// Whether a value is of the row's class, and not only of its pixels.
static bool needs_class(const struct func *g, nid v) {
    const struct node *n = node_at(g, v);
    if (n->op == OP_LOSS || n->op == OP_GRADNORM || n->op == OP_MARGIN ||
        n->op == OP_GRADCAM)
        return true;
    if (n->op == OP_SHAP_PATCHES) return !strcmp(attr_str(n, "target"), "class");
    if (n->op == OP_POOL || n->op == OP_PERTURB) return needs_class(g, n->in[0]);
    if (n->op == OP_CROP) return needs_class(g, n->in[1]); // where it lies
    assert_int_equal(n->op, OP_RELABEL);
    return false;
}

static void classes_count_where_they_matter(void **state) {
    struct fixture *f = *state;
    size_t with = 0, without = 0;
    for (size_t p = 0; p < COUNT(PROGRAMS); p++) {
        struct compiled c = compile(f, PROGRAMS[p]);
        for (uint32_t i = 0; i < c.plan->ncolumns; i++) {
            const struct plan_memo *m = c.plan->columns[i].memo;
            if (!m) continue;
            bool said =
                c.kept[i].facet == FACET_PREDICTED || c.kept[i].facet == FACET_VARIANTS;
            bool needs = !said && needs_class(c.graph, c.kept[i].v);
            assert_true(has_key(m, KEY_CLASS) == needs);
            assert_true(has_key(m, KEY_ROW));
            *(needs ? &with : &without) += 1;
        }
    }
    assert_true(with > 3 && without > 3);
}

// ---- what changes nothing ------------------------------------------------------------
static int by_digest(const void *a, const void *b) {
    return memcmp(a, b, sizeof(struct digest));
}

// All records of a program with what is joined to their rows' keys, in one digest: in no
// order, because that of columns follows the text.
static struct digest fingerprint(struct fixture *f, const struct compiled *c) {
    VEC(struct digest) all = {0};
    for (uint32_t i = 0; i < c->plan->ncolumns; i++) {
        const struct plan_memo *m = c->plan->columns[i].memo;
        if (!m) continue;
        struct digest d = m->record.key;
        for (size_t k = 0; k < m->nkeys; k++)
            d = digest_join(d, (struct digest){m->keys[k].kind, 0});
        VEC_PUSH(f->a, &all, d);
    }
    assert_true(all.n > 0);
    qsort(all.at, all.n, sizeof *all.at, by_digest);
    return digest_of(all.at, all.n * sizeof *all.at);
}

static void same_program(struct fixture *f, const char *a, const char *b) {
    struct compiled x = compile(f, a), y = compile(f, b);
    if (!digest_eq(fingerprint(f, &x), fingerprint(f, &y)))
        fail_msg("other keys than before:\n%s", b);
}

// ---- other sizes ---------------------------------------------------------------------
static Onnx__TensorProto *two_numbers(const char *name, int64_t a, int64_t b) {
    Onnx__TensorProto *t = malloc(sizeof *t);
    onnx__tensor_proto__init(t);
    t->name = strdup(name);
    t->has_data_type = 1;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    t->n_dims = 1;
    t->dims = calloc(1, sizeof *t->dims);
    t->dims[0] = 2;
    t->n_int64_data = 2;
    t->int64_data = calloc(2, sizeof *t->int64_data);
    t->int64_data[0] = a, t->int64_data[1] = b;
    return t;
}

// a.onnx with its images, 16 x 12, cut to 16 x 12 first: nothing at that size.
static void make_cut(struct fixture *f, const char *path) {
    Onnx__ModelProto *m = read_network(f);
    Onnx__GraphProto *g = m->graph;
    Onnx__NodeProto *cut = malloc(sizeof *cut);
    onnx__node_proto__init(cut);
    cut->op_type = strdup("Slice");
    cut->n_input = 4, cut->input = calloc(4, sizeof *cut->input);
    cut->n_output = 1, cut->output = calloc(1, sizeof *cut->output);
    char *names[] = {g->input[0]->name, "cut.starts", "cut.ends", "cut.axes"};
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            if (!strcmp(g->node[i]->input[k], names[0])) {
                free(g->node[i]->input[k]);
                g->node[i]->input[k] = strdup("cut.out");
            }
    for (size_t i = 0; i < 4; i++) cut->input[i] = strdup(names[i]);
    cut->output[0] = strdup("cut.out");
    g->node = realloc(g->node, (g->n_node + 1) * sizeof *g->node);
    g->node[g->n_node++] = cut;
    g->initializer =
        realloc(g->initializer, (g->n_initializer + 3) * sizeof *g->initializer);
    g->initializer[g->n_initializer++] = two_numbers(names[1], 0, 0);
    g->initializer[g->n_initializer++] = two_numbers(names[2], 16, 12);
    g->initializer[g->n_initializer++] = two_numbers(names[3], 2, 3);
    write_network(f, m, path);
}

// Two networks that are one at the size they were exported with, and two at another.
static void a_network_is_known_by_the_size_it_runs_at(void **state) {
    struct fixture *f = *state;
    static const char text[] = "x = images(\"data\", size = 24)\n"
                               "m = onnx(\"%s\", mean = [0, 0, 0], std = [1, 1, 1])\n"
                               "save(loss(m, x), to = \"a.npy\")\n";
    make_cut(f, "cut.onnx");
    struct compiled a = compile(f, arena_printf(f->a, text, "a.onnx"));
    struct compiled b = compile(f, arena_printf(f->a, text, "a_copy.onnx"));
    struct compiled c = compile(f, arena_printf(f->a, text, "cut.onnx"));
    const struct model *one = NULL, *other = NULL;
    for (nid v = 0; v < a.graph->nodes.n; v++)
        if (node_at(a.graph, v)->op == OP_ONNX) {
            one = node_at(a.graph, v)->model;
            other = node_at(c.graph, v)->model;
        }
    assert_true(digest_eq(one->digest, other->digest));
    struct digest key = a.plan->columns[0].memo->record.key;
    assert_true(digest_eq(key, b.plan->columns[0].memo->record.key));
    assert_false(digest_eq(key, c.plan->columns[0].memo->record.key));
}

// a.onnx with the names of its two ReLUs changed round: the same network.
static void make_renamed(struct fixture *f, const char *path) {
    Onnx__ModelProto *m = read_network(f);
    Onnx__NodeProto *relus[2];
    size_t n = 0;
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (!strcmp(m->graph->node[i]->op_type, "Relu")) relus[n++] = m->graph->node[i];
    assert_int_equal(n, 2);
    char *name = relus[0]->name;
    relus[0]->name = relus[1]->name;
    relus[1]->name = name;
    write_network(f, m, path);
}

static void a_layer_is_known_by_where_it_is(void **state) {
    struct fixture *f = *state;
    static const char text[] = "x = images(\"data\", size = 16)\n"
                               "m = onnx(\"%s\", mean = [0, 0, 0], std = [1, 1, 1])\n"
                               "save(gradcam(m, x, grid = 2, layer = \"Relu\"),\n"
                               "     to = \"a.npy\")\n"
                               "save(loss(m, x), to = \"b.npy\")\n";
    make_renamed(f, "renamed.onnx");
    struct compiled a = compile(f, arena_printf(f->a, text, "a.onnx"));
    struct compiled b = compile(f, arena_printf(f->a, text, "a_copy.onnx"));
    struct compiled c = compile(f, arena_printf(f->a, text, "renamed.onnx"));
    assert_int_equal(a.plan->ncolumns, 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct digest key = memo_of(&a, i)->record.key;
        bool cam = node_at(a.graph, a.kept[i].v)->op == OP_GRADCAM;
        assert_true(digest_eq(key, memo_of(&b, i)->record.key));
        assert_true(digest_eq(key, memo_of(&c, i)->record.key) == !cam);
    }
}

static void how_it_is_written_changes_nothing(void **state) {
    struct fixture *f = *state;
    // Comments, order, names, paths, what is chosen of the results, where they go,
    // numbers and defaults spelled out, a def, params that nothing or something uses.
    same_program(
        f, infoutil,
        "# the other way round\n"
        "import \"method.ddg\"\n"
        "param unused: float = 3.5\n"
        "save(loss(net, x = photos), to = \"elsewhere/b.npy\")\n"
        "save(tiles, labels = relabel(net, tiles, 2 * 10.0), to = \"f\")\n"
        "tiles = stitch(factor = 2, x = winners)   # joined\n"
        "winners = topk(parts, by = gradnorm(net, parts), k = 8, per = \"class\")\n"
        "parts = telling(net, photos)\n"
        "photos = images(\"somewhere/else\", size = 16, limit = 50,\n"
        "                on_error = \"skip\")\n"
        "net = onnx(\"a_copy.onnx\", std = [0.25, 0.5, 1.0], mean = [0.5, 0.4, 0.3])\n");
    same_program(f, exact,
                 HEAD
                 "save(perturb(phi, sigma = 1 / 2.0, seed = 3, scale = \"relative\"),\n"
                 "     to = \"h.npy\")\n"
                 "phi = shap_patches(teacher, train, grid = 2, value = \"prob\",\n"
                 "                   target = \"class\", baseline = 0.0, sampling =\n"
                 "                   \"exact\", samples = none, seed = none)\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(attributes_change_what_depends_on_them),
        TEST(versions_change_what_depends_on_them),
        TEST(numerics_change_everything),
        TEST(bf16_counts_where_there_is_such),
        TEST(bf16_of_a_run_reaches_trainings_by_teachers_alone),
        TEST(twins_are_known_as_what_fp32_gives),
        TEST(answers_are_compared_where_networks_choose),
        TEST(a_value_in_both_precisions_is_its_own_twin),
        TEST(of_a_training_the_teachers_precision_counts),
        TEST(the_order_of_parameters_counts_in_trainings),
        TEST(classes_count_where_they_matter),
        TEST(a_network_is_known_by_the_size_it_runs_at),
        TEST(a_layer_is_known_by_where_it_is),
        TEST(how_it_is_written_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
