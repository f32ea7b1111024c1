// Opening and closing the store, and what went wrong with it. See store.h for what a
// store is and store_impl.h for how its files divide the work.
//
// Opening takes the newest generation of the database. One that is damaged is not used:
// what can be read of it becomes the next generation (store_salvage.c), and the search
// for the newest begins again, as it does when another process was faster.
#include "runtime/store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define SCAN_BYTES    (UINT64_C(64) << 20) // the largest database read whole first
#define HEADER_BYTES  100                  // of a database
#define OPEN_ATTEMPTS 8

// ---- what went wrong -----------------------------------------------------------------
void store_say(struct store *s, const char *fmt, ...) {
    char words[sizeof s->trouble[0]];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&s->state);
    bool said = s->ntroubles == STORE_TROUBLES;
    for (size_t i = 0; i < s->ntroubles; i++) said |= !strcmp(s->trouble[i], words);
    if (!said) strcpy(s->trouble[s->ntroubles++], words);
    pthread_mutex_unlock(&s->state);
}

void store_count(struct store *s, uint64_t hits, uint64_t misses, uint64_t damaged) {
    pthread_mutex_lock(&s->state);
    s->counts.hits += hits;
    s->counts.misses += misses;
    s->counts.damaged += damaged;
    pthread_mutex_unlock(&s->state);
}

void store_fault(struct store *s, int rc) {
    if (db_fault(rc) != FAULT_DAMAGE) {
        store_say(s, "the store could not be read: %s", db_words(rc));
        return;
    }
    if (s->look || s->folder < 0 || atomic_exchange(&s->marked, true)) return;
    place_mark(s->folder, s->generation);
    store_say(s, "the store's database is damaged: what cannot be read is computed again,"
                 " and the next run repairs it");
}

void store_stop(struct store *s, int rc) {
    if (!atomic_exchange(&s->writes, false)) return;
    if (db_fault(rc) == FAULT_DAMAGE) store_fault(s, rc);
    if (!store_in_place(s))
        store_say(s,
                  "the store's folder was moved or removed: results are not stored from"
                  " here on");
    else if (db_fault(rc) == FAULT_FULL)
        store_say(s, "the disk is full: results are not stored from here on");
    else
        store_say(s,
                  "the store cannot be written (%s): results are not stored from here on",
                  db_words(rc));
}

void store_stop_errno(struct store *s, int error) {
    if (error == ENOSPC || error == EDQUOT || !store_in_place(s)) {
        store_stop(s, SQLITE_FULL);
        return;
    }
    if (atomic_exchange(&s->writes, false))
        store_say(s,
                  "the store cannot be written (%s): results are not stored from here on",
                  strerror(error));
}

