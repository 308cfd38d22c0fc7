// find_overflow: is any number infinite or not a number?
// NumPy reference: mini_colorize.optim.find_overflow.
//
// Idea   Threads stride over the array; whoever finds one writes 1. All write the same value.
// Arrays x (n,) float; overflow (1,) int, set to 0 before.
// Grid   at most 1,024 blocks of 256 threads; no shared memory.
// Bytes  4 read a number.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
find_overflow(const float* __restrict__ x, int* __restrict__ overflow, const long long n)
{
    bool found = false;
    const long long step = gridDim.x * 256LL;
    for (long long i = blockIdx.x * 256LL + threadIdx.x; i < n; i += step)
        found |= !isfinite(x[i]);
    if (found) atomicMax(overflow, 1);
}
