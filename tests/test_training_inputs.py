"""train.py, asked for what it cannot do: exit code 2, one line that says why, nothing left over."""

import itertools
import json
import os
import shutil
from unittest.mock import Mock

import numpy as np
import pytest
from photographs import album
from programs import ROOT, called, python

import train
from mini_colorize import network, training
from mini_colorize.files.checkpoint import load, save, save_network
from mini_colorize.files.config import Config

SMALL = dict(model="tiny", size=16, batch=2, steps=2, workers=0, device="cpu")


@pytest.fixture(autouse=True)
def small_and_elsewhere(monkeypatch, tmp_path):
    """`tiny` 1/32 wide, to be quick; and runs/ in the test's own folder."""
    monkeypatch.setitem(network.WIDTHS, "tiny", 1 / 32)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def go(capsys):
    """Run main in this process. Returns (exit code, last line of stderr); never a traceback."""

    def run(*args):
        code, out, err = called(train.main, capsys, *args)
        return code, [line for line in err.splitlines() if line.startswith("train.py: ")], out + err

    return run


def refused(result, *parts):
    """Exit code 2 and one line that names what is wrong."""
    code, lines, text = result
    assert code == 2, text[-500:]
    assert len(lines) == 1, text[-500:]
    for part in parts:
        assert str(part) in lines[0], lines
    last = text.rstrip().splitlines()[-1]
    assert last == lines[0]  # nothing more behind it: the message is one line
    assert len(last) < 400


