"""Each memory-bound kernel: its time, the bytes it must move, and the share of a copy's rate.

Only the kernel is timed, in a CUDA graph, on inputs that are rotated so that no cache holds them,
at the sizes of the largest layers of a training step. `call` is the whole call of its wrapper with
the few small operations around it, `host` what that costs the host. The bytes are those of every
input read once and every output written once, as the kernel's own file counts them; what a kernel
reads twice makes its share of a copy's rate smaller.

Notation: P pixels, Q bins (in rows of 320), K neighbours, C channels, e bytes of a number (4, or 2
for float16).
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np

from mini_colorize.bins import K, Q
from mini_colorize.fast import cuda, kernels, steps_cuda, tiles
from mini_colorize.fast.gather import Taps, gather
from mini_colorize.fast.memory import padded
from mini_colorize.network import WIDTHS, Network

from .gpu_common import colors, noise, table
from .gpu_timing import launches_seen, replayed

TARGET = 0.85  # of a copy's rate, for the two kernels that read all logits
TARGETED = ("softmax_cross_entropy", "annealed_mean")
FLOATS = ("float32", "float16")


class Case(NamedTuple):
    """One row. arrays(seed): what `call` is given, made anew; call(*arrays) calls the wrapper."""

    kernel: str
    size: str
    dtype: str
    bytes: int
    arrays: Callable
    call: Callable


def cases(xp, sizes):
    """All rows, from the largest layers of a training step."""
    n, side, width = sizes.batch, sizes.side, WIDTHS[sizes.model]
    yield from _logit_cases(xp, n * (side // 4) ** 2)
    yield from _logit_cases(xp, sizes.large_pixels)
    yield from _picture_cases(xp, n, side)

    def shape(shrink, channels):
        """Of the pictures between two layers."""
        return n, side // shrink, side // shrink, max(1, round(channels * width))

    for dtype in FLOATS:
        yield from _layer_cases(xp, shape(1, 64), dtype, "bias_relu")
        yield from _layer_cases(xp, shape(2, 64), dtype, "batchnorm")
        yield from _layer_cases(xp, shape(8, 512), dtype)
        yield _gather_case(xp, shape(1, 64), dtype, stride=2)
        yield _gather_case(xp, shape(8, 512), dtype, stride=1)
    for m, dtype in product((2, 4), FLOATS):
        yield from _winograd_cases(xp, shape(4, 256), m, dtype)
        yield from _winograd_cases(xp, shape(8, 512), m, dtype)
    yield from _optimizer_cases(xp, sizes)


def _noises(xp, shape, dtype=np.float32, count=1):
    """So many arrays of noise, as Case's `arrays`."""
    return lambda seed: [noise(xp, shape, dtype, seed + k) for k in range(count)]


def _colors(xp, *shape):
    """One array of ab, as Case's `arrays`."""
    return lambda seed: [colors(xp, shape, seed)]


def _name(shape):
    return "x".join(map(str, shape))


def _logit_cases(xp, pixels):
    size, ab, v = f"{pixels:,} pixels", _colors(xp, pixels), 1 + xp.abs(noise(xp, Q))
    # so that the gradients, which take the logits' place, stay ordinary numbers
    scale = xp.full((), pixels, np.float32)

    def loss(logits, index, weight):
        return cuda.softmax_cross_entropy(logits, index, weight, v, scale)

    yield Case("soft_encode", size, "float32", pixels * (8 + 8 * K), ab, cuda.soft_encode)
    for dtype in FLOATS:
        e, row = np.dtype(dtype).itemsize, padded(Q)

        def logits(seed, dtype=dtype, row=row):
            return [noise(xp, (pixels, row), dtype, seed)[:, :Q]]  # as a network's lie

        def given(seed, logits=logits):
            return *logits(seed), *cuda.soft_encode(*ab(seed))

        nbytes = pixels * (2 * row * e + 8 * K + 8)
        yield Case("softmax_cross_entropy", size, dtype, nbytes, given, loss)
        yield Case("annealed_mean", size, dtype, pixels * (row + 2) * e, logits, cuda.annealed_mean)


