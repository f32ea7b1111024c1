// Bundles: what is written comes back, all of it; what is damaged, cut off or made up is
// refused in words, and nothing is read that is not there; code that was written runs.
#include "bundle_rig.h"

#include "cli/driver.h"
#include "runtime/bundle/footer.h"
#include "runtime/bundle/pack.h"
#include "runtime/bundle/read.h"
#include "runtime/bundle/shape.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <unistd.h>

#include <cmocka.h>

// ---- the same, all the way down ------------------------------------------------------
static const void *pointer_at(const void *at) {
    const void *p;
    memcpy(&p, at, sizeof p);
    return p;
}

// Bytes of a member; what stands behind it, its count, is seen to by the list it counts.
static size_t width(const struct field *f) {
    switch (f->kind) {
    case FIELD_SIZE: return sizeof(size_t);
    case FIELD_INDEX: return sizeof(uint32_t);
    case FIELD_BOOL: return sizeof(bool);
    case FIELD_REAL: return sizeof(double);
    case FIELD_ENUM: return sizeof(unsigned);
    case FIELD_SPAN: return sizeof(struct span);
    case FIELD_STRUCT: return f->of->size;
    case FIELD_SIZES: return f->most * sizeof(size_t);
    case FIELD_REALS: return f->most * sizeof(double);
    case FIELD_VALUE: return sizeof(struct value);
    case FIELD_NONE: return f->most;
    default: return sizeof(void *);
    }
}

static void same_struct(const struct shape *s, const void *a, const void *b);

static void same_text(const struct field *f, const char *a, const char *b) {
    if (!a != !b || (a && strcmp(a, b) != 0))
        fail_msg("%s: `%s` and `%s`", f->name, a ? a : "NULL", b ? b : "NULL");
}

static void same_span(const struct span *a, const struct span *b) {
    assert_int_equal(a->file != NULL, b->file != NULL);
    if (a->file) assert_string_equal(a->file->path, b->file->path);
    if (a->file) assert_string_equal(a->file->text, b->file->text);
    assert_int_equal(a->start, b->start);
    assert_int_equal(a->end, b->end);
}

static void same_value(const struct value *a, const struct value *b) {
    assert_true(value_eq(a, b));
    assert_int_equal(a->n, b->n);
}

static void same_sources(const struct source *const *a, const struct source *const *b,
                         size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(a[i]->path, b[i]->path);
        assert_int_equal(a[i]->n, b[i]->n);
        assert_memory_equal(a[i]->text, b[i]->text, a[i]->n + 1);
    }
}

static void same_list(const struct field *f, const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        same_struct(f->of, a + i * f->of->size, b + i * f->of->size);
}

static void same_formulas(const struct formula *const *a, const struct formula *const *b,
                          size_t n) {
    for (size_t i = 0; i < n; i++) assert_true(formula_eq(a[i], b[i]));
}

// What a pointer leads to.
static void same_behind(const struct field *f, const void *a, const void *b, size_t n) {
    switch (f->kind) {
    case FIELD_TEXT:
    case FIELD_KERNEL: same_text(f, a, b); return;
    case FIELD_POINTER:
        assert_int_equal(!a, !b);
        if (a) same_struct(f->of, a, b);
        return;
    case FIELD_LIST: same_list(f, a, b, n); return;
    case FIELD_INDICES: assert_memory_equal(a, b, n * sizeof(uint32_t)); return;
    case FIELD_SOURCES: same_sources(a, b, n); return;
    case FIELD_FORMULA: assert_true(formula_eq(a, b)); return;
    case FIELD_FORMULAS: same_formulas(a, b, n); return;
    case FIELD_CONST:
    case FIELD_CODE: assert_memory_equal(a, b, n); return;
    default: fail_msg("%s is no pointer", f->name);
    }
}

