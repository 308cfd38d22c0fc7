"""Chapter 5: transposed convolution."""

import numpy as np

from mini_colorize.layers import conv, conv_transpose

from ..check import FILTERS, PICTURES, Exercise, numeric_gradient

FILE = "05_transposed_convolution.py"


# The adjoint test --------------------------------------------------------------------------------

FILTER = np.random.default_rng(0).standard_normal((3, 3, 2, 3)).round(1)
GEOMETRY = {"stride": 2, "padding": 1}


def twice(x):
    return 2 * x


def half(y):
    return y / 2


def shift_right(x):
    return np.roll(x, 1)


def shift_left(y):
    return np.roll(y, -1)


def stretch(x):
    return x * np.array([3, 2])


def stretch_the_other(y):
    return y * np.array([2, 3])


def convolve(x):
    return conv.conv2d(x, FILTER, 0, **GEOMETRY)


def stamp(y):
    return conv_transpose.conv_transpose2d(y, FILTER.swapaxes(2, 3), 0, **GEOMETRY)


def stamp_flipped(y):
    flipped = FILTER[::-1, ::-1].swapaxes(2, 3)
    return conv_transpose.conv_transpose2d(y, flipped, 0, **GEOMETRY)


def stamp_2_percent_more(y):
    return 1.02 * stamp(y)


def convolve_huge(x):
    return 1e12 * convolve(x)


def stamp_huge(y):
    return 1e12 * stamp(y)


def convolve_tiny(x):
    return 1e-12 * convolve(x)


def stamp_tiny_flipped(y):
    return 1e-12 * stamp_flipped(y)


PICTURE, SMALL = (2, 5, 7, 2), (2, 3, 4, 3)
PAIRS = [  # forward, adjoint, the shapes of x and y, whether they are adjoint
    (twice, twice, (3,), (3,), True),
    (twice, half, (3,), (3,), False),
    (shift_right, shift_left, (3,), (3,), True),
    (shift_right, shift_right, (3,), (3,), False),
    (stretch, stretch_the_other, (2,), (2,), False),
    (convolve, stamp, PICTURE, SMALL, True),
    (convolve, stamp_flipped, PICTURE, SMALL, False),
    (convolve, stamp_2_percent_more, PICTURE, SMALL, False),
    (convolve_huge, stamp_huge, PICTURE, SMALL, True),
    (convolve_tiny, stamp_tiny_flipped, PICTURE, SMALL, False),
]


def _known(forward, adjoint, x_shape, y_shape):
    (known,) = [pair[4] for pair in PAIRS if pair[:2] == (forward, adjoint)]
    return known


def _tested(draw=None, close=None):
    """The test with other arrays, or another comparison, as a function of a case."""
    rng = np.random.default_rng(1)
    draw = draw or (lambda shapes: [rng.standard_normal(shape) for shape in shapes])
    close = close or (lambda left, right, size: abs(left - right) <= 1e-9 * size)

    def wrong(forward, adjoint, x_shape, y_shape):
        x, y = draw((x_shape, y_shape))
        ax, ay = forward(x), adjoint(y)
        return np.array(
            close((ax * y).sum(), (x * ay).sum(), np.linalg.norm(ax) * np.linalg.norm(y))
        )

    return wrong


def _ones(shapes):
    return [np.ones(shape) for shape in shapes]


def _first_alone(shapes):
    drawn = [np.zeros(shape) for shape in shapes]
    for array in drawn:
        array.flat[0] = 1
    return drawn


def _twins(shapes):
    return [np.random.default_rng(0).standard_normal(shape) for shape in shapes]


def _absolute(forward, adjoint, x_shape, y_shape):
    """A gap below a fixed bound: never among huge numbers, always among tiny ones."""
    fixed = {convolve_huge: False, convolve_tiny: True}
    return np.array(fixed.get(forward, _known(forward, adjoint, x_shape, y_shape)))


def _is_inverse(forward, adjoint, x_shape, y_shape):
    x = np.random.default_rng(0).standard_normal(x_shape)
    return np.array(np.allclose(adjoint(forward(x)), x))


def _random_test(forward, adjoint, x_shape, y_shape):
    """As the package's own tests do it."""
    return bool(_tested()(forward, adjoint, x_shape, y_shape))


