"""Chapter 0: why colour is a distribution. Check your answers with: python -m course 0

A pixel has the colour c_k = (a, b) with the probability p_k. (0, 0) is grey, and the chroma of a
colour, its strength, is its distance from grey.
"""

import numpy as np  # noqa: F401


def expected_error(guess, colors, shares):
    """What a guess costs on average: E = sum over k of p_k |guess - c_k|^2.

    guess: (2,) float64, a and b. colors: (K, 2). shares: (K,), the p_k, of sum 1. Returns a number.
    """
    raise NotImplementedError


def cheapest_color(colors, shares):
    """The guess with the least expected error, of all colours that there are.

    colors: (K, 2) float64. shares: (K,), of sum 1. Returns (2,).
    """
    raise NotImplementedError


def chroma_kept(colors, shares):
    """How strong the cheapest colour is beside the true ones: its chroma, divided by the true
    colours' chroma, averaged with the shares. 1: nothing is lost. 0: it is grey.

    colors: (K, 2) float64, none of them grey. shares: (K,), of sum 1. Returns a number.
    """
    raise NotImplementedError
