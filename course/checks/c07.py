"""Chapter 7: the losses."""

import math

import numpy as np

from mini_colorize import losses as package

from ..check import Exercise, numeric_gradient

FILE = "07_losses.py"
LOGITS = ("picture", "row", "column", "bin")
SMALL = (*(10.0**-n for n in (300, 100, 50, 30, 20, *range(16, 5, -1))), np.finfo(float).eps)

SIGN = "the sign is wrong: the logarithm of a probability is negative, the loss is not"
BASE = "the logarithm is not the natural one (np.log)"
NO_MEAN = "the sum over the pixels is given: the mean is that divided by their number"
PER_PICTURE = "it is divided by the number of pictures: the mean is over the pixels"
BY_Q = "it is divided by Q too: sum over the bins, and take the mean over the pixels only"
BY_K = "it is divided by K too: the weights have the sum 1 already"
HARD = "only the bin with the largest Z is counted: the truth is shared among several"
UNWEIGHTED = "the weights are left out: all K bins count alike"
UNSCATTERED = "the weights are in the wrong bins: weight[..., k] belongs to the bin index[..., k]"
OF_K = "the softmax runs over the K bins only: it is over all Q, and K of them are then looked up"
NOT_FOR_ZERO = "it is 0 where Z is 0: softmax - Z is meant for all Q bins"
FANCY = (
    "gradient[..., index] takes the bins of all pixels for each pixel: np.take_along_axis and "
    "np.put_along_axis take each pixel's own"
)
DIAGONAL = "each softmax moves with all logits of its pixel, and not only with its own"
OWN = "each bin has its own class weight in the sum: v is one number for the pixel"
UNMASKED = "pixels that do not count have a gradient: there Z is 0, but softmax is not"


def _by_loops(z):
    """The log softmax of one pixel's logits."""
    largest = max(z)
    total = math.fsum(math.exp(x - largest) for x in z)
    return np.array([x - largest - math.log(total) for x in z])


def _logs(z, axis=-1):
    return z - np.logaddexp.reduce(z, axis=axis, keepdims=True)


def _sum(e):
    return e.sum(axis=-1, keepdims=True)


# Log softmax as people write it: (sentence, function of the logits).
LOGARITHMS = [
    ("a softmax that rounds to 0 has no logarithm: take z - max - log(sum of exp(z - max))",
     lambda z: np.log(np.exp(_logs(z)))),
    *(("exp overflows at logits of 1000: subtract the pixel's largest logit first", f)
      for f in (lambda z: np.log(np.exp(z) / _sum(np.exp(z))),
                lambda z: z - np.log(_sum(np.exp(z))))),
    *(("the maximum is that of all pixels: each needs its own, or its exp round to 0", f)
      for f in (lambda z: z - z.max() - np.log(_sum(np.exp(z - z.max()))),
                lambda z: np.log(np.exp(z - z.max()) / _sum(np.exp(z - z.max()))))),
    *(("a small number in the logarithm (added, or as a floor) makes large losses wrong", f)
      for s in SMALL
      for f in (lambda z, s=s: np.log(np.exp(_logs(z)) + s),
                lambda z, s=s: np.log(np.maximum(np.exp(_logs(z)), s)))),
    ("the maximum is subtracted in the exp only: then it must be added to the logarithm again",
     lambda z: z - np.log(_sum(np.exp(z - z.max(axis=-1, keepdims=True))))),
    ("the softmax runs over all pixels: its sum is over the last axis, the bins of one pixel",
     lambda z: _logs(z, (0, 1, 2, 3))),
    *(("the softmax runs along the wrong axis: the bins are the last one",
       lambda z, axis=axis: _logs(z, axis)) for axis in (0, 1, 2, (1, 2))),
    (BASE, lambda z: _logs(z) / np.log(2)),
    (BASE, lambda z: _logs(z) / np.log(10)),
]  # fmt: skip


# What goes into the checks -----------------------------------------------------------------------


