"""Winograd's convolution, 3x3 at stride 1 with a quarter of the multiplications.

One idea carries the file. Multiply two polynomials, a with m coefficients and g with 3: the product
c has t = m + 2 coefficients, so its values at t points determine it. Evaluate a and g there
(matrices A and G), multiply value by value, interpolate (B):  c = B [(A a) (G g)].  That is t
multiplications where the schoolbook has 3 m. And a convolution is this product, read backwards:
its m outputs y[k] = sum_i x[k + i] g[i] have  sum_k y[k] a[k] = sum_n x[n] c[n]  for every a, so

    T(x, g, a) = sum over the t points of (B^T x) (G g) (A a)

holds the layer's three directions, each the derivative of T to one argument:

    y  = A^T [(B^T x) (G g)]        t inputs -> m outputs     d T / d a     correlate
    dg = G^T [(B^T x) (A dy)]                                 d T / d g     weight_gradient
    dx = B   [(G g)   (A dy)]       overlapping tiles         d T / d x     (see correlate_adjoint)

For pictures apply each matrix to the rows and to the columns of a tile:

    Y = A^T [(B^T X B) (G W G^T)] A

A tile of m x m outputs takes t^2 multiplications instead of 9 m^2: 16 instead of 36 for m = 2,
which is called F(2x2, 3x3); 36 instead of 144 for m = 4, F(4x4, 3x3). Summed over input channels,
each of the t^2 points is one matrix product over all tiles, and there the time goes:
M[point] = V[point] U[point].

It costs digits: A^T subtracts large numbers (its entries reach 8), and what rounding the product
left in them remains. Relative L2 error of float32 against float64, 512 normal channels to sum over
(4096 pixels for the weights); test_digits_lost_in_float32 checks these figures:

                        output    gradient to the input    to the weights
    gather.py           3.7e-7    3.7e-7                   3.7e-7
    m = 2               5.0e-7    5.0e-7                   9.7e-7
    m = 4               2.1e-6    2.1e-6                   2.1e-6

This file has the matrices and what to do with them; on the CPU, winograd_cpu.py does it in an order
that keeps to the caches.

Source: Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016 (1509.09308).
Their points for m = 4 are 0, 1, -1, 2, -2; with 1/2 in the place of 2 the error is a third less.

Notation: as in layers/conv.py, with s = 1 and kh = kw = 3, and
    m           output pixels along a tile's side, 2 or 4       t = m + 2   input pixels along it
    a cell      m d x m d output pixels: d x d tiles, interleaved (a tile's pixels are d apart)
    Rows, Cols  cells of a picture, ceil(Ho / m d) and ceil(Wo / m d); they may overhang its edge
    P           tiles, N Rows d Cols d, in the order (picture, cell row i, phase a, cell column j,
                phase b); tile (i, a, j, b) makes the outputs (i m + u) d + a, (j m + v) d + b
    V, U, M     transformed inputs (t*t, P, C_in), filters (t*t, C_in, C_out) and outputs
                (t*t, P, C_out); the first axis is (row, column) of the transformed tile
"""

from functools import cache, lru_cache

import numpy as np

from ..backend import array_module, device_copy, matmul
from ..layers.conv import output_size
from . import kernels, tiles, winograd_cpu
from .memory import empty, scratch
from .pointwise import fill_vector
from .threads import parallel_for, split

WORK_BYTES_GPU = 512 * 2**20  # cap of V, and of M, on a GPU
COLUMNS = 2**11  # of filters: with more, OpenBLAS takes its way for large products, which is slower
POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 0.5, -2)}  # and infinity


@lru_cache
def matrices(m):
    """B^T (t, t), G (t, 3), A^T (m, t), float64: y = A^T [(B^T x) (G g)] for t pixels x, 3 taps g.

    A and G evaluate polynomials at the points p; at infinity a polynomial is its last coefficient.
    B interpolates, after Lagrange: the polynomial through the values c(p) is

        sum_p c(p) N_p(z) / N_p(p) + c(infinity) N(z)

    with N(z) the product of (z - q) over all points q but infinity, N_p(z) without q = p.
    The columns of B are the coefficients of N_p, and G takes the division by N_p(p).
    """
    if m not in POINTS:
        raise ValueError(f"tiles of {m} output pixels: choose one of {', '.join(map(str, POINTS))}")
    points = POINTS[m]
    bt, g, a = np.zeros((m + 2, m + 2)), np.zeros((m + 2, 3)), np.zeros((m + 2, m))
    for k, p in enumerate(points):
        numerator = np.poly([q for q in points if q != p])  # highest power first
        bt[k, :-1] = numerator[::-1]
        g[k] = p ** np.arange(3) / np.polyval(numerator, p)
        a[k] = p ** np.arange(m)
    bt[-1], g[-1, -1], a[-1, -1] = np.poly(points)[::-1], 1, 1
    return bt, g, np.ascontiguousarray(a.T)


