// Whether a plan that was read from a file can be run: rowsets, columns, stages, saves.
//
// The code that runs plans believes them. This is the list of what it believes, each with
// the file that does: a plan that passes reads and writes only memory that is there,
// divides by nothing that is 0, ends, and meets no CHECK. What the machine code does is
// its own affair.
#include "runtime/bundle/check.h"

#include "runtime/bundle/shape.h"
#include "runtime/image.h"
#include "runtime/npy.h"
#include "runtime/trial.h"

#include <math.h>

// Rowsets and columns are gone through by recursion (rowset.c, demand.c), so that chains
// of them are bounded; a stitched image is made of one chunk's rows (stage.c), so groups
// are.
#define MOST_DEPTH ((size_t)2000)
#define MOST_GROUP ((size_t)1 << 20)

bool check_fail(struct check *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    c->why = arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    return false;
}

// ---- rowsets -------------------------------------------------------------------------
// The loops of rowset.c end at the ancestor that they look for, which must be there.
size_t check_mult(const struct check *c, uint32_t rowset, uint32_t ancestor) {
    const struct plan *p = c->plan;
    if (rowset >= p->nrowsets || ancestor >= p->nrowsets) return 0;
    size_t mult = 1;
    while (rowset != ancestor && p->rowsets[rowset].kind != ROWSET_READER) {
        const struct plan_rowset *r = &p->rowsets[rowset];
        if (r->kind == ROWSET_GROUP) mult *= r->factor; // bounded, see check_made
        rowset = r->parent;
    }
    return rowset == ancestor ? mult : 0;
}

// reader.c checks the size; what reads pixels counts in size * size * 3.
static bool check_reader(struct check *c, size_t i) {
    const struct plan_rowset *r = &c->plan->rowsets[i];
    if (r->parent != 0)
        return check_fail(c, "rowset %zu is read, and made of another", i);
    if (!r->path) return check_fail(c, "rowset %zu is read from nowhere", i);
    if (r->size < 1 || r->size > IMAGE_MAX_SIDE || r->limit < 1)
        return check_fail(c, "rowset %zu has images of %zu pixels a side, %zu a class", i,
                          r->size, r->limit);
    return true;
}

// rowset.c divides by factors, and takes a float of each row of the parent to choose by.
static bool check_choice(struct check *c, size_t i) {
    const struct plan_rowset *r = &c->plan->rowsets[i];
    if (r->column >= c->plan->ncolumns)
        return check_fail(c, "rowset %zu is chosen by column %u", i, r->column);
    const struct plan_column *by = &c->plan->columns[r->column];
    if (by->rowset != r->parent || by->row_bytes != sizeof(float))
        return check_fail(c, "column %u is no score of the rows that rowset %zu is of",
                          r->column, i);
    return r->k >= 1 || r->kind == ROWSET_FILTER ||
           check_fail(c, "rowset %zu has no rows", i);
}

static bool check_made(struct check *c, size_t i) {
    const struct plan_rowset *r = &c->plan->rowsets[i];
    size_t most = r->kind == ROWSET_GROUP ? MOST_GROUP : BUNDLE_MAX_ROWS;
    if (rowset_is_chosen(r)) return check_choice(c, i);
    if (r->factor < 1 || r->factor > most)
        return check_fail(c, "rowset %zu has a factor of %zu", i, r->factor);
    if (r->kind == ROWSET_GROUP) c->behind[i] *= r->factor;
    if (c->behind[i] <= MOST_GROUP) return true;
    return check_fail(c, "a row of rowset %zu is made of %zu images", i, c->behind[i]);
}

bool check_rowsets(struct check *c) {
    const struct plan *p = c->plan;
    size_t *depth = NEW_N(c->arena, size_t, p->nrowsets);
    for (size_t i = 0; i < p->nrowsets; i++) {
        const struct plan_rowset *r = &p->rowsets[i];
        c->behind[i] = 1;
        if (r->kind == ROWSET_READER) {
            if (!check_reader(c, i)) return false;
            continue;
        }
        if (r->parent >= i)
            return check_fail(c, "rowset %zu is made of rowset %u", i, r->parent);
        c->behind[i] = c->behind[r->parent];
        depth[i] = depth[r->parent] + 1;
        if (depth[i] > MOST_DEPTH)
            return check_fail(c, "rowset %zu is too far from its images", i);
        if (!check_made(c, i)) return false;
    }
    return true;
}

