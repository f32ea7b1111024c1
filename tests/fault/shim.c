// A library for LD_PRELOAD under which the disk goes wrong on purpose. It replaces the
// calls by which a program changes or reads files below one folder; all others pass. It
// is told what to do by the environment:
//
//     FAULT_DIR=DIR          the folder (its parent must exist); without it all is passed
//     FAULT_FAIL=N:ERR       the N-th call that can fail so does, and all later ones:
//                            ERR is ENOSPC, EDQUOT, EIO, EROFS or EACCES
//     FAULT_FAIL=N:ERR:one   only that one
//     FAULT_FAIL=N:ERR:short the N-th is, where it writes, cut short; later ones fail
//     FAULT_FAIL=N:ERR:half  only that one is cut short, none fails
//     FAULT_KILL=N           SIGKILL before the N-th call that changes something
//     FAULT_CRASH=N          the power goes before the N-th such call (disk.h);
//                            FAULT_SEED chooses what is left
//     FAULT_VANISH=N         the folder is deleted before the N-th such call
//     FAULT_COUNT=FILE       how many calls of the chosen mode there were so far; N = 0
//                            never comes, so that it only counts
//     FAULT_TRACE=FILE       one line a call
//
// FAULT_FAIL counts the calls that ERR can happen to (the table `errors`): reads for EIO
// only, a removal never for ENOSPC. Counts are of one process, all its threads.
#include "tests/fault/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum call {
    OPEN,
    OPEN_WRITE,
    CREATE,
    READ,
    WRITE,
    SIZE,
    NAME,
    REMOVE,
    SYNC,
    CLOSE,
    CALLS
};
#define BIT(call) (1u << (call))
#define ALL       (BIT(CALLS) - 1)
#define CHANGES                                                                          \
    (BIT(CREATE) | BIT(WRITE) | BIT(SIZE) | BIT(NAME) | BIT(REMOVE) | BIT(SYNC))
#define GROWS (BIT(CREATE) | BIT(WRITE) | BIT(SIZE) | BIT(NAME) | BIT(SYNC))

static const struct error { // which calls can fail how
    const char *name;
    int number;
    unsigned calls;
} errors[] = {
    {"ENOSPC", ENOSPC, GROWS},
    {"EDQUOT", EDQUOT, GROWS | BIT(CLOSE)},
    {"EIO", EIO, ALL},
    {"EROFS", EROFS, CHANGES | BIT(OPEN_WRITE)},
    {"EACCES", EACCES,
     BIT(OPEN) | BIT(OPEN_WRITE) | BIT(CREATE) | BIT(NAME) | BIT(REMOVE)},
};

enum mode { PASS, FAIL, KILL, CRASH, VANISH };
enum fate { FINE, FAILS, SHORT };

// Replacing a function leaves no room for a context: the one mutable global there is.
static struct shim {
    pthread_mutex_t mutex; // held from the decision about a call to its end
    bool ready;
    enum mode mode;
    size_t n, seen;
    unsigned counted; // the calls that count
    const struct error *error;
    bool once, cut; // only one call fails; the first is cut short
    bool done;
    atomic_size_t still; // threads that were stopped
    uint64_t seed;
    int count; // files, or -1
    FILE *trace;
    char dir[PATH_MAX], lost[PATH_MAX + 32];
    struct disk disk;
} shim = {.mutex = PTHREAD_MUTEX_INITIALIZER, .count = -1};

_Noreturn static void misused(const char *what) {
    dprintf(STDERR_FILENO, "fault shim: %s\n", what);
    syscall(SYS_exit_group, 125);
    abort();
}

// ---- what the environment asks for ---------------------------------------------------
static bool mode_of(const char *variable, enum mode mode) {
    const char *v = getenv(variable);
    if (!v) return false;
    shim.mode = mode;
    shim.n = strtoul(v, NULL, 10);
    shim.counted = CHANGES;
    return true;
}

static void read_failure(void) {
    char what[32] = "";
    const char *colon = strchr(getenv("FAULT_FAIL"), ':');
    if (colon) snprintf(what, sizeof what, "%s", colon + 1);
    char *how = strchr(what, ':');
    if (how) *how++ = 0;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(errors[i].name, what)) shim.error = &errors[i];
    if (!shim.error) misused("FAULT_FAIL wants N:ERR");
    shim.counted = shim.error->calls;
    shim.once = how && (!strcmp(how, "one") || !strcmp(how, "half"));
    shim.cut = how && (!strcmp(how, "short") || !strcmp(how, "half"));
    if (how && !shim.once && !shim.cut) misused("FAULT_FAIL: one, short or half");
}

static int log_file(const char *variable) {
    const char *path = getenv(variable);
    if (!path) return -1;
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    if (!strcmp(variable, "FAULT_COUNT"))
        flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
    if (fd < 0) misused("cannot write FAULT_COUNT or FAULT_TRACE");
    return fd;
}

