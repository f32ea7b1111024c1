// The networks that ddg builds: which there are, how small images may be, and the model
// that is made of each. Their layers are in frontend/networks.
#include "frontend/networks.h"
#include "frontend/digest.h"
#include "frontend/networks/layers.h"

#define RGB 3

struct network { // source of these models
    enum op op;
    const struct value *attrs;
};

// ---- the table -----------------------------------------------------------------------
static size_t any_side(const struct value *attrs) {
    (void)attrs;
    return 1;
}

static size_t lenet_side(const struct value *attrs) {
    (void)attrs;
    return 16;
}

static size_t convnet_side(const struct value *attrs) {
    return (size_t)1 << attrs[op_attr(OP_CONVNET, "depth", 5)].i;
}

static size_t vgg_side(const struct value *attrs) {
    (void)attrs;
    return 32;
}

static const struct kind_of {
    enum op op;
    nid (*build)(struct net *n, nid x);        // images to logits
    size_t (*side)(const struct value *attrs); // of the smallest images that it takes
} KINDS[] = {
    {OP_MLP, net_mlp, any_side},
    {OP_LENET, net_lenet, lenet_side},
    {OP_CONVNET, net_convnet, convnet_side},
    {OP_RESNET, net_resnet, any_side},
    {OP_VGG11, net_vgg11, vgg_side},
    {OP_MOBILENET_V2, net_mobilenet_v2, any_side},
};

static const struct kind_of *kind_of(enum op op) {
    for (size_t i = 0; i < COUNT(KINDS); i++)
        if (KINDS[i].op == op) return &KINDS[i];
    BUG("%s is no network", op_info(op)->name);
}

// ---- the function --------------------------------------------------------------------
static const struct value *attr_of(const struct network *w, const char *name) {
    int i = op_attr(w->op, name, strlen(name));
    CHECK(i >= 0);
    return &w->attrs[i];
}

// For images of h x w pixels, with the parameters of `like`; NULL: drawn. NULL with the
// reason in *error when there is none.
static const struct func *network_func(struct arena *arena, const struct network *k,
                                       const struct func *like, size_t h, size_t w,
                                       const char **error) {
    struct net n = {.arena = arena, .like = like, .attrs = k->attrs, .op = k->op};
    size_t least = kind_of(k->op)->side(k->attrs);
    if (h < least || w < least) {
        *error = arena_printf(arena,
                              "images of %zu x %zu are too small: it takes %zu x %zu "
                              "and larger ones",
                              h, w, least, least);
        return NULL;
    }
    n.seed = attr_of(k, "seed")->i;
    n.side = (size_t)attr_of(k, "size")->i;
    builder_init(&n.b, arena, "model");
    nid x = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, (size_t[]){RGB, h, w}));
    nid logits = kind_of(k->op)->build(&n, x);
    *error = n.error;
    if (n.error) return NULL;
    build_output(&n.b, "logits", logits);
    return builder_finish(&n.b);
}

static const struct func *at_size(const struct model *m, struct arena *arena, size_t h,
                                  size_t w, struct diags *d, struct span at) {
    const char *error;
    if (h == m->height && w == m->width) return m->func;
    const struct func *f = network_func(arena, m->source, m->func, h, w, &error);
    if (f) return f;
    diag_error(d, at, "%s is made for images of %zu x %zu and cannot take %zu x %zu: %s",
               m->path, m->height, m->width, h, w, error);
    diag_help(d, "`size` of images, random_crop and stitch, and `resize` of crop, give "
                 "images that size");
    return NULL;
}

// ---- the model -----------------------------------------------------------------------
// `none` of the defaults, a number for each channel.
static bool channel_numbers(struct arena *arena, const struct network *k,
                            const char *name, double none, double **out, struct diags *d,
                            struct span at) {
    const struct value *v = attr_of(k, name);
    *out = NEW_N(arena, double, RGB);
    for (size_t i = 0; i < RGB; i++) (*out)[i] = v->kind == VAL_NONE ? none : 0;
    if (v->kind == VAL_NONE) return true;
    if (v->n != RGB)
        return diag_error(d, at, "%s of `%s` has %zu number%s; images have %d channels",
                          name, op_info(k->op)->name, v->n, v->n == 1 ? "" : "s", RGB);
    memcpy(*out, v->fs, RGB * sizeof **out);
    return true;
}

static const char *check_attrs(const struct network *k) {
    if (k->op != OP_CONVNET || strcmp(attr_of(k, "norm")->s, "group") != 0) return NULL;
    return attr_of(k, "width")->i % CONVNET_GROUPS == 0
               ? NULL
               : "`width` is a multiple of 4 with norm = \"group\"";
}

static struct network *network_copy(struct arena *arena, enum op op,
                                    const struct value *attrs) {
    struct network *k = NEW(arena, struct network);
    *k = (struct network){op, arena_dup(arena, attrs, op_attr_count(op), sizeof *attrs)};
    return k;
}

const struct model *network_build(struct arena *arena, enum op op,
                                  const struct value *attrs, struct diags *d,
                                  struct span at) {
    struct network *k = network_copy(arena, op, attrs);
    struct model *m = NEW(arena, struct model);
    const char *error = check_attrs(k);
    m->path = op_info(op)->name;
    m->channels = RGB;
    m->height = m->width = (size_t)attr_of(k, "size")->i;
    m->classes = (size_t)attr_of(k, "classes")->i;
    if (!channel_numbers(arena, k, "mean", 0.5, &m->mean, d, at) ||
        !channel_numbers(arena, k, "std", 0.25, &m->std, d, at))
        return NULL;
    if (!error) m->func = network_func(arena, k, NULL, m->height, m->width, &error);
    if (!m->func) {
        diag_error(d, at, "%s: %s", m->path, error);
        return NULL;
    }
    m->at_size = at_size;
    m->digest_at = model_digest_at;
    m->source = k;
    model_digest(m, arena);
    return m;
}
