// soft_encode: ab -> the K nearest bins of each pixel and their Gaussian weights.
// NumPy reference: mini_colorize.bins.soft_encode.
//
// Idea   A lookup table names, for each 5 x 5 cell of the ab plane, every bin that can be among
//        the K nearest of any point in the cell. One thread a pixel walks through its cell's bins
//        and keeps the K best in registers, sorted. The search is exact: distances are float64
//        and rounded as NumPy rounds them (no fused multiply-add), and a bin displaces another
//        only if it is strictly nearer, so equal distances stay with the lower bin index.
// Arrays ab (P, 2) float; bins (Q, 2) float; table (CELLS, CELLS, M) int, ascending, padded with Q;
//        index (P, K) int; weight (P, K) float.
// Grid   ceil(P / 256) blocks of 256 threads; no shared memory.
// Bytes  8 read and 8 K written a pixel; table and bins (about 240 kB) come from the caches.
// -D     K, Q, CELL (side of a cell), REACH (the table covers -REACH .. REACH).
#include "common.cuh"

#define CELLS (2 * REACH / CELL)

extern "C" __global__ void __launch_bounds__(256)
soft_encode(const float* __restrict__ ab, const float* __restrict__ bins,
            const int* __restrict__ table, int* __restrict__ index, float* __restrict__ weight,
            const long long pixels, const int m, const float inv_two_sigma2)
{
    const long long p = blockIdx.x * 256LL + threadIdx.x;
    if (p >= pixels) return;
    const float a = ab[2 * p], b = ab[2 * p + 1];
    double best[K];
    int which[K];
#pragma unroll
    for (int k = 0; k < K; k++) {
        best[k] = 1e300;
        which[k] = k;  // what NumPy gives where no distance is a number
    }
    const bool inside = fabsf(a) < REACH && fabsf(b) < REACH;  // false for NaN too
    const int* candidates = table;
    int count = Q;  // outside the table every bin is tried
    if (inside) {
        const int i = (int)floorf((a + REACH) / CELL), j = (int)floorf((b + REACH) / CELL);
        // a + REACH may round up to 2 REACH
        candidates += ((long long)min(i, CELLS - 1) * CELLS + min(j, CELLS - 1)) * m;
        count = m;
    }
    for (int c = 0; c < count; c++) {
        int q = inside ? candidates[c] : c;
        if (q == Q) break;
        const double da = (double)a - bins[2 * q], db = (double)b - bins[2 * q + 1];
        double d = __dadd_rn(__dmul_rn(da, da), __dmul_rn(db, db));
        if (!(d < best[K - 1])) continue;
        bool found = false;
#pragma unroll
        for (int k = 0; k < K; k++) {  // insert; from its place on, everyone moves on by one
            found |= d < best[k];
            if (found) {
                const double far = best[k];
                const int other = which[k];
                best[k] = d;
                which[k] = q;
                d = far;
                q = other;
            }
        }
    }
    float z[K], sum = 0.f;
#pragma unroll
    for (int k = 0; k < K; k++) {
        z[k] = expf((float)(best[0] - best[k]) * inv_two_sigma2);
        sum += z[k];
    }
    const float scale = (isfinite(a) && isfinite(b)) ? 1.f / sum : a - a + (b - b);  // NaN
#pragma unroll
    for (int k = 0; k < K; k++) {
        index[p * K + k] = which[k];
        weight[p * K + k] = z[k] * scale;
    }
}
