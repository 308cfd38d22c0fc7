"""Chapter 7, proven: the losses equal the dense formulas, their gradients central differences.

The sparse target (K indices and weights a pixel) is written out to all Q bins here and put
through the equations as the paper has them. Then the borders: pixels that do not count, extreme
logits, chunks.
"""

import naive
import numpy as np
import pytest
import scipy.special

from mini_colorize.fast import cpu
from mini_colorize.losses import l2_loss, softmax_cross_entropy


def problem(q=7, k=3, shape=(2, 3, 5), uncounted=()):
    """Random logits, K-sparse targets with the largest weight first, class weights around 1.

    uncounted: flat indices of pixels whose weights are all 0.
    """
    rng = np.random.default_rng(0)
    pixels = int(np.prod(shape))
    index = np.array([rng.permutation(q)[:k] for _ in range(pixels)], dtype=np.int32)
    weight = -np.sort(-rng.uniform(0.1, 1, (pixels, k)), axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    weight[list(uncounted)] = 0
    index, weight = index.reshape(*shape, k), weight.reshape(*shape, k)
    return 2 * rng.standard_normal((*shape, q)), index, weight, rng.uniform(0.5, 4, q)


def dense_loss(logits, index, weight, class_weight):
    """(weighted, unweighted) straight from equation 2, pixel by pixel, with all Q bins."""
    q = logits.shape[-1]
    z = logits.reshape(-1, q).astype(np.float64)
    target = np.zeros(z.shape)
    np.put_along_axis(target, *(a.reshape(len(z), -1) for a in (index, weight)), axis=1)
    counted = target.sum(axis=1) > 0
    nats = -(target * scipy.special.log_softmax(z, axis=1)).sum(axis=1)[counted]
    v = class_weight[target.argmax(axis=1)][counted]
    return (v * nats).mean(), nats.mean()


CASES = {
    "Q 7, K 3": dict(q=7, k=3),
    "Q 7, K 1": dict(q=7, k=1),
    "Q 313, K 5": dict(q=313, k=5, shape=(2, 1, 3)),
    "uncounted pixels": dict(q=7, k=3, uncounted=(0, 4, 29)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_cross_entropy_equals_the_dense_formula_and_has_its_gradient(case):
    logits, *target = problem(**case)
    weighted, unweighted = dense_loss(logits, *target)
    loss = softmax_cross_entropy(logits.copy(), *target)
    assert float(loss.weighted) == pytest.approx(weighted, rel=1e-12)
    assert float(loss.unweighted) == pytest.approx(unweighted, rel=1e-12)
    assert abs(weighted - unweighted) > 0.1  # the two could not be mistaken for each other

    def value():
        return float(softmax_cross_entropy(logits.copy(), *target).weighted)

    assert naive.relative_error(loss.gradient, naive.numeric_gradient(value, logits, 1e-5)) < 1e-6
    assert (loss.gradient.reshape(-1, case["q"])[list(case.get("uncounted", ()))] == 0).all()


def test_the_gradient_takes_the_place_of_the_logits_in_the_twin():
    logits, *target = problem()
    before = logits.copy()
    softmax_cross_entropy(logits, *target)
    np.testing.assert_array_equal(logits, before)  # not in the chapter
    assert np.shares_memory(cpu.softmax_cross_entropy(logits, *target).gradient, logits)


def test_no_pixel_counts():
    logits, *target = problem(shape=(1, 2, 2), uncounted=range(4))
    loss = softmax_cross_entropy(logits, *target)
    assert float(loss.weighted) == float(loss.unweighted) == 0
    assert (loss.gradient == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits(dtype):
    """Logits of 1e4: the loss is the distance to the largest, the gradient stays in [-v, v] / P."""
    logits = np.full((1, 1, 2, 4), -1e4, dtype)
    logits[..., 2] = 1e4
    index = np.array([[2], [0]], np.int32).reshape(1, 1, 2, 1)  # one right, one wrong by 2e4
    ones = np.ones((1, 1, 2, 1), dtype)
    loss = softmax_cross_entropy(logits, index, ones, np.ones(4, dtype))
    assert float(loss.weighted) == pytest.approx(1e4)
    np.testing.assert_array_equal(loss.gradient[0, 0], [[0, 0, 0, 0], [-0.5, 0, 0.5, 0]])


@pytest.mark.parametrize("chunk", [1, 3, 29, 30])
def test_chunks_change_nothing(chunk, monkeypatch):
    logits, *target = problem(uncounted=(2, 3, 4))
    whole = cpu.softmax_cross_entropy(logits.copy(), *target)
    monkeypatch.setattr(cpu, "LOSS_CHUNK", chunk)
    parts = cpu.softmax_cross_entropy(logits.copy(), *target)
    assert float(parts.weighted) == pytest.approx(float(whole.weighted), rel=1e-14)
    assert float(parts.unweighted) == pytest.approx(float(whole.unweighted), rel=1e-14)
    np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-12)


def test_l2_by_hand():
    """Two pixels, off by (3, 4) and (0, 2): L = (25/2 + 4/2) / 2 = 7.25, gradient halved.

    A photo that does not count is in neither, though it is off as far; and none may count.
    """
    truth = np.array([[10.0, -20], [5, 5]]).reshape(1, 1, 2, 2).repeat(2, axis=0)
    prediction = truth + np.array([[3.0, 4], [0, -2]])
    loss = l2_loss(prediction, truth, np.array([True, False]))
    assert float(loss.weighted) == float(loss.unweighted) == 7.25
    np.testing.assert_array_equal(loss.gradient[:, 0], [[[1.5, 2], [0, -1]], np.zeros((2, 2))])
    nothing = l2_loss(prediction, truth, np.zeros(2, bool))
    assert float(nothing.weighted) == 0 and (nothing.gradient == 0).all()
