"""Chapter 1: a photo, its L, a and b; and the colours that sRGB can show at four lightnesses."""

import numpy as np
from PIL import Image

from mini_colorize.color import lab_to_rgb, rgb_to_lab
from tools.figures import ROOT, new_figure

from ..checks.c01 import in_gamut

LIM = 115  # of the ab plane as drawn
LEVELS = 20, 50, 80, 95


def draw():
    rgb = np.asarray(Image.open(ROOT / "examples" / "tulips.jpg"))[::5, ::5]
    lab = rgb_to_lab(rgb)
    figure = new_figure(11, 5.7)
    panels = figure.subplots(2, 4)
    shown = {"A photo": rgb / 255}
    for name, kept in (("L: dark to light", 0), ("a: green to red", 1), ("b: blue to yellow", 2)):
        plane = np.zeros(lab.shape)
        plane[..., 0] = 65
        plane[..., kept] = lab[..., kept]
        shown[name] = lab_to_rgb(plane)
    for axes, (title, picture) in zip(panels[0], shown.items(), strict=True):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    for axes, lightness in zip(panels[1], LEVELS, strict=True):
        draw_slice(axes, lightness, labels=axes is panels[1, 0])
    return figure


def draw_slice(axes, lightness, labels):
    """The colours of one lightness, and around them those that it lacks."""
    side = np.arange(-LIM, LIM + 0.5, 2.5)
    lab = np.full((len(side), len(side), 3), float(lightness))
    lab[..., 1], lab[..., 2] = np.meshgrid(side, side)
    inside = in_gamut(lab)
    picture = np.where(inside[..., None], lab_to_rgb(lab), 0.94)
    axes.imshow(picture, origin="lower", extent=(-LIM, LIM, -LIM, LIM), interpolation="nearest")
    axes.axhline(0, color="0.6", lw=0.6)
    axes.axvline(0, color="0.6", lw=0.6)
    axes.set(xticks=(-100, 0, 100), yticks=(-100, 0, 100), xlabel="a")
    axes.set_ylabel("b" if labels else "")
    axes.set_title(f"What sRGB can show at L = {lightness}", fontsize=10)
