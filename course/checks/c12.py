"""Chapter 12: areas under curves, raw and balanced; intervals over photos."""

from fractions import Fraction

import numpy as np

from mini_colorize import measures
from mini_colorize.evaluation import tally

from ..check import Exercise

FILE = "12_how_good.py"
LAST = measures.LAST


# The area under the curve ------------------------------------------------------------------------


def _auc_cases():
    """Multiples of 1/2, so that distances such as 3-4-5 are exact."""
    zero = np.array([60.0, 10, 20])
    yield {"lab": zero.reshape(1, 1, 3) + [0, 3, 4], "truth": zero.reshape(1, 1, 3)}
    off = np.array([[[0.0, 0, 0], [1, 0.5, 0]], [[0, 90, 120], [-2, 150, 100]]])  # d = 150, 180
    yield {"lab": zero + off, "truth": np.broadcast_to(zero, (2, 2, 3)).copy()}
    rng = np.random.default_rng(0)
    truth = (rng.uniform(-80, 80, (5, 3, 3)) * 2).round() / 2
    off = (rng.normal(0, 20, (5, 3, 3)) * 2).round() / 2
    yield {"lab": truth + off, "truth": truth}
    yield {"lab": truth + [1, 0, 0], "truth": truth}  # another L only: 100


def _auc_by_loops(lab, truth):
    d2 = [sum(Fraction(float(v)) ** 2 for v in row) for row in (lab - truth).reshape(-1, 3)[:, 1:]]
    shares = [Fraction(sum(v <= t * t for v in d2), len(d2)) for t in range(LAST + 1)]
    area = sum((a + b) / 2 for a, b in zip(shares, shares[1:], strict=False))
    return float(100 * area / LAST)


def _auc_package(lab, truth):
    label = measures.classes(truth[..., 1:])
    counts = measures.histogram(lab[..., 1:], truth[..., 1:], label)
    return 50 / LAST * (counts.sum(axis=0) @ measures.HALVES) / counts.sum()


def _distance(lab, truth):
    return np.sqrt(np.square(lab - truth)[..., 1:].sum(-1))


def _curve(d, last=LAST, first=0, less=np.less_equal):
    return np.array([less(d, t).mean() for t in range(first, last + 1)])


def _trapezoid(curve):
    return curve.sum() - (curve[0] + curve[-1]) / 2


def _auc(distance=_distance, area=_trapezoid, over=LAST, percent=100, **options):
    """The AuC with one thing changed."""

    def wrong(lab, truth):
        return percent * area(_curve(distance(lab, truth), **options)) / over

    return wrong


def _pixels(area):
    """From each pixel's own area."""
    return lambda lab, truth: 100 / LAST * area(_distance(lab, truth)).mean()


_ALL = "150 steps lie between 151 thresholds: the area is divided by 150"
_RECTANGLES = "rectangles where trapezoids belong: the first and the last share count half"
_DISTANCE = "the distance is the root of da^2 + db^2"

