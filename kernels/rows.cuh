// Rows of Q logits, each by LANES neighbouring lanes of a warp, which keep it in registers.
//
// A row is PITCH numbers long, of which the first Q count. With VEC > 1 a lane reads 16 bytes at a
// time and eight lanes 128, a line of the cache: for 313 logits in rows of 320 no lane is ever idle,
// four rows share a warp, and their sums take three steps, not five. Class q is number q % VEC of
// pack q / VEC, and pack j is with lane j % LANES. Rows that begin anywhere take 32 lanes and VEC 1.
//
// -D  Q, REAL, VEC; PITCH, by default Q, which VEC divides.
#pragma once
#ifndef PITCH
#define PITCH Q
#endif
#if defined(VEC) && VEC > 1
#define LANES 8
#endif
#include "common.cuh"

#define PACKS ((PITCH + LANES * VEC - 1) / (LANES * VEC))  // of a lane
#define ROWS (256 / LANES)                                 // of a block of 256 threads

// The first class of a lane's pack i.
__device__ __forceinline__ int first_class(int i) {
    return (i * LANES + (int)threadIdx.x % LANES) * VEC;
}

// The lane's part of a row; -infinity where there is no class, or no row, if it is not `mine`.
__device__ __forceinline__ void load_row(Pack (&z)[PACKS], const REAL* row, bool mine) {
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
        const int q = first_class(i);
        Bits bits = {};
        if (mine && q < PITCH) bits = load_bits(row + q);
        z[i] = unpacked(bits);
#pragma unroll
        for (int k = 0; k < VEC; k++)
            if (!mine || q + k >= Q) z[i].v[k] = LOWEST;
    }
}

// The largest of a row; NaN is passed over.
__device__ __forceinline__ float row_max(const Pack (&z)[PACKS]) {
    float top = LOWEST;
#pragma unroll
    for (int i = 0; i < PACKS; i++)
#pragma unroll
        for (int k = 0; k < VEC; k++) top = fmaxf(top, z[i].v[k]);
    return warp_max(top);
}
