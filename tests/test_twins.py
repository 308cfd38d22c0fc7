"""Every operation of the door, by every body of code that it has, against its chapter.

The chapter computes in float64. The twins of the CPU compute in float32, those of the GPU, emulated
or real, in float32 and float16. Batches of two and more, odd and non-square pictures, strides,
dilations. A twin may write over what it is given, so each gets copies; what it returns is compared.
"""

import inspect
import os
import re
import shutil

import numpy as np
import pytest
from kernel_cases import PICTURES, PIXELS, SMALL, loss_case
from naive import CONVS
from naive import TRANSPOSED as TRANSPOSED_GEOMETRIES
from photographs import album
from PIL import Image
from programs import ROOT, TRAIN, log, python

from mini_colorize import ops as door
from mini_colorize.backend import to_host
from mini_colorize.fast import bins as fast_bins
from mini_colorize.fast import convolution as convolution_module
from mini_colorize.fast import cpu, cuda, gather, kernels, pointwise, steps_cuda, winograd
from mini_colorize.fast.convolution import GATHER
from mini_colorize.ops import chapters, ops
from mini_colorize.optim import adam_rates

BODIES = {"cpu": cpu, "cuda": cuda}
# kernel, stride, dilation, padding, channels, pixels: with many the CPU takes Winograd's way
MANY, FEW = (20, 24, (19, 17)), (3, 4, (9, 6))
CONVOLUTIONS = [(3, 1, 1, 1, *MANY), (3, 1, 2, 2, *MANY), (3, 1, 1, 0, *MANY), (3, 2, 1, 1, *MANY)]
CONVOLUTIONS += [(1, 1, 1, 0, 8, 21, (9, 6))]  # without ReLU: logits
CONVOLUTIONS += [(*geometry, *FEW) for geometry in CONVS] + [((3, 5), 1, 1, 1, *MANY)]
# For Winograd: with more than 2 d the padding of the input's gradient is less than 0; pictures of
# less than a tile, of one pixel, of whole tiles.
PADDED = [(1, 4), (2, 1), (2, 5), (3, 3), (3, 2)]
CONVOLUTIONS += [(3, 1, d, padding, 2, 3, (7, 9)) for d, padding in PADDED]
CONVOLUTIONS += [(3, 1, 2, 2, 1, 3, size) for size in ((1, 1), (16, 8), (3, 14))]
TRANSPOSED = [(4, 2, 1, 1, 20, 24, (39, 37)), ((4, 6), 2, 1, 1, 20, 24, (39, 37))]
TRANSPOSED += [(*geometry, *FEW) for geometry in TRANSPOSED_GEOMETRIES]
TRANSPOSED += [(4, 2, 1, 1, 2, 3, size) for size in ((1, 1), (2, 4), (9, 11))]
LARGER = [((2, 4, 3, 2), (13, 9)), ((1, 1, 1, 1), (5, 3)), ((1, 5, 8, 3), (7, 33))]
LARGER = LARGER[:1] if SMALL else LARGER

# What a twin may write over, and the GPU's does: operation -> places of arguments.
FIRST = "bias_relu_backward", "batchnorm_backward", "softmax_cross_entropy", "moving_average"
WRITTEN = dict.fromkeys(FIRST, {0}) | {"adam": {0, 2, 3}}


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def convolution(kernel, stride, dilation, padding, c_in, c_out, size):
    """x, weight, bias and the options of a convolution."""
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = dilation * (kh - 1) // 2 if padding is None else padding
    x, weight = random(2, *size, c_in), random(kh, kw, c_in, c_out) / (kh * kw * c_in) ** 0.5
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    return x, weight, random(c_out), options


def convolutions():
    for geometry in CONVOLUTIONS:
        x, weight, bias, options = convolution(*geometry)
        dy = random(*chapters.conv2d(x, weight, bias, **options).shape)
        fill = random(x.shape[3])
        yield f"conv2d {geometry}", (x, weight, bias), {"relu": True, **options}
        yield f"conv2d, fill, {geometry}", (x, weight, bias), {"fill": fill, **options}
        yield f"conv2d_backward {geometry}", (dy, x, weight), options
    for geometry in TRANSPOSED:
        x, weight, bias, options = convolution(*geometry)
        dy = random(*chapters.conv_transpose2d(x, weight, bias, **options).shape)
        yield f"conv_transpose2d {geometry}", (x, weight, bias), {"relu": True, **options}
        yield f"conv_transpose2d_backward {geometry}", (dy, x, weight), options


