"""Chapter 8: the network and its initialisation."""

from math import ceil, floor, prod

import numpy as np

from mini_colorize.layers.conv import conv2d
from mini_colorize.modules import BatchNorm2d, Conv2d, ConvTranspose2d
from mini_colorize.network import Network

from ..check import FILTERS, Exercise

FILE = "08_network.py"


# He's factor ----------------------------------------------------------------------------------


def _he_cases():
    for seed, shape in enumerate([(1, 1, 3, 1), (3, 3, 2, 5), (2, 3, 4, 1)]):
        yield {"draw": np.random.default_rng(seed).standard_normal(shape).round(1)}


def _he_loops(draw):
    kh, kw, c_in, c_out = draw.shape
    read = sum(1 for _ in range(kh) for _ in range(kw) for _ in range(c_in))
    out = np.empty_like(draw)
    for at in np.ndindex(draw.shape):
        out[at] = draw[at] * (2.0 / read) ** 0.5
    return out


def _times(factor):
    return lambda draw: draw * factor(*draw.shape)


HE = Exercise(
    FILE,
    "he",
    lambda draw: draw * np.sqrt(2 / np.prod(draw.shape[:3])),  # as Network.initialize has it
    _he_loops,
    {"weights": FILTERS},
    list(_he_cases()),
    mistakes={
        "weights": [
            (
                "fan_out (kh kw C_out) stands where fan_in (kh kw C_in) belongs",
                _times(lambda kh, kw, i, o: (2 / (kh * kw * o)) ** 0.5),
            ),
            (
                "the 2 is missing: a ReLU lets half of E[y^2] through",
                _times(lambda kh, kw, i, o: (1 / (kh * kw * i)) ** 0.5),
            ),
            (
                "2 / fan_in is the variance; the numbers are multiplied by its root",
                _times(lambda kh, kw, i, o: 2 / (kh * kw * i)),
            ),
            (
                "fan_in is not C_in: an output is a sum over the filter's kh kw taps as well",
                _times(lambda kh, kw, i, o: (2 / i) ** 0.5),
            ),
            (
                "fan_in is kh kw C_in: here the output channels are the last axis, not the first",
                _times(lambda kh, kw, i, o: (2 / (kw * i * o)) ** 0.5),
            ),
            (
                "fan_in is without C_out: the numbers of one filter, not of all",
                _times(lambda kh, kw, i, o: (2 / (kh * kw * i * o)) ** 0.5),
            ),
            (
                "the mean of fan_in and fan_out (Glorot's) stands where fan_in belongs",
                _times(lambda kh, kw, i, o: (4 / (kh * kw * (i + o))) ** 0.5),
            ),
            (
                "the mean of fan_in and fan_out stands where fan_in belongs, and the 2 is missing "
                "(Glorot's initialisation)",
                _times(lambda kh, kw, i, o: (2 / (kh * kw * (i + o))) ** 0.5),
            ),
            (
                "the root is of 2 / fan_in, not of fan_in alone",
                _times(lambda kh, kw, i, o: 2 / (kh * kw * i) ** 0.5),
            ),
            (
                "the root is of 2 / fan_in, not of 2 alone",
                _times(lambda kh, kw, i, o: 2**0.5 / (kh * kw * i)),
            ),
            (
                "it is divided where it should be multiplied",
                _times(lambda kh, kw, i, o: (kh * kw * i / 2) ** 0.5),
            ),
            (
                "draw has the variance 1 already, but for chance: it is not to be divided by its "
                "standard deviation",
                lambda draw: draw / draw.std() * (2 / draw[..., 0].size) ** 0.5,
            ),
        ]
    },
)


# Unit variance --------------------------------------------------------------------------------


def _stack_cases():
    for seed, (shape, layers) in enumerate(
        [((1, 2, 2, 1), 1), ((2, 4, 5, 2), 2), ((3, 3, 6, 3), 4)]
    ):
        rng = np.random.default_rng(seed)
        c = shape[3]
        yield {
            "x": rng.uniform(-0.5, 0.5, shape).round(1),
            "weights": (rng.standard_normal((layers, 3, 3, c, c)) * 0.5).round(1),
        }


