// The store: values of rows, remembered from run to run.
//
// A value is found by two digests: its record's (what is computed: op, version,
// attributes, model, numeric mode; the same for all rows of a column) and its row's (what
// it is computed of: the row's content). Neither knows a path, a time or a machine's
// clock. A record says in words what went into its digest, so that a miss can be
// explained.
//
//     DIR/store-N.db       SQLite in WAL mode: records and small values; highest N counts
//     DIR/blobs/ab/abcd..  values of STORE_LARGE bytes and more, named by their digest
//     DIR/locks            nothing inside; living processes lock byte ranges of it
//
// What is read is checked (XXH3-128); what fails the check is counted, set aside and not
// found. Whatever goes wrong with the store after it was opened, calls go on: reads find
// nothing, writes are dropped, and store_trouble says it once. All calls may come from
// any thread. Values are written by a thread of the store's own, so that the caller never
// waits for the disk.
#ifndef DDG_STORE_H
#define DDG_STORE_H

#include "runtime/base/base.h"

struct store;

#define STORE_VERSION   1
#define STORE_LARGE     ((size_t)32 << 10) // bytes of a value from which it is a file
#define STORE_MAX_BYTES ((uint64_t)10 << 30)

struct store_options {
    const char *path;   // a folder, made (0700) where it is missing; NULL: in memory
    uint64_t max_bytes; // store_close evicts down to this; 0: STORE_MAX_BYTES
    bool look;          // only to look: makes nothing, writes nothing, evicts nothing
    bool clear;         // only to store_clear it: another version's store opens too
};

// NULL, with the reason in words in why, when there is no such store or it cannot be
// used: a folder that holds other things, another version's store, no permission. A store
// that can be read but not written opens; store_trouble says so. A damaged database is
// set aside, what can be read of it kept.
struct store *store_open(const struct store_options *o, char *why, size_t why_n);
// Writes what is queued, evicts down to the cap. NULL is allowed.
void store_close(struct store *s);

// Where it is by default: $DDG_STORE, $XDG_CACHE_HOME/ddg, ~/.cache/ddg. NULL: none of
// them.
const char *store_default_path(struct arena *a);

// ---- records -------------------------------------------------------------------------
struct store_field {
    const char *name, *value; // both enter the digest, in order
    const char *label;        // for people, beside the value; NULL: none
};

struct store_record {
    const char *op;   // in the digest: "shap_patches", "model"
    const char *name; // the user's, for people
    size_t nfields;   // in the digest
    const struct store_field *fields;
    const char *elem; // of one row's value: "f32"; shape
    size_t rank, dim[6];
    double flops; // of computing one row; 0: not known. Not in the digest
    // Filled in by the store: of all values ever computed and stored for it.
    struct digest key;
    uint64_t rows, bytes;  // there now
    uint64_t computed;     // ever stored
    double seconds;        // that these took, in one thread
    int64_t created, used; // days since 1970
};

struct digest store_record_key(const struct store_record *r);
// Says that this run uses the record: it is written with the first values, and nothing of
// it is evicted while this process lives. Call before the calls below; again is harmless.
void store_use(struct store *s, const struct store_record *r);
// All records of an op (NULL: all), latest used first, in arena.
size_t store_records(struct store *s, const char *op, struct arena *a,
                     struct store_record **out);

// ---- values --------------------------------------------------------------------------
// n values of `bytes` each: out[i] and found[i] for rows[i]. Where a value is not found,
// out is left alone. Returns how many were.
size_t store_get(struct store *s, struct digest record, const struct digest *rows,
                 size_t n, size_t bytes, char *out, bool *found);
// Queues values to be written; seconds: what computing all of them took. Replaces what
// was there. Ends this process's claims on the rows once they are written (or cannot be).
// Values are committed soon, in the order of calls, several calls at once when they come
// faster than the disk; waits only when more than a few chunks are queued.
void store_put(struct store *s, struct digest record, const struct digest *rows, size_t n,
               size_t bytes, const char *values, double seconds);
// Queues values, smaller than STORE_LARGE, to be taken out: whoever asks finds none.
void store_forget(struct store *s, struct digest record, const struct digest *rows,
                  size_t n);
// Everything queued is on disk, or never will be.
void store_flush(struct store *s);

// ---- claims: who computes what -------------------------------------------------------
// True: no other living process has claimed the row, and now this one has. A claim ends
// with store_put's commit, store_release, or the process. Where the file system has no
// locks, true always. A second claim by the same process is true.
bool store_claim(struct store *s, struct digest record, struct digest row);
void store_release(struct store *s, struct digest record, const struct digest *rows,
                   size_t n);

// ---- contents of files ---------------------------------------------------------------
// What the digest of some bytes was when the file that holds them looked like `stamp` (a
// digest of device, inode, size, times, and which part of the file).
void store_contents_get(struct store *s, const struct digest *stamps, size_t n,
                        struct digest *contents, bool *found);
void store_contents_put(struct store *s, const struct digest *stamps, size_t n,
                        const struct digest *contents);

// ---- how it goes ---------------------------------------------------------------------
struct store_counts { // of this process
    uint64_t hits, misses, written, damaged, waited;
};
struct store_counts store_counts(struct store *s);
// What went wrong first, in words, or NULL ("the disk is full: results are not stored
// from here on"; "3 values were damaged and are computed again"). In arena.
const char *store_trouble(struct store *s, struct arena *a);
bool store_writes(const struct store *s); // false: for reading only, from here on

// ---- care ----------------------------------------------------------------------------
struct store_stats {
    const char *path; // the folder
    uint64_t records, values, contents;
    uint64_t bytes, database_bytes, blob_bytes, max_bytes;
    uint64_t blobs;
    double seconds; // that computing what is there took
    struct store_op_stats {
        const char *op;
        uint64_t records, values, bytes;
        double seconds;
    } * ops;
    size_t nops;
};
bool store_stats(struct store *s, struct arena *a, struct store_stats *out);

struct store_check {
    uint64_t records, values, contents, blobs, pages; // looked at
    uint64_t damaged; // taken out, to be computed again
    // Files nothing refers to, from processes that were killed; harmless.
    uint64_t leftovers;
    size_t nwords;
    const char **words; // the first few of the damaged, in words
};
// Reads everything. False: it could not (store_trouble says why). Damage is no failure.
bool store_verify(struct store *s, struct arena *a, struct store_check *out);

struct store_gc {
    uint64_t values, bytes; // evicted
    uint64_t files;         // leftovers and databases set aside that were removed
    uint64_t bytes_before, bytes_after;
};
// Evicts the values of least worth (seconds to compute again, against bytes and age)
// until the store has at most max_bytes, and removes leftovers. Nothing that a living
// process uses.
bool store_gc(struct store *s, uint64_t max_bytes, struct store_gc *out);
// Removes all values, records and blobs; what living processes use goes too (they compute
// it again). False: says why.
bool store_clear(struct store *s, char *why, size_t why_n);

#endif
