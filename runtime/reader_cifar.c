// CIFAR-10's binary batches: records of a label byte and 32x32 pixels, plane after plane.
// A folder of data_batch_*.bin, or one .bin file; class names from batches.meta.txt
// beside.
#include "runtime/reader_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SIDE      32
#define PLANE     ((size_t)SIDE * SIDE)
#define PIXELS    (3 * PLANE)
#define RECORD    (1 + PIXELS)
#define CLASSES   10
#define AT_ONCE   64        // records read at a time while listing
#define MAX_NAMES (1 << 16) // bytes of batches.meta.txt

static bool ends_in_bin(const char *name) {
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".bin") == 0;
}

static bool is_batch(const char *name) {
    return strncmp(name, "data_batch_", 11) == 0 && ends_in_bin(name);
}

// ---- finding the files --------------------------------------------------------------
// The folder's batches; false with errno set.
static bool find_batches(const char *path, struct names *out) {
    DIR *dir = opendir(path);
    if (!dir) return false;
    int err = 0;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(dir);
        if (!e && errno) err = errno;
        if (!e) break;
        if (!is_batch(e->d_name) || name_list_add(out, e->d_name, NULL)) continue;
        err = ENOMEM;
        break;
    }
    closedir(dir);
    errno = err;
    return err == 0;
}

static bool claims(const struct reader_options *o, const struct stat *st) {
    if (S_ISREG(st->st_mode)) return ends_in_bin(o->path);
    if (!S_ISDIR(st->st_mode)) return false;
    struct names batches = {0};
    int err = find_batches(o->path, &batches) ? 0 : errno;
    bool found = !err && batches.count > 0;
    names_free(&batches);
    errno = err;
    return found;
}

// ---- listing ------------------------------------------------------------------------
struct listing {
    struct reader *reader;
    const struct reader_options *o;
    struct diags *d;
    struct decoder *buffer;
    size_t rows_of[CLASSES]; // taken so far, for the limit
};

static const char *file_name(const struct reader *r, size_t file) {
    return r->names.at + r->files[file].name;
}

static bool list_record(struct listing *l, uint8_t label, size_t file, size_t record) {
    if (label >= CLASSES)
        return diag_error(l->d, l->o->span,
                          "%s:%zu has the label %u; CIFAR-10's labels are 0 to %d",
                          file_name(l->reader, file), record, label, CLASSES - 1);
    if (l->rows_of[label]++ >= l->o->limit) return true;
    struct reader_row row = {file, label, (uint32_t)record};
    return reader_add_row(l->reader, row) || reader_no_memory(l->o, l->d);
}

static bool list_records(struct listing *l, int fd, size_t file, size_t records) {
    char reason[256];
    struct why why = {reason, sizeof reason, &l->d->no_memory};
    const char *path = file_name(l->reader, file);
    for (size_t i = 0; i < records; i += AT_ONCE) {
        size_t n = size_min(AT_ONCE, records - i);
        bool ok = decoder_read(l->buffer, fd, i * RECORD, n * RECORD, why);
        if (ok && l->buffer->n < n * RECORD) ok = why_set(why, "the file got shorter");
        if (!ok) return diag_error(l->d, l->o->span, "%s: %s", path, reason);
        for (size_t k = 0; k < n; k++)
            if (!list_record(l, l->buffer->bytes[k * RECORD], file, i + k)) return false;
    }
    return true;
}

static bool check_size(struct listing *l, const char *name, const struct stat *st) {
    uintmax_t size = (uintmax_t)st->st_size;
    if (st->st_size > 0 && size % RECORD == 0 && size / RECORD <= UINT32_MAX) return true;
    diag_error(l->d, l->o->span,
               "%s is no CIFAR-10 batch: %ju bytes is not a whole number of "
               "%zu-byte records",
               name, size, RECORD);
    return diag_help(l->d, "a batch of 10000 images has %zu bytes", 10000 * RECORD);
}

static bool list_batch(struct listing *l, const char *name) {
    char reason[256];
    struct reader_file file = {0};
    struct stat *st = &file.look.st;
    if (!name_list_add(&l->reader->names, name, &file.name))
        return reader_no_memory(l->o, l->d);
    clock_gettime(CLOCK_REALTIME, &file.look.when);
    int fd = reader_open_file(l->reader->root, name, st,
                              (struct why){reason, sizeof reason, &l->d->no_memory});
    if (fd < 0) return diag_error(l->d, l->o->span, "%s: %s", name, reason);
    bool ok = reader_add_file(l->reader, file) || reader_no_memory(l->o, l->d);
    ok = ok && check_size(l, name, st) &&
         list_records(l, fd, l->reader->nfiles - 1, (size_t)st->st_size / RECORD);
    close(fd);
    return ok;
}

// ---- class names --------------------------------------------------------------------
// One a line, blank lines aside. The text is cut up in place.
static bool add_names(struct reader *r, char *text, const struct reader_options *o,
                      struct diags *d) {
    char *save = NULL;
    for (char *s = strtok_r(text, "\r\n", &save); s; s = strtok_r(NULL, "\r\n", &save)) {
        if (s[strspn(s, " \t")] == 0) continue;
        if (!reader_add_class(r, s)) return reader_no_memory(o, d);
    }
    if (r->nclasses == CLASSES) return true;
    return diag_error(d, o->span,
                      "batches.meta.txt holds %zu class names; expected %d, one a "
                      "line",
                      r->nclasses, CLASSES);
}

