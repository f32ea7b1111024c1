// A plan: everything a run needs to know, and nothing about where it came from.
//
// A pipeline's values live on sets of rows. Each rowset is read from disk or made from
// another one (its parent): `expand` makes count rows of each, `select` picks rows by
// score, `group` takes factor consecutive rows together.
//
// A column keeps one small value for every row of a rowset (scores, boxes, maps). A stage
// computes one column, or one save, for the rows asked for, chunk by chunk; it reads
// other columns, and pixels, which are never kept but made again from the images. Nothing
// has an order but for this reading: a run starts from the saves and asks for what they
// need.
//
// A column with a memo is remembered in the store. Its record says what is computed, its
// keys what of: joined, they are the row's key.
//
//     row r of the stage's rowset --multiplicity m--> rows r*m .. r*m+m-1 of a slot
//
// What follows from the program's params and shapes no code can be changed in a plan: it
// is listed (struct plan_late) with where it is used (struct plan_use);
// runtime/settings.h sets params. A plan can be written to a file with its code and read
// back (runtime/bundle.h).
//
// A slot holds one value for the rows of a chunk. Multiplicity says how many of its rows
// belong to one row of the stage's rowset: 128 coalition values of one image, four crops
// of one stitched image. A step calls a function for every row of its multiplicity; an
// input of lower multiplicity is shared by the rows of a call, one of higher is read as a
// group.
#ifndef DDG_PLAN_H
#define DDG_PLAN_H

#include "runtime/base/diag.h"
#include "runtime/formula.h"
#include "runtime/store/store.h"

// The code of a kernel:
//     void kernel(char *const *buffers, size_t n);
// buffers: outputs in order, then inputs in order, then the scratch buffer and the work
// buffer when there are such.
// Each points at row 0; row r of a row value lies its bytes a row further. Values that
// are not rows lie at the pointer for every row.
typedef void (*kernel_fn)(char *const *buffers, size_t n);

// ---- functions -----------------------------------------------------------------------
enum plan_space { SPACE_CONST, SPACE_ARENA, SPACE_IN, SPACE_OUT };

struct plan_buffer {
    enum plan_space space;
    size_t offset; // bytes; for CONST, IN and OUT: which one
    size_t stride; // bytes from one row to the next; 0: shared by all rows
    // ARENA: of the rows of one round of a band, not of the call; in a joint function
    // such buffers, scratch and work too, lie in a worker's own memory.
    bool local;
};

enum builtin { BUILTIN_NONE, BUILTIN_NORMAL, BUILTIN_RANDOM_BOX, BUILTIN_RESIZE };

// What numbers of BUILTIN_NORMAL are for: equal seeds say nothing of each other.
enum normal_purpose { NORMAL_NOISE, NORMAL_SCORE, NORMAL_PURPOSES };

#define PLAN_MAX_PARAMS 8

struct plan_call {
    const char *symbol; // of the kernel; NULL for a builtin
    kernel_fn fn;       // filled in when the code is loaded
    size_t entry;       // bytes into the plan's code image, when it has one
    enum builtin builtin;
    double params[PLAN_MAX_PARAMS]; // of a builtin, see runtime/builtin.h
    bool once;                      // computes a value shared by all rows of the call
    // Of a joint function: reads all rows of the batch, so it begins when they are there.
    bool all_rows;
    // A `once` call whose work is cut into so many parts, which workers do in any order;
    // the last buffer is then a size_t that says which. 0: all in one.
    size_t parts;
    size_t nbuffers;
    struct plan_buffer *buffers;
    // For profiles: what it computes and how, in words ("conv 64x56x56 3x3 > 64",
    // "winograd 4x4"), and what one row costs: operations, and bytes read and written
    // once each.
    const char *what, *how;
    double flops, bytes;
};

struct plan_band { // calls that follow each other, a few rows at a time
    size_t ncalls, rows;
    // Of a joint function, whose bands compute rows, or what all rows share, or are one
    // call that has parts: bands of one phase wait for nothing of each other, but for the
    // phases before.
    size_t phase;
};

// A constant, packed as the kernels that read it want it; shared between functions.
struct plan_const {
    char *data; // aligned to 64; vector loads may read PLAN_SLACK bytes past the end
    size_t bytes;
};

#define PLAN_SLACK 64

