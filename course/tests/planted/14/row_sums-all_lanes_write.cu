// row_sums: thread 0 of block 0 writes sums[0], and thread 1 of block 0 writes sums[0]
extern "C" __global__ void
row_sums(const float* x, float* sums, const int rows, const int columns)
{
    const int lane = threadIdx.x % 32, r = blockIdx.x * 8 + threadIdx.x / 32;
    if (r >= rows) return;  // the whole warp leaves together
    float sum = 0.f;
    for (int c = lane; c < columns; c += 32) sum += x[r * columns + c];
    for (int o = 16; o > 0; o /= 2) sum += __shfl_down_sync(0xffffffff, sum, o);
    sums[r] = sum;
}
