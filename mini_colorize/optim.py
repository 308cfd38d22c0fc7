"""Chapter 6: Adam, the schedules, the loss scale, the moving average of the weights.

Notation
    g      gradient of one number         m, v   running mean of g and of g^2
    t      step, from 1                   beta1, beta2   their decays
    lr     learning rate                  decay  weight decay (an L2 penalty's factor)
    s      loss scale: the gradients that arrive are s times the true ones
"""

import math

import numpy as np

from . import kernels
from .backend import array_module, as_numbers, device_copy
from .packed import Packed
from .threads import run, scratch, split

CHUNK = 2**17  # numbers a thread treats at a time: with fewer, threads wait for Python's lock
_ONE, _NO = np.array(1, np.float32), np.array(0, np.int32)


def adam(p, g, m, v, scale, overflow, decayed, decay, betas, step_size, root_correction, eps):
    """One step of Adam, in place; see the class. Does nothing if `overflow` is not 0.

    p, g, m, v: (n,) float. scale: () float, s. overflow: () int. decayed: the first so many
    numbers decay. step_size: lr / (1 - beta1^t). root_correction: sqrt(1 - beta2^t).
    """
    arguments = (decayed, decay, betas, step_size, root_correction, eps)
    if array_module(p) is not np:
        return kernels.adam(p, g, m, v, scale, overflow, *arguments)
    if overflow:
        return None

    def one(part):
        work, root = scratch("adam", (2, part.stop - part.start), p.dtype)
        _adam_chunk(
            p[part],
            g[part],
            m[part],
            v[part],
            scale,
            max(0, decayed - part.start),
            *arguments[1:],
            work,
            root,
        )

    run(one, split(len(p), CHUNK))


def _adam_chunk(p, g, m, v, s, decayed, decay, betas, step_size, root_correction, eps, work, root):
    """`adam` on so few numbers that all stay in the cache; nothing is allocated."""
    np.divide(g, s, out=work)
    if decay and decayed:
        np.multiply(p[:decayed], decay, out=root[:decayed])
        work[:decayed] += root[:decayed]
    np.multiply(work, work, out=root)  # g^2
    v *= betas[1]
    root *= 1 - betas[1]
    v += root
    work -= m
    work *= 1 - betas[0]
    m += work
    np.sqrt(v, out=root)
    root /= root_correction
    root += eps
    np.divide(m, root, out=work)
    work *= step_size
    p -= work