struct plan_func {
    const char *name;
    bool loaded;        // everything below is there (run.h: load)
    size_t batch;       // most rows of one call
    size_t arena_bytes; // a worker's scratch memory for one call
    // A call is a whole batch, which all workers compute together (runtime/joint.h): the
    // arena is theirs in common, and each has own_bytes besides.
    bool joint;
    size_t own_bytes;
    size_t ncalls;
    struct plan_call *calls;
    size_t nbands;
    struct plan_band *bands; // all calls, in order
    // Floating-point operations of one row, as counted on the tensor function.
    double flops;
};

// ---- rowsets -------------------------------------------------------------------------
enum rowset_kind {
    ROWSET_READER,
    ROWSET_EXPAND,
    ROWSET_SELECT,
    ROWSET_GROUP,
    ROWSET_FILTER
};

struct plan_rowset {
    enum rowset_kind kind;
    const char *name; // the user's name for the value that made it, for messages
    struct span span;
    uint32_t parent; // index of a rowset before this one
    size_t factor;   // EXPAND: rows of each; GROUP: rows taken together
    // READER
    const char *path;
    size_t size, limit;
    bool skip; // leave out what cannot be decoded
    // SELECT, FILTER
    uint32_t column; // scores of the parent
    size_t k;
    bool per_class, smallest;
    // FILTER: scores lie between them; the largest numbers where there is no bound.
    double above, below;
    // What models that run on these rows need: 0, or the number of classes of the data.
    size_t classes;
    struct span classes_span;
};

// Whether which rows it has follows from a column.
static inline bool rowset_is_chosen(const struct plan_rowset *r) {
    return r->kind == ROWSET_SELECT || r->kind == ROWSET_FILTER;
}

// ---- columns -------------------------------------------------------------------------
enum key_kind {
    KEY_ROW,    // the row's identity (LEAF_KEY)
    KEY_CLASS,  // the row's class
    KEY_NTH,    // LEAF_NTH
    KEY_COLUMN, // the bytes kept of the row in `column`
};

struct plan_key { // of a row of `rowset`: the column's own rowset or an ancestor
    enum key_kind kind;
    uint32_t rowset;
    uint32_t column; // KEY_COLUMN
};

struct plan_memo {
    struct store_record record; // its fields can be changed by a plan_use
    size_t nkeys;
    const struct plan_key *keys;
};

struct plan_column {  // kept for every row of a rowset
    const char *name; // the user's, for the value, or the op's
    const char *op;
    const char *part; // of the value: "place" (of a crop), "box", "target" (of
                      // shap_patches), "fp32" (of a twin); NULL: the value itself
    struct span span;
    uint32_t rowset;
    uint32_t stage; // computes it
    size_t row_bytes;
    const struct plan_memo *memo; // NULL: computed anew in every run
};

// ---- stages --------------------------------------------------------------------------
enum leaf_kind {
    LEAF_PIXELS, // u8 [3,size,size] of the reader's row
    LEAF_KEY,    // u64[2], the row's identity
    LEAF_CLASS,  // i32
    LEAF_SUBROW, // i32: which of the slot's rows of one row of the rowset this is
    LEAF_NTH,    // i32: which of its parent's rows this row of an expanded rowset is
    LEAF_COLUMN, // a kept column
};

struct plan_slot {
    size_t row_bytes;
    size_t mult;
    bool leaf;
    enum leaf_kind kind; // of a leaf
    uint32_t rowset; // whose rows a leaf belongs to: the stage's rowset or an ancestor
    uint32_t column; // LEAF_COLUMN
    // The memory of slot `of`, an earlier one that is no view, cut into other rows: all
    // rows of one image, say, as one value.
    bool view;
    uint32_t of;
};

struct plan_step {
    uint32_t func;
    size_t mult;
    size_t nin, nout;
    uint32_t *in, *out; // slots
};

enum sink_role {
    SINK_COLUMN,
    SINK_PIXELS,
    SINK_LABELS,
    SINK_BOXES,
    SINK_MAPS,
    SINK_VALUES
};

struct plan_sink { // where a slot's rows go
    enum sink_role role;
    uint32_t slot;
};

