"""The steps of a convolution on a GPU, by kernels, one after another: as in steps_cpu.py."""

from ..backend import array_module, matmul
from . import kernels, tiles
from .kernels import bias_relu
from .memory import constant, number

WORK_BYTES = 512 * 2**20  # cap of the columns, of V and of M: a GPU wants large matrices
COLUMNS = 2**31  # of filters: all at once
THREADS = 1
WIDE = False  # a GPU's matrix products are large enough


def each(function, items):
    """function(item) for every item."""
    for item in items:
        function(item)


def empty(shape, like):
    """A new array, of the dtype and on the device of `like`."""
    return array_module(like).empty(shape, like.dtype)


def scratch(name, shape, like):
    """The same: CuPy's pool gives memory out again."""
    return empty(shape, like)


def columns(x, rows, cols, block, fill):
    """See gather.gather."""
    return kernels.gather(x, rows, cols, block, vector(fill, x))


def vector(value, x):
    """What kernels want for x's channels, of a number or (C,): (C,) float32 on x's device."""
    return number(value, x, shape=x.shape[3:])


def _tile_blocks(x, size, m, dilation, channels):
    """The blocks, of which V and M keep to WORK_BYTES. channels: of the wider one."""
    most = WORK_BYTES // ((m + 2) ** 2 * channels * x.itemsize)
    return tiles.cut_cells(len(x), size, m, dilation, most)


def convolve(x, U, size, bias, relu, dilation, padding, fill, m):
    """Transform, t*t matrix products, transform back, by blocks. Returns (N, *size, C_out)."""
    y = empty((len(x), *size, U.shape[2]), x)
    fill, bias = vector(fill, x), vector(0, y) if bias is None else bias
    for block in _tile_blocks(x, size, m, dilation, max(U.shape[1:])):
        V = kernels.winograd_transform(x, m, True, dilation, padding, fill, block)
        M = matmul(V, U)
        kernels.winograd_output(M, m, y, dilation, bias, relu, block)
        del V, M  # or the next ones come before these go
    return y


def sum_products(x, dy, dU, dilation, padding, m):
    """dU = sum of V^T dM over tiles. dU: (t*t, C_in, C_out), is filled."""
    blocks = _tile_blocks(x, dy.shape[1:3], m, dilation, max(dU.shape[1:]))
    for k, block in enumerate(blocks):
        V = kernels.winograd_transform(x, m, True, dilation, padding, vector(0, x), block)
        dM = kernels.winograd_transform(dy, m, False, dilation, 0, vector(0, dy), block)
        matmul(V.swapaxes(1, 2), dM, dU, accumulate=k > 0)
        del V, dM
