// ddg from C: compile a pipeline, set its params, run it, read its results as arrays.
//
// Two libraries have this interface. libddg compiles programs (it links LLVM); libddg_rt
// only runs what `ddg compile`, or ddg_write, made before, and lacks the functions marked
// "libddg only". A program links one of them.
//
//     ddg_error *e = NULL;
//     ddg_context *c = ddg_open(NULL, &e);
//     ddg_pipeline *p = ddg_compile_file(c, "infoutil.ddg", NULL, 0, &e);
//     ddg_set(p, "sigma", "0.05", &e);
//     ddg_result *r = ddg_run(p, NULL, &e);
//     ddg_array labels;
//     ddg_result_array(r, 0, DDG_LABELS, &labels, &e);
//
// Ownership: what a function returns by pointer to a non-const type is the caller's, to
// be given to the _free or _close function of its type (each takes NULL); const pointers
// belong to the object they were asked of, and live as long. A result may outlive its
// pipeline, both may outlive their context, whose calls they refuse then, and an error
// outlives everything.
//
// Errors: a function that fails returns NULL or false, and, where `error` is not NULL,
// puts an error object there (*error should be NULL before, and is left alone by what
// succeeds). The library never prints, exits or aborts: wrong arguments, wrong programs,
// damaged files, a full disk and memory that runs out are all errors. So is a failed
// check of ddg's own (DDG_ERROR_BUG): the context can only be closed then, and what it
// holds stays allocated, because somebody may still hold its locks.
//
// Threads: objects of one context are used by one thread at a time (a call that comes
// while another is served is an error); different contexts are independent. ddg_stop may
// be called from any thread and from a signal handler.
//
// The process: signals, the current directory and the locale are left alone, and results
// do not depend on the locale. Callbacks must return: no longjmp, no exceptions.
//
// Memory: ddg's own comes from the context's allocator; libraries below it (LLVM, SQLite,
// libjpeg, libpng, protobuf-c, msgpack-c, OpenBLAS) use malloc.
#ifndef DDG_H
#define DDG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DDG_VERSION_MAJOR 0
#define DDG_VERSION_MINOR 1
#define DDG_VERSION_PATCH 0

#if defined(__GNUC__)
#define DDG_API __attribute__((visibility("default")))
#else
#define DDG_API
#endif

typedef struct ddg_context ddg_context;   // an allocator, and where results are kept
typedef struct ddg_pipeline ddg_pipeline; // a compiled program
typedef struct ddg_result ddg_result;     // what a run gave
typedef struct ddg_error ddg_error;

// "0.1.0", of the library itself.
DDG_API const char *ddg_version(void);

// ---- errors --------------------------------------------------------------------------
enum ddg_error_kind {
    DDG_ERROR_PROGRAM,  // the program, a param's value, its data or a file is wrong
    DDG_ERROR_ARGUMENT, // a call is: NULL, an index out of range, a size of 0
    DDG_ERROR_MEMORY,   // an allocation failed
    DDG_ERROR_STOPPED,  // ddg_stop, or the progress callback said so
    DDG_ERROR_BUG,      // a check of ddg's own failed
};

enum ddg_severity { DDG_IS_ERROR, DDG_IS_WARNING, DDG_IS_NOTE };

typedef struct ddg_message { // one thing found; an error has at least one
    enum ddg_severity severity;
    const char *text;
    const char *help;         // what to do about it, or NULL
    const char *file;         // NULL: no place in a text
    size_t start, end;        // bytes of the file's text [start, end)
    size_t line, column;      // of start, from 1; columns count display cells
} ddg_message;

// Of NULL: no messages, and an empty text.
DDG_API enum ddg_error_kind ddg_error_kind(const ddg_error *e);
// Everything as the ddg command prints it: place, line, underline, help. Never NULL.
DDG_API const char *ddg_error_text(const ddg_error *e);
DDG_API size_t ddg_error_count(const ddg_error *e);
// i < ddg_error_count(e); false otherwise.
DDG_API bool ddg_error_message(const ddg_error *e, size_t i, ddg_message *out);
DDG_API void ddg_error_free(ddg_error *e);

