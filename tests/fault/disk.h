// What a power cut leaves of a folder: a model of the disk below the page cache.
//
// The calls below do what the system calls of their names do (a sync waits for no real
// disk: the machine stays up). While a model is on they remember what is not durable
// yet: written sectors, with what was there before, and sizes until an fsync of the
// file; names until an fsync of their folder. disk_cut then puts the folder into one of
// the states in which the power could have left it: of what was not durable, parts are
// there and parts are not.
//
// What is not modelled: writes through mmap (nothing of ours depends on them: SQLite's
// -shm file is made anew after a crash), renamed folders (durable at once), calls that
// libc makes by itself (stdio, opendir), and other processes: each knows its own writes
// only, and only its own fsync makes them durable. A cut wants the folder to itself.
#ifndef DDG_FAULT_DISK_H
#define DDG_FAULT_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct disk_op { // one thing that is not durable
    enum { DISK_WRITE, DISK_SIZE, DISK_NAME } kind;
    ino_t file;     // WRITE, SIZE
    off_t at;       // of the bytes below
    size_t n, nold; // bytes written; bytes that were there, or that were cut off
    char *data, *old;
    off_t before, after; // the file's size
    char *folder;        // NAME: the one to be synced
    struct disk_name {
        char *path;
        ino_t from, to; // what it named, what it names; 0: nothing
    } name[2];
};

struct disk {
    bool on;                 // remember; else the calls below are plain system calls
    const char *dir;         // the folder, absolute
    const char *lost;        // a folder beside it: where removed files wait
    size_t nlost, nops, cap; // removed files; what is not durable, in order
    struct disk_op *ops;
};

// path: absolute, as disk_path says it. Each returns what the system call does, errno
// set.
int disk_open(struct disk *d, const char *path, int flags, mode_t mode);
int disk_rename(struct disk *d, const char *from, const char *to, unsigned flags);
int disk_link(struct disk *d, const char *from, const char *to);
int disk_remove(struct disk *d, const char *path, int flags);
int disk_mkdir(struct disk *d, const char *path, mode_t mode);
ssize_t disk_write(struct disk *d, int fd, const void *data, size_t n);
ssize_t disk_pwrite(struct disk *d, int fd, const void *data, size_t n, off_t at);
int disk_truncate(struct disk *d, int fd, off_t size);
int disk_allocate(struct disk *d, int fd, int mode, off_t at, off_t n);
int disk_sync(struct disk *d, int fd);

// The absolute path that a call would touch, its last part not followed. False: no
// folder.
bool disk_path(int folder, const char *path, char *out, size_t n);
// The power goes: the folder as it comes back. trace: says what was kept; may be NULL.
void disk_cut(struct disk *d, uint64_t seed, FILE *trace);
// Removes the folder and everything in it.
void disk_remove_all(const char *dir);

#endif
