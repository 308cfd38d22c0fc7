"""Wrong answers that students give to chapter 3. The docstring: exercise, and what is to be said."""

import numpy as np


def _graph(x, w, b, t):
    u = w * x + b
    y = np.maximum(u, 0.0)
    s = x * y
    return u, y, s, 2 * (s - t)


def only_the_last_use_of_x(x, w, b, t):
    """graph_backward: dx is wrong: x acts twice: the path through u is missing"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x * (u > 0)
    return ds * y, du * x, du


def only_the_first_use_of_x(x, w, b, t):
    """graph_backward: dx is wrong: x acts twice: the path through s is missing"""
    u, y, s, ds = _graph(x, w, b, t)
    du = x * ds if u > 0 else 0
    return w * du, x * du, du


def paths_multiplied(x, w, b, t):
    """graph_backward: dx is wrong: the two paths are multiplied; they add up"""
    u, y, s, ds = _graph(x, w, b, t)
    du = x * ds if u > 0 else 0
    return (w * du) * (y * ds), x * du, du


def square_without_its_two(x, w, b, t):
    """graph_backward: dx is wrong: the 2 of the square is missing"""
    u, y, s, _ = _graph(x, w, b, t)
    du = x * (s - t) if u > 0 else 0
    return w * du + y * (s - t), x * du, du


def t_minus_s(x, w, b, t):
    """graph_backward: dx is wrong: it has the wrong sign: ds = 2 (s - t)"""
    u, y, s, _ = _graph(x, w, b, t)
    ds = 2 * (t - s)
    du = x * ds if u > 0 else 0
    return w * du + y * ds, x * du, du


def relu_forgotten(x, w, b, t):
    """graph_backward: dx is wrong: ReLU's mask is missing"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x
    return du * w + ds * y, du * x, du


def relu_of_the_gradient(x, w, b, t):
    """graph_backward: dx is wrong: the mask is made of dy"""
    u, y, s, ds = _graph(x, w, b, t)
    du = max(ds * x, 0)
    return du * w + ds * y, du * x, du


def half_a_path(x, w, b, t):
    """graph_backward: dx is wrong: the term du w (the path through u) is half of what it should be"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x * (u > 0)
    return du * w / 2 + ds * y, du * x, du


def w_for_x(x, w, b, t):
    """graph_backward: dw is wrong: it has the factor w; u = w x, so it is x"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x * (u > 0)
    return du * w + ds * y, du * w, du


def bias_like_a_weight(x, w, b, t):
    """graph_backward: db is wrong: it has a factor x"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x * (u > 0)
    return du * w + ds * y, du * x, du * x


def with_a_gradient_of_t(x, w, b, t):
    """graph_backward: it returns 4 values; wanted are 3 values: dx, dw, db"""
    u, y, s, ds = _graph(x, w, b, t)
    du = ds * x * (u > 0)
    return du * w + ds * y, du * x, du, -ds


def mask_of_dy(dy, y):
    """bias_relu_backward: dx is wrong: the mask is made of dy"""
    dx = np.maximum(dy, 0)
    return dx, dx.sum((0, 1, 2))


def no_mask(dy, y):
    """bias_relu_backward: dx is wrong: ReLU's mask is missing"""
    return np.where(y < 0, 0, dy), dy.sum((0, 1, 2))


def times_y(dy, y):
    """bias_relu_backward: dx is wrong: dy is multiplied by y"""
    dx = dy * np.maximum(y, 0)
    return dx, dx.sum((0, 1, 2))


def slope_without_dy(dy, y):
    """bias_relu_backward: dx is wrong: dy is missing"""
    dx = (y > 0).astype(float)
    return dx, dx.sum((0, 1, 2))


def mask_the_wrong_way_round(dy, y):
    """bias_relu_backward: dx is wrong: the mask is the wrong way round"""
    dx = dy.copy()
    dx[y > 0] = 0
    return dx, dx.sum((0, 1, 2))


def mask_written_into_dy(dy, y):
    """bias_relu_backward: it overwrites its argument dy"""
    dy[y <= 0] = 0
    return dy, dy.sum((0, 1, 2))


def bias_before_the_mask(dy, y):
    """bias_relu_backward: db is wrong: ReLU's mask is missing"""
    return dy * (y > 0), dy.sum(axis=0).sum(axis=0).sum(axis=0)


def a_bias_for_each_picture(dy, y):
    """bias_relu_backward: it is not summed over the pictures: this is still a row for each"""
    dx = dy * (y > 0)
    return dx, dx.sum(axis=(1, 2))


