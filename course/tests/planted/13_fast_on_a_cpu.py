"""Wrong answers that students give to chapter 13. The docstring: exercise, and what is to be said."""

import numpy as np


def _right(points):
    m, t = len(points) - 1, len(points) + 1
    bt, g, a = np.zeros((t, t)), np.zeros((t, 3)), np.zeros((t, m))
    for row, p in enumerate(points):
        n = np.poly([q for q in points if q != p])
        bt[row, : m + 1] = n[::-1]
        g[row] = np.array([1, p, p**2]) / np.polyval(n, p)
        a[row] = [p**k for k in range(m)]
    bt[-1], g[-1, 2], a[-1, m - 1] = np.poly(points)[::-1], 1, 1
    return bt, g, a.T


def infinity_forgotten(points):
    """winograd_matrices: the 3 given and infinity"""
    bt, g, at = _right(points)
    return bt[:-1, :-1], g[:-1], at[:, :-1]


def no_division(points):
    """winograd_matrices: the division by N_p(p) is missing"""
    bt, _, at = _right(points)
    g = np.array([[1, p, p * p] for p in points] + [[0, 0, 1]])
    return bt, g, at


def divided_in_both(points):
    """winograd_matrices: it is divided by N_p(p) twice"""
    bt, g, at = _right(points)
    for row, p in enumerate(points):
        bt[row] /= np.prod([p - q for q in points if q != p])
    return bt, g, at


def a_is_transposed(points):
    """winograd_matrices: A^T has the shape (4, 2), wanted is (2, 4): it is transposed"""
    bt, g, at = _right(points)
    return bt, g, at.T


def b_is_transposed(points):
    """winograd_matrices: B is given where B^T belongs"""
    bt, g, at = _right(points)
    return np.ascontiguousarray(bt.T), g, at


def flipped(points):
    """winograd_matrices: the filter is flipped"""
    bt, g, at = _right(points)
    return bt, np.flip(g, axis=1), at


def highest_power_first(points):
    """winograd_matrices: np.poly has the highest power first"""
    bt, g, at = _right(points)
    for row, p in enumerate(points):
        bt[row, :-1] = np.poly([q for q in points if q != p])
    bt[-1] = np.poly(points)
    return bt, g, at


def a_one_for_infinity(points):
    """winograd_matrices: infinity's row of B^T has the coefficients of N"""
    bt, g, at = _right(points)
    bt[-1] = np.eye(len(bt))[-1]
    return bt, g, at


def infinity_as_if_it_were_0(points):
    """winograd_matrices: infinity is not 1 0 0 but 0 0 1"""
    bt, g, at = _right(points)
    g[-1] = [1, 0, 0]
    at[:, -1] = np.eye(len(at))[0]
    return bt, g, at


def infinity_in_g_only(points):
    """winograd_matrices: infinity adds nothing"""
    bt, g, at = _right(points)
    at[:, -1] = 0
    return bt, g, at


def two_matrices(points):
    """winograd_matrices: it returns 2 values; wanted are 3 matrices"""
    return _right(points)[:2]


def plus_for_minus(points):
    """winograd_matrices: N_p is the product of z - q, not of z + q"""
    bt, g, at = _right(points)
    m = len(points) - 1
    for row, p in enumerate(points):
        bt[row, : m + 1] = np.poly([-q for q in points if q != p])[::-1]
    bt[-1] = np.poly([-q for q in points])[::-1]
    return bt, g, at


def _by_tiles(x, weight, bt, g, at, rows, columns, step):
    m, t = at.shape
    h, w = x.shape[0] - 2, x.shape[1] - 2
    padded = np.pad(x, ((0, 4 * t), (0, 4 * t), (0, 0)))
    y = np.zeros((rows * m, columns * m, weight.shape[-1]))
    u = np.tensordot(g, np.tensordot(g, weight, (1, 1)), (1, 1))  # p, q, C_in, C_out
    for r in range(rows):
        for c in range(columns):
            d = padded[r * step : r * step + t, c * step : c * step + t]
            v = np.einsum("pi,qj,ijc->pqc", bt, bt, d)
            o = np.einsum("ui,vj,ijk->uvk", at, at, np.einsum("ijc,ijck->ijk", v, u))
            y[r * m : r * m + m, c * m : c * m + m] = o
    return y[:h, :w]


