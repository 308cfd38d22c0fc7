"""Chapter 10: data and the loop."""

import copy
import inspect
import random
from math import log
from pathlib import Path

import numpy as np

from mini_colorize import color
from mini_colorize import targets as package
from mini_colorize.color import normalize_lightness
from mini_colorize.data import _shuffled
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.optim import adam_rates

from ..check import Exercise, described, guarded, load

FILE = "10_data_and_loop.py"
RATE, BETAS, EPS = 0.3, (0.9, 0.99), 1e-12  # Adam's of the last exercise


# Targets --------------------------------------------------------------------------------------


def _crops(seed, n, size, *ab):
    """Crops of random lightness whose a and b lie evenly in +- ab, a number for each crop."""
    rng = np.random.default_rng(seed)
    lab = rng.uniform(0, 100, (n, size, size, 3)).round(1)
    lab[..., 1:] = (rng.uniform(-1, 1, (n, size, size, 2)) * np.reshape(ab, (n, 1, 1, 1))).round(1)
    return lab


def _target_cases():
    one = _crops(0, 1, 4, 50)
    yield {"lab": one}
    several = _crops(1, 3, 8, 60, 3, 60)
    several[1, 3, 3] = 40, 30, -20  # colour, where nobody asks
    yield {"lab": several}
    edges = _crops(2, 5, 12, 3, 3, 3, 3, 3)
    edges[0, 2, 6, 1] = 5  # not above 5
    edges[1, 6, 2, 2] = -9  # below -5
    edges[2, 2, 2, 1:] = 4, 4  # 5.7 from gray, but neither is above 5
    edges[3, 2, 2, 1] = 6
    yield {"lab": edges}


