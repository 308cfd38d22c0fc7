// gather: the columns of a convolution (im2col): for each output pixel, what its filter reads.
// NumPy reference: mini_colorize.layers.conv.gather.
//
// Idea   One thread copies VEC channels of one tap of one output pixel. Neighbouring threads have
//        neighbouring channels, then taps, then pixels: writes are one long stream, reads are runs
//        of C channels. Stride, dilation, padding and the phases of a transposed convolution are
//        all in the Taps: position o reads the pixels o stride + start + i step, i = 0 .. count-1.
// Arrays x (N, H, W, C) REAL, of which the block starts at picture n0, output row r0, column c0;
//        fill (C,) float: the value outside x; columns (pixels, rows.count cols.count C) REAL.
// Grid   ceil(vectors / 256) blocks of 256 threads; no shared memory.
// Bytes  an output pixel: taps C written; about C / stride^2 read, the rest comes from the caches.
// -D     REAL, VEC.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(256)
gather(const REAL* __restrict__ x, const float* __restrict__ fill, REAL* __restrict__ columns,
       const int height, const int width, const int channels, const int n0, const int r0,
       const int c0, const int block_rows, const int block_columns, const int row_start,
       const int row_step, const int row_stride, const int column_start, const int column_step,
       const int column_count, const int column_stride, const int vectors_a_pixel,
       const unsigned vectors)
{
    const unsigned v = blockIdx.x * 256u + threadIdx.x;
    if (v >= vectors) return;
    const int packs = channels / VEC;
    const unsigned pixel = v / vectors_a_pixel;
    const int part = (int)(v % vectors_a_pixel), tap = part / packs, c = part % packs * VEC;
    const int n = n0 + (int)(pixel / block_columns / block_rows);
    const int r = (r0 + (int)(pixel / block_columns % block_rows)) * row_stride + row_start +
                  tap / column_count * row_step;
    const int column = (c0 + (int)(pixel % block_columns)) * column_stride + column_start +
                       tap % column_count * column_step;
    Pack a;
    if (r >= 0 && r < height && column >= 0 && column < width) {
        a = load_pack(x + (((long long)n * height + r) * width + column) * channels + c);
    } else {
#pragma unroll
        for (int k = 0; k < VEC; k++) a.v[k] = fill[c + k];
    }
    store_pack(columns + (long long)v * VEC, a);
}