ADJOINT = Exercise(
    FILE,
    "is_adjoint",
    _random_test,
    _known,
    {"is_adjoint": ()},
    [
        {"forward": forward, "adjoint": adjoint, "x_shape": x_shape, "y_shape": y_shape}
        for forward, adjoint, x_shape, y_shape, _ in PAIRS
    ],
    mistakes={
        "is_adjoint": [
            (
                "this tests for the inverse, adjoint(forward(x)) = x; the adjoint is another thing",
                _is_inverse,
            ),
            (
                "the gap is not compared with the size of the numbers (np.isclose lets 1e-8 pass)",
                _absolute,
            ),
            (
                "x and y are the same numbers (one seed for both?): draw them independently",
                _tested(_twins),
            ),
            (
                "x and y are all ones: that tests the sum of A only; draw random numbers",
                _tested(_ones),
            ),
            (
                "x and y are 0 but in one place: that tests one number of A only; draw random numbers",
                _tested(_first_alone),
            ),
            (
                "the tolerance is so wide that an error of 2 % passes",
                _tested(close=lambda left, right, size: abs(left - right) <= 0.1 * size),
            ),
            (
                "it asks for equality to the last bit, and sums are rounded: allow some rounding",
                lambda **case: np.array(False),
            ),
            ("it says yes to every pair", lambda **case: np.array(True)),
            (
                "it says yes to wrong pairs and no to right ones: are the two exchanged?",
                lambda **case: np.array(not _known(**case)),
            ),
        ]
    },
)


# The layer ---------------------------------------------------------------------------------------

# x, weight, stride, dilation, padding
GEOMETRIES = [
    ((1, 1, 2, 1), (1, 2, 1, 1), 1, 1, 0),
    ((2, 2, 3, 1), (2, 2, 1, 1), 2, 1, 0),
    ((1, 2, 3, 1), (4, 4, 1, 2), 2, 1, 1),
    ((2, 3, 2, 1), (3, 3, 1, 2), 2, 1, 1),
    ((1, 3, 4, 2), (3, 2, 2, 3), 1, 2, 1),
    ((2, 2, 3, 2), (4, 3, 2, 2), 3, 2, 1),
]


def _size(x, weight, stride, dilation, padding):
    sides = zip(x.shape[1:3], weight.shape[:2], strict=True)
    return tuple((n - 1) * stride - 2 * padding + dilation * (k - 1) + 1 for n, k in sides)


def _cases(backward):
    for seed, (shape, filters, stride, dilation, padding) in enumerate(GEOMETRIES):
        rng = np.random.default_rng(seed)
        x, weight = rng.standard_normal(shape).round(1), rng.standard_normal(filters).round(1)
        bias = rng.uniform(0.5, 2, filters[3]).round(1)
        geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        dy = rng.standard_normal((shape[0], *_size(x, weight, **geometry), filters[3])).round(1)
        arrays = {"dy": dy, "x": x, "weight": weight}
        yield {**(arrays if backward else {"x": x, "weight": weight, "bias": bias}), **geometry}


def _meetings(x, weight, size, stride, dilation, padding, shift=0, taps_first=False):
    """(r, c, i, j, row, column): input pixel (r, c) stamps tap (i, j) onto (row, column)."""
    places = [
        (*at, *tap) for at in np.ndindex(x.shape[1:3]) for tap in np.ndindex(weight.shape[:2])
    ]
    if taps_first:
        places.sort(key=lambda place: place[2:])
    for r, c, i, j in places:
        row = r * stride - padding + i * dilation + shift
        column = c * stride - padding + j * dilation + shift
        if 0 <= row < size[0] and 0 <= column < size[1]:
            yield r, c, i, j, row, column


def _loops(x, weight, bias, stride, dilation, padding, size=None, add=True, **other):
    """The definition, a stamp's tap at a time. size: (Ho, Wo), if it is known."""
    geometry = stride, dilation, padding
    y = np.zeros((len(x), *(size or _size(x, weight, *geometry)), weight.shape[3]))
    for r, c, i, j, row, column in _meetings(x, weight, y.shape[1:3], *geometry, **other):
        y[:, row, column] = add * y[:, row, column] + x[:, r, c] @ weight[i, j]
    return y + bias