def _picture_cases(xp, n, side):
    pixels, size, small = n * side * side, f"{n}x{side}x{side}", (n, side // 4, side // 4)

    def crops(seed):
        rgb = 128 + 50 * noise(xp, (n, side, side, 3), seed=seed)
        return [xp.clip(rgb, 0, 255).astype(np.uint8)]

    def lab(seed, pixels=pixels):
        lightness = 50 + 20 * noise(xp, (pixels, 1), seed=seed)
        return [xp.concatenate([lightness, colors(xp, (pixels,), seed)], axis=-1)]

    def enlarge(ab):
        return cuda.upsample(ab, (side, side))

    f4, one, few = "float32", partial(lab, pixels=1), pixels // 2
    yield Case("lab_to_rgb", "1 pixel: what a launch costs", f4, 24, one, cuda.lab_to_rgb)
    yield Case("crops_to_lab", size, "uint8", pixels * 7 + few, crops, cuda.crops_to_lab)
    yield Case("lab_to_rgb", size, f4, pixels * 24, lab, cuda.lab_to_rgb)
    yield Case("upsample", f"to {size}x2", f4, pixels * 8 + few, _colors(xp, *small), enlarge)


def _layer_cases(xp, shape, dtype, chosen=""):
    """What stands between the convolutions. chosen: how the names begin."""
    a, b, c = (0.01 * noise(xp, shape[3], seed=k) for k in range(3))
    ones = xp.ones(shape[3], np.float32)  # dy is overwritten again and again and must not fade
    rows = {  # pictures read and written, pictures given, call
        "bias_relu": (2, 1, lambda y: kernels.bias_relu(y, a, True)),
        "bias_relu_backward": (3, 2, lambda dy, y: kernels.bias_relu_backward(dy, y, True)),
        "batchnorm_statistics": (1, 1, kernels.batchnorm_statistics),
        "batchnorm_normalize": (2, 1, lambda x: kernels.batchnorm_normalize(x, a, b, c)),
        "batchnorm_sums": (2, 2, lambda dy, x: kernels.batchnorm_sums(dy, x, a)),
        "batchnorm_backward": (3, 2, lambda *t: kernels.batchnorm_backward(*t, a, ones, b, c)),
    }
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    for name, (passes, count, call) in rows.items():
        if name.startswith(chosen):
            arrays = _noises(xp, shape, dtype, count)
            yield Case(name, _name(shape), dtype, passes * nbytes, arrays, call)


def _gather_case(xp, shape, dtype, stride):
    """As many pictures as a convolution gathers at once."""
    n, h, w, c = shape
    e, taps = np.dtype(dtype).itemsize, Taps(-1, 1, 3, stride)
    out = (h // stride, w // stride)
    pictures = min(n, max(1, steps_cuda.WORK_BYTES // (out[0] * out[1] * 9 * c * e)))
    block = slice(0, pictures), slice(0, out[0]), slice(0, out[1])
    nbytes = e * c * pictures * (9 * out[0] * out[1] + h * w)
    shape = (pictures, h, w, c)
    arrays, size = _noises(xp, shape, dtype), f"{_name(shape)} /{stride}"

    def call(x):
        return gather(steps_cuda, x, taps, taps, block)

    return Case("gather", size, dtype, nbytes, arrays, call)


def _winograd_cases(xp, shape, m, dtype):
    n, h, w, c = shape
    points, count = (m + 2) ** 2, n * -(-h // m) * -(-w // m)
    nbytes = np.dtype(dtype).itemsize * (math.prod(shape) + points * count * c)
    pictures, bias = _noises(xp, shape, dtype), noise(xp, c)
    products = _noises(xp, (points, count, c), dtype)

    def given(seed):
        return *products(seed), xp.empty(shape, dtype)

    block, fill, transform = (
        tiles.whole(n, (h, w), m, 1),
        xp.zeros(c, np.float32),
        kernels.winograd_transform,
    )
    rows = {
        "transform (input)": (pictures, lambda x: transform(x, m, True, 1, 1, fill, block)),
        "transform (gradient)": (pictures, lambda x: transform(x, m, False, 1, 0, fill, block)),
        "output": (given, lambda p, y: kernels.winograd_output(p, m, y, 1, bias, True, block)),
    }
    for name, (arrays, call) in rows.items():
        size = f"{_name(shape)}, {m}x{m}"
        yield Case(f"winograd_{name}", size, dtype, nbytes, arrays, call)


def _optimizer_cases(xp, sizes):
    params = Network(WIDTHS[sizes.model]).pack()["params"]
    count, decayed = params.flat.size, params.decayed
    rates, share = xp.asarray(np.array([1e-4, 1], np.float32)), xp.full((), 0.001, np.float32)
    rest = {"rates": rates, "scale": xp.ones((), np.float32), "overflow": xp.zeros((), np.int32)}
    rest |= {"betas": (0.9, 0.99), "eps": 1e-8, "decay": 1e-6, "decayed": decayed}
    two, three = (_noises(xp, count, count=k) for k in (2, 3))

    def state(seed):
        p, g, m = three(seed)
        return p, g, m, xp.abs(m)

    rows = {  # numbers read and written, what is given, call
        "adam": (7, state, lambda *arrays: cuda.adam(*arrays, **rest)),
        "moving_average": (3, two, lambda mean, now: cuda.moving_average(mean, now, share)),
        "find_overflow": (1, _noises(xp, count), cuda.find_overflow),
    }
    for name, (passes, arrays, call) in rows.items():
        yield Case(name, f"{count:,} numbers", "float32", 4 * passes * count, arrays, call)


# Measuring ---------------------------------------------------------------------------------------


def measure_case(bench, case):
    """One row, as a dictionary."""
    sets = max(2, min(32, -(-bench.sizes.cache_bytes // case.bytes)))
    calls, launches, launched, held = [], [], [], []

    def around(name, launch, kernel, args):
        launched.append(kernel)
        launches.append(launch)
        held.append(args)  # the graph has only their addresses
        launch()

    for seed in range(sets):
        calls.append(partial(case.call, *case.arrays(seed)))
        with launches_seen(around):
            held.append(calls[-1]())
    times = -(-bench.sizes.calls // sets)
    ms, method = replayed(bench.timer, launches * times)
    whole_ms, host_ms = bench.timer.queued(lambda: [call() for call in calls])
    rate = case.bytes * sets * times / ms * 1e3
    return {
        **dict(zip(case._fields[:4], case, strict=False)),
        "us": 1e3 * ms / (sets * times),
        "gb_s": rate / 1e9,
        "share_of_copy": rate / bench.ceilings["copy"],
        "call_us": 1e3 * whole_ms / sets,
        "host_us": 1e3 * host_ms / sets,
        "method": method,
        **_resources(bench.xp, launched[-1]),
    }


def _resources(xp, kernel):
    """Registers a thread, bytes that spill to local memory, and the share of a multiprocessor's
    threads that fit; empty where the kernel does not tell."""
    if not hasattr(kernel, "num_regs"):
        return {}
    p, registers = xp.cuda.runtime.getDeviceProperties(0), kernel.num_regs
    most = p.get("maxThreadsPerMultiProcessor", 2048)
    warps = p.get("regsPerMultiprocessor", 65536) // (-(-registers * 32 // 256) * 256)
    room = p.get("sharedMemPerMultiprocessor", 2**16) // (kernel.shared_size_bytes + 1024)
    occupancy = min(warps // 8, most // 256, room) * 256 / most
    local = kernel.local_size_bytes
    return {"registers": registers, "spilled_bytes": local, "occupancy": occupancy}


def measure(bench):
    """The section "kernels": all rows, then what misses the target."""
    rows = bench.found["kernels"] = []
    for case in cases(bench.xp, bench.sizes):
        with bench.part(", ".join(case[:3])):
            rows.append(measure_case(bench, case))
        bench.free()
    table(
        f"Kernels (a copy moves {bench.ceilings['copy'] / 1e9:.0f} GB/s, read + write; "
        f"{', '.join(TARGETED)}: at least {TARGET:.0%} of it)",
        "kernel, size, dtype, us, gb_s, share_of_copy, call_us, host_us, registers, spilled_bytes, "
        "occupancy",
        rows,
    )
    for r in rows:
        if r["kernel"] in TARGETED and r["share_of_copy"] < TARGET:
            print("below the target: {kernel}, {size}, {dtype}: {share_of_copy:.1%}".format(**r))
    for method in {r["method"] for r in rows} - {"graph"}:
        print(f"timed without a graph: {method}")
