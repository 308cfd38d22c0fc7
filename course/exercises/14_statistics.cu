// statistics: mean and variance of each channel over the rows of x, in one pass. A thread goes down
// rows of one channel and keeps their count n, mean and M2 = sum (x - mean)^2 (Welford):
//     n += 1,  d = x - mean,  mean += d / n,  M2 += d (x - mean)
// Then two threads' results become one, pair by pair in shared memory (Chan):
//     n = n_a + n_b,  d = mean_b - mean_a,  mean = mean_a + d n_b / n,
//     M2 = M2_a + M2_b + d^2 n_a n_b / n
// NumPy twin: x.mean(0), x.var(0)
//
// Arrays x (M, C) float, C a multiple of 32; mean, var (C,) float, var divided by M.
// Launch C / 32 blocks of (32, 8) threads: threadIdx.x is a channel of the block's 32, threadIdx.y
//        the first row of the thread, which goes on 8 rows further. M may be less than 8.
// Bytes  a value: 4 read, once.
// Check  python -m course 14
extern "C" __global__ void
statistics(const float* x, float* mean, float* var, const int rows, const int channels)
{
    // your code here
}
