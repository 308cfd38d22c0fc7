// annealed_mean: softmax(logits / T) times the bins, one colour a pixel.
// NumPy reference: mini_colorize.bins.annealed_mean.
//
// Idea   A few lanes a pixel (rows.cuh), several pixels a lane. The logits are read once; the bins
//        lie in shared memory, in the order in which neighbouring lanes ask for them. T = 0 (MODE)
//        is the bin of the largest logit, the lowest index among equals.
// Arrays logits (P, PITCH) REAL, of which Q count; bins (Q, 2) float; ab (P, 2) REAL.
//        slope: log2(e) / T, since the hardware's exponential is that of 2.
// Grid   up to 8 blocks of 256 threads a multiprocessor, ROWS pixels a block at a time: 32, or 8
//        with VEC 1; 2.5 kB of shared memory for 313 bins.
// Bytes  a pixel: PITCH read, 2 written (REAL): 644 for half, 1288 for float in rows of 320.
//        H200, one warp a pixel, 2 bytes at a time: half 47 to 56 % of a copy's rate. In this form
//        it is not yet measured.
// -D     Q, REAL, MODE (1 for T = 0, else 0), VEC, PITCH.
#include "rows.cuh"

extern "C" __global__ void __launch_bounds__(256)
annealed_mean(const REAL* __restrict__ logits, const float* __restrict__ bins,
              REAL* __restrict__ ab, const long long pixels, const float slope)
{
    const int lane = threadIdx.x % LANES;
#if !MODE
    __shared__ float2 table[PACKS * VEC][LANES];  // number k of pack i, lane by lane
    for (int t = threadIdx.x; t < PACKS * VEC * LANES; t += 256) {
        const int row = t / LANES, q = (row / VEC * LANES + t % LANES) * VEC + row % VEC;
        table[row][t % LANES] = q < Q ? make_float2(bins[2 * q], bins[2 * q + 1])
                                      : make_float2(0.f, 0.f);
    }
    __syncthreads();
#endif
    const long long step = gridDim.x * (long long)ROWS;
    for (long long first = blockIdx.x * (long long)ROWS; first < pixels; first += step) {
        const long long p = first + threadIdx.x / LANES;
        const bool mine = p < pixels;  // the others come along to the shuffles
        Pack z[PACKS];
        load_row(z, logits + p * PITCH, mine);
        const float top = row_max(z);
#if MODE
        bool broken = false;  // argmax has it that NaN is the largest
#pragma unroll
        for (int i = 0; i < PACKS; i++)
#pragma unroll
            for (int k = 0; k < VEC; k++) broken |= isnan(z[i].v[k]);
        broken = warp_max(broken) > 0.f;
        int which = Q;  // the first of the bins that reach the maximum, or are NaN
#pragma unroll
        for (int i = PACKS - 1; i >= 0; i--)
#pragma unroll
            for (int k = VEC - 1; k >= 0; k--)
                if (broken ? isnan(z[i].v[k]) : z[i].v[k] == top) which = first_class(i) + k;
#pragma unroll
        for (int o = LANES / 2; o > 0; o /= 2) which = min(which, __shfl_xor_sync(FULL, which, o));
        const float a = bins[2 * which], b = bins[2 * which + 1];
#else
        float sum = 0.f, a = 0.f, b = 0.f;  // a NaN reaches all of them
#pragma unroll
        for (int i = 0; i < PACKS; i++)
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                const float e = exp2f((z[i].v[k] - top) * slope);
                const float2 bin = table[i * VEC + k][lane];
                sum += e;
                a += e * bin.x;
                b += e * bin.y;
            }
        sum = warp_sum(sum);
        a = warp_sum(a) / sum;
        b = warp_sum(b) / sum;
#endif
        if (mine && lane == 0) {
            store(ab + 2 * p, a);
            store(ab + 2 * p + 1, b);
        }
    }
}
