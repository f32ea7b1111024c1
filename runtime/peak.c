// See peak.h. The loops are compiled for each instruction set and chosen when they run. Twelve
// sums hide the latency of a multiply-add, which is four or five cycles in two units.
#include "runtime/peak.h"

#include "runtime/pool.h"

#include <stdatomic.h>
#include <time.h>

#define SUMS   12
#define ROUNDS 4096
#define TRIES  7
#define WARM   1e-3 // seconds of it until the processor's pace has settled

// name, how it is compiled, the vectors, how they are filled, multiplied and added, stored
#define LOOP(name, how, vec, set, fma, store)                                            \
    how static void name(float *out) {                                                   \
        vec sum[SUMS], x = set(1.0f), y = set(1e-9f);                                    \
        for (int i = 0; i < SUMS; i++) sum[i] = set((float)i);                           \
        for (int r = 0; r < ROUNDS; r++) {                                               \
            _Pragma("GCC unroll 16") for (int i = 0; i < SUMS; i++) sum[i] =             \
                fma(sum[i], x, y);                                                       \
            __asm__ volatile("" : HOLD(x), HOLD(y));                                     \
        }                                                                                \
        for (int i = 1; i < SUMS; i++) sum[0] = fma(sum[0], sum[i], y);                  \
        store(out, sum[0]);                                                              \
    }

struct loop {
    size_t lanes;
    void (*run)(float *out);
};

#if defined(__x86_64__)

#include <immintrin.h>

#define HOLD(v)  "+x"(v)
#define FOR(isa) __attribute__((target(isa)))
// No sum shares its multiplication with another.
#define SSE_FMA(s, x, y) _mm_add_ps(_mm_mul_ps(s, y), x)
#define AVX_FMA(s, x, y) _mm256_fmadd_ps(x, y, s)
#define Z_FMA(s, x, y)   _mm512_fmadd_ps(x, y, s)

LOOP(loop_4, , __m128, _mm_set1_ps, SSE_FMA, _mm_storeu_ps)
LOOP(loop_8, FOR("avx2,fma"), __m256, _mm256_set1_ps, AVX_FMA, _mm256_storeu_ps)
LOOP(loop_16, FOR("avx512f"), __m512, _mm512_set1_ps, Z_FMA, _mm512_storeu_ps)

static struct loop loop_of(size_t lanes) {
    bool z = __builtin_cpu_supports("avx512f");
    bool y = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (z && (lanes == 0 || lanes == 16)) return (struct loop){16, loop_16};
    if (y && (lanes == 0 || lanes == 8)) return (struct loop){8, loop_8};
    return (struct loop){4, lanes == 0 || lanes == 4 ? loop_4 : NULL};
}

#elif defined(__aarch64__)

#include <arm_neon.h>

#define HOLD(v)           "+w"(v)
#define NEON_FMA(s, x, y) vfmaq_f32(s, x, y)

LOOP(loop_4, , float32x4_t, vdupq_n_f32, NEON_FMA, vst1q_f32)

static struct loop loop_of(size_t lanes) {
    return (struct loop){4, lanes == 0 || lanes == 4 ? loop_4 : NULL};
}

#else

static struct loop loop_of(size_t lanes) {
    (void)lanes;
    return (struct loop){0};
}

#endif

// ---- timing -----------------------------------------------------------------------------
static double processor_seconds(void) {
    struct timespec t = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Seconds of `times` runs.
static double time_loop(const struct loop *l, size_t times) {
    float out[16];
    double began = processor_seconds();
    for (size_t i = 0; i < times; i++) l->run(out);
    return processor_seconds() - began;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct measuring {
    struct loop loop;
    _Atomic double sum;
    atomic_size_t threads;
};

static void measure(void *ctx, size_t worker) {
    struct measuring *m = ctx;
    double each[TRIES], passed = 0;
    size_t times = 1;
    (void)worker;
    for (; passed < WARM; times *= 2) passed = time_loop(&m->loop, times);
    for (size_t i = 0; i < TRIES; i++)
        each[i] = time_loop(&m->loop, times) / (double)times;
    qsort(each, TRIES, sizeof *each, by_value);
    double flops = 2.0 * (double)(SUMS * ROUNDS * m->loop.lanes) / each[TRIES / 2];
    double sum = atomic_load(&m->sum);
    while (!atomic_compare_exchange_weak(&m->sum, &sum, sum + flops)) continue;
    atomic_fetch_add(&m->threads, 1);
}

double peak_flops(size_t threads, size_t lanes) {
    struct measuring m = {.loop = loop_of(lanes)};
    if (!m.loop.run) return 0;
    pool_run(threads, measure, &m);
    return atomic_load(&m.sum) / (double)atomic_load(&m.threads);
}

size_t peak_lanes(void) {
    return loop_of(0).lanes;
}
