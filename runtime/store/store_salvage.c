// What can be read of a damaged database, put into a new one. See store_impl.h.
//
// Nothing of the damaged file's structure is relied on: neither its header, nor its tree
// of pages, nor the checksums of its pages. Every page, of the file and of its
// write-ahead log, is looked at by itself as if it held rows, in the form of
// https://sqlite.org/fileformat.html; what looks like a row of one of our tables counts
// when the digest beside it is right, and only then. So a flipped bit costs the row that
// it lies in, wherever that is. What is found may have been replaced or evicted already:
// it is right all the same, for a key has only one value.
//
// A record's key stands in two places, its row and the index over the keys; where only
// the index is left, the record is kept without its words, which the next run knows.
#include "runtime/store/store_impl.h"

#include <unistd.h>

#define USABLE       (VFS_PAGE - VFS_RESERVED)
#define LEAF_TABLE   0x0d
#define LEAF_INDEX   0x0a
#define INNER_INDEX  0x02
#define COLUMNS      8
#define PAYLOAD_MAX  (RECORD_MAX_BYTES + VFS_PAGE)
#define LOG_HEADER   32
#define FRAME_HEADER 24
#define FRAME        (FRAME_HEADER + VFS_PAGE)

// ---- the pages -----------------------------------------------------------------------
struct pages {
    struct raw *file, *log; // NULL: cannot be read, or not there
    uint64_t nfile, nlog;   // pages
    uint32_t *newest;       // of page i + 1: its last frame in the log plus one, or 0
    unsigned char page[VFS_PAGE], more[VFS_PAGE]; // at hand, and of an overflow chain
};

static uint32_t be16(const unsigned char *p) {
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const unsigned char *p) {
    return be16(p) << 16 | be16(p + 2);
}

static bool read_frame(struct pages *p, uint64_t frame, unsigned char *to) {
    return raw_read(p->log, LOG_HEADER + frame * FRAME + FRAME_HEADER, to, VFS_PAGE);
}

// Page numbers count from 1.
static bool read_page(struct pages *p, uint32_t number, unsigned char *to) {
    uint64_t at = (uint64_t)number - 1;
    if (number == 0 || at >= p->nfile + p->nlog) return false;
    if (p->newest && p->newest[at]) return read_frame(p, p->newest[at] - 1, to);
    return at < p->nfile && raw_read(p->file, at * VFS_PAGE, to, VFS_PAGE);
}

static int map_log(struct pages *p) {
    unsigned char header[FRAME_HEADER];
    p->newest = mem_zalloc((size_t)(p->nfile + p->nlog), sizeof *p->newest);
    if (!p->newest) return SQLITE_NOMEM;
    for (uint64_t i = 0; i < p->nlog; i++) {
        if (!raw_read(p->log, LOG_HEADER + i * FRAME, header, sizeof header)) continue;
        uint32_t number = be32(header);
        if (number && number - 1 < p->nfile + p->nlog)
            p->newest[number - 1] = (uint32_t)i + 1;
    }
    return SQLITE_OK;
}

// What cannot be read holds nothing; what there is no memory to read may hold all.
static int pages_open(struct pages *p, const char *file) {
    char log[1024];
    bool short_of[2] = {false, false}; // memory
    *p = (struct pages){.file = raw_open(file, &short_of[0])};
    snprintf(log, sizeof log, "%s-wal", file);
    if (access(log, R_OK) == 0) p->log = raw_open(log, &short_of[1]);
    if (short_of[0] || short_of[1]) return SQLITE_NOMEM;
    if (p->file) p->nfile = (raw_size(p->file) + VFS_PAGE - 1) / VFS_PAGE;
    if (p->log && raw_size(p->log) > LOG_HEADER)
        p->nlog = (raw_size(p->log) - LOG_HEADER) / FRAME;
    return p->nlog ? map_log(p) : SQLITE_OK;
}

static void pages_close(struct pages *p) {
    raw_close(p->file);
    raw_close(p->log);
    mem_free(p->newest);
}

// Page i of all there are, the log's after the file's. A last page that was cut off is
// taken for what is left of it, zeros after that.
static bool load(struct pages *p, uint64_t i) {
    memset(p->page, 0, sizeof p->page);
    if (i >= p->nfile) return read_frame(p, i - p->nfile, p->page);
    uint64_t at = i * VFS_PAGE, left = raw_size(p->file) - at;
    return raw_read(p->file, at, p->page, left < VFS_PAGE ? (size_t)left : VFS_PAGE);
}