// ---- columns -------------------------------------------------------------------------
// The store multiplies an element's bytes with the dimensions (store/record.c).
static bool check_record(struct check *c, size_t i) {
    const struct store_record *r = &c->plan->columns[i].memo->record;
    size_t bytes = 2 * sizeof(double);
    for (size_t k = 0; k < r->rank; k++)
        if (!size_mul(bytes, size_max(r->dim[k], 1), &bytes))
            return check_fail(c, "column %zu has values larger than memory", i);
    return (isfinite(r->flops) && r->flops >= 0) ||
           check_fail(c, "column %zu takes %g operations", i, r->flops);
}

// identity.c and demand.c go from the column's rows to those its key is made of.
static bool check_key(struct check *c, size_t i, const struct plan_key *k) {
    const struct plan *p = c->plan;
    if (!check_mult(c, p->columns[i].rowset, k->rowset))
        return check_fail(c, "the key of column %zu is of rowset %u", i, k->rowset);
    switch (k->kind) {
    case KEY_ROW:
    case KEY_CLASS: return true;
    case KEY_NTH:
        return p->rowsets[k->rowset].kind == ROWSET_EXPAND ||
               check_fail(c, "column %zu counts rows of rowset %u", i, k->rowset);
    case KEY_COLUMN: break;
    }
    return (k->column < p->ncolumns && p->columns[k->column].rowset == k->rowset) ||
           check_fail(c, "the key of column %zu is of column %u", i, k->column);
}

static bool check_column(struct check *c, size_t i) {
    const struct plan *p = c->plan;
    const struct plan_column *k = &p->columns[i];
    if (k->rowset >= p->nrowsets || k->stage >= p->nstages || k->row_bytes < 1)
        return check_fail(c, "column %zu is of rowset %u, stage %u, %zu bytes", i,
                          k->rowset, k->stage, k->row_bytes);
    const struct plan_stage *s = &p->stages[k->stage];
    if (s->saves || s->target != i || s->rowset != k->rowset)
        return check_fail(c, "stage %u does not compute column %zu", k->stage, i);
    if (!k->memo) return true;
    for (size_t j = 0; j < k->memo->nkeys; j++)
        if (!check_key(c, i, &k->memo->keys[j])) return false;
    return check_record(c, i);
}

// One more than the longest chain of columns it reads, as far as `level` knows.
static size_t level_of(const struct check *c, size_t column, const size_t *level) {
    const struct plan_column *k = &c->plan->columns[column];
    const struct plan_stage *s = &c->plan->stages[k->stage];
    size_t most = 0;
    for (size_t i = 0; i < s->nslots; i++)
        if (s->slots[i].leaf && s->slots[i].kind == LEAF_COLUMN)
            most = size_max(most, level[s->slots[i].column] + 1);
    for (size_t i = 0; k->memo && i < k->memo->nkeys; i++)
        if (k->memo->keys[i].kind == KEY_COLUMN)
            most = size_max(most, level[k->memo->keys[i].column] + 1);
    return most;
}

// demand.c asks for what a column reads by recursion: in circles it would not end. Levels
// rise until they are right; in a circle, without end.
static bool check_circles(struct check *c) {
    size_t *level = NEW_N(c->arena, size_t, c->plan->ncolumns);
    for (bool rising = true; rising;) {
        rising = false;
        for (size_t i = 0; i < c->plan->ncolumns; i++) {
            size_t now = level_of(c, i, level);
            if (now > MOST_DEPTH)
                return check_fail(c, "column %zu reads itself, or too long a chain", i);
            rising = rising || now > level[i];
            level[i] = now;
        }
    }
    return true;
}

bool check_columns(struct check *c) {
    for (size_t i = 0; i < c->plan->ncolumns; i++)
        if (!check_column(c, i)) return false;
    return true;
}

