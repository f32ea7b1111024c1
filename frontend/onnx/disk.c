// The files that a network lies in, while it is read: its own, and the data files that
// its tensors name.
//
// Whoever wrote the network chose the names of its data files, so they are only looked
// for in the folder of the network itself: by a relative path without "..", taken step by
// step and through no symbolic link. Bytes are read where they are needed, straight into
// their place; nothing is mapped, because somebody may export the network again while it
// is read (a mapping would end the process). What a file was when it was opened it has to
// be when the last byte of it was read.
#include "frontend/onnx/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

// Several tensors may be the same bytes of a data file; this many times its size.
#define SHARED_FREE  ((size_t)1 << 24)
#define SHARED_TIMES 4

// ---- one file ------------------------------------------------------------------------
static bool same_content(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool unchanged(const struct onnx_disk_file *f) {
    struct stat now;
    return f->fd < 0 || (fstat(f->fd, &now) == 0 && same_content(&f->st, &now));
}

static bool changed(const struct onnx_disk *k, const struct onnx_disk_file *f) {
    if (!f->name) return onnx_fail(k->log, "changed while it was read");
    return onnx_fail(k->log, "its data file `%s` changed while it was read",
                     onnx_text(k->log, f->name));
}

static bool shut(struct onnx_disk *k, struct onnx_disk_file *f) {
    bool ok = unchanged(f) || changed(k, f);
    cleanup_fd(&f->fd);
    return ok;
}

// 0, or the errno that says what is wrong with it.
static int inspect(int fd, struct stat *st) {
    if (fd < 0 || fstat(fd, st) != 0) return errno;
    if (S_ISDIR(st->st_mode)) return EISDIR;
    return S_ISREG(st->st_mode) ? 0 : EINVAL;
}

static const char *cause(int err) {
    return err == EINVAL ? "it is no ordinary file" : strerror(err);
}

// ---- opening and closing -------------------------------------------------------------
bool onnx_disk_open(struct onnx_disk *k, const char *path, struct arena *arena,
                    const struct onnx_log *log) {
    *k = (struct onnx_disk){.arena = arena, .log = log, .path = path, .folder = -1};
    struct onnx_disk_file *f = &k->model;
    f->fd = open(path, OPEN_FLAGS);
    int err = inspect(f->fd, &f->st);
    if (err) onnx_fail(log, "cannot be read: %s", cause(err));
    else if (f->st.st_size == 0) onnx_fail(log, "is empty");
    else if ((uintmax_t)f->st.st_size > ONNX_MAX_BYTES)
        onnx_fail(log, "is larger than 2 GiB");
    else {
        k->bytes = (size_t)f->st.st_size;
        return true;
    }
    onnx_disk_close(k);
    return false;
}

void onnx_disk_close(void *disk) {
    struct onnx_disk *k = disk;
    cleanup_fd(&k->model.fd);
    cleanup_fd(&k->folder);
    for (size_t i = 0; i < k->data.n; i++) cleanup_fd(&k->data.at[i].fd);
}

bool onnx_disk_unchanged(const struct onnx_disk *k) {
    if (!unchanged(&k->model)) return changed(k, &k->model);
    for (size_t i = 0; i < k->data.n; i++)
        if (!unchanged(&k->data.at[i])) return changed(k, &k->data.at[i]);
    return true;
}

// ---- data files ----------------------------------------------------------------------
static bool no_data_file(const struct onnx_disk *k, const char *what, const char *name,
                         const char *why) {
    return onnx_fail(k->log, "%s is kept in the file `%s`, which cannot be read: %s",
                     what, onnx_text(k->log, name), why);
}

static bool stays_inside(const char *location) {
    if (*location == '/') return false;
    for (const char *p = location; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && memcmp(p, "..", 2) == 0) return false;
        p += n + (p[n] == '/');
    }
    return true;
}

static bool check_location(const struct onnx_disk *k, const char *what,
                           const char *location) {
    if (!location || !*location)
        return onnx_fail(k->log, "%s is kept in another file, whose name is missing",
                         what);
    if (stays_inside(location)) return true;
    onnx_fail(k->log, "%s is kept in the file `%s`, outside of the network's own folder",
              what, onnx_text(k->log, location));
    return diag_help(k->log->d, "put the file beside the network and export it with the "
                                "file's name alone");
}

static int open_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder =
        mem_strndup(slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    if (!folder) scope_no_memory();
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = errno;
    mem_free(folder);
    errno = err;
    return fd;
}

