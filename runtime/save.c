// See save.h. Images go to a result folder (result.h), with where each came from; the
// sources shown in the overview are decoded again as they come up.
#include "runtime/save.h"

#include "runtime/npy.h"
#include "runtime/outfile.h"
#include "runtime/result.h"

struct save {
    const struct plan_save *plan;
    struct result *result;
    struct npy_writer *npy;
    uint32_t root; // the reader behind the rows
    size_t mult;   // source rows of each row
    size_t row_bytes;
    uint8_t *source;               // a source image's pixels
    struct result_origin *origins; // mult of them, with room for their names
    char (*names)[512];
};

void saves_init(struct saves *s, struct arena *arena, const struct plan *plan,
                const struct rowsets *rowsets, bool files, struct keep *keep) {
    *s = (struct saves){
        .arena = arena, .plan = plan, .rowsets = rowsets, .files = files, .keep = keep};
    s->at = NEW_N(arena, struct save *, plan->nsaves);
    if (!keep) return;
    keep->at = NEW_N(keep->arena, struct keep_save, plan->nsaves);
    keep->n = plan->nsaves;
}

// ---- before the run ------------------------------------------------------------------
static const char *const *class_names(const struct saves *s, uint32_t root, size_t *n) {
    const struct reader *r = s->rowsets->at[root].reader;
    *n = reader_classes(r);
    const char **names = NEW_N(s->arena, const char *, *n);
    for (size_t i = 0; i < *n; i++) names[i] = reader_class_name(r, i);
    return names;
}

static bool begin_images(struct saves *s, struct save *save, struct diags *d) {
    const struct plan_save *p = save->plan;
    struct result_info info = {.to = p->to,
                               .height = p->dim[1],
                               .width = p->dim[2],
                               .labels = p->labels,
                               .fields = s->plan->fields,
                               .nfields = s->plan->nfields,
                               .version = s->plan->version};
    info.class_names = class_names(s, save->root, &info.classes);
    size_t size = s->plan->rowsets[save->root].size;
    save->source = NEW_N(s->arena, uint8_t, 3 * size * size);
    save->origins = NEW_N(s->arena, struct result_origin, save->mult);
    save->names = arena_alloc(s->arena, save->mult, sizeof *save->names);
    return (save->result = result_begin(&info, d)) != NULL;
}

// A file itself is made when its number of rows is known.
static bool check_save(struct saves *s, struct save *save, struct diags *d) {
    const struct plan_save *p = save->plan;
    if (!s->files) return true;
    return p->images ? begin_images(s, save, d)
                     : out_place_check(s->arena, p->to, d, p->span);
}

static void describe(struct saves *s, size_t which) {
    const struct save *save = s->at[which];
    size_t n = 0;
    const char *const *names = NULL;
    if (save->plan->images) names = class_names(s, save->root, &n);
    keep_describe(s->keep, which, save->plan, names, n);
}

bool saves_check(struct saves *s, struct diags *d) {
    for (size_t i = 0; i < s->plan->nsaves; i++) {
        const struct plan_save *p = &s->plan->saves[i];
        struct save *save = s->at[i] = NEW(s->arena, struct save);
        save->plan = p;
        save->root = rowset_root(s->rowsets, p->rowset);
        save->mult = rowset_mult(s->rowsets, p->rowset, save->root);
        if (s->keep) describe(s, i);
        size_t before = d->list.n;
        if (!check_save(s, save, d)) return diag_about(d, before, p->span);
    }
    return true;
}

// ---- during the run ------------------------------------------------------------------
static bool begin_file(struct save *save, size_t rows, struct diags *d) {
    const struct plan_save *p = save->plan;
    size_t dim[NPY_MAX_RANK] = {rows};
    CHECK(p->rank < NPY_MAX_RANK);
    memcpy(dim + 1, p->dim, p->rank * sizeof dim[0]);
    return (save->npy = npy_create(p->to, NPY_F32, p->rank + 1, dim, d)) != NULL;
}

bool save_begin(struct saves *s, size_t which, struct diags *d) {
    struct save *save = s->at[which];
    const struct plan_save *p = save->plan;
    size_t rows = s->rowsets->at[p->rowset].rows;
    CHECK(size_product(p->dim, p->rank, &save->row_bytes));
    save->row_bytes *= p->images ? sizeof(uint8_t) : sizeof(float);
    if (s->keep && !keep_begin(s->keep, which, p, rows, d)) return false;
    return p->images || !s->files || begin_file(save, rows, d);
}

