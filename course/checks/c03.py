"""Chapter 3: the chain rule; bias and ReLU."""

import numpy as np

from mini_colorize.layers import relu as package

from ..check import CHANNELS, PICTURES, Exercise, combined
from ..check import numeric_gradient as central

FILE = "03_chain_rule.py"
PIXELS = (0, 1, 2)


# A graph ----------------------------------------------------------------------------------------


def graph_loss(x, w, b, t):
    return (x * max(w * x + b, 0) - t) ** 2


def graph_backward(x, w, b, t):
    u = w * x + b
    y = max(u, 0)
    ds = 2 * (x * y - t)
    du = ds * x if u > 0 else 0.0
    return du * w + ds * y, du * x, du


def _numeric_graph(x, w, b, t):
    at = np.array([x, w, b])
    return tuple(central(lambda v: graph_loss(*v, t), at))


def _graph_cases():
    for x, w, b, t in [
        (2.0, 1.5, -1.0, 1.0),
        (3.0, -0.5, 2.0, 4.0),
        (-1.5, -2.0, 0.4, 1.2),
        (0.5, 3.0, 1.0, -2.0),
        (2.0, -1.0, 0.5, 3.0),  # u < 0
        (1.2, 0.7, 0.3, 2.5),
    ]:
        yield {"x": x, "w": w, "b": b, "t": t}


SUMS = {
    "dx": lambda x, w, u, y, ds, du: du * w + ds * y,
    "dw": lambda x, w, u, y, ds, du: du * x,
    "db": lambda x, w, u, y, ds, du: du,
}


def _graph(which):
    """One of the gradients dx, dw, db, with some steps replaced."""

    def make(
        ds=lambda s, t: 2 * (s - t),
        dy=lambda ds, x, y: ds * x,
        mask=lambda u, dy, x: u > 0,
        last=SUMS[which],
    ):
        def wrong(x, w, b, t):
            u = w * x + b
            y = max(u, 0)
            end = ds(x * y, t)
            through_y = dy(end, x, y)
            return last(x, w, u, y, end, through_y * mask(u, through_y, x))

        return wrong

    return make


STEPS = {
    "ds": [
        ("the 2 of the square is missing: ds = 2 (s - t)", lambda s, t: s - t),
        ("it has the wrong sign: ds = 2 (s - t)", lambda s, t: 2 * (t - s)),
        (
            "it has the wrong sign, and the 2 of the square is missing: ds = 2 (s - t)",
            lambda s, t: t - s,
        ),
        ("the loss stands where its slope belongs: ds = 2 (s - t)", lambda s, t: (s - t) ** 2),
        ("ds is missing: the chain begins at the loss", lambda s, t: 1),
    ],
    "dy": [
        ("dy lacks its factor x: s = x y", lambda ds, x, y: ds),
        ("dy has the factor y; s = x y, so it is x", lambda ds, x, y: ds * y),
    ],
    "mask": [
        ("ReLU's mask is missing: du = dy only where u > 0", lambda u, dy, x: 1),
        ("the mask is made of dy; it is of u: du = dy where u > 0", lambda u, dy, x: dy > 0),
        ("the mask is made of x; it is of u: du = dy where u > 0", lambda u, dy, x: x > 0),
        ("du has the factor u; ReLU's slope is 1 where u > 0", lambda u, dy, x: max(u, 0)),
        ("du has the factor u; ReLU's slope is 1 where u > 0, else 0", lambda u, dy, x: u),
    ],
}
LAST = {
    "dx": [
        ("x acts twice: the path through s is missing", lambda x, w, u, y, ds, du: du * w),
        ("x acts twice: the path through u is missing", lambda x, w, u, y, ds, du: ds * y),
        ("the two paths are multiplied; they add up", lambda x, w, u, y, ds, du: du * w * ds * y),
        (
            "the path through u has the factor x; u = w x, so it is w",
            lambda x, w, u, y, ds, du: du * x + ds * y,
        ),
        (
            "the path through s has the factor x; s = x y, so it is y",
            lambda x, w, u, y, ds, du: du * w + ds * x,
        ),
        (
            "the path through s has the factor u; s = x y, so it is y",
            lambda x, w, u, y, ds, du: du * w + ds * u,
        ),
        ("the path through s lacks its factor y", lambda x, w, u, y, ds, du: du * w + ds),
        ("the path through u lacks its factor w", lambda x, w, u, y, ds, du: du + ds * y),
    ],
    "dw": [
        ("it has the factor w; u = w x, so it is x", lambda x, w, u, y, ds, du: du * w),
        ("it lacks its factor x: u = w x", lambda x, w, u, y, ds, du: du),
    ],
    "db": [
        ("it has a factor x; b is only added, so db = du", lambda x, w, u, y, ds, du: du * x),
        ("b is only added, so db = du, not 1", lambda x, w, u, y, ds, du: 1),
        ("this is ds; b acts through u, so db = du", lambda x, w, u, y, ds, du: ds),
    ],
}

