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
    """expected_error: a and b are averaged"""
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