def _convolved(x, weight):
    """3 x 3 with padding 1, as a sum of nine shifted pictures."""
    n, h, w, _ = x.shape
    around = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(around[:, i : i + h, j : j + w] @ weight[i, j] for i, j in np.ndindex(3, 3))


def _stack(scale, relu=np.maximum, rescaled=True):
    """The rescaled weights. scale: function of an output. rescaled: whether the next layer's input
    is made with the new weights."""

    def made(x, weights):
        out = []
        for weight in weights:
            out.append(weight * scale(_convolved(x, weight)))
            x = relu(_convolved(x, out[-1] if rescaled else weight), 0)
        return np.array(out)

    return made


def _package(x, weights):
    """What Network.initialize does, with weights of ours."""
    out = []
    for weight in weights:
        layer = Conv2d(*weight.shape[2:], dtype=weight.dtype)
        layer.params["weight"][...] = weight
        layer.params["weight"] /= layer.forward(x).std()
        layer.relu = True
        x = layer.forward(x)
        out.append(layer.params["weight"])
    return np.array(out)


def _by_variance_of_the_sum(y):
    return 1 / np.sqrt((y**2).mean() - y.mean() ** 2)


STACK = Exercise(
    FILE,
    "unit_variance",
    _package,
    _stack(_by_variance_of_the_sum),
    {"weights": ("layer", *FILTERS)},
    list(_stack_cases()),
    mistakes={
        "weights": [
            (
                "divided by the variance where its root belongs",
                _stack(lambda y: 1 / y.var()),
            ),
            (
                "the variance after the ReLU is made 1; it is to be that before it",
                _stack(lambda y: 1 / np.maximum(y, 0).std()),
            ),
            (
                "the next layer's input is made with the old weights: rescale a layer before its "
                "output goes on",
                _stack(lambda y: 1 / y.std(), rescaled=False),
            ),
            (
                "the ReLU between the layers is missing",
                _stack(lambda y: 1 / y.std(), relu=lambda y, _: y),
            ),
            (
                "the ReLU between the layers is missing, and the next layer's input is made with "
                "the old weights",
                _stack(lambda y: 1 / y.std(), relu=lambda y, _: y, rescaled=False),
            ),
            (
                "multiplied by the standard deviation where it should be divided",
                _stack(lambda y: y.std()),
            ),
            (
                "the mean of y^2 is made 1; the variance is that of y without its mean",
                _stack(lambda y: 1 / np.sqrt((y**2).mean())),
            ),
            (
                "each channel has its own factor; one for the layer is wanted",
                _stack(lambda y: 1 / y.std(axis=(0, 1, 2))),
            ),
            (
                "the variance is that of the first picture only",
                _stack(lambda y: 1 / y[0].std()),
            ),
            (
                "the variance is divided by the count less 1; divide by the count",
                _stack(lambda y: 1 / y.std(ddof=1)),
            ),
            ("the weights are still the old ones", lambda x, weights: weights),
            (
                "the variance of the weights is made 1; it is to be that of the output",
                lambda x, weights: np.array([w / w.std() for w in weights]),
            ),
            (
                "every layer is given x itself; it is to be given the output of the one before",
                lambda x, weights: np.array([w / _convolved(x, w).std() for w in weights]),
            ),
            (
                "the last output's factor is used for all layers",
                lambda x, weights: weights * _last_factor(x, weights),
            ),
            (
                "the factor of He has no place here: the weights are only rescaled, by what is measured",
                lambda x, weights: np.array([w * np.sqrt(2 / w[..., 0].size) for w in weights]),
            ),
        ]
    },
)


def _last_factor(x, weights):
    for weight in weights:
        y = _convolved(x, weight)
        x = np.maximum(y, 0)
    return 1 / y.std()


# Receptive field ------------------------------------------------------------------------------


