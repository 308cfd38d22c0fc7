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

This file has the matrices and the transforms of filters. What is done to pictures is done on the CPU
in an order that keeps to the caches (winograd_cpu.py), on a GPU by kernels (steps_cuda.py).

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
    steps       what the CPU and a GPU each do in their own way: the module steps_cpu or steps_cuda
"""

from functools import cache, lru_cache

import numpy as np

from ..backend import array_module, matmul
from ..layers.conv import output_size
from .threads import split

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


@cache
def _filter_matrix(m, flip, dtype):
    """G x G (t*t, 9): G W G^T as one product with the 9 taps as rows."""
    _, g, _ = matrices(m)
    g = g[:, ::-1] if flip else g
    return np.kron(g, g).astype(dtype)


def filter_transform(steps, weight, m, flip=False, once=False):
    """U = G W G^T. weight: (3, 3, C_in, C_out); `flip` turns its taps by half a turn first.

    Returns U (t*t, C_in, C_out), weight's dtype: 4 (m = 4) or 16/9 (m = 2) times its memory; in
    scratch memory if it is used only once.
    """
    if weight.shape[:2] != (3, 3):
        raise ValueError(f"a filter of {weight.shape[:2]} taps: winograd.py is for (3, 3)")
    matrix = steps.constant(_filter_matrix(m, flip, weight.dtype), weight)
    shape, xp = (len(matrix), *weight.shape[2:]), array_module(weight)
    U = steps.scratch("U", shape, weight) if once else xp.empty(shape, weight.dtype)
    _columnwise(steps, matrix, weight.reshape(9, -1), U.reshape(len(U), -1))
    return U


def filter_transform_adjoint(steps, dU, m):
    """dW = G^T dU G. dU: (t*t, C_in, C_out). Returns (3, 3, C_in, C_out), dU's dtype."""
    matrix = steps.constant(_filter_matrix(m, False, dU.dtype), dU)
    dW = steps.empty((3, 3, *dU.shape[1:]), dU)
    _columnwise(steps, matrix.T, dU.reshape(len(dU), -1), dW.reshape(9, -1))
    return dW


def _columnwise(steps, matrix, values, out):
    """out = matrix @ values for a wide `values`, whose columns are shared among the threads."""
    columns = split(values.shape[1], steps.COLUMNS)
    steps.each(lambda c: matmul(matrix, values[:, c], out[:, c]), columns)


def correlate(
    steps, x, weight, bias=None, *, dilation=1, padding=0, fill=0, relu=False, m=4, filters=None
):
    """gather.correlate for 3x3 filters at stride 1.

    x: (N, H, W, C_in). weight: (3, 3, C_in, C_out). bias: (C_out,) or None. fill: value of the
    padding, a number or (C_in,). relu: clamp at 0.
    filters: filter_transform(steps, weight, m), if it is at hand; then `weight` is not used.
    Returns (N, Ho, Wo, C_out), x's dtype.
    """
    size = [output_size(side, 3, 1, dilation, padding) for side in x.shape[1:3]]
    if filters is None:
        filters = filter_transform(steps, weight, m, once=True)
    return steps.convolve(x, filters, size, bias, relu, dilation, padding, fill, m)


def correlate_adjoint(steps, y, weight, *, dilation=1, padding=0, m=4):
    """gather.correlate_adjoint for 3x3 filters at stride 1: the gradient to the input.

    The same convolution, with the filter turned by half a turn, C_in and C_out exchanged and
    2 d - p pixels of padding. (B [(G g) (A dy)] would do as well, but its tiles overlap and must
    be added up.)
    y: (N, Ho, Wo, C_out). weight: (3, 3, C_in, C_out). Returns (N, H, W, C_in), y's dtype.
    """
    size = [side + 2 * (dilation - padding) for side in y.shape[1:3]]
    filters = filter_transform(steps, weight, m, flip=True, once=True)
    padding = 2 * dilation - padding
    return steps.convolve(y, filters.swapaxes(1, 2), size, None, False, dilation, padding, 0, m)


def weight_gradient(steps, x, dy, *, dilation=1, padding=0, m=4):
    """gather.weight_gradient for 3x3 filters at stride 1:  dW = G^T [sum of V^T (A dY A^T)] G.

    x: (N, H, W, C_in). dy: (N, Ho, Wo, C_out). The sum is over tiles, one matrix product a point.
    Returns (3, 3, C_in, C_out), x's dtype.
    """
    dU = steps.scratch("U", ((m + 2) ** 2, x.shape[3], dy.shape[3]), x)
    steps.sum_products(x, dy, dU, dilation, padding, m)
    return filter_transform_adjoint(steps, dU, m)
