"""A widened network says what the narrow one says, and its copies part when it is trained."""

import numpy as np
import pytest

from mini_colorize.network import Network
from mini_colorize.widen import widened


@pytest.fixture(scope="module", params=["bins", "ab"])
def pair(request):
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.5, 0.5, (2, 32, 40, 1)).astype(np.float32)
    narrow = Network(1 / 32, head=request.param)
    narrow.initialize(x)
    for array in narrow.state().values():  # no bias and no average stays at its first value
        if array.ndim == 1:
            array += rng.uniform(0, 0.1, array.shape).astype(np.float32)
    return narrow, x


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("train", [False, True])
def test_the_function_stays(pair, factor, train):
    narrow, x = pair
    wide = widened(narrow, factor / 32)
    assert wide.params()["conv4_2.weight"].shape == (3, 3, 16 * factor, 16 * factor)
    expected = narrow.forward(x, train)
    assert expected.std() > 0.1
    np.testing.assert_allclose(wide.forward(x, train), expected, rtol=1e-4, atol=1e-4)


def test_copies_get_gradients_of_their_own(pair):
    narrow, x = pair
    wide = widened(narrow, 1 / 16)
    logits = wide.forward(x, train=True)
    wide.backward(np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32))
    for name in ("conv1_1.weight", "conv4_2.weight", "conv8_1.weight"):
        first, second = np.split(wide.grads()[name], 2, axis=3)
        difference = np.linalg.norm(first - second) / np.linalg.norm(first)
        assert difference > 0.3, (name, difference)


def test_seeds(pair):
    wide = [widened(pair[0], 1 / 16, seed) for seed in (0, 0, 1)]
    one, same, other = (network.params()["conv3_1.weight"] for network in wide)
    np.testing.assert_array_equal(one, same)
    assert abs(one - other).max() > 1e-3


@pytest.mark.parametrize("width", [1 / 64, 3 / 64, 0.25 / 32])
def test_widths_that_do_not_divide(pair, width):
    with pytest.raises(ValueError, match="cannot be widened"):
        widened(pair[0], width)
