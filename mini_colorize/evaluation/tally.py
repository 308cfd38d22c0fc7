"""Sums over photos, from which the scores and their intervals come.

A bootstrap asks how much the scores would move with other photos of the same kind: draw as many
photos as there are, some twice, some never, and compute the scores again, 1000 times. How often a
photo is drawn is nearly a Poisson number of mean 1, and nearly independent of the other photos. So
each photo draws its own 1000 Poisson numbers (the Poisson bootstrap; Hanley and MacGibbon, 2006),
is added to 1000 running sums that many times, and can be forgotten. Memory is 1001 rows of
2 Q + 7 sums a system, 5 MB, for ten photos or ten million.

A photo's numbers come from its name and the seed: not from its place in the order, and the same
for all systems, so that differences between systems can be resampled as well.

Notation
    B   resamples, 1000      row 0 of the sums counts every photo once, rows 1 ... B resample
"""

import hashlib

import numpy as np

from ..bins import Q
from ..measures import HALVES, LAST, STEPS

B = 1000
INTERVAL = (2.5, 97.5)  # percentiles: 95 %

# Columns of the sums after the pixels (Q) and the areas (Q) of the classes.
_ERROR, _VALUES, _COLOR, _PHOTOS, _NATS, _TOLD, _SECONDS = range(2 * Q, 2 * Q + 7)


def times_drawn(name, seed):
    """How often each resample has this photo. name: str. Returns (1 + B,) float64, the first 1."""
    digest = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    return np.concatenate([[1], rng.poisson(1, B)]).astype(np.float64)


class Tally:
    """The running sums of one system."""

    def __init__(self):
        self.histogram = np.zeros((Q, STEPS), np.int64)
        self.sums = np.zeros((1 + B, 2 * Q + 7))

    def add(self, drawn, histogram, error, color, nats=None, seconds=0.0):
        """Take in one photo.

        drawn: (1 + B,), see times_drawn. histogram: (Q, STEPS) int, see measures. error: sum of
        squared differences of the P x 3 values of sRGB. color: its colourfulness. nats: the
        network's loss on it, None where there is none. seconds: what it took.
        """
        self.histogram += histogram
        row = np.empty(self.sums.shape[1])
        row[:Q], row[Q : 2 * Q] = histogram.sum(axis=1), histogram @ HALVES
        row[_ERROR], row[_VALUES] = error, 3 * histogram.sum()
        row[_COLOR], row[_PHOTOS] = color, 1
        row[_NATS], row[_TOLD] = (0, 0) if nats is None else (nats, 1)
        row[_SECONDS] = seconds
        self.sums += drawn[:, None] * row

    def merge(self, team):
        """Take in what the others of a team have tallied."""
        team.sum(self.histogram)
        team.sum(self.sums)

    def scores(self, min_count):
        """Every measure in every resample: name -> (1 + B,) float64, the first the real one.

        min_count: pixels that a class must have to count in the balanced AuC. Which classes do is
        settled by the real photos, and a class that a resample lacks keeps its real value there:
        rare classes that come and go would shift the mean. So for a class that only one photo
        has, the interval knows no doubt.
        Not a number where a resample is empty or a measure does not apply; the PSNR of the truth
        itself is infinite.
        """
        sums, pixels = self.sums, self.sums[:, :Q]
        areas = sums[:, Q : 2 * Q]
        used = pixels[0] >= max(1, min_count)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = areas / pixels
            each = np.where(pixels > 0, each, each[0])[:, used]
            return {
                "auc_raw": 50 / LAST * areas.sum(axis=1) / pixels.sum(axis=1),
                "auc_balanced": 50 / LAST * each.sum(axis=1) / used.sum(),
                "psnr_db": 10 * np.log10(255**2 * sums[:, _VALUES] / sums[:, _ERROR]),
                "colorfulness": sums[:, _COLOR] / sums[:, _PHOTOS],
                "loss_nats": sums[:, _NATS] / sums[:, _TOLD],
                "seconds": sums[:, _SECONDS] / sums[:, _PHOTOS],
            }


def interval(values):
    """The 95 % of the resamples in the middle. values: (1 + B,), as of Tally.scores.

    Returns (low, high), or None where the measure is not a finite number.
    """
    resampled = values[1:][np.isfinite(values[1:])]
    if not (np.isfinite(values[0]) and len(resampled)):
        return None
    low, high = np.percentile(resampled, INTERVAL)
    return float(low), float(high)
