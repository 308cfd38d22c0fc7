"""Chapter 9: Adam, schedules, averages."""

import math

import numpy as np

from mini_colorize import optim as package

from ..check import Exercise

FILE = "09_adam.py"
WEIGHT = ("weight",)


# Adam --------------------------------------------------------------------------------------------


def _adam_cases():
    for seed, (n, t, betas, eps, decay) in enumerate(
        [
            (1, 1, (0.9, 0.99), 0.01, 0),
            (3, 2, (0.8, 0.95), 0.1, 0),
            (4, 7, (0.9, 0.98), 0.05, 0.3),
            (5, 3, (0.7, 0.9), 0.02, 0.2),
        ]
    ):
        rng = np.random.default_rng(seed)
        p, g, m = rng.standard_normal((3, n)).round(1)
        v = rng.uniform(0.2, 2, n).round(1)
        if t == 1:
            m, v = np.zeros(n), np.zeros(n)
        yield {"p": p, "g": g, "m": m, "v": v, "t": t, "lr": 0.5 + seed / 4, "betas": betas,
               "eps": eps, "decay": decay}  # fmt: skip
    zero = np.zeros(2)  # nothing has ever moved these
    yield {"p": np.array([1.0, -2]), "g": zero, "m": zero, "v": zero, "t": 4, "lr": 0.5,
           "betas": (0.9, 0.99), "eps": 1e-8, "decay": 0}  # fmt: skip


def _by_loops(p, g, m, v, t, lr, betas, eps, decay):
    """One weight at a time."""
    rows = []
    for weight, slope, mean, square in zip(p, g, m, v, strict=True):
        slope = slope + decay * weight
        mean = betas[0] * mean + (1 - betas[0]) * slope
        square = betas[1] * square + (1 - betas[1]) * slope**2
        root = math.sqrt(square / (1 - betas[1] ** t))
        rows.append((mean, square, weight - lr * mean / (1 - betas[0] ** t) / (root + eps)))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _package_adam(p, g, m, v, t, lr, betas, eps, decay):
    rates = package.adam_rates(lr, t, betas)
    options = {"betas": betas, "eps": eps, "decay": decay, "decayed": len(p)}
    p, m, v = package.adam(p, g, m, v, rates=rates, scale=1, overflow=0, **options)
    return m, v, p


class Step:
    """What the mistakes are made of: a step's arrays, the new m and v, and both corrected."""

    def __init__(self, p, g, m, v, t, lr, betas, eps, decay):
        self.p, self.t, self.lr, self.eps, self.decay = p, t, lr, eps, decay
        self.raw, self.g, self.old_m, self.old_v = g, g + decay * p, m, v
        self.b1, self.b2 = betas
        self.m = self.b1 * m + (1 - self.b1) * self.g
        self.v = self.b2 * v + (1 - self.b2) * self.g**2
        self.c1, self.c2 = 1 - self.b1**t, 1 - self.b2**t

    def moved(self, m=None, v=None, divisor=None):
        """p after a step with other means, or another divisor than sqrt(v^) + eps."""
        m = self.m / self.c1 if m is None else m
        root = np.sqrt(self.v / self.c2 if v is None else v)
        return self.p - self.lr * m / (root + self.eps if divisor is None else divisor)


def _of_step(mistakes):
    return [(sentence, lambda f=f, **case: f(Step(**case))) for sentence, f in mistakes]