// ---- contexts ------------------------------------------------------------------------
// resize(ctx, NULL, n) allocates n > 0 bytes aligned as malloc's; resize(ctx, p, n) is
// realloc; resize(ctx, p, 0) frees p and returns NULL. NULL for n > 0: no memory; p is
// then still there. Called from any of the library's threads, several at once.
typedef struct ddg_allocator {
    void *(*resize)(void *ctx, void *p, size_t n);
    void *ctx;
} ddg_allocator;

typedef struct ddg_progress {
    const char *value;  // being computed, as the program calls it
    size_t done, rows;  // rows
    double seconds;     // of this value so far
} ddg_progress;

enum ddg_store { // where results are remembered from run to run
    DDG_STORE_NONE,    // nowhere
    DDG_STORE_DEFAULT, // $DDG_STORE, $XDG_CACHE_HOME/ddg or ~/.cache/ddg
    DDG_STORE_AT,      // store_path
};

typedef struct ddg_options {
    size_t size; // sizeof(ddg_options); fields that a smaller one lacks are 0
    const ddg_allocator *allocator; // copied; NULL: malloc's
    enum ddg_store store;
    const char *store_path; // a folder, made where it is missing
    uint64_t store_bytes;   // that the store may hold; 0: $DDG_STORE_SIZE, or 10 GiB
    // Of programs that train, which they do while they are compiled: as in
    // ddg_run_options. What was trained before it said stop is in the store.
    bool (*progress)(void *ctx, const ddg_progress *now);
    void *ctx;
} ddg_options;

// o NULL: malloc, and no store.
DDG_API ddg_context *ddg_open(const ddg_options *o, ddg_error **error);
DDG_API void ddg_close(ddg_context *c);
// What is wrong with the store, in words, or NULL; runs go on without it. Until it is
// asked again.
DDG_API const char *ddg_trouble(ddg_context *c);

// ---- compiling (libddg only) ---------------------------------------------------------
typedef struct ddg_define {
    const char *name, *value; // a param's, as the language has it: "0.2", "[1, 2]", "a/b"
} ddg_define;

// Paths in the program start at the file's folder, those in defines at the current one.
DDG_API ddg_pipeline *ddg_compile_file(ddg_context *c, const char *path,
                                       const ddg_define *defines, size_t n,
                                       ddg_error **error);
// name: what messages call the text, and where its imports and paths start (it need not
// exist).
DDG_API ddg_pipeline *ddg_compile_text(ddg_context *c, const char *name, const char *text,
                                       const ddg_define *defines, size_t n,
                                       ddg_error **error);
// Writes it compiled: the program as it is there now, with the defines it was compiled
// with and what was set since, for targets "native", "x86-64", "x86-64-v3", "x86-64-v4",
// "aarch64" (n 0: native; several: the best that a machine can run is chosen there).
// executable: with the runtime, which is this machine's, to be started by itself; else
// for ddg_load only.
DDG_API bool ddg_write(ddg_pipeline *p, const char *to, const char *const *targets,
                       size_t n, bool executable, ddg_error **error);

// ---- pipelines -----------------------------------------------------------------------
// What `ddg compile` or ddg_write made. It holds machine code: load only what you would
// run. The file is mapped, not copied: while the pipeline is there, put another in its
// place (ddg_write does), but write nothing into it.
DDG_API ddg_pipeline *ddg_load(ddg_context *c, const char *path, ddg_error **error);
DDG_API void ddg_pipeline_free(ddg_pipeline *p);

typedef struct ddg_param {
    const char *name;
    const char *type;  // "int", "float", "bool", "string", "[int]", "[float]"
    const char *value; // now, as text that ddg_set takes
    const char *doc;   // the comment behind it in the program, or NULL
    // What was compiled for its value ("`size` of `stitch`"), so that it can only be
    // given when compiling; NULL: it can be set.
    const char *fixed;
} ddg_param;

