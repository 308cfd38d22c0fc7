"""Winograd's convolution: its matrices, transforms and gradients; test_twins.py compares the whole.

Then what makes it fast, small and exact enough: the order of the tiles that the kernels rely on,
blocks, buffers used again, and the digits that float32 loses.
"""

import sys

import naive
import numpy as np
import pytest

from mini_colorize.fast import gather, tiles, winograd, winograd_cpu
from mini_colorize.fast.memory import scratch
from mini_colorize.fast.winograd import matrices
from mini_colorize.layers.conv import output_size

TILES = pytest.mark.parametrize("m", [2, 4])
# Shapes of x: several pictures, odd and even sides, less than a tile, one pixel.
SHAPES = [(2, 7, 5, 3), (3, 6, 9, 2), (1, 1, 1, 2), (2, 16, 8, 1), (1, 3, 14, 4)]
# dilation, padding; with more than 2 d the padding of the input's gradient is less than 0
GEOMETRIES = [(1, 0), (1, 1), (1, 4), (2, 1), (2, 2), (2, 5), (3, 3), (3, 2)]
CASES = [(shape, *geometry) for shape in SHAPES for geometry in GEOMETRIES]
CASES = [(shape, d, p) for shape, d, p in CASES if min(shape[1:3]) + 2 * p > 2 * d]
EVERY_CASE = pytest.mark.parametrize("shape, dilation, padding", CASES, ids=str)

# As printed by Lavin & Gray (2016), section 4: B^T, G, A^T.
PRINTED = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0]]
        + [[0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]],
        [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6]]
        + [[1 / 24, -1 / 12, 1 / 6], [0, 0, 1]],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