__attribute__((constructor)) static void start(void) {
    const char *dir = getenv("FAULT_DIR");
    if (!dir) return;
    if (!disk_path(AT_FDCWD, dir, shim.dir, sizeof shim.dir))
        misused("FAULT_DIR has no parent");
    snprintf(shim.lost, sizeof shim.lost, "%s.lost-%ld", shim.dir, (long)getpid());
    shim.counted = CHANGES;
    if (mode_of("FAULT_FAIL", FAIL)) read_failure();
    mode_of("FAULT_KILL", KILL);
    mode_of("FAULT_VANISH", VANISH);
    mode_of("FAULT_CRASH", CRASH);
    const char *seed = getenv("FAULT_SEED");
    shim.seed = seed ? strtoull(seed, NULL, 10) : 0;
    shim.count = log_file("FAULT_COUNT");
    int trace = log_file("FAULT_TRACE");
    if (trace >= 0) shim.trace = fdopen(trace, "a");
    shim.disk = (struct disk){
        .on = shim.mode == CRASH && shim.n, .dir = shim.dir, .lost = shim.lost};
    shim.ready = true;
}

__attribute__((destructor)) static void end(void) {
    if (shim.ready && shim.disk.on) disk_remove_all(shim.lost);
}

// ---- the moment of a call ------------------------------------------------------------
static bool ours(const char *path) {
    size_t n = strlen(shim.dir);
    return !strncmp(path, shim.dir, n) && (!path[n] || path[n] == '/');
}

static bool fd_path(int fd, char out[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, out, (size_t)PATH_MAX - 1);
    if (n <= 0) return false;
    out[n] = 0;
    return true;
}

// Whether fd is of a file below the folder, or of one that was removed from it since.
static bool fd_ours(int fd, char out[PATH_MAX]) {
    if (!shim.ready || fd == shim.count || !fd_path(fd, out)) return false;
    size_t n = strlen(shim.lost);
    return ours(out) || (!strncmp(out, shim.lost, n) && out[n] == '/');
}

_Noreturn static void killed(void) {
    if (shim.trace) fflush(shim.trace);
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void stand_still(int signal) {
    (void)signal;
    atomic_fetch_add(&shim.still, 1);
    for (;;) pause();
}

// Stops the other threads: none may see the folder while the cut changes it (a mapped
// file that gets shorter is a SIGBUS), or print what came of it.
static void stop_others(void) {
    struct sigaction stop = {.sa_handler = stand_still};
    struct timespec moment = {.tv_nsec = 1000000};
    size_t others = 0;
    sigfillset(&stop.sa_mask);
    sigaction(SIGRTMAX, &stop, NULL);
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e; tasks && (e = readdir(tasks));) {
        long id = strtol(e->d_name, NULL, 10);
        if (id <= 0 || id == syscall(SYS_gettid)) continue;
        others += !syscall(SYS_tgkill, getpid(), id, SIGRTMAX);
    }
    if (tasks) closedir(tasks);
    for (int i = 0; i < 2000 && atomic_load(&shim.still) < others; i++)
        nanosleep(&moment, NULL);
}

static enum fate hit(enum call call) {
    if (shim.mode == CRASH) {
        stop_others();
        disk_cut(&shim.disk, shim.seed, shim.trace);
    }
    if (shim.mode == CRASH || shim.mode == KILL) killed();
    if (shim.mode == VANISH) {
        if (!shim.done) disk_remove_all(shim.dir);
        shim.done = true;
        return FINE;
    }
    bool first = !shim.done;
    shim.done = true;
    if (!first && shim.once) return FINE;
    if (first && shim.cut) return call == WRITE ? SHORT : shim.once ? FINE : FAILS;
    return FAILS;
}

// Counts a call and decides about it. Leaves the mutex locked: leave() ends the call.
static enum fate enter(enum call call, const char *name, const char *path, size_t n) {
    pthread_mutex_lock(&shim.mutex);
    bool counts = shim.counted & BIT(call);
    enum fate fate = FINE;
    if (counts) shim.seen++;
    if (shim.trace && (counts || call != READ)) {
        fprintf(shim.trace, "%zu %s %s %zu\n", shim.seen, name, path, n);
        fflush(shim.trace);
    }
    if (counts && shim.count >= 0) {
        char text[32];
        int len = snprintf(text, sizeof text, "%zu\n", shim.seen);
        syscall(SYS_pwrite64, shim.count, text, (size_t)len, (off_t)0);
    }
    if (counts && shim.mode != PASS && shim.n && shim.seen >= shim.n) fate = hit(call);
    if (fate != FINE && shim.trace) fprintf(shim.trace, "   fails\n");
    return fate;
}

