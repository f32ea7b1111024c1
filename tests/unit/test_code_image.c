// Code made ahead of time: the same bits as code linked in memory, wherever it lies, the
// same bytes however it was made, and what a processor must have to run it. That each
// kernel does the same is looked at for random functions too, in test_codegen_conv.c and
// its like.
#include "cli/driver.h"
#include "runtime/cpu.h"
#include "runtime/keep.h"
#include "tests/unit/code_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SMALL TEST_DATA "/../cases/run/small.ddg"

// ---- a whole pipeline ----------------------------------------------------------------

static void start(struct driver *v, struct arena *a, const char *target, size_t threads) {
    struct driver_options o = {.path = SMALL, .threads = threads, .target = target};
    driver_init(v, a, &o);
    if (!driver_load(v) || !driver_lower(v, NULL)) {
        diags_print(&v->d, stderr, false);
        fail_msg("%s does not compile for %s", SMALL, target);
    }
}

static struct keep run(struct driver *v, bool ahead) {
    struct keep k = {.arena = v->arena, .arrays = true};
    struct run_report report;
    struct run_options o = {.threads = 1, .no_files = true, .keep = &k};
    if (!ahead) {
        o.load = driver_load_stage;
        o.load_ctx = v;
    }
    if (!plan_run(v->module.plan, &o, v->arena, &report, &v->d)) {
        diags_print(&v->d, stderr, false);
        fail_msg("%s does not run", SMALL);
    }
    return k;
}

static void enter_code(struct plan *p, const struct code_map *map) {
    for (size_t i = 0; i < p->nfuncs; i++)
        for (size_t k = 0; k < p->funcs[i].ncalls; k++) {
            struct plan_call *c = &p->funcs[i].calls[k];
            assert_null(c->fn); // nothing was linked
            if (c->symbol) c->fn = code_at(map, c->entry);
        }
}

static struct keep run_ahead(struct driver *v) {
    struct codegen_image image;
    assert_true(driver_image(v, &image));
    assert_true(image.nkernels > 20);
    struct code_map map = code_map(&image);
    enter_code(v->module.plan, &map);
    struct keep k = run(v, true);
    code_unmap(&map);
    return k;
}

static void same_results(const struct keep *a, const struct keep *b) {
    assert_int_equal(a->n, 1);
    assert_int_equal(b->n, 1);
    const struct keep_save *x = &a->at[0], *y = &b->at[0];
    size_t pixels = x->rank ? x->dim[1] * x->dim[2] * x->dim[3] : 0;
    assert_true(x->rows > 0 && pixels > 0 && x->labels > 1);
    assert_int_equal(x->rows, y->rows);
    assert_memory_equal(x->pixels, y->pixels, x->rows * pixels);
    assert_memory_equal(x->classes, y->classes, x->rows * sizeof *x->classes);
    assert_memory_equal(x->soft, y->soft, x->rows * x->labels * sizeof *x->soft);
}

static void a_pipeline_gives_the_same_results(void **state) {
    (void)state;
    static const char *const TARGETS[] = {"native", "x86-64-v3", "x86-64"};
    for (size_t t = 0; t < COUNT(TARGETS); t++) {
        struct arena *a = arena_new();
        struct driver memory, ahead;
        start(&memory, a, TARGETS[t], 1);
        start(&ahead, a, TARGETS[t], 1);
        if (cpu_lacks(a, codegen_needs(a, &ahead.target)) == NULL) {
            struct keep want = run(&memory, false), got = run_ahead(&ahead);
            same_results(&want, &got);
            keep_free(&want);
            keep_free(&got);
        }
        driver_free(&memory);
        driver_free(&ahead);
        arena_free(a);
    }
}

// ---- the image -----------------------------------------------------------------------

static void same_images(const struct codegen_image *a, const struct codegen_image *b) {
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->bytes, b->bytes, a->n);
    assert_int_equal(a->nkernels, b->nkernels);
    for (size_t i = 0; i < a->nkernels; i++) {
        assert_string_equal(a->kernels[i].symbol, b->kernels[i].symbol);
        assert_int_equal(a->kernels[i].entry, b->kernels[i].entry);
        assert_int_equal(a->kernels[i].bytes, b->kernels[i].bytes);
    }
}

static void images_depend_on_the_program_alone(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct codegen_image first, image;
    for (size_t threads = 1; threads <= 4; threads *= 2) {
        struct driver v;
        start(&v, a, "x86-64-v3", threads);
        assert_true(driver_image(&v, threads == 1 ? &first : &image));
        if (threads > 1) same_images(&first, &image);
        if (threads == 4) { // nor on whether code was linked in between
            assert_true(driver_link(&v));
            assert_true(driver_image(&v, &image));
            same_images(&first, &image);
        }
        driver_free(&v);
    }
    arena_free(a);
}

static void kernels_lie_apart_and_in_order(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct driver v;
    struct codegen_image im;
    start(&v, a, "native", 1);
    assert_true(driver_image(&v, &im));
    for (size_t i = 0; i < im.nkernels; i++) {
        size_t end = im.kernels[i].entry + im.kernels[i].bytes;
        assert_int_equal(im.kernels[i].entry % 64, 0);
        assert_true(im.kernels[i].bytes > 0);
        assert_true(end <= (i + 1 < im.nkernels ? im.kernels[i + 1].entry : im.n));
    }
    driver_free(&v);
    arena_free(a);
}

