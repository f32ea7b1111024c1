// The power cut of disk.h. First everything not durable is taken back, newest first,
// which gives the state that every sync so far has promised. Then of what was taken
// back a random part is done again: writes by sectors of 512 bytes, some of them torn;
// sizes and names each by themselves. Any order in which a disk writes what it was
// given ends in such a state.
#include "tests/fault/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SECTOR 512

struct dice { // splitmix64
    uint64_t state;
};

static uint64_t roll(struct dice *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(struct dice *r, unsigned of_16) {
    return roll(r) % 16 < of_16;
}

// How much of one file's writes arrived, in sixteenths. All and nothing are states that
// matter, and that a fair coin never shows.
static unsigned luck(struct dice *r) {
    static const unsigned some[] = {0, 1, 8, 15, 16};
    return some[roll(r) % (sizeof some / sizeof *some)];
}

// ---- what a folder holds -------------------------------------------------------------
struct place { // one file below the folder or put aside
    ino_t file;
    char path[PATH_MAX];
};
struct places {
    struct place *at;
    size_t n, cap;
};

static void place_add(struct places *p, ino_t file, const char *path) {
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->at = realloc(p->at, p->cap * sizeof *p->at);
        if (!p->at) abort();
    }
    p->at[p->n].file = file;
    snprintf(p->at[p->n++].path, PATH_MAX, "%s", path);
}

static const char *place_of(const struct places *p, ino_t file) {
    for (size_t i = 0; i < p->n; i++)
        if (p->at[i].file == file) return p->at[i].path;
    return NULL;
}

// Calls each for what is in a folder, what is in folders of it first.
static void walk(const char *dir, void (*each)(void *, const char *, const struct stat *),
                 void *ctx) {
    DIR *open = opendir(dir);
    if (!open) return;
    for (struct dirent *e; (e = readdir(open));) {
        char path[PATH_MAX];
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= PATH_MAX) continue;
        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW)) continue;
        if (S_ISDIR(st.st_mode)) walk(path, each, ctx);
        each(ctx, path, &st);
    }
    closedir(open);
}

static void note(void *ctx, const char *path, const struct stat *st) {
    place_add(ctx, st->st_ino, path);
}

static void remove_one(void *ctx, const char *path, const struct stat *st) {
    (void)ctx;
    syscall(SYS_unlinkat, AT_FDCWD, path, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0);
}

void disk_remove_all(const char *dir) {
    walk(dir, remove_one, NULL);
    syscall(SYS_unlinkat, AT_FDCWD, dir, AT_REMOVEDIR);
}

// ---- bytes ---------------------------------------------------------------------------
struct image { // a file in memory; zeros after its size
    char *at;
    size_t size, cap;
};

static void image_reach(struct image *m, size_t n) {
    if (n <= m->cap) return;
    m->at = realloc(m->at, n);
    if (!m->at) abort();
    memset(m->at + m->cap, 0, n - m->cap);
    m->cap = n;
}

static void image_resize(struct image *m, size_t size) {
    if (size < m->size) memset(m->at + size, 0, m->size - size);
    image_reach(m, size);
    m->size = size;
}

static void image_put(struct image *m, off_t at, const char *data, size_t n) {
    if (!n) return;
    image_reach(m, (size_t)at + n);
    memcpy(m->at + at, data, n);
}

static void take_back(struct image *m, const struct disk_op *op) {
    if (op->kind == DISK_WRITE && op->before < op->at + (off_t)op->n) {
        size_t from = (size_t)(op->before > op->at ? op->before : op->at);
        image_reach(m, (size_t)op->at + op->n);
        memset(m->at + from, 0, (size_t)op->at + op->n - from);
    }
    image_put(m, op->at, op->old, op->nold);
    image_reach(m, (size_t)op->before);
    m->size = (size_t)op->before;
}

static void do_part(struct image *m, const struct disk_op *op, unsigned lucky,
                    struct dice *r) {
    for (size_t i = 0; i < op->n;) {
        size_t at = (size_t)op->at + i;
        size_t n = SECTOR - at % SECTOR;
        if (n > op->n - i) n = op->n - i;
        bool torn = lucky < 16 && chance(r, 1);
        if (chance(r, lucky))
            image_put(m, (off_t)at, op->data + i, torn ? (size_t)(roll(r) % n) : n);
        i += n;
    }
    bool grows = op->after > op->before;
    if (grows && (size_t)op->after > m->size && chance(r, lucky)) {
        image_reach(m, (size_t)op->after);
        m->size = (size_t)op->after; // what arrived beyond the old size is there with it
    }
    if (!grows && op->kind == DISK_SIZE && chance(r, lucky))
        image_resize(m, (size_t)op->after);
}

static bool image_read(struct image *m, int fd) {
    struct stat st;
    if (fstat(fd, &st)) return false;
    image_resize(m, (size_t)st.st_size);
    return syscall(SYS_pread64, fd, m->at, m->size, 0) == (ssize_t)m->size;
}

