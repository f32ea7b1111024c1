// What readers share: the table of formats, the list of rows, and reading a file's bytes
// within bounds.
#include "runtime/reader_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// The first that claims a path reads it.
static const struct reader_format *const formats[] = {&reader_cifar, &reader_folder};

// ---- lists --------------------------------------------------------------------------
// Room for one more element; false when out of memory.
static bool grow(void **at, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return true;
    size_t grown = *cap ? *cap + *cap / 2 : 64, bytes;
    void *p = size_mul(grown, size, &bytes) ? mem_resize(*at, bytes) : NULL;
    if (!p) return false;
    *at = p;
    *cap = grown;
    return true;
}

bool name_list_add(struct names *names, const char *name, size_t *offset) {
    size_t n = strlen(name) + 1;
    if (names->cap - names->n < n) {
        size_t cap = size_max(names->cap + names->cap / 2, names->n + n + 256);
        char *p = mem_resize(names->at, cap);
        if (!p) return false;
        names->at = p;
        names->cap = cap;
    }
    memcpy(names->at + names->n, name, n);
    if (offset) *offset = names->n;
    names->n += n;
    names->count++;
    return true;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char **names_sorted(const struct names *names) {
    const char **all = mem_zalloc(names->count + 1, sizeof *all), *at = names->at;
    if (!all) return NULL;
    for (size_t i = 0; i < names->count; i++, at += strlen(at) + 1) all[i] = at;
    qsort(all, names->count, sizeof *all, by_bytes);
    return all;
}

void names_free(struct names *names) {
    mem_free(names->at);
}

bool reader_add_row(struct reader *r, struct reader_row row) {
    void *rows = r->rows;
    if (!grow(&rows, r->nrows, &r->cap_rows, sizeof *r->rows)) return false;
    r->rows = rows;
    r->rows[r->nrows++] = row;
    return true;
}

bool reader_add_class(struct reader *r, const char *name) {
    void *classes = r->classes;
    size_t offset;
    if (!grow(&classes, r->nclasses, &r->cap_classes, sizeof *r->classes)) return false;
    r->classes = classes;
    if (!name_list_add(&r->names, name, &offset)) return false;
    r->classes[r->nclasses++] = offset;
    return true;
}

bool reader_add_file(struct reader *r, struct reader_file file) {
    void *files = r->files;
    if (!grow(&files, r->nfiles, &r->cap_files, sizeof *r->files)) return false;
    r->files = files;
    r->files[r->nfiles++] = file;
    return true;
}

bool reader_no_memory(const struct reader_options *o, struct diags *d) {
    d->no_memory = true;
    return diag_error(d, o->span, "out of memory for the list of images in `%s`",
                      o->path);
}

// ---- opening ------------------------------------------------------------------------
static const struct reader_format *choose(const struct reader_options *o,
                                          struct diags *d) {
    struct stat st;
    if (stat(o->path, &st) != 0) {
        diag_error(d, o->span, "cannot open `%s`: %s", o->path, strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < COUNT(formats); i++) {
        errno = 0;
        if (formats[i]->claims(o, &st)) return formats[i];
        if (errno != ENOMEM) continue;
        reader_no_memory(o, d);
        return NULL;
    }
    diag_error(d, o->span, "`%s` is not a folder of images", o->path);
    diag_help(d,
              "expected a folder with one folder of JPEG and PNG files a class, or "
              "CIFAR-10 binary batches (a folder of data_batch_*.bin, or one .bin file)");
    return NULL;
}

struct reader *reader_open(const struct reader_options *o, struct diags *d) {
    CHECK(o->size > 0 && o->size <= IMAGE_MAX_SIDE);
    const struct reader_format *format = choose(o, d);
    if (!format) return NULL;
    struct reader *r = mem_zalloc(1, sizeof *r);
    if (!r) {
        reader_no_memory(o, d);
        return NULL;
    }
    r->format = format;
    r->root = -1;
    r->size = o->size;
    if (format->list(r, o, d)) return r;
    reader_close(r);
    return NULL;
}

void reader_close(struct reader *r) {
    if (!r) return;
    if (r->root >= 0) close(r->root);
    mem_free(r->rows);
    mem_free(r->classes);
    mem_free(r->files);
    names_free(&r->names);
    mem_free(r);
}

// ---- rows ---------------------------------------------------------------------------
size_t reader_rows(const struct reader *r) {
    return r->nrows;
}

size_t reader_classes(const struct reader *r) {
    return r->nclasses;
}

const char *reader_class_name(const struct reader *r, size_t c) {
    CHECK(c < r->nclasses);
    return r->names.at + r->classes[c];
}

uint32_t reader_class(const struct reader *r, size_t row) {
    CHECK(row < r->nrows);
    return r->rows[row].cls;
}

void reader_row_name(const struct reader *r, size_t row, char *out, size_t n) {
    CHECK(row < r->nrows);
    r->format->name(r, &r->rows[row], out, n);
}

struct decoder *decoder_new(void) {
    return mem_zalloc(1, sizeof(struct decoder));
}

bool decoder_no_memory(const struct decoder *d) {
    return d->no_memory;
}

void decoder_free(struct decoder *d) {
    if (!d) return;
    mem_free(d->bytes);
    mem_free(d);
}

int reader_open_file(int folder, const char *name, struct stat *st, struct why why) {
    // Not to wait for a writer, should somebody have put a pipe there.
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        if (errno == ENOMEM) why_no_memory(why, "out of memory");
        else why_set(why, "cannot open the file: %s", strerror(errno));
        return -1;
    }
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
    why_set(why, "not a regular file");
    close(fd);
    return -1;
}

static bool decoder_reserve(struct decoder *d, size_t n) {
    if (n <= d->cap) return true;
    mem_free(d->bytes);
    d->bytes = mem_alloc(n);
    d->cap = d->bytes ? n : 0;
    return d->bytes;
}

bool decoder_read(struct decoder *d, int fd, size_t at, size_t n, struct why why) {
    CHECK(n <= READER_MAX_FILE);
    d->n = 0;
    if (!decoder_reserve(d, n))
        return why_no_memory(why, "out of memory for %zu bytes", n);
    while (d->n < n) {
        ssize_t got = pread(fd, d->bytes + d->n, n - d->n, (off_t)(at + d->n));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return why_set(why, "cannot read the file: %s", strerror(errno));
        if (got == 0) break;
        d->n += (size_t)got;
    }
    return true;
}

bool reader_load(const struct reader *r, struct decoder *d, size_t row, uint8_t *pixels,
                 struct digest *content, char *why, size_t why_n) {
    CHECK(row < r->nrows);
    char reason[256];
    struct digest unwanted;
    d->no_memory = false;
    if (r->format->load(r, d, &r->rows[row], pixels, content ? content : &unwanted,
                        (struct why){reason, sizeof reason, &d->no_memory}))
        return true;
    char name[512];
    reader_row_name(r, row, name, sizeof name);
    return why_set((struct why){why, why_n, NULL}, "%s: %s", name, reason);
}

// ---- identities ---------------------------------------------------------------------
struct digest reader_key(const struct reader *r, struct digest content) {
    return digest_join(content, (struct digest){r->size, 0});
}

// Raised when a stamp, or the content that it stands for, comes to mean something else.
#define STAMP_VERSION 1

// Clocks of file systems tick as slowly as every two seconds (FAT's). A file that was
// changed longer ago than that when it was looked at cannot change again and look the
// same.
static bool settled(struct timespec changed, struct timespec looked) {
    if (changed.tv_sec + 2 != looked.tv_sec) return changed.tv_sec + 2 < looked.tv_sec;
    return changed.tv_nsec <= looked.tv_nsec;
}

bool reader_stamp(const struct reader *r, size_t row, struct digest *stamp) {
    CHECK(row < r->nrows);
    struct look l;
    if (!r->format->look(r, &r->rows[row], &l) || !S_ISREG(l.st.st_mode)) return false;
    struct timespec m = l.st.st_mtim, c = l.st.st_ctim;
    if (!settled(m, l.when) || !settled(c, l.when)) return false;
    const uint64_t words[] = {
        STAMP_VERSION,
        l.st.st_dev,
        l.st.st_ino,
        (uint64_t)l.st.st_size,
        (uint64_t)m.tv_sec,
        (uint64_t)m.tv_nsec,
        (uint64_t)c.tv_sec,
        (uint64_t)c.tv_nsec,
        l.at,
        l.n,
    };
    *stamp = digest_of(words, sizeof words);
    return true;
}