def _logits(seed, shape):
    return (2 * np.random.default_rng(seed).standard_normal(shape)).round(1)


def _sparse_case(seed, shape, k):
    """k different bins a pixel, with weights that fall and have the sum 1."""
    rng = np.random.default_rng(seed)
    index = rng.permuted(np.broadcast_to(np.arange(shape[3]), shape), axis=-1)[..., :k]
    weights = {2: [[0.7, 0.3], [0.6, 0.4]], 3: [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]}[k]
    weight = rng.choice(weights, shape[:3])
    return {"logits": _logits(seed, shape), "index": index.astype(np.int32), "weight": weight}


def _pixels_case(logits, index, weight):
    """A case of one row of pixels."""
    arrays = np.array(logits, float), np.array(index, np.int32), np.array(weight)
    return {
        name: array.reshape(1, 1, len(logits), -1)
        for name, array in zip(("logits", "index", "weight"), arrays, strict=True)
    }


def _z(logits, index, weight):
    """Z in full, by loops."""
    z = np.zeros(logits.shape)
    for at in np.ndindex(index.shape):
        z[(*at[:-1], index[at])] += weight[at]
    return z


def _dense_case(case):
    return {"logits": case["logits"], "target": _z(**case)}


def _class_case(case, class_weight, uncounted=()):
    """A case with class weights; uncounted: flat numbers of pixels outside the mask."""
    weight = case["weight"].copy()
    weight.reshape(-1, weight.shape[-1])[list(uncounted)] = 0
    return {**case, "weight": weight, "class_weight": np.array(class_weight)}


SMALLEST = _pixels_case([[1, 0.5, -1]], [[2, 0]], [[0.7, 0.3]])
LARGE = _pixels_case([[1000, 999, 1001]], [[2, 0]], [[0.7, 0.3]])
EXTREME = _pixels_case([[1000, 0, -1000], [0, 1, 2]], [[1, 0], [1, 2]], [[0.6, 0.4], [0.7, 0.3]])
SPARSE_CASES = [
    SMALLEST, _sparse_case(3, (2, 1, 3, 4), 2), _sparse_case(4, (2, 3, 2, 6), 3), LARGE, EXTREME,
]  # fmt: skip


def _total(logits, target, v):
    """-sum of v Z log softmax over bins and pixels."""
    total = 0
    for at in np.ndindex(v.shape):
        total -= v[at] * (target[at] * _by_loops(logits[at].tolist())).sum()
    return total


def _rebalanced(logits, index, weight, class_weight):
    """The oracle of all three losses: loops, and central differences of them."""
    mask, target = weight.sum(axis=-1) > 0, _z(logits, index, weight)
    v, pixels = class_weight[target.argmax(axis=-1)] * mask, max(int(mask.sum()), 1)
    gradient = numeric_gradient(lambda z: _total(z, target, v) / pixels, logits)
    return _total(logits, target, v) / pixels, _total(logits, target, mask) / pixels, gradient


def _sparse(loss):
    """From a loss with class weights to one without."""
    return lambda logits, index, weight: loss(logits, index, weight, np.ones(logits.shape[3]))[1:]


def _dense(loss):
    """From a sparse loss to one that is given Z: all Q bins are neighbours, the likeliest first."""

    def dense(logits, target):
        index = np.argsort(-target, axis=-1, kind="stable")
        return _sparse(loss)(logits, index, np.take_along_axis(target, index, axis=-1))

    return dense


# Mistakes ----------------------------------------------------------------------------------------


