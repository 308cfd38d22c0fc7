"""Chapters 3 to 6, proven: every layer's forward equals scipy's, every backward is its gradient.

Gradients are compared with central differences of sum(dy * y) in float64, relative error below
1e-6; batches of 2 and 3, odd and non-square pictures, strides and dilations, paddings. Then what
the code does to be fast and small changes nothing: blocks, strips, two-step sums.
"""

import functools

import naive
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from naive import CONVS, TRANSPOSED, random

from mini_colorize.fast import cpu, gather, memory, steps_cpu
from mini_colorize.fast.convolution import GATHER, transposed_plan
from mini_colorize.fast.memory import freeze, frozen
from mini_colorize.layers.conv import conv2d, output_size
from mini_colorize.layers.relu import bias_relu, bias_relu_backward
from mini_colorize.layers.upsample import upsample, upsample_backward
from mini_colorize.modules import BatchNorm2d, Conv2d, ConvTranspose2d

SHAPES = [(2, 7, 5, 3), (3, 6, 9, 2)]


def filled(layer, seed=1):
    """The layer with random parameters."""
    rng = np.random.default_rng(seed)
    for p in layer.params.values():
        p[...] = rng.standard_normal(p.shape)
    return layer


def conv(c_in, kernel, stride, dilation, padding, dtype=np.float64):
    return filled(Conv2d(c_in, 4, kernel, stride, dilation, padding, dtype=dtype))


def transposed(c_in, kernel, stride, dilation, padding, dtype=np.float64):
    return filled(ConvTranspose2d(c_in, 4, kernel, stride, dilation, padding, dtype=dtype))


def check_gradients(layer, x, limit=1e-6):
    """Every gradient of sum(dy * y) that backward gives, against central differences."""
    dy = random(layer.forward(x.copy(), train=True).shape, seed=2)
    dx = layer.backward(dy.copy())  # both passes may overwrite what they are given

    def loss():
        return (dy * layer.forward(x.copy(), train=True)).sum()

    assert naive.relative_error(dx, naive.numeric_gradient(loss, x)) < limit
    assert layer.grads.keys() == layer.params.keys()
    for name, p in layer.params.items():
        numeric = naive.numeric_gradient(loss, p)
        assert naive.relative_error(layer.grads[name], numeric) < limit, name


# Gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("geometry", CONVS, ids=str)
def test_conv_gradients(geometry, shape):
    check_gradients(conv(shape[3], *geometry), random(shape))