// One SINK_COLUMN, whose slot's rows for a row of the stage together are the column's, or
// the sinks of one save.
struct plan_stage {
    const char *name; // for progress: the value it computes
    uint32_t rowset;
    bool saves;
    uint32_t target; // the column, or the save
    size_t nslots, nsteps, nsinks;
    struct plan_slot *slots;
    struct plan_step *steps;
    struct plan_sink *sinks;
};

struct plan_trial {             // `check`: does a model know some images?
    const char *model, *images; // as the program calls them
    struct span span, model_span;
    uint32_t rowset;   // the images
    uint32_t answers;  // a column of it: the class the model says, i32
    uint32_t variants; // the same in the ways of runtime/trial.h, i32 [TRIAL_VARIANTS]
    size_t classes;    // of the model
    size_t per_class;  // images of each; 0: by how many classes there are
    double at_least;   // accuracy below which the run stops; 0: none
};

enum agree_kind { AGREE_MAPS, AGREE_SCORES, AGREE_LABELS };

struct plan_agreement {    // what bf16 does to a column, told from some of its rows
    uint32_t column, twin; // the twin: the same in fp32
    enum agree_kind kind;
    // The classes that their rows are about, where a model says them; UINT32_MAX: the
    // rows' own.
    uint32_t answers, twin_answers;
};

struct plan_save {
    const char *to;
    struct span span;
    uint32_t rowset;
    uint32_t stage; // writes it
    bool images;
    size_t dim[6], rank; // of one row of SINK_VALUES; of the images, C,H,W
    size_t labels;       // K; 0: none
    size_t map_h, map_w; // of SINK_MAPS; 0: none
};

// ---- training ------------------------------------------------------------------------
enum plan_optimizer { OPTIMIZER_SGD, OPTIMIZER_ADAM, OPTIMIZER_ADAMW };
enum plan_schedule { SCHEDULE_CONSTANT, SCHEDULE_COSINE, SCHEDULE_STEP, SCHEDULE_LINEAR };

enum augment_kind { // see runtime/augment.h for what they do and their parameters
    AUGMENT_RESIZED_CROP,
    AUGMENT_PADDED_CROP,
    AUGMENT_FLIP,
    AUGMENT_JITTER,
    AUGMENT_CUTOUT,
    AUGMENT_SHUFFLE,
    AUGMENT_CUTMIX,
    AUGMENT_MIXUP
};

struct plan_augment {
    enum augment_kind kind;
    double params[PLAN_MAX_PARAMS];
};

struct plan_tensor {  // parameters or running statistics of a network that is trained
    const char *name; // as the model calls it
    size_t at, count; // floats, in the flat array of all
    bool decays;      // weight decay applies to it
};

// One training. Its state is flat arrays of floats: the parameters (with their moments
// beside them, in arrays of the same layout), and the running statistics. Tensors start
// at multiples of TRAIN_BLOCK floats; what is between them is zero and stays so.
#define TRAIN_BLOCK ((size_t)64)

struct plan_train {
    const char *name; // the user's, for the model
    struct span span;
    uint32_t rowset; // the images
    // Gathers what it learns from: SINK_PIXELS and, if labels, SINK_LABELS.
    uint32_t stage;
    bool labels; // are given: rows f32[classes]; else the rows' classes
    size_t channels, height, width, classes;
    // Functions. Images come as f32[C,H,W], pixels / 255, augmented; n rows are a batch.
    //   step (joint): x rows, target rows f32[classes], f32[] 1 / n, the parameters, the
    //     statistics -> f32[] loss of the batch, the gradients, the new statistics; in
    //     the order of the tensors below.
    //   update: rows of TRAIN_BLOCK floats of the flat arrays: parameters, gradients, the
    //     optimizer's moments (SGD with momentum: 1, Adam: 2), decay f32[1]; then for all
    //     rows f32[4]: learning rate, 1 / (1 - beta1^t), 1 / (1 - beta2^t),
    //     t = 1 ? 0 : momentum -> new parameters, new moments.
    //   ask: x rows -> rows f32[classes], the teacher's soft labels; UINT32_MAX: none.
    uint32_t step, update, ask;
    size_t nmoments;
    size_t nparams, nstats;
    const struct plan_tensor *params, *stats;
    size_t param_floats, stat_floats; // of the flat arrays
    const float *initial_params, *initial_stats;
    size_t batch, epochs;
    size_t least; // images of a batch: 2 where a batch norm has one number of each
    enum plan_optimizer optimizer;
    double rate; // the schedule's greatest
    enum plan_schedule schedule;
    double warmup;            // epochs in which the rate rises linearly from 0
    const double *milestones; // SCHEDULE_STEP: epochs at which it is times gamma
    size_t nmilestones;
    double gamma;
    double momentum, beta1, beta2; // as update has them
    double decay;                  // of tensors that decay
    size_t naugments;
    const struct plan_augment *augments;
    int64_t seed;
    // Epochs after which the model is kept, ascending. It is trained up to the last one,
    // by the schedule of all `epochs`.
    const int64_t *keep;
    size_t nkeep;
    // What is learnt, in words, and what of: see plan_column. The keys are those of a row
    // of the rowset; a training's key joins those of all rows in order.
    const struct plan_memo *memo;
};

