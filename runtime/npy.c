// numpy's .npy: a magic, a version, a header that is a Python dict literal, then the
// values. Reading takes the file as it is on disk and believes no size it does not hold.
#include "runtime/npy.h"

#include "runtime/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC    "\x93NUMPY"
#define MAGIC_N  6
#define ALIGN    64
#define MAX_FILE (SIZE_MAX / 4)

struct npy_kind {
    const char *descr;
    size_t size;
};

static const struct npy_kind kinds[] = {
    [NPY_F32] = {"<f4", 4}, [NPY_F64] = {"<f8", 8}, [NPY_U8] = {"|u1", 1},
    [NPY_I32] = {"<i4", 4}, [NPY_I64] = {"<i8", 8}, [NPY_BOOL] = {"|b1", 1},
};

// ---- reading the header -------------------------------------------------------------
struct header { // text being read, and what it said
    const char *at, *end;
    char descr[16];
    bool fortran, has_descr, has_order, has_shape;
    struct npy *out;
    const char *problem; // what is wrong, or NULL
};

static bool wrong(struct header *h, const char *problem) {
    if (!h->problem) h->problem = problem;
    return false;
}

static void skip_space(struct header *h) {
    while (h->at < h->end && strchr(" \t\n\r", *h->at) && *h->at) h->at++;
}

static bool take(struct header *h, const char *token) {
    size_t n = strlen(token);
    skip_space(h);
    if ((size_t)(h->end - h->at) < n || memcmp(h->at, token, n) != 0) return false;
    h->at += n;
    return true;
}

// A quoted string without escapes; longer ones than out are none we know.
static bool take_string(struct header *h, char *out, size_t n) {
    skip_space(h);
    if (h->at == h->end || (*h->at != '\'' && *h->at != '"')) return false;
    char quote = *h->at++;
    const char *stop = memchr(h->at, quote, (size_t)(h->end - h->at));
    if (!stop || (size_t)(stop - h->at) >= n) return false;
    memcpy(out, h->at, (size_t)(stop - h->at));
    out[stop - h->at] = 0;
    h->at = stop + 1;
    return true;
}

static bool take_size(struct header *h, size_t *out) {
    size_t v = 0;
    skip_space(h);
    const char *first = h->at;
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
        if (!size_mul(v, 10, &v) || !size_add(v, (size_t)(*h->at - '0'), &v))
            return false;
    *out = v;
    if (h->at > first) take(h, "L"); // Python 2 wrote some sizes so
    return h->at > first;
}

static bool read_descr(struct header *h) {
    if (!take_string(h, h->descr, sizeof h->descr))
        return wrong(h, "its values are not plain numbers");
    h->has_descr = true;
    return true;
}

static bool read_order(struct header *h) {
    h->has_order = true;
    h->fortran = take(h, "True");
    return h->fortran || take(h, "False") || wrong(h, "`fortran_order` is not a bool");
}

static bool read_shape(struct header *h) {
    h->has_shape = true;
    h->out->rank = 0;
    if (!take(h, "(")) return wrong(h, "`shape` is not a tuple");
    while (!take(h, ")")) {
        size_t dim;
        if (!take_size(h, &dim))
            return wrong(h, "`shape` holds something else than sizes");
        if (h->out->rank == NPY_MAX_RANK) return wrong(h, "it has more than 6 axes");
        h->out->dim[h->out->rank++] = dim;
        if (take(h, ",")) continue;
        if (!take(h, ")")) return wrong(h, "`shape` does not end");
        break;
    }
    return true;
}

static bool read_entry(struct header *h) {
    char key[16];
    if (!take_string(h, key, sizeof key) || !take(h, ":"))
        return wrong(h, "its header is damaged");
    if (strcmp(key, "descr") == 0) return read_descr(h);
    if (strcmp(key, "fortran_order") == 0) return read_order(h);
    if (strcmp(key, "shape") == 0) return read_shape(h);
    return wrong(h, "its header is damaged");
}