def _tile_blocks(x, size, m, dilation, channels):
    """The blocks on a GPU, of which V and M keep to WORK_BYTES_GPU. channels: of the wider one."""
    most = WORK_BYTES_GPU // ((m + 2) ** 2 * channels * x.itemsize)
    return tiles.cut_cells(len(x), size, m, dilation, most)


def _transformed(x, matrix, m, dilation, padding, fill, block, out):
    """K X K^T for every window X of a block, on the CPU. Returns `out`, or a new array."""
    if out is None:
        shape = (m + 2) ** 2, tiles.count(block, dilation), x.shape[3]
        out = np.empty(shape, dtype=x.dtype)
    winograd_cpu.transform(x, matrix, m, dilation, padding, fill, block, out)
    return out


def input_transform(x, m, dilation, padding, fill=0, block=None, out=None):
    """V = B^T X B for every tile X of t x t input pixels.

    x: (N, H, W, C). padding: pixels, less than 0 leaves out the edge. fill: value of what lies
    outside x, a number or (C,). block: slices of (pictures, cell rows, cell columns), by default
    the cells of all Ho x Wo outputs. out: (t*t, P, C), contiguous.
    Returns V (t*t, P, C), x's dtype.
    """
    if block is None:
        size = [output_size(side, 3, 1, dilation, padding) for side in x.shape[1:3]]
        block = tiles.whole(len(x), size, m, dilation)
    if array_module(x) is not np:
        fill = fill_vector(fill, x)
        return kernels.winograd_transform(x, m, True, dilation, padding, fill, block, out)
    bt, _, _ = matrices(m)
    return _transformed(x, bt, m, dilation, padding, fill, block, out)


def gradient_transform(dy, m, dilation, block=None, out=None):
    """A dY A^T for every tile dY of m x m output pixels, the adjoint of `output_transform`.

    dy: (N, Ho, Wo, C). What a tile overhangs counts as 0. block, out: as in `input_transform`.
    Returns (t*t, P, C), dy's dtype.
    """
    if block is None:
        block = tiles.whole(len(dy), dy.shape[1:3], m, dilation)
    if array_module(dy) is not np:
        return kernels.winograd_transform(dy, m, False, dilation, 0, fill_vector(0, dy), block, out)
    _, _, at = matrices(m)
    return _transformed(dy, at.T, m, dilation, 0, 0, block, out)


def output_transform(M, m, y, dilation, bias=None, relu=False, block=None):
    """Y = A^T M A for every tile, plus bias, put in its place in y; what overhangs is dropped.

    M: (t*t, P, C). y: (N, Ho, Wo, C), the whole picture. bias: (C,) or None. relu: clamp at
    0. block: as in `input_transform`; only its pixels of y are written. Returns y.
    """
    block = tiles.whole(len(y), y.shape[1:3], m, dilation) if block is None else block
    if array_module(M) is not np:
        bias = fill_vector(0, y) if bias is None else bias
        return kernels.winograd_output(M, m, y, dilation, bias, relu, block)
    winograd_cpu.output_transform(M, matrices(m)[2], m, y, dilation, bias, relu, block)
    return y


@cache
def _filter_matrix(m, flip, dtype):
    """G x G (t*t, 9): G W G^T as one product with the 9 taps as rows."""
    _, g, _ = matrices(m)
    g = g[:, ::-1] if flip else g
    return np.kron(g, g).astype(dtype)


def filter_transform(weight, m, flip=False, out=None):
    """U = G W G^T. weight: (3, 3, C_in, C_out); `flip` turns its taps by half a turn first.

    Returns U (t*t, C_in, C_out), weight's dtype: 4 (m = 4) or 16/9 (m = 2) times its memory.
    """
    if weight.shape[:2] != (3, 3):
        raise ValueError(f"a filter of {weight.shape[:2]} taps: winograd.py is for (3, 3)")
    xp = array_module(weight)
    if out is None:
        out = xp.empty(((m + 2) ** 2, *weight.shape[2:]), dtype=weight.dtype)
    matrix = device_copy(_filter_matrix(m, flip, weight.dtype), xp)
    _columnwise(matrix, weight.reshape(9, -1), out.reshape(len(out), -1))
    return out


def _columnwise(matrix, values, out):
    """out = matrix @ values for a wide `values`, whose columns are shared among the threads."""
    if array_module(values) is not np:
        matmul(matrix, values, out)
    else:
        columns = split(values.shape[1], COLUMNS)
        parallel_for(lambda c: matmul(matrix, values[:, c], out[:, c]), columns)


