// Runs a network as ddg would, for tests/teachers/teachers.py to compare with PyTorch.
//
//     run_model MODEL.onnx FOLDER import|logits|halves|gradients|each [CHANNELS]
//
// FOLDER holds x.npy (normalised images) and class.npy (i32). Writes into it what the
// rows give: logits_1.npy, logits_3.npy and logits_17.npy, computed in calls of that many
// rows (`halves`: in bf16); or dx.npy, the gradient of the cross entropy, gradnorm.npy,
// and gradnorm_part.npy over the parameters that part.txt names, a line each; `each`
// prints the first row's squares, a parameter each. What else there is to know is
// printed, a "name value" a line.
#include "frontend/model.h"
#include "runtime/npy.h"
#include "tests/unit/jit.h"

#include <time.h>

struct job {
    struct arena *arena;
    struct diags d;
    const char *folder;
    const struct model *model;
    struct npy x, class;
    struct jit jit;
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

// Of this program alone: getrusage has what the program that started it took, too.
static size_t peak_kb(void) {
    FILE *f = fopen("/proc/self/status", "r");
    size_t kb = 0;
    for (char line[256]; f && fgets(line, sizeof line, f);)
        if (sscanf(line, "VmHWM: %zu", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

static int report(const struct job *t) {
    for (size_t i = 0; i < t->d.list.n; i++) {
        const struct diag *d = &t->d.list.at[i];
        fprintf(stderr, "%s%s%s\n", d->message, d->help ? "; " : "",
                d->help ? d->help : "");
    }
    return 1;
}

static bool import(struct job *t, const char *path, size_t channels) {
    double mean[4] = {0}, std[4] = {1, 1, 1, 1}, start = now_ms();
    struct model_options o = {
        .path = path, .mean = mean, .std = std, .nmean = channels, .nstd = channels};
    size_t before = peak_kb();
    t->model = model_load(t->arena, &o, &t->d);
    if (!t->model) return false;
    printf("import_ms %.0f\nimport_kb %zu\n", now_ms() - start, peak_kb() - before);
    const struct func *f = t->model->func;
    for (nid v = 0; v < f->nodes.n; v++)
        if (node_at(f, v)->op == OP_PARAM)
            printf("param %s\n", attr_str(node_at(f, v), "name"));
    return true;
}

static bool read_array(struct job *t, const char *name, enum npy_type type, size_t row,
                       struct npy *out) {
    const char *path = arena_printf(t->arena, "%s/%s.npy", t->folder, name);
    if (!npy_read(t->arena, path, out, NO_SPAN, &t->d)) return false;
    if (out->type == type && out->rank > 0 && out->count == out->dim[0] * row)
        return true;
    return diag_error(&t->d, NO_SPAN, "%s: not what the network takes", path);
}

static bool read_rows(struct job *t) {
    return read_array(t, "x", NPY_F32, type_count(type_at(t->model->func, 0)), &t->x) &&
           read_array(t, "class", NPY_I32, 1, &t->class) &&
           t->x.dim[0] == t->class.dim[0];
}

static bool write_rows(struct job *t, const char *name, size_t row, const float *v) {
    size_t dim[2] = {t->x.dim[0], row};
    const char *path = arena_printf(t->arena, "%s/%s.npy", t->folder, name);
    struct npy_writer *w = npy_create(path, NPY_F32, 2, dim, &t->d);
    if (!w) return false;
    if (npy_write(w, v, dim[0] * row * sizeof *v, &t->d)) return npy_commit(w, &t->d);
    return npy_abandon(w), false;
}

static float *new_rows(struct job *t, size_t row) {
    size_t n;
    CHECK(size_mul(t->x.dim[0], row, &n));
    return NEW_N(t->arena, float, n);
}

static bool compile(struct job *t, struct func *f) {
    double start = now_ms();
    if (!jit_compile(&t->jit, t->arena, f, &t->d)) return false;
    printf("compile_ms %.0f\nbatch %zu\narena_kb %zu\n", now_ms() - start,
           t->jit.func.batch, t->jit.func.arena_bytes / 1024);
    return true;
}

static size_t count_dot_products(const struct kfunc *k) {
    size_t n = 0;
    for (size_t i = 0; i < k->kernels.n; i++)
        n += !strcmp(kernel_how(k, &k->kernels.at[i]), "dot products");
    return n;
}

static bool run_logits(struct job *t, bool bf16) {
    static const size_t steps[] = {1, 3, 17};
    struct builder b;
    builder_init(&b, t->arena, "logits");
    b.f->bf16 = bf16;
    nid in = b_input(&b, "x", *type_at(t->model->func, 0)), out;
    build_inline(&b, t->model->func, &in, &out, false);
    build_output(&b, "logits", out);
    if (!compile(t, builder_finish(&b))) return false;
    printf("dot_products %zu\n", count_dot_products(t->jit.module.funcs.at[0].k));
    float *y = new_rows(t, t->model->classes);
    for (size_t i = 0; i < COUNT(steps); i++) {
        double start = now_ms();
        jit_run(&t->jit, t->x.dim[0], steps[i], (const void *[]){t->x.data},
                (void *[]){y});
        printf("run_ms_%zu %.0f\n", steps[i], now_ms() - start);
        const char *name = arena_printf(t->arena, "logits_%zu", steps[i]);
        if (!write_rows(t, name, t->model->classes, y)) return false;
    }
    return true;
}

// Cross entropy of the logits, as passes/lower_ops.c has it.
static nid cross_entropy(struct builder *b, nid logits, nid class, size_t classes) {
    static const int64_t axis[1] = {0};
    nid top = b_unary(b, OP_STOP, b_amax(b, logits, axis, 1, true));
    nid e = b_unary(b, OP_EXP, b_binary(b, OP_SUB, logits, top));
    nid all = b_binary(b, OP_ADD, b_unary(b, OP_LOG, b_sum_all(b, e)),
                       b_reshape(b, top, NULL, 0));
    int32_t *count = NEW_N(b->arena, int32_t, classes);
    for (size_t i = 0; i < classes; i++) count[i] = (int32_t)i;
    struct type ct = type_tensor(ELEM_I32, false, 1, &classes);
    nid hot = b_binary(b, OP_EQ, b_const(b, ct, count), class);
    nid own = b_binary(b, OP_MUL, logits, b_cast(b, hot, ELEM_F32));
    return b_binary(b, OP_SUB, all, b_sum_all(b, own));
}

static nid gradient(struct builder *b, nid y, nid x) {
    return build_node(b, OP_GRAD, (nid[]){y, x}, 2, NULL, NULL);
}

static nid gradient_square(struct builder *b, nid loss, nid parameter) {
    nid g = gradient(b, loss, parameter);
    return b_sum_all(b, b_binary(b, OP_MUL, g, g));
}

// Is name one of the lines of the text? NULL has every name.
static bool is_named(const char *lines, const char *name) {
    size_t n = strlen(name);
    for (const char *at = lines; at && *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (strcspn(at, "\n") == n && memcmp(at, name, n) == 0) return true;
    return !lines;
}

// The Euclidean norm of the gradient over the parameters of these names; NID_NONE without
// any.
static nid gradient_norm(struct builder *b, nid loss, const char *names) {
    nid total = NID_NONE;
    for (nid v = 0; v < loss; v++) {
        const struct node *n = node_at(b->f, v);
        if (n->op != OP_PARAM || !is_named(names, attr_str(n, "name"))) continue;
        nid square = gradient_square(b, loss, v);
        total = total == NID_NONE ? square : b_binary(b, OP_ADD, total, square);
    }
    return total == NID_NONE ? NID_NONE : b_unary(b, OP_SQRT, total);
}

// A function of pixels and class, begun; its loss.
static nid begin_loss(struct job *t, struct builder *b, nid *x) {
    builder_init(b, t->arena, "gradients");
    *x = b_input(b, "x", *type_at(t->model->func, 0));
    nid class = b_input(b, "class", type_tensor(ELEM_I32, true, 0, NULL)), logits;
    build_inline(b, t->model->func, x, &logits, true);
    return cross_entropy(b, logits, class, t->model->classes);
}

static bool run_gradients(struct job *t) {
    static const char *const files[] = {"dx", "gradnorm", "gradnorm_part"};
    struct builder b;
    size_t n = 0, row = type_count(type_at(t->model->func, 0));
    const char *part = arena_printf(t->arena, "%s/part.txt", t->folder);
    part = file_read(t->arena, part, 1 << 20, &(size_t){0});
    nid x, loss = begin_loss(t, &b, &x);
    nid outs[] = {gradient(&b, loss, x), gradient_norm(&b, loss, NULL),
                  part ? gradient_norm(&b, loss, part) : NID_NONE};
    float *y[COUNT(outs)];
    for (; n < COUNT(outs) && outs[n] != NID_NONE; n++) {
        y[n] = new_rows(t, n ? 1 : row);
        if (n == 2 && outs[2] == outs[1]) y[2] = y[1]; // the part is all
        else build_output(&b, files[n], outs[n]);
    }
    if (!compile(t, builder_finish(&b))) return false;
    double start = now_ms();
    jit_run(&t->jit, t->x.dim[0], 0, (const void *[]){t->x.data, t->class.data},
            (void **)y);
    printf("run_ms %.0f\n", now_ms() - start);
    for (size_t i = 0; i < n; i++)
        if (!write_rows(t, files[i], i ? 1 : row, y[i])) return false;
    return true;
}

#define AT_ONCE 16 // outputs of one function

// Prints the squares of the gradients of the parameters from number `first` on.
static bool run_some(struct job *t, size_t first, size_t *found) {
    struct builder b;
    nid x, loss = begin_loss(t, &b, &x);
    float *out[AT_ONCE];
    size_t n = 0;
    *found = 0;
    for (nid v = 0; v < loss; v++) {
        if (node_at(b.f, v)->op != OP_PARAM || (*found)++ < first || n == AT_ONCE)
            continue;
        build_output(&b, attr_str(node_at(b.f, v), "name"), gradient_square(&b, loss, v));
        out[n++] = new_rows(t, 1);
    }
    struct func *f = builder_finish(&b);
    if (n == 0 || !jit_compile(&t->jit, t->arena, f, &t->d)) return n == 0;
    jit_run(&t->jit, t->x.dim[0], 0, (const void *[]){t->x.data, t->class.data},
            (void **)out);
    for (size_t i = 0; i < n; i++)
        printf("square %s %.9g\n", f->out_names.at[i], (double)out[i][0]);
    return true;
}

// One by one, to find the gradient that is wrong.
static bool run_each(struct job *t) {
    size_t found = AT_ONCE;
    for (size_t first = 0; first < found; first += AT_ONCE) {
        if (!run_some(t, first, &found)) return false;
        jit_free(&t->jit);
        t->jit = (struct jit){0};
    }
    return true;
}

static bool run_as(struct job *t, const char *what) {
    if (!strcmp(what, "logits")) return run_logits(t, false);
    if (!strcmp(what, "halves")) return run_logits(t, true);
    return !strcmp(what, "each") ? run_each(t) : run_gradients(t);
}

int main(int argc, char **argv) {
    if (argc < 4 || argc > 5) {
        fputs("run_model MODEL.onnx FOLDER import|logits|halves|gradients|each "
              "[CHANNELS]\n",
              stderr);
        return 2;
    }
    struct job t = {.arena = arena_new(), .folder = argv[2]};
    diags_init(&t.d, t.arena);
    size_t channels = argc == 5 ? (size_t)(argv[4][0] - '0') : 3;
    bool ok = import(&t, argv[1], size_min(channels, 4));
    if (ok && strcmp(argv[3], "import") != 0) ok = read_rows(&t) && run_as(&t, argv[3]);
    int code = ok ? 0 : report(&t);
    printf("peak_kb %zu\n", peak_kb());
    jit_free(&t.jit);
    arena_free(t.arena);
    return code;
}
