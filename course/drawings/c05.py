"""Chapter 5: stamps that overlap, and the four phases of a 4x4 filter at stride 2."""

import numpy as np

from mini_colorize.layers.conv_transpose import conv_transpose2d
from tools.figures import new_figure

PHASES = {(0, 0): "#c9def2", (0, 1): "#fbe0b5", (1, 0): "#cfe8cb", (1, 1): "#eccfe4"}
OUTLINES = ("#1f5f9e", "#c2710c", "#2f7d32", "#9a2f83")


def cells(axes, values, phase, corner=(0, 0)):
    """Numbers in squares. phase: a function of row and column, (0, 0) .. (1, 1) or None."""
    from matplotlib.patches import Rectangle

    for (r, c), value in np.ndenumerate(values):
        at = corner[1] + c, corner[0] + r
        face = PHASES.get(phase(r, c), "white")
        axes.add_patch(Rectangle(at, 1, 1, fc=face, ec="0.55", lw=0.7))
        axes.text(at[0] + 0.5, at[1] + 0.5, f"{value:g}", ha="center", va="center", fontsize=9)


def finish(axes, width, title):
    """A panel as high as the others, so that all cells are of one size; the title above them."""
    axes.set(xlim=(-0.2, width + 0.2), ylim=(8.2, -1.4), aspect="equal")
    axes.text(width / 2, -0.3, title, ha="center", va="bottom", fontsize=9.5)
    axes.set_axis_off()


def counts(kernel, padding):
    """How many stamps lie on each output pixel, of a 4 x 4 input at stride 2."""
    ones = np.ones((1, 4, 4, 1)), np.ones((kernel, kernel, 1, 1)), np.zeros(1)
    return conv_transpose2d(*ones, stride=2, padding=padding)[0, ..., 0]


def draw():
    from matplotlib.patches import Rectangle

    figure = new_figure(11, 3.9)
    widths = (8, 4.4, 4.5, 7)
    panels = figure.subplots(1, 4, width_ratios=[width + 0.4 for width in widths])
    stamps, whole, parts, uneven = panels

    cells(stamps, counts(4, 1), lambda r, c: (r % 2, c % 2))
    for n, (r, c) in enumerate(((1, 1), (1, 2), (2, 1), (2, 2))):
        inset = 0.05 + 0.07 * n
        at, side = (2 * c - 1 + inset, 2 * r - 1 + inset), 4 - 2 * inset
        stamps.add_patch(Rectangle(at, side, side, fill=False, ec=OUTLINES[n], lw=2))

    filters = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
    cells(whole, filters, lambda i, j: ((i + 1) % 2, (j + 1) % 2), corner=(0, 0.2))
    taps = {0: (3, 1), 1: (2, 0)}  # of rows and columns, in the order of the input pixels
    for a, b in PHASES:
        part = filters[np.ix_(taps[a], taps[b])]
        cells(parts, part, lambda r, c, phase=(a, b): phase, corner=(2.5 * a, 2.5 * b))
    cells(uneven, counts(3, 1), lambda r, c: None)
    titles = (
        "4x4, stride 2, padding 1: how many stamps\nlie on a pixel; four of them outlined",
        "a 4x4 filter,\nits taps by phase",
        "the same as\nfour 2x2 filters",
        "3x3, stride 2, padding 1:\nuneven, a checkerboard",
    )
    for axes, width, title in zip(panels, widths, titles, strict=True):
        finish(axes, width, title)
    return figure
