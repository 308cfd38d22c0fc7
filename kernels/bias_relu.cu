// bias_relu: y <- max(y + bias, 0) in place, or y + bias alone.
// NumPy reference: mini_colorize.layers.relu.bias_relu.
//
// Idea   Channelwise layout (common.cuh): each thread keeps its channels' biases in registers and
//        goes down the rows.
// Arrays y (rows, C) REAL, overwritten; bias (C,) float.
// Grid   (channels / (TX VEC), chunks of rows), 256 threads; no shared memory.
// Bytes  a value: REAL read and written.
// -D     REAL, VEC, TX, RELU (1 or 0).
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
bias_relu(REAL* __restrict__ y, const float* __restrict__ bias, const int channels,
          const long long rows, const long long chunk)
{
    const Place here = place(rows, chunk);
    if (here.channel >= channels) return;
    float b[VEC];
#pragma unroll
    for (int k = 0; k < VEC; k++) b[k] = bias[here.channel + k];
    for (long long r = here.begin; r < here.end; r += TY) {
        REAL* at = y + r * channels + here.channel;
        Pack a = load_pack(at);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            a.v[k] += b[k];
#if RELU
            a.v[k] = a.v[k] < 0.f ? 0.f : a.v[k];  // not fmaxf: NaN must stay NaN
#endif
        }
        store_pack(at, a);
    }
}