SWAPPED = "beta1 and beta2 are exchanged"
DECOUPLED = "decay p is missing in the gradient that it takes in (beside it, it would be AdamW)"
SHARES = "the shares are exchanged: beta is that of the old mean, 1 - beta that of the new gradient"
POWER = "beta^t has the wrong power: t is the number of this step, from 1"
EARLY = (
    "the corrected mean is given back: m and v stay as they are, m^ and v^ are for this step only"
)
ADAM = Exercise(
    FILE,
    "adam",
    _package_adam,
    _by_loops,
    {"m": WEIGHT, "v": WEIGHT, "p": WEIGHT},
    list(_adam_cases()),
    mistakes={
        "m": _of_step([
            ("p is given where m is wanted: the order is m, v, p", lambda s: s.moved()),
            (SWAPPED, lambda s: s.b2 * s.old_m + (1 - s.b2) * s.g),
            (SHARES, lambda s: (1 - s.b1) * s.old_m + s.b1 * s.g),
            (DECOUPLED, lambda s: s.b1 * s.old_m + (1 - s.b1) * s.raw),
            ("the new gradient lacks its share, 1 - beta1", lambda s: s.b1 * s.old_m + s.g),
            (EARLY, lambda s: s.m / s.c1),
            ("it is as it was: give back the new one", lambda s: s.old_m),
            ("the decay has the wrong sign",
             lambda s: s.b1 * s.old_m + (1 - s.b1) * (s.raw - s.decay * s.p)),
            ("the decay is multiplied by lr", lambda s: (
                s.b1 * s.old_m + (1 - s.b1) * (s.raw + s.lr * s.decay * s.p))),
            ("the decay comes in twice", lambda s: (
                s.b1 * s.old_m + (1 - s.b1) * (s.raw + 2 * s.decay * s.p))),
            ("the decay is not multiplied by 1 - beta1: it is a part of the gradient",
             lambda s: s.b1 * s.old_m + (1 - s.b1) * s.raw + s.decay * s.p),
        ]),
        "v": _of_step([
            ("g is not squared", lambda s: s.b2 * s.old_v + (1 - s.b2) * s.g),
            ("beta1 stands where beta2 belongs", lambda s: s.b1 * s.old_v + (1 - s.b1) * s.g**2),
            (SHARES, lambda s: (1 - s.b2) * s.old_v + s.b2 * s.g**2),
            (DECOUPLED, lambda s: s.b2 * s.old_v + (1 - s.b2) * s.raw**2),
            ("the new gradient lacks its share, 1 - beta2", lambda s: s.b2 * s.old_v + s.g**2),
            ("the new m is squared in it; the gradient is meant",
             lambda s: s.b2 * s.old_v + (1 - s.b2) * s.m**2),
            ("1 - beta2 is squared too", lambda s: s.b2 * s.old_v + ((1 - s.b2) * s.g) ** 2),
            ("it is the mean of g squared around m; the mean of g squared is meant",
             lambda s: s.b2 * s.old_v + (1 - s.b2) * (s.g - s.m) ** 2),
            (EARLY, lambda s: s.v / s.c2),
            ("it is as it was: give back the new one", lambda s: s.old_v),
        ]),
        "p": _of_step([
            ("the corrections are missing: m^ and v^ belong here", lambda s: s.moved(s.m, s.v)),
            ("v is not corrected: v^ = v / (1 - beta2^t)", lambda s: s.moved(v=s.v)),
            ("m is not corrected: m^ = m / (1 - beta1^t)", lambda s: s.moved(s.m)),
            *((POWER, lambda s, d=d: s.moved(s.m / (1 - np.float64(s.b1) ** (s.t + d)),
                                             s.v / (1 - np.float64(s.b2) ** (s.t + d))))
              for d in (-1, 1)),
            ("beta t stands where beta^t belongs",
             lambda s: s.moved(s.m / (1 - s.b1 * s.t), s.v / (1 - s.b2 * s.t))),
            ("m and v are divided by 1 - beta: that is right in the first step only, beta^t after it",
             lambda s: s.moved(s.m / (1 - s.b1), s.v / (1 - s.b2))),
            ("the corrections multiply; they divide", lambda s: s.moved(s.m * s.c1, s.v * s.c2)),
            ("the two corrections are exchanged", lambda s: s.moved(s.m / s.c2, s.v / s.c1)),
            ("both are corrected with beta1", lambda s: s.moved(v=s.v / s.c1)),
            ("eps stands within the root: it is added to sqrt(v^)",
             lambda s: s.moved(divisor=np.sqrt(s.v / s.c2 + s.eps))),
            ("eps is added to sqrt(v) before the correction: it is added to sqrt(v^)",
             lambda s: s.moved(divisor=(np.sqrt(s.v) + s.eps) / np.sqrt(s.c2))),
            ("eps is missing", lambda s: s.moved(divisor=np.sqrt(s.v / s.c2))),
            ("eps stands outside of the fraction: it is added to sqrt(v^), below the line",
             lambda s: s.moved(divisor=np.sqrt(s.v / s.c2)) + s.eps),
            ("eps stands outside of the fraction: it is added to sqrt(v^), below the line",
             lambda s: s.moved(divisor=np.sqrt(s.v / s.c2)) - s.lr * s.eps),
            ("v is corrected after its root: v^ = v / (1 - beta2^t) comes first",
             lambda s: s.moved(v=s.v / s.c2**2)),
            ("the division by sqrt(v^) + eps is missing", lambda s: s.moved(divisor=1)),
            ("this is plain descent, p - lr g: m^ and v^ are left out",
             lambda s: s.moved(s.g, divisor=1)),
            ("the root is missing: it is divided by sqrt(v^) + eps",
             lambda s: s.moved(divisor=s.v / s.c2 + s.eps)),
            ("the old m and v are used: the new ones belong here",
             lambda s: s.moved(s.old_m / s.c1, s.old_v / s.c2)),
            ("the old v is used: the new one belongs here", lambda s: s.moved(v=s.old_v / s.c2)),
            ("g stands where m^ belongs", lambda s: s.moved(s.g)),
            ("the decay comes in twice: it is in the gradient already",
             lambda s: s.moved() - s.lr * s.decay * s.p),
            ("the step goes uphill: its sign is minus", lambda s: 2 * s.p - s.moved()),
            ("the rate lr is missing", lambda s: s.p + (s.moved() - s.p) / s.lr),
            ("this is the step alone: it is subtracted from p", lambda s: s.p - s.moved()),
            ("this is the step alone: it is subtracted from p", lambda s: s.moved() - s.p),
        ]),
    },
    tolerance=1e-5,
)  # fmt: skip


