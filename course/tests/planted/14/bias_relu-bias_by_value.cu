// bias_relu: line 6: thread 64 of block 0 reads b[64]; b has 64 values
extern "C" __global__ void
bias_relu(const float* x, const float* b, float* y, const int channels)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = fmaxf(x[i] + b[i], 0.f);
}
