// batchnorm_normalize: y = (x - mean) scale + shift, channel by channel.
// NumPy reference: mini_colorize.fast.pointwise.batchnorm_normalize.
//
// Idea   Channelwise layout (common.cuh): each thread keeps its channels' constants in registers.
// Arrays x, y (rows, C) REAL; mean, scale, shift (C,) float.
// Grid   (channels / (TX VEC), chunks of rows), 256 threads; no shared memory.
// Bytes  a value: REAL read and written.
// -D     REAL, VEC, TX.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
batchnorm_normalize(const REAL* __restrict__ x, const float* __restrict__ mean,
                    const float* __restrict__ scale, const float* __restrict__ shift,
                    REAL* __restrict__ y, const int channels, const long long rows,
                    const long long chunk)
{
    const Place here = place(rows, chunk);
    if (here.channel >= channels) return;
    float m[VEC], a[VEC], b[VEC];
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        m[k] = mean[here.channel + k];
        a[k] = scale[here.channel + k];
        b[k] = shift[here.channel + k];
    }
    for (long long r = here.begin; r < here.end; r += TY) {
        Pack p = load_pack(x + r * channels + here.channel);
#pragma unroll
        for (int k = 0; k < VEC; k++) p.v[k] = (p.v[k] - m[k]) * a[k] + b[k];
        store_pack(y + r * channels + here.channel, p);
    }
}
