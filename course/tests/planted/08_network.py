"""Wrong answers that students give to chapter 8. The docstring: exercise, and what is to be said."""

import math

import numpy as np

from mini_colorize.layers import conv


def fan_out(draw):
    """he: fan_out (kh kw C_out) stands where fan_in"""
    kh, kw, c_in, c_out = draw.shape
    return draw * math.sqrt(2 / (kh * kw * c_out))


def axes_as_in_torch(draw):
    """he: here the output channels are the last axis"""
    fan_in = np.prod(draw.shape[1:])  # (C_out, C_in, kh, kw) there
    return np.sqrt(2 / fan_in) * draw


def for_linear_layers(draw):
    """he: the 2 is missing"""
    return draw / np.sqrt(draw[..., 0].size)


def variance_for_deviation(draw):
    """he: 2 / fan_in is the variance; the numbers are multiplied by its root"""
    fan_in = draw.shape[0] * draw.shape[1] * draw.shape[2]
    return 2 / fan_in * draw


def channels_only(draw):
    """he: fan_in is not C_in"""
    return draw * (2 / draw.shape[2]) ** 0.5


def all_the_weights(draw):
    """he: fan_in is without C_out"""
    return draw * np.sqrt(2 / draw.size)


def glorot(draw):
    """he: Glorot's"""
    kh, kw, c_in, c_out = draw.shape
    return draw * np.sqrt(2 / (kh * kw * c_in + kh * kw * c_out))


def root_of_a_part(draw):
    """he: the root is of 2 / fan_in"""
    return draw * (2 / np.sqrt(np.prod(draw.shape[:3])))