class Parts:
    """What the mistakes are made of, for a case of any of the three losses.

    z, t: logits and Z. i, w, c: index, weight, class_weight. mask, n: P', the pixels that count.
    v: (N, h, w), 0 outside the mask. p: softmax.
    """

    def __init__(self, logits, target=None, index=None, weight=None, class_weight=None):
        self.z, self.i, self.w, self.c = logits, index, weight, class_weight
        self.t = _z(logits, index, weight) if target is None else target
        self.mask = self.t.sum(axis=-1) > 0
        self.n = max(self.mask.sum(), 1)
        self.v = self.mask * (1.0 if class_weight is None else class_weight[index[..., 0]])
        self.logs = _logs(logits)
        self.p = np.exp(self.logs)
        self.hard = np.eye(logits.shape[3])[self.t.argmax(axis=-1)]

    def loss(self, logs=None, t=None, v=None, n=None):
        logs, t, v, n = _or(logs, self.logs), _or(t, self.t), _or(v, self.v), _or(n, self.n)
        return -(v * (t * logs).sum(axis=-1)).sum() / n

    def slope(self, g=None, v=None, n=None):
        g, v, n = _or(g, self.p - self.t), _or(v, self.v), _or(n, self.n)
        return (v / n)[..., None] * g

    def with_weights(self, weight):
        return _z(self.z, self.i, weight)


def _or(value, other):
    return other if value is None else value


def _of_parts(mistakes):
    return [(sentence, lambda f=f, **case: f(Parts(**case))) for sentence, f in mistakes]


def _of_k(x):
    logs = _logs(np.take_along_axis(x.z, x.i, axis=-1))
    return -(x.v * (x.w * logs).sum(axis=-1)).sum() / x.n


def _fancy(x):
    """What NumPy makes of this."""
    gradient = x.p.copy()
    gradient[..., x.i] -= x.w
    return gradient / x.n


