"""Winograd's convolution on the CPU: the order in which its sums stay in a core's cache.

A transform of a tile is K X K^T. K X comes first, and one row of it is enough for t of the t*t
points:

    row a of B^T X, times B     ->  V[a, 0..t-1]
    times U[a, 0..t-1]          ->  M[a, 0..t-1]
    times A                     ->  row a of M A

So V and M exist for one row at a time, and are still in the cache when they are read again. M A
has m numbers where M has t. Only when all its rows are there, A^T (M A) makes pixels of it.

Many blocks of tiles: every thread takes one at a time, and meets the others only at the end. Few
blocks: the threads share their rows, so that U is read once, and meet before the last step.

Notation: as in winograd.py. "Halfway" is K X or M A, where one of the two axes is transformed.
"""

from itertools import product

import numpy as np

from ..backend import matmul
from . import tiles, winograd
from .memory import empty, scratch
from .pointwise import clamp
from .threads import THREADS, cut, parallel_for
from .windows import cut_out

ROW_BYTES = 2**19  # cap of one row of V or M: it, U's and the other's stay in a core's cache
GRADIENT_ROW_BYTES = 2**20  # the same for sum_products, whose sums cost a pass for every block
FEWEST = 192  # tiles that a block may have in any case: products of fewer rows are slow