def of_pictures():
    for shape in PICTURES:
        x, dy = 3 * random(*shape) + 1, random(*shape, seed=1)
        gamma, c, var = (random(shape[3], seed=seed) for seed in (2, 3, 4))
        gamma, var, mu = 1 + gamma / 4, 9 + abs(var), 1 + c / 9
        yield f"bias_relu_backward {shape}", (dy, np.maximum(x - 1, 0)), {}
        yield f"bias_relu_backward, no relu, {shape}", (dy, x), {"relu": False}
        yield f"batchnorm {shape}", (x, gamma, c, 1e-5), {}
        yield f"batchnorm_inference {shape}", (x, gamma, c, mu, var, 1e-5), {}
        yield f"batchnorm_backward {shape}", (dy, x, gamma, mu, var, 1e-5), {}
    for shape, size in LARGER:
        yield f"upsample {shape}", (random(*shape), size), {}
        for rows in (slice(0, 2), slice(3, size[0])):
            yield f"upsample {shape} {rows}", (random(*shape), size, rows), {}
    rgb = np.random.default_rng(0).integers(0, 256, (2, 36, 28, 3), dtype=np.uint8)
    rgb[:, 0, :3] = [[0, 0, 0], [255, 255, 255], [1, 0, 254]]
    rgb[:, 1, :3] = [[3, 2, 1], [10, 11, 9], [0, 255, 0]]
    yield "crops_to_lab", (rgb,), {}
    yield "crops_to_lab, small", (rgb[:1, :4, :4],), {}
    ab = random(2, 5, 7, 2)
    yield "l2_loss", (ab, ab[::-1], np.array([True, False])), {}


def of_pixels():
    rng = np.random.default_rng(2)
    for n in PIXELS:
        # Half of these lie outside of what sRGB shows; corners and edges of the grid's cells, where
        # bins are equally near; far out.
        ab = rng.uniform(-128, 128, (n, 2)).astype(np.float32).astype(np.float64)
        ab[::3] = rng.integers(-25, 26, ab[::3].shape) * 5
        ab[7::16] *= 4
        for k in (1, 5, 10):
            yield f"soft_encode {n} {k}", (ab, k), {}
        yield f"lab_to_rgb {n}", (np.insert(ab.clip(-128, 128), 0, rng.uniform(0, 100, n), 1),), {}
        for q in (1, 5, 313):
            yield f"softmax_cross_entropy {n} {q}", (*loss_case(n, q), np.array(8.0)), {}
        for temperature in (0.38, 1, 0):
            logits = 3 * random(1, 1, n, 313)
            yield f"annealed_mean {n} {temperature}", (logits, temperature), {}
    batch = (2, 3, 5)  # pictures, and no squares
    ab = rng.uniform(-110, 110, (*batch, 2)).astype(np.float32).astype(np.float64)
    yield "soft_encode, pictures", (ab,), {}
    yield "lab_to_rgb, pictures", (np.concatenate([abs(ab[..., :1]), ab], axis=-1),), {}
    yield "annealed_mean, pictures", (3 * random(*batch, 313),), {}
    logits, index, weight, v = loss_case(30, 313)
    shaped = (array.reshape(*batch, -1) for array in (logits, index, weight))
    yield "softmax_cross_entropy, pictures", (*shaped, v, 8.0), {}
    for scale in (8.0, 1):  # numbers
        yield f"softmax_cross_entropy, {scale!r}", (*loss_case(33, 313, 3), scale), {}


