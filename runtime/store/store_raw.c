// A database file's bytes, read below SQLite but through its default VFS. See
// store_impl.h.
#include "runtime/store/store_impl.h"

struct raw {
    sqlite3_filename name;
    _Alignas(max_align_t) char file[];
};

static sqlite3_file *file_of(struct raw *r) {
    return (sqlite3_file *)(void *)r->file;
}

static int open_raw(struct raw *r, sqlite3_vfs *vfs, const char *path) {
    int flags = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY;
    if (!r) return SQLITE_NOMEM;
    r->name = sqlite3_create_filename(path, "", "", 0, NULL);
    return r->name ? vfs->xOpen(vfs, r->name, file_of(r), flags, &flags) : SQLITE_NOMEM;
}

struct raw *raw_open(const char *path, bool *no_memory) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    struct raw *r = vfs ? mem_zalloc(1, sizeof *r + (size_t)vfs->szOsFile) : NULL;
    int rc = open_raw(r, vfs, path);
    if (no_memory) *no_memory = (rc & 0xff) == SQLITE_NOMEM;
    if (rc == SQLITE_OK) return r;
    raw_close(r);
    return NULL;
}

void raw_close(struct raw *r) {
    if (!r) return;
    if (file_of(r)->pMethods) file_of(r)->pMethods->xClose(file_of(r));
    if (r->name) sqlite3_free_filename(r->name);
    mem_free(r);
}

uint64_t raw_size(struct raw *r) {
    sqlite3_int64 n;
    bool known = file_of(r)->pMethods->xFileSize(file_of(r), &n) == SQLITE_OK;
    return known && n > 0 ? (uint64_t)n : 0;
}

bool raw_read(struct raw *r, uint64_t at, void *to, size_t n) {
    sqlite3_int64 from = (sqlite3_int64)at;
    return file_of(r)->pMethods->xRead(file_of(r), to, (int)n, from) == SQLITE_OK;
}
