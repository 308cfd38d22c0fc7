// The matrices of Winograd's convolution: see mini_colorize/fast/winograd.py, `matrices`.
// A tile makes M x M outputs of T x T inputs, T = M + 2.
#pragma once
#define T (M + 2)

#if M == 2
#define BT                                                                                        \
    {{-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}}
#define A                                                                                         \
    {{1, 0}, {1, 1}, {1, -1}, {0, 1}}
#define AT                                                                                        \
    {{1, 1, 1, 0}, {0, 1, -1, 1}}
#elif M == 4
#define BT                                                                                        \
    {{1, -1.5f, -2, 1.5f, 1, 0}, {0, -1, 0.5f, 2.5f, 1, 0}, {0, 1, -2.5f, 0.5f, 1, 0},            \
     {0, -2, -1, 2, 1, 0}, {0, 0.5f, -1, -0.5f, 1, 0}, {0, 1, -1.5f, -2, 1.5f, 1}}
#define A                                                                                         \
    {{1, 0, 0, 0}, {1, 1, 1, 1}, {1, -1, 1, -1}, {1, 0.5f, 0.25f, 0.125f}, {1, -2, 4, -8},        \
     {0, 0, 0, 1}}
#define AT                                                                                        \
    {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 0.5f, -2, 0}, {0, 1, 1, 0.25f, 4, 0},                         \
     {0, 1, -1, 0.125f, -8, 1}}
#endif

// sum += factor a, channel by channel.
__device__ __forceinline__ void add(Pack& sum, float factor, const Pack& a) {
#pragma unroll
    for (int k = 0; k < VEC; k++) sum.v[k] += factor * a.v[k];
}

// Where the thread's tile lies. p: the tile's number in the block, as winograd.py orders them:
// picture, row of cells, phase, column of cells, phase.
struct Tile {
    int n, row, column;  // picture, first pixel
};
__device__ __forceinline__ Tile tile(unsigned p, int n0, int top, int left, int cell_rows,
                                     int cell_columns, int dilation)
{
    const unsigned across = cell_columns * dilation, down = cell_rows * dilation;
    const int column = p % across, row = p / across % down;
    return {n0 + (int)(p / across / down), top + row / dilation * M * dilation + row % dilation,
            left + column / dilation * M * dilation + column % dilation};
}