static void nothing_asked_for_is_an_empty_image(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct diags d;
    struct target t;
    struct codegen_image im;
    diags_init(&d, a);
    assert_true(codegen_host_target(a, &t, &d));
    struct codegen *cg = codegen_new(&t, &d);
    assert_non_null(cg);
    assert_true(codegen_image(cg, 2, a, &im, &d));
    assert_int_equal(im.n, 0);
    assert_int_equal(im.nkernels, 0);
    codegen_free(cg);
    arena_free(a);
}

// ---- the object ----------------------------------------------------------------------

static void objects_name_every_kernel(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct driver v;
    struct codegen_image im;
    char *bytes;
    size_t n;
    start(&v, a, "x86-64-v3", 1);
    assert_true(driver_image(&v, &im));
    assert_true(codegen_object(v.codegen, a, &bytes, &n, &v.d));
    assert_true(n > im.n / 2);
    assert_memory_equal(bytes, "\177ELF", 4);
    for (size_t i = 0; i < im.nkernels; i++) {
        const char *symbol = im.kernels[i].symbol;
        assert_non_null(memmem(bytes, n, symbol, strlen(symbol) + 1));
    }
    driver_free(&v);
    arena_free(a);
}

// ---- what it needs -------------------------------------------------------------------

static const char *needs_of(struct arena *a, const char *target) {
    struct diags d;
    struct target t;
    diags_init(&d, a);
    assert_true(codegen_target_named(a, target, &t, &d));
    t.bf16 = false;
    return codegen_needs(a, &t);
}

static void each_level_needs_its_features(void **state) {
    (void)state;
    struct arena *a = arena_new();
    assert_string_equal(needs_of(a, "x86-64"), "x86-64");
    assert_string_equal(needs_of(a, "aarch64"), "aarch64");
    assert_string_equal(
        needs_of(a, "x86-64-v3"),
        "x86-64,cx16,sahf,popcnt,sse3,ssse3,sse4.1,sse4.2,crc32,avx,avx2,bmi,"
        "bmi2,f16c,fma,lzcnt,movbe,xsave");
    assert_string_equal(needs_of(a, "x86-64-v4"),
                        arena_printf(a, "%s,%s", needs_of(a, "x86-64-v3"),
                                     "avx512f,avx512bw,avx512cd,avx512dq,avx512vl"));
    arena_free(a);
}

// Code for the machine at hand is code for machines like it: it asks for no more than the
// highest level does.
static void native_needs_nothing_special(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const char *needs = needs_of(a, "native"), *most = needs_of(a, "x86-64-v4");
    assert_null(cpu_lacks(a, needs));
    for (char *word = strtok(arena_strdup(a, needs), ","); word; word = strtok(NULL, ","))
        assert_non_null(strstr(most, word));
    assert_null(strstr(needs, "aes"));
    arena_free(a);
}

// An fp32 program for this machine asks for nothing that only bf16 has a use for.
static void fp32_programs_need_no_bf16(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct driver v;
    start(&v, a, "native", 1);
    assert_null(strstr(codegen_needs(a, &v.target), "bf16"));
    driver_free(&v);
    struct driver_options o = {.path = SMALL, .threads = 1, .bf16 = true};
    driver_init(&v, a, &o);
    assert_true(driver_load(&v) && driver_lower(&v, NULL));
    bool needs = strstr(codegen_needs(a, &v.target), "avx512bf16") != NULL;
    assert_int_equal(needs, cpu_lacks(a, "x86-64,avx512bf16") == NULL);
    driver_free(&v);
    arena_free(a);
}

// What multiplies bf16 asks for it, and what has it knows that it does.
static void bf16_is_needed_where_it_is_used(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct diags d;
    struct target t;
    diags_init(&d, a);
    assert_true(codegen_target_named(a, "x86-64-v4", &t, &d));
    assert_false(t.bf16);
    assert_true(codegen_host_target(a, &t, &d));
    bool has = t.bf16;
    assert_int_equal(has, cpu_lacks(a, "x86-64,avx512bf16") == NULL);
    t.bf16 = true;
    const char *needs = codegen_needs(a, &t), *word = strstr(needs, ",avx512bf16");
    assert_non_null(word);
    assert_string_equal(word, ",avx512bf16");
    arena_free(a);
}

static void what_is_lacking_is_named(void **state) {
    (void)state;
    struct arena *a = arena_new();
    assert_null(cpu_lacks(a, ""));
    assert_null(cpu_lacks(a, ","));
    assert_string_equal(cpu_lacks(a, "time-travel"), "time-travel");
    assert_string_equal(cpu_lacks(a, "av,avx1024"), "av, avx1024");
#if defined(__x86_64__)
    assert_null(cpu_lacks(a, "x86-64"));
    assert_string_equal(cpu_lacks(a, "aarch64"), "aarch64");
#endif
    static const char *const NAMES[] = {"sse3", "avx2", "fma", "avx512f"};
    bool has[] = {__builtin_cpu_supports("sse3"), __builtin_cpu_supports("avx2"),
                  __builtin_cpu_supports("fma"), __builtin_cpu_supports("avx512f")};
    for (size_t i = 0; i < COUNT(NAMES); i++)
        assert_int_equal(cpu_lacks(a, NAMES[i]) == NULL, has[i]);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_gives_the_same_results),
        cmocka_unit_test(images_depend_on_the_program_alone),
        cmocka_unit_test(kernels_lie_apart_and_in_order),
        cmocka_unit_test(nothing_asked_for_is_an_empty_image),
        cmocka_unit_test(objects_name_every_kernel),
        cmocka_unit_test(each_level_needs_its_features),
        cmocka_unit_test(native_needs_nothing_special),
        cmocka_unit_test(fp32_programs_need_no_bf16),
        cmocka_unit_test(bf16_is_needed_where_it_is_used),
        cmocka_unit_test(what_is_lacking_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
