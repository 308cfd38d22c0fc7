"""Chapter 13: Winograd's tiles on a picture, and the matrices that go with them."""

import numpy as np
from PIL import Image

from mini_colorize.color import rgb_to_lightness
from mini_colorize.fast import steps_cpu
from mini_colorize.fast.winograd import correlate, matrices
from mini_colorize.files.images import read_image
from tools.figures import ROOT, new_figure

M = 4  # outputs along a tile's side
COLORS = ("#c0392b", "#2471a3")


def draw():
    image = read_image(ROOT / "examples" / "cat.jpg").convert("RGB")
    light = rgb_to_lightness(np.asarray(image.resize((15, 10), Image.Resampling.BOX)))
    figure = new_figure(7.3, 3.9)
    above, below = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    left, right = above.subplots(1, 2)
    draw_tiles(left, light, M + 2, "input: tiles of 6 x 6, 4 pixels apart")
    blur = np.full((3, 3, 1, 1), 1 / 9, np.float32)
    blurred = correlate(steps_cpu, light[None, ..., None], blur, m=M)[0, ..., 0]
    draw_tiles(right, blurred, M, "output of a blur: 4 x 4 from each; the last overhang")
    names = ("$B^T$", "$G$", "$A^T$")
    axes = below.subplots(1, 3, width_ratios=(6, 3.6, 6))
    for each, name, matrix in zip(axes, names, matrices(M), strict=True):
        draw_matrix(each, name, matrix)
    return figure


def draw_tiles(axes, light, side, title):
    """The picture, and squares that begin M pixels apart; the first two are filled."""
    from matplotlib.patches import Rectangle

    axes.imshow(light, cmap="gray", vmin=10, vmax=80)
    for k, (row, column) in enumerate(np.ndindex(2, 4)):
        corner = column * M - 0.5, row * M - 0.5
        first = k < 2
        color = COLORS[column % 2]
        style = {"ec": color, "fc": color if first else "none", "lw": 2 if first else 0.9}
        axes.add_patch(Rectangle(corner, side, side, alpha=0.5 if first else 0.9, **style))
    axes.set(xlim=(-0.7, 17.7), ylim=(9.7, -0.7))
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def draw_matrix(axes, name, matrix):
    """Its numbers, on red where they are positive and on blue where they are negative."""
    axes.imshow(np.sign(matrix) * abs(matrix) ** 0.5, cmap="RdBu_r", vmin=-6, vmax=6, aspect="auto")
    for (row, column), value in np.ndenumerate(matrix):
        text = f"{value:.3g}".replace("-", "−") if value else "0"
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{name}, {matrix.shape[0]} x {matrix.shape[1]}", fontsize=9)
