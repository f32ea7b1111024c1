// The tables of shape.h: one for each structure of runtime/plan.h and what it is made of.
#include "runtime/bundle/shape.h"

#include "runtime/result.h"

#define AT(s, member)        offsetof(struct s, member)
#define ROW(s, member, what) .name = #member, .kind = what, .at = AT(s, member)
#define TEXT(s, m)                                                                       \
    { ROW(s, m, FIELD_TEXT) }
#define MAYBE_TEXT(s, m)                                                                 \
    { ROW(s, m, FIELD_TEXT), .maybe = true }
#define SIZE(s, m, limit)                                                                \
    { ROW(s, m, FIELD_SIZE), .most = limit }
#define INDEX(s, m)                                                                      \
    { ROW(s, m, FIELD_INDEX) }
#define BOOL(s, m)                                                                       \
    { ROW(s, m, FIELD_BOOL) }
#define REAL(s, m)                                                                       \
    { ROW(s, m, FIELD_REAL) }
#define SPAN(s, m)                                                                       \
    { ROW(s, m, FIELD_SPAN) }
#define VALUE(s, m)                                                                      \
    { ROW(s, m, FIELD_VALUE) }
#define SIZES(s, m)                                                                      \
    { ROW(s, m, FIELD_SIZES), .most = COUNT(((struct s *)0)->m) }
#define REALS(s, m)                                                                      \
    { ROW(s, m, FIELD_REALS), .most = COUNT(((struct s *)0)->m) }
#define ENUM(s, m, words)                                                                \
    { ROW(s, m, FIELD_ENUM), .most = COUNT(words) - 1, .names = words }
#define STRUCT(s, m, shape)                                                              \
    { ROW(s, m, FIELD_STRUCT), .of = &shape }
#define MAYBE_ONE(s, m, shape)                                                           \
    { ROW(s, m, FIELD_POINTER), .maybe = true, .of = &shape }
#define COUNTED(s, m, n, what)                                                           \
    { ROW(s, m, what), .count = AT(s, n) }
#define LIST(s, m, n, shape)                                                             \
    { ROW(s, m, FIELD_LIST), .count = AT(s, n), .of = &shape }
#define VEC_ROW(s, m, what)                                                              \
    .name = #m, .kind = what, .at = AT(s, m.at), .count = AT(s, m.n), .cap = AT(s, m.cap)
#define VEC_LIST(s, m, shape)                                                            \
    { VEC_ROW(s, m, FIELD_LIST), .of = &shape }
#define NONE(s, m)                                                                       \
    { ROW(s, m, FIELD_NONE), .most = sizeof(((struct s *)0)->m) }
