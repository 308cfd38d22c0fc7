"""Chapter 6: the graph of BatchNorm, with numbers and gradients."""

import numpy as np

from mini_colorize.layers.batchnorm import batchnorm, batchnorm_backward
from tools.figures import new_figure

from . import boxes, numbers


def draw():
    x = np.array([1.0, 2, 4, 5]).reshape(4, 1, 1, 1)
    dy = np.array([0.0, 0, 0, 1]).reshape(4, 1, 1, 1)
    gamma, beta, eps = np.array([2.0]), np.array([0.5]), 1e-5
    y, mu, var = batchnorm(x, gamma, beta, eps)
    dx, dgamma, dbeta = batchnorm_backward(dy, x, gamma, mu, var, eps)
    sigma = np.sqrt(var + eps)
    c, g = x - mu, gamma * dy
    xhat = c / sigma
    dsigma = -(g * xhat).sum() / sigma
    dc = g / sigma + dsigma * c / (sigma * len(x))
    nodes = {
        "x": (0, 0, "x", numbers(x, 0), numbers(dx)),
        "mu": (0.75, 0.95, "μ = mean of x", numbers(mu), numbers(-dc.sum(keepdims=True))),
        "c": (1.5, 0, "c = x − μ", numbers(c), numbers(dc)),
        "sigma": (2.25, 0.95, "σ = √(mean of c² + ε)", numbers(sigma), numbers(dsigma)),
        "xhat": (3, 0, "x̂ = c / σ", numbers(xhat), numbers(g)),
        "y": (4.5, 0, "y = γ x̂ + β", numbers(y), numbers(dy, 0)),
        "gamma": (3.75, 0.95, "γ", numbers(gamma, 0), numbers(dgamma)),
        "beta": (5.2, 0.95, "β", numbers(beta, 1), numbers(dbeta, 0)),
    }
    arrows = (
        "x mu",
        "mu c",
        "x c",
        "c sigma",
        "c xhat",
        "sigma xhat",
        "xhat y",
        "gamma y",
        "beta y",
    )
    figure = new_figure(11, 3.2)
    axes = figure.subplots()
    boxes(axes, nodes, [pair.split() for pair in arrows])
    axes.set_title(
        "Four numbers of one channel; in red the gradient of the loss, here the last y itself",
        fontsize=10,
    )
    return figure
