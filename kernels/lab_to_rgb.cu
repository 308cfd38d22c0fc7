// lab_to_rgb: Lab -> sRGB, clipped to the gamut.
// NumPy reference: mini_colorize.color.lab_to_rgb.
//
// Idea   One thread a pixel, everything in registers.
// Arrays lab (P, 3) float: L 0..100, a, b; to_linear (3, 3) float, from XYZ over the white to
//        linear R, G, B by rows; rgb (P, 3) float, 0..1.
// Grid   ceil(P / 256) blocks of 256 threads; no shared memory.
// Bytes  a pixel: 12 read, 12 written.
#include "common.cuh"

__device__ __forceinline__ float inverse_f(float t) {
    return t > 0.2068966f ? t * t * t : (t - 16.f / 116.f) / 7.787f;
}

extern "C" __global__ void __launch_bounds__(256)
lab_to_rgb(const float* __restrict__ lab, const float* __restrict__ to_linear,
           float* __restrict__ rgb, const long long pixels)
{
    const long long p = blockIdx.x * 256LL + threadIdx.x;
    if (p >= pixels) return;
    const float fy = (lab[3 * p] + 16.f) / 116.f, z = fy - lab[3 * p + 2] / 200.f;
    const float t[3] = {inverse_f(fy + lab[3 * p + 1] / 500.f), inverse_f(fy),
                        inverse_f(z < 0.f ? 0.f : z)};  // not fmaxf: NaN must stay NaN
#pragma unroll
    for (int i = 0; i < 3; i++) {
        float v = to_linear[3 * i] * t[0] + to_linear[3 * i + 1] * t[1] + to_linear[3 * i + 2] * t[2];
        v = v < 0.f ? 0.f : v;
        v = v > 0.0031308f ? 1.055f * powf(v, 1.f / 2.4f) - 0.055f : 12.92f * v;
        rgb[3 * p + i] = v > 1.f ? 1.f : v;
    }
}
