// What a run gave, as the caller sees it.
#include "cli/lib/lib.h"

static void free_result(void *ctx) {
    ddg_result *r = ctx;
    keep_free(&r->keep);
    arena_free(r->arena);
}

void ddg_result_free(ddg_result *r) {
    ddg_context *c = r ? r->context : NULL;
    if (!c) return;
    serve_end(c, free_result, r);
    context_drop(c);
}

// ---- saves ---------------------------------------------------------------------------
static const struct keep_save *save_at(const ddg_result *r, size_t i) {
    return r && i < r->keep.n ? &r->keep.at[i] : NULL;
}

size_t ddg_result_count(const ddg_result *r) {
    return r ? r->keep.n : 0;
}

bool ddg_result_saved(const ddg_result *r, size_t i, ddg_saved *out) {
    const struct keep_save *s = save_at(r, i);
    if (!s || !out) return false;
    *out = (ddg_saved){
        .to = s->to, .images = s->images, .rows = s->rows, .classes = s->nclasses};
    return true;
}

const char *ddg_result_class(const ddg_result *r, size_t i, size_t cls) {
    const struct keep_save *s = save_at(r, i);
    return s && cls < s->nclasses ? s->class_names[cls] : NULL;
}

// ---- checks --------------------------------------------------------------------------
size_t ddg_result_check_count(const ddg_result *r) {
    return r ? r->nchecks : 0;
}

bool ddg_result_check(const ddg_result *r, size_t i, ddg_checked *out) {
    if (!r || !out || i >= r->nchecks) return false;
    *out = r->checks[i];
    return true;
}

bool ddg_result_stats(const ddg_result *r, ddg_stats *out) {
    if (!r || !out) return false;
    *out = r->stats;
    return true;
}

// ---- arrays --------------------------------------------------------------------------
static ddg_array array_of(const struct keep_save *s, enum ddg_part part) {
    ddg_array a = {.rank = 1, .shape = {s->rows}};
    switch (part) {
    case DDG_PIXELS: a.data = s->pixels; break;
    case DDG_CLASSES: a.data = s->classes; break;
    case DDG_LABELS:
        a.data = s->soft;
        a.rank = 2;
        a.shape[1] = s->labels;
        break;
    case DDG_VALUES: a.data = s->values; break;
    }
    a.element = part == DDG_PIXELS    ? DDG_UINT8
                : part == DDG_CLASSES ? DDG_INT32
                                      : DDG_FLOAT32;
    if (part != DDG_PIXELS && part != DDG_VALUES) return a;
    a.rank = s->rank;
    memcpy(a.shape, s->dim, s->rank * sizeof *s->dim);
    return a;
}

static bool has_part(const struct keep_save *s, enum ddg_part part) {
    if (part == DDG_VALUES) return !s->images;
    return s->images && (part != DDG_LABELS || s->labels);
}

static bool no_array(const ddg_result *r, size_t i, enum ddg_part part,
                     ddg_error **error) {
    static const char *const names[] = {[DDG_PIXELS] = "pixels",
                                        [DDG_LABELS] = "labels",
                                        [DDG_CLASSES] = "classes",
                                        [DDG_VALUES] = "values"};
    const ddg_allocator *from = &r->context->allocator;
    const struct keep_save *s = save_at(r, i);
    if (!s)
        error_say(error, from, DDG_ERROR_ARGUMENT,
                  "there is no save %zu: the result has %zu", i, r->keep.n);
    else if ((size_t)part >= COUNT(names))
        error_say(error, from, DDG_ERROR_ARGUMENT, "%d is no ddg_part", (int)part);
    else if (!has_part(s, part))
        error_say(error, from, DDG_ERROR_ARGUMENT, "`%s` has no %s: it %s", s->to,
                  names[part],
                  s->images ? "holds images" : "holds values that are no images");
    else
        error_say(error, from, DDG_ERROR_ARGUMENT,
                  "the run was told to keep no arrays (ddg_run_options.no_arrays)");
    return false;
}

bool ddg_result_array(const ddg_result *r, size_t i, enum ddg_part part, ddg_array *out,
                      ddg_error **error) {
    if (!r) return is_null(NULL, "the result", error);
    if (!out) return is_null(r->context, "where the array goes", error);
    const struct keep_save *s = save_at(r, i);
    if (!s || (size_t)part > DDG_VALUES || !has_part(s, part) || !r->keep.arrays)
        return no_array(r, i, part, error);
    *out = array_of(s, part);
    return true;
}
