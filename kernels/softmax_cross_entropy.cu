// softmax_cross_entropy: the loss of each pixel and its gradient to the logits, in one pass.
// NumPy reference: mini_colorize.losses.softmax_cross_entropy.
//
// Idea   A few lanes a pixel (rows.cuh). Its logits are read from device memory once, into
//        registers, and there become exponentials, probabilities and the gradient, which is
//        written once, in place if grad == logits. The target stays sparse: a lane holds one or
//        more of the K bins and weights and corrects the gradient of these classes, while the row
//        is still in the cache, so the dense Q-wide target never exists. The K bins of a pixel must
//        differ. The largest logit is subtracted first; a NaN reaches the row's sum, and all of it.
// Arrays logits, grad (P, PITCH) REAL: Q count, the rest of grad is 0; index (P, K) int; weight
//        (P, K) float, of sum 1 or all 0; class_weight (Q,) float; valid (1,) long long: pixels that
//        count; scale (1,) float: the gradient's extra factor; cross_entropy, weighted (P,) float:
//        the pixel's loss without and with v.
// Grid   ceil(P / ROWS) blocks of 256 threads: 32 rows, 8 with VEC 1; no shared memory.
// Bytes  a pixel: PITCH read, PITCH written (REAL), 8 K of target read, 8 of losses written. With
//        the 5 classes' 10 or 20 that are read again from the cache: 1328 for half, 2608 for float.
//        H200, one warp a pixel, 2 bytes at a time: half 64 to 69 % of a copy's rate. In this form
//        it is not yet measured.
// -D     Q, K (at most 32), REAL, VEC, PITCH.
#include "rows.cuh"

#define TARGETS ((K + LANES - 1) / LANES)  // of a lane

extern "C" __global__ void __launch_bounds__(256)
softmax_cross_entropy(const REAL* logits, REAL* grad, const int* __restrict__ index,
                      const float* __restrict__ weight, const float* __restrict__ class_weight,
                      const long long* __restrict__ valid, const float* __restrict__ scale,
                      float* __restrict__ cross_entropy, float* __restrict__ weighted,
                      const long long pixels)
{
    const int lane = threadIdx.x % LANES;
    const long long p = blockIdx.x * (long long)ROWS + threadIdx.x / LANES;
    const bool mine = p < pixels;  // the others come along to the shuffles
    const REAL* row = logits + p * PITCH;
    Pack z[PACKS];
    load_row(z, row, mine);

    int target[TARGETS];
    float share[TARGETS], picked[TARGETS];
#pragma unroll
    for (int j = 0; j < TARGETS; j++) {
        const int k = lane + LANES * j;
        const bool has = mine && k < K;
        target[j] = has ? index[p * K + k] : -1;
        share[j] = has ? weight[p * K + k] : 0.f;
    }
    const float top = row_max(z);
    // The picked logits are read again, from the cache, before anyone writes.
#pragma unroll
    for (int j = 0; j < TARGETS; j++) picked[j] = target[j] < 0 ? 0.f : load(row + target[j]) - top;
    float sum = 0.f;
#pragma unroll
    for (int i = 0; i < PACKS; i++)
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            z[i].v[k] = exp_of(z[i].v[k] - top);
            sum += z[i].v[k];
        }
    sum = warp_sum(sum);
    float loss = 0.f;
#pragma unroll
    for (int j = 0; j < TARGETS; j++) loss += share[j] * (logf(sum) - picked[j]);
    loss = warp_sum(loss);
    const int nearest = __shfl_sync(FULL, target[0], 0, LANES);  // has the most weight
    const bool counts = __shfl_sync(FULL, share[0], 0, LANES) > 0.f;
    const float v = mine ? class_weight[nearest] : 0.f;
    if (mine && lane == 0) {
        cross_entropy[p] = loss;
        weighted[p] = v * loss;
    }
    const long long divisor = *valid > 1 ? *valid : 1;
    const float factor = counts ? v * *scale / (float)divisor : 0.f;
    const float each = factor / sum;
    __syncwarp();  // everyone has read the picked logits
    REAL* out = grad + p * PITCH;
#pragma unroll
    for (int i = 0; i < PACKS; i++) {
        const int q = first_class(i);
#pragma unroll
        for (int k = 0; k < VEC; k++) z[i].v[k] *= each;
        if (mine && q < PITCH) store_pack(out + q, z[i]);
    }
    __syncwarp();  // the row is written: now its K classes with a target, each by one lane
#pragma unroll
    for (int j = 0; j < TARGETS; j++)
        if (target[j] >= 0) store(out + target[j], exp_of(picked[j]) * each - factor * share[j]);
}
