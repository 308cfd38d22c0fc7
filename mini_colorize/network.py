"""Chapter 8: the network, eight blocks of convolutions (figure 2 of the paper).

There is no pooling: strided convolutions shrink the picture to 1/8, dilated ones (conv5, conv6)
widen what a pixel sees without shrinking it further, and one transposed convolution brings it
back to 1/4, where a 1x1 convolution gives every pixel its 313 logits.

Notation
    S   side of the input, a multiple of 8       h = w = S/4   side of the logits
    x   (N, S, S, 1), (L - 50) / 100             logits   (N, h, w, Q)

The last layer is the head. The paper's is "bins", with Q logits; its regression baseline (section
3.1) has the same network under the head "ab", which says the colour itself, divided by AB_SCALE.

Names of layers are those of the authors' Caffe network: conv1_1 ... conv8_3, conv8_313.
"""

import copy
from itertools import pairwise
from math import prod

import numpy as np

from .backend import array_module, as_numbers, to_device
from .bins import TEMPERATURE, Q
from .fast import convolution
from .fast.memory import Packed
from .modules import BatchNorm2d, Conv2d, ConvTranspose2d
from .ops import ops

WIDTHS = {"tiny": 0.25, "small": 0.5, "full": 1.0}
HEADS = {"bins": ("conv8_313", Q), "ab": ("conv8_ab", 2)}  # head: its layer, what it says a pixel
AB_SCALE = 20.0  # about the spread of a and b in photographs: the head "ab" says numbers around 1
FILL_LIMIT = 3e4  # of a folded BatchNorm's padding: well within float16
MULTIPLE = 8  # the sides of the input must divide by this, so that h = S / 4 exactly

# block: channels at width 1, dilation, number of 3x3 convolutions, stride of the last one
_BLOCKS = {
    1: (64, 1, 2, 2),
    2: (128, 1, 2, 2),
    3: (256, 1, 3, 2),
    4: (512, 1, 3, 1),
    5: (512, 2, 3, 1),
    6: (512, 2, 3, 1),
    7: (512, 1, 3, 1),
}


