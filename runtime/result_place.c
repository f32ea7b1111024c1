// How a finished folder gets its place: exchanged with the older result in one step,
// whose own files are then removed and whose foreign files follow. A run that is killed
// leaves either result whole, and beside it at most a folder that the next run clears
// away.
#include "runtime/json.h"
#include "runtime/result_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MANIFEST ((size_t)1 << 30)
#define MAX_DEPTH    32     // of foreign folders that both results have
#define OLD_MARK     ".old" // behind a temporary name: the result that was there before

static const char *const fixed_names[] = {RESULT_LABELS, RESULT_OVERVIEW, RESULT_PART};

static int open_folder(int at, const char *name) {
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

// ---- what a folder is ---------------------------------------------------------------
struct manifest { // a folder's, as text
    const char *folder;
    struct arena *arena;
    bool there, no_memory;
    struct json json;
};

static void read_manifest(void *ctx) {
    struct manifest *m = ctx;
    struct arena *a = m->arena = arena_must();
    size_t n = 0;
    char *text =
        file_read(a, arena_printf(a, "%s/" RESULT_MANIFEST, m->folder), MAX_MANIFEST, &n);
    m->there = text != NULL;
    if (text) m->json = (struct json){text, text + n};
}

// Those who ask hold folders open: a manifest that there is no memory for is not there.
static bool manifest_open(struct manifest *m, const char *folder) {
    *m = (struct manifest){.folder = folder};
    struct scope scope = scope_same();
    enum scope_end end = scope_run(&scope, read_manifest, m);
    if (end == SCOPE_BUG) scope_raise(&scope);
    m->no_memory = end == SCOPE_NO_MEMORY;
    return m->there && json_open(&m->json, '{');
}

// Whether its manifest says that ddg wrote the folder.
static bool is_ours(const char *folder, bool *no_memory) {
    struct manifest m;
    char key[16], format[32] = "";
    if (manifest_open(&m, folder))
        while (!*format && json_key(&m.json, key, sizeof key)) {
            if (strcmp(key, "format") != 0) json_skip(&m.json);
            else if (!json_text(&m.json, format, sizeof format)) break;
        }
    arena_free(m.arena);
    *no_memory = m.no_memory;
    return strcmp(format, RESULT_FORMAT) == 0;
}

static bool is_empty(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir) return false;
    struct dirent *e;
    bool empty = true;
    while ((e = readdir(dir)))
        if (!is_dots(e->d_name)) empty = false;
    closedir(dir);
    return empty;
}

bool result_place_free(const struct out_place *p, struct diags *d) {
    struct stat st;
    if (lstat(p->path, &st) != 0) {
        if (errno == ENOENT) return true;
        return diag_error(d, NO_SPAN, "cannot write to `%s`: %s", p->path,
                          strerror(errno));
    }
    if (!S_ISDIR(st.st_mode))
        return diag_error(d, NO_SPAN,
                          "cannot write to `%s`: it is a %s, and images need a "
                          "folder",
                          p->path, S_ISLNK(st.st_mode) ? "broken link" : "file");
    bool no_memory;
    if (is_empty(p->path) || is_ours(p->path, &no_memory)) return true;
    if (no_memory) return diag_no_memory(d, NO_SPAN);
    diag_error(d, NO_SPAN, "`%s` exists and holds something that ddg did not write",
               p->path);
    diag_help(d, "choose another folder, or move that one away");
    return false;
}

// ---- removing our files -------------------------------------------------------------
// Whether a path is of the form we give to images; *slash is where its folder ends.
static bool is_image_name(const char *file, const char **slash) {
    char want[RESULT_NAME_MAX];
    unsigned cls, id;
    if (sscanf(file, "%*u/class%u_id%u", &cls, &id) != 2) return false;
    result_image_name(want, cls, id);
    *slash = strchr(file, '/');
    return strcmp(file, want) == 0;
}

