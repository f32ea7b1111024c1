// The networks and images of the benchmark. See bench.h.
#include "bench/bench.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

const struct network networks[] = {
    {"resnet20", 32, 3.0, 1},       {"resnet56", 32, 2.8, 1},  {"convnet3", 32, 1.7, 1},
    {"resnet18", 224, 1.7, 8},      {"vgg11", 224, 1.6, 2},    {"resnet50", 224, 1.3, 4},
    {"mobilenet_v2", 224, 1.1, 20}, {"vit_b_16", 224, 1.0, 1},
};
const size_t nnetworks = COUNT(networks);

static bool exists(const char *path) {
    return access(path, R_OK) == 0;
}

// ---- files ---------------------------------------------------------------------------
static bool make_network(const struct bench *b, const char *name) {
    const char *command =
        arena_printf(b->arena, "/usr/bin/python3 '%s/export.py' '%s' %s 2>/dev/null",
                     b->peers.bench, b->models, name);
    mkdir(b->models, 0777);
    return system(command) == 0;
}

// Programs lie in another folder, so paths are absolute.
static const char *absolute(struct bench *b, const char *path) {
    char *real = realpath(path, NULL);
    const char *kept = real ? arena_strdup(b->arena, real) : NULL;
    free(real);
    return kept;
}

const char *network_file(struct bench *b, const char *name) {
    const char *shipped = arena_printf(b->arena, "%s/models/%s.onnx", b->shared, name);
    const char *made = arena_printf(b->arena, "%s/%s.onnx", b->models, name);
    if (exists(shipped)) return absolute(b, shipped);
    if (!exists(made) && !make_network(b, name)) {
        skip(b, "%s: neither %s nor %s is there, and python3-torch is not to make it",
             name, shipped, made);
        return NULL;
    }
    return absolute(b, made);
}

bool is_asked_network(const struct bench *b, const char *name) {
    bool any = false;
    for (size_t i = 0; i < b->nnames; i++) {
        for (size_t k = 0; k < nnetworks; k++)
            any |= !strcmp(b->names[i], networks[k].name);
        if (!strcmp(b->names[i], name)) return true;
    }
    return !any;
}

// ---- images --------------------------------------------------------------------------
// Each photograph of a class, so many times.
static void link_class(struct bench *b, const char *from, const char *to,
                       size_t repeats) {
    DIR *dir = opendir(from);
    mkdir(to, 0777);
    for (struct dirent *e; dir && (e = readdir(dir));)
        for (size_t i = 0; e->d_name[0] != '.' && i < repeats; i++)
            if (symlink(arena_printf(b->arena, "%s/%s", from, e->d_name),
                        arena_printf(b->arena, "%s/%02zu-%s", to, i, e->d_name)) != 0)
                break;
    if (dir) closedir(dir);
}

static const char *link_photographs(struct bench *b, const char *from, size_t repeats) {
    const char *to = arena_printf(b->arena, "%s/photographs%zu", b->folder, repeats);
    if (exists(to)) return to;
    DIR *dir = opendir(from);
    mkdir(to, 0777);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            link_class(b, arena_printf(b->arena, "%s/%s", from, e->d_name),
                       arena_printf(b->arena, "%s/%s", to, e->d_name), repeats);
    if (dir) closedir(dir);
    return to;
}

const char *images_of(struct bench *b, size_t size, size_t repeats) {
    const char *in = size > 64 ? "imagenet-sample" : "cifar10/train";
    const char *path = absolute(b, arena_printf(b->arena, "%s/data/%s", b->shared, in));
    if (!path) skip(b, "%s/data/%s is not there", b->shared, in);
    return path && size > 64 ? link_photographs(b, path, repeats) : path;
}
