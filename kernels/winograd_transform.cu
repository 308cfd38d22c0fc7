// winograd_transform: K X K^T for every window X of a picture, tile by tile.
// NumPy reference: mini_colorize.fast.winograd_cpu.transform.
//
// Idea   One thread a tile and VEC channels. It reads its window, column by column, and keeps K times
//        it in registers; then each row of that times K^T is written as soon as it is made. K is
//        compiled in: its zeros cost nothing, its ones are additions. Neighbouring threads have
//        neighbouring channels, so every access is one run of memory. Windows overlap, but their
//        common pixels come from the caches. For the input K is B^T and a window has t x t pixels;
//        for the output's gradient K is A and a window has m x m.
// Arrays x (N, H, W, C) REAL; fill (C,) float, the value outside x; v (t t, P, C) REAL, the tiles
//        in the order of winograd.py: picture, row of cells, phase, column of cells, phase.
// Grid   ceil(P C / VEC / 256) blocks of 256 threads; no shared memory.
// Bytes  a tile and channel: m m of x read once (REAL), t t written. Not yet measured with VEC > 1.
// -D     REAL, VEC, M (output pixels along a tile's side), INPUT (1: K = B^T; 0: K = A).
#include "common.cuh"
#include "winograd.cuh"

#define WINDOW (INPUT ? T : M)

extern "C" __global__ void __launch_bounds__(256)
winograd_transform(const REAL* __restrict__ x, const float* __restrict__ fill,
                   REAL* __restrict__ v, const int height, const int width, const int channels,
                   const int n0, const int top, const int left, const int cell_rows,
                   const int cell_columns, const int dilation, const long long tiles)
{
#if INPUT
    constexpr float K[T][WINDOW] = BT;
#else
    constexpr float K[T][WINDOW] = A;
#endif
    const long long at = (blockIdx.x * 256LL + threadIdx.x) * VEC;
    if (at >= tiles * channels) return;
    const int c = (int)(at % channels);
    const Tile here = tile((unsigned)(at / channels), n0, top, left, cell_rows, cell_columns, dilation);
    const REAL* picture = x + (long long)here.n * height * width * channels + c;

    Pack outside, half[T][WINDOW];
#pragma unroll
    for (int k = 0; k < VEC; k++) outside.v[k] = fill[c + k];
#pragma unroll
    for (int j = 0; j < WINDOW; j++) {
        Pack in[WINDOW];
        const int q = here.column + j * dilation;
#pragma unroll
        for (int i = 0; i < WINDOW; i++) {
            const int r = here.row + i * dilation;
            const bool inside = r >= 0 && r < height && q >= 0 && q < width;
            in[i] = inside ? load_pack(picture + ((long long)r * width + q) * channels) : outside;
        }
#pragma unroll
        for (int i = 0; i < T; i++) {
            half[i][j] = {};
#pragma unroll
            for (int l = 0; l < WINDOW; l++)
                if (K[i][l] != 0.f) add(half[i][j], K[i][l], in[l]);
        }
    }
#pragma unroll
    for (int i = 0; i < T; i++) {
#pragma unroll
        for (int j = 0; j < T; j++) {
            Pack sum = {};
#pragma unroll
            for (int l = 0; l < WINDOW; l++)
                if (K[j][l] != 0.f) add(sum, K[j][l], half[i][l]);
            store_pack(v + (i * T + j) * tiles * channels + at, sum);
        }
    }
}
