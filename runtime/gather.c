// See gather.h.
#include "runtime/gather.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGN ((size_t)4096) // where labels begin

// Bytes of images, rounded up, and of everything.
static bool sizes(const struct gather *g, size_t *images, size_t *all) {
    size_t labels;
    if (!size_mul(g->rows, g->image_bytes, images) || *images > SIZE_MAX / 2)
        return false;
    *images = size_align(*images + 1, ALIGN);
    return size_mul(g->rows, g->label_bytes, &labels) && size_add(*images, labels, all) &&
           *all <= PTRDIFF_MAX;
}

static const char *folder(void) {
    const char *chosen = getenv("TMPDIR");
    return chosen && *chosen ? chosen : "/var/tmp"; // /tmp is often memory again
}

// A file that nothing refers to but its descriptor, which may be -1 with errno set.
static int nameless_file(void) {
    char path[4096];
    int fd = open(folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    int n = snprintf(path, sizeof path, "%s/ddg-XXXXXX", folder());
    if (n < 0 || (size_t)n >= sizeof path) return -1;
    fd = mkstemp(path);
    if (fd >= 0) unlink(path);
    return fd;
}

static bool map_file(struct gather *g, int fd, size_t bytes) {
    // Its blocks are taken now: a disk that is full is an error here, not a signal later.
    int err = posix_fallocate(fd, 0, (off_t)bytes);
    if (err) {
        errno = err;
        return false;
    }
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return false;
    g->images = at;
    g->mapped = bytes;
    return true;
}

static bool take_file(struct gather *g, size_t bytes, struct diags *d, struct span at) {
    int fd = nameless_file();
    bool ok = fd >= 0 && map_file(g, fd, bytes);
    int err = errno;
    if (fd >= 0) close(fd);
    if (ok) return true;
    diag_error(d, at, "cannot keep %.1f GB of images in a file in %s: %s",
               (double)bytes / 1e9, folder(), strerror(err));
    return diag_help(d, "set TMPDIR to a folder with room for them");
}

static bool take_memory(struct gather *g, size_t bytes, struct diags *d, struct span at) {
    g->images = mem_aligned(bytes);
    return g->images || diag_no_memory(d, at);
}

bool gather_begin(struct gather *g, size_t memory, struct diags *d, struct span at) {
    size_t images, all;
    g->images = g->labels = NULL;
    g->mapped = 0;
    if (!sizes(g, &images, &all))
        return diag_error(d, at, "these images take more memory than there can be");
    bool ok = all <= memory ? take_memory(g, all, d, at) : take_file(g, all, d, at);
    if (ok) g->labels = g->images + images;
    return ok;
}

void gather_end(void *gather) {
    struct gather *g = gather;
    if (g->mapped) munmap(g->images, g->mapped);
    else mem_free(g->images);
    *g = (struct gather){0};
}

void gather_put(const struct gather *g, size_t row, const char *image,
                const char *label) {
    CHECK(row < g->rows);
    memcpy(g->images + row * g->image_bytes, image, g->image_bytes);
    if (label) memcpy(g->labels + row * g->label_bytes, label, g->label_bytes);
}