def geometry(network):
    """A network's convolutions as tuples (kind, k, s, d, p)."""
    for layer in network.layers.values():
        if not isinstance(layer, BatchNorm2d):
            kind = "transposed" if isinstance(layer, ConvTranspose2d) else "conv"
            yield kind, layer.params["weight"].shape[0], *layer.geometry.values()


def _field_cases():
    plain, strided, dilated = ("conv", 3, 1, 1, 1), ("conv", 3, 2, 1, 1), ("conv", 3, 1, 2, 2)
    up = ("transposed", 4, 2, 1, 1)
    network = list(geometry(Network(1 / 64)))
    stacks = [
        ([plain], 2),
        ([plain, plain, plain], 4),
        ([strided], 2),
        ([strided, plain], 3),
        ([plain, strided, strided], 1),
        ([dilated], 5),
        ([("conv", 5, 2, 2, 1), plain], 3),
        ([("conv", 2, 1, 1, 0)], 4),
        ([up], 4),
        ([up], 5),
        ([up, plain], 5),
        ([plain, up, plain], 6),
        ([strided, dilated, up, plain], 6),
        ([plain, ("transposed", 3, 2, 1, 1), plain], 7),
        (network, 60),
        (network, 61),
    ]
    for layers, o in stacks:
        yield {"layers": layers, "o": o}


