// A compiled program made by hand, in which every member of every structure is something
// other than zero somewhere: what tests and the fuzzer of bundles start from.
//
//     a = images           read from disk, at 8 pixels a side
//     b = two crops of each
//     c = the 4 smallest of each class, by loss(b)
//     d = four of c together; saved as images, with the losses as an array
// and a check of b.
#ifndef TEST_BUNDLE_RIG_H
#define TEST_BUNDLE_RIG_H

#include "runtime/bundle.h"
#include "runtime/formula.h"
#include "runtime/result.h"
#include "runtime/settings.h"
#include "runtime/trial.h"

enum { RIG_A, RIG_B, RIG_C, RIG_D };             // rowsets
enum { RIG_MAP, RIG_LOSS, RIG_PLACE, RIG_WAYS }; // columns
enum { RIG_IMAGES, RIG_VALUES };                 // saves
enum { RIG_PIXELS = 3 * 8 * 8, RIG_STITCHED = 3 * 16 * 16 };

struct rig_made {
    struct arena *a;
    struct plan *p;
    const struct source *sources[2];
};

// mov (%rdi), %rax; movl $value, (%rax); ret
#define RIG_KERNEL 16
static inline void rig_kernel(char *at, unsigned char value) {
    static const unsigned char code[] = {0x48, 0x8b, 0x07, 0xc7, 0, 0, 0, 0, 0, 0xc3};
    memcpy(at, code, sizeof code);
    at[5] = (char)value;
}

static inline struct span rig_span(const struct rig_made *m, size_t source, uint32_t at) {
    return (struct span){m->sources[source], at, at + 3};
}

static inline struct value rig_from(struct arena *a, struct value v, struct formula f) {
    return value_from(a, v, f);
}

static inline const struct formula *rig_param(struct arena *a, uint32_t i) {
    return value_from(a, val_int(0), (struct formula){.kind = FORMULA_PARAM, .param = i})
        .of;
}

static inline void rig_sources(struct rig_made *m) {
    static const struct source lib = {"lib.ddg", "def two(x) { return x }\n", 24};
    static const struct source top = {"p.ddg", "param ipc: int = 3 # kept\n# more\n", 33};
    m->sources[0] = &lib, m->sources[1] = &top;
    for (size_t i = 0; i < 2; i++) VEC_PUSH(m->a, &m->p->sources, m->sources[i]);
}

// ---- params --------------------------------------------------------------------------
static inline void rig_params(struct rig_made *m) {
    static const double fs[] = {0.5, -2};
    static const int64_t is[] = {1, -70000, INT64_MIN};
    struct value one = val_int(1);
    struct formula sum = {.kind = FORMULA_BINARY, .op = "+", .l = rig_param(m->a, 0)};
    sum.r = formula_of(m->a, &one, "folder");
    const struct plan_param params[] = {
        {.name = "ipc",
         .doc = "kept",
         .span = rig_span(m, 1, 6),
         .at = {val_int(3), NULL}},
        {.name = "more", .at = {rig_from(m->a, val_int(4), sum), NULL}},
        {.name = "sigma", .at = {val_float(0.25), NULL}},
        {.name = "data", .at = {val_string("train"), "/some"}},
        {.name = "flag", .at = {val_bool(true), NULL}, .fixed = "`flag` of `op`"},
        {.name = "fs", .at = {val_floats(fs, 2), NULL}},
        {.name = "is", .at = {val_ints(is, 3), NULL}},
        {.name = "seed", .at = {val_int(4), NULL}},
    };
    for (size_t i = 0; i < COUNT(params); i++) VEC_PUSH(m->a, &m->p->params, params[i]);
}

static inline void rig_late(struct rig_made *m, enum use_place place, uint32_t ia,
                            uint32_t ib, uint32_t ic, struct plan_late late) {
    VEC_PUSH(m->a, &m->p->lates, late);
    plan_use_late(m->a, m->p, place, ia, ib, ic, (uint32_t)m->p->lates.n - 1);
}

static inline struct value rig_follows(struct rig_made *m, struct value v,
                                       uint32_t param) {
    v.of = rig_param(m->a, param);
    return v;
}

