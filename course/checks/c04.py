"""Chapter 4: convolution."""

import numpy as np

from mini_colorize.layers import conv as package

from ..check import FILTERS, PICTURES, Exercise, numeric_gradient

FILE = "04_convolution.py"

# x, weight, stride, dilation, padding
GEOMETRIES = [
    ((1, 1, 3, 1), (1, 2, 1, 1), 1, 1, 0),
    ((2, 3, 2, 1), (2, 2, 1, 1), 1, 1, 0),
    ((1, 3, 4, 1), (3, 3, 1, 2), 1, 1, 1),
    ((2, 4, 6, 1), (3, 3, 1, 2), 2, 1, 1),
    ((1, 5, 4, 2), (3, 3, 2, 2), 1, 2, 2),
    ((2, 6, 5, 2), (2, 3, 2, 3), 2, 2, 1),
]


def _arrays(seed):
    shape, weights, stride, dilation, padding = GEOMETRIES[seed]
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal(shape).round(1), rng.standard_normal(weights).round(1)
    bias = rng.uniform(0.5, 2, weights[3]).round(1)
    geometry = {"stride": stride, "dilation": dilation, "padding": padding}
    sides = zip(shape[1:3], weights[:2], strict=True)
    out = [package.output_size(size, k, **geometry) for size, k in sides]
    dy = rng.standard_normal((shape[0], *out, weights[3])).round(1)
    return x, weight, bias, dy, geometry


