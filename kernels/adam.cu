// adam: one step of Adam over all parameters, which lie end to end in one array.
// NumPy reference: mini_colorize.optim.adam.
//
// Idea   One thread updates one parameter: everything is read once and written once. The gradient
//        is divided by the loss scale on the way. If *overflow is not 0, a gradient was not a
//        number and nothing is changed; the host never has to know.
// Arrays p, g, m, v (n,) float, g only read; scale (1,) float; overflow (1,) int; rates (2,) float:
//        lr / (1 - beta1^t) and sqrt(1 - beta2^t). What changes from step to step lies in memory,
//        so that the launch can be part of a CUDA graph.
// Grid   ceil(n / 256) blocks of 256 threads; no shared memory.
// Bytes  a parameter: 16 read, 12 written.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
adam(float* __restrict__ p, const float* __restrict__ g, float* __restrict__ m,
     float* __restrict__ v, const float* __restrict__ scale, const int* __restrict__ overflow,
     const float* __restrict__ rates, const long long n, const long long decayed,
     const float decay, const float beta1, const float beta2, const float eps)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i >= n || *overflow) return;
    float gradient = g[i] / *scale;
    if (i < decayed) gradient += decay * p[i];
    const float mean = m[i] + (1.f - beta1) * (gradient - m[i]);
    const float square = beta2 * v[i] + (1.f - beta2) * gradient * gradient;
    m[i] = mean;
    v[i] = square;
    p[i] -= rates[0] * mean / (sqrtf(square) / rates[1] + eps);
}