static inline struct value rig_list(struct rig_made *m) {
    static const double fs[] = {-0.25, 7};
    const struct formula **items = NEW_N(m->a, const struct formula *, 2);
    struct value seven = val_int(7);
    items[0] =
        value_from(m->a, val_float(-0.25),
                   (struct formula){.kind = FORMULA_NEGATE, .l = rig_param(m->a, 2)})
            .of;
    items[1] = formula_of(m->a, &seven, NULL);
    return value_from(
        m->a, val_floats(fs, 2),
        (struct formula){.kind = FORMULA_LIST, .nitems = 2, .items = items});
}

static inline void rig_lates(struct rig_made *m) {
    struct span at = rig_span(m, 1, 10);
    rig_late(m, USE_PATH, RIG_A, 0, 0,
             (struct plan_late){"images", "path", at, VAL_STRING, 0, 0, true,
                                rig_follows(m, val_string("/some/train"), 3)});
    rig_late(m, USE_LIMIT, RIG_A, 0, 0,
             (struct plan_late){"images", "limit", at, VAL_INT, 1, 1e9, false,
                                rig_follows(m, val_int(3), 0)});
    rig_late(m, USE_K, RIG_C, 0, 0,
             (struct plan_late){"topk", "k", at, VAL_INT, 1, 1e9, false,
                                rig_follows(m, val_int(4), 1)});
    rig_late(m, USE_TO, RIG_VALUES, 0, 0,
             (struct plan_late){"save", "to", at, VAL_STRING, 0, 0, true,
                                rig_follows(m, val_string("/some/train"), 3)});
    rig_late(m, USE_CONST, 1, 0, 0,
             (struct plan_late){.kind = VAL_FLOAT,
                                .value = rig_follows(m, val_float(0.25), 2)});
    rig_late(m, USE_BUILTIN, 1, 0, 6,
             (struct plan_late){.kind = VAL_INT, .value = rig_follows(m, val_int(4), 7)});
    VEC_PUSH(m->a, &m->p->lates,
             (struct plan_late){"random_crop", "seed", at, VAL_INT, 0, 9e15, false,
                                rig_follows(m, val_int(4), 7)});
    rig_late(m, USE_RECORD, RIG_LOSS, 1, 0,
             (struct plan_late){.kind = VAL_FLOATS, .value = rig_list(m)});
    rig_late(m, USE_FIELD, 0, 0, 0,
             (struct plan_late){.kind = VAL_INT, .value = rig_follows(m, val_int(3), 0)});
    rig_late(m, USE_TABLE, 0, 0, 0,
             (struct plan_late){"report", "to", at, VAL_STRING, 0, 0, true,
                                rig_follows(m, val_string("/some/train"), 3)});
    rig_late(m, USE_PER_CLASS, 0, 0, 0,
             (struct plan_late){"check", "per_class", at, VAL_INT, 1, 1e6, false,
                                rig_follows(m, val_int(3), 0)});
    rig_late(m, USE_AT_LEAST, 0, 0, 0,
             (struct plan_late){"check", "at_least", at, VAL_FLOAT, 0, 1, false,
                                rig_follows(m, val_float(0.25), 2)});
}

// ---- functions -----------------------------------------------------------------------
static inline struct plan_call *rig_calls(struct rig_made *m, struct plan_func *f,
                                          size_t n) {
    f->ncalls = n;
    f->nbands = 1;
    f->bands = NEW(m->a, struct plan_band);
    *f->bands = (struct plan_band){.ncalls = n, .rows = f->batch};
    f->calls = NEW_N(m->a, struct plan_call, n);
    for (size_t i = 0; i < n; i++) {
        f->calls[i].what = f->calls[i].how = "rig";
        f->calls[i].flops = 12.5, f->calls[i].bytes = 96;
    }
    return f->calls;
}

static inline void rig_buffers(struct rig_made *m, struct plan_call *c, size_t n,
                               const struct plan_buffer *buffers) {
    c->nbuffers = n;
    c->buffers = arena_dup(m->a, buffers, n, sizeof *buffers);
}

