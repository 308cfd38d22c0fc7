"""Chapter 0: a photo, its lightness, one pixel's distribution, ab, the photo in colour."""

import numpy as np
from PIL import Image

from mini_colorize.color import lab_to_rgb, rgb_to_lightness, to_byte
from mini_colorize.colorizer import Colorizer, gray
from tools.figures import ROOT, draw_belief, new_figure

AT = 22  # row and column of the pixel, of 44


def draw():
    rgb = np.asarray(Image.open(ROOT / "examples" / "tulips.jpg").convert("RGB"))
    colorizer = Colorizer.load("full", size=176)
    lightness = rgb_to_lightness(rgb)
    (logits,), (ab,) = colorizer.predict([lightness])
    flat = np.concatenate([np.full((*ab.shape[:2], 1), 65, np.float32), ab], axis=-1)
    pictures = {
        "a photo": rgb,
        "1. its lightness L": gray(lightness),
        "3. ab, 44 x 44, at L = 65": to_byte(lab_to_rgb(flat)),
        "4. ab under the lightness": np.asarray(colorizer(Image.fromarray(rgb))),
    }
    figure = new_figure(10, 5.3)
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 2.1))
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for place, (title, picture) in zip(places, pictures.items(), strict=True):
        axes = figure.add_subplot(grid[place])
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize=9.5)
        axes.set_axis_off()
        if place == (0, 1):
            middle = len(rgb) // 2
            axes.plot(middle, middle, "o", ms=11, mfc="none", mec="white", mew=3)
            axes.plot(middle, middle, "o", ms=11, mfc="none", mec="black", mew=1.2)
    axes = figure.add_subplot(grid[:, 2])
    draw_belief(axes, logits[AT, AT], lightness[len(rgb) // 2, len(rgb) // 2])
    axes.set_title("2. what the network believes of the pixel in the ring", fontsize=9.5)
    return figure
