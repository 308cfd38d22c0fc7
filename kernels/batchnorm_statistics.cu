// batchnorm_statistics: mean and variance of each channel over all pixels, in one pass.
// NumPy reference: mini_colorize.fast.pointwise.batchnorm_statistics.
//
// Idea   A sum of squares minus a squared sum would lose digits; two passes would read x twice.
//        So each thread sums x and x^2 shifted by its own first value, turns that into its mean and
//        its M2 = sum (x - mean)^2, and these are merged pair by pair (Chan, Golub, LeVeque 1979):
//            n = n_a + n_b,  d = mean_b - mean_a,  mean = mean_a + d n_b / n,
//            M2 = M2_a + M2_b + d^2 n_a n_b / n
//        first over the rows of a block, then, in batchnorm_merge, over the blocks by one warp a
//        channel. No atomics: two runs give the same bits.
// Arrays x (rows, C) REAL; partial (2, chunks, C) float: mean, M2; mean, var (C,) float, var biased.
// Grid   statistics: (channels / (TX VEC), chunks of rows), 256 threads, 1 + 2 VEC kB of shared memory;
//        merge: ceil(C / 8) blocks of 256 threads.
// Bytes  a value: REAL read; the partial results are small. H200, 8 bytes at a time, one after the
//        other: half 31 to 55 % of a copy's rate. In this form, 16 bytes and four at once, it is
//        not yet measured.
// -D     REAL, VEC, TX.
#include "common.cuh"

#define AT_ONCE 4  // rows of a thread whose reads are under way together

// (mean, m2) of n values <- those of n + n_b values. Neither count may be negative, both may be 0.
__device__ __forceinline__ void merge(float n, float& mean, float& m2, float n_b, float mean_b,
                                      float m2_b)
{
    const float d = mean_b - mean, part = __fdividef(n_b, fmaxf(n + n_b, 1.f));
    mean += d * part;
    m2 += m2_b + d * d * n * part;
}

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
batchnorm_statistics(const REAL* __restrict__ x, float* __restrict__ partial, const int channels,
                     const long long rows, const long long chunk)
{
    __shared__ float counts[BLOCK_SIZE], means[VEC * BLOCK_SIZE], m2s[VEC * BLOCK_SIZE];
    const Place here = place(rows, chunk);
    const int t = threadIdx.x;
    const bool mine = here.channel < channels;
    float n = 0.f;
    Pack first = {}, sum = {}, squares = {};
    if (mine && here.begin < here.end) first = load_pack(x + here.begin * channels + here.channel);
    for (long long r = here.begin; mine && r < here.end; r += AT_ONCE * TY) {
        Bits bits[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++)
            if (r + u * TY < here.end) bits[u] = load_bits(x + (r + u * TY) * channels + here.channel);
#pragma unroll
        for (int u = 0; u < AT_ONCE; u++) {
            if (r + u * TY >= here.end) break;
            const Pack a = unpacked(bits[u]);
            n += 1.f;
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                const float d = a.v[k] - first.v[k];
                sum.v[k] += d;
                squares.v[k] += d * d;
            }
        }
    }
    counts[t] = n;
    const float inverse = n > 0.f ? __fdividef(1.f, n) : 0.f;
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        const float shift = sum.v[k] * inverse;
        means[k * BLOCK_SIZE + t] = first.v[k] + shift;
        m2s[k * BLOCK_SIZE + t] = squares.v[k] - sum.v[k] * shift;
    }
    __syncthreads();
    for (int half = TY / 2; half > 0; half /= 2) {
        if (t < half * TX) {
            const float n_a = counts[t], n_b = counts[t + half * TX];
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                const int a = k * BLOCK_SIZE + t, b = a + half * TX;
                merge(n_a, means[a], m2s[a], n_b, means[b], m2s[b]);
            }
            counts[t] = n_a + n_b;
        }
        __syncthreads();
    }
    if (mine && t < TX) {
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            const long long at = (long long)blockIdx.y * channels + here.channel + k;
            partial[at] = means[k * BLOCK_SIZE + t];
            partial[(long long)gridDim.y * channels + at] = m2s[k * BLOCK_SIZE + t];
        }
    }
}

extern "C" __global__ void __launch_bounds__(256)
batchnorm_merge(const float* __restrict__ partial, float* __restrict__ mean,
                float* __restrict__ var, const int channels, const int chunks,
                const long long rows, const long long chunk)
{
    const int lane = threadIdx.x & 31, c = blockIdx.x * 8 + (threadIdx.x >> 5);
    if (c >= channels) return;  // the whole warp leaves together
    float n = 0.f, m = 0.f, m2 = 0.f;
    for (int g = lane; g < chunks; g += 32) {
        const long long left = rows - g * chunk, at = (long long)g * channels + c;
        const float more = (float)(left < chunk ? left : chunk);
        merge(n, m, m2, more, partial[at], partial[(long long)chunks * channels + at]);
        n += more;
    }
    for (int o = 16; o > 0; o >>= 1) {
        const float n_b = __shfl_down_sync(FULL, n, o), m_b = __shfl_down_sync(FULL, m, o),
                    m2_b = __shfl_down_sync(FULL, m2, o);
        merge(n, m, m2, n_b, m_b, m2_b);  // lanes whose partner is out of reach are not used
        n += n_b;
    }
    if (lane == 0) {
        mean[c] = m;
        var[c] = fmaxf(m2, 0.f) / (float)rows;
    }
}
