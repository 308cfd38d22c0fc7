"""Winograd's tiles, cut into blocks that are transformed at a time.

Notation: as in winograd.py. A block is three slices: of pictures, cell rows and cell columns.
"""

from math import prod

from .threads import split


def cells(size, m, dilation):
    """(Rows, Cols) for output pictures of size (Ho, Wo)."""
    return -(-size[0] // (m * dilation)), -(-size[1] // (m * dilation))


def whole(n, size, m, dilation):
    """The block that is everything."""
    rows, cols = cells(size, m, dilation)
    return slice(0, n), slice(0, rows), slice(0, cols)


def cut_cells(n, size, m, dilation, most):
    """Cut the cells of n output pictures into blocks of at most `most` tiles, or of one cell.

    The parts are pictures if these fit, else rows of cells, else parts of a row, and nearly equal.
    """
    rows, cols = cells(size, m, dilation)
    most = max(1, most // dilation**2)
    return [
        (pictures, i, j)
        for pictures in split(n, most // (rows * cols))
        for i in split(rows, most // cols)
        for j in split(cols, most)
    ]


def count(block, dilation):
    """The tiles of a block."""
    return prod(s.stop - s.start for s in block) * dilation**2


def pixels(block, m, dilation):
    """The output pixels of a block, as slices of (N, Ho, Wo); they may overhang."""
    n, i, j = block
    side = m * dilation
    return n, slice(i.start * side, i.stop * side), slice(j.start * side, j.stop * side)