# The learning rate -------------------------------------------------------------------------------


def _rate(step, lr, steps, least, warmup):
    """By hand: the cosine as the square of one of half the angle."""
    rate = least * lr + (lr - least * lr) * math.cos(math.pi * step / steps / 2) ** 2
    return np.array(rate * (step + 1) / warmup if step + 1 < warmup else rate)


def _curve(change=lambda x: (1 + math.cos(math.pi * x)) / 2, at=None, floor=None, ramp=None):
    """The rate with one thing changed: the cosine, where it is read, its floor, the ramp."""
    at = at or (lambda step, steps, warmup: step / steps)
    floor = floor or (lambda y, lr, least: lr * (least + (1 - least) * y))
    ramp = ramp or (lambda step, warmup: min(1, (step + 1) / warmup))

    def wrong(step, lr, steps, least, warmup):
        y = change(at(step, steps, warmup))
        return np.array(floor(y, lr, least) * (ramp(step, warmup) if warmup else 1))

    return wrong


def _ramp_then_cosine(step, lr, steps, least, warmup):
    if step < warmup:
        return np.array(lr * (step + 1) / warmup)
    return _curve()(step, lr, steps, least, warmup)


def _ramp_then_whole_cosine(step, lr, steps, least, warmup):
    if step < warmup:
        return np.array(lr * (step + 1) / warmup)
    return _rate(step - warmup, lr, steps - warmup, least, 0)


