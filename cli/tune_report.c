// See tune_report.h.
#include "cli/tune_report.h"

#include "cli/base/words.h"

struct tuner *tuner_for(const struct args *a, struct arena *arena, struct store *s,
                        bool look, const atomic_bool *stop) {
    struct tuner_options o = {
        .store = s, .look = look, .stop = stop, .threads = a->threads};
    return a->tune ? tuner_new(arena, &o) : NULL;
}

const struct tuning *tuning_of(const struct tuner *t) {
    return t ? tuner_tuning(t) : NULL;
}

static bool is_other(const struct tuned *k) {
    return k->best.algorithm != k->usual.algorithm || k->best.tiling.blocks;
}

static bool is_algorithm(const struct tuned *k) {
    return k->best.algorithm != k->usual.algorithm;
}

// ---- for people ----------------------------------------------------------------------
static void print_kind(const struct tuned *k, FILE *to) {
    fprintf(to, "  %-38s %-24s %-26s", k->what, k->usual_how, k->best_how);
    if (k->from == TUNED_NOT) fputs("   not timed", to);
    else fprintf(to, " %9.2f us %6.2fx", 1e6 * k->best_s, k->usual_s / k->best_s);
    fputc('\n', to);
}

static size_t count_from(const struct tuned *k, size_t n, enum tuned_from from) {
    size_t all = 0;
    for (size_t i = 0; i < n; i++) all += k[i].from == from;
    return all;
}

static size_t count_if(const struct tuned *k, size_t n,
                       bool (*is)(const struct tuned *k)) {
    size_t all = 0;
    for (size_t i = 0; i < n; i++) all += is(&k[i]);
    return all;
}

void tune_print(const struct tuner *t, bool all, FILE *to) {
    size_t n;
    if (!t) return;
    const struct tuned *k = tuner_list(t, &n);
    fprintf(to, "tuning: %s kinds of kernel", count_words(n).at);
    fprintf(to, ", %s timed now", count_words(count_from(k, n, TUNED_NOW)).at);
    fprintf(to, ", %s in the store", count_words(count_from(k, n, TUNED_STORE)).at);
    size_t left = count_from(k, n, TUNED_NOT);
    if (left) fprintf(to, ", %s not timed", count_words(left).at);
    fprintf(to, "; %s other than by cost, %s by another algorithm\n",
            count_words(count_if(k, n, is_other)).at,
            count_words(count_if(k, n, is_algorithm)).at);
    bool head = true;
    for (size_t i = 0; i < n; i++) {
        if (!all && !is_other(&k[i])) continue;
        if (head)
            fprintf(to, "  %-38s %-24s %-26s %12s %7s\n", "kernel", "by cost",
                    "fastest here", "a row", "gain");
        head = false;
        print_kind(&k[i], to);
    }
}

void tune_say_trouble(const struct tuner *t) {
    const char *trouble = t ? tuner_trouble(t) : NULL;
    if (trouble) fprintf(stderr, "warning: %s\n", trouble);
}

// ---- for scripts ---------------------------------------------------------------------
static void emit_seconds(struct emit *e, const char *key, double seconds) {
    if (seconds > 0) emit_real(e, key, seconds);
    else emit_null(e, key);
}

void tune_emit(const struct tuner *t, struct emit *e) {
    static const char *const from[] = {
        [TUNED_NOW] = "now", [TUNED_STORE] = "store", [TUNED_NOT] = "not"};
    size_t n;
    if (!t) return;
    const struct tuned *k = tuner_list(t, &n);
    emit_open(e, "tuning", '[');
    for (size_t i = 0; i < n; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "kernel", k[i].what);
        emit_string(e, "problem", k[i].problem);
        emit_string(e, "target", k[i].target);
        emit_string(e, "timed", from[k[i].from]);
        emit_string(e, "usual", k[i].usual_how);
        emit_string(e, "best", k[i].best_how);
        emit_seconds(e, "usual_seconds", k[i].usual_s);
        emit_seconds(e, "best_seconds", k[i].best_s);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}
