"""Chapter 7: one pixel's loss and gradient, and how both move with one logit."""

import numpy as np
from PIL import Image

from mini_colorize.bins import BINS, dense_target, soft_encode
from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.losses import softmax_cross_entropy
from tools.figures import ROOT, new_figure

from . import GRADIENT, INK

TRUTH, GUESS = "#2a7f62", "#8aa9c8"


def pixel(row, column):
    """A pixel of a photograph: the network's logits (Q,), its neighbours and their weights (K,)."""
    photo = Image.open(ROOT / "examples" / "tulips.jpg").convert("RGB").resize((128, 128))
    lab = rgb_to_lab(np.asarray(photo))
    (logits,), _ = Colorizer.load(size=128).predict([lab[..., 0].astype(np.float32)])
    at = row * 128 // len(logits), column * 128 // len(logits)
    index, weight = soft_encode(lab[at][1:])
    return logits[row, column].astype(np.float64), index, weight.astype(np.float64)


def losses(logits, index, weight):
    """Loss and gradient (Q,) of each row of logits, (n, Q)."""
    ones = np.ones(len(BINS))
    found = [
        softmax_cross_entropy(
            z[None, None, None], index[None, None, None], weight[None, None, None], ones
        )
        for z in logits
    ]
    return np.array([f.unweighted for f in found]), np.array([f.gradient[0, 0, 0] for f in found])


def draw():
    z, index, weight = pixel(31, 5)
    nearest = index[0]
    _, (own,) = losses(z[None], index, weight)
    target = dense_target(index, weight)
    softmax = own + target
    figure = new_figure(11, 3.6)
    bars, left, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))

    shown = np.argsort(-np.maximum(target, softmax))[:9]
    x = np.arange(len(shown))
    bars.bar(x - 0.2, softmax[shown], 0.4, color=GUESS, label="softmax")
    bars.bar(x + 0.2, target[shown], 0.4, color=TRUTH, label="Z")
    bars.plot(x, own[shown], "o", color=GRADIENT, ms=5, label="gradient: softmax − Z")
    bars.axhline(0, color=INK, lw=0.8)
    bars.set_xticks(x, [f"{a:.0f},\n{b:.0f}" for a, b in BINS[shown]], fontsize=8)
    bars.set(title="A pixel of a leaf and its likeliest bins", xlabel="bin: a, b")
    bars.legend(fontsize=8.5)

    moved = np.linspace(-6, 14, 121)
    logits = np.repeat(z[None], len(moved), axis=0)
    logits[:, nearest] = moved
    one = np.array([1.0, 0, 0, 0, 0])
    for truth, style, name in ((weight, "-", f"Z = {weight[0]:.2f}"), (one, "--", "Z = 1")):
        loss, gradient = losses(logits, index, truth)
        left.plot(moved, loss, style, color=TRUTH, label=name)
        right.plot(moved, gradient[:, nearest], style, color=GRADIENT, label=name)
    (here,), _ = losses(z[None], index, weight)
    reach = np.array([-3, 3])
    left.plot(z[nearest] + reach, here + own[nearest] * reach, color=GRADIENT, lw=1.2)
    left.plot(z[nearest], here, "o", color=INK, ms=5, label="the network's own logit")
    right.plot(z[nearest], own[nearest], "o", color=INK, ms=5)
    right.axhline(0, color="0.7", lw=0.8)
    left.set(title=f"Loss over the logit of bin ({', '.join(f'{v:.0f}' for v in BINS[nearest])})")
    right.set(title="Its slope: the gradient", ylim=(-1.05, 0.8))
    for axes in (left, right):
        axes.set_xlabel("logit")
        axes.legend(fontsize=8.5)
    return figure