def filter_transform_adjoint(dU, m, out=None):
    """dW = G^T dU G. dU: (t*t, C_in, C_out). out: contiguous array for the result, or None.

    Returns (3, 3, C_in, C_out), dU's dtype.
    """
    xp = array_module(dU)
    if out is None:
        out = xp.empty((3, 3, *dU.shape[1:]), dtype=dU.dtype)
    matrix = device_copy(_filter_matrix(m, False, dU.dtype), xp)
    _columnwise(matrix.T, dU.reshape(len(dU), -1), out.reshape(9, -1))
    return out


def _transient(name, weight, m):
    """An array for transformed filters that are used once, of the dtype and device of weight."""
    shape = (m + 2) ** 2, *weight.shape[2:]
    xp = array_module(weight)
    return scratch(name, shape, weight.dtype) if xp is np else xp.empty(shape, weight.dtype)


def _convolve(x, U, size, bias, relu, dilation, padding, fill, m):
    """Transform, t*t matrix products, transform back, by blocks. Returns (N, *size, C_out)."""
    _, c_in, c_out = U.shape
    y = empty((len(x), *size, c_out), x)
    if array_module(x) is np:
        winograd_cpu.convolve(x, U, y, bias, relu, dilation, padding, fill, m, matrices(m))
        return y
    for block in _tile_blocks(x, size, m, dilation, max(c_in, c_out)):
        P = tiles.count(block, dilation)
        V = empty(((m + 2) ** 2, P, c_in), x)
        M = empty(((m + 2) ** 2, P, c_out), x)
        input_transform(x, m, dilation, padding, fill, block, V)
        matmul(V, U, M)
        output_transform(M, m, y, dilation, bias, relu, block)
        del V, M  # or the next ones come before these go
    return y


def correlate(
    x, weight, bias=None, *, dilation=1, padding=0, fill=0, relu=False, m=4, filters=None
):
    """gather.correlate for 3x3 filters at stride 1.

    x: (N, H, W, C_in). weight: (3, 3, C_in, C_out). bias: (C_out,) or None. fill: value of the
    padding, a number or (C_in,). relu: clamp at 0.
    filters: filter_transform(weight, m), if it is at hand; then `weight` is not used.
    Returns (N, Ho, Wo, C_out), x's dtype.
    """
    size = [output_size(side, 3, 1, dilation, padding) for side in x.shape[1:3]]
    if filters is None:
        filters = filter_transform(weight, m, out=_transient("U", weight, m))
    return _convolve(x, filters, size, bias, relu, dilation, padding, fill, m)


def correlate_adjoint(y, weight, *, dilation=1, padding=0, m=4):
    """gather.correlate_adjoint for 3x3 filters at stride 1: the gradient to the input.

    The same convolution, with the filter turned by half a turn, C_in and C_out exchanged and
    2 d - p pixels of padding. (B [(G g) (A dy)] would do as well, but its tiles overlap and must
    be added up.)
    y: (N, Ho, Wo, C_out). weight: (3, 3, C_in, C_out). Returns (N, H, W, C_in), y's dtype.
    """
    size = [side + 2 * (dilation - padding) for side in y.shape[1:3]]
    filters = filter_transform(weight, m, flip=True, out=_transient("U", weight, m))
    padding = 2 * dilation - padding
    return _convolve(y, filters.swapaxes(1, 2), size, None, False, dilation, padding, 0, m)


def weight_gradient(x, dy, *, dilation=1, padding=0, m=4):
    """gather.weight_gradient for 3x3 filters at stride 1:  dW = G^T [sum of V^T (A dY A^T)] G.

    x: (N, H, W, C_in). dy: (N, Ho, Wo, C_out). The sum is over tiles, one matrix product a point.
    Returns (3, 3, C_in, C_out), x's dtype.
    """
    c_in, c_out, points = x.shape[3], dy.shape[3], (m + 2) ** 2
    dW = empty((3, 3, c_in, c_out), x)
    dU, more = _transient("U", dW, m), False
    if array_module(x) is np:
        winograd_cpu.weight_gradient(x, dy, dU, dilation, padding, m, matrices(m))
        return filter_transform_adjoint(dU, m, dW)
    for block in _tile_blocks(x, dy.shape[1:3], m, dilation, max(c_in, c_out)):
        P = tiles.count(block, dilation)
        V = empty((points, P, c_in), x)
        dM = empty((points, P, c_out), x)
        input_transform(x, m, dilation, padding, 0, block, V)
        gradient_transform(dy, m, dilation, block, dM)
        matmul(V.swapaxes(1, 2), dM, dU, accumulate=more)
        more = True
        del V, dM
    return filter_transform_adjoint(dU, m, dW)
