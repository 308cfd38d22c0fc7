"""Chapter 14: six kernels."""

from pathlib import Path

import numpy as np

from mini_colorize.bins import Q
from mini_colorize.optim import moving_average

from ..cuda import Empty
from ..kernels import KernelExercise

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ROOT / "course" / "tests" / "answers"
VALUES, ROWS = ("row", "channel"), ("row",)


def floats(seed, *shape):
    """Halves from -4 to 4: their sums are exact in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32) / 2


def lanes(x, width):
    """What each thread of a row has added up, (M, width), where thread t takes t, t + width, ..."""
    short = -x.shape[1] % width
    return np.pad(x, ((0, 0), (0, short))).reshape(len(x), -1, width).sum(axis=1)


BIAS_RELU = KernelExercise(
    "14_bias_relu.cu",
    "bias_relu",
    ANSWERS / "14_bias_relu.cu",
    lambda x, b: np.maximum(x + b, 0),
    {"y": VALUES},
    [{"x": floats(0, 64, 64), "b": floats(1, 64)}],
    lambda x, b: (x.size // 256, 256, (x, b, Empty(x.shape), x.shape[1])),
    once=("x",),
    per=("value", lambda x, b: x.size),
    mistakes={
        "y": [
            (
                "b is taken by the row, i / C; the channel of value i is i % C",
                lambda x, b: np.maximum(x + b[:, None], 0),
            ),
            ("the ReLU stands before the bias", lambda x, b: np.maximum(x, 0) + b),
            ("the ReLU is missing", lambda x, b: x + b),
            ("the bias is missing", lambda x, b: np.maximum(x, 0)),
        ]
    },
)


def _average(n, share):
    return {"average": floats(2, n), "now": floats(3, n), "share": np.array([share], np.float32)}


MOVING_AVERAGE = KernelExercise(
    "14_moving_average.cu",
    "moving_average",
    ROOT / "kernels" / "moving_average.cu",
    moving_average,
    {"average": ("number",)},
    [_average(1, 0.25), _average(1000, 0.125)],
    lambda average, now, share: (-(-now.size // 256), 256, (average, now, share, now.size)),
    once=("average", "now"),
    per=("number", lambda average, now, share: now.size),
    mistakes={
        "average": [
            ("it is left as it was", lambda average, now, share: average),
            (
                "share is the part of the new number, 1 - share that of the old",
                lambda average, now, share: now + share * (average - now),
            ),
            (
                "share is an array of one number: it is the address that was multiplied",
                lambda average, now, share: np.full_like(average, np.nan),
            ),
        ]
    },
)

ROW_SUMS = KernelExercise(
    "14_row_sums.cu",
    "row_sums",
    ANSWERS / "14_row_sums.cu",
    lambda x: x.sum(axis=1),
    {"sums": ROWS},
    [{"x": floats(4, 3, 20)}, {"x": floats(5, 21, 75)}],
    lambda x: (-(-len(x) // 8), 256, (x, Empty(x.shape[:1]), *x.shape)),
    once=("x",),
    per=("row", lambda x: len(x)),
    mistakes={
        "sums": [
            ("only the first 32 columns are added up", lambda x: x[:, :32].sum(axis=1)),
            (
                "the step of 16 lanes is missing: half of the lanes do not count",
                lambda x: lanes(x, 32)[:, :16].sum(axis=1),
            ),
            (
                "the step of 1 lane is missing: every second lane does not count",
                lambda x: lanes(x, 32)[:, ::2].sum(axis=1),
            ),
            ("only lane 0 counts: the lanes are not added up", lambda x: lanes(x, 32)[:, 0]),
        ]
    },
)

BLOCK_SUMS = KernelExercise(
    "14_block_sums.cu",
    "block_sums",
    ANSWERS / "14_block_sums.cu",
    lambda x: x.sum(axis=1),
    {"sums": ROWS},
    [{"x": floats(6, 1, 100)}, {"x": floats(7, 3, 1000)}],
    lambda x: (len(x), 128, (x, Empty(x.shape[:1]), x.shape[1])),
    once=("x",),
    per=("row", lambda x: len(x)),
    mistakes={
        "sums": [
            ("only the first 128 columns are added up", lambda x: x[:, :128].sum(axis=1)),
            (
                "a thread goes on by gridDim, the number of blocks; it is blockDim that belongs there",
                lambda x: sum(x[:, t :: len(x)].sum(axis=1) for t in range(128)),
            ),
            (
                "half of the threads do not count: the first step is 64",
                lambda x: lanes(x, 128)[:, :64].sum(axis=1),
            ),
            (
                "every second thread does not count: the last step is 1",
                lambda x: lanes(x, 128)[:, ::2].sum(axis=1),
            ),
        ]
    },
)


def _softmax(z, top=None):
    """With another `top` than the row's maximum, in float32 as the kernel does it."""
    e = np.exp(z - (z.max(axis=1, keepdims=True) if top is None else top))
    return e / e.sum(axis=1, keepdims=True)


