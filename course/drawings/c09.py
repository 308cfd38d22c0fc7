"""Chapter 9: schedules, and what they do to a training that takes a tenth of a second.

The task is real but small: from the 64 numbers that the network `tiny` has for each pixel before
its last layer, and a constant 1, a linear layer is to tell ab. It has 130 weights.
"""

import numpy as np
from PIL import Image

from mini_colorize.color import EVERY, rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.losses import l2_loss
from mini_colorize.optim import (
    adam,
    adam_rates,
    average_share,
    cosine_schedule,
    moving_average,
    step_schedule,
    warmed_up,
)
from tools.figures import ROOT, new_figure

STEPS, LR, WARMUP, BATCH = 400, 0.1, 40, 16
BLUE, ORANGE, GREEN, GRAY = "#2f6fab", "#e08a1e", "#2a7f62", "0.6"
RATES = {
    "constant": lambda step: LR,
    "steps": lambda step: step_schedule(step, LR, STEPS * 215 // 450),
    "cosine": lambda step: cosine_schedule(step, LR, STEPS),
    "with warm-up": lambda step: warmed_up(step, cosine_schedule(step, LR, STEPS), WARMUP),
}


def task():
    """Features (P, 65) and ab / 20 (P, 2) of the pixels of a photograph, and the best weights."""
    photo = Image.open(ROOT / "examples" / "tulips.jpg").convert("RGB").resize((128, 128))
    lab = rgb_to_lab(np.asarray(photo)).astype(np.float32)
    x = (lab[None, :, :, :1] - 50) / 100
    *layers, _ = Colorizer.load("tiny").network.layers.values()
    for layer in layers:
        x = layer.forward(x)
    features = x.reshape(-1, x.shape[3]).astype(np.float64)
    features = np.column_stack([features, np.ones(len(features))])
    ab = lab[EVERY, EVERY, 1:].reshape(-1, 2).astype(np.float64) / 20
    return features, ab, np.linalg.lstsq(features, ab, rcond=None)[0]


def loss(p, features, ab):
    """The loss of weights p (130,) on some pixels, and its gradient."""
    answer = features @ p.reshape(-1, 2)
    found = l2_loss(answer[:, None, None], ab[:, None, None], np.ones(len(ab), bool))
    return float(found.weighted), (features.T @ found.gradient[:, 0, 0]).ravel()


def train(rate, features, ab, start):
    """The loss on all pixels after each step, (STEPS + 1,), and that of the averaged weights."""
    rng, betas = np.random.default_rng(0), (0.9, 0.99)
    p = average = start.ravel()
    m = v = np.zeros(p.size)
    curve = [(loss(p, features, ab)[0],) * 2]
    for t in range(1, STEPS + 1):
        rows = rng.integers(len(ab), size=BATCH)
        g = loss(p, features[rows], ab[rows])[1]
        rates = adam_rates(rate(t - 1), t, betas)
        options = {"eps": 1e-8, "decay": 0, "decayed": 0, "scale": 1, "overflow": 0}
        p, m, v = adam(p, g, m, v, rates=rates, betas=betas, **options)
        average = moving_average(average, p, average_share(t, 0.98))
        curve.append([loss(weights, features, ab)[0] for weights in (p, average)])
    return np.array(curve).T


def draw():
    features, ab, best = task()
    figure = new_figure(11, 3.6)
    rates, left, right = figure.subplots(1, 3)
    colors = dict(zip(RATES, (GRAY, GREEN, BLUE, ORANGE), strict=True))
    for name, rate in RATES.items():
        rates.plot([rate(step) for step in range(STEPS)], color=colors[name], label=name)
    rates.set(title="Learning rate", xlabel="step", ylim=(0, 0.135))
    rates.legend(fontsize=8.5, ncols=2, loc="upper center")

    constant, average = train(RATES["constant"], features, ab, 0 * best)
    cosine, _ = train(RATES["cosine"], features, ab, 0 * best)
    left.plot(constant, color=GRAY, lw=0.9, label="constant")
    left.plot(cosine, color=BLUE, label="cosine")
    left.plot(average, color="black", ls="--", label="constant, averaged weights")
    left.axhline(loss(best.ravel(), features, ab)[0], color="0.8", lw=0.8)
    left.set(title="Loss, from weights 0", xlabel="step", ylim=(0.33, 1.1))
    left.legend(fontsize=8.5)

    for name, label in (("cosine", "without warm-up"), ("with warm-up", "with 40 steps of it")):
        curve, _ = train(RATES[name], features, ab, best)
        right.plot(curve[:51], color=colors[name], label=label)
    right.axhline(loss(best.ravel(), features, ab)[0], color="0.8", lw=0.8)
    right.set(title="Loss, from the best weights", xlabel="step", ylim=(0.33, 1.1))
    right.legend(fontsize=8.5)
    return figure
