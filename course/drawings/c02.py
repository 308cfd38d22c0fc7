"""Chapter 2: where the 313 bins lie, and the five that one pixel is shared among."""

import numpy as np
from PIL import Image

from mini_colorize.bins import BINS, SIGMA, K, soft_encode
from mini_colorize.color import lab_to_rgb, rgb_to_lab
from tools.figures import ROOT, ab_axes, bin_colors, draw_gamut, new_figure, squares

from ..checks.c02 import corner_bins

LEVEL = np.arange(0, 256, 5, dtype=np.uint8)
LABEL = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
PIXEL = 250, 250  # row and column in the photo


def kinds():
    """0 for a bin that colours round to, 1 for the other corners, 2 for the rest. (Q,) int."""
    u, v = (x.ravel() for x in np.meshgrid(np.arange(256, dtype=np.uint8), LEVEL))
    skin = [np.insert(p, channel, value, axis=1) for channel in range(3) for value in (0, 255)
            for p in (np.stack([u, v], axis=1), np.stack([v, u], axis=1))]  # fmt: skip
    ab = rgb_to_lab(np.concatenate(skin)).astype(np.float64)[:, 1:]
    i, j = (BINS.astype(int) // 10 + 13).T
    rounded = np.zeros((27, 27), bool)
    rounded[tuple(np.rint(ab / 10).astype(int).T + 13)] = True
    return np.where(rounded[i, j], 0, np.where(corner_bins(ab, 10, 13)[i, j], 1, 2))


def draw():
    kind, colors = kinds(), bin_colors()
    figure = new_figure(11, 5.8)
    left, right = figure.subplots(1, 2)
    edges = np.array([[1, 1, 1, 0], [0.45, 0.45, 0.45, 1], [0, 0, 0, 1]])[kind]
    face = np.column_stack([colors, np.choose(kind, [1, 0.28, 0])])
    squares(left, face, edgecolor=edges, linewidth=0.8)
    draw_gamut(left)
    for i, (mark, what) in enumerate(
        [
            (dict(mfc="0.5", mec="0.5"), "that an sRGB colour rounds to"),
            (dict(mfc="0.9", mec="0.45"), "more: corners around a colour"),
            (dict(mfc="white", mec="black"), "more: the dents of the outline filled"),
        ]
    ):
        left.plot([], [], "s", ms=8, label=f"{(kind == i).sum()} {what}", **mark)
    left.legend(loc="lower left", fontsize=8, framealpha=0.95)
    ab_axes(left, "313 bins, and the outline of sRGB")

    rgb = np.asarray(Image.open(ROOT / "examples" / "tulips.jpg"))[PIXEL]
    lightness, *ab = rgb_to_lab(rgb.astype(np.float64) / 255)
    index, weight = soft_encode(np.array(ab))
    zoom(right, colors, lightness, np.array(ab), index, weight)
    return figure


def zoom(axes, colors, lightness, ab, index, weight):
    """The pixel, its K bins with their weights, and circles of 1 and 2 sigma around it."""
    squares(axes, np.column_stack([colors, np.full(len(colors), 0.35)]), 9.6)
    for radius in (SIGMA, 2 * SIGMA):
        axes.add_patch(circle(ab, radius))
    for q, z in zip(index, weight, strict=True):
        axes.plot(*BINS[q], "o", ms=46 * np.sqrt(z), mfc=colors[q], mec="black")
        axes.plot(*zip(ab, BINS[q], strict=True), color="0.3", lw=0.8, zorder=1)
        place = BINS[q] + [0, 3.6 if BINS[q][1] > ab[1] else -3.6]  # away from the pixel
        axes.text(*place, f"{z:.3f}", ha="center", va="center", weight="bold", bbox=LABEL)
    color = lab_to_rgb(np.array([lightness, *ab]))
    axes.plot(*ab, "*", ms=17, mfc=color, mec="black", label=f"pixel: a {ab[0]:.1f}, b {ab[1]:.1f}")
    axes.plot([], [], ls="--", color="0.2", lw=1, label="1 and 2 sigma from it")
    ab_axes(axes, f"One pixel of a tulip, its {K} bins and their Z")
    middle = BINS[index[0]]
    axes.set(xlim=middle[0] + [-20, 20], ylim=middle[1] + [-20, 20])
    axes.legend(loc="lower left", fontsize=8.5, framealpha=0.95)


def circle(ab, radius):
    from matplotlib.patches import Circle

    return Circle(ab, radius, fill=False, ls="--", lw=1, ec="0.2")