// The source rows of a row, with their boxes.
static void find_origins(const struct saves *s, struct save *save,
                         const struct save_chunk *c, size_t i) {
    const struct plan_rowset *root = &s->plan->rowsets[save->root];
    const struct rowset *reader = &s->rowsets->at[save->root];
    for (size_t j = 0; j < save->mult; j++) {
        size_t q = (c->first + i) * save->mult + j;
        size_t row = rowset_ancestor(s->rowsets, save->plan->rowset, q, save->root);
        reader_row_name(reader->reader, reader_row(reader, row), save->names[j],
                        sizeof save->names[j]);
        struct result_origin *o = &save->origins[j];
        *o = (struct result_origin){
            .file = save->names[j],
            .box = {0, 0, (uint32_t)root->size, (uint32_t)root->size}};
        if (c->boxes)
            for (size_t b = 0; b < 4; b++)
                o->box[b] = (uint32_t)c->boxes[(i * save->mult + j) * 4 + b];
    }
}

// The first source of the row beside its map, while the overview has room for more.
static bool show_source(const struct saves *s, struct save *save,
                        const struct save_chunk *c, size_t i, uint32_t cls,
                        struct decoder *decoder, struct diags *d) {
    if (!result_wants_source(save->result, cls)) return true;
    const struct rowset *reader = &s->rowsets->at[save->root];
    size_t q = (c->first + i) * save->mult, size = s->plan->rowsets[save->root].size;
    size_t row = rowset_ancestor(s->rowsets, save->plan->rowset, q, save->root);
    char why[512];
    if (!reader_load(reader->reader, decoder, reader_row(reader, row), save->source, NULL,
                     why, sizeof why)) {
        d->no_memory |= decoder_no_memory(decoder);
        return diag_error(d, NO_SPAN, "%s", why);
    }
    struct result_source source = {
        .cls = cls, .pixels = save->source, .h = size, .w = size};
    if (c->maps) {
        source.mh = save->plan->map_h, source.mw = save->plan->map_w;
        source.map = c->maps + i * save->mult * source.mh * source.mw;
    }
    return result_add_source(save->result, &source) || diag_no_memory(d, NO_SPAN);
}

static bool write_image(struct saves *s, struct save *save, const struct save_chunk *c,
                        size_t i, struct result_row *row, struct decoder *decoder,
                        struct diags *d) {
    find_origins(s, save, c, i);
    row->origins = save->origins;
    row->norigins = save->mult;
    return result_add(save->result, row, d) &&
           show_source(s, save, c, i, row->cls, decoder, d);
}

static bool keep_row(struct saves *s, size_t which, size_t at,
                     const struct result_row *row, struct diags *d) {
    char name[64];
    snprintf(name, sizeof name, "image %zu", at);
    if (row->labels &&
        !result_check_labels(row->labels, s->plan->saves[which].labels, name, d))
        return false;
    keep_image(s->keep, which, at, row->cls, row->pixels, row->labels);
    return true;
}

static bool save_images(struct saves *s, size_t which, const struct save_chunk *c,
                        struct decoder *decoder, struct diags *d) {
    struct save *save = s->at[which];
    const struct plan_save *p = save->plan;
    for (size_t i = 0; i < c->rows; i++) {
        struct result_row row = {.cls = rowset_class(s->rowsets, p->rowset, c->first + i),
                                 .pixels = c->pixels + i * save->row_bytes,
                                 .labels = c->labels ? c->labels + i * p->labels : NULL};
        if (s->files && !write_image(s, save, c, i, &row, decoder, d)) return false;
        if (s->keep && !keep_row(s, which, c->first + i, &row, d)) return false;
    }
    return true;
}

bool save_chunk(struct saves *s, size_t which, const struct save_chunk *c,
                struct decoder *decoder, struct diags *d) {
    struct save *save = s->at[which];
    if (save->plan->images) return save_images(s, which, c, decoder, d);
    if (s->keep)
        keep_values(s->keep, which, c->first, c->values, c->rows * save->row_bytes);
    return !s->files || npy_write(save->npy, c->values, c->rows * save->row_bytes, d);
}

// ---- after the run -------------------------------------------------------------------
bool saves_commit(struct saves *s, struct diags *d) {
    for (size_t i = 0; i < s->plan->nsaves; i++) {
        struct save *save = s->at[i];
        struct result *result = save->result;
        struct npy_writer *npy = save->npy;
        save->result = NULL; // commit frees them, whatever comes of it
        save->npy = NULL;
        if (result && !result_commit(result, d)) return false;
        if (npy && !npy_commit(npy, d)) return false;
    }
    return true;
}

void saves_abandon(struct saves *s) {
    for (size_t i = 0; i < s->plan->nsaves; i++) {
        if (!s->at[i]) continue;
        if (s->at[i]->result) result_abandon(s->at[i]->result);
        if (s->at[i]->npy) npy_abandon(s->at[i]->npy);
        s->at[i]->result = NULL;
        s->at[i]->npy = NULL;
    }
}
