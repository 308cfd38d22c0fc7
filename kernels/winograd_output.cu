// winograd_output: A^T M A for every tile, plus bias, clamped at 0, put in its place.
// NumPy reference: mini_colorize.fast.winograd_cpu.output_transform.
//
// Idea   One thread a tile and VEC channels, as in winograd_transform. Pixels of a tile that overhang
//        the picture are not written.
// Arrays m (t t, P, C) REAL; bias (C,) float; y (N, H, W, C) REAL, of which the block begins at
//        picture n0, pixel (top, left).
// Grid   ceil(P C / VEC / 256) blocks of 256 threads; no shared memory.
// Bytes  a tile and channel: t t read, m m written (REAL). Not yet measured with VEC > 1.
// -D     REAL, VEC, M, RELU (1 or 0).
#include "common.cuh"
#include "winograd.cuh"

extern "C" __global__ void __launch_bounds__(256)
winograd_output(const REAL* __restrict__ m, const float* __restrict__ bias, REAL* __restrict__ y,
                const int height, const int width, const int channels, const int n0,
                const int top, const int left, const int cell_rows, const int cell_columns,
                const int dilation, const long long tiles)
{
    constexpr float K[M][T] = AT;
    const long long at = (blockIdx.x * 256LL + threadIdx.x) * VEC;
    if (at >= tiles * channels) return;
    const int c = (int)(at % channels);
    const Tile here = tile((unsigned)(at / channels), n0, top, left, cell_rows, cell_columns, dilation);

    Pack b, half[M][T];
#pragma unroll
    for (int k = 0; k < VEC; k++) b.v[k] = bias[c + k];
#pragma unroll
    for (int j = 0; j < T; j++) {
        Pack in[T];
#pragma unroll
        for (int i = 0; i < T; i++) in[i] = load_pack(m + (i * T + j) * tiles * channels + at);
#pragma unroll
        for (int i = 0; i < M; i++) {
            half[i][j] = {};
#pragma unroll
            for (int l = 0; l < T; l++)
                if (K[i][l] != 0.f) add(half[i][j], K[i][l], in[l]);
        }
    }
#pragma unroll
    for (int i = 0; i < M; i++) {
        const int r = here.row + i * dilation;
#pragma unroll
        for (int j = 0; j < M; j++) {
            const int q = here.column + j * dilation;
            Pack sum = b;
#pragma unroll
            for (int l = 0; l < T; l++)
                if (K[j][l] != 0.f) add(sum, K[j][l], half[i][l]);
#if RELU
#pragma unroll
            for (int k = 0; k < VEC; k++)
                sum.v[k] = sum.v[k] < 0.f ? 0.f : sum.v[k];  // not fmaxf: NaN must stay NaN
#endif
            if (r < height && q < width)
                store_pack(y + (((long long)here.n * height + r) * width + q) * channels + c, sum);
        }
    }
}
