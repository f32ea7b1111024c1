// Philox and the distributions made from it. See random.h.
#include "runtime/random.h"
#include "runtime/real.h"

#include <math.h>

void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

struct random random_stream(const char *purpose, uint64_t seed, struct digest content) {
    struct digest d = digest_of(purpose, strlen(purpose));
    d = digest_join(d, (struct digest){seed, 0});
    d = digest_join(d, content);
    // Half of the digest is the key, the other half where the counter starts; the low
    // half of the counter is left to count.
    return (struct random){.key = {(uint32_t)d.lo, (uint32_t)(d.lo >> 32)},
                           .counter = {0, 0, (uint32_t)d.hi, (uint32_t)(d.hi >> 32)}};
}

uint32_t random_u32(struct random *r) {
    if (!r->left) {
        philox4x32(r->key, r->counter, r->block);
        if (++r->counter[0] == 0) r->counter[1]++;
        r->left = 4;
    }
    return r->block[4 - r->left--];
}

double random_unit(struct random *r) {
    return (random_u32(r) + 0.5) * 0x1p-32;
}

double random_between(struct random *r, double low, double high) {
    return low + (high - low) * random_unit(r);
}

uint32_t random_below(struct random *r, uint32_t n) {
    uint32_t limit = UINT32_MAX - UINT32_MAX % n, v;
    do v = random_u32(r);
    while (v >= limit);
    return v % n;
}

void random_normal(struct random *r, float *out, size_t n) {
    for (size_t i = 0; i < n; i += 2) {
        double radius = sqrt(-2 * real_log(random_unit(r)));
        double angle = 6.283185307179586 * random_unit(r);
        out[i] = (float)(radius * real_cos(angle));
        if (i + 1 < n) out[i + 1] = (float)(radius * real_sin(angle));
    }
}