// Two kernels, the first once for all rows of a call; f32 of an image.
static inline void rig_loss_func(struct rig_made *m, struct plan_func *f) {
    *f = (struct plan_func){.name = "loss", .batch = 4, .arena_bytes = 512, .flops = 7.5};
    struct plan_call *c = rig_calls(m, f, 2);
    c[0].symbol = "prepare", c[0].entry = 0, c[0].once = true;
    rig_buffers(m, &c[0], 2,
                (const struct plan_buffer[]){{SPACE_ARENA, 448, 0, false},
                                             {SPACE_CONST, 1, 0, false}});
    c[1].symbol = "finish", c[1].entry = RIG_KERNEL;
    rig_buffers(m, &c[1], 4,
                (const struct plan_buffer[]){{SPACE_OUT, 0, 4, false},
                                             {SPACE_IN, 0, RIG_PIXELS, false},
                                             {SPACE_IN, 2, 4, false},
                                             {SPACE_ARENA, 64, 64, true}});
}

static inline void rig_box_func(struct rig_made *m, struct plan_func *f) {
    static const double params[] = {8, 8, 0.25, 0.5, 0.75, 1.25, 4};
    *f = (struct plan_func){.name = "box", .batch = 8, .flops = 3};
    struct plan_call *c = rig_calls(m, f, 1);
    c->builtin = BUILTIN_RANDOM_BOX;
    memcpy(c->params, params, sizeof params);
    rig_buffers(m, c, 3,
                (const struct plan_buffer[]){{SPACE_OUT, 0, 16, false},
                                             {SPACE_IN, 0, 16, false},
                                             {SPACE_IN, 1, 4, false}});
}

// The second out of two; a builtin in between.
static inline void rig_stitch_func(struct rig_made *m, struct plan_func *f) {
    static const double resize[] = {3, 8, 8, 16, 16}, normal[] = {100, 5};
    *f = (struct plan_func){.name = "stitch", .batch = 2, .arena_bytes = 1024};
    struct plan_call *c = rig_calls(m, f, 3);
    c[0].builtin = BUILTIN_RESIZE;
    memcpy(c[0].params, resize, sizeof resize);
    rig_buffers(m, &c[0], 3,
                (const struct plan_buffer[]){{SPACE_OUT, 1, RIG_STITCHED, false},
                                             {SPACE_IN, 0, RIG_PIXELS * 4, false},
                                             {SPACE_IN, 1, 16 * 4, false}});
    c[1].builtin = BUILTIN_NORMAL;
    memcpy(c[1].params, normal, sizeof normal);
    rig_buffers(m, &c[1], 2,
                (const struct plan_buffer[]){{SPACE_ARENA, 0, 448, false},
                                             {SPACE_IN, 2, 16, false}});
    c[2].symbol = "finish", c[2].entry = RIG_KERNEL;
    rig_buffers(m, &c[2], 2,
                (const struct plan_buffer[]){{SPACE_OUT, 0, 40, false},
                                             {SPACE_CONST, 0, 0, false}});
}

static inline void rig_funcs(struct rig_made *m) {
    struct plan *p = m->p;
    p->nconsts = 2;
    p->consts = NEW_N(m->a, struct plan_const, 2);
    p->consts[0] = (struct plan_const){arena_alloc(m->a, 100 + PLAN_SLACK, 1), 100};
    for (size_t i = 0; i < 100; i++) p->consts[0].data[i] = (char)i;
    p->consts[1] = (struct plan_const){arena_alloc(m->a, 4 + PLAN_SLACK, 1), 4};
    memcpy(p->consts[1].data, &(float){0.25f}, sizeof(float));
    p->nfuncs = 3;
    p->funcs = NEW_N(m->a, struct plan_func, 3);
    rig_loss_func(m, &p->funcs[0]);
    rig_box_func(m, &p->funcs[1]);
    rig_stitch_func(m, &p->funcs[2]);
}

// ---- rowsets and columns -------------------------------------------------------------
static inline void rig_rowsets(struct rig_made *m) {
    const struct plan_rowset rowsets[] = {
        [RIG_A] = {.kind = ROWSET_READER,
                   .name = "a",
                   .span = rig_span(m, 1, 1),
                   .path = "/some/train",
                   .size = 8,
                   .limit = 3,
                   .skip = true,
                   .classes = 2,
                   .classes_span = rig_span(m, 0, 4)},
        [RIG_B] = {.kind = ROWSET_EXPAND, .name = "b", .factor = 2},
        [RIG_C] = {.kind = ROWSET_SELECT,
                   .name = "c",
                   .parent = RIG_B,
                   .column = RIG_LOSS,
                   .k = 4,
                   .per_class = true,
                   .smallest = true,
                   .above = -0.5,
                   .below = 2},
        [RIG_D] = {.kind = ROWSET_GROUP, .name = "d", .parent = RIG_C, .factor = 4},
    };
    m->p->nrowsets = COUNT(rowsets);
    m->p->rowsets = arena_dup(m->a, rowsets, COUNT(rowsets), sizeof rowsets[0]);
}

