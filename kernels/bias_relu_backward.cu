// bias_relu_backward: dy <- dy where y > 0, else 0, in place, and the sum of it over the pixels.
// NumPy reference: mini_colorize.layers.relu.bias_relu_backward.
//
// Idea   Channelwise layout (common.cuh). Each block adds up its chunk of rows and writes one
//        partial sum a channel; adding up the few partial sums is left to the caller. No atomics:
//        two runs give the same bits.
// Arrays dy (rows, C) REAL, overwritten if RELU; y (rows, C) REAL, the layer's output (not read
//        without RELU); partial (chunks, C) float.
// Grid   (channels / (TX VEC), chunks of rows), 256 threads; 1 kB VEC of shared memory.
// Bytes  a value: dy read and written, y read (REAL).
// -D     REAL, VEC, TX, RELU (1 or 0).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
bias_relu_backward(REAL* __restrict__ dy, const REAL* __restrict__ y, float* __restrict__ partial,
                   const int channels, const long long rows, const long long chunk)
{
    __shared__ float shared[VEC * BLOCK_SIZE];
    const Place here = place(rows, chunk);
    const bool mine = here.channel < channels;
    Pack sum = {};
#pragma unroll 2  // with four the sums of eight halves do not fit into the registers
    for (long long r = here.begin; mine && r < here.end; r += TY) {
        const long long at = r * channels + here.channel;
        Pack g = load_pack(dy + at);
#if RELU
        const Pack out = load_pack(y + at);
#pragma unroll
        for (int k = 0; k < VEC; k++) g.v[k] = out.v[k] > 0.f ? g.v[k] : 0.f;
        store_pack(dy + at, g);
#endif
#pragma unroll
        for (int k = 0; k < VEC; k++) sum.v[k] += g.v[k];
    }
    block_sum(sum, shared);
    if (mine && threadIdx.x < TX) {
#pragma unroll
        for (int k = 0; k < VEC; k++)
            partial[(long long)blockIdx.y * channels + here.channel + k] = sum.v[k];
    }
}
