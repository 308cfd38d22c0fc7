"""Wrong answers that students give to chapter 0. The docstring: exercise, and what is to be said."""

import numpy as np


def without_shares(guess, colors, shares):
    """expected_error: the shares are left out"""
    return np.mean(np.sum((colors - guess) ** 2, axis=1))


def summed_without_shares(guess, colors, shares):
    """expected_error: the shares are left out"""
    total = 0
    for c in colors:
        total += (guess[0] - c[0]) ** 2 + (guess[1] - c[1]) ** 2
    return total


def distances(guess, colors, shares):
    """expected_error: the distance is not squared"""
    return sum(p * np.linalg.norm(guess - c) for c, p in zip(colors, shares, strict=True))


def of_the_mean(guess, colors, shares):
    """expected_error: it is the error of the mean colour"""
    return np.sum((guess - np.average(colors, axis=0, weights=shares)) ** 2)


def mean_of_a_and_b(guess, colors, shares):
    """expected_error: it is half of what it should be: a^2 + b^2 is a sum"""
    return (shares * ((guess - colors) ** 2).mean(axis=1)).sum()


def a_mean_of_shares(guess, colors, shares):
    """expected_error: it is divided by the number of colours"""
    return (shares * ((guess - colors) ** 2).sum(axis=1)).mean()


def one_for_each_color(guess, colors, shares):
    """expected_error: E has the shape (2,), wanted is ()"""
    return shares * ((guess - colors) ** 2).sum(axis=1)


def root_of_it(guess, colors, shares):
    """expected_error: the root is taken"""
    return np.sqrt((shares * ((guess - colors) ** 2).sum(axis=1)).sum())


def plain_mean(colors, shares):
    """cheapest_color: it is the mean without the shares"""
    return colors.mean(axis=0)


def likeliest(colors, shares):
    """cheapest_color: it is the likeliest of the colours"""
    return colors[np.argmax(shares)]


def best_of_them(colors, shares):
    """cheapest_color: it is the likeliest of the colours"""
    costs = [sum(p * np.sum((c - d) ** 2) for d, p in zip(colors, shares, strict=True)) for c in colors]  # fmt: skip
    return colors[int(np.argmin(costs))]


def median(colors, shares):
    """cheapest_color: it is the median"""
    return np.median(colors, 0)


def divided_again(colors, shares):
    """cheapest_color: it is divided by the number of colours"""
    return (colors * shares[:, None]).mean(axis=0)


def weighted_over_the_wrong_axis(colors, shares):
    """cheapest_color: color has the shape (3,), wanted is (2,)"""
    return (colors * shares[:, None]).sum(axis=1) if len(colors) == 3 else shares @ colors


def lost(colors, shares):
    """chroma_kept: it is the share that is lost"""
    mean = (shares[:, None] * colors).sum(axis=0)
    return 1 - np.hypot(*mean) / np.sum(shares * np.linalg.norm(colors, axis=1))


def averaged_without_shares(colors, shares):
    """chroma_kept: the true colours' chroma is averaged without the shares"""
    mean = (shares[:, None] * colors).sum(axis=0)
    return np.hypot(*mean) / np.mean(np.linalg.norm(colors, axis=1))


def never_a_share(colors, shares):
    """chroma_kept: the shares are left out"""
    mean = colors.mean(axis=0)
    return np.sqrt(mean @ mean) / np.mean(np.sqrt(colors[:, 0] ** 2 + colors[:, 1] ** 2))


def without_roots(colors, shares):
    """chroma_kept: it is squared"""
    mean = shares @ colors
    return mean @ mean / np.sum(shares * np.sum(colors**2, axis=1))


def not_divided(colors, shares):
    """chroma_kept: it is the cheapest colour's chroma itself"""
    return np.linalg.norm(shares @ colors)


def a_and_b_added(colors, shares):
    """chroma_kept: chroma is not a + b"""
    return np.abs(shares @ colors).sum() / (shares @ np.abs(colors).sum(axis=1))


def half_of_it(guess, colors, shares):
    """expected_error: it is half of what it should be"""
    return 0.5 * (shares * ((guess - colors) ** 2).sum(axis=1)).sum()


def only_a(guess, colors, shares):
    """expected_error: only a counts"""
    return (shares * (guess[0] - colors[:, 0]) ** 2).sum()


def only_b(guess, colors, shares):
    """expected_error: only b counts"""
    return (shares * (guess[1] - colors[:, 1]) ** 2).sum()


def guess_and_colors_added(guess, colors, shares):
    """expected_error: the colour is added to the guess"""
    return (shares * ((guess + colors) ** 2).sum(axis=1)).sum()


def shares_in_the_square(guess, colors, shares):
    """expected_error: the shares are squared"""
    return ((shares[:, None] * (guess - colors)) ** 2).sum()


def share_of_the_color(guess, colors, shares):
    """expected_error: the share multiplies the colour"""
    return ((guess - shares[:, None] * colors) ** 2).sum()


def likeliest_only(guess, colors, shares):
    """expected_error: it is the error for the likeliest colour only"""
    return ((guess - colors[shares.argmax()]) ** 2).sum()


def the_least(guess, colors, shares):
    """expected_error: it is the least of the terms"""
    return (shares * ((guess - colors) ** 2).sum(axis=1)).min()


def weighted_median(colors, shares):
    """cheapest_color: it is the median (with shares)"""
    found = []
    for values in colors.T:
        order = values.argsort()
        found.append(values[order][np.cumsum(shares[order]).searchsorted(0.5)])
    return np.array(found)


def geometric_median(colors, shares):
    """cheapest_color: its expected distance is least"""
    guess = shares @ colors
    for _ in range(1000):
        w = shares / np.maximum(np.linalg.norm(colors - guess, axis=1), 1e-12)
        guess = w @ colors / w.sum()
    return guess


def midrange(colors, shares):
    """cheapest_color: it is the middle between the extremes"""
    return (colors.min(0) + colors.max(0)) / 2


def nearest_bin(colors, shares):
    """cheapest_color: it is the nearest of the 313 bins"""
    from mini_colorize.bins import BINS

    mean = shares @ colors
    return BINS[((BINS - mean) ** 2).sum(axis=1).argmin()]


def b_and_a(colors, shares):
    """cheapest_color: a and b are exchanged"""
    return (shares @ colors)[::-1]


def six_digits(colors, shares):
    """cheapest_color: only its first digits are right"""
    return shares @ colors * 1.00005


def turned_round(colors, shares):
    """chroma_kept: it is turned round"""
    return (shares @ np.hypot(*colors.T)) / np.hypot(*(shares @ colors))


def of_mean_squares(colors, shares):
    """chroma_kept: the true colours' chromas are averaged as squares"""
    return np.hypot(*(shares @ colors)) / np.sqrt(shares @ (colors**2).sum(axis=1))


def mean_of_quotients(colors, shares):
    """chroma_kept: it is a mean of quotients"""
    return np.sum(shares * np.hypot(*(shares @ colors)) / np.hypot(*colors.T))


def difference(colors, shares):
    """chroma_kept: it is the difference of the two chromas"""
    return shares @ np.hypot(*colors.T) - np.hypot(*(shares @ colors))


def a_and_b_added_with_signs(colors, shares):
    """chroma_kept: chroma is not a + b"""
    return (shares @ colors).sum() / (shares @ colors.sum(axis=1))
