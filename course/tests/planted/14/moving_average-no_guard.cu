// moving_average: line 6: thread 1 of block 0 reads
extern "C" __global__ void
moving_average(float* average, const float* now, const float* share, const long long n)
{
    const long long i = blockIdx.x * 256LL + threadIdx.x;
    average[i] += share[0] * (now[i] - average[i]);
}
