"""Chapter 11: one photo from the mean to the mode; colour enlarged with and without its edges."""

import numpy as np
from PIL import Image

from mini_colorize.color import lab_to_rgb, rgb_to_lightness, to_byte
from mini_colorize.colorizer import Colorizer, paint
from mini_colorize.files.images import read_image
from mini_colorize.layers.upsample import upsample
from tools.figures import ROOT, new_figure

CROP = np.s_[22:92, 16:136]  # rows and columns of head and sky


def bilinear(lightness, ab):
    """As `paint`, without the guide."""
    large = upsample(ab[None].astype(np.float32), lightness.shape)[0]
    return to_byte(lab_to_rgb(np.concatenate([lightness[..., None], large], axis=-1)))


def draw():
    colorizer = Colorizer.load()
    pika = small("docs/gallery/pika.jpg", 120)
    man = small("examples/photographer.jpg", 256)
    logits, (_, ab) = colorizer.predict([pika, man])
    figure = new_figure(7.3, 3.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.12))
    names = {1: "T = 1, the mean", 0.38: "T = 0.38, the paper's", 0: "T = 0, the mode"}
    for axes, (t, name) in zip(above.subplots(1, 3), names.items(), strict=True):
        show(axes, paint(pika, colorizer.colors(logits[:1], t)[0]), name)
    panels = {
        "the small ab, as it comes": flat(ab, man.shape),
        "enlarged bilinearly": bilinear(man, ab),
        "enlarged along the edges of L": paint(man, ab),
    }
    for axes, (name, picture) in zip(below.subplots(1, 3), panels.items(), strict=True):
        show(axes, picture[CROP], name)
    return figure


def small(path, side):
    """L of a photo that is made smaller."""
    image = read_image(ROOT / path).convert("RGB")
    image.thumbnail((side, side), Image.Resampling.BOX)
    return rgb_to_lightness(np.asarray(image))


def flat(ab, size):
    """The small ab as squares, at one lightness."""
    lab = np.concatenate([np.full((*ab.shape[:2], 1), 60, np.float32), ab], axis=-1)
    image = Image.fromarray(to_byte(lab_to_rgb(lab)))
    return np.asarray(image.resize(size[::-1], Image.Resampling.NEAREST))


def show(axes, picture, title):
    axes.imshow(picture, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
