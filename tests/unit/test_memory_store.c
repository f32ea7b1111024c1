// The store when memory runs out (meter.h): it may go without writing, and says so, but
// what it holds stays right, and is never taken for damaged.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alone.h"
#include "meter.h"
#include "store_rig.h"

static int enter(void **state) {
    if (setup_in_memory(state)) return -1;
    struct fixture *f = *state;
    return chdir(f->root);
}

static int leave(void **state) {
    return chdir("/") == 0 ? teardown(state) : -1;
}

// ---- the store -----------------------------------------------------------------------
// What is found is right (rig_get), whatever was lost; nothing is taken for damage.
static void use_store(struct trial *t) {
    const char *path = t->input;
    struct rig rig;
    char why[256];
    struct digest key = rig_record(&rig, "shap_patches", "9");
    struct store *s = store_open(&(struct store_options){.path = path}, why, sizeof why);
    if (!s) {
        t->d.no_memory = strstr(why, "memory");
        diag_error(&t->d, NO_SPAN, "%s", why);
        return;
    }
    struct cleanup held;
    cleanup_push(&held, (void (*)(void *))store_close, s);
    store_use(s, &rig.record);
    for (size_t i = 0; i < 4; i++) {
        rig_put(s, key, 8 * i, 8, WIDTH, 0.5);
        rig_get(s, key, 0, 32, WIDTH);
    }
    rig_put(s, key, 100, 1, 16384, 0.5); // a blob
    store_flush(s);
    rig_get(s, key, 0, 32, WIDTH);
    const char *trouble = store_trouble(s, t->a);
    t->ok = !trouble;
    t->d.no_memory = t->d.no_memory || (trouble && strstr(trouble, "memory"));
    if (trouble) diag_error(&t->d, NO_SPAN, "%s", trouble);
    cleanup_run(&held);
}

static void look_at_store(struct trial *t) {
    struct rig rig;
    struct digest key = rig_record(&rig, "shap_patches", "9");
    struct store *s = rig_open(t->input);
    rig_expect_trouble(t->f, s, NULL);
    size_t found = rig_get(s, key, 0, 32, WIDTH) + rig_get(s, key, 100, 1, 16384);
    if (t->ok) assert_int_equal(found, 33);
    store_close(s);
}

static void look_and_remove(struct trial *t) {
    look_at_store(t);
    remove_tree(t->input);
}

static void stores(void **state) {
    struct fixture *f = *state;
    fail_each(f, use_store, "store", look_and_remove); // made each time
    struct trial t = {.f = f, .input = "store"};
    assert_false(attempt(&t, use_store, 0, false));
    fail_each(f, use_store, "store", look_at_store);
}

// A store that was damaged keeps what it held, whoever could not repair it.
struct damaged { // a database, to be put where a store is
    const char *bytes;
    size_t n;
};

static void put_damaged(const struct damaged *d) {
    remove_tree("store");
    assert_int_equal(mkdir("store", 0777), 0);
    FILE *file = fopen("store/store-1.db", "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(d->bytes, 1, d->n, file), d->n);
    assert_int_equal(fclose(file), 0);
}

static void open_damaged(struct trial *t) {
    char why[256];
    put_damaged(t->input);
    struct store *s =
        store_open(&(struct store_options){.path = "store"}, why, sizeof why);
    t->ok = s != NULL;
    t->d.no_memory = !s && strstr(why, "memory");
    if (!s) diag_error(&t->d, NO_SPAN, "%s", why);
    store_close(s);
}

static void look_at_repaired(struct trial *t) {
    struct rig rig;
    if (!t->begun) return; // there is none
    struct digest key = rig_record(&rig, "shap_patches", "9");
    struct store *s = rig_open("store");
    assert_int_equal(rig_get(s, key, 0, 32, WIDTH), 32);
    store_close(s);
}

static void damaged_stores(void **state) {
    struct fixture *f = *state;
    struct trial t = {.f = f, .input = "store"};
    struct damaged d;
    assert_false(attempt(&t, use_store, 0, false));
    char *bytes = file_read(f->a, "store/store-1.db", 1 << 24, &d.n);
    assert_true(bytes && d.n > 2 * 4096);
    bytes[4096 + 60] ^= 1;
    d.bytes = bytes;
    fail_each(f, open_damaged, &d, look_at_repaired);
    assert_int_equal(access("store/store-2.db", F_OK), 0); // the last one was repaired
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stores, enter, leave),
        cmocka_unit_test_setup_teardown(damaged_stores, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