@pytest.mark.parametrize("shape", [(2, 5, 3, 3), (3, 2, 4, 2)], ids=str)
@pytest.mark.parametrize("geometry", TRANSPOSED, ids=str)
def test_conv_transpose_gradients(geometry, shape):
    check_gradients(transposed(shape[3], *geometry), random(shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batchnorm_gradients(shape):
    check_gradients(filled(BatchNorm2d(shape[3], dtype=np.float64)), 3 * random(shape) + 2)


@pytest.mark.parametrize("layer", [Conv2d, ConvTranspose2d])
def test_gradients_with_relu(layer):
    """The biases keep every sum away from the kink, where there is no derivative."""
    x = random((2, 4, 5, 3))
    layer = filled(layer(3, 6, relu=True, dtype=np.float64))
    layer.params["weight"] *= 0.1
    layer.params["bias"][...] = [9, -9, 9, -9, 9, -9]
    y = layer.forward(x)
    assert ((y == 0) | (y > 1)).all() and 0.4 < (y == 0).mean() < 0.6
    check_gradients(layer, x)


@pytest.mark.parametrize("size", [(7, 5), (11, 6), (3, 9)], ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (3, 1, 2, 2)], ids=str)
def test_upsample_gradients(shape, size):
    x, dy = random(shape), random((shape[0], *size, shape[3]), seed=2)
    numeric = naive.numeric_gradient(lambda: (dy * upsample(x, size)).sum(), x)
    assert naive.relative_error(upsample_backward(dy, shape[1:3]), numeric) < 1e-6


@pytest.mark.parametrize("layer", [conv(2, 3, 1, 1, None), transposed(2, 4, 2, 1, 1)])
def test_input_gradient_can_be_left_out(layer):
    x = random((2, 5, 3, 2))
    dy = random(layer.forward(x, train=True).shape, seed=2)
    layer.backward(dy)
    complete = {name: g.copy() for name, g in layer.grads.items()}
    layer.forward(x, train=True)
    assert layer.backward(dy, input_gradient=False) is None
    for name, g in complete.items():
        np.testing.assert_array_equal(layer.grads[name], g)


# Values -------------------------------------------------------------------------------------------


def spread(x, step):
    """Zeros between the pixels of (..., H, W, C, D), so that they lie `step` apart."""
    *n, h, w, c, d = x.shape
    wide = np.zeros((*n, step * (h - 1) + 1, step * (w - 1) + 1, c, d))
    wide[..., ::step, ::step, :, :] = x
    return wide


def correlated(x, weight, bias, stride, dilation, padding, fill=0):
    """By scipy.signal.correlate, in float64: a dilated filter has zeros between its taps, and of
    the pixels at stride 1 every so manieth is taken."""
    n, h, w, c = x.shape
    around = np.full((n, h + 2 * padding, w + 2 * padding, c), fill, np.float64)
    around[:, padding : padding + h, padding : padding + w] = x
    wide = spread(weight, dilation)
    one = functools.partial(scipy.signal.correlate, mode="valid", method="direct")
    planes = [[one(p, wide[..., o])[..., 0] for o in range(len(bias))] for p in around]
    return np.moveaxis(planes, 1, 3)[:, ::stride, ::stride] + bias


def transposed_correlated(x, weight, bias, stride, dilation, padding):
    """By scipy.signal.convolve2d: the input's pixels lie a stride apart, and each stamps the
    filter; the padding is cut off."""
    x, wide = spread(x[..., None], stride)[..., 0], spread(weight, dilation)
    filters = [wide[..., o].T for o in range(len(bias))]  # (C_in, kw, kh)
    full = [[sum(map(scipy.signal.convolve2d, p.T, f)) for f in filters] for p in x]
    y = np.transpose(full, (0, 3, 2, 1))  # of (N, C_out, W, H)
    rows, columns = (slice(padding, side - padding) for side in y.shape[1:3])
    return y[:, rows, columns] + bias


KINDS = [(conv, correlated, SHAPES, g) for g in CONVS]
KINDS += [(transposed, transposed_correlated, [(2, 5, 3, 3), (3, 1, 4, 2)], g) for g in TRANSPOSED]


@pytest.mark.parametrize("dtype, limit", [(np.float64, 1e-13), (np.float32, 1e-6)])
@pytest.mark.parametrize("kind, by_scipy, shapes, geometry", KINDS)
def test_convolutions_equal_scipys(kind, by_scipy, shapes, geometry, dtype, limit):
    for shape in shapes:
        layer, x = kind(shape[3], *geometry, dtype=dtype), random(shape, dtype=dtype)
        y = layer.forward(x)
        truth = by_scipy(x, *layer.params.values(), **layer.geometry)
        assert y.dtype == dtype
        assert naive.relative_error(y, truth) < limit
        assert layer.output_shape(shape[1:]) == y.shape[1:]


@pytest.mark.parametrize("fill", [2.5, np.array([1.0, -2.0, 3.0])], ids=["number", "per channel"])
def test_fill_is_what_lies_around_the_picture(fill):
    x, weight = random((2, 4, 5, 3)), random((3, 3, 3, 2), seed=1)
    truth = correlated(x, weight, np.zeros(2), 2, 2, 2, fill)
    y = conv2d(x, weight, np.zeros(2), stride=2, dilation=2, padding=2, fill=fill)
    np.testing.assert_allclose(y, truth, atol=1e-12)


def test_a_picture_too_small_is_an_error():
    assert output_size(5, kernel=3, stride=1, dilation=2, padding=0) == 1
    with pytest.raises(ValueError, match="too small"):
        output_size(4, kernel=3, stride=1, dilation=2, padding=0)


def test_bias_relu_by_hand():
    x = np.array([-3.0, 1, -1, 2, 0, 5]).reshape(1, 1, 3, 2)  # channel 0: -3, -1, 0
    y = bias_relu(x, np.array([1.0, -2]))
    np.testing.assert_array_equal(y.ravel(), [0, 0, 0, 0, 1, 3])
    dx, db = bias_relu_backward(np.arange(1.0, 7).reshape(1, 1, 3, 2), y)
    np.testing.assert_array_equal(db, [5, 6])
    np.testing.assert_array_equal(dx.ravel(), [0, 0, 0, 0, 5, 6])


@pytest.mark.parametrize("kernel, stride", [(2, 3), (4, 2), (3, 1)])
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_relu_inside_a_layer_is_relu_after_it(kind, kernel, stride):
    """Also on pixels that no filter reaches (kernel 2, stride 3)."""
    layer, x = filled(kind(3, 4, kernel, stride, dtype=np.float64)), random((2, 5, 3, 3))
    layer.relu = False
    plain = layer.forward(x)
    layer.relu = True
    assert (plain < 0).any()
    np.testing.assert_array_equal(layer.forward(x), np.maximum(plain, 0))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (3, 10), (13, 4)], ids=str)