def options(photos, out, **changed):
    given = {"data": photos, "out": out, **SMALL, **changed}
    return [f"--{k.replace('_', '-')}={v}" for k, v in given.items() if v is not None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two steps, finished."""
    folder = tmp_path_factory.mktemp("finished")
    photos = album(folder / "photos", 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network.WIDTHS, "tiny", 1 / 32)
        assert train.main(options(photos, folder / "run")) == 0
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(finished, tmp_path / "run")


def files_of(run):
    return {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def resume(go, run, *more):
    return go("--resume", run, "--device", "cpu", *more)


# ---- Arguments


NONSENSE = """
    size=0 size=-16 size=4 size=100 size=big size=16.5 resize=15 resize=0 resize=-1 batch=0 batch=-1
    resize=2147483648 steps=0 steps=-5 lr=0 lr=-1 lr=nan lr=inf lr-every=0 weight-decay=-1
    weight-decay=nan weight-decay=inf lam=0 lam=1.5 lam=nan ema=1 ema=-0.1 ema=nan seed=-1
    workers=-1 log-every=0 sample-every=0 save-every=0 model=huge device=tpu nonsense=1 minutes=0
    minutes=-1 minutes=nan warmup=-1 warmup=1.5 warmup=2 schedule=linear scale=0.9 scale=4.1
    scale=nan frame=-0.1 frame=1.1"""


@pytest.mark.parametrize("option", NONSENSE.split())
def test_values_that_make_no_sense(photos, tmp_path, go, option):
    name = option.partition("=")[0]
    refused(go(*options(photos, tmp_path / "run"), f"--{option}"), name.split("-")[-1])
    assert not (tmp_path / "run").exists()


def test_no_photos_said(go):
    refused(go(), "--data")
    refused(go("--out", "run", "--steps", "5"), "--data")
    refused(go("--data", ""), "no such folder")
    refused(go("--data"), "--data")


def test_cuda_without_cuda(photos, tmp_path, go, no_cuda):
    refused(go(*options(photos, tmp_path / "run", device="cuda")), "CUDA")
    assert not (tmp_path / "run").exists()


def test_help_mentions_every_setting(go):
    code, _, text = go("--help")
    assert code == 0
    for field in Config.__dataclass_fields__:
        assert f"--{field.replace('_', '-')} " in text, field


# ---- Photos


@pytest.mark.parametrize("which", ["data", "val"])
@pytest.mark.parametrize("kind", ["missing", "empty", "file", "no pictures", "x.zip", "x.tar"])
def test_no_folder_and_no_archive_of_photos(photos, tmp_path, go, which, kind):
    folder = tmp_path / kind
    if kind in ("file", "x.zip", "x.tar"):
        folder.write_bytes(b"no archive" * 100)
    elif kind != "missing":
        folder.mkdir()
    if kind == "no pictures":
        (folder / "notes.txt").write_text("x")
    refused(go(*options(photos, tmp_path / "run", **{which: folder})), folder)
    assert not (tmp_path / "run").exists()


def spoilt(folder, kind):
    if kind == "grey":
        return album(folder, 4, mode="L")
    folder.mkdir()
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").touch()
    return folder


@pytest.mark.parametrize("kind, said", [("broken", "can be read"), ("grey", "colour")])
@pytest.mark.parametrize("workers", [0, 2])
def test_photos_of_no_use(tmp_path, go, kind, said, workers):
    folder = spoilt(tmp_path / "given", kind)
    refused(go(*options(folder, tmp_path / "run", workers=workers)), said)


@pytest.mark.parametrize("kind", ["broken", "grey"])
def test_after_a_failed_start_the_same_command_works(tmp_path, go, kind):
    """The photos are put right, the command is given again: nothing stands in its way."""
    folder = spoilt(tmp_path / "given", kind)
    assert go(*options(folder, tmp_path / "run"))[0] == 2
    shutil.rmtree(folder)
    album(folder)
    code, _, text = go(*options(folder, tmp_path / "run"))
    assert code == 0, text


# ---- First weights


@pytest.mark.parametrize("kind", ["missing", "text", "folder", "other width"])
def test_init_that_is_none(photos, tmp_path, go, kind):
    bad = tmp_path / "w.npz"
    if kind == "text":
        bad.write_text("x")
    elif kind == "folder":
        bad.mkdir()
    elif kind == "other width":
        save_network(bad, network.Network(1 / 16))
    refused(go(*options(photos, tmp_path / "run", init=bad)), bad)
    code, _, text = go(*options(photos, tmp_path / "run"))  # and it does not stand in the way
    assert code == 0, text


def test_init_of_a_width_of_its_own(photos, tmp_path, go):
    save_network(tmp_path / "w.npz", network.Network(1 / 16))
    refused(go(*options(photos, tmp_path / "run", init="")), "--init '': no such file")
    arguments = options(photos, tmp_path / "run", init=tmp_path / "w.npz", model=None)
    refused(go(*arguments), tmp_path / "w.npz", "say --model")


def test_init_of_another_head(photos, tmp_path, go):
    save_network(tmp_path / "w.npz", network.Network(1 / 32, head="ab"))
    told = "another --loss", "see --model and --loss"
    refused(go(*options(photos, tmp_path / "run", init=tmp_path / "w.npz")), *told)


def test_options_that_exclude_one_another(photos, tmp_path, go):
    refused(go(*options(photos, tmp_path / "run", minutes=3)), "--minutes", "--steps")
    refused(go(*options(photos, tmp_path / "run", lr_every=3)), "--lr-every", "--schedule steps")


def test_minutes_without_end(photos, tmp_path, go):
    refused(go(*options(photos, tmp_path / "run", steps=None, minutes=1e308)), "--minutes")


def test_sources_of_a_repeated_option_add_up(photos, tmp_path, go):
    album(tmp_path / "more", 2)
    code, _, text = go(*options(photos, tmp_path / "run"), "--data", str(tmp_path / "more"))
    assert code == 0 and "8 photos" in text


def test_a_name_that_is_not_text(photos, tmp_path):
    """Under a terminal that cannot show it, in a process of its own: it sets up the streams."""
    name = os.fsencode(photos / "caf") + b"\xe9.png"
    try:
        with open(name, "wb") as file:
            file.write(b"no picture")
    except OSError:
        pytest.skip("this file system has no such names")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    given = options(photos, tmp_path / "run", steps=3)
    done = python(ROOT / "train.py", *given, env=environment, errors="replace")
    assert done.returncode == 0, done.stderr[-500:]
    assert "skipped" in done.stderr + done.stdout and "Traceback" not in done.stderr


def test_runs_is_no_folder(photos, tmp_path, go):
    (tmp_path / "runs").write_text("x")
    refused(go(*options(photos, None)), "runs")


RUN_FILES = "weights.npz checkpoint.npz last.npz log.jsonl loss.png prior.npy samples"


@pytest.mark.parametrize("name", RUN_FILES.split())
def test_what_lies_in_out_is_not_overwritten(photos, tmp_path, go, name):
    mine = tmp_path / "run" / name / ("mine" if name == "samples" else "")
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    refused(go(*options(photos, tmp_path / "run")), f"holds a run's {name}: choose another --out")
    assert mine.read_bytes() == b"mine" and len(list((tmp_path / "run").rglob("[!.]*"))) < 3


def test_a_start_that_fails_leaves_no_folder(tmp_path, go):
    """Named by nobody: the next number is not taken."""
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        refused(go("--data", "empty", "--device", "cpu"), "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_minutes_that_are_too_few(photos, tmp_path, go):
    result = go(*options(photos, tmp_path / "run", steps=None, minutes=1e-4))
    refused(result, "--minutes 0.0001", "too few for one step")
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".*"))


def test_a_cache_that_does_not_fit(photos, tmp_path, go, monkeypatch):
    monkeypatch.setattr("mini_colorize.cache.free_memory", lambda: 1000)
    refused(go(*options(photos, tmp_path / "run"), "--cache"), "--cache", "GB")
    assert not (tmp_path / "run").exists()


# ---- The run's folder


def test_a_run_is_not_overwritten(run, go):
    before = files_of(run)
    photos = json.loads((run / "config.json").read_text())["data"]
    refused(go(*options(photos, run)), run, "--resume")
    assert files_of(run) == before


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_out_that_cannot_be_a_folder(photos, tmp_path, go, monkeypatch, out):
    """It is said before the long work."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(training, "measure_prior", lambda *_, **__: pytest.fail("too late"))
    refused(go(*options(photos, tmp_path / out)), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "below a file", "photos"])
