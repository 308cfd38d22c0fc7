"""Chapter 6, proven: Adam, the schedule and the moving average, worked out by hand.

The comparison with torch over many steps is in test_peers.py.
"""

import numpy as np
import pytest

from mini_colorize.optim import Adam, MovingAverage, step_schedule


def test_adam_by_hand():
    """p = 1, gradients 2, then -1; beta = (0.9, 0.99), lr 0.1.

    t = 1: m = 0.2, v = 0.04; corrected 2 and 4; p = 1 - 0.1 * 2 / 2 = 0.9.
    t = 2: m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496; corrected 0.08 / 0.19 = 0.421053
           and 0.0496 / 0.0199 = 2.492462, root 1.578753; p = 0.9 - 0.1 * 0.266700 = 0.873330.
    """
    p = np.ones(1)
    adam = Adam({"p": p}, eps=0)
    adam.step({"p": np.array([2.0])}, lr=0.1)
    assert p[0] == pytest.approx(0.9, abs=1e-15)
    adam.step({"p": np.array([-1.0])}, lr=0.1)
    assert p[0] == pytest.approx(0.873330, abs=1e-6)
    assert adam.m["p"][0] == pytest.approx(0.08) and adam.v["p"][0] == pytest.approx(0.0496)


def test_adam_eps_is_added_to_the_corrected_root():
    """First step, g = 3: lr * 3 / (3 + eps), here 3 / (3 + 1)."""
    p = np.zeros(1)
    Adam({"p": p}, eps=1.0).step({"p": np.array([3.0])}, lr=0.1)
    assert p[0] == pytest.approx(-0.075, abs=1e-15)


def test_decay_reaches_convolution_weights_only():
    """With g = 0 the decayed gradient is 0.5 * 4 = 2: a first step of lr, whatever its size."""
    shapes = {"weight": (1, 1, 1, 1), "bias": 1, "gamma": 3}
    params = {name: np.full(shape, 4.0) for name, shape in shapes.items()}
    adam = Adam(params, decay=0.5)
    adam.step({name: np.zeros_like(p) for name, p in params.items()}, lr=0.1)
    assert params["weight"].item() == pytest.approx(3.9, abs=1e-8)
    assert adam.m["weight"].item() == pytest.approx(0.2)  # (1 - beta1) * decay * p
    assert adam.v["weight"].item() == pytest.approx(0.04)  # through v as well: not AdamW
    np.testing.assert_array_equal(params["bias"], [4.0])
    np.testing.assert_array_equal(params["gamma"], [4.0, 4, 4])


def test_adam_continues_from_its_state():
    rng = np.random.default_rng(0)
    gradients = rng.standard_normal((6, 2, 3))

    def start():
        p = {"p": np.arange(6.0).reshape(2, 3)}
        return p, Adam(p)

    straight, adam = start()
    for g in gradients:
        adam.step({"p": g.copy()}, lr=0.01)

    first, adam = start()
    for g in gradients[:3]:
        adam.step({"p": g.copy()}, lr=0.01)
    saved = {name: a.copy() for name, a in adam.state().items()}
    assert saved.keys() == {"m.p", "v.p", "t"} and saved["t"] == 3
    second = {"p": first["p"].copy()}
    adam = Adam(second)
    adam.load_state(saved)
    for g in gradients[3:]:
        adam.step({"p": g.copy()}, lr=0.01)
    np.testing.assert_array_equal(second["p"], straight["p"])

    for missing in saved:
        with pytest.raises(KeyError):
            Adam(second).load_state({n: a for n, a in saved.items() if n != missing})


def test_step_schedule():
    """The authors': 3.16e-5, 1e-5 after 215,000 steps, 3.16e-6 after 430,000."""
    rates = [step_schedule(s, 3.16e-5, 215_000) for s in (0, 214_999, 215_000, 429_999, 430_000)]
    assert rates == pytest.approx([3.16e-5, 3.16e-5, 9.9856e-6, 9.9856e-6, 3.15545e-6], rel=1e-5)
    assert step_schedule(7, 1.0, every=3, factor=0.5) == 0.25


def test_moving_average_by_hand():
    """Starts at 0, decay 0.25. Step 1: d = 2/11, average 9/11 of 11 = 9.
    Step 2: d = 3/12, so 9 + 3/4 (1 - 9) = 3. From step 3 on d would be 4/13 > 0.25: 3 + 3/4 = 3.75.
    """
    arrays = {"p": np.zeros(1)}
    moving = MovingAverage(arrays, decay=0.25)
    for value, average in ((11, 9), (1, 3), (4, 3.75)):
        arrays["p"][:] = value
        moving.update(arrays)
        assert moving.average["p"][0] == pytest.approx(average, rel=1e-14)
    assert arrays["p"][0] == 4  # a copy: the network's own weights are left alone


def test_moving_average_of_a_constant_is_that_constant():
    moving = MovingAverage({"p": np.full(2, 3.0)}, decay=0.999)
    for _ in range(5):
        moving.update({"p": np.full(2, 3.0)})
    np.testing.assert_array_equal(moving.average["p"], [3.0, 3.0])
