// Results on disk: what is written, what happens to what was there before, and that
// nothing half-written is left whatever goes wrong.
#include "runtime/image.h"
#include "runtime/json.h"
#include "runtime/npy.h"
#include "runtime/result.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

enum { H = 6, W = 5, K = 3 };

static void put(struct fixture *f, const char *name, const char *text) {
    FILE *out = fopen(path_of(f, name), "wb");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static const char *get(struct fixture *f, const char *name) {
    size_t n;
    const char *text = file_read(f->a, path_of(f, name), 1 << 24, &n);
    return text ? text : "(none)";
}

// Every path under a folder, sorted, one a line; "/" behind folders.
static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_into(struct fixture *f, const char *folder, const char *prefix,
                      struct text *out) {
    VEC(char *) names = {0};
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            VEC_PUSH(f->a, &names, arena_strdup(f->a, e->d_name));
    closedir(dir);
    if (names.n) qsort(names.at, names.n, sizeof *names.at, by_name);
    for (size_t i = 0; i < names.n; i++) {
        struct stat st;
        char *path = arena_printf(f->a, "%s/%s", folder, names.at[i]);
        char *shown = arena_printf(f->a, "%s%s", prefix, names.at[i]);
        lstat(path, &st);
        text_add(out, "%s%s\n", shown, S_ISDIR(st.st_mode) ? "/" : "");
        if (S_ISDIR(st.st_mode))
            list_into(f, path, arena_printf(f->a, "%s/", shown), out);
    }
}

static const char *tree(struct fixture *f, const char *name) {
    struct text t = {.arena = f->a};
    text_add(&t, "%s", "");
    list_into(f, path_of(f, name), "", &t);
    return t.at;
}

static size_t entries(struct fixture *f) {
    size_t n = 0;
    DIR *dir = opendir(f->root);
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2;
}

// ---- writing results ----------------------------------------------------------------
static const char *const class_names[K] = {"ant", "b\"ee", "caf\xc3\xa9 \xff"};

static struct result *begin(struct fixture *f, const char *to, size_t labels) {
    static const struct result_field fields[] = {{"model", "digest", "\"0f\""},
                                                 {"params", "ipc", "2"},
                                                 {"params", "sigma", "0.1"}};
    struct result_info info = {path_of(f, to), H,    W, K, class_names, labels, fields,
                               COUNT(fields),  "1.2"};
    return result_begin(&info, &f->d);
}

static void pixels_of(size_t i, uint8_t out[3 * H * W]) {
    for (size_t k = 0; k < 3 * H * W; k++) out[k] = (uint8_t)(k * 7 + i * 31);
}

static bool add(struct fixture *f, struct result *r, uint32_t cls, size_t i,
                bool labels) {
    uint8_t pixels[3 * H * W];
    float soft[K] = {(float)i, 0.5f, -1};
    struct result_origin origins[2] = {{"ant/0.jpg", {0, 1, 2, 3}},
                                       {"x\\y.png", {4, 5, 6, 7}}};
    pixels_of(i, pixels);
    struct result_row row = {cls, pixels, labels ? soft : NULL, origins, i % 3};
    return result_add(r, &row, &f->d);
}

// n images, class i % K, and one source a class.
static void write_result(struct fixture *f, const char *to, size_t n) {
    static const float map[4] = {0, 1, -2, 0.5f};
    uint8_t pixels[3 * H * W];
    struct result *r = begin(f, to, K);
    if (!r) fail_msg("%s", f->d.list.at[0].message);
    for (size_t i = 0; i < n; i++) assert_true(add(f, r, (uint32_t)(i % K), i, true));
    for (uint32_t c = 0; c < K; c++) {
        pixels_of(90 + c, pixels);
        struct result_source s = {c, pixels, H, W, c ? map : NULL, 2, 2};
        if (result_wants_source(r, c)) result_add_source(r, &s);
    }
    if (!result_commit(r, &f->d)) fail_msg("%s", f->d.list.at[0].message);
}

static const char tree_of_4[] = "00000/\n"
                                "00000/class00000_id00000.png\n"
                                "00000/class00000_id00001.png\n"
                                "00001/\n"
                                "00001/class00001_id00000.png\n"
                                "00002/\n"
                                "00002/class00002_id00000.png\n"
                                "labels.npy\n"
                                "manifest.json\n"
                                "overview.png\n";

static void test_files_and_pixels(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 4);
    assert_string_equal(tree(f, "out"), tree_of_4);
    size_t n;
    char why[100], *png = file_read(f->a, path_of(f, "out/00000/class00000_id00001.png"),
                                    1 << 16, &n);
    struct image image;
    uint8_t want[3 * H * W];
    pixels_of(3, want);
    assert_true(image_decode((uint8_t *)png, n, &image, why, sizeof why));
    assert_int_equal(image.h, H);
    assert_int_equal(image.w, W);
    for (size_t i = 0; i < H * W; i++)
        for (size_t c = 0; c < 3; c++)
            assert_int_equal(image.data[i * 3 + c], want[c * H * W + i]);
    mem_free(image.data);
}

