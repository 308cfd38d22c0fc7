// softmax: each lane subtracts its own maximum
#define Q 313
#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void
softmax(const float* z, float* p, const int pixels)
{
    const int lane = threadIdx.x % 32, row = blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= pixels) return;
    float e[PER_LANE], top = -3.4e38f, sum = 0.f;
    for (int i = 0; i < PER_LANE; i++) {
        const int q = lane + 32 * i;
        e[i] = q < Q ? z[row * Q + q] : -3.4e38f;
        top = fmaxf(top, e[i]);
    }
    for (int i = 0; i < PER_LANE; i++) {
        e[i] = lane + 32 * i < Q ? expf(e[i] - top) : 0.f;
        sum += e[i];
    }
    for (int o = 16; o > 0; o /= 2) sum += __shfl_xor_sync(0xffffffff, sum, o);
    for (int i = 0; i < PER_LANE; i++)
        if (lane + 32 * i < Q) p[row * Q + lane + 32 * i] = e[i] / sum;
}