bool store_in_place(const struct store *s) {
    struct stat st;
    if (s->folder < 0) return true;
    return stat(s->file, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode;
}

struct store_counts store_counts(struct store *s) {
    if (!s) return (struct store_counts){0};
    pthread_mutex_lock(&s->state);
    struct store_counts c = s->counts;
    pthread_mutex_unlock(&s->state);
    return c;
}

const char *store_trouble(struct store *s, struct arena *a) {
    if (!s) return NULL;
    char words[STORE_TROUBLES * sizeof s->trouble[0] + 128] = "";
    size_t n = 0;
    pthread_mutex_lock(&s->state);
    for (size_t i = 0; i < s->ntroubles; i++)
        n += (size_t)snprintf(words + n, sizeof words - n, "%s%s", i ? "; " : "",
                              s->trouble[i]);
    uint64_t damaged = s->counts.damaged - s->set_aside;
    if (damaged)
        n += (size_t)snprintf(
            words + n, sizeof words - n, "%s%llu value%s damaged and %s computed again",
            n ? "; " : "", (unsigned long long)damaged, damaged == 1 ? " was" : "s were",
            damaged == 1 ? "is" : "are");
    pthread_mutex_unlock(&s->state);
    return n ? arena_strndup(a, words, n) : NULL;
}

bool store_writes(const struct store *s) {
    return s && atomic_load(&s->writes);
}

static void pause_ms(long ms) {
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

// ---- opening: what is there ----------------------------------------------------------
enum found { FINE, DAMAGED, GONE, REFUSED };

struct opening {
    struct store *s;
    bool can_write; // the folder
    bool other;     // the store is another version's
    char *why;
    size_t why_n;
};

static enum found refuse(struct opening *o, const char *reason) {
    snprintf(o->why, o->why_n, "the store %s cannot be used: %s", o->s->path, reason);
    return REFUSED;
}

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// A flipped bit must not turn a store into another version's: the version stands in two
// places, and is another one's when they agree or when it is off by more than a bit.
static bool other_version(uint32_t application, uint32_t version) {
    if (version == STORE_VERSION || version == 0 || version > 1000) return false;
    return (application & 0xff) == version ||
           __builtin_popcount(version ^ STORE_VERSION) > 1;
}

static enum found check_header(struct opening *o, const unsigned char *h) {
    uint32_t version = big_endian(h + 60), application = big_endian(h + 68);
    if (memcmp(h, "SQLite format 3", 16) != 0) return DAMAGED;
    uint32_t name = (application ^ PLACE_APPLICATION) & ~UINT32_C(0xff);
    if (__builtin_popcount(name) > 1 && application != 0)
        return refuse(o, "its database belongs to another program");
    o->other = other_version(application, version);
    if (!o->other) return FINE;
    snprintf(o->why, o->why_n,
             "the store %s was made by another version of ddg (store %u, this ddg knows"
             " %d); `ddg store clear` removes it, or --store names another folder",
             o->s->path, version, STORE_VERSION);
    return REFUSED;
}

static void log_path(const struct store *s, char path[1024]) {
    snprintf(path, 1024, "%s-wal", s->file);
}

static bool has_log(const struct store *s) {
    char path[1024];
    struct stat st;
    log_path(s, path);
    return stat(path, &st) == 0 && st.st_size > 0;
}

// Whether every page is there and right, as far as there is memory to look.
static bool pages_right(const struct store *s, uint64_t size,
                        const unsigned char *header) {
    uint64_t pages, damaged;
    if (size > SCAN_BYTES)
        return has_log(s) || big_endian(header + 28) <= size / VFS_PAGE;
    if (!store_vfs_scan(s->file, &pages, &damaged)) return errno == ENOMEM;
    if (damaged) return false;
    return has_log(s) || big_endian(header + 28) <= pages;
}

// The log of a machine that lost power may hold what a page that was being written
// lacks.
static void recover(struct opening *o) {
    struct db db;
    const char *vfs = store_vfs_name(o->s->vfs);
    if (!o->can_write || db_open(&db, o->s->file, vfs, DB_WRITE) != SQLITE_OK) return;
    db_run(&db, SQL_CHECKPOINT);
    db_close(&db);
}

// A log is looked at by the first who comes after those who wrote it: while the lock of
// the generation can be had alone, nobody writes.
static bool left_log_right(struct store *s) {
    char path[1024];
    log_path(s, path);
    if (!s->locks || !has_log(s)) return true;
    if (!lock_take(s->locks, place_lock(s->generation), LOCK_EXCLUSIVE)) return true;
    bool right = log_right(path);
    lock_take(s->locks, place_lock(s->generation), LOCK_SHARED);
    return right;
}

static enum found examine_header(struct opening *o, unsigned char *header,
                                 uint64_t *size) {
    bool no_memory;
    struct raw *raw = raw_open(o->s->file, &no_memory);
    if (!raw)
        return refuse(o, no_memory ? "out of memory" : "its database cannot be read");
    *size = raw_size(raw);
    bool read = raw_read(raw, 0, header, HEADER_BYTES);
    raw_close(raw);
    return read ? check_header(o, header) : DAMAGED;
}

static enum found examine_bytes(struct opening *o) {
    uint64_t size;
    unsigned char header[HEADER_BYTES];
    enum found found = examine_header(o, header, &size);
    return found == FINE && !pages_right(o->s, size, header) ? DAMAGED : found;
}

// Nothing of this is read under SQLite's locks: where another process brings its log into
// the file just then, the header and the end of the file are of two moments.
#define LOOKS         6
#define LOOK_PAUSE_MS 20

static enum found examine_again(struct opening *o) {
    enum found found = DAMAGED;
    for (int i = 0; i < LOOKS && found == DAMAGED; i++) {
        if (has_log(o->s)) recover(o);
        else if (i) pause_ms(LOOK_PAUSE_MS);
        found = examine_bytes(o);
    }
    return found;
}

static enum found examine(struct opening *o) {
    struct stat st;
    uint64_t size;
    unsigned char header[HEADER_BYTES];
    if (lstat(o->s->file, &st) != 0)
        return errno == ENOENT ? GONE : refuse(o, strerror(errno));
    if (!S_ISREG(st.st_mode)) return refuse(o, "its database is no regular file");
    enum found found = examine_header(o, header, &size);
    if (found != FINE) return found;
    if (place_marked(o->s->folder, o->s->generation)) return DAMAGED;
    if (!left_log_right(o->s)) return DAMAGED;
    return pages_right(o->s, size, header) ? FINE : examine_again(o);
}

// ---- opening: the connection ---------------------------------------------------------
static int connect(struct opening *o, enum db_mode mode, bool *ours) {
    struct store *s = o->s;
    int rc = db_open(&s->read, s->file, store_vfs_name(s->vfs), mode);
    if (rc != SQLITE_OK) return rc;
    *ours = db_is_ours(&s->read, &rc);
    if (rc != SQLITE_OK) db_close(&s->read);
    return rc;
}

static enum found connect_read(struct opening *o) {
    struct stat st;
    bool ours = false;
    int rc = connect(o, o->can_write ? DB_READ : DB_READONLY, &ours);
    // Where no log can be made, and there is none: the file stays as it is.
    if (db_fault(rc) == FAULT_REFUSED && !has_log(o->s))
        rc = connect(o, DB_IMMUTABLE, &ours);
    if (db_fault(rc) == FAULT_DAMAGE || (rc == SQLITE_OK && !ours)) {
        db_close(&o->s->read);
        return DAMAGED;
    }
    if (rc != SQLITE_OK) return refuse(o, db_words(rc));
    if (stat(o->s->file, &st) != 0) {
        db_close(&o->s->read);
        return GONE;
    }
    o->s->device = st.st_dev;
    o->s->inode = st.st_ino;
    return FINE;
}

static void settle_writing(struct opening *o) {
    struct store *s = o->s;
    bool can = o->can_write && sqlite3_db_readonly(s->read.h, "main") == 0;
    atomic_store(&s->writes, can && !s->look);
    if (!can && !s->look)
        store_say(s, "the store %s can only be read: results are not stored", s->path);
}

// ---- opening: a new generation -------------------------------------------------------
#define SALVAGE_WAIT_MS  50
#define SALVAGE_ATTEMPTS 600

static enum found made(struct opening *o, enum made how, int rc) {
    if (how != MADE_NOT) return FINE;
    return refuse(o, rc != SQLITE_OK ? db_words(rc) : strerror(errno));
}

static enum found make_next(struct opening *o, const struct listing *l, make_fill *fill,
                            void *ctx, enum made *how) {
    struct store *s = o->s;
    int rc;
    if (l->last >= GENERATION_MAX)
        return refuse(o, "its databases' numbers have run out");
    char *path = place_file(s->arena, s->path, l->last + 1);
    *how = make_database(s->folder, path, l->last + 1, store_vfs_name(s->vfs), fill, ctx,
                         &rc);
    return made(o, *how, rc);
}

struct repair {
    const struct store *s;
    struct salvage got;
};

static int fill_salvaged(void *ctx, struct db *db) {
    struct repair *r = ctx;
    return salvage_into(r->s->file, r->s->today, db, &r->got);
}

static void say_repaired(struct store *s, const struct salvage *got) {
    unsigned long long lost = got->expected - got->kept, all = got->expected;
    char words[128];
    if (got->records == 0)
        snprintf(words, sizeof words,
                 "nothing of it could be read, and all is computed again");
    else if (lost == 0)
        snprintf(words, sizeof words, "all of its %llu values could be read", all);
    else
        snprintf(words, sizeof words,
                 "%llu of %llu values could not be read and are computed again", lost,
                 all);
    store_say(
        s, "the store was damaged: %s; the damaged database was set aside as store-%u.db",
        words, s->generation);
    s->set_aside += lost;
    store_count(s, 0, 0, lost);
}

// With the lock of salvage: makes the next generation out of this one.
static enum found repair_alone(struct opening *o, const struct listing *l) {
    struct repair r = {.s = o->s};
    enum made how = MADE_NOT;
    enum found found = make_next(o, l, fill_salvaged, &r, &how);
    if (found == FINE && how == MADE) say_repaired(o->s, &r.got);
    // The one set aside stays to be looked at; those before it go.
    place_clean(o->s->folder, o->s->locks, o->s->generation);
    return found;
}

// One process salvages; the others wait for what it makes, within reason.
static enum found repair(struct opening *o) {
    struct store *s = o->s;
    struct digest name = digest_of("salvage", 7);
    struct listing l;
    bool locked = false;
    for (int i = 0; i < SALVAGE_ATTEMPTS && !locked; i++) {
        if (i) pause_ms(SALVAGE_WAIT_MS);
        locked = lock_take(s->locks, name, LOCK_EXCLUSIVE);
        if (!place_list(s->folder, &l)) return refuse(o, strerror(errno));
        if (l.newest > s->generation) break;
    }
    enum found found = l.newest > s->generation ? FINE : repair_alone(o, &l);
    if (locked) lock_drop(s->locks, name);
    return found;
}

// Nothing is made in a folder that somebody keeps other things in, not even the locks.
static bool is_welcome(struct opening *o) {
    struct listing l;
    if (!place_list(o->s->folder, &l)) return refuse(o, strerror(errno)), false;
    if (l.newest || !*l.stranger) return true;
    snprintf(o->why, o->why_n, "%s is not a store: it holds other things (%.80s)",
             o->s->path, l.stranger);
    return false;
}

static enum found make_first(struct opening *o, const struct listing *l) {
    enum made how;
    if (o->s->look) {
        snprintf(o->why, o->why_n, "there is no store in %s", o->s->path);
        return REFUSED;
    }
    return make_next(o, l, NULL, NULL, &how);
}

// ---- opening -------------------------------------------------------------------------
// A damaged database that cannot be repaired is read as far as it goes.
static enum found read_damaged(struct opening *o) {
    enum found found = connect_read(o);
    if (found == DAMAGED) return refuse(o, "its database is damaged");
    if (found == FINE)
        store_say(o->s, "the store is damaged: what cannot be read is computed again");
    return found;
}

// Another process holds the lock alone for moments only.
#define LOCK_PAUSE_MS 5
#define LOCK_ATTEMPTS 400

static enum found open_generation(struct opening *o, uint32_t n) {
    struct store *s = o->s;
    s->generation = n;
    s->file = place_file(s->arena, s->path, n);
    for (int i = 0; s->locks && i < LOCK_ATTEMPTS; i++) {
        if (lock_take(s->locks, place_lock(n), LOCK_SHARED)) break;
        pause_ms(LOCK_PAUSE_MS);
    }
    enum found found = examine(o);
    if (found == FINE) found = connect_read(o);
    if (found == DAMAGED && (s->look || !o->can_write)) found = read_damaged(o);
    if (found != FINE && s->locks) lock_drop(s->locks, place_lock(n));
    return found;
}

static bool open_newest(struct opening *o) {
    struct listing l;
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        if (!place_list(o->s->folder, &l)) {
            refuse(o, strerror(errno));
            return false;
        }
        enum found found = l.newest ? open_generation(o, l.newest) : make_first(o, &l);
        if (found == FINE && l.newest) return true;
        if (found == DAMAGED) found = repair(o);
        if (found == REFUSED) return false;
    }
    refuse(o, "its database is replaced again and again");
    return false;
}

static bool open_folder(struct opening *o, const struct store_options *options) {
    struct store *s = o->s;
    s->folder =
        place_open(s->arena, options->path, !options->look, &s->path, o->why, o->why_n);
    if (s->folder < 0) return false;
    o->can_write = faccessat(s->folder, ".", W_OK, AT_EACCESS) == 0;
    if (!is_welcome(o)) return false;
    s->vfs = store_vfs_new();
    if (!s->look) s->locks = locks_open(s->folder);
    if (!s->vfs || (!s->look && !s->locks)) return refuse(o, "out of memory"), false;
    if (!open_newest(o)) return o->other && options->clear;
    settle_writing(o);
    return true;
}

static bool open_memory(struct opening *o) {
    int rc = db_open(&o->s->read, NULL, NULL, DB_MEMORY);
    if (rc == SQLITE_OK) rc = db_create(&o->s->read);
    atomic_store(&o->s->writes, rc == SQLITE_OK);
    if (rc != SQLITE_OK)
        snprintf(o->why, o->why_n, "no store in memory: %s", db_words(rc));
    return rc == SQLITE_OK;
}

static struct store *store_new(const struct store_options *o) {
    struct store *s = mem_zalloc(1, sizeof *s);
    struct arena *a = s ? arena_new() : NULL;
    if (!a) {
        mem_free(s);
        return NULL;
    }
    s->arena = a;
    s->scope = scope_same();
    s->folder = -1;
    s->look = o->look;
    s->max_bytes = o->max_bytes;
    s->today = (int64_t)(time(NULL) / 86400);
    s->last = &s->first;
    pthread_mutex_init(&s->writing, NULL);
    pthread_mutex_init(&s->reading, NULL);
    pthread_mutex_init(&s->state, NULL);
    pthread_cond_init(&s->more, NULL);
    pthread_cond_init(&s->less, NULL);
    if (!s->max_bytes && !place_size(&s->max_bytes))
        store_say(s,
                  "DDG_STORE_SIZE is \"%.40s\": a size like 500M or 20G was expected; the"
                  " store may grow to 10 GiB",
                  getenv("DDG_STORE_SIZE"));
    return s;
}

static void store_free(void *store) {
    struct store *s = store;
    db_close(&s->write);
    db_close(&s->read);
    store_vfs_free(s->vfs);
    locks_close(s->locks);
    if (s->folder >= 0) close(s->folder);
    pthread_mutex_destroy(&s->writing);
    pthread_mutex_destroy(&s->reading);
    pthread_mutex_destroy(&s->state);
    pthread_cond_destroy(&s->more);
    pthread_cond_destroy(&s->less);
    arena_free(s->arena);
    mem_free(s);
}

struct store *store_open(const struct store_options *options, char *why, size_t why_n) {
    struct opening o = {.s = store_new(options), .why = why, .why_n = why_n};
    if (!o.s) {
        snprintf(why, why_n, "the store cannot be used: out of memory");
        return NULL;
    }
    struct cleanup held;
    cleanup_push(&held, store_free, o.s);
    bool open = options->path ? open_folder(&o, options) : open_memory(&o);
    cleanup_pop(&held);
    if (open) return o.s;
    store_free(o.s);
    return NULL;
}

void store_close(struct store *s) {
    if (!s) return;
    writer_stop(s);
    care_close(s);
    store_free(s);
}
