// Readers: sets of labelled images, row by row, as u8 [3,size,size].
//
// A reader lists its rows when it is opened and decodes a row when it is asked for, from
// any thread; it holds no pixels. Rows cost a few dozen bytes each.
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
// Whether the last row could not be loaded for want of memory, and not because of its
// file.
bool decoder_no_memory(const struct decoder *d);

// The row's pixels, [3][size][size], and the digest of its encoded bytes. Either out may
// be NULL (no pixels: nothing is decoded). On failure returns false and says why in why
// ("airplane/0000.jpg: truncated JPEG ...").
bool reader_load(const struct reader *r, struct decoder *d, size_t row, uint8_t *pixels,
                 struct digest *content, char *why, size_t why_n);

// What the row's content digest can be remembered by without reading the file: a digest
// of its device, inode, size, times of change, and which part of it the row is. False:
// the file cannot be looked at, or was changed so lately that a later change might look
// the same. Ask for it before the content is read: a file that changes in between then
// leaves a stamp that nothing has any more, rather than its new stamp beside its old
// content. (A batch is looked at once, when its rows are listed.) And what is read later
// need not be what the stamp stood for: reader_load says what it read.
bool reader_stamp(const struct reader *r, size_t row, struct digest *stamp);
// The identity of a row whose content digest is known.
struct digest reader_key(const struct reader *r, struct digest content);

#endif
