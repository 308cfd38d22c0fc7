"""Chapter 9: Adam, the schedules of the learning rate, the moving average of the weights.

Notation
    p, g    the numbers that are learned, their gradients    m, v   running mean of g and of g^2
    t       step, from 1                                     beta1, beta2   their decays
    lr      learning rate                                    s      loss scale: g comes multiplied by it
    decay   weight decay, the factor of an L2 penalty        eps    keeps the divisor above 0
    ema     what a moving average keeps of itself in a step  share  what it takes in, 1 - ema
"""

import math

import numpy as np


def adam_rates(lr, t, betas):
    """What changes from step to step: a = lr / (1 - beta1^t) and c = sqrt(1 - beta2^t).

    m and v begin at 0 and are too small at first, by these factors of t. Returns two floats.
    """
    return lr / (1 - betas[0] ** t), (1 - betas[1] ** t) ** 0.5


def adam(p, g, m, v, *, rates, betas, eps, decay, decayed, scale, overflow):
    """Adam (Kingma and Ba 2015, algorithm 1), with weight decay as the authors' Caffe has it.

        g <- g / s + decay p           (of the first `decayed` numbers: convolution weights)
        m <- beta1 m + (1 - beta1) g        v <- beta2 v + (1 - beta2) g^2
        p <- p - a m / (sqrt(v) / c + eps)  =  p - lr m^ / (sqrt(v^) + eps),
                                               m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t)

    The decay goes through m and v like any gradient; this is not "decoupled" AdamW.
    p, g, m, v: (n,) float. rates: a, c, from `adam_rates`. decayed: int. scale: () float, s.
    overflow: () int; if it is not 0, a gradient overflowed, and p, m, v come back unchanged (t
    goes on). Returns p, m, v.
    """
    if overflow:
        return p, m, v
    a, c = rates
    gradient = g / scale + decay * p * (np.arange(len(p)) < decayed)
    mean = betas[0] * m + (1 - betas[0]) * gradient
    square = betas[1] * v + (1 - betas[1]) * gradient**2
    return p - a * mean / (np.sqrt(square) / c + eps), mean, square


def moving_average(average, now, share):
    """average + share (now - average). Both (n,) float. Returns the same."""
    return average + share * (now - average)


def average_share(t, ema):
    """The share of `moving_average` at step t, from 1:  1 - min(ema, (1 + t) / (10 + t)).

    The early, larger share forgets a random start. (tf.train.ExponentialMovingAverage has it so.)
    """
    return 1 - min(ema, (1 + t) / (10 + t))


def find_overflow(x):
    """1 if any number is infinite or not a number, else 0. x: (n,). Returns () int32."""
    return np.array(not np.isfinite(x).all(), np.int32)


GROWTH = 1000  # steps


def loss_scale(scale, good, overflow):
    """The loss scale s of the next step (Micikevicius et al. 2018, section 3.2).

    An overflow halves it; GROWTH good steps in a row double it; it stays within 1 ... 2^24.
    scale: () float32, s. good: () int32, steps since. overflow: () int32, 0 or 1. Returns scale,
    good.
    """
    good = (good + 1) * (1 - overflow)
    grown = good == GROWTH
    otherwise = np.where(grown, np.float32(2), np.float32(1))
    factor = np.where(overflow > 0, np.float32(0.5), otherwise)
    scale = np.clip(scale * factor, np.float32(1), np.float32(2.0**24))
    return scale, np.where(grown, 0, good)


def step_schedule(step, lr, every):
    """Learning rate at a step, from 0: multiplied by 0.316 = 10^(-1/2) every `every` steps, twice.

    The authors': lr = 3.16e-5, every about 215,000 of 450,000 steps.
    """
    return lr * 0.316 ** min(step // every, 2)


def cosine_schedule(step, lr, steps, least=0.01):
    """Learning rate at a step, 0 .. steps: half a cosine from lr down to least * lr.

    Source: Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts.
    """
    return lr * (least + (1 - least) * (1 + math.cos(math.pi * step / steps)) / 2)


def warmed_up(step, lr, warmup):
    """The rate of a schedule, smaller in the first `warmup` steps: it grows linearly to lr.

    Adam's first steps go by the sign of the gradient alone, a whole lr in every weight; what a
    network has learned would not survive that.
    """
    return lr * min(1, (step + 1) / warmup) if warmup else lr