def whole_tiles_only(x, weight, bt, g, at):
    """winograd_correlate: the tiles that overhang are left out"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    y = np.zeros((h, w, weight.shape[3]))
    part = _by_tiles(x, weight, bt, g, at, h // m, w // m, m)
    y[: part.shape[0], : part.shape[1]] = part
    return y


def overhang_kept(x, weight, bt, g, at):
    """winograd_correlate: y has the shape (4, 6, 3), wanted is (3, 6, 3)"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    big = np.pad(x, ((0, -h % m), (0, -w % m), (0, 0)))
    return _by_tiles(big, weight, bt, g, at, -(-h // m), -(-w // m), m)


def tiles_side_by_side(x, weight, bt, g, at):
    """winograd_correlate: tiles begin m pixels apart, not t"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    return _by_tiles(x, weight, bt, g, at, -(-h // m), -(-w // m), m + 2)


def filter_turned(x, weight, bt, g, at):
    """winograd_correlate: the filter is flipped"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    return _by_tiles(x, weight[::-1, ::-1], bt, g, at, -(-h // m), -(-w // m), m)


def taps_exchanged(x, weight, bt, g, at):
    """winograd_correlate: the filter's rows and columns are exchanged"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    swapped = np.transpose(weight, (1, 0, 2, 3))
    return _by_tiles(x, swapped, bt, g, at, -(-h // m), -(-w // m), m)


def channels_summed_first(x, weight, bt, g, at):
    """winograd_correlate: all input channels are added up before the product"""
    m, h, w = len(at), x.shape[0] - 2, x.shape[1] - 2
    x, weight = x.sum(-1)[..., None], weight.sum(2)[:, :, None]
    return _by_tiles(x, weight, bt, g, at, -(-h // m), -(-w // m), m)


def pixels_missing(x, weight, bt, g, at):
    """winograd_correlate: ValueError in line"""
    m, t = at.shape
    y = np.zeros((x.shape[0] - 2, x.shape[1] - 2, weight.shape[3]))
    for r in range(0, len(y), m):
        for c in range(0, y.shape[1], m):
            v = np.einsum("pi,qj,ijc->pqc", bt, bt, x[r : r + t, c : c + t])
            u = np.einsum("pi,qj,ijck->pqck", g, g, weight)
            y[r : r + m, c : c + m] = np.einsum("up,vq,pqc,pqck->uvk", at, at, v, u)
    return y


def kept(blocks):
    """block_statistics: mean is wrong: blocks were kept, and their memory is overwritten"""
    rows = np.concatenate(list(blocks))
    return rows.mean(axis=0), rows.var(axis=0)


def twice(blocks):
    """block_statistics: the blocks have come by already"""
    n = total = squares = 0
    for block in blocks:
        n, total = n + len(block), total + block.sum(axis=0)
    for block in blocks:
        squares = squares + ((block - total / n) ** 2).sum(axis=0)
    return total / n, squares / n


def mean_of_means(blocks):
    """block_statistics: a mean of the blocks' means"""
    both = [(block.mean(axis=0), block.var(axis=0)) for block in blocks]
    return tuple(np.mean(both, axis=0))


def squares_in_float32(blocks):
    """block_statistics: var is wrong: digits are lost"""
    n, total, squares = 0, 0, 0
    for block in blocks:
        n += len(block)
        total = total + block.sum(axis=0)
        squares = squares + (block * block).sum(axis=0)
    return total / n, squares / n - (total / n) ** 2


def _merge(blocks, between, divide=lambda n: n):
    n, mean, m2 = 0, 0, 0
    for block in blocks:
        k, own = len(block), block.mean(axis=0, dtype=np.float64)
        m2 = m2 + ((block - own) ** 2).sum(axis=0)
        if n:
            m2 = m2 + between(own - mean, n, k)
        mean = (n * mean + k * own) / (n + k)
        n += k
    return mean, m2 / divide(n)


def within_only(blocks):
    """block_statistics: var is wrong: the spread between the blocks' means is missing"""
    return _merge(blocks, lambda d, n, k: 0)


def without_the_factor(blocks):
    """block_statistics: var is wrong: the spread between the blocks' means lacks n_a n_b / n"""
    return _merge(blocks, lambda d, n, k: d**2)


def not_over_n(blocks):
    """block_statistics: var is wrong: the spread between the blocks' means is not divided by n"""
    return _merge(blocks, lambda d, n, k: d**2 * n * k)


def not_squared(blocks):
    """block_statistics: var is wrong: d is not squared"""
    return _merge(blocks, lambda d, n, k: d * n * k / (n + k))


def unbiased(blocks):
    """block_statistics: var is wrong: the variance is unbiased"""
    return _merge(blocks, lambda d, n, k: d * d * n * k / (n + k), lambda n: n - 1)


def m2_given(blocks):
    """block_statistics: var is wrong: M2 is given"""
    return _merge(blocks, lambda d, n, k: d * d * n * k / (n + k), lambda n: 1)


def equal_shares(blocks):
    """block_statistics: mean is wrong: each new block weighs half"""
    mean = var = None
    for block in blocks:
        if mean is None:
            mean, var = block.mean(axis=0), block.var(axis=0)
        else:
            mean, var = (mean + block.mean(axis=0)) / 2, (var + block.var(axis=0)) / 2
    return mean, var