def integer_division(draw):
    """he: it is 0 everywhere"""
    return draw * np.sqrt(2 // np.prod(draw.shape[:3]))


def by_the_variance(x, weights):
    """unit_variance: divided by the variance"""
    new = []
    for w in weights:
        y = conv.conv2d(x, w, 0, padding=1)
        w = w / np.var(y)
        x = np.maximum(conv.conv2d(x, w, 0, padding=1), 0)
        new.append(w)
    return np.stack(new)


def after_the_relu(x, weights):
    """unit_variance: the variance after the ReLU is made 1"""
    new = []
    for w in weights:
        y = conv.conv2d(x, w, 0, padding=1, relu=True)
        new.append(w / y.std())
        x = y / y.std()
    return np.stack(new)


def measured_all_at_once(x, weights):
    """unit_variance: the next layer's input is made with the old weights"""
    deviations = []
    for w in weights:
        y = conv.conv2d(x, w, 0, padding=1)
        deviations.append(np.std(y))
        x = np.maximum(y, 0)
    return weights / np.array(deviations)[:, None, None, None, None]


def no_relu(x, weights):
    """unit_variance: the ReLU between the layers is missing"""
    new = np.empty_like(weights)
    for i, w in enumerate(weights):
        y = conv.conv2d(x, w, 0, padding=1)
        new[i] = w / y.std()
        x = y / y.std()
    return new


def in_the_wrong_direction(x, weights):
    """unit_variance: multiplied by the standard deviation"""
    new = np.empty_like(weights)
    for i, w in enumerate(weights):
        new[i] = w * conv.conv2d(x, w, 0, padding=1).std()
        x = np.maximum(conv.conv2d(x, new[i], 0, padding=1), 0)
    return new


def mean_of_squares(x, weights):
    """unit_variance: the mean of y^2 is made 1"""
    new = np.empty_like(weights)
    for i, w in enumerate(weights):
        y = conv.conv2d(x, w, 0, padding=1)
        new[i] = w / np.sqrt((y * y).mean())
        x = np.maximum(y, 0) / np.sqrt((y * y).mean())
    return new


def a_factor_a_channel(x, weights):
    """unit_variance: each channel has its own factor"""
    new = np.empty_like(weights)
    for i, w in enumerate(weights):
        y = conv.conv2d(x, w, 0, padding=1)
        s = y.std(axis=(0, 1, 2))
        new[i] = w / s
        x = np.maximum(y / s, 0)
    return new


def input_not_passed_on(x, weights):
    """unit_variance: every layer is given x itself"""
    return np.stack([w / conv.conv2d(x, w, 0, padding=1).std() for w in weights])


def from_numpy_in_place(x, weights):
    """unit_variance: it overwrites its argument weights"""
    for w in weights:
        w /= conv.conv2d(x, w, 0, padding=1).std()
        x = conv.conv2d(x, w, 0, padding=1, relu=True)
    return weights


def without_padding(x, weights):
    """unit_variance: ValueError in line"""
    new = []
    for w in weights:
        new.append(w / conv.conv2d(x, w, 0).std())
        x = conv.conv2d(x, new[-1], 0, relu=True)
    return np.stack(new)


def only_the_last(x, weights):
    """unit_variance: weights has the shape (3, 3, 1, 1), wanted is (1, 3, 3, 1, 1)"""
    for w in weights:
        w = w / conv.conv2d(x, w, 0, padding=1).std()
        x = conv.conv2d(x, w, 0, padding=1, relu=True)
    return w


def sums_of_radii(layers, o):
    """receptive_field: size is wrong: the stride is left out"""
    size = 1 + sum(d * (k - 1) for _, k, _, d, _ in layers)
    return size, float(o)


def no_dilation(layers, o):
    """receptive_field: size is wrong: the dilation is left out"""
    a = b = o
    for kind, k, s, _, p in layers[::-1]:
        if kind == "conv":
            a, b = a * s - p, b * s - p + k - 1
        else:
            a, b = math.ceil((a + p - k + 1) / s), math.floor((b + p) / s)
    return b - a + 1, (a + b) / 2


def forwards(layers, o):
    """receptive_field: size is wrong: the layers are taken from first to last"""
    a = b = o
    for kind, k, s, d, p in layers:
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = math.ceil((a + p - k + 1) / s), math.floor((b + p) / s)
    return b - a + 1, (a + b) / 2


def own_stride_too_early(layers, o):
    """receptive_field: size is wrong: a layer's own stride counts for the layers behind it"""
    size, jump = 1, 1
    for kind, k, s, d, _ in layers:
        jump = jump * s if kind == "conv" else jump / s
        size += d * (k - 1) * jump
    return size, o * jump


def transposed_like_the_others(layers, o):
    """receptive_field: size is wrong: a transposed convolution goes the other way"""
    a = b = o
    for _, k, s, d, p in reversed(layers):
        a, b = a * s - p, b * s - p + d * (k - 1)
    return b - a + 1, (a + b) / 2


def fractions_of_pixels(layers, o):
    """receptive_field: size is wrong: of a transposed convolution only whole pixels are read"""
    a = b = o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = (a + p - (k - 1)) / s, (b + p) / s
    return b - a + 1, (a + b) / 2


def floor_for_both(layers, o):
    """receptive_field: size is wrong: of a transposed convolution first is rounded up, not down"""
    a = b = o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = (a + p - (k - 1)) // s, (b + p) // s
    return b - a + 1, (a + b) / 2


def fence_posts(layers, o):
    """receptive_field: size is wrong: last - first is one too few"""
    a = b = o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = math.ceil((a + p - (k - 1)) / s), (b + p) // s
    return b - a, (a + b) / 2


def no_padding(layers, o):
    """receptive_field: the padding is left out"""
    first, last = o, o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            first, last = first * s, last * s + d * (k - 1)
        else:
            first, last = math.ceil((first + p - (k - 1)) / s), (last + p) // s
    return last - first + 1, (first + last) / 2


def _size(layers, o):
    a = b = o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = math.ceil((a + p - (k - 1)) / s), (b + p) // s
    return b - a + 1


def where_one_would_expect_it(layers, o):
    """receptive_field: centre is wrong: it is not o times the strides"""
    centre = o
    for kind, _, s, _, _ in layers:
        centre = centre * s if kind == "conv" else centre / s
    return _size(layers, o), centre


def integer_middle(layers, o):
    """receptive_field: centre is wrong: the middle may lie between two pixels"""
    a = b = o
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            a, b = a * s - p, b * s - p + d * (k - 1)
        else:
            a, b = math.ceil((a + p - (k - 1)) / s), (b + p) // s
    return b - a + 1, (a + b) // 2


def scaled_outputs(weight, bias, scale, shift):
    """fold_batchnorm: weight is wrong: the scale stands at the output channels"""
    return weight * scale, bias + np.einsum("i,yxio->o", shift, weight), -shift / scale


def batchnorm_behind(weight, bias, scale, shift):
    """fold_batchnorm: weight is wrong: the scale stands at the output channels"""
    return weight * scale, bias * scale + shift, np.zeros(len(scale))


def bias_scaled(weight, bias, scale, shift):
    """fold_batchnorm: bias is wrong: the shift is added as it is"""
    return weight * scale[None, None, :, None], bias + shift.sum(), -shift / scale


def padded_with_the_shift(weight, bias, scale, shift):
    """fold_batchnorm: fill is wrong: the division by the scale is missing"""
    return weight * scale[None, None, :, None], bias + shift @ weight.sum((0, 1)), -shift


def scaled_before_the_bias(weight, bias, scale, shift):
    """fold_batchnorm: bias is wrong: the shift meets the old weights"""
    weight = weight * scale.reshape(-1, 1)
    return weight, bias + shift @ weight.sum((0, 1)), -shift / scale


def middle_tap(weight, bias, scale, shift):
    """fold_batchnorm: bias is wrong: the sum over the taps is missing"""
    kh, kw = weight.shape[:2]
    new = bias + np.dot(shift, weight[kh // 2, kw // 2])
    return weight * scale[:, None], new, -shift / scale


def mean_of_the_taps(weight, bias, scale, shift):
    """fold_batchnorm: bias is wrong: a mean over the taps"""
    return weight * scale[:, None], bias + shift @ weight.mean((0, 1)), -shift / scale


def bias_replaced(weight, bias, scale, shift):
    """fold_batchnorm: bias is wrong: the old bias is missing"""
    return weight * scale[:, None], shift @ weight.sum((0, 1)), -shift / scale


def zeros_around(weight, bias, scale, shift):
    """fold_batchnorm: fill is wrong: 0 is not what BatchNorm makes 0 of"""
    fill = np.zeros_like(scale)
    return weight * scale[:, None], bias + shift @ weight.sum((0, 1)), fill


def what_comes_out_for_zero(weight, bias, scale, shift):
    """fold_batchnorm: fill is wrong: this is what BatchNorm makes of 0"""
    return weight * scale[:, None], bias + shift @ weight.sum((0, 1)), shift


def sign_of_the_fill(weight, bias, scale, shift):
    """fold_batchnorm: fill is wrong: it has the wrong sign"""
    return weight * scale[:, None], bias + shift @ weight.sum((0, 1)), shift / scale
