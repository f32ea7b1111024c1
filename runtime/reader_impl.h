// Inside the readers: one struct reader_format a layout on disk, behind reader.h. A
// format lists its rows once and reads one row's bytes when asked; a new layout is a new
// file and a line in reader.c's table.
#ifndef DDG_READER_IMPL_H
#define DDG_READER_IMPL_H

#include "runtime/image_impl.h"
#include "runtime/reader.h"

#include <sys/stat.h>
#include <time.h>

#define READER_MAX_FILE                                                                  \
    ((size_t)256 << 20) // bytes of one file, or of what is read at once

struct names { // NUL-terminated names in one block
    char *at;
    size_t n, cap; // bytes
    size_t count;
};

// False when out of memory. offset: where the copy starts, or NULL.
bool name_list_add(struct names *names, const char *name, size_t *offset);
// Pointers to all of them in byte order, to be given to mem_free; NULL when out of
// memory.
const char **names_sorted(const struct names *names);
void names_free(struct names *names);

struct reader_row {
    uint64_t file; // where its name starts in the reader's names, or its number
    uint32_t cls;
    uint32_t record; // in that file
};

// How a file looked at some moment, and which of its bytes a row is.
struct look {
    struct stat st;
    struct timespec when; // not later than the look
    uint64_t at, n;       // bytes
};

struct reader_file { // a file that holds many rows
    size_t name;
    struct look look; // before its rows were listed
};

struct reader {
    const struct reader_format *format;
    int root; // the folder that names are relative to
    size_t size;
    struct reader_row *rows;
    size_t nrows, cap_rows;
    struct reader_file *files; // of formats whose files hold many rows
    size_t nfiles, cap_files;
    size_t *classes; // offsets of their names
    size_t nclasses, cap_classes;
    struct names names;
};

// False when out of memory.
bool reader_add_row(struct reader *r, struct reader_row row);
bool reader_add_class(struct reader *r, const char *name);
bool reader_add_file(struct reader *r, struct reader_file file);

struct decoder {
    uint8_t *bytes; // of the file being read
    size_t n, cap;
    bool no_memory; // the last row could not be loaded for that
};

// Opens a regular file for reading; -1 with the reason in why.
int reader_open_file(int folder, const char *name, struct stat *st, struct why why);
// Reads n bytes from offset `at`, fewer where the file ends, into d->bytes.
bool decoder_read(struct decoder *d, int fd, size_t at, size_t n, struct why why);

struct reader_format {
    // Whether this format reads what is at o->path. False with errno ENOMEM: not known.
    bool (*claims)(const struct reader_options *o, const struct stat *st);
    bool (*list)(struct reader *r, const struct reader_options *o, struct diags *d);
    // The row's pixels (unless NULL) and the digest of its encoded bytes.
    bool (*load)(const struct reader *r, struct decoder *d, const struct reader_row *row,
                 uint8_t *pixels, struct digest *content, struct why why);
    void (*name)(const struct reader *r, const struct reader_row *row, char *out,
                 size_t n);
    // The row's file as it is, or as it was when the rows were listed. False: it cannot
    // be looked at.
    bool (*look)(const struct reader *r, const struct reader_row *row, struct look *out);
};

extern const struct reader_format reader_folder, reader_cifar;

// diag_error for running out of memory while listing.
bool reader_no_memory(const struct reader_options *o, struct diags *d);

#endif
