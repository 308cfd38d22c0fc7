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
