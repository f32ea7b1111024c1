// See vfs.h. A thin layer between SQLite and the default VFS: files that are not a main
// database are opened by the default VFS in our stead and never seen again; for a
// database file, xRead and xWrite look at whole pages and everything else goes straight
// through.
//
// SQLite reads and writes a database in whole pages, with two exceptions, both for
// reading some bytes of the header in page 1, before it reads that page whole. These pass
// unchecked: nothing that was read so is used once page 1 itself was refused.
#include "runtime/store/vfs.h"

#include <errno.h>
#include <time.h>
#include <xxhash.h>

#define PAGE_DATA  (VFS_PAGE - VFS_RESERVED)
#define PAGE_LEAST 512 // the smallest page that SQLite knows
// SQLite locks bytes at 1 GiB, and never reads or writes the page that holds them.
#define LOCK_PAGE ((UINT64_C(1) << 30) / VFS_PAGE)

struct store_vfs {
    sqlite3_vfs base; // its pAppData points here
    sqlite3_vfs *real;
    atomic_uint_fast64_t damaged;
    char name[32];
};

struct file {
    sqlite3_file base;
    struct store_vfs *owner;
    char real[]; // the default VFS's own; aligned as a pointer is
};

static struct store_vfs *owner_of(sqlite3_vfs *v) {
    return v->pAppData;
}

static sqlite3_vfs *real_vfs(sqlite3_vfs *v) {
    return owner_of(v)->real;
}

static sqlite3_file *real_of(sqlite3_file *f) {
    return (sqlite3_file *)(void *)((struct file *)f)->real;
}

// ---- pages ---------------------------------------------------------------------------
static XXH128_canonical_t page_sum(const void *page, uint64_t index) {
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits_withSeed(page, PAGE_DATA, index + 1));
    return sum;
}

static bool page_right(const char *page, uint64_t index) {
    XXH128_canonical_t sum = page_sum(page, index);
    return memcmp(page + PAGE_DATA, &sum, VFS_RESERVED) == 0;
}

static bool whole_page(int n, sqlite3_int64 at) {
    return n == VFS_PAGE && at % VFS_PAGE == 0;
}

static int damaged(sqlite3_file *f) {
    atomic_fetch_add(&((struct file *)f)->owner->damaged, 1);
    return SQLITE_IOERR_DATA;
}

// SQLite takes what lies behind the end of the file for zeros. A page of which only a
// part is there, or one that should lie before a page that is, was cut off; the first
// page of an empty file is how a database begins.
static int short_page(sqlite3_file *f, sqlite3_int64 at) {
    sqlite3_int64 size;
    int rc = real_of(f)->pMethods->xFileSize(real_of(f), &size);
    if (rc != SQLITE_OK) return rc;
    return at == 0 && size == 0 ? SQLITE_IOERR_SHORT_READ : damaged(f);
}

static int file_get(sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
    int rc = real_of(f)->pMethods->xRead(real_of(f), to, n, at);
    if (n < PAGE_LEAST) return rc;
    // Other pages than ours: a database that this program did not make.
    if (!whole_page(n, at)) return SQLITE_NOTADB;
    if (rc == SQLITE_IOERR_SHORT_READ) return short_page(f, at);
    if (rc != SQLITE_OK) return rc;
    return page_right(to, (uint64_t)at / VFS_PAGE) ? SQLITE_OK : damaged(f);
}

static int file_put(sqlite3_file *f, const void *from, int n, sqlite3_int64 at) {
    char page[VFS_PAGE];
    if (!whole_page(n, at)) return SQLITE_IOERR_WRITE;
    memcpy(page, from, PAGE_DATA); // SQLite's own copy is not ours to change
    XXH128_canonical_t sum = page_sum(page, (uint64_t)at / VFS_PAGE);
    memcpy(page + PAGE_DATA, &sum, VFS_RESERVED);
    return real_of(f)->pMethods->xWrite(real_of(f), page, n, at);
}

// ---- what goes straight through ------------------------------------------------------
static int file_close(sqlite3_file *f) {
    return real_of(f)->pMethods->xClose(real_of(f));
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size) {
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags) {
    return real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size) {
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int kind) {
    return real_of(f)->pMethods->xLock(real_of(f), kind);
}

