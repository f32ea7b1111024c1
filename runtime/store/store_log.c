// Whether a write-ahead log that a killed process left behind is as it left it.
// See store_impl.h and https://sqlite.org/fileformat.html#the_write_ahead_log.
//
// SQLite believes a log up to its first wrong frame and says nothing about the
// rest, for a transaction that was cut short looks the same. Two things tell
// them apart. A frame that is right but for one bit was right once. And a
// transaction that another one follows was on the disk before that was begun.
// Only the last may be torn, even with its commit there: SQLite writes the head
// of a frame before its page, and may then go back to frames before the
// commit's. A frame of an earlier round of the log has other salts and counts
// for nothing; a flipped bit does not make another round's salts of them.
#include "runtime/store/store_impl.h"

#define HEADER       32
#define FRAME_HEADER 24
#define FRAME        (FRAME_HEADER + VFS_PAGE)
#define PAIRS        (1 + VFS_PAGE / 8) // of words that a frame's sums are made of

struct log {
    struct raw *raw;
    bool big_endian; // the words that are summed
    uint32_t sum[2]; // over what was read, from the sums of the frame before on
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

// ---- one frame -----------------------------------------------------------------------
static int bits(uint32_t a, uint32_t b) {
    return __builtin_popcount(a ^ b);
}

static int salt_bits(const struct log *l) {
    int n = 0;
    for (size_t i = 0; i < sizeof l->salts; i++) n += bits(l->salts[i], l->frame[8 + i]);
    return n;
}

// Whether to turn one bit of the word at p around makes up for off, when the
// sums grow by a and b for each unit of the word.
static bool bit_explains(const struct log *l, const unsigned char *p, uint32_t a,
                         uint32_t b, const uint32_t off[2]) {
    uint32_t value = word(p, l->big_endian);
    for (uint32_t bit = 1; bit; bit <<= 1) {
        uint32_t change = value & bit ? 0 - bit : bit;
        if (a * change == off[0] && b * change == off[1]) return true;
    }
    return false;
}

// The same for any word of the frame, from its last pair to its first: what a
// unit of a word adds to the sums goes through one more step of them for each
// pair behind it.
static bool some_bit_explains(const struct log *l, const uint32_t off[2]) {
    uint32_t first[2] = {1, 1}, second[2] = {0, 1};
    for (size_t i = PAIRS; i-- > 0;) {
        const unsigned char *p = i ? l->frame + FRAME_HEADER + (i - 1) * 8 : l->frame;
        if (bit_explains(l, p, first[0], first[1], off)) return true;
        if (bit_explains(l, p + 4, second[0], second[1], off)) return true;
        first[0] += first[1], first[1] += first[0];
        second[0] += second[1], second[1] += second[0];
    }
    return false;
}

enum frame { RIGHT, FLIPPED, TORN, OLD };

static enum frame frame_is(struct log *l) {
    sum(l, l->frame, 8);
    sum(l, l->frame + FRAME_HEADER, VFS_PAGE);
    uint32_t said[2] = {word(l->frame + 16, true), word(l->frame + 20, true)};
    uint32_t off[2] = {said[0] - l->sum[0], said[1] - l->sum[1]};
    int wrong = bits(said[0], l->sum[0]) + bits(said[1], l->sum[1]);
    int salt = salt_bits(l);
    memcpy(l->sum, said, sizeof said);
    if (salt > 1) return OLD;
    if (wrong + salt <= 1) return wrong + salt ? FLIPPED : RIGHT;
    return salt == 0 && some_bit_explains(l, off) ? FLIPPED : TORN;
}

static bool frames_right(struct log *l, uint64_t n) {
    bool torn = false; // the transaction at hand
    bool last = false; // a torn one was seen whole: it must be the last
    for (uint64_t i = 0; i < n; i++) {
        if (!raw_read(l->raw, HEADER + i * FRAME, l->frame, FRAME))
            return true; // SQLite's
        enum frame is = frame_is(l);
        if (is == FLIPPED || (last && is != OLD)) return false;
        torn = torn || is != RIGHT;
        bool commit = word(l->frame + 4, true) != 0;
        last = last || (torn && commit && is != OLD);
    }
    return true;
}

// ---- the log -------------------------------------------------------------------------
bool log_right(const char *path) {
    struct log *l = mem_zalloc(1, sizeof *l);
    if (l) l->raw = raw_open(path, NULL);
    bool right = true; // a log that cannot be read is SQLite's to complain about
    if (l && l->raw && raw_size(l->raw) >= HEADER + FRAME)
        right = header_right(l) && frames_right(l, (raw_size(l->raw) - HEADER) / FRAME);
    if (l) raw_close(l->raw);
    mem_free(l);
    return right;
}
