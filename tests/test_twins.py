"""Every operation of the door, by every body of code that it has, against its chapter.

The chapter computes in float64. The twins of the CPU compute in float32, those of the GPU, emulated
or real, in float32 and float16. Batches of two and more, odd and non-square pictures, strides,
dilations. A twin may write over what it is given, so each gets copies; what it returns is compared.
"""

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_layers import CONVS
from test_layers import TRANSPOSED as TRANSPOSED_GEOMETRIES

from mini_colorize import ops as door
from mini_colorize.backend import to_host
from mini_colorize.fast import bins as fast_bins
from mini_colorize.fast import convolution as convolution_module
from mini_colorize.fast import cpu, cuda, gather, pointwise, winograd
from mini_colorize.ops import chapters, ops
from mini_colorize.optim import adam_rates

ROOT = Path(__file__).resolve().parents[1]
BODIES = {"cpu": cpu, "cuda": cuda}
# kernel, stride, dilation, padding, channels, pixels: with many the CPU takes Winograd's way
MANY, FEW = (20, 24, (19, 17)), (3, 4, (9, 6))
CONVOLUTIONS = [(3, 1, 1, 1, *MANY), (3, 1, 2, 2, *MANY), (3, 1, 1, 0, *MANY), (3, 2, 1, 1, *MANY)]
CONVOLUTIONS += [(*geometry, *FEW) for geometry in CONVS] + [((3, 5), 1, 1, 1, *MANY)]
TRANSPOSED = [(4, 2, 1, 1, 20, 24, (39, 37)), ((4, 6), 2, 1, 1, 20, 24, (39, 37))]
TRANSPOSED += [(*geometry, *FEW) for geometry in TRANSPOSED_GEOMETRIES]

# What a twin may write over: operation -> places of arguments.
WRITTEN = {
    "bias_relu_backward": {0},
    "batchnorm_backward": {0},
    "softmax_cross_entropy": {0},
    "adam": {0, 2, 3},
    "moving_average": {0},
}


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def targets(n, h, w, q, k=3):
    rng = np.random.default_rng(1)
    index = np.argsort(rng.random((n, h, w, q)), axis=-1)[..., :k].astype(np.int32)
    weight = -np.sort(-rng.random((n, h, w, k)), axis=-1)
    weight /= weight.sum(axis=-1, keepdims=True)
    weight[0, 0] = 0  # outside the mask
    return index, weight


def convolution(kernel, stride, dilation, padding, c_in, c_out, size):
    """x, weight, bias and the options of a convolution."""
    kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = dilation * (kh - 1) // 2 if padding is None else padding
    x, weight = random(2, *size, c_in), random(kh, kw, c_in, c_out) / (kh * kw * c_in) ** 0.5
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    return x, weight, random(c_out), options