// ---- stages --------------------------------------------------------------------------
static bool check_leaf(struct check *c, size_t i, size_t j) {
    const struct plan *p = c->plan;
    const struct plan_slot *s = &p->stages[i].slots[j];
    size_t mult = check_mult(c, p->stages[i].rowset, s->rowset), bytes = sizeof(int32_t);
    if (!mult || s->mult % mult)
        return check_fail(c, "stage %zu: slot %zu has rows of rowset %u", i, j,
                          s->rowset);
    const struct plan_rowset *r = &p->rowsets[s->rowset];
    bool ok = true;
    switch (s->kind) {
    case LEAF_PIXELS:
        ok = r->kind == ROWSET_READER;
        bytes = 3 * r->size * r->size;
        break;
    case LEAF_KEY: bytes = sizeof(struct digest); break;
    case LEAF_CLASS:
    case LEAF_SUBROW: break;
    case LEAF_NTH: ok = r->kind == ROWSET_EXPAND; break;
    case LEAF_COLUMN:
        ok = s->column < p->ncolumns && p->columns[s->column].rowset == s->rowset;
        bytes = ok ? p->columns[s->column].row_bytes : 0;
        break;
    }
    return (ok && s->row_bytes == bytes) ||
           check_fail(c, "stage %zu: slot %zu has nothing to be filled from", i, j);
}

// A view has the bytes of an earlier slot with memory of its own, and nobody else fills
// it.
static bool check_view(struct check *c, size_t i, size_t j) {
    const struct plan_slot *s = &c->plan->stages[i].slots[j], *of;
    size_t bytes, all;
    if (s->leaf || s->of >= j)
        return check_fail(c, "stage %zu: slot %zu is a view of slot %u", i, j, s->of);
    of = &c->plan->stages[i].slots[s->of];
    bool same = size_mul(s->row_bytes, s->mult, &bytes) &&
                size_mul(of->row_bytes, of->mult, &all) && bytes == all;
    return (same && !of->view) ||
           check_fail(c, "stage %zu: slot %zu is no view of slot %u", i, j, s->of);
}

// Whether something is in a slot, or in the one that it is a view of.
static bool has_rows(const struct plan_stage *s, uint32_t slot, const bool *filled) {
    return slot < s->nslots && filled[s->slots[slot].view ? s->slots[slot].of : slot];
}

// A slot is filled before it is read, and once (stage.c); `filled` by slot.
static bool check_step(struct check *c, size_t i, const struct plan_step *step,
                       bool *filled) {
    const struct plan_stage *s = &c->plan->stages[i];
    if (step->func >= c->plan->nfuncs || step->mult < 1 || step->nout < 1)
        return check_fail(c, "stage %zu calls function %u", i, step->func);
    for (size_t k = 0; k < step->nin; k++)
        if (!has_rows(s, step->in[k], filled))
            return check_fail(c, "stage %zu reads slot %u too early", i, step->in[k]);
    for (size_t k = 0; k < step->nout; k++) {
        if (step->out[k] >= s->nslots || filled[step->out[k]] ||
            s->slots[step->out[k]].view)
            return check_fail(c, "stage %zu writes slot %u", i, step->out[k]);
        filled[step->out[k]] = true;
    }
    return check_step_calls(c, s, step);
}

// What takes a slot takes so many rows of so many bytes for each of the stage's rows.
static bool check_sink(struct check *c, const struct plan_stage *s,
                       const struct plan_sink *k, size_t mult, size_t bytes) {
    const struct plan_slot *slot = &s->slots[k->slot];
    return (slot->mult == mult && slot->row_bytes == bytes) ||
           check_fail(c, "`%s`: slot %u is not what is kept", s->name, k->slot);
}

// Of a column, the slot's rows that belong to one of the stage's together.
static bool check_kept(struct check *c, const struct plan_stage *s, size_t bytes) {
    const struct plan_slot *slot = &s->slots[s->sinks[0].slot];
    size_t all;
    return (size_mul(slot->mult, slot->row_bytes, &all) && all == bytes) ||
           check_fail(c, "`%s`: slot %u is not what is kept", s->name, s->sinks[0].slot);
}

static bool check_slots(struct check *c, size_t i, bool *filled) {
    const struct plan_stage *s = &c->plan->stages[i];
    for (size_t j = 0; j < s->nslots; j++) {
        if (s->slots[j].row_bytes < 1 || s->slots[j].mult < 1)
            return check_fail(c, "stage %zu: slot %zu is empty", i, j);
        if (s->slots[j].leaf && !check_leaf(c, i, j)) return false;
        if (s->slots[j].view && !check_view(c, i, j)) return false;
        filled[j] = s->slots[j].leaf;
    }
    return true;
}