def pictures_only(dy, y):
    """bias_relu_backward: it is summed over the pictures only"""
    dx = dy * (y > 0)
    return dx, dx.sum(axis=0)


def one_bias_for_all(dy, y):
    """bias_relu_backward: it is summed over the channels too"""
    dx = dy * (y > 0)
    return dx, dx.sum()


def mean_over_the_pixels(dy, y):
    """bias_relu_backward: db is wrong: it is a mean over the pixels"""
    dx = dy * (y > 0)
    return dx, dx.reshape(-1, dx.shape[-1]).mean(axis=0)


def mean_over_the_pictures(dy, y):
    """bias_relu_backward: db is wrong: it is averaged over the pictures"""
    dx = dy * (y > 0)
    return dx, dx.mean(axis=0).sum(axis=(0, 1))


def axes_of_one_left_over(dy, y):
    """bias_relu_backward: its axes of length 1 are left over"""
    dx = dy * (y > 0)
    return dx, np.sum(dx, axis=(0, 1, 2), keepdims=True)


def _each(x, value):
    out = np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        out[at] = value(at)
    return out


def _moved(x, at, step):
    there = x.copy()
    there[at] += step
    return there


def one_sided(f, x, eps):
    """numeric_gradient: it is one-sided, (f(x + eps) - f(x)) / eps"""
    here = f(x)
    return _each(x, lambda at: (f(_moved(x, at, eps)) - here) / eps)


def factor_two_forgotten(f, x, eps):
    """numeric_gradient: the factor 2 is missing"""
    return _each(x, lambda at: (f(_moved(x, at, eps)) - f(_moved(x, at, -eps))) / eps)


def brackets_forgotten(f, x, eps):
    """numeric_gradient: x / 2 * eps multiplies by eps"""
    return _each(x, lambda at: (f(_moved(x, at, eps)) - f(_moved(x, at, -eps))) / 2 * eps)


def below_minus_above(f, x, eps):
    """numeric_gradient: it has the wrong sign"""
    return _each(x, lambda at: (f(_moved(x, at, -eps)) - f(_moved(x, at, eps))) / (2 * eps))


def far_too_small(f, x, eps):
    """numeric_gradient: eps is too small"""
    eps = 1e-13
    return _each(x, lambda at: (f(_moved(x, at, eps)) - f(_moved(x, at, -eps))) / (2 * eps))


def smaller_than_the_last_digit(f, x, eps):
    """numeric_gradient: it is 0 everywhere: f gets the same array both times"""
    eps = 1e-18
    return _each(x, lambda at: (f(_moved(x, at, eps)) - f(_moved(x, at, -eps))) / (2 * eps))


def no_copy(f, x, eps):
    """numeric_gradient: it is 0 everywhere: f gets the same array both times (x2 = x makes no copy)"""
    out = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        plus, minus = x, x
        plus[at] += eps
        minus[at] -= eps
        out[at] = (f(plus) - f(minus)) / (2 * eps)
    return out


def array_left_changed(f, x, eps):
    """numeric_gradient: it overwrites its argument x: work on a copy, or put back what was there"""
    out = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        x[at] += eps
        above = f(x)
        x[at] -= 2 * eps
        out[at] = (above - f(x)) / (2 * eps)
    return out


def steps_pile_up(f, x, eps):
    """numeric_gradient: steps are not taken back"""
    out, plus, minus = np.zeros_like(x), x.copy(), x.copy()
    for at in np.ndindex(x.shape):
        plus[at] += eps
        minus[at] -= eps
        out[at] = (f(plus) - f(minus)) / (2 * eps)
    return out


def all_at_once(f, x, eps):
    """numeric_gradient: all numbers of x are moved at once"""
    return np.ones(x.shape) * (f(x + eps) - f(x - eps)) / (2 * eps)


def row_by_row(f, x, eps):
    """numeric_gradient: a whole row of x is moved at once"""
    out = np.zeros_like(x)
    for i in range(len(x)):
        out[i] = (f(_moved(x, i, eps)) - f(_moved(x, i, -eps))) / (2 * eps)
    return out


def one_number(f, x, eps):
    """numeric_gradient: gradient has the shape (), wanted is (2,): number"""
    return (f(x + eps) - f(x - eps)) / (2 * eps)


def integers(f, x, eps):
    """numeric_gradient: the digits behind the point are lost"""
    out = np.zeros(x.shape, dtype=int)
    for at in np.ndindex(x.shape):
        out[at] = (f(_moved(x, at, eps)) - f(_moved(x, at, -eps))) / (2 * eps)
    return out