// Removes an image, and its class's folder when that was the last. A link is not
// followed: what it leads to is not ours.
static void remove_image(int folder, const char *file) {
    const char *slash;
    char cls[RESULT_NAME_MAX];
    if (!is_image_name(file, &slash)) return;
    snprintf(cls, sizeof cls, "%.*s", (int)(slash - file), file);
    int fd = open_folder(folder, cls);
    if (fd < 0) return;
    unlinkat(fd, slash + 1, 0);
    close(fd);
    unlinkat(folder, cls, AT_REMOVEDIR); // fails while anything is in it
}

static void remove_fixed(int folder) {
    for (size_t i = 0; i < COUNT(fixed_names); i++) unlinkat(folder, fixed_names[i], 0);
}

static void remove_listed_image(int folder, struct json *j) {
    char key[16], file[RESULT_NAME_MAX];
    if (!json_open(j, '{')) {
        json_skip(j);
        return;
    }
    while (json_key(j, key, sizeof key)) {
        if (strcmp(key, "file") != 0) json_skip(j);
        else if (json_text(j, file, sizeof file)) remove_image(folder, file);
    }
}

// Removes what the manifest lists. The manifest itself goes last: until then the rest can
// still be told apart from foreign files.
static void remove_listed(int folder, const char *path) {
    struct manifest m;
    char key[16];
    if (manifest_open(&m, path))
        while (json_key(&m.json, key, sizeof key)) {
            if (strcmp(key, "images") != 0 || !json_open(&m.json, '['))
                json_skip(&m.json);
            else
                while (json_element(&m.json)) remove_listed_image(folder, &m.json);
        }
    arena_free(m.arena);
    remove_fixed(folder);
}

// Removes everything that has the form of ours from a folder nobody else writes to.
static void remove_formed_class(int folder, const char *cls) {
    char file[2 * RESULT_NAME_MAX];
    int fd = open_folder(folder, cls);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0) close(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        int n = snprintf(file, sizeof file, "%s/%s", cls, e->d_name);
        if (n > 0 && (size_t)n < sizeof file) remove_image(folder, file);
    }
    if (dir) closedir(dir);
    if (cls[strspn(cls, "0123456789")] == 0) unlinkat(folder, cls, AT_REMOVEDIR);
}

static void remove_formed(int folder) {
    int fd = open_folder(folder, ".");
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0) close(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (!is_dots(e->d_name)) remove_formed_class(folder, e->d_name);
    if (dir) closedir(dir);
    remove_fixed(folder);
}

// ---- carrying foreign files over ----------------------------------------------------
static bool move(int from, int to, const char *name) {
    if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0) return true;
    // Some file systems cannot be asked so.
    return errno == EINVAL && faccessat(to, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 &&
           renameat(from, name, to, name) == 0;
}

// Moves what `from` holds into `to`. A folder that both have is merged; a file that both
// have stays behind.
static void carry(int from, int to, size_t depth) {
    int fd = open_folder(from, ".");
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0) close(fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const char *name = e->d_name;
        if (is_dots(name) || (depth == 0 && strcmp(name, RESULT_MANIFEST) == 0)) continue;
        if (move(from, to, name)) continue;
        int below = depth < MAX_DEPTH ? open_folder(from, name) : -1;
        int into = below < 0 ? -1 : open_folder(to, name);
        if (into >= 0) carry(below, into, depth + 1);
        if (into >= 0) close(into);
        if (below >= 0) close(below);
        unlinkat(from, name, AT_REMOVEDIR);
    }
    if (dir) closedir(dir);
}

// Takes an older or unfinished folder apart: ours is removed, the rest moves to `into`
// (or stays, when that is -1). Warns when something had to stay.
static void retire(const char *path, int into, struct diags *d) {
    int fd = open_folder(AT_FDCWD, path);
    if (fd < 0) return;
    if (faccessat(fd, RESULT_PART, F_OK, AT_SYMLINK_NOFOLLOW) == 0) remove_formed(fd);
    else remove_listed(fd, path);
    if (into >= 0) carry(fd, into, 0);
    unlinkat(fd, RESULT_MANIFEST, 0);
    close(fd);
    if (rmdir(path) == 0 || errno == ENOENT) return;
    diag_warning(d, NO_SPAN, "some files of an older result were left in `%s`", path);
}

