// moving_average: it is left as it was
extern "C" __global__ void
moving_average(float* average, const float* now, const float* share, const long long n)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (i < n) return;
    if (i < n) average[i] += share[0] * (now[i] - average[i]);
}
