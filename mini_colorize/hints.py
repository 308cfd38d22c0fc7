"""Hints: a person knows the colour of some places, and the pixels that would share it follow.

What the network says and what the person says differ by a residual r_i at the places i = 1 ... n.
Between them the residual is unknown. It is taken for a random function x whose values at two pixels
are the more alike, the nearer the pixels lie, the more alike their lightness is, and the more alike
the network believes their colours to be:

    K(x, y) = exp(-|x - y|^2 / (2 S^2)  -  (L_x - L_y)^2 / (2 T^2)  -  H(x, y)^2 / (2 R^2))
    H(x, y)^2 = 2 - 2 sum_q sqrt(z_xq z_yq)

and what to expect of it everywhere, given the residuals, is added to ab:

    delta(x) = sum_i K(x, i) w_i,        (K + NOISE I) w = r,        K the n x n values at the places

A hint of the colour that is there already has r = 0: it pins that colour. K is a Gaussian of a
distance (places, lightness and sqrt z are coordinates), so K + NOISE I can always be solved; NOISE
keeps w small where two hints contradict each other, and costs 3 % of the residual of a single one.

Sources: kriging, Matheron 1963; as Gaussian processes, Rasmussen and Williams 2006, equation 2.25.
H is Hellinger's distance. Colours from a few places: Levin et al., "Colorization using
optimization", 2004; with a network: Zhang et al., "Real-time user-guided image colorization", 2017.

Notation
    h, w   size of the logits    u, v   a place, 0..1 from the left and from the top, in x, y as well
    z      the believed distribution, softmax of the logits, over Q = 313 bins, q
    L      lightness, 0..100     n      hints      r   (n, 2), ab
"""

import numpy as np
from PIL import Image

from .backend import array_module, to_host

S, T, R = 0.7, 25.0, 0.3  # how far a hint goes: in sides of the picture, in L, in H
NOISE = 0.03


def place(shape, u, v):
    """Row and column of u, v in an array of a shape (H, W, ...)."""
    return tuple(min(int(t * n), n - 1) for t, n in zip((v, u), shape, strict=False))


def follow(ab, hints, lightness, logits=None):
    """ab with hints.

    ab: (h, w, 2) float32. hints: n of (u, v, a, b), numbers; of several on one pixel of ab the last
    counts. lightness: (H, W) float32, L, NumPy. logits: (h, w, Q) float32, on ab's device, or None:
    then beliefs have no say.
    Returns (h, w, 2) float32 on ab's device; without hints, ab itself.
    """
    chosen = {place(ab.shape, u, v): color for u, v, *color in hints}
    if not chosen:
        return ab
    (h, w), (rows, columns) = ab.shape[:2], np.array([*chosen]).T
    light = np.asarray(Image.fromarray(lightness).resize((w, h), Image.Resampling.BOX), np.float64)
    y, x = np.mgrid[:h, :w]
    coordinates = y / (h * S), x / (w * S), light / T
    distance = sum(np.square(c[..., None] - c[rows, columns]) for c in coordinates)  # (h, w, n)
    if logits is not None:
        distance += hellinger(to_host(logits), rows, columns) / R**2
    alike = np.exp(-distance / 2)
    residual = np.array([*chosen.values()]) - to_host(ab)[rows, columns]
    weight = np.linalg.solve(alike[rows, columns] + NOISE * np.eye(len(chosen)), residual)
    return ab + array_module(ab).asarray(alike @ weight, dtype=np.float32)


def hellinger(logits, rows, columns):
    """H^2 of every pixel to n pixels. rows, columns: (n,) int. Returns (h, w, n) float32. NumPy."""
    root = np.exp((logits - logits.max(axis=-1, keepdims=True)) / 2)
    root /= np.sqrt(np.square(root).sum(axis=-1, keepdims=True))  # sqrt z
    return np.maximum(2 - 2 * (root @ root[rows, columns].T), 0)