static bool is_pointer(const struct field *f) {
    return width(f) == sizeof(void *) && f->kind != FIELD_SIZE && f->kind != FIELD_REAL &&
           f->kind != FIELD_NONE && f->kind != FIELD_STRUCT && f->kind != FIELD_SIZES;
}

static void same_member(const struct shape *s, const struct field *f, const void *a,
                        const void *b) {
    const void *x = field_of(f, a), *y = field_of(f, b);
    bool counted = f->count || f->kind == FIELD_LIST; // a count may come first
    if (f->kind == FIELD_STRUCT) same_struct(f->of, x, y);
    else if (f->kind == FIELD_SPAN) same_span(x, y);
    else if (f->kind == FIELD_VALUE) same_value(x, y);
    else if (!is_pointer(f)) {
        if (memcmp(x, y, width(f)) != 0)
            fail_msg("%s of a %s came back as another", f->name, s->name);
    } else {
        size_t n = counted ? field_count(f, a) : 0;
        if (counted) assert_int_equal(n, field_count(f, b));
        same_behind(f, pointer_at(x), pointer_at(y), n);
    }
}

static void same_struct(const struct shape *s, const void *a, const void *b) {
    for (size_t i = 0; i < s->nfields; i++)
        if (s->fields[i].kind != FIELD_NONE || strcmp(s->fields[i].name, "plan") != 0)
            same_member(s, &s->fields[i], a, b);
}

static void same_bundle(const struct bundle *a, const struct bundle *b) {
    assert_string_equal(a->version, b->version);
    assert_int_equal(a->nvariants, b->nvariants);
    for (size_t i = 0; i < a->nvariants; i++) {
        same_struct(&shape_variant, &a->variants[i], &b->variants[i]);
        same_struct(&shape_plan, a->variants[i].plan, b->variants[i].plan);
    }
}

// ---- the tables ----------------------------------------------------------------------
struct shapes { // that have been gone through
    const struct shape *at[64];
    size_t n;
};

static bool is_new(struct shapes *seen, const struct shape *s) {
    for (size_t i = 0; i < seen->n; i++)
        if (seen->at[i] == s) return false;
    assert_true(seen->n < COUNT(seen->at));
    seen->at[seen->n++] = s;
    return true;
}

static void cover(bool *covered, size_t at, size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_false(covered[at + i]);
        covered[at + i] = true;
    }
}

// A gap in what the rows cover is a member without a row, unless it is padding: shorter
// than the alignment of what stands behind it.
static void check_covered(const struct shape *s, const bool *covered) {
    for (size_t i = 0, gap = 0; i <= s->size; i++) {
        bool end = i == s->size || covered[i];
        if (end && gap && (gap >= 8 || i % 4))
            fail_msg("%s has a member without a row, before byte %zu", s->name, i);
        gap = end ? 0 : gap + 1;
    }
}

static void check_shape(struct shapes *seen, const struct shape *s) {
    bool covered[512] = {0};
    if (!is_new(seen, s)) return;
    assert_true(s->size <= sizeof covered);
    for (size_t i = 0; i < s->nfields; i++) {
        const struct field *f = &s->fields[i];
        bool counted = f->kind == FIELD_LIST || f->kind == FIELD_INDICES ||
                       f->kind == FIELD_SOURCES || f->kind == FIELD_FORMULAS ||
                       f->kind == FIELD_CONST || f->kind == FIELD_CODE;
        cover(covered, f->at, width(f));
        if (counted) cover(covered, f->count, sizeof(size_t));
        if (f->cap) cover(covered, f->cap, sizeof(size_t));
        if (f->of) check_shape(seen, f->of);
    }
    check_covered(s, covered);
}

static void members_all_have_rows(void **state) {
    (void)state;
    struct shapes seen = {0};
    check_shape(&seen, &shape_plan);
    check_shape(&seen, &shape_variant);
    check_shape(&seen, &shape_formula);
    assert_true(seen.n > 20);
}

