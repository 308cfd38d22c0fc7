"""Chapter 12: the curves whose area is the AuC, raw and balanced."""

import numpy as np
from PIL import Image

from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.files.images import read_image
from mini_colorize.measures import LAST, classes, curves, histogram
from tools.figures import ROOT, new_figure

NAMES = ("astronaut", "cat", "coffee", "meadow", "moose", "sea", "tulips")  # those with colour
MIN_COUNT = 100


def photos():
    """Lab of the examples, made smaller. A list of (H, W, 3) float32."""
    for name in NAMES:
        image = read_image(ROOT / "examples" / f"{name}.jpg").convert("RGB")
        image.thumbnail((160, 160), Image.Resampling.BOX)
        yield rgb_to_lab(np.asarray(image))


def measured(labs):
    """Name -> histogram (Q, STEPS) of all photos."""
    truths = [np.ascontiguousarray(lab[..., 1:]) for lab in labs]
    light = [np.ascontiguousarray(lab[..., 0]) for lab in labs]
    answers = {"gray": [np.zeros_like(truth) for truth in truths]}
    for name in ("tiny", "full"):
        colorizer = Colorizer.load(name)
        _, small = colorizer.predict(light)
        answers[name] = list(map(colorizer.enlarge, light, small))
    answers["truth"] = truths
    labels = [classes(truth) for truth in truths]
    return {name: sum(map(histogram, colors, truths, labels)) for name, colors in answers.items()}


def draw():
    counts = measured(list(photos()))
    figure = new_figure(7.3, 3.1)
    panels = figure.subplots(1, 2, sharey=True)
    styles = {"gray": ("0.5", "--"), "tiny": ("#2e86c1", "-"), "full": ("#c0392b", "-")}
    styles["truth"] = ("black", ":")
    for k, (axes, title) in enumerate(zip(panels, ("raw", "balanced"), strict=True)):
        for name, (color, line) in styles.items():
            curve = 100 * curves(counts[name], MIN_COUNT)[k]
            area = (curve.sum() - (curve[0] + curve[-1]) / 2) / LAST
            axes.plot(curve, line, color=color, lw=1.6, label=f"{name}: AuC {area:.1f}")
        axes.set(xlim=(0, 80), ylim=(0, 103), title=title, xlabel="threshold t, ab units")
        axes.legend(loc="lower right", fontsize=9)
        axes.grid(color="0.92")
    panels[0].set_ylabel("pixels with d ≤ t, %")
    return figure
