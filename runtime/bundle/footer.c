// See footer.h.
#include "runtime/bundle/footer.h"

#include "runtime/bundle/shape.h"

static const char MAGIC[8] = {'\x89', 'd', 'd', 'g', 'b', 'n', 'd', 'l'};

// Where each number of the footer is, and its bytes.
enum {
    AT_VERSION = 8,
    AT_ZERO = 12,
    AT_START = 16,
    AT_BYTES = 24,
    AT_MESSAGE = 32,
    AT_MESSAGE_BYTES = 40,
    AT_DIGEST = 48
};

static void put(char *to, size_t wide, uint64_t v) {
    for (size_t i = 0; i < wide; i++) to[i] = (char)(v >> 8 * i & 0xff);
}

static uint64_t get(const char *from, size_t wide) {
    uint64_t v = 0;
    for (size_t i = wide; i-- > 0;) v = v << 8 | (unsigned char)from[i];
    return v;
}

void footer_put(const struct footer *f, char *bundle) {
    char *at = bundle + f->bytes - BUNDLE_FOOTER;
    memcpy(at, MAGIC, sizeof MAGIC);
    put(at + AT_VERSION, 4, BUNDLE_VERSION);
    put(at + AT_ZERO, 4, 0);
    put(at + AT_START, 8, f->start);
    put(at + AT_BYTES, 8, f->bytes);
    put(at + AT_MESSAGE, 8, f->message);
    put(at + AT_MESSAGE_BYTES, 8, f->message_bytes);
    struct digest d = digest_of(bundle, f->bytes - FOOTER_DIGEST);
    put(at + AT_DIGEST, 8, d.lo);
    put(at + AT_DIGEST + 8, 8, d.hi);
}

// The places that the footer names lie one behind the other, up to the file's end.
static bool lies_well(const struct footer *f, size_t size) {
    return f->start % BUNDLE_PAGE == 0 && f->start <= size &&
           f->bytes == size - f->start && f->bytes >= BUNDLE_FOOTER &&
           f->message <= f->bytes - BUNDLE_FOOTER &&
           f->message_bytes == f->bytes - BUNDLE_FOOTER - f->message;
}

const char *footer_get(const char *at, size_t size, struct footer *out) {
    if (memcmp(at, MAGIC, sizeof MAGIC) != 0)
        return "it holds no compiled program at its end";
    if (get(at + AT_VERSION, 4) != BUNDLE_VERSION)
        return "it was compiled by another version of ddg; compile it again";
    uint64_t v[4];
    for (size_t i = 0; i < COUNT(v); i++) v[i] = get(at + AT_START + 8 * i, 8);
    *out = (struct footer){(size_t)v[0], (size_t)v[1], (size_t)v[2], (size_t)v[3]};
    if (!lies_well(out, size) || get(at + AT_ZERO, 4) != 0)
        return "it was cut off, or something was put into it";
    if (out->message_bytes > BUNDLE_MAX_MESSAGE) return "its plan is too large";
    return NULL;
}

bool footer_right(const char *bundle, size_t bytes) {
    struct digest d = digest_of(bundle, bytes - FOOTER_DIGEST);
    const char *at = bundle + bytes - FOOTER_DIGEST;
    return d.lo == get(at, 8) && d.hi == get(at + 8, 8);
}