COUNTS = [
    ("the mean is over all N h w pixels: only those that count belong into P'",
     lambda x: x.mask.size),
    (NO_MEAN, lambda x: 1),
    (BY_Q, lambda x: x.n * x.z.shape[3]),
    (PER_PICTURE, lambda x: len(x.z)),
    ("P' is the number of pictures with colour, and not of their pixels",
     lambda x: max(x.mask.any(axis=(1, 2)).sum(), 1)),
    ("P' counts whole pictures: a pixel counts if its own weights are not all 0",
     lambda x: max(x.mask.any(axis=(1, 2)).sum(), 1) * x.mask[0].size),
    ("it is divided by the sum of all v: the mean is over pixels, each of which counts once",
     lambda x: x.v.sum() or 1),
    ("no pixel counts, and it is divided by 0: take P' as 1 then",
     lambda x: np.float64(x.mask.sum())),
]  # fmt: skip
LOSS = [
    (SIGN, lambda x: -x.loss()),
    *((sentence, lambda x, f=f: x.loss(n=f(x))) for sentence, f in COUNTS),
    (HARD, lambda x: x.loss(t=x.hard)),
    ("this is the divergence: sum of Z log(Z / softmax); Z log Z has no place in it",
     lambda x: x.loss(x.logs - np.log(np.where(x.t > 0, x.t, 1)))),
    ("Z and softmax have changed places: the logarithm is that of softmax",
     lambda x: x.loss(np.log(np.where(x.t > 0, x.t, 1)), x.p)),
    ("the logarithm is missing", lambda x: x.loss(x.p)),
    *((sentence, lambda x, f=f: x.loss(f(x.z))) for sentence, f in LOGARITHMS),
    *((sentence, lambda x, f=f: x.loss(np.where(x.t > 0, f(x.z), 0))) for sentence, f in LOGARITHMS),
    ("this is Q yes-or-no questions: the terms (1 - Z) log(1 - softmax) have no place in it",
     lambda x: x.loss() + x.loss(np.log(1 - x.p), 1 - x.t)),
]  # fmt: skip
GRADIENT = [
    ("the sign is wrong: it is softmax - Z", lambda x: -x.slope()),
    *((sentence, lambda x, f=f: x.slope(n=f(x))) for sentence, f in COUNTS),
    ("this is -Z / softmax, the gradient of softmax, not yet of the logits",
     lambda x: x.slope(-x.t / x.p)),
    (DIAGONAL, lambda x: x.slope(-x.t * (1 - x.p))),
    (DIAGONAL, lambda x: x.slope(x.p * (1 - x.p) * (x.p - x.t))),
    ("the logarithm of softmax stands where softmax belongs", lambda x: x.slope(x.logs - x.t)),
    ("logits stand where their softmax belongs", lambda x: x.slope(x.z - x.t)),
    (NOT_FOR_ZERO, lambda x: x.slope((x.p - x.t) * (x.t > 0))),
    (HARD, lambda x: x.slope(x.p - x.hard)),
    ("-Z replaces softmax in its bins: it is subtracted from it",
     lambda x: x.slope(np.where(x.t > 0, -x.t, x.p))),
    *((sentence, lambda x, f=f: x.slope(np.exp(f(x.z)) - x.t)) for sentence, f in LOGARITHMS),
    ("exp overflows at logits of 1000: subtract the pixel's largest logit first",
     lambda x: x.slope(np.exp(x.z) / _sum(np.exp(x.z)) - x.t)),
]  # fmt: skip
WEIGHTS = [
    (UNWEIGHTED, lambda x: x.with_weights(np.ones_like(x.w))),
    (UNWEIGHTED, lambda x: x.with_weights(np.full(x.w.shape, 1 / x.w.shape[3]))),
    (BY_K, lambda x: x.t / x.w.shape[3]),
    (HARD, lambda x: x.with_weights(x.w * ([1] + [0] * (x.w.shape[3] - 1)))),
    (UNSCATTERED, lambda x: _z(x.z, np.broadcast_to(np.arange(x.w.shape[3]), x.w.shape), x.w)),
]
CLASS_WEIGHTS = [
    ("v is missing", lambda x: x.mask),
    ("v is that of the bin that the network likes best; it is that of the largest Z",
     lambda x: x.c[x.z.argmax(axis=-1)]),
    ("v is the largest class weight of the K bins; it is that of the bin with the largest Z",
     lambda x: x.c[x.i].max(axis=-1)),
    ("v is that of the last of the K bins; the largest Z is that of the first",
     lambda x: x.c[x.i[..., -1]]),
    ("v is the mean of the class weights over Z; it is that of the bin with the largest Z",
     lambda x: (x.w * x.c[x.i]).sum(axis=-1)),
    ("v is the mean of the K class weights; it is that of the bin with the largest Z",
     lambda x: x.c[x.i].mean(axis=-1)),
    ("v is that of bin 0 to K - 1: look the bin up in index first",
     lambda x: x.c[x.w.argmax(axis=-1)]),
    ("v stands below the line: it multiplies", lambda x: 1 / x.c[x.i[..., 0]]),
    ("v comes in twice", lambda x: x.v**2),
]  # fmt: skip


def _gradient_terms(**case):
    x = Parts(**case)
    return {"softmax": x.slope(x.p), "-Z": x.slope(-x.t)}


# Exercises ---------------------------------------------------------------------------------------