static void test_labels(void **state) {
    struct fixture *f = *state;
    struct npy labels;
    write_result(f, "out", 4);
    assert_true(npy_read(f->a, path_of(f, "out/labels.npy"), &labels, NO_SPAN, &f->d));
    assert_int_equal(labels.type, NPY_F32);
    assert_int_equal(labels.rank, 2);
    assert_int_equal(labels.dim[0], 4);
    assert_int_equal(labels.dim[1], K);
    static const float want[4][K] = {
        {0, 0.5f, -1}, {1, 0.5f, -1}, {2, 0.5f, -1}, {3, 0.5f, -1}};
    assert_memory_equal(labels.data, want, sizeof want);
}

static void test_labels_are_numbers(void **state) {
    struct fixture *f = *state;
    uint8_t pixels[3 * H * W] = {0};
    const float soft[K] = {0.5f, strtof("nan", NULL), 0};
    struct result *r = begin(f, "out", K);
    struct result_row row = {1, pixels, soft, NULL, 0};
    assert_false(result_add(r, &row, &f->d));
    assert_string_equal(f->d.list.at[0].message,
                        "the soft label of class 1 of "
                        "`00001/class00001_id00000.png` is not a "
                        "number");
    result_abandon(r);
    assert_int_equal(entries(f), 0);
}

static void test_manifest(void **state) {
    struct fixture *f = *state;
    struct result *r = begin(f, "out", 0);
    for (size_t i = 0; i < 3; i++) assert_true(add(f, r, i == 1, i, false));
    assert_true(result_commit(r, &f->d));
    assert_string_equal(
        get(f, "out/manifest.json"),
        "{\n"
        "  \"format\": \"ddg-result-1\",\n"
        "  \"version\": \"1.2\",\n"
        "  \"classes\": [\"ant\", \"b\\\"ee\", \"caf\xc3\xa9 \xEF\xBF\xBD\"],\n"
        "  \"model\": {\n"
        "    \"digest\": \"0f\"\n"
        "  },\n"
        "  \"params\": {\n"
        "    \"ipc\": 2,\n"
        "    \"sigma\": 0.1\n"
        "  },\n"
        "  \"images\": [\n"
        "    {\"file\": \"00000/class00000_id00000.png\", \"class\": 0, \"origins\": "
        "[]},\n"
        "    {\"file\": \"00001/class00001_id00000.png\", \"class\": 1, \"origins\": "
        "[{\"file\": \"ant/0.jpg\", \"box\": [0, 1, 2, 3]}]},\n"
        "    {\"file\": \"00000/class00000_id00001.png\", \"class\": 0, \"origins\": "
        "[{\"file\": \"ant/0.jpg\", \"box\": [0, 1, 2, 3]}, "
        "{\"file\": \"x\\\\y.png\", \"box\": [4, 5, 6, 7]}]}\n"
        "  ]\n"
        "}\n");
    assert_int_not_equal(access(path_of(f, "out/labels.npy"), F_OK), 0);
}

static void test_the_same_rows_give_the_same_bytes(void **state) {
    struct fixture *f = *state;
    static const char *const files[] = {"manifest.json", "labels.npy", "overview.png",
                                        "00001/class00001_id00000.png"};
    write_result(f, "a", 4);
    write_result(f, "b/c/d", 4);
    for (size_t i = 0; i < COUNT(files); i++) {
        size_t n, m;
        char *a = file_read(f->a, path_of(f, arena_printf(f->a, "a/%s", files[i])),
                            1 << 24, &n);
        char *b = file_read(f->a, path_of(f, arena_printf(f->a, "b/c/d/%s", files[i])),
                            1 << 24, &m);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, n);
    }
}