class Network:
    """The colourisation network.

    width: multiplies the channels of all hidden layers; see WIDTHS. dtype: float32, or float64
    for gradient checks. head: "bins" or "ab"; with "ab", what is called logits below is
    (N, h, w, 2), ab / AB_SCALE. All weights start at zero: call `initialize` or `load_state`.
    half: pictures between the layers are float16, on a GPU only; the weights stay as they are.
    """

    def __init__(self, width=1.0, dtype=np.float32, head="bins"):
        self.width, self.head, self.half = width, head, False
        self.layers, last, hidden = {}, 1, {"relu": True, "dtype": dtype}
        for block, (channels, dilation, count, stride) in _BLOCKS.items():
            channels = max(1, round(channels * width))
            for i in range(1, count + 1):
                s = stride if i == count else 1
                self.layers[f"conv{block}_{i}"] = Conv2d(last, channels, 3, s, dilation, **hidden)
                last = channels
            self.layers[f"bn{block}"] = BatchNorm2d(channels, dtype=dtype)
        channels = max(1, round(256 * width))
        self.layers["conv8_1"] = ConvTranspose2d(last, channels, **hidden)
        for i in (2, 3):
            self.layers[f"conv8_{i}"] = Conv2d(channels, channels, **hidden)
        name, outputs = HEADS[head]
        self.layers[name] = Conv2d(channels, outputs, kernel=1, dtype=dtype)

    def forward(self, x, train=False):
        """x: (N, S, S', 1), sides multiples of 8 -> logits (N, S/4, S'/4, Q), x's dtype, or
        float16 if `half`.

        With `train`, BatchNorm uses the batch's statistics and every layer keeps what `backward`
        needs: about one array an activation.
        """
        if x.ndim != 4 or x.shape[3] != 1 or x.shape[1] % MULTIPLE or x.shape[2] % MULTIPLE:
            raise ValueError(f"input {x.shape}: must be (N, H, W, 1), H and W multiples of 8")
        if self.half:
            x = x.astype(np.float16)
        with ops(x).at_work():
            for layer in self.layers.values():
                x = layer.forward(x, train)
        return x

    def colors(self, logits, temperature=TEMPERATURE):
        """The colours that an output of `forward` stands for.

        logits: (N, h, w, Q), of which the annealed mean is taken; or, with the head "ab",
        (N, h, w, 2), and the temperature has no say. Returns (N, h, w, 2), the logits' dtype: a, b.
        """
        if self.head == "ab":
            return logits * AB_SCALE
        return ops(logits).annealed_mean(logits, temperature)

    def backward(self, dlogits):
        """Fill every layer's `grads`. dlogits: (N, h, w, Q), dL/dlogits; may be overwritten.

        The chain rule, from the last layer to the first. The gradient to the picture is not made.
        """
        *rest, first = reversed(self.layers.values())
        with ops(dlogits).at_work():
            for layer in rest:
                dlogits = layer.backward(dlogits)
            first.backward(dlogits, input_gradient=False)

    def part_batches(self, part):
        """From now on a batch is a part, `BatchPart`, of one that several processes see."""
        for layer in self.layers.values():
            if isinstance(layer, BatchNorm2d):
                layer.part = part

    # Parameters and state -----------------------------------------------------------------------

    def params(self):
        """All learned arrays, "layer.name" -> array; the arrays themselves, not copies."""
        return self._collect("params")

    def grads(self):
        """The gradient of each of `params`, under the same names, after `backward`."""
        return self._collect("grads")

    def state(self):
        """Everything inference needs: the parameters and BatchNorm's running averages."""
        return {**self.params(), **self._collect("buffers")}

    def _collect(self, kind):
        return {
            f"{name}.{key}": array
            for name, layer in self.layers.items()
            for key, array in getattr(layer, kind, {}).items()
        }

    def pack(self):
        """Lay the parameters end to end in one array, the gradients in a second, BatchNorm's
        averages in a third; from now on the layers' arrays are views of these.

        Returns {"params": Packed, "grads": Packed, "buffers": Packed}.
        """
        packed = {kind: Packed(self._collect(kind)) for kind in ("params", "buffers")}
        packed["grads"] = packed["params"].zeros_like()
        for kind, arrays in packed.items():
            for name, view in arrays.items():
                layer, key = name.split(".")
                getattr(self.layers[layer], kind)[key] = view
        return packed

    def load_state(self, state):
        """Copy arrays into the network. state: as from `state`, any float dtype.

        Raises ValueError in one line if a name is missing or unknown, or if an array has another
        shape or is not of finite real numbers.
        """
        own = self.state()
        wrong = sorted(own.keys() ^ state.keys())
        wrong += [n for n in own.keys() & state.keys() if own[n].shape != state[n].shape]
        if wrong:
            raise ValueError(f"these weights are not for this network: {wrong[0]} does not match")
        for name, array in own.items():  # one at a time: at full width two copies are 130 MB more
            array[...] = as_numbers(name, state[name], array)

    def to(self, xp):
        """Move every array to the device of `xp` (numpy or cupy). Returns the network.

        What was packed is packed no more.
        """
        for layer in self.layers.values():
            for kind in ("params", "buffers"):
                arrays = getattr(layer, kind, {})
                arrays.update({key: to_device(array, xp) for key, array in arrays.items()})
            if isinstance(layer, Conv2d) and not isinstance(layer.fill, int):
                layer.fill = to_device(layer.fill, xp)
        return self

    # Initialisation -----------------------------------------------------------------------------

    def initialize(self, x, seed=0):
        """He initialisation, then every layer rescaled to unit output variance on real data.

        Each weight is drawn from N(0, 2 / fan_in) (He et al. 2015), the batch x is sent through,
        and each convolution is divided by its output's standard deviation before the next one is
        visited (Mishkin and Matas 2016). Neither vanishing nor exploding, whatever the data.
        x: (N, S, S, 1) float, one batch of real pictures.
        """
        rng = np.random.default_rng(seed)
        for layer in self.layers.values():
            if "weight" in layer.params:
                weight, bias = layer.params["weight"], layer.params["bias"]
                draw = rng.standard_normal(weight.shape) * np.sqrt(2 / np.prod(weight.shape[:3]))
                weight[...] = array_module(weight).asarray(draw)
                bias[...] = 0
                relu, layer.relu = layer.relu, False
                deviation = float(layer.forward(x).std())
                weight /= max(deviation, 1e-8)
                layer.relu = relu
            x = layer.forward(x, train=isinstance(layer, BatchNorm2d))
            layer.between = None  # BatchNorm's: there will be no backward pass

    # Inference ----------------------------------------------------------------------------------

    def folded(self):
        """A copy for inference with BatchNorm folded into the next convolution, where exact.

        BatchNorm is y = x a + c. A convolution of y is one of x with weights a W and bias
        b + sum over taps of c W, provided that the padding of x is what BatchNorm maps to zero:
        -c / a. So `fill` becomes -c / a. That is ill-conditioned where a is near 0 (or -c / a is
        beyond float16), and a transposed convolution has no padding to fill (its border pixels
        see fewer taps): there BatchNorm stays. The weights of the copy must not change any more
        (see modules.py, frozen).
        """
        net = copy.deepcopy(self)
        names = list(net.layers)
        for name, following in pairwise(names):
            layer, conv = net.layers[name], net.layers[following]
            if not (isinstance(layer, BatchNorm2d) and isinstance(conv, Conv2d)):
                continue
            scale, shift = layer.scale_and_shift()
            ill = float(abs(scale).min()) <= 1e-3 * float(abs(scale).max())
            if ill or float(abs(shift / scale).max()) > FILL_LIMIT:
                continue
            weight = conv.params["weight"]
            conv.params["bias"] += (shift @ weight.sum(axis=(0, 1))).astype(weight.dtype)
            weight *= scale[:, None]
            conv.fill = -shift / scale
            del net.layers[name]
        for layer in net.layers.values():
            if isinstance(layer, (Conv2d, ConvTranspose2d)):
                layer.frozen = True
        return net

    def halved(self):
        """For inference on a GPU: float16 pictures and weights. Returns the network."""
        self.half = True
        for layer in self.layers.values():
            if "weight" in layer.params:
                layer.params["weight"] = layer.params["weight"].astype(np.float16)
        return self

    # Summary ------------------------------------------------------------------------------------

    def summary(self, size=256):
        """A table: layer, output shape, parameters, FLOPs and plan of one picture, size x size."""
        lines = [f"{'layer':<10} {'output (H, W, C)':<18} {'parameters':>11} {'MFLOP':>10}  plan"]
        shape, total_params, total_flops, values = (size, size, 1), 0, 0, size * size
        for name, layer in self.layers.items():
            flops, plan = layer.flops(shape), self._plan_name(layer, shape)
            shape = layer.output_shape(shape)
            params = sum(p.size for p in layer.params.values())
            total_params, total_flops = total_params + params, total_flops + flops
            values += shape[0] * shape[1] * shape[2]
            lines.append(f"{name:<10} {str(shape):<18} {params:>11,} {flops / 1e6:>10,.1f}  {plan}")
        what = next((k for k, w in WIDTHS.items() if w == self.width), f"width {self.width:g}")
        lines.append(f"{what + ', total':<29} {total_params:>11,} {total_flops / 1e6:>10,.1f}")
        lines.append("FLOPs count every convolution as a direct one, whatever its plan.")
        lines.append("Every convolution but the last ends with a ReLU.")
        mib = values * 4 / 2**20
        lines.append(f"Training keeps {mib:.1f} MiB of float32 a picture for backward.")
        return "\n".join(lines)

    def _plan_name(self, layer, shape):
        """How a convolution is carried out for one picture of this shape."""
        weight = layer.params.get("weight")
        if isinstance(layer, Conv2d):
            pixels = prod(layer.output_shape(shape)[:2])
            m = convolution.choose_plan(weight.shape, pixels, layer.geometry["stride"])
        elif isinstance(layer, ConvTranspose2d):
            geometry = tuple(layer.geometry.values())
            m = convolution.transposed_plan(weight.shape, prod(shape[:2]), geometry)
        else:
            return ""
        return f"Winograd F({m}x{m}, 3x3)" if m else "gather"
