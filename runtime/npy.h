// numpy's .npy files, format 1.0 to 3.0, C order.
#ifndef DDG_NPY_H
#define DDG_NPY_H

#include "runtime/base/diag.h"

#define NPY_MAX_RANK 6

enum npy_type { NPY_F32, NPY_F64, NPY_U8, NPY_I32, NPY_I64, NPY_BOOL };

struct npy {
    enum npy_type type;
    size_t rank, dim[NPY_MAX_RANK];
    void *data; // dense, in the arena it was read into
    size_t count;
};

// Little-endian only; bounded by the file's real size. False: said in d, at span.
bool npy_read(struct arena *a, const char *path, struct npy *out, struct span at,
              struct diags *d);

// Writes beside path and renames into place when closed; rows arrive in order.
struct npy_writer;
struct npy_writer *npy_create(const char *path, enum npy_type type, size_t rank,
                              const size_t *dim, struct diags *d);
bool npy_write(struct npy_writer *w, const void *data, size_t bytes, struct diags *d);
bool npy_commit(struct npy_writer *w, struct diags *d); // frees w
void npy_abandon(struct npy_writer *w);                 // frees w, leaves nothing behind

// Adds what stands before the values in format 1.0, padded to a multiple of 64 bytes: 128
// for two axes, whatever their lengths.
void npy_header(struct text *t, enum npy_type type, size_t rank, const size_t *dim);

#endif