GRAPH = Exercise(
    FILE,
    "graph_backward",
    graph_backward,
    _numeric_graph,
    {"dx": (), "dw": (), "db": ()},
    list(_graph_cases()),
    mistakes={
        "dx": combined(_graph("dx"), **STEPS, last=LAST["dx"]),
        "dw": combined(_graph("dw"), last=LAST["dw"], **STEPS),
        "db": combined(_graph("db"), last=LAST["db"], **STEPS),
    },
    terms={
        "dx": lambda x, w, b, t: {
            "du w (the path through u)": graph_backward(x, w, b, t)[2] * w,
            "ds y (the path through s)": 2 * (x * max(w * x + b, 0) - t) * max(w * x + b, 0),
        }
    },
)


# Bias and ReLU ----------------------------------------------------------------------------------


def _relu_cases():
    yield {
        "dy": np.array([1.5, 2.0, -0.5]).reshape(1, 1, 3, 1),
        "y": np.array([0.7, 0.0, 1.2]).reshape(1, 1, 3, 1),
    }
    for seed, shape in enumerate([(2, 1, 2, 2), (3, 2, 3, 4)]):
        rng = np.random.default_rng(seed)
        y = np.maximum(rng.standard_normal(shape).round(1), 0)
        yield {"dy": (rng.standard_normal(shape) + 0.3).round(1), "y": y}


def _numeric_relu(dy, y):
    before = np.where(y > 0, y, -1.0)  # an x + b that gives this y

    def loss(x, b):
        return (dy * np.maximum(x + b, 0)).sum()

    b = np.zeros(y.shape[3])
    return central(lambda v: loss(v, b), before), central(lambda v: loss(before, v), b)


def _leaky(dy, y):
    return np.where(y > 0, dy, 0.01 * dy)


def _both(sentence, dx):
    """A wrong dx, and the db that is its sum."""
    return (sentence, dx), (
        f"{sentence} (db is the sum of dx)",
        lambda dy, y: dx(dy, y).sum(PIXELS),
    )


MASKS = [
    _both("the mask is made of dy; it is of y: dx = dy where y > 0", lambda dy, y: dy * (dy > 0)),
    _both("ReLU's mask is missing: dx is 0 where y is 0 (y >= 0 is no mask)", lambda dy, y: dy),
    _both("the mask is the wrong way round: dx = dy where y > 0", lambda dy, y: dy * (y <= 0)),
    _both("this is a leaky ReLU; here dx is 0 where y is 0", _leaky),
    _both("dy is multiplied by y; it is by 1 where y > 0, else 0", lambda dy, y: dy * y),
    _both("dy is missing: this is the mask, ReLU's own slope", lambda dy, y: 1.0 * (y > 0)),
    _both(
        "dy has two masks, y > 0 and dy > 0; only the first belongs to it",
        lambda dy, y: dy * (y > 0) * (dy > 0),
    ),
]

RELU = Exercise(
    FILE,
    "bias_relu_backward",
    package.bias_relu_backward,
    _numeric_relu,
    {"dx": PICTURES, "db": CHANNELS},
    list(_relu_cases()),
    mistakes={
        "dx": [
            *[dx for dx, _ in MASKS],
            (
                "dy is averaged over the pictures; the loss's own factors are in dy already",
                lambda dy, y: dy * (y > 0) / len(dy),
            ),
        ],
        "db": [
            *[db for _, db in MASKS],
            (
                "it is a mean over the pixels; b acts on each of them, and gradients add up",
                lambda dy, y: (dy * (y > 0)).mean(PIXELS),
            ),
            (
                "it is averaged over the pictures; b acts in each of them, and gradients add up",
                lambda dy, y: (dy * (y > 0)).sum(PIXELS) / len(dy),
            ),
            (
                "it is not summed over the pictures: only the first is in it",
                lambda dy, y: (dy * (y > 0))[0].sum((0, 1)),
            ),
            (
                "it is not summed over the pictures: this is still a row for each",
                lambda dy, y: (dy * (y > 0)).sum((1, 2)),
            ),
            (
                "it is summed over the pictures only: rows and columns are pixels too",
                lambda dy, y: (dy * (y > 0)).sum(0),
            ),
            (
                "it is summed over the channels too: each has its own b",
                lambda dy, y: (dy * (y > 0)).sum(),
            ),
            (
                "its axes of length 1 are left over: no keepdims",
                lambda dy, y: (dy * (y > 0)).sum(PIXELS, keepdims=True),
            ),
        ],
    },
)


# Central differences ----------------------------------------------------------------------------


def sum_of_cubes(x):
    return float((x**3).sum())


def product_of_neighbours(x):
    """Each number times the next one: moving one moves the slope of another."""
    flat = x.ravel()
    return float((flat[:-1] * flat[1:]).sum() + (flat**2).sum())


def inverse_distance(x):
    return float(1 / (1 + (x**2).sum()))


GRADIENTS = {
    sum_of_cubes: lambda x: 3 * x**2,
    product_of_neighbours: lambda x: (
        2 * x + np.append(x.ravel()[1:], 0).reshape(x.shape)
        + np.insert(x.ravel()[:-1], 0, 0).reshape(x.shape)
    ),
    inverse_distance: lambda x: -2 * x / (1 + (x**2).sum()) ** 2,
}  # fmt: skip


