// Large values as files named by the digest of their content, below one folder:
//     blobs/ab/abcdef0123456789abcdef0123456789
// Written as DESIGN 4 says: a temporary file in the same folder, fsync, rename, fsync of
// the folder. A file is whole or absent; what does not have its name's digest is damaged.
#ifndef DDG_STORE_BLOB_H
#define DDG_STORE_BLOB_H

#include "runtime/base/base.h"

// folder: of the store, open. False with errno set. A blob that is there already, whole,
// is not written again.
bool blob_write(int folder, const void *data, size_t n, struct digest *name);
enum blob_state { BLOB_FINE, BLOB_MISSING, BLOB_DAMAGED };
// Reads the file, checks it, and copies its n bytes to out (NULL: only checks), which is
// left alone where they are not fine.
enum blob_state blob_read(int folder, struct digest name, size_t n, void *out);
bool blob_remove(int folder, struct digest name);
// Every file below blobs/, in some order, until fn returns false; it may remove files.
// False: cannot be read.
struct blob_file {
    const char *path;   // below the store's folder
    struct digest name; // zero where temporary
    uint64_t bytes;
    bool temporary; // or of a name that no blob has
    double age;     // seconds since blob_write wrote it, or found it there
};
bool blob_each(int folder, bool (*fn)(void *ctx, const struct blob_file *f), void *ctx);

#endif
