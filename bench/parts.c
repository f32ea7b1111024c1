// The numbers that have a peer: ours and it are measured in turn, so that a machine's
// moods meet both, and medians are given. See bench.h.
#include "bench/bench.h"

#include "cli/base/profile_report.h"
#include "runtime/peak.h"

#define SHAP(samples)                                                                    \
    "save(shap_patches(t, x, grid = 4, samples = " samples ", seed = 0), to = "          \
    "\"y.npy\")"
#define GRADNORM "save(gradnorm(t, x), to = \"y.npy\")"

enum peer_kind { PEER_ORT, PEER_TORCH };

struct contest {
    const char *name, *network, *body;
    size_t size, repeats, limit; // images: their side, how often, how many of each class
    enum peer_kind kind;
    size_t forwards; // of the peer that are worth one of our rows
    bool alone;      // without reading the images, which the peer does not do either
    double rate;     // images a second that are wanted; 0: none
    double wanted;   // times the peer; 0: none
};

struct rounds {
    double ours[MAX_RUNS], theirs[MAX_RUNS], ratios[MAX_RUNS];
    size_t n;
};

// ---- layers --------------------------------------------------------------------------
static void print_layers(struct bench *b, const struct contest *c, struct ours *o,
                         struct profile *profile) {
    if (!b->layers || b->json) return;
    struct profile_report r = {profile,      NULL,       peak_flops(b->threads, 0),
                               peak_lanes(), b->threads, o->arena};
    printf("\n%s, layer by layer", c->name);
    profile_print(&r, stdout);
    putchar('\n');
}

// ---- a contest -----------------------------------------------------------------------
static struct peer find_peer(struct bench *b, const struct contest *c,
                             const char *model) {
    if (c->kind == PEER_TORCH) return torch_search(&b->peers, model, c->size);
    return ort_search(&b->peers, model, c->size);
}

static double ask_peer(struct bench *b, const struct contest *c, const char *model,
                       const struct peer *p) {
    if (!(p->rate > 0)) return 0;
    double rate = c->kind == PEER_TORCH
                      ? torch_again(&b->peers, model, c->size, p->setting)
                      : ort_again(&b->peers, model, c->size, p->setting);
    return rate / (double)c->forwards;
}

static const char *peer_words(struct bench *b, const struct contest *c,
                              const struct peer *p) {
    if (c->kind == PEER_TORCH)
        return arena_printf(b->arena, "%s, a backward a row, %zu process%s", p->name,
                            p->setting, p->setting == 1 ? "" : "es");
    const char *words = arena_printf(b->arena, "%s, batch %zu", p->name, p->setting);
    return c->forwards == 1 ? words
                            : arena_printf(b->arena, "%s, / %zu", words, c->forwards);
}

static void add_round(struct rounds *r, double ours, double theirs) {
    r->ours[r->n] = ours;
    r->theirs[r->n] = theirs;
    r->ratios[r->n++] = theirs > 0 ? ours / theirs : 0;
}

static void print_rounds(struct bench *b, const struct contest *c, const struct peer *p,
                         const struct rounds *r) {
    struct line l = {.name = c->name, .unit = "images/s", .ours = median(r->ours, r->n)};
    l.wanted = c->rate;
    bool peer = p->rate > 0;
    if (c->rate > 0 || !peer) print_line(b, &l);
    if (!peer) return;
    l.peer = peer_words(b, c, p);
    l.theirs = median(r->theirs, r->n);
    l.ratio = median(r->ratios, r->n);
    l.wanted = c->wanted;
    print_line(b, &l);
}

static void fight(struct bench *b, const struct contest *c, const char *model,
                  struct ours *o, struct profile *profile) {
    struct rounds r = {.n = 0};
    struct outcome out;
    struct peer peer = find_peer(b, c, model);
    if (!(peer.rate > 0)) skip(b, "%s: its peer is not installed", c->name);
    while (r.n < b->runs && ours_run(o, profile, &out))
        add_round(&r, c->alone ? out.forward : out.rate, ask_peer(b, c, model, &peer));
    if (r.n) print_rounds(b, c, &peer, &r);
    if (r.n) print_layers(b, c, o, profile);
}

static void measure(struct bench *b, const struct contest *c) {
    const char *model = network_file(b, c->network);
    const char *images = images_of(b, c->size, c->repeats);
    if (!model || !images) return;
    struct task p = {model, images, c->body, c->size, c->limit, b->folder, false};
    struct profile *profile = profile_new(b->threads, false);
    struct ours o;
    if (!profile || !ours_open(&o, &p, b->threads)) {
        skip(b, "%s: it cannot be compiled", c->name);
    } else {
        fight(b, c, model, &o, profile);
        ours_close(&o);
    }
    profile_free(profile);
}

// ---- the parts -----------------------------------------------------------------------
void part_forward(struct bench *b) {
    for (size_t i = 0; i < nnetworks; i++) {
        const struct network *n = &networks[i];
        struct contest c = {.network = n->name,
                            .body = FORWARD,
                            .size = n->size,
                            .repeats = n->repeats,
                            .forwards = 1,
                            .alone = true,
                            .wanted = n->wanted};
        c.name = arena_printf(b->arena, "forward %s", n->name);
        if (is_asked_network(b, n->name)) measure(b, &c);
    }
}

// PyTorch batches as well as it can, too; nothing is asked of that ratio.
static void print_torch_shap(struct bench *b) {
    const char *model = network_file(b, "resnet20"), *images = images_of(b, 32, 1);
    struct task p = {model, images, SHAP("128"), 32, 6, b->folder, false};
    struct ours o;
    struct outcome out;
    if (!model || !images || !ours_open(&o, &p, b->threads)) return;
    if (ours_run(&o, NULL, &out)) {
        struct peer torch = torch_shap(&b->peers, model, images, 128);
        struct line l = {.name = "shap_patches resnet20, 128 samples",
                         .unit = "images/s",
                         .ours = out.rate,
                         .peer = torch.name,
                         .theirs = torch.rate,
                         .ratio = torch.rate > 0 ? out.rate / torch.rate : 0};
        if (torch.rate > 0) print_line(b, &l);
        else skip(b, "shap_patches resnet20: PyTorch is not installed");
    }
    ours_close(&o);
}

void part_shap(struct bench *b) {
    static const struct contest small = {"shap_patches resnet20, 128 samples",
                                         "resnet20",
                                         SHAP("128"),
                                         32,
                                         1,
                                         12,
                                         PEER_ORT,
                                         128,
                                         false,
                                         130,
                                         4};
    static const struct contest large = {"shap_patches resnet18 at 224, 64 samples",
                                         "resnet18_24",
                                         SHAP("64"),
                                         224,
                                         1,
                                         0,
                                         PEER_ORT,
                                         64,
                                         false,
                                         0,
                                         2.2};
    if (is_asked_network(b, "resnet20")) {
        measure(b, &small);
        print_torch_shap(b);
    }
    if (is_asked_network(b, "resnet18")) measure(b, &large);
}

void part_gradnorm(struct bench *b) {
    static const struct contest small = {
        "gradnorm resnet20", "resnet20", GRADNORM, 32,   1, 200,
        PEER_TORCH,          1,          false,    2000, 0};
    static const struct contest large = {"gradnorm resnet18 at 224",
                                         "resnet18_24",
                                         GRADNORM,
                                         224,
                                         2,
                                         0,
                                         PEER_TORCH,
                                         1,
                                         false,
                                         0,
                                         3};
    if (is_asked_network(b, "resnet20")) measure(b, &small);
    if (is_asked_network(b, "resnet18")) measure(b, &large);
}
