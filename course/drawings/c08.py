"""Chapter 8: the layers, what a logit sees, and the spread of the numbers with three starts."""

from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize.color import normalize_lightness, rgb_to_lightness
from mini_colorize.colorizer import Colorizer
from mini_colorize.data import load_crop
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.modules import BatchNorm2d, ConvTranspose2d
from mini_colorize.network import Network
from mini_colorize.targets import targets
from tools.figures import new_figure

from . import GRADIENT, INK, PALE

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZE, AT = 256, 32  # of the photo; row and column of the logit that is asked
FIRST, LAST = -50, 298  # the pixels that it sees, by exercise 3
RED = "#f3b8ae"
STARTS = {
    "N(0, 0.01²)": (lambda fan_in: 0.01, "#7f8c8d"),
    "N(0, 1 / fan_in)": (lambda fan_in: fan_in**-0.5, "#2980b9"),
    "N(0, 2 / fan_in)": (lambda fan_in: (2 / fan_in) ** 0.5, "#27ae60"),
    "then rescaled": (None, INK),
}


def layers_drawn(axes):
    """A bar for each layer: as high as its output, its channels above."""
    shape, x, last = (SIZE, SIZE, 1), 0, None
    groups = {}
    for name, layer in Network().layers.items():
        shape = layer.output_shape(shape)
        if isinstance(layer, BatchNorm2d):
            continue
        block = name[:5]
        x += 1.0 if block == last else 1.9
        height, last = 0.85 * shape[0] ** 0.5, block
        dilated = layer.geometry["dilation"] > 1
        face = "#f5c6a5" if dilated else "#bfe3c8" if isinstance(layer, ConvTranspose2d) else PALE
        axes.bar(x, height, 0.8, bottom=-height / 2, color=face, edgecolor="0.35", lw=1)
        axes.text(x, 0, shape[2], ha="center", va="center", rotation=90, fontsize=8)
        groups.setdefault(block, []).append((x, shape[0], dilated))
    for block, bars in groups.items():
        middle = np.mean([x for x, *_ in bars])
        note = "\ndilated" if bars[0][2] else "\n4×4 up" if block == "conv8" else ""
        size = bars[-1][1]
        axes.text(middle, 7.3, f"{block}", ha="center", va="bottom", fontsize=9)
        axes.text(middle, -7.4, f"{size} × {size}{note}", ha="center", va="top", fontsize=8.5)
    axes.set(xlim=(0.8, x + 0.9), ylim=(-10.6, 9))
    axes.set_title(f"Channels of the layers and side of their outputs, for {SIZE} × {SIZE} pixels")
    axes.set_axis_off()


def strides_drawn(axes):
    """What a pixel reads through three 3x3 convolutions of stride 2, on one axis."""
    from matplotlib.patches import Rectangle

    frame = {"ec": "0.35", "lw": 0.8}
    rows = [np.array([0])]
    for _ in range(3):
        rows.append(np.arange(2 * rows[-1][0] - 1, 2 * rows[-1][-1] + 2))
    for level, pixels in enumerate(rows):
        side = 2 ** (3 - level)  # of this level's pixels, in pixels of the input
        for o in pixels:
            left = o * side
            face = RED if o == 0 and not level else PALE
            axes.add_patch(Rectangle((left, 3 - level), side, 0.62, fc=face, **frame))
            if level < 3:
                for at in (2 * o - 1, 2 * o + 1):
                    ends = left + side / 2, at * side / 2 + side / 4
                    axes.plot(ends, (3 - level, 2 - level + 0.62), color="0.6", lw=0.8, zorder=0)
    axes.add_patch(Rectangle((0, 0), 8, 0.62, fc=RED, **frame))
    for x in range(1, 8):
        axes.plot((x, x), (0, 0.62), color="0.35", lw=0.8)
    axes.plot((0.5, 0.5), (-0.15, -0.55), color=INK, lw=1.6)
    axes.plot((4, 4), (-0.15, -0.55), color=GRADIENT, lw=1.6)
    axes.text(0.2, -0.45, "middle of what it sees", ha="right", va="center", fontsize=8)
    axes.text(4.4, -0.45, "… of what it covers", va="center", fontsize=8, color=GRADIENT)
    axes.set(xlim=(-9, 10.2), ylim=(-0.8, 3.75))
    axes.set_title("Three strides of 2: 3½ pixels to the left")
    axes.set_axis_off()


def seen(network, lightness):
    """|d logit / dx| of the middle's largest logit, (SIZE, SIZE)."""
    x = normalize_lightness(lightness)[None, ..., None]
    for layer in network.layers.values():
        x = layer.forward(x, train=not isinstance(layer, BatchNorm2d))
    gradient = np.zeros_like(x)
    gradient[0, AT, AT, x[0, AT, AT].argmax()] = 1
    for layer in reversed(network.layers.values()):
        if isinstance(layer, BatchNorm2d):  # in use it is a scale and a shift
            gradient = gradient * layer.scale_and_shift()[0]
        else:
            gradient = layer.backward(gradient)
    return abs(gradient[0, ..., 0])