RATE = Exercise(
    FILE,
    "learning_rate",
    lambda step, lr, steps, least, warmup: package.warmed_up(
        step, package.cosine_schedule(step, lr, steps, least), warmup
    ),
    _rate,
    {"rate": ()},
    [
        {"step": step, "lr": 2.0 + step / 2, "steps": steps, "least": least, "warmup": warmup}
        for step, steps, least, warmup in [
            (0, 10, 0.1, 0), (5, 10, 0.1, 0), (3, 12, 0.2, 0), (10, 10, 0.1, 0),
            (0, 10, 0.1, 4), (2, 10, 0.1, 4), (3, 8, 0.05, 4), (7, 10, 0.1, 4),
        ]
    ],
    mistakes={
        "rate": [
            (
                "the warm-up is left out",
                _curve(ramp=lambda step, warmup: 1),
            ),
            (
                "the ramp begins at 0, so the first step does nothing: (step + 1) / warmup",
                _curve(ramp=lambda step, warmup: min(1, step / warmup)),
            ),
            (
                "the ramp goes on rising after the warm-up: it is at most 1",
                _curve(ramp=lambda step, warmup: (step + 1) / warmup),
            ),
            (
                "max stands where min belongs: the ramp is at most 1",
                _curve(ramp=lambda step, warmup: max(1, (step + 1) / warmup)),
            ),
            (
                "the ramp ends one step late: (step + 1) / warmup is 1 in step warmup - 1",
                _curve(ramp=lambda step, warmup: min(1, (step + 1) / (warmup + 1))),
            ),
            (
                "in the warm-up the cosine is left out: it is a factor there too",
                _ramp_then_cosine,
            ),
            (
                "the cosine begins after the warm-up only: it runs from step 0, and the ramp is a factor",
                _ramp_then_whole_cosine,
            ),
            (
                "the cosine begins after the warm-up only: it runs from step 0, and the ramp is a factor",
                _curve(at=lambda step, steps, warmup: (step - warmup) / (steps - warmup)),
            ),
            ("the rate rises: 1 + cos is meant", _curve(lambda x: (1 - math.cos(math.pi * x)) / 2)),
            ("1 + is missing before the cosine", _curve(lambda x: math.cos(math.pi * x))),
            ("1 + is missing before the cosine", _curve(lambda x: math.cos(math.pi * x) / 2)),
            ("1 + cos lacks its division by 2", _curve(lambda x: 1 + math.cos(math.pi * x))),
            ("a quarter of a cosine; half of one is meant", _curve(lambda x: math.cos(math.pi * x / 2))),
            ("a whole cosine; half of one is meant", _curve(lambda x: (1 + math.cos(2 * math.pi * x)) / 2)),
            ("pi is missing", _curve(lambda x: (1 + math.cos(x)) / 2)),
            ("math.cos takes radians: pi and not 180", _curve(lambda x: (1 + math.cos(180 * x)) / 2)),
            ("this is a line, not a cosine", _curve(lambda x: 1 - x)),
            (
                "the cosine ends a step early: step / steps",
                _curve(at=lambda step, steps, warmup: step / (steps - 1)),
            ),
            (
                "the cosine is a step ahead: step / steps",
                _curve(at=lambda step, steps, warmup: (step + 1) / steps),
            ),
            ("least is left out", _curve(floor=lambda y, lr, least: lr * y)),
            (
                "least is a share of lr, not a rate",
                _curve(floor=lambda y, lr, least: least + (lr - least) * y),
            ),
            (
                "least cuts the curve off; the whole curve is pressed together above it",
                _curve(floor=lambda y, lr, least: lr * max(least, y)),
            ),
            (
                "the factor 1 - least is missing: it begins above lr",
                _curve(floor=lambda y, lr, least: lr * (least + y)),
            ),
            ("lr is missing", _curve(floor=lambda y, lr, least: least + (1 - least) * y)),
        ]
    },
    tolerance=1e-5,
)  # fmt: skip


# The average of the weights ----------------------------------------------------------------------