struct step { // one name of a location, as openat wants it
    char name[NAME_MAX + 1];
    bool last;
};

// The next step of *p, which is left behind it; false, with errno, for a name too long.
static bool next_step(const char **p, struct step *out) {
    size_t n = strcspn(*p, "/");
    if (n > NAME_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(out->name, *p, n);
    out->name[n] = 0;
    *p += n;
    *p += strspn(*p, "/");
    out->last = !**p;
    return true;
}

// Through no symbolic link: one reads as ELOOP.
static int open_step(int folder, const struct step *s) {
    struct stat st;
    int fd =
        openat(folder, s->name, OPEN_FLAGS | O_NOFOLLOW | (s->last ? 0 : O_DIRECTORY));
    if (fd >= 0) return fd;
    int err = errno;
    bool link =
        fstatat(folder, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
    errno = link ? ELOOP : err;
    return -1;
}

// The file of that location, whose folders are let go of again; -1 with errno.
static int open_inside(int folder, const char *location) {
    int at = folder;
    struct step s = {.last = false};
    for (const char *p = location; !s.last;) {
        int below = next_step(&p, &s) ? open_step(at, &s) : -1, err = errno;
        if (at != folder) close(at);
        errno = err;
        if (below < 0) return -1;
        at = below;
    }
    return at;
}

static bool open_data(struct onnx_disk *k, const char *what, struct onnx_disk_file *f) {
    struct stat before = f->st;
    bool again = f->opened;
    if (k->folder < 0) k->folder = open_folder(k->path);
    f->fd = k->folder < 0 ? -1 : open_inside(k->folder, f->name);
    int err = inspect(f->fd, &f->st);
    if (err == ELOOP) {
        no_data_file(k, what, f->name, "it is, or lies behind, a symbolic link");
        return diag_help(k->log->d,
                         "links could lead anywhere: put the file itself there");
    }
    if (err == ENOENT) {
        no_data_file(k, what, f->name, cause(err));
        return diag_help(k->log->d,
                         "the exporter wrote it with the network: keep the two "
                         "side by side, by the names they had then");
    }
    if (err) return no_data_file(k, what, f->name, cause(err));
    if (again && !same_content(&before, &f->st)) return changed(k, f);
    if (!again && !size_add(k->bytes, (size_t)f->st.st_size, &k->bytes))
        return no_data_file(k, what, f->name, strerror(EFBIG));
    f->opened = true;
    return true;
}

static size_t find_data(const struct onnx_disk *k, const char *location) {
    size_t i = 0;
    while (i < k->data.n && strcmp(k->data.at[i].name, location) != 0) i++;
    return i;
}

// One data file is open at a time: there may be one a tensor.
bool onnx_disk_data(struct onnx_disk *k, const char *what, const char *location,
                    struct onnx_disk_file **out) {
    if (!check_location(k, what, location)) return false;
    size_t i = k->open < k->data.n && strcmp(k->data.at[k->open].name, location) == 0
                   ? k->open
                   : find_data(k, location);
    if (i == k->data.n) {
        struct onnx_disk_file new = {.name = location, .fd = -1};
        VEC_PUSH(k->arena, &k->data, new);
    }
    if (i != k->open && !shut(k, &k->data.at[k->open])) return false;
    k->open = i;
    *out = &k->data.at[i];
    return (*out)->fd >= 0 || open_data(k, what, *out);
}

bool onnx_disk_take(struct onnx_disk *k, const char *what, size_t n) {
    size_t most = SHARED_FREE;
    if (!size_mul(k->bytes, SHARED_TIMES, &most) || !size_add(most, SHARED_FREE, &most))
        most = SIZE_MAX;
    if (size_add(k->taken, n, &k->taken) && k->taken <= most) return true;
    return onnx_fail(k->log,
                     "%s and those before it are the same bytes of a data file too "
                     "many times",
                     what);
}

// ---- reading -------------------------------------------------------------------------
bool onnx_disk_read(const struct onnx_disk *k, const struct onnx_disk_file *f, size_t at,
                    void *to, size_t n) {
    char *p = to;
    while (n > 0) {
        ssize_t got = pread(f->fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) return changed(k, f); // its size was looked at before
        if (got < 0)
            return onnx_fail(k->log, "%s%s%s cannot be read: %s",
                             f->name ? "its data file `" : "it",
                             f->name ? onnx_text(k->log, f->name) : "",
                             f->name ? "`" : "", strerror(errno));
        p += got;
        at += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}
