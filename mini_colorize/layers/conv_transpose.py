"""Chapter 3c: transposed convolution, the network's one step up in size (conv8).

It is the gradient of a convolution to its input, used as a layer of its own: every input pixel
stamps its filter onto the output. With stride 2 and a 4x4 filter each output pixel is under
exactly four stamps. So forward and backward are those of chapter 3a with roles exchanged.

There is a second way, which Winograd makes the faster one. Sort the output pixels by phase, even or
odd in each direction: those of one phase see a 3x3 window of the input, of which they use four
pixels. So the layer is a 3x3 convolution to 4 C_out channels, C_out for each phase ("wide", with 20
of 36 filter taps zero), and then every pixel's 4 C_out numbers are laid out as 2 x 2 pixels.

Notation: as in chapter 3a; the output is (H-1) s - 2p + d (k-1) + 1 pixels high.
"""

from itertools import product
from math import prod

import numpy as np

from ..arena import empty
from ..backend import array_module
from . import winograd
from .common import keep_gradient
from .conv import AUTO, GATHER, choose_plan, correlate, correlate_adjoint, weight_gradient
from .relu import bias_relu_backward

WIDE_PIXELS = 1536  # see ConvTranspose2d.plan_for

# Along one axis, output pixel 2 t + phase sees input pixel t - 1 + k through tap  3 + phase - 2 k.
_TAPS = [(k, phase, 3 + phase - 2 * k) for k, phase in ((0, 0), (1, 0), (1, 1), (2, 1))]


def widen(weight):
    """The wide convolution of a 4x4 filter. (4, 4, C_in, C_out) -> (3, 3, C_in, 4 C_out)."""
    c_in, c_out = weight.shape[2:]
    wide = empty((3, 3, c_in, 4 * c_out), weight)
    wide[...] = 0
    parts = wide.reshape(3, 3, c_in, 2, 2, c_out)
    for (row, a, i), (column, b, j) in product(_TAPS, _TAPS):
        parts[row, column, :, a, b] = weight[i, j]
    return wide


