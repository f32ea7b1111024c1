// The calls of disk.h, and what they remember. All go to the kernel by number: the names
// of libc are what the shim replaces.
#include "tests/fault/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *have(void *p) { // memory of a test program: there is no going on without it
    if (!p) abort();
    return p;
}

// ---- paths ---------------------------------------------------------------------------
bool disk_path(int folder, const char *path, char *out, size_t n) {
    char whole[PATH_MAX], dir[PATH_MAX];
    int len = *path == '/' || folder == AT_FDCWD
                  ? snprintf(whole, sizeof whole, "%s", path)
                  : snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder, path);
    if (len <= 0 || (size_t)len >= sizeof whole) return false;
    while (len > 1 && whole[len - 1] == '/') whole[--len] = 0;
    char *slash = strrchr(whole, '/');
    const char *last = slash ? slash + 1 : whole;
    if (slash) *slash = 0;
    if (!realpath(!slash ? "." : *whole ? whole : "/", dir)) return false;
    if (!strcmp(last, ".")) return snprintf(out, n, "%s", dir) < (int)n;
    return snprintf(out, n, "%s/%s", strcmp(dir, "/") ? dir : "", last) < (int)n;
}

static bool below(const struct disk *d, const char *path) {
    size_t n = strlen(d->dir);
    return !strncmp(path, d->dir, n) && path[n] == '/';
}

static ino_t inode_at(const char *path) { // 0: nothing there
    struct stat st;
    return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_ino;
}

static bool is_folder(const char *path) {
    struct stat st;
    return !fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

// ---- the list of what is not durable -------------------------------------------------
static struct disk_op *op_new(struct disk *d) {
    if (d->nops == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->ops = have(realloc(d->ops, d->cap * sizeof *d->ops));
    }
    struct disk_op *op = &d->ops[d->nops++];
    *op = (struct disk_op){0};
    return op;
}

static void op_free(struct disk_op *op) {
    free(op->data);
    free(op->old);
    free(op->folder);
    free(op->name[0].path);
    free(op->name[1].path);
}

static void named(struct disk *d, const char *folder_of, const char *path, ino_t from,
                  ino_t to, const char *other, ino_t other_from) {
    struct disk_op *op = op_new(d);
    op->kind = DISK_NAME;
    op->folder = have(strdup(folder_of));
    *strrchr(op->folder, '/') = 0;
    op->name[0] = (struct disk_name){have(strdup(path)), from, to};
    if (other) op->name[1] = (struct disk_name){have(strdup(other)), other_from, 0};
}

// The n bytes of a file at `at`, also of one opened for writing only.
static size_t bytes_of(int fd, off_t at, size_t n, char **out) {
    *out = have(malloc(n + 1));
    ssize_t got = syscall(SYS_pread64, fd, *out, n, at);
    if (got < 0) {
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int again = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
        if (again >= 0) {
            got = syscall(SYS_pread64, again, *out, n, at);
            syscall(SYS_close, again);
        }
    }
    return got < 0 ? 0 : (size_t)got;
}

static void resized(struct disk *d, int fd, const struct stat *st, off_t size) {
    if (st->st_size == size) return;
    struct disk_op *op = op_new(d);
    op->kind = DISK_SIZE;
    op->file = st->st_ino;
    op->at = size;
    op->before = st->st_size;
    op->after = size;
    if (size < st->st_size)
        op->nold = bytes_of(fd, size, (size_t)(st->st_size - size), &op->old);
}

// ---- files ---------------------------------------------------------------------------
ssize_t disk_pwrite(struct disk *d, int fd, const void *data, size_t n, off_t at) {
    struct stat st;
    if (!d->on || !n || fstat(fd, &st)) return syscall(SYS_pwrite64, fd, data, n, at);
    char *old = NULL;
    size_t nold = at < st.st_size ? bytes_of(fd, at, n, &old) : 0;
    ssize_t done = syscall(SYS_pwrite64, fd, data, n, at);
    if (done <= 0) {
        free(old);
        return done;
    }
    struct disk_op *op = op_new(d);
    op->kind = DISK_WRITE;
    op->file = st.st_ino;
    op->at = at;
    op->n = (size_t)done;
    op->data = have(malloc(op->n));
    memcpy(op->data, data, op->n);
    op->nold = nold < op->n ? nold : op->n;
    op->old = old;
    op->before = st.st_size;
    op->after = st.st_size > at + done ? st.st_size : at + done;
    return done;
}

ssize_t disk_write(struct disk *d, int fd, const void *data, size_t n) {
    off_t at = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    if (!d->on || at < 0) return syscall(SYS_write, fd, data, n);
    ssize_t done = disk_pwrite(d, fd, data, n, at);
    if (done > 0) lseek(fd, at + done, SEEK_SET);
    return done;
}

int disk_truncate(struct disk *d, int fd, off_t size) {
    struct stat st;
    if (d->on && !fstat(fd, &st)) resized(d, fd, &st, size);
    return (int)syscall(SYS_ftruncate, fd, size);
}

int disk_allocate(struct disk *d, int fd, int mode, off_t at, off_t n) {
    struct stat st;
    if (d->on && !mode && !fstat(fd, &st) && at + n > st.st_size)
        resized(d, fd, &st, at + n);
    return (int)syscall(SYS_fallocate, fd, mode, at, n);
}

static bool now_durable(const struct disk_op *op, ino_t file, const char *folder) {
    if (op->kind != DISK_NAME) return op->file == file;
    return folder && !strcmp(op->folder, folder);
}

int disk_sync(struct disk *d, int fd) {
    struct stat st;
    if (fstat(fd, &st)) return -1;
    char folder[PATH_MAX];
    bool dir = S_ISDIR(st.st_mode) && disk_path(fd, ".", folder, sizeof folder);
    size_t kept = 0;
    for (size_t i = 0; i < d->nops; i++)
        if (now_durable(&d->ops[i], st.st_ino, dir ? folder : NULL)) op_free(&d->ops[i]);
        else d->ops[kept++] = d->ops[i];
    d->nops = kept;
    return 0;
}

// ---- names ---------------------------------------------------------------------------
// Puts a file that is about to lose its name where the cut can find it.
static int put_aside(struct disk *d, const char *path) {
    char to[PATH_MAX];
    syscall(SYS_mkdirat, AT_FDCWD, d->lost, 0700);
    snprintf(to, sizeof to, "%s/%zu", d->lost, d->nlost++);
    return (int)syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0);
}

