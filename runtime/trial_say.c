// See trial.h: what a trial found, in words.
#include "runtime/trial.h"

#define NAMED_MOST ((size_t)4) // classes that a message names

// Rounded down: 100% is all of them.
static size_t percent(struct trial_counts c) {
    return c.n ? (size_t)(100.0 * (double)c.right / (double)c.n) : 0;
}

static const char *counts_text(struct arena *a, struct trial_counts c) {
    return arena_printf(a, "%zu of %zu", c.right, c.n);
}

const char *trial_line(struct arena *a, const struct plan_trial *p,
                       const struct trial_verdict *v) {
    return arena_printf(a, "`%s` gets %s images of `%s` right (%zu%%)%s", p->model,
                        counts_text(a, v->given), p->images, percent(v->given),
                        v->unsure ? ", too few to tell that from guessing" : "");
}

// ---- ways ----------------------------------------------------------------------------
static const char *numbers_text(struct arena *a, const double *v) {
    struct text t = {.arena = a};
    for (size_t i = 0; i < TRIAL_CHANNELS; i++)
        text_add(&t, "%s%.4g", i ? ", " : "", v[i]);
    return t.at;
}

static const char *norm_text(struct arena *a, const struct trial_norm *n) {
    return arena_printf(a, "mean = [%s], std = [%s]", numbers_text(a, n->mean),
                        numbers_text(a, n->std));
}

const char *trial_way_words(struct arena *a, size_t i) {
    struct trial_way w = trial_way(i);
    if (!w.norm) return "with red and blue swapped";
    return arena_printf(a, "with %s%s", norm_text(a, w.norm),
                        w.reversed ? " and red and blue swapped" : "");
}

// "; ImageNet's normalisation does about as well"
static const char *alike_text(struct arena *a, const struct trial_verdict *v) {
    struct text t = {.arena = a};
    size_t n = 0;
    for (size_t i = 0; i < TRIAL_VARIANTS; i++) {
        struct trial_way w = trial_way(i);
        if (!v->alike[i] || !w.norm || w.reversed != trial_way((size_t)v->way).reversed)
            continue;
        text_add(&t, "%s%s", n++ ? " and " : "; ", w.norm->name);
    }
    if (n) text_add(&t, " %s about as well", n > 1 ? "do" : "does");
    return n ? t.at : "";
}

static bool same_place(struct span a, struct span b) {
    return a.file == b.file && a.start == b.start && a.end == b.end;
}

static void help_way(struct diags *d, const struct plan_trial *p,
                     const struct trial_verdict *v) {
    struct trial_way w = trial_way((size_t)v->way);
    static const char swap[] = "images are read as R G B: export the model with its "
                               "channels reversed (x[:, [2, 1, 0]]), or write the images "
                               "again if they were written as B G R";
    if (!w.norm) {
        diag_help(d, "%s", swap);
        return;
    }
    diag_help(d, "that is %s: check `mean` and `std` of onnx(...)%s%s%s", w.norm->name,
              alike_text(d->arena, v), w.reversed ? "; " : "", w.reversed ? swap : "");
    if (!same_place(p->model_span, p->span))
        diag_note(d, p->model_span, "`%s` is read here", p->model);
}

// ---- orders of classes ---------------------------------------------------------------
static const char *order_words(enum trial_order order) {
    static const char *const words[] = {
        [ORDER_NAMES] = "",
        [ORDER_NUMBERS] = "with the folders in the order of the numbers in their names",
        [ORDER_CASELESS] = "with the folders in alphabetical order, capitals or not",
        [ORDER_OTHER] = "with the classes in another order",
    };
    return words[order];
}

static const char *name_list(struct arena *a, const struct trial *t) {
    struct text list = {.arena = a};
    for (size_t i = 0; i < t->nnames && i < NAMED_MOST; i++)
        text_add(&list, "%s`%s`", i ? ", " : "", t->names[i]);
    if (t->nnames > NAMED_MOST) text_add(&list, " ...");
    return list.at;
}