def _difference_cases():
    yield {"f": sum_of_cubes, "x": np.array([1.0, -0.7]), "eps": 1e-4}
    yield {"f": product_of_neighbours, "x": np.array([0.5, 2.0, -1.2]), "eps": 1e-4}
    x = np.random.default_rng(0).standard_normal((2, 3)).round(1)
    yield {"f": inverse_distance, "x": x, "eps": 1e-4}
    yield {"f": product_of_neighbours, "x": x, "eps": 1e-4}


def _difference(quotient, moved=lambda x: np.eye(x.size).reshape(x.size, *x.shape)):
    """quotient(f, x, step, eps) for each number's step: 1 at all that move with it, else 0."""

    def wrong(f, x, eps):
        return np.array([quotient(f, x, step, eps) for step in moved(x)]).reshape(x.shape)

    return wrong


def _central(f, x, step, eps):
    return (f(x + eps * step) - f(x - eps * step)) / (2 * eps)


def _with_own(eps):
    return _difference(lambda f, x, step, _: _central(f, x, step, eps))


def _rows(x):
    """Each number moves with all of its row."""
    return [
        np.broadcast_to((np.arange(len(x)) == at[0]).reshape(-1, *[1] * (x.ndim - 1)), x.shape)
        for at in np.ndindex(x.shape)
    ]


def _so_far(x):
    """Each number moves with all before it."""
    return np.tril(np.ones((x.size, x.size))).reshape(x.size, *x.shape)


def _first(x):
    return np.eye(1, x.size).reshape(x.shape)


TOO_SMALL = "eps is too small: f(x + eps) and f(x - eps) have most digits in common, and lose them"
DIFFERENCES = Exercise(
    FILE,
    "numeric_gradient",
    central,
    lambda f, x, eps: GRADIENTS[f](x),
    {"gradient": ("number",)},
    list(_difference_cases()),
    mistakes={
        "gradient": [
            (
                "it is one-sided, (f(x + eps) - f(x)) / eps: its error is eps, not eps^2",
                _difference(lambda f, x, step, eps: (f(x + eps * step) - f(x)) / eps),
            ),
            (
                "it is one-sided, (f(x) - f(x - eps)) / eps: its error is eps, not eps^2",
                _difference(lambda f, x, step, eps: (f(x) - f(x - eps * step)) / eps),
            ),
            (
                "the factor 2 is missing: the two points are 2 eps apart",
                _difference(lambda f, x, step, eps: 2 * _central(f, x, step, eps)),
            ),
            (
                "the step is eps / 2 on each side, and the division is by 2 eps",
                _difference(lambda f, x, step, eps: _central(f, x, step / 2, eps)),
            ),
            (
                "one side only, but divided by 2 eps",
                _difference(lambda f, x, step, eps: (f(x + eps * step) - f(x)) / (2 * eps)),
            ),
            (
                "x / 2 * eps multiplies by eps: put 2 * eps into brackets",
                _difference(lambda f, x, step, eps: _central(f, x, step, eps) * eps**2),
            ),
            (
                "it is not divided by 2 eps",
                _difference(lambda f, x, step, eps: _central(f, x, step, eps) * 2 * eps),
            ),
            (
                "it has the wrong sign: f(x + eps) - f(x - eps)",
                _difference(lambda f, x, step, eps: -_central(f, x, step, eps)),
            ),
            (
                "all numbers of x are moved at once; move one at a time",
                _difference(_central, lambda x: np.ones((x.size, *x.shape))),
            ),
            (
                "a whole row of x is moved at once; move one number at a time",
                _difference(_central, _rows),
            ),
            (
                "steps are not taken back: each number moves together with all before it",
                _difference(_central, _so_far),
            ),
            (
                "it is 0 everywhere: f gets the same array both times (x2 = x makes no copy), or "
                "eps is so small that x + eps is x",
                lambda f, x, eps: 0 * x,
            ),
            (
                "only the first number is moved: is there a return within the loop?",
                lambda f, x, eps: _difference(_central)(f, x, eps) * _first(x),
            ),
            (
                "f is taken at 0 + eps and 0 - eps: x is left out",
                _difference(lambda f, x, step, eps: _central(f, 0 * x, step, eps)),
            ),
            (
                "this is the second derivative",
                _difference(
                    lambda f, x, step, eps: (
                        (f(x + eps * step) - 2 * f(x) + f(x - eps * step)) / eps**2
                    )
                ),
            ),
            (
                "it has lost its sign (abs)",
                lambda f, x, eps: abs(_difference(_central)(f, x, eps)),
            ),
            (
                "the digits behind the point are lost: an array of integers takes the result",
                lambda f, x, eps: np.trunc(_difference(_central)(f, x, eps)),
            ),
            *[(TOO_SMALL, _with_own(10.0**-n)) for n in (11, 12, 13, 14, 15)],
            ("eps is too large: take the one that is given", _with_own(0.1)),
            ("eps is too large: take the one that is given", _with_own(0.01)),
        ]
    },
)

EXERCISES = [GRAPH, RELU, DIFFERENCES]