@pytest.mark.parametrize("source", [(1, 1), (2, 3), (4, 4), (5, 2)], ids=str)
def test_upsample_equals_scipys(source, size):
    """Bilinear, pixel centres at half-integers, clamped to the border."""
    x = random((2, *source, 3))
    at = [(np.arange(n) + 0.5) * m / n - 0.5 for m, n in zip(source, size, strict=True)]
    grid = np.meshgrid(range(2), *at, range(3), indexing="ij")
    truth = scipy.ndimage.map_coordinates(x, grid, order=1, mode="nearest")
    np.testing.assert_allclose(upsample(x, size), truth, atol=1e-14)


# Blocks -------------------------------------------------------------------------------------------


@pytest.fixture
def column_bytes(monkeypatch):
    """Records the size of every gathered block of columns."""
    seen, real = [], steps_cpu.columns

    def spy(*args, **kwargs):
        columns = real(*args, **kwargs)
        seen.append(columns.nbytes)
        return columns

    monkeypatch.setattr(steps_cpu, "columns", spy)
    return seen


def both_passes(layer, x):
    """By the CPU's twins, also in float64."""
    weight, bias = layer.params.values()
    y = layer._forward(cpu, x, weight, bias)
    dx, dweight = layer._backward(cpu)(random(y.shape, 2, x.dtype), x, weight, **layer.geometry)
    return {"y": y, "dx": dx, "dweight": dweight}


# Down to one pixel a block: parts of rows of 5 pixels, rows, parts of pictures of 35, pictures.
@pytest.mark.parametrize("pixels", [1, 2, 4, 5, 6, 12, 34, 35])
@pytest.mark.parametrize("geometry", [(3, 1, 1, None), (3, 2, 2, None), (3, 1, 2, 0), "transposed"])
def test_blocks_change_nothing_and_respect_the_cap(geometry, pixels, monkeypatch, column_bytes):
    layer = transposed(3, 4, 2, 1, 1) if geometry == "transposed" else conv(3, *geometry)
    layer.relu, x = True, random((3, 7, 5, 3))
    whole = both_passes(layer, x)
    calls = len(column_bytes)
    kh, kw, c_in, c_out = layer.params["weight"].shape
    cap = pixels * kh * kw * max(c_in, c_out) * 8  # so many pixels, in the widest of the products
    monkeypatch.setattr(steps_cpu, "WORK_BYTES", cap)
    column_bytes.clear()
    blocks = both_passes(layer, x)
    assert max(column_bytes) <= cap
    assert len(column_bytes) > calls or pixels >= 12
    for name, value in whole.items():
        np.testing.assert_allclose(blocks[name], value, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("shape", [(16, 64, 64), (16, 32, 32), (1, 250, 9), (7, 1, 9000)])
def test_no_thread_gets_the_larger_blocks(shape):
    """16 pictures of 64 rows were once cut into 56 + 8 rows each, and one thread had all the 56."""
    x = np.zeros((1, 1, 1, 16), np.float32)
    blocks = list(gather._pixel_blocks(steps_cpu, x, shape, 9, 16))
    pixels = [np.prod([s.stop - s.start for s in block]) for block in blocks]
    assert sum(pixels) == np.prod(shape) and len(blocks) > 1
    assert sum(pixels[::2]) < 1.2 * sum(pixels[1::2]) < 1.44 * sum(pixels[::2])


def test_a_large_convolution_stays_under_the_real_cap(column_bytes):
    layer = conv(16, 3, 1, 1, None, dtype=np.float32)
    both_passes(layer, random((2, 200, 200, 16), dtype=np.float32))  # 46 MB of columns at once
    assert len(column_bytes) > 3
    assert max(column_bytes) <= steps_cpu.WORK_BYTES == 2 * 2**20


# Plans of the transposed convolution --------------------------------------------------------------


def test_plan_of_the_transposed_convolution():
    def plan(pixels, kernel=4, geometry=(2, 1, 1), **options):
        return transposed_plan((kernel, kernel, 32, 16), pixels, geometry, **options)

    assert plan(16 * 16) == GATHER == plan(38 * 38)
    assert plan(40 * 40) == plan(8 * 16 * 16) == 4
    assert plan(32 * 32, kept=True) == 4  # transformed once
    assert plan(16 * 16, kept=True) == GATHER
    for other in ({"kernel": 3}, *({"geometry": g} for g in ((1, 1, 1), (2, 1, 0), (2, 2, 1)))):
        assert plan(8 * 40 * 40, **other) == GATHER


@pytest.mark.parametrize("kind, size", [(Conv2d, 40), (ConvTranspose2d, 32)])
def test_frozen_filters_are_kept_from_the_second_picture_on(kind, size):
    layer, x = filled(kind(16, 16, relu=True)), random((1, size, size, 16), dtype=np.float32)
    truth, weight = layer.forward(x), layer.params["weight"]
    layer.frozen = True
    first = layer.forward(x).copy()
    assert naive.relative_error(first, truth) < 1e-5 and frozen(weight) is None
    for _ in range(2):
        assert (layer.forward(x) == first).all()
        assert 4 in frozen(weight)
    kept = frozen(weight)[4]
    layer.forward(x)
    assert frozen(weight)[4] is kept and len(kept) == 36


def test_what_is_kept_of_weights_goes_with_them():
    weight = np.ones(3)
    freeze(weight)
    assert frozen(weight) is None  # it may have been the only time
    freeze(weight)
    place = id(weight)
    assert frozen(weight) == {} and frozen(np.ones(3)) is None
    del weight
    assert place not in memory._frozen


# BatchNorm ----------------------------------------------------------------------------------------


def test_batchnorm_forward_and_running_averages():
    x = 3 * random((2, 7, 5, 3)) + 1
    layer = filled(BatchNorm2d(3, momentum=0.1, dtype=np.float64))
    gamma, beta = layer.params.values()
    y = layer.forward(x, train=True)
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * gamma + beta, atol=1e-13)
    # They start at 0 and 1; the variance goes in without bias, over M - 1 = 69.
    np.testing.assert_allclose(layer.buffers["mean"], 0.1 * mean, rtol=1e-13)
    np.testing.assert_allclose(layer.buffers["var"], 0.9 + 0.1 * var * 70 / 69, rtol=1e-13)
    layer.forward(x, train=True)
    np.testing.assert_allclose(layer.buffers["mean"], 0.19 * mean, rtol=1e-13)
    np.testing.assert_allclose(layer.buffers["var"], 0.81 + 0.19 * var * 70 / 69, rtol=1e-13)


