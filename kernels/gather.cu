// gather: the columns of a convolution (im2col): for each output pixel, what its filter reads.
// NumPy reference: mini_colorize.fast.gather.gather.
//
// Idea   One thread copies VEC channels of an output pixel, tap after tap, so that the divisions
//        that tell who it is are made once for all taps. Neighbouring threads have neighbouring
//        channels, then pixels: reads and writes are runs of C channels. Stride, dilation, padding
//        and the phases of a transposed convolution are all in the Taps: position o reads the
//        pixels o stride + start + i step, i = 0 .. count-1.
// Arrays x (N, H, W, C) REAL, of which the block starts at picture n0, output row r0, column c0;
//        fill (C,) float: the value outside x; columns (pixels, row_count column_count C) REAL.
// Grid   ceil(pixels C / VEC / 256) blocks of 256 threads; no shared memory.
// Bytes  an output pixel: taps C written; about C / stride^2 read, the rest comes from the caches.
// -D     REAL, VEC.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
gather(const REAL* __restrict__ x, const float* __restrict__ fill, REAL* __restrict__ columns,
       const int height, const int width, const int channels, const int n0, const int r0,
       const int c0, const int block_rows, const int block_columns, const int row_start,
       const int row_step, const int row_count, const int row_stride, const int column_start,
       const int column_step, const int column_count, const int column_stride,
       const unsigned threads)
{
    const unsigned t = blockIdx.x * 256u + threadIdx.x;
    if (t >= threads) return;
    const unsigned packs = channels / VEC, pixel = t / packs, c = t % packs * VEC;
    const int n = n0 + (int)(pixel / block_columns / block_rows);
    const int r = (r0 + (int)(pixel / block_columns % block_rows)) * row_stride + row_start;
    const int q = (c0 + (int)(pixel % block_columns)) * column_stride + column_start;
    const REAL* picture = x + (long long)n * height * width * channels + c;
    REAL* out = columns + (long long)pixel * row_count * column_count * channels + c;
    Pack outside;
#pragma unroll
    for (int k = 0; k < VEC; k++) outside.v[k] = fill[c + k];
    const Bits padding = packed(outside);
    for (int i = 0; i < row_count; i++) {
        const int row = r + i * row_step;
        for (int j = 0; j < column_count; j++) {
            const int column = q + j * column_step;
            const bool inside = row >= 0 && row < height && column >= 0 && column < width;
            const long long at = ((long long)row * width + column) * channels;
            store_bits(out, inside ? load_bits(picture + at) : padding);
            out += channels;
        }
    }
}
