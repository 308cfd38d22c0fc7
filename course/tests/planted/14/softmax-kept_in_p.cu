// softmax: each value of p is written 2 times: 2504 bytes a pixel; 1252 are enough
#define Q 313
#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void
softmax(const float* z, float* p, const int pixels)
{
    const int lane = threadIdx.x % 32, row = blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= pixels) return;
    float top = -3.4e38f, sum = 0.f, v[PER_LANE];
    for (int i = 0; i < PER_LANE; i++) {
        v[i] = lane + 32 * i < Q ? z[row * Q + lane + 32 * i] : -3.4e38f;
        top = fmaxf(top, v[i]);
    }
    for (int o = 16; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, o));
    for (int i = 0; i < PER_LANE; i++)
        if (lane + 32 * i < Q) {
            const float e = expf(v[i] - top);
            p[row * Q + lane + 32 * i] = e;
            sum += e;
        }
    for (int o = 16; o > 0; o /= 2) sum += __shfl_xor_sync(0xffffffff, sum, o);
    for (int q = lane; q < Q; q += 32) p[row * Q + q] /= sum;
}