AUC = Exercise(
    FILE,
    "auc",
    _auc_package,
    _auc_by_loops,
    {"AuC": ()},
    list(_auc_cases()),
    tolerance=1e-5,  # room for float32
    mistakes={
        "AuC": [
            ("d < t where d <= t belongs", _auc(less=np.less)),
            (
                "pixels are counted: the curve is their share, so divide by their number",
                lambda lab, truth: _auc_by_loops(lab, truth) * lab[..., 0].size,
            ),
            (
                "a pixel with d = 0 has the whole area, 150; it is no step later",
                _pixels(lambda d: np.where(d <= LAST, LAST + 0.5 - np.ceil(d), 0)),
            ),
            (
                "150 - d is no pixel's area: its share jumps to 1 at the first whole t >= d",
                _pixels(lambda d: np.maximum(LAST - d, 0)),
            ),
            (
                "0 ... 150 in steps of 1 are 151 thresholds",
                lambda lab, truth: (
                    100
                    / (LAST - 1)
                    * _trapezoid(
                        np.array(
                            [
                                (_distance(lab, truth) <= t).mean()
                                for t in np.linspace(0, LAST, LAST)
                            ]
                        )
                    )
                ),
            ),
            (
                "L is in the distance: it is the photo's own, and only a and b are judged",
                _auc(lambda lab, truth: np.sqrt(np.square(lab - truth).sum(-1))),
            ),
            (
                "L and a are compared: a and b are the last two",
                _auc(lambda lab, truth: np.sqrt(np.square(lab - truth)[..., :2].sum(-1))),
            ),
            (_ALL, _auc(over=LAST + 1)),
            (
                f"the mean of the 151 shares is not the area: {_RECTANGLES}",
                _auc(area=np.mean, over=1),
            ),
            (_RECTANGLES, _auc(area=np.sum)),
            (_RECTANGLES, _auc(area=lambda c: c[1:].sum())),
            (_RECTANGLES, _auc(area=lambda c: c[:-1].sum())),
            (
                "the mean of the 150 shares is not the area: " + _RECTANGLES,
                _auc(first=1, over=LAST, area=np.sum),
            ),
            ("the thresholds begin at 0, not at 1", _auc(first=1)),
            ("the thresholds begin at 0, not at 1", _auc(first=1, over=LAST - 1)),
            (
                "the thresholds end at 150, not at 149 (range leaves out its end)",
                _auc(last=LAST - 1),
            ),
            (
                "the thresholds end at 150, not at 149 (range leaves out its end)",
                _auc(last=LAST - 1, over=LAST - 1),
            ),
            ("it is a share: percent are 100 times as many", _auc(percent=1)),
            ("it is not divided by 150, the largest area", _auc(percent=1, over=1)),
            ("it is not divided by 150, the largest area", _auc(over=1)),
            (
                f"|da| + |db| where a distance belongs: {_DISTANCE}",
                _auc(lambda lab, truth: abs(lab - truth)[..., 1:].sum(-1)),
            ),
            (
                f"the larger of |da| and |db| where a distance belongs: {_DISTANCE}",
                _auc(lambda lab, truth: abs(lab - truth)[..., 1:].max(-1)),
            ),
            (
                f"the root is missing: {_DISTANCE}",
                _auc(lambda lab, truth: np.square(lab - truth)[..., 1:].sum(-1)),
            ),
            (
                f"a mean of da^2 and db^2 where their sum belongs: {_DISTANCE}",
                _auc(lambda lab, truth: np.sqrt(np.square(lab - truth)[..., 1:].mean(-1))),
            ),
            (
                f"a and b are judged as pixels of their own: {_DISTANCE}",
                _auc(lambda lab, truth: abs(lab - truth)[..., 1:]),
            ),
            (
                "distances are cut to whole numbers, so that 0.5 counts as 0",
                _auc(lambda lab, truth: np.floor(_distance(lab, truth))),
            ),
            (
                "distances are rounded, so that some count too early",
                _auc(lambda lab, truth: np.rint(_distance(lab, truth))),
            ),
            (
                "d > t: this is the share of the pixels that are wrong",
                _auc(less=np.greater),
            ),
            (
                "the mean distance is no area: pixels further off than 150 all count 0, and those "
                "between two thresholds count from the upper one on",
                lambda lab, truth: 100 * (1 - _distance(lab, truth).mean() / LAST),
            ),
        ]
    },
)


# The balanced one --------------------------------------------------------------------------------


def _balanced_cases():
    area = np.array([150.0, 120, 90, 30])
    yield {"area": area, "label": np.array([0, 0, 0, 2]), "min_count": 1}
    rng = np.random.default_rng(1)
    label = np.repeat([3, 7, 8, 100, 312], [9, 4, 1, 2, 3])
    area = rng.integers(0, 301, len(label)) / 2
    order = rng.permutation(len(label))
    for min_count in (2, 3, 4, 0):
        yield {"area": area[order], "label": label[order], "min_count": min_count}
    yield {"area": area[order], "label": label[order], "min_count": 100}


def _balanced_by_loops(area, label, min_count):
    classes = {}
    for a, q in zip(area.tolist(), label.tolist(), strict=True):
        classes.setdefault(q, []).append(a)
    means = [sum(c) / len(c) for c in classes.values() if len(c) >= min_count]
    return 100 / LAST * sum(means) / len(means) if means else float("nan")


def _balanced_package(area, label, min_count):
    sums, pixels = np.zeros((2, measures.Q))
    np.add.at(sums, label, area)
    np.add.at(pixels, label, 1)
    one = tally.Tally()
    one.sums[:, : measures.Q], one.sums[:, measures.Q : 2 * measures.Q] = pixels, 2 * sums
    return one.scores(min_count)["auc_balanced"][0]


def _classes(area, label):
    """Areas of each class 0 ... the largest, some empty."""
    return [area[label == q] for q in range(label.max() + 1)]


def _per_class(value):
    return lambda area, label, min_count: value(_classes(area, label), min_count)


