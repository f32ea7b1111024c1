// See outfile.h.
#include "runtime/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- places -------------------------------------------------------------------------
// The path without slashes at its end, split into folder and name.
static bool split(struct arena *a, const char *path, struct out_place *p) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    p->path = arena_strndup(a, path, n);
    char *slash = strrchr(p->path, '/');
    p->name = slash ? slash + 1 : p->path;
    p->folder = !slash             ? arena_strdup(a, ".")
                : slash == p->path ? arena_strdup(a, "/")
                                   : arena_strndup(a, p->path, (size_t)(slash - p->path));
    return *p->name && strcmp(p->name, ".") != 0 && strcmp(p->name, "..") != 0;
}

// Calls step on each folder of path, from the top; stops at the first that returns false.
static bool each_parent(char *path, bool (*step)(const char *path, void *ctx),
                        void *ctx) {
    for (char *s = path; *s; s++) {
        if (*s != '/' || s == path || s[1] == 0) continue;
        *s = 0;
        bool go = step(path, ctx);
        *s = '/';
        if (!go) return false;
    }
    return step(path, ctx);
}

static bool make_folder(const char *path, void *made) {
    struct stat st;
    if (stat(path, &st) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(st.st_mode);
    }
    if (mkdir(path, 0777) != 0) return errno == EEXIST; // somebody else was faster
    ++*(size_t *)made;
    return true;
}

bool out_place_open(struct arena *a, const char *to, struct out_place *out,
                    struct diags *d) {
    *out = (struct out_place){0};
    char real[PATH_MAX]; // an existing result may be a link to where it is
    bool linked = realpath(to, real) != NULL;
    if (!linked && errno == ENOMEM) return diag_no_memory(d, NO_SPAN);
    if (!split(a, linked ? real : to, out))
        return diag_error(d, NO_SPAN, "cannot write to `%s`: it needs a name", to);
    out->temp =
        arena_printf(a, "%s/.%s" OUT_MARK "%ld", out->folder, out->name, (long)getpid());
    if (each_parent(out->folder, make_folder, &out->made)) return true;
    diag_error(d, NO_SPAN, "cannot make the folder `%s`: %s", out->folder,
               strerror(errno));
    out_place_undo(out);
    return false;
}

bool out_place_check(struct arena *a, const char *to, struct diags *d, struct span at) {
    struct out_place place;
    size_t before = d->list.n;
    if (!out_place_open(a, to, &place, d)) return diag_about(d, before, at);
    bool ok = access(place.folder, W_OK | X_OK) == 0;
    int err = errno;
    out_place_undo(&place);
    return ok ||
           diag_error(d, at, "cannot write into %s: %s", place.folder, strerror(err));
}

void out_place_undo(const struct out_place *p) {
    char *path = p->folder, *end = path + strlen(path);
    for (size_t i = 0; i < p->made && rmdir(path) == 0; i++) {
        char *slash = strrchr(path, '/');
        if (!slash) break;
        *slash = 0;
    }
    for (char *cut; (cut = path + strlen(path)) < end;) *cut = '/';
}

bool out_is_temp(const struct out_place *p, const char *name) {
    size_t n = strlen(p->name), mark = strlen(OUT_MARK);
    if (name[0] != '.' || strncmp(name + 1, p->name, n) != 0) return false;
    if (strncmp(name + 1 + n, OUT_MARK, mark) != 0) return false;
    const char *pid = name + 1 + n + mark;
    return *pid && pid[strspn(pid, "0123456789")] == 0;
}

bool out_place_sync(const struct out_place *p) {
    int fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

// ---- files --------------------------------------------------------------------------
bool out_write(int fd, const void *data, size_t n) {
    const char *at = data;
    while (n) {
        ssize_t k = write(fd, at, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return false;
        at += k;
        n -= (size_t)k;
    }
    return true;
}

bool out_file(int folder, const char *name, const void *data, size_t n) {
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = out_write(fd, data, n);
    int err = errno;
    if (close(fd) != 0 && ok) {
        ok = false;
        err = errno;
    }
    errno = err;
    return ok;
}

static bool write_temp(const struct out_place *p, out_fill *fill, void *ctx) {
    unlink(p->temp); // of a process that had this number and was killed
    int fd = open(p->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool ok = fill(ctx, fd) && fsync(fd) == 0;
    int err = errno;
    if (close(fd) != 0 && ok) return false;
    errno = err;
    return ok;
}

bool out_make(const char *to, out_fill *fill, void *ctx, struct diags *d,
              struct span at) {
    struct out_place p;
    size_t before = d->list.n;
    if (!out_place_open(d->arena, to, &p, d)) return diag_about(d, before, at);
    if (write_temp(&p, fill, ctx) && rename(p.temp, p.path) == 0 && out_place_sync(&p))
        return true;
    int err = errno;
    unlink(p.temp);
    out_place_undo(&p);
    return diag_error(d, at, "cannot write %s: %s", to, strerror(err));
}

struct bytes {
    const void *data;
    size_t n;
};

static bool fill_bytes(void *ctx, int fd) {
    const struct bytes *b = ctx;
    return out_write(fd, b->data, b->n);
}

bool out_put(const char *to, const void *data, size_t n, struct diags *d,
             struct span at) {
    return out_make(to, fill_bytes, &(struct bytes){data, n}, d, at);
}
