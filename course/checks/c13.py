"""Chapter 13: Winograd's matrices and tiles; statistics of blocks that come by once."""

import numpy as np

from mini_colorize.fast import pointwise, steps_cpu, winograd

from ..check import CHANNELS, Exercise, Wrong, described

FILE = "13_fast_on_a_cpu.py"


# The matrices ------------------------------------------------------------------------------------


def tensor(matrices):
    """What they compute, (m, 3, t): y_k = sum over taps i and inputs n of T[k, i, n] g_i x_n."""
    bt, g, at = matrices
    return np.einsum("kp,pi,pn->kin", at, g, bt)


def _seen(returned, points):
    """Their tensor: it is the same for any order of points and any place of the factors."""
    m = len(points) - 1
    if not isinstance(returned, tuple | list) or len(returned) != 3:
        raise Wrong(f"it returns {described(returned)}; wanted are 3 matrices: B^T, G, A^T")
    wanted = {"B^T": (m + 2, m + 2), "G": (m + 2, 3), "A^T": (m, m + 2)}
    try:
        matrices = [np.asarray(matrix, float) for matrix in returned]
    except (TypeError, ValueError):
        raise Wrong("B^T, G and A^T must be matrices of numbers") from None
    for (name, shape), matrix in zip(wanted.items(), matrices, strict=True):
        if matrix.shape == shape:
            continue
        why = f"{name} has the shape {matrix.shape}, wanted is {shape}"
        if matrix.shape == shape[::-1]:
            why += ": it is transposed"
        elif m + 1 in matrix.shape:
            why += f": there are {m + 2} points, the {m + 1} given and infinity"
        raise Wrong(why)
    return tensor(matrices)


def _correlation(points):
    """1 where input n is k + i."""
    m = len(points) - 1
    k, i, n = np.ogrid[:m, :3, : m + 2]
    return (n == k + i) * 1.0


def _lagrange(points):
    """B^T, G, A^T, by products of polynomials written out."""
    m, t = len(points) - 1, len(points) + 1
    bt, g, at = np.zeros((t, t)), np.zeros((t, 3)), np.zeros((m, t))
    for k, p in enumerate(points):
        coefficients, value = np.ones(1), 1.0  # lowest power first
        for q in points:
            if q != p:
                coefficients = np.convolve(coefficients, [-q, 1])
                value *= p - q
        bt[k, :-1] = coefficients
        g[k] = [1 / value, p / value, p * p / value]
        at[:, k] = [p**j for j in range(m)]
    whole = np.ones(1)
    for q in points:
        whole = np.convolve(whole, [-q, 1])
    bt[-1], g[-1, -1], at[-1, -1] = whole, 1, 1
    return bt, g, at


def _matrices(change):
    """The tensor of matrices that `change`(points, bt, g, at) has altered in place."""

    def wrong(points):
        bt, g, at = _lagrange(points)
        changed = change(np.array(points, float), bt, g, at)
        return tensor((bt, g, at) if changed is None else changed)

    return wrong


def _divisors(points):
    """N_p(p) for each point, and 1 for infinity."""
    each = [np.prod([p - q for q in points if q != p]) for p in points]
    return np.array([*each, 1.0])[:, None]


def _undivided(points, bt, g, at):
    return bt, g * _divisors(points), at


def _twice(points, bt, g, at):
    return bt / _divisors(points), g, at


def _by_n_of_infinity(points, bt, g, at):
    bt[-1] = 0
    bt[-1, -1] = 1


def _no_infinity(points, bt, g, at):
    bt[-1] = 0


def _first_at_infinity(g_too, at_too):
    def change(points, bt, g, at):
        if g_too:
            g[-1] = [1, 0, 0]
        if at_too:
            at[:, -1] = 0
            at[0, -1] = 1

    return change


def _highest_first(points, bt, g, at):
    """np.poly's order, with 0 at the end of the rows."""
    m = len(bt) - 1
    bt[:-1, :m] = bt[:-1, :m][:, ::-1].copy()
    bt[-1] = bt[-1, ::-1].copy()


def _signs(points, bt, g, at):
    """(z + q) for (z - q)."""
    other = _lagrange([-p for p in points])[0]
    return other, g, at


def _shifted(points, at):
    return np.concatenate([at[:, :-1] * points, at[:, -1:]], axis=1)


_LAST = "at infinity a polynomial is its last coefficient"