def _loops(x, weight, bias, stride, dilation, padding, out=None):
    """The definition: one output pixel and one tap at a time. out: (Ho, Wo), if it is known."""
    n, h, w, _ = x.shape
    kh, kw = weight.shape[:2]
    ho = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    wo = (w + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    y = np.zeros((n, *(out or (ho, wo)), weight.shape[3])) + bias
    for r, c in np.ndindex(y.shape[1:3]):
        for i, j in np.ndindex(kh, kw):
            row, col = r * stride - padding + i * dilation, c * stride - padding + j * dilation
            if 0 <= row < h and 0 <= col < w:
                y[:, r, c] += x[:, row, col] @ weight[i, j]
    return y


def _changed(change):
    """The layer with its arguments changed, to the size of the right output, or a ValueError."""

    def wrong(**case):
        right = _loops(**case)
        return _loops(**{**case, **change(case)}, out=right.shape[1:3])

    return wrong


def _padded(mode):
    def wrong(x, weight, bias, stride, dilation, padding):
        p = padding
        pads = (2 * p, 0) if mode == "before" else (p, p)
        kind = {} if mode == "before" else {"mode": mode}
        padded = np.pad(x, [(0, 0), pads, pads, (0, 0)], **kind)
        return _loops(padded, weight, bias, stride, dilation, 0)

    return wrong


def _flipped(weight, axes=(0, 1)):
    return np.flip(weight, axes)


FORWARD = Exercise(
    FILE,
    "conv2d",
    lambda x, weight, bias, stride, dilation, padding: package.conv2d(
        x, weight, bias, stride=stride, dilation=dilation, padding=padding
    ),
    _loops,
    {"y": PICTURES},
    [
        {"x": x, "weight": weight, "bias": bias, **geometry}
        for x, weight, bias, _, geometry in map(_arrays, range(len(GEOMETRIES)))
    ],
    mistakes={
        "y": [
            (
                "the filter is flipped: tap (i, j) reads the pixel i down and j to the right",
                _changed(lambda case: {"weight": _flipped(case["weight"])}),
            ),
            (
                "the filter's rows and columns are exchanged",
                _changed(lambda case: {"weight": case["weight"].swapaxes(0, 1)}),
            ),
            (
                "the dilation is left out: taps are d pixels apart",
                _changed(lambda case: {"dilation": 1}),
            ),
            (
                "the stride is left out: outputs are s pixels apart",
                _changed(lambda c: {"stride": 1}),
            ),
            (
                "stride and dilation are exchanged",
                _changed(lambda c: {"stride": c["dilation"], "dilation": c["stride"]}),
            ),
            (
                "all padding is above and left; half of it belongs below and right",
                _padded("before"),
            ),
            (
                "no padding is above and left: output pixel 0 begins at input pixel -p",
                _changed(lambda case: {"padding": 0}),
            ),
            ("the padding repeats the border; it is 0", _padded("edge")),
            ("the padding mirrors the picture; it is 0", _padded("reflect")),
            (
                "the bias is added at every tap; it is added once",
                _changed(lambda c: {"bias": c["bias"] * c["weight"][..., 0, 0].size}),
            ),
            (
                "there is a ReLU; here it is X W + b, without",
                lambda **case: np.maximum(_loops(**case), 0),
            ),
        ]
    },
    terms={
        "y": lambda x, weight, bias, **geometry: {
            "X W": _loops(x, weight, 0, **geometry),
            "b": np.broadcast_to(bias, _loops(x, weight, 0, **geometry).shape),
        }
    },
)


def _numeric_dw(dy, x, kernel, stride, dilation, padding):
    start = np.zeros((*kernel, x.shape[3], dy.shape[3]))
    geometry = stride, dilation, padding
    return numeric_gradient(lambda w: (dy * _loops(x, w, 0, *geometry)).sum(), start)


def _dw_changed(change):
    def wrong(dy, x, kernel, stride, dilation, padding):
        case = {"dy": dy, "x": x, "stride": stride, "dilation": dilation, "padding": padding}
        case |= change(case)
        dw = np.zeros((*kernel, x.shape[3], dy.shape[3]))
        for r, c in np.ndindex(dy.shape[1:3]):
            for i, j in np.ndindex(*kernel):
                row = r * case["stride"] - case["padding"] + i * case["dilation"]
                col = c * case["stride"] - case["padding"] + j * case["dilation"]
                if 0 <= row < x.shape[1] and 0 <= col < x.shape[2]:
                    dw[i, j] += case["x"][:, row, col].T @ case["dy"][:, r, c]
        return dw

    return wrong


def _dw(**case):
    return _dw_changed(lambda case: {})(**case)


WEIGHTS = Exercise(
    FILE,
    "weight_gradient",
    lambda dy, x, kernel, **geometry: package.conv2d_backward(
        dy, x, np.empty((*kernel, x.shape[3], dy.shape[3])), **geometry
    )[1],
    _numeric_dw,
    {"dW": FILTERS},
    [
        {"dy": dy, "x": x, "kernel": weight.shape[:2], **geometry}
        for x, weight, _, dy, geometry in map(_arrays, range(len(GEOMETRIES)))
    ],
    mistakes={
        "dW": [
            (
                "the filter is flipped: dW[i, j] goes with the pixel that tap (i, j) reads",
                lambda **case: _flipped(_dw(**case)),
            ),
            (
                "it is of the first picture only: one filter serves all, so they add up",
                _dw_changed(
                    lambda c: {"dy": c["dy"] * (np.arange(len(c["dy"])) == 0)[:, None, None, None]}
                ),  # fmt: skip
            ),
            (
                "it is of the last picture only: one filter serves all, so they add up",
                _dw_changed(
                    lambda c: {
                        "dy": c["dy"]
                        * (np.arange(len(c["dy"])) == len(c["dy"]) - 1)[:, None, None, None]
                    }
                ),  # fmt: skip
            ),
            (
                "it is divided by the number of pictures; the gradient of a sum is a sum",
                lambda **case: _dw(**case) / len(case["x"]),
            ),
            (
                "it is divided by the number of output pixels; the gradient of a sum is a sum",
                lambda **case: _dw(**case) / case["dy"][..., 0].size,
            ),
            (
                "the dilation is left out: taps are d pixels apart",
                _dw_changed(lambda c: {"dilation": 1}),
            ),
            (
                "the stride is left out: outputs are s pixels apart",
                _dw_changed(lambda c: {"stride": 1}),
            ),
            (
                "stride and dilation are exchanged",
                _dw_changed(lambda c: {"stride": c["dilation"], "dilation": c["stride"]}),
            ),
            (
                "the padding is left out: output pixel 0 begins at input pixel -p",
                _dw_changed(lambda case: {"padding": 0}),
            ),
            (
                "the filter's rows and columns are exchanged",
                lambda **case: _dw(**case).swapaxes(0, 1),
            ),
            (
                "the input and the output channels are exchanged",
                lambda **case: _dw(**case).swapaxes(2, 3),
            ),
        ]
    },
)


def _numeric_dx(dy, weight, size, stride, dilation, padding):
    start = np.zeros((len(dy), *size, weight.shape[2]))
    geometry = stride, dilation, padding
    return numeric_gradient(lambda x: (dy * _loops(x, weight, 0, *geometry)).sum(), start)


def _dx(dy, weight, size, stride, dilation, padding, add=True, shift=0):
    dx = np.zeros((len(dy), *size, weight.shape[2]))
    for i, j in np.ndindex(weight.shape[:2]):
        for r, c in np.ndindex(dy.shape[1:3]):
            row = r * stride - padding + i * dilation + shift
            col = c * stride - padding + j * dilation + shift
            if 0 <= row < size[0] and 0 <= col < size[1]:
                dx[:, row, col] = dy[:, r, c] @ weight[i, j].T + add * dx[:, row, col]
    return dx


def _dx_changed(change):
    return lambda **case: _dx(**{**case, **change(case)})


INPUT = Exercise(
    FILE,
    "input_gradient",
    lambda dy, weight, size, **geometry: package.conv2d_backward(
        dy, np.zeros((len(dy), *size, weight.shape[2])), weight, **geometry
    )[0],
    _numeric_dx,
    {"dx": PICTURES},
    [
        {"dy": dy, "weight": weight, "size": x.shape[1:3], **geometry}
        for x, weight, _, dy, geometry in map(_arrays, range(len(GEOMETRIES)))
    ],
    mistakes={
        "dx": [
            (
                "the filter is flipped: each dy goes back to the pixels that its window read",
                _dx_changed(lambda case: {"weight": _flipped(case["weight"])}),
            ),
            (
                "the input and the output channels are exchanged: dX is dy times W transposed",
                _dx_changed(lambda case: {"weight": case["weight"].swapaxes(2, 3)}),
            ),
            (
                "the filter's rows and columns are exchanged",
                _dx_changed(lambda case: {"weight": case["weight"].swapaxes(0, 1)}),
            ),
            (
                "a pixel that several windows read has the last one's share only: they add up",
                lambda **case: _dx(**case, add=False),
            ),
            (
                "the padding is not cut off: everything lies p pixels too far down and right",
                lambda **case: _dx(**case, shift=case["padding"]),
            ),
            (
                "the dilation is left out: taps are d pixels apart",
                _dx_changed(lambda c: {"dilation": 1}),
            ),
            (
                "the stride is left out: outputs are s pixels apart",
                _dx_changed(lambda c: {"stride": 1}),
            ),
            (
                "stride and dilation are exchanged",
                _dx_changed(lambda c: {"stride": c["dilation"], "dilation": c["stride"]}),
            ),
        ]
    },
)

EXERCISES = [FORWARD, WEIGHTS, INPUT]