def test_resume_of_no_run(photos, tmp_path, go, kind):
    places = {"below a file": "file/run", "missing": "given", "empty": "given"}
    folder = tmp_path / places.get(kind, kind)
    (tmp_path / "file").write_text("x")
    if kind == "empty":
        folder.mkdir()
    before = sorted(tmp_path.rglob("*"))
    refused(resume(go, folder), folder)
    assert sorted(tmp_path.rglob("*")) == before


# ---- A run that was damaged


def test_config_that_is_none(run, go):
    texts = ["", "{", "null", "[]", "5", "{}", '{"data": "x", "nonsense": 1}', '{"data": "x"']
    for text in [*texts, '{"data\\nx": 1}', "[" * 100_000]:
        (run / "config.json").write_text(text)
        refused(resume(go, run), run)
    (run / "config.json").write_bytes(b"\xff\xfe\x00{}")
    refused(resume(go, run), run)


WRONG_KIND = """
    {"size": ["16", 16.0, null, [16], 12, true], "data": [5, null, ["a"], [], [5]], "minutes": ["x"],
     "val": [5, [null]], "model": ["huge", []], "batch": [2.5, "2"], "steps": [2.5], "lam": [null],
     "lr": ["fast", NaN], "ema": ["x"], "seed": [1.5, "x"], "workers": ["x", 1.5], "frame": [null],
     "resize": ["x", 22.5], "lr_every": ["x"], "log_every": [null], "save_every": ["x"],
     "weight_decay": ["x"], "cache": [1, "yes"], "schedule": [5]}"""


@pytest.mark.parametrize("name, values", json.loads(WRONG_KIND).items())
def test_config_with_values_of_the_wrong_kind(run, go, name, values):
    config = json.loads((run / "config.json").read_text())
    for value in values:
        (run / "config.json").write_text(json.dumps({**config, name: value}))
        refused(resume(go, run, "--steps", 3) if name != "steps" else resume(go, run))


def test_checkpoint_that_is_none(run, go):
    """Cut short, with a flipped byte, of another kind; test_checkpoint.py has more."""
    path = run / "checkpoint.npz"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.find(b"raw/conv4_1.weight") + 300] ^= 0xFF
    for data in (b"", whole[:-1], flipped, (run / "weights.npz").read_bytes(), b"x"):
        path.write_bytes(data)
        refused(resume(go, run), path)
    path.unlink()
    path.mkdir()
    refused(resume(go, run), path)


@pytest.mark.parametrize("step", [None, "x", -1, 1.5, [2], 1e400, 10**9])
def test_checkpoint_with_a_step_that_is_none(run, go, step):
    meta, groups = load(run / "checkpoint.npz")
    save(run / "checkpoint.npz", {**meta, "step": step}, groups)
    refused(resume(go, run), run)


TALES = [5, "x", [], {}, [None, 1], {"step": 1, "loss": "x"}]
TALES += [{"step": 1, "loss": 1.0, "photos": 5}, {"step": 1, "loss": 1e400, "photos": [1, "x"]}]


@pytest.mark.parametrize("what", ["photos", "best"])
@pytest.mark.parametrize("value", TALES)
def test_checkpoint_that_tells_nonsense(run, photos, go, what, value):
    meta, groups = load(run / "checkpoint.npz")
    save(run / "checkpoint.npz", {**meta, what: value}, groups)
    refused(resume(go, run, "--val", photos), run, "cannot go on from here")


FITS_NOT = itertools.product(("raw", "network", "optimizer"), ("no group", "no name", "shape"))


@pytest.mark.parametrize("group, how", [*FITS_NOT, ("raw", "extra name")])
def test_checkpoint_whose_arrays_do_not_fit(run, go, group, how):
    meta, groups = load(run / "checkpoint.npz")
    name = next(n for n in groups[group] if "conv3_1.weight" in n)
    if how == "no group":
        del groups[group]
    elif how == "no name":
        del groups[group][name]
    elif how == "extra name":
        groups[group]["extra"] = np.zeros(3)
    else:
        groups[group][name] = groups[group][name][:1]  # broadcasts, if nobody looks
    save(run / "checkpoint.npz", meta, groups)
    refused(resume(go, run, "--steps", 3), run)