static inline struct plan_memo *rig_memo(struct rig_made *m) {
    static const struct store_field fields[] = {{"version", "1", NULL},
                                                {"sigma", "-0.25, 7", "from `fs`"}};
    static const struct plan_key keys[] = {{KEY_ROW, RIG_A, 0},
                                           {KEY_CLASS, RIG_B, 0},
                                           {KEY_NTH, RIG_B, 0},
                                           {KEY_COLUMN, RIG_B, RIG_PLACE}};
    struct plan_memo *memo = NEW(m->a, struct plan_memo);
    memo->nkeys = COUNT(keys), memo->keys = keys;
    memo->record = (struct store_record){.op = "loss",
                                         .name = "loss",
                                         .nfields = COUNT(fields),
                                         .elem = "f32",
                                         .rank = 1,
                                         .dim = {1},
                                         .flops = 12};
    memo->record.fields = arena_dup(m->a, fields, COUNT(fields), sizeof fields[0]);
    memo->record.key = store_record_key(&memo->record);
    return memo;
}

static inline void rig_columns(struct rig_made *m) {
    const struct plan_column columns[] = {
        [RIG_LOSS] = {.name = "l",
                      .op = "loss",
                      .span = rig_span(m, 0, 2),
                      .rowset = RIG_B,
                      .stage = 1,
                      .row_bytes = 4,
                      .memo = rig_memo(m)},
        [RIG_PLACE] = {.name = "b",
                       .op = "random_crop",
                       .part = "place",
                       .rowset = RIG_B,
                       .stage = 2,
                       .row_bytes = 16},
        [RIG_MAP] =
            {.name = "phi", .op = "shap", .rowset = RIG_A, .stage = 4, .row_bytes = 16},
        [RIG_WAYS] = {.name = "check",
                      .op = "check",
                      .part = "otherwise",
                      .rowset = RIG_B,
                      .stage = 5,
                      .row_bytes = TRIAL_VARIANTS * 4},
    };
    m->p->ncolumns = COUNT(columns);
    m->p->columns = arena_dup(m->a, columns, COUNT(columns), sizeof columns[0]);
}

// ---- stages and saves ----------------------------------------------------------------
static inline void rig_step(struct rig_made *m, struct plan_step *s, uint32_t func,
                            size_t nin, size_t nout, const uint32_t *slots) {
    *s = (struct plan_step){.func = func, .mult = 1, .nin = nin, .nout = nout};
    s->in = arena_dup(m->a, slots, nin, sizeof *slots);
    s->out = arena_dup(m->a, slots + nin, nout, sizeof *slots);
}

static inline struct plan_stage rig_stage(struct rig_made *m, const char *name,
                                          uint32_t rowset, size_t nslots,
                                          const struct plan_slot *slots, size_t nsinks,
                                          const struct plan_sink *sinks) {
    struct plan_stage s = {.name = name, .rowset = rowset};
    s.nslots = nslots, s.slots = arena_dup(m->a, slots, nslots, sizeof *slots);
    s.nsinks = nsinks, s.sinks = arena_dup(m->a, sinks, nsinks, sizeof *sinks);
    s.nsteps = 0, s.steps = NEW_N(m->a, struct plan_step, 1);
    return s;
}

