// row_sums: sums[r] = the sum of row r of x. One warp a row: its 32 lanes read 32 neighbours at a
// time, each adds up its own, and __shfl_down_sync adds up the lanes.
// NumPy twin: x.sum(axis=1)
//
// Arrays x (M, C) float, sums (M,) float.
// Launch ceil(M / 8) blocks of 256 threads = 8 warps. M need be no multiple of 8, C none of 32.
// Bytes  a row: 4 C read, 4 written.
// Know   __shfl_down_sync(mask, v, o) gives a lane the v of the lane that is o further; mask has a
//        bit for each lane that takes part, 0xffffffff for all.
// Check  python -m course 14
extern "C" __global__ void
row_sums(const float* x, float* sums, const int rows, const int columns)
{
    // your code here
}
