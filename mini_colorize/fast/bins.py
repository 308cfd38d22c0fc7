"""Soft-encoding and the annealed mean on the CPU: chapter 2 by all threads, near bins only."""

from functools import cache

import numpy as np

from ..bins import BINS, SIGMA, TEMPERATURE, K, Q, check_temperature
from .threads import parallel_for, split

CHUNK = 2048  # pixels a thread treats at a time: the work stays in its cache

_A, _B = np.vstack([BINS, [[np.inf, np.inf]]]).astype(np.float64).T.copy()  # bin Q: never near

# The lookup of soft_encode: square cells over all ab that an 8-bit sRGB colour can have.
CELL, REACH = 5, 130


@cache
def candidates(k):
    """For each lookup cell, every bin that can be among the k nearest of any point in the cell.

    A bin is left out only if k others are nearer to the whole cell: its smallest distance to the
    cell exceeds the k-th smallest of all bins' largest distances. So the search stays exact.
    Returns (cells, cells, M) int32, each row ascending, padded with Q (a bin at infinity).
    """
    low = np.arange(-REACH, REACH, CELL, dtype=np.float64)
    corner = np.stack(np.meshgrid(low, low, indexing="ij"), axis=-1)[:, :, None, :]
    below, above = corner - BINS, BINS - (corner + CELL)
    nearest = (np.maximum(np.maximum(below, above), 0) ** 2).sum(-1)
    farthest = (np.maximum(-below, -above) ** 2).sum(-1)
    can = nearest <= np.sort(farthest, axis=-1)[..., k - 1 : k]
    table = np.full(can.shape[:2] + (can.sum(-1).max(),), Q, dtype=np.int32)
    i, j, q = np.nonzero(can)
    table[i, j, (can.cumsum(-1) - 1)[i, j, q]] = q
    return table


def soft_encode(ab, k=K, sigma=SIGMA):
    """The same as in chapter 2."""
    points = ab.reshape(-1, 2)
    index = np.empty((len(points), k), dtype=np.int32)
    weight = np.empty((len(points), k), dtype=np.float32)
    candidates(k)  # made once, before threads ask for it

    def one(part):
        index[part], d2 = _nearest(points[part].astype(np.float64), k)
        z = np.exp((d2[:, :1] - d2) / (2 * sigma**2))  # against the nearest: cannot vanish
        weight[part] = z / z.sum(-1, keepdims=True)

    parallel_for(one, split(len(points), CHUNK))
    return index.reshape(ab.shape[:-1] + (k,)), weight.reshape(ab.shape[:-1] + (k,))


def _nearest(points, k):
    """Indices and squared distances of the k nearest bins. points: (P, 2) float64."""
    if (abs(points) < REACH).all():
        cell = ((points + REACH) // CELL).astype(np.int64)
        near = candidates(k)[cell[:, 0], cell[:, 1]]
    else:  # no sRGB colour comes here
        near = np.broadcast_to(np.arange(Q, dtype=np.int32), (len(points), Q))
    d2 = np.square(points[:, :1] - _A[near])
    d2 += np.square(points[:, 1:] - _B[near])
    order = np.argsort(d2, axis=-1, kind="stable")[:, :k]  # stable: ties to the lower bin
    return np.take_along_axis(near, order, -1), np.take_along_axis(d2, order, -1)


def annealed_mean(logits, temperature=TEMPERATURE):
    """The same as in chapter 2."""
    check_temperature(temperature)
    bins = BINS.astype(logits.dtype)
    rows = logits.reshape(-1, logits.shape[-1])
    ab = np.empty((len(rows), 2), dtype=logits.dtype)

    def one(part):
        if logits.dtype.type(temperature) == 0:  # or too small for the dtype to tell from 0
            ab[part] = bins[rows[part].argmax(-1)]
            return
        z = rows[part] - rows[part].max(-1, keepdims=True)  # 0 at most: exp cannot overflow
        with np.errstate(over="ignore"):  # -inf is the right answer for a tiny temperature
            z /= temperature
        np.exp(z, out=z)
        ab[part] = (z @ bins) / z.sum(-1, keepdims=True)

    parallel_for(one, split(len(rows), CHUNK))
    return ab.reshape(logits.shape[:-1] + (2,))
