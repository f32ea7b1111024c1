// See rowset.h.
#include "runtime/rowset.h"

#include "runtime/probe.h"

#include <math.h>

void rowsets_init(struct rowsets *r, struct arena *arena, const struct plan *plan) {
    *r = (struct rowsets){.arena = arena, .plan = plan};
    r->at = NEW_N(arena, struct rowset, plan->nrowsets);
    r->columns = NEW_N(arena, struct kept_column, plan->ncolumns);
}

void rowsets_close(struct rowsets *r) {
    for (size_t i = 0; i < r->plan->nrowsets; i++) {
        reader_close(r->at[i].reader);
        mem_free(r->at[i].pick);
        mem_free(r->at[i].keys);
        mem_free(r->at[i].known);
    }
    for (size_t i = 0; i < r->plan->ncolumns; i++) {
        mem_free(r->columns[i].values);
        mem_free(r->columns[i].have);
    }
}

static void drop(void *rowsets) {
    rowsets_close(rowsets);
}

void rowsets_hold(struct cleanup *c, struct rowsets *r) {
    cleanup_push(c, drop, r);
}

static const struct plan_rowset *spec(const struct rowsets *r, uint32_t which) {
    return &r->plan->rowsets[which];
}

uint32_t rowset_root(const struct rowsets *r, uint32_t which) {
    while (spec(r, which)->kind != ROWSET_READER) which = spec(r, which)->parent;
    return which;
}

// ---- from row to row -----------------------------------------------------------------
size_t rowset_mult(const struct rowsets *r, uint32_t which, uint32_t ancestor) {
    size_t mult = 1;
    for (; which != ancestor; which = spec(r, which)->parent)
        if (spec(r, which)->kind == ROWSET_GROUP) mult *= spec(r, which)->factor;
    return mult;
}

static size_t parent_row(const struct rowsets *r, uint32_t which, size_t row) {
    const struct rowset *s = &r->at[which];
    if (spec(r, which)->kind == ROWSET_EXPAND) return row / spec(r, which)->factor;
    return s->pick[row];
}

size_t rowset_ancestor(const struct rowsets *r, uint32_t which, size_t q,
                       uint32_t ancestor) {
    size_t mult = rowset_mult(r, which, ancestor);
    size_t row = q / mult, rest = q % mult;
    for (; which != ancestor; which = spec(r, which)->parent) {
        if (spec(r, which)->kind == ROWSET_GROUP) {
            mult /= spec(r, which)->factor;
            row = row * spec(r, which)->factor + rest / mult;
            rest %= mult;
        }
        row = parent_row(r, which, row);
    }
    return row;
}

void rowset_row_name(const struct rowsets *r, uint32_t which, size_t row, char *out,
                     size_t n) {
    uint32_t root = rowset_root(r, which);
    size_t at = rowset_ancestor(r, which, row * rowset_mult(r, which, root), root);
    reader_row_name(r->at[root].reader, reader_row(&r->at[root], at), out, n);
}

uint32_t rowset_class(const struct rowsets *r, uint32_t which, size_t row) {
    for (; spec(r, which)->kind != ROWSET_READER; which = spec(r, which)->parent) {
        if (spec(r, which)->kind == ROWSET_GROUP) row *= spec(r, which)->factor;
        row = parent_row(r, which, row);
    }
    return reader_class(r->at[which].reader, reader_row(&r->at[which], row));
}

struct digest rowset_key(const struct rowsets *r, uint32_t which, size_t row) {
    const struct plan_rowset *s = spec(r, which);
    if (s->kind == ROWSET_READER) {
        CHECK(r->at[which].known[row]);
        return r->at[which].keys[row];
    }
    size_t count = s->kind == ROWSET_GROUP ? s->factor : 1;
    struct digest joined = {0};
    for (size_t i = 0; i < count; i++) {
        struct digest one =
            rowset_key(r, s->parent, parent_row(r, which, row * count + i));
        joined = i ? digest_join(joined, one) : one;
    }
    if (s->kind == ROWSET_EXPAND)
        joined = digest_join(joined, (struct digest){row % s->factor, 0});
    return joined;
}

// ---- readers -------------------------------------------------------------------------
static bool out_of_memory(struct diags *d) {
    return diag_no_memory(d, NO_SPAN);
}