static void test_no_rows(void **state) {
    struct fixture *f = *state;
    struct npy labels;
    write_result(f, "out", 0);
    assert_true(npy_read(f->a, path_of(f, "out/labels.npy"), &labels, NO_SPAN, &f->d));
    assert_int_equal(labels.dim[0], 0);
    assert_non_null(strstr(get(f, "out/manifest.json"), "\"images\": []\n}\n"));
}

// ---- the overview -------------------------------------------------------------------
static struct image read_overview(struct fixture *f) {
    size_t n;
    char why[100], *png = file_read(f->a, path_of(f, "out/overview.png"), 1 << 24, &n);
    struct image image;
    assert_non_null(png);
    if (!image_decode((uint8_t *)png, n, &image, why, sizeof why)) fail_msg("%s", why);
    return image;
}

// Squares of exactly this colour, counted by their upper left corners.
static size_t squares_of(const struct image *image, const uint8_t rgb[3], size_t side) {
    size_t found = 0;
    for (size_t y = 0; y + side < image->h; y++)
        for (size_t x = 0; x + side < image->w; x++) {
            bool all = true;
            for (size_t i = 0; all && i < side * side; i++)
                all = memcmp(image->data + ((y + i / side) * image->w + x + i % side) * 3,
                             rgb, 3) == 0;
            found += all;
        }
    return found;
}

static void test_overview_enlarges_small_images(void **state) {
    struct fixture *f = *state;
    uint8_t pixels[3 * H * W] = {0};
    pixels[0] = 1; // the first pixel is (1, 0, 0), all others black
    struct result *r = begin(f, "out", 0);
    struct result_row row = {0, pixels, NULL, NULL, 0};
    assert_true(result_add(r, &row, &f->d));
    assert_true(result_commit(r, &f->d));
    struct image image = read_overview(f);
    static const uint8_t first[3] = {1, 0, 0};
    assert_int_equal(squares_of(&image, first, 13), 1); // 64 / 5, rounded up
    assert_int_equal(squares_of(&image, first, 14), 0);
    mem_free(image.data);
}

// A map of one positive cell among zeros on a grey image: the cell turns red, the rest
// white.
static void test_overview_draws_maps(void **state) {
    struct fixture *f = *state;
    uint8_t grey[3 * 64 * 64];
    memset(grey, 100, sizeof grey);
    static const float map[4] = {0, 3, -3, 0};
    struct result *r = begin(f, "out", 0);
    struct result_source s = {1, grey, 64, 64, map, 2, 2};
    result_add_source(r, &s);
    assert_true(result_commit(r, &f->d));
    struct image image = read_overview(f);
    assert_int_equal(squares_of(&image, (uint8_t[]){100, 100, 100}, 64), 1);
    assert_int_equal(squares_of(&image, (uint8_t[]){163, 52, 62}, 32),
                     1); // 0.4 grey, 0.6 red
    assert_int_equal(squares_of(&image, (uint8_t[]){52, 95, 154}, 32), 1);
    assert_int_equal(squares_of(&image, (uint8_t[]){193, 193, 193}, 32), 2);
    mem_free(image.data);
}

static void test_overview_takes_so_many_sources(void **state) {
    struct fixture *f = *state;
    uint8_t pixels[3 * H * W] = {0};
    const float broken[1] = {strtof("nan", NULL)};
    struct result *r = begin(f, "out", 0);
    for (size_t i = 0; i < RESULT_OVERVIEW_SOURCES; i++) {
        assert_true(result_wants_source(r, 2));
        pixels[0] = (uint8_t)i;
        struct result_source s = {2, pixels, H, W, i ? broken : NULL, 1, 1};
        result_add_source(r, &s);
    }
    assert_false(result_wants_source(r, 2));
    assert_true(result_wants_source(r, 1));
    assert_true(result_commit(r, &f->d));
}

