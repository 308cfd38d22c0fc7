// softmax_cross_entropy: the loss of each pixel and its gradient to the logits, in one pass.
// NumPy reference: mini_colorize.losses.softmax_cross_entropy.
//
// Idea   One warp a pixel. Its Q logits are read from device memory once, into registers (lane l
//        has the classes l, l + 32, ...), and there become exponentials, probabilities and the
//        gradient, which is written once, in place if grad == logits. The target stays sparse:
//        lane k < K holds bin index and weight k and corrects the gradient of that one class, while
//        the row is still in the cache, so the dense Q-wide target never exists. The K bins of a
//        pixel must differ. The largest logit is subtracted first.
//        A row of 313 floats begins on no 16-byte boundary three times out of four; 4-byte loads
//        of 32 neighbours fill whole sectors all the same, and ten of them are in flight a lane.
// Arrays logits, grad (P, Q) REAL; index (P, K) int; weight (P, K) float, of sum 1 or all 0;
//        class_weight (Q,) float; valid (1,) long long: pixels that count; scale (1,) float: the
//        gradient's extra factor; cross_entropy, weighted (P,) float: the pixel's loss without and with v.
// Grid   ceil(P / 8) blocks of 256 threads = 8 warps; no shared memory.
// Bytes  a pixel: Q read, Q written (REAL), 8 K of target read, 8 of losses written.
// -D     Q, K (at most 32), REAL.
#include "common.cuh"

#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void __launch_bounds__(256)
softmax_cross_entropy(const REAL* logits, REAL* grad, const int* __restrict__ index,
                      const float* __restrict__ weight, const float* __restrict__ class_weight,
                      const long long* __restrict__ valid, const float* __restrict__ scale,
                      float* __restrict__ cross_entropy, float* __restrict__ weighted,
                      const long long pixels)
{
    const int lane = threadIdx.x & 31;
    const long long p = blockIdx.x * 8LL + (threadIdx.x >> 5);
    if (p >= pixels) return;  // the whole warp leaves together
    const REAL* row = logits + p * Q;

    float z[PER_LANE], top = LOWEST;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int q = lane + 32 * i;
        z[i] = q < Q ? load(row + q) : LOWEST;
    }
    int target = -1;
    float share = 0.f;
    if (lane < K) {
        target = index[p * K + lane];
        share = weight[p * K + lane];
    }
    bool broken = false;  // fmaxf passes over NaN; the reference does not
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        top = fmaxf(top, z[i]);
        broken |= isnan(z[i]);
    }
    top = warp_max(top);
    if (__any_sync(FULL, broken)) top = nanf("");

    // The picked logits are read again, from the cache, before anyone writes.
    const float picked = lane < K ? load(row + target) - top : 0.f;
    float sum = 0.f;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        z[i] = lane + 32 * i < Q ? exp_of(z[i] - top) : 0.f;
        sum += z[i];
    }
    sum = warp_sum(sum);
    const float loss = warp_sum(share * (logf(sum) - picked));
    const float v = class_weight[__shfl_sync(FULL, target, 0)];  // the nearest has the most weight
    const bool counts = __shfl_sync(FULL, share, 0) > 0.f;
    if (lane == 0) {
        cross_entropy[p] = loss;
        weighted[p] = v * loss;
    }
    const long long divisor = *valid > 1 ? *valid : 1;
    const float factor = counts ? v * *scale / (float)divisor : 0.f;
    const float each = factor / sum;
    __syncwarp();  // everyone has read the picked logits
    REAL* out = grad + p * Q;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        const int q = lane + 32 * i;
        if (q < Q) store(out + q, z[i] * each);
    }
    __syncwarp();  // the row is written: now its K classes with a target, each by one lane
    if (lane < K) store(out + target, exp_of(picked) * each - factor * share);
}
