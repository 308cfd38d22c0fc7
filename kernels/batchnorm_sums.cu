// batchnorm_sums: sum dy and sum dy (x - mean) of each channel, the two sums of the backward pass.
// NumPy reference: mini_colorize.fast.pointwise.batchnorm_sums.
//
// Idea   Channelwise layout (common.cuh), one partial sum a block and channel, as in
//        bias_relu_backward. No atomics.
// Arrays dy, x (rows, C) REAL; mean (C,) float; partial (chunks, 2, C) float.
// Grid   (channels / (TX VEC), chunks of rows), 256 threads; 1 kB VEC of shared memory.
// Bytes  a value: dy and x read (REAL).
// -D     REAL, VEC, TX.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
batchnorm_sums(const REAL* __restrict__ dy, const REAL* __restrict__ x,
               const float* __restrict__ mean, float* __restrict__ partial, const int channels,
               const long long rows, const long long chunk)
{
    __shared__ float shared[VEC * BLOCK_SIZE];
    const Place here = place(rows, chunk);
    const bool mine = here.channel < channels;
    Pack sum = {}, product = {}, m = {};
    if (mine) {
#pragma unroll
        for (int k = 0; k < VEC; k++) m.v[k] = mean[here.channel + k];
    }
    for (long long r = here.begin; mine && r < here.end; r += TY) {
        const long long at = r * channels + here.channel;
        const Pack g = load_pack(dy + at), a = load_pack(x + at);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            sum.v[k] += g.v[k];
            product.v[k] += g.v[k] * (a.v[k] - m.v[k]);
        }
    }
    block_sum(sum, shared);
    block_sum(product, shared);
    if (mine && threadIdx.x < TX) {
        const long long at = 2LL * blockIdx.y * channels + here.channel;
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            partial[at + k] = sum.v[k];
            partial[at + channels + k] = product.v[k];
        }
    }
}
