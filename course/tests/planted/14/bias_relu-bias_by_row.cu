// bias_relu: b is taken by the row, i / C; the channel of value i is i % C
extern "C" __global__ void
bias_relu(const float* x, const float* b, float* y, const int channels)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = fmaxf(x[i] + b[i / channels], 0.f);
}
