// See progress.h. On a terminal one line a stage is written over and over; elsewhere a
// line when a stage is done, and one a minute before that.
#include "cli/progress.h"

#include <unistd.h>

struct progress progress_new(FILE *to) {
    return (struct progress){.to = to, .terminal = isatty(fileno(to))};
}

static void print_time(char out[32], double s) {
    if (s < 100) snprintf(out, 32, "%.1f s", s);
    else if (s < 6000)
        snprintf(out, 32, "%.0f min %02.0f s", (double)(int)(s / 60),
                 s - 60 * (int)(s / 60));
    else
        snprintf(out, 32, "%.0f h %02.0f min", (double)(int)(s / 3600),
                 (s - 3600 * (int)(s / 3600)) / 60);
}

static void print_line(const struct progress *p, const char *name, size_t done,
                       size_t rows, double seconds) {
    char time[32];
    double rate = seconds > 0 ? (double)done / seconds : 0;
    bool over = done == rows;
    fprintf(p->to, "%s%s: %zu of %zu rows", p->terminal ? "\r" : "", name, done, rows);
    if (done) {
        print_time(time, over || rate <= 0 ? seconds : (double)(rows - done) / rate);
        fprintf(p->to, ", %.4g a second, %s%s", rate, time, over ? "" : " left");
    }
    fputs(p->terminal ? "\033[K" : "\n", p->to);
    if (p->terminal && over) fputc('\n', p->to);
    fflush(p->to);
}

void progress_stage(void *progress, const char *name, size_t done, size_t rows,
                    double seconds) {
    struct progress *p = progress;
    if (p->stage != name) {
        p->stage = name;
        p->shown = 0;
    }
    bool first = p->terminal && done == 0; // so that nobody wonders what is going on
    if (done < rows && !first && seconds - p->shown < (p->terminal ? 0.1 : 60)) return;
    p->shown = seconds;
    print_line(p, name, done, rows, seconds);
    if (done == rows) p->stage = NULL;
}

void progress_end(struct progress *p) {
    if (p->terminal && p->stage) fputc('\n', p->to);
    p->stage = NULL;
}

void report_print(const struct run_report *r, double compile_s, FILE *to) {
    fprintf(to, "%-40s %10s %10s %12s\n", "stage", "rows", "seconds", "rows/second");
    fprintf(to, "%-40s %10s %10.3f\n", "compile", "", compile_s);
    for (size_t i = 0; i < r->nstages; i++) {
        const struct run_stage *s = &r->stages[i];
        fprintf(to, "%-40s %10zu %10.3f %12.1f\n", s->name, s->rows, s->seconds,
                s->seconds > 0 ? (double)s->rows / s->seconds : 0);
    }
    fprintf(to, "%-40s %10s %10.3f\n", "in all", "", compile_s + r->seconds);
    fprintf(to, "peak memory %.1f MB\n", (double)r->peak_bytes / 1e6);
    if (r->nskipped) fprintf(to, "left out %zu files:\n", r->nskipped);
    for (size_t i = 0; i < r->nskipped; i++) fprintf(to, "  %s\n", r->skipped[i]);
    for (size_t i = 0; i < r->nsaved; i++)
        fprintf(to, "wrote %zu rows to %s\n", r->saved[i].rows, r->saved[i].to);
}
