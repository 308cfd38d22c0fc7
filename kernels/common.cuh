// What the kernels share: storage types, warp and block reductions, the layout of channelwise work.
//
// Constants from Python (-D): REAL, the type arrays are stored in, float or __half; arithmetic is
// always in float. VEC, numbers that a thread reads at once: 16 bytes full, 4 floats or 8 halves,
// where they divide a row; else 1.
//
// Measured on an H200 (copy 4,245 GB/s), when a thread read at most 8 bytes of half: in float every
// kernel at 80 to 95 % of a copy's rate; in half see softmax_cross_entropy, annealed_mean and
// batchnorm_statistics. `python -m benchmarks.gpu --only kernels` prints each one's share.
#pragma once
#include <cuda_fp16.h>

#ifndef REAL
#define REAL float
#endif
#ifndef VEC
#define VEC 1
#endif
#ifndef LANES
#define LANES 32
#endif
#define FULL 0xffffffffu  // all 32 lanes of a warp take part
#define LOWEST __uint_as_float(0xff800000u)  // -infinity

typedef unsigned char uint8;

__device__ __forceinline__ float load(const float* p) { return *p; }
__device__ __forceinline__ float load(const __half* p) { return __half2float(*p); }
__device__ __forceinline__ void store(float* p, float v) { *p = v; }
__device__ __forceinline__ void store(__half* p, float v) { *p = __float2half_rn(v); }

// e^x, as the hardware has it: 2^(x log2 e). Relative error about 1e-7 (1 + |x|).
__device__ __forceinline__ float exp_of(float x) { return exp2f(x * 1.44269504f); }

// VEC neighbouring numbers, read and written in one access. Bits: as they lie in memory.
struct Pack {
    float v[VEC];
};
#if VEC == 1
typedef REAL Bits;
__device__ __forceinline__ void store_bits(REAL* p, Bits b) { *p = b; }
__device__ __forceinline__ Pack unpacked(Bits b) { return {{load(&b)}}; }
__device__ __forceinline__ Bits packed(const Pack& a) {
    Bits b;
    store(&b, a.v[0]);
    return b;
}
#else
struct alignas(VEC * sizeof(REAL)) Bits {
    unsigned word[VEC * sizeof(REAL) / 4];
};
// __stwb is a plain store, which compilers do not take apart as they do an assignment.
__device__ __forceinline__ void write(REAL* p, const unsigned (&w)[1]) {
    __stwb(reinterpret_cast<unsigned*>(p), w[0]);
}
__device__ __forceinline__ void write(REAL* p, const unsigned (&w)[2]) {
    __stwb(reinterpret_cast<uint2*>(p), make_uint2(w[0], w[1]));
}
__device__ __forceinline__ void write(REAL* p, const unsigned (&w)[4]) {
    __stwb(reinterpret_cast<uint4*>(p), make_uint4(w[0], w[1], w[2], w[3]));
}
__device__ __forceinline__ void store_bits(REAL* p, const Bits& b) { write(p, b.word); }
__device__ __forceinline__ float number(const Bits& b, int k, float) {
    return __uint_as_float(b.word[k]);
}
__device__ __forceinline__ float number(const Bits& b, int k, __half) {
    return __half2float(__ushort_as_half((unsigned short)(b.word[k / 2] >> k % 2 * 16)));
}
__device__ __forceinline__ void put(Bits& b, int k, float v) { b.word[k] = __float_as_uint(v); }
__device__ __forceinline__ void put(Bits& b, int k, __half v) {
    b.word[k / 2] |= (unsigned)__half_as_ushort(v) << k % 2 * 16;
}
__device__ __forceinline__ Pack unpacked(const Bits& b) {
    Pack a;
#pragma unroll
    for (int k = 0; k < VEC; k++) a.v[k] = number(b, k, REAL());
    return a;
}
__device__ __forceinline__ Bits packed(const Pack& a) {
    Bits b = {};
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        REAL v;
        store(&v, a.v[k]);
        put(b, k, v);
    }
    return b;
}
#endif

__device__ __forceinline__ Bits load_bits(const REAL* p) {
    return *reinterpret_cast<const Bits*>(p);
}
__device__ __forceinline__ Pack load_pack(const REAL* p) { return unpacked(load_bits(p)); }
__device__ __forceinline__ void store_pack(REAL* p, const Pack& a) { store_bits(p, packed(a)); }

// Each of LANES neighbouring lanes receives the sum (the maximum) over them.
__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int o = LANES / 2; o > 0; o /= 2) v += __shfl_xor_sync(FULL, v, o);
    return v;
}
__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
    for (int o = LANES / 2; o > 0; o /= 2) v = fmaxf(v, __shfl_xor_sync(FULL, v, o));
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
