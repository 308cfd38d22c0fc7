// block_sums: part[100], which nobody has written
extern "C" __global__ void
block_sums(const float* x, float* sums, const int columns)
{
    __shared__ float part[128];
    const int t = threadIdx.x;
    float sum = 0.f;
    for (int c = t; c < columns; c += blockDim.x) sum += x[blockIdx.x * columns + c];
    if (t < columns) part[t] = sum;
    for (int half = 64; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) sums[blockIdx.x] = part[0];
}
