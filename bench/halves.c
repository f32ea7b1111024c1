// What bf16 brings: networks forward with it permitted beside fp32, taking turns. Nothing
// is wanted of the ratio but that it is not below 1: permission is used where it is
// faster. See bench.h.
#include "bench/bench.h"

struct pair {
    struct ours halves, singles;
    struct profile *profile;
};

static bool open_pair(struct pair *p, struct task *task, size_t threads) {
    if (!ours_open(&p->singles, task, threads)) return false;
    task->bf16 = true;
    if (ours_open(&p->halves, task, threads)) return true;
    ours_close(&p->singles);
    return false;
}

static bool run_pair(struct pair *p, double *halves, double *singles) {
    struct outcome h, s;
    if (!ours_run(&p->halves, p->profile, &h)) return false;
    if (!ours_run(&p->singles, p->profile, &s)) return false;
    *halves = h.forward;
    *singles = s.forward;
    return true;
}

static void compare(struct bench *b, const char *name, struct pair *p) {
    double halves[MAX_RUNS], singles[MAX_RUNS], ratios[MAX_RUNS];
    size_t n = 0;
    while (n < b->runs && run_pair(p, &halves[n], &singles[n])) {
        ratios[n] = halves[n] / singles[n];
        n++;
    }
    if (!n) return;
    struct line l = {.name = arena_printf(b->arena, "bf16 forward %s", name),
                     .unit = "images/s",
                     .ours = median(halves, n),
                     .peer = "fp32",
                     .theirs = median(singles, n),
                     .ratio = median(ratios, n)};
    print_line(b, &l);
}

static void measure(struct bench *b, const struct network *n) {
    const char *model = network_file(b, n->name);
    const char *images = images_of(b, n->size, n->repeats);
    if (!model || !images) return;
    struct task task = {.model = model,
                        .images = images,
                        .body = FORWARD,
                        .size = n->size,
                        .folder = b->folder};
    struct pair p = {.profile = profile_new(b->threads, false)};
    if (!p.profile || !open_pair(&p, &task, b->threads)) {
        skip(b, "bf16 forward %s: it cannot be compiled", n->name);
    } else {
        if (p.halves.driver.target.bf16) compare(b, n->name, &p);
        else skip(b, "bf16 forward %s: the processor has no bf16", n->name);
        ours_close(&p.halves);
        ours_close(&p.singles);
    }
    profile_free(p.profile);
}

void part_bf16(struct bench *b) {
    for (size_t i = 0; i < nnetworks; i++)
        if (is_asked_network(b, networks[i].name)) measure(b, &networks[i]);
}
