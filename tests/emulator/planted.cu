// Kernels with a known mistake each, to see that the emulator notices: tests/test_emulator.py.
//
// The argument `bug` picks the mistake; 0 is none. BUG(k) is uniform over the grid, so that the
// healthy kernel and its ill twins are the same code. All: one dimension, blocks of 64 threads.
#include "planted.cuh"

// A mirror of x within each block, through shared memory and a float4 or two.
//   1 reads one past x   2 writes one past y   3 one past shared memory   4 misaligned float4
//   5 reads shared memory that nobody wrote    6 uses a variable without a value
//   7 one past an array of registers
extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
mirror(const float* x, float* y, const long long n, const int bug)
{
    __shared__ float tile[BLOCK_SIZE];
    const int t = threadIdx.x;
    const long long first = (long long)blockIdx.x * BLOCK_SIZE, i = first + t;
    tile[t] = i < n ? x[i] : 0.f;
    if (BUG(1) && i == n) tile[t] = x[n];
    float* end = tile + BLOCK_SIZE;  // not tile[...]: its bounds are known to the compiler
    if (BUG(3) && t == 0) *end = 1.f;
    __syncthreads();
    float some[4], unset;
    for (int k = 0; k < 4; k++) some[k] = tile[BLOCK_SIZE - 1 - t];
    if (BUG(7)) some[t / 16 + 1] = 0.f;
    const long long j = first + BLOCK_SIZE - 1 - t;  // where x[i] came from
    if (i >= n) {
        if (BUG(2) && i == n) y[n] = 1.f;
        return;
    }
    y[i] = j < n ? some[t & 3] : 0.f;
    if (BUG(4) && t == 0) y[i] += ((const float4*)(x + 1))->x;
    if (BUG(5)) y[i] = never_written(t);
    if (BUG(6)) y[i] = t > BLOCK_SIZE ? some[0] : unset;
}

// The sum of each block of x, for each of its threads, and of all in y[0].
//   1 no barrier after the first store    2 none between the steps of the last warp (an old idiom)
//   3 none before thread 0's result is read by all
extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
total(const float* x, float* sums, float* y, const int bug)
{
    __shared__ float part[BLOCK_SIZE];
    __shared__ float whole;
    const int t = threadIdx.x;
    part[t] = x[blockIdx.x * BLOCK_SIZE + t];
    if (!BUG(1)) __syncthreads();
    for (int half = BLOCK_SIZE / 2; half > 0; half /= 2) {
        if (t < half) part[t] += part[t + half];
        if (!BUG(2) || half > 16) __syncthreads();
    }
    if (t == 0) whole = part[0];
    if (!BUG(3)) __syncthreads();
    sums[blockIdx.x * BLOCK_SIZE + t] = whole;
    if (t == 0) atomicAdd(y, whole);
}

// Neighbouring lanes swap their values through shared memory.
//   1 no __syncwarp between the writes and the reads     2 a shuffle instead: it orders no memory
extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
exchange(const float* x, float* y, const int bug)
{
    __shared__ float slot[BLOCK_SIZE];
    const int t = threadIdx.x;
    slot[t] = x[blockIdx.x * BLOCK_SIZE + t];
    if (!bug) __syncwarp();
    if (BUG(2)) __shfl_sync(ALL, t, 0);
    y[blockIdx.x * BLOCK_SIZE + t] = slot[t ^ 1];
}

// Threads that must meet, and miss each other.
//   1 two barriers, half of the threads at each      2 a thread leaves before the barrier
//   3 a shuffle for half a warp, mask of all         4 two shuffles, half a warp at each
//   5 a shuffle that reads from a lane not in the mask   6 a lane calls with a mask without it
//   7 masks that contradict each other
extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
meet(const float* x, float* y, const int bug)
{
    const int t = threadIdx.x, lane = t & 31;
    float v = x[blockIdx.x * BLOCK_SIZE + t];
    if (BUG(1)) {
        if (t < 16)
            __syncthreads();
        else
            __syncthreads();
    }
    if (BUG(2) && t == 5) return;
    if (BUG(3) && lane < 16) v = __shfl_xor_sync(ALL, v, 1);
    if (BUG(4)) {
        if (lane < 16)
            v = __shfl_xor_sync(ALL, v, 1);
        else
            v = __shfl_xor_sync(ALL, v, 1);
    }
    if (BUG(5) && lane < 16) v = __shfl_sync(0xffffu, v, 20);
    if (BUG(6)) v = __shfl_sync(0xffffu, v, 0);
    if (BUG(7)) __syncwarp(lane < 16 ? ALL : 0xffff8000u);
    __syncthreads();
    // What is right: half warps with masks of their own, and the other shuffles.
    const float pair = lane < 16 ? __shfl_xor_sync(0xffffu, v, 1)
                                 : __shfl_xor_sync(0xffff0000u, v, 1);
    const float next = __shfl_down_sync(ALL, v, 1), last = __shfl_up_sync(ALL, v, 1, 16);
    const unsigned big = __ballot_sync(ALL, v > 0.f);
    const bool agree = __all_sync(ALL, v > -9.f) && !__any_sync(ALL, v < -9.f);
    y[blockIdx.x * BLOCK_SIZE + t] =
        pair + 10.f * next + 100.f * last + __popc(big) + (agree ? .5f : 0.f);
}

// A block waits for what another block writes: block 0 needs block 1 first.
extern "C" __global__ void __launch_bounds__(BLOCK_SIZE)
chain(float* y)
{
    if (threadIdx.x == 0) y[blockIdx.x] = blockIdx.x == 0 ? 0.f : y[blockIdx.x - 1] + 1.f;
}

// Every type of argument, three dimensions, a constant table.
extern "C" __global__ void __launch_bounds__(2 * (BLOCK_SIZE - 32), 2)
signature(const __half* halves, unsigned char* bytes, const double* doubles, const float4* vectors,
          long long* places, const bool flag, const double factor, const unsigned count)
{
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
    if (i >= count) return;
    const double sum = __half2float(halves[i]) + factor * doubles[i] + vectors[i].w;
    places[i] = table[i % 4] + (long long)sum;
    bytes[i] = flag;
}

#ifdef NOT_DEFINED
extern "C" __global__ void absent(float* y) { }
#endif