def _average_cases():
    for seed, (steps, n, ema) in enumerate([(1, 1, 0.5), (3, 2, 0.9), (14, 3, 0.5), (40, 2, 0.7)]):
        rng = np.random.default_rng(seed)
        weights = rng.standard_normal((steps, n)).round(1) + 1
        yield {"start": rng.uniform(3, 5, n).round(1), "weights": weights, "ema": ema}


def _unrolled(start, weights, ema):
    """The share that each step's weights have in the end, and the sum."""
    d = [min(ema, (1 + t) / (10 + t)) for t in range(1, len(weights) + 1)]
    shares = [(1 - d[i]) * math.prod(d[i + 1 :]) for i in range(len(d))]
    return math.prod(d) * start + np.array(shares) @ weights


def _package_average(start, weights, ema):
    average = start
    for t, now in enumerate(weights, 1):
        average = package.moving_average(average, now, package.average_share(t, ema))
    return average


def _averaged(d, first=1, begin=lambda start, weights: start, other=False):
    """The average with another d, d(t, ema); t counted from `first`."""

    def wrong(start, weights, ema):
        average = begin(start, weights)
        for t, now in enumerate(weights, first):
            keep = 1 - d(t, ema) if other else d(t, ema)
            average = keep * average + (1 - keep) * now
        return average

    return wrong


def _ramped(t, ema):
    return min(ema, (1 + t) / (10 + t))


def _always(t, ema):
    return ema


CONSTANT = "d is the same in all steps: the early ones take (1 + t) / (10 + t), if smaller"
START = "it begins with p_1: it begins with `start`, and p_1 is the first to be taken in"
AVERAGE = Exercise(
    FILE,
    "averaged",
    _package_average,
    _unrolled,
    {"average": WEIGHT},
    list(_average_cases()),
    mistakes={
        "average": [
            (CONSTANT, _averaged(_always)),
            ("t counts from 1, and here from 0", _averaged(_ramped, first=0)),
            ("t counts from 1, and here from 2", _averaged(_ramped, first=2)),
            (
                "max stands where min belongs",
                _averaged(lambda t, ema: max(ema, (1 + t) / (10 + t))),
            ),
            (
                "the shares are exchanged: d is that of the average so far, 1 - d that of p_t",
                _averaged(_ramped, other=True),
            ),
            (
                "the shares are exchanged (and d is the same in all steps)",
                _averaged(_always, other=True),
            ),
            ("ema is left out of the minimum", _averaged(lambda t, ema: (1 + t) / (10 + t))),
            (START, _averaged(_ramped, begin=lambda start, weights: weights[0])),
            (
                START,
                lambda start, weights, ema: _averaged(_ramped)(weights[0], weights[1:], ema),
            ),
            (
                START,
                lambda start, weights, ema: _averaged(_ramped, 2)(weights[0], weights[1:], ema),
            ),
            (
                "it begins at 0: it begins with `start`",
                _averaged(_ramped, begin=lambda start, weights: 0 * start),
            ),
            (
                "it begins at 0 and is corrected as in Adam: it begins with `start`",
                lambda start, weights, ema: (
                    _averaged(_always)(0 * start, weights, ema) / (1 - ema ** len(weights))
                ),
            ),
            (
                "all steps count alike: later ones count more",
                lambda start, weights, ema: weights.mean(axis=0),
            ),
            (
                "all steps count alike: later ones count more",
                lambda start, weights, ema: np.vstack([start, weights]).mean(axis=0),
            ),
            (
                "these are the last step's weights, without the average",
                lambda start, weights, ema: weights[-1],
            ),
            (
                "each step starts from `start` again: the average is carried on",
                lambda start, weights, ema: _averaged(_ramped, len(weights))(
                    start, weights[-1:], ema
                ),
            ),
            (
                "the last step is left out",
                lambda start, weights, ema: _averaged(_ramped)(start, weights[:-1], ema),
            ),
        ]
    },
    tolerance=1e-5,
)

EXERCISES = [ADAM, RATE, AVERAGE]