static bool check_stage(struct check *c, size_t i) {
    const struct plan *p = c->plan;
    const struct plan_stage *s = &p->stages[i];
    bool *filled = NEW_N(c->arena, bool, s->nslots);
    if (s->rowset >= p->nrowsets || s->target >= (s->saves ? p->nsaves : p->ncolumns) ||
        (s->saves ? p->saves[s->target].stage : p->columns[s->target].stage) != i)
        return check_fail(c, "stage %zu is for nothing", i);
    if (!check_slots(c, i, filled)) return false;
    for (size_t j = 0; j < s->nsteps; j++)
        if (!check_step(c, i, &s->steps[j], filled)) return false;
    for (size_t j = 0; j < s->nsinks; j++)
        if (!has_rows(s, s->sinks[j].slot, filled))
            return check_fail(c, "stage %zu keeps slot %u", i, s->sinks[j].slot);
    if (s->saves) return true;
    if (s->nsinks != 1 || s->sinks[0].role != SINK_COLUMN)
        return check_fail(c, "stage %zu does not fill its column", i);
    return check_kept(c, s, p->columns[s->target].row_bytes);
}

bool check_stages(struct check *c) {
    for (size_t i = 0; i < c->plan->nstages; i++)
        if (!check_stage(c, i)) return false;
    return check_circles(c);
}

// ---- saves ---------------------------------------------------------------------------
// The sink of a role; *n: how many there are.
static const struct plan_sink *sink_of(const struct plan_stage *s, enum sink_role role,
                                       size_t *n) {
    const struct plan_sink *found = NULL;
    *n = 0;
    for (size_t i = 0; i < s->nsinks; i++)
        if (s->sinks[i].role == role) found = &s->sinks[i], ++*n;
    return found;
}

// A part of a save: there exactly where it is wanted, and of these rows.
static bool check_part(struct check *c, const struct plan_stage *s, enum sink_role role,
                       bool wanted, size_t mult, size_t bytes) {
    size_t n;
    const struct plan_sink *k = sink_of(s, role, &n);
    if (n != wanted)
        return check_fail(c, "`%s`: a save has %zu of a part, not %d", s->name, n,
                          wanted);
    return !k || check_sink(c, s, k, mult, bytes);
}

// save.c counts through boxes and maps of all the images behind a row, result.c through
// the pixels and labels.
static bool check_images(struct check *c, const struct plan_save *v) {
    const struct plan_stage *s = &c->plan->stages[v->stage];
    size_t mult = c->behind[v->rowset], boxes;
    sink_of(s, SINK_BOXES, &boxes);
    if (v->rank != 3 || v->dim[0] != 3 || v->dim[1] < 1 || v->dim[2] < 1 ||
        v->dim[1] > IMAGE_MAX_SIDE || v->dim[2] > IMAGE_MAX_SIDE)
        return check_fail(c, "`%s`: its images have no size", v->to);
    if (!v->map_h != !v->map_w)
        return check_fail(c, "`%s`: its maps have no size", v->to);
    return check_part(c, s, SINK_PIXELS, true, 1, 3 * v->dim[1] * v->dim[2]) &&
           check_part(c, s, SINK_LABELS, v->labels > 0, 1, v->labels * sizeof(float)) &&
           check_part(c, s, SINK_BOXES, boxes > 0, mult, 4 * sizeof(int32_t)) &&
           check_part(c, s, SINK_MAPS, v->map_h > 0, mult,
                      v->map_h * v->map_w * sizeof(float)) &&
           check_part(c, s, SINK_VALUES, false, 0, 0) &&
           check_part(c, s, SINK_COLUMN, false, 0, 0);
}

static bool check_values(struct check *c, const struct plan_save *v) {
    const struct plan_stage *s = &c->plan->stages[v->stage];
    size_t bytes;
    if (v->rank >= NPY_MAX_RANK || !size_product(v->dim, v->rank, &bytes) ||
        bytes > BUNDLE_MAX_BYTES / sizeof(float))
        return check_fail(c, "`%s`: its values have no size", v->to);
    if (s->nsinks != 1) return check_fail(c, "`%s`: it is saved twice", v->to);
    return check_part(c, s, SINK_VALUES, true, 1, bytes * sizeof(float));
}

bool check_saves(struct check *c) {
    const struct plan *p = c->plan;
    for (size_t i = 0; i < p->nsaves; i++) {
        const struct plan_save *v = &p->saves[i];
        if (v->rowset >= p->nrowsets || v->stage >= p->nstages)
            return check_fail(c, "save %zu is of rowset %u, stage %u", i, v->rowset,
                              v->stage);
        const struct plan_stage *s = &p->stages[v->stage];
        if (!s->saves || s->target != i || s->rowset != v->rowset)
            return check_fail(c, "stage %u does not write save %zu", v->stage, i);
        if (!(v->images ? check_images(c, v) : check_values(c, v))) return false;
    }
    return true;
}