static bool note_skipped(struct rowsets *r, uint32_t which, size_t row) {
    char why[512];
    if (!probe_why(r->at[which].reader, spec(r, which)->size, row, why, sizeof why))
        return false;
    VEC_PUSH(r->arena, &r->skipped, arena_strdup(r->arena, why));
    return true;
}

// Which rows can be decoded is found out before the run, so that which rows there are
// does not depend on what is computed of them.
static bool leave_out(struct rowsets *r, uint32_t which, struct store *store,
                      size_t threads, struct diags *d) {
    struct rowset *s = &r->at[which];
    size_t rows = reader_rows(s->reader), kept = 0;
    bool *bad = mem_zalloc(rows + 1, sizeof *bad);
    struct cleanup held;
    cleanup_push(&held, mem_free_at, &bad);
    s->pick = mem_array(rows, sizeof *s->pick);
    bool ok = bad && s->pick &&
              probe_rows(s->reader, spec(r, which)->size, store, threads, bad);
    for (size_t i = 0; i < rows && ok; i++)
        if (bad[i]) ok = note_skipped(r, which, i);
        else s->pick[kept++] = (uint32_t)i;
    cleanup_run(&held);
    if (!ok) return out_of_memory(d);
    s->rows = kept;
    if (kept) return true;
    return diag_error(d, spec(r, which)->span, "no image of `%s` can be decoded",
                      spec(r, which)->path);
}

static size_t class_count(const struct rowsets *r, uint32_t which) {
    return reader_classes(r->at[rowset_root(r, which)].reader);
}

static bool check_classes(const struct rowsets *r, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    size_t have = reader_classes(r->at[which].reader);
    if (!s->classes || s->classes == have) return true;
    diag_error(d, s->classes_span, "the model tells %zu classes apart, but `%s` has %zu",
               s->classes, s->path, have);
    return diag_help(
        d,
        "each output of the model needs a folder, in the byte order of their "
        "names: here output 0 is `%s`, and output %zu is `%s`%s",
        reader_class_name(r->at[which].reader, 0), have - 1,
        reader_class_name(r->at[which].reader, have - 1),
        s->classes > have ? "; docs/teachers.md shows how to export only the "
                            "outputs that have one"
                          : "");
}

// ---- choosing rows -------------------------------------------------------------------
struct ranked {
    float score;
    uint32_t row, cls;
};

