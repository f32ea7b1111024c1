// See progress.h. On a terminal one line a stage is written over and over; elsewhere a
// line when a stage is done, and one a minute before that.
#include "cli/base/progress.h"

#include "cli/base/words.h"

#include <unistd.h>

struct progress progress_new(FILE *to) {
    return (struct progress){.to = to, .terminal = isatty(fileno(to))};
}

static void print_line(const struct progress *p, const char *name, size_t done,
                       size_t rows, double seconds) {
    double rate = seconds > 0 ? (double)done / seconds : 0;
    bool over = done == rows;
    fprintf(p->to, "%s%s: %s of %s rows", p->terminal ? "\r" : "", name,
            count_words(done).at, count_words(rows).at);
    if (done && rate > 0) {
        struct words time = time_words(over ? seconds : (double)(rows - done) / rate);
        fprintf(p->to, ", %.4g a second, %s%s", rate, time.at, over ? "" : " left");
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
