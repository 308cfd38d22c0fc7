// statistics: where the mean is large only
extern "C" __global__ void
statistics(const float* x, float* mean, float* var, const int rows, const int channels)
{
    __shared__ float sums[8][32], squares[8][32];
    const int t = threadIdx.x, k = threadIdx.y, c = blockIdx.x * 32 + t;
    float s = 0.f, s2 = 0.f;
    for (int r = k; r < rows; r += 8) {
        const float v = x[r * channels + c];
        s += v;
        s2 += v * v;
    }
    sums[k][t] = s, squares[k][t] = s2;
    __syncthreads();
    if (k > 0) return;
    for (int j = 1; j < 8; j++) s += sums[j][t], s2 += squares[j][t];
    const float m = s / rows;
    mean[c] = m;
    var[c] = s2 / rows - m * m;
}
