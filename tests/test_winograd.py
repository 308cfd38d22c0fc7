"""Winograd's convolution: its matrices, and what makes it fast, small and exact enough: blocks,
buffers used again, and the digits that float32 loses.

Values and gradients of every tile are compared in test_twins.py, the GPU's transforms with these in
test_kernels.py.
"""

import naive
import numpy as np
import pytest
from naive import random

from mini_colorize.fast import gather, steps_cpu, tiles, winograd, winograd_cpu
from mini_colorize.fast.memory import scratch
from mini_colorize.fast.winograd import matrices
from mini_colorize.layers.conv import output_size

TILES = pytest.mark.parametrize("m", [2, 4])


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


# Values -----------------------------------------------------------------------------------------


@TILES
def test_views_are_fine_and_nothing_is_written_over(m):
    """Strided pictures, filters and gradients; every argument is only read."""
    x, dy = random((2, 14, 9, 6))[:, ::2, ::-1, ::2], random((2, 9, 7, 4)).swapaxes(1, 2)
    weight, bias = random((3, 3, 4, 3)).swapaxes(2, 3), random(4, 1)
    block = tiles.whole(2, (7, 9), m, 1)
    V = winograd_cpu.transform(x, matrices(m)[0], m, 1, 1, 0, block)
    M = V @ winograd.filter_transform(steps_cpu, weight, m)
    given = [x, dy, weight, bias, M]
    kept = [a.copy() for a in given]
    y = winograd.correlate(steps_cpu, x, weight, bias, padding=1, m=m)
    assert naive.relative_error(y, gather.correlate(steps_cpu, x, weight, bias, padding=1)) < 1e-13
    dx = winograd.correlate_adjoint(steps_cpu, dy, weight, padding=1, m=m)
    truth = gather.correlate_adjoint(steps_cpu, dy, weight, (7, 9), padding=1)
    assert naive.relative_error(dx, truth) < 1e-13
    dw = winograd.weight_gradient(steps_cpu, x, dy, padding=1, m=m)
    truth = gather.weight_gradient(steps_cpu, x, dy, (3, 3), padding=1)
    assert naive.relative_error(dw, truth) < 1e-13
    again = np.empty_like(y)
    winograd_cpu.output_transform(M, m, again, 1, bias, False, block)
    np.testing.assert_array_equal(again, y)
    for a, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(a, before)


def test_errors():
    x, weight = random((1, 4, 4, 2)), random((3, 3, 2, 2))
    with pytest.raises(ValueError, match="tiles of 3 .* 2, 4"):
        winograd.correlate(steps_cpu, x, weight, m=3)
    with pytest.raises(ValueError, match=r"filter of \(1, 9\)"):
        winograd.correlate(steps_cpu, x, weight.reshape(1, 9, 2, 2))
    with pytest.raises(ValueError, match="too small"):
        winograd.correlate(steps_cpu, x, weight, dilation=2)


# Blocks and buffers -------------------------------------------------------------------------------


def all_three(x, weight, bias, dy, fill=0, **options):
    return {
        "y": winograd.correlate(steps_cpu, x, weight, bias, fill=fill, **options),
        "dx": winograd.correlate_adjoint(steps_cpu, dy, weight, **options),
        "dw": winograd.weight_gradient(steps_cpu, x, dy, **options),
    }


# From one cell a block, over parts of rows, rows and parts of pictures, to pictures.
CELLS = pytest.mark.parametrize("cells", [1, 2, 3, 4, 7, 12, 24, 36])


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


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_large_convolution_stays_in_the_cache(monkeypatch, dilation):
    """2 x 200 x 200 pixels of 64 channels: 46 MB of V at once."""
    sizes = {}

    def spy(name, shape, dtype):
        array = scratch(name, shape, dtype)
        sizes[name] = max(array.nbytes, sizes.get(name, 0))
        return array

    monkeypatch.setattr(winograd_cpu, "scratch", spy)
    x, weight = (random(s, dtype=np.float32) for s in ((2, 200, 200, 64), (3, 3, 64, 64)))
    options = {"dilation": dilation, "padding": dilation}
    winograd.correlate(steps_cpu, x, weight, **options)
    limit = winograd_cpu.ROW_BYTES
    assert limit // 2 < sizes["V"] <= limit == 2**19 and sizes["M"] == sizes["V"]
    assert max(sizes.values()) < 6 * limit
    winograd.weight_gradient(steps_cpu, x, x, **options)
    limit = winograd_cpu.GRADIENT_ROW_BYTES
    assert limit // 2 < sizes["V"] <= limit == 2**20 and sizes["M"] == sizes["V"]


@TILES
def test_filters_transformed_before(m):
    """They are used as they are, whatever `weight` holds, and are not written to."""
    x, weight, bias, dy = arrays((2, 7, 5, 3), 1, 1)
    filters = winograd.filter_transform(steps_cpu, weight, m)
    kept, zeros = filters.copy(), np.zeros_like(weight)
    y = winograd.correlate(steps_cpu, x, zeros, bias, padding=1, m=m, filters=filters)
    np.testing.assert_array_equal(y, winograd.correlate(steps_cpu, x, weight, bias, padding=1, m=m))
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
            module.correlate(steps_cpu, a, w, padding=1, **options),
            module.correlate_adjoint(steps_cpu, a, w.swapaxes(2, 3), *size, padding=1, **options),
            module.weight_gradient(steps_cpu, a2, dy2, *kernel, padding=1, **options),
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
