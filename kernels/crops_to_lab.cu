// crops_to_lab: crops as they come from the loader -> the network's input and the colours asked for.
// NumPy reference: mini_colorize.color.crops_to_lab.
//
// Idea   One thread a pixel writes its lightness, normalised. One pixel of every STEP x STEP, that
//        at OFFSET, is a truth: its thread writes a and b as well, computed in float64, since a is
//        500 times a difference of two numbers near 1. The sRGB curve is a table of 256 entries.
// Arrays rgb (N, H, W, 3) uint8; linear (256,) double; to_xyz (3, 3) double, row X, Y, Z over the
//        white; x (N, H, W) float; ab (N, H / STEP, W / STEP, 2) float.
// Grid   ceil(N H W / 256) blocks of 256 threads; no shared memory.
// Bytes  a pixel: 3 read, 4 + 8 / STEP^2 written.
// -D     STEP, OFFSET.
#include "common.cuh"

__device__ __forceinline__ double f(double t) {
    return t > 0.008856 ? cbrt(t) : 7.787 * t + 16.0 / 116.0;
}

extern "C" __global__ void __launch_bounds__(256)
crops_to_lab(const uint8* __restrict__ rgb, const double* __restrict__ linear,
           const double* __restrict__ to_xyz, float* __restrict__ x, float* __restrict__ ab,
           const int height, const int width, const long long pixels)
{
    const long long p = blockIdx.x * 256LL + threadIdx.x;
    if (p >= pixels) return;
    const double red = linear[rgb[3 * p]], green = linear[rgb[3 * p + 1]],
                 blue = linear[rgb[3 * p + 2]];
    const float y = (float)to_xyz[3] * (float)red + (float)to_xyz[4] * (float)green +
                    (float)to_xyz[5] * (float)blue;
    const float fy = y > 0.008856f ? cbrtf(y) : 7.787f * y + 16.f / 116.f;
    x[p] = (116.f * fy - 16.f - 50.f) / 100.f;

    const int column = (int)(p % width), r = (int)(p / width % height);
    if (r % STEP != OFFSET || column % STEP != OFFSET) return;
    const long long n = p / width / height;
    double t[3];
#pragma unroll
    for (int i = 0; i < 3; i++)
        t[i] = f(to_xyz[3 * i] * red + to_xyz[3 * i + 1] * green + to_xyz[3 * i + 2] * blue);
    const int h = (height - OFFSET + STEP - 1) / STEP, w = (width - OFFSET + STEP - 1) / STEP;
    float* out = ab + 2 * ((n * h + r / STEP) * w + column / STEP);
    out[0] = (float)(500.0 * (t[0] - t[1]));
    out[1] = (float)(200.0 * (t[1] - t[2]));
}