def cases():
    """name of the case -> (operation, arguments, options): arrays in float64."""
    made = {}
    for geometry in CONVOLUTIONS:
        x, weight, bias, options = convolution(*geometry)
        dy = random(*chapters.conv2d(x, weight, bias, **options).shape)
        fill = random(x.shape[3])
        made[f"conv2d {geometry}"] = "conv2d", (x, weight, bias), {"relu": True, **options}
        made[f"conv2d, fill, {geometry}"] = "conv2d", (x, weight, bias), {"fill": fill, **options}
        made[f"conv2d_backward {geometry}"] = "conv2d_backward", (dy, x, weight), options
    for geometry in TRANSPOSED:
        x, weight, bias, options = convolution(*geometry)
        dy = random(*chapters.conv_transpose2d(x, weight, bias, **options).shape)
        up, back = "conv_transpose2d", "conv_transpose2d_backward"
        made[f"{up} {geometry}"] = up, (x, weight, bias), {"relu": True, **options}
        made[f"{back} {geometry}"] = back, (dy, x, weight), options
    x, dy, c = 3 * random(3, 9, 7, 12) + 1, random(3, 9, 7, 12, seed=1), random(12)
    gamma, var = 1 + random(12, seed=2) / 4, 9 + abs(random(12, seed=3))
    made["bias_relu_backward"] = "bias_relu_backward", (dy, np.maximum(x - 1, 0)), {}
    made["bias_relu_backward, no relu"] = "bias_relu_backward", (dy, x), {"relu": False}
    made["batchnorm"] = "batchnorm", (x, gamma, c, 1e-5), {}
    made["batchnorm_inference"] = "batchnorm_inference", (x, gamma, c, 1 + c / 9, var, 1e-5), {}
    made["batchnorm_backward"] = "batchnorm_backward", (dy, x, gamma, 1 + c / 9, var, 1e-5), {}
    ab = 60 * random(2, 5, 7, 2)
    for name, far in {"": 120, ", far": 500}.items():  # where sRGB has colours, and beyond
        exact = ab.clip(-far, far).astype(np.float32).astype(np.float64)
        made[f"soft_encode{name}"] = "soft_encode", (exact,), {}
    logits, (index, weight) = 3 * random(2, 5, 7, 313), targets(2, 5, 7, 313)
    v = 1 + abs(random(313))
    loss = logits, index, weight, v
    for scale in (np.array(8.0), 8.0, 1):  # an array on the device, numbers
        made[f"softmax_cross_entropy, {scale!r}"] = "softmax_cross_entropy", (*loss, scale), {}
    made["annealed_mean"] = "annealed_mean", (logits,), {"temperature": 0.38}
    made["annealed_mean, T = 0"] = "annealed_mean", (logits,), {"temperature": 0}
    made["l2_loss"] = "l2_loss", (ab / 20, ab[::-1] / 20, np.array([True, False])), {}
    rgb = np.random.default_rng(0).integers(0, 256, (2, 12, 8, 3), dtype=np.uint8)
    made["crops_to_lab"] = "crops_to_lab", (rgb,), {}
    made["lab_to_rgb"] = "lab_to_rgb", (np.array([50.0, 0, 0]) + 30 * random(2, 5, 7, 3),), {}
    made["upsample"] = "upsample", (random(2, 5, 7, 3), (13, 12)), {}
    made["upsample, rows"] = "upsample", (random(2, 5, 7, 3), (13, 12), slice(4, 9)), {}
    numbers = random(333), random(333, seed=1), random(333, seed=2), abs(random(333, seed=3))
    betas = 0.9, 0.99
    step = {"rates": adam_rates(0.01, 3, betas), "betas": betas, "eps": 1e-8}
    step |= {"decay": 0.1, "decayed": 100}
    for overflow in (0, 1, np.array(0, np.int32), np.array(1, np.int32)):
        scale = 4.0 if isinstance(overflow, int) else np.array(4.0)
        made[f"adam, {overflow!r}"] = (
            "adam",
            numbers,
            {**step, "scale": scale, "overflow": overflow},
        )
    made["moving_average"] = "moving_average", (*numbers[:2], 0.01), {}
    for odd in (0.0, np.inf, -np.inf, np.nan):
        made[f"find_overflow, {odd}"] = "find_overflow", (np.append(numbers[0], odd),), {}
    return made


CASES = cases()
# float16 pictures; what else there is stays float32. Adam and the like know no float16.
HALF = [
    name
    for name, (operation, *_) in CASES.items()
    if operation.startswith(("conv", "bias_relu", "batchnorm", "softmax", "annealed"))
]