static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(&shim.mutex);
    errno = kept;
}

static int refuse(void) {
    errno = shim.error->number;
    leave();
    return -1;
}

// ---- opening -------------------------------------------------------------------------
static enum call open_call(const char *path, int flags) {
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    bool there = !syscall(SYS_faccessat, AT_FDCWD, path, F_OK);
    if ((flags & O_TRUNC) || ((flags & O_CREAT) && !there)) return CREATE;
    return writes ? OPEN_WRITE : OPEN;
}

static int any_open(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    if (!shim.ready || (flags & O_PATH) ||
        !disk_path(folder, path, whole, sizeof whole) || !ours(whole))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    if (enter(open_call(whole, flags), "open", whole, (size_t)flags)) return refuse();
    // A folder that is gone must not be found again by the path it had.
    int fd = shim.disk.on ? disk_open(&shim.disk, whole, flags, mode)
                          : (int)syscall(SYS_openat, folder, path, flags, mode);
    leave();
    return fd;
}

static mode_t mode_in(int flags, va_list ap) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                \
    int name(const char *path, int flags, ...) {                                         \
        va_list ap;                                                                      \
        va_start(ap, flags);                                                             \
        mode_t mode = mode_in(flags, ap);                                                \
        va_end(ap);                                                                      \
        return any_open(AT_FDCWD, path, flags, mode);                                    \
    }
