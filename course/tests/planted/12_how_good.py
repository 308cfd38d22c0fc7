"""Wrong answers that students give to chapter 12. The docstring: exercise, and what is to be said."""

import numpy as np


def _distances(lab, truth):
    return np.linalg.norm(lab[..., 1:] - truth[..., 1:], axis=-1)


def _area(y):
    return ((y[1:] + y[:-1]) / 2).sum()


def strictly_less(lab, truth):
    """auc: d < t where d <= t belongs"""
    d = _distances(lab, truth)
    y = np.array([np.mean(d < t) for t in range(151)])
    return _area(y) / 150 * 100


def three_channels(lab, truth):
    """auc: L is in the distance"""
    d = np.linalg.norm(lab - truth, axis=-1)
    y = np.array([np.mean(d <= t) for t in range(151)])
    return _area(y) / 150 * 100


def over_151(lab, truth):
    """auc: 150 steps lie between 151 thresholds"""
    t = np.arange(151)
    y = (_distances(lab, truth).ravel() <= t[:, None]).mean(axis=1)
    return _area(y) / len(t) * 100


def mean_of_the_curve(lab, truth):
    """auc: the mean of the 151 shares is not the area"""
    t = np.arange(151)
    return 100 * (_distances(lab, truth).ravel() <= t[:, None]).mean()


def right_rectangles(lab, truth):
    """auc: rectangles where trapezoids belong"""
    d = _distances(lab, truth)
    return sum((d <= t).sum() for t in range(1, 151)) / d.size / 150 * 100


def left_rectangles(lab, truth):
    """auc: rectangles where trapezoids belong"""
    d = _distances(lab, truth)
    return sum((d <= t).sum() for t in range(150)) / d.size / 150 * 100


def range_of_150(lab, truth):
    """auc: the thresholds end at 150, not at 149"""
    d = _distances(lab, truth)
    y = np.array([np.mean(d <= t) for t in range(150)])
    return _area(y) / 150 * 100


def not_in_percent(lab, truth):
    """auc: it is a share"""
    d = _distances(lab, truth)
    y = np.array([np.mean(d <= t) for t in range(151)])
    return _area(y) / 150


def area_itself(lab, truth):
    """auc: it is not divided by 150"""
    d = _distances(lab, truth)
    return _area(np.array([np.mean(d <= t) for t in range(151)]))


def sum_of_differences(lab, truth):
    """auc: |da| + |db| where a distance belongs"""
    d = np.abs(lab - truth)[:, :, 1] + np.abs(lab - truth)[:, :, 2]
    return _area(np.array([np.mean(d <= t) for t in range(151)])) / 1.5


def squared(lab, truth):
    """auc: the root is missing"""
    d = ((lab - truth)[:, :, 1:] ** 2).sum(axis=2)
    return _area(np.array([np.mean(d <= t) for t in range(151)])) / 1.5


def each_channel(lab, truth):
    """auc: a and b are judged as pixels of their own"""
    d = np.abs(lab - truth)[:, :, 1:]
    return _area(np.array([np.mean(d <= t) for t in range(151)])) / 1.5


def whole_numbers(lab, truth):
    """auc: distances are cut to whole numbers"""
    d = _distances(lab, truth).astype(int)
    return _area(np.array([np.mean(d <= t) for t in range(151)])) / 1.5


def a_curve(lab, truth):
    """auc: AuC has the shape (151,), wanted is ()"""
    d = _distances(lab, truth)
    return np.array([np.mean(d <= t) for t in range(151)])


def mean_of_distances(lab, truth):
    """auc: the mean distance is no area"""
    return 100 - _distances(lab, truth).mean() / 1.5


def over_the_pixels(area, label, min_count):
    """balanced_auc: the mean runs over pixels"""
    n = np.bincount(label)
    kept = area[(n >= min_count)[label]]
    return 100 * kept.mean() / 150 if len(kept) else np.nan


def all_classes(area, label, min_count):
    """balanced_auc: min_count is not used"""
    return np.mean([area[label == q].mean() for q in np.unique(label)]) / 1.5


def all_313(area, label, min_count):
    """balanced_auc: classes that are left out count as 0"""
    total = 0
    for q in range(313):
        own = area[label == q]
        if len(own) >= max(min_count, 1):
            total += own.mean()
    return total / 313 / 150 * 100