static bool read_dict(struct header *h) {
    if (!take(h, "{")) return wrong(h, "its header is damaged");
    while (!take(h, "}")) {
        if (!read_entry(h)) return false;
        if (take(h, ",")) continue;
        if (!take(h, "}")) return wrong(h, "its header is damaged");
        break;
    }
    if (h->has_descr && h->has_order && h->has_shape) return true;
    return wrong(h, "its header lacks `descr`, `fortran_order` or `shape`");
}

static bool read_type(struct header *h) {
    for (size_t i = 0; i < COUNT(kinds); i++) {
        const char *d = kinds[i].descr;
        // Byte order means nothing for single bytes.
        bool same = strcmp(h->descr + 1, d + 1) == 0;
        if (!same || (d[0] != '|' && h->descr[0] != '<')) continue;
        h->out->type = (enum npy_type)i;
        return true;
    }
    if (h->descr[0] == '>') return wrong(h, "its values are big-endian");
    return wrong(h, "its type is not one of float32, float64, uint8, int32, int64, bool");
}

// ---- reading the file ---------------------------------------------------------------
// Finds the header's text and the values behind it.
static bool find_parts(const char *file, size_t n, struct header *h) {
    const unsigned char *b = (const unsigned char *)file;
    if (n < MAGIC_N + 2 || memcmp(file, MAGIC, MAGIC_N) != 0)
        return wrong(h, "it does not begin like a .npy file");
    if (b[6] < 1 || b[6] > 3) return wrong(h, "its format is newer than 3.0");
    size_t start = b[6] == 1 ? 10 : 12;
    if (n < start) return wrong(h, "it is truncated");
    size_t length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1) length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > n - start) return wrong(h, "it is truncated");
    h->at = file + start;
    h->end = h->at + length;
    return true;
}

static bool check_bools(struct header *h, const uint8_t *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (v[i] > 1) return wrong(h, "it holds a bool that is neither 0 nor 1");
    return true;
}

// The number of values. Axes beside an empty one are bounded too: others multiply them.
static bool count_values(struct header *h) {
    size_t all = 1;
    h->out->count = 1;
    for (size_t i = 0; i < h->out->rank; i++) {
        if (!size_mul(all, size_max(h->out->dim[i], 1), &all) || all > MAX_FILE)
            return wrong(h, "its shape is too large");
        h->out->count *= h->out->dim[i];
    }
    return true;
}

static bool read_values(struct header *h, char *file, size_t n) {
    size_t bytes, offset = (size_t)(h->end - file);
    struct npy *out = h->out;
    if (!count_values(h)) return false;
    if (!size_mul(out->count, kinds[out->type].size, &bytes) || bytes > n - offset)
        return wrong(h, "it is truncated: its shape asks for more values than it holds");
    // Old headers are not padded; the values must stand where doubles may.
    out->data = file + offset;
    if (offset % ALIGN) out->data = memmove(file, file + offset, bytes);
    return out->type != NPY_BOOL || check_bools(h, out->data, bytes);
}

static bool read_all(struct header *h, char *file, size_t n) {
    if (!find_parts(file, n, h) || !read_dict(h) || !read_type(h)) return false;
    if (h->fortran && h->out->rank > 1)
        return wrong(h, "it is in Fortran order (save it with numpy.ascontiguousarray)");
    return read_values(h, file, n);
}

bool npy_read(struct arena *a, const char *path, struct npy *out, struct span at,
              struct diags *d) {
    size_t n = 0;
    char *file = file_read(a, path, MAX_FILE, &n);
    if (!file) return diag_error(d, at, "cannot read `%s`: %s", path, strerror(errno));
    *out = (struct npy){0};
    struct header h = {.out = out};
    if (read_all(&h, file, n)) return true;
    return diag_error(d, at, "cannot read `%s`: %s", path, h.problem);
}

// ---- writing ------------------------------------------------------------------------
struct npy_writer {
    struct arena *arena;
    struct out_place place;
    int fd;
    size_t left; // bytes still to come
};

