"""What has state and no mathematics: layers, optimiser, moving average, loss scale.

A module keeps parameters, gradients and what backward needs, and calls the functions of the
chapters through `ops`. Every layer has `forward(x, train)`, `backward(dy)`, the dictionaries
`params` and `grads` with the same keys, `output_shape` and `flops`. A layer keeps what backward
needs only if `train` is true, and lets go of it in backward. Use what is returned, never an
argument again: dy may be overwritten.

Notation: as in chapters 3 to 6 and 9.
"""

from math import prod

import numpy as np

from .backend import array_module, as_numbers, device_numbers
from .fast.memory import Packed
from .layers.batchnorm import running_averages, scale_and_shift
from .layers.conv import output_size
from .layers.conv_transpose import transposed_size
from .ops import ops
from .optim import GROWTH, adam_rates, average_share, loss_scale


class _Convolution:
    """What Conv2d and ConvTranspose2d have in common.

    Memory between the passes: its input, which it only borrows, and, with ReLU, its output, which
    the next layer keeps as its input anyway. Parameters start at zero; see Network.initialize.
    They are float32 also where the pictures are float16, which takes a rounded copy of the weights.

    frozen: the weights will not change any more, so what is made of them may be kept.
    side, transposed: the size of an output, and which of the two it is.
    """

    def __init__(
        self, c_in, c_out, kernel, stride, dilation, padding, relu=False, dtype=np.float32
    ):
        self.geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        self.params = {
            "weight": np.zeros((kernel, kernel, c_in, c_out), dtype),
            "bias": np.zeros(c_out, dtype),
        }
        self.grads = {}
        self.relu, self.frozen = relu, False
        self.between = None

    def forward(self, x, train=False):
        """x: (N, H, W, C_in) -> (N, Ho, Wo, C_out). Keeps x and y for `backward` if `train`."""
        weight = self.params["weight"].astype(x.dtype, copy=False)
        if self.frozen:
            ops(x).freeze(weight)
        y = self._forward(ops(x), x, weight, self.params["bias"])
        self.between = (x, y if self.relu else None) if train else None
        return y

    def backward(self, dy, input_gradient=True):
        """dy: (N, Ho, Wo, C_out). Returns dx (N, H, W, C_in), or None if it is not wanted."""
        (x, y), self.between = self.between, None
        weight, op = self.params["weight"].astype(x.dtype, copy=False), ops(dy)
        dy, dbias = op.bias_relu_backward(dy, y, self.relu)
        options = {"input_gradient": input_gradient, **self.geometry}
        dx, dweight = self._backward(op)(dy, x, weight, **options)
        store(self.grads, weight=dweight, bias=dbias)
        return dx

    def output_shape(self, shape):
        """(H, W, C_in) -> (Ho, Wo, C_out)."""
        kh, kw, _, c_out = self.params["weight"].shape
        g = self.geometry.values()
        return self.side(shape[0], kh, *g), self.side(shape[1], kw, *g), c_out

    def flops(self, shape):
        """Multiplications plus additions for one picture of shape (H, W, C_in), edges included."""
        out = self.output_shape(shape)
        h, w, _ = shape if self.transposed else out  # where the filter is laid
        return 2 * h * w * self.params["weight"].size + self.relu * prod(out)


class Conv2d(_Convolution):
    """Convolution with bias, and with ReLU if `relu`: chapter 4.

    c_in, c_out: channels. padding: pixels, by default what keeps the size at stride 1.
    `fill`, a number or (c_in,), is the value of the padding: 0, but for a folded BatchNorm, which
    is for inference only: `backward` supposes 0.
    """

    side, transposed = staticmethod(output_size), False

    def __init__(self, c_in, c_out, kernel=3, stride=1, dilation=1, padding=None, **options):
        padding = dilation * (kernel - 1) // 2 if padding is None else padding
        super().__init__(c_in, c_out, kernel, stride, dilation, padding, **options)
        self.fill = 0

    def _forward(self, op, x, weight, bias):
        return op.conv2d(x, weight, bias, fill=self.fill, relu=self.relu, **self.geometry)

    def _backward(self, op):
        return op.conv2d_backward


class ConvTranspose2d(_Convolution):
    """Transposed convolution with bias, and with ReLU if `relu`: chapter 5."""

    side, transposed = staticmethod(transposed_size), True

    def __init__(self, c_in, c_out, kernel=4, stride=2, dilation=1, padding=1, **options):
        super().__init__(c_in, c_out, kernel, stride, dilation, padding, **options)

    def _forward(self, op, x, weight, bias):
        return op.conv_transpose2d(x, weight, bias, relu=self.relu, **self.geometry)

    def _backward(self, op):
        return op.conv_transpose2d_backward


