// batchnorm_backward: dx = scale (dy - offset - (x - mean) slope), channel by channel, over dy.
// NumPy reference: mini_colorize.fast.pointwise.batchnorm_backward.
//
// Idea   Channelwise layout (common.cuh): each thread keeps its channels' constants in registers.
// Arrays dy, x (rows, C) REAL, dy overwritten by dx; mean, scale, offset, slope (C,) float.
// Grid   (channels / (TX VEC), chunks of rows), 256 threads; no shared memory.
// Bytes  a value: dy and x read, dx written (REAL).
// -D     REAL, VEC, TX.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
batchnorm_backward(REAL* __restrict__ dy, const REAL* __restrict__ x,
                   const float* __restrict__ mean, const float* __restrict__ scale,
                   const float* __restrict__ offset, const float* __restrict__ slope,
                   const int channels, const long long rows, const long long chunk)
{
    const Place here = place(rows, chunk);
    if (here.channel >= channels) return;
    float m[VEC], a[VEC], o[VEC], s[VEC];
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        m[k] = mean[here.channel + k];
        a[k] = scale[here.channel + k];
        o[k] = offset[here.channel + k];
        s[k] = slope[here.channel + k];
    }
    for (long long r = here.begin; r < here.end; r += TY) {
        const long long at = r * channels + here.channel;
        Pack g = load_pack(dy + at);
        const Pack p = load_pack(x + at);
#pragma unroll
        for (int k = 0; k < VEC; k++) g.v[k] = a[k] * (g.v[k] - o[k] - (p.v[k] - m[k]) * s[k]);
        store_pack(dy + at, g);
    }
}