def _target_loops(lab):
    n, size = lab.shape[:2]
    x, ab = np.empty((n, size, size, 1)), np.empty((n, size // 4, size // 4, 2))
    for at in np.ndindex(n, size, size):
        x[at] = lab[at][0] / 100 - 0.5
    for m, i, j in np.ndindex(ab.shape[:3]):
        ab[m, i, j] = lab[m, 4 * i + 2, 4 * j + 2, 1:]
    weight = [float(any(abs(v) > package.GRAY for v in crop.ravel())) for crop in ab]
    return x, ab, np.array(weight)


def _package_targets(lab):
    ab = lab[:, color.EVERY, color.EVERY, 1:]
    return normalize_lightness(lab[..., :1]), ab, package._colored(ab)


def _pixel(i, j=None):
    return lambda lab: lab[:, i::4, i if j is None else j :: 4, 1:]


def _means(lab, rows=slice(None)):
    n, size = lab.shape[:2]
    cells = lab[..., 1:].reshape(n, size // 4, 4, size // 4, 4, 2)
    return cells[:, :, rows, :, rows].mean(axis=(2, 4))


def _weight(coloured):
    """From a function of the crops' ab, (N, h, w, 2), to one of a case."""
    return lambda lab: coloured(lab[:, 2::4, 2::4, 1:]) * 1.0


WHOLE = (1, 2, 3)

TARGETS = Exercise(
    FILE,
    "targets",
    _package_targets,
    _target_loops,
    {
        "x": ("picture", "row", "column", "channel"),
        "ab": ("picture", "row", "column", "channel"),
        "weight": ("picture",),
    },
    list(_target_cases()),
    mistakes={
        "x": [
            ("divided by 50 where 100 belongs", lambda lab: (lab[..., :1] - 50) / 50),
            (
                "the 50 is missing: L is 0 ... 100, x is to lie around 0",
                lambda lab: lab[..., :1] / 100,
            ),
            ("the division by 100 is missing", lambda lab: lab[..., :1] - 50),
            ("first the 50 is taken away, then it is divided", lambda lab: lab[..., :1] / 100 - 50),
            (
                "each crop's own mean is taken away; 50 is the same for all",
                lambda lab: (lab[..., :1] - lab[..., :1].mean(axis=WHOLE, keepdims=True)) / 100,
            ),
            ("this is a, and not L", lambda lab: (lab[..., 1:2] - 50) / 100),
        ],
        "ab": [
            (
                "the pixel is that in row 0 and column 0 of every 4 x 4, not row 2, column 2",
                _pixel(0),
            ),
            (
                "the pixel is that in row 1 and column 1, not row 2, column 2 (counted from 0)",
                _pixel(1),
            ),
            (
                "the pixel is that in row 3 and column 3, not row 2, column 2 (counted from 0)",
                _pixel(3),
            ),
            ("the row is right, the column is not", _pixel(2, 0)),
            ("the column is right, the row is not", _pixel(0, 2)),
            ("a mean of 4 x 4 pixels; one pixel's colour is wanted", _means),
            (
                "a mean of the four pixels in the middle; one pixel's colour is wanted",
                lambda lab: _means(lab, slice(1, 3)),
            ),
            ("these are L and a, not a and b", lambda lab: lab[:, 2::4, 2::4, :2]),
            ("b comes before a", lambda lab: lab[:, 2::4, 2::4, :0:-1]),
            ("it is divided by 100: only L is scaled", lambda lab: lab[:, 2::4, 2::4, 1:] / 100),
            ("it is divided by 110: only L is scaled", lambda lab: lab[:, 2::4, 2::4, 1:] / 110),
            (
                "a crop without colour keeps its ab: it is its weight that is 0",
                lambda lab: _masked(lab),
            ),
        ],
        "weight": [
            (
                "a and b may be negative: it is |a| and |b| that count",
                _weight(lambda ab: (ab > 5).any(axis=WHOLE)),
            ),
            (
                "a mean over the crop; one pixel above 5 is enough",
                _weight(lambda ab: abs(ab).mean(axis=WHOLE) > 5),
            ),
            (
                "a mean over the crop; one pixel above 5 is enough, below -5 as well",
                _weight(lambda ab: abs(ab.mean(axis=WHOLE)) > 5),
            ),
            (
                "one pixel above 5 is enough (any); here all must be",
                _weight(lambda ab: (abs(ab) > 5).all(axis=WHOLE)),
            ),
            (
                "5 itself is still without colour: above 5",
                _weight(lambda ab: (abs(ab) >= 5).any(axis=WHOLE)),
            ),
            (
                "|a| and |b| each, and not their distance from gray",
                _weight(lambda ab: (np.hypot(ab[..., 0], ab[..., 1]) > 5).any(axis=(1, 2))),
            ),
            (
                "both a and b must be above 5 here; one of them is enough",
                _weight(lambda ab: (abs(ab) > 5).all(axis=3).any(axis=(1, 2))),
            ),
            (
                "only the pixels of `ab` count, and here all pixels do",
                lambda lab: (abs(lab[..., 1:]) > 5).any(axis=WHOLE) * 1.0,
            ),
            (
                "the other way round: 1 is for a crop with colour",
                _weight(lambda ab: (abs(ab) <= 5).all(axis=WHOLE)),
            ),
            (
                "the other way round: 1 is for a crop with colour; and one pixel is enough to have it",
                _weight(lambda ab: (abs(ab) <= 5).any(axis=WHOLE)),
            ),
            (
                "all crops have one weight; each is to have its own",
                _weight(lambda ab: np.full(len(ab), (abs(ab) > 5).any())),
            ),
            ("all weights are 1: crops without colour have no say", lambda lab: np.ones(len(lab))),
            (
                "L counts as a colour here",
                lambda lab: (abs(lab[:, 2::4, 2::4]) > 5).any(axis=WHOLE) * 1.0,
            ),
            (
                "only a counts here, and b does not",
                _weight(lambda ab: (abs(ab[..., 0]) > 5).any(axis=(1, 2))),
            ),
            (
                "only b counts here, and a does not",
                _weight(lambda ab: (abs(ab[..., 1]) > 5).any(axis=(1, 2))),
            ),
        ],
    },
)


def _masked(lab):
    ab = lab[:, 2::4, 2::4, 1:]
    return ab * (abs(ab) > 5).any(axis=WHOLE)[:, None, None, None]


# Batches: many answers are right ----------------------------------------------------------------

SIZES = [(4, 2), (5, 3), (7, 4), (3, 8), (30, 7)]  # photos, size of a batch


def _row(answer, n, size, seed, epochs=3):
    """The batches one behind the other, as many as `epochs` epochs take."""
    return np.concatenate(
        [np.asarray(answer(n, size, seed, k)) for k in range(-(-n * epochs // size))]
    )


def _told(n, size, seed=0):
    return f"n = {n}, size = {size}, seed = {seed}"


def full(answer):
    for n, size in SIZES:
        for k in range(2 * n):
            returned = answer(n, size, 0, k)
            if not isinstance(returned, np.ndarray | list | tuple):
                return f"it returns {described(returned)}; wanted are {size} numbers of photos"
            got = np.asarray(returned)
            said = f"\n{_told(n, size)}: batch {k} is {got.tolist()}"
            if got.dtype.kind not in "iu":
                return f"the numbers of photos are integers, not {got.dtype}{said}"
            if got.ndim == 1 and len(got) < size:
                return (
                    f"a batch is not full: it goes on in the next epoch, so that each has "
                    f"{size} photos{said}"
                )
            if got.shape != (size,):
                return f"a batch has the shape {got.shape}, wanted is ({size},){said}"
            if got.min() < 0 or got.max() >= n:
                return f"photo {got.max()} does not exist: they are 0 ... {n - 1}{said}"


def repeatable(answer):
    for n, size in SIZES:
        numpys, pythons = np.random.get_state(), random.getstate()
        forth = [np.array(answer(n, size, 3, k)) for k in range(6)]
        used = random.getstate() != pythons or any(
            not np.array_equal(a, b) for a, b in zip(numpys, np.random.get_state(), strict=True)
        )
        again = [np.array(answer(n, size, 3, k)) for k in range(6)]
        np.random.seed(1)
        random.seed(1)
        anew = _fresh(answer)
        back = [np.array(anew(n, size, 3, k)) for k in reversed(range(6))][::-1]
        np.random.set_state(numpys)
        random.setstate(pythons)
        for k in range(6):
            for later in (again[k], back[k]):
                if np.array_equal(forth[k], later):
                    continue
                said = (
                    f"\n{_told(n, size, 3)}: batch {k} is once {forth[k].tolist()}, "
                    f"once {later.tolist()}"
                )
                if used:
                    return (
                        "a global generator is used, so a batch depends on what else was drawn; "
                        f"make your own{said}"
                    )
                if later is back[k]:
                    return f"a batch depends on which batches were asked for before it{said}"
                return (
                    "the same arguments do not give the same batch: make the generator within the "
                    f"function, from its arguments{said}"
                )
        if used:
            return "a global generator is set or used: others draw from it as well; make your own"


def _fresh(answer):
    """The answer as it is before its first call: its file loaded anew."""
    inner = inspect.unwrap(answer)
    if not inner.__module__.startswith("answers_"):  # it was not loaded from a student's file
        return answer
    return guarded(getattr(load(Path(inspect.getsourcefile(inner))), inner.__name__))


def epochs(answer):
    for n, size in SIZES:
        row = _row(answer, n, size, 0)
        for e in range(3):
            epoch = row[e * n : (e + 1) * n].tolist()
            if sorted(epoch) != list(range(n)):
                return f"{_why_not_once(answer)}\n{_told(n, size)}: epoch {e} is {epoch}"


def _why_not_once(answer, n=60, size=19):
    """What is wrong with epochs that do not have every photo once."""
    each, rest = divmod(n, size)
    batches = [np.asarray(answer(n, size, 0, k)).tolist() for k in range(2 * each + 2)]
    if any(len(set(batch)) < size for batch in batches[:each]):
        return (
            "a photo comes twice: draw an order of all photos and take them from it one after "
            "another, not each photo by itself"
        )
    left_out = len(set(sum(batches[each : 2 * each], []))) == each * size
    filled_up = sum(batches[each + 1 :], [])[:n]
    if left_out or sorted(filled_up) == list(range(n)):
        return (
            "an epoch begins anew with a batch, so photos are left out or come twice: the batch "
            "across the end has the rest of one epoch and the beginning of the next"
        )
    if batches[each][rest:] == batches[0][: size - rest]:
        return "a batch across the end of an epoch is to go on with the next epoch's order"
    return (
        "no photo comes twice within a batch, but one does within an epoch: the order has to be "
        "drawn for the epoch, from (seed, epoch), and not for the batch"
    )


def shuffled(answer):
    n, size = 30, 7
    row = _row(answer, n, size, 0).tolist()
    first, second, third = (row[e * n : (e + 1) * n] for e in range(3))
    other = _row(answer, n, size, 1)[:n].tolist()
    if first == list(range(n)):
        return f"the photos come in the order of their numbers: shuffle them\n{_told(n, size)}"
    if first == second == third:
        return (
            "all epochs have the same order: the generator's seed has to change with the epoch"
            f"\n{_told(n, size)}: each begins {first[:5]}"
        )
    if first == other:
        return "the order does not depend on the seed"
    if other == second:
        return (
            "epoch 1 of seed 0 has the order of epoch 0 of seed 1: two seeds are to give two runs, "
            "so do not add them; np.random.default_rng((seed, epoch)) takes both"
        )
    for a, b in ((first, second), (first, other), (second, third)):
        if any(a[i:] + a[:i] == b for i in range(n)):
            return "one order is another one turned: draw each epoch's anew"


def _package_batch(n, size, seed, k):
    """As PhotoLoader._make and _sample find the photos."""
    places = [divmod(s, n) for s in range(k * size, (k + 1) * size)]
    return np.array([_shuffled(n, seed, epoch)[position] for epoch, position in places])


BATCH = Exercise(
    FILE,
    "batch",
    _package_batch,
    None,
    {},
    [],
    properties=[full, repeatable, epochs, shuffled],
)


# Learning by heart ------------------------------------------------------------------------------


class Linear:
    """A network of one 1x1 convolution: logits = x W + b. Small, and it can learn all by heart."""

    def __init__(self, channels, outputs, seed):
        rng = np.random.default_rng(seed)
        weight = rng.standard_normal((channels, outputs)).round(1)
        self.params = {"weight": weight, "bias": np.zeros(outputs)}
        self.grads = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.kept = None
        self.m, self.v, self.t = {}, {}, 0  # Adam's
        self.calls = []

    def forward(self, x):
        self.calls.append("forward")
        self.kept = x
        return x @ self.params["weight"] + self.params["bias"]

    def backward(self, dlogits):
        self.calls.append("backward")
        if not isinstance(dlogits, np.ndarray):
            raise TypeError(f"backward wants dlogits, an array, and got {described(dlogits)}")
        if self.kept is None or self.kept.shape[:3] != dlogits.shape[:3]:
            raise ValueError("backward needs a forward pass of the same photos before it")
        axes = (0, 1, 2)
        self.grads["weight"] += np.tensordot(self.kept, dlogits, axes=(axes, axes))
        self.grads["bias"] += dlogits.sum(axis=axes)

    def clear(self):
        for g in self.grads.values():
            g[...] = 0

    def __repr__(self):
        return "a network of one layer, {} channels to {} logits".format(
            *self.params["weight"].shape
        )


def cross_entropy(logits, z):
    """The loss of chapter 7, without class weights."""
    index = np.broadcast_to(np.arange(z.shape[3]), z.shape)
    found = softmax_cross_entropy(logits, index, z, np.ones(z.shape[3]))
    return float(found.unweighted), found.gradient


def adam_step(network):
    """Chapter 9's Adam, with a large rate: few steps have to do."""
    network.calls.append("adam")
    network.t += 1
    a, c = adam_rates(RATE, network.t, BETAS)
    for name, p in network.params.items():
        g, m, v = network.grads[name], network.m.get(name, 0), network.v.get(name, 0)
        network.m[name] = m = BETAS[0] * m + (1 - BETAS[0]) * g
        network.v[name] = v = BETAS[1] * v + (1 - BETAS[1]) * g**2
        p -= a * m / (np.sqrt(v) / c + EPS)


def _learn_cases():
    for seed, (n, h, w, q, steps) in enumerate(
        [(1, 1, 1, 2, 3), (4, 2, 1, 3, 5), (4, 1, 2, 3, 60)]
    ):
        rng = np.random.default_rng(seed)
        pixels = n * h * w
        x = np.eye(pixels).reshape(n, h, w, pixels)  # each pixel has weights of its own
        z = (rng.uniform(0, 1, (n, h, w, q)) ** 4 + 0.02).round(2)
        yield {
            "network": Linear(pixels, q, seed),
            "x": x,
            "z": z / z.sum(axis=3, keepdims=True),
            "loss": cross_entropy,
            "adam": adam_step,
            "steps": steps,
        }


def _learned(network, x, z, loss, adam, steps):
    """The losses, all of it spelled out."""
    x, z = x.reshape(-1, x.shape[3]), z.reshape(-1, z.shape[3])
    numbers = [network.params[name].copy() for name in ("weight", "bias")]
    m, v = [0, 0], [0, 0]
    found = []
    for t in range(1, steps + 1):
        e = np.exp(x @ numbers[0] + numbers[1])
        share = e / e.sum(axis=1, keepdims=True)
        found.append(
            -sum(float(q) * log(p) for q, p in zip(z.flat, share.flat, strict=True)) / len(z)
        )
        off = (share - z) / len(z)
        for i, g in enumerate((x.T @ off, off.sum(axis=0))):
            m[i] = BETAS[0] * m[i] + (1 - BETAS[0]) * g
            v[i] = BETAS[1] * v[i] + (1 - BETAS[1]) * g * g
            mean, square = m[i] / (1 - BETAS[0] ** t), v[i] / (1 - BETAS[1] ** t)
            numbers[i] = numbers[i] - RATE * mean / (square**0.5 + EPS)
    return np.array(found)


def _loop(order="clear forward backward note adam", sign=1, photos=lambda k, n: slice(None)):
    """The losses of a loop whose parts come in another order, or not at all.

    photos: function of the step and N, gives those that the step has.
    """

    def made(network, x, z, loss, adam, steps):
        found, value, gradient = [], 0, None
        for k in range(steps):
            some = photos(k, len(x))
            for part in order.split():
                if part == "clear":
                    network.clear()
                elif part == "forward":
                    value, gradient = loss(network.forward(x[some]), z[some])
                elif part == "backward" and gradient is not None:
                    network.backward(sign * gradient)
                elif part == "adam":
                    adam(network)
                elif part == "note":
                    found.append(value)
                elif part == "look":
                    found.append(loss(network.forward(x), z)[0])
        return found

    return made


def moves(answer):
    """Why the losses of a learner are all alike."""
    case = copy.deepcopy(next(_learn_cases()))
    losses = np.asarray(answer(**case))
    if losses.shape != (case["steps"],) or np.ptp(losses):
        return None
    calls, said = case["network"].calls, "the loss never changes: "
    if "adam" not in calls:
        return said + "nobody calls adam(network)"
    if "backward" not in calls:
        return said + "nobody calls network.backward, so the gradients are 0"
    if calls.count("forward") < case["steps"]:
        return said + "the logits are made once, before the loop; they change with every step"
    return said + "the gradients are cleared between backward and Adam, which then sees zeros"


def _photo_by_photo(network, x, z, loss, adam, steps):
    found = []
    for _ in range(steps):
        values = []
        for i in range(len(x)):
            network.clear()
            value, gradient = loss(network.forward(x[i : i + 1]), z[i : i + 1])
            network.backward(gradient)
            adam(network)
            values.append(value)
        found.append(np.mean(values))
    return found


LEARN = Exercise(
    FILE,
    "learn",
    _loop(),
    _learned,
    {"losses": ("step",)},
    list(_learn_cases()),
    properties=[moves],
    mistakes={
        "losses": [
            (
                "the gradients of the steps before are still in network.grads: backward adds to "
                "them, so clear them in each step",
                _loop("forward backward note adam"),
            ),
            (
                "Adam comes before backward, so it uses the gradients of the step before",
                _loop("forward note adam clear backward"),
            ),
            ("the sign: the loss rises; Adam goes down by itself", _loop(sign=-1)),
            (
                "only the first photo is used; a step has all of them",
                _loop(photos=lambda k, n: slice(0, 1)),
            ),
            (
                "a step has one photo, and the next step another; it is to have all of them",
                _loop(photos=lambda k, n: slice(k % n, k % n + 1)),
            ),
            (
                "Adam is called after each photo; one step has all of them",
                _photo_by_photo,
            ),
            (
                "these are the losses after Adam; those before it are wanted, of the logits that "
                "backward uses",
                _loop("clear forward backward adam look"),
            ),
            (
                "forward and backward run twice in a step, and the gradients add up",
                _loop("clear forward backward forward backward adam note"),
            ),
            (
                "Adam is called twice in a step",
                _loop("clear forward backward note adam adam"),
            ),
        ]
    },
)

EXERCISES = [TARGETS, BATCH, LEARN]