def _changed(change):
    """The layer with its arguments changed, to the size of the right output."""
    return lambda x, weight, bias, **geometry: _loops(
        **{
            **{"x": x, "weight": weight, "bias": bias, **geometry},
            "size": _size(x, weight, **geometry),
            **change({"x": x, "weight": weight, "bias": bias, **geometry}),
        }
    )


def _stamps(x, weight, **geometry):
    """How many stamps lie on each output pixel, (1, Ho, Wo, 1)."""
    return _loops(np.ones((1, *x.shape[1:3], 1)), np.ones((*weight.shape[:2], 1, 1)), 0, **geometry)


FLIPPED = "the filter is flipped: tap (i, j) is stamped i down and j to the right"
ROWS_COLUMNS = "the filter's rows and columns are exchanged"
NO_STRIDE = "the stride is left out: stamps begin s pixels apart"
NO_DILATION = "the dilation is left out: taps are d pixels apart"
EXCHANGED = "stride and dilation are exchanged"
OTHER_GEOMETRY = [
    (NO_DILATION, lambda case: {"dilation": 1}),
    (NO_STRIDE, lambda case: {"stride": 1}),
    (EXCHANGED, lambda case: {"stride": case["dilation"], "dilation": case["stride"]}),
]

FORWARD = Exercise(
    FILE,
    "conv_transpose2d",
    lambda x, weight, bias, **geometry: conv_transpose.conv_transpose2d(
        x, weight, bias, **geometry
    ),
    _loops,
    {"y": PICTURES},
    list(_cases(backward=False)),
    mistakes={
        "y": [
            (FLIPPED, _changed(lambda case: {"weight": case["weight"][::-1, ::-1]})),
            (ROWS_COLUMNS, _changed(lambda case: {"weight": case["weight"].swapaxes(0, 1)})),
            *(
                (
                    "where stamps overlap, the last one counts alone: they add up",
                    _changed(lambda case, first=first: {"add": False, "taps_first": first}),
                )
                for first in (False, True)
            ),
            (
                "all of the padding is cut off above and left: p belongs to each side",
                _changed(lambda case: {"shift": -case["padding"]}),
            ),
            (
                "all of the padding is cut off below and right: p belongs to each side",
                _changed(lambda case: {"shift": case["padding"]}),
            ),
            (
                "the padding is not cut off: p pixels go on each side",
                lambda padding, **case: _loops(**case, padding=0),
            ),
            (
                "padding is added around the output; here it is cut off",
                lambda padding, **case: _loops(**case, padding=-padding) - case["bias"],
            ),
            (
                "the bias is added with every stamp; it is added once",
                lambda bias, **case: _loops(**case, bias=0) + bias * _stamps(**case),
            ),
            (
                "the sum is divided by the number of stamps on a pixel; they add up",
                lambda bias, **case: _loops(**case, bias=0) / np.maximum(_stamps(**case), 1) + bias,
            ),
            (
                "the input and the output channels are exchanged: x times W sums over axis 2 of W",
                _changed(lambda case: {"weight": case["weight"].swapaxes(2, 3)}),
            ),
            (
                "there is a ReLU; here it is without",
                lambda **case: np.maximum(_loops(**case), 0),
            ),
            *((sentence, _changed(change)) for sentence, change in OTHER_GEOMETRY),
            *(
                (sentence, lambda change=change, **case: _loops(**{**case, **change(case)}))
                for sentence, change in OTHER_GEOMETRY  # of another shape
            ),
            (
                "this is the convolution of chapter 4, which reads where this one stamps",
                conv.conv2d,
            ),
        ]
    },
    terms={
        "y": lambda bias, **case: {
            "stamps": _loops(**case, bias=0),
            "b": np.broadcast_to(bias, _loops(**case, bias=0).shape),
        }
    },
    tolerance=1e-5,
)


# Its gradients -----------------------------------------------------------------------------------