// Ten thousand classes must not make a picture of a hundred million pixels.
static void test_overview_shows_a_source_once(void **state) {
    struct fixture *f = *state;
    uint8_t grey[3 * 64 * 64];
    memset(grey, 100, sizeof grey);
    static const float maps[2][1] = {{1}, {-1}};
    struct result *r = begin(f, "out", 0);
    // The same image with the same map, then with another one.
    for (size_t i = 0; i < RESULT_OVERVIEW_ROWS; i++) {
        assert_true(result_wants_source(r, 1));
        result_add_source(r,
                          &(struct result_source){1, grey, 64, 64, maps[i == 4], 1, 1});
    }
    assert_false(result_wants_source(r, 1)); // nor is it looked for for ever
    assert_true(result_commit(r, &f->d));
    struct image image = read_overview(f);
    assert_int_equal(squares_of(&image, (uint8_t[]){100, 100, 100}, 64), 2);
    mem_free(image.data);
}

static void test_overview_is_bounded(void **state) {
    struct fixture *f = *state;
    enum { MANY = 10000 };
    const char **names = NEW_N(f->a, const char *, MANY);
    for (size_t i = 0; i < MANY; i++) names[i] = "x";
    struct result_info info = {path_of(f, "out"), H, W, MANY, names, 0, NULL, 0, "1"};
    struct result *r = result_begin(&info, &f->d);
    assert_true(result_wants_source(r, 0));
    assert_false(result_wants_source(r, MANY - 1));
    uint8_t pixels[3 * H * W] = {0};
    struct result_row row = {MANY - 1, pixels, NULL, NULL, 0};
    assert_true(result_add(r, &row, &f->d));
    assert_true(result_commit(r, &f->d));
    struct image image = read_overview(f);
    assert_true(image.h * image.w < (size_t)32 << 20);
    mem_free(image.data);
}

// ---- what was there before ----------------------------------------------------------
static void test_an_older_result_is_replaced(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 9);
    write_result(f, "out", 4);
    assert_string_equal(tree(f, "out"), tree_of_4);
    assert_int_equal(entries(f), 1); // nothing beside it
}

static void test_foreign_files_are_carried_over(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 9);
    put(f, "out/notes.txt", "mine");
    put(f, "out/00000/class00000_id00077.png", "mine too"); // not in the manifest
    put(f, "out/00001/better.png", "mine three");
    assert_int_equal(mkdir(path_of(f, "out/sub"), 0777), 0);
    put(f, "out/sub/deep.txt", "mine four");
    assert_int_equal(symlink("/nowhere", path_of(f, "out/link")), 0);
    write_result(f, "out", 1); // classes 1 and 2 have no image any more
    assert_string_equal(tree(f, "out"), "00000/\n"
                                        "00000/class00000_id00000.png\n"
                                        "00000/class00000_id00077.png\n"
                                        "00001/\n"
                                        "00001/better.png\n"
                                        "labels.npy\n"
                                        "link\n"
                                        "manifest.json\n"
                                        "notes.txt\n"
                                        "overview.png\n"
                                        "sub/\n"
                                        "sub/deep.txt\n");
    assert_string_equal(get(f, "out/notes.txt"), "mine");
    assert_string_equal(get(f, "out/00000/class00000_id00077.png"), "mine too");
    assert_string_equal(get(f, "out/sub/deep.txt"), "mine four");
    assert_int_equal(f->d.list.n, 0);
}

// The new result needs a name that a foreign file has: both are kept, and it is said
// where.
static void test_a_foreign_file_in_the_way(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 1);
    put(f, "out/00000/class00000_id00001.png", "mine");
    write_result(f, "out", 4);
    assert_string_equal(tree(f, "out"), tree_of_4);
    assert_int_equal(f->d.list.n, 1);
    assert_int_equal(f->d.list.at[0].severity, DIAG_WARNING);
    char *kept =
        arena_printf(f->a, ".out.ddg-%ld/00000/class00000_id00001.png", (long)getpid());
    assert_string_equal(get(f, kept), "mine");
}

