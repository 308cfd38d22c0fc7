// What planted.cu includes: to see that includes are found, and that a change here is noticed.
#pragma once
#include <cuda_fp16.h>
#define BUG(k) (bug == (k))
#define ALL 0xffffffffu

__constant__ int table[4] = {1000, 2000, 3000, 4000};

static __device__ float never_written(int t) {
    __shared__ float nothing[BLOCK_SIZE];
    return nothing[t];
}
