// block_sums: all in all 8 times the array's bytes are moved
extern "C" __global__ void
block_sums(const float* x, float* sums, const int columns)
{
    if (threadIdx.x > 0) return;
    float sum = 0.f;
    for (int c = 0; c < columns; c++) sum += x[blockIdx.x * columns + c];
    sums[blockIdx.x] = sum;
}