#define SHAPE(variable, s)                                                               \
    const struct shape variable = {#s, sizeof(struct s), COUNT(fields_##s), fields_##s}

// How FIELD_ENUM is read and written.
_Static_assert(sizeof(enum plan_space) == sizeof(unsigned), "enums are unsigned ints");

// ---- functions -----------------------------------------------------------------------
static const char *const spaces[] = {"constant", "arena", "in", "out"};
static const char *const builtins[] = {"none", "normal", "random_box", "resize"};

static const struct field fields_plan_buffer[] = {
    ENUM(plan_buffer, space, spaces),
    SIZE(plan_buffer, offset, BUNDLE_MAX_BYTES),
    SIZE(plan_buffer, stride, BUNDLE_MAX_BYTES),
    BOOL(plan_buffer, local),
};
static SHAPE(shape_buffer, plan_buffer);

static const struct field fields_plan_call[] = {
    {ROW(plan_call, symbol, FIELD_KERNEL), .count = AT(plan_call, entry)},
    NONE(plan_call, fn),
    NONE(plan_call, entry), // the kernel's
    ENUM(plan_call, builtin, builtins),
    REALS(plan_call, params),
    BOOL(plan_call, once),
    NONE(plan_call, all_rows), // of joint functions
    NONE(plan_call, parts),
    LIST(plan_call, buffers, nbuffers, shape_buffer),
    TEXT(plan_call, what),
    TEXT(plan_call, how),
    REAL(plan_call, flops),
    REAL(plan_call, bytes),
};
static SHAPE(shape_call, plan_call);

static const struct field fields_plan_band[] = {
    SIZE(plan_band, ncalls, BUNDLE_MAX_ROWS), SIZE(plan_band, rows, BUNDLE_MAX_ROWS),
    NONE(plan_band, phase), // of joint functions
};
static SHAPE(shape_band, plan_band);

static const struct field fields_plan_const[] = {
    COUNTED(plan_const, data, bytes, FIELD_CONST),
};
static SHAPE(shape_const, plan_const);

static const struct field fields_plan_func[] = {
    TEXT(plan_func, name),
    NONE(plan_func, loaded),
    SIZE(plan_func, batch, BUNDLE_MAX_ROWS),
    SIZE(plan_func, arena_bytes, BUNDLE_MAX_BYTES),
    NONE(plan_func, joint), // compiled programs call none that is
    NONE(plan_func, own_bytes),
    LIST(plan_func, calls, ncalls, shape_call),
    LIST(plan_func, bands, nbands, shape_band),
    REAL(plan_func, flops),
};
static SHAPE(shape_func, plan_func);

// ---- rowsets -------------------------------------------------------------------------
static const char *const rowset_kinds[] = {"reader", "expand", "select", "group",
                                           "filter"};

static const struct field fields_plan_rowset[] = {
    ENUM(plan_rowset, kind, rowset_kinds),
    TEXT(plan_rowset, name),
    SPAN(plan_rowset, span),
    INDEX(plan_rowset, parent),
    SIZE(plan_rowset, factor, BUNDLE_MAX_ROWS),
    MAYBE_TEXT(plan_rowset, path),
    SIZE(plan_rowset, size, BUNDLE_MAX_ROWS),
    SIZE(plan_rowset, limit, SIZE_MAX),
    BOOL(plan_rowset, skip),
    INDEX(plan_rowset, column),
    SIZE(plan_rowset, k, BUNDLE_MAX_ROWS),
    BOOL(plan_rowset, per_class),
    BOOL(plan_rowset, smallest),
    REAL(plan_rowset, above),
    REAL(plan_rowset, below),
    SIZE(plan_rowset, classes, BUNDLE_MAX_ROWS),
    SPAN(plan_rowset, classes_span),
};
static SHAPE(shape_rowset, plan_rowset);

// ---- columns -------------------------------------------------------------------------
static const char *const key_kinds[] = {"row", "class", "nth", "column"};

static const struct field fields_plan_key[] = {
    ENUM(plan_key, kind, key_kinds),
    INDEX(plan_key, rowset),
    INDEX(plan_key, column),
};
static SHAPE(shape_key, plan_key);

static const struct field fields_store_field[] = {
    TEXT(store_field, name),
    TEXT(store_field, value),
    MAYBE_TEXT(store_field, label),
};
static SHAPE(shape_store_field, store_field);

static const struct field fields_store_record[] = {
    TEXT(store_record, op),
    TEXT(store_record, name),
    LIST(store_record, fields, nfields, shape_store_field),
    TEXT(store_record, elem),
    SIZE(store_record, rank, COUNT(((struct store_record *)0)->dim)),
    SIZES(store_record, dim),
    REAL(store_record, flops),
    NONE(store_record, key), // follows from the fields
    NONE(store_record, rows),
    NONE(store_record, bytes),
    NONE(store_record, computed),
    NONE(store_record, seconds),
    NONE(store_record, created),
    NONE(store_record, used),
};
static SHAPE(shape_record, store_record);

static const struct field fields_plan_memo[] = {
    STRUCT(plan_memo, record, shape_record),
    LIST(plan_memo, keys, nkeys, shape_key),
};
static SHAPE(shape_memo, plan_memo);

static const struct field fields_plan_column[] = {
    TEXT(plan_column, name),
    TEXT(plan_column, op),
    MAYBE_TEXT(plan_column, part),
    SPAN(plan_column, span),
    INDEX(plan_column, rowset),
    INDEX(plan_column, stage),
    SIZE(plan_column, row_bytes, BUNDLE_MAX_BYTES),
    MAYBE_ONE(plan_column, memo, shape_memo),
};
static SHAPE(shape_column, plan_column);

// ---- stages --------------------------------------------------------------------------
static const char *const leaf_kinds[] = {"pixels", "key", "class",
                                         "subrow", "nth", "column"};
static const char *const sink_roles[] = {"column", "pixels", "labels",
                                         "boxes",  "maps",   "values"};

static const struct field fields_plan_slot[] = {
    SIZE(plan_slot, row_bytes, BUNDLE_MAX_BYTES),
    SIZE(plan_slot, mult, BUNDLE_MAX_ROWS),
    BOOL(plan_slot, leaf),
    ENUM(plan_slot, kind, leaf_kinds),
    INDEX(plan_slot, rowset),
    INDEX(plan_slot, column),
    BOOL(plan_slot, view),
    INDEX(plan_slot, of),
};
static SHAPE(shape_slot, plan_slot);

static const struct field fields_plan_step[] = {
    INDEX(plan_step, func),
    SIZE(plan_step, mult, BUNDLE_MAX_ROWS),
    COUNTED(plan_step, in, nin, FIELD_INDICES),
    COUNTED(plan_step, out, nout, FIELD_INDICES),
};
static SHAPE(shape_step, plan_step);

static const struct field fields_plan_sink[] = {
    ENUM(plan_sink, role, sink_roles),
    INDEX(plan_sink, slot),
};
static SHAPE(shape_sink, plan_sink);

static const struct field fields_plan_stage[] = {
    TEXT(plan_stage, name),
    INDEX(plan_stage, rowset),
    BOOL(plan_stage, saves),
    INDEX(plan_stage, target),
    LIST(plan_stage, slots, nslots, shape_slot),
    LIST(plan_stage, steps, nsteps, shape_step),
    LIST(plan_stage, sinks, nsinks, shape_sink),
};
static SHAPE(shape_stage, plan_stage);

static const struct field fields_plan_trial[] = {
    TEXT(plan_trial, model),
    TEXT(plan_trial, images),
    SPAN(plan_trial, span),
    SPAN(plan_trial, model_span),
    INDEX(plan_trial, rowset),
    INDEX(plan_trial, answers),
    INDEX(plan_trial, variants),
    SIZE(plan_trial, classes, BUNDLE_MAX_ROWS),
    SIZE(plan_trial, per_class, BUNDLE_MAX_ROWS),
    REAL(plan_trial, at_least),
};
static SHAPE(shape_trial, plan_trial);

static const struct field fields_plan_save[] = {
    TEXT(plan_save, to),
    SPAN(plan_save, span),
    INDEX(plan_save, rowset),
    INDEX(plan_save, stage),
    BOOL(plan_save, images),
    SIZES(plan_save, dim),
    SIZE(plan_save, rank, COUNT(((struct plan_save *)0)->dim)),
    SIZE(plan_save, labels, BUNDLE_MAX_ROWS),
    SIZE(plan_save, map_h, BUNDLE_MAX_ROWS),
    SIZE(plan_save, map_w, BUNDLE_MAX_ROWS),
};
static SHAPE(shape_save, plan_save);

// ---- measures ------------------------------------------------------------------------
static const char *const measure_kinds[] = {"accuracy", "confusion", "mean_std"};

static const struct field fields_plan_measure[] = {
    ENUM(plan_measure, kind, measure_kinds),
    TEXT(plan_measure, name),
    SPAN(plan_measure, span),
    INDEX(plan_measure, rowset),
    INDEX(plan_measure, column),
    SIZE(plan_measure, classes, BUNDLE_MAX_ROWS),
    COUNTED(plan_measure, of, nof, FIELD_INDICES),
};
static SHAPE(shape_measure, plan_measure);

static const struct field fields_plan_table[] = {
    MAYBE_TEXT(plan_table, to),
    SPAN(plan_table, span),
    SIZE(plan_table, nrows, BUNDLE_MAX_ROWS),
    SIZE(plan_table, ncolumns, BUNDLE_MAX_ROWS),
    TEXT(plan_table, rows),
    TEXT(plan_table, columns),
    COUNTED(plan_table, measures, n, FIELD_INDICES),
};
static SHAPE(shape_table, plan_table);

static const struct field fields_result_field[] = {
    TEXT(result_field, group),
    TEXT(result_field, name),
    TEXT(result_field, json),
};
static SHAPE(shape_result_field, result_field);

// ---- params --------------------------------------------------------------------------
static const char *const value_kinds[] = {"none",   "int",  "float", "bool",
                                          "string", "ints", "floats"};
static const char *const formula_kinds[] = {"value",  "param", "negate",
                                            "binary", "list",  "opaque"};
static const char *const use_places[] = {"path",    "limit",     "k",        "to",
                                         "table",   "per_class", "at_least", "const",
                                         "builtin", "record",    "field"};

static const struct field fields_formula[] = {
    ENUM(formula, kind, formula_kinds),
    VALUE(formula, value),
    MAYBE_TEXT(formula, folder),
    INDEX(formula, param),
    MAYBE_TEXT(formula, op),
    {ROW(formula, l, FIELD_FORMULA)},
    {ROW(formula, r, FIELD_FORMULA)},
    COUNTED(formula, items, nitems, FIELD_FORMULAS),
    NONE(formula, size), // follow from the parts
    NONE(formula, depth),
};
SHAPE(shape_formula, formula);

static const struct field fields_formula_param[] = {
    VALUE(formula_param, value),
    MAYBE_TEXT(formula_param, folder),
};
static SHAPE(shape_formula_param, formula_param);

static const struct field fields_plan_param[] = {
    TEXT(plan_param, name),        MAYBE_TEXT(plan_param, doc),
    SPAN(plan_param, span),        STRUCT(plan_param, at, shape_formula_param),
    MAYBE_TEXT(plan_param, fixed),
};
static SHAPE(shape_param, plan_param);

static const struct field fields_plan_late[] = {
    MAYBE_TEXT(plan_late, op), MAYBE_TEXT(plan_late, attr),
    SPAN(plan_late, span),     ENUM(plan_late, kind, value_kinds),
    REAL(plan_late, min),      REAL(plan_late, max),
    BOOL(plan_late, path),     VALUE(plan_late, value),
};
static SHAPE(shape_late, plan_late);

static const struct field fields_plan_use[] = {
    ENUM(plan_use, place, use_places),
    INDEX(plan_use, a),
    INDEX(plan_use, b),
    INDEX(plan_use, c),
    INDEX(plan_use, late),
};
static SHAPE(shape_use, plan_use);

// ---- the plan ------------------------------------------------------------------------
// Sources come first: spans point into them.
static const struct field fields_plan[] = {
    TEXT(plan, name),
    TEXT(plan, version),
    {VEC_ROW(plan, sources, FIELD_SOURCES)},
    VEC_LIST(plan, params, shape_param),
    VEC_LIST(plan, lates, shape_late),
    VEC_LIST(plan, uses, shape_use),
    LIST(plan, rowsets, nrowsets, shape_rowset),
    LIST(plan, columns, ncolumns, shape_column),
    LIST(plan, stages, nstages, shape_stage),
    LIST(plan, trials, ntrials, shape_trial),
    NONE(plan, agreements), // a run of the program itself makes them
    NONE(plan, nagreements),
    LIST(plan, saves, nsaves, shape_save),
    NONE(plan, trains), // done before the rest is compiled
    NONE(plan, ntrains),
    LIST(plan, measures, nmeasures, shape_measure),
    LIST(plan, tables, ntables, shape_table),
    LIST(plan, fields, nfields, shape_result_field),
    LIST(plan, consts, nconsts, shape_const),
    LIST(plan, funcs, nfuncs, shape_func),
};
SHAPE(shape_plan, plan);

// ---- a variant -----------------------------------------------------------------------
static const struct field fields_bundle_kernel[] = {
    TEXT(bundle_kernel, symbol),
    SIZE(bundle_kernel, entry, BUNDLE_MAX_BYTES),
    SIZE(bundle_kernel, bytes, BUNDLE_MAX_BYTES),
};
static SHAPE(shape_kernel, bundle_kernel);

static const struct field fields_bundle_variant[] = {
    TEXT(bundle_variant, target),
    TEXT(bundle_variant, cpu),
    TEXT(bundle_variant, needs),
    TEXT(bundle_variant, numerics),
    COUNTED(bundle_variant, code, code_bytes, FIELD_CODE),
    LIST(bundle_variant, kernels, nkernels, shape_kernel),
    NONE(bundle_variant, plan), // written behind it, with its formulas
};
SHAPE(shape_variant, bundle_variant);
