"""One convolution on a CPU, faster rung by rung: what chapter 13 of the course shows.

    python -m benchmarks.ladder                           128 to 128 channels at 64 x 64
    python -m benchmarks.ladder --size 128 --channels 64  another layer

3x3, stride 1, padding 1, one picture, with bias and ReLU, float32. Every rung must give the same
before it is timed; the rungs take turns, but for the loops and for BLAS's threads. The loops over
numbers compute a part of the outputs, and their time is multiplied up. Winograd's filters are
transformed beforehand, as they are for a network that only colours.

Shown are the median and the shortest of all rounds: where others use the machine they differ, and
the shortest knows the least of the others. GFLOP/s come from the shortest, and are those of a
direct convolution, whatever a rung really computes; the last column is their share of what one core
reaches here in a matrix product of 2048 x 2048.
"""

import argparse
import statistics
from contextlib import contextmanager

import numpy as np

from mini_colorize.fast import gather, steps_cpu, threads, winograd, winograd_cpu
from mini_colorize.layers.conv import conv2d

from .common import agree, in_turn, machine

PART = 8  # outputs that the loops over numbers compute


@contextmanager
def one_thread():
    """Within it, our threads and BLAS's are one each."""
    modules = threads, steps_cpu, winograd_cpu
    with threads.one_blas_thread():
        for module in modules:
            module.THREADS = 1
        try:
            yield
        finally:
            for module in modules:
                module.THREADS = COUNT


COUNT = threads.THREADS


def alone(function):
    """The function, in one thread."""

    def run():
        with one_thread():
            return function()

    return run


def by_numbers(pixels, weight, part=PART):
    """The first channels of the pixel in the middle, by loops over single numbers; no bias.

    pixels (H, W, C_in), weight (3, 3, C_in, C_out): lists.
    """
    row, column = len(pixels) // 2, len(pixels[0]) // 2
    out = []
    for channel in range(part):
        total = 0.0
        for i in range(3):
            for j in range(3):
                for q in range(len(pixels[0][0])):
                    total += pixels[row + i - 1][column + j - 1][q] * weight[i][j][q][channel]
        out.append(max(total, 0))
    return np.array(out)


def by_taps(x, weight, bias):
    """A product of a vector and a matrix for each output pixel and tap."""
    padded = np.pad(x[0], ((1, 1), (1, 1), (0, 0)))
    y = np.empty((*x.shape[:3], weight.shape[3]), x.dtype)
    for row in range(x.shape[1]):
        for column in range(x.shape[2]):
            total = bias
            for i in range(3):
                for j in range(3):
                    total = total + padded[row + i, column + j] @ weight[i, j]
            y[0, row, column] = np.maximum(total, 0)
    return y


def rungs(x, weight, bias):
    """Name -> a function that gives y, or what `by_numbers` gives of it. bias: 0."""
    filters = {m: winograd.filter_transform(steps_cpu, weight, m) for m in (2, 4)}
    options = {"padding": 1, "relu": True}
    lists = x[0].tolist(), weight.tolist()

    def tiles(m):
        return winograd.correlate(steps_cpu, x, weight, bias, m=m, filters=filters[m], **options)

    return {
        "loops over numbers": alone(lambda: by_numbers(*lists)),
        "loops over pixels and taps": alone(lambda: by_taps(x, weight, bias)),
        "windows, one product": alone(lambda: conv2d(x, weight, bias, **options)),
        "gather in blocks": alone(lambda: gather.correlate(steps_cpu, x, weight, bias, **options)),
        "Winograd, 2 x 2": alone(lambda: tiles(2)),
        "Winograd, 4 x 4": alone(lambda: tiles(4)),
        "gather in blocks, our threads": lambda: gather.correlate(
            steps_cpu, x, weight, bias, **options
        ),
        "Winograd, 4 x 4, our threads": lambda: tiles(4),
        "windows, BLAS's threads": lambda: conv2d(x, weight, bias, **options),
    }


def layer(size, channels):
    """x, weight and bias, with numbers such as a network has."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((1, size, size, channels), np.float32), 0)
    weight = rng.standard_normal((3, 3, channels, channels), np.float32)
    return x, weight * np.float32((2 / (9 * channels)) ** 0.5), np.zeros(channels, np.float32)


def check(functions, x, weight, bias):
    """All rungs against the chapter's function in float64."""
    right = conv2d(*(v.astype(np.float64) for v in (x, weight, bias)), padding=1, relu=True)
    middle = right[0, right.shape[1] // 2, right.shape[2] // 2, :PART]
    for name, function in functions.items():
        y = function()
        agree(name, y, right if y.ndim == 4 else middle, 1e-5)


def ladder(size, channels, rounds):
    """Prints the table."""
    x, weight, bias = layer(size, channels)
    functions = rungs(x, weight, bias)
    check(functions, x, weight, bias)
    a = np.ones((2048, 2048), np.float32)
    flops = 2 * 9 * channels**2 * size**2
    names = list(functions)
    slow, ours, blas = names[:2], names[2:-1], names[-1:]
    # BLAS's threads watch for more work so long that they would take a core from the next rung.
    times = {}
    for group, count in ((slow, 5), (ours, rounds), (blas, rounds)):
        times |= in_turn({name: functions[name] for name in group}, count)
    peak = 2 * 2048**3 / min(in_turn({"": alone(lambda: a @ a)}, max(5, rounds // 4))[""])
    print(f"{'':<30} {'median, ms':>10} {'best, ms':>10} {'GFLOP/s':>8} {'of a core':>9}")
    for name, taken in times.items():
        scale = size * size * channels / PART if name == "loops over numbers" else 1
        median, best = scale * statistics.median(taken), scale * min(taken)
        rate = flops / best
        shown = f"{median * 1e3:>10.1f} {best * 1e3:>10.1f} {rate / 1e9:>8.2f} {rate / peak:>9.3f}"
        print(f"{name:<30} {shown}")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--size", type=int, default=64, help="side of the picture (64)")
    p.add_argument("--channels", type=int, default=128, help="in and out (128)")
    p.add_argument("--rounds", type=int, default=50)
    args = p.parse_args()
    print(f"{machine()}, {COUNT} threads, {args.rounds} rounds")
    print(f"{args.channels} to {args.channels} channels, {args.size} x {args.size}")
    ladder(args.size, args.channels, args.rounds)


if __name__ == "__main__":
    main()