void npy_header(struct text *t, enum npy_type type, size_t rank, const size_t *dim) {
    text_add_n(t, MAGIC "\1\0\0\0", MAGIC_N + 4);
    text_add(t, "{'descr': '%s', 'fortran_order': False, 'shape': (", kinds[type].descr);
    for (size_t i = 0; i < rank; i++) text_add(t, "%s%zu", i ? ", " : "", dim[i]);
    text_add(t, "%s), }", rank == 1 ? "," : "");
    text_add(t, "%*s\n", (int)(size_align(t->n + 1, ALIGN) - t->n - 1), "");
    size_t length = t->n - MAGIC_N - 4;
    t->at[8] = (char)(length & 255);
    t->at[9] = (char)(length >> 8);
}

static bool write_failed(const struct npy_writer *w, struct diags *d) {
    return diag_error(d, NO_SPAN, "cannot write `%s`: %s", w->place.path,
                      strerror(errno));
}

// Removes what runs that were killed left beside the file; a lock says that a file's
// owner is alive.
static void sweep(const struct out_place *p) {
    DIR *dir = opendir(p->folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!out_is_temp(p, e->d_name)) continue;
        int fd =
            openat(dirfd(dir), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
            flock(fd, LOCK_EX | LOCK_NB) == 0)
            unlinkat(dirfd(dir), e->d_name, 0);
        if (fd >= 0) close(fd);
    }
    if (dir) closedir(dir);
}

// Between making and locking, another run may take the file for abandoned and remove it;
// then it is made again.
static bool create_temp(struct npy_writer *w) {
    for (int tries = 0; tries < 10; tries++) {
        w->fd = open(w->place.temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd < 0) return false;
        struct stat st;
        // A file system without locks has no lock for the others either.
        if (flock(w->fd, LOCK_EX) != 0 || (fstat(w->fd, &st) == 0 && st.st_nlink > 0))
            return true;
        close(w->fd);
        w->fd = -1;
    }
    return false;
}

static bool create(struct npy_writer *w, struct diags *d) {
    struct stat st;
    if (stat(w->place.path, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return write_failed(w, d);
    }
    sweep(&w->place);
    return create_temp(w) || write_failed(w, d);
}

struct npy_writer *npy_create(const char *path, enum npy_type type, size_t rank,
                              const size_t *dim, struct diags *d) {
    CHECK(rank <= NPY_MAX_RANK);
    size_t count, bytes;
    CHECK(size_product(dim, rank, &count) && size_mul(count, kinds[type].size, &bytes));
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    struct npy_writer *w = NEW(a, struct npy_writer);
    *w = (struct npy_writer){.arena = a, .fd = -1, .left = bytes};
    struct text header = {.arena = a};
    npy_header(&header, type, rank, dim);
    bool placed = out_place_open(a, path, &w->place, d);
    cleanup_pop(&held);
    if (!placed) {
        arena_free(a);
        return NULL;
    }
    if (create(w, d)) {
        if (out_write(w->fd, header.at, header.n)) return w;
        write_failed(w, d);
    }
    npy_abandon(w);
    return NULL;
}

bool npy_write(struct npy_writer *w, const void *data, size_t bytes, struct diags *d) {
    CHECK(bytes <= w->left);
    w->left -= bytes;
    return out_write(w->fd, data, bytes) || write_failed(w, d);
}

bool npy_commit(struct npy_writer *w, struct diags *d) {
    CHECK(w->left == 0);
    // Renamed while its lock is held; what close could still say, fsync has said.
    bool ok = fsync(w->fd) == 0 && rename(w->place.temp, w->place.path) == 0 &&
              out_place_sync(&w->place);
    if (ok) {
        close(w->fd);
        arena_free(w->arena);
        return true;
    }
    write_failed(w, d);
    npy_abandon(w);
    return false;
}

void npy_abandon(struct npy_writer *w) {
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->place.temp);
    }
    out_place_undo(&w->place);
    arena_free(w->arena);
}