static int file_unlock(sqlite3_file *f, int kind) {
    return real_of(f)->pMethods->xUnlock(real_of(f), kind);
}

static int file_reserved(sqlite3_file *f, int *held) {
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), held);
}

static int file_control(sqlite3_file *f, int op, void *arg) {
    // Either would make the file longer by pages of zeros.
    if (op == SQLITE_FCNTL_MMAP_SIZE || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_NOTFOUND;
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector(sqlite3_file *f) {
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_traits(sqlite3_file *f) {
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int file_shm_map(sqlite3_file *f, int region, int size, int extend,
                        void volatile **at) {
    return real_of(f)->pMethods->xShmMap(real_of(f), region, size, extend, at);
}

static int file_shm_lock(sqlite3_file *f, int first, int n, int flags) {
    return real_of(f)->pMethods->xShmLock(real_of(f), first, n, flags);
}

static void file_shm_barrier(sqlite3_file *f) {
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int file_shm_unmap(sqlite3_file *f, int remove) {
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

// Version 2: SQLite never maps the file (xFetch), and so reads no page but through xRead.
static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_get,
    .xWrite = file_put,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

// ---- the file system -----------------------------------------------------------------
static int open_database(struct store_vfs *v, const char *path, sqlite3_file *to,
                         int flags, int *got) {
    sqlite3_file *real = real_of(to);
    to->pMethods = NULL; // no file, until there is one
    int rc = v->real->xOpen(v->real, path, real, flags, got);
    if (rc == SQLITE_OK && real->pMethods->iVersion < 2) rc = SQLITE_CANTOPEN; // no WAL
    if (rc != SQLITE_OK) {
        if (real->pMethods) real->pMethods->xClose(real);
        return rc;
    }
    ((struct file *)to)->owner = v;
    to->pMethods = &METHODS;
    return SQLITE_OK;
}

static int vfs_open(sqlite3_vfs *v, const char *path, sqlite3_file *to, int flags,
                    int *got) {
    if (flags & SQLITE_OPEN_MAIN_DB)
        return open_database(owner_of(v), path, to, flags, got);
    return real_vfs(v)->xOpen(real_vfs(v), path, to, flags, got);
}

static int vfs_delete(sqlite3_vfs *v, const char *path, int sync) {
    return real_vfs(v)->xDelete(real_vfs(v), path, sync);
}

static int vfs_access(sqlite3_vfs *v, const char *path, int what, int *answer) {
    return real_vfs(v)->xAccess(real_vfs(v), path, what, answer);
}

static int vfs_full_path(sqlite3_vfs *v, const char *path, int n, char *out) {
    return real_vfs(v)->xFullPathname(real_vfs(v), path, n, out);
}

static int vfs_random(sqlite3_vfs *v, int n, char *out) {
    return real_vfs(v)->xRandomness(real_vfs(v), n, out);
}

static int vfs_sleep(sqlite3_vfs *v, int microseconds) {
    return real_vfs(v)->xSleep(real_vfs(v), microseconds);
}

static int vfs_time(sqlite3_vfs *v, double *days) {
    return real_vfs(v)->xCurrentTime(real_vfs(v), days);
}

static int vfs_error(sqlite3_vfs *v, int n, char *out) {
    return real_vfs(v)->xGetLastError(real_vfs(v), n, out);
}

struct store_vfs *store_vfs_new(void) {
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    struct store_vfs *v = mem_zalloc(1, sizeof *v);
    if (!v || !real) {
        mem_free(v);
        return NULL;
    }
    v->real = real;
    snprintf(v->name, sizeof v->name, "ddg-%p", (void *)v);
    v->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct file) + real->szOsFile,
        .mxPathname = real->mxPathname,
        .zName = v->name,
        .pAppData = v,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_random,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_error,
    };
    if (sqlite3_vfs_register(&v->base, 0) == SQLITE_OK) return v;
    mem_free(v);
    return NULL;
}

void store_vfs_free(struct store_vfs *v) {
    if (!v) return;
    sqlite3_vfs_unregister(&v->base);
    mem_free(v);
}

const char *store_vfs_name(const struct store_vfs *v) {
    return v->name;
}

uint64_t store_vfs_damaged(const struct store_vfs *v) {
    return atomic_load(&v->damaged);
}

// ---- reading a file from end to end --------------------------------------------------
// Through SQLite's own VFS: to open and close the file by ourselves would end the locks
// that this process's databases hold on it, as POSIX wants it.
#define SCAN_PAGES  64  // read at once
#define SCAN_TRIES  8   // looks at a page before it counts as wrong
#define SCAN_PAUSES 200 // of a whole scan: no writer is always just there where we look

static const struct timespec SCAN_PAUSE = {.tv_nsec = 5 * 1000 * 1000};

enum seen { SEEN_RIGHT, SEEN_WRONG, SEEN_END };

struct scan {
    sqlite3_file *file;
    char *chunk;
    size_t pauses;
    uint64_t pages, damaged;
};

static enum seen look_once(const struct scan *s, uint64_t index) {
    char page[VFS_PAGE];
    sqlite3_int64 size, at = (sqlite3_int64)(index * VFS_PAGE);
    int rc = s->file->pMethods->xRead(s->file, page, VFS_PAGE, at);
    if (rc == SQLITE_OK && page_right(page, index)) return SEEN_RIGHT;
    bool cut = rc == SQLITE_IOERR_SHORT_READ &&
               s->file->pMethods->xFileSize(s->file, &size) == SQLITE_OK && size <= at;
    return cut ? SEEN_END : SEEN_WRONG;
}

static enum seen look(struct scan *s, uint64_t index) {
    enum seen seen = look_once(s, index);
    for (int i = 1; i < SCAN_TRIES && seen == SEEN_WRONG && s->pauses; i++) {
        s->pauses--;
        nanosleep(&SCAN_PAUSE, NULL);
        seen = look_once(s, index);
    }
    return seen;
}

// Pages [first, end). False: another process made the file end before that.
static bool scan_some(struct scan *s, uint64_t first, uint64_t end) {
    int n = (int)((end - first) * VFS_PAGE);
    int rc =
        s->file->pMethods->xRead(s->file, s->chunk, n, (sqlite3_int64)(first * VFS_PAGE));
    for (uint64_t i = first; i < end; i++) {
        if (i == LOCK_PAGE) continue;
        const char *page = s->chunk + (i - first) * VFS_PAGE;
        bool right = rc == SQLITE_OK && page_right(page, i);
        enum seen seen = right ? SEEN_RIGHT : look(s, i);
        if (seen == SEEN_END) return false;
        s->pages++;
        s->damaged += seen == SEEN_WRONG;
    }
    return true;
}

static bool scan_file(struct scan *s) {
    sqlite3_int64 size;
    if (s->file->pMethods->xFileSize(s->file, &size) != SQLITE_OK) return false;
    uint64_t end = ((uint64_t)size + VFS_PAGE - 1) / VFS_PAGE, next;
    for (uint64_t first = 0; first < end; first = next) {
        next = first + SCAN_PAGES < end ? first + SCAN_PAGES : end;
        if (!scan_some(s, first, next)) break;
    }
    return true;
}

static bool scan_path(sqlite3_vfs *v, const char *path, struct scan *s) {
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
    int rc = v->xOpen(v, path, s->file, flags, NULL);
    bool ok = rc == SQLITE_OK && scan_file(s);
    if (s->file->pMethods) s->file->pMethods->xClose(s->file);
    errno = (rc & 0xff) == SQLITE_NOMEM ? ENOMEM : EIO;
    return ok;
}

bool store_vfs_scan(const char *path, uint64_t *pages, uint64_t *damaged) {
    sqlite3_vfs *v = sqlite3_vfs_find(NULL);
    if (!v) return false;
    struct scan s = {.pauses = SCAN_PAUSES};
    s.file = mem_zalloc(1, (size_t)v->szOsFile);
    s.chunk = mem_alloc((size_t)SCAN_PAGES * VFS_PAGE);
    sqlite3_filename name = sqlite3_create_filename(path, "", "", 0, NULL);
    errno = ENOMEM;
    bool ok = s.file && s.chunk && name && scan_path(v, name, &s);
    int err = errno;
    sqlite3_free_filename(name);
    mem_free(s.chunk);
    mem_free(s.file);
    errno = err;
    *pages = s.pages;
    *damaged = s.damaged;
    return ok;
}