// "`cat` (3) is mostly output 5, ...": of those that are not where they are taken to be.
static const char *moved_list(struct arena *a, const struct trial *t,
                              const struct trial_verdict *v) {
    struct text list = {.arena = a};
    size_t said = 0, moved = 0;
    for (size_t i = 0; i < t->nnames; i++) {
        if (v->output[i] == TRIAL_NO_OUTPUT || v->output[i] == i) continue;
        moved++;
        if (said == NAMED_MOST) continue;
        text_add(&list, "%s`%s` (%zu) is mostly output %u", said++ ? ", " : "",
                 t->names[i], i, v->output[i]);
    }
    if (moved > said) text_add(&list, " and so on, %zu in all", moved);
    return list.at;
}

static const char *order_help(struct arena *a, const struct trial *t,
                              const struct trial_verdict *v) {
    static const char bytes[] =
        "classes are numbered by the folders' names in byte order";
    const char *remedy = t->nnames == t->classes
                             ? "rename them, so that they come in the model's order"
                             : "each output of the model needs a folder, in their order";
    switch (v->order) {
    case ORDER_NUMBERS:
        return arena_printf(a, "%s (%s): write the numbers with leading zeros", bytes,
                            name_list(a, t));
    case ORDER_CASELESS:
        return arena_printf(a, "%s, capitals before small letters (%s): rename them",
                            bytes, name_list(a, t));
    case ORDER_OTHER:
        return arena_printf(a, "%s; %s: %s", bytes, moved_list(a, t, v), remedy);
    case ORDER_NAMES: break;
    }
    BUG("no such order");
}

// ---- all of it -----------------------------------------------------------------------
static void say_better(const struct plan_trial *p, const struct trial *t,
                       const struct trial_verdict *v, struct diags *d) {
    struct arena *a = d->arena;
    const char *way = v->way < 0 ? "" : trial_way_words(a, (size_t)v->way);
    const char *order = order_words(v->order);
    diag_warning(
        d, p->span, "`%s` gets %s images of `%s` right (%zu%%), but %zu (%zu%%) %s%s%s",
        p->model, counts_text(a, v->before), p->images, percent(v->before),
        v->after.right, percent(v->after), order, *order && *way ? " and " : "", way);
    if (v->order == ORDER_NAMES) {
        help_way(d, p, v);
        return;
    }
    diag_help(d, "%s", order_help(a, t, v));
    if (v->way >= 0 && trial_way((size_t)v->way).norm)
        diag_note(d, p->model_span, "check `mean` and `std` of `%s`, too", p->model);
}

// More classes than images, or more images than classes, have only numbers in common.
static void say_classes(const struct plan_trial *p, const struct trial *t,
                        struct diags *d) {
    diag_warning(d, p->span, "`%s` tells %zu classes apart, but `%s` has %zu", p->model,
                 t->classes, p->images, t->nnames);
    diag_help(d,
              "folder by folder, in byte order of names (%s), they are taken for the "
              "model's outputs 0, 1, ...",
              name_list(d->arena, t));
}

static void say_guessing(const struct plan_trial *p, const struct trial_verdict *v,
                         struct diags *d) {
    bool tried = v->ways[0].n > 0;
    diag_warning(d, p->span,
                 "`%s` gets %s images of `%s` right (%zu%%): no better than guessing",
                 p->model, counts_text(d->arena, v->given), p->images, percent(v->given));
    diag_help(d,
              "%s: is it a model of these classes, and are the images in the folders of "
              "their classes?",
              tried
                  ? "no other `mean` and `std`, red and blue swapped or order of classes "
                    "makes it better"
                  : "no other order of classes makes it better");
}

void trial_say(const struct plan_trial *p, const struct trial *t,
               const struct trial_verdict *v, struct diags *d) {
    bool better = v->way >= 0 || v->order != ORDER_NAMES;
    if (t->nnames != t->classes) say_classes(p, t, d);
    if (better) say_better(p, t, v, d);
    else if (v->guessing) say_guessing(p, v, d);
}

bool trial_enough(const struct plan_trial *p, const struct trial_verdict *v,
                  struct diags *d) {
    if ((double)v->given.right >= p->at_least * (double)v->given.n) return true;
    return diag_error(d, p->span,
                      "`%s` gets %s images of `%s` right (%zu%%), and `at_least` wants "
                      "%.12g%%",
                      p->model, counts_text(d->arena, v->given), p->images,
                      percent(v->given), 100 * p->at_least);
}
