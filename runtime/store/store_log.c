// Whether a write-ahead log that a killed process left behind is as it left it. See
// store_impl.h and https://sqlite.org/fileformat.html#the_write_ahead_log.
//
// SQLite believes a log up to its first wrong frame and says nothing about the rest, for
// a transaction that was cut short looks the same. What tells them apart is a commit:
// where one stands at or behind the first wrong frame, something was written whole and
// is not whole any more. A frame of an earlier round of the log has other salts and
// counts for nothing; a flipped bit does not make another round's salts of them.
#include "runtime/store/store_impl.h"

#define HEADER       32
#define FRAME_HEADER 24
#define FRAME        (FRAME_HEADER + VFS_PAGE)

struct log {
    struct raw *raw;
    bool big_endian; // the words that are summed
    uint32_t sum[2]; // up to the frame at hand
    unsigned char salts[8];
    unsigned char frame[FRAME];
};

static uint32_t word(const unsigned char *p, bool big_endian) {
    return big_endian
               ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
               : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void sum(struct log *l, const unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        l->sum[0] += word(p + i, l->big_endian) + l->sum[1];
        l->sum[1] += word(p + i + 4, l->big_endian) + l->sum[0];
    }
}

static bool sum_is(const struct log *l, const unsigned char *p) {
    return word(p, true) == l->sum[0] && word(p + 4, true) == l->sum[1];
}

static bool header_right(struct log *l) {
    unsigned char h[HEADER];
    if (!raw_read(l->raw, 0, h, sizeof h)) return false;
    uint32_t magic = word(h, true);
    if ((magic & ~UINT32_C(1)) != UINT32_C(0x377f0682)) return false;
    l->big_endian = magic & 1;
    memcpy(l->salts, h + 16, sizeof l->salts);
    sum(l, h, 24);
    return sum_is(l, h + 24);
}

// Of this round of the log, or but for a bit.
static bool same_round(const struct log *l) {
    int differ = 0;
    for (size_t i = 0; i < sizeof l->salts; i++)
        differ += __builtin_popcount((unsigned)(l->salts[i] ^ l->frame[8 + i]));
    return differ <= 1;
}

static bool frame_right(struct log *l) {
    sum(l, l->frame, 8);
    sum(l, l->frame + FRAME_HEADER, VFS_PAGE);
    return memcmp(l->salts, l->frame + 8, sizeof l->salts) == 0 &&
           sum_is(l, l->frame + 16);
}

static bool frames_right(struct log *l, uint64_t n) {
    bool right = true;
    for (uint64_t i = 0; i < n; i++) {
        if (!raw_read(l->raw, HEADER + i * FRAME, l->frame, FRAME)) return false;
        right = right && frame_right(l);
        bool commit = word(l->frame + 4, true) != 0;
        if (!right && commit && same_round(l)) return false;
    }
    return true;
}

bool log_right(const char *path) {
    struct log *l = calloc(1, sizeof *l);
    if (l) l->raw = raw_open(path);
    bool right = true; // a log that cannot be read is SQLite's to complain about
    if (l && l->raw && raw_size(l->raw) >= HEADER + FRAME)
        right = header_right(l) && frames_right(l, (raw_size(l->raw) - HEADER) / FRAME);
    if (l) raw_close(l->raw);
    free(l);
    return right;
}
