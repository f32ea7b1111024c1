// See lock.h. The kernel keeps everything: which bytes are locked belongs to the open
// file, and goes when its last descriptor is closed, however the process ends.
#include "runtime/store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct locks {
    int fd; // -1: no locks here
};

struct locks *locks_open(int folder) {
    struct locks *l = mem_alloc(sizeof *l);
    if (!l) return NULL;
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    l->fd = openat(folder, "locks", O_RDWR | O_CREAT | flags, 0600);
    // Where nothing may be written, who reads can still say so to who writes.
    if (l->fd < 0) l->fd = openat(folder, "locks", O_RDONLY | flags);
    return l;
}

void locks_close(struct locks *l) {
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    mem_free(l);
}

// False, with errno set: not done.
static bool set(const struct locks *l, struct digest name, short kind) {
    struct flock range = {
        .l_type = kind,
        .l_whence = SEEK_SET,
        .l_start = (off_t)(name.lo & ((UINT64_C(1) << 62) - 1)),
        .l_len = 1,
    };
    int rc;
    do rc = fcntl(l->fd, F_OFD_SETLK, &range);
    while (rc != 0 && errno == EINTR);
    return rc == 0;
}

bool lock_take(struct locks *l, struct digest name, enum lock_kind kind) {
    if (l->fd < 0) return true;
    if (set(l, name, kind == LOCK_SHARED ? F_RDLCK : F_WRLCK)) return true;
    // Any other failure: this file system has none, or too many are held.
    return errno != EAGAIN && errno != EACCES;
}

void lock_drop(struct locks *l, struct digest name) {
    if (l->fd >= 0) set(l, name, F_UNLCK);
}