DDG_API size_t ddg_param_count(const ddg_pipeline *p);
// False: no such param (or no memory for its value).
DDG_API bool ddg_param_at(const ddg_pipeline *p, size_t i, ddg_param *out);
// value as in ddg_define. Paths start at the current directory. On failure nothing
// changes.
DDG_API bool ddg_set(ddg_pipeline *p, const char *name, const char *value,
                     ddg_error **error);

// ---- running -------------------------------------------------------------------------
typedef struct ddg_run_options {
    size_t size;    // sizeof(ddg_run_options); fields that a smaller one lacks are 0
    size_t threads; // at most 1024; 0: all processors this process may use
    // Results as arrays only: nothing is written where the program's saves say.
    bool no_files;
    // Do not keep results in memory: ddg_result_array finds nothing.
    bool no_arrays;
    // Called now and then, from any thread, one call at a time. False: stop. May be NULL.
    // Of this context it may only call what asks or stops.
    bool (*progress)(void *ctx, const ddg_progress *now);
    void *ctx;
} ddg_run_options;

// o NULL: all processors, files and arrays.
DDG_API ddg_result *ddg_run(ddg_pipeline *p, const ddg_run_options *o, ddg_error **error);
// Asks the run that goes on, or the next one, to stop soon; what was computed is in the
// store.
DDG_API void ddg_stop(ddg_pipeline *p);

// ---- results -------------------------------------------------------------------------
DDG_API void ddg_result_free(ddg_result *r);
// One for each `save`, in the program's order.
DDG_API size_t ddg_result_count(const ddg_result *r);

typedef struct ddg_saved {
    const char *to; // where it was, or would have been, written
    bool images;    // else maps, scores or labels
    size_t rows, classes;
} ddg_saved;
DDG_API bool ddg_result_saved(const ddg_result *r, size_t i, ddg_saved *out);
// Of a save of images: a class by number, < classes. NULL: no such.
DDG_API const char *ddg_result_class(const ddg_result *r, size_t i, size_t cls);

enum ddg_part {
    DDG_PIXELS,  // images: uint8 [rows, 3, height, width], 0 to 255, channels R G B
    DDG_LABELS,  // images with labels: float32 [rows, K], each row sums to 1
    DDG_CLASSES, // images: int32 [rows], 0 to classes - 1
    DDG_VALUES,  // maps float32 [rows, h, w], scores [rows], labels [rows, K]
};
enum ddg_element { DDG_UINT8, DDG_INT32, DDG_FLOAT32 };

typedef struct ddg_array { // dense, row-major; data lives as long as the result
    enum ddg_element element;
    size_t rank, shape[8];
    const void *data;
} ddg_array;

// False, with an error, where a save has no such part or arrays were not kept.
DDG_API bool ddg_result_array(const ddg_result *r, size_t i, enum ddg_part part,
                              ddg_array *out, ddg_error **error);

// One for each `check`, in the program's order.
DDG_API size_t ddg_result_check_count(const ddg_result *r);

typedef struct ddg_checked {
    const char *model, *images; // as the program calls them
    size_t rows, right;         // images looked at, and put into their class
    bool guessing;              // no better than guessing
    const char *warnings;       // as the ddg command prints them; "" when there are none
} ddg_checked;
// i < ddg_result_check_count(r); false otherwise.
DDG_API bool ddg_result_check(const ddg_result *r, size_t i, ddg_checked *out);

typedef struct ddg_stats {
    // Of values that are kept a row (maps, scores, labels, places of crops): asked for,
    // found in the store, computed. Where random crops lie is drawn anew, which takes no
    // time.
    size_t rows, reused, computed;
    size_t skipped;                // files left out, by `on_error = "skip"`
    double seconds;
} ddg_stats;
DDG_API bool ddg_result_stats(const ddg_result *r, ddg_stats *out);

#ifdef __cplusplus
}
#endif
#endif
