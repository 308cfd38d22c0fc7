"""Training learns, resumes to the bit, survives kill -9, Ctrl-C and a loss that is not a number."""

import json
import signal
import subprocess

import numpy as np
import pytest
from photographs import small_network, smooth
from PIL import Image
from programs import TRAIN, assert_same_bits, flags, log, python, wait_for_step

from mini_colorize import bins
from mini_colorize.data import PhotoLoader
from mini_colorize.files import checkpoint
from mini_colorize.files.config import LOSSES, Config, TrainingError
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.modules import Adam
from mini_colorize.network import Network
from mini_colorize.photos import DataError, find_photos
from mini_colorize.targets import measure_prior, targets
from mini_colorize.training import Trainer

SMALL = dict(size=16, batch=2, steps=12, workers=1, log_every=2, save_every=4, sample_every=6)


@pytest.fixture
def photos(photos):
    (photos / "broken.jpg").write_bytes(b"not a picture")
    return photos


def arguments(photos, out, **changed):
    return flags(data=photos, model="tiny", out=out, **{**SMALL, **changed})


def train(*args):
    return python(*TRAIN, *args)


def test_one_run_and_what_it_leaves(photos, tmp_path):
    run = tmp_path / "run"
    done = train(*arguments(photos, run, val=photos))
    assert done.returncode == 0, done.stderr
    steps = log(run)
    assert [e["step"] for e in steps] == [2, 4, 6, 8, 10, 12]
    names = "step loss_weighted loss_unweighted_nats lr images_per_s colorfulness"
    assert set(steps[0]) == set(names.split())
    judged = log(run, "val_loss_unweighted_nats")
    assert [e["step"] for e in judged] == [6, 12]
    best = min(judged, key=lambda e: e["val_loss_weighted"])
    assert judged[-1]["best_step"] == best["step"] == checkpoint.load_meta(run)["step"]
    assert checkpoint.load_meta(run)["val_loss"] == best["val_loss_weighted"]
    assert f"weights.npz: step {best['step']}, the lowest validation loss" in done.stdout
    assert checkpoint.load_meta(run / "last.npz")["step"] == 12
    (skipped,) = log(run, "skipped")
    assert "broken.jpg" in skipped["skipped"]
    assert Image.open(run / "samples" / "step_0000012.png").size == (16 * 6, 16 * 3)
    assert Image.open(run / "loss.png").size == (800, 450)
    prior = np.load(run / "prior.npy")
    assert prior.shape == (313,) and abs(prior.sum() - 1) < 1e-9
    network, meta = checkpoint.load_network(run)
    assert meta["size"] == 24 and network.width == 0.25  # 16 * 256 / 176, to a multiple of 8
    assert json.loads((run / "config.json").read_text())["lr"] == 1e-3


