"""Chapter 3d: batch normalisation (Ioffe and Szegedy, 2015, algorithm 1).

Notation
    x     (N, H, W, C)    input              mu, var   (C,)   mean, variance over N H W
    xhat  (N, H, W, C)    normalised input   gamma, beta (C,) learned scale and shift
    M     N H W, the number of values a channel

The four functions below are all that touches whole pictures; what lies between them works on
(C,) vectors. Each has a CUDA kernel of its own, which reads its input once.
"""

import numpy as np

from .. import kernels
from ..arena import empty
from ..backend import array_module
from ..threads import scratch
from .common import by_blocks, column_sum, keep_gradient


def statistics(x):
    """mu and var (biased, over M) of every channel. x: (N, H, W, C). Returns two (C,)."""
    if array_module(x) is not np:
        return kernels.batchnorm_statistics(x)
    m = x.size // x.shape[3]
    (total,) = by_blocks(lambda x: (column_sum(x),), x)
    mu = total / m

    def block(x):
        centred = np.subtract(x, mu, out=scratch("centred", x.shape, x.dtype))
        return (column_sum(np.square(centred, out=centred)),)

    (total,) = by_blocks(block, x)
    return mu, total / m


def normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift. x: (N, H, W, C), the others (C,). Returns a new array."""
    if array_module(x) is not np:
        return kernels.batchnorm_normalize(x, mean, scale, shift)
    y = empty(x.shape, x)

    def block(x, y):
        np.subtract(x, mean, out=y)
        y *= scale
        y += shift

    by_blocks(block, x, y)
    return y


def gradient_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels. dy, x: (N, H, W, C). Returns two (C,)."""
    if array_module(dy) is not np:
        return kernels.batchnorm_sums(dy, x, mean)

    def block(dy, x):
        product = np.subtract(x, mean, out=scratch("centred", x.shape, x.dtype))
        product *= dy
        return column_sum(dy), column_sum(product)

    return by_blocks(block, dy, x)


def input_gradient(dy, x, mean, scale, offset, slope):
    """dx = scale (dy - offset - (x - mean) slope), written over dy. All but dy, x are (C,)."""
    if array_module(dy) is not np:
        return kernels.batchnorm_backward(dy, x, mean, scale, offset, slope)

    def block(dy, x):
        part = np.subtract(x, mean, out=scratch("centred", x.shape, x.dtype))
        part *= slope
        part += offset
        dy -= part
        dy *= scale

    by_blocks(block, dy, x)
    return dy


class BatchNorm2d:
    """Normalise every channel over the batch, then scale and shift.

    In training the batch's own mean and variance are used and the running averages move towards
    them by `momentum`, the variance as its unbiased estimate M/(M-1) var, as torch defines it.
    In inference the running averages are used. Memory between the passes: the input (borrowed),
    mu and 1/sigma. The learned and the running vectors stay float32 where x is float16.
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
        gamma, beta = self.params["gamma"], self.params["beta"]
        if not train:
            mean, var = self.buffers["mean"], self.buffers["var"]
            return normalize(x, mean, gamma / self._sigma(var), beta)
        m = x.size // x.shape[3]
        mu, var = statistics(x)
        inv_sigma = 1 / self._sigma(var)
        self._update_running(mu, var * (m / max(m - 1, 1)))
        self.kept = x, mu, inv_sigma
        return normalize(x, mu, gamma * inv_sigma, beta)

    def _sigma(self, var):
        return array_module(var).sqrt(var + self.eps)

    def _update_running(self, mu, var):
        for name, now in (("mean", mu), ("var", var)):
            self.buffers[name] += self.momentum * (now - self.buffers[name])

    def scale_and_shift(self):
        """Inference is y = x scale + shift. Returns both, (C,)."""
        scale = self.params["gamma"] / self._sigma(self.buffers["var"])
        return scale, self.params["beta"] - self.buffers["mean"] * scale

    def backward(self, dy):
        """dbeta = sum dy,  dgamma = sum dy xhat,
        dx = gamma / sigma (dy - dbeta / M - xhat dgamma / M).

        The last two terms are there because mu and var depend on x as well.
        dy: (N, H, W, C), overwritten. Returns dx, the same shape.
        """
        (x, mu, inv_sigma), self.kept = self.kept, None
        m = x.size // x.shape[3]
        dbeta, dgamma = gradient_sums(dy, x, mu)
        dgamma = dgamma * inv_sigma
        keep_gradient(self.grads, "gamma", dgamma)
        keep_gradient(self.grads, "beta", dbeta)
        scale = self.params["gamma"] * inv_sigma
        return input_gradient(dy, x, mu, scale, dbeta / m, dgamma * inv_sigma / m)

    def output_shape(self, shape):
        """(H, W, C) -> the same."""
        return shape

    def flops(self, shape):
        """One multiplication and one addition a value, as in inference."""
        return 2 * shape[0] * shape[1] * shape[2]
