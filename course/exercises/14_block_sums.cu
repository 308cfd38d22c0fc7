// block_sums: sums[r] = the sum of row r of x. One block a row: each thread adds up its own values
// in a register, and the 128 partial sums are added up pair by pair in shared memory.
// NumPy twin: x.sum(axis=1)
//
// Arrays x (M, C) float, sums (M,) float.
// Launch M blocks of 128 threads.
// Bytes  a row: 4 C read, 4 written. Shared memory is no traffic.
// Know   __shared__ float part[128]; belongs to a block. __syncthreads() waits until all threads of
//        the block are there, so all of them must come.
// Check  python -m course 14
extern "C" __global__ void
block_sums(const float* x, float* sums, const int columns)
{
    // your code here
}
