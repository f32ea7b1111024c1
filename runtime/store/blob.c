// See blob.h. Nothing here trusts a name: a file counts when its bytes have the digest
// that it is called by. It is read with read(2), not mapped: where a disk fails under a
// mapping the process gets a signal, where it fails under a read, an error.
#include "runtime/store/blob.h"

#include "runtime/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOBS "blobs"

struct blob_path {
    char folder[sizeof BLOBS + 3];            // blobs/ab
    char file[sizeof BLOBS + 3 + DIGEST_HEX]; // blobs/ab/abcd...
};

static void path_of(struct digest name, struct blob_path *p) {
    char hex[DIGEST_HEX];
    digest_hex(name, hex);
    snprintf(p->folder, sizeof p->folder, BLOBS "/%.2s", hex);
    snprintf(p->file, sizeof p->file, BLOBS "/%.2s/%s", hex, hex);
}

// Closes fd and leaves errno as it was.
static void close_quietly(int fd) {
    int err = errno;
    close(fd);
    errno = err;
}

// ---- reading -------------------------------------------------------------------------
static int open_plain(int folder, const char *path, struct stat *st) {
    // A pipe or a link under a blob's name must neither stop us nor lead elsewhere.
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return -1;
    if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
    close(fd);
    errno = EINVAL;
    return -1;
}

static bool read_all(int fd, char *to, size_t n) {
    while (n) {
        ssize_t k = read(fd, to, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        to += k;
        n -= (size_t)k;
    }
    return true;
}

enum blob_state blob_read(int folder, struct digest name, size_t n, void *out) {
    struct blob_path p;
    struct stat st;
    path_of(name, &p);
    int fd = open_plain(folder, p.file, &st);
    if (fd < 0) return errno == EINVAL || errno == ELOOP ? BLOB_DAMAGED : BLOB_MISSING;
    enum blob_state state = BLOB_DAMAGED;
    // Checked apart, so that out gets right bytes or none.
    char *data = (uintmax_t)st.st_size == n ? mem_alloc(size_max(n, 1)) : NULL;
    if ((uintmax_t)st.st_size == n && !data) state = BLOB_MISSING; // no memory to look
    if (data && read_all(fd, data, n) && digest_eq(digest_of(data, n), name)) {
        if (out && n) memcpy(out, data, n);
        state = BLOB_FINE;
    }
    mem_free(data);
    close(fd);
    return state;
}

// ---- writing -------------------------------------------------------------------------
static bool sync_folder(int at, const char *path) {
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = fsync(fd) == 0;
    close_quietly(fd);
    return ok;
}

static bool make_folder(int at, const char *path, const char *parent) {
    if (mkdirat(at, path, 0700) != 0 && errno != EEXIST) return false;
    return sync_folder(at, parent); // whoever made it may have died before this
}

// A new file beside the blob's own, its name in temp.
static int open_temp(int folder, const struct blob_path *p, char *temp, size_t n) {
    int fd = -1;
    errno = EEXIST;
    // Its number tells threads apart, and us from the dead of our process id.
    for (unsigned i = 0; i < 4096 && fd < 0 && errno == EEXIST; i++) {
        snprintf(temp, n, "%s/.%ld.%u", p->folder, (long)getpid(), i);
        fd = openat(folder, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    return fd;
}

static bool write_temp(int fd, const void *data, size_t n) {
    bool ok = out_write(fd, data, n) && fsync(fd) == 0;
    if (ok) return close(fd) == 0;
    close_quietly(fd);
    return false;
}

static bool write_file(int folder, const struct blob_path *p, const void *data,
                       size_t n) {
    char temp[sizeof p->file + 32];
    int fd = open_temp(folder, p, temp, sizeof temp);
    if (fd < 0) return false;
    if (!write_temp(fd, data, n) || renameat(folder, temp, folder, p->file) != 0) {
        int err = errno;
        unlinkat(folder, temp, 0);
        errno = err;
        return false;
    }
    return sync_folder(folder, p->folder);
}

// Who looks for leftovers goes by the age of a file: one that is used again is new again.
static bool there_already(int folder, const struct blob_path *p, struct digest name,
                          size_t n) {
    return blob_read(folder, name, n, NULL) == BLOB_FINE &&
           utimensat(folder, p->file, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

bool blob_write(int folder, const void *data, size_t n, struct digest *name) {
    struct blob_path p;
    *name = digest_of(data, n);
    path_of(*name, &p);
    if (there_already(folder, &p, *name, n)) return true;
    return make_folder(folder, BLOBS, ".") && make_folder(folder, p.folder, BLOBS) &&
           write_file(folder, &p, data, n);
}

bool blob_remove(int folder, struct digest name) {
    struct blob_path p;
    path_of(name, &p);
    return unlinkat(folder, p.file, 0) == 0 || errno == ENOENT;
}

// ---- all of them ---------------------------------------------------------------------
struct walk {
    int folder;
    bool (*fn)(void *ctx, const struct blob_file *f);
    void *ctx;
    double now;
    bool stop;
};

static double real_seconds(struct timespec t) {
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool hex_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static uint64_t hex_word(const char *s) {
    char word[17];
    memcpy(word, s, 16);
    word[16] = 0;
    return strtoull(word, NULL, 16);
}

// The digest that a file in blobs/AB is called by. False: it is called by none.
static bool digest_read(const char *ab, const char *file, struct digest *out) {
    size_t n = 0;
    while (hex_digit(file[n])) n++;
    if (n != DIGEST_HEX - 1 || file[n]) return false;
    if (strlen(ab) != 2 || strncmp(file, ab, 2) != 0) return false;
    *out = (struct digest){.hi = hex_word(file), .lo = hex_word(file + 16)};
    return true;
}

// ab: the folder in blobs/ that it lies in, or NULL.
static void visit(struct walk *w, const char *ab, const char *file) {
    char path[sizeof BLOBS + 2 * (NAME_MAX + 1)];
    struct stat st;
    struct blob_file f = {.path = path};
    snprintf(path, sizeof path, BLOBS "/%s%s%s", ab ? ab : "", ab ? "/" : "", file);
    // What is gone meanwhile, somebody removed; what is no file, we never made.
    if (fstatat(w->folder, path, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (!S_ISREG(st.st_mode)) return;
    f.temporary = !ab || !digest_read(ab, file, &f.name);
    f.bytes = (uint64_t)st.st_size;
    f.age = w->now - real_seconds(st.st_mtim);
    w->stop = !w->fn(w->ctx, &f);
}

static DIR *open_listing(int folder, const char *path) {
    int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir) close_quietly(fd);
    return dir;
}

static bool visit_folder(struct walk *w, const char *ab) {
    char path[sizeof BLOBS + NAME_MAX + 1];
    snprintf(path, sizeof path, BLOBS "%s%s", ab ? "/" : "", ab ? ab : "");
    DIR *dir = open_listing(w->folder, path);
    // A file where a folder may be is visited as one; a missing folder holds nothing.
    if (!dir) return errno == ENOENT || (ab && (errno == ENOTDIR || errno == ELOOP));
    struct dirent *e;
    bool ok = true;
    while (errno = 0, ok && !w->stop && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        visit(w, ab, e->d_name);
        if (!ab && !w->stop) ok = visit_folder(w, e->d_name);
    }
    ok = ok && errno == 0;
    closedir(dir);
    return ok;
}

bool blob_each(int folder, bool (*fn)(void *ctx, const struct blob_file *f), void *ctx) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct walk w = {folder, fn, ctx, real_seconds(now), false};
    return visit_folder(&w, NULL);
}
