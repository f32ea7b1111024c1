// Training beside PyTorch: steps a second of whole trainings, images gathered,
// normalised, asked about and learnt from; PyTorch's batches are there already. See
// bench.h.
#include "bench/bench.h"

struct course {
    const char *name;    // of the line
    const char *network; // of torch_train.py
    const char *net;     // as the language has it
    bool ask;            // labels are a ResNet-20's of each batch
    size_t batch, epochs;
    double wanted; // times PyTorch
};

static const struct course COURSES[] = {
    {"train ConvNet-3, batch 50, asking ResNet-20", "convnet",
     "convnet(classes = 10, size = 32)", true, 50, 1, 3},
    {"train ResNet-20, batch 128", "resnet20",
     "resnet(classes = 10, size = 32, depth = 20)", false, 128, 2, 3},
};

// ---- ours ----------------------------------------------------------------------------
struct timed { // one training, of a program that has no other
    struct bench *b;
    double rate; // steps a second
};

static bool time_act(void *ctx, struct driver *act, struct run_report *r) {
    struct timed *t = ctx;
    struct run_options run = {.threads = t->b->threads,
                              .stages = act->stages,
                              .load = driver_load_stage,
                              .load_funcs = driver_load_funcs,
                              .load_ctx = act};
    struct plan *p = act->module.plan;
    if (!plan_run(p, &run, act->arena, r, &act->d)) return false;
    CHECK(r->ntrained == 1);
    t->rate = (double)r->trained[0].steps / r->trained[0].seconds;
    return true;
}

static const char *write_program(struct bench *b, const struct course *c,
                                 const char *teacher, const char *images) {
    char *path = arena_printf(b->arena, "%s/train.ddg", b->folder);
    FILE *f = fopen(path, "w");
    if (!f) return NULL;
    fprintf(
        f,
        "x = images(\"%s\", size = 32)\n"
        "t = onnx(\"%s\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225])\n"
        "m = train(%s, x%s, epochs = %zu, batch = %zu, rate = 0.01)\n"
        "report(accuracy(m, x), to = \"accuracy\")\n",
        images, teacher, c->net, c->ask ? ", labels = ask(t, temperature = 20)" : "",
        c->epochs, c->batch);
    return fclose(f) == 0 ? path : NULL;
}

// 0: said on stderr.
static double train_once(struct bench *b, const char *program) {
    struct arena *arena = arena_must();
    struct driver v;
    struct driver_options options = {.path = program, .threads = b->threads};
    struct timed t = {.b = b};
    driver_init(&v, arena, &options);
    bool ok = driver_load(&v) && driver_rehearse(&v) &&
              driver_acts(&v, &(struct act_run){time_act, &t});
    diags_print(&v.d, stderr, false);
    driver_free(&v);
    arena_free(arena);
    return ok ? t.rate : 0;
}

// ---- in turn -------------------------------------------------------------------------
static void contest(struct bench *b, const struct course *c, const char *program) {
    double ours[MAX_RUNS], theirs[MAX_RUNS], ratios[MAX_RUNS];
    char name[64] = "";
    size_t n = 0;
    for (; n < b->runs; n++) {
        ours[n] = train_once(b, program);
        if (!(ours[n] > 0)) return;
        theirs[n] =
            torch_train(&b->peers, c->network, c->batch, c->ask, name, sizeof name);
        ratios[n] = theirs[n] > 0 ? ours[n] / theirs[n] : 0;
    }
    struct line l = {.name = c->name,
                     .unit = "steps/s",
                     .ours = median(ours, n),
                     .theirs = median(theirs, n),
                     .ratio = median(ratios, n),
                     .wanted = c->wanted};
    if (l.theirs > 0) l.peer = name;
    print_line(b, &l);
}

void part_train(struct bench *b) {
    const char *images = images_of(b, 32, 1), *teacher = network_file(b, "resnet20");
    if (!images || !teacher) return;
    for (size_t i = 0; i < COUNT(COURSES); i++) {
        const char *program = write_program(b, &COURSES[i], teacher, images);
        if (program) contest(b, &COURSES[i], program);
    }
}