static inline void rig_images_stage(struct rig_made *m, struct plan_stage *s) {
    const struct plan_slot slots[] = {
        {RIG_PIXELS, 4, true, LEAF_PIXELS, RIG_A, 0, false, 0},
        {16, 4, true, LEAF_COLUMN, RIG_B, RIG_PLACE, false, 0},
        {16, 1, true, LEAF_KEY, RIG_D, 0, false, 0},
        {16, 4, true, LEAF_COLUMN, RIG_A, RIG_MAP, false, 0},
        {40, 1, false, LEAF_PIXELS, 0, 0, false, 0},
        {RIG_STITCHED, 1, false, LEAF_PIXELS, 0, 0, false, 0},
        {64, 1, false, LEAF_PIXELS, 0, 0, true, 3}, // the maps, all together
    };
    const struct plan_sink sinks[] = {
        {SINK_PIXELS, 5}, {SINK_LABELS, 4}, {SINK_BOXES, 1}, {SINK_MAPS, 3}};
    *s = rig_stage(m, "d", RIG_D, COUNT(slots), slots, COUNT(sinks), sinks);
    s->saves = true, s->target = RIG_IMAGES, s->nsteps = 1;
    rig_step(m, s->steps, 2, 3, 2, (const uint32_t[]){0, 1, 2, 4, 5});
}

static inline void rig_loss_stage(struct rig_made *m, struct plan_stage *s) {
    const struct plan_slot slots[] = {
        {RIG_PIXELS, 1, true, LEAF_PIXELS, RIG_A, 0, false, 0},
        {4, 1, true, LEAF_CLASS, RIG_B, 0, false, 0},
        {4, 1, true, LEAF_SUBROW, RIG_B, 0, false, 0},
        {16, 1, true, LEAF_COLUMN, RIG_B, RIG_PLACE, false, 0},
        {4, 1, false, LEAF_PIXELS, 0, 0, false, 0},
    };
    const struct plan_sink sinks[] = {{SINK_COLUMN, 4}};
    *s = rig_stage(m, "l", RIG_B, COUNT(slots), slots, 1, sinks);
    s->target = RIG_LOSS, s->nsteps = 1;
    rig_step(m, s->steps, 0, 3, 1, (const uint32_t[]){0, 3, 1, 4});
}

static inline void rig_place_stage(struct rig_made *m, struct plan_stage *s) {
    const struct plan_slot slots[] = {{16, 1, true, LEAF_KEY, RIG_A, 0, false, 0},
                                      {4, 1, true, LEAF_NTH, RIG_B, 0, false, 0},
                                      {16, 1, false, LEAF_PIXELS, 0, 0, false, 0}};
    const struct plan_sink sinks[] = {{SINK_COLUMN, 2}};
    *s = rig_stage(m, "b.place", RIG_B, COUNT(slots), slots, 1, sinks);
    s->target = RIG_PLACE, s->nsteps = 1;
    rig_step(m, s->steps, 1, 2, 1, (const uint32_t[]){0, 1, 2});
}

// What is kept may be a leaf.
static inline void rig_leaf_stage(struct rig_made *m, struct plan_stage *s, bool saves) {
    const struct plan_slot slot = {4, 1, true, LEAF_COLUMN, RIG_B, RIG_LOSS, false, 0};
    const struct plan_slot key = {16, 1, true, LEAF_KEY, RIG_A, 0, false, 0};
    const struct plan_sink value = {SINK_VALUES, 0}, column = {SINK_COLUMN, 0};
    *s = saves ? rig_stage(m, "l", RIG_C, 1, &slot, 1, &value)
               : rig_stage(m, "phi", RIG_A, 1, &key, 1, &column);
    s->saves = saves, s->target = saves ? RIG_VALUES : RIG_MAP;
}

// The slot's rows together are the column's.
static inline void rig_ways_stage(struct rig_made *m, struct plan_stage *s) {
    const struct plan_slot slot = {4, TRIAL_VARIANTS, true, LEAF_SUBROW, RIG_B,
                                   0, false,          0};
    const struct plan_sink column = {SINK_COLUMN, 0};
    *s = rig_stage(m, "check.otherwise", RIG_B, 1, &slot, 1, &column);
    s->target = RIG_WAYS;
}

static inline void rig_trials(struct rig_made *m) {
    m->p->ntrials = 1, m->p->trials = NEW(m->a, struct plan_trial);
    *m->p->trials = (struct plan_trial){.model = "m",
                                        .images = "b",
                                        .span = rig_span(m, 1, 3),
                                        .model_span = rig_span(m, 1, 5),
                                        .rowset = RIG_B,
                                        .answers = RIG_LOSS,
                                        .variants = RIG_WAYS,
                                        .classes = 2,
                                        .per_class = 3,
                                        .at_least = 0.25};
}

