// See profile_report.h. Seconds of kernels are a processor's and of all workers together;
// shares are of what the workers had of the machine, so that other programs do not show.
#include "cli/base/profile_report.h"

#include "cli/base/words.h"

#define LEAST_PHASE 1e-3 // seconds, below which a phase is not worth a line,
#define LEAST_SHARE 1e-3 // share of the time below which a kernel is not, but for
#define FEW         12   // so many
#define ROUGH       0.2  // share of the kernels' time above which it is said to be rough

static const char *const parts[] = {[PROFILE_READ] = "reading rows",
                                    [PROFILE_STORE] = "the store",
                                    [PROFILE_TURN] = "waiting for the chunks before",
                                    [PROFILE_SAVE] = "saving",
                                    [PROFILE_REST] = "between kernels"};
static const char *const members[] = {[PROFILE_READ] = "read",
                                      [PROFILE_STORE] = "store",
                                      [PROFILE_TURN] = "turn",
                                      [PROFILE_SAVE] = "save",
                                      [PROFILE_REST] = "rest"};

static double rate(double n, double seconds) {
    return seconds > 0 ? n / seconds : 0;
}

// ---- for people: kernels -------------------------------------------------------------
// Blank where nothing is counted: a copy has no operations.
static struct words giga_words(double per_second) {
    struct words w = {""};
    double giga = per_second * 1e-9;
    if (giga > 0)
        snprintf(w.at, sizeof w.at, giga < 9.95 ? "%.2f" : "%.1f",
                 giga < 1e12 ? giga : 1e12);
    return w;
}

static struct words percent_words(double share) {
    struct words w = {""};
    if (share > 0)
        snprintf(w.at, sizeof w.at, "%.1f%%", 100 * (share < 1e9 ? share : 1e9));
    return w;
}

static void print_kernel(const struct profile_report *r, const struct profile_row *k,
                         double all, FILE *to) {
    double speed = rate(k->flops, k->seconds);
    uint64_t rows = k->rows / k->layers;
    struct words bytes = {""};
    if (k->bytes > 0) bytes = size_words((uint64_t)(k->bytes / (double)k->rows));
    fprintf(to, "%-20.20s %-44s %-12s %6zu %9s %9s %6s %8s %7s %9s %7s\n", k->func,
            k->what, k->how, k->layers, count_words(rows).at, time_words(k->seconds).at,
            percent_words(rate(k->seconds, all)).at, giga_words(speed).at,
            percent_words(rate(speed, r->peak)).at, bytes.at,
            giga_words(rate(k->bytes, k->seconds)).at);
}

static void print_part(const char *name, double seconds, double all, FILE *to) {
    fprintf(to, "%-96s %9s %6s\n", name, time_words(seconds).at,
            percent_words(rate(seconds, all)).at);
}

static void print_kernels(const struct profile_report *r, const struct profile_row *rows,
                          size_t n, double all, FILE *to) {
    fprintf(to, "\n%-20s %-44s %-12s %6s %9s %9s %6s %8s %7s %9s %7s\n", "function",
            "kernel", "how", "layers", "rows", "time", "share", "GFLOP/s", "of peak",
            "a row", "GB/s");
    size_t i = 0;
    for (; i < n && (i < FEW || rows[i].seconds >= LEAST_SHARE * all); i++)
        print_kernel(r, &rows[i], all, to);
    double rest = 0;
    for (size_t k = i; k < n; k++) rest += rows[k].seconds;
    if (i < n)
        print_part(arena_printf(r->arena, "%zu more (--json has all)", n - i), rest, all,
                   to);
}

// ---- for people: the rest ------------------------------------------------------------
static void print_parts(const struct profile_report *r, const struct profile_sum *s,
                        double flops, double all, FILE *to) {
    double speed = rate(flops, s->kernels);
    fprintf(to, "%-96s %9s %6s %8s %7s\n", "all kernels", time_words(s->kernels).at,
            percent_words(rate(s->kernels, all)).at, giga_words(speed).at,
            percent_words(rate(speed, r->peak)).at);
    for (size_t i = 0; i < PROFILE_PARTS; i++)
        if (s->parts[i] > 0) print_part(parts[i], s->parts[i], all, to);
    print_part("without work", s->idle, all, to);
}

