// moving_average: average <- average + share (now - average), in place. n is no multiple of 256, so
// the last block has threads too many.
// NumPy twin: mini_colorize.optim.moving_average
//
// Arrays average, now (n,) float; share (1,) float.
// Launch ceil(n / 256) blocks of 256 threads.
// Bytes  a number: 8 read, 4 written.
// Check  python -m course 14
extern "C" __global__ void
moving_average(float* average, const float* now, const float* share, const long long n)
{
    // your code here
}
