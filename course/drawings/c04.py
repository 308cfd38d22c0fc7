"""Chapter 4: windows as rows of a matrix; stride; dilation."""

import numpy as np

from mini_colorize.layers.conv import conv2d, windows
from tools.figures import new_figure

BLUE, ORANGE = "#2f6fab", "#e08a1e"


def grid(axes, values, title, marked=(), shaded=(), size=9):
    """Numbers in squares. values: (rows, columns) of numbers or text. marked, shaded: places."""
    rows, columns = np.shape(values)
    for r, c in np.ndindex(rows, columns):
        face = "#cfe1f3" if (r, c) in marked else "#f0f0f0" if (r, c) in shaded else "white"
        axes.add_patch(rectangle(c, r, face))
        value = values[r][c]
        text = value if isinstance(value, str) else f"{value:g}"
        axes.text(c + 0.5, r + 0.5, text, ha="center", va="center", fontsize=size)
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    axes.set_title(title, fontsize=9.5)
    axes.set_axis_off()


def rectangle(x, y, face):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, fc=face, ec="0.45", lw=0.8)


def as_a_product(panels):
    """One picture, its windows as rows, the filter as a column, and the output."""
    x = np.array([[1, 2, 0, 1], [0, 3, 1, 2], [2, 1, 0, 1], [1, 0, 2, 3.0]]).reshape(1, 4, 4, 1)
    weight = np.array([[1, 2], [-1, 0.0]]).reshape(2, 2, 1, 1)
    rows = windows(x, (2, 2), 1, 1, 0).reshape(9, 4)
    y = conv2d(x, weight, np.zeros(1))[0, ..., 0]
    grid(panels[0], x[0, ..., 0], "x", marked=[(0, 1), (0, 2), (1, 1), (1, 2)])
    grid(panels[1], rows, "X: a row for each output", marked=[(1, c) for c in range(4)])
    grid(panels[2], weight.reshape(4, 1), "W")
    grid(panels[3], y.reshape(9, 1), "y = X W", marked=[(1, 0)])
    grid(panels[4], y, "y", marked=[(0, 1)])


def positions(axes, stride, dilation, padding, title):
    """Where the taps of two outputs lie in a picture of 5 x 5 with its padding."""
    side, out = 5 + 2 * padding, (5 + 2 * padding - 2 * dilation - 1) // stride + 1
    inside = range(padding, padding + 5)
    pad = [at for at in np.ndindex(side, side) if at[0] not in inside or at[1] not in inside]
    grid(axes, [[""] * side] * side, f"{title}: {out} x {out} outputs", shaded=pad)
    for at, color, way in (((0, 0), BLUE, -0.13), ((0, 1), ORANGE, 0.13)):
        taps = [(at[1] * stride + j * dilation, i * dilation) for i, j in np.ndindex(3, 3)]
        xs, ys = np.array(taps).T + 0.5 + way
        axes.plot(xs, ys, "o", color=color, ms=6)


def draw():
    figure = new_figure(9, 6.2)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    as_a_product(top.subplots(1, 5, width_ratios=(4, 4, 1.4, 1.6, 3)))
    panels = bottom.subplots(1, 3)
    positions(panels[0], 1, 1, 1, "stride 1, padding 1")
    positions(panels[1], 2, 1, 1, "stride 2, padding 1")
    positions(panels[2], 1, 2, 2, "dilation 2, padding 2")
    bottom.suptitle(
        "which pixels the first output reads (blue), and the second (orange)", fontsize=10
    )
    return figure