// ---- measures ------------------------------------------------------------------------
enum measure_kind {
    MEASURE_ACCURACY,  // share of the rows whose column says so
    MEASURE_CONFUSION, // [classes, classes]: rows of a class, by the class answered
    MEASURE_MEAN_STD,  // of other measures: mean, standard deviation (n - 1)
};

struct plan_measure { // numbers about whole sets
    enum measure_kind kind;
    const char *name;
    struct span span;
    // The column is i32. ACCURACY: 1 where right; CONFUSION: the class answered.
    uint32_t rowset, column;
    size_t classes;
    size_t nof;
    uint32_t *of; // MEAN_STD: plan measures before this one
};

struct plan_table { // a report: of a list of measures
    // Without an ending: .csv and .json are written; NULL: it is printed only.
    const char *to;
    struct span span;
    size_t nrows, ncolumns;
    // Names, one a line. "": of rows the measures' own, of columns none (there is one).
    const char *rows, *columns;
    size_t n;
    uint32_t *measures; // row after row
};

// ---- params --------------------------------------------------------------------------
struct plan_param {
    const char *name;
    const char *doc; // the comment behind it, or NULL
    struct span span;
    // Its value now, and where a path in it starts. value.of: how it follows from other
    // params, as long as it is not set itself; or NULL.
    struct formula_param at;
    // What of the code follows from it, in words ("`size` of `stitch`"): it cannot be set
    // any more. NULL: it can.
    const char *fixed;
};

struct plan_late { // a value that follows from params
    // The attribute it is, with what it may be; op NULL: part of something checked
    // already.
    const char *op, *attr;
    struct span span;
    enum value_kind kind;
    double min, max;    // of a number; both 0: any
    bool path;          // begins where its text was written
    struct value value; // for the params as they are; value.of says how
};

// Entries of every result's manifest: see runtime/result.h.
struct result_field;

enum use_place {
    USE_PATH,      // rowsets[a].path
    USE_LIMIT,     // rowsets[a].limit
    USE_K,         // rowsets[a].k
    USE_TO,        // saves[a].to
    USE_TABLE,     // tables[a].to
    USE_PER_CLASS, // trials[a].per_class
    USE_AT_LEAST,  // trials[a].at_least
    USE_CONST,     // consts[a]: one f32
    USE_BUILTIN,   // funcs[a].calls[b].params[c]
    USE_RECORD,    // columns[a].memo->record.fields[b].value, as value_text
    USE_FIELD,     // fields[a].json, as value_json
};

struct plan_use { // where a late value goes
    enum use_place place;
    uint32_t a, b, c;
    uint32_t late;
};

struct plan {
    size_t nconsts;
    struct plan_const *consts; // of the functions loaded so far
    size_t nfuncs, nrowsets, ncolumns, nstages, ntrials, nagreements, nsaves, nfields;
    size_t ntrains, nmeasures, ntables;
    struct plan_func *funcs;
    struct plan_rowset *rowsets;
    struct plan_column *columns;
    struct plan_stage *stages;
    struct plan_trial *trials;
    struct plan_agreement *agreements; // compiled programs have none
    struct plan_save *saves;
    struct plan_train *trains; // compiled programs have none
    struct plan_measure *measures;
    struct plan_table *tables;
    struct result_field *fields; // of every result's manifest
    VEC(struct plan_param) params;
    VEC(struct plan_late) lates;
    VEC(struct plan_use) uses;
    VEC(const struct source *) sources; // that spans point into
    const char *name;    // of the program: its file's, without folder and ending
    const char *version; // of ddg
};

#endif