def bincounts(area, label, min_count):
    """balanced_auc: classes that are left out count as 0"""
    n = np.bincount(label)
    means = np.bincount(label, area) / np.maximum(n, 1)
    means[n < min_count] = 0
    return means.mean() / 1.5


def strictly_more(area, label, min_count):
    """balanced_auc: a class of exactly min_count pixels counts"""
    means = [area[label == q].mean() for q in set(label) if (label == q).sum() > min_count]
    return 100 * np.mean(means) / 150


def empty_classes(area, label, min_count):
    """balanced_auc: a class without pixels is no class"""
    n = np.bincount(label, minlength=313)
    means = np.bincount(label, area, minlength=313) / n
    return means[n >= min_count].mean() / 1.5


def no_class_is_nought(area, label, min_count):
    """balanced_auc: without any class there is no mean: nan"""
    means = [area[label == q].mean() for q in set(label) if (label == q).sum() >= min_count]
    return 100 * np.mean(means) / 150 if means else 0


def no_class_divides_by_0(area, label, min_count):
    """balanced_auc: ZeroDivisionError in line"""
    means = [area[label == q].mean() for q in set(label) if (label == q).sum() >= min_count]
    return 100 * sum(means) / len(means) / 150


def not_percent(area, label, min_count):
    """balanced_auc: it is a mean area"""
    means = [area[label == q].mean() for q in set(label) if (label == q).sum() >= min_count]
    return np.mean(means)


def two_intervals(ours, theirs, pixels, drawn):
    """paired_interval: each system's interval by itself"""
    low, high = np.percentile(drawn @ ours / (drawn @ pixels) / 1.5, [2.5, 97.5])
    low2, high2 = np.percentile(drawn @ theirs / (drawn @ pixels) / 1.5, [2.5, 97.5])
    return low - high2, high - low2


def mean_over_photos(ours, theirs, pixels, drawn):
    """paired_interval: a mean of the photos' AuC"""
    each = (ours - theirs) / pixels / 1.5
    values = [np.average(each, weights=times) for times in drawn]
    return np.percentile(values, [2.5, 97.5])


def all_pixels_below(ours, theirs, pixels, drawn):
    """paired_interval: the number of pixels is resampled as well"""
    return tuple(np.percentile(drawn @ (ours - theirs) / pixels.sum() / 1.5, [2.5, 97.5]))


def the_wrong_sign(ours, theirs, pixels, drawn):
    """paired_interval: theirs minus ours"""
    return np.percentile(drawn @ (theirs - ours) / (drawn @ pixels) / 1.5, [2.5, 97.5])


def ninety(ours, theirs, pixels, drawn):
    """paired_interval: the 5th and 95th percentile hold 90 %"""
    return np.quantile(drawn @ (ours - theirs) / (drawn @ pixels) / 1.5, [0.05, 0.95])


def shares_for_percent(ours, theirs, pixels, drawn):
    """paired_interval: np.percentile counts to 100"""
    return np.percentile(drawn @ (ours - theirs) / (drawn @ pixels) / 1.5, [0.025, 0.975])


def a_bell(ours, theirs, pixels, drawn):
    """paired_interval: mean and deviation stand for a bell-shaped curve"""
    v = drawn @ (ours - theirs) / (drawn @ pixels) / 1.5
    return v.mean() - 1.96 * v.std(), v.mean() + 1.96 * v.std()


def standard_error(ours, theirs, pixels, drawn):
    """paired_interval: no root of B"""
    v = drawn @ (ours - theirs) / (drawn @ pixels) / 1.5
    e = 1.96 * v.std() / np.sqrt(len(v))
    return v.mean() - e, v.mean() + e


def picked(ours, theirs, pixels, drawn):
    """paired_interval: an end is picked"""
    v = sorted(drawn @ (ours - theirs) / (drawn @ pixels) / 1.5)
    return v[int(0.025 * len(v))], v[int(0.975 * len(v))]


def high_first(ours, theirs, pixels, drawn):
    """paired_interval: it is flipped along the axis end"""
    return np.percentile(drawn @ (ours - theirs) / (drawn @ pixels) / 1.5, [97.5, 2.5])