// ---- the rows of a page --------------------------------------------------------------
struct column {
    bool blob; // a number otherwise
    int64_t number;
    const unsigned char *at;
    size_t n;
};

struct row {
    unsigned char kind; // of the page
    int64_t rowid;      // of a table
    size_t n;
    struct column column[COLUMNS];
};

struct cursor { // bytes that are still to be read
    const unsigned char *at, *end;
};

// False: there is no whole number here.
static bool varint(struct cursor *c, uint64_t *out) {
    *out = 0;
    for (int i = 0; i < 9 && c->at < c->end; i++) {
        unsigned char byte = *c->at++;
        if (i == 8) {
            *out = *out << 8 | byte;
            return true;
        }
        *out = *out << 7 | (byte & 0x7f);
        if (byte < 0x80) return true;
    }
    return false;
}

// How much of a payload lies in the page itself.
static size_t local_part(size_t payload, unsigned char kind) {
    size_t most = kind == LEAF_TABLE ? USABLE - 35 : (USABLE - 12) * 64 / 255 - 23;
    size_t least = (USABLE - 12) * 32 / 255 - 23;
    if (payload <= most) return payload;
    size_t part = least + (payload - least) % (USABLE - 4);
    return part <= most ? part : least;
}

static bool follow(struct pages *p, uint32_t next, unsigned char *to, size_t n) {
    while (n) {
        size_t part = size_min(n, USABLE - 4);
        if (!read_page(p, next, p->more)) return false;
        memcpy(to, p->more + 4, part);
        next = be32(p->more);
        to += part;
        n -= part;
    }
    return true;
}

static bool fixed_number(struct cursor *c, uint64_t type, int64_t *out) {
    static const unsigned char WIDTH[] = {0, 1, 2, 3, 4, 6, 8, 0, 0, 0};
    size_t n = WIDTH[type];
    if (type == 7 || n > (size_t)(c->end - c->at)) return false; // we have no fractions
    uint64_t v = n && *c->at >= 0x80 ? UINT64_MAX : 0;
    for (size_t i = 0; i < n; i++) v = v << 8 | *c->at++;
    *out = type == 9 ? 1 : (int64_t)v;
    return true;
}

static bool read_column(struct cursor *header, struct cursor *body, struct column *out) {
    uint64_t type;
    *out = (struct column){0};
    if (!varint(header, &type) || type == 10 || type == 11) return false;
    if (type < 10) return fixed_number(body, type, &out->number);
    uint64_t n = (type - 12) / 2;
    if (type % 2 || n > (size_t)(body->end - body->at)) return false; // nor text
    *out = (struct column){.blob = true, .at = body->at, .n = (size_t)n};
    body->at += n;
    return true;
}

static bool read_columns(const unsigned char *payload, size_t n, struct row *out) {
    uint64_t header_size;
    struct cursor header = {payload, payload + n};
    if (!varint(&header, &header_size) || header_size > n) return false;
    header.end = payload + header_size;
    struct cursor body = {payload + header_size, payload + n};
    for (out->n = 0; header.at < header.end; out->n++)
        if (out->n == COLUMNS || !read_column(&header, &body, &out->column[out->n]))
            return false;
    return true;
}

// The row of the cell that begins at `at`; its payload is put together in buffer.
static bool read_cell(struct pages *p, size_t at, unsigned char *buffer,
                      struct row *out) {
    struct cursor c = {p->page + at, p->page + USABLE};
    uint64_t payload, rowid = 0;
    if (out->kind == INNER_INDEX) c.at += 4; // the page below
    if (c.at > c.end || !varint(&c, &payload) || payload > PAYLOAD_MAX) return false;
    if (out->kind == LEAF_TABLE && !varint(&c, &rowid)) return false;
    size_t n = (size_t)payload, part = local_part(n, out->kind),
           left = (size_t)(c.end - c.at);
    if (part + (part < n ? 4 : 0) > left) return false;
    memcpy(buffer, c.at, part);
    if (part < n && !follow(p, be32(c.at + part), buffer + part, n - part)) return false;
    out->rowid = (int64_t)rowid;
    return read_columns(buffer, n, out);
}

// ---- what rows mean ------------------------------------------------------------------
struct known {       // a record of the damaged database
    int64_t id, now; // there, and in the new one
    struct digest key;
    uint64_t rows; // as its words say; 0: it has lost them
};

struct salvaging {
    struct pages pages;
    unsigned char *buffer;
    struct db *to;
    int64_t today;
    struct known *known; // after the first pass in the order of their ids
    size_t n, room;
    struct salvage *out;
};

