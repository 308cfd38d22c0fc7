// moving_average: no __syncthreads() stands between
extern "C" __global__ void
moving_average(float* average, const float* now, const float* share, const long long n)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    for (long long k = 0; k < n; k++) average[k] += *share * (now[k] - average[k]);
}
