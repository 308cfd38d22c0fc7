"""What benchmarks/gpu_kernels.py measures: each memory-bound kernel at the sizes of the largest
layers of a training step, with the bytes it must move.

The bytes are those of every input read once and every output written once, as the kernel's own file
counts them; what a kernel reads twice makes its share of a copy's rate smaller.

Notation: P pixels, Q bins, K neighbours, C channels, e bytes of a number (4, or 2 for float16).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from mini_colorize.bins import K, Q
from mini_colorize.fast import gather, kernels, winograd
from mini_colorize.network import WIDTHS, Network
from mini_colorize.ops import ops

from .gpu_common import colors, noise

HALF = (np.float32, np.float16)


@dataclass
class Case:
    """One row. make(seed): a callable that calls the wrapper once, on arrays of its own."""

    name: str
    size: str
    dtype: type
    nbytes: int
    make: Callable


def cases(xp, sizes):
    """All rows, from the largest layers of a training step."""
    n, side, width = sizes.batch, sizes.side, WIDTHS[sizes.model]
    yield from _logit_cases(xp, n * (side // 4) ** 2)
    yield from _logit_cases(xp, sizes.large_pixels)
    yield from _picture_cases(xp, n, side)

    def shape(shrink, channels):
        """Of the pictures between two layers."""
        return n, side // shrink, side // shrink, max(1, round(channels * width))

    for dtype in HALF:
        yield from _relu_cases(xp, shape(1, 64), dtype)
        yield from _relu_cases(xp, shape(8, 512), dtype)
        yield from _batchnorm_cases(xp, shape(2, 64), dtype)
        yield from _batchnorm_cases(xp, shape(8, 512), dtype)
        yield _gather_case(xp, shape(1, 64), dtype, stride=2)
        yield _gather_case(xp, shape(8, 512), dtype, stride=1)
    for m in (2, 4):
        yield from _winograd_cases(xp, shape(4, 256), m)
        yield from _winograd_cases(xp, shape(8, 512), m)
    yield from _optimizer_cases(xp, sizes)


def _logit_cases(xp, pixels):
    def target(seed):
        ab = colors(xp, (pixels,), seed)
        return ops(ab).soft_encode(ab)

    def encode(seed):
        ab = colors(xp, (pixels,), seed)
        return lambda: ops(ab).soft_encode(ab)

    yield Case("soft_encode", f"{pixels:,} pixels", np.float32, pixels * (8 + 8 * K), encode)
    for dtype in HALF:
        e = np.dtype(dtype).itemsize

        def loss(seed, dtype=dtype):
            logits, (index, weight) = noise(xp, (pixels, Q), dtype, seed), target(seed)
            v = 1 + xp.abs(noise(xp, Q))
            # so that the gradients, which take the logits' place, stay ordinary numbers
            scale = xp.full((), pixels, np.float32)
            return lambda: kernels.softmax_cross_entropy(logits, index, weight, v, scale)

        def mean(seed, dtype=dtype):
            logits = noise(xp, (pixels, Q), dtype, seed)
            return lambda: ops(logits).annealed_mean(logits)

        size = f"{pixels:,} pixels"
        nbytes = pixels * (2 * Q * e + 8 * K + 8)
        yield Case("softmax_cross_entropy", size, dtype, nbytes, loss)
        yield Case("annealed_mean", size, dtype, pixels * (Q + 2) * e, mean)


def _picture_cases(xp, n, side):
    pixels = n * side * side

    def to_lab(seed):
        rgb = 128 + 50 * noise(xp, (n, side, side, 3), seed=seed)
        rgb = xp.clip(rgb, 0, 255).astype(np.uint8)
        return lambda: ops(rgb).crops_to_lab(rgb)

    def to_rgb(seed, pixels=pixels):
        lightness = 50 + 20 * noise(xp, (pixels, 1), seed=seed)
        lab = xp.concatenate([lightness, colors(xp, (pixels,), seed)], axis=-1)
        return lambda: ops(lab).lab_to_rgb(lab)

    def enlarge(seed):
        ab = colors(xp, (n, side // 4, side // 4), seed)
        return lambda: ops(ab).upsample(ab, (side, side))

    size = f"{n}x{side}x{side}"
    one = partial(to_rgb, pixels=1)
    yield Case("lab_to_rgb", "1 pixel: what a launch costs", np.float32, 24, one)
    yield Case("crops_to_lab", size, np.uint8, pixels * 7 + pixels // 2, to_lab)
    yield Case("lab_to_rgb", size, np.float32, pixels * 24, to_rgb)
    yield Case("upsample", f"to {size}x2", np.float32, pixels * 8 + pixels // 2, enlarge)


def _name(shape):
    return "x".join(map(str, shape))


def _relu_cases(xp, shape, dtype):
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize

    def forward(seed):
        y, bias = noise(xp, shape, dtype, seed), 0.01 * noise(xp, shape[3])
        return lambda: kernels.bias_relu(y, bias, True)

    def backward(seed):
        dy, y = noise(xp, shape, dtype, seed), noise(xp, shape, dtype, seed + 1)
        return lambda: kernels.bias_relu_backward(dy, y, True)

    yield Case("bias_relu", _name(shape), dtype, 2 * nbytes, forward)
    yield Case("bias_relu_backward", _name(shape), dtype, 3 * nbytes, backward)


def _batchnorm_cases(xp, shape, dtype):
    nbytes, c = math.prod(shape) * np.dtype(dtype).itemsize, shape[3]

    def vectors(count):
        return [0.01 * noise(xp, c, seed=k) for k in range(count)]

    def statistics(seed):
        x = noise(xp, shape, dtype, seed)
        return lambda: kernels.batchnorm_statistics(x)

    def normalize(seed):
        x, parameters = noise(xp, shape, dtype, seed), vectors(3)
        return lambda: kernels.batchnorm_normalize(x, *parameters)

    def sums(seed):
        dy, x = noise(xp, shape, dtype, seed), noise(xp, shape, dtype, seed + 1)
        mean = vectors(1)[0]
        return lambda: kernels.batchnorm_sums(dy, x, mean)

    def backward(seed):
        dy, x = noise(xp, shape, dtype, seed), noise(xp, shape, dtype, seed + 1)
        mean, offset, slope = vectors(3)
        ones = xp.ones(c, np.float32)  # dy is overwritten again and again and must not fade
        return lambda: kernels.batchnorm_backward(dy, x, mean, ones, offset, slope)

    makers = {
        "statistics": (1, statistics),
        "normalize": (2, normalize),
        "sums": (2, sums),
        "backward": (3, backward),
    }
    for name, (passes, make) in makers.items():
        yield Case(f"batchnorm_{name}", _name(shape), dtype, passes * nbytes, make)


def _gather_case(xp, shape, dtype, stride):
    """As many pictures as a convolution gathers at once."""
    n, h, w, c = shape
    e, taps = np.dtype(dtype).itemsize, gather.Taps(-1, 1, 3, stride)
    out = (h // stride, w // stride)
    pictures = min(n, max(1, gather.WORK_BYTES_GPU // (out[0] * out[1] * 9 * c * e)))
    block = slice(0, pictures), slice(0, out[0]), slice(0, out[1])
    nbytes = e * c * pictures * (9 * out[0] * out[1] + h * w)

    def make(seed):
        x = noise(xp, (pictures, h, w, c), dtype, seed)
        return lambda: gather.gather(x, taps, taps, block)

    return Case("gather", f"{_name((pictures, h, w, c))} /{stride}", dtype, nbytes, make)


def _winograd_cases(xp, shape, m):
    n, h, w, c = shape
    pixels, points = math.prod(shape), (m + 2) ** 2
    tiles = n * -(-h // m) * -(-w // m)
    nbytes = 4 * (pixels + points * tiles * c)
    size = f"{_name(shape)}, {m}x{m}"

    def inputs(seed):
        x = noise(xp, shape, seed=seed)
        return lambda: winograd.input_transform(x, m, 1, 1)

    def gradient(seed):
        x = noise(xp, shape, seed=seed)
        return lambda: winograd.gradient_transform(x, m, 1)

    def output(seed):
        products, y = noise(xp, (points, tiles, c), seed=seed), xp.empty(shape, np.float32)
        bias = noise(xp, c)
        return lambda: winograd.output_transform(products, m, y, 1, bias, True)

    yield Case("winograd_transform (input)", size, np.float32, nbytes, inputs)
    yield Case("winograd_transform (gradient)", size, np.float32, nbytes, gradient)
    yield Case("winograd_output", size, np.float32, nbytes, output)


def _optimizer_cases(xp, sizes):
    params = Network(WIDTHS[sizes.model]).pack()["params"]
    count, decayed = params.flat.size, params.decayed

    def step(seed):
        p, g, m = (noise(xp, count, seed=seed + k) for k in range(3))
        v, scale, overflow = xp.abs(m), xp.ones((), np.float32), xp.zeros((), np.int32)
        rest = (decayed, 1e-6, (0.9, 0.99), 1e-4, 1.0, 1e-8)
        return lambda: kernels.adam(p, g, m, v, scale, overflow, *rest)

    def average(seed):
        mean, now = noise(xp, count, seed=seed), noise(xp, count, seed=seed + 1)
        return lambda: kernels.moving_average(mean, now, 0.001)

    def overflow(seed):
        g = noise(xp, count, seed=seed)
        return lambda: kernels.find_overflow(g)

    size = f"{count:,} numbers"
    yield Case("adam", size, np.float32, 28 * count, step)
    yield Case("moving_average", size, np.float32, 12 * count, average)
    yield Case("find_overflow", size, np.float32, 4 * count, overflow)
