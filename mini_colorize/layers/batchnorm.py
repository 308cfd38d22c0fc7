"""Chapter 3c: batch normalisation (Ioffe and Szegedy, 2015, algorithm 1).

Notation
    x     (N, H, W, C)    input              mu, var   (C,)   mean, variance over N H W
    xhat  (N, H, W, C)    normalised input   gamma, beta (C,) learned scale and shift
    M     N H W, the number of values a channel
"""

import numpy as np

from ..backend import array_module
from .conv import pixel_sum


class BatchNorm2d:
    """Normalise every channel over the batch, then scale and shift.

    In training the batch's own mean and variance are used and the running averages move towards
    them by `momentum`, the variance as its unbiased estimate M/(M-1) var, as torch defines it.
    In inference the running averages are used. Memory between the passes: the input (borrowed),
    mu and 1/sigma.
    """

    def __init__(self, channels, eps=1e-5, momentum=0.1, dtype=np.float32):
        self.eps, self.momentum = eps, momentum
        self.params = {"gamma": np.ones(channels, dtype), "beta": np.zeros(channels, dtype)}
        self.buffers = {"mean": np.zeros(channels, dtype), "var": np.ones(channels, dtype)}
        self.grads = {}
        self.kept = None

    def forward(self, x, train=False):
        """y = gamma (x - mu) / sqrt(var + eps) + beta. x: (N, H, W, C) -> the same shape."""
        self.kept = None
        if not train:
            scale, shift = self.scale_and_shift()
            y = x * scale
            y += shift
            return y
        xp = array_module(x)
        m = x.size // x.shape[3]
        mu = pixel_sum(x) / m
        y = x - mu
        var = xp.einsum("nhwc,nhwc->nhc", y, y).sum(axis=(0, 1)) / m
        inv_sigma = 1 / xp.sqrt(var + self.eps)
        self._update_running(mu, var * (m / max(m - 1, 1)))
        self.kept = x, mu, inv_sigma
        y *= self.params["gamma"] * inv_sigma
        y += self.params["beta"]
        return y

    def _update_running(self, mu, var):
        for name, now in (("mean", mu), ("var", var)):
            self.buffers[name] += self.momentum * (now - self.buffers[name])

    def scale_and_shift(self):
        """Inference is y = x scale + shift. Returns both, (C,)."""
        xp = array_module(self.buffers["var"])
        scale = self.params["gamma"] / xp.sqrt(self.buffers["var"] + self.eps)
        return scale, self.params["beta"] - self.buffers["mean"] * scale

    def backward(self, dy):
        """dbeta = sum dy,  dgamma = sum dy xhat,
        dx = gamma / sigma (dy - dbeta / M - xhat dgamma / M).

        The last two terms are there because mu and var depend on x as well.
        dy: (N, H, W, C), overwritten. Returns dx, the same shape.
        """
        (x, mu, inv_sigma), self.kept = self.kept, None
        xp = array_module(x)
        m = x.size // x.shape[3]
        xhat = x - mu
        xhat *= inv_sigma
        dbeta = pixel_sum(dy)
        dgamma = xp.einsum("nhwc,nhwc->nhc", dy, xhat).sum(axis=(0, 1))
        self.grads["gamma"], self.grads["beta"] = dgamma, dbeta
        xhat *= dgamma / m
        dy -= xhat
        dy -= dbeta / m
        dy *= self.params["gamma"] * inv_sigma
        return dy

    def output_shape(self, shape):
        """(H, W, C) -> the same."""
        return shape

    def flops(self, shape):
        """One multiplication and one addition a value, as in inference."""
        return 2 * shape[0] * shape[1] * shape[2]