// Two measures of b, their mean, and a table of it all.
static inline void rig_measures(struct rig_made *m) {
    static const uint32_t both[] = {0, 0}, cells[] = {0, 2, 1, 0};
    const struct plan_measure measures[] = {
        {MEASURE_ACCURACY, "right", rig_span(m, 1, 4), RIG_B, RIG_LOSS, 2, 0, NULL},
        {MEASURE_CONFUSION, "taken", rig_span(m, 1, 6), RIG_B, RIG_LOSS, 2, 0, NULL},
        {.kind = MEASURE_MEAN_STD,
         .name = "mean",
         .span = rig_span(m, 1, 7),
         .nof = 2,
         .of = arena_dup(m->a, both, 2, sizeof *both)}};
    const struct plan_table table = {.to = "/some/train",
                                     .span = rig_span(m, 1, 8),
                                     .nrows = 2,
                                     .ncolumns = 2,
                                     .rows = "one\ntwo",
                                     .columns = "a\nb",
                                     .n = 4,
                                     .measures =
                                         arena_dup(m->a, cells, 4, sizeof *cells)};
    m->p->nmeasures = COUNT(measures), m->p->ntables = 1;
    m->p->measures = arena_dup(m->a, measures, COUNT(measures), sizeof *measures);
    m->p->tables = arena_dup(m->a, &table, 1, sizeof table);
}

static inline void rig_saves(struct rig_made *m) {
    struct plan *p = m->p;
    p->nstages = 6, p->stages = NEW_N(m->a, struct plan_stage, 6);
    rig_images_stage(m, &p->stages[0]);
    rig_loss_stage(m, &p->stages[1]);
    rig_place_stage(m, &p->stages[2]);
    rig_leaf_stage(m, &p->stages[3], true);
    rig_leaf_stage(m, &p->stages[4], false);
    rig_ways_stage(m, &p->stages[5]);
    p->nsaves = 2, p->saves = NEW_N(m->a, struct plan_save, 2);
    p->saves[RIG_IMAGES] = (struct plan_save){.to = "out",
                                              .span = rig_span(m, 1, 20),
                                              .rowset = RIG_D,
                                              .images = true,
                                              .dim = {3, 16, 16},
                                              .rank = 3,
                                              .labels = 10,
                                              .map_h = 2,
                                              .map_w = 2};
    p->saves[RIG_VALUES] =
        (struct plan_save){.to = "/some/train", .rowset = RIG_C, .stage = 3};
}

static inline struct plan *rig_plan(struct arena *a) {
    static const struct result_field fields[] = {{"params", "ipc", "3"}};
    struct rig_made m = {.a = a, .p = NEW(a, struct plan)};
    m.p->name = "p", m.p->version = "0.1.0";
    m.p->nfields = 1, m.p->fields = arena_dup(a, fields, 1, sizeof fields[0]);
    rig_sources(&m);
    rig_params(&m);
    rig_funcs(&m);
    rig_rowsets(&m);
    rig_columns(&m);
    rig_saves(&m);
    rig_trials(&m);
    rig_measures(&m);
    rig_lates(&m);
    return m.p;
}

// For n targets, the same but for their code and names.
static inline struct bundle *rig_bundle(struct arena *a, size_t n) {
    struct bundle *b = NEW(a, struct bundle);
    b->version = "0.1.0";
    b->nvariants = n, b->variants = NEW_N(a, struct bundle_variant, n);
    for (size_t i = 0; i < n; i++) {
        struct bundle_kernel *k = NEW_N(a, struct bundle_kernel, 2);
        k[0] = (struct bundle_kernel){"prepare", 0, RIG_KERNEL};
        k[1] = (struct bundle_kernel){"finish", RIG_KERNEL, RIG_KERNEL};
        char *code = arena_alloc(a, 2, RIG_KERNEL);
        rig_kernel(code, 41);
        rig_kernel(code + RIG_KERNEL, (unsigned char)(42 + i));
        b->variants[i] = (struct bundle_variant){.target = i ? "second" : "first",
                                                 .cpu = "generic",
                                                 .needs = "popcnt",
                                                 .numerics = "f32 lanes=4",
                                                 .code = code,
                                                 .code_bytes = 2 * RIG_KERNEL,
                                                 .nkernels = 2,
                                                 .kernels = k,
                                                 .plan = rig_plan(a)};
    }
    return b;
}

#endif
