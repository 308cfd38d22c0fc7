// upsample: bilinear enlargement, pixel centres at half-integers, or some rows of it.
// NumPy reference: mini_colorize.layers.upsample.upsample.
//
// Idea   One thread an output pixel: the four input pixels around it, weighted. Places are
//        computed in float64, as the reference's matrices are.
// Arrays x (N, h, w, C) float; y (N, rows, W, C) float: the rows from `top` on of H in all.
// Grid   ceil(N rows W / 256) blocks of 256 threads; no shared memory.
// Bytes  an output pixel: 4 C written; the input, h w 4 C a picture, comes from the caches.
#include "common.cuh"

// The two input pixels around output pixel o, and the share of the second.
__device__ __forceinline__ void neighbours(int o, int n, int m, int& low, int& high, float& share)
{
    double at = (o + 0.5) * ((double)n / m) - 0.5;
    at = at < 0 ? 0 : at > n - 1 ? n - 1 : at;
    low = (int)at;
    high = min(low + 1, n - 1);
    share = (float)(at - low);
}

extern "C" __global__ void __launch_bounds__(256)
upsample(const float* __restrict__ x, float* __restrict__ y, const int h, const int w,
         const int height, const int width, const int top, const int rows, const int channels,
         const long long pixels)
{
    const long long p = blockIdx.x * 256LL + threadIdx.x;
    if (p >= pixels) return;
    const int column = (int)(p % width), r = (int)(p / width % rows);
    const long long n = p / width / rows;
    int r0, r1, c0, c1;
    float down, right;
    neighbours(top + r, h, height, r0, r1, down);
    neighbours(column, w, width, c0, c1, right);
    const float* above = x + (n * h + r0) * w * channels;
    const float* below = x + (n * h + r1) * w * channels;
    for (int c = 0; c < channels; c++) {
        const float u = (1.f - right) * above[c0 * channels + c] + right * above[c1 * channels + c];
        const float v = (1.f - right) * below[c0 * channels + c] + right * below[c1 * channels + c];
        y[p * channels + c] = (1.f - down) * u + down * v;
    }
}