def find_overflow(x):
    """1 if any number is infinite or not a number, else 0. x: (n,). Returns () int32."""
    if array_module(x) is not np:
        return kernels.find_overflow(x)
    return np.array(not np.isfinite(x).all(), np.int32)


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay as the authors' Caffe has it.

        g <- g + decay p           (only arrays of convolution weights: 4 dimensions)
        m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
        p <- p - lr / (1 - beta1^t)  m / (sqrt(v / (1 - beta2^t)) + eps)

    The decay goes through m and v like any gradient; this is not "decoupled" AdamW.
    params: Packed, updated in place. Memory: two arrays a parameter.
    """

    def __init__(self, params, betas=(0.9, 0.99), eps=1e-8, decay=0.0):
        self.params, self.betas, self.eps, self.decay = params, betas, eps, decay
        self.t = 0
        self.m, self.v = params.zeros_like(), params.zeros_like()

    def step(self, grads, lr, scale=None, overflow=None):
        """Update every parameter. grads: Packed like the parameters. lr: float.

        scale: () float32, s, or None for 1. overflow: () int32, not 0 to change nothing, or None.
        A step that was left out counts in t all the same.
        """
        self.t += 1
        xp = array_module(self.params.flat)
        scale = device_copy(_ONE, xp) if scale is None else scale
        overflow = device_copy(_NO, xp) if overflow is None else overflow
        adam(
            self.params.flat,
            grads.flat,
            self.m.flat,
            self.v.flat,
            scale,
            overflow,
            self.params.decayed,
            self.decay,
            self.betas,
            lr / (1 - self.betas[0] ** self.t),
            (1 - self.betas[1] ** self.t) ** 0.5,
            self.eps,
        )

    def state(self):
        """name -> array, to be saved; t is the number of steps taken."""
        moments = {f"m.{n}": a for n, a in self.m.items()}
        moments.update({f"v.{n}": a for n, a in self.v.items()})
        return {**moments, "t": np.array(self.t)}

    def load_state(self, state):
        """Take over what `state` gave. Raises KeyError or ValueError if it does not fit."""
        for kind, moments in (("m", self.m), ("v", self.v)):
            for name, array in moments.items():
                array[...] = as_numbers(name, state[f"{kind}.{name}"], array)
        self.t = int(state["t"])


def step_schedule(step, lr, every, factor=0.316, drops=2):
    """Learning rate at a step (from 0): multiplied by `factor` after `every` steps, twice in all.

    The authors': lr = 3.16e-5, every about 215,000 of 450,000 steps, factor 0.316 = 10^-1/2.
    """
    return lr * factor ** min(step // every, drops)


def cosine_schedule(step, lr, steps, least=0.01):
    """Learning rate at a step (from 0): half a cosine from lr down to least * lr after `steps`.

    Source: Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.
    """
    return lr * (least + (1 - least) * (1 + math.cos(math.pi * step / steps)) / 2)


def warmed_up(step, lr, warmup):
    """The rate of a schedule, smaller in the first `warmup` steps: it grows in line to lr.

    Adam's first steps go by the sign of the gradient alone, a whole lr in every weight; what a
    network has learned would not survive that.
    """
    return lr * min(1, (step + 1) / warmup) if warmup else lr


class LossScale:
    """Keeps the gradients of float16 pictures within float16's range (Micikevicius et al. 2018).

    The gradient of the loss is multiplied by s, so small gradients do not vanish; Adam divides by
    it again. A step with an overflow is left out and halves s; GROWTH good steps in a row double
    it. All of this stays on the device: the host never waits to learn of an overflow.
    """

    GROWTH = 1000

    def __init__(self, xp, scale=2.0**16):
        self.scale, self.good = xp.full((), scale, np.float32), xp.zeros((), np.int32)

    def update(self, overflow):
        """Take in whether this step overflowed. overflow: () int32, 0 or 1, on the device."""
        xp = array_module(self.scale)
        good = (self.good + 1) * (1 - overflow)
        grown = good == self.GROWTH
        otherwise = xp.where(grown, np.float32(2), np.float32(1))
        factor = xp.where(overflow > 0, np.float32(0.5), otherwise)
        self.scale = xp.clip(self.scale * factor, np.float32(1), np.float32(2.0**24))
        self.good = xp.where(grown, 0, good).astype(np.int32)

    def state(self):
        """name -> array, to be saved."""
        return {"scale": self.scale, "good": self.good}

    def load_state(self, state):
        """Take over what `state` gave. Raises KeyError or ValueError if it does not fit."""
        scale, good = float(state["scale"]), int(state["good"])
        if not (1 <= scale <= 2.0**24 and 0 <= good < self.GROWTH):
            raise ValueError(f"{scale}, {good}: no loss scale")
        self.scale[...], self.good[...] = scale, good


def moving_average(average, now, share):
    """average <- average + share (now - average), in place. Both (n,) float."""
    if array_module(average) is not np:
        return kernels.moving_average(average, now, share)

    def one(part):
        average[part] += share * (now[part] - average[part])

    run(one, split(len(average), CHUNK))


class MovingAverage:
    """Exponential moving average of arrays: a smoother network than the last step's.

        average <- average + (1 - d) (now - average),   d = min(decay, (1 + t) / (10 + t))

    The early, smaller d forgets a random start; what was trained before is not to be forgotten,
    and d = decay from the first step on. groups: list of Packed, all their names apart. trained:
    whether the arrays are trained already.
    """

    def __init__(self, groups, decay, trained=False):
        self.decay, self.t, self.trained = decay, 0, trained
        self.groups = [(Packed(arrays), arrays) for arrays in groups]

    @property
    def average(self):
        """name -> averaged array."""
        return {name: a for averages, _ in self.groups for name, a in averages.items()}

    def update(self):
        """Take in the arrays as they are now, after one more step."""
        self.t += 1
        d = self.decay if self.trained else min(self.decay, (1 + self.t) / (10 + self.t))
        for averages, now in self.groups:
            moving_average(averages.flat, now.flat, 1 - d)