// Best first, NaN last, ties in row order. Scores are negated for "smallest".
static int by_score(const void *a, const void *b) {
    const struct ranked *p = a, *q = b;
    if (p->cls != q->cls) return p->cls < q->cls ? -1 : 1;
    bool pn = isnan(p->score), qn = isnan(q->score);
    if (pn != qn) return pn ? 1 : -1;
    if (!pn && p->score != q->score) return p->score > q->score ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

static const char *class_name(const struct rowsets *r, uint32_t which, size_t c) {
    return reader_class_name(r->at[rowset_root(r, which)].reader, c);
}

static void take_best(const struct ranked *list, size_t rows, size_t k,
                      struct rowset *out) {
    size_t nth = 0;
    for (size_t i = 0; i < rows; i++) {
        nth = i && list[i].cls == list[i - 1].cls ? nth + 1 : 0;
        if (nth < k) out->pick[out->rows++] = list[i].row;
    }
}

static bool enough_in_all(const struct plan_rowset *s, size_t rows, struct diags *d) {
    return rows >= s->k ||
           diag_error(d, s->span, "topk wants %zu rows; there are %zu", s->k, rows);
}

static bool more_classes(size_t n, struct diags *d) {
    if (n > 1) diag_help(d, "so it is with %zu more class%s", n - 1, n == 2 ? "" : "es");
    return n == 0;
}

static bool enough_rows(const struct rowsets *r, uint32_t which, const size_t *count,
                        struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    size_t wrong = 0;
    for (size_t c = 0; c < class_count(r, which); c++)
        if (count[c] < s->k && wrong++ == 0)
            diag_error(d, s->span, "topk wants %zu rows of each class; `%s` has %zu",
                       s->k, class_name(r, which, c), count[c]);
    return more_classes(wrong, d);
}

static bool make_select(struct rowsets *r, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    const struct rowset *parent = &r->at[s->parent];
    const float *score = (const float *)(void *)r->columns[s->column].values;
    size_t rows = parent->rows;
    struct rowset *out = &r->at[which];
    if (!s->per_class && !enough_in_all(s, rows, d)) return false;
    struct ranked *list = mem_array(rows, sizeof *list);
    size_t *count = mem_zalloc(class_count(r, which) + 1, sizeof *count);
    out->pick = mem_array(rows, sizeof *out->pick);
    bool ok = list && count && out->pick;
    for (size_t i = 0; i < rows && ok; i++) {
        uint32_t cls = rowset_class(r, s->parent, i);
        count[cls]++;
        list[i] = (struct ranked){s->smallest ? -score[i] : score[i], (uint32_t)i,
                                  s->per_class ? cls : 0};
    }
    if (!ok) out_of_memory(d);
    else if (!s->per_class || (ok = enough_rows(r, which, count, d))) {
        qsort(list, rows, sizeof *list, by_score);
        take_best(list, rows, s->k, out);
    }
    mem_free(list);
    mem_free(count);
    return ok;
}

static bool make_filter(struct rowsets *r, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    const float *score = (const float *)(void *)r->columns[s->column].values;
    struct rowset *out = &r->at[which];
    size_t rows = r->at[s->parent].rows;
    if (!(out->pick = mem_array(rows, sizeof *out->pick))) return out_of_memory(d);
    for (size_t i = 0; i < rows; i++)
        if ((double)score[i] > s->above && (double)score[i] < s->below)
            out->pick[out->rows++] = (uint32_t)i;
    return true;
}

// Each class must fill whole groups.
static bool whole_groups(const struct rowsets *r, uint32_t which, const size_t *count,
                         struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    size_t wrong = 0;
    for (size_t c = 0; c < class_count(r, which); c++)
        if (count[c] % s->factor && wrong++ == 0)
            diag_error(d, s->span,
                       "stitch joins %zu rows at a time; class `%s` has %zu, which "
                       "leaves %zu over",
                       s->factor, class_name(r, which, c), count[c],
                       count[c] % s->factor);
    return more_classes(wrong, d);
}

// Rows of one class together, in order: a counting sort.
static bool make_group(struct rowsets *r, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    size_t rows = r->at[s->parent].rows, classes = class_count(r, which);
    struct rowset *out = &r->at[which];
    size_t *count = mem_zalloc(classes + 1, sizeof *count);
    out->pick = mem_array(rows, sizeof *out->pick);
    bool ok = count && out->pick;
    if (!ok) out_of_memory(d);
    for (size_t i = 0; i < rows && ok; i++) count[rowset_class(r, s->parent, i)]++;
    if ((ok = ok && whole_groups(r, which, count, d))) {
        for (size_t c = 0, start = 0; c < classes; c++) {
            size_t n = count[c];
            count[c] = start; // from here on where the next row of the class goes
            start += n;
        }
        for (size_t i = 0; i < rows; i++)
            out->pick[count[rowset_class(r, s->parent, i)]++] = (uint32_t)i;
        out->rows = rows / s->factor;
    }
    mem_free(count);
    return ok;
}

static bool too_many(const struct plan_rowset *s, struct diags *d) {
    return diag_error(d, s->span, "more than %u rows", UINT32_MAX);
}

static bool columns_make(struct rowsets *r, uint32_t which, struct diags *d) {
    for (size_t i = 0; i < r->plan->ncolumns; i++) {
        const struct plan_column *c = &r->plan->columns[i];
        if (c->rowset != which) continue;
        r->columns[i].values = mem_zalloc(r->at[which].rows + 1, c->row_bytes);
        r->columns[i].have = mem_zalloc(r->at[which].rows + 1, 1);
        if (!r->columns[i].values || !r->columns[i].have) return out_of_memory(d);
    }
    return true;
}

size_t rowset_count(const struct rowsets *r, uint32_t which) {
    return r->at[which].made ? r->at[which].rows : r->at[which].expected;
}

bool rowset_make(struct rowsets *r, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    struct rowset *out = &r->at[which];
    if (out->made) return true;
    CHECK(s->kind != ROWSET_READER && r->at[s->parent].made);
    switch (s->kind) {
    case ROWSET_EXPAND:
        if (!size_mul(r->at[s->parent].rows, s->factor, &out->rows) ||
            out->rows > UINT32_MAX)
            return too_many(s, d);
        break;
    case ROWSET_SELECT:
        if (!make_select(r, which, d)) return false;
        break;
    case ROWSET_GROUP:
        if (!make_group(r, which, d)) return false;
        break;
    case ROWSET_FILTER:
        if (!make_filter(r, which, d)) return false;
        break;
    case ROWSET_READER: break;
    }
    return (out->made = columns_make(r, which, d));
}

// ---- looking ahead -------------------------------------------------------------------
struct count { // rows of a rowset, before the run
    size_t rows;
    size_t *of_class; // NULL: which classes they have is not known
};

static struct count count_read(const struct rowsets *r, uint32_t which) {
    struct count c = {.rows = r->at[which].rows};
    c.of_class = NEW_N(r->arena, size_t, class_count(r, which));
    for (size_t i = 0; i < c.rows; i++) c.of_class[rowset_class(r, which, i)]++;
    return c;
}

// times / over of the parent's rows, of each class too.
static struct count count_scaled(const struct rowsets *r, uint32_t which,
                                 const struct count *p, size_t times, size_t over) {
    struct count c = {.rows = p->rows * times / over};
    if (!p->of_class) return c;
    c.of_class = NEW_N(r->arena, size_t, class_count(r, which));
    for (size_t i = 0; i < class_count(r, which); i++)
        c.of_class[i] = p->of_class[i] * times / over;
    return c;
}

static bool count_select(const struct rowsets *r, uint32_t which, const struct count *p,
                         struct count *out, struct diags *d) {
    const struct plan_rowset *s = spec(r, which);
    *out = (struct count){.rows = s->k};
    if (!s->per_class) return enough_in_all(s, p->rows, d);
    if (p->of_class && !enough_rows(r, which, p->of_class, d)) return false;
    out->rows *= class_count(r, which);
    out->of_class = NEW_N(r->arena, size_t, class_count(r, which));
    for (size_t i = 0; i < class_count(r, which); i++) out->of_class[i] = s->k;
    return true;
}

// How many rows there will be follows from the readers, but for the classes of rows
// picked of all: what cannot come out is said before anything is computed.
static bool check_counts(struct rowsets *r, struct diags *d) {
    struct count *count = NEW_N(r->arena, struct count, r->plan->nrowsets);
    for (uint32_t i = 0; i < r->plan->nrowsets; i++) {
        const struct plan_rowset *s = spec(r, i);
        const struct count *p = &count[s->parent];
        switch (s->kind) {
        case ROWSET_READER: count[i] = count_read(r, i); break;
        case ROWSET_EXPAND:
            if (p->rows > UINT32_MAX / s->factor) return too_many(s, d);
            count[i] = count_scaled(r, i, p, s->factor, 1);
            break;
        case ROWSET_SELECT:
            if (!count_select(r, i, p, &count[i], d)) return false;
            break;
        case ROWSET_FILTER: count[i] = (struct count){.rows = p->rows}; break; // at most
        case ROWSET_GROUP:
            if (p->of_class && !whole_groups(r, i, p->of_class, d)) return false;
            count[i] = count_scaled(r, i, p, 1, s->factor);
            break;
        }
        r->at[i].expected = count[i].rows;
    }
    return true;
}

// Memory for what is kept of the rows that were read.
static bool readers_ready(struct rowsets *r, struct diags *d) {
    for (uint32_t i = 0; i < r->plan->nrowsets; i++) {
        struct rowset *s = &r->at[i];
        if (spec(r, i)->kind != ROWSET_READER) continue;
        s->keys = mem_zalloc(s->rows + 1, sizeof *s->keys);
        s->known = mem_zalloc(s->rows + 1, sizeof *s->known);
        if (!s->keys || !s->known) return out_of_memory(d);
        if (!columns_make(r, i, d)) return false;
    }
    return true;
}

bool rowsets_open(struct rowsets *r, struct store *store, size_t threads,
                  struct diags *d) {
    for (uint32_t i = 0; i < r->plan->nrowsets; i++) {
        const struct plan_rowset *s = spec(r, i);
        if (s->kind != ROWSET_READER) continue;
        struct reader_options o = {s->path, s->size, s->limit, s->span};
        if (!(r->at[i].reader = reader_open(&o, d))) continue;
        r->at[i].rows = reader_rows(r->at[i].reader);
        r->at[i].made = true;
        if (check_classes(r, i, d) && s->skip) leave_out(r, i, store, threads, d);
    }
    return d->errors == 0 && readers_ready(r, d) && check_counts(r, d);
}
