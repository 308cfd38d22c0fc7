"""Chapter 4: convolution."""

import itertools

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
    ((1, 5, 4, 2), (3, 3, 2, 2), 1, 3, 2),
    ((2, 6, 7, 2), (2, 3, 2, 3), 3, 2, 1),
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


# What is read -------------------------------------------------------------------------------------


def _at(r, i, k, s, d, p):
    return r * s - p + i * d


def _inside(row, h):
    return row if 0 <= row < h else None


def _reads(out, size, kernel, geometry, rows=_at, cols=None, keep=_inside, read=None):
    """(r, c, i, j, row, col): output pixel (r, c) and tap (i, j) read the input pixel (row, col).

    rows, cols: where along an axis. keep: the index that is read, None outside. read: gives
    others in the place of r, c, i, j.
    """
    s, d, p = (geometry[key] for key in ("stride", "dilation", "padding"))
    for r, c in np.ndindex(*out):
        for i, j in np.ndindex(*kernel):
            a, b, m, n = read(r, c, i, j) if read else (r, c, i, j)
            row = keep(rows(a, m, kernel[0], s, d, p), size[0])
            col = keep((cols or rows)(b, n, kernel[1], s, d, p), size[1])
            if row is not None and col is not None:
                yield r, c, i, j, row, col


def _forward(x, weight, bias, how, **geometry):
    sides = zip(x.shape[1:3], weight.shape[:2], strict=True)
    out = [package.output_size(size, k, **geometry) for size, k in sides]
    y = np.zeros((len(x), *out, weight.shape[3])) + bias
    for r, c, i, j, row, col in _reads(out, x.shape[1:3], weight.shape[:2], geometry, **how):
        y[:, r, c] += x[:, row, col] @ weight[i, j]
    return y


def _dw(dy, x, kernel, how, **geometry):
    dw = np.zeros((*kernel, x.shape[3], dy.shape[3]))
    for r, c, i, j, row, col in _reads(dy.shape[1:3], x.shape[1:3], kernel, geometry, **how):
        dw[i, j] += x[:, row, col].T @ dy[:, r, c]
    return dw


def _dx(dy, weight, size, how, **geometry):
    dx = np.zeros((len(dy), *size, weight.shape[2]))
    for r, c, i, j, row, col in _reads(dy.shape[1:3], size, weight.shape[:2], geometry, **how):
        dx[:, row, col] += dy[:, r, c] @ weight[i, j].T
    return dx


def _mirrored(row, h):
    row = abs(row) % (2 * h - 2) if h > 1 else 0
    return min(row, 2 * h - 2 - row)


def _back(r, i, k, s, d, p):
    return r * s - p + (k - 1 - i) * d


