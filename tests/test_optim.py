"""Chapter 9, proven: Adam, the schedule and the moving average, worked out by hand.

The comparison with torch over many steps is in test_peers.py.
"""

import numpy as np
import pytest

from mini_colorize.fast import cpu
from mini_colorize.fast.cpu import find_overflow
from mini_colorize.fast.memory import ALIGN, Packed
from mini_colorize.modules import Adam, LossScale, MovingAverage
from mini_colorize.optim import GROWTH, step_schedule


def test_adam_by_hand():
    """p = 1, gradients 2, then -1; beta = (0.9, 0.99), lr 0.1.

    t = 1: m = 0.2, v = 0.04; corrected 2 and 4; p = 1 - 0.1 * 2 / 2 = 0.9.
    t = 2: m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496; corrected 0.08 / 0.19 = 0.421053
           and 0.0496 / 0.0199 = 2.492462, root 1.578753; p = 0.9 - 0.1 * 0.266700 = 0.873330.
    """
    params = Packed({"p": np.ones(1)})
    adam, p = Adam(params, eps=1e-30), params["p"]
    adam.step(Packed({"p": np.array([2.0])}), lr=0.1)
    assert p[0] == pytest.approx(0.9, abs=1e-15)
    adam.step(Packed({"p": np.array([-1.0])}), lr=0.1)
    assert p[0] == pytest.approx(0.873330, abs=1e-6)
    assert adam.m["p"][0] == pytest.approx(0.08) and adam.v["p"][0] == pytest.approx(0.0496)


def test_adam_eps_is_added_to_the_corrected_root():
    """First step, g = 3: lr * 3 / (3 + eps), here 3 / (3 + 1)."""
    params = Packed({"p": np.zeros(1)})
    Adam(params, eps=1.0).step(Packed({"p": np.array([3.0])}), lr=0.1)
    assert params["p"][0] == pytest.approx(-0.075, abs=1e-15)


def test_decay_reaches_convolution_weights_only():
    """With g = 0 the decayed gradient is 0.5 * 4 = 2: a first step of lr, whatever its size."""
    shapes = {"weight": (1, 1, 1, 1), "bias": 1, "gamma": 3}
    params = Packed({name: np.full(shape, 4.0) for name, shape in shapes.items()})
    adam = Adam(params, decay=0.5)
    adam.step(params.zeros_like(), lr=0.1)
    assert params["weight"].item() == pytest.approx(3.9, abs=1e-8)
    assert adam.m["weight"].item() == pytest.approx(0.2)  # (1 - beta1) * decay * p
    assert adam.v["weight"].item() == pytest.approx(0.04)  # through v as well: not AdamW
    np.testing.assert_array_equal(params["bias"], [4.0])
    np.testing.assert_array_equal(params["gamma"], [4.0, 4, 4])


def test_adams_state_has_the_names_of_old_runs_and_lacks_none():
    """That a run goes on from it as if it had not stopped, training's tests show."""
    adam = Adam(Packed({"p": np.zeros(1)}))
    assert adam.state().keys() == {"m.p", "v.p", "t"}
    for missing in adam.state():
        with pytest.raises(KeyError):
            adam.load_state({n: a for n, a in adam.state().items() if n != missing})


def test_packed_lays_weights_first_and_keeps_names_in_order():
    arrays = {"bias": np.arange(3.0), "w": np.full((1, 1, 2, 2), 7.0), "v": np.ones((1, 1, 1, 65))}
    packed = Packed(arrays)
    assert list(packed) == ["bias", "w", "v"] and packed.decayed == 3 * ALIGN
    for name, array in arrays.items():
        np.testing.assert_array_equal(packed[name], array)
        assert packed[name].base is packed.flat
        assert (packed[name].ctypes.data - packed.flat.ctypes.data) % (8 * ALIGN) == 0
    assert packed.flat.size == 4 * ALIGN and packed.flat.sum() == 3 + 28 + 65  # the gaps are 0
    packed.flat[...] = 5
    assert (packed["w"] == 5).all() and (arrays["w"] == 7).all()
    other = packed.zeros_like()
    assert not other.flat.any() and (packed.flat == 5).all() and other.keys() == packed.keys()


