// See peak.h. The loops are compiled for each instruction set and chosen when they run.
// Twelve sums hide the latency of a multiply-add, which is four or five cycles in two
// units; those of bf16 take six.
#include "runtime/peak.h"

#include "runtime/pool.h"

#include <stdatomic.h>

#define ROUNDS 4096
#define TRIES  7
#define WARM   1e-3 // seconds of it until the processor's pace has settled

// name, how it is compiled, the vectors, how they are filled, multiplied and added,
// stored
#define LOOP(name, how, sums, vec, set, fma, store)                                      \
    how static void name(float *out) {                                                   \
        vec sum[sums], x = set(1.0f), y = set(1e-9f);                                    \
        for (int i = 0; i < sums; i++) sum[i] = set((float)i);                           \
        for (int r = 0; r < ROUNDS; r++) {                                               \
            _Pragma("GCC unroll 16") for (int i = 0; i < sums; i++) sum[i] =             \
                fma(sum[i], x, y);                                                       \
            __asm__ volatile("" : HOLD(x), HOLD(y));                                     \
        }                                                                                \
        for (int i = 1; i < sums; i++) sum[0] = fma(sum[0], sum[i], y);                  \
        store(out, sum[0]);                                                              \
    }

struct loop {
    size_t lanes, sums; // multiply-adds a vector does, vectors in a round
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
#define Z_DOT(s, x, y)   _mm512_dpbf16_ps(s, (__m512bh)(x), (__m512bh)(y))

LOOP(loop_4, , 12, __m128, _mm_set1_ps, SSE_FMA, _mm_storeu_ps)
LOOP(loop_8, FOR("avx2,fma"), 12, __m256, _mm256_set1_ps, AVX_FMA, _mm256_storeu_ps)
LOOP(loop_16, FOR("avx512f"), 12, __m512, _mm512_set1_ps, Z_FMA, _mm512_storeu_ps)
LOOP(pairs_16, FOR("avx512f,avx512bf16"), 16, __m512, _mm512_set1_ps, Z_DOT,
     _mm512_storeu_ps)

static struct loop loop_of(size_t lanes) {
    bool z = __builtin_cpu_supports("avx512f");
    bool y = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (z && (lanes == 0 || lanes == 16)) return (struct loop){16, 12, loop_16};
    if (y && (lanes == 0 || lanes == 8)) return (struct loop){8, 12, loop_8};
    return (struct loop){4, 12, lanes == 0 || lanes == 4 ? loop_4 : NULL};
}

static struct loop loop_of_pairs(void) {
    bool has = __builtin_cpu_supports("avx512bf16");
    return has ? (struct loop){32, 16, pairs_16} : (struct loop){0};
}

#elif defined(__aarch64__)

#include <arm_neon.h>

#define HOLD(v)           "+w"(v)
#define NEON_FMA(s, x, y) vfmaq_f32(s, x, y)

LOOP(loop_4, , 12, float32x4_t, vdupq_n_f32, NEON_FMA, vst1q_f32)

static struct loop loop_of(size_t lanes) {
    return (struct loop){4, 12, lanes == 0 || lanes == 4 ? loop_4 : NULL};
}

#else

static struct loop loop_of(size_t lanes) {
    (void)lanes;
    return (struct loop){0};
}

#endif

#if !defined(__x86_64__)

static struct loop loop_of_pairs(void) {
    return (struct loop){0};
}

#endif

// ---- timing --------------------------------------------------------------------------
// Seconds of `times` runs.
static double time_loop(const struct loop *l, size_t times) {
    float out[16];
    double began = clock_thread_seconds();
    for (size_t i = 0; i < times; i++) l->run(out);
    return clock_thread_seconds() - began;
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
    double work = 2.0 * (double)(m->loop.sums * ROUNDS * m->loop.lanes);
    double flops = work / median_of(each, TRIES);
    double sum = atomic_load(&m->sum);
    while (!atomic_compare_exchange_weak(&m->sum, &sum, sum + flops)) continue;
    atomic_fetch_add(&m->threads, 1);
}

static double flops_of(struct loop loop, size_t threads) {
    struct measuring m = {.loop = loop};
    if (!m.loop.run) return 0;
    pool_run(threads, measure, &m);
    return atomic_load(&m.sum) / (double)atomic_load(&m.threads);
}

double peak_flops(size_t threads, size_t lanes) {
    return flops_of(loop_of(lanes), threads);
}

double peak_bf16_flops(size_t threads) {
    return flops_of(loop_of_pairs(), threads);
}

size_t peak_lanes(void) {
    return loop_of(0).lanes;
}
