"""Every operation of the door, by every body of code that it has, against its chapter.

The chapter computes in float64. The twins of the CPU compute in float32, those of the GPU, emulated
or real, in float32 and float16. Batches of two and more, odd and non-square pictures, strides,
dilations. A twin may write over what it is given, so each gets copies; what it returns is compared.
"""

import inspect

import numpy as np
import pytest

from mini_colorize import ops as door
from mini_colorize.backend import to_host
from mini_colorize.fast import cpu, cuda
from mini_colorize.ops import chapters, ops

BODIES = {"cpu": cpu, "cuda": cuda}
GEOMETRIES = [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (1, 1, 1, 0), (3, 2, 2, 1)]
TRANSPOSED = [(4, 2, 1, 1), (3, 2, 1, 1)]


def random(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def targets(n, h, w, q, k=3):
    rng = np.random.default_rng(1)
    index = np.argsort(rng.random((n, h, w, q)), axis=-1)[..., :k].astype(np.int32)
    weight = -np.sort(-rng.random((n, h, w, k)), axis=-1)
    weight /= weight.sum(axis=-1, keepdims=True)
    weight[0, 0] = 0  # outside the mask
    return index, weight


def convolution(kernel, stride, dilation, padding, c_in=20, c_out=24):
    """x, weight, bias, dy and the options of a convolution, large enough for Winograd."""
    x, weight = random(2, 19, 17, c_in), random(kernel, kernel, c_in, c_out) / (kernel * c_in**0.5)
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    return x, weight, random(c_out), options


def cases():
    """name of the case -> (operation, arguments, options): arrays in float64."""
    made = {}
    for geometry in GEOMETRIES:
        x, weight, bias, options = convolution(*geometry)
        dy = random(*chapters.conv2d(x, weight, bias, **options).shape)
        fill = random(x.shape[3])
        made[f"conv2d {geometry}"] = "conv2d", (x, weight, bias), {"relu": True, **options}
        made[f"conv2d, fill, {geometry}"] = "conv2d", (x, weight, bias), {"fill": fill, **options}
        made[f"conv2d_backward {geometry}"] = "conv2d_backward", (dy, x, weight), options
    for geometry in TRANSPOSED:
        for pixels in (1, 4):  # with the second the CPU takes the wide convolution
            x, weight, bias, options = convolution(*geometry)
            x = np.tile(x, (pixels, 1, 1, 1))
            dy = random(*chapters.conv_transpose2d(x, weight, bias, **options).shape)
            name = f"{geometry} x {pixels}"
            up, back = "conv_transpose2d", "conv_transpose2d_backward"
            made[f"{up} {name}"] = up, (x, weight, bias), {"relu": True, **options}
            made[f"{back} {name}"] = back, (dy, x, weight), options
    x, dy, c = 3 * random(3, 9, 7, 12) + 1, random(3, 9, 7, 12, seed=1), random(12)
    gamma, var = 1 + random(12, seed=2) / 4, 9 + abs(random(12, seed=3))
    made["bias_relu"] = "bias_relu", (x, c), {}
    made["bias without relu"] = "bias_relu", (x, c), {"relu": False}
    made["bias_relu_backward"] = "bias_relu_backward", (dy, np.maximum(x - 1, 0)), {}
    made["bias_relu_backward, no relu"] = "bias_relu_backward", (dy, x), {"relu": False}
    made["batchnorm"] = "batchnorm", (x, gamma, c, 1e-5), {}
    made["batchnorm_inference"] = "batchnorm_inference", (x, gamma, c, 1 + c / 9, var, 1e-5), {}
    made["batchnorm_backward"] = "batchnorm_backward", (dy, x, gamma, 1 + c / 9, var, 1e-5), {}
    ab = 60 * random(2, 5, 7, 2)
    made["soft_encode"] = "soft_encode", (ab.astype(np.float32).astype(np.float64),), {}
    logits, (index, weight) = 3 * random(2, 5, 7, 313), targets(2, 5, 7, 313)
    v = 1 + abs(random(313))
    loss = logits, index, weight, v, np.array(8.0)
    made["softmax_cross_entropy"] = "softmax_cross_entropy", loss, {}
    made["annealed_mean"] = "annealed_mean", (logits,), {"temperature": 0.38}
    made["annealed_mean, T = 0"] = "annealed_mean", (logits,), {"temperature": 0}
    made["l2_loss"] = "l2_loss", (ab / 20, ab[::-1] / 20, np.array([True, False])), {}
    rgb = np.random.default_rng(0).integers(0, 256, (2, 12, 8, 3), dtype=np.uint8)
    made["crops_to_lab"] = "crops_to_lab", (rgb,), {}
    made["lab_to_rgb"] = "lab_to_rgb", (np.array([50.0, 0, 0]) + 30 * random(2, 5, 7, 3),), {}
    made["upsample"] = "upsample", (random(2, 5, 7, 3), (13, 12)), {}
    made["upsample, rows"] = "upsample", (random(2, 5, 7, 3), (13, 12), slice(4, 9)), {}
    numbers = random(333), random(333, seed=1), random(333, seed=2), abs(random(333, seed=3))
    step = {"lr": 0.01, "t": 3, "betas": (0.9, 0.99), "eps": 1e-8, "decay": 0.1, "decayed": 100}
    for overflow in (0, 1):
        changing = {"scale": np.array(4.0), "overflow": np.array(overflow, np.int32)}
        made[f"adam, overflow {overflow}"] = "adam", numbers, {**step, **changing}
    made["moving_average"] = "moving_average", (*numbers[:2], 0.01), {}
    made["find_overflow"] = "find_overflow", (numbers[0],), {}
    return made


CASES = cases()
# float16 pictures; what else there is stays float32. Adam and the like know no float16.
HALF = [
    name
    for name, (operation, *_) in CASES.items()
    if operation.startswith(("conv", "bias_relu", "batchnorm", "softmax", "annealed"))
]


def converted(value, dtype, asarray):
    """An argument as the twin gets it: pictures in dtype, vectors and the rest in float32."""
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.float64:
        picture = value.ndim == 4 and value.shape[3] > 3
        value = value.astype(dtype if picture else np.float32)
    return asarray(np.array(value))


def error(value, truth):
    """Relative, of the norms; 0 where both are 0."""
    value, truth = np.asarray(to_host(value), np.float64), np.asarray(truth, np.float64)
    assert value.shape == truth.shape
    return np.linalg.norm(value - truth) / max(np.linalg.norm(truth), 1e-30)


def compare(name, body, dtype, asarray):
    """The largest error of what an operation returns, in units of the limit."""
    operation, arguments, options = CASES[name]
    given = [converted(a, dtype, asarray) for a in arguments]
    more = {key: converted(a, dtype, asarray) for key, a in options.items()}
    # The chapter sees the numbers that the twin sees: rounding these is not its fault.
    exact = [_exact(a) for a in given]
    truth = getattr(chapters, operation)(*exact, **{k: _exact(a) for k, a in more.items()})
    values = getattr(body, operation)(*given, **more)
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
    assert names == set(cpu.__all__) == set(cuda.__all__)
    tested = {operation for operation, *_ in CASES.values()}
    assert names - tested == {"freeze", "at_work"}
    for name in tested - {"find_overflow"}:
        signature = inspect.signature(getattr(chapters, name))
        for body in BODIES.values():
            twin = inspect.signature(getattr(body, name))
            assert list(twin.parameters) == list(signature.parameters), name
            for mine, its in zip(twin.parameters.values(), signature.parameters.values(), strict=1):
                assert (mine.default, mine.kind) == (its.default, its.kind), (name, mine)


@pytest.mark.parametrize("operation", sorted({operation for operation, *_ in CASES.values()}))
def test_a_wrong_twin_is_caught(operation, monkeypatch):
    """Every value of every result, one per cent too large: some case of the operation must see it."""
    right = getattr(cpu, operation)

    def wrong(*arguments, **options):
        values = right(*arguments, **options)
        if not isinstance(values, tuple):
            return values * 1.01 + (values.dtype.kind == "i")
        return tuple(None if v is None else v * 1.01 for v in values)

    monkeypatch.setattr(cpu, operation, wrong)
    names = [name for name, (of, *_) in CASES.items() if of == operation]
    assert any(compare(name, cpu, np.float32, np.asarray) > 1 for name in names)


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
