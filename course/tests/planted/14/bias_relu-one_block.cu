// bias_relu: 3840 of the 4096 values of y are never written; the first is y[256]
extern "C" __global__ void
bias_relu(const float* x, const float* b, float* y, const int channels)
{
    const int i = threadIdx.x;
    if (blockIdx.x == 0) y[i] = fmaxf(x[i] + b[i % channels], 0.f);
}
