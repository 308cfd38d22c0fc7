"""Wrong answers that students give to chapter 4. The docstring: exercise, and what is to be said."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def _windows(x, kernel, s, d, p):
    """(N, Ho, Wo, C, kh, kw)."""
    padded = np.pad(x, [(0, 0), (p, p), (p, p), (0, 0)])
    reach = [d * (k - 1) + 1 for k in kernel]
    return sliding_window_view(padded, reach, (1, 2))[:, ::s, ::s, :, ::d, ::d]


def _right(x, weight, bias, s, d, p):
    return np.einsum("nrcqij,ijqk->nrck", _windows(x, weight.shape[:2], s, d, p), weight) + bias


def as_in_signal_processing(x, weight, bias, stride, dilation, padding):
    """conv2d: the filter is flipped"""
    return _right(x, weight[::-1, ::-1], bias, stride, dilation, padding)


def filter_transposed(x, weight, bias, stride, dilation, padding):
    """conv2d: the filter's rows and columns are exchanged"""
    kernel = weight.shape[:2] if weight.shape[0] != weight.shape[1] else None
    flat = weight if kernel else weight.transpose(1, 0, 2, 3)
    return _right(x, flat, bias, stride, dilation, padding)


def no_dilation(x, weight, bias, stride, dilation, padding):
    """conv2d: the dilation is left out"""
    n, h, w, _ = x.shape
    kh, kw, _, c_out = weight.shape
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    ho = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    wo = (w + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    y = np.zeros((n, ho, wo, c_out))
    for r in range(ho):
        for c in range(wo):
            window = padded[:, r * stride : r * stride + kh, c * stride : c * stride + kw]
            y[:, r, c] = np.tensordot(window, weight, 3) + bias
    return y


def no_stride(x, weight, bias, stride, dilation, padding):
    """conv2d: the stride is left out"""
    y = _right(x, weight, bias, 1, dilation, padding)
    ho = -(-y.shape[1] // stride)
    wo = -(-y.shape[2] // stride)
    return y[:, :ho, :wo]


def no_bias(x, weight, bias, stride, dilation, padding):
    """conv2d: the term b is missing"""
    return _right(x, weight, 0, stride, dilation, padding)


def a_bias_for_each_tap(x, weight, bias, stride, dilation, padding):
    """conv2d: the bias is added at every tap"""
    y = 0
    windows = _windows(x, weight.shape[:2], stride, dilation, padding)
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            y = y + windows[..., i, j] @ weight[i, j] + bias
    return y


def padded_by_the_border(x, weight, bias, stride, dilation, padding):
    """conv2d: the padding repeats the border"""
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return _right(np.pad(x, pads, mode="edge"), weight, bias, stride, dilation, 0)


def padded_on_one_side(x, weight, bias, stride, dilation, padding):
    """conv2d: no padding is above and left"""
    pads = [(0, 0), (0, 2 * padding), (0, 2 * padding), (0, 0)]
    return _right(np.pad(x, pads), weight, bias, stride, dilation, 0)


def not_padded(x, weight, bias, stride, dilation, padding):
    """conv2d: y has the shape (1, 1, 2, 2), wanted is (1, 3, 4, 2)"""
    return _right(x, weight, bias, stride, dilation, 0)


def one_picture(x, weight, bias, stride, dilation, padding):
    """conv2d: it is right for the first picture only"""
    y = _right(x, weight, bias, stride, dilation, padding)
    return np.concatenate([y[:1]] * len(x))


def with_a_relu(x, weight, bias, stride, dilation, padding):
    """conv2d: there is a ReLU"""
    return _right(x, weight, bias, stride, dilation, padding).clip(0)


def another_order(x, weight, bias, stride, dilation, padding):
    """conv2d: its axes are in another order"""
    return _right(x, weight, bias, stride, dilation, padding).transpose(0, 3, 1, 2)


def dw_flipped(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: the filter is flipped"""
    dw = np.einsum("nrcqij,nrck->ijqk", _windows(x, kernel, stride, dilation, padding), dy)
    return dw[::-1, ::-1]


def dw_of_the_first(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: it is of the first picture only"""
    windows = _windows(x, kernel, stride, dilation, padding)
    return np.einsum("rcqij,rck->ijqk", windows[0], dy[0])


def dw_overwritten(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: it is of the last picture only"""
    windows = _windows(x, kernel, stride, dilation, padding)
    for n in range(len(x)):
        dw = np.einsum("rcqij,rck->ijqk", windows[n], dy[n])
    return dw


def dw_mean(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: it is divided by the number of pictures"""
    dw = np.einsum("nrcqij,nrck->ijqk", _windows(x, kernel, stride, dilation, padding), dy)
    return dw / x.shape[0]


def dw_mean_of_pixels(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: it is divided by the number of output pixels"""
    windows = _windows(x, kernel, stride, dilation, padding)
    return np.einsum("nrcqij,nrck->ijqk", windows, dy) / np.prod(dy.shape[:3])


def dw_channels(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: its axes are in another order"""
    return np.einsum("nrcqij,nrck->ijkq", _windows(x, kernel, stride, dilation, padding), dy)


def dw_without_dilation(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: the dilation is left out"""
    windows = _windows(x, kernel, stride, 1, padding)
    return np.einsum("nrcqij,nrck->ijqk", windows[:, : dy.shape[1], : dy.shape[2]], dy)


def dx_flipped(dy, weight, size, stride, dilation, padding):
    """input_gradient: the filter is flipped"""
    return _scattered(dy, weight[::-1, ::-1], size, stride, dilation, padding)


def _scattered(dy, weight, size, s, d, p, add=True, cut=True):
    n, ho, wo, _ = dy.shape
    dx = np.zeros((n, size[0] + 2 * p, size[1] + 2 * p, weight.shape[2]))
    for i, j in np.ndindex(weight.shape[:2]):
        rows = slice(i * d, i * d + (ho - 1) * s + 1, s)
        cols = slice(j * d, j * d + (wo - 1) * s + 1, s)
        share = dy @ weight[i, j].T
        dx[:, rows, cols] = dx[:, rows, cols] + share if add else share
    return dx[:, p : p + size[0], p : p + size[1]] if cut else dx[:, : size[0], : size[1]]


def dx_overwritten(dy, weight, size, stride, dilation, padding):
    """input_gradient: a pixel that several windows read has the last one's share only"""
    return _scattered(dy, weight, size, stride, dilation, padding, add=False)


def dx_not_cut(dy, weight, size, stride, dilation, padding):
    """input_gradient: the padding is not cut off"""
    return _scattered(dy, weight, size, stride, dilation, padding, cut=False)


def dx_padded(dy, weight, size, stride, dilation, padding):
    """input_gradient: dx has the shape (1, 5, 6, 1), wanted is (1, 3, 4, 1)"""
    p = padding
    larger = size[0] + 2 * p, size[1] + 2 * p
    return _scattered(dy, weight, larger, stride, dilation, 0)


def dx_of_one_picture(dy, weight, size, stride, dilation, padding):
    """input_gradient: it is right for the first picture only"""
    dx = _scattered(dy, weight, size, stride, dilation, padding)
    dx[1:] = 0
    return dx


def dx_without_stride(dy, weight, size, stride, dilation, padding):
    """input_gradient: the stride is left out"""
    return _scattered(dy, weight, size, 1, dilation, padding)


def dx_channels(dy, weight, size, stride, dilation, padding):
    """input_gradient: ValueError in line"""
    return _scattered(dy, weight.swapaxes(2, 3), size, stride, dilation, padding)


def dx_channels_where_they_are_as_many(dy, weight, size, stride, dilation, padding):
    """input_gradient: the input and the output channels are exchanged"""
    if weight.shape[2] == weight.shape[3]:
        weight = weight.swapaxes(2, 3)
    return _scattered(dy, weight, size, stride, dilation, padding)


def _place(r, c, i, j, s, d, p):
    return r * s - p + i * d, c * s - p + j * d


def _looped(x, weight, bias, s, d, p, place=_place, low=0, out=None):
    """By loops, where a tap reads place(...) if that is at least `low`."""
    h, w = x.shape[1:3]
    kh, kw = weight.shape[:2]
    ho, wo = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k in ((h, kh), (w, kw)))
    y = np.zeros((len(x), ho, wo, weight.shape[3]))
    for r, c, i, j in np.ndindex(*(out or (ho, wo)), kh, kw):
        row, col = place(r, c, i, j, s, d, p)
        if low <= row < h and low <= col < w:
            y[:, r, c] += x[:, row, col] @ weight[i, j]
    return y + bias


def wraps_around(x, weight, bias, stride, dilation, padding):
    """conv2d: a negative index reads from the other end"""
    return _looped(x, weight, bias, stride, dilation, padding, low=-3)


def padded_by_the_other_side(x, weight, bias, stride, dilation, padding):
    """conv2d: the picture is continued from its other side"""
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    return _right(np.pad(x, pads, mode="wrap"), weight, bias, stride, dilation, 0)


def padded_before(x, weight, bias, stride, dilation, padding):
    """conv2d: all padding is above and left"""
    pads = [(0, 0), (2 * padding, 0), (2 * padding, 0), (0, 0)]
    return _right(np.pad(x, pads), weight, bias, stride, dilation, 0)


def padding_strides(x, weight, bias, stride, dilation, padding):
    """conv2d: the padding is multiplied by the stride"""

    def place(r, c, i, j, s, d, p):
        return (r - p) * s + i * d, (c - p) * s + j * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def padding_dilates(x, weight, bias, stride, dilation, padding):
    """conv2d: the padding is multiplied by the dilation"""

    def place(r, c, i, j, s, d, p):
        return r * s + (i - p) * d, c * s + (j - p) * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def padding_added(x, weight, bias, stride, dilation, padding):
    """conv2d: the padding has the wrong sign"""

    def place(r, c, i, j, s, d, p):
        return r * s + p + i * d, c * s + p + j * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def dilation_backwards(x, weight, bias, stride, dilation, padding):
    """conv2d: the dilation has the wrong sign"""

    def place(r, c, i, j, s, d, p):
        return r * s - p - i * d, c * s - p - j * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def tap_in_the_middle(x, weight, bias, stride, dilation, padding):
    """conv2d: the filter's middle is laid on pixel r s"""
    mid = [k // 2 for k in weight.shape[:2]]

    def place(r, c, i, j, s, d, p):
        return r * s + (i - mid[0]) * d, c * s + (j - mid[1]) * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def r_and_c(x, weight, bias, stride, dilation, padding):
    """conv2d: the rows and columns of the output are exchanged"""

    def place(r, c, i, j, s, d, p):
        return c * s - p + i * d, r * s - p + j * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def i_and_j(x, weight, bias, stride, dilation, padding):
    """conv2d: the filter's rows and columns are exchanged"""

    def place(r, c, i, j, s, d, p):
        return r * s - p + j * d, c * s - p + i * d

    return _looped(x, weight, bias, stride, dilation, padding, place)


def row_zero_outside(x, weight, bias, stride, dilation, padding):
    """conv2d: row 0 and column 0 are taken to be outside"""
    return _looped(x, weight, bias, stride, dilation, padding, low=1)


def last_row_of_y_forgotten(x, weight, bias, stride, dilation, padding):
    """conv2d: the last row and column of y are left out"""
    ho, wo = _windows(x, weight.shape[:2], stride, dilation, padding).shape[1:3]
    return _looped(x, weight, bias, stride, dilation, padding, out=(ho - 1, wo - 1))


def flipped_once(x, weight, bias, stride, dilation, padding):
    """conv2d: the filter is flipped along its rows"""
    return _right(x, weight[::-1], bias, stride, dilation, padding)


def y_assigned(x, weight, bias, stride, dilation, padding):
    """conv2d: only the last tap counts: = stands where += belongs"""
    windows = _windows(x, weight.shape[:2], stride, dilation, padding)
    for i, j in np.ndindex(weight.shape[:2]):
        y = windows[..., i, j] @ weight[i, j]
    return y + bias


def y_assigned_without_a_bias(x, weight, bias, stride, dilation, padding):
    """conv2d: only the last tap counts: = stands where += belongs"""
    y = _right(x, weight, bias, stride, dilation, padding)
    h, w, kh, kw = x.shape[1:3] + weight.shape[:2]
    for r, c, i, j in np.ndindex(*y.shape[1:3], kh, kw):
        row, col = _place(r, c, i, j, stride, dilation, padding)
        if 0 <= row < h and 0 <= col < w:
            y[:, r, c] = x[:, row, col] @ weight[i, j]
    return y


def columns_as_the_view_has_them(x, weight, bias, stride, dilation, padding):
    """conv2d: the columns of X are in the order (q, i, j)"""
    windows = _windows(x, weight.shape[:2], stride, dilation, padding)
    rows = windows.reshape(*windows.shape[:3], -1)
    return rows @ weight.reshape(-1, weight.shape[3]) + bias


def all_biases(x, weight, bias, stride, dilation, padding):
    """conv2d: all biases are added to every channel"""
    return _right(x, weight, bias.sum(), stride, dilation, padding)


def dw_assigned(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: only the last output pixel counts: = stands where += belongs"""
    windows = _windows(x, kernel, stride, dilation, padding)
    dw = np.zeros((*kernel, x.shape[3], dy.shape[3]))
    for r, c, i, j in np.ndindex(*dy.shape[1:3], *kernel):
        dw[i, j] = windows[:, r, c, :, i, j].T @ dy[:, r, c]
    return dw


def dw_mean_of_one_pictures_pixels(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: it is divided by the number of output pixels"""
    dw = np.einsum("nrcqij,nrck->ijqk", _windows(x, kernel, stride, dilation, padding), dy)
    return dw / (dy.shape[1] * dy.shape[2])


def dw_of_sums(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: pictures are added up before the product"""
    windows = _windows(x, kernel, stride, dilation, padding)
    dw = np.zeros((*kernel, x.shape[3], dy.shape[3]))
    for r, c, i, j in np.ndindex(*dy.shape[1:3], *kernel):
        dw[i, j] += np.outer(windows[:, r, c, :, i, j].sum(0), dy[:, r, c].sum(0))
    return dw


def dw_edge(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: the padding repeats the border"""
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)], mode="edge")
    return np.einsum("nrcqij,nrck->ijqk", _windows(padded, kernel, stride, dilation, 0), dy)


def dw_padded_before(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: all padding is above and left"""
    padded = np.pad(x, [(0, 0), (2 * padding, 0), (2 * padding, 0), (0, 0)])
    return np.einsum("nrcqij,nrck->ijqk", _windows(padded, kernel, stride, dilation, 0), dy)


def dw_of_i_and_j(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: the filter's rows and columns are exchanged"""
    dw = np.einsum("nrcqij,nrck->ijqk", _windows(x, kernel, stride, dilation, padding), dy)
    return dw.swapaxes(0, 1) if kernel[0] == kernel[1] else dw


def dw_in_the_views_order(dy, x, kernel, stride, dilation, padding):
    """weight_gradient: the columns of X are in the order (q, i, j)"""
    windows = _windows(x, kernel, stride, dilation, padding)
    flat = windows.reshape(-1, x.shape[3] * kernel[0] * kernel[1])
    return (flat.T @ dy.reshape(-1, dy.shape[3])).reshape(*kernel, x.shape[3], -1)


def _gathered_back(dy, weight, size, s, d, p, low=0, add=True, pixels_outside=True, divide=False):
    dx, count = np.zeros((len(dy), *size, weight.shape[2])), np.zeros((1, *size, 1))
    pixels, taps = list(np.ndindex(dy.shape[1:3])), list(np.ndindex(weight.shape[:2]))
    order = [(*a, *b) for a in pixels for b in taps]
    for r, c, i, j in order if pixels_outside else sorted(order, key=lambda at: at[2:]):
        row, col = _place(r, c, i, j, s, d, p)
        if low <= row < size[0] and low <= col < size[1]:
            dx[:, row, col] = dy[:, r, c] @ weight[i, j].T + add * dx[:, row, col]
            count[:, row, col] += 1
    return dx / np.maximum(count, 1) if divide else dx


def dx_assigned_pixels_outside(dy, weight, size, stride, dilation, padding):
    """input_gradient: a pixel that several windows read has the last one's share only"""
    return _gathered_back(dy, weight, size, stride, dilation, padding, add=False)


def dx_with_arrays_of_indices(dy, weight, size, stride, dilation, padding):
    """input_gradient: a pixel that several windows read has the last one's share only"""
    n, ho, wo, _ = dy.shape
    kh, kw, c_in, _ = weight.shape
    dx = np.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, c_in))
    rows = np.arange(ho)[:, None] * stride + np.arange(kh) * dilation
    cols = np.arange(wo)[:, None] * stride + np.arange(kw) * dilation
    rows, cols = rows[:, None, :, None], cols[None, :, None, :]
    dx[:, rows, cols] += np.einsum("nrck,ijqk->nrcijq", dy, weight)
    return dx[:, padding : padding + size[0], padding : padding + size[1]]


def dx_wraps_around(dy, weight, size, stride, dilation, padding):
    """input_gradient: a negative index reads from the other end"""
    return _gathered_back(dy, weight, size, stride, dilation, padding, low=-3)


def dx_averaged(dy, weight, size, stride, dilation, padding):
    """input_gradient: it is divided by the number of windows that have read a pixel"""
    return _gathered_back(dy, weight, size, stride, dilation, padding, divide=True)


def dx_reshaped(dy, weight, size, stride, dilation, padding):
    """input_gradient: reshape does not transpose"""
    kh, kw, c_in, c_out = weight.shape
    transposed = weight.reshape(kh, kw, c_out, c_in).swapaxes(2, 3)
    return _scattered(dy, transposed, size, stride, dilation, padding)


def dx_padding_strides(dy, weight, size, stride, dilation, padding):
    """input_gradient: the padding is multiplied by the stride"""
    h, w = size
    dx = np.zeros((len(dy), h, w, weight.shape[2]))
    for r, c, i, j in np.ndindex(*dy.shape[1:3], *weight.shape[:2]):
        row, col = (r - padding) * stride + i * dilation, (c - padding) * stride + j * dilation
        if 0 <= row < h and 0 <= col < w:
            dx[:, row, col] += dy[:, r, c] @ weight[i, j].T
    return dx