// ---- the rig -------------------------------------------------------------------------
struct noted { // rows whose member is not zero somewhere
    const struct field *at[256];
    size_t n;
};

static bool is_noted(const struct noted *n, const struct field *f) {
    for (size_t i = 0; i < n->n; i++)
        if (n->at[i] == f) return true;
    return false;
}

static bool all_zero(const void *at, size_t n) {
    const char *p = at;
    while (n && !*p) p++, n--;
    return n == 0;
}

static void note_struct(struct noted *n, const struct shape *s, const void *at);

static void note_member(struct noted *n, const struct field *f, const void *in) {
    const void *at = field_of(f, in);
    if (!all_zero(at, width(f)) && !is_noted(n, f)) n->at[n->n++] = f;
    if (f->kind == FIELD_STRUCT) note_struct(n, f->of, at);
    if (f->kind == FIELD_POINTER && pointer_at(at)) note_struct(n, f->of, pointer_at(at));
    for (size_t i = 0; f->kind == FIELD_LIST && i < field_count(f, in); i++)
        note_struct(n, f->of, (const char *)pointer_at(at) + i * f->of->size);
    if (f->kind == FIELD_VALUE && ((const struct value *)at)->of)
        note_struct(n, &shape_formula, ((const struct value *)at)->of);
    if (f->kind == FIELD_FORMULA && pointer_at(at))
        note_struct(n, &shape_formula, pointer_at(at));
    for (size_t i = 0; f->kind == FIELD_FORMULAS && i < field_count(f, in); i++)
        note_struct(n, &shape_formula, ((const void *const *)pointer_at(at))[i]);
}

static void note_struct(struct noted *n, const struct shape *s, const void *at) {
    for (size_t i = 0; i < s->nfields; i++) note_member(n, &s->fields[i], at);
}

// So that a member that is forgotten anywhere on the way is one that should not be zero.
static void the_rig_fills_everything_in(void **state) {
    struct fixture *f = *state;
    struct bundle *b = rig_bundle(f->a, 1);
    struct noted noted = {0};
    struct shapes seen = {0};
    note_struct(&noted, &shape_plan, b->variants[0].plan);
    note_struct(&noted, &shape_variant, &b->variants[0]);
    check_shape(&seen, &shape_plan);
    check_shape(&seen, &shape_variant);
    check_shape(&seen, &shape_formula);
    for (size_t i = 0; i < seen.n; i++)
        for (size_t k = 0; k < seen.at[i]->nfields; k++) {
            const struct field *field = &seen.at[i]->fields[k];
            if (field->kind != FIELD_NONE && !is_noted(&noted, field))
                fail_msg("%s.%s is zero everywhere", seen.at[i]->name, field->name);
        }
}

static void the_rig_is_right(void **state) {
    struct fixture *f = *state;
    struct plan *p = rig_plan(f->a);
    const char *why = plan_check(f->a, p);
    if (why) fail_msg("%s", why);
    plan_settle(f->a, p);
    same_struct(&shape_plan, rig_plan(f->a), p);
}

// ---- there and back ------------------------------------------------------------------
static char *write_rig(struct fixture *f, size_t variants, const void *prefix, size_t n) {
    char *path = arena_printf(f->a, "%s/out", f->root);
    if (!bundle_write(rig_bundle(f->a, variants), prefix, n, path, &f->d))
        fail_msg("%s", f->d.list.at[0].message);
    return path;
}