def _mean_of(classes):
    return 100 / LAST * np.mean([c.mean() for c in classes]) if classes else np.nan


def _over_all(number):
    """Classes that do not count count as 0."""

    def wrong(area, label, min_count):
        used = [c.mean() for c in _classes(area, label) if len(c) >= max(1, min_count)]
        return 100 / LAST * sum(used) / number(label)

    return wrong


def _by_pixels(area, label, min_count):
    used = [c for c in _classes(area, label) if len(c) >= max(1, min_count)]
    return 100 / LAST * np.concatenate(used).mean() if used else np.nan


_PIXELS = "the mean runs over pixels, so large classes weigh more: each class weighs the same"
_EMPTY = "classes that are left out count as 0: divide by the number of those that count"

BALANCED = Exercise(
    FILE,
    "balanced_auc",
    _balanced_package,
    _balanced_by_loops,
    {"AuC": ()},
    list(_balanced_cases()),
    tolerance=1e-5,
    mistakes={
        "AuC": [
            (_PIXELS, lambda area, label, min_count: 100 / LAST * area.mean()),
            (_PIXELS, _by_pixels),
            (
                "without any class there is no mean: nan",
                lambda area, label, min_count: 0.0 if min_count > 9 else np.inf,
            ),
            (_EMPTY, _over_all(lambda label: label.max() + 1)),
            (_EMPTY, _over_all(lambda label: measures.Q)),
            (_EMPTY, _over_all(lambda label: len(np.unique(label)))),
            (
                "min_count is not used: a class of one pixel weighs as much as any",
                _per_class(lambda classes, n: _mean_of([c for c in classes if len(c)])),
            ),
            (
                "a class of exactly min_count pixels counts: fewer are too few",
                _per_class(lambda classes, n: _mean_of([c for c in classes if len(c) > n])),
            ),
            (
                "a class without pixels is no class: 0 / 0 (when min_count is 0)",
                _per_class(
                    lambda classes, n: (
                        np.nan if n == 0 else _mean_of([c for c in classes if len(c) >= n])
                    )
                ),
            ),
            (
                "it is a mean area: percent of 150 are wanted",
                _per_class(
                    lambda classes, n: (
                        LAST / 100 * _mean_of([c for c in classes if len(c) >= max(1, n)])
                    )
                ),
            ),
            (
                "it is a share: percent are 100 times as many",
                _per_class(
                    lambda classes, n: _mean_of([c for c in classes if len(c) >= max(1, n)]) / 100
                ),
            ),
            (
                "the classes' areas are added up: their mean is wanted",
                _per_class(
                    lambda classes, n: (
                        100 / LAST * sum(c.mean() for c in classes if len(c) >= max(1, n))
                    )
                ),
            ),
            (
                "a class's sum where its mean belongs",
                _per_class(
                    lambda classes, n: (
                        100
                        / LAST
                        * np.mean([c.sum() for c in classes if len(c) >= max(1, n)] or [np.nan])
                    )
                ),
            ),
        ]
    },
)


# The interval ------------------------------------------------------------------------------------


def _interval_cases():
    for seed, (n, B) in enumerate([(2, 4), (5, 30), (8, 41)]):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(2, 20, n) * 10
        theirs = (pixels * rng.uniform(60, 140, n)).round()
        ours = (theirs + pixels * rng.normal(3, 4, n)).round()
        drawn = rng.multinomial(n, np.full(n, 1 / n), B)
        yield {"ours": ours, "theirs": theirs, "pixels": pixels, "drawn": drawn}


def _interval_by_loops(ours, theirs, pixels, drawn):
    values = []
    for times in drawn.tolist():
        photos = [i for i, k in enumerate(times) for _ in range(k)]
        area = sum(ours[i] for i in photos) - sum(theirs[i] for i in photos)
        values.append(100 / LAST * area / sum(int(pixels[i]) for i in photos))
    values.sort()
    ends = []
    for share in (0.025, 0.975):
        at = share * (len(values) - 1)
        k = min(int(at), len(values) - 2)
        ends.append(values[k] + (at - k) * (values[k + 1] - values[k]))
    return np.array(ends)


def _resampled(areas, pixels, drawn):
    return 100 / LAST * (drawn @ areas) / (drawn @ pixels)


def _interval_package(ours, theirs, pixels, drawn):
    difference = _resampled(ours, pixels, drawn) - _resampled(theirs, pixels, drawn)
    return tally.interval(np.concatenate([[0], difference]))


ENDS = (2.5, 97.5)


