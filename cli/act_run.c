// See act_run.h.
#include "cli/act_run.h"

#include "runtime/profile.h"

struct acting {
    struct session *session;
    struct arena *arena;
    struct run_report *all;
};

static bool run_act(void *ctx, struct driver *act, struct run_report *r) {
    struct acting *a = ctx;
    struct session_load load = {driver_load_stage, driver_load_funcs, act, act->stages};
    bool ok = session_run(a->session, act->module.plan, &load, act->arena, r, &act->d);
    profile_keep(a->session->profile, a->arena);
    if (ok) report_join(a->all, r, a->arena);
    else a->all->stopped = r->stopped;
    return ok;
}

bool session_acts(struct session *s, struct driver *v, struct run_report *all) {
    struct acting a = {s, v->arena, all};
    struct act_run run = {run_act, &a};
    *all = (struct run_report){0};
    profile_forget(s->profile);
    return driver_acts(v, &run);
}
