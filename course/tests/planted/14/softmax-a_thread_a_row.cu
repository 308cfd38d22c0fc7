// softmax: z in 32 sectors of 32 bytes, 4 would hold it
#define Q 313
#define PER_LANE ((Q + 31) / 32)

extern "C" __global__ void
softmax(const float* z, float* p, const int pixels)
{
    const int row = blockIdx.x * 256 + threadIdx.x;
    if (row >= pixels) return;
    float v[Q], top = -3.4e38f, sum = 0.f;
    for (int q = 0; q < Q; q++) v[q] = z[row * Q + q], top = fmaxf(top, v[q]);
    for (int q = 0; q < Q; q++) sum += v[q] = expf(v[q] - top);
    for (int q = 0; q < Q; q++) p[row * Q + q] = v[q] / sum;
}