READINGS = [
    ("the filter is flipped: tap (i, j) reads the pixel i d down and j d to the right",
     {"rows": _back}),
    ("the filter is flipped along its rows: tap i reads i d further down",
     {"rows": _back, "cols": _at}),
    ("the filter is flipped along its columns: tap j reads j d further right",
     {"rows": _at, "cols": _back}),
    ("the filter's rows and columns are exchanged", {"read": lambda r, c, i, j: (r, c, j, i)}),
    ("the rows and columns of the output are exchanged", {"read": lambda r, c, i, j: (c, r, i, j)}),
    ("the dilation is left out: taps are d pixels apart",
     {"rows": lambda r, i, k, s, d, p: r * s - p + i}),
    ("the stride is left out: outputs are s pixels apart",
     {"rows": lambda r, i, k, s, d, p: r - p + i * d}),
    ("stride and dilation are exchanged", {"rows": lambda r, i, k, s, d, p: r * d - p + i * s}),
    ("the padding is left out: output pixel 0 begins at input pixel -p",
     {"rows": lambda r, i, k, s, d, p: r * s + i * d}),
    ("all padding is above and left; half of it belongs below and right",
     {"rows": lambda r, i, k, s, d, p: r * s - 2 * p + i * d}),
    ("the padding is multiplied by the stride: it is r s - p, not (r - p) s",
     {"rows": lambda r, i, k, s, d, p: (r - p) * s + i * d}),
    ("the padding is multiplied by the dilation: it is i d - p, not (i - p) d",
     {"rows": lambda r, i, k, s, d, p: r * s + (i - p) * d}),
    ("the stride multiplies the tap, too: it is r s + i d, not (r + i d) s",
     {"rows": lambda r, i, k, s, d, p: (r + i * d) * s - p}),
    ("the padding has the wrong sign: output pixel 0 begins at input pixel -p",
     {"rows": lambda r, i, k, s, d, p: r * s + p + i * d}),
    ("the dilation has the wrong sign: tap i lies i d further down",
     {"rows": lambda r, i, k, s, d, p: r * s - p - i * d}),
    ("the filter's middle is laid on pixel r s: its first tap belongs on r s - p",
     {"rows": lambda r, i, k, s, d, p: r * s + (i - k // 2) * d}),
    ("a negative index reads from the other end: outside of the picture x is 0",
     {"keep": lambda row, h: row % h if -h <= row < h else None}),
    ("the picture is continued from its other side; outside of it x is 0",
     {"keep": lambda row, h: row % h}),
    ("the padding repeats the border; it is 0", {"keep": lambda row, h: min(max(row, 0), h - 1)}),
    ("the padding mirrors the picture; it is 0", {"keep": _mirrored}),
    ("row 0 and column 0 are taken to be outside: 0 <= row",
     {"keep": lambda row, h: row if 0 < row < h else None}),
    ("the last row and column are taken to be outside: row < H",
     {"keep": lambda row, h: row if 0 <= row < h - 1 else None}),
]  # fmt: skip


def _misread(right, **said):
    """The mistakes of READINGS in one of the three functions. said: other words for some."""
    for sentence, how in READINGS:
        first = sentence.split(":")[0].replace(" ", "_")
        yield said.get(first, sentence), lambda how=how, **case: right(how=how, **case)


def _short(dy, columns=-1):
    """dy without its last row and column, or (columns=None) its last row."""
    short = np.zeros_like(dy)
    short[:, :-1, :columns] = dy[:, :-1, :columns]
    return short


def _in_column_order(weight):
    """The weights that columns in the order (q, i, j) are multiplied by, if W stays (i, j, q)."""
    kh, kw, c_in, c_out = weight.shape
    return weight.reshape(c_in, kh, kw, c_out).transpose(1, 2, 0, 3)


COLUMN_ORDER = (
    "the columns of X are in the order (q, i, j), and the rows of W in the order (i, j, q)"
)
SHORT = "the last row and column of y are left out: is it range(Ho), or range(Ho - 1)?"


# The layer ----------------------------------------------------------------------------------------


def _loops(x, weight, bias, stride, dilation, padding):
    """The definition: one output pixel and one tap at a time."""
    return _forward(x, weight, bias, {}, stride=stride, dilation=dilation, padding=padding)


def _changed(change):
    """The layer with its arguments changed."""
    return lambda **case: _loops(**{**case, **change(case)})


def _last_tap(inside, with_bias):
    """= in the place of +=: the last tap, or the last one inside of the picture."""

    def wrong(x, weight, bias, **geometry):
        y = _forward(x, weight * 0, bias * with_bias, {}, **geometry)
        kernel = weight.shape[:2]
        for r, c, i, j, row, col in _reads(y.shape[1:3], x.shape[1:3], kernel, geometry):
            if inside or (i + 1, j + 1) == kernel:
                y[:, r, c] = x[:, row, col] @ weight[i, j] + bias * with_bias
        return y

    return wrong


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
            *_misread(
                _forward,
                the_padding_is_left_out="no padding is above and left: output pixel 0 begins at "
                "input pixel -p",
            ),
            *[
                ("only the last tap counts: = stands where += belongs", _last_tap(*how))
                for how in itertools.product((True, False), (True, False))
            ],
            (COLUMN_ORDER, _changed(lambda c: {"weight": _in_column_order(c["weight"])})),
            *[
                (
                    SHORT,
                    lambda bias, how=how, **case: (
                        _short(_loops(bias=bias * how[0], **case), how[1]) + bias * (1 - how[0])
                    ),
                )
                for how in itertools.product((0, 1), (-1, None))
            ],
            (
                "the bias is added at every tap; it is added once",
                _changed(lambda c: {"bias": c["bias"] * c["weight"][..., 0, 0].size}),
            ),
            (
                "all biases are added to every channel; each has its own",
                _changed(lambda c: {"bias": c["bias"].sum()}),
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


# The gradients ------------------------------------------------------------------------------------


def _numeric_dw(dy, x, kernel, stride, dilation, padding):
    start = np.zeros((*kernel, x.shape[3], dy.shape[3]))
    geometry = stride, dilation, padding
    return numeric_gradient(lambda w: (dy * _loops(x, w, 0, *geometry)).sum(), start)


def _dw_changed(change):
    return lambda **case: _dw(**{**case, **change(case)}, how={})


def _one_picture(at):
    """dW with the dy of one picture only."""
    return _dw_changed(lambda c: {"dy": c["dy"] * (np.arange(len(c["dy"])) == at % len(c["dy"]))
                                  [:, None, None, None]})  # fmt: skip


def _last_pixel(inside, last_picture=False):
    """= in the place of +=: the last output pixel, or the last whose tap is in the picture."""

    def wrong(dy, x, kernel, **geometry):
        dw, out = np.zeros((*kernel, x.shape[3], dy.shape[3])), dy.shape[1:3]
        some = slice(-1, None) if last_picture else slice(None)
        for r, c, i, j, row, col in _reads(out, x.shape[1:3], kernel, geometry):
            if inside or (r + 1, c + 1) == out:
                dw[i, j] = x[some, row, col].T @ dy[some, r, c]
        return dw

    return wrong


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
            *_misread(_dw),
            (
                "it is of the first picture only: one filter serves all, so they add up",
                _one_picture(0),
            ),
            (
                "it is of the last picture only: one filter serves all, so they add up",
                _one_picture(-1),
            ),
            *[
                ("only the last output pixel counts: = stands where += belongs", _last_pixel(*how))
                for how in itertools.product((True, False), (True, False))
            ],
            (
                "it is divided by the number of pictures; the gradient of a sum is a sum",
                lambda **case: _dw(**case, how={}) / len(case["x"]),
            ),
            *[
                (
                    "it is divided by the number of output pixels; the gradient of a sum is a sum",
                    lambda count=count, **case: _dw(**case, how={}) / count(case["dy"]),
                )
                for count in (lambda dy: dy[..., 0].size, lambda dy: dy[0, ..., 0].size)
            ],
            (
                "pictures are added up before the product: each x goes with its own picture's dy",
                lambda dy, x, **case: _dw(dy.sum(0)[None], x.sum(0)[None], how={}, **case),
            ),
            *[
                (SHORT, _dw_changed(lambda c, columns=columns: {"dy": _short(c["dy"], columns)}))
                for columns in (-1, None)
            ],
            (
                COLUMN_ORDER,
                lambda **case: (dw := _dw(**case, how={})).transpose(2, 0, 1, 3).reshape(dw.shape),
            ),
            (
                "the input and the output channels are exchanged",
                lambda **case: _dw(**case, how={}).swapaxes(2, 3),
            ),
        ]
    },
)


def _numeric_dx(dy, weight, size, stride, dilation, padding):
    start = np.zeros((len(dy), *size, weight.shape[2]))
    geometry = stride, dilation, padding
    return numeric_gradient(lambda x: (dy * _loops(x, weight, 0, *geometry)).sum(), start)


def _dx_changed(change):
    return lambda **case: _dx(**{**case, **change(case)}, how={})


def _overwritten(taps_outside):
    """= in the place of +=: the last tap, or the last window, that has read a pixel."""

    def wrong(dy, weight, size, **geometry):
        dx = np.zeros((len(dy), *size, weight.shape[2]))
        reads = _reads(dy.shape[1:3], size, weight.shape[:2], geometry)
        for r, c, i, j, row, col in sorted(reads, key=lambda read: taps_outside * read[2:4]):
            dx[:, row, col] = dy[:, r, c] @ weight[i, j].T
        return dx

    return wrong


def _overlaps(dy, size, **case):
    """How many windows have read each pixel, at least 1."""
    ones = {
        "dy": np.ones((1, *dy.shape[1:3], 1)),
        "weight": np.ones((*case["weight"].shape[:2], 1, 1)),
    }
    return np.maximum(_dx(size=size, how={}, **{**case, **ones}), 1)


def _reshaped(weight):
    """The weights whose transpose is W[i, j].reshape(C_out, C_in)."""
    kh, kw, c_in, c_out = weight.shape
    return weight.reshape(kh, kw, c_out, c_in).swapaxes(2, 3)


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
            *_misread(
                _dx,
                the_padding_is_left_out="the padding is not cut off: everything lies p pixels too "
                "far down and right",
            ),
            *[
                (
                    "a pixel that several windows read has the last one's share only: they add up "
                    "(+=; with arrays of indices np.add.at)",
                    _overwritten(taps_outside),
                )
                for taps_outside in (True, False)
            ],
            (
                "it is divided by the number of windows that have read a pixel; they add up",
                lambda **case: _dx(**case, how={}) / _overlaps(**case),
            ),
            (
                "the input and the output channels are exchanged: dX is dy times W transposed",
                _dx_changed(lambda case: {"weight": case["weight"].swapaxes(2, 3)}),
            ),
            (
                "reshape does not transpose: dX is dy times W transposed, .T",
                _dx_changed(lambda case: {"weight": _reshaped(case["weight"])}),
            ),
            (COLUMN_ORDER, _dx_changed(lambda c: {"weight": _in_column_order(c["weight"])})),
            *[
                (SHORT, _dx_changed(lambda c, columns=columns: {"dy": _short(c["dy"], columns)}))
                for columns in (-1, None)
            ],
        ]
    },
)

EXERCISES = [FORWARD, WEIGHTS, INPUT]