// ---- the temporary folder -----------------------------------------------------------
// A lock says that the folder's owner is alive. Between making and locking, another run
// may take the folder for abandoned and remove it; then it is made again.
int result_temp_make(const struct out_place *p, struct diags *d) {
    for (int tries = 0; tries < 10; tries++) {
        if (mkdir(p->temp, 0777) != 0) break;
        int fd = open_folder(AT_FDCWD, p->temp);
        struct stat st;
        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
            return fd;
        if (fd >= 0) close(fd);
    }
    diag_error(d, NO_SPAN, "cannot write to `%s`: %s", p->path, strerror(errno));
    return -1;
}

void result_temp_remove(const struct out_place *p) {
    int fd = open_folder(AT_FDCWD, p->temp);
    if (fd < 0) return;
    remove_formed(fd);
    unlinkat(fd, RESULT_MANIFEST, 0);
    close(fd);
    rmdir(p->temp);
}

static void sweep_one(const struct out_place *p, const char *path, struct diags *d) {
    int fd = open_folder(AT_FDCWD, path);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        bool no_memory;
        int into = is_ours(p->path, &no_memory) ? open_folder(AT_FDCWD, p->path) : -1;
        retire(path, into, d);
        if (into >= 0) close(into);
    }
    close(fd);
}

// Whether a name is one that result_temp_make or replace gave for p.
static bool is_temp_name(const struct out_place *p, const char *s) {
    size_t n = strlen(s), old = strlen(OLD_MARK);
    char name[NAME_MAX + 1];
    if (n > old && strcmp(s + n - old, OLD_MARK) == 0) n -= old;
    if (n > NAME_MAX) return false;
    memcpy(name, s, n);
    name[n] = 0;
    return out_is_temp(p, name);
}

void result_sweep(const struct out_place *p, struct diags *d) {
    DIR *dir = opendir(p->folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_temp_name(p, e->d_name)) continue;
        char *path = mem_printf("%s/%s", p->folder, e->d_name);
        if (!path) break;
        sweep_one(p, path, d);
        mem_free(path);
    }
    if (dir) closedir(dir);
}

// ---- the exchange -------------------------------------------------------------------
// For file systems that cannot exchange: two renames, the first taken back if need be.
static bool swap_slowly(const struct out_place *p, const char *aside) {
    if (rename(p->path, aside) != 0) return false;
    if (rename(p->temp, p->path) == 0) return true;
    int err = errno;
    if (rename(aside, p->path) != 0) err = errno;
    errno = err;
    return false;
}

static bool replace(const struct out_place *p, struct diags *d) {
    char *aside = mem_printf("%s" OLD_MARK, p->temp);
    if (!aside) {
        errno = ENOMEM;
        return false;
    }
    bool swapped = renameat2(AT_FDCWD, p->temp, AT_FDCWD, p->path, RENAME_EXCHANGE) == 0;
    bool ok = swapped || swap_slowly(p, aside);
    int err = errno;
    if (ok) {
        int into = open_folder(AT_FDCWD, p->path);
        retire(swapped ? p->temp : aside, into, d);
        if (into >= 0) close(into);
    }
    mem_free(aside);
    errno = err;
    return ok;
}

bool result_place(const struct out_place *p, struct diags *d) {
    struct stat st;
    if (!result_place_free(p, d)) return false; // it may have changed since the beginning
    bool older = lstat(p->path, &st) == 0 && !is_empty(p->path);
    bool ok = older ? replace(p, d) : rename(p->temp, p->path) == 0;
    ok = ok && out_place_sync(p);
    return ok || diag_error(d, NO_SPAN, "cannot put the result at `%s`: %s", p->path,
                            strerror(errno));
}