static bool digest_at(const struct column *c, struct digest *out) {
    if (!c->blob || c->n != sizeof *out) return false;
    memcpy(out, c->at, sizeof *out);
    return true;
}

static int64_t day(const struct salvaging *s, const struct column *c) {
    return c->blob || c->number < 0 || c->number > s->today ? s->today : c->number;
}

// The first of those with this id: ids are used again, so there may be several.
static size_t find(const struct salvaging *s, int64_t id) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->known[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low;
}

static int note(struct salvaging *s, struct known k) {
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct known *more = mem_resize(s->known, room * sizeof *more);
        if (!more) return SQLITE_NOMEM;
        s->known = more;
        s->room = room;
    }
    s->known[s->n++] = k;
    return SQLITE_OK;
}

// With its words, or without them (NULL).
static int put_record(struct salvaging *s, const struct digest *key, int64_t used,
                      const struct digest *sum, const struct column *body) {
    int rc;
    sqlite3_stmt *st = db_statement(s->to, SQL_RECORD_KEEP, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, key);
    sqlite3_bind_int64(st, 2, used);
    sqlite3_bind_blob(st, 3, body ? (const void *)sum : "", body ? sizeof *sum : 0,
                      SQLITE_STATIC);
    sqlite3_bind_blob(st, 4, body ? (const void *)body->at : "", body ? (int)body->n : 0,
                      SQLITE_STATIC);
    return db_finish(st);
}

// (id), key, used, sum, body
static int take_record(struct salvaging *s, const struct row *r) {
    struct digest sum;
    struct store_record words;
    struct known k = {.id = r->rowid};
    const struct column *c = r->column, *body = &c[4];
    if (r->n != 5 || !digest_at(&c[1], &k.key) || !digest_at(&c[3], &sum))
        return SQLITE_OK;
    if (!body->blob || body->n == 0) return SQLITE_OK;
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    bool right = store_decode(k.key, (const char *)body->at, body->n, &sum, a, &words);
    if (right) k.rows = words.rows;
    cleanup_run(&held);
    if (!right) return SQLITE_OK;
    int rc = put_record(s, &k.key, day(s, &c[2]), &sum, body);
    return rc == SQLITE_OK ? note(s, k) : rc;
}

// The index over the keys: key, id
static int take_key(struct salvaging *s, const struct row *r) {
    struct known k = {0};
    if (r->n != 2 || !digest_at(&r->column[0], &k.key) || r->column[1].blob)
        return SQLITE_OK;
    k.id = r->column[1].number;
    return note(s, k);
}

// Whose value it is: the one under whose key the digest is right.
static const struct known *owner(const struct salvaging *s, const struct column *c,
                                 struct digest row, struct digest sum) {
    for (size_t i = find(s, c[0].number); i < s->n && s->known[i].id == c[0].number; i++)
        if (digest_eq(sum, value_sum(s->known[i].key, row, c[2].number,
                                     (uint64_t)c[3].number, c[6].at, c[6].n)))
            return &s->known[i];
    return NULL;
}

// (id), record, row, place, size, used, sum, data
static int take_value(struct salvaging *s, const struct row *r) {
    int rc;
    struct digest row, sum;
    const struct column *c = r->column + 1, *data = &c[6];
    if (c[0].blob || !digest_at(&c[1], &row) || c[2].blob || c[3].blob) return SQLITE_OK;
    if (!digest_at(&c[5], &sum) || !data->blob) return SQLITE_OK;
    const struct known *k = owner(s, c, row, sum);
    if (!k) return SQLITE_OK;
    sqlite3_stmt *st = db_statement(s->to, SQL_VALUE_KEEP, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, k->now);
    db_bind_digest(st, 2, &row);
    sqlite3_bind_int64(st, 3, c[2].number);
    sqlite3_bind_int64(st, 4, c[3].number);
    sqlite3_bind_int64(st, 5, day(s, &c[4]));
    db_bind_digest(st, 6, &sum);
    sqlite3_bind_blob64(st, 7, data->n ? (const void *)data->at : "", data->n,
                        SQLITE_STATIC);
    rc = db_finish(st);
    if (rc == SQLITE_OK) s->out->kept += (uint64_t)sqlite3_changes(s->to->h);
    return rc;
}

// stamp, content, used, sum
static int take_content(struct salvaging *s, const struct row *r) {
    int rc;
    struct digest stamp, content, sum;
    const struct column *c = r->column;
    if (r->n != 4 || !digest_at(&c[0], &stamp) || !digest_at(&c[1], &content))
        return SQLITE_OK;
    if (!digest_at(&c[3], &sum) || !digest_eq(sum, content_sum(stamp, content)))
        return SQLITE_OK;
    sqlite3_stmt *st = db_statement(s->to, SQL_CONTENT_PUT, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, &stamp);
    db_bind_digest(st, 2, &content);
    sqlite3_bind_int64(st, 3, day(s, &c[2]));
    db_bind_digest(st, 4, &sum);
    return db_finish(st);
}

