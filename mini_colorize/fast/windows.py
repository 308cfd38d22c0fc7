"""Windows of pictures on the CPU: cut out with their padding, and laid out as columns.

Notation: as in chapter 4.
"""

from math import prod

import numpy as np

from .memory import scratch


def cut_out(x, top, height, left, width, fill, copy=False):
    """x[:, top : top+height, left : left+width], where what lies outside x is `fill`.

    Scratch memory, or a view of x if nothing lies outside, unless `copy`.
    """
    h, w = x.shape[1:3]
    r0, r1 = (min(max(r, 0), h) for r in (top, top + height))
    c0, c1 = (min(max(c, 0), w) for c in (left, left + width))
    inside = (r1 - r0, c1 - c0) == (height, width)
    if inside and not copy:
        return x[:, r0:r1, c0:c1]
    patch = scratch("patch", (len(x), height, width, x.shape[3]), x.dtype)
    if not inside:
        patch[...] = fill
    patch[:, r0 - top : r1 - top, c0 - left : c1 - left] = x[:, r0:r1, c0:c1]
    return patch


def columns(x, rows, cols, block, fill):
    """See gather.gather. Valid until the thread's next call, and a transposed view if C is 1."""
    n, r, c = block
    height = (r.stop - r.start - 1) * rows.stride + (rows.count - 1) * rows.step + 1
    width = (c.stop - c.start - 1) * cols.stride + (cols.count - 1) * cols.step + 1
    top, left = r.start * rows.stride + rows.start, c.start * cols.stride + cols.start
    patch = cut_out(x[n], top, height, left, width, fill)
    sn, sh, sw, sc = patch.strides
    pixels = (len(patch), r.stop - r.start, c.stop - c.start)
    windows = np.lib.stride_tricks.as_strided(
        patch,
        pixels + (rows.count, cols.count, x.shape[3]),
        (sn, sh * rows.stride, sw * cols.stride, sh * rows.step, sw * cols.step, sc),
    )
    if x.shape[3] == 1:  # copied tap by tap, since a pixel is too little to copy at a time
        laid = scratch("columns", windows.shape[3:] + pixels, x.dtype)
        np.copyto(laid, windows.transpose(3, 4, 5, 0, 1, 2))
        return laid.reshape(-1, prod(pixels)).T
    laid = scratch("columns", windows.shape, x.dtype)
    np.copyto(laid, windows)
    return laid.reshape(prod(pixels), -1)
