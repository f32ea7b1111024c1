// Putting results on disk: files and folders are made beside their place under a name of
// this process, brought safely to the disk, and moved into place in one step.
#ifndef DDG_OUTFILE_H
#define DDG_OUTFILE_H

#include "runtime/base/diag.h"

#define OUT_MARK ".ddg-" // temporary names are ".NAME.ddg-PID"

struct out_place {
    char *path;   // where the result goes: links followed, no slash at the end
    char *folder; // its parent
    char *name;   // its last part
    char *temp;   // the temporary name beside it
    size_t made;  // parents that were missing and have been made
};

// Works out where `to` is and makes the folders above it. False: said in d, nothing made.
bool out_place_open(struct arena *a, const char *to, struct out_place *out,
                    struct diags *d);
// Whether there can be a folder that takes the file, which is written much later. Leaves
// nothing behind. False: said in d, about `at`.
bool out_place_check(struct arena *a, const char *to, struct diags *d, struct span at);
// Takes back the folders that were made, as far as they are empty.
void out_place_undo(const struct out_place *p);
// Whether a name in the folder is a temporary one for this place, of whatever process.
bool out_is_temp(const struct out_place *p, const char *name);
// Brings the parent's list of names to the disk.
bool out_place_sync(const struct out_place *p);
// Writes what a file holds; false with errno set.
typedef bool out_fill(void *ctx, int fd);
// A whole file, made beside its place and moved there. False: said in d, about `at`, and
// nothing changed.
bool out_make(const char *to, out_fill *fill, void *ctx, struct diags *d, struct span at);
bool out_put(const char *to, const void *data, size_t n, struct diags *d, struct span at);

// Writes all n bytes; false with errno set.
bool out_write(int fd, const void *data, size_t n);
// A new file in an open folder with these bytes; false with errno set.
bool out_file(int folder, const char *name, const void *data, size_t n);

#endif
