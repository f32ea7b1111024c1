// Whole programs through lowering and the scheduler: what is computed how often, that
// each saved pixel is the pixel its manifest says, and that programs nobody can run end
// in an error at their place before anything is computed.
//
// A case is the body of a program over the shapes of tests/data, written to a folder of
// its own; `x` are its images, `m` is its teacher.
#include "cli/driver.h"
#include "runtime/builtin.h"
#include "runtime/image.h"
#include "runtime/npy.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define SHAPES TEST_DATA "/shapes/train"

struct fixture {
    struct arena *arena;
    struct driver driver;
    char folder[32];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    f->arena = arena_new();
    strcpy(f->folder, "/tmp/ddg-lower-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    driver_free(&f->driver);
    arena_free(f->arena);
    int failed = nftw(f->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return failed;
}

static char *in_folder(struct fixture *f, const char *name) {
    return arena_printf(f->arena, "%s/%s", f->folder, name);
}

// False: said in the driver's diagnostics.
static bool compile(struct fixture *f, const char *body) {
    char *path = in_folder(f, "case.ddg");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(
        file,
        "x = images(\"%s\", size = 32, limit = 4)\n"
        "m = onnx(\"%s\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])\n"
        "%s\n",
        SHAPES, TEST_DATA "/shapes.onnx", body);
    assert_int_equal(fclose(file), 0);
    driver_free(&f->driver);
    struct driver_options o = {.path = path, .threads = 2};
    driver_init(&f->driver, f->arena, &o);
    return driver_load(&f->driver) && driver_lower(&f->driver, NULL) &&
           driver_codegen(&f->driver) && driver_link(&f->driver);
}

static bool run_on(struct fixture *f, const char *body, size_t threads) {
    struct run_options o = {.threads = threads};
    struct run_report report;
    return compile(f, body) &&
           plan_run(f->driver.module.plan, &o, f->arena, &report, &f->driver.d);
}

static void run(struct fixture *f, const char *body) {
    if (!run_on(f, body, 2)) fail_msg("%s", f->driver.d.list.at[0].message);
}

// The program must fail, with these words and at this text of it.
static void refused(struct fixture *f, const char *body, const char *words,
                    const char *at) {
    if (run_on(f, body, 2)) fail_msg("ran: %s", body);
    const struct diag *d = &f->driver.d.list.at[0];
    if (!strstr(d->message, words)) fail_msg("`%s` does not say `%s`", d->message, words);
    assert_non_null(d->span.file);
    assert_memory_equal(d->span.file->text + d->span.start, at, strlen(at));
}

// How often the plan calls functions of this name.
static size_t steps_named(const struct fixture *f, const char *name) {
    const struct plan *p = f->driver.module.plan;
    size_t n = 0;
    for (size_t i = 0; i < p->nstages; i++)
        for (size_t j = 0; j < p->stages[i].nsteps; j++)
            n += !strcmp(p->funcs[p->stages[i].steps[j].func].name, name);
    return n;
}

// ---- what was saved ------------------------------------------------------------------
static const float *numbers(struct fixture *f, const char *name, size_t count) {
    struct npy out;
    struct diags d;
    diags_init(&d, f->arena);
    assert_true(npy_read(f->arena, in_folder(f, name), &out, NO_SPAN, &d));
    assert_int_equal(out.count, count);
    return out.data;
}

static struct image load_image(struct fixture *f, const char *path) {
    size_t n;
    char why[256];
    struct image image;
    char *bytes = file_read(f->arena, path, 1 << 20, &n);
    assert_non_null(bytes);
    assert_true(image_decode((uint8_t *)bytes, n, &image, why, sizeof why));
    return image;
}

static void same_window(const struct image *whole, const unsigned *box,
                        const struct image *part) {
    assert_true(box[2] == part->h && box[3] == part->w);
    assert_true(box[0] + box[2] <= whole->h && box[1] + box[3] <= whole->w);
    for (size_t y = 0; y < part->h; y++)
        assert_memory_equal(part->data + y * part->w * 3,
                            whole->data + ((box[0] + y) * whole->w + box[1]) * 3,
                            part->w * 3);
}

// Each image of a result is, pixel for pixel, the box its manifest gives of its one
// source.
static size_t check_boxes(struct fixture *f, const char *name) {
    char line[1024], file[128], source[256];
    unsigned b[4];
    size_t seen = 0;
    FILE *manifest =
        fopen(arena_printf(f->arena, "%s/%s/manifest.json", f->folder, name), "r");
    assert_non_null(manifest);
    while (fgets(line, sizeof line, manifest)) {
        if (sscanf(line,
                   " {\"file\": \"%127[^\"]\", \"class\": %*u, \"origins\": [{\"file\": "
                   "\"%255[^\"]\", \"box\": [%u, %u, %u, %u]}]}",
                   file, source, &b[0], &b[1], &b[2], &b[3]) != 6)
            continue;
        struct image part =
            load_image(f, arena_printf(f->arena, "%s/%s/%s", f->folder, name, file));
        struct image whole =
            load_image(f, arena_printf(f->arena, "%s/%s", SHAPES, source));
        same_window(&whole, b, &part);
        mem_free(part.data);
        mem_free(whole.data);
        seen++;
    }
    fclose(manifest);
    return seen;
}

// ---- pixels --------------------------------------------------------------------------
static void images_are_saved_as_they_are(void **state) {
    run(*state, "save(x, to = \"a\")");
    assert_int_equal(check_boxes(*state, "a"), 40);
    assert_int_equal(((struct fixture *)*state)->driver.module.plan->nfuncs, 0);
}

static void a_row_stitched_to_itself_is_the_row(void **state) {
    run(*state, "save(stitch(topk(x, by = loss(m, x), k = 2), factor = 1), to = \"a\")");
    assert_int_equal(check_boxes(*state, "a"), 20);
}

static void crops_of_crops_know_their_place(void **state) {
    run(*state,
        "y = crop(x, at = shap_patches(m, x, grid = 2, sampling = \"exact\"), size = "
        "20)\n"
        "z = crop(y, at = shap_patches(m, y, grid = 2, sampling = \"exact\"), size = 9)\n"
        "save(topk(z, by = loss(m, z), k = 3), to = \"a\")");
    assert_int_equal(check_boxes(*state, "a"), 30);
}

// A window of the whole, all of it: the same pixels, in boxes that multiply through.
static void random_crops_of_stitched_crops_know_their_place(void **state) {
    run(*state, "y = crop(x, at = shap_patches(m, x, grid = 2, sampling = \"exact\"), "
                "size = 20)\n"
                "z = stitch(y, factor = 1, size = 20)\n"
                "w = random_crop(z, size = 20, scale = [1.0, 1.0], ratio = [1.0, 1.0], "
                "count = 3, "
                "seed = 1)\n"
                "save(topk(w, by = loss(m, w), k = 5), to = \"a\")");
    assert_int_equal(check_boxes(*state, "a"), 50);
}

// A box that is the same for all rows, in a rowset of its own.
static void crops_of_stitched_images_know_their_place(void **state) {
    run(*state, "y = stitch(x, factor = 1)\n"
                "at = shap_patches(m, y, grid = 2, sampling = \"exact\")\n"
                "save(crop(y, at = at, size = 20), to = \"a\")\n"
                "z = stitch(topk(y, by = loss(m, y), k = 2), factor = 1)\n"
                "w = random_crop(z, size = 32, scale = [1.0, 1.0], ratio = [1.0, 1.0], "
                "seed = 1)\n"
                "save(w, to = \"b\")");
    assert_int_equal(check_boxes(*state, "a"), 40);
    assert_int_equal(check_boxes(*state, "b"), 20);
}

// The smallest window of a resized one still covers a pixel of the source.
static void boxes_are_never_empty(void **state) {
    struct fixture *f = *state;
    char line[1024];
    run(f, "y = random_crop(x, size = 40, scale = [0.01, 0.01], seed = 1)\n"
           "at = shap_patches(m, y, grid = 3, sampling = \"exact\")\n"
           "save(crop(y, at = at, size = 1), to = \"a\")");
    FILE *manifest = fopen(in_folder(f, "a/manifest.json"), "r");
    assert_non_null(manifest);
    size_t boxes = 0;
    while (fgets(line, sizeof line, manifest)) {
        unsigned b[4];
        const char *at = strstr(line, "\"box\": [");
        if (!at) continue;
        assert_int_equal(
            sscanf(at, "\"box\": [%u, %u, %u, %u]", &b[0], &b[1], &b[2], &b[3]), 4);
        assert_true(b[2] > 0 && b[3] > 0 && b[0] + b[2] <= 32 && b[1] + b[3] <= 32);
        boxes++;
    }
    fclose(manifest);
    assert_int_equal(boxes, 40);
}

// Four crops of one row in order, joined again: each quarter is the crop that came there.
static void stitched_rows_lie_in_order(void **state) {
    struct fixture *f = *state;
    run(f, "y = random_crop(x, size = 16, count = 4, seed = 1)\n"
           "save(y, to = \"parts\")\nsave(stitch(y, factor = 2), to = \"sets\")");
    struct image set = load_image(f, in_folder(f, "sets/00007/class00007_id00002.png"));
    for (unsigned i = 0; i < 4; i++) {
        unsigned box[4] = {i / 2 * 16, i % 2 * 16, 16, 16};
        struct image part =
            load_image(f, arena_printf(f->arena, "%s/parts/00007/class00007_id%05u.png",
                                       f->folder, 8 + i));
        same_window(&set, box, &part);
        mem_free(part.data);
    }
    mem_free(set.data);
}

// A factor that does not divide the side: remainders go to the first rows and columns.
static void sides_that_do_not_divide(void **state) {
    struct fixture *f = *state;
    run(f,
        "y = random_crop(x, size = 7, count = 25, seed = 1)\n"
        "save(y, to = \"parts\")\nsave(stitch(y, factor = 5, size = 37), to = \"sets\")");
    struct image set = load_image(f, in_folder(f, "sets/00002/class00002_id00001.png"));
    struct image part = load_image(f, in_folder(f, "parts/00002/class00002_id00049.png"));
    assert_int_equal(set.h, 37); // 8 + 8 + 7 + 7 + 7: the last is as it was
    same_window(&set, (unsigned[]){30, 30, 7, 7}, &part);
    mem_free(set.data);
    mem_free(part.data);
}

static void many_rows_a_side(void **state) {
    run(*state, "y = random_crop(x, size = 8, count = 144, seed = 1)\n"
                "save(stitch(y, factor = 12, size = 31), to = \"a\")\n"
                "save(stitch(y, factor = 12, size = 60), to = \"b\")");
}

// A white image with a black box: what is cut out of the box is black to its edges.
static void resizing_stays_inside_the_box(void **state) {
    (void)state;
    uint8_t in[12 * 12], out[20 * 20];
    int32_t box[4] = {2, 3, 7, 5};
    double params[PLAN_MAX_PARAMS] = {1, 12, 12, 20, 20};
    memset(in, 255, sizeof in);
    for (int y = 2; y < 9; y++) memset(in + y * 12 + 3, 0, 5);
    char *buffers[3] = {(char *)out, (char *)in, (char *)box};
    size_t strides[3] = {sizeof out, sizeof in, sizeof box};
    assert_true(builtin_run(BUILTIN_RESIZE, params, buffers, strides, 3, 1));
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 0);
}

// ---- values --------------------------------------------------------------------------
static void costly_values_are_computed_once(void **state) {
    struct fixture *f = *state;
    assert_true(compile(
        f,
        "phi = shap_patches(m, x, grid = 2, sampling = \"exact\")\n"
        "y = crop(x, at = pool(phi, window = 16, stride = 4), size = 16)\n"
        "z = crop(x, at = phi, size = 16)\n"
        "u = gradnorm(m, y)\n"
        "a = topk(y, by = u, k = 2)\nb = topk(z, by = u, k = 3, order = \"smallest\")\n"
        "save(a, to = \"a\")\nsave(b, to = \"b\")\nsave(phi, to = \"phi.npy\")\n"
        "save(topk(phi, by = u, k = 1), to = \"best.npy\")\nsave(u, to = \"u.npy\")"));
    assert_int_equal(steps_named(f, "phi"), 1);
    assert_int_equal(steps_named(f, "phi.values"), 1);
    assert_int_equal(steps_named(f, "u"), 1);
}

// Ten best of the two best of each class, worst first: the same numbers as sorting says.
static void rows_picked_keep_their_values(void **state) {
    struct fixture *f = *state;
    run(f, "u = loss(m, x)\ns = topk(u, by = u, k = 4)\nsave(u, to = \"all.npy\")\n"
           "save(topk(s, by = s, k = 40, per = all, order = \"smallest\"), "
           "to = \"sorted.npy\")\n"
           "save(topk(relabel(m, x), by = u, k = 40, per = all), to = \"labels.npy\")");
    const float *all = numbers(f, "all.npy", 40), *sorted = numbers(f, "sorted.npy", 40);
    const float *labels = numbers(f, "labels.npy", 400);
    for (size_t i = 0; i < 40; i++) {
        size_t below = 0, equal = 0;
        for (size_t j = 0; j < 40; j++) {
            below += all[j] < sorted[i];
            equal += all[j] == sorted[i];
        }
        assert_true(below <= i && i < below + equal);
        double sum = 0;
        for (size_t k = 0; k < 10; k++) sum += (double)labels[i * 10 + k];
        assert_true(sum > 0.9999 && sum < 1.0001);
    }
}

// A factor-1 stitch changes neither pixels nor keys; noise goes with the key.
static void noise_belongs_to_the_row(void **state) {
    struct fixture *f = *state;
    run(f,
        "u = loss(m, x)\n"
        "phi = shap_patches(m, x, grid = 2, sampling = \"exact\")\n"
        "y = stitch(x, factor = 1)\n"
        "psi = shap_patches(m, y, grid = 2, sampling = \"exact\")\n"
        "save(perturb(phi, sigma = 1, seed = 3), to = \"a.npy\")\n"
        "save(perturb(psi, sigma = 1, seed = 3), to = \"b.npy\")\n"
        "save(topk(perturb(phi, sigma = 1, seed = 3), by = u, k = 4), to = \"c.npy\")\n"
        "save(perturb(topk(phi, by = u, k = 4), sigma = 1, seed = 3), to = \"d.npy\")");
    size_t bytes = 160 * sizeof(float);
    assert_memory_equal(numbers(f, "a.npy", 160), numbers(f, "b.npy", 160), bytes);
    assert_memory_equal(numbers(f, "c.npy", 160), numbers(f, "d.npy", 160), bytes);
}

// Rows chosen at random are not those whose maps get the most noise.
static void noise_and_scores_of_a_seed_differ(void **state) {
    struct fixture *f = *state;
    run(f, "phi = shap_patches(m, x, grid = 2, sampling = \"exact\")\n"
           "save(phi, to = \"a.npy\")\n"
           "save(perturb(phi, sigma = 1, seed = 3), to = \"b.npy\")\n"
           "save(random(x, seed = 3), to = \"c.npy\")");
    const float *map = numbers(f, "a.npy", 160), *noisy = numbers(f, "b.npy", 160);
    const float *score = numbers(f, "c.npy", 40);
    for (size_t i = 0; i < 40; i++)
        assert_true(fabsf(noisy[i * 4] - map[i * 4] - score[i]) > 1e-4F);
}

static void chains_of_ops(void **state) {
    struct fixture *f = *state;
    struct text t = {.arena = f->arena};
    text_add(&t, "x0 = x\np0 = shap_patches(m, x, grid = 1, sampling = \"exact\")\n");
    for (int i = 1; i < 60; i++)
        text_add(&t,
                 "x%d = crop(x%d, at = p%d, size = 32)\n"
                 "p%d = shap_patches(m, x%d, grid = 1, sampling = \"exact\")\n",
                 i, i - 1, i - 1, i, i);
    text_add(&t, "save(x59, to = \"a\")");
    run(f, t.at);
    assert_int_equal(check_boxes(f, "a"), 40);
}

// ---- what cannot be run --------------------------------------------------------------
static void chains_too_long_are_refused(void **state) {
    struct fixture *f = *state;
    struct text t = {.arena = f->arena};
    text_add(&t, "p0 = shap_patches(m, x, grid = 1, sampling = \"exact\")\n");
    for (int i = 1; i < 20000; i++)
        text_add(&t, "p%d = perturb(p%d, sigma = 1, seed = 1)\n", i, i - 1);
    text_add(&t, "save(p19999, to = \"a.npy\")");
    refused(f, t.at, "1000 ops away", "perturb");
}

static void collages_too_large_are_refused(void **state) {
    refused(
        *state,
        "y = stitch(x, factor = 64, size = 64)\nz = stitch(y, factor = 64, size = 64)\n"
        "save(z, to = \"a\")",
        "16777216 rows", "stitch(y");
    refused(*state,
            "y = random_crop(x, size = 2048, count = 4096, seed = 1)\n"
            "save(stitch(y, factor = 64, size = 2048), to = \"a\")",
            "more than fits", "stitch");
}

static void masks_too_large_are_refused(void **state) {
    refused(*state,
            "y = random_crop(x, size = 4096, seed = 1)\n"
            "save(shap_patches(m, y, grid = 4, sampling = \"exact\"), to = \"a.npy\")",
            "too much memory", "shap_patches");
    refused(
        *state,
        "save(shap_patches(m, x, grid = 32, samples = 65536, seed = 1), to = \"a.npy\")",
        "at most 16384", "shap_patches");
}

// Before anything is computed of the rows: there is nothing to undo, and no hour is lost.
static void rows_that_cannot_be_there_are_refused(void **state) {
    refused(*state,
            "y = topk(x, by = loss(m, x), k = 3)\n"
            "save(topk(y, by = loss(m, y), k = 4), to = \"a\")",
            "topk wants 4 rows of each class; `arrow` has 3", "topk(y");
    refused(*state, "save(topk(x, by = loss(m, x), k = 41, per = all), to = \"a\")",
            "topk wants 41 rows; there are 40", "topk");
    refused(*state,
            "save(stitch(random_crop(x, size = 8, count = 2, seed = 1), factor = 3), to "
            "= \"a\")",
            "class `arrow` has 8, which leaves 8 over", "stitch");
    refused(*state,
            "y = random_crop(random_crop(x, size = 8, count = 4096, seed = 1), size = 8, "
            "count = 4096, seed = 1)\n"
            "save(random_crop(y, size = 8, count = 4096, seed = 1), to = \"a\")",
            "more than 4294967295 rows", "random_crop(y");
}

static void one_place_is_written_once(void **state) {
    struct fixture *f = *state;
    refused(f, "save(x, to = \"a\")\nsave(stitch(x, factor = 2), to = \"./a\")",
            "is written twice", "save(stitch");
    refused(f,
            arena_printf(f->arena,
                         "save(loss(m, x), to = \"a.npy\")\nsave(gradnorm(m, x), to = "
                         "\"../%s/a.npy\")",
                         strrchr(f->folder, '/') + 1),
            "is written twice", "save(gradnorm");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(images_are_saved_as_they_are),
        CASE(a_row_stitched_to_itself_is_the_row),
        CASE(crops_of_crops_know_their_place),
        CASE(random_crops_of_stitched_crops_know_their_place),
        CASE(crops_of_stitched_images_know_their_place),
        CASE(boxes_are_never_empty),
        CASE(stitched_rows_lie_in_order),
        CASE(sides_that_do_not_divide),
        CASE(many_rows_a_side),
        CASE(resizing_stays_inside_the_box),
        CASE(costly_values_are_computed_once),
        CASE(rows_picked_keep_their_values),
        CASE(noise_belongs_to_the_row),
        CASE(noise_and_scores_of_a_seed_differ),
        CASE(chains_of_ops),
        CASE(chains_too_long_are_refused),
        CASE(collages_too_large_are_refused),
        CASE(masks_too_large_are_refused),
        CASE(rows_that_cannot_be_there_are_refused),
        CASE(one_place_is_written_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
