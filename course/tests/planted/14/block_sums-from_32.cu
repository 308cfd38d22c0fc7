// block_sums: half of the threads do not count
extern "C" __global__ void
block_sums(const float* x, float* sums, const int columns)
{
    __shared__ float part[128];
    const int t = threadIdx.x;
    float sum = 0.f;
    for (int c = t; c < columns; c += blockDim.x) sum += x[blockIdx.x * columns + c];
    part[t] = sum;
    for (int half = 32; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) sums[blockIdx.x] = part[0];
}