// ---- trials --------------------------------------------------------------------------
static bool check_answers(struct check *c, size_t i, uint32_t column, size_t bytes) {
    const struct plan *p = c->plan;
    return (column < p->ncolumns && p->columns[column].rowset == p->trials[i].rowset &&
            p->columns[column].row_bytes == bytes) ||
           check_fail(c, "check %zu has no answers in column %u", i, column);
}

// trial_run.c reads the answers as they are here, and counts by class.
bool check_trials(struct check *c) {
    for (size_t i = 0; i < c->plan->ntrials; i++) {
        const struct plan_trial *t = &c->plan->trials[i];
        if (t->rowset >= c->plan->nrowsets || t->classes < 1 ||
            !(t->at_least >= 0 && t->at_least <= 1))
            return check_fail(c, "check %zu is of rowset %u, %zu classes", i, t->rowset,
                              t->classes);
        if (!check_answers(c, i, t->answers, sizeof(int32_t)) ||
            !check_answers(c, i, t->variants, TRIAL_VARIANTS * sizeof(int32_t)))
            return false;
    }
    return true;
}

// ---- measures ------------------------------------------------------------------------
// Counting by class, measure.c relies on the images having so many.
static bool has_classes(const struct plan *p, uint32_t rowset, size_t classes) {
    while (p->rowsets[rowset].kind != ROWSET_READER) rowset = p->rowsets[rowset].parent;
    return classes >= 1 && p->rowsets[rowset].classes == classes;
}

static bool check_of_rows(struct check *c, size_t i, const struct plan_measure *m) {
    const struct plan *p = c->plan;
    return (m->rowset < p->nrowsets && m->column < p->ncolumns &&
            p->columns[m->column].rowset == m->rowset &&
            p->columns[m->column].row_bytes == sizeof(int32_t) &&
            has_classes(p, m->rowset, m->classes)) ||
           check_fail(c, "measure %zu is of rowset %u, column %u, %zu classes", i,
                      m->rowset, m->column, m->classes);
}

static bool check_of_measures(struct check *c, size_t i, const struct plan_measure *m) {
    for (size_t k = 0; k < m->nof; k++)
        if (m->of[k] >= i || c->plan->measures[m->of[k]].kind == MEASURE_CONFUSION)
            return check_fail(c, "measure %zu is of measure %u", i, m->of[k]);
    return m->nof > 0 || check_fail(c, "measure %zu is of no measures", i);
}

static bool check_table(struct check *c, size_t i, const struct plan_table *t) {
    size_t n;
    if (!size_mul(t->nrows, t->ncolumns, &n) || n != t->n || !n)
        return check_fail(c, "table %zu has %zu rows, %zu columns, %zu numbers", i,
                          t->nrows, t->ncolumns, t->n);
    if ((*t->rows && text_lines(t->rows) != t->nrows) ||
        (*t->columns ? text_lines(t->columns) : 1) != t->ncolumns)
        return check_fail(c, "table %zu has other names than rows and columns", i);
    for (size_t k = 0; k < n; k++)
        if (t->measures[k] >= c->plan->nmeasures)
            return check_fail(c, "table %zu has measure %u", i, t->measures[k]);
    return true;
}

bool check_measures(struct check *c) {
    const struct plan *p = c->plan;
    for (size_t i = 0; i < p->nmeasures; i++) {
        const struct plan_measure *m = &p->measures[i];
        bool rows = m->kind != MEASURE_MEAN_STD;
        if (!(rows ? check_of_rows(c, i, m) : check_of_measures(c, i, m))) return false;
    }
    for (size_t i = 0; i < p->ntables; i++)
        if (!check_table(c, i, &p->tables[i])) return false;
    return true;
}

// ---- the plan ------------------------------------------------------------------------
const char *plan_check(struct arena *arena, const struct plan *p) {
    struct check c = {.arena = arena, .plan = p};
    c.behind = NEW_N(arena, size_t, p->nrowsets);
    bool ok = check_rowsets(&c) && check_columns(&c) && check_funcs(&c) &&
              check_stages(&c) && check_saves(&c) && check_trials(&c) &&
              check_measures(&c) && check_params(&c);
    return ok ? NULL : c.why;
}
