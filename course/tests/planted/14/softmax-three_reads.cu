// softmax: each value of z is read 3 times: 3756 bytes a pixel; 1252 are enough
#define Q 313
#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void
softmax(const float* z, float* p, const int pixels)
{
    const int lane = threadIdx.x % 32, row = blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= pixels) return;
    float top = -3.4e38f, sum = 0.f;
    for (int q = lane; q < Q; q += 32) top = fmaxf(top, z[row * Q + q]);
    for (int o = 16; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(0xffffffff, top, o));
    for (int q = lane; q < Q; q += 32) sum += expf(z[row * Q + q] - top);
    for (int o = 16; o > 0; o /= 2) sum += __shfl_xor_sync(0xffffffff, sum, o);
    for (int q = lane; q < Q; q += 32) p[row * Q + q] = expf(z[row * Q + q] - top) / sum;
}