static void test_a_manifest_cannot_name_other_files(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 1);
    put(f, "precious", "p");
    assert_int_equal(mkdir(path_of(f, "elsewhere"), 0777), 0);
    put(f, "elsewhere/class00001_id00000.png", "p");
    assert_int_equal(symlink("../elsewhere", path_of(f, "out/00001")), 0);
    put(f, "out/notes", "n");
    put(f, "out/manifest.json",
        "{\"format\":\"ddg-result-1\",\"images\":[{\"file\":\"../"
        "precious\"},{\"file\":\"notes\"},"
        "{\"file\":\"00000/../notes\"},{\"file\":\"00001/"
        "class00001_id00000.png\"},7,[],{},"
        "{\"class\":1,\"file\":\"00000/class00000_id00000.png\"}]}");
    write_result(f, "out", 1);
    assert_string_equal(get(f, "precious"), "p");
    assert_string_equal(get(f, "out/notes"), "n");
    assert_string_equal(get(f, "elsewhere/class00001_id00000.png"), "p");
    assert_int_equal(f->d.list.n, 0); // the listed image was removed, so nothing was left
}

static void expect_refused(struct fixture *f, const char *to, const char *reason) {
    const char *before = tree(f, ".");
    f->d.list.n = f->d.errors = 0;
    assert_null(begin(f, to, K));
    assert_int_equal(f->d.errors, 1);
    const char *message = f->d.list.at[0].message;
    if (!strstr(message, reason)) fail_msg("\"%s\" does not say \"%s\"", message, reason);
    assert_string_equal(tree(f, "."), before);
}

static void test_foreign_targets_are_refused(void **state) {
    struct fixture *f = *state;
    put(f, "file", "x");
    expect_refused(f, "file", "it is a file");
    expect_refused(f, "file/out", "Not a directory");
    assert_int_equal(mkdir(path_of(f, "full"), 0777), 0);
    put(f, "full/thesis.tex", "x");
    expect_refused(f, "full", "holds something that ddg did not write");
    put(f, "full/manifest.json", "{\"format\": \"another\"}");
    expect_refused(f, "full", "did not write");
    put(f, "full/manifest.json", "[[[[{\"format\": \"ddg-result-1\"");
    expect_refused(f, "full", "did not write");
    assert_int_equal(symlink("nowhere", path_of(f, "dangling")), 0);
    expect_refused(f, "dangling", "a broken link");
    expect_refused(f, "a/b/..", "it needs a name");
}

static void test_an_empty_folder_is_used(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "out"), 0777), 0);
    write_result(f, "out/", 4);
    assert_string_equal(tree(f, "out"), tree_of_4);
}

