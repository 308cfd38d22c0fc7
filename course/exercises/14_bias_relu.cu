// bias_relu: y = max(x + b, 0), one thread a value.
// NumPy twin: np.maximum(x + b, 0)
//
// Arrays x, y (M, C) float, C-contiguous: row r, channel c lies at r C + c. b (C,) float.
// Launch M C / 256 blocks of 256 threads: as many threads as values.
// Bytes  a value: 4 read, 4 written; b is small, and read from the cache.
// Check  python -m course 14
extern "C" __global__ void
bias_relu(const float* x, const float* b, float* y, const int channels)
{
    // your code here
}
