// Writing a bundle. It is laid out in memory, read back as any other would be (what could
// not be read is not written), and put in place in one step.
#include "runtime/bundle/footer.h"
#include "runtime/bundle/pack.h"
#include "runtime/bundle/read.h"
#include "runtime/bundle/shape.h"
#include "runtime/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct output {
    struct out_place place;
    struct diags *d;
    const void *prefix;
    size_t prefix_bytes;
    char *bundle;
    size_t bytes;
};

// ---- in memory -----------------------------------------------------------------------
static void put_blocks(char *to, const struct block *blocks, size_t n) {
    for (size_t i = 0; i < n; i++)
        memcpy(to + blocks[i].at, blocks[i].data, blocks[i].bytes);
}

static void lay_out(const struct bundle *b, struct output *o) {
    struct packed p;
    bundle_pack(b, o->d->arena, &p);
    struct footer f = {.start = size_align(o->prefix_bytes, BUNDLE_PAGE),
                       .message = p.consts_at + p.consts_bytes,
                       .message_bytes = p.message.n};
    f.bytes = f.message + f.message_bytes + BUNDLE_FOOTER;
    o->bytes = f.bytes;
    o->bundle = arena_alloc(o->d->arena, 1, o->bytes);
    put_blocks(o->bundle, p.codes.at, p.codes.n);
    put_blocks(o->bundle, p.consts.at, p.consts.n);
    memcpy(o->bundle + f.message, p.message.at, p.message.n);
    footer_put(&f, o->bundle);
}

static bool read_back(const struct output *o, const char *to) {
    struct footer f;
    struct bundle b = {0};
    size_t start = size_align(o->prefix_bytes, BUNDLE_PAGE);
    const char *end = o->bundle + o->bytes - BUNDLE_FOOTER;
    const char *why = footer_get(end, start + o->bytes, &f);
    if (!why) {
        struct bundle_view view = {o->bundle, f.message, o->bundle + f.message,
                                   f.message_bytes};
        why = bundle_unpack(o->d->arena, &view, &b);
    }
    return !why ||
           diag_error(o->d, NO_SPAN, "cannot compile `%s` to a file: %s", to, why);
}

// ---- on disk -------------------------------------------------------------------------
static bool write_all(const struct output *o, int fd) {
    static const char zeros[BUNDLE_PAGE];
    size_t gap = size_align(o->prefix_bytes, BUNDLE_PAGE) - o->prefix_bytes;
    return out_write(fd, o->prefix, o->prefix_bytes) && out_write(fd, zeros, gap) &&
           out_write(fd, o->bundle, o->bytes) && fsync(fd) == 0;
}

static bool write_temp(const struct output *o) {
    mode_t mode = o->prefix_bytes ? 0755 : 0644;
    unlink(o->place.temp); // of a process that had this number and was killed
    int fd = open(o->place.temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return false;
    bool ok = write_all(o, fd);
    int err = errno;
    if (close(fd) != 0 && ok) return false;
    errno = err;
    return ok;
}

static bool put_in_place(const struct output *o) {
    bool ok = write_temp(o) && rename(o->place.temp, o->place.path) == 0 &&
              out_place_sync(&o->place);
    int err = errno;
    if (ok) return true;
    unlink(o->place.temp);
    out_place_undo(&o->place);
    return diag_error(o->d, NO_SPAN, "cannot write `%s`: %s", o->place.path,
                      strerror(err));
}

bool bundle_write(const struct bundle *b, const void *prefix, size_t n, const char *to,
                  struct diags *d) {
    struct output o = {.d = d, .prefix = prefix, .prefix_bytes = n};
    CHECK(b->nvariants >= 1 && b->nvariants <= BUNDLE_MAX_VARIANTS);
    lay_out(b, &o);
    return read_back(&o, to) && out_place_open(d->arena, to, &o.place, d) &&
           put_in_place(&o);
}