def _most(x, m, channels, row_bytes):
    return max(FEWEST, row_bytes // ((m + 2) * channels * x.itemsize))


# Transforms, by the calling thread ---------------------------------------------------------------


def _rows(name, x, matrix, m, dilation, padding, fill, block):
    """K X for every window X of x, where windows begin m pixels (times d) after one another.

    One batch of small matrix products on a strided view, so that the overlapping windows are
    never copied out. matrix: (r, window), some rows of K.
    Returns (r, n, Rows, d, width, C), scratch memory of that name.
    """
    r, window = matrix.shape
    (n, i, j), d, c = block, dilation, x.shape[3]
    rows, cols, halo = i.stop - i.start, j.stop - j.start, window - m
    height, width = (m * rows + halo) * d, (m * cols + halo) * d
    top, left = i.start * m * d - padding, j.start * m * d - padding
    patch = cut_out(x[n], top, height, left, width, fill, copy=True)
    n = len(patch)
    sn, sh, _, sc = patch.strides
    shape = n, rows, d, window, width * c
    windows = np.lib.stride_tricks.as_strided(patch, shape, (sn, m * d * sh, sh, d * sh, sc))
    halfway = scratch(name, (n, rows, d, r, width * c), x.dtype)
    np.matmul(matrix, windows, out=halfway)
    return halfway.reshape(n, rows, d, r, width, c).transpose(3, 0, 1, 2, 4, 5)


def _columns(row, matrix, m, out):
    """One row of (K X) K^T. row: (n, Rows, d, width, C), of K X. out: (r, P, C), is filled.

    matrix: (r, window), some rows of K.
    """
    r, window = matrix.shape
    n, rows, d, width, c = row.shape
    cols = (width // d - (window - m)) // m
    sn, si, sa, sw, sc = row.strides
    shape = n, rows, d, cols, d, window, c
    strides = sn, si, sa, m * d * sw, sw, d * sw, sc
    windows = np.lib.stride_tricks.as_strided(row, shape, strides)
    by_tile = out.reshape(r, n, rows, d, cols, d, c).transpose(1, 2, 3, 4, 5, 0, 6)
    np.matmul(matrix, windows, out=by_tile)


def transform(x, matrix, m, dilation, padding, fill, block):
    """K X K^T for every window X of x: what kernels/winograd_transform.cu computes.

    matrix: K (t, window). Returns (t*t, P, C), x's dtype.
    """
    t, matrix = len(matrix), matrix.astype(x.dtype)
    out = np.empty((t * t, tiles.count(block, dilation), x.shape[3]), x.dtype)
    for a, row in enumerate(_rows("rows", x, matrix, m, dilation, padding, fill, block)):
        _columns(row, matrix, m, out[a * t : (a + 1) * t])
    return out


def _halfway_shape(block, m, dilation, channels):
    """Of M A."""
    n, i, j = (s.stop - s.start for s in block)
    return n, i, dilation, m + 2, j * m * dilation, channels


def _output_columns(M, a, at, m, bias, halfway):
    """Row a of M A, plus bias. M: (t, P, C), of that row. halfway: M A, whose row is filled."""
    row = halfway[:, :, :, a]
    n, rows, d, width, c = row.shape
    shape = n, rows, d, width // (m * d), d, c
    by_tile = M.reshape(len(M), *shape).transpose(1, 2, 3, 4, 5, 0, 6)
    np.matmul(at, by_tile, out=row.reshape(n, rows, d, -1, m, d, c).swapaxes(4, 5))
    if bias is not None and a == 1:
        row += bias  # the point 1: all its powers are 1, so every output row gets it


def _output_rows(halfway, at, m, y, relu, block, part):
    """A^T (M A), put in its place in y. part: slice of the numbers in an output row of a block."""
    n, rows, d, t, _, c = halfway.shape
    y = y[tiles.pixels(block, m, d)]
    _, ho, wo, _ = y.shape
    lines = halfway[..., :wo, :].reshape(n, rows, d, t, wo * c)[..., part]
    y = y.reshape(n, ho, wo * c)[..., part]
    side, full = m * d, ho // (m * d)  # rows of cells that do not overhang
    inside, edge = y[:, : full * side], y[:, full * side :]
    width = y.shape[2]
    np.matmul(at, lines[:, :full], out=inside.reshape(n, full, m, d, width).swapaxes(2, 3))
    if full < rows:
        last = scratch("overhang", (n, side, width), y.dtype)
        np.matmul(at, lines[:, full], out=last.reshape(n, m, d, width).swapaxes(1, 2))
        edge[...] = last[:, : ho - full * side]
    if relu:
        clamp(y)


def output_transform(M, m, y, dilation, bias, relu, block):
    """A^T M A for every tile of a block, plus bias, put in its place in y: what
    kernels/winograd_output.cu computes. M: (t*t, P, C). bias: (C,) or None."""
    at = winograd.matrices(m)[2].astype(M.dtype)
    halfway = scratch("halfway", _halfway_shape(block, m, dilation, M.shape[2]), M.dtype)
    for a in range(m + 2):
        _output_columns(M[a * (m + 2) : (a + 1) * (m + 2)], a, at, m, bias, halfway)
    _output_rows(halfway, at, m, y, relu, block, slice(None))


# Convolutions, by all threads --------------------------------------------------------------------


def convolve(x, U, size, bias, relu, dilation, padding, fill, m):
    """The convolution of x. U: (t*t, C_in, C_out). Returns (N, *size, C_out)."""
    _, c_in, c_out = U.shape
    y, t, d = empty((len(x), *size, c_out), x), m + 2, dilation
    bt, _, at = (matrix.astype(x.dtype) for matrix in winograd.matrices(m))

    def multiply(block, halfway, rows):
        """Some rows of M A."""
        count = tiles.count(block, d)
        V = scratch("V", (t, count, c_in), x.dtype)
        M = scratch("M", (t, count, c_out), x.dtype)
        transformed = _rows("rows", x, bt[rows], m, d, padding, fill, block)
        for a, row in enumerate(transformed, rows.start):
            _columns(row, bt, m, V)
            np.matmul(V, U[a * t : (a + 1) * t], out=M)
            _output_columns(M, a, at, m, bias, halfway)

    def alone(block):
        halfway = scratch("halfway", _halfway_shape(block, m, d, c_out), x.dtype)
        multiply(block, halfway, slice(0, t))
        _output_rows(halfway, at, m, y, relu, block, slice(None))

    most = _most(x, m, max(c_in, c_out), ROW_BYTES)
    all_tiles = tiles.count(tiles.whole(len(x), size, m, d), d)
    most = min(most, -(-all_tiles // -(-THREADS // t)))  # with more than t threads, more blocks
    blocks = tiles.cut_cells(len(x), size, m, d, most)
    if len(blocks) % THREADS == 0 or len(blocks) > 4 * THREADS:
        parallel_for(alone, blocks)
        return y
    shapes = [_halfway_shape(block, m, d, c_out) for block in blocks]
    halves = [scratch(f"halfway {k}", shape, x.dtype) for k, shape in enumerate(shapes)]
    pairs = list(zip(blocks, halves, strict=True))
    parallel_for(
        lambda item: multiply(*item), [(*pair, rows) for pair in pairs for rows in cut(t, THREADS)]
    )
    parts = [
        (halfway, at, m, y, relu, block, part)
        for block, halfway in pairs
        for part in cut(y[tiles.pixels(block, m, d)].shape[2] * c_out, THREADS)
    ]
    parallel_for(lambda part: _output_rows(*part), parts)
    return y


def sum_products(x, dy, dU, dilation, padding, m):
    """dU = sum of V^T dM over tiles. dU: (t*t, C_in, C_out), is filled.

    A point's sum is one thread's, over the blocks in order: so runs can be repeated.
    """
    t, d, channels = m + 2, dilation, (x.shape[3], dy.shape[3])
    bt, _, at = (matrix.astype(x.dtype) for matrix in winograd.matrices(m))
    most = _most(x, m, max(channels), GRADIENT_ROW_BYTES)
    blocks = tiles.cut_cells(len(x), dy.shape[1:3], m, d, most)

    def some(points):
        """The points of some rows and columns."""
        rows, columns = points
        wide = columns.stop - columns.start
        for number, block in enumerate(blocks):
            shapes = [(wide, tiles.count(block, d), c) for c in channels]
            V, dM = (scratch(name, s, x.dtype) for name, s in zip(("V", "M"), shapes, strict=True))
            x_rows = _rows("rows", x, bt[rows], m, d, padding, 0, block)
            dy_rows = _rows("dy's rows", dy, at.T[rows], m, d, 0, 0, block)
            for a, x_row, dy_row in zip(range(rows.start, rows.stop), x_rows, dy_rows, strict=True):
                _columns(x_row, bt[columns], m, V)
                _columns(dy_row, at.T[columns], m, dM)
                for k in range(wide):
                    into = dU[a * t + columns.start + k]
                    matmul(V[k].T, dM[k], into, accumulate=number > 0)

    parallel_for(some, product(cut(t, THREADS), cut(t, -(-THREADS // t))))