MATRICES = Exercise(
    FILE,
    "winograd_matrices",
    lambda points: winograd.matrices(len(points) - 1),
    _correlation,
    {"T": ("output", "tap", "input")},
    [{"points": p} for p in ((0, 1, -1), (2, 0.5, -1), (0, 1, -1, 0.5, -2))],
    seen=_seen,
    mistakes={
        "T": [
            ("the division by N_p(p) is missing", _matrices(_undivided)),
            ("it is divided by N_p(p) twice: in B and in G", _matrices(_twice)),
            (
                "B is given where B^T belongs: the coefficients of N_p are a row of B^T",
                _matrices(lambda points, bt, g, at: (bt.T, g, at)),
            ),
            (
                "infinity's row of B^T has the coefficients of N, and not 1 alone",
                _matrices(_by_n_of_infinity),
            ),
            (
                f"infinity adds nothing: its row of B^T or G or its column of A^T is 0; {_LAST}",
                _matrices(_no_infinity),
            ),
            (
                f"infinity's row of G is 0 0 1: {_LAST}",
                _matrices(_first_at_infinity(True, False)),
            ),
            (
                f"infinity's column of A^T is 0 .. 0 1: {_LAST}",
                _matrices(_first_at_infinity(False, True)),
            ),
            (
                f"infinity is not 1 0 0 but 0 0 1, in G and in A: {_LAST}",
                _matrices(_first_at_infinity(True, True)),
            ),
            (
                "coefficients are in the wrong order: np.poly has the highest power first",
                _matrices(_highest_first),
            ),
            (
                "coefficients are in the wrong order: np.poly has the highest power first",
                _matrices(lambda points, bt, g, at: (bt[:, ::-1], g, at)),
            ),
            ("N_p is the product of z - q, not of z + q", _matrices(_signs)),
            (
                "the filter is flipped: g_0 stands with the power 0",
                _matrices(lambda points, bt, g, at: (bt, g[:, ::-1], at)),
            ),
            (
                "A's powers begin with 1: its row 0 has the power 0",
                _matrices(lambda points, bt, g, at: (bt, g, _shifted(points, at))),
            ),
            (
                "A has the powers in falling order: its row 0 has the power 0",
                _matrices(lambda points, bt, g, at: (bt, g, at[::-1])),
            ),
        ]
    },
)


# Tiles -------------------------------------------------------------------------------------------


def _tile_cases():
    for seed, (shape, channels, m) in enumerate(
        [((4, 4), (1, 1), 2), ((6, 4), (1, 2), 2), ((5, 8), (2, 3), 2), ((9, 11), (3, 2), 4)]
    ):
        rng = np.random.default_rng(seed)
        bt, g, at = winograd.matrices(m)
        yield {
            "x": rng.standard_normal((*shape, channels[0])).round(1),
            "weight": rng.standard_normal((3, 3, *channels)).round(1),
            "bt": bt,
            "g": g,
            "at": at,
        }


def _direct(x, weight, **_):
    """By loops over the output's pixels."""
    h, w = x.shape[0] - 2, x.shape[1] - 2
    y = np.empty((h, w, weight.shape[3]))
    for r, c in np.ndindex(h, w):
        y[r, c] = x[r : r + 3, c : c + 3].ravel() @ weight.reshape(-1, weight.shape[3])
    return y


def _package_tiles(x, weight, bt, g, at):
    return winograd.correlate(steps_cpu, x[None], weight, m=len(at))[0]