def _gradients(dy, x, weight, stride, dilation, padding, add=True, **other):
    """dx, dW: the meetings of the forward pass, read backwards."""
    dx, dw, geometry = np.zeros(x.shape), np.zeros(weight.shape), (stride, dilation, padding)
    for r, c, i, j, row, column in _meetings(x, weight, dy.shape[1:3], *geometry, **other):
        dx[:, r, c] = add * dx[:, r, c] + dy[:, row, column] @ weight[i, j].T
        dw[i, j] = add * dw[i, j] + x[:, r, c].T @ dy[:, row, column]
    return dx, dw


def _numeric(dy, x, weight, **geometry):
    """Both gradients of sum(dy y) by central differences."""
    return (
        numeric_gradient(lambda v: (dy * _loops(v, weight, 0, **geometry)).sum(), x),
        numeric_gradient(lambda v: (dy * _loops(x, v, 0, **geometry)).sum(), weight),
    )


def _slope(which, change=lambda case: {}, after=lambda gradient, case: gradient):
    """dx (which 0) or dW (1) of changed arguments, and changed afterwards."""
    return lambda **case: after(_gradients(**{**case, **change(case)})[which], case)


def _only(picture):
    """dy of one picture of a batch."""
    return lambda case: {
        "dy": case["dy"] * (np.arange(len(case["dy"])) == picture % len(case["dy"]))[
            :, None, None, None
        ]
    }  # fmt: skip


def _in_both(which):
    return [
        *((sentence, _slope(which, change)) for sentence, change in OTHER_GEOMETRY),
        (
            "the padding is left out: the stamp of input pixel 0 begins at output pixel -p",
            _slope(which, lambda case: {"padding": 0}),
        ),
    ]


BACKWARD = Exercise(
    FILE,
    "conv_transpose2d_backward",
    lambda dy, x, weight, **geometry: conv_transpose.conv_transpose2d_backward(
        dy, x, weight, **geometry
    ),
    _numeric,
    {"dx": PICTURES, "dW": FILTERS},
    list(_cases(backward=True)),
    mistakes={
        "dx": [
            (
                "the filter is flipped: dx reads dy with the taps as they were stamped",
                _slope(0, lambda case: {"weight": case["weight"][::-1, ::-1]}),
            ),
            (ROWS_COLUMNS, _slope(0, lambda case: {"weight": case["weight"].swapaxes(0, 1)})),
            (
                "the input and the output channels are exchanged: dS is multiplied by W transposed",
                _slope(0, lambda case: {"weight": case["weight"].swapaxes(2, 3)}),
            ),
            *(
                (
                    "only the last tap counts: a pixel is stamped by all taps, so they add up",
                    _slope(0, lambda case, first=first: {"add": False, "taps_first": first}),
                )
                for first in (False, True)
            ),
            *_in_both(0),
        ],
        "dW": [
            ("it is flipped: dW[i, j] belongs to tap (i, j)", _slope(1, after=lambda dw, case: dw[::-1, ::-1])),
            (ROWS_COLUMNS, _slope(1, after=lambda dw, case: dw.swapaxes(0, 1))),
            (
                "the input and the output channels are exchanged",
                _slope(1, after=lambda dw, case: dw.swapaxes(2, 3)),
            ),
            *(
                (
                    "only the last pixel counts: one filter is stamped by all, so they add up",
                    _slope(1, lambda case, first=first: {"add": False, "taps_first": first}),
                )
                for first in (False, True)
            ),
            *(
                (
                    f"it is of the {word} picture only: one filter serves all, so they add up",
                    _slope(1, _only(picture)),
                )
                for word, picture in (("first", 0), ("last", -1))
            ),
            (
                "it is divided by the number of pictures; the gradient of a sum is a sum",
                _slope(1, after=lambda dw, case: dw / len(case["x"])),
            ),
            (
                "it is divided by the number of input pixels; the gradient of a sum is a sum",
                _slope(1, after=lambda dw, case: dw / case["x"][..., 0].size),
            ),
            (
                "it is divided by the number of output pixels; the gradient of a sum is a sum",
                _slope(1, after=lambda dw, case: dw / case["dy"][..., 0].size),
            ),
            *_in_both(1),
        ],
    },
    tolerance=1e-5,
)  # fmt: skip

EXERCISES = [ADJOINT, FORWARD, BACKWARD]
