"""Wrong answers that students give to chapter 5. The docstring: exercise, and what is to be said."""

import numpy as np


def all_ones(forward, adjoint, x_shape, y_shape):
    """is_adjoint: x and y are all ones"""
    x, y = np.ones(x_shape), np.ones(y_shape)
    return np.isclose(np.sum(forward(x) * y), np.sum(x * adjoint(y)), atol=0)


def one_seed_for_both(forward, adjoint, x_shape, y_shape):
    """is_adjoint: x and y are the same numbers"""
    x = np.random.default_rng(0).normal(size=x_shape)
    y = np.random.default_rng(0).normal(size=y_shape)
    left, right = np.vdot(forward(x), y), np.vdot(x, adjoint(y))
    return bool(abs(left - right) < 1e-6 * abs(left))


def default_tolerance(forward, adjoint, x_shape, y_shape):
    """is_adjoint: the gap is not compared with the size of the numbers"""
    x, y = np.random.rand(*x_shape), np.random.rand(*y_shape)
    return np.isclose((forward(x) * y).sum(), (x * adjoint(y)).sum())


def absolute_tolerance(forward, adjoint, x_shape, y_shape):
    """is_adjoint: the gap is not compared with the size of the numbers"""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    return abs((forward(x) * y).sum() - (x * adjoint(y)).sum()) < 1e-9


def wide_tolerance(forward, adjoint, x_shape, y_shape):
    """is_adjoint: the tolerance is so wide"""
    rng = np.random.default_rng(3)
    x, y = rng.uniform(size=x_shape), rng.uniform(size=y_shape)
    left, right = (forward(x) * y).sum(), (x * adjoint(y)).sum()
    return abs(left - right) / abs(left) < 0.05


def to_the_last_bit(forward, adjoint, x_shape, y_shape):
    """is_adjoint: it asks for equality to the last bit"""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    return np.vdot(forward(x), y) == np.vdot(x, adjoint(y))


def the_inverse(forward, adjoint, x_shape, y_shape):
    """is_adjoint: this tests for the inverse"""
    x = np.random.default_rng(3).standard_normal(x_shape)
    return np.allclose(adjoint(forward(x)), x)


def yes_and_no(forward, adjoint, x_shape, y_shape):
    """is_adjoint: it says yes to wrong pairs and no to right ones"""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    left, right = np.vdot(forward(x), y), np.vdot(x, adjoint(y))
    return abs(left - right) > 1e-9 * np.linalg.norm(forward(x)) * np.linalg.norm(y)


def matrix_product(forward, adjoint, x_shape, y_shape):
    """is_adjoint: in line"""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    return np.allclose(forward(x) @ y, x @ adjoint(y), atol=0)


def gap_returned(forward, adjoint, x_shape, y_shape):
    """is_adjoint: True or False is wanted"""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(x_shape), rng.standard_normal(y_shape)
    return abs(np.vdot(forward(x), y) - np.vdot(x, adjoint(y)))


def _stamped(x, weight, s, d, add=True):
    n, h, w, _ = x.shape
    kh, kw, _, co = weight.shape
    full = np.zeros((n, (h - 1) * s + d * (kh - 1) + 1, (w - 1) * s + d * (kw - 1) + 1, co))
    for r in range(h):
        for c in range(w):
            for i in range(kh):
                for j in range(kw):
                    stamp = x[:, r, c] @ weight[i, j]
                    if add:
                        full[:, r * s + i * d, c * s + j * d] += stamp
                    else:
                        full[:, r * s + i * d, c * s + j * d] = stamp
    return full


def _cut(full, p):
    return full[:, p : full.shape[1] - p, p : full.shape[2] - p]


