// See words.h. Each fits its buffer whatever the number, so results are never cut.
#include "cli/base/words.h"

#include <math.h>

struct words count_words(uint64_t n) {
    struct words w;
    char digits[WORDS_MAX];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) w.at[at++] = ',';
        w.at[at++] = digits[i];
    }
    w.at[at] = 0;
    return w;
}

// Three digits are enough to compare by.
static struct words scaled(double v, double step, const char *const *units, size_t n) {
    struct words w;
    size_t unit = 0;
    while (unit + 1 < n && v >= 999.5) {
        v /= step;
        unit++;
    }
    int decimals = unit == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;
    snprintf(w.at, sizeof w.at, "%.*f %s", decimals, v, units[unit]);
    return w;
}

struct words size_words(uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return scaled((double)bytes, 1024, units, COUNT(units));
}

struct words flops_words(double flops) {
    static const char *const units[] = {"FLOP",  "kFLOP", "MFLOP", "GFLOP",
                                        "TFLOP", "PFLOP", "EFLOP"};
    return scaled(flops, 1000, units, COUNT(units));
}

struct words time_words(double s) {
    struct words w;
    double hours = floor(s / 3600), minutes = floor(s / 60);
    if (s < 0.00995) snprintf(w.at, sizeof w.at, "%.1f ms", 1000 * s);
    else if (s < 0.9995) snprintf(w.at, sizeof w.at, "%.0f ms", 1000 * s);
    else if (s < 99.95) snprintf(w.at, sizeof w.at, "%.1f s", s);
    else if (s < 6000)
        snprintf(w.at, sizeof w.at, "%.0f min %02.0f s", minutes,
                 floor(s - 60 * minutes));
    else if (s < 360000)
        snprintf(w.at, sizeof w.at, "%.0f h %02.0f min", hours,
                 floor((s - 3600 * hours) / 60));
    else snprintf(w.at, sizeof w.at, "%.4g days", s / 86400);
    return w;
}
