"""Chapter 10: a network learns four photos by heart, sheet by sheet.

The colours and losses that are drawn are in c10.npz. They are made, in half a minute, by

    python -m course.drawings.c10
"""

from pathlib import Path

import numpy as np

from mini_colorize import bins
from mini_colorize.color import rgb_to_lightness
from mini_colorize.colorizer import paint
from mini_colorize.data import load_crop
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.modules import Adam
from mini_colorize.network import Network
from mini_colorize.targets import targets
from tools.figures import new_figure

from . import GRADIENT, INK

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILE = Path(__file__).with_name("c10.npz")
NAMES = ("tulips", "astronaut", "meadow", "coffee")
SIZE, WIDTH, RATE = 40, 1 / 4, 1e-3
SHEETS = (0, 10, 20, 40, 300)  # steps
TILE, GAP = 120, 4  # pixels as drawn; 120 = 3 x 40


def crops():
    return np.stack([load_crop(EXAMPLES / f"{name}.jpg", SIZE, SIZE) for name in NAMES])


def train():
    """Train, and keep the colours at the steps of SHEETS and the loss of every step."""
    x, index, weight = targets(crops())
    network = Network(WIDTH)
    network.initialize(x)
    packed = network.pack()
    adam = Adam(packed["params"])
    colors, losses = [], []
    for step in range(SHEETS[-1] + 1):
        if step in SHEETS:
            colors.append(network.colors(network.forward(x)).round().astype(np.int8))
        logits = network.forward(x, train=True)
        loss = softmax_cross_entropy(logits, index, weight, np.ones(bins.Q, np.float32))
        losses.append(float(loss.unweighted))
        network.backward(loss.gradient)
        adam.step(packed["grads"], RATE)
    np.savez_compressed(FILE, colors=np.array(colors), losses=np.array(losses, np.float32))


def levels():
    """The loss of one who knows nothing, who knows the frequent colours, who knows all."""
    _, index, weight = targets(crops())
    prior = bins.bin_mass(index, weight)
    prior = prior[prior > 0] / prior.sum()
    return {
        "log 313: knows nothing": np.log(bins.Q),
        "entropy of the prior: knows which colours are frequent": -(prior * np.log(prior)).sum(),
        "entropy of the targets: knows all": bins.target_entropy(weight),
    }


def draw():
    kept = np.load(FILE)
    truth = crops()
    lightness = rgb_to_lightness(truth)
    width, bottom = len(SHEETS) + 1, 225
    size = 22 + width * (TILE + GAP), bottom + len(NAMES) * (TILE + GAP) + 28
    figure = new_figure(size[0] / 110, size[1] / 110)
    figure.set_layout_engine("none")

    def placed(x, y, wide, high):
        return figure.add_axes((x / size[0], y / size[1], wide / size[0], high / size[1]))

    for column in range(width):
        last = column == width - 1
        for row, light in enumerate(lightness):
            ab = None if last else kept["colors"][column, row].astype(np.float32)
            y = bottom + (len(NAMES) - 1 - row) * (TILE + GAP)
            axes = placed(11 + column * (TILE + GAP), y, TILE, TILE)
            axes.imshow(truth[row] if last else paint(light, ab), interpolation="nearest")
            axes.set_axis_off()
            if row == 0:
                axes.set_title("truth" if last else f"step {SHEETS[column]}", fontsize=9, pad=4)
    axes = placed(60, 42, size[0] - 75, bottom - 60)
    axes.plot(kept["losses"], color=INK, lw=1.5)
    for name, level in levels().items():
        axes.axhline(level, color=GRADIENT, lw=1, ls="--")
        axes.text(298, level + 0.12, name, ha="right", fontsize=8.5, color=GRADIENT)
    at = np.array(SHEETS)
    axes.plot(at, kept["losses"][at], "o", color=INK, ms=5)
    axes.set(xlim=(-4, 304), ylim=(0.8, 6.9))
    axes.set_xlabel("step", fontsize=9, labelpad=1)
    axes.set_ylabel("loss, nats a pixel", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure


if __name__ == "__main__":
    train()