def field_drawn(axes):
    from matplotlib.patches import Rectangle

    lightness = rgb_to_lightness(load_crop(EXAMPLES / "cat.jpg", SIZE, SIZE))
    gradient = seen(Colorizer.load("tiny").network, lightness)
    cells = gradient.reshape(SIZE // 8, 8, SIZE // 8, 8).mean(axis=(1, 3))
    order = np.sort(cells.ravel())[::-1]
    half = order[np.searchsorted(order.cumsum(), order.sum() / 2)]
    share = (cells > half).mean()
    gray = Image.fromarray((110 + 1.2 * lightness).astype(np.uint8)).resize((64, 64))
    axes.imshow(gray, extent=(0, SIZE, SIZE, 0), cmap="gray", vmin=0, vmax=255)
    red = np.zeros((*cells.shape, 4))
    red[..., 0], red[..., 3] = 0.85, 0.75 * np.sqrt(cells / cells.max())
    axes.imshow(red, extent=(0, SIZE, SIZE, 0), interpolation="nearest")
    axes.plot(4 * AT + 2.5, 4 * AT + 2.5, "+", color=INK, ms=12, mew=1.5)
    side = LAST - FIRST + 1
    axes.add_patch(Rectangle((FIRST, FIRST), side, side, fill=False, ec=INK, lw=1.5))
    what = f"all that it can see: {side} × {side}"
    axes.text((FIRST + LAST) / 2, FIRST - 6, what, ha="center", fontsize=8.5)
    what = f"the red: {share:.0%} of the photo have half of the gradient"
    style = {"ha": "center", "va": "center", "fontsize": 8.5, "color": GRADIENT}
    axes.text((FIRST + LAST) / 2, LAST + 14, what, **style)
    axes.set(xlim=(FIRST - 8, LAST + 8), ylim=(LAST + 26, FIRST - 22))
    axes.set_title("What the logit at + looks at, trained weights")
    axes.set_axis_off()


def spreads(x, deviation):
    """The standard deviation of each convolution's output before the ReLU, without BatchNorm."""
    rng, found = np.random.default_rng(0), []
    for layer in Network(1 / 4).layers.values():
        if isinstance(layer, BatchNorm2d):
            continue
        weight = layer.params["weight"]
        fan_in = np.prod(weight.shape[:3])
        draw = rng.standard_normal(weight.shape)
        weight[...] = draw * deviation(fan_in) if deviation else draw / fan_in**0.5
        layer.relu = False
        y = layer.forward(x)
        y = y if deviation else y / y.std()
        found.append(y.std())
        x = np.maximum(y, 0)
    return found


def spreads_drawn(axes):
    photos = [load_crop(EXAMPLES / f"{n}.jpg", 64, 64) for n in ("tulips", "cat", "meadow", "sea")]
    x = targets(np.stack(photos))[0]
    for name, (deviation, color) in STARTS.items():
        found = spreads(x, deviation)
        axes.semilogy(range(1, len(found) + 1), found, ".-", color=color, label=name)
    axes.set(xlabel="layer", ylabel="standard deviation", ylim=(1e-12, 30))
    axes.legend(fontsize=8, loc="lower left")
    axes.set_title("Four photos through a fresh network, no BatchNorm")
    axes.grid(color="0.92")


def draw():
    figure = new_figure(9, 8)
    grid = figure.add_gridspec(3, 2, height_ratios=(1.15, 0.85, 1.15), width_ratios=(1.1, 1))
    layers_drawn(figure.add_subplot(grid[0, :]))
    strides_drawn(figure.add_subplot(grid[1, 0]))
    spreads_drawn(figure.add_subplot(grid[2, 0]))
    field_drawn(figure.add_subplot(grid[1:, 1]))
    for axes in figure.axes:
        axes.title.set_fontsize(10)
    return figure


def last_bits():
    """How far the full network moves if every weight moves by its last bit. Takes half a minute."""
    photos = [load_crop(EXAMPLES / f"{name}.jpg", 176, 256) for name in ("tulips", "cat")]
    x, index, weight = targets(np.stack(photos))
    fresh = Network()
    fresh.initialize(x)
    for name, net in (("fresh", fresh), ("trained", Colorizer.load().network)):
        runs = []
        for bits in (0, 1):
            rng = np.random.default_rng(0)
            for p in net.params().values():
                way = rng.choice(np.array([-np.inf, np.inf], np.float32), p.shape)
                p[...] = np.nextafter(p, way) if bits else p
            logits = net.forward(x, train=True).copy()
            loss = softmax_cross_entropy(logits, index, weight, np.ones(313, np.float32))
            net.backward(loss.gradient)
            runs.append((logits, np.concatenate([g.ravel() for g in net.grads().values()])))
        for what, before, now in zip(("logits", "gradients"), *runs, strict=True):
            off = np.linalg.norm(now.astype(float) - before) / np.linalg.norm(before)
            print(f"{name} network: {what} move by {off:.0e}")


if __name__ == "__main__":
    last_bits()