def test_batchnorm_inference_uses_the_running_averages_and_leaves_them():
    layer = filled(BatchNorm2d(2, dtype=np.float64))
    layer.buffers["mean"][...], layer.buffers["var"][...] = [1, -2], [4, 0.25]
    x = random((2, 3, 5, 2))
    kept = x.copy()
    y = layer.forward(x)
    gamma, beta = layer.params.values()
    truth = (x - [1, -2]) / np.sqrt(np.array([4, 0.25]) + 1e-5) * gamma + beta
    np.testing.assert_allclose(y, truth, atol=1e-13)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(layer.buffers["mean"], [1, -2])
    np.testing.assert_array_equal(layer.buffers["var"], [4, 0.25])
    assert layer.between is None


def test_batchnorm_of_one_value_a_channel():
    """M = 1: the variance is 0, the unbiased one would divide by 0. The output is beta."""
    layer = filled(BatchNorm2d(2))
    y = layer.forward(np.full((1, 1, 1, 2), 7, np.float32), train=True)
    np.testing.assert_array_equal(y[0, 0, 0], layer.params["beta"])
    np.testing.assert_allclose(layer.buffers["var"], 0.9, rtol=1e-6)


def test_batchnorm_statistics_in_float32_over_a_million_rows():
    """Mean 100, deviation 1: one float32 sum over all rows would miss the mean by 0.0025."""
    x = (100 + random((16, 250, 250, 2))).astype(np.float32)
    layer = BatchNorm2d(2, momentum=1.0)
    y = layer.forward(x, train=True)
    exact = x.astype(np.float64)
    mean, var = exact.mean(axis=(0, 1, 2)), exact.var(axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.buffers["mean"], mean, atol=3e-4)  # a float32 sum: 3e-6 of 100
    np.testing.assert_allclose(layer.buffers["var"], var, rtol=1e-5)
    np.testing.assert_allclose(y, (exact - mean) / np.sqrt(var), atol=5e-4)