static void test_a_link_is_followed(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "disk"), 0777), 0);
    assert_int_equal(mkdir(path_of(f, "disk/real"), 0777), 0);
    assert_int_equal(symlink("disk/real", path_of(f, "out")), 0);
    write_result(f, "out", 1);
    write_result(f, "out", 4);
    assert_string_equal(tree(f, "disk/real"), tree_of_4);
    struct stat st;
    assert_int_equal(lstat(path_of(f, "out"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

// ---- what goes wrong ----------------------------------------------------------------
static void test_abandon_leaves_nothing(void **state) {
    struct fixture *f = *state;
    struct result *r = begin(f, "a/b/out", K);
    assert_true(add(f, r, 0, 0, true));
    result_abandon(r);
    assert_string_equal(tree(f, "."), "");
    write_result(f, "out", 4);
    const char *before = tree(f, ".");
    r = begin(f, "out", K);
    assert_true(add(f, r, 2, 5, true));
    result_abandon(r);
    assert_string_equal(tree(f, "."), before);
}

// A run in another process that writes some images and is gone without a word.
static void die_after_writing(struct fixture *f) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct result *r = begin(f, "out", K);
        bool ok = r && add(f, r, 0, 0, true) && add(f, r, 1, 1, true);
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_a_killed_run_is_cleared_away(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 4);
    const char *before = tree(f, ".");
    die_after_writing(f);
    assert_string_equal(tree(f, "out"), tree_of_4); // still the older one, whole
    assert_string_not_equal(tree(f, "."), before);
    result_abandon(begin(f, "out", K));
    assert_string_equal(tree(f, "."), before);
}

static void test_a_living_run_is_let_alone(void **state) {
    struct fixture *f = *state;
    struct result *living = begin(f, "out", K);
    assert_true(add(f, living, 0, 0, true));
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        write_result(f, "out", 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    for (size_t i = 1; i < 4; i++)
        assert_true(add(f, living, (uint32_t)(i % K), i, true));
    assert_true(result_commit(living, &f->d)); // the last to finish wins
    assert_string_equal(tree(f, "out"), tree_of_4);
}

// Killed between the exchange and the clearing up: the older result stands aside with the
// foreign files still in it. The next run finishes the move.
static void test_a_half_done_exchange_is_finished(void **state) {
    struct fixture *f = *state;
    write_result(f, "out", 4);
    write_result(f, ".out.ddg-1", 9);
    put(f, ".out.ddg-1/notes.txt", "mine");
    result_abandon(begin(f, "out", K));
    assert_string_equal(get(f, "out/notes.txt"), "mine");
    assert_int_not_equal(access(path_of(f, ".out.ddg-1"), F_OK), 0);
}

static void test_folders_that_only_look_like_ours(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, ".out.ddg-notes"), 0777), 0);
    put(f, ".out.ddg-notes/overview.png", "mine");
    write_result(f, "out", 1);
    assert_string_equal(get(f, ".out.ddg-notes/overview.png"), "mine");
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// Files may not grow past a limit: the same path as a full disk.
static void test_a_full_disk_leaves_the_older_result(void **state) {
    struct fixture *f = *state;
    signal(SIGXFSZ, SIG_IGN);
    write_result(f, "out", 4);
    const char *before = tree(f, "."), *manifest = get(f, "out/manifest.json");
    struct result *r = begin(f, "out", K);
    limit_files(40);
    assert_false(add(f, r, 0, 0, true));
    limit_files(RLIM_INFINITY);
    result_abandon(r);
    r = begin(f, "out", K);
    for (size_t i = 0; i < 200; i++) assert_true(add(f, r, 0, i, true));
    limit_files(600); // the labels and the manifest, which were still in memory
    assert_false(result_commit(r, &f->d));
    limit_files(RLIM_INFINITY);
    assert_int_equal(f->d.errors, 2);
    assert_non_null(
        strstr(f->d.list.at[0].message, "cannot write `00000/class00000_id00000"));
    assert_non_null(strstr(f->d.list.at[1].message, "File too large"));
    assert_string_equal(tree(f, "."), before);
    assert_string_equal(get(f, "out/manifest.json"), manifest);
}

static void test_an_unwritable_parent(void **state) {
    struct fixture *f = *state;
    if (geteuid() == 0) skip(); // may write everywhere
    assert_int_equal(mkdir(path_of(f, "closed"), 0555), 0);
    expect_refused(f, "closed/out", "Permission denied");
    expect_refused(f, "closed/a/out", "Permission denied");
}

// ---- JSON ---------------------------------------------------------------------------
static void test_json_strings(void **state) {
    struct fixture *f = *state;
    assert_string_equal(json_string(f->a, ""), "\"\"");
    assert_string_equal(json_string(f->a, "a\"\\\b\f\n\r\t\x01\x7f/"),
                        "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u007f/\"");
    assert_string_equal(
        json_string(f->a, "\xe7\x8c\xab \xe7\x8c \xc0\x80"),
        "\"\xe7\x8c\xab \xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\"");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_files_and_pixels),
        TEST(test_labels),
        TEST(test_labels_are_numbers),
        TEST(test_manifest),
        TEST(test_the_same_rows_give_the_same_bytes),
        TEST(test_no_rows),
        TEST(test_overview_enlarges_small_images),
        TEST(test_overview_draws_maps),
        TEST(test_overview_takes_so_many_sources),
        TEST(test_overview_shows_a_source_once),
        TEST(test_overview_is_bounded),
        TEST(test_an_older_result_is_replaced),
        TEST(test_foreign_files_are_carried_over),
        TEST(test_a_foreign_file_in_the_way),
        TEST(test_a_manifest_cannot_name_other_files),
        TEST(test_foreign_targets_are_refused),
        TEST(test_an_empty_folder_is_used),
        TEST(test_a_link_is_followed),
        TEST(test_abandon_leaves_nothing),
        TEST(test_a_killed_run_is_cleared_away),
        TEST(test_a_living_run_is_let_alone),
        TEST(test_a_half_done_exchange_is_finished),
        TEST(test_folders_that_only_look_like_ours),
        TEST(test_a_full_disk_leaves_the_older_result),
        TEST(test_an_unwritable_parent),
        TEST(test_json_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
