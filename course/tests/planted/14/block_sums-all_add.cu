// block_sums: each value of x is read 128 times: 512000 bytes a row; 4000 are enough
extern "C" __global__ void
block_sums(const float* x, float* sums, const int columns)
{
    float sum = 0.f;
    for (int c = 0; c < columns; c++) sum += x[blockIdx.x * columns + c];
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
    else if (sum == 1e30f) sums[blockIdx.x] = 0.f;
}