static struct bundle *open_it(struct fixture *f, const char *path) {
    struct bundle *b = bundle_open(f->a, path, &f->d);
    if (!b) fail_msg("%s", f->d.list.at[0].message);
    return b;
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void what_is_written_comes_back(void **state) {
    struct fixture *f = *state;
    struct bundle *b = open_it(f, write_rig(f, 2, NULL, 0));
    same_bundle(rig_bundle(f->a, 2), b);
    assert_false(b->variants[0].plan->funcs[0].loaded);
}

static void equal_constants_are_there_once(void **state) {
    struct fixture *f = *state;
    struct bundle *b = open_it(f, write_rig(f, 2, NULL, 0));
    const struct plan *p = b->variants[0].plan, *q = b->variants[1].plan;
    for (size_t i = 0; i < p->nconsts; i++) {
        assert_ptr_equal(p->consts[i].data, q->consts[i].data);
        assert_int_equal((uintptr_t)p->consts[i].data % 64, 0);
    }
    assert_ptr_not_equal(b->variants[0].code, b->variants[1].code);
}

static void a_prefix_goes_before(void **state) {
    struct fixture *f = *state;
    char *path = write_rig(f, 1, "#!/bin/true\n", 12);
    size_t n;
    char *bytes = file_read(f->a, path, 1 << 20, &n);
    assert_non_null(bytes);
    assert_memory_equal(bytes, "#!/bin/true\n", 12);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(mode_of(path), 0755 & ~mask);
    same_bundle(rig_bundle(f->a, 1), open_it(f, path));
    assert_int_equal(mode_of(write_rig(f, 1, NULL, 0)), 0644 & ~mask);
}

static void the_same_bytes_each_time(void **state) {
    struct fixture *f = *state;
    size_t n, m;
    char *a = file_read(f->a, write_rig(f, 2, "x", 1), 1 << 20, &n);
    char *b = file_read(f->a, write_rig(f, 2, "x", 1), 1 << 20, &m);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
}

static void nothing_is_left_where_it_cannot_be_written(void **state) {
    struct fixture *f = *state;
    const char *to = arena_printf(f->a, "%s/folder", f->root);
    assert_int_equal(mkdir(to, 0700), 0);
    assert_false(bundle_write(rig_bundle(f->a, 1), NULL, 0, to, &f->d));
    assert_non_null(strstr(f->d.list.at[0].message, "cannot write"));
    const char *beside = arena_printf(f->a, "%s/.folder.ddg-%d", f->root, (int)getpid());
    struct stat st;
    assert_int_equal(stat(beside, &st), -1);
}

// ---- code ----------------------------------------------------------------------------
static void check_code(struct fixture *f, struct bundle *b) {
    struct bundle_variant *v = bundle_choose(b, &f->d);
    assert_ptr_equal(v, &b->variants[0]);
    assert_true(bundle_load(b, v, &f->d));
    struct plan_func *func = &v->plan->funcs[0];
    int32_t out = 0;
    char *buffers[] = {(char *)&out};
    assert_true(func->loaded);
    func->calls[0].fn(buffers, 1);
    assert_int_equal(out, 41);
    func->calls[1].fn(buffers, 1);
    assert_int_equal(out, 42);
    assert_null(v->plan->funcs[1].calls[0].fn); // a builtin
}

static void code_runs_where_it_is_mapped(void **state) {
    struct fixture *f = *state;
    check_code(f, open_it(f, write_rig(f, 2, "x", 1)));
}

static void code_runs_from_memory(void **state) {
    struct fixture *f = *state;
    size_t n;
    char *bytes = file_read(f->a, write_rig(f, 2, NULL, 0), 1 << 20, &n);
    assert_non_null(bytes);
    struct bundle *b = bundle_read(f->a, bytes, n, &f->d);
    assert_non_null(b);
    check_code(f, b);
}

static void what_this_processor_lacks_is_said(void **state) {
    struct fixture *f = *state;
    struct bundle *b = rig_bundle(f->a, 2);
    b->variants[0].needs = "popcnt,teleportation";
    assert_ptr_equal(bundle_choose(b, &f->d), &b->variants[1]);
    b->variants[1].needs = "telepathy";
    assert_null(bundle_choose(b, &f->d));
    assert_non_null(strstr(f->d.list.at[0].message, "telepathy"));
    assert_non_null(f->d.list.at[0].help);
}

// ---- damage --------------------------------------------------------------------------
static void sign(char *bytes, size_t n) {
    struct digest d = digest_of(bytes, n - FOOTER_DIGEST);
    memcpy(bytes + n - 16, &d.lo, sizeof d.lo);
    memcpy(bytes + n - 8, &d.hi, sizeof d.hi);
}

static char *rig_bytes(struct fixture *f, size_t *n) {
    char *bytes = file_read(f->a, write_rig(f, 1, NULL, 0), 1 << 20, n);
    assert_non_null(bytes);
    return bytes;
}

static size_t message_of(const char *bytes, size_t n) {
    struct footer foot;
    assert_null(footer_get(bytes + n - BUNDLE_FOOTER, n, &foot));
    return foot.message;
}

// Each in memory of its own size, so that a sanitizer sees a read behind it.
static bool reads(const char *bytes, size_t n, char *why, size_t why_n) {
    struct arena *a = arena_new();
    struct diags d;
    char *copy = malloc(n + !n);
    assert_non_null(a);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    diags_init(&d, a);
    struct bundle *b = bundle_read(a, copy, n, &d);
    assert_int_equal(b == NULL, d.errors == 1);
    if (why) snprintf(why, why_n, "%s", b ? "" : d.list.at[0].message);
    if (b) assert_null(plan_check(a, b->variants[0].plan));
    arena_free(a);
    free(copy);
    return b != NULL;
}

static void every_beginning_is_refused(void **state) {
    struct fixture *f = *state;
    size_t n;
    char *bytes = rig_bytes(f, &n), *cut = arena_alloc(f->a, n + BUNDLE_FOOTER, 1);
    for (size_t i = 0; i < n; i++) assert_false(reads(bytes, i, NULL, 0));
    // Shorter, under a footer and a checksum that are right for it.
    size_t message = message_of(bytes, n);
    for (size_t i = message; i < n - BUNDLE_FOOTER; i++) {
        memcpy(cut, bytes, i);
        struct footer foot = {0, i + BUNDLE_FOOTER, message, i - message};
        footer_put(&foot, cut);
        assert_false(reads(cut, i + BUNDLE_FOOTER, NULL, 0));
    }
}

static void every_flipped_bit_is_noticed(void **state) {
    struct fixture *f = *state;
    size_t n;
    char *bytes = rig_bytes(f, &n);
    size_t message = message_of(bytes, n);
    for (size_t i = 0; i < n; i += i < message ? 61 : 1) {
        bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
        assert_false(reads(bytes, n, NULL, 0));
        bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
    }
    assert_true(reads(bytes, n, NULL, 0));
}

// The checksum is no protection from somebody who can work it out, too.
static void bytes_made_up_are_refused_or_right(void **state) {
    struct fixture *f = *state;
    size_t n, right = 0;
    char *bytes = rig_bytes(f, &n);
    for (size_t i = message_of(bytes, n); i < n - FOOTER_DIGEST; i++)
        for (size_t k = 0; k < 10; k++) {
            static const unsigned char to[] = {0x00, 0xff, 0xc0, 0x80, 0xdd, 0xcf};
            char was = bytes[i];
            if (k < COUNT(to)) bytes[i] = (char)to[k];
            else bytes[i] = (char)(was + (k < 8 ? 1 : -1) * (k % 2 ? 1 : 16));
            sign(bytes, n);
            right += reads(bytes, n, NULL, 0);
            bytes[i] = was;
        }
    assert_true(right > 0); // a letter of a name
}

static void reasons_are_for_people(void **state) {
    struct fixture *f = *state;
    size_t n;
    char why[256], *bytes = rig_bytes(f, &n);
    char *footer = bytes + n - BUNDLE_FOOTER;
    assert_false(reads("hello", 5, why, sizeof why));
    assert_non_null(strstr(why, "too short"));
    footer[8]++;
    assert_false(reads(bytes, n, why, sizeof why));
    assert_non_null(strstr(why, "another version of ddg"));
    footer[8]--;
    footer[0] = 'x';
    assert_false(reads(bytes, n, why, sizeof why));
    assert_non_null(strstr(why, "no compiled program"));
    footer[0] = '\x89';
    bytes[0]++;
    assert_false(reads(bytes, n, why, sizeof why));
    assert_non_null(strstr(why, "checksum"));
    assert_false(reads(bytes + BUNDLE_PAGE, n - BUNDLE_PAGE, why, sizeof why));
    assert_non_null(strstr(why, "cut off"));
    assert_null(bundle_open(f->a, f->root, &f->d));
    assert_non_null(strstr(f->d.list.at[0].message, "not a regular file"));
}

// ---- plans that would not run --------------------------------------------------------
struct wrong { // one thing that is changed in the rig's plan
    const char *what;
    void (*change)(struct plan *p);
};

#define WRONG(name, ...)                                                                 \
    static void name(struct plan *p) {                                                   \
        __VA_ARGS__;                                                                     \
    }
WRONG(own_parent, p->rowsets[RIG_B].parent = RIG_B)
WRONG(no_factor, p->rowsets[RIG_B].factor = 0)
WRONG(huge_group, p->rowsets[RIG_D].factor = (size_t)1 << 21)
WRONG(other_rows_score, p->columns[RIG_LOSS].rowset = RIG_A)
WRONG(wide_score, p->rowsets[RIG_C].column = RIG_PLACE)
WRONG(no_rows, p->rowsets[RIG_C].k = 0)
WRONG(no_pixels, p->rowsets[RIG_A].size = 0)
WRONG(other_stage, p->columns[RIG_LOSS].stage = 2)
WRONG(short_pixels, p->stages[1].slots[0].row_bytes--)
WRONG(nth_of_images, p->stages[2].slots[1].rowset = RIG_A)
WRONG(no_ancestor, p->stages[1].slots[0].rowset = RIG_D)
WRONG(uneven, p->stages[0].slots[0].mult = 6)
WRONG(no_function, p->stages[1].steps[0].func = 3)
WRONG(unfilled, p->stages[1].steps[0].in[0] = 4)
WRONG(filled_twice, p->stages[1].steps[0].out[0] = 0)
WRONG(step_of_none, p->stages[1].steps[0].mult = 0)
WRONG(circle, p->stages[2].slots[0] = (struct plan_slot){16, 1, true, LEAF_COLUMN, RIG_B,
                                                         RIG_PLACE, false, 0})
WRONG(view_of_itself, p->stages[0].slots[6].of = 6)
WRONG(view_of_view, p->stages[0].slots[3].view = true)
WRONG(short_view, p->stages[0].slots[6].row_bytes--)
WRONG(written_view, p->stages[0].steps[0].out[0] = 6)
WRONG(two_sinks, p->stages[1].nsinks = 0)
WRONG(short_values, p->saves[RIG_VALUES].rank = 1)
WRONG(other_labels, p->saves[RIG_IMAGES].labels = 11)
WRONG(other_maps, p->saves[RIG_IMAGES].map_h = 3)
WRONG(deep_values, p->saves[RIG_VALUES].rank = 6)
WRONG(no_batch, p->funcs[0].batch = 0)
WRONG(past_memory, p->funcs[0].bands[0].rows = p->funcs[0].batch = 8)
WRONG(no_round, p->funcs[0].bands[0].rows = 0)
WRONG(in_no_band, p->funcs[0].bands[0].ncalls = 1)
WRONG(no_constant, p->funcs[0].calls[0].buffers[1].offset = 2)
WRONG(writes_constant,
      p->funcs[0].calls[0].buffers[0] = (struct plan_buffer){SPACE_CONST, 0, 0, false})
WRONG(no_input, p->funcs[0].calls[1].buffers[1].offset = 3)
WRONG(other_stride, p->funcs[0].calls[1].buffers[0].stride = 8)
WRONG(no_buffers, p->funcs[1].calls[0].nbuffers = 2)
WRONG(half_a_row, p->funcs[1].calls[0].params[0] = 0.5)
WRONG(no_ratio, p->funcs[1].calls[0].params[4] = 0)
WRONG(large_resize, p->funcs[2].calls[0].params[3] = 17)
WRONG(many_numbers, p->funcs[2].calls[1].params[0] = 113)
WRONG(key_of_no_rows,
      ((struct plan_key *)p->columns[RIG_LOSS].memo->keys)[0].rowset = RIG_D)
WRONG(late_of_nothing, p->lates.at[0].value.of = NULL)
WRONG(late_of_no_param, ((struct formula *)p->lates.at[0].value.of)->param = 99)
WRONG(late_path_number, p->uses.at[0].late = 1)
WRONG(any_k, p->lates.at[2].min = 0)
WRONG(any_seed, p->lates.at[6].max = 1e300)
WRONG(not_the_seed, p->uses.at[5].c = 0)
WRONG(no_field, p->uses.at[7].a = 1)
WRONG(param_of_nothing, p->params.at[0].at.value = (struct value){0})

WRONG(no_answers, p->trials[0].answers = RIG_PLACE)
WRONG(few_ways, p->columns[RIG_WAYS].row_bytes = 4)
WRONG(other_images, p->trials[0].rowset = RIG_C)
WRONG(more_than_all, p->trials[0].at_least = 1.5)
WRONG(measured_places, p->measures[0].column = RIG_PLACE)
WRONG(measured_others, p->measures[1].rowset = RIG_C)
WRONG(other_classes, p->measures[1].classes = 3)
WRONG(mean_of_itself, p->measures[2].of[1] = 2)
WRONG(mean_of_counts, p->measures[2].of[1] = 1)
WRONG(mean_of_none, p->measures[2].nof = 0)
WRONG(table_of_none, p->tables[0].measures[3] = 3)
WRONG(ragged_table, p->tables[0].nrows = 3)
WRONG(endless_table, p->tables[0].nrows = SIZE_MAX / 2)
WRONG(unnamed_rows, p->tables[0].rows = "one")
WRONG(part_of_a_way, p->stages[5].slots[0].mult = TRIAL_VARIANTS - 1)
WRONG(late_more_than_all, p->lates.at[p->lates.n - 1].max = 2)

static const struct wrong wrongs[] = {
    {"rowset 1", own_parent},
    {"factor of 0", no_factor},
    {"factor", huge_group},
    {"column 1", other_rows_score},
    {"no score", wide_score},
    {"no rows", no_rows},
    {"0 pixels", no_pixels},
    {"does not compute", other_stage},
    {"slot 0", short_pixels},
    {"slot 1", nth_of_images},
    {"slot 0", no_ancestor},
    {"slot 0", uneven},
    {"function 3", no_function},
    {"slot 4 too early", unfilled},
    {"writes slot 0", filled_twice},
    {"slot 6 is a view of slot 6", view_of_itself},
    {"slot 3 is a view of slot 0", view_of_view},
    {"slot 6 is no view of slot 3", short_view},
    {"writes slot 6", written_view},
    {"calls function", step_of_none},
    {"reads itself", circle},
    {"does not fill", two_sinks},
    {"slot", short_values},
    {"slot 4", other_labels},
    {"slot 3", other_maps},
    {"no size", deep_values},
    {"0 rows", no_batch},
    {"outside", past_memory},
    {"0 rows", no_round},
    {"in no band", in_no_band},
    {"constant 2", no_constant},
    {"may only read", writes_constant},
    {"no slot 3", no_input},
    {"other steps", other_stride},
    {"2 buffers", no_buffers},
    {"wrong numbers", half_a_row},
    {"wrong numbers", no_ratio},
    {"touches", large_resize},
    {"touches", many_numbers},
    {"key of column", key_of_no_rows},
    {"late value 0", late_of_nothing},
    {"late value 0", late_of_no_param},
    {"use 0", late_path_number},
    {"use 2", any_k},
    {"use 5", not_the_seed},
    {"use 5", any_seed},
    {"use 7", no_field},
    {"param `ipc`", param_of_nothing},
    {"check 0 has no answers", no_answers},
    {"not what is kept", few_ways},
    {"check 0 has no answers", other_images},
    {"check 0 is of", more_than_all},
    {"not what is kept", part_of_a_way},
    {"use 10", late_more_than_all},
    {"measure 0", measured_places},
    {"measure 1", measured_others},
    {"measure 1", other_classes},
    {"measure 2 is of measure 2", mean_of_itself},
    {"measure 2 is of measure 1", mean_of_counts},
    {"of no measures", mean_of_none},
    {"table 0 has measure 3", table_of_none},
    {"table 0 has 3 rows", ragged_table},
    {"table 0 has", endless_table},
    {"other names", unnamed_rows},
};

// Keys of the rig are shared by all of its plans; a test changes some.
static void own_keys(struct arena *a, struct plan *p) {
    struct plan_memo *memo = (struct plan_memo *)p->columns[RIG_LOSS].memo;
    memo->keys = arena_dup(a, memo->keys, memo->nkeys, sizeof *memo->keys);
}

static void plans_that_would_not_run_are_refused(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(wrongs); i++) {
        struct plan *p = rig_plan(f->a);
        own_keys(f->a, p);
        assert_null(plan_check(f->a, p));
        wrongs[i].change(p);
        const char *why = plan_check(f->a, p);
        if (!why || !strstr(why, wrongs[i].what))
            fail_msg("%zu: `%s` is not in `%s`", i, wrongs[i].what, why ? why : "(none)");
    }
}

