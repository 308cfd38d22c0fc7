"""Chapter 3: the chain rule; bias and ReLU. Check your answers with: python -m course 3

dx stands for the gradient of the loss with respect to x: how much the loss grows if x does.
"""

import numpy as np  # noqa: F401


def graph_backward(x, w, b, t):
    """The gradients of the loss of a small graph. All are numbers.

        u = w x + b     y = max(u, 0)     s = x y     loss = (s - t)^2

    x acts twice: in u and in s. Returns dx, dw, db; u is not 0.
    """
    raise NotImplementedError


def bias_relu_backward(dy, y):
    """The gradients of a bias and a ReLU: y = max(x + b, 0).

    dy, y: (N, H, W, C) float64, the gradient of the loss with respect to y, and y itself.
    Returns dx (N, H, W, C) and db (C,); where y is 0, dx is 0.
    """
    raise NotImplementedError


def numeric_gradient(f, x, eps):
    """The gradient of f at x by central differences, one number of x after the other:

        (f(x with x_i + eps) - f(x with x_i - eps)) / (2 eps)

    f: a function of an array of x's shape that gives back a number. x: float64, of any shape; as it
    was when all is done. eps: a small number. Returns x's shape.
    """
    raise NotImplementedError