def _log_softmax(logits):
    """As the package has it, within softmax_cross_entropy."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


LOG_SOFTMAX = Exercise(
    FILE,
    "log_softmax",
    _log_softmax,
    lambda logits: np.apply_along_axis(_by_loops, 3, logits),
    {"log_softmax": LOGITS},
    [{"logits": case["logits"]} for case in SPARSE_CASES]
    + [{"logits": np.array([-1000.0, -1001, -1003]).reshape(1, 1, 1, 3)}],
    mistakes={
        "log_softmax": [
            (
                "this is softmax itself; its logarithm is wanted",
                lambda logits: np.exp(_logs(logits)),
            ),
            (SIGN, lambda logits: -_logs(logits)),
            ("1 is added before the logarithm", lambda logits: np.log1p(np.exp(_logs(logits)))),
            *((sentence, lambda logits, f=f: f(logits)) for sentence, f in LOGARITHMS),
        ]
    },
    tolerance=1e-5,
)

DENSE = Exercise(
    FILE,
    "cross_entropy",
    _dense(package.softmax_cross_entropy),
    _dense(_rebalanced),
    {"loss": (), "gradient": LOGITS},
    [_dense_case(case) for case in SPARSE_CASES],
    mistakes={"loss": _of_parts(LOSS), "gradient": _of_parts(GRADIENT)},
    terms={"gradient": _gradient_terms},
    tolerance=1e-5,
)

SPARSE = Exercise(
    FILE,
    "sparse_cross_entropy",
    _sparse(package.softmax_cross_entropy),
    _sparse(_rebalanced),
    {"loss": (), "gradient": LOGITS},
    SPARSE_CASES,
    mistakes={
        "loss": _of_parts(
            [(OF_K, _of_k)]
            + [(sentence, lambda x, f=f: x.loss(t=f(x))) for sentence, f in WEIGHTS]
            + LOSS
        ),
        "gradient": _of_parts(
            [(FANCY, _fancy)]
            + [(sentence, lambda x, f=f: x.slope(x.p - f(x))) for sentence, f in WEIGHTS]
            + GRADIENT
        ),
    },
    terms={"gradient": _gradient_terms},
    tolerance=1e-5,
)

REBALANCED = Exercise(
    FILE,
    "rebalanced_cross_entropy",
    package.softmax_cross_entropy,
    _rebalanced,
    {"weighted": (), "unweighted": (), "gradient": LOGITS},
    [
        _class_case(SMALLEST, [0.5, 3, 2]),
        _class_case(_sparse_case(5, (1, 2, 3, 5), 3), [0.5, 3, 1.5, 0.8, 2]),
        _class_case(_sparse_case(6, (3, 1, 3, 4), 2), [0.5, 3, 1.5, 2], (1, 3, 4, 5)),
        _class_case(_sparse_case(7, (1, 2, 1, 4), 2), [0.5, 3, 1.5, 2], (0, 1)),
        _class_case(LARGE, [0.5, 3, 2]),
        _class_case(EXTREME, [0.5, 3, 2]),
    ],
    mistakes={
        "weighted": _of_parts(
            [
                ("v stands within the logarithm: there it is only added",
                 lambda x: x.loss(x.logs + np.log(x.c[x.i[..., :1]]), v=x.mask)),
                (OWN, lambda x: x.loss(x.c * x.logs, v=x.mask)),
                (OF_K, _of_k),
            ]
            + [(sentence, lambda x, f=f: x.loss(v=x.mask * f(x))) for sentence, f in CLASS_WEIGHTS]
            + [(BY_K, lambda x: x.loss(n=x.n * x.w.shape[3]))]
            + LOSS
        ),
        "unweighted": _of_parts(
            [("v has no place in it", lambda x: x.loss())]
            + [(sentence, lambda x, f=f: x.loss(v=x.mask, n=f(x))) for sentence, f in COUNTS]
        ),
        "gradient": _of_parts(
            [
                (UNMASKED, lambda x: x.slope(v=x.c[x.i[..., 0]])),
                (f"{UNMASKED}; and v is missing", lambda x: x.slope(v=np.ones(x.v.shape))),
                (OWN, lambda x: x.slope(_sum(x.c * x.t) * x.p - x.c * x.t, x.mask)),
                (OWN, lambda x: x.slope(x.c * (x.p - x.t), x.mask)),
                ("v multiplies Z only: it belongs to softmax - Z",
                 lambda x: x.slope(x.p - x.c[x.i[..., :1]] * x.t, x.mask)),
            ]
            + [(sentence, lambda x, f=f: x.slope(v=x.mask * f(x))) for sentence, f in CLASS_WEIGHTS]
            + [(BY_K, lambda x: x.slope(n=x.n * x.w.shape[3]))]
            + GRADIENT
        ),
    },
    terms={"gradient": _gradient_terms},
    tolerance=1e-5,
)  # fmt: skip

EXERCISES = [LOG_SOFTMAX, DENSE, SPARSE, REBALANCED]