@pytest.mark.parametrize("kind", "missing empty cut text shape long nan zip zero".split())
def test_prior_that_is_damaged(run, go, kind):
    path = run / "prior.npy"
    whole = path.read_bytes()
    path.unlink()
    if kind in ("empty", "cut", "text"):
        path.write_bytes({"empty": b"", "cut": whole[:1000], "text": b"no array\n"}[kind])
    elif kind == "zip":
        with path.open("wb") as file:
            np.savez(file, a=np.eye(3))
    elif kind != "missing":
        arrays = {"shape": np.full(5, 1 / 5), "long": np.full(400, 1 / 400)}
        np.save(path, {**arrays, "nan": np.full(313, np.nan), "zero": np.zeros(313)}[kind])
    refused(resume(go, run, "--steps", 3), run)


# ---- Changes on --resume


FIXED = """--size=32 --resize=64 --batch=3 --lr-every=5 --lam=1 --weight-decay=0 --ema=0 --seed=1
    --model=full --init=x.npz --out=other --minutes=3 --schedule=steps --warmup=1 --scale=2
    --frame=1"""


def test_what_cannot_change(run, go):
    before = files_of(run)
    for change in FIXED.split():
        refused(resume(go, run, change), change.partition("=")[0], "cannot change")
        assert files_of(run) == before


CHANGES = "--steps=0 --steps=-1 --workers=-1 --log-every=0 --data=gone --val=gone --steps=many"


@pytest.mark.parametrize("change", CHANGES.split())
def test_changes_that_make_no_sense(run, go, change):
    refused(resume(go, run, change), change.split("=")[1 if "gone" in change else 0])


def test_fewer_steps_than_were_made(run, go):
    """Two were made. "Go on with --resume" would be no answer."""
    code, lines, text = resume(go, run, "--steps", 1)
    assert code in (0, 2) and "go on with" not in text
    assert code == 0 or "step" in lines[0]


def test_fewer_steps_than_the_warmup_that_was_settled(photos, tmp_path, go):
    """--warmup cannot change any more, so the run ends while its rate still grows."""
    save_network(tmp_path / "w.npz", network.Network(1 / 32))
    given = options(photos, tmp_path / "run", steps=40, save_every=1, init=tmp_path / "w.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mini_colorize.loop._Signals.__enter__", lambda self: Mock(received=True))
        patch.setattr("mini_colorize.loop._Signals.__exit__", lambda self, *_: None)
        assert go(*given)[0] == 130  # after its first step
    assert json.loads((tmp_path / "run" / "config.json").read_text())["warmup"] == 4
    code, _, text = resume(go, tmp_path / "run", "--steps", 3)
    assert code == 0 and "done: 3 steps" in text, text


@pytest.mark.parametrize("which", ["data", "val"])
def test_photos_that_have_moved(photos, tmp_path, go, which):
    """The line says which option names them."""
    given = shutil.copytree(photos, tmp_path / "given")
    assert go(*options(photos, tmp_path / "run", **{which: given}))[0] == 0
    moved = given.rename(tmp_path / "moved")
    refused(resume(go, tmp_path / "run", "--steps", 3), given, f"--{which}")
    code, _, text = resume(go, tmp_path / "run", "--steps", 3, f"--{which}", moved)
    assert code == 0, text
    (line,) = resume(go, tmp_path / "run", "--steps", 4, "--data", "gone", "--val", "gone")[1]
    assert "photos that have moved" not in line  # who has just named them needs no hint


# ---- The computer


def test_too_little_memory(photos, tmp_path, go, monkeypatch):
    """The commonest of failures, of a --batch too large; CuPy's is a MemoryError too."""
    full = Mock(side_effect=MemoryError("Unable to allocate 9.9 TiB"))
    monkeypatch.setattr(training.Trainer, "train_step", full)
    refused(go(*options(photos, tmp_path / "run")), "memory")


def test_a_disk_that_is_full(photos, tmp_path, go, monkeypatch):
    real = os.replace

    def full(source, target):
        if str(target).endswith("checkpoint.npz"):
            raise OSError(28, "No space left on device", str(target))
        return real(source, target)

    monkeypatch.setattr(os, "replace", full)
    refused(go(*options(photos, tmp_path / "run")), "No space left", "checkpoint.npz")
    assert not list((tmp_path / "run").glob(".*.tmp"))