def widen_adjoint(wide):
    """The gradient to the 4x4 filter from that to the wide one: `widen`, read backwards."""
    weight = np.empty((4, 4, wide.shape[2], wide.shape[3] // 4), wide.dtype)
    parts = wide.reshape(*wide.shape[:3], 2, 2, -1)
    for (row, a, i), (column, b, j) in product(_TAPS, _TAPS):
        weight[i, j] = parts[row, column, :, a, b]
    return weight


def phases_to_pixels(x):
    """(N, H, W, 4 C) -> (N, 2 H, 2 W, C): a pixel's numbers (2, 2, C) become 2 x 2 pixels."""
    n, h, w, c = x.shape
    y = empty((n, 2 * h, 2 * w, c // 4), x)
    y.reshape(n, h, 2, w, 2, c // 4)[...] = x.reshape(n, h, w, 2, 2, c // 4).swapaxes(2, 3)
    return y


def pixels_to_phases(x):
    """(N, 2 H, 2 W, C) -> (N, H, W, 4 C), the way back."""
    n, h, w, c = x.shape
    y = empty((n, h // 2, w // 2, 4 * c), x)
    pairs = x.reshape(n, h // 2, 2, w // 2, 2, c)
    y.reshape(n, h // 2, w // 2, 2, 2, c)[...] = pairs.swapaxes(2, 3)
    return y


class ConvTranspose2d:
    """Transposed convolution with bias, and with ReLU if `relu`. Memory as Conv2d.

    weight: (kh, kw, C_in, C_out), C_in being this layer's input.
    plan, workspace, frozen: as Conv2d's; the plans 2 and 4 are the wide convolution.
    """

    def __init__(
        self, c_in, c_out, kernel=4, stride=2, dilation=1, padding=1, relu=False, dtype=np.float32
    ):
        self.geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        self.params = {
            "weight": np.zeros((kernel, kernel, c_in, c_out), dtype),
            "bias": np.zeros(c_out, dtype),
        }
        self.grads = {}
        self.relu = relu
        self.plan, self.workspace, self.frozen = AUTO, None, False
        self.calls, self.filters = 0, None  # when frozen: pictures so far, transformed weights
        self.kept = None

    def plan_for(self, shape, dtype=np.float32, filters=False):
        """The plan for pictures of shape (N, H, W, C_in). filters: they are transformed already.

        The wide filters are large: transforming them takes what WIDE_PIXELS input pixels save.
        """
        if self.plan is not AUTO:
            return self.plan
        kernel, _, c_in, c_out = self.params["weight"].shape
        pixels = prod(shape[:3])
        fits = (kernel, *self.geometry.values()) == (4, 2, 1, 1)
        if not fits or pixels < WIDE_PIXELS and not filters:
            return GATHER
        return choose_plan(3, 1, c_in, 4 * c_out, pixels, dtype)

    def _mirror(self, dtype):
        """The weights of the convolution that this layer is the adjoint of: it maps y to x."""
        return self.params["weight"].astype(dtype, copy=False).swapaxes(2, 3)

    def forward(self, x, train=False):
        """x: (N, H, W, C_in) -> (N, Ho, Wo, C_out). Keeps x and y for `backward` if `train`."""
        self.calls += self.frozen
        plan, bias = self._plan(x), self.params["bias"]
        if plan == GATHER:
            mirror, size = self._mirror(x.dtype), self.output_shape(x.shape[1:])[:2]
            y = correlate_adjoint(x, mirror, size, bias, relu=self.relu, **self.geometry)
        else:
            wide, filters = self._filters(plan)
            options = {"relu": self.relu, "filters": filters, **self._options(plan)}
            y = phases_to_pixels(winograd.correlate(x, wide, np.tile(bias, 4), **options))
        self.kept = (x, y if self.relu else None) if train else None
        return y

    def _plan(self, x):
        """`plan_for` x. A GPU gathers: its matrix products are fast, and large enough."""
        if array_module(x) is not np:
            return GATHER
        return self.plan_for(x.shape, x.dtype, filters=self.calls > 1)

    def _options(self, plan):
        return {"m": plan, "padding": 1, "workspace": self.workspace}

    def _filters(self, m):
        """(wide filter, None), or (None, it transformed) if it pays to keep that: see Conv2d."""
        if self.calls < 2:
            return widen(self.params["weight"]), None
        if self.filters is None or len(self.filters) != (m + 2) ** 2:
            self.filters = winograd.filter_transform(widen(self.params["weight"]), m)
        return None, self.filters

    def backward(self, dy, input_gradient=True):
        """The mirror convolution M maps y to x:  dx = M(dy),  dW = that of M with dy as its input.

        dy: (N, Ho, Wo, C_out), overwritten if there is a ReLU.
        Returns dx (N, H, W, C_in), or None if it is not wanted.
        """
        (x, y), self.kept = self.kept, None
        keep_gradient(self.grads, "bias", bias_relu_backward(dy, y, self.relu))
        plan = self._plan(x)
        if plan != GATHER:
            return self._backward_wide(x, dy, input_gradient, plan)
        mirror = self._mirror(x.dtype)
        dw = weight_gradient(dy, x, mirror.shape[:2], **self.geometry)
        keep_gradient(self.grads, "weight", dw.swapaxes(2, 3).copy())
        if input_gradient:
            return correlate(dy, mirror, **self.geometry)

    def _backward_wide(self, x, dy, input_gradient, plan):
        """The same by way of the wide convolution, whose gradients are those of chapter 3b."""
        dy, options = pixels_to_phases(dy), self._options(plan)
        dwide = winograd.weight_gradient(x, dy, **options)
        keep_gradient(self.grads, "weight", widen_adjoint(dwide))
        if input_gradient:
            wide = widen(self.params["weight"])
            return winograd.correlate_adjoint(dy, wide, x.shape[1:3], **options)

    def output_shape(self, shape):
        """(H, W, C_in) -> (Ho, Wo, C_out)."""
        kh, kw, _, c_out = self.params["weight"].shape
        s, d, p = self.geometry.values()
        return (
            (shape[0] - 1) * s - 2 * p + d * (kh - 1) + 1,
            (shape[1] - 1) * s - 2 * p + d * (kw - 1) + 1,
            c_out,
        )

    def flops(self, shape):
        """Multiplications plus additions for one picture of shape (H, W, C_in), edges included."""
        h, w, c_out = self.output_shape(shape)
        return 2 * shape[0] * shape[1] * self.params["weight"].size + self.relu * h * w * c_out