// What runs beside the workers, or is the sum of what they do, is not.
static bool is_outside(const struct timeline_phase *p) {
    return p->seconds >= LEAST_PHASE && strncmp(p->name, "compute ", 8) != 0 &&
           strncmp(p->name, "read rows of ", 13) != 0;
}

static void print_phases(const struct timeline *t, FILE *to) {
    struct timeline_phase phases[TIMELINE_MAX];
    size_t n = t ? timeline_phases(t, phases) : 0;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!is_outside(&phases[i])) continue;
        if (!any) fprintf(to, "before, between and after\n");
        any = true;
        fprintf(to, "  %-94s %9s\n", phases[i].name, time_words(phases[i].seconds).at);
    }
}

static void print_peak(const struct profile_report *r, const struct profile_sum *s,
                       FILE *to) {
    fprintf(to, "%zu worker%s, whose times are added up", r->workers,
            r->workers == 1 ? "" : "s");
    if (s->taken > 0.02 * s->all)
        fprintf(to, "; other programs had the processors for %s more%s",
                time_words(s->taken).at,
                s->rough > ROUGH * s->kernels ? ": rates of single kernels are rough"
                                              : "");
    fputc('\n', to);
    if (r->peak > 0)
        fprintf(
            to,
            "peak: %.1f GFLOP/s a worker, measured now (multiply-adds of %zu lanes, all "
            "workers at once)\n",
            r->peak * 1e-9, r->lanes);
}

// What is counted is what the op means, not what its algorithm makes of it.
static void print_note(const struct profile_report *r, const struct profile_row *rows,
                       size_t n, FILE *to) {
    for (size_t i = 0; i < n; i++)
        if (strstr(rows[i].how, "winograd") &&
            rate(rows[i].flops, rows[i].seconds) > r->peak) {
            fputs("above 100%: the algorithm needs fewer multiplications than are "
                  "counted\n",
                  to);
            return;
        }
}

void profile_print(const struct profile_report *r, FILE *to) {
    struct profile_row *rows;
    size_t n = profile_rows(r->profile, r->arena, &rows);
    struct profile_sum s = profile_sum(r->profile);
    double all = s.all - s.taken, flops = 0;
    for (size_t i = 0; i < n; i++) flops += rows[i].flops;
    if (n) print_kernels(r, rows, n, all, to);
    else fputs("\nprofile: no kernel was called\n", to);
    if (s.all > 0) print_parts(r, &s, flops, all, to);
    if (n) print_peak(r, &s, to);
    print_note(r, rows, n, to);
    print_phases(r->times, to);
}

// ---- for scripts ---------------------------------------------------------------------
static void emit_kernel(const struct profile_row *k, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "function", k->func);
    emit_string(e, "kernel", k->what);
    emit_string(e, "how", k->how);
    emit_count(e, "layers", k->layers);
    emit_count(e, "calls", k->calls);
    emit_count(e, "rows", k->rows);
    emit_real(e, "seconds", k->seconds);
    emit_real(e, "flops", k->flops);
    emit_real(e, "bytes", k->bytes);
    emit_close(e, '}');
}

void profile_emit(const struct profile_report *r, struct emit *e) {
    struct profile_row *rows;
    size_t n = profile_rows(r->profile, r->arena, &rows);
    struct profile_sum s = profile_sum(r->profile);
    emit_open(e, "profile", '{');
    emit_open(e, "kernels", '[');
    for (size_t i = 0; i < n; i++) emit_kernel(&rows[i], e);
    emit_close(e, ']');
    emit_count(e, "workers", r->workers);
    emit_real(e, "peak_flops", r->peak);
    emit_real(e, "all_seconds", s.all);
    emit_real(e, "kernel_seconds", s.kernels);
    for (size_t i = 0; i < PROFILE_PARTS; i++)
        emit_real(e, arena_printf(r->arena, "%s_seconds", members[i]), s.parts[i]);
    emit_real(e, "taken_seconds", s.taken);
    emit_real(e, "idle_seconds", s.idle);
    emit_close(e, '}');
}
