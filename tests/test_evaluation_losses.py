"""train.py --loss: the paper's three systems on one network, and files that remember which."""

import json

import naive
import numpy as np
import pytest
from emulator import standin
from networks import small_trainer
from PIL import Image
from programs import TRAIN, assert_same_bits, called, flags, log, python

import train
from mini_colorize import checkpoint as convert
from mini_colorize import network
from mini_colorize.backend import to_host, uploaded
from mini_colorize.bins import Q, annealed_mean, class_weights
from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.files import checkpoint
from mini_colorize.files.checkpoint import CheckpointError
from mini_colorize.files.config import LOSSES, Config, TrainingError
from mini_colorize.losses import l2_loss
from mini_colorize.network import AB_SCALE, Network
from mini_colorize.targets import regression_targets


def run(made, xp=np):
    batches = uploaded(made.loader.batches(made.step, made.config.steps), xp)
    return [float(made.train_step(rgb)[0][0]) for rgb in batches]


# The loss and the head ---------------------------------------------------------------------------


def test_l2_gradient_with_what_counts_and_a_scale():
    rng = np.random.default_rng(0)
    prediction, truth = rng.standard_normal((2, 3, 2, 5, 2))
    counted, scale = np.array([True, True, False]), np.array(8, np.float32)
    gradient = l2_loss(prediction, truth, counted, scale).gradient

    def loss():
        return 8 * float(l2_loss(prediction, truth, counted).weighted)

    assert naive.relative_error(gradient, naive.numeric_gradient(loss, prediction)) < 1e-6