def _of(value):
    """Percentiles of value(ours, theirs, pixels, drawn)."""
    return lambda **case: np.percentile(value(**case), ENDS)


def _from(ends):
    """ends(differences), of the right differences."""

    def wrong(ours, theirs, pixels, drawn):
        return ends(_resampled(ours - theirs, pixels, drawn))

    return wrong


def _normal(values, scale=1.0):
    return np.mean(values) + np.array([-1.96, 1.96]) * np.std(values) * scale


def _apart(crossed):
    def wrong(ours, theirs, pixels, drawn):
        a, b = (np.percentile(_resampled(v, pixels, drawn), ENDS) for v in (ours, theirs))
        return a - (b[::-1] if crossed else b)

    return wrong


def _picked(values):
    values = np.sort(values)
    return np.array([values[int(share * len(values))] for share in (0.025, 0.975)])


def _photos_alike(ours, theirs, pixels, drawn):
    return 100 / LAST * (drawn @ ((ours - theirs) / pixels)) / drawn.sum(axis=1)


def _around_point(ends):
    """ends(difference of all photos, resampled differences)."""

    def wrong(ours, theirs, pixels, drawn):
        point = 100 / LAST * (ours - theirs).sum() / pixels.sum()
        return ends(point, _resampled(ours - theirs, pixels, drawn))

    return wrong


_NORMAL = "mean and deviation stand for a bell-shaped curve: percentiles ask for none"
_APART = "each system's interval by itself: form the difference in every resample, then percentiles"

INTERVAL = Exercise(
    FILE,
    "paired_interval",
    _interval_package,
    _interval_by_loops,
    {"interval": ("end",)},
    list(_interval_cases()),
    tolerance=1e-4,
    mistakes={
        "interval": [
            (_APART, _apart(True)),
            (_APART, _apart(False)),
            (
                "a mean of the photos' AuC: here large photos weigh more, as their pixels do",
                _of(_photos_alike),
            ),
            (
                "the number of pixels is resampled as well: drawn counts below the line, too",
                _of(
                    lambda ours, theirs, pixels, drawn: (
                        100 / LAST * (drawn @ (ours - theirs)) / pixels.sum()
                    )
                ),
            ),
            (
                "theirs minus ours; wanted is ours minus theirs",
                _from(lambda v: np.percentile(-v, ENDS)),
            ),
            (
                "this is the AuC of ours, and no difference",
                _of(lambda ours, theirs, pixels, drawn: _resampled(ours, pixels, drawn)),
            ),
            (
                "the 5th and 95th percentile hold 90 %: cut 2.5 % off at each end",
                _from(lambda v: np.percentile(v, (5, 95))),
            ),
            (
                "np.percentile counts to 100: 2.5, not 0.025",
                _from(lambda v: np.percentile(v, (0.025, 0.975))),
            ),
            ("an end is picked, where np.percentile goes between two numbers", _from(_picked)),
            (
                "least and largest hold all resamples, not 95 %",
                _from(lambda v: np.array([v.min(), v.max()])),
            ),
            (_NORMAL, _from(_normal)),
            (_NORMAL, _from(lambda v: _normal(v, np.sqrt(len(v) / (len(v) - 1))))),
            (
                _NORMAL,
                _around_point(lambda point, v: point + np.array([-1.96, 1.96]) * v.std()),
            ),
            (
                "the percentiles are reflected at the difference of all photos: take them as they are",
                _around_point(lambda point, v: 2 * point - np.percentile(v, ENDS)[::-1]),
            ),
            (
                "a photo that is drawn twice counts twice: drawn is a number, not yes or no",
                _of(
                    lambda ours, theirs, pixels, drawn: _resampled(
                        ours - theirs, pixels, (drawn > 0).astype(int)
                    )
                ),
            ),
            (
                "the photos' AuC are added up: sum areas and pixels first, then divide",
                _of(
                    lambda ours, theirs, pixels, drawn: (
                        100 / LAST * (drawn @ ((ours - theirs) / pixels))
                    )
                ),
            ),
            (
                "the deviation of resamples is the error already: no root of B",
                _from(lambda v: _normal(v, len(v) ** -0.5)),
            ),
            (
                "it is a share: percent are 100 times as many",
                _from(lambda v: np.percentile(v / 100, ENDS)),
            ),
            (
                "it is a mean area: percent of 150 are wanted",
                _from(lambda v: np.percentile(v * LAST / 100, ENDS)),
            ),
        ]
    },
)

EXERCISES = [AUC, BALANCED, INTERVAL]