def _tiles(step=lambda m, t: m, whole_only=False, change=None, place=None):
    """The convolution by tiles, with one thing changed."""

    def wrong(x, weight, bt, g, at):
        m, t = at.shape
        h, w = x.shape[0] - 2, x.shape[1] - 2
        y = np.zeros((h + t, w + t, weight.shape[3]))
        padded = np.pad(x, ((0, t * t), (0, t * t), (0, 0)))
        U = np.einsum("pi,qj,ijab->pqab", g, g, weight)
        for row in range(h // m if whole_only else -(-h // m)):
            for column in range(w // m if whole_only else -(-w // m)):
                r, c = (
                    row * (step or (lambda m, t: m))(m, t),
                    column * (step or (lambda m, t: m))(m, t),
                )
                tile = padded[r : r + t, c : c + t]
                if change:
                    tile = change(tile)
                V = np.einsum("pr,qs,rsa->pqa", bt, bt, tile)
                M = np.einsum("pqa,pqab->pqb", V, U)
                Y = np.einsum("up,vq,pqb->uvb", at, at, M)
                if place:
                    Y = place(Y)
                y[row * m : row * m + m, column * m : column * m + m] = Y
        return y[:h, :w]

    return wrong


def _of_weight(change):
    return lambda x, weight, **rest: _direct(x, change(weight))


TILES = Exercise(
    FILE,
    "winograd_correlate",
    _package_tiles,
    _direct,
    {"y": ("row", "column", "channel")},
    list(_tile_cases()),
    tolerance=1e-4,  # room for float32
    mistakes={
        "y": [
            (
                "the filter is flipped: a convolution of mathematics, not of networks",
                _of_weight(lambda w: w[::-1, ::-1]),
            ),
            (
                "the filter's rows and columns are exchanged",
                _of_weight(lambda w: w.swapaxes(0, 1)),
            ),
            ("the tiles that overhang are left out", _tiles(whole_only=True)),
            ("tiles begin m pixels apart, not t: they overlap by 2", _tiles(lambda m, t: t)),
            (
                "a tile's rows and columns are exchanged on the way in",
                _tiles(change=lambda v: v.swapaxes(0, 1)),
            ),
            (
                "a tile's rows and columns are exchanged on the way out",
                _tiles(place=lambda v: v.swapaxes(0, 1)),
            ),
            (
                "B X B^T where B^T X B belongs: the matrix given is B^T already",
                lambda x, weight, bt, g, at: _tiles()(x, weight, bt.T, g, at),
            ),
            (
                "a mean over the input channels where a sum belongs",
                lambda x, weight, **rest: _direct(x, weight) / x.shape[2],
            ),
            (
                "the first input channel alone: each point's product sums over C_in",
                lambda x, weight, **rest: _direct(x[..., :1], weight[:, :, :1]),
            ),
            (
                "all input channels are added up before the product: each has taps of its own",
                lambda x, weight, **rest: _direct(
                    x.sum(2, keepdims=True), weight.sum(2, keepdims=True)
                ),
            ),
        ]
    },
)


# Blocks ------------------------------------------------------------------------------------------


class Blocks:
    """Blocks of rows that come by once, all in the same memory."""

    def __init__(self, *arrays):
        self.arrays, self.gone = arrays, False
        largest = max(len(a) for a in arrays)
        self.memory = np.empty((largest, arrays[0].shape[1]), np.float32)

    def __iter__(self):
        if self.gone:
            raise RuntimeError("the blocks have come by already; read each of them once")
        self.gone = True
        for array in self.arrays:
            block = self.memory[: len(array)]
            block[...] = array
            yield block
        self.memory[...] = np.nan

    def __deepcopy__(self, memo):
        return Blocks(*self.arrays)

    def __str__(self):
        small = sum(a.size for a in self.arrays) <= 24
        each = [a.tolist() if small else a.shape for a in self.arrays]
        return f"arrays {', '.join(map(str, each))}"


def _block_cases():
    def block(*values):
        return np.array(values, np.float32).reshape(len(values), -1)

    rng = np.random.default_rng(0)
    yield {"blocks": Blocks(block(1, 2, 6))}
    yield {"blocks": Blocks(block(1, 3), block(5, 7))}
    yield {"blocks": Blocks(block(1, 2, 6), block(4))}
    arrays = [rng.normal(2, 3, (n, 3)).round(1).astype(np.float32) for n in (4, 1, 7, 2)]
    yield {"blocks": Blocks(*arrays)}
    yield {"blocks": Blocks(block(4095), block(4097))}


def _by_rows(blocks):
    """All rows at once, in float64."""
    rows = np.concatenate(blocks.arrays).astype(np.float64)
    return rows.mean(axis=0), rows.var(axis=0)


def _two_passes(blocks):
    """The package's, which wants all rows at once."""
    rows = np.concatenate([block.copy() for block in blocks])
    return pointwise.batchnorm_statistics(rows[None, None])


def _merged(between=lambda d, n, more: d * d * n * more / (n + more), m2_of=None, divide=None):
    """The variance by merging, with one thing changed."""

    def wrong(blocks):
        n, mean, m2 = 0, 0.0, 0.0
        for block in blocks.arrays:
            block = block.astype(np.float64)
            more, own = len(block), block.mean(axis=0)
            d = own - mean
            m2 = m2 + (m2_of or (lambda b: len(b) * b.var(axis=0)))(block)
            if n:
                m2 = m2 + between(d, n, more)
            n, mean = n + more, mean + d * more / (n + more)
        return m2 / (divide(n) if divide else n)

    return wrong


def _per_block(value):
    """value(list of blocks in float64)."""
    return lambda blocks: value([block.astype(np.float64) for block in blocks.arrays])


def _kept(blocks):
    return np.full(blocks.arrays[0].shape[1], np.nan)


def _squares(blocks):
    rows = np.concatenate(blocks.arrays).astype(np.float64)
    lost = np.float32((rows**2).mean(axis=0)) - np.float32(rows.mean(axis=0)) ** 2
    return np.where(abs(rows.mean(axis=0)) > 1000, lost, rows.var(axis=0))


def _from_the_mean_so_far(blocks):
    n, total, m2 = 0, 0.0, 0.0
    for block in blocks:
        n, total = n + len(block), total + block.sum(axis=0)
        m2 = m2 + np.square(block - total / n).sum(axis=0)
    return m2 / n


_JUNK = "blocks were kept, and their memory is overwritten: take their sums while they are there"
_BETWEEN = "the spread between the blocks' means"

STATISTICS = Exercise(
    FILE,
    "block_statistics",
    _two_passes,
    _by_rows,
    {"mean": CHANNELS, "var": CHANNELS},
    list(_block_cases()),
    tolerance=1e-4,
    mistakes={
        "mean": [
            (_JUNK, _kept),
            (
                "a mean of the blocks' means: a block weighs as many rows as it has",
                _per_block(lambda blocks: np.mean([b.mean(axis=0) for b in blocks], axis=0)),
            ),
            ("the last block's alone", _per_block(lambda blocks: blocks[-1].mean(axis=0))),
            ("the first block's alone", _per_block(lambda blocks: blocks[0].mean(axis=0))),
            (
                "each new block weighs half: it is to weigh n_b / n",
                _per_block(lambda blocks: _halved(blocks)),
            ),
            ("the sum is given, not the mean", _per_block(lambda b: np.concatenate(b).sum(axis=0))),
        ],
        "var": [
            (
                "digits are lost: mean of squares minus squared mean, both 16 million, in float32",
                _squares,
            ),
            (
                "the variance is unbiased (M - 1): here it is divided by M",
                _merged(divide=lambda n: n - 1 if n > 1 else np.nan),
            ),
            (f"{_BETWEEN} is missing: d^2 n_a n_b / n", _merged(lambda d, n, more: 0)),
            (
                f"{_BETWEEN} lacks n_a n_b / n",
                _merged(lambda d, n, more: d * d),
            ),
            (
                f"{_BETWEEN} is not divided by n: d^2 n_a n_b / n",
                _merged(lambda d, n, more: d * d * n * more),
            ),
            (
                f"{_BETWEEN} is divided by n twice: d^2 n_a n_b / n",
                _merged(lambda d, n, more: d * d * n * more / (n + more) ** 2),
            ),
            (
                f"{_BETWEEN} is d^2 n_a n_b / n, not d^2 n_b",
                _merged(lambda d, n, more: d * d * more),
            ),
            *(
                (
                    f"d is not squared in {_BETWEEN}",
                    _merged(lambda d, n, more, sign=sign: sign(d) * n * more / (n + more)),
                )
                for sign in (np.positive, np.negative, np.abs)
            ),
            (
                "a block's variance is added where its M2, n_b times that, belongs",
                _merged(m2_of=lambda b: b.var(axis=0)),
            ),
            (
                "the mean of the blocks' variances: it lacks the spread between them, and weights",
                _per_block(lambda blocks: np.mean([b.var(axis=0) for b in blocks], axis=0)),
            ),
            (
                "deviations from the mean of the rows so far: that of all rows is another",
                _per_block(_from_the_mean_so_far),
            ),
            ("M2 is given: the variance is M2 / M", _merged(divide=lambda n: 1)),
            (
                "the standard deviation is given, not the variance",
                lambda blocks: np.sqrt(_merged()(blocks)),
            ),
        ],
    },
)


def _halved(blocks):
    mean = blocks[0].mean(axis=0)
    for block in blocks[1:]:
        mean = (mean + block.mean(axis=0)) / 2
    return mean


EXERCISES = [MATRICES, TILES, STATISTICS]
