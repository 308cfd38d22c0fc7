// moving_average: average <- average + share (now - average).
// NumPy reference: mini_colorize.optim.moving_average.
//
// Idea   One thread a number.
// Arrays average, now (n,) float; share (1,) float, in memory as it changes from step to step.
// Grid   ceil(n / 256) blocks of 256 threads; no shared memory.
// Bytes  8 read, 4 written a number.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
moving_average(float* __restrict__ average, const float* __restrict__ now,
               const float* __restrict__ share, const long long n)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < n) average[i] += *share * (now[i] - average[i]);
}
