// statistics: the term d^2 n_a n_b / n is missing
extern "C" __global__ void
statistics(const float* x, float* mean, float* var, const int rows, const int channels)
{
    __shared__ float ns[8][32], means[8][32], m2s[8][32];
    const int t = threadIdx.x, k = threadIdx.y, c = blockIdx.x * 32 + t;
    float n = 0.f, m = 0.f, m2 = 0.f;
    for (int r = k; r < rows; r += 8) {
        const float v = x[r * channels + c], d = v - m;
        n += 1.f;
        m += d / n;
        m2 += d * (v - m);
    }
    ns[k][t] = n, means[k][t] = m, m2s[k][t] = m2;
    for (int half = 4; half > 0; half /= 2) {
        __syncthreads();
        if (k >= half) continue;
        const float n_b = ns[k + half][t], all = n + n_b, d = means[k + half][t] - m;
        if (n_b > 0.f) {
            m += d * n_b / all;
            m2 += m2s[k + half][t];
            n = all;
        }
        ns[k][t] = n, means[k][t] = m, m2s[k][t] = m2;
    }
    if (k == 0) mean[c] = m, var[c] = m2 / rows;
}
