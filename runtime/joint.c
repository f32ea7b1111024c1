// See joint.h. A band is some tasks: rounds of its rows; the parts of its one call; or
// one, when it serves all rows. The tasks of a phase are numbered through and taken
// from a counter. Who comes last to the end of a phase does phases of a single task
// before the others go on.
#include "runtime/joint.h"

#include "runtime/base/mem.h"
#include "runtime/call.h"

#include <pthread.h>
#include <stdatomic.h>

// Looks at the end of a wait before a worker goes to sleep: about 0.1 ms. Most waits are
// shorter, and waking takes long; but whoever is waited for may need this processor.
#define LOOKS 4000

struct unit { // a band
    size_t first, ncalls, rows, phase;
    size_t parts; // of its call; 0: it has none
    bool single;  // one task: what it computes, or reads, is all rows'
};

struct meeting {
    atomic_size_t arrived;
    atomic_uint turn; // meetings so far
    atomic_uint sleepers;
    pthread_mutex_t lock;
    pthread_cond_t over;
};

struct joint {
    const struct plan *p;
    const struct plan_func *f;
    size_t workers;
    size_t nunits;
    struct unit *units; // by phase
    char *arena;
    char **own; // by worker
    // Of the call at hand.
    atomic_size_t next; // task of the phase
    size_t at;          // the unit that the next phase begins with
    struct meeting meeting;
};

struct calling { // of one worker
    struct joint *j;
    size_t which;
    char *const *in, *const *out;
    size_t n;
    struct profile_lane *lane;
};

// ---- meeting -------------------------------------------------------------------------
static inline void look_away(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void sleep_until(struct meeting *m, unsigned turn) {
    pthread_mutex_lock(&m->lock);
    atomic_fetch_add(&m->sleepers, 1);
    while (atomic_load(&m->turn) == turn) pthread_cond_wait(&m->over, &m->lock);
    atomic_fetch_sub(&m->sleepers, 1);
    pthread_mutex_unlock(&m->lock);
}

// Either who is to sleep sees the new turn, or who ends the meeting sees the sleeper:
// both write before they read.
static void end_meeting(struct meeting *m) {
    atomic_store(&m->arrived, 0);
    atomic_fetch_add(&m->turn, 1);
    if (!atomic_load(&m->sleepers)) return;
    pthread_mutex_lock(&m->lock);
    pthread_cond_broadcast(&m->over);
    pthread_mutex_unlock(&m->lock);
}

// Whether all have come, this worker last; it is to end the meeting then. turn: which
// it is.
static bool arrive(struct joint *j, unsigned *turn) {
    *turn = atomic_load(&j->meeting.turn);
    return atomic_fetch_add(&j->meeting.arrived, 1) + 1 == j->workers;
}

static void await(struct meeting *m, unsigned turn) {
    for (size_t i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&m->turn, memory_order_acquire) != turn) return;
        look_away();
    }
    sleep_until(m, turn);
}

void joint_meet(struct joint *j, size_t which) {
    unsigned turn;
    CHECK(which < j->workers);
    if (arrive(j, &turn)) end_meeting(&j->meeting);
    else await(&j->meeting, turn);
}

// ---- tasks ---------------------------------------------------------------------------
#define ROUNDS 4 // for each worker, so that they come to the end at about the same time,
#define LEAST  8 // where these are of as many rows

// Rows of a task: no more than a round has room for, and as many for each worker.
static size_t round_rows(const struct joint *j, const struct unit *u, size_t n) {
    size_t rounds = (n + u->rows - 1) / u->rows, each = n / j->workers / LEAST;
    rounds = size_max(rounds, j->workers * size_min(each, ROUNDS));
    rounds = (rounds + j->workers - 1) / j->workers * j->workers;
    return (n + rounds - 1) / rounds;
}

static size_t tasks_of(const struct joint *j, const struct unit *u, size_t n) {
    if (u->parts) return u->parts;
    if (u->single) return 1;
    if (n == 0) return 0;
    size_t rows = round_rows(j, u, n);
    return (n + rows - 1) / rows;
}

static char *address(const struct calling *c, const struct plan_buffer *b, size_t row) {
    const struct joint *j = c->j;
    switch (b->space) {
    case SPACE_CONST: return j->p->consts[b->offset].data;
    case SPACE_ARENA:
        if (b->local) return j->own[c->which] + b->offset;
        return j->arena + b->offset + row * b->stride;
    case SPACE_IN: return c->in[b->offset] + row * b->stride;
    case SPACE_OUT: return c->out[b->offset] + row * b->stride;
    }
    BUG("no such space");
}

static void call_one(const struct calling *c, size_t nth, size_t row, size_t n,
                     size_t part) {
    const struct plan_call *k = &c->j->f->calls[nth];
    char *buffers[CALL_MAX_BUFFERS + 1];
    for (size_t i = 0; i < k->nbuffers; i++) buffers[i] = address(c, &k->buffers[i], row);
    if (k->parts) buffers[k->nbuffers] = (char *)&part;
    k->fn(buffers, n);
    profile_kernel(c->lane, nth, k->parts && part ? 0 : n); // rows are counted once
}

static void do_task(const struct calling *c, const struct unit *u, size_t task) {
    size_t rows = c->n, row = 0;
    if (!u->single) {
        rows = round_rows(c->j, u, c->n);
        row = task * rows;
    }
    size_t n = size_min(rows, c->n - row);
    for (size_t i = 0; i < u->ncalls; i++) {
        bool once = c->j->f->calls[u->first + i].once;
        bool all = c->j->f->calls[u->first + i].all_rows;
        call_one(c, u->first + i, row, once && !all ? 1 : n, task);
    }
}