def random(shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def arrays(shape, dilation, padding, c_out=3):
    """x, weight, bias and dy of one case."""
    size = [output_size(side, 3, 1, dilation, padding) for side in shape[1:3]]
    shapes = shape, (3, 3, shape[3], c_out), c_out, (shape[0], *size, c_out)
    return [random(shape, seed) for seed, shape in enumerate(shapes)]


# Matrices -----------------------------------------------------------------------------------------


@TILES
def test_the_matrices_are_an_identity(m):
    """y[k] = sum_i x[k + i] g[i], entry by entry of the three-way table of coefficients."""
    bt, g, at = matrices(m)
    table = np.einsum("pn,pi,kp->kni", bt, g, at)
    for k, n, i in np.ndindex(table.shape):
        assert table[k, n, i] == pytest.approx(float(n == k + i), abs=1e-15)


@TILES
def test_the_matrices_are_those_of_lavin_and_gray(m, monkeypatch):
    """At their points, and but for signs that cancel: some points of m = 2 have two others."""
    monkeypatch.setitem(winograd.POINTS, 4, (0, 1, -1, 2, -2))
    monkeypatch.setattr(sys.modules[__name__], "matrices", winograd.matrices.__wrapped__)
    signs = np.ones(m + 2)
    for ours, printed in zip(matrices(m), map(np.array, PRINTED[m]), strict=True):
        ours, printed = (ours.T, printed.T) if ours.shape == (m, m + 2) else (ours, printed)
        sign = np.sign((ours * printed).sum(axis=1))
        np.testing.assert_allclose(ours, sign[:, None] * printed, atol=1e-16)
        signs *= sign
    np.testing.assert_array_equal(signs, 1)


@TILES
def test_the_multiplications_of_the_docstring(m):
    assert {2: (16, 36), 4: (36, 144)}[m] == (len(matrices(m)[0]) ** 2, 9 * m**2)


# Values -----------------------------------------------------------------------------------------


@TILES
def test_views_are_fine_and_nothing_is_written_over(m):
    """Strided pictures, filters and gradients; every argument is only read."""
    x, dy = random((2, 14, 9, 6))[:, ::2, ::-1, ::2], random((2, 9, 7, 4)).swapaxes(1, 2)
    weight, bias = random((3, 3, 4, 3)).swapaxes(2, 3), random(4, 1)
    M = winograd.input_transform(x, m, 1, 1) @ winograd.filter_transform(weight, m)
    given = [x, dy, weight, bias, M]
    kept = [a.copy() for a in given]
    y = winograd.correlate(x, weight, bias, padding=1, m=m)
    assert naive.relative_error(y, gather.correlate(x, weight, bias, padding=1)) < 1e-13
    dx = winograd.correlate_adjoint(dy, weight, padding=1, m=m)
    assert naive.relative_error(dx, gather.correlate_adjoint(dy, weight, (7, 9), padding=1)) < 1e-13
    dw = winograd.weight_gradient(x, dy, padding=1, m=m)
    assert naive.relative_error(dw, gather.weight_gradient(x, dy, (3, 3), padding=1)) < 1e-13
    np.testing.assert_array_equal(winograd.output_transform(M, m, np.empty_like(y), 1, bias), y)
    for a, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(a, before)


def test_errors():
    x, weight = random((1, 4, 4, 2)), random((3, 3, 2, 2))
    with pytest.raises(ValueError, match="tiles of 3 .* 2, 4"):
        winograd.correlate(x, weight, m=3)
    with pytest.raises(ValueError, match=r"filter of \(1, 9\)"):
        winograd.correlate(x, weight.reshape(1, 9, 2, 2))
    with pytest.raises(ValueError, match="too small"):
        winograd.correlate(x, weight, dilation=2)


# Gradients ----------------------------------------------------------------------------------------


@TILES
@pytest.mark.parametrize(
    "shape, dilation, padding",
    [((2, 7, 5, 3), 1, 1), ((3, 6, 9, 2), 2, 2), ((2, 5, 7, 2), 1, 0), ((2, 4, 5, 2), 3, 4)],
    ids=str,
)
def test_gradients(shape, dilation, padding, m):
    x, weight, _, dy = arrays(shape, dilation, padding)
    options = {"dilation": dilation, "padding": padding, "m": m}
    dx = winograd.correlate_adjoint(dy, weight, **options)
    dw = winograd.weight_gradient(x, dy, **options)

    def loss():
        return (dy * winograd.correlate(x, weight, **options)).sum()

    assert naive.relative_error(dx, naive.numeric_gradient(loss, x)) < 1e-6
    assert naive.relative_error(dw, naive.numeric_gradient(loss, weight)) < 1e-6


# Transforms ---------------------------------------------------------------------------------------


def tiles_by_loops(x, m, side, dilation, first, size):
    """{place among the P tiles: its side x side pixels}, by the definition; what lies outside is 0.

    The first pixel of a tile is its first output pixel moved by `first`. size: (Ho, Wo).
    """
    n, height, width, c = x.shape
    rows, cols = (-(-s // (m * dilation)) for s in size)
    order = np.ndindex(n, rows, dilation, cols, dilation)
    found = {}
    for p, (picture, i, a, j, b) in enumerate(order):
        found[p] = tile = np.zeros((side, side, c))
        for u, v in np.ndindex(side, side):
            row = (i * m + u) * dilation + a + first
            col = (j * m + v) * dilation + b + first
            if 0 <= row < height and 0 <= col < width:
                tile[u, v] = x[picture, row, col]
    return found


def sandwich(left, tile, right):
    """left tile right, for every channel of tile (side, side, C), as a matrix of (t*t, C)."""
    product = np.einsum("su,uvc,vr->src", left, tile, right)
    return product.reshape(-1, tile.shape[2])


@TILES
@EVERY_CASE
def test_every_transformed_tile_is_in_its_place(shape, dilation, padding, m):
    x, _, _, dy = arrays(shape, dilation, padding)
    size, (bt, _, at) = dy.shape[1:3], matrices(m)
    V = winograd.input_transform(x, m, dilation, padding)
    tiles = tiles_by_loops(x, m, m + 2, dilation, -padding, size)
    assert V.shape == ((m + 2) ** 2, len(tiles), shape[3])
    for p, tile in tiles.items():
        np.testing.assert_allclose(V[:, p], sandwich(bt, tile, bt.T), atol=1e-12)
    dM = winograd.gradient_transform(dy, m, dilation)
    tiles = tiles_by_loops(dy, m, m, dilation, 0, size)
    assert dM.shape == ((m + 2) ** 2, len(tiles), dy.shape[3])
    for p, tile in tiles.items():
        np.testing.assert_allclose(dM[:, p], sandwich(at.T, tile, at), atol=1e-12)


@TILES
@EVERY_CASE
def test_output_and_gradient_transforms_are_adjoint(shape, dilation, padding, m):
    """<output_transform(M), dy> = <M, gradient_transform(dy)> for any M and dy."""
    *_, dy = arrays(shape, dilation, padding)
    forward = winograd.gradient_transform(dy, m, dilation)
    M = random(forward.shape, seed=6)
    y = winograd.output_transform(M, m, np.empty_like(dy), dilation)
    assert (y * dy).sum() == pytest.approx((M * forward).sum(), rel=1e-11, abs=1e-11)


@TILES
@pytest.mark.parametrize("flip", [False, True])
def test_filter_transform_and_its_adjoint(m, flip):
    weight, dU = random((3, 3, 2, 5)), random(((m + 2) ** 2, 2, 5), seed=1)
    _, g, _ = matrices(m)
    U = winograd.filter_transform(weight, m, flip=flip)
    turned = weight[::-1, ::-1] if flip else weight
    truth = np.einsum("si,ijcd,rj->srcd", g, turned, g).reshape(U.shape)
    np.testing.assert_allclose(U, truth, atol=1e-13)
    if not flip:
        dw = winograd.filter_transform_adjoint(dU, m)
        assert dw.shape == weight.shape
        assert (U * dU).sum() == pytest.approx((weight * dw).sum(), rel=1e-12)


@TILES
def test_a_block_is_a_part_of_the_whole(m):
    """Cells 1.. of the rows and columns of the second picture: the same tiles of V and dM."""
    x, dy, d = random((2, 13, 20, 3)), random((2, 15, 22, 2)), 2
    rows, cols = -(-15 // (m * d)), -(-22 // (m * d))
    block = slice(1, 2), slice(1, rows), slice(1, cols)
    whole = [winograd.input_transform(x, m, d, 3), winograd.gradient_transform(dy, m, d)]
    parts = [winograd.input_transform(x, m, d, 3, block=block)]
    parts += [winograd.gradient_transform(dy, m, d, block=block)]
    for value, part in zip(whole, parts, strict=True):
        c = value.shape[2]
        expected = value.reshape(-1, 2, rows, d, cols, d, c)[:, 1:, 1:, :, 1:]
        np.testing.assert_array_equal(part, expected.reshape(part.shape))


# Blocks and buffers -------------------------------------------------------------------------------


def all_three(x, weight, bias, dy, fill=0, **options):
    return {
        "y": winograd.correlate(x, weight, bias, fill=fill, **options),
        "dx": winograd.correlate_adjoint(dy, weight, **options),
        "dw": winograd.weight_gradient(x, dy, **options),
    }


# From one cell a block, over parts of rows, rows and parts of pictures, to pictures.
CELLS = pytest.mark.parametrize("cells", [1, 2, 3, 4, 7, 12, 24, 36])


@CELLS
@pytest.mark.parametrize("dilation", [1, 2])
@TILES
def test_blocks_cover_every_cell_once(m, dilation, cells):
    most, side = cells * dilation**2, m * dilation
    seen = np.zeros((3, 3, 4), int)
    for block in tiles.cut_cells(3, (3 * side - 1, 4 * side - 1), m, dilation, most):
        seen[block] += 1
        assert tiles.count(block, dilation) == seen[block].size * dilation**2 <= most
    assert (seen == 1).all()


@CELLS
@pytest.mark.parametrize("threads", [1, 2, 5, 16])  # one block each, shared blocks, parts of rows
@pytest.mark.parametrize("dilation", [1, 2])
@TILES
def test_blocks_and_threads_change_nothing(m, dilation, threads, cells, monkeypatch):
    side = m * dilation
    shape = 3, 3 * side - 1, 4 * side - side // 2, 3  # 3 pictures of 3 x 4 cells that overhang
    case = arrays(shape, dilation, dilation, c_out=5)
    options = {"dilation": dilation, "padding": dilation, "m": m, "fill": 0.5}
    whole = all_three(*case, **options)
    monkeypatch.setattr(winograd_cpu, "THREADS", threads)
    monkeypatch.setattr(winograd_cpu, "ROW_BYTES", 0)
    monkeypatch.setattr(winograd_cpu, "GRADIENT_ROW_BYTES", 0)
    monkeypatch.setattr(winograd_cpu, "FEWEST", cells * dilation**2)
    blocks, again = all_three(*case, **options), all_three(*case, **options)
    for name, value in whole.items():
        np.testing.assert_allclose(blocks[name], value, rtol=1e-12, atol=1e-11, err_msg=name)
        np.testing.assert_array_equal(blocks[name], again[name], err_msg=name)


def test_a_large_convolution_stays_in_the_cache(monkeypatch):
    """2 x 200 x 200 pixels of 64 channels: 46 MB of V at once."""
    sizes = {}

    def spy(name, shape, dtype):
        array = scratch(name, shape, dtype)
        sizes[name] = max(array.nbytes, sizes.get(name, 0))
        return array

    monkeypatch.setattr(winograd_cpu, "scratch", spy)
    x, weight = (random(s, dtype=np.float32) for s in ((2, 200, 200, 64), (3, 3, 64, 64)))
    winograd.correlate(x, weight, padding=1)
    limit = winograd_cpu.ROW_BYTES
    assert limit // 2 < sizes["V"] <= limit == 2**19 and sizes["M"] == sizes["V"]
    assert max(sizes.values()) < 6 * limit
    winograd.weight_gradient(x, x, padding=1)
    limit = winograd_cpu.GRADIENT_ROW_BYTES
    assert limit // 2 < sizes["V"] <= limit == 2**20 and sizes["M"] == sizes["V"]


@TILES
def test_filters_transformed_before(m):
    """They are used as they are, whatever `weight` holds, and are not written to."""
    x, weight, bias, dy = arrays((2, 7, 5, 3), 1, 1)
    filters = winograd.filter_transform(weight, m)
    kept = filters.copy()
    y = winograd.correlate(x, np.zeros_like(weight), bias, padding=1, m=m, filters=filters)
    np.testing.assert_array_equal(y, winograd.correlate(x, weight, bias, padding=1, m=m))
    np.testing.assert_array_equal(filters, kept)


# float32 ------------------------------------------------------------------------------------------


# Output, gradient to the input, to the weights: the table of winograd.py.
MEASURED = {gather: (3.7e-7,) * 3, 2: (5.0e-7, 5.0e-7, 9.7e-7), 4: (2.1e-6,) * 3}


@pytest.mark.parametrize("method", MEASURED, ids=["gather.py", "2", "4"])
def test_digits_lost_in_float32(method):
    """Twice the measured error is the limit: BLAS adds in another order on another machine."""
    x, weight = random((1, 32, 32, 512)), random((3, 3, 512, 32), seed=1)
    pair = random((4, 32, 32, 16), seed=2), random((4, 32, 32, 16), seed=3)

    def results(module, dtype, *kernel, **options):
        size = [(32, 32)] if kernel else []
        a, w, a2, dy2 = (array.astype(dtype) for array in (x, weight, *pair))
        return (
            module.correlate(a, w, padding=1, **options),
            module.correlate_adjoint(a, w.swapaxes(2, 3), *size, padding=1, **options),
            module.weight_gradient(a2, dy2, *kernel, padding=1, **options),
        )

    truth = results(gather, np.float64, (3, 3))
    if method is gather:
        values = results(gather, np.float32, (3, 3))
    else:
        values = results(winograd, np.float32, m=method)
    for value, exact, measured in zip(values, truth, MEASURED[method], strict=True):
        error = naive.relative_error(value, exact)
        print(f"{error:.1e}", end=" ")  # for pytest -s
        assert error < 2 * measured
