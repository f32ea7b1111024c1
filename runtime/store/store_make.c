// Makes a database whole or not at all: under a temporary name in the same folder,
// brought to the disk, and renamed into place unless another process was faster. See
// store_impl.h.
#include "runtime/store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Filled in one transaction; becomes a WAL database last, so that no log is left beside
// it.
static int build(const char *path, const char *vfs, make_fill *fill, void *ctx) {
    struct db db;
    int rc = db_open(&db, path, vfs, DB_BUILD);
    if (rc != SQLITE_OK) return rc;
    rc = db_create(&db);
    if (rc == SQLITE_OK) rc = db_run(&db, SQL_BEGIN_WRITE);
    if (rc == SQLITE_OK && fill) rc = fill(ctx, &db);
    if (rc == SQLITE_OK) rc = db_run(&db, SQL_COMMIT);
    if (rc == SQLITE_OK) rc = db_exec(&db, "PRAGMA journal_mode = WAL");
    db_close(&db);
    return rc;
}

static bool sync_file(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool synced = fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return synced;
}

// Into place, unless there is a file already.
static bool move_in(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    // A file system that does not know this rename. The link is the other one that never
    // replaces.
    return link(from, to) == 0 && unlink(from) == 0;
}

static enum made publish(int folder, const char *temp, const char *path) {
    if (!sync_file(temp)) return MADE_NOT;
    if (!move_in(temp, path)) return errno == EEXIST ? MADE_BY_OTHERS : MADE_NOT;
    return fsync(folder) == 0 ? MADE : MADE_NOT;
}

enum made make_database(int folder, const char *path, uint32_t n, const char *vfs,
                        make_fill *fill, void *ctx, int *rc) {
    char temp[1024];
    *rc = SQLITE_OK;
    const char *slash = strrchr(path, '/');
    int len = snprintf(temp, sizeof temp, "%.*s/.store-%u-XXXXXX", (int)(slash - path),
                       path, n);
    if (len < 0 || (size_t)len >= sizeof temp) return MADE_NOT;
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) return MADE_NOT;
    close(fd);
    *rc = build(temp, vfs, fill, ctx);
    enum made made = *rc == SQLITE_OK ? publish(folder, temp, path) : MADE_NOT;
    int error = errno;
    if (made != MADE) unlink(temp);
    errno = error;
    return made;
}
