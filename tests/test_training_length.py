"""How long a run is, at which rate, which weights it keeps, and from where it takes its photos."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from photographs import album
from PIL import Image
from programs import assert_same_bits

import train
from mini_colorize import loop, network, rehearsal
from mini_colorize.files import checkpoint, config
from mini_colorize.files.config import Config, TrainingError, load_config
from mini_colorize.judging import Judge
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.optim import cosine_schedule, step_schedule
from mini_colorize.photos import DataError
from mini_colorize.targets import targets
from mini_colorize.training import Trainer

SMALL = dict(model="tiny", size=16, batch=3, steps=12, workers=1)
SMALL |= dict(log_every=2, save_every=3, sample_every=4)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(network.WIDTHS, "tiny", 1 / 32)


@pytest.fixture
def photos(tmp_path):
    """Seven in colour, one grey, one broken."""
    folder = album(tmp_path / "photos" / "sub", 7, (40, 40)).parent
    album(folder, 1, (40, 40), "gray.png", "L", seed=1)
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def made(photos, out, **changed):
    return Trainer(Config([str(photos)], **{**SMALL, **changed}), out)


def started(photos, out, **changed):
    trainer = made(photos, out, **changed)
    trainer.start()
    return trainer


def trained(photos, out, **changed):
    trainer = started(photos, out, **changed)
    assert trainer.train()
    return trainer


class Killed(BaseException):
    pass


def after(trainer, step, act):
    """Have act() called when so many steps are made."""
    real = trainer.train_step

    def train_step(*args, **options):
        if trainer.step == step:
            act()
        return real(*args, **options)

    trainer.train_step = train_step


def kill_at(trainer, step):
    """Run until so many steps are made, and stop as kill -9 does: nothing more is saved."""
    after(trainer, step, Mock(side_effect=Killed))
    with pytest.raises(Killed):
        trainer.train()


def resumed(folder, **changed):
    trainer = Trainer(dataclasses.replace(load_config(folder), **changed), folder)
    trainer.resume()
    return trainer


# ---- The rate


def test_cosine():
    rates = [cosine_schedule(step, 2.0, 100) for step in (0, 25, 50, 75, 100)]
    half = 2 * (0.01 + 0.99 / 2)
    swing = 2 * 0.99 / 2 / np.sqrt(2)
    np.testing.assert_allclose(rates, [2, half + swing, half, half - swing, 0.02])


@pytest.mark.parametrize("schedule", ["cosine", "steps"])
def test_the_rate_of_a_run_is_that_of_its_schedule(photos, tmp_path, schedule):
    run = trained(photos, tmp_path / "run", schedule=schedule, warmup=4, lr=0.01, log_every=1)
    rates = [e["lr"] for e in run.log.read() if "lr" in e]
    assert run.config.lr_every == (6 if schedule == "steps" else None)  # 12 * 215 / 450
    function, end = (cosine_schedule, 12) if schedule == "cosine" else (step_schedule, 6)
    expected = np.array([function(step, 0.01, end) for step in range(12)])
    expected[:4] *= (0.25, 0.5, 0.75, 1)
    np.testing.assert_allclose(rates, expected)


def test_a_longer_run_ends_its_cosine_later_and_keeps_its_steps(photos, tmp_path):
    for schedule, rate in (("cosine", cosine_schedule(4, 1e-3, 8)), ("steps", 1e-3 * 0.316**2)):
        trained(photos, tmp_path / schedule, schedule=schedule, steps=4)
        assert resumed(tmp_path / schedule, steps=8).rate(4) == pytest.approx(rate, rel=1e-12)


# ---- What is left open


def test_what_is_settled():
    plain = Config(["x"]).settled()
    assert (plain.model, plain.lr, plain.steps, plain.warmup) == ("tiny", 1e-3, 10_000, 0)
    assert plain.lr_every is None
    init = Config(["x"], init="full").settled()
    assert (init.model, init.lr, init.warmup) == ("full", config.LR_INIT, 200)
    assert Config(["x"], init="full", steps=50).settled().warmup == 5
    own = Config(["x"], init="full", model="small", lr=1.0, warmup=7).settled()
    assert (own.model, own.lr, own.warmup) == ("small", 1.0, 7)
    open_ = Config(["x"], minutes=5.0, schedule="steps").settled()
    assert open_.steps is None and open_.lr_every is None and open_.warmup is None
    fixed = dataclasses.replace(open_, steps=450).settled()
    assert (fixed.lr_every, fixed.warmup) == (215, 0)


def test_init_by_name_is_no_path(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(network.WIDTHS, "tiny", 0.25)
    monkeypatch.chdir(tmp_path)
    arguments = "--data photos --init tiny --size 16 --batch 2 --steps 1 --workers 0 --lr 1e-9"
    assert train.main([*arguments.split(), "--device", "cpu", "--out", "run"]) == 0
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (told["init"], told["model"], told["data"]) == ("tiny", "tiny", [str(photos)])
    now, then = (checkpoint.load_network(w)[0].params() for w in (tmp_path / "run", "tiny"))
    for name, array in then.items():
        np.testing.assert_allclose(now[name], array, atol=1e-6)


def test_a_run_of_an_earlier_version_goes_on(photos, tmp_path):
    """It had one folder, steps for a schedule, no warm-up, one loss; and said so by saying
    nothing."""
    trained(photos, tmp_path / "run", schedule="steps", lr_every=5, steps=6)
    path = tmp_path / "run" / "config.json"
    told = json.loads(path.read_text())
    for name in "minutes schedule warmup cache scale frame loss".split():
        del told[name]
    path.write_text(json.dumps({**told, "data": str(photos)}))
    meta, groups = checkpoint.load(tmp_path / "run" / "checkpoint.npz")
    for name in ("best", "photos"):
        meta.pop(name)
    checkpoint.save(tmp_path / "run" / "checkpoint.npz", meta, groups)
    again = resumed(tmp_path / "run", steps=8)
    kept = again.config
    assert (kept.schedule, kept.warmup, kept.loss) == ("steps", 0, "rebalanced")
    assert again.train() and again.step == 8


# ---- Minutes


def test_the_number_of_steps_is_what_fits(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: (0.1, 2.0, 0.5))
    begun = time.perf_counter() - 100  # of the command
    options = {**SMALL, "steps": None, "minutes": 10.0, "sample_every": 200, "save_every": 100}
    trainer = Trainer(Config([str(photos)], **options), tmp_path / "run", started=begun)
    trainer.start()
    spent = time.perf_counter() - begun
    left = 600 * (1 - rehearsal.RESERVE) - rehearsal.ENDING - spent
    # A validation and a save at the end; each step has its share of the others: a validation,
    # after which better weights are saved, every 200 steps, and a save every 100.
    assert trainer.config.steps == pytest.approx((left - 2.5) / (0.1 + 0.0125 + 0.005), abs=1)
    told = json.loads((tmp_path / "run" / "config.json").read_text())
    assert told["steps"] == trainer.config.steps and told["minutes"] == 10


def test_a_warmup_longer_than_the_rehearsal(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "REHEARSED", 2)
    monkeypatch.setattr(rehearsal, "STEPS", 2)
    rehearse = rehearsal.rehearse
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: (rehearse(self), (1.0, 0.0, 0.0))[1])
    options = {"steps": None, "minutes": 0.3}
    assert started(photos, tmp_path / "run", warmup=5, **options).config.warmup == 5
    with pytest.raises(TrainingError, match="--warmup 90 must be less than the"):
        started(photos, tmp_path / "other", warmup=90, **options)
    assert not (tmp_path / "other").exists()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("log_every", [1, 100])
def test_a_rehearsal_that_diverges(photos, tmp_path, log_every):
    options = dict(minutes=0.2, lr=1e30, log_every=log_every, val=[str(photos)])
    with pytest.raises(TrainingError) as got:
        started(photos, tmp_path / "run", steps=None, **options)
    assert "start again with a lower --lr" in str(got.value)
    assert "checkpoint" not in str(got.value) and "rehearsal" not in str(got.value)
    assert [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_the_rehearsal_is_on_the_disk_of_the_run(photos, tmp_path, monkeypatch):
    """An --out that is there already may be a mount point."""
    monkeypatch.setattr(rehearsal, "REHEARSED", 2)
    seen, save = [], Trainer.save

    def look(self):
        seen.append(self.folder)
        save(self)

    monkeypatch.setattr(Trainer, "save", look)
    (tmp_path / "there").mkdir()
    for name, beside in (("there", tmp_path / "there"), ("new", tmp_path)):
        started(photos, tmp_path / name, steps=None, minutes=0.3)
        assert seen.pop() == beside / f".{name}.rehearsal" and not seen


def test_checkpoints_by_the_clock(photos, tmp_path):
    """A twentieth of the time, but for very short and very long ones."""
    run = made(photos, tmp_path / "run", save_every=None)
    found = [loop.seconds_until_due(run.config, seconds) for seconds in (0, 1, 3, 20, 100)]
    assert found == [30, 30, 60, 400, 600]
    assert loop.seconds_until_due(made(photos, tmp_path / "run").config, 1) == 600


@pytest.mark.parametrize("seconds, saved", [(0.01, list(range(1, 13))), (1000, [12])])
def test_a_run_is_saved_by_the_clock(photos, tmp_path, monkeypatch, seconds, saved):
    monkeypatch.setattr(loop, "SAVE_SECONDS", (seconds, seconds))
    run = started(photos, tmp_path / "run", save_every=None)
    steps, save, step = [], run.save, run.train_step
    run.save = lambda: (steps.append(run.step), save())
    run.train_step = lambda *a, **o: (time.sleep(0.02), step(*a, **o))[1]
    run.train()
    assert steps == saved


@pytest.mark.parametrize("judged_on", ["val", None])
def test_a_run_of_minutes_is_that_of_its_steps(photos, tmp_path, monkeypatch, judged_on):
    """Killed and resumed, too, and nothing is left of the rehearsal."""
    monkeypatch.setattr(rehearsal, "REHEARSED", 5)
    rehearse, found = rehearsal.rehearse, []

    def rehearse_and_tell(self):
        found.append(rehearse(self))
        return 1.0, 1.0, 0.5

    monkeypatch.setattr(rehearsal, "rehearse", rehearse_and_tell)
    (tmp_path / ".run.rehearsal" / "samples").mkdir(parents=True)  # of one that was killed
    val = {judged_on: [str(photos)]} if judged_on else {}
    run = started(photos, tmp_path / "run", steps=None, minutes=0.5, **val)
    steps = run.config.steps
    assert 8 < steps < 22 and all(0 < seconds < 5 for seconds in found[0])
    assert run.step == 0 and run.judge.best is None and not run.group
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "run"]
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: pytest.fail("measured again"))
    kill_at(run, 7)
    assert resumed(tmp_path / "run").train()
    trained(photos, tmp_path / "whole", steps=steps, **val)
    assert_same_bits(tmp_path / "run", tmp_path / "whole")
    for name in ("weights.npz", "last.npz") if val else ("weights.npz",):
        one, two = (tmp_path / r / name for r in ("run", "whole"))
        assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "run" / "last.npz").exists() == bool(val)


def test_killed_before_the_first_checkpoint_it_is_not_measured_again(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: (1.0, 0.0, 0.0))
    first = started(photos, tmp_path / "run", steps=None, minutes=1.0)
    monkeypatch.setattr(rehearsal, "rehearse", lambda self: pytest.fail("measured again"))
    again = resumed(tmp_path / "run")
    assert again.step == 0 and again.config == first.config


# ---- The best weights


def judged(trainer, losses):
    """The trainer, whose validations say these losses, one after another."""
    losses = iter(losses)
    trainer.judge.validate = lambda _: {
        "val_loss_weighted": next(losses),
        "val_loss_unweighted_nats": 1.0,
    }
    return trainer


@pytest.fixture
def finished(photos, tmp_path):
    """The folder of a run of 8 steps, of which those up to the 4th gave the best weights."""
    judged(started(photos, tmp_path / "run", val=[str(photos)], steps=8), [2.0, 3.0]).train()
    return tmp_path / "run"


def steps_of(run):
    return [checkpoint.load_meta(run / name)["step"] for name in ("weights.npz", "last.npz")]


def test_the_weights_are_the_best_validated(photos, tmp_path):
    run = tmp_path / "run"
    trainer = judged(started(photos, run, val=[str(photos)], steps=14), [3.0, 2.0, 2.5, 2.25])
    states = {}
    real = trainer.validate_and_draw

    def look():
        real()
        states[trainer.step] = {n: a.copy() for n, a in trainer.learner.judged().items()}

    trainer.validate_and_draw = look
    assert trainer.train()
    assert steps_of(run) == [8, 14] and list(states) == [4, 8, 12, 14]
    for name, step in (("weights.npz", 8), ("last.npz", 14)):
        found = checkpoint.load_network(run / name)[0].state()
        for key, array in states[step].items():
            np.testing.assert_array_equal(found[key], array)
    assert [e["best_step"] for e in trainer.log.read() if "best_step" in e] == [4, 8, 8, 8]
    assert checkpoint.load_meta(run / "checkpoint.npz")["best"]["loss"] == 2.0


def test_a_resume_remembers_the_best(finished):
    before = (finished / "weights.npz").read_bytes()
    judged(resumed(finished, steps=16), [2.5, 2.01]).train()
    assert (finished / "weights.npz").read_bytes() == before and steps_of(finished) == [4, 16]
    judged(resumed(finished, steps=20), [1.9]).train()
    assert steps_of(finished) == [20, 20]


def test_another_val_begins_anew(photos, finished, tmp_path, capsys):
    run = finished
    moved = shutil.copytree(photos, tmp_path / "moved")  # the same names: the same photos
    capsys.readouterr()
    same = resumed(run, val=[str(moved)])
    assert same.judge.best["step"] == 4 and "anew" not in capsys.readouterr().out
    (moved / "broken.jpg").unlink()
    before = (run / "weights.npz").read_bytes()
    other = judged(resumed(run, val=[str(moved)], steps=16), [9.0, 0.1])
    assert "the best step begins anew" in capsys.readouterr().out
    # What was best on the former photos is measured on these, and kept until something is better.
    expected = other.judge.validate  # says 9.0 and 0.1: the real one has spoken already
    kept = checkpoint.load_network(run / "weights.npz")[0]
    other.judge.network.load_state(kept.state())
    loss = Judge.validate(other.judge, other.learner)["val_loss_weighted"]
    best = other.judge.best
    assert best["step"] == 4 and best["loss"] == pytest.approx(loss, rel=1e-5)
    assert other.judge.validate is expected and 0.1 < loss < 9
    kill_at(other, 15)
    assert (run / "weights.npz").read_bytes() == before and steps_of(run)[1] == 15
    judged(resumed(run, val=[str(moved)]), [0.1]).train()
    assert steps_of(run) == [16, 16]


def test_another_val_and_no_step_keep_the_best(photos, finished):
    before = (finished / "weights.npz").read_bytes()
    assert resumed(finished, val=[str(photos / "sub")]).train()
    assert (finished / "weights.npz").read_bytes() == before and steps_of(finished) == [4, 8]
    (finished / "weights.npz").write_bytes(b"gone")
    other = resumed(finished, val=[str(photos)])
    assert other.judge.best is None and other.train()
    assert steps_of(finished) == [8, 8]


# ---- The moving average of what was trained before


def test_trained_weights_are_not_forgotten_at_once(photos, tmp_path):
    """The average begins with them and moves by a thousandth; a resume keeps to that."""
    trained(photos, tmp_path / "first", steps=2)
    options = {"init": str(tmp_path / "first"), "lr": 1e-2}
    run = started(photos, tmp_path / "run", **options, steps=6, save_every=1)
    begun = {name: array.copy() for name, array in run.network.state().items()}
    for key, array in checkpoint.load_network(tmp_path / "first")[0].state().items():
        np.testing.assert_array_equal(begun[key], array)
    kill_at(run, 2)
    raw, average = run.network.state(), run.learner.average.average
    name = "conv1_1.weight"
    moved = [abs(state[name] - begun[name]).mean() for state in (raw, average)]
    assert moved[1] < moved[0] / 300
    again = resumed(tmp_path / "run")
    assert again.learner.average.trained and again.train()
    trained(photos, tmp_path / "whole", **options, steps=6)
    assert_same_bits(tmp_path / "run", tmp_path / "whole")


def test_a_run_of_an_earlier_version_keeps_its_average(photos, tmp_path):
    trained(photos, tmp_path / "first", steps=2)
    trained(photos, tmp_path / "run", init=str(tmp_path / "first"), steps=2)
    meta, groups = checkpoint.load(tmp_path / "run" / "checkpoint.npz")
    del meta["average_trained"]
    checkpoint.save(tmp_path / "run" / "checkpoint.npz", meta, groups)
    assert not resumed(tmp_path / "run", steps=8).learner.average.trained


def test_better_weights_are_never_ahead_of_the_checkpoint(photos, tmp_path):
    """Killed after them and gone on another way, worse weights must not replace them."""
    run = tmp_path / "run"
    kill_at(judged(started(photos, run, val=[str(photos)], save_every=100), [3.0, 2.0]), 9)
    assert checkpoint.load_meta(run / "checkpoint.npz")["step"] == 8
    other = judged(resumed(run, steps=20), [2.5, 2.4, 2.3])
    assert other.step == 8 and other.judge.best["loss"] == 2.0
    assert other.train() and steps_of(run) == [8, 20]


def test_before_the_first_validation_and_without_val_the_last_are_kept(photos, tmp_path):
    run = started(photos, tmp_path / "run", val=[str(photos)], sample_every=100)
    kill_at(run, 10)
    assert steps_of(tmp_path / "run") == [9, 9]
    plain = trained(photos, tmp_path / "plain")
    assert checkpoint.load_meta(tmp_path / "plain")["step"] == 12 and plain.judge.best is None
    assert not (tmp_path / "plain" / "last.npz").exists()


def test_a_sheet_is_drawn_though_the_photos_chosen_for_it_are_broken(photos, tmp_path):
    """Of 17 photos every second is readable, none of the nine that are spread evenly."""
    for path in photos.rglob("*.*"):
        path.unlink()
    album(photos, 17, name="{:02}.png")
    for i in range(0, 17, 2):
        (photos / f"{i:02}.png").write_bytes(b"no picture")
    trained(photos, tmp_path / "run", steps=4)
    assert Image.open(tmp_path / "run" / "samples" / "step_0000004.png").width == 96


@pytest.mark.parametrize("kind", ["grey", "broken"])
def test_a_val_of_no_use_is_refused_at_the_start_and_on_resume(photos, tmp_path, kind):
    val = album(tmp_path / "val", 1, mode="L")
    if kind == "broken":
        (val / "0.png").write_bytes(b"no picture")
    told = "has any colour" if kind == "grey" else "can be read"
    with pytest.raises(DataError, match=f"^--val {val}: .*{told}"):
        started(photos, tmp_path / "run", val=[str(val)])
    assert not (tmp_path / "run").exists()
    trained(photos, tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(DataError, match=told):
        resumed(tmp_path / "run", val=[str(val)], steps=20)
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_photos_of_val_that_are_trained_on_are_counted(photos, tmp_path, capsys):
    started(photos, tmp_path / "run", val=[str(photos / "sub"), str(photos)])
    assert "9 photos of --val are among --data" in capsys.readouterr().out
    apart = shutil.copytree(photos, tmp_path / "apart")
    started(photos, tmp_path / "other", val=[str(apart)])
    assert "--val" not in capsys.readouterr().out


def test_grey_data_on_resume(photos, tmp_path):
    trained(photos, tmp_path / "run")
    gray = album(tmp_path / "gray", 1, mode="L")
    with pytest.raises(DataError, match="no photo has any colour"):
        resumed(tmp_path / "run", data=[str(gray)], steps=20)


def test_photos_that_vanish_cost_nothing_that_was_learned(photos, tmp_path):
    run = started(photos, tmp_path / "run", save_every=100, steps=100, workers=0)
    after(run, 5, lambda: shutil.rmtree(photos))
    told = "none of the 9 photos .*saved at step 6, go on with --resume"
    with pytest.raises(DataError, match=told):
        run.train()
    assert checkpoint.load_meta(tmp_path / "run" / "checkpoint.npz")["step"] == 6


def test_every_photo_of_val_counts_once(photos, tmp_path):
    """In batches of 3 as in one of 8: of 7 photos in colour; the grey one and the broken one not."""
    trainer = started(photos, tmp_path / "run", val=[str(photos)])
    found = trainer.judge.validate(trainer.learner)
    pictures = [Image.open(p) for p in sorted((photos / "sub").iterdir())]
    small = [picture.resize((23, 23), Image.Resampling.BICUBIC) for picture in pictures]
    x, index, weight = targets(np.stack([np.asarray(p)[3:19, 3:19] for p in small]))
    logits = trainer.judge.network.forward(x)
    loss = softmax_cross_entropy(logits, index, weight, trainer.learner.class_weight)
    # Pillow's resize and ours differ by a rounding of the step.
    assert found["val_loss_weighted"] == pytest.approx(float(loss.weighted), rel=2e-3)
    whole = started(photos, tmp_path / "whole", val=[str(photos)], batch=8)
    whole.learner.class_weight = trainer.learner.class_weight
    whole.judge.network.load_state(trainer.judge.network.state())
    for name, value in whole.judge.validate(whole.learner).items():
        assert found[name] == pytest.approx(value, rel=1e-5)


# ---- Where the photos are


def test_from_an_archive_and_from_the_cache_the_bits_are_the_same(photos, tmp_path):
    """Also if it begins one way and goes on another."""
    archive = Path(shutil.make_archive(tmp_path / "archive", "zip", photos))
    options = dict(val=[str(photos)], scale=1.2, frame=0.2)
    trained(photos, tmp_path / "plain", **options)
    run = started(archive, tmp_path / "run", cache=True, **options)
    kill_at(run, 5)
    assert resumed(tmp_path / "run", cache=False, data=[str(photos)], val=[str(archive)]).train()
    assert_same_bits(tmp_path / "plain", tmp_path / "run")
    cached = trained(archive, tmp_path / "cached", cache=True, **options)
    assert cached.loader.cache and cached.judge.val.cache
    assert_same_bits(tmp_path / "plain", tmp_path / "cached")
    assert cached.log.read()[0]["step"] == 2  # and the broken photo is named
    named = [e["skipped"] for e in cached.log.read() if "skipped" in e]
    assert named == [f"{archive}/broken.jpg", f"{photos}/broken.jpg"]


def test_other_photos_on_resume_are_noticed(photos, tmp_path, capsys):
    trained(photos, tmp_path / "run")
    resumed(tmp_path / "run", steps=13)
    assert "--data" not in capsys.readouterr().out
    shutil.copy(photos / "gray.png", photos / "more.png")
    resumed(tmp_path / "run", steps=13)
    told = "the photos of --data are not those of the last time: 9 then, 10 now"
    assert told in capsys.readouterr().out