def test_what_a_regression_is_asked_for():
    """ab of pixel 2 of every 4, over AB_SCALE; a grey photo does not count."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (2, 16, 24, 3), dtype=np.uint8)
    rgb[1] = rgb[1, ..., :1]
    x, truth, counted = regression_targets(rgb)
    assert x.shape == (2, 16, 24, 1) and truth.dtype == np.float32
    np.testing.assert_allclose(truth * AB_SCALE, rgb_to_lab(rgb[:, 2::4, 2::4])[..., 1:], atol=1e-4)
    assert counted.tolist() == [True, False]


def test_the_head_is_all_that_differs():
    bins, ab = Network(1 / 16), Network(1 / 16, head="ab")
    assert list(bins.layers)[:-1] == list(ab.layers)[:-1]
    x = np.random.default_rng(0).standard_normal((2, 16, 24, 1)).astype(np.float32)
    for net in (bins, ab):
        net.initialize(x, 5)
    for name, array in bins.state().items():
        if not name.startswith("conv8_313"):
            np.testing.assert_array_equal(array, ab.state()[name])  # the same seed, the same start
    logits, said = bins.forward(x), ab.forward(x)
    assert said.shape == (2, 4, 6, 2)
    np.testing.assert_array_equal(ab.colors(said, 0.1), said * AB_SCALE)
    np.testing.assert_allclose(bins.colors(logits, 0.1), annealed_mean(logits, 0.1), rtol=1e-6)
    with pytest.raises(KeyError):
        Network(1 / 16, head="other")


# Training ----------------------------------------------------------------------------------------


def test_the_three_differ_in_the_class_weights_and_the_head(photos, narrow, tmp_path):
    made = {loss: small_trainer(photos, tmp_path / loss, loss=loss) for loss in LOSSES}
    prior = np.load(tmp_path / "rebalanced" / "prior.npy")
    rebalanced = made["rebalanced"].learner.class_weight
    np.testing.assert_array_equal(rebalanced, class_weights(prior, 0.5))
    np.testing.assert_array_equal(made["classification"].learner.class_weight, np.ones(Q))
    assert [made[loss].network.head for loss in LOSSES] == ["bins", "bins", "ab"]
    crops = [next(m.loader.batches(0, 1)) for m in made.values()]
    assert (crops[0] == crops[1]).all() and (crops[0] == crops[2]).all()


def test_a_regression_learns_two_photos_by_heart(photos, tmp_path, monkeypatch):
    """To a sixth of the mean ab distance that grey has. (They come flipped and not: four views.)"""
    for path in sorted(photos.iterdir())[2:]:
        path.unlink()
    monkeypatch.setitem(network.WIDTHS, "tiny", 1 / 8)
    options = dict(batch=2, lr=3e-3, weight_decay=0.0, steps=400, lr_every=150, size=32, resize=32)
    made = small_trainer(photos, tmp_path / "run", loss="regression", **options)
    losses = run(made)
    assert losses[-1] < 0.1 * losses[0]
    rgb = next(made.judge.val.batches(0, 1))
    x, truth, _ = regression_targets(rgb)
    said = made.network.colors(made.network.forward(x, train=True))
    off, gray = (np.linalg.norm(s - truth * AB_SCALE, axis=-1).mean() for s in (said, 0))
    assert off < gray / 6, (off, gray)


@pytest.mark.parametrize("loss", ["classification", "regression"])
def test_stopped_and_resumed_is_bit_identical(photos, tmp_path, loss):
    options = dict(data=photos, val=photos, loss=loss, size=16, batch=2, workers=1, log_every=2)
    options |= dict(schedule="steps", lr_every=9)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train.main(flags(**options, device="cpu", steps=6, out=whole)) == 0
    assert train.main(flags(**options, device="cpu", steps=3, out=broken)) == 0
    done = python(*TRAIN, "--resume", broken, "--steps", 6)
    assert done.returncode == 0, done.stderr
    assert_same_bits(whole, broken)
    assert json.loads((broken / "config.json").read_text())["loss"] == loss
    names = {name for entry in log(broken, "step") for name in entry if "loss" in name}
    expected = {"loss_l2"} if loss == "regression" else {"loss_weighted", "loss_unweighted_nats"}
    assert names == expected | {f"val_{name}" for name in expected}
    assert Image.open(broken / "loss.png").size == (800, 450)
    assert list((broken / "samples").iterdir())


REFUSED = [
    (["--loss", "other", "--data", "x"], "invalid choice: 'other'"),
    (["--loss", "regression", "--data", "x", "--lam", "0.3"], "--lam has a say"),
    (["--resume", "x", "--loss", "regression"], "--loss cannot change"),
]


@pytest.mark.parametrize("arguments, told", REFUSED)
def test_errors_are_one_line(arguments, told, capsys):
    code, _, err = called(train.main, capsys, *arguments)
    assert code == 2 and told in err.splitlines()[-1]


def test_an_unknown_loss_in_a_run():
    with pytest.raises(TrainingError, match="--loss must be one of"):
        Config(data=["x"], loss="other").check()


# Files -------------------------------------------------------------------------------------------


def test_weights_remember_the_head_and_color(photos, narrow, tmp_path):
    made = small_trainer(photos, tmp_path / "run", loss="regression")
    run(made)
    made.save()
    net, meta = checkpoint.load_network(tmp_path / "run")
    assert net.head == "ab" and meta["head"] == "ab"
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")[0]["head"] == "ab"
    assert convert.main([str(tmp_path / "run"), str(tmp_path / "half.npz")]) == 0
    half = Colorizer.load(tmp_path / "half.npz", temperature=0.1)
    one = Colorizer.load(tmp_path / "run")
    pictures = [np.asarray(c(photos / "0.png"), float) for c in (one, half)]
    assert abs(pictures[0] - pictures[1]).max() <= 2  # float16; and no temperature
    assert np.ptp(pictures[0], axis=-1).max() > 3


def test_files_without_a_head_are_of_bins_and_no_other_fits(tmp_path):
    net, path = Network(1 / 32), tmp_path / "old.npz"
    meta, groups = {"kind": "weights", "width": net.width}, {"network": net.state()}
    checkpoint.save(path, meta, groups)
    assert checkpoint.load_network(path)[0].head == "bins"
    for head in ("other", 7, None, ["ab"], "ab"):
        checkpoint.save(path, {**meta, "head": head}, groups)
        with pytest.raises(CheckpointError, match="head|does not match") as caught:
            checkpoint.load_network(path)
        assert "\n" not in str(caught.value)


# On a GPU ----------------------------------------------------------------------------------------


@pytest.mark.one_order
@pytest.mark.parametrize("precision, limit", [("fp32", 5e-4), ("mixed", 2e-2)])
def test_a_regression_on_a_gpu(gpu, precision, limit, narrow, photos, tmp_path):
    """A step's loss and gradient are those of the CPU, and it does not wait for the device.

    In float16 the gradient is compared at the head only: in so small a network ReLU and BatchNorm
    make of its rounding what they like, and with the other losses no less.
    """
    here = small_trainer(photos, tmp_path / "cpu", loss="regression")
    there = small_trainer(photos, tmp_path / "gpu", gpu, loss="regression", precision=precision)
    scale = 256 if there.learner.loss_scale else 1
    rgb = next(here.loader.batches(0, 1))
    (one, _), _ = here.train_step(rgb)
    rgb = gpu.asarray(rgb)
    before = getattr(standin, "synchronisations", 0)
    (two, _), _ = there.train_step(rgb)
    if standin.emulated(gpu):
        assert standin.synchronisations == before
    assert float(two) == pytest.approx(float(one), rel=1e-3 if there.learner.loss_scale else 3e-6)
    for name, expected in here.learner.grads.items():
        if precision == "fp32" or name.startswith("conv8_ab"):
            found = to_host(there.learner.grads[name]) / scale
            assert np.linalg.norm(found - expected) < limit * np.linalg.norm(expected), name


@pytest.mark.one_order
@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_a_regression_colors_on_a_gpu(gpu, precision, narrow, photos, tmp_path):
    options = dict(loss="regression", steps=3, precision=precision)
    made = small_trainer(photos, tmp_path / "run", gpu, **options)
    run(made, gpu)
    made.save()
    colorizer = Colorizer.load(tmp_path / "run", device="cuda", precision=precision)
    reference = np.asarray(Colorizer.load(tmp_path / "run")(photos / "0.png"), float)
    off = abs(np.asarray(colorizer(photos / "0.png"), float) - reference).mean()
    assert off < (0.05 if precision == "fp32" else 1), off
    assert np.ptp(reference, axis=-1).max() > 3
