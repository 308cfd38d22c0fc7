// moving_average: line 6: thread 232 of block 3 reads
extern "C" __global__ void
moving_average(float* average, const float* now, const float* share, const long long n)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    if (threadIdx.x < n) average[i] += share[0] * (now[i] - average[i]);
}
