"""Chapter 9: Adam, schedules, averages. Check your answers with: python -m course 9"""

import math  # noqa: F401

import numpy as np  # noqa: F401


def adam(p, g, m, v, t, lr, betas, eps, decay):
    """One step of Adam, with the weight decay in the gradient.

        g' = g + decay p
        m <- beta1 m + (1 - beta1) g'       v <- beta2 v + (1 - beta2) g'^2
        m^ = m / (1 - beta1^t)              v^ = v / (1 - beta2^t)
        p <- p - lr m^ / (sqrt(v^) + eps)

    p, g, m, v: (n,) float64: the weights, their gradients, the two means so far (0 before the first
    step). t: the number of this step, from 1. betas: (beta1, beta2). lr, eps, decay: numbers.
    Returns the new m, v and p, each (n,), in this order.
    """
    raise NotImplementedError


def learning_rate(step, lr, steps, least, warmup):
    """Half a cosine from lr to least * lr, times a ramp in the first `warmup` steps.

        cosine = lr (least + (1 - least) (1 + cos(pi step / steps)) / 2)
        ramp   = (step + 1) / warmup, at most 1; without warm-up (warmup = 0) it is 1

    step: from 0 to steps. Returns the product, a number.
    """
    raise NotImplementedError


def averaged(start, weights, ema):
    """The moving average of the weights after all steps of a training.

        average <- d average + (1 - d) p_t,    d = min(ema, (1 + t) / (10 + t)),    t = 1, 2, ...

    start: (n,) float64, the weights before the first step, where the average begins.
    weights: (T, n): p_1, p_2, ... p_T, those after each step. ema: a number. Returns (n,).
    """
    raise NotImplementedError