def test_killed_and_resumed_is_bit_identical(photos, tmp_path, started):
    """30 steps in one go, and 10 or more, kill -9, resume to 30, give the same bits."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {"steps": 30, "save_every": 5}
    assert train(*arguments(photos, whole, **options)).returncode == 0

    victim = started(*TRAIN, *arguments(photos, broken, **options))
    wait_for_step(victim, broken, 10)
    victim.kill()
    victim.wait()
    stopped_at = checkpoint.load(broken / "checkpoint.npz")[0]["step"]
    assert 5 <= stopped_at < 30
    (broken / "log.jsonl").open("a").write('{"step": 11, "loss_wei')  # a line cut by the kill

    resumed = train("--resume", broken)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_bits(whole, broken)
    one, two = ([(e["step"], e["loss_weighted"]) for e in log(run)] for run in (whole, broken))
    assert one == two


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(photos, tmp_path, which, started):
    run = tmp_path / "run"
    options = dict(steps=100_000, schedule="steps", save_every=100_000, log_every=1)
    process = started(*TRAIN, *arguments(photos, run, **options), stdout=subprocess.PIPE)
    wait_for_step(process, run, 3)
    process.send_signal(which)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert f"go on with: python train.py --resume {run}" in out
    step = checkpoint.load(run / "checkpoint.npz", kind="training")[0]["step"]
    assert step >= 3
    assert train("--resume", run, "--steps", step + 2).returncode == 0
    assert checkpoint.load(run / "checkpoint.npz")[0]["step"] == step + 2
    config = json.loads((run / "config.json").read_text())
    assert config["steps"] == step + 2  # remembered, but the schedule is the one it began with
    assert config["lr_every"] == round(100_000 * 215 / 450)


def test_divergence_stops_and_keeps_the_last_good_checkpoint(photos, tmp_path):
    run = tmp_path / "run"
    trainer = Trainer(Config([str(photos)], **SMALL), run)
    trainer.start()
    trainer.save()
    before = (run / "checkpoint.npz").read_bytes()
    trainer.network.layers["conv3_1"].params["weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(TrainingError, match="not a number.*last good checkpoint.* --lr 0.0001$"):
        trainer.train()
    assert (run / "checkpoint.npz").read_bytes() == before


def test_divergence_before_the_first_checkpoint(photos, tmp_path):
    """No checkpoint is promised; and the advice can be followed."""
    run = tmp_path / "run"
    done = train(*arguments(photos, run, lr=1e20))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert "checkpoint" not in line and line.endswith(f"--resume {run} --lr 1e+19")
    done = train("--resume", run, "--lr", "1e-3")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "config.json").read_text())["lr"] == 1e-3


def test_init_widens_a_narrower_network(photos, tmp_path):
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 32, 32, 1)).astype(np.float32)
    narrow = small_network(0.125)
    checkpoint.save_network(tmp_path / "narrow.npz", narrow)
    config = Config([str(photos)], model="tiny", init=str(tmp_path / "narrow.npz"), **SMALL)
    trainer = Trainer(config, tmp_path / "run")
    trainer.start()
    assert trainer.network.width == 0.25
    np.testing.assert_allclose(trainer.network.forward(x), narrow.forward(x), rtol=1e-3, atol=1e-4)


def test_gray_photos_have_no_say(tmp_path):
    colored = np.asarray(smooth(np.random.default_rng(1), (64, 64)))[None]
    gray = np.repeat(colored[..., :1], 3, axis=-1)
    _, _, weight = targets(np.concatenate([colored, gray]))
    np.testing.assert_allclose(weight[0].sum(-1), 1, rtol=1e-6)
    assert not weight[1].any()
    folder = tmp_path / "gray"
    folder.mkdir()
    Image.fromarray(gray[0]).save(folder / "gray.png")
    loader = PhotoLoader(find_photos(folder), size=16, batch=2, workers=0)
    with pytest.raises(DataError, match="no photo has any colour"):
        measure_prior(loader)
    for loss in LOSSES:
        config = Config([str(folder)], **{**SMALL, "batch": 1}, loss=loss)
        with pytest.raises(DataError, match="no photo has any colour"):
            Trainer(config, tmp_path / loss).start()
        assert not (tmp_path / loss).exists()


def test_targets_lie_on_the_logits():
    """Logit pixel o stands for crop pixels 4 o .. 4 o + 3; its colour is taken at 4 o + 2."""
    rgb = np.zeros((1, 16, 24, 3), np.uint8)
    rgb[0, 6, 10] = 255, 0, 0  # 4 * 1 + 2, 4 * 2 + 2
    x, index, _ = targets(rgb)
    assert x.shape == (1, 16, 24, 1) and index.shape == (1, 4, 6, 5)
    assert abs(x[0, 6, 10, 0] - (53.24 - 50) / 100) < 1e-4 and abs(x[0, 0, 0, 0] + 0.5) < 1e-6
    red = index[0, ..., 0] == np.flatnonzero((bins.BINS == (80, 70)).all(1))
    assert np.argwhere(red).tolist() == [[1, 2]]


def test_prior_is_the_mean_of_the_soft_targets(photos):
    (photos / "broken.jpg").unlink()
    loader = PhotoLoader(find_photos(photos), size=24, resize=24, batch=6, workers=0, augment=False)
    pictures = [np.asarray(Image.open(p)) for p in sorted(photos.glob("*.png"))]
    _, index, weight = targets(np.stack(pictures)[:, :, 3:27])
    dense = bins.dense_target(index, weight.astype(np.float64)).reshape(-1, bins.Q).mean(0)
    np.testing.assert_allclose(measure_prior(loader), dense, atol=1e-9, rtol=1e-6)


def test_learns_by_heart():
    """The small form of benchmarks/overfit.py: two photos, a few seconds."""
    rng = np.random.default_rng(2)
    rgb = np.stack([np.asarray(smooth(rng, (32, 32), (4, 4))) for _ in range(2)])
    x, index, weight = targets(rgb)
    network = Network(1 / 8)
    network.initialize(x)
    packed, ones = network.pack(), np.ones(bins.Q, np.float32)
    optimizer = Adam(packed["params"])
    for step in range(220):
        loss = softmax_cross_entropy(network.forward(x, True), index, weight, ones)
        network.backward(loss.gradient)
        optimizer.step(packed["grads"], 2e-3 if step < 150 else 5e-4)
    entropy = bins.target_entropy(weight)
    assert entropy < float(loss.unweighted) < entropy + 0.15