static void image_write(const struct image *m, int fd) {
    if (syscall(SYS_ftruncate, fd, 0) || syscall(SYS_ftruncate, fd, (off_t)m->size) ||
        syscall(SYS_pwrite64, fd, m->at, m->size, 0) != (ssize_t)m->size)
        abort();
}

static void cut_file(struct disk *d, const char *path, ino_t file, struct dice *r,
                     FILE *trace) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    struct image m = {0};
    if (fd < 0 || !image_read(&m, fd)) return;
    size_t was = m.size, n = 0;
    for (size_t i = d->nops; i-- > 0;)
        if (d->ops[i].kind != DISK_NAME && d->ops[i].file == file)
            take_back(&m, &d->ops[i]), n++;
    size_t durable = m.size;
    unsigned lucky = luck(r);
    for (size_t i = 0; i < d->nops; i++)
        if (d->ops[i].kind != DISK_NAME && d->ops[i].file == file)
            do_part(&m, &d->ops[i], lucky, r);
    image_write(&m, fd);
    if (trace)
        fprintf(trace,
                "cut %s: %zu writes, %u/16 kept; bytes %zu, durable %zu, now %zu\n", path,
                n, lucky, was, durable, m.size);
    free(m.at);
    syscall(SYS_close, fd);
}

static void cut_files(struct disk *d, const struct places *all, struct dice *r,
                      FILE *trace) {
    for (size_t i = 0; i < d->nops; i++) {
        if (d->ops[i].kind == DISK_NAME) continue;
        bool first = true;
        for (size_t j = 0; j < i && first; j++)
            first = d->ops[j].kind == DISK_NAME || d->ops[j].file != d->ops[i].file;
        const char *path = first ? place_of(all, d->ops[i].file) : NULL;
        if (path) cut_file(d, path, d->ops[i].file, r, trace);
    }
}

// ---- names ---------------------------------------------------------------------------
static struct place *wanted(struct places *names, const char *path, ino_t now) {
    for (size_t i = 0; i < names->n; i++)
        if (!strcmp(names->at[i].path, path)) return &names->at[i];
    place_add(names, now, path);
    return &names->at[names->n - 1];
}

static void rename_back(struct places *names, const struct disk_op *op) {
    for (size_t k = 0; k < 2; k++)
        if (op->name[k].path) wanted(names, op->name[k].path, 0)->file = op->name[k].from;
}

static void rename_again(struct places *names, const struct disk_op *op, FILE *trace) {
    for (size_t k = 0; k < 2; k++)
        if (op->name[k].path) wanted(names, op->name[k].path, 0)->file = op->name[k].to;
    if (trace) fprintf(trace, "cut kept the name %s\n", op->name[0].path);
}

// Takes every touched name of a file away, then gives those that are wanted.
static void make_names(struct disk *d, const struct places *names) {
    struct places aside = {0};
    syscall(SYS_mkdirat, AT_FDCWD, d->lost, 0700);
    for (size_t i = 0; i < names->n; i++) {
        struct stat st;
        const char *path = names->at[i].path;
        if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) || S_ISDIR(st.st_mode))
            continue;
        char to[PATH_MAX];
        snprintf(to, sizeof to, "%s/%zu", d->lost, d->nlost++);
        syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0);
    }
    walk(d->lost, note, &aside);
    for (size_t i = 0; i < names->n; i++) {
        const char *from = names->at[i].file ? place_of(&aside, names->at[i].file) : NULL;
        if (from) syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, names->at[i].path, 0);
    }
    free(aside.at);
}

static void cut_names(struct disk *d, struct dice *r, FILE *trace) {
    struct places names = {0};
    for (size_t i = d->nops; i-- > 0;)
        if (d->ops[i].kind == DISK_NAME) rename_back(&names, &d->ops[i]);
    unsigned lucky = luck(r);
    for (size_t i = 0; i < d->nops; i++)
        if (d->ops[i].kind == DISK_NAME && chance(r, lucky))
            rename_again(&names, &d->ops[i], trace);
    make_names(d, &names);
    // A folder that never was takes along what was made in it.
    for (size_t i = 0; i < names.n; i++) {
        struct stat st;
        const char *path = names.at[i].path;
        if (names.at[i].file || fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (trace) fprintf(trace, "cut lost the folder %s\n", path);
        disk_remove_all(path);
    }
    free(names.at);
}

void disk_cut(struct disk *d, uint64_t seed, FILE *trace) {
    struct dice r = {seed};
    struct places all = {0};
    walk(d->dir, note, &all);
    walk(d->lost, note, &all);
    cut_files(d, &all, &r, trace);
    cut_names(d, &r, trace);
    disk_remove_all(d->lost);
    free(all.at);
}