#define DEFINE_OPENAT(name)                                                              \
    int name(int folder, const char *path, int flags, ...) {                             \
        va_list ap;                                                                      \
        va_start(ap, flags);                                                             \
        mode_t mode = mode_in(flags, ap);                                                \
        va_end(ap);                                                                      \
        return any_open(folder, path, flags, mode);                                      \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int creat(const char *path, mode_t mode) {
    return any_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

int close(int fd) {
    char path[PATH_MAX];
    if (!fd_ours(fd, path)) return (int)syscall(SYS_close, fd);
    enum fate fate = enter(CLOSE, "close", path, (size_t)fd);
    int rc = (int)syscall(SYS_close, fd); // closed, whatever it says
    if (fate) return refuse();
    leave();
    return rc;
}

// ---- reading and writing -------------------------------------------------------------
static ssize_t any_read(int fd, void *out, size_t n,
                        off_t at) { // at < 0: where it stands
    char path[PATH_MAX];
    bool mine = fd_ours(fd, path);
    if (mine && enter(READ, "read", path, n)) return refuse();
    ssize_t got =
        at < 0 ? syscall(SYS_read, fd, out, n) : syscall(SYS_pread64, fd, out, n, at);
    if (mine) leave();
    return got;
}

static ssize_t any_write(int fd, const void *data, size_t n, off_t at) {
    char path[PATH_MAX];
    if (!fd_ours(fd, path))
        return at < 0 ? syscall(SYS_write, fd, data, n)
                      : syscall(SYS_pwrite64, fd, data, n, at);
    enum fate fate = enter(WRITE, "write", path, n);
    if (fate == FAILS || (fate == SHORT && n < 2)) return refuse();
    if (fate == SHORT) n /= 2;
    ssize_t done = at < 0 ? disk_write(&shim.disk, fd, data, n)
                          : disk_pwrite(&shim.disk, fd, data, n, at);
    leave();
    return done;
}

ssize_t read(int fd, void *out, size_t n) {
    return any_read(fd, out, n, -1);
}
ssize_t pread(int fd, void *out, size_t n, off_t at) {
    return any_read(fd, out, n, at);
}
ssize_t pread64(int fd, void *out, size_t n, off_t at) {
    return any_read(fd, out, n, at);
}
ssize_t write(int fd, const void *data, size_t n) {
    return any_write(fd, data, n, -1);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    return any_write(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off_t at) {
    return any_write(fd, data, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n) {
    char path[PATH_MAX], *all = NULL;
    size_t total = 0;
    if (!fd_ours(fd, path)) return syscall(SYS_writev, fd, v, n);
    for (int i = 0; i < n; i++) total += v[i].iov_len;
    if (!(all = malloc(total + 1))) abort();
    total = 0;
    for (int i = 0; i < n; total += v[i++].iov_len)
        if (v[i].iov_len) memcpy(all + total, v[i].iov_base, v[i].iov_len);
    ssize_t done = any_write(fd, all, total, -1);
    free(all);
    return done;
}

// ---- sizes and syncs -----------------------------------------------------------------
static int any_truncate(int fd, off_t size) {
    char path[PATH_MAX];
    if (!fd_ours(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
    if (enter(SIZE, "ftruncate", path, (size_t)size)) return refuse();
    int rc = disk_truncate(&shim.disk, fd, size);
    leave();
    return rc;
}

static int any_allocate(int fd, int mode, off_t at, off_t n) {
    char path[PATH_MAX];
    if (!fd_ours(fd, path)) return (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (enter(SIZE, "fallocate", path, (size_t)n)) return refuse();
    int rc = disk_allocate(&shim.disk, fd, mode, at, n);
    leave();
    return rc;
}

static int any_sync(int fd, const char *name) {
    char path[PATH_MAX];
    if (!fd_ours(fd, path)) return (int)syscall(SYS_fsync, fd);
    if (enter(SYNC, name, path, 0)) return refuse();
    int rc = disk_sync(&shim.disk, fd);
    leave();
    return rc;
}

int ftruncate(int fd, off_t size) {
    return any_truncate(fd, size);
}
int ftruncate64(int fd, off_t size) {
    return any_truncate(fd, size);
}
int fallocate(int fd, int mode, off_t at, off_t n) {
    return any_allocate(fd, mode, at, n);
}
int fallocate64(int fd, int mode, off_t at, off_t n) {
    return any_allocate(fd, mode, at, n);
}
int posix_fallocate(int fd, off_t at, off_t n) {
    return any_allocate(fd, 0, at, n) ? errno : 0;
}
int posix_fallocate64(int fd, off_t at, off_t n) {
    return any_allocate(fd, 0, at, n) ? errno : 0;
}
int fsync(int fd) {
    return any_sync(fd, "fsync");
}
int fdatasync(int fd) {
    return any_sync(fd, "fdatasync");
}

// ---- names ---------------------------------------------------------------------------
static int any_rename(int fd_a, const char *a, int fd_b, const char *b, unsigned flags) {
    char from[PATH_MAX], to[PATH_MAX];
    if (!shim.ready || !disk_path(fd_a, a, from, sizeof from) ||
        !disk_path(fd_b, b, to, sizeof to) || (!ours(from) && !ours(to)))
        return (int)syscall(SYS_renameat2, fd_a, a, fd_b, b, flags);
    if (enter(NAME, "rename", to, 0)) return refuse();
    int rc = disk_rename(&shim.disk, from, to, flags);
    leave();
    return rc;
}

static int any_link(int fd_a, const char *a, int fd_b, const char *b, int flags) {
    char from[PATH_MAX], to[PATH_MAX];
    if (!shim.ready || !disk_path(fd_a, a, from, sizeof from) ||
        !disk_path(fd_b, b, to, sizeof to) || !ours(to))
        return (int)syscall(SYS_linkat, fd_a, a, fd_b, b, flags);
    if (enter(NAME, "link", to, 0)) return refuse();
    int rc = disk_link(&shim.disk, from, to);
    leave();
    return rc;
}

static int any_remove(int folder, const char *path, int flags) {
    char whole[PATH_MAX];
    if (!shim.ready || !disk_path(folder, path, whole, sizeof whole) || !ours(whole))
        return (int)syscall(SYS_unlinkat, folder, path, flags);
    if (enter(REMOVE, flags & AT_REMOVEDIR ? "rmdir" : "unlink", whole, 0))
        return refuse();
    int rc = disk_remove(&shim.disk, whole, flags);
    leave();
    return rc;
}

static int any_mkdir(int folder, const char *path, mode_t mode) {
    char whole[PATH_MAX];
    if (!shim.ready || !disk_path(folder, path, whole, sizeof whole) || !ours(whole))
        return (int)syscall(SYS_mkdirat, folder, path, mode);
    if (enter(NAME, "mkdir", whole, mode)) return refuse();
    int rc = disk_mkdir(&shim.disk, whole, mode);
    leave();
    return rc;
}

int rename(const char *a, const char *b) {
    return any_rename(AT_FDCWD, a, AT_FDCWD, b, 0);
}
int renameat(int fd_a, const char *a, int fd_b, const char *b) {
    return any_rename(fd_a, a, fd_b, b, 0);
}
int renameat2(int fd_a, const char *a, int fd_b, const char *b, unsigned flags) {
    return any_rename(fd_a, a, fd_b, b, flags);
}
int link(const char *a, const char *b) {
    return any_link(AT_FDCWD, a, AT_FDCWD, b, 0);
}
int linkat(int fd_a, const char *a, int fd_b, const char *b, int flags) {
    return any_link(fd_a, a, fd_b, b, flags);
}
int unlink(const char *path) {
    return any_remove(AT_FDCWD, path, 0);
}
int unlinkat(int folder, const char *path, int flags) {
    return any_remove(folder, path, flags);
}
int rmdir(const char *path) {
    return any_remove(AT_FDCWD, path, AT_REMOVEDIR);
}
int mkdir(const char *path, mode_t mode) {
    return any_mkdir(AT_FDCWD, path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    return any_mkdir(folder, path, mode);
}