// ---- the passes over all pages -------------------------------------------------------
typedef int take_row(struct salvaging *s, const struct row *r);

static int take_records(struct salvaging *s, const struct row *r) {
    return r->kind == LEAF_TABLE ? take_record(s, r) : take_key(s, r);
}

static int take_values(struct salvaging *s, const struct row *r) {
    if (r->kind != LEAF_TABLE) return take_content(s, r);
    return r->n == 8 ? take_value(s, r) : SQLITE_OK;
}

static int take_page(struct salvaging *s, uint64_t i, take_row *take) {
    if (!load(&s->pages, i)) return SQLITE_OK;
    const unsigned char *page = s->pages.page;
    // Page 1 begins with the file's header.
    size_t start = memcmp(page, "SQLite format 3", 15) == 0 ? 100 : 0;
    struct row row = {.kind = page[start]};
    if (row.kind != LEAF_TABLE && row.kind != LEAF_INDEX && row.kind != INNER_INDEX)
        return SQLITE_OK;
    size_t cells = start + (row.kind == INNER_INDEX ? 12 : 8), n = be16(page + start + 3);
    int rc = SQLITE_OK;
    for (size_t k = 0; k < n && cells + 2 * k + 2 <= USABLE && rc == SQLITE_OK; k++) {
        size_t at = be16(page + cells + 2 * k);
        if (at < USABLE && read_cell(&s->pages, at, s->buffer, &row)) rc = take(s, &row);
    }
    return rc;
}

static int take_pages(struct salvaging *s, take_row *take) {
    int rc = SQLITE_OK;
    for (uint64_t i = 0; i < s->pages.nfile + s->pages.nlog && rc == SQLITE_OK; i++)
        rc = take_page(s, i, take);
    return rc;
}

static int new_id(struct salvaging *s, struct known *k) {
    int rc;
    sqlite3_stmt *st = db_statement(s->to, SQL_RECORD_FIND, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, &k->key);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) k->now = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int by_now(const void *left, const void *right) {
    const struct known *a = left, *b = right;
    if (a->now != b->now) return a->now < b->now ? -1 : 1;
    return a->rows < b->rows ? 1 : a->rows > b->rows ? -1 : 0;
}

static int by_id(const void *left, const void *right) {
    const struct known *a = left, *b = right;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return by_now(left, right);
}

// A record may have been seen several times, in old pages and in new.
static void expect(struct salvaging *s) {
    if (s->n) qsort(s->known, s->n, sizeof *s->known, by_now);
    for (size_t i = 0; i < s->n; i++) {
        if (i && s->known[i - 1].now == s->known[i].now) continue;
        s->out->records++;
        s->out->expected += s->known[i].rows;
    }
    if (s->n) qsort(s->known, s->n, sizeof *s->known, by_id);
}

// Of those that were seen with their words the row is there by now.
static int keep_records(struct salvaging *s) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < s->n && rc == SQLITE_OK; i++) {
        rc = put_record(s, &s->known[i].key, s->today, NULL, NULL);
        if (rc == SQLITE_OK) rc = new_id(s, &s->known[i]);
    }
    if (rc == SQLITE_OK) expect(s);
    return rc;
}

static int run(void *ctx) {
    struct salvaging *s = ctx;
    int rc = take_pages(s, take_records);
    if (rc == SQLITE_OK) rc = keep_records(s);
    if (rc == SQLITE_OK) rc = take_pages(s, take_values);
    if (rc == SQLITE_OK) rc = care_recount_all(s->to);
    // A value of a record that has lost its words was not expected, but is there.
    if (s->out->expected < s->out->kept) s->out->expected = s->out->kept;
    return rc;
}

int salvage_into(const char *file, int64_t today, struct db *to, struct salvage *out) {
    *out = (struct salvage){0};
    struct salvaging s = {.to = to, .today = today, .out = out};
    s.buffer = mem_alloc(PAYLOAD_MAX);
    if (!s.buffer) return SQLITE_NOMEM;
    int rc = pages_open(&s.pages, file);
    if (rc == SQLITE_OK) rc = db_contain(to, run, &s);
    pages_close(&s.pages);
    mem_free(s.known);
    mem_free(s.buffer);
    return rc;
}
