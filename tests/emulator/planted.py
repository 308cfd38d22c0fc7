"""Runs the kernels of planted.cu with a mistake, beside what they should give.

`python -m emulator.planted KERNEL BUG` prints "right" or "wrong"; or the emulator's error, and then
how the healthy kernel did.
"""

import sys
from pathlib import Path

import numpy as np

from . import standin
from .modules import EmulatorError

SOURCE = Path(__file__).with_name("planted.cu")
BLOCK_SIZE = 64


def module(cupy, **defines):
    options = [f"-I{SOURCE.parent}", "-std=c++17"]
    options += [f"-D{k}={v}" for k, v in {"BLOCK_SIZE": BLOCK_SIZE, **defines}.items()]
    code = f'#line 1 "{SOURCE}"\n{SOURCE.read_text()}'
    return cupy.RawModule(code=code, options=tuple(options))


def run(cupy, name, bug=0):
    """(what the kernel gave, what it should give), two lists of NumPy arrays."""
    rng = np.random.default_rng(1)
    kernel = module(cupy).get_function(name)
    blocks = 3
    # The last row of mirror's input ends within a block, at an odd place.
    n = blocks * BLOCK_SIZE - (5 if name == "mirror" else 0)
    x = rng.integers(-8, 9, n).astype(np.float32)  # sums are exact in any order
    given, y = cupy.asarray(x), cupy.empty(n, np.float32)
    if name == "mirror":
        kernel((blocks,), (BLOCK_SIZE,), (given, y, np.int64(n), np.int32(bug)))
        padded = np.append(x, np.zeros(5, np.float32)).reshape(blocks, BLOCK_SIZE)
        return [y.get()], [padded[:, ::-1].ravel()[:n]]
    if name == "total":
        sums, y = y, cupy.zeros(1, np.float32)
        kernel((blocks,), (BLOCK_SIZE,), (given, sums, y, np.int32(bug)))
        totals = x.reshape(blocks, BLOCK_SIZE).sum(1)
        return [sums.get(), y.get()], [totals.repeat(BLOCK_SIZE), totals.sum()[None]]
    kernel((blocks,), (BLOCK_SIZE,), (given, y, np.int32(bug)))
    if name == "exchange":
        return [y.get()], [x.reshape(-1, 2)[:, ::-1].ravel()]
    return [y.get()], [_meet(x)]


def _meet(x):
    """The warp operations of `meet`, on (warps, 32)."""
    v = x.reshape(-1, 32)
    pair = v.reshape(-1, 16, 2)[:, :, ::-1].reshape(v.shape)
    following = np.concatenate([v[:, 1:], v[:, -1:]], 1)
    halves = v.reshape(-1, 16)
    before = np.concatenate([halves[:, :1], halves[:, :-1]], 1).reshape(v.shape)
    big = (v > 0).sum(1, keepdims=True)
    return (pair + 10 * following + 100 * before + big + 0.5).astype(np.float32).ravel()


def right(cupy, name, bug=0):
    """True if the kernel gives what it should."""
    pairs = zip(*run(cupy, name, bug), strict=True)
    return all(np.array_equal(given, expected) for given, expected in pairs)


def line_of(text, kernel):
    """Line of planted.cu in which `text` stands for the first time in the kernel."""
    lines = SOURCE.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"{kernel}("))
    return next(n for n, line in enumerate(lines, 1) if n > start and text in line)


if __name__ == "__main__":
    cupy, name, bug = standin.install(), sys.argv[1], int(sys.argv[2])
    try:
        print("right" if right(cupy, name, bug) else "wrong")
    except EmulatorError as error:
        print(error)
        print("then", "right" if right(cupy, name) else "wrong")
