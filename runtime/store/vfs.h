// SQLite's file layer with a checksum in every page, so that no flipped bit of a database
// is ever believed: the last VFS_RESERVED bytes of a page hold an XXH3 of the rest and of
// the page's number (SQLite keeps its own out of them). Only the database file itself is
// checked; the write-ahead log has checksums of its own.
#ifndef DDG_STORE_VFS_H
#define DDG_STORE_VFS_H

#include "runtime/base/base.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define VFS_PAGE     4096
#define VFS_RESERVED 16

struct store_vfs; // one a store: counts what was wrong

// Registered under a name of its own until freed; opens files through the default VFS.
// NULL: out of memory.
struct store_vfs *store_vfs_new(void);
void store_vfs_free(struct store_vfs *v); // no database may be open
const char *store_vfs_name(const struct store_vfs *v);
// Pages whose checksum was wrong when they were read (SQLite was told SQLITE_IOERR_DATA).
uint64_t store_vfs_damaged(const struct store_vfs *v);
// Reads the database file from end to end, by itself, while others may write it: how many
// pages there are and how many are wrong, looked at again a moment later before it is
// said (a page being written by another process is read in halves). False: cannot be
// read, for want of memory when errno is ENOMEM.
bool store_vfs_scan(const char *path, uint64_t *pages, uint64_t *damaged);

#endif
