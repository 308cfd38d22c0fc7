// annealed_mean: softmax(logits / T) times the bins, one colour a pixel.
// NumPy reference: mini_colorize.bins.annealed_mean.
//
// Idea   One warp a pixel, several pixels a warp. Lane l has the classes l, l + 32, ... and keeps
//        their bins in registers from pixel to pixel; the logits are read once. T = 0 (MODE) is
//        the bin of the largest logit, the lowest index among equals.
// Arrays logits (P, Q) REAL; bins (Q, 2) float; ab (P, 2) REAL. slope: log2(e) / T, since the
//        hardware's exponential is that of 2.
// Grid   up to 8 blocks of 256 threads (8 warps) a multiprocessor; no shared memory.
// Bytes  a pixel: Q read, 2 written (REAL).
// -D     Q, REAL, MODE (1 for T = 0, else 0).
#include "common.cuh"

#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void __launch_bounds__(256)
annealed_mean(const REAL* __restrict__ logits, const float* __restrict__ bins,
              REAL* __restrict__ ab, const long long pixels, const float slope)
{
    const int lane = threadIdx.x & 31;
#if !MODE
    float bin_a[PER_LANE], bin_b[PER_LANE];
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int q = lane + 32 * i;
        bin_a[i] = q < Q ? bins[2 * q] : 0.f;
        bin_b[i] = q < Q ? bins[2 * q + 1] : 0.f;
    }
#endif
    const long long warps = gridDim.x * 8LL;
    for (long long p = blockIdx.x * 8LL + (threadIdx.x >> 5); p < pixels; p += warps) {
        const REAL* row = logits + p * Q;
        float z[PER_LANE], top = LOWEST;
        bool broken = false;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const int q = lane + 32 * i;
            z[i] = q < Q ? load(row + q) : LOWEST;
            top = fmaxf(top, z[i]);
            broken |= isnan(z[i]);
        }
        top = warp_max(top);
        broken = __any_sync(FULL, broken);  // fmaxf passes over NaN; the reference does not
#if MODE
        int first = Q;  // of the bins that reach the maximum (or, as argmax has it, are NaN)
#pragma unroll
        for (int i = PER_LANE - 1; i >= 0; i--)
            if (lane + 32 * i < Q && (broken ? isnan(z[i]) : z[i] == top)) first = lane + 32 * i;
#pragma unroll
        for (int o = 16; o > 0; o >>= 1) first = min(first, __shfl_xor_sync(FULL, first, o));
        if (first == Q) first = 0;  // all are -infinity
        const float a = bins[2 * first], b = bins[2 * first + 1];
#else
        if (broken) top = nanf("");
        float sum = 0.f, a = 0.f, b = 0.f;
#pragma unroll
        for (int i = 0; i < PER_LANE; i++) {
            const float e = lane + 32 * i < Q ? exp2f((z[i] - top) * slope) : 0.f;
            sum += e;
            a += e * bin_a[i];
            b += e * bin_b[i];
        }
        sum = warp_sum(sum);
        a = warp_sum(a) / sum;
        b = warp_sum(b) / sum;
#endif
        if (lane == 0) {
            store(ab + 2 * p, a);
            store(ab + 2 * p + 1, b);
        }
    }
}