def test_chunks_of_adam_change_nothing(monkeypatch):
    """The border between decayed and other numbers falls into the middle of a chunk."""
    rng = np.random.default_rng(0)
    shapes = {"w": (3, 3, 5, 9), "b": 200}

    def numbers():
        return {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}

    arrays, grads, results = numbers(), Packed(numbers()), []
    for chunk in (2**15, 100):
        monkeypatch.setattr(cpu, "OPTIMIZER_CHUNK", chunk)
        params = Packed(arrays)
        adam = Adam(params, decay=0.1)
        for _ in range(2):
            adam.step(grads, lr=0.1)
        results.append(params.flat)
    assert params.decayed % 100 and len(params.flat) > 600
    np.testing.assert_array_equal(*results)


def test_adam_divides_by_the_loss_scale_and_leaves_out_an_overflow():
    arrays = {"p": np.array([1.0, 2.0])}
    plain, scaled = Packed(arrays), Packed(arrays)
    Adam(plain).step(Packed({"p": np.array([0.5, -3.0])}), lr=0.1)
    adam = Adam(scaled)
    big = Packed({"p": np.array([512.0, -3072.0])})
    adam.step(big, lr=0.1, scale=np.array(1024, np.float32))
    np.testing.assert_allclose(scaled["p"], plain["p"], rtol=1e-14)
    kept = [a.flat.copy() for a in (scaled, adam.m, adam.v)]
    big["p"][0] = np.inf
    adam.step(big, lr=0.1, overflow=find_overflow(big.flat))
    for now, then in zip((scaled, adam.m, adam.v), kept, strict=True):
        np.testing.assert_array_equal(now.flat, then)


@pytest.mark.parametrize("value, found", [(1e300, 0), (np.inf, 1), (-np.inf, 1), (np.nan, 1)])
def test_find_overflow(value, found):
    x = np.full(1000, 1e308)
    x[777] = value
    assert find_overflow(x) == found and find_overflow(x).dtype == np.int32


def test_loss_scale_halves_on_an_overflow_and_doubles_after_a_good_run():
    scale = LossScale(np, 2.0**10)
    no, yes = np.array(0, np.int32), np.array(1, np.int32)
    for _ in range(GROWTH - 1):
        scale.update(no)
    assert scale.scale == 2.0**10 and scale.good == GROWTH - 1
    scale.update(yes)
    assert scale.scale == 2.0**9 and scale.good == 0
    for _ in range(GROWTH):
        scale.update(no)
    assert scale.scale == 2.0**10 and scale.good == 0
    scale.update(no)
    other = LossScale(np)
    other.load_state({name: a.copy() for name, a in scale.state().items()})
    assert other.scale == 2.0**10 and other.good == 1
    for _ in range(40):
        scale.update(yes)
    assert scale.scale == 1  # and never less
    for bad in ({"scale": 0.5, "good": 0}, {"scale": np.nan, "good": 0}, {"scale": 4, "good": -1}):
        with pytest.raises(ValueError):
            other.load_state(bad)


def test_step_schedule():
    """The authors': 3.16e-5, 1e-5 after 215,000 steps, 3.16e-6 after 430,000."""
    rates = [step_schedule(s, 3.16e-5, 215_000) for s in (0, 214_999, 215_000, 429_999, 430_000)]
    assert rates == pytest.approx([3.16e-5, 3.16e-5, 9.9856e-6, 9.9856e-6, 3.15545e-6], rel=1e-5)


def test_moving_average_by_hand():
    """Starts at 0, ema 0.25. Step 1: d = 2/11, average 9/11 of 11 = 9.
    Step 2: d = 3/12, so 9 + 3/4 (1 - 9) = 3. From step 3 on d would be 4/13 > 0.25: 3 + 3/4 = 3.75.
    """
    arrays = Packed({"p": np.zeros(1)})
    moving = MovingAverage([arrays], ema=0.25)
    for value, average in ((11, 9), (1, 3), (4, 3.75)):
        arrays["p"][:] = value
        moving.step()
        assert moving.average["p"][0] == pytest.approx(average, rel=1e-14)
    assert arrays["p"][0] == 4  # a copy: the network's own weights are left alone


def test_moving_average_of_trained_arrays_forgets_slowly_from_the_first_step_on():
    """Starts at 8, ema 0.75: 8 - 8/4 = 6, then 6 - 6/4 = 4.5."""
    arrays = Packed({"p": np.full(1, 8.0)})
    moving = MovingAverage([arrays], ema=0.75, trained=True)
    arrays["p"][:] = 0
    for average in (6, 4.5):
        moving.step()
        assert moving.average["p"][0] == average