def converted(value, dtype, asarray, picture=True):
    """An argument as the twin gets it: pictures in dtype, vectors and the rest in float32."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float64:
        value = value.astype(dtype if picture and value.ndim == 4 else np.float32)
    return asarray(np.array(value))


def error(value, truth):
    """Relative, of the norms; 0 where both are 0."""
    value, truth = np.asarray(to_host(value), np.float64), np.asarray(truth, np.float64)
    assert value.shape == truth.shape
    return np.linalg.norm(value - truth) / max(np.linalg.norm(truth), 1e-30)


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
    for place, (was, now) in enumerate(zip(before, given, strict=True)):
        if place not in WRITTEN.get(operation, ()) and hasattr(now, "dtype"):
            np.testing.assert_array_equal(to_host(now), was)
    values, truth = (r if isinstance(r, tuple) else (r,) for r in (values, truth))
    assert len(values) == len(truth)
    limit = 4e-3 if dtype == np.float16 else 5e-6
    return max(error(v, t) for v, t in zip(values, truth, strict=True) if t is not None) / limit


def _exact(value):
    if not hasattr(value, "dtype"):
        return value
    value = to_host(value)
    return value.astype(np.float64) if value.dtype.kind == "f" else np.array(value)


@pytest.mark.parametrize("name", CASES)
def test_the_cpu(name):
    assert compare(name, cpu, np.float32, np.asarray) < 1


@pytest.mark.one_order
@pytest.mark.parametrize("name", CASES)
def test_the_gpu(gpu, name):
    assert compare(name, cuda, np.float32, gpu.asarray) < 1


@pytest.mark.one_order
@pytest.mark.parametrize("name", HALF)
def test_the_gpu_in_float16(gpu, name):
    assert compare(name, cuda, np.float16, gpu.asarray) < 1


def test_all_bodies_have_the_same_operations():
    names = set(vars(chapters))
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


def taken_one_too_early(taps):
    return taps._replace(start=taps.start - 1) if taps and taps.stride == taps.count == 1 else taps


# Faults planted into what the twins stand on: (module, name, what it becomes of the right one).
FAULTS = {
    "a sum leaves out the last pixel": (
        pointwise,
        "column_sum",
        lambda right: lambda x: right(x[:-1]),
    ),
    "a strided convolution's weights see another padding": (
        gather,
        "weight_gradient",
        lambda right: (
            lambda *a, stride, padding, **o: right(
                *a, stride=stride, padding=padding if stride == 1 else 1, **o
            )
        ),
    ),
    "a phase of the adjoint begins one pixel too early": (
        gather,
        "_phase_taps",
        lambda right: lambda *a: (right(*a)[0], taken_one_too_early(right(*a)[1])),
    ),
    "a point of Winograd's is off": (
        winograd,
        "matrices",
        lambda right: lambda m: tuple(a + 1e-3 * (a == a.max()) for a in right(m)),
    ),
    "two phases of the wide filter are exchanged": (
        convolution_module,
        "_TAPS",
        lambda right: [right[1], right[0][:2] + right[1][2:], *right[2:]],
    ),
    "the variance is the unbiased one": (
        pointwise,
        "statistics",
        lambda right: (
            lambda x: (right(x)[0], right(x)[1] * np.float32(x[..., 0].size / (x[..., 0].size - 1)))
        ),
    ),
    "a near bin is not among the candidates": (
        fast_bins,
        "candidates",
        lambda right: lambda k: np.where(np.arange(right(k).shape[2]) == 1, 0, right(k)),
    ),
    "one number too many decays": (
        cpu,
        "_adam_chunk",
        lambda right: (
            lambda p, g, m, v, s, decayed, *rest: right(p, g, m, v, s, decayed + 1, *rest)
        ),
    ),
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
    _, (dy, *rest), options = CASES[operation]
    truth = getattr(chapters, operation)(dy, *rest, **options)[0]
    given = [converted(a, np.float32, np.asarray) for a in (dy, *rest)]
    strided = np.repeat(given[0], 2, axis=1)[:, ::2]
    assert error(getattr(cpu, operation)(strided, *given[1:], **options)[0], truth) < 5e-6


def test_the_whole_program_runs_on_the_chapters(tmp_path):
    """Three steps of training and a photo, as with the twins."""
    rng, run = np.random.default_rng(0), tmp_path / "run"
    for i in range(4):
        small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        small.resize((60, 50), Image.Resampling.BICUBIC).save(tmp_path / f"{i}.png")
    options = "--model tiny --size 32 --batch 2 --steps 3 --workers 1 --device cpu --log-every 1"
    train = [ROOT / "train.py", "--data", tmp_path, "--out", run, *options.split()]
    colour = [
        ROOT / "infer.py",
        tmp_path / "0.png",
        "--weights",
        run,
        "--out",
        tmp_path / "c.color.png",
    ]
    results = []
    for plain in ("plain", ""):
        shutil.rmtree(run, ignore_errors=True)
        for command in (train, [*colour, "--overwrite"]):
            environment = {**os.environ, "MINI_COLORIZE_OPS": plain}
            subprocess.run([sys.executable, *command], env=environment, check=True, timeout=100)
        entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
        losses = [e["loss_weighted"] for e in entries if "loss_weighted" in e]
        results.append((losses, np.asarray(Image.open(tmp_path / "c.color.png")).astype(int)))
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