def _of_lane(z, reduce, fill):
    """reduce() over the values of each lane of a warp, at each value: the shape of z."""
    padded = np.pad(z, ((0, 0), (0, -z.shape[1] % 32)), constant_values=fill)
    own = reduce(padded.reshape(len(z), -1, 32), axis=1)
    return np.tile(own, -(-z.shape[1] // 32))[:, : z.shape[1]]


def _after_shuffles_down(own, combine):
    """What __shfl_down_sync leaves in the lanes; own: (P, Q), as of _of_lane."""
    v = own[:, :32]
    for o in (16, 8, 4, 2, 1):
        v = combine(v, np.concatenate([v[:, o:], v[:, -o:]], axis=1))
    return np.tile(v, -(-own.shape[1] // 32))[:, : own.shape[1]]


def _sum_in_lane_0(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / _after_shuffles_down(_of_lane(e, np.sum, 0), np.add)


def _own_sums(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / _of_lane(e, np.sum, 0)


SOFTMAX = KernelExercise(
    "14_softmax.cu",
    "softmax",
    ANSWERS / "14_softmax.cu",
    _softmax,
    {"p": ("pixel", "color")},
    [{"z": floats(8, 1, Q)}, {"z": floats(9, 33, Q)}, {"z": floats(9, 33, Q) * 50}],
    lambda z: (-(-len(z) // 8), 256, (z, Empty(z.shape), len(z))),
    once=("z",),
    per=("pixel", lambda z: len(z)),
    last_only="with large logits only: is the row's maximum subtracted? exp(89) is too large a float",
    mistakes={
        "p": [
            (
                "each lane subtracts its own maximum, not the row's: the lanes do not fit together",
                lambda z: _softmax(z, _of_lane(z, np.max, -np.inf)),
            ),
            (
                "the maximum is in lane 0 only: __shfl_down_sync gives the others less",
                lambda z: _softmax(
                    z, _after_shuffles_down(_of_lane(z, np.max, -np.inf), np.maximum)
                ),
            ),
            (
                "the sum is in lane 0 only: __shfl_down_sync gives the others something else",
                _sum_in_lane_0,
            ),
            ("each lane divides by the sum of its own values, not the row's", _own_sums),
            (
                "the division by the sum is missing",
                lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
            ),
        ]
    },
)


def chan(x, merge, threads=8):
    """(mean, M2) of the columns of x: Welford down every eighth row, then merge() pair by pair.

    merge: (n_a, mean_a, M2_a, n_b, mean_b, M2_b) -> (mean, M2).
    """
    parts = [x[k::threads].astype(np.float64) for k in range(threads)]
    n = [len(part) for part in parts]
    m = [part.mean(axis=0) if len(part) else np.zeros(x.shape[1]) for part in parts]
    m2 = [((part - mean) ** 2).sum(axis=0) for part, mean in zip(parts, m, strict=True)]
    half = threads // 2
    while half:
        for a, b in zip(range(half), range(half, 2 * half), strict=True):
            m[a], m2[a] = merge(n[a], m[a], m2[a], n[b], m[b], m2[b])
            n[a] += n[b]
        half //= 2
    return m[0], m2[0]


def _without_between(na, ma, m2a, nb, mb, m2b):
    return ma + (mb - ma) * nb / max(na + nb, 1), m2a + m2b


def _mean_of_means(na, ma, m2a, nb, mb, m2b):
    return (ma + mb) / 2, m2a + m2b + (mb - ma) ** 2 * na * nb / max(na + nb, 1)


def _mean_of_those_with_rows(na, ma, m2a, nb, mb, m2b):
    return _mean_of_means(na, ma, m2a, nb, mb if nb else ma, m2b)


def _moved_too_early(na, ma, m2a, nb, mb, m2b):
    n = max(na + nb, 1)
    mean = ma + (mb - ma) * nb / n
    return mean, m2a + m2b + (mb - mean) ** 2 * na * nb / n


def _no_rows(x):
    """0/0 where two threads without a row are merged."""
    if len(x) >= 4:
        raise ValueError
    return np.full(x.shape[1], np.nan)


EMPTY = "a thread without a row has n = 0; merge two of them and d n_b / n is 0/0"
AVERAGED = "the two means are averaged; they weigh n_a / n and n_b / n"
STATISTICS = KernelExercise(
    "14_statistics.cu",
    "statistics",
    ANSWERS / "14_statistics.cu",
    lambda x: (x.mean(axis=0, dtype=np.float64), x.astype(np.float64).var(axis=0)),
    {"mean": ("channel",), "var": ("channel",)},
    [{"x": floats(10, 3, 32)}, {"x": floats(11, 100, 64)}, {"x": floats(11, 100, 64) + 3000}],
    lambda x: (
        x.shape[1] // 32,
        (32, 8),
        (x, Empty(x.shape[1:]), Empty(x.shape[1:]), *x.shape),
    ),
    once=("x",),
    per=("value", lambda x: x.size),
    tolerance=1e-4,
    last_only="where the mean is large only: a sum of x^2 minus M mean^2 is a small difference of "
    "large numbers, and a float has 7 digits; add up (x - mean)^2",
    mistakes={
        "mean": [
            (EMPTY, _no_rows),
            (AVERAGED, lambda x: chan(x, _mean_of_means)[0]),
            (AVERAGED, lambda x: chan(x, _mean_of_those_with_rows)[0]),
        ],
        "var": [
            (EMPTY, _no_rows),
            (
                "the term d^2 n_a n_b / n is missing: what lies between the two means",
                lambda x: chan(x, _without_between)[1] / len(x),
            ),
            (
                "d is taken after the mean has moved: keep it first",
                lambda x: chan(x, _moved_too_early)[1] / len(x),
            ),
            (
                "divided by M - 1: the biased variance is wanted, as in training",
                lambda x: x.astype(np.float64).var(axis=0, ddof=1),
            ),
            (
                "M2 is given, the sum of the squares: divide by M",
                lambda x: x.astype(np.float64).var(axis=0) * len(x),
            ),
        ],
    },
)

EXERCISES = [BIAS_RELU, MOVING_AVERAGE, ROW_SUMS, BLOCK_SUMS, SOFTMAX, STATISTICS]