def of_numbers():
    betas = 0.9, 0.99
    for n in PIXELS:
        p, g, m, v = (random(n, seed=seed) for seed in range(4))
        step = {"rates": adam_rates(0.01, 3, betas), "betas": betas, "eps": 1e-8, "decay": 0.1}
        for overflow in (0, 1, np.array(0, np.int32), np.array(1, np.int32)):
            scale = 4.0 if isinstance(overflow, int) else np.array(4.0)
            more = {"decayed": n // 3, "scale": scale, "overflow": overflow}
            yield f"adam {n} {overflow!r}", (p, g, m, abs(v)), {**step, **more}
        yield f"moving_average {n}", (p, g, 0.01), {}
        for odd in (0.0, np.inf, -np.inf, np.nan):
            yield f"find_overflow {n} {odd}", (np.insert(1e37 * p, n // 2, odd),), {}


# name of the case -> (operation, arguments, options): arrays in float64
CASES = {
    name: (re.match(r"\w+", name)[0], arguments, options)
    for make in (convolutions, of_pictures, of_pixels, of_numbers)
    for name, arguments, options in make()
}
CONVOLVED = [name for name in CASES if name.startswith("conv")]
OTHERS = [name for name in CASES if not name.startswith("conv")]
# float16 pictures; what else there is stays float32. Adam and the like know no float16.
IN_HALF = "bias_relu", "batchnorm", "softmax", "annealed"
HALF = [name for name in OTHERS if name.startswith(IN_HALF)]


def converted(value, dtype, asarray, picture=True):
    """An argument as the twin gets it: pictures in dtype, vectors and the rest in float32."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float64:
        rest = np.float64 if dtype == np.float64 else np.float32
        value = value.astype(dtype if picture and value.ndim == 4 else rest)
    return asarray(np.array(value))


def error(value, truth):
    """Relative, of the norms, and of the number that is farthest off to its size and the usual size
    of the numbers; the latter may be four times the former. 0 where all are 0.
    """
    value, truth = np.asarray(to_host(value), np.float64), np.asarray(truth, np.float64)
    assert value.shape == truth.shape
    off, size = abs(value - truth), np.sqrt(np.mean(truth**2)) + 1e-30
    return max(np.sqrt(np.mean(off**2)) / size, (off / (abs(truth) + size)).max() / 4)


def compare(name, body, dtype, asarray):
    """The largest error of what an operation returns, in units of the limit."""
    operation, arguments, options = CASES[name]
    of_pixels = operation == "softmax_cross_entropy"  # its weights are no picture
    given = [
        converted(a, dtype, asarray, not (of_pixels and place)) for place, a in enumerate(arguments)
    ]
    more = {key: converted(a, dtype, asarray) for key, a in options.items()}
    # The chapter sees the numbers that the twin sees: rounding these is not its fault.
    exact = [_exact(a) for a in given]
    truth = getattr(chapters, operation)(*exact, **{k: _exact(a) for k, a in more.items()})
    before = [to_host(a).copy() if hasattr(a, "dtype") else a for a in given]
    values = getattr(body, operation)(*given, **more)
    values, truth = (r if isinstance(r, tuple) else (r,) for r in (values, truth))
    places = {v.data.ptr for v in values if hasattr(v, "get")}
    for place, (was, now) in enumerate(zip(before, given, strict=True)):
        if place in WRITTEN.get(operation, ()):
            assert body is cpu or now.data.ptr in places
        elif hasattr(now, "dtype"):
            np.testing.assert_array_equal(to_host(now), was)
    assert len(values) == len(truth)
    for value in values:
        assert value is None or value.shape != given[0].shape or value.dtype == given[0].dtype
    half = 4e-3 if operation.startswith("conv") else 5e-4  # what is rounded once, and no more
    limit = {np.float16: half, np.float32: 5e-6, np.float64: 1e-12}[dtype]
    return max(error(v, t) for v, t in zip(values, truth, strict=True) if t is not None) / limit


def _exact(value):
    if not hasattr(value, "dtype"):
        return value
    value = to_host(value)
    return value.astype(np.float64) if value.dtype.kind == "f" else np.array(value)


@pytest.mark.parametrize("name", CASES)
def test_the_cpu(name):
    assert compare(name, cpu, np.float32, np.asarray) < 1


@pytest.mark.parametrize("name", OTHERS)
def test_the_gpu(gpu, name):
    assert compare(name, cuda, np.float32, gpu.asarray) < 1


@pytest.mark.parametrize("name", HALF)
def test_the_gpu_in_float16(gpu, name):
    assert compare(name, cuda, np.float16, gpu.asarray) < 1


@pytest.mark.one_order
@pytest.mark.parametrize("name", CONVOLVED)
def test_convolutions_on_the_gpu(gpu, name):
    for dtype in (np.float32, np.float16):
        assert compare(name, cuda, dtype, gpu.asarray) < 1


def plan(monkeypatch, m):
    """Winograd's tiles of m x m wherever there is that way."""

    def way(weight, pixels, stride=1, dtype=None):
        return m if (*weight[:2], stride) == (3, 3, 1) else GATHER

    monkeypatch.setattr(convolution_module, "choose_plan", way)
    monkeypatch.setattr(convolution_module, "WIDE_PIXELS", 0)


WINOGRAD = [n for n in CONVOLVED if re.match(r"conv2d.*\(3, 1, |conv_tr\w+ \(4, 2, 1, 1,", n)]
PLANS = [(name, GATHER) for name in CONVOLVED] + [(n, m) for n in WINOGRAD for m in (2, 4)]


@pytest.mark.parametrize("name, m", PLANS)
def test_every_plan_of_a_convolution(name, m, monkeypatch):
    """In float64, which shows the last fault."""
    plan(monkeypatch, m)
    assert compare(name, cpu, np.float64, np.asarray) < 1


@pytest.mark.one_order
@pytest.mark.parametrize("name, m", PLANS)
def test_every_plan_on_the_gpu_in_many_blocks(gpu, name, m, monkeypatch):
    plan(monkeypatch, m)
    monkeypatch.setattr(steps_cuda, "WORK_BYTES", 20_000)
    assert compare(name, cuda, np.float32, gpu.asarray) < 1
    assert compare(name, cuda, np.float16, gpu.asarray) < (3 if m == 4 else 1)


def test_all_bodies_have_the_same_operations():
    names = {name for name in vars(chapters) if not name.startswith("_")}
    assert names <= set(vars(cpu)) & set(vars(cuda))
    tested = {operation for operation, *_ in CASES.values()}
    assert names - tested == {"freeze", "at_work"}
    for name in tested - {"find_overflow"}:
        signature = inspect.signature(getattr(chapters, name))
        for body in BODIES.values():
            twin = inspect.signature(getattr(body, name))
            assert list(twin.parameters) == list(signature.parameters), name
            for mine, its in zip(twin.parameters.values(), signature.parameters.values(), strict=1):
                assert (mine.default, mine.kind) == (its.default, its.kind), (name, mine)


# What faults make of a right function or constant.


def padded_otherwise(f):
    return lambda *a, stride, padding, **o: f(*a, stride=stride, padding=padding + stride - 1, **o)


def begun_early(f):
    def taps(*a):
        rows, cols = f(*a)
        early = cols and cols.stride == cols.count == 1
        return rows, cols._replace(start=cols.start - 1) if early else cols

    return taps


def off(f):
    return lambda m: tuple(a + 1e-3 * (a == a.max()) for a in f(m))


def exchanged(taps):
    return [taps[1], taps[0][:2] + taps[1][2:], *taps[2:]]


def unbiased(f):
    return lambda x: (f(x)[0], f(x)[1] * np.float32(x[..., 0].size / max(x[..., 0].size - 1, 1)))


def without_one(f):
    return lambda k: np.where(np.arange(f(k).shape[2]) == 1, 0, f(k))


def one_more(f):
    return lambda p, g, m, v, s, decayed, *rest: f(p, g, m, v, s, decayed + 1, *rest)


# Faults planted into what the twins stand on: (module, name, what it becomes of the right one).
FAULTS = {
    "a sum leaves out the last pixel": (pointwise, "column_sum", lambda f: lambda x: f(x[:-1])),
    "weights see another padding": (gather, "weight_gradient", padded_otherwise),
    "a phase of the adjoint begins too early": (gather, "_phase_taps", begun_early),
    "a point of Winograd's is off": (winograd, "matrices", off),
    "two phases of the wide filter are exchanged": (convolution_module, "_TAPS", exchanged),
    "the variance is the unbiased one": (pointwise, "batchnorm_statistics", unbiased),
    "a near bin is not among the candidates": (fast_bins, "candidates", without_one),
    "one number too many decays": (cpu, "_adam_chunk", one_more),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault, monkeypatch):
    module, name, change = FAULTS[fault]
    monkeypatch.setattr(module, name, change(getattr(module, name)))

    def caught(case):
        try:
            return compare(case, cpu, np.float32, np.asarray) > 1
        except (AssertionError, IndexError, ValueError):
            return True

    assert any(caught(case) for case in CASES)


# Faults planted into kernels: file, what is there, what it becomes.
KERNEL_FAULTS = {
    "the bottom row counts as inside": ("gather", "row < height", "row <= height"),
    "0 counts as on": ("bias_relu_backward", "out.v[k] > 0.f", "out.v[k] >= 0.f"),
    "above and below are exchanged": (
        "upsample",
        "(1.f - down) * u + down * v",
        "down * u + (1.f - down) * v",
    ),
    "the mask is not asked": ("softmax_cross_entropy", "counts ? v * *scale", "true ? v * *scale"),
    "the second moment decays as the first": ("adam", "beta2 * v[i]", "beta1 * v[i]"),
}


@pytest.mark.one_order
@pytest.mark.parametrize("fault", KERNEL_FAULTS)
def test_a_fault_in_a_kernel_is_caught(gpu, fault, monkeypatch, tmp_path):
    file, right, wrong = KERNEL_FAULTS[fault]
    folder = tmp_path / "kernels"
    shutil.copytree(kernels.SOURCES, folder)
    source = (folder / f"{file}.cu").read_text()
    assert source.count(right) == 1
    (folder / f"{file}.cu").write_text(source.replace(right, wrong))
    monkeypatch.setattr(kernels, "SOURCES", folder)
    monkeypatch.setattr(kernels, "compiled", kernels.compiled.__wrapped__)
    monkeypatch.setattr(kernels, "_prepared", {})
    operation = {"gather": "conv2d"}.get(file, file)
    names = [name for name, (of, *_) in CASES.items() if of == operation]
    assert any(compare(name, cuda, np.float32, gpu.asarray) > 1 for name in names)


@pytest.mark.parametrize("operation", sorted({operation for operation, *_ in CASES.values()}))
def test_a_result_that_is_off_is_seen(operation, monkeypatch):
    """By one per cent, in the last of its numbers."""
    right = getattr(cpu, operation)

    def off(value):
        value = np.array(value)
        value.reshape(-1)[-1:] += 1 if value.dtype.kind == "i" else 0.01 * (1 + abs(value).max())
        return value

    def wrong(*arguments, **options):
        values = right(*arguments, **options)
        if not isinstance(values, tuple):
            return off(values)
        return tuple(None if v is None else off(v) for v in values)

    monkeypatch.setattr(cpu, operation, wrong)
    names = [name for name, (of, *_) in CASES.items() if of == operation]
    assert all(compare(name, cpu, np.float32, np.asarray) > 1 for name in names)


@pytest.mark.parametrize("operation", ["bias_relu_backward", "batchnorm_backward"])
def test_gradients_that_are_not_contiguous(operation):
    """dx is not written over these, but it is right."""
    _, (dy, *rest), options = CASES[f"{operation} (2, 9, 7, 64)"]
    truth = getattr(chapters, operation)(dy, *rest, **options)[0]
    given = [converted(a, np.float32, np.asarray) for a in (dy, *rest)]
    strided = np.repeat(given[0], 2, axis=1)[:, ::2]
    assert error(getattr(cpu, operation)(strided, *given[1:], **options)[0], truth) < 5e-6


def test_the_whole_program_runs_on_the_chapters(tmp_path):
    """Three steps of training and a photo, as with the twins."""
    photos, run, results = album(tmp_path / "photos", 4, (60, 50)), tmp_path / "run", []
    options = "--model tiny --size 32 --batch 2 --steps 3 --workers 1 --log-every 1".split()
    train = [*TRAIN, "--data", photos, "--out", run, *options]
    colour = [ROOT / "infer.py", photos / "0.png", "--weights", run, "--overwrite", "--out"]
    for plain in ("plain", ""):
        shutil.rmtree(run, ignore_errors=True)
        for command in (train, [*colour, tmp_path / "c.png"]):
            done = python(*command, env={**os.environ, "MINI_COLORIZE_OPS": plain})
            assert done.returncode == 0, done.stderr
        losses = [entry["loss_weighted"] for entry in log(run)]
        results.append((losses, np.asarray(Image.open(tmp_path / "c.png")).astype(int)))
    np.testing.assert_allclose(results[0][0][0], results[1][0][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-2)  # Adam goes by the sign
    assert len(results[0][0]) == 3 and abs(results[0][1] - results[1][1]).max() <= 2


def test_the_door():
    assert ops(np.zeros(1)) is chapters
    assert ops(np.zeros(1, np.float32)) is ops(np.zeros(1, np.uint8)) is cpu


def test_the_door_when_only_chapters_are_wanted(monkeypatch):
    monkeypatch.setattr(door, "PLAIN", True)
    assert ops(np.zeros(1, np.float32)) is chapters


@pytest.mark.one_order
def test_the_door_to_the_gpu(gpu, monkeypatch):
    monkeypatch.setattr(door, "PLAIN", True)  # means the CPU
    assert ops(gpu.zeros(1, np.float32)) is cuda