// ---- phases --------------------------------------------------------------------------
static size_t phase_end(const struct joint *j, size_t first) {
    size_t i = first;
    while (i < j->nunits && j->units[i].phase == j->units[first].phase) i++;
    return i;
}

// Does the task of this number, of the phase that begins with unit `first`; false:
// there are not so many.
static bool do_nth(const struct calling *c, size_t first, size_t task) {
    const struct joint *j = c->j;
    for (size_t i = first, end = phase_end(j, first); i < end; i++) {
        size_t tasks = tasks_of(j, &j->units[i], c->n);
        if (task < tasks) {
            do_task(c, &j->units[i], task);
            return true;
        }
        task -= tasks;
    }
    return false;
}

static bool is_lone(const struct calling *c, size_t first) {
    size_t tasks = 0;
    for (size_t i = first, end = phase_end(c->j, first); i < end; i++)
        tasks += tasks_of(c->j, &c->j->units[i], c->n);
    return tasks <= 1;
}

// The end of a phase; returns with the unit that the next begins with.
static size_t pass_on(const struct calling *c, size_t next) {
    struct joint *j = c->j;
    unsigned turn;
    if (!arrive(j, &turn)) {
        await(&j->meeting, turn);
        profile_lap(c->lane, PROFILE_REST);
        return j->at;
    }
    for (; next < j->nunits && is_lone(c, next); next = phase_end(j, next))
        do_nth(c, next, 0);
    atomic_store_explicit(&j->next, 0, memory_order_relaxed);
    j->at = next;
    end_meeting(&j->meeting);
    return next;
}

void joint_call(struct joint *j, size_t which, char *const *in, char *const *out,
                size_t n, struct profile_lane *lane) {
    struct calling c = {j, which, in, out, n, lane};
    CHECK(which < j->workers && n <= j->f->batch);
    profile_call(lane, j->f);
    for (size_t at = 0; at < j->nunits;) {
        while (do_nth(&c, at, atomic_fetch_add(&j->next, 1))) {
        }
        at = pass_on(&c, phase_end(j, at));
    }
    profile_call_done(lane, n);
}

// ---- beginning and end ---------------------------------------------------------------
static struct unit unit_of(const struct plan_func *f, size_t band, size_t first) {
    const struct plan_band *b = &f->bands[band];
    const struct plan_call *k = &f->calls[first];
    struct unit u = {first, b->ncalls, b->rows, b->phase, k->parts, k->once};
    CHECK(b->ncalls > 0 && (b->rows > 0 || u.single) && (!u.parts || b->ncalls == 1));
    for (size_t i = first; i < first + b->ncalls; i++) {
        const struct plan_call *o = &f->calls[i];
        CHECK(o->once == k->once && !o->builtin && o->nbuffers <= CALL_MAX_BUFFERS);
    }
    return u;
}

// What a task of a full batch costs, about, in floating-point operations.
static double task_cost(const struct joint *j, const struct unit *u) {
    const double flops_a_byte = 10;
    double row = 0, n = (double)j->f->batch;
    for (size_t i = u->first; i < u->first + u->ncalls; i++)
        row += j->f->calls[i].flops + flops_a_byte * j->f->calls[i].bytes;
    return row * n / (double)size_max(tasks_of(j, u, j->f->batch), 1);
}

// In the order of phases. In them long tasks come first, so that workers end at about
// the same time.
static bool is_before(const struct joint *j, const struct unit *a, const struct unit *b) {
    if (a->phase != b->phase) return a->phase < b->phase;
    return task_cost(j, a) > task_cost(j, b);
}

static void add_unit(struct joint *j, struct unit u) {
    size_t i = j->nunits++;
    for (; i > 0 && is_before(j, &u, &j->units[i - 1]); i--)
        j->units[i] = j->units[i - 1];
    j->units[i] = u;
}

static bool make_room(struct joint *j) {
    const struct plan_func *f = j->f;
    j->arena = mem_aligned(f->arena_bytes + PLAN_SLACK);
    j->own = mem_zalloc(j->workers, sizeof *j->own);
    j->units = mem_zalloc(f->nbands + 1, sizeof *j->units);
    bool ok = j->arena && j->own && j->units;
    for (size_t i = 0; ok && i < j->workers; i++)
        ok = (j->own[i] = mem_aligned(f->own_bytes + PLAN_SLACK)) != NULL;
    return ok;
}

struct joint *joint_new(const struct plan *p, const struct plan_func *f, size_t workers) {
    struct joint *j = mem_zalloc(1, sizeof *j);
    CHECK(f->joint && f->loaded && workers > 0);
    if (!j) return NULL;
    *j = (struct joint){.p = p, .f = f, .workers = workers};
    atomic_init(&j->next, 0);
    atomic_init(&j->meeting.arrived, 0);
    atomic_init(&j->meeting.turn, 0);
    atomic_init(&j->meeting.sleepers, 0);
    pthread_mutex_init(&j->meeting.lock, NULL);
    pthread_cond_init(&j->meeting.over, NULL);
    if (!make_room(j)) {
        joint_free(j);
        return NULL;
    }
    for (size_t i = 0, first = 0; i < f->nbands; first += f->bands[i++].ncalls)
        add_unit(j, unit_of(f, i, first));
    return j;
}

void joint_free(struct joint *j) {
    if (!j) return;
    for (size_t i = 0; j->own && i < j->workers; i++) mem_free(j->own[i]);
    pthread_mutex_destroy(&j->meeting.lock);
    pthread_cond_destroy(&j->meeting.over);
    mem_free(j->own);
    mem_free(j->units);
    mem_free(j->arena);
    mem_free(j);
}
