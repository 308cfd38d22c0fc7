// row_sums: times the array's bytes are moved. Let neighbouring threads take neighbouring values
extern "C" __global__ void
row_sums(const float* x, float* sums, const int rows, const int columns)
{
    const int lane = threadIdx.x % 32, r = blockIdx.x * 8 + threadIdx.x / 32;
    if (r >= rows) return;  // the whole warp leaves together
    float sum = 0.f;
    for (int c = lane * columns / 32; c < (lane + 1) * columns / 32; c++) sum += x[r * columns + c];
    for (int o = 16; o > 0; o /= 2) sum += __shfl_down_sync(0xffffffff, sum, o);
    if (lane == 0) sums[r] = sum;
}
