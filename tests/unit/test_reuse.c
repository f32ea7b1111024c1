// Runs over one store: what a second run computes after something was changed, and that
// its results are those of a run without a store.
#include "cli/driver.h"
#include "runtime/identity.h"
#include "runtime/survey.h"
#include "runtime/why.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define SHAPES  TEST_DATA "/shapes/train/"
#define CLASSES 7
#define EACH    3 // images of a class, at first

static const char *const NAMES[CLASSES] = {"arrow", "checker", "crescent", "cross",
                                           "heart", "ladder",  "ring"};

// ---- files ---------------------------------------------------------------------------
static void copy_file(struct fixture *f, const char *from, const char *to) {
    size_t n;
    char *data = file_read(f->a, from, 1 << 20, &n);
    assert_non_null(data);
    FILE *out = fopen(to, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

// The i-th image of the class, into the folder as NAME with its own ending.
static void add_image(struct fixture *f, const char *folder, size_t cls, size_t i,
                      const char *name) {
    const char *ending = ".png";
    const char *from = arena_printf(f->a, SHAPES "%s/%04zu%s", NAMES[cls], i, ending);
    if (access(from, R_OK) != 0) {
        ending = ".jpg";
        from = arena_printf(f->a, SHAPES "%s/%04zu%s", NAMES[cls], i, ending);
    }
    copy_file(f, from,
              arena_printf(f->a, "%s/%s/%s%s", folder, NAMES[cls], name, ending));
}

static int enter(void **state) {
    if (setup(state)) return -1;
    struct fixture *f = *state;
    if (chdir(f->root) != 0 || mkdir("data", 0777) != 0) return -1;
    for (size_t c = 0; c < CLASSES; c++) {
        if (mkdir(arena_printf(f->a, "data/%s", NAMES[c]), 0777) != 0) return -1;
        for (size_t i = 0; i < EACH; i++)
            add_image(f, "data", c, i, arena_printf(f->a, "%zu", i));
    }
    copy_file(f, TEST_DATA "/onnx/pooled.onnx", "net.onnx");
    return 0;
}

static int leave(void **state) {
    return chdir("/") == 0 ? teardown(state) : -1;
}

static bool same_files(struct fixture *f, const char *a, const char *b) {
    size_t n, m;
    const char *x = file_read(f->a, a, 1 << 24, &n), *y = file_read(f->a, b, 1 << 24, &m);
    assert_non_null(x);
    assert_non_null(y);
    return n == m && !memcmp(x, y, n);
}

// ---- runs ----------------------------------------------------------------------------
#define TEACHER                                                                          \
    "teacher = onnx(\"net.onnx\", mean = [0.5, 0.4, 0.3], std = [0.25, 0.5, 1])\n"

static const char infoutil[] =
    "param sigma: float = 0.05\n"
    "param data: string = \"data\"\n"
    "train = images(data, size = 16)\n" TEACHER
    "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
    "noisy = perturb(pool(phi, window = 8, stride = 4), sigma = sigma, seed = 1)\n"
    "xi = crop(train, at = noisy, size = 8)\n"
    "util = gradnorm(teacher, xi)\n"
    "best = topk(xi, by = util, k = 1, per = class)\n"
    "set = stitch(best, factor = 1)\n"
    "soft = relabel(teacher, set, temperature = 20)\n"
    "save(phi, to = \"out/phi.npy\")\n"
    "save(util, to = \"out/util.npy\")\n"
    "save(soft, to = \"out/soft.npy\")\n";

struct run {
    const char *text, *define; // define may be NULL
    const char *point;         // of a sweep, or NULL
    size_t threads;
    bool no_store;
    bool sparing; // see driver_options
    double audit;
    bool fails;
};

struct outcome {
    struct run_report report; // lies in the fixture's arena
    const struct plan *plan;
    const char *said; // the error of a run that fails
};

static struct outcome run(struct fixture *f, struct run r) {
    struct outcome out;
    FILE *program = fopen("program.ddg", "wb");
    assert_non_null(program);
    fputs(r.text, program);
    assert_int_equal(fclose(program), 0);
    struct store_options so = {.path = "store"};
    char why[256];
    struct store *store = r.no_store ? NULL : store_open(&so, why, sizeof why);
    if (!store && !r.no_store) fail_msg("%s", why);
    struct driver v;
    size_t threads = r.threads ? r.threads : 1;
    struct driver_options o = {.path = "program.ddg",
                               .defines = &r.define,
                               .ndefines = r.define != NULL,
                               .threads = threads,
                               .point = r.point,
                               .sparing = r.sparing};
    driver_init(&v, f->a, &o);
    struct run_options ro = {.threads = threads,
                             .store = store,
                             .audit = r.audit,
                             .load = driver_load_stage,
                             .load_ctx = &v};
    bool ok = driver_load(&v) && driver_lower(&v, NULL) &&
              plan_run(v.module.plan, &ro, f->a, &out.report, &v.d);
    if (!r.fails) diags_print(&v.d, stderr, false);
    assert_int_equal(ok, !r.fails);
    out.said = r.fails ? v.d.list.at[0].message : NULL;
    out.plan = v.module.plan;
    if (store && store_trouble(store, f->a)) fail_msg("%s", store_trouble(store, f->a));
    store_close(store);
    driver_free(&v);
    return out;
}

static const struct run_stage *find_stage(const struct outcome *o, const char *name) {
    for (size_t i = 0; i < o->report.nstages; i++)
        if (o->report.stages[i].op && !strcmp(o->report.stages[i].name, name))
            return &o->report.stages[i];
    return NULL;
}

static const struct run_stage *stage(const struct outcome *o, const char *name) {
    const struct run_stage *s = find_stage(o, name);
    if (!s) fail_msg("nobody asked for %s", name);
    return s;
}

static void computes(const struct outcome *o, const char *name, size_t rows) {
    size_t got = stage(o, name)->computed;
    if (got != rows) fail_msg("%s: %zu rows computed, not %zu", name, got, rows);
}

static void computes_nothing(const struct outcome *o) {
    for (size_t i = 0; i < o->report.nstages; i++)
        if (o->report.stages[i].op && o->report.stages[i].computed)
            fail_msg("%s: %zu rows computed, not 0", o->report.stages[i].name,
                     o->report.stages[i].computed);
}

#define INFOUTIL                                                                         \
    (struct run) {                                                                       \
        .text = infoutil                                                                 \
    }
#define RUN(...) ((struct run){.text = infoutil, __VA_ARGS__})

static void remove_tree(const char *path) {
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

// Runs with the store; what comes out is what a run without it gives, and without
// constants of other stages than the one at hand.
static struct outcome run_checked(struct fixture *f, struct run r) {
    static const char *const FILES[] = {"phi.npy", "util.npy", "soft.npy"};
    r.no_store = r.sparing = true;
    run(f, r);
    assert_int_equal(rename("out", "fresh"), 0);
    r.no_store = r.sparing = false;
    struct outcome o = run(f, r);
    for (size_t i = 0; i < COUNT(FILES); i++)
        if (!same_files(f, arena_printf(f->a, "out/%s", FILES[i]),
                        arena_printf(f->a, "fresh/%s", FILES[i])))
            fail_msg("%s is not what it is without a store", FILES[i]);
    remove_tree("fresh");
    remove_tree("out");
    return o;
}

// ---- what is computed again ----------------------------------------------------------
static void the_same_again_computes_nothing(void **state) {
    struct fixture *f = *state;
    struct outcome o = run_checked(f, INFOUTIL);
    computes(&o, "phi", CLASSES * EACH);
    computes(&o, "xi.place", CLASSES * EACH);
    computes(&o, "util", CLASSES * EACH);
    computes(&o, "soft", CLASSES);
    for (size_t threads = 1; threads <= 7; threads += 2) {
        o = run_checked(f, RUN(.threads = threads));
        computes_nothing(&o);
    }
}

static size_t constants_gone(const struct plan *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->nconsts; i++) n += !p->consts[i].data;
    return n;
}

static void constants_of_other_stages_need_not_be_held(void **state) {
    struct fixture *f = *state;
    assert_true(constants_gone(run(f, RUN(.no_store = true, .sparing = true)).plan) > 0);
    assert_int_equal(constants_gone(run(f, RUN(.no_store = true)).plan), 0);
    run(f, INFOUTIL);
    // The audits of what is found load stages again.
    struct outcome o = run(f, RUN(.audit = 1, .sparing = true));
    assert_int_equal(o.report.audited, 3 * CLASSES * EACH + CLASSES);
}

static void added_images_are_computed_alone(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    for (size_t i = 0; i < 10; i++) // among the others, in the order of names
        add_image(f, "data", i % CLASSES, 10 + i, arena_printf(f->a, "%zu5", i % 2));
    struct outcome o = run_checked(f, RUN(.threads = 2));
    computes(&o, "phi", 10);
    computes(&o, "xi.place", 10);
    computes(&o, "util", 10);
    assert_int_equal(stage(&o, "phi")->reused, CLASSES * EACH);
}

static void removed_and_renamed_images_compute_nothing(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    assert_int_equal(rename("data/cross/0.png", "data/cross/9.png"), 0);
    assert_int_equal(rename("data/ring/2.png", "data/ring/00.png"), 0);
    assert_int_equal(rename("data", "elsewhere"), 0);
    struct outcome o = run_checked(f, RUN(.define = "data=elsewhere"));
    computes_nothing(&o);
    assert_int_equal(unlink("elsewhere/heart/1.png"), 0);
    o = run_checked(f, RUN(.define = "data=elsewhere"));
    computes(&o, "phi", 0);
    computes(&o, "xi.place", 0);
    computes(&o, "util", 0);
}

static const char both_targets[] =
    "train = images(\"data\", size = 16)\n" TEACHER
    "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
    "own = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0,\n"
    "                   target = \"predicted\")\n"
    "util = gradnorm(teacher, train)\n"
    "soft = relabel(teacher, train)\n"
    "save(phi, to = \"out/phi.npy\")\n"
    "save(own, to = \"out/own.npy\")\n"
    "save(util, to = \"out/util.npy\")\n"
    "save(soft, to = \"out/soft.npy\")\n";

static void another_class_computes_what_depends_on_it(void **state) {
    struct fixture *f = *state;
    run(f, (struct run){.text = both_targets});
    assert_int_equal(rename("data/heart/1.png", "data/ring/11.png"), 0);
    struct outcome o = run_checked(f, (struct run){.text = both_targets});
    computes(&o, "phi", 1);
    computes(&o, "util", 1);
    computes(&o, "own", 0);
    assert_null(find_stage(&o, "own.target")); // nobody asked
    computes(&o, "soft", 0);
}

static void another_sigma_computes_no_shapley_value(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    struct outcome o = run_checked(f, RUN(.define = "sigma=0"));
    computes(&o, "phi", 0);
    computes(&o, "xi.place", CLASSES * EACH);
    size_t moved = stage(&o, "util")->computed;
    assert_true(moved > 0);
    o = run_checked(f, RUN(.define = "sigma=0"));
    computes_nothing(&o);
    // Windows that are found again, by whatever noise, are known.
    o = run_checked(f, RUN(.define = "sigma=0.05000001"));
    computes(&o, "xi.place", CLASSES * EACH);
    computes(&o, "util", 0);
}

static void another_network_computes_everything(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    copy_file(f, TEST_DATA "/onnx/pooled.onnx", "elsewhere.onnx");
    assert_int_equal(rename("elsewhere.onnx", "net.onnx"), 0); // the same in a new file
    struct outcome o = run_checked(f, INFOUTIL);
    computes_nothing(&o);
    static const char brighter[] = "mean = [0.5, 0.4, 0.3]";
    char *text = arena_strdup(f->a, infoutil);
    memcpy(strstr(text, brighter) + strlen("mean = [0."), "6", 1);
    o = run_checked(f, (struct run){.text = text});
    computes(&o, "phi", CLASSES * EACH);
    computes(&o, "util", CLASSES * EACH);
    computes(&o, "soft", CLASSES);
}

// One program finds what another has computed of the same images and network.
static void programs_share_what_is_the_same(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    struct outcome o = run_checked(f, (struct run){.text = both_targets});
    computes(&o, "phi", 0);
    computes(&o, "util", CLASSES * EACH); // of whole images, not of crops
}

// One value by two names, of rows that are partly the same.
static void a_program_computes_nothing_twice(void **state) {
    struct fixture *f = *state;
    static const char text[] =
        "train = images(\"data\", size = 16)\n" TEACHER
        "util = gradnorm(teacher, train)\n"
        "again = gradnorm(teacher, topk(train, by = util, k = 2))\n"
        "save(again, to = \"out/util.npy\")\n";
    struct outcome o = run(f, (struct run){.text = text});
    computes(&o, "util", CLASSES * EACH);
    computes(&o, "again", 0);
}

// A point of a sweep lies in a folder of its own, and is the same as a run of that value.
static void points_of_a_sweep_share(void **state) {
    struct fixture *f = *state;
    run(f, RUN(.define = "sigma=0.05"));
    struct outcome o = run(f, RUN(.define = "sigma=0.05", .point = "sigma=0.05"));
    computes_nothing(&o);
    assert_true(same_files(f, "out/phi.npy", "out/sigma=0.05/phi.npy"));
    assert_true(same_files(f, "out/soft.npy", "out/sigma=0.05/soft.npy"));
    o = run(f, RUN(.define = "sigma=0", .point = "sigma=0"));
    computes(&o, "phi", 0);
    assert_false(same_files(f, "out/soft.npy", "out/sigma=0/soft.npy"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

// ---- audits --------------------------------------------------------------------------
// Puts another value in the place of the one that is stored for a row of phi: one whose
// checksum is right, as a machine with bad memory would.
static void forge(struct fixture *f, size_t row) {
    struct driver v;
    struct rowsets r;
    struct driver_options o = {.path = "program.ddg", .threads = 1};
    driver_init(&v, f->a, &o);
    assert_true(driver_load(&v) && driver_lower(&v, NULL));
    const struct plan *p = v.module.plan;
    uint32_t column = 0;
    while (strcmp(p->columns[column].name, "phi") != 0) column++;
    struct store_options so = {.path = "store"};
    char why[256];
    struct store *store = store_open(&so, why, sizeof why);
    assert_non_null(store);
    rowsets_init(&r, f->a, p);
    uint32_t at = (uint32_t)row;
    assert_true(rowsets_open(&r, store, 1, &v.d) &&
                identity_learn(&r, p->columns[column].rowset, &at, 1, store, 1, &v.d));
    const struct store_record *record = &p->columns[column].memo->record;
    struct digest key = identity_key(&r, column, row);
    size_t bytes = p->columns[column].row_bytes;
    char *value = arena_alloc(f->a, 1, bytes);
    bool found = false;
    assert_int_equal(store_get(store, record->key, &key, 1, bytes, value, &found), 1);
    value[0] ^= 1;
    store_use(store, record);
    store_put(store, record->key, &key, 1, bytes, value, 1);
    store_close(store);
    rowsets_close(&r);
    driver_free(&v);
}

static void audits_compare_what_is_stored(void **state) {
    struct fixture *f = *state;
    run(f, INFOUTIL);
    struct outcome o = run(f, RUN(.audit = 1, .threads = 2));
    size_t rows = 0;
    for (size_t i = 0; i < o.report.nstages; i++) rows += o.report.stages[i].reused;
    assert_int_equal(o.report.audited, rows);
    forge(f, 4);
    o = run(f, RUN(.audit = 1, .fails = true));
    assert_non_null(strstr(o.said, "audit: the store holds another `phi` of checker/1"));
    assert_non_null(strstr(o.said, "1 of 21 values"));
}

static void copies_of_an_image_are_computed_once(void **state) {
    struct fixture *f = *state;
    add_image(f, "data", 2, 0, "again");
    add_image(f, "data", 2, 1, "and-again");
    struct outcome o = run_checked(f, INFOUTIL);
    computes(&o, "phi", CLASSES * EACH);
    assert_int_equal(stage(&o, "phi")->reused, 2);
}

// ---- plans ---------------------------------------------------------------------------
// What `ddg plan` says of a program, and with `about` what `ddg why` does of that value.
static struct survey look(struct fixture *f, struct run r, const char *about,
                          struct why *w) {
    FILE *program = fopen("program.ddg", "wb");
    assert_non_null(program);
    fputs(r.text, program);
    assert_int_equal(fclose(program), 0);
    char why[256];
    struct store *store =
        store_open(&(struct store_options){.path = "store", .look = true}, why, 256);
    assert_non_null(store);
    struct driver v;
    struct driver_options o = {.path = "program.ddg",
                               .defines = &r.define,
                               .ndefines = r.define != NULL,
                               .threads = 1};
    struct run_options ro = {.threads = 1, .store = store};
    struct survey s = {0};
    driver_init(&v, f->a, &o);
    bool ok = driver_load(&v) && driver_lower(&v, NULL) && driver_flops(&v) &&
              plan_survey(v.module.plan, &ro, f->a, &s, &v.d) &&
              (!about || plan_why(v.module.plan, &ro, about, f->a, w, &v.d));
    diags_print(&v.d, stderr, false);
    assert_true(ok);
    store_close(store);
    driver_free(&v);
    return s;
}

static const struct survey_node *node(const struct survey *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (s->nodes[i].op && !strcmp(s->nodes[i].name, name)) return &s->nodes[i];
    fail_msg("the plan does not speak of %s", name);
    return NULL;
}

static void plans(const struct survey *s, const char *name, size_t reused,
                  size_t computed, bool vague) {
    const struct survey_node *n = node(s, name);
    if (n->reused != reused || n->computed != computed || (n->vague > 0) != vague)
        fail_msg("%s: %zu found, %zu%s computed, not %zu, %zu%s", name, n->reused,
                 n->computed, n->vague ? " at most" : "", reused, computed,
                 vague ? " at most" : "");
}

static void a_plan_counts_copies_once(void **state) {
    struct fixture *f = *state;
    store_close(
        store_open(&(struct store_options){.path = "store"}, (char[256]){0}, 256));
    add_image(f, "data", 2, 0, "again");
    add_image(f, "data", 2, 1, "and-again");
    struct survey s = look(f, INFOUTIL, NULL, NULL);
    plans(&s, "phi", 2, CLASSES * EACH, false);
    struct outcome o = run(f, INFOUTIL);
    computes(&o, "phi", CLASSES * EACH);
}

// What is computed of chosen rows alone, before it is known which.
static const char chosen[] =
    "param temperature: float = 20\n"
    "train = images(\"data\", size = 16)\n" TEACHER
    "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
    "xi = crop(train, at = phi, size = 8)\n"
    "best = topk(xi, by = loss(teacher, train), k = 2)\n"
    "util = gradnorm(teacher, best)\n"
    "set = stitch(topk(best, by = util, k = 1), factor = 1)\n"
    "soft = relabel(teacher, set, temperature = temperature)\n"
    "save(soft, to = \"out/soft.npy\")\n";

static void a_plan_forgets_nothing_that_chosen_rows_need(void **state) {
    struct fixture *f = *state;
    store_close(
        store_open(&(struct store_options){.path = "store"}, (char[256]){0}, 256));
    struct run all = {.text = chosen};
    struct survey s = look(f, all, NULL, NULL);
    plans(&s, "loss", 0, CLASSES * EACH, false);
    plans(&s, "phi", 0, CLASSES * 2, true);
    plans(&s, "xi", 0, CLASSES * 2, true);
    plans(&s, "util", 0, CLASSES * 2, true);
    plans(&s, "soft", 0, CLASSES, true);
    run(f, all);
    s = look(f, all, NULL, NULL);
    plans(&s, "soft", CLASSES, 0, false);
    // All of what may be chosen is in the store but for three rows.
    run(f, (struct run){.text = infoutil});
    for (size_t i = 0; i < 3; i++) add_image(f, "data", i, 10, "new");
    s = look(f, all, NULL, NULL);
    plans(&s, "loss", CLASSES * EACH, 3, false);
    plans(&s, "xi", CLASSES * 2 - 10, 10, true); // 14 of 24 are there
    plans(&s, "phi", 7, 3, true);                // 21 of 24 are there
}

static void why_names_what_changed_and_nothing_else(void **state) {
    struct fixture *f = *state;
    struct why w;
    run(f, (struct run){.text = chosen});
    look(f, (struct run){.text = chosen, .define = "temperature=2.5"}, "soft", &w);
    assert_int_equal(w.kind, WHY_CHANGED);
    assert_string_equal(w.reason, "temperature 20 -> 2.5");
}

// ---- kills ---------------------------------------------------------------------------
struct deadly { // a run that ends itself in its third chunk of phi
    size_t calls;
    size_t *done; // rows, before the chunk that was done last; shared with who looks on
    size_t last;
};

static void kill_itself(void *ctx, const char *name, size_t done, size_t rows,
                        double seconds) {
    struct deadly *k = ctx;
    (void)rows, (void)seconds;
    if (strcmp(name, "phi") != 0) return;
    usleep(100000); // as long as a chunk takes that is worth the name
    *k->done = k->last;
    k->last = done;
    if (++k->calls == 4) raise(SIGKILL);
}

static void run_to_death(struct fixture *f, size_t *done) {
    char why[256];
    struct store *store =
        store_open(&(struct store_options){.path = "store"}, why, sizeof why);
    struct driver v;
    struct deadly deadly = {.done = done};
    struct driver_options o = {.path = "program.ddg", .threads = 1};
    struct run_options ro = {.threads = 1,
                             .store = store,
                             .load = driver_load_stage,
                             .load_ctx = &v,
                             .stage = kill_itself,
                             .ctx = &deadly};
    struct run_report report;
    driver_init(&v, f->a, &o);
    if (driver_load(&v) && driver_lower(&v, NULL))
        plan_run(v.module.plan, &ro, f->a, &report, &v.d);
    _exit(1); // it should not have come so far
}

static size_t stored_of(struct fixture *f, const char *op) {
    char why[256];
    struct store_record *r;
    struct store *store =
        store_open(&(struct store_options){.path = "store"}, why, sizeof why);
    size_t n = store_records(store, op, f->a, &r), rows = 0;
    for (size_t i = 0; i < n; i++) rows += r[i].rows;
    store_close(store);
    return rows;
}

static void a_kill_loses_one_chunk_at_most(void **state) {
    struct fixture *f = *state;
    size_t *done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(done, MAP_FAILED);
    run(f, RUN(.no_store = true)); // leaves the program where the child finds it
    remove_tree("out");
    pid_t child = fork();
    if (child == 0) run_to_death(f, done);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    size_t stored = stored_of(f, "shap_patches");
    assert_true(*done > 0 && stored < CLASSES * EACH);
    if (stored < *done) fail_msg("%zu rows stored, but %zu were done", stored, *done);
    struct outcome o = run_checked(f, INFOUTIL);
    computes(&o, "phi", CLASSES * EACH - stored);
    munmap(done, sizeof *done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(constants_of_other_stages_need_not_be_held),
        TEST(the_same_again_computes_nothing),
        TEST(added_images_are_computed_alone),
        TEST(removed_and_renamed_images_compute_nothing),
        TEST(another_class_computes_what_depends_on_it),
        TEST(another_sigma_computes_no_shapley_value),
        TEST(another_network_computes_everything),
        TEST(programs_share_what_is_the_same),
        TEST(a_program_computes_nothing_twice),
        TEST(points_of_a_sweep_share),
        TEST(audits_compare_what_is_stored),
        TEST(copies_of_an_image_are_computed_once),
        TEST(a_plan_counts_copies_once),
        TEST(a_plan_forgets_nothing_that_chosen_rows_need),
        TEST(why_names_what_changed_and_nothing_else),
        TEST(a_kill_loses_one_chunk_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