def overwritten(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: where stamps overlap, the last one counts alone"""
    return _cut(_stamped(x, weight, stride, dilation, add=False), padding) + bias


def overwritten_tap_by_tap(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: where stamps overlap, the last one counts alone"""
    full = np.zeros_like(_stamped(x, weight, stride, dilation))
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            rows = slice(i * dilation, i * dilation + (x.shape[1] - 1) * stride + 1, stride)
            cols = slice(j * dilation, j * dilation + (x.shape[2] - 1) * stride + 1, stride)
            full[:, rows, cols] = x @ weight[i, j]
    return _cut(full, padding) + bias


def zeros_between_and_unflipped(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the filter is flipped"""
    n, h, w, c = x.shape
    kh, kw = weight.shape[:2]
    a, b = dilation * (kh - 1), dilation * (kw - 1)
    wide = np.zeros((n, (h - 1) * stride + 1 + 2 * a, (w - 1) * stride + 1 + 2 * b, c))
    wide[:, a : a + (h - 1) * stride + 1 : stride, b : b + (w - 1) * stride + 1 : stride] = x
    ho, wo = wide.shape[1] - a, wide.shape[2] - b
    full = np.zeros((n, ho, wo, weight.shape[3]))
    for i in range(kh):
        for j in range(kw):
            full += wide[:, i * dilation :, j * dilation :][:, :ho, :wo] @ weight[i, j]
    return _cut(full, padding) + bias


def padding_kept(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the padding is not cut off"""
    return _stamped(x, weight, stride, dilation) + bias


def padding_cut_at_the_end(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: all of the padding is cut off below and right"""
    full = _stamped(x, weight, stride, dilation)
    return full[:, : full.shape[1] - 2 * padding, : full.shape[2] - 2 * padding] + bias


def padding_cut_at_the_start(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: all of the padding is cut off above and left"""
    return _stamped(x, weight, stride, dilation)[:, 2 * padding :, 2 * padding :] + bias


def bias_with_each_stamp(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the bias is added with every stamp"""
    full = np.zeros_like(_stamped(x, weight, stride, dilation))
    for r in range(x.shape[1]):
        for c in range(x.shape[2]):
            for i in range(weight.shape[0]):
                for j in range(weight.shape[1]):
                    stamp = x[:, r, c] @ weight[i, j] + bias
                    full[:, r * stride + i * dilation, c * stride + j * dilation] += stamp
    return _cut(full, padding)


def no_bias(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the term b is missing"""
    return _cut(_stamped(x, weight, stride, dilation), padding)


def no_dilation(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the dilation is left out"""
    return _cut(_stamped(x, weight, stride, 1), padding) + bias


def normalised(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the sum is divided by the number of stamps on a pixel"""
    ones = _stamped(np.ones_like(x[..., :1]), np.ones((*weight.shape[:2], 1, 1)), stride, dilation)
    full = _stamped(x, weight, stride, dilation) / np.where(ones, ones, 1)
    return _cut(full, padding) + bias


def as_torch_orders_its_filters(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: ValueError in line"""
    return _cut(_stamped(x, weight.transpose(0, 1, 3, 2), stride, dilation), padding) + bias


def chapter_4_again(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: this is the convolution of chapter 4"""
    from mini_colorize.layers.conv import conv2d

    return conv2d(x, weight, bias, stride=stride, dilation=dilation, padding=padding)


def only_a_square_filter_transposed(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: the filter's rows and columns are exchanged"""
    if weight.shape[0] == weight.shape[1]:
        weight = weight.transpose(1, 0, 2, 3)
    return _cut(_stamped(x, weight, stride, dilation), padding) + bias


def doubled_in_place(x, weight, bias, stride, dilation, padding):
    """conv_transpose2d: it overwrites its argument weight"""
    weight *= 2
    return _cut(_stamped(x, weight, stride, dilation), padding) / 2 + bias


def _windows(dy, weight, x, s, d, p):
    """The pixels of dy under the stamp of each input pixel: (N, H, W, kh, kw, C_out)."""
    padded = np.pad(dy, [(0, 0), (p, p), (p, p), (0, 0)])
    out = np.zeros((*x.shape[:3], *weight.shape[:2], dy.shape[3]))
    for r, c, i, j in np.ndindex(*x.shape[1:3], *weight.shape[:2]):
        out[:, r, c, i, j] = padded[:, r * s + i * d, c * s + j * d]
    return out


def _both(columns, x, weight):
    return np.einsum("nrcijk,ijqk->nrcq", columns, weight), np.einsum(
        "nrcq,nrcijk->ijqk", x, columns
    )


def dx_with_the_flipped_filter(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dx is wrong: the filter is flipped"""
    columns = _windows(dy, weight, x, stride, dilation, padding)
    dx, dw = _both(columns, x, weight)
    return _both(columns, x, weight[::-1, ::-1])[0], dw


def dw_flipped(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW is wrong: it is flipped"""
    dx, dw = _both(_windows(dy, weight, x, stride, dilation, padding), x, weight)
    return dx, dw[::-1, ::-1]


def dw_of_the_mean(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW is wrong: it is divided by the number of pictures"""
    dx, dw = _both(_windows(dy, weight, x, stride, dilation, padding), x, weight)
    return dx, dw / x.shape[0]


def dw_of_one_picture(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW is wrong: it is of the first picture only"""
    columns = _windows(dy, weight, x, stride, dilation, padding)
    return _both(columns, x, weight)[0], _both(columns[:1], x[:1], weight)[1]


def dw_not_added_up(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW is wrong: only the last pixel counts"""
    columns = _windows(dy, weight, x, stride, dilation, padding)
    dw = np.zeros_like(weight)
    for r in range(x.shape[1]):
        for c in range(x.shape[2]):
            for i in range(weight.shape[0]):
                for j in range(weight.shape[1]):
                    row = r * stride - padding + i * dilation
                    col = c * stride - padding + j * dilation
                    if 0 <= row < dy.shape[1] and 0 <= col < dy.shape[2]:
                        dw[i, j] = x[:, r, c].T @ dy[:, row, col]
    return _both(columns, x, weight)[0], dw


def dx_not_added_up(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dx is wrong: only the last tap counts"""
    columns = _windows(dy, weight, x, stride, dilation, padding)
    dx = np.zeros_like(x)
    for r in range(x.shape[1]):
        for c in range(x.shape[2]):
            for i in range(weight.shape[0]):
                for j in range(weight.shape[1]):
                    row = r * stride - padding + i * dilation
                    col = c * stride - padding + j * dilation
                    if 0 <= row < dy.shape[1] and 0 <= col < dy.shape[2]:
                        dx[:, r, c] = dy[:, row, col] @ weight[i, j].T
    return dx, _both(columns, x, weight)[1]


def padding_forgotten(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dx is wrong: the padding is left out"""
    size = [n + 2 * padding for n in dy.shape[1:3]]
    wide = np.zeros((len(dy), *size, dy.shape[3]))
    wide[:, : dy.shape[1], : dy.shape[2]] = dy
    return _both(_windows(wide, weight, x, stride, dilation, 0), x, weight)


def filters_as_torch_orders_them(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW has the shape (4, 4, 2, 1), wanted is (4, 4, 1, 2)"""
    dx, dw = _both(_windows(dy, weight, x, stride, dilation, padding), x, weight)
    return dx, dw.transpose(0, 1, 3, 2)


def scattered_again(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dx has the shape (1, 1, 4, 1), wanted is (1, 1, 2, 1)"""
    back = _cut(_stamped(dy, weight.swapaxes(2, 3), stride, dilation), padding)
    dw = _both(_windows(dy, weight, x, stride, dilation, padding), x, weight)[1]
    return back, dw


def dw_divided_by_pixels(dy, x, weight, stride, dilation, padding):
    """conv_transpose2d_backward: dW is wrong: it is divided by the number of input pixels"""
    dx, dw = _both(_windows(dy, weight, x, stride, dilation, padding), x, weight)
    return dx, dw / x[..., 0].size