static bool number_classes(struct reader *r, const struct reader_options *o,
                           struct diags *d) {
    for (char name[] = "0"; name[0] < '0' + CLASSES; name[0]++)
        if (!reader_add_class(r, name)) return reader_no_memory(o, d);
    return true;
}

static bool name_classes(struct listing *l) {
    char reason[256];
    struct why why = {reason, sizeof reason, &l->d->no_memory};
    struct stat st;
    struct reader *r = l->reader;
    if (faccessat(r->root, "batches.meta.txt", F_OK, 0) != 0)
        return number_classes(r, l->o, l->d);
    int fd = reader_open_file(r->root, "batches.meta.txt", &st, why);
    if (fd < 0) return diag_error(l->d, l->o->span, "batches.meta.txt: %s", reason);
    bool ok = decoder_read(l->buffer, fd, 0, MAX_NAMES, why);
    close(fd);
    if (!ok) return diag_error(l->d, l->o->span, "batches.meta.txt: %s", reason);
    char *text = (char *)l->buffer->bytes;
    text[size_min(l->buffer->n, MAX_NAMES - 1)] = 0;
    return add_names(r, text, l->o, l->d);
}

// ---- the whole list -----------------------------------------------------------------
static bool list_folder(struct listing *l) {
    struct names batches = {0};
    bool ok = find_batches(l->o->path, &batches);
    if (!ok) {
        l->d->no_memory |= errno == ENOMEM;
        diag_error(l->d, l->o->span, "cannot read `%s`: %s", l->o->path, strerror(errno));
    } else {
        const char **files = names_sorted(&batches);
        ok = files || reader_no_memory(l->o, l->d);
        for (size_t i = 0; ok && i < batches.count; i++) ok = list_batch(l, files[i]);
        mem_free(files);
    }
    names_free(&batches);
    return ok;
}

// The folder of a file's path, opened; -1 with errno set.
static int open_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *folder = mem_strndup(path, (size_t)(slash - path) + 1);
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = errno;
    mem_free(folder);
    errno = err;
    return fd;
}

static bool list_path(struct listing *l) {
    const char *path = l->o->path, *slash = strrchr(path, '/');
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool folder = fd >= 0;
    l->reader->root = folder ? fd : open_folder_of(path);
    l->d->no_memory |= l->reader->root < 0 && errno == ENOMEM;
    if (l->reader->root < 0)
        return diag_error(l->d, l->o->span, "cannot open `%s`: %s", path,
                          strerror(errno));
    if (!name_classes(l)) return false;
    return folder ? list_folder(l) : list_batch(l, slash ? slash + 1 : path);
}

static bool list(struct reader *r, const struct reader_options *o, struct diags *d) {
    struct listing l = {.reader = r, .o = o, .d = d, .buffer = decoder_new()};
    if (!l.buffer) return reader_no_memory(o, d);
    bool ok = list_path(&l);
    decoder_free(l.buffer);
    return ok;
}

// ---- one row ------------------------------------------------------------------------
static void name(const struct reader *r, const struct reader_row *row, char *out,
                 size_t n) {
    snprintf(out, n, "%s:%u", file_name(r, row->file), row->record);
}

static bool read_record(const struct reader *r, struct decoder *d,
                        const struct reader_row *row, struct why why) {
    struct stat st;
    int fd = reader_open_file(r->root, file_name(r, row->file), &st, why);
    if (fd < 0) return false;
    bool ok = decoder_read(d, fd, row->record * RECORD, RECORD, why);
    close(fd);
    if (ok && d->n < RECORD) ok = why_set(why, "the file got shorter");
    return ok;
}

static bool fit(const uint8_t *planes, size_t size, uint8_t *out) {
    uint8_t rgb[PIXELS];
    for (size_t i = 0; i < PLANE; i++)
        for (size_t c = 0; c < 3; c++) rgb[i * 3 + c] = planes[c * PLANE + i];
    return image_fit(&(struct image){SIDE, SIDE, rgb}, size, out);
}

// The label is no part of the content: it is the row's class.
static bool load(const struct reader *r, struct decoder *d, const struct reader_row *row,
                 uint8_t *pixels, struct digest *content, struct why why) {
    if (!read_record(r, d, row, why)) return false;
    *content = digest_of(d->bytes + 1, PIXELS);
    if (!pixels || fit(d->bytes + 1, r->size, pixels)) return true;
    return why_no_memory(why, "out of memory to resize it");
}

// As the batch was when its labels were read: one look serves all its rows, and what it
// is changed to in the meantime is not remembered by that look, because it looks
// otherwise.
static bool look(const struct reader *r, const struct reader_row *row, struct look *out) {
    *out = r->files[row->file].look;
    out->at = row->record * RECORD + 1;
    out->n = PIXELS;
    return true;
}

const struct reader_format reader_cifar = {claims, list, load, name, look};
