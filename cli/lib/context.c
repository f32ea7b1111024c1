// Contexts: an allocator, a store, and the serving of calls.
#include "cli/lib/lib.h"

#include "runtime/store/store.h"

const char *ddg_version(void) {
    return DDG_VERSION;
}

bool sized_copy(void *to, const void *from, size_t size, const size_t *ends, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (size != ends[i]) continue;
        memcpy(to, from, size);
        return true;
    }
    return false;
}

// ---- memory --------------------------------------------------------------------------
static void *plain_resize(void *ctx, void *p, size_t n) {
    (void)ctx;
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

// Much of ddg says in words that there was no memory; the caller is told what kind that
// was.
static void *watched_resize(void *ctx, void *p, size_t n) {
    ddg_context *c = ctx;
    void *to = c->allocator.resize(c->allocator.ctx, p, n);
    if (!to && n) atomic_store(&c->no_memory, true);
    return to;
}

// ---- serving -------------------------------------------------------------------------
static void drop_made(void *ctx) {
    struct call *call = ctx;
    arena_free(call->made);
}

struct arena *call_makes(struct call *call) {
    CHECK(!call->made);
    return call->made = arena_must();
}

static enum ddg_error_kind kind_of(const struct call *call) {
    bool memory = call->kind == DDG_ERROR_PROGRAM && call->context->no_memory;
    return memory ? DDG_ERROR_MEMORY : call->kind;
}

// The error is made while what its spans point into is there.
static void serve_call(void *ctx) {
    struct call *call = ctx;
    struct cleanup words, made;
    call->arena = arena_must();
    cleanup_push(&words, arena_drop, call->arena);
    cleanup_push(&made, drop_made, call);
    diags_init(&call->d, call->arena);
    call->ok = call->fn(call, call->ctx);
    if (!call->ok)
        call->error = error_of(&call->context->allocator, kind_of(call), &call->d);
    cleanup_run(&made);
    cleanup_run(&words);
}

static bool give_up(struct call *call, enum scope_end end, const struct scope *s) {
    ddg_context *c = call->context;
    c->broken = c->broken || end == SCOPE_BUG;
    if (end == SCOPE_BUG)
        error_say(&call->error, &c->allocator, DDG_ERROR_BUG, "this is a bug of ddg: %s",
                  s->words);
    else call->error = error_no_memory();
    return false;
}

static bool can_serve(ddg_context *c, ddg_error **error) {
    if (!c) return is_null(c, "the context", error);
    if (c->broken || c->closed) {
        error_say(error, &c->allocator, c->broken ? DDG_ERROR_BUG : DDG_ERROR_ARGUMENT,
                  c->broken ? "a check of ddg's own failed before in this context, which "
                              "can only be closed"
                            : "the context is closed");
        return false;
    }
    if (!atomic_exchange(&c->busy, true)) return true;
    error_say(error, &c->allocator, DDG_ERROR_ARGUMENT,
              "the context is busy with another call");
    return false;
}

// Numbers are read and written with points, whatever the caller's locale says (that of C
// is there without being made).
bool serve(ddg_context *c, bool (*fn)(struct call *, void *), void *ctx,
           ddg_error **error) {
    if (!can_serve(c, error)) return false;
    struct call call = {.context = c, .fn = fn, .ctx = ctx};
    struct scope s = {.memory = &c->memory, .catches = true};
    atomic_store(&c->no_memory, false);
    call.locale = uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
    enum scope_end end = scope_run(&s, serve_call, &call);
    uselocale(call.locale);
    bool ok = end == SCOPE_DONE ? call.ok : give_up(&call, end, &s);
    atomic_store(&c->busy, false);
    if (!ok && error) *error = call.error;
    else if (!ok) ddg_error_free(call.error);
    return ok;
}

void serve_end(ddg_context *c, void (*fn)(void *), void *ctx) {
    struct scope s = {.memory = &c->memory, .catches = true};
    if (scope_run(&s, fn, ctx) == SCOPE_BUG) c->broken = true;
}

// ---- opening -------------------------------------------------------------------------
static bool options_read(const ddg_options *o, ddg_options *out, ddg_error **error) {
    static const size_t ends[] = {
        FIELD_END(ddg_options, size), FIELD_END(ddg_options, allocator),
        FIELD_END(ddg_options, store_path), FIELD_END(ddg_options, store_bytes),
        FIELD_END(ddg_options, ctx)};
    *out = (ddg_options){.store = DDG_STORE_NONE};
    if (!o || sized_copy(out, o, o->size, ends, COUNT(ends))) return true;
    error_say(error, NULL, DDG_ERROR_ARGUMENT,
              "ddg_options.size is %zu; this library's is %zu", o->size, sizeof *o);
    return false;
}

static bool options_check(const ddg_options *o, ddg_error **error) {
    if (o->allocator && !o->allocator->resize)
        return is_null(NULL, "ddg_allocator.resize", error);
    if (o->store == DDG_STORE_AT && !o->store_path)
        return is_null(NULL, "ddg_options.store_path", error);
    if (o->store == DDG_STORE_NONE || o->store == DDG_STORE_DEFAULT ||
        o->store == DDG_STORE_AT)
        return true;
    error_say(error, NULL, DDG_ERROR_ARGUMENT, "ddg_options.store is %d, no ddg_store",
              (int)o->store);
    return false;
}

static ddg_context *context_new(const ddg_options *o) {
    ddg_allocator from = o->allocator ? *o->allocator : (ddg_allocator){plain_resize, 0};
    ddg_context *c = from.resize(from.ctx, NULL, sizeof *c);
    if (!c) return NULL;
    *c = (ddg_context){.allocator = from, .memory = {watched_resize, c}};
    c->progress = o->progress;
    c->progress_ctx = o->ctx;
    return c;
}

// Runs go on without a store: what is wrong with it is there to be asked for.
static bool open_store(struct call *call, void *ctx) {
    const ddg_options *o = ctx;
    ddg_context *c = call->context;
    char why[512] = "none of DDG_STORE, XDG_CACHE_HOME and HOME says where it could be";
    struct store_options to = {.path = o->store_path, .max_bytes = o->store_bytes};
    if (o->store == DDG_STORE_NONE) return true;
    if (o->store == DDG_STORE_DEFAULT) to.path = store_default_path(call->arena);
    if (to.path) c->store = store_open(&to, why, sizeof why);
    if (!c->store && c->no_memory) scope_no_memory();
    if (!c->store && !(c->why_no_store = mem_strdup(why))) scope_no_memory();
    return true;
}

ddg_context *ddg_open(const ddg_options *o, ddg_error **error) {
    ddg_options own;
    if (!options_read(o, &own, error) || !options_check(&own, error)) return NULL;
    ddg_context *c = context_new(&own);
    if (c && serve(c, open_store, &own, error)) return c;
    if (!c && error) *error = error_no_memory();
    ddg_close(c);
    return NULL;
}

// ---- closing -------------------------------------------------------------------------
static void end_context(void *ctx) {
    ddg_context *c = ctx;
    store_close(c->store);
    c->store = NULL;
    mem_free(c->why_no_store);
    c->why_no_store = NULL;
    arena_free(c->trouble);
    c->trouble = NULL;
}

static void free_when_left(ddg_context *c) {
    if (c->closed && !c->objects) c->allocator.resize(c->allocator.ctx, c, 0);
}

// After a bug, locks may be held and threads wait: what they use stays where it is.
void ddg_close(ddg_context *c) {
    if (!c || c->busy || c->closed) return;
    if (!c->broken) serve_end(c, end_context, c);
    if (c->broken) return;
    c->closed = true;
    free_when_left(c);
}

void context_hold(ddg_context *c) {
    c->objects++;
}

void context_drop(ddg_context *c) {
    c->objects--;
    free_when_left(c);
}

// ---- the store -----------------------------------------------------------------------
struct asking {
    const char *trouble;
};

static bool ask_store(struct call *call, void *ctx) {
    struct asking *a = ctx;
    ddg_context *c = call->context;
    arena_free(c->trouble);
    c->trouble = NULL;
    c->trouble = arena_must();
    a->trouble = store_trouble(c->store, c->trouble);
    return true;
}

const char *ddg_trouble(ddg_context *c) {
    struct asking a = {"out of memory"};
    if (!c || c->broken || c->closed || c->busy) return NULL;
    if (!c->store) return c->why_no_store;
    serve(c, ask_store, &a, NULL);
    return a.trouble;
}
