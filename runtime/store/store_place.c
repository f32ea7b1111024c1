// The store's folder: where it is by default, how it is made, and what may lie in it.
// See store_impl.h.
//
//     store-N.db, store-N.db-wal, store-N.db-shm   a generation of the database
//     store-N.damaged                              word that generation N is damaged
//     .store-N-XXXXXX                              a database being made
#include "runtime/store/store_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <time.h>
#include <unistd.h>

// ---- where ---------------------------------------------------------------------------
static const char *set_variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const char *store_default_path(struct arena *a) {
    const char *path = set_variable("DDG_STORE");
    if (path) return arena_strdup(a, path);
    // The XDG specification has relative paths ignored.
    const char *cache = set_variable("XDG_CACHE_HOME");
    if (cache && *cache == '/') return arena_printf(a, "%s/ddg", cache);
    const char *home = set_variable("HOME");
    return home ? arena_printf(a, "%s/.cache/ddg", home) : NULL;
}

static uint64_t unit_of(const char *text) {
    static const char UNITS[] = "KMGT";
    size_t n = strlen(text);
    if (n == 0 || (n == 1 && *text == 'B')) return 1;
    const char *at = strchr(UNITS, *text & ~0x20);
    bool ends =
        n == 1 || (n == 2 && (text[1] & ~0x20) == 'B') || strcmp(text + 1, "iB") == 0;
    return at && ends ? UINT64_C(1) << (10 * (at - UNITS + 1)) : 0;
}

bool place_size(uint64_t *out) {
    *out = STORE_MAX_BYTES;
    const char *text = set_variable("DDG_STORE_SIZE");
    if (!text) return true;
    if (*text < '0' || *text > '9') return false;
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    uint64_t unit = unit_of(end), bytes;
    if (errno || n == 0 || unit == 0 || __builtin_mul_overflow(n, unit, &bytes))
        return false;
    *out = bytes;
    return true;
}

// ---- the folder ----------------------------------------------------------------------
// Makes the folder and those above it that are missing.
static bool make_folders(char *path) {
    for (char *p = path + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        bool there = mkdir(path, 0700) == 0 || errno == EEXIST || errno == EISDIR;
        *p = '/';
        if (!there && errno != EACCES && errno != EROFS) return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static int refuse(char *why, size_t n, const char *path, const char *reason) {
    snprintf(why, n, "the store %s cannot be used: %s", path, reason);
    return -1;
}

static int refuse_errno(char *why, size_t n, const char *path, bool make) {
    if (errno == ENOENT && !make) {
        snprintf(why, n, "there is no store in %s", path);
        return -1;
    }
    if (errno == ENOTDIR) return refuse(why, n, path, "it is a file, or lies below one");
    return refuse(why, n, path, strerror(errno));
}

int place_open(struct arena *a, const char *path, bool make, char **real, char *why,
               size_t why_n) {
    if (!*path) return refuse(why, why_n, "\"\"", "the path is empty");
    if (strlen(path) >= PATH_MAX)
        return refuse(why, why_n, "folder", "its path is too long");
    if (make && !make_folders(arena_strdup(a, path)))
        return refuse_errno(why, why_n, path, make);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return refuse_errno(why, why_n, path, make);
    char full[PATH_MAX];
    if (!realpath(path, full)) {
        close(folder);
        return refuse_errno(why, why_n, path, make);
    }
    struct cleanup held;
    cleanup_push(&held, cleanup_fd, &folder);
    *real = arena_strdup(a, full);
    cleanup_pop(&held);
    // What SQLite takes, less the longest name in the folder.
    if (strlen(full) <= 512 - 40) return folder;
    close(folder);
    return refuse(why, why_n, path, "its path is longer than SQLite can open");
}

// ---- what lies in it -----------------------------------------------------------------
bool place_generation(const char *name, uint32_t *n, const char **rest) {
    static const char PREFIX[] = "store-";
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) return false;
    const char *p = name + strlen(PREFIX);
    if (*p < '1' || *p > '9') return false;
    for (*n = 0; *p >= '0' && *p <= '9'; p++) {
        if (*n > GENERATION_MAX / 10) return false;
        *n = *n * 10 + (uint32_t)(*p - '0');
    }
    *rest = p;
    return *p == '.';
}

static void list_one(const char *name, struct listing *out) {
    uint32_t n;
    const char *rest;
    if (place_generation(name, &n, &rest)) {
        if (n > out->last) out->last = n;
        if (strcmp(rest, ".db") == 0 && n > out->newest) out->newest = n;
        return;
    }
    bool ours = *name == '.' || strcmp(name, "blobs") == 0 || strcmp(name, "locks") == 0;
    if (!ours && !*out->stranger)
        snprintf(out->stranger, sizeof out->stranger, "%s", name);
}

// Another description of the folder than the store's: readdir moves it.
static DIR *read_folder(int folder) {
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    if (!dir && again >= 0) close(again);
    return dir;
}

bool place_list(int folder, struct listing *out) {
    *out = (struct listing){0};
    DIR *dir = read_folder(folder);
    if (!dir) return false;
    errno = 0;
    for (struct dirent *e; (e = readdir(dir));) list_one(e->d_name, out);
    bool whole = errno == 0;
    closedir(dir);
    return whole;
}

char *place_file(struct arena *a, const char *folder, uint32_t n) {
    return arena_printf(a, "%s/store-%u.db", folder, n);
}

struct digest place_lock(uint32_t n) {
    char name[32];
    int len = snprintf(name, sizeof name, "generation %u", n);
    return digest_of(name, (size_t)len);
}

static void mark_name(char name[32], uint32_t n) {
    snprintf(name, 32, "store-%u.damaged", n);
}

bool place_mark(int folder, uint32_t n) {
    char name[32];
    mark_name(name, n);
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    close(fd);
    return true;
}

bool place_marked(int folder, uint32_t n) {
    char name[32];
    mark_name(name, n);
    return faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

// ---- what nobody needs ---------------------------------------------------------------
#define CUT_SHORT_AFTER 3600 // seconds; nobody makes a database for so long

static bool cut_short(int folder, const char *name) {
    struct stat st;
    if (strncmp(name, ".store-", 7) != 0) return false;
    return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           time(NULL) - st.st_mtime > CUT_SHORT_AFTER;
}

static bool set_aside(const char *name, struct locks *l, uint32_t below) {
    uint32_t n;
    const char *rest;
    if (!place_generation(name, &n, &rest) || n >= below) return false;
    // Once unlocked it may be opened again, which finds that a later one is there.
    if (!lock_take(l, place_lock(n), LOCK_EXCLUSIVE)) return false;
    lock_drop(l, place_lock(n));
    return true;
}

size_t place_clean(int folder, struct locks *l, uint32_t below) {
    size_t n = 0;
    DIR *dir = l ? read_folder(folder) : NULL;
    if (!dir) return 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (cut_short(folder, e->d_name) || set_aside(e->d_name, l, below))
            n += unlinkat(folder, e->d_name, 0) == 0;
    closedir(dir);
    return n;
}

bool place_remove(int folder) {
    uint32_t n;
    const char *rest;
    bool all = true;
    DIR *dir = read_folder(folder);
    if (!dir) return false;
    for (struct dirent *e; (e = readdir(dir));)
        if (place_generation(e->d_name, &n, &rest) || cut_short(folder, e->d_name))
            all &= unlinkat(folder, e->d_name, 0) == 0;
    closedir(dir);
    return all;
}
