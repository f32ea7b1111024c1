// Images, programs and runs whose memory runs out (meter.h). Files are as a run without
// failures leaves them, or not there.
#include "cli/driver.h"
#include "runtime/image.h"
#include "runtime/outfile.h"
#include "runtime/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "meter.h"

#define SHAPES TEST_DATA "/shapes/train/"

// ---- files ---------------------------------------------------------------------------
static void copy(struct fixture *f, const char *from, const char *to) {
    size_t n;
    char *data = file_read(f->a, from, 1 << 24, &n);
    if (!data) fail_msg("%s", from);
    FILE *out = fopen(path_of(f, to), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static void make(struct fixture *f, const char *folder) {
    assert_int_equal(mkdir(path_of(f, folder), 0777), 0);
}

static void write_text(struct fixture *f, const char *name, const char *text) {
    FILE *out = fopen(path_of(f, name), "wb");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static void make_batch(struct fixture *f) {
    make(f, "cifar");
    FILE *out = fopen(path_of(f, "cifar/data_batch_1.bin"), "wb");
    assert_non_null(out);
    for (int i = 0; i < 5 * 3073; i++) fputc(i % 3073 ? i % 251 : i / 3073, out);
    assert_int_equal(fclose(out), 0);
}

#define CLASSES 7 // that the network tells apart

static const char *const NAMES[CLASSES] = {"arrow", "checker", "crescent", "cross",
                                           "heart", "ladder",  "ring"};

static void make_data(struct fixture *f) {
    make(f, "data");
    for (size_t i = 0; i < CLASSES; i++) {
        make(f, arena_printf(f->a, "data/%s", NAMES[i]));
        copy(f, arena_printf(f->a, SHAPES "%s/0000.png", NAMES[i]),
             arena_printf(f->a, "data/%s/a.png", NAMES[i]));
    }
    copy(f, SHAPES "cross/0003.jpg", "data/cross/b.jpg");
}

static int enter(void **state) {
    if (setup(state)) return -1;
    struct fixture *f = *state;
    if (chdir(f->root) != 0) return -1;
    make_data(f);
    make_batch(f);
    copy(f, TEST_DATA "/onnx/pooled.onnx", "net.onnx");
    return 0;
}

static int leave(void **state) {
    return chdir("/") == 0 ? teardown(state) : -1;
}

// Of all files below, with their names; temporary ones must not be there.
static struct digest tree(struct fixture *f, const char *path) {
    struct dirent **list;
    struct digest d = {0};
    int n = scandir(path, &list, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = list[i]->d_name,
                   *below = arena_printf(f->a, "%s/%s", path, name);
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            if (strstr(name, OUT_MARK)) fail_msg("%s was left", below);
            size_t bytes = 0;
            const char *data = file_read(f->a, below, 1 << 24, &bytes);
            struct digest one = data ? digest_of(data, bytes) : tree(f, below);
            d = digest_join(digest_join(d, digest_of(name, strlen(name))), one);
        }
        free(list[i]);
    }
    free(list);
    return d;
}

// ---- images --------------------------------------------------------------------------
#define SIDE ((size_t)24)

struct folder {
    const char *path;
    struct digest want; // of the pixels of all rows
};

static void drop_reader(void *r) {
    reader_close(r);
}

static void drop_decoder(void *d) {
    decoder_free(d);
}

static void read_rows(struct trial *t, struct reader *r, struct decoder *d,
                      struct digest *sum) {
    static _Thread_local uint8_t pixels[3 * SIDE * SIDE];
    struct digest content;
    char why[256];
    for (size_t i = 0; i < reader_rows(r); i++) {
        t->ok = reader_load(r, d, i, pixels, &content, why, sizeof why);
        t->d.no_memory |= decoder_no_memory(d);
        if (!t->ok) diag_error(&t->d, NO_SPAN, "%s", why);
        if (!t->ok) return;
        *sum = digest_join(*sum, digest_of(pixels, sizeof pixels));
    }
}

static void read_folder(struct trial *t) {
    struct folder *want = (struct folder *)(uintptr_t)t->input;
    struct reader_options o = {want->path, SIDE, SIZE_MAX, NO_SPAN};
    struct reader *r = reader_open(&o, &t->d);
    struct cleanup held[2];
    struct digest sum = {0};
    if (!r) return;
    cleanup_push(&held[0], drop_reader, r);
    struct decoder *d = decoder_new();
    if (!d) diag_no_memory(&t->d, NO_SPAN);
    cleanup_push(&held[1], drop_decoder, d);
    if (d) read_rows(t, r, d, &sum);
    cleanup_run(&held[1]);
    cleanup_run(&held[0]);
    if (t->ok && want->want.lo == 0) want->want = sum;
    if (t->ok) assert_true(digest_eq(sum, want->want));
}

static void folders(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct folder want = {i ? "cifar" : "data", {0}};
        struct trial t = {.f = f, .input = &want};
        assert_false(attempt(&t, read_folder, 0, false));
        fail_each(f, read_folder, &want, NULL);
    }
}

struct bytes {
    const uint8_t *at;
    size_t n;
};

// The pixels, and the same as a PNG again.
static void decode(struct trial *t) {
    const struct bytes *in = t->input;
    struct image image, again = {0};
    char why[256];
    size_t n;
    t->ok = image_decode(in->at, in->n, &image, why, sizeof why);
    t->d.no_memory = strstr(why, "out of memory");
    if (!t->ok) diag_error(&t->d, NO_SPAN, "%s", why);
    if (!t->ok) return;
    uint8_t *png = image_encode_png(image.data, 1, image.h * 3, image.w, &n);
    t->ok = png && image_decode(png, n, &again, why, sizeof why);
    if (!t->ok) diag_no_memory(&t->d, NO_SPAN);
    for (size_t i = 0; t->ok && i < image.h * image.w * 3; i++)
        assert_int_equal(image.data[i], again.data[i * 3]);
    mem_free(png);
    mem_free(image.data);
    mem_free(again.data);
}

static void images(void **state) {
    struct fixture *f = *state;
    static const char *const FILES[] = {"jpeg_cmyk.jpg", "jpeg_progressive.jpg",
                                        "png_2_8_interlaced.png", "png_3_4.png"};
    for (size_t i = 0; i < COUNT(FILES); i++) {
        struct bytes b;
        b.at = (uint8_t *)file_read(
            f->a, arena_printf(f->a, TEST_DATA "/images/%s", FILES[i]), 1 << 20, &b.n);
        assert_non_null(b.at);
        fail_each(f, decode, &b, NULL);
    }
}

// ---- programs ------------------------------------------------------------------------
static const char program[] =
    "param sigma: float = 0.05\n"
    "train = images(\"data\", size = 16, on_error = \"skip\")\n"
    "teacher = onnx(\"net.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1])\n"
    "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
    "noisy = perturb(pool(phi, window = 8, stride = 4), sigma = sigma, seed = 1)\n"
    "xi = crop(train, at = noisy, size = 8)\n"
    "util = gradnorm(teacher, xi)\n"
    "best = topk(xi, by = util, k = 1, per = class)\n"
    "set = stitch(best, factor = 1)\n"
    "save(phi, to = \"out/phi.npy\")\n"
    "save(set, labels = relabel(teacher, set, temperature = 20), to = \"out/set\")\n";

// Where the processor has bf16, what it gives is compared with fp32.
static const struct driver_options options = {
    .path = "program.ddg", .threads = 2, .bf16 = true, .twins = true};

static void drop_driver(void *v) {
    driver_free(v);
}

static void load(struct trial *t) {
    struct driver v;
    driver_init(&v, t->a, &options);
    t->ok = driver_load(&v) && driver_lower(&v, NULL);
    t->d = v.d;
}

static void loading(void **state) {
    struct fixture *f = *state;
    write_text(f, "program.ddg", program);
    fail_each(f, load, NULL, NULL);
}

static void make_code(struct trial *t) {
    struct driver v;
    struct cleanup held;
    driver_init(&v, t->a, &options);
    cleanup_push(&held, drop_driver, &v);
    t->ok = driver_load(&v) && driver_lower(&v, NULL) && driver_codegen(&v) &&
            driver_link(&v);
    t->d = v.d;
    cleanup_run(&held);
}

static void code(void **state) {
    struct fixture *f = *state;
    write_text(
        f, "program.ddg",
        "train = images(\"data\", size = 16)\n"
        "teacher = onnx(\"net.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1])\n"
        "save(relabel(teacher, train), to = \"out/soft.npy\")\n");
    fail_each(f, make_code, NULL, NULL);
}

struct running {
    const struct plan *plan;
    const char *store; // or NULL
    struct digest want;
};

static void run_plan(struct trial *t) {
    const struct running *r = t->input;
    struct run_options o = {.threads = 2};
    struct run_report report;
    struct cleanup held;
    char why[256];
    if (r->store)
        o.store = store_open(&(struct store_options){.path = r->store}, why, sizeof why);
    cleanup_push(&held, (void (*)(void *))store_close, o.store);
    t->ok = plan_run(r->plan, &o, t->a, &report, &t->d);
    if (t->ok) assert_int_equal(report.nskipped, 0);
    cleanup_run(&held);
}

static void look_at_results(struct trial *t) {
    const struct running *r = t->input;
    struct digest got = {0};
    if (access("out", F_OK) == 0) got = tree(t->f, "out");
    if (t->ok) assert_true(digest_eq(got, r->want));
    remove_tree("out");
}

static struct running prepare(struct fixture *f, struct driver *v) {
    struct run_report report;
    write_text(f, "program.ddg", program);
    driver_init(v, f->a, &options);
    bool made =
        driver_load(v) && driver_lower(v, NULL) && driver_codegen(v) && driver_link(v);
    diags_print(&v->d, stderr, false);
    assert_true(made);
    struct running r = {.plan = v->module.plan};
    struct run_options o = {.threads = 1};
    assert_true(plan_run(r.plan, &o, f->a, &report, &v->d));
    r.want = tree(f, "out");
    remove_tree("out");
    return r;
}

static void running(void **state) {
    struct fixture *f = *state;
    struct driver v;
    struct running r = prepare(f, &v);
    fail_each(f, run_plan, &r, look_at_results);
    r.store = "store";
    fail_each(f, run_plan, &r, look_at_results); // it fills as the failures come later
    driver_free(&v);
}

// ---- checks --------------------------------------------------------------------------
// Enough images that other ways are tried, and something is said.
static void make_more_data(struct fixture *f) {
    for (size_t i = 0; i < CLASSES; i++)
        for (int k = 1; k <= 4; k += k)
            copy(f, arena_printf(f->a, SHAPES "%s/000%d.png", NAMES[i], k),
                 arena_printf(f->a, "data/%s/%d.png", NAMES[i], k));
}

static void check_plan(struct trial *t) {
    struct running *r = (struct running *)(uintptr_t)t->input;
    struct run_options o = {.threads = 2, .only_checks = true};
    struct run_report report;
    struct text said = {.arena = t->f->a};
    t->ok = plan_run(r->plan, &o, t->a, &report, &t->d);
    if (!t->ok) return;
    assert_int_equal(report.nchecks, 1);
    assert_true(report.checks[0].nways > 0);
    text_add(&said, "%s\n", report.checks[0].line);
    diags_render(report.checks[0].said, false, &said);
    struct digest d = digest_of(said.at, said.n);
    if (r->want.lo == 0) r->want = d;
    assert_true(digest_eq(d, r->want));
}

static void checks(void **state) {
    struct fixture *f = *state;
    struct driver v;
    make_more_data(f);
    write_text(f, "program.ddg",
               "train = images(\"data\", size = 16)\n"
               "teacher = onnx(\"net.onnx\", mean = [9, 9, 9], std = [0.2, 0.2, 0.2])\n"
               "check(teacher, train)\n");
    driver_init(&v, f->a, &options);
    assert_true(driver_load(&v) && driver_lower(&v, NULL) && driver_codegen(&v) &&
                driver_link(&v));
    struct running r = {.plan = v.module.plan};
    struct trial t = {.f = f, .input = &r};
    assert_false(attempt(&t, check_plan, 0, false));
    fail_each(f, check_plan, &r, NULL);
    driver_free(&v);
}

// ---- bugs ----------------------------------------------------------------------------
static void broken_kernel(char *const *buffers, size_t n) {
    (void)buffers;
    BUG("a kernel for %zu rows", n);
}

// Ends with the bug, and what it held is let go of: the store closes, and takes the next
// run.
static void run_with_bug(struct fixture *f, const struct running *r) {
    struct trial t = {.f = f, .input = r};
    struct attempt a = {run_plan, &t};
    struct scope s = {.catches = true};
    assert_int_equal(scope_run(&s, begin, &a), SCOPE_BUG);
    assert_non_null(strstr(s.words, "a kernel for"));
    arena_free(t.a);
    if (access("out", F_OK) == 0) tree(f, "out"); // nothing half done
    remove_tree("out");
}

static void check_results(struct fixture *f, const struct running *r) {
    struct trial t = {.f = f, .input = r};
    assert_false(attempt(&t, run_plan, 0, false));
    look_at_results(&t);
}

static void bugs_end_the_run(void **state) {
    struct fixture *f = *state;
    struct driver v;
    struct running r = prepare(f, &v);
    alarm(300); // nobody waits for a worker that is gone
    for (size_t i = 0; i < r.plan->nfuncs; i++)
        for (size_t k = 0; k < r.plan->funcs[i].ncalls; k++) {
            struct plan_call *c = &r.plan->funcs[i].calls[k];
            kernel_fn fn = c->fn;
            if (!fn) continue;
            c->fn = broken_kernel;
            r.store = NULL;
            run_with_bug(f, &r);
            remove_tree("store");
            r.store = "store";
            run_with_bug(f, &r);
            c->fn = fn;
        }
    check_results(f, &r);
    alarm(0);
    driver_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders, enter, leave),
        cmocka_unit_test_setup_teardown(images, enter, leave),
        cmocka_unit_test_setup_teardown(loading, enter, leave),
        cmocka_unit_test_setup_teardown(code, enter, leave),
        cmocka_unit_test_setup_teardown(running, enter, leave),
        cmocka_unit_test_setup_teardown(checks, enter, leave),
        cmocka_unit_test_setup_teardown(bugs_end_the_run, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
