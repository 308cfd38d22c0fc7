"""Wrong answers that students give to chapter 9. The docstring: exercise, and what is to be said."""

import math

import numpy as np


def _means(p, g, m, v, betas, decay):
    g = g + decay * p
    return betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g


def no_correction(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: the corrections are missing"""
    m, v = _means(p, g, m, v, betas, decay)
    return m, v, p - lr * m / (np.sqrt(v) + eps)


def only_m_corrected(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: v is not corrected"""
    m, v = _means(p, g, m, v, betas, decay)
    return m, v, p - lr * m / (1 - betas[0] ** t) / (np.sqrt(v) + eps)


def t_from_zero(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: beta^t has the wrong power"""
    m, v = _means(p, g, m, v, betas, decay)
    c1, c2 = (1 - np.float64(b) ** (t - 1) for b in betas)
    return m, v, p - lr * (m / c1) / (np.sqrt(v / c2) + eps)


def t_from_zero_in_python(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: beta^t has the wrong power"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat = m / (1 - betas[0] ** (t - 1))
    vhat = v / (1 - betas[1] ** (t - 1))
    return m, v, p - lr * mhat / (vhat**0.5 + eps)


def one_step_too_many(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: beta^t has the wrong power"""
    t += 1
    m, v = _means(p, g, m, v, betas, decay)
    return m, v, p - lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def times_t(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: beta t stands where beta^t belongs"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] * t), v / (1 - betas[1] * t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def eps_in_the_root(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: eps stands within the root"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / np.sqrt(vhat + eps)


def eps_before_the_correction(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: eps is added to sqrt(v) before the correction"""
    m, v = _means(p, g, m, v, betas, decay)
    rate = lr * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    return m, v, p - rate * m / (np.sqrt(v) + eps)


def no_eps(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: eps is missing"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / np.sqrt(vhat)


def betas_exchanged(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: beta1 and beta2 are exchanged"""
    beta2, beta1 = betas
    m = beta1 * m + (1 - beta1) * (g + decay * p)
    v = beta2 * v + (1 - beta2) * (g + decay * p) ** 2
    mhat, vhat = m / (1 - beta1**t), v / (1 - beta2**t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def shares_exchanged(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: the shares are exchanged"""
    g = g + decay * p
    m, v = (1 - betas[0]) * m + betas[0] * g, (1 - betas[1]) * v + betas[1] * g**2
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def adamw(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: decay p is missing in the gradient that it takes in"""
    m, v = _means(p, g, m, v, betas, 0)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * (mhat / (np.sqrt(vhat) + eps) + decay * p)


def decay_twice(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: the decay comes in twice"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * (mhat / (np.sqrt(vhat) + eps) + decay * p)


def decay_not_in_v(p, g, m, v, t, lr, betas, eps, decay):
    """adam: v is wrong: decay p is missing in the gradient that it takes in"""
    m = betas[0] * m + (1 - betas[0]) * (g + decay * p)
    v = betas[1] * v + (1 - betas[1]) * g**2
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def not_squared(p, g, m, v, t, lr, betas, eps, decay):
    """adam: v is wrong: g is not squared"""
    g = g + decay * p
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (np.sqrt(np.abs(vhat)) + eps)


def m_squared(p, g, m, v, t, lr, betas, eps, decay):
    """adam: v is wrong: the new m is squared in it"""
    m = betas[0] * m + (1 - betas[0]) * (g + decay * p)
    v = betas[1] * v + (1 - betas[1]) * m**2
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def momentum_without_a_share(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: the new gradient lacks its share"""
    g = g + decay * p
    m, v = betas[0] * m + g, betas[1] * v + (1 - betas[1]) * g**2
    return m, v, p - lr * m / (np.sqrt(v) + eps)


def corrected_means_kept(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: the corrected mean is given back"""
    m, v = _means(p, g, m, v, betas, decay)
    m = m / (1 - betas[0] ** t)
    v = v / (1 - betas[1] ** t)
    return m, v, p - lr * m / (np.sqrt(v) + eps)


def no_root(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: the root is missing"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (vhat + eps)


def uphill(p, g, m, v, t, lr, betas, eps, decay):
    """adam: p is wrong: the step goes uphill"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p + lr * mhat / (np.sqrt(vhat) + eps)


def p_first(p, g, m, v, t, lr, betas, eps, decay):
    """adam: m is wrong: p is given where m is wanted"""
    m, v = _means(p, g, m, v, betas, decay)
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return p - lr * mhat / (np.sqrt(vhat) + eps), m, v


def in_place(p, g, m, v, t, lr, betas, eps, decay):
    """adam: it overwrites its argument m"""
    m *= betas[0]
    m += (1 - betas[0]) * (g + decay * p)
    v = betas[1] * v + (1 - betas[1]) * (g + decay * p) ** 2
    mhat, vhat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return m, v, p - lr * mhat / (np.sqrt(vhat) + eps)


def ramp_from_zero(step, lr, steps, least, warmup):
    """learning_rate: the ramp begins at 0"""
    rate = lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * step / steps)))
    return rate * min(1, step / warmup) if warmup else rate


def ramp_without_end(step, lr, steps, least, warmup):
    """learning_rate: the ramp goes on rising"""
    rate = lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * step / steps)))
    return rate * (step + 1) / max(warmup, step + 1 if warmup == 0 else warmup)


def no_warm_up_asked(step, lr, steps, least, warmup):
    """learning_rate: ZeroDivisionError in line"""
    rate = lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * step / steps)))
    return rate * min(1, (step + 1) / warmup)


def line_then_cosine(step, lr, steps, least, warmup):
    """learning_rate: in the warm-up the cosine is left out"""
    if step < warmup:
        return lr * (step + 1) / warmup
    return lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def cosine_after_the_warm_up(step, lr, steps, least, warmup):
    """learning_rate: the cosine begins after the warm-up only"""
    if step < warmup:
        return lr * (step + 1) / warmup
    done = (step - warmup) / (steps - warmup)
    return lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * done)))


def falls_to_zero(step, lr, steps, least, warmup):
    """learning_rate: least is left out"""
    rate = lr * 0.5 * (1 + np.cos(np.pi * step / steps))
    return rate * min(1, (step + 1) / warmup) if warmup else rate


def least_as_a_rate(step, lr, steps, least, warmup):
    """learning_rate: least is a share of lr, not a rate"""
    rate = least + (lr - least) * 0.5 * (1 + np.cos(np.pi * step / steps))
    return rate * min(1, (step + 1) / warmup) if warmup else rate


def a_whole_turn(step, lr, steps, least, warmup):
    """learning_rate: a whole cosine; half of one is meant"""
    rate = lr * (least + (1 - least) * 0.5 * (1 + np.cos(2 * np.pi * step / steps)))
    return rate * min(1, (step + 1) / warmup) if warmup else rate


def without_one_plus(step, lr, steps, least, warmup):
    """learning_rate: 1 + is missing before the cosine"""
    rate = lr * (least + (1 - least) * np.cos(np.pi * step / steps))
    return rate * min(1, (step + 1) / warmup) if warmup else rate


def no_warm_up(step, lr, steps, least, warmup):
    """learning_rate: the warm-up is left out"""
    return lr * (least + (1 - least) * 0.5 * (1 + np.cos(np.pi * step / steps)))


def constant_d(start, weights, ema):
    """averaged: d is the same in all steps"""
    average = start
    for now in weights:
        average = ema * average + (1 - ema) * now
    return average


def steps_from_zero(start, weights, ema):
    """averaged: t counts from 1, and here from 0"""
    average = start
    for t in range(len(weights)):
        d = min(ema, (1 + t) / (10 + t))
        average = d * average + (1 - d) * weights[t]
    return average


def shares_of_the_average_exchanged(start, weights, ema):
    """averaged: the shares are exchanged"""
    average = start
    for t, now in enumerate(weights, 1):
        d = min(ema, (1 + t) / (10 + t))
        average = average + d * (now - average)
    return average


def the_larger_d(start, weights, ema):
    """averaged: max stands where min belongs"""
    average = start
    for t, now in enumerate(weights, 1):
        d = max(ema, (1 + t) / (10 + t))
        average = d * average + (1 - d) * now
    return average


def begins_with_the_first_step(start, weights, ema):
    """averaged: it begins with p_1"""
    average = weights[0]
    for t, now in enumerate(weights, 1):
        d = min(ema, (1 + t) / (10 + t))
        average = d * average + (1 - d) * now
    return average


def begins_at_zero(start, weights, ema):
    """averaged: it begins at 0"""
    average = np.zeros_like(start)
    for t, now in enumerate(weights, 1):
        d = min(ema, (1 + t) / (10 + t))
        average = d * average + (1 - d) * now
    return average


def plain_mean(start, weights, ema):
    """averaged: all steps count alike"""
    return np.mean(weights, axis=0)


def average_in_place(start, weights, ema):
    """averaged: it overwrites its argument start"""
    for t, now in enumerate(weights, 1):
        d = min(ema, (1 + t) / (10 + t))
        start *= d
        start += (1 - d) * now
    return start


def not_carried_on(start, weights, ema):
    """averaged: each step starts from `start` again"""
    for t, now in enumerate(weights, 1):
        d = min(ema, (1 + t) / (10 + t))
        average = d * start + (1 - d) * now
    return average


def ema_never_reached(start, weights, ema):
    """averaged: ema is left out of the minimum"""
    average = start
    for t, now in enumerate(weights, 1):
        d = (1 + t) / (10 + t)
        average = d * average + (1 - d) * now
    return average


def a_rate_of_ones_own(step, lr, steps, least, warmup):
    """learning_rate: steps is taken to be 10: it is an argument"""
    rate = lr * (least + (1 - least) * (1 + np.cos(np.pi * step / 10)) / 2)
    return rate * min(1, (step + 1) / warmup if warmup else 1)