class BatchNorm2d:
    """Normalise every channel over the batch, then scale and shift: chapter 6.

    In training the batch's own mean and variance are used and the running averages move towards
    them by `momentum`; in inference the running averages are used. `part`: BatchPart, where x is a
    part of a batch that several processes see; the statistics are then those of the whole batch.
    Memory between the passes: the input (borrowed), mu and var. The learned and the running vectors
    stay float32 where x is float16.
    """

    def __init__(self, channels, eps=1e-5, momentum=0.1, dtype=np.float32):
        self.eps, self.momentum = eps, momentum
        self.params = {"gamma": np.ones(channels, dtype), "beta": np.zeros(channels, dtype)}
        self.buffers = {"mean": np.zeros(channels, dtype), "var": np.ones(channels, dtype)}
        self.grads = {}
        self.between = self.part = None

    def forward(self, x, train=False):
        """x: (N, H, W, C) -> the same shape."""
        self.between = None
        vectors = self.params["gamma"], self.params["beta"]
        if not train:
            averages = self.buffers["mean"], self.buffers["var"]
            return ops(x).batchnorm_inference(x, *vectors, *averages, self.eps)
        whole, m = self.part and self.part.statistics, x.size // x.shape[3]
        y, mu, var = ops(x).batchnorm(x, *vectors, self.eps, whole)
        mean, average = self.buffers["mean"], self.buffers["var"]
        m = self.part.count(m) if self.part else m
        mean[...], average[...] = running_averages(mean, average, mu, var, m, self.momentum)
        self.between = x, mu, var
        return y

    def scale_and_shift(self):
        """Inference is y = x scale + shift. Returns both, (C,)."""
        vectors = self.params["gamma"], self.params["beta"]
        return scale_and_shift(*vectors, self.buffers["mean"], self.buffers["var"], self.eps)

    def backward(self, dy):
        """dy: (N, H, W, C). Returns dx, the same shape."""
        (x, mu, var), self.between = self.between, None
        gamma = self.params["gamma"]
        whole = self.part and self.part.sums
        dx, dgamma, dbeta = ops(dy).batchnorm_backward(dy, x, gamma, mu, var, self.eps, whole)
        store(self.grads, gamma=dgamma, beta=dbeta)
        return dx

    def output_shape(self, shape):
        """(H, W, C) -> the same."""
        return shape

    def flops(self, shape):
        """One multiplication and one addition a value, as in inference."""
        return 2 * shape[0] * shape[1] * shape[2]


def store(grads, **values):
    """Store gradients: in the arrays that are there for them (Network.pack), else as new ones."""
    for name, value in values.items():
        if name in grads:
            grads[name][...] = value
        else:
            grads[name] = value


def overwrite(arrays, values):
    """Each array becomes its new value, unless its twin wrote that over it already."""
    for array, value in zip(arrays, values, strict=True):
        if value is not array:
            array[...] = value


class Adam:
    """The optimiser: chapter 9. params: Packed, updated in place. Memory: twice as much more."""

    def __init__(self, params, betas=(0.9, 0.99), eps=1e-8, decay=0.0):
        self.params, self.t, self.betas, self.rates = params, 0, betas, None
        self.constants = {"betas": betas, "eps": eps, "decay": decay, "decayed": params.decayed}
        self.m, self.v = params.zeros_like(), params.zeros_like()

    def step(self, grads, lr, scale=1, overflow=0):
        """Update every parameter: `advance` and `update`."""
        self.advance(lr)
        self.update(grads, scale, overflow)

    def advance(self, lr):
        """The next step begins, with this learning rate, a float."""
        self.t += 1
        xp, rates = array_module(self.m.flat), adam_rates(lr, self.t, self.betas)
        self.rates = device_numbers(rates, xp, self.rates)

    def update(self, grads, scale=1, overflow=0):
        """Update every parameter. grads: Packed like the parameters.

        scale: s, 1 or () float32. overflow: 0, or () int32, not 0 to change nothing. A step that
        was left out counts in t all the same. Launches the same work every time (see graphs.py).
        """
        p, m, v = arrays = self.params.flat, self.m.flat, self.v.flat
        changing = {"rates": self.rates, "scale": scale, "overflow": overflow}
        overwrite(arrays, ops(p).adam(p, grads.flat, m, v, **changing, **self.constants))

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


class LossScale:
    """Keeps the gradients of float16 pictures within float16's range (Micikevicius et al. 2018).

    The gradient of the loss is multiplied by s, so small gradients do not vanish; Adam divides by
    it again. A step with an overflow is left out. All of this stays on the device: the host never
    waits to learn of an overflow.
    """

    def __init__(self, xp, scale=2.0**16):
        self.scale, self.good = xp.full((), scale, np.float32), xp.zeros((), np.int32)

    def update(self, overflow):
        """Take in whether this step overflowed. overflow: () int32, 0 or 1, on the device."""
        self.scale[...], self.good[...] = loss_scale(self.scale, self.good, overflow)

    def state(self):
        """name -> array, to be saved."""
        return {"scale": self.scale, "good": self.good}

    def load_state(self, state):
        """Take over what `state` gave. Raises KeyError or ValueError if it does not fit."""
        scale, good = float(state["scale"]), int(state["good"])
        if not (1 <= scale <= 2.0**24 and 0 <= good < GROWTH):
            raise ValueError(f"{scale}, {good}: no loss scale")
        self.scale[...], self.good[...] = scale, good


class MovingAverage:
    """Exponential moving average of arrays: a smoother network than the last step's.

    What was trained before is not to be forgotten: then the share is 1 - ema from the first step
    on. groups: list of Packed, all their names apart. trained: whether the arrays are trained
    already.
    """

    def __init__(self, groups, ema, trained=False):
        self.ema, self.t, self.trained, self.share = ema, 0, trained, None
        self.groups = [(Packed(arrays), arrays) for arrays in groups]

    @property
    def average(self):
        """name -> averaged array."""
        return {name: a for averages, _ in self.groups for name, a in averages.items()}

    def step(self):
        """After one more step: `advance` and `update`."""
        self.advance()
        self.update()

    def advance(self):
        """The next step begins."""
        self.t += 1
        xp, share = array_module(self.groups[0][0].flat), average_share(self.t, self.ema)
        self.share = device_numbers(1 - self.ema if self.trained else share, xp, self.share)

    def update(self):
        """Take in the arrays as they are now. Launches the same work every time."""
        for averages, now in self.groups:
            moved = ops(now.flat).moving_average(averages.flat, now.flat, self.share)
            overwrite([averages.flat], [moved])
