// What the parts of ddg-bench share: how it was asked, networks and images, lines of
// numbers.
#ifndef DDG_BENCH_H
#define DDG_BENCH_H

#include "bench/ours.h"
#include "bench/peers.h"

#define MAX_RUNS  31
#define MAX_NAMES 16

struct bench {
    const char *shared, *models;  // folders
    const char *names[MAX_NAMES]; // of parts and networks asked for; none: all
    size_t nnames;
    size_t runs, threads;
    bool json, layers;
    char folder[64]; // that is ours for the time being
    struct peers peers;
    struct arena *arena;
    size_t lines;  // printed
    size_t missed; // of them, numbers that are not what they should be
};

// ---- networks ------------------------------------------------------------------------
struct network {
    const char *name;
    size_t size;    // of its images
    double wanted;  // times onnxruntime's forward
    size_t repeats; // of each photograph, so that a run takes about a second
};
extern const struct network networks[];
extern const size_t nnetworks;

// The file: of SHARED/models, or of --models, where it is made when it can be. NULL:
// skipped, which was said.
const char *network_file(struct bench *b, const char *name);
// A folder of images of this size, a folder a class: CIFAR-10, or the photographs, each
// so many times. NULL: skipped.
const char *images_of(struct bench *b, size_t size, size_t repeats);
bool is_asked_network(const struct bench *b, const char *name);

// ---- lines ---------------------------------------------------------------------------
struct line {
    const char *name, *unit;
    double ours;
    const char *peer; // in words
    double theirs;    // 0: none
    double ratio;     // of ours to theirs, or to whatever name says; 0: none
    double wanted;    // of the ratio, or of ours when there is none; 0: nothing
    bool at_most;
};
void print_line(struct bench *b, const struct line *l);
void skip(struct bench *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
double median(const double *v, size_t n);

// What a network says of images, in a task.
#define FORWARD "save(relabel(t, x), to = \"y.npy\")"

// ---- parts ---------------------------------------------------------------------------
void part_forward(struct bench *b);
void part_shap(struct bench *b);
void part_gradnorm(struct bench *b);
void part_train(struct bench *b);
void part_threads(struct bench *b);
void part_rows(struct bench *b);
void part_compile(struct bench *b);
void part_error(struct bench *b);
void part_bf16(struct bench *b);

#endif
