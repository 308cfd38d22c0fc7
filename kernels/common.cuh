// What the kernels share: storage types, warp and block reductions, the layout of channelwise work.
//
// Constants from Python (-D): REAL, the type arrays are stored in, float or __half; arithmetic is
// always in float. VEC, channels a thread treats at once, 4 or 1 (4 only where it divides C).
#pragma once
#include <cuda_fp16.h>

#ifndef REAL
#define REAL float
#endif
#ifndef VEC
#define VEC 1
#endif
#define FULL 0xffffffffu  // all 32 lanes of a warp take part
#define LOWEST -3.402823466e38f  // the lowest finite float

typedef unsigned char uint8;

__device__ __forceinline__ float load(const float* p) { return *p; }
__device__ __forceinline__ float load(const __half* p) { return __half2float(*p); }
__device__ __forceinline__ void store(float* p, float v) { *p = v; }
__device__ __forceinline__ void store(__half* p, float v) { *p = __float2half_rn(v); }

// e^x, as the hardware has it: 2^(x log2 e). Relative error about 1e-7 (1 + |x|).
__device__ __forceinline__ float exp_of(float x) { return exp2f(x * 1.44269504f); }

// VEC neighbouring numbers, read and written in one access: 16 bytes of float, 8 of half.
struct Pack {
    float v[VEC];
};

#if VEC == 4
__device__ __forceinline__ Pack load_pack(const float* p) {
    const float4 q = *reinterpret_cast<const float4*>(p);
    return {{q.x, q.y, q.z, q.w}};
}
__device__ __forceinline__ void store_pack(float* p, const Pack& a) {
    *reinterpret_cast<float4*>(p) = make_float4(a.v[0], a.v[1], a.v[2], a.v[3]);
}
struct alignas(8) Half4 {
    __half v[4];
};
__device__ __forceinline__ Pack load_pack(const __half* p) {
    const Half4 q = *reinterpret_cast<const Half4*>(p);
    return {{__half2float(q.v[0]), __half2float(q.v[1]), __half2float(q.v[2]),
             __half2float(q.v[3])}};
}
__device__ __forceinline__ void store_pack(__half* p, const Pack& a) {
    Half4 q;
#pragma unroll
    for (int k = 0; k < 4; k++) q.v[k] = __float2half_rn(a.v[k]);
    *reinterpret_cast<Half4*>(p) = q;
}
#else
template <class T> __device__ __forceinline__ Pack load_pack(const T* p) { return {{load(p)}}; }
template <class T> __device__ __forceinline__ void store_pack(T* p, const Pack& a) {
    store(p, a.v[0]);
}
#endif

// Every lane receives the sum (the maximum) over its warp.
__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}
__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(FULL, v, o));
    return v;
}

// Channelwise work on a (rows, C) array. A block of BLOCK_SIZE threads is TX threads wide, each with
// VEC channels, and BLOCK_SIZE / TX rows high: consecutive threads read consecutive memory, and what
// belongs to a channel is loaded once and kept in registers. Block (i, j) of the grid has the
// channels from i TX VEC and the rows from j chunk to below (j + 1) chunk.
#ifdef TX
#define BLOCK_SIZE 256
#define TY (BLOCK_SIZE / TX)

struct Place {
    int channel;            // first of VEC; nothing to do if it is not below C
    long long begin, end;   // rows begin, begin + TY, ... below end
};

__device__ __forceinline__ Place place(long long rows, long long chunk) {
    const long long last = (blockIdx.y + 1LL) * chunk;
    return {(int)(blockIdx.x * TX + threadIdx.x % TX) * VEC,
            blockIdx.y * chunk + threadIdx.x / TX, last < rows ? last : rows};
}

// Adds up `a` over the TY rows of the block; the result is in the threads of row 0. All threads of
// the block must call it. `shared` has room for VEC BLOCK_SIZE floats; at the end each thread reads
// only what itself may write next, so it may be used again at once.
__device__ __forceinline__ void block_sum(Pack& a, float* shared) {
    const int t = threadIdx.x;
#pragma unroll
    for (int k = 0; k < VEC; k++) shared[k * BLOCK_SIZE + t] = a.v[k];
    __syncthreads();
    for (int half = TY / 2; half > 0; half /= 2) {
        if (t < half * TX) {
#pragma unroll
            for (int k = 0; k < VEC; k++)
                shared[k * BLOCK_SIZE + t] += shared[k * BLOCK_SIZE + t + half * TX];
        }
        __syncthreads();
    }
#pragma unroll
    for (int k = 0; k < VEC; k++) a.v[k] = shared[k * BLOCK_SIZE + t];
}
#endif
