// Opening bundles, choosing a variant, and making its code ready to be called. See
// bundle.h.
//
// A file's bundle is mapped as a whole; plans point at constants in the mapping, and code
// is run where it is mapped.
#include "runtime/bundle/footer.h"
#include "runtime/bundle/read.h"
#include "runtime/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
    char *at;
    size_t bytes;
    size_t skip; // of the file, before what was asked for
};

struct opened { // what bundle_open and bundle_read make
    struct bundle bundle;
    struct arena *arena;
    bool mapped; // from a file, at page boundaries
};

static void mapping_drop(void *arg) {
    const struct mapping *m = arg;
    if (m->at) munmap(m->at, m->bytes);
}

// Ends with the arena, once it is filled in: there is nothing yet that could be lost.
static struct mapping *mapping_new(struct arena *arena) {
    struct mapping *m = NEW(arena, struct mapping);
    arena_defer(arena, mapping_drop, m);
    return m;
}

// ---- reading -------------------------------------------------------------------------
static const char *read_bundle(struct opened *o, const char *base,
                               const struct footer *f) {
    struct bundle_view view = {base, f->message, base + f->message, f->message_bytes};
    if (!footer_right(base, f->bytes)) return "it is damaged: its checksum is another";
    const char *why = bundle_unpack(o->arena, &view, &o->bundle);
    o->bundle.bytes = f->bytes;
    o->bundle.plan_bytes = f->message_bytes;
    return why ? arena_printf(o->arena, "it is damaged: %s", why) : NULL;
}

static struct opened *opened_new(struct arena *arena, bool mapped) {
    struct opened *o = NEW(arena, struct opened);
    *o = (struct opened){.arena = arena, .mapped = mapped};
    return o;
}

struct bundle *bundle_read(struct arena *arena, const char *bytes, size_t n,
                           struct diags *d) {
    struct opened *o = opened_new(arena, false);
    struct footer f;
    const char *why = "it is too short";
    if (n >= BUNDLE_FOOTER) why = footer_get(bytes + n - BUNDLE_FOOTER, n, &f);
    if (!why) why = read_bundle(o, bytes + f.start, &f);
    if (!why) return &o->bundle;
    diag_error(d, NO_SPAN, "cannot read a compiled program: %s", why);
    return NULL;
}

// The footer, which is all that is read before it is known how much to map.
static const char *read_footer(int fd, struct footer *f) {
    char end[BUNDLE_FOOTER];
    struct stat st;
    if (fstat(fd, &st) != 0) return strerror(errno);
    if (!S_ISREG(st.st_mode)) return "it is not a regular file";
    if (st.st_size < (off_t)BUNDLE_FOOTER) return "it is too short";
    off_t at = st.st_size - (off_t)BUNDLE_FOOTER;
    ssize_t got = pread(fd, end, sizeof end, at);
    if (got < 0) return strerror(errno);
    if ((size_t)got < sizeof end) return "it became shorter while it was read";
    return footer_get(end, (size_t)st.st_size, f);
}

// The system's pages may be larger than those the bundle was laid out in.
static const char *map_file(int fd, struct mapping *m, struct footer *f) {
    const char *why = read_footer(fd, f);
    if (why) return why;
    size_t skip = f->start % (size_t)sysconf(_SC_PAGESIZE);
    void *at = mmap(NULL, f->bytes + skip, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd,
                    (off_t)(f->start - skip));
    if (at == MAP_FAILED) return strerror(errno);
    *m = (struct mapping){at, f->bytes + skip, skip};
    return NULL;
}

// Nothing is allocated while the file is open, so that it is closed come what may.
static struct bundle *open_as(struct arena *arena, const char *path, const char *name,
                              struct diags *d) {
    struct opened *o = opened_new(arena, true);
    struct mapping *m = mapping_new(arena);
    struct footer f;
    // Not to wait for a writer, should somebody have put a pipe there.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why = fd < 0 ? strerror(errno) : map_file(fd, m, &f);
    if (fd >= 0) close(fd);
    if (!why) why = read_bundle(o, m->at + m->skip, &f);
    if (!why) return &o->bundle;
    diag_error(d, NO_SPAN, "cannot open `%s`: %s", name, why);
    return NULL;
}

struct bundle *bundle_open(struct arena *arena, const char *path, struct diags *d) {
    return open_as(arena, path, path, d);
}

struct bundle *bundle_open_self(struct arena *arena, const char *name, struct diags *d) {
    return open_as(arena, "/proc/self/exe", name, d);
}

// ---- choosing ------------------------------------------------------------------------
struct bundle_variant *bundle_choose(struct bundle *b, struct diags *d) {
    const char *lacks = NULL;
    for (size_t i = 0; i < b->nvariants; i++)
        if (!(lacks = cpu_lacks(d->arena, b->variants[i].needs))) return &b->variants[i];
    const struct bundle_variant *last = &b->variants[b->nvariants - 1];
    diag_error(d, NO_SPAN,
               "this was compiled for a processor (%s) that has %s, and this one has not",
               last->target, lacks);
    diag_help(d, "compile it again, with --target for what it is to run on");
    return NULL;
}

// ---- code ----------------------------------------------------------------------------
static void call_find(struct plan_call *c, const char *code) {
    const char *at = code + c->entry;
    if (c->symbol) memcpy(&c->fn, &at, sizeof at);
}

static void code_found(const struct bundle_variant *v, const char *code) {
    for (size_t i = 0; i < v->plan->nfuncs; i++) {
        struct plan_func *f = &v->plan->funcs[i];
        for (size_t k = 0; k < f->ncalls; k++) call_find(&f->calls[k], code);
        f->loaded = true;
    }
}

// Code that lies elsewhere, or on a file system whose files may not be run.
static const char *code_copy(const struct opened *o, const struct bundle_variant *v) {
    struct mapping *m = mapping_new(o->arena);
    void *at = mmap(NULL, v->code_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return NULL;
    *m = (struct mapping){at, v->code_bytes, 0};
    memcpy(at, v->code, v->code_bytes);
    return mprotect(at, v->code_bytes, PROT_READ | PROT_EXEC) == 0 ? at : NULL;
}

static const char *code_map(const struct opened *o, const struct bundle_variant *v) {
    void *at = (char *)v->code; // the mapping is ours to protect
    if (o->mapped && mprotect(at, v->code_bytes, PROT_READ | PROT_EXEC) == 0)
        return v->code;
    return code_copy(o, v);
}

bool bundle_load(struct bundle *b, struct bundle_variant *v, struct diags *d) {
    const struct opened *o = (const struct opened *)(const void *)b;
    const char *code = v->code;
    if (v->code_bytes && !(code = code_map(o, v)))
        return diag_error(d, NO_SPAN, "cannot make the compiled code ready to run: %s",
                          strerror(errno));
    code_found(v, code);
    return true;
}