// ---- what the compiler makes ---------------------------------------------------------
static void real_plans_come_back(void **state) {
    struct fixture *f = *state;
    struct driver v;
    struct codegen_image image;
    struct driver_options o = {.path = TEST_DATA "/../cases/run/infoutil.ddg"};
    o.threads = 1;
    driver_init(&v, f->a, &o);
    if (!driver_load(&v) || !driver_lower(&v, NULL) || !driver_image(&v, &image))
        fail_msg("%s", v.d.list.at[0].message);
    struct bundle_kernel *k = NEW_N(f->a, struct bundle_kernel, image.nkernels);
    for (size_t i = 0; i < image.nkernels; i++)
        k[i] = (struct bundle_kernel){image.kernels[i].symbol, image.kernels[i].entry,
                                      image.kernels[i].bytes};
    struct bundle_variant variant = {"native",       "cpu",       "",
                                     "numerics",     image.bytes, image.n,
                                     image.nkernels, k,           v.module.plan};
    struct bundle b = {.version = "0", .nvariants = 1, .variants = &variant};
    const char *path = arena_printf(f->a, "%s/real", f->root);
    if (!bundle_write(&b, NULL, 0, path, &f->d)) fail_msg("%s", f->d.list.at[0].message);
    same_bundle(&b, open_it(f, path));
    driver_free(&v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(members_all_have_rows),
        TEST(the_rig_fills_everything_in),
        TEST(the_rig_is_right),
        TEST(what_is_written_comes_back),
        TEST(equal_constants_are_there_once),
        TEST(a_prefix_goes_before),
        TEST(the_same_bytes_each_time),
        TEST(nothing_is_left_where_it_cannot_be_written),
        TEST(code_runs_where_it_is_mapped),
        TEST(code_runs_from_memory),
        TEST(what_this_processor_lacks_is_said),
        TEST(every_beginning_is_refused),
        TEST(every_flipped_bit_is_noticed),
        TEST(bytes_made_up_are_refused_or_right),
        TEST(reasons_are_for_people),
        TEST(plans_that_would_not_run_are_refused),
        TEST(real_plans_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
