"""Every CUDA kernel against its NumPy reference, through the very wrapper that a GPU run uses.

On a CUDA GPU with `pytest --gpu`; elsewhere on the emulator, in four orders of threads, and once
more under AddressSanitizer, UBSan and ThreadSanitizer (test_kernels_sanitized.py). Sizes are odd on
purpose: one pixel, just under and over a warp, just over four blocks; bins that fill no warp.
Outputs hold NaN before the launch, so what a kernel leaves out shows.
"""

import numpy as np
import pytest
from kernel_cases import PICTURES, PIXELS, SMALL, loss_case

from mini_colorize import bins
from mini_colorize.backend import matmul, set_precision, to_host
from mini_colorize.fast import (
    cuda,
    gather,
    kernels,
    pointwise,
    steps_cpu,
    steps_cuda,
    winograd,
    winograd_cpu,
)
from mini_colorize.fast.gather import Taps
from mini_colorize.fast.memory import padded, whole
from mini_colorize.layers import relu
from mini_colorize.modules import LossScale
from mini_colorize.ops import chapters
from mini_colorize.optim import GROWTH

HALF = [np.float32] if SMALL else [np.float32, np.float16]


def random(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def on(gpu, *arrays):
    """Copies on the device."""
    return [gpu.asarray(a) for a in arrays]


def close(device, host, rtol=1e-5, atol=1e-6):
    value = to_host(device)
    assert value.shape == np.shape(host)
    np.testing.assert_allclose(value.astype(np.float64), np.asarray(host, np.float64), rtol, atol)


def in_rows(gpu, logits, padding=np.nan):
    """On the device, in rows as a network's logits lie in: see memory.padded."""
    q = logits.shape[-1]
    wide = np.full((*logits.shape[:-1], padded(q)), padding, logits.dtype)
    wide[..., :q] = logits
    return gpu.asarray(wide)[..., :q]


def rounding(dtype):
    """Relative error of storing a number once."""
    return 1e-3 if dtype == np.float16 else 2e-6


# Colours and bins ------------------------------------------------------------------------------


def test_lab_to_rgb_of_nan(gpu):
    lab = np.array([[50, np.nan, 3], [50, 20, 3]], np.float32)
    rgb = to_host(cuda.lab_to_rgb(gpu.asarray(lab)))
    np.testing.assert_allclose(rgb, chapters.lab_to_rgb(lab), atol=3e-6)  # NaN where the other is


def test_soft_encode_far_out_and_not_a_number(gpu):
    edge = np.nextafter(np.float32(-130), np.float32(0))
    far, bad = [[129.99, -129.99], [130, 0], [-1e4, 1e4]], [[np.nan, 0], [0, np.nan], [0, np.inf]]
    ab = np.array([*far, *bad, [-130, 3], [edge, 0]], np.float32)
    index, weight = cuda.soft_encode(gpu.asarray(ab))
    index_ref, weight_ref = bins.soft_encode(np.nan_to_num(ab, nan=0, posinf=0))
    good = np.isfinite(ab).all(axis=1)
    np.testing.assert_array_equal(to_host(index)[good], index_ref[good])
    close(to_host(weight)[good], weight_ref[good])
    np.testing.assert_array_equal(to_host(index)[~good], [[0, 1, 2, 3, 4]] * 3)
    assert np.isnan(to_host(weight)[~good]).all()


@pytest.mark.parametrize("temperature", [0.38, 0] if SMALL else [0.38, 1, 0.01, 0, 1e-45])
@pytest.mark.parametrize("pixels, q", [(1, 313), (31, 1), (33, 5), (PIXELS[-1], 313)])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("padded_rows", [False, True])
def test_annealed_mean(gpu, padded_rows, pixels, q, temperature, dtype, monkeypatch):
    monkeypatch.setattr(bins, "BINS", bins.BINS[:q])
    logits = random((pixels, q), dtype=dtype) * dtype(5)
    logits[:, ::2] = logits[:, :1]  # equals: T = 0 takes the lowest index
    logits[0] = np.where(np.arange(q) % 3, -6e4, 6e4)
    given = in_rows(gpu, logits) if padded_rows else gpu.asarray(logits)
    ab = cuda.annealed_mean(given, temperature)
    assert ab.dtype == dtype
    reference = bins.annealed_mean(logits.astype(np.float32), temperature)
    close(ab, reference, rtol=rounding(dtype), atol=1e-4 if dtype == np.float32 else 0.05)


@pytest.mark.parametrize("lay", [lambda gpu, x: gpu.asarray(x), in_rows], ids=["", "rows"])
@pytest.mark.parametrize("temperature", [0.38, 0])
def test_annealed_mean_of_nan_and_infinity(gpu, temperature, lay):
    logits = random((4, 313))
    logits[1, 200] = np.nan
    logits[2] = -np.inf
    logits[3, ::2] = -np.inf
    ab = to_host(cuda.annealed_mean(lay(gpu, logits), temperature))
    with np.errstate(invalid="ignore"):
        reference = bins.annealed_mean(logits, temperature)
    np.testing.assert_allclose(ab, reference, rtol=1e-5, atol=1e-4)  # NaN where the other is


def test_annealed_mean_at_a_temperature_beyond_float32(gpu):
    """Of all bins alike; nothing that is no bin gets in."""
    for logits in (gpu.asarray(random((3, 313))), in_rows(gpu, random((3, 313)))):
        with np.errstate(over="ignore"):
            ab = cuda.annealed_mean(logits, 1e60)
        close(ab, np.tile(bins.BINS.mean(axis=0), (3, 1)), 1e-5, 1e-4)


# Loss ------------------------------------------------------------------------------------------


def loss_problem(pixels, q, dtype=np.float32, k=5):
    logits, index, weight, v = loss_case(pixels, q, k)
    return logits.astype(dtype), index, weight.astype("f4"), v.astype("f4")


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("pixels, q, k", [(33, 313, 5), (7, 313, 10), (9, 20, 17), (2, 5, 5)])
def test_softmax_cross_entropy_in_padded_rows(gpu, pixels, q, k, dtype):
    """What lies in the padding is not read, and is 0 afterwards."""
    logits, index, weight, v = loss_problem(pixels, q, dtype, k=k)
    given = in_rows(gpu, logits)
    loss = cuda.softmax_cross_entropy(given, *on(gpu, index, weight, v, np.float32(8)))
    args = logits.astype(np.float64), index, weight, v, 8
    reference = chapters.softmax_cross_entropy(*args)
    close(loss.weighted, reference.weighted, 1e-5)
    close(loss.gradient, reference.gradient, rounding(dtype), 2e-7)
    rows = to_host(whole(loss.gradient))
    assert loss.gradient.data.ptr == given.data.ptr and rows.shape[-1] == padded(q)
    assert not rows[..., q:].any()


@pytest.mark.parametrize("dtype", HALF)
def test_logits_that_lie_elsewhere(gpu, dtype):
    """Part of a batch, or none. Rows at other multiples, or places, are refused."""
    *given, v = loss_problem(12, 313, dtype)
    logits, index, weight = (a.reshape(12, -1) for a in given)
    wide = np.full((12, 320), np.nan, dtype)

    def target(pixels):
        return on(gpu, index[:pixels], weight[:pixels], v)

    for given in gpu.asarray(wide)[:, 1:314], in_rows(gpu, logits)[::2], gpu.asarray(logits)[::2]:
        for call in (cuda.annealed_mean, lambda x: cuda.softmax_cross_entropy(x, *target(len(x)))):
            with pytest.raises(ValueError, match="logits: must be C-contiguous"):
                call(given)
    reference = chapters.softmax_cross_entropy(logits.astype(np.float64), index, weight, v)
    twice = np.concatenate([logits, logits])
    for given in (gpu.asarray(twice)[12:], in_rows(gpu, twice)[12:], in_rows(gpu, twice)[:12]):
        mean, tight = bins.annealed_mean(logits.astype("f4")), 1e-4 if dtype == np.float32 else 0.05
        close(cuda.annealed_mean(given), mean, rounding(dtype), tight)
        loss = cuda.softmax_cross_entropy(given, *target(12))
        close(loss.weighted, reference.weighted, 1e-5)
        close(loss.gradient, reference.gradient, rounding(dtype), 2e-7)
    none = gpu.asarray(logits)[:0]
    assert cuda.annealed_mean(none).shape == (0, 2)
    assert cuda.softmax_cross_entropy(none, *target(0)).gradient.shape == (0, 313)


def test_softmax_cross_entropy_extremes(gpu):
    """Logits of +-1e4 and +-3e38, all equal, a target on a probability of 0; no pixel counts."""
    logits, index, weight, v = loss_problem(6, 313)
    logits[0, 0, 0] = np.where(np.arange(313) % 2, 1e4, -1e4)
    logits[0, 0, 1] = 3e38
    logits[0, 0, 2] = np.finfo(np.float32).min  # as low as the lanes that have no class
    logits[0, 0, 4, index[0, 0, 4, 0]] = -500
    loss = cuda.softmax_cross_entropy(*on(gpu, logits.copy(), index, weight, v))
    reference = chapters.softmax_cross_entropy(logits.astype(np.float64), index, weight, v)
    assert float(loss.weighted) == pytest.approx(reference.weighted, rel=1e-5)
    close(loss.gradient, reference.gradient, rtol=1e-5, atol=1e-7)
    loss = cuda.softmax_cross_entropy(*on(gpu, logits, index, np.zeros_like(weight), v))
    assert float(loss.weighted) == 0 and not to_host(loss.gradient).any()


def test_softmax_cross_entropy_of_nan(gpu):
    """A NaN reaches its whole row and the loss, and no other row."""
    logits, index, weight, v = loss_problem(9, 313)
    logits[0, 0, 4, 300] = np.nan
    loss = cuda.softmax_cross_entropy(*on(gpu, logits.copy(), index, weight, v))
    with np.errstate(invalid="ignore"):
        reference = chapters.softmax_cross_entropy(logits, index, weight, v)
    assert np.isnan(float(loss.weighted)) and np.isnan(reference.weighted)
    np.testing.assert_array_equal(np.isnan(to_host(loss.gradient)), np.isnan(reference.gradient))


# Layers ----------------------------------------------------------------------------------------


def picture(shape, dtype, seed=0):
    return random(shape, seed).astype(dtype)


@pytest.mark.parametrize("use_relu", [True, False])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shape", PICTURES, ids=str)
def test_bias_relu(gpu, shape, dtype, use_relu):
    y, bias = picture(shape, dtype), random(shape[3], 1)
    device = gpu.asarray(y)
    assert kernels.bias_relu(device, gpu.asarray(bias), use_relu) is device
    close(device, relu.bias_relu(y.astype(np.float32), bias, use_relu), rtol=rounding(dtype))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("shape", PICTURES, ids=str)
def test_batchnorm_statistics(gpu, shape, dtype):
    """Mean 100 and deviation 1: a naive sum of squares would lose every digit of the variance."""
    x = (100 + picture(shape, np.float32)).astype(dtype)
    mean, var = kernels.batchnorm_statistics(gpu.asarray(x))
    mean_ref, var_ref = pointwise.batchnorm_statistics(x.astype(np.float64))
    close(mean, mean_ref, rtol=1e-6)
    close(var, var_ref, rtol=1e-4, atol=1e-7)


def test_batchnorm_statistics_of_a_channel_that_is_nearly_always_0(gpu):
    """The first value is the only one: an unlucky shift for a shifted sum over all rows."""
    x = np.zeros((1, 64, 64, 4), np.float32)
    x[0, 0, 0] = [1, 1e3, 1e-3, 7]
    mean, var = kernels.batchnorm_statistics(gpu.asarray(x))
    mean_ref, var_ref = pointwise.batchnorm_statistics(x.astype(np.float64))
    close(mean, mean_ref, rtol=1e-5, atol=0)
    close(var, var_ref, rtol=1e-4, atol=0)


TAPS = [(Taps(*taps), Taps(*taps)) for taps in ((-1, 1, 3, 1), (-2, 2, 3, 1), (-1, 1, 3, 2))]
TAPS += [(Taps(-1, 1, 2, 1), Taps(0, 1, 2, 1))]  # a phase of the transposed convolution
TAPS += [(Taps(1, 3, 2, 1), Taps(-3, 2, 4, 2))]
TAPS = TAPS[::2] if SMALL else TAPS


@pytest.mark.parametrize("fill", [0, "vector"])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("channels", [3, 8] if SMALL else [1, 3, 4, 8])
@pytest.mark.parametrize("rows, cols", TAPS, ids=str)
def test_gather(gpu, rows, cols, channels, dtype, fill):
    x = picture((3, 9, 7, channels), dtype)
    host = device = fill
    if fill == "vector":
        host = random(channels, 3).astype(np.float16).astype(np.float32)
        device = gpu.asarray(host)
    for block in [(slice(0, 3), slice(0, 4), slice(0, 3)), (slice(1, 2), slice(2, 4), slice(1, 3))]:
        columns = gather.gather(steps_cuda, gpu.asarray(x), rows, cols, block, device)
        reference = gather.gather(steps_cpu, x, rows, cols, block, host)
        np.testing.assert_array_equal(to_host(columns), reference)


SHAPES = [((1, 1, 1, 1), 1, 1), ((2, 9, 7, 3), 1, 1), ((3, 13, 18, 5), 2, 2)]
SHAPES += [((1, 10, 6, 33), 1, -1), ((2, 7, 12, 8), 2, 0), ((1, 5, 6, 6), 1, 1)]
SHAPES = SHAPES[1::2] if SMALL else SHAPES
WINOGRAD = pytest.mark.parametrize("shape, dilation, padding", SHAPES, ids=str)


def cells(n, size, m, dilation):
    """All cells of the outputs, and a part of them."""
    rows, columns = (-(-side // (m * dilation)) for side in size)
    yield slice(0, n), slice(0, rows), slice(0, columns)
    yield slice(n // 2, n), slice(rows // 2, rows), slice(columns // 2, columns)


@WINOGRAD
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("m", [2, 4])
def test_winograd_transform(gpu, m, dtype, shape, dilation, padding):
    """Both the input's and the gradient's, for all tiles and for a block of them."""
    x, fill = picture(shape, dtype), random(shape[3], 1)
    n, *size, _ = shape
    size = [side + 2 * padding - 2 * dilation for side in size]
    limits = {"rtol": rounding(dtype), "atol": 1e-5 if dtype == np.float32 else 0.1}
    bt, _, at = winograd.matrices(m)
    exact, device, vector = x.astype(np.float64), *on(gpu, x, fill)
    for block in cells(n, size, m, dilation) if min(size) > 0 else ():
        reference = winograd_cpu.transform(exact, bt, m, dilation, padding, fill, block)
        v = kernels.winograd_transform(device, m, True, dilation, padding, vector, block)
        close(v, reference, **limits)
    for block in cells(n, shape[1:3], m, dilation):
        reference = winograd_cpu.transform(exact, at.T, m, dilation, 0, fill, block)
        v = kernels.winograd_transform(device, m, False, dilation, 0, vector, block)
        close(v, reference, **limits)


@WINOGRAD
@pytest.mark.parametrize("use_relu", [True] if SMALL else [True, False])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("m", [2, 4])
def test_winograd_output(gpu, m, dtype, use_relu, shape, dilation, padding):
    n, *size, c = shape
    bias = random(c, 1)
    for block in cells(n, size, m, dilation):
        tiles = np.prod([s.stop - s.start for s in block]) * dilation**2
        products = random(((m + 2) ** 2, tiles, c), 2, dtype)
        y = np.full(shape, 7, dtype)  # what lies outside the block stays
        device, given, reference = gpu.asarray(y), on(gpu, products, bias), y.astype(np.float64)
        exact = products.astype(np.float64)
        winograd_cpu.output_transform(exact, m, reference, dilation, bias, use_relu, block)
        kernels.winograd_output(given[0], m, device, dilation, given[1], use_relu, block)
        close(device, reference, rounding(dtype), 1e-4 if dtype == np.float32 else 0.2)


# Optimiser -------------------------------------------------------------------------------------


def test_loss_scale_never_waits(gpu):
    """The same decisions as on the CPU, for good steps, overflows, and a doubling."""
    here, there = LossScale(np), LossScale(gpu)
    here.good[...], there.good[...] = (GROWTH - 2,) * 2
    for overflow in (0, 0, 0, 1, 1, 0):
        here.update(np.array(overflow, np.int32))
        there.update(gpu.asarray(np.array(overflow, np.int32)))
        assert float(there.scale) == here.scale and int(there.good) == here.good


# Matrix products -------------------------------------------------------------------------------


@pytest.mark.one_order
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("m, k, n", [(3, 5, 7), (1, 4, 6), (5, 1, 3), (6, 3, 1), (1, 1, 1)])
def test_matmul(gpu, m, k, n, dtype):
    """Every way an operand may lie, batches, accumulation, a part of a larger array."""
    a, b = random((2, m, k), dtype=dtype), random((2, k, n), 1, dtype)
    da, db = on(gpu, a, b)
    dat, dbt = on(gpu, a.swapaxes(1, 2).copy(), b.swapaxes(1, 2).copy())
    exact, limit = a.astype(float) @ b.astype(float), 1e-2 if dtype == np.float16 else 1e-5
    for x in (da, dat.swapaxes(1, 2)):
        for y in (db, dbt.swapaxes(1, 2)):
            close(matmul(x, y), exact, limit, limit)
            close(matmul(x[1], y[1]), exact[1], limit, limit)
            out = gpu.ones((m, n), dtype=dtype)
            close(matmul(x[0], y[0], out=out, accumulate=True), exact[0] + 1, limit, limit)
    wide = gpu.asarray(random((m, k + n), 2, dtype))
    close(matmul(wide[:, n:], db[0]), to_host(wide)[:, n:].astype(np.float64) @ b[0], limit, limit)


@pytest.mark.one_order
def test_matmul_of_halves_into_float32(gpu):
    a, b = random((4, 300), dtype=np.float16), random((300, 5), 1, np.float16)
    out = matmul(*on(gpu, a, b), out=gpu.empty((4, 5), np.float32))
    close(out, a.astype(np.float64) @ b.astype(np.float64), 1e-5, 1e-5)


@pytest.mark.one_order
def test_precisions(gpu):
    """float32 means float32; tf32 keeps 10 bits of the inputs."""
    a, b = random((512, 512)), random((512, 512), 1)  # so large that tensor cores are used
    exact = a.astype(np.float64) @ b.astype(np.float64)

    def error():
        return np.linalg.norm(to_host(matmul(*on(gpu, a, b))) - exact) / np.linalg.norm(exact)

    try:
        set_precision("fp32", gpu)
        assert error() < 1e-6
        set_precision("tf32", gpu)
        assert 5e-5 < error() < 1e-3
    finally:
        set_precision("fp32", gpu)


@pytest.mark.one_order
def test_matmul_refuses(gpu):
    a, b = on(gpu, random((4, 6)), random((6, 4)))
    small, strided = gpu.empty((4, 3), np.float32), gpu.empty((4, 8), np.float32)[:, ::2]
    double = a.astype(np.float64), b.astype(np.float64)
    for bad in [(a, a), (a, b, small), (a[:, ::2], b[:3]), (a, b, strided), double]:
        with pytest.raises(ValueError, match="matmul"):
            matmul(*bad)


# What a wrapper refuses ------------------------------------------------------------------------


@pytest.mark.one_order
def test_wrappers_refuse_what_a_kernel_would_read_wrongly(gpu):
    x = gpu.asarray(random((2, 4, 4, 6)))
    c = gpu.asarray(random(6))
    logits, index, weight, v = (a.reshape(-1, a.shape[-1]) for a in on(gpu, *loss_problem(4, 9)))
    v, one = v.ravel(), gpu.asarray(np.array(1, np.float32))
    shifted = gpu.zeros(97, np.float32)[1:].reshape(2, 4, 4, 3)[..., :].reshape(2, 2, 2, 12)
    twelve = gpu.zeros(12, np.float32)
    half, tall, short = x.astype(np.float16), gpu.zeros((4, 33), np.int32), c[:5].copy()
    loss, one_cell = cuda.softmax_cross_entropy, (slice(0, 1),) * 3
    step = {"rates": (1.0, 1.0), "betas": (0.9, 0.99), "eps": 1e-8, "decay": 0.0, "decayed": 0}
    step |= {"scale": 1, "overflow": 0}
    wrong_types = {
        "on the host": lambda: kernels.bias_relu(x, np.zeros(6, np.float32), True),
        "scale on the host": lambda: loss(logits, index, weight, v, np.array(1, np.float32)),
        "float64": lambda: kernels.bias_relu(x.astype(np.float64), c, True),
        "float16 bias": lambda: kernels.bias_relu(x, c.astype(np.float16), True),
        "other y": lambda: kernels.bias_relu_backward(x, half, True),
        "upsample": lambda: cuda.upsample(half, (8, 8), slice(None)),
        "ab float64": lambda: cuda.soft_encode(x.astype(np.float64)),
        "rgb": lambda: cuda.crops_to_lab(x),
        "int64": lambda: cuda.softmax_cross_entropy(logits, index.astype(np.int64), weight, v),
    }
    wrong_shapes = {
        "misaligned": lambda: kernels.bias_relu(shifted, twelve, True),
        "misaligned x": lambda: kernels.batchnorm_sums(shifted.copy(), shifted, twelve),
        "not contiguous": lambda: kernels.bias_relu(x[:, ::2], c, True),
        "short bias": lambda: kernels.bias_relu(x, c[:3].copy(), True),
        "small y": lambda: kernels.batchnorm_sums(x, x[:1], c),
        "dx": lambda: kernels.batchnorm_backward(x, x[:, :2].copy(), c, c, c, c),
        "stats": lambda: kernels.batchnorm_statistics(x.transpose(0, 2, 1, 3)),
        "normalize": lambda: kernels.batchnorm_normalize(x, c, c, short),
        "fill": lambda: kernels.gather(x, None, None, one_cell, short),
        "tiles": lambda: kernels.winograd_transform(x, 2, True, 1, 1, short, one_cell),
        "products": lambda: kernels.winograd_output(x, 2, x, 1, c, False, one_cell),
        "ab": lambda: cuda.soft_encode(c.reshape(2, 3)),
        "bins": lambda: cuda.annealed_mean(x),
        "lab": lambda: cuda.lab_to_rgb(x),
        "classes": lambda: loss(logits, index, weight, v[:8].copy(), one),
        "k": lambda: loss(logits, tall, weight, v, one),
        "adam": lambda: cuda.adam(c, c, c, short, **step),
        "average": lambda: cuda.moving_average(c, short, one),
    }
    for error, calls in ((TypeError, wrong_types), (ValueError, wrong_shapes)):
        for name, call in calls.items():
            with pytest.raises(error):
                call()
                pytest.fail(name)


def test_what_was_checked_is_remembered_of_arrays_alike(gpu, monkeypatch):
    """By dtype, shape, strides and alignment; of a few shapes at a time; no failure is."""
    monkeypatch.setattr(kernels, "_prepared", {})
    monkeypatch.setattr(kernels, "MOST", 3)
    flat, bias = gpu.zeros(97, np.float32), gpu.ones(12, np.float32)
    y = flat[:96].reshape(2, 2, 2, 12)
    for times in (1, 2):
        close(kernels.bias_relu(y, bias, True), np.full(y.shape, times))
    assert len(kernels._prepared) == 1
    unlike = [flat[1:].reshape(y.shape), y.transpose(1, 0, 2, 3), y.astype(np.float64), y.get()]
    for _ in range(2):
        for other in unlike:
            with pytest.raises((ValueError, TypeError)):
                kernels.bias_relu(other, bias, True)
    assert len(kernels._prepared) == 1
    for n in range(1, 9):
        more = gpu.zeros((n, 1, 1, 12), np.float16)
        close(kernels.bias_relu(more, bias, True), np.ones(more.shape))
        assert len(kernels._prepared) <= 3