def _field_sets(layers, o):
    """By sets: which pixels are read, one layer after another."""
    read = {o}
    for kind, k, s, d, p in reversed(layers):
        if kind == "conv":
            read = {at * s - p + i * d for at in read for i in range(k)}
        else:
            near = range(min(read) // s - k, max(read) // s + k + 1)
            read = {i for i in near if any(0 <= at + p - i * s <= k - 1 for at in read)}
    return max(read) - min(read) + 1, (max(read) + min(read)) / 2


def _field(
    order=reversed,
    stride=True,
    dilation=True,
    padding=True,
    up_padding=True,
    conv_padding=True,
    up="rounded",
    size=lambda a, b: b - a + 1,
    centre=lambda a, b: (a + b) / 2,
    reach=lambda k, d: d * (k - 1),
):
    """The answer by intervals, with one thing or another changed. Returns size, centre."""

    def found(layers, o):
        first = last = o
        for kind, k, s, d, p in order(layers):
            s, d, p = s if stride else 1, d if dilation else 1, p if padding else 0
            if kind == "conv" or up == "conv":
                p = p if conv_padding else 0
                first, last = first * s - p, last * s - p + reach(k, d)
            else:
                p = p if up_padding else 0
                first, last = (first + p - (k - 1)) / s, (last + p) / s
                if up == "rounded":
                    first, last = ceil(first), floor(last)
                elif up == "floors":
                    first, last = floor(first), floor(last)
        return size(first, last), centre(first, last)

    return found


def _late_jump(layers, o):
    """The textbook's formula, the stride multiplied in one layer too early."""
    size, jump = 1, 1
    for kind, k, s, d, _ in layers:
        jump = jump * s if kind == "conv" else jump / s
        size += (k - 1) * d * jump
    return size


def _textbook(layers, o):
    """size = 1 + sum of d (k - 1) times the strides before: only convolutions have one."""
    size, jump = 1, 1
    for kind, k, s, d, _ in layers:
        if kind == "conv":
            size, jump = size + (k - 1) * d * jump, jump * s
        else:
            jump /= s
            size += (k - 1) * jump
    return size


def _size(*args, **options):
    return lambda layers, o: _field(*args, **options)(layers, o)[0]


def _centre(*args, **options):
    return lambda layers, o: _field(*args, **options)(layers, o)[1]


def _steps(layers):
    return prod(s if kind == "conv" else 1 / s for kind, _, s, _, _ in layers)


FIELD = Exercise(
    FILE,
    "receptive_field",
    _field(),
    _field_sets,
    {"size": (), "centre": ()},
    list(_field_cases()),
    mistakes={
        "size": [
            ("last - first is one too few: both ends count", _size(size=lambda a, b: b - a)),
            (
                "these are the first and the last pixel; wanted are the size and the centre",
                _size(size=lambda a, b: a),
            ),
            ("the dilation is left out", _size(dilation=False)),
            ("the padding is left out", _size(padding=False)),
            ("the padding is left out", _size(conv_padding=False)),
            ("the padding of the transposed convolution is left out", _size(up_padding=False)),
            (
                "a dilated filter reaches over d (k - 1) + 1 pixels, not over d k",
                _size(reach=lambda k, d: d * k - 1),
            ),
            ("the stride is left out", _size(stride=False)),
            ("the layers are taken from first to last; go back from the output", _size(iter)),
            (
                "the layers are taken from first to last, and the stride is left out",
                _size(iter, stride=False),
            ),
            (
                "a layer's own stride counts for the layers behind it, not for its own filter",
                _late_jump,
            ),
            (
                "a transposed convolution goes the other way: its stride divides",
                _size(up="conv"),
            ),
            (
                "of a transposed convolution only whole pixels are read: first is rounded up, last "
                "down",
                _size(up="exact"),
            ),
            (
                "of a transposed convolution only whole pixels are read: first is rounded up, last "
                "down",
                _textbook,
            ),
            (
                "of a transposed convolution first is rounded up, not down",
                _size(up="floors"),
            ),
            (
                "along one axis, not an area",
                lambda layers, o: _field_sets(layers, o)[0] ** 2,
            ),
            (
                "the pixels between those that are read count as well",
                lambda layers, o: prod(k for _, k, *_ in layers),
            ),
        ],
        "centre": [
            ("the padding is left out", _centre(padding=False)),
            ("the padding is left out", _centre(conv_padding=False)),
            (
                "the padding of the transposed convolution is left out",
                _centre(up_padding=False),
            ),
            (
                "half a pixel too far: the middle of pixel 2 and 4 is 3",
                _centre(centre=lambda a, b: (a + b + 1) / 2),
            ),
            (
                "the middle may lie between two pixels: it is not rounded",
                _centre(centre=lambda a, b: (a + b) // 2),
            ),
            (
                "it is not o times the strides: work out the first and the last pixel",
                lambda layers, o: o * _steps(layers),
            ),
            (
                "it is not the middle of the pixels that o covers: work out the first and the last "
                "pixel that it sees",
                lambda layers, o: (o + 0.5) * _steps(layers) - 0.5,
            ),
            ("this is where the field begins, and not its middle", _centre(centre=lambda a, b: a)),
        ],
    },
)


# Folding --------------------------------------------------------------------------------------


def _fold_cases():
    for seed, shape in enumerate([(1, 1, 1, 1), (3, 3, 1, 2), (3, 2, 2, 2), (1, 3, 3, 3)]):
        rng = np.random.default_rng(seed)
        yield {
            "weight": rng.standard_normal(shape).round(1),
            "bias": (rng.standard_normal(shape[3]) + 1).round(1),
            "scale": (rng.uniform(0.5, 2, shape[2]) * rng.choice([-1, 1], shape[2])).round(1),
            "shift": rng.uniform(0.3, 1.5, shape[2]).round(1) * rng.choice([-1, 1], shape[2]),
        }


def _probed(weight, bias, scale, shift):
    """By asking the two layers: what they give for 0 is the bias, for a single 1 the weight."""

    def both(x):  # on a picture as large as the filter: one output pixel
        return conv2d(x * scale + shift, weight, bias)[:, 0, 0]

    shape = weight.shape[:3]
    ones = np.eye(prod(shape)).reshape(-1, *shape)
    zero = both(np.zeros((1, *shape)))
    fill = [np.roots([a, c])[0] for a, c in zip(scale, shift, strict=True)]
    return (both(ones) - zero).reshape(weight.shape), zero[0], np.array(fill)


def _package_fold(weight, bias, scale, shift):
    """A network of two layers, folded."""
    net = Network(1 / 64, weight.dtype)
    norm, conv = BatchNorm2d(len(scale), eps=0, dtype=weight.dtype), Conv2d(*weight.shape[2:])
    norm.params = {"gamma": scale, "beta": shift}
    conv.params = {"weight": weight.copy(), "bias": bias.copy()}
    net.layers = {"norm": norm, "conv": conv}
    conv = net.folded().layers["conv"]
    return conv.params["weight"], conv.params["bias"], conv.fill


def _taps(weight):
    return weight.sum(axis=(0, 1))


FOLD = Exercise(
    FILE,
    "fold_batchnorm",
    _package_fold,
    _probed,
    {"weight": FILTERS, "bias": ("output channel",), "fill": ("input channel",)},
    list(_fold_cases()),
    mistakes={
        "weight": [
            (
                "the scale stands at the output channels; BatchNorm comes before this convolution, "
                "so it belongs to the input channels",
                lambda weight, bias, scale, shift: weight * scale,
            ),
            (
                "divided by the scale where it should be multiplied",
                lambda weight, bias, scale, shift: weight / scale[:, None],
            ),
            (
                "the weight is still the old one: it is to be scaled",
                lambda weight, bias, scale, shift: weight,
            ),
            (
                "the shift has no place in the weight: it does not go with x",
                lambda weight, bias, scale, shift: weight * scale[:, None] + shift[:, None],
            ),
        ],
        "bias": [
            (
                "the shift meets the old weights: it is not scaled",
                lambda weight, bias, scale, shift: bias + (shift * scale) @ _taps(weight),
            ),
            (
                "the sum over the taps is missing: every tap reads the shift",
                lambda weight, bias, scale, shift: (
                    bias + shift @ weight[weight.shape[0] // 2, weight.shape[1] // 2]
                ),
            ),
            (
                "a mean over the taps where a sum belongs",
                lambda weight, bias, scale, shift: bias + shift @ weight.mean(axis=(0, 1)),
            ),
            (
                "a mean over all that an output reads where a sum belongs",
                lambda weight, bias, scale, shift: bias + (shift[:, None] * weight).mean((0, 1, 2)),
            ),
            (
                "the old bias is missing",
                lambda weight, bias, scale, shift: shift @ _taps(weight),
            ),
            (
                "the bias is still the old one: each tap adds shift times weight to it",
                lambda weight, bias, scale, shift: bias,
            ),
            (
                "the bias is not BatchNorm's input: it is not scaled and shifted",
                lambda weight, bias, scale, shift: bias * scale + shift,
            ),
            (
                "the shift is added as it is; it has to go through the weights",
                lambda weight, bias, scale, shift: bias + shift,
            ),
            (
                "the shift is added as it is; it has to go through the weights",
                lambda weight, bias, scale, shift: bias + shift.sum(),
            ),
            (
                "the shift has the wrong sign",
                lambda weight, bias, scale, shift: bias - shift @ _taps(weight),
            ),
            (
                "the fill is not the shift: use what BatchNorm adds",
                lambda weight, bias, scale, shift: bias + (shift / scale) @ _taps(weight),
            ),
        ],
        "fill": [
            (
                "0 is not what BatchNorm makes 0 of: find x with x scale + shift = 0",
                lambda weight, bias, scale, shift: 0 * shift,
            ),
            (
                "it has the wrong sign: x scale + shift = 0",
                lambda weight, bias, scale, shift: shift / scale,
            ),
            (
                "this is what BatchNorm makes of 0; wanted is what it makes 0 of",
                lambda weight, bias, scale, shift: shift,
            ),
            (
                "the division by the scale is missing: x scale + shift = 0",
                lambda weight, bias, scale, shift: -shift,
            ),
            (
                "multiplied by the scale where it should be divided",
                lambda weight, bias, scale, shift: -shift * scale,
            ),
            (
                "it is the other way up: x = -shift / scale",
                lambda weight, bias, scale, shift: -scale / shift,
            ),
        ],
    },
)

EXERCISES = [HE, STACK, FIELD, FOLD]