int disk_open(struct disk *d, const char *path, int flags, mode_t mode) {
    bool track = d->on && below(d, path);
    ino_t was = track ? inode_at(path) : 0;
    if (track && was && (flags & O_TRUNC)) { // as two calls, so that the second is seen
        int fd = disk_open(d, path, flags & ~O_TRUNC, mode);
        if (fd >= 0) disk_truncate(d, fd, 0);
        return fd;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    struct stat st;
    if (track && !was && fd >= 0 && !fstat(fd, &st) && inode_at(path) == st.st_ino)
        named(d, path, path, 0, st.st_ino, NULL, 0);
    return fd;
}

int disk_rename(struct disk *d, const char *from, const char *to, unsigned flags) {
    bool track = d->on && below(d, to) && below(d, from) && !flags && !is_folder(from);
    ino_t was = track ? inode_at(to) : 0, what = track ? inode_at(from) : 0;
    if (!track || !what || was == what)
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
    if (was && put_aside(d, to)) return -1;
    int rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
    if (!rc) named(d, to, to, was, what, from, what);
    return rc;
}

int disk_link(struct disk *d, const char *from, const char *to) {
    int rc = (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
    if (!rc && d->on && below(d, to)) named(d, to, to, 0, inode_at(to), NULL, 0);
    return rc;
}

int disk_remove(struct disk *d, const char *path, int flags) {
    ino_t was = d->on && below(d, path) ? inode_at(path) : 0;
    if (!was || is_folder(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    int rc = put_aside(d, path);
    if (!rc) named(d, path, path, was, 0, NULL, 0);
    return rc;
}

int disk_mkdir(struct disk *d, const char *path, mode_t mode) {
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (!rc && d->on && below(d, path)) named(d, path, path, 0, inode_at(path), NULL, 0);
    return rc;
}
