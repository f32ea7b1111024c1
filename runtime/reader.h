// Readers: sets of labelled images, row by row, as u8 [3,size,size].
//
// A reader lists its rows when it is opened and decodes a row when it is asked for, from any
// thread; it holds no pixels. Rows cost a few dozen bytes each.
#ifndef DDG_READER_H
#define DDG_READER_H

#include "runtime/base/diag.h"

struct reader;

struct reader_options {
    const char *path;
    size_t size;  // height and width of the rows, pixels
    size_t limit; // rows of each class at most; SIZE_MAX: all
    struct span span; // of the op in the program, for errors
};

// A folder with one folder a class, a folder of CIFAR-10 batches, or one batch file.
struct reader *reader_open(const struct reader_options *o, struct diags *d); // NULL: said
void reader_close(struct reader *r);

size_t reader_rows(const struct reader *r);
size_t reader_classes(const struct reader *r);
const char *reader_class_name(const struct reader *r, size_t c);
uint32_t reader_class(const struct reader *r, size_t row);
// "airplane/0000.jpg" or "data_batch_1.bin:17", in out (cut to n bytes, NUL-terminated).
void reader_row_name(const struct reader *r, size_t row, char *out, size_t n);

// What a thread needs to decode; one a worker. NULL when out of memory.
struct decoder;
struct decoder *decoder_new(void);
void decoder_free(struct decoder *d);

// The row's pixels, [3][size][size], and its identity: the digest of the encoded bytes,
// joined with the size asked for. Either out may be NULL (no pixels: nothing is decoded).
// On failure returns false and says why in why ("airplane/0000.jpg: truncated JPEG ...").
bool reader_load(const struct reader *r, struct decoder *d, size_t row, uint8_t *pixels,
                 struct digest *key, char *why, size_t why_n);

#endif
