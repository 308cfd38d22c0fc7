"""benchmarks/ablation.py: trains the three, says how, and only measures them the next time."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablation
from mini_colorize import network
from mini_colorize.evaluation.tally import B
from mini_colorize.fast.threads import THREADS
from mini_colorize.files.checkpoint import load
from mini_colorize.files.config import LOSSES, load_config


def test_trained_once_then_only_measured(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(network.WIDTHS, "tiny", 1 / 16)
    clock = SimpleNamespace(perf_counter=itertools.count(step=0.125).__next__)
    monkeypatch.setattr(ablation, "time", clock)  # a step takes 1/8 s
    out = tmp_path / "out"
    measured = ["--val", str(photos), "--out", str(out), "--device", "cpu"]
    training = ["--data", str(photos), "--minutes", "0.01", "--size", "24", "--batch", "2"]
    assert ablation.main(measured) == 2  # on which photos?
    assert "--data" in capsys.readouterr().err and not out.exists()

    assert ablation.main([*measured, *training]) == 0
    printed = capsys.readouterr().out
    assert f"0.01 minutes a system, {THREADS} threads, 24 x 24, batch 2" in printed
    assert "colorfulness  rebalanced - classification: " in printed
    told = json.loads((out / ablation.NOTE).read_text())
    assert (told["minutes"], told["threads"], told["lr"]) == (0.01, THREADS, 1e-3)
    for loss in LOSSES:
        config = load_config(out / loss)
        meta, _ = load(out / loss / "checkpoint.npz", kind="training")
        # All steps are made: nothing is left to resume.
        assert config.steps == meta["step"] == told["trained"][loss]["steps"] == 5
        assert (config.lr, config.lr_every) == (1e-3, 3)

    monkeypatch.setattr(ablation, "train", pytest.fail)
    assert ablation.main([*measured, *training]) == 0
    capsys.readouterr()
    assert ablation.main([*measured, "--lr", "0.01"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1 and "--lr 0.001, not 0.01" in told.err


@pytest.mark.parametrize("minutes", ["0", "nan", "inf"])
def test_minutes_must_end(minutes, photos):
    with pytest.raises(SystemExit, match="2"):
        ablation.main(["--val", str(photos), "--data", str(photos), "--minutes", minutes])


LATE = [("no-such", "runs", "no-such: no such folder"), (".", "0.png/runs", "Not a directory")]


@pytest.mark.parametrize("val, out, told", LATE)
def test_what_can_be_checked_is_checked_first(val, out, told, photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    monkeypatch.setattr(ablation, "train", lambda *_: pytest.fail("trained"))
    assert ablation.main(["--data", ".", "--val", val, "--out", out]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "3", "null", '["a"]'])
def test_a_damaged_note_is_one_line(text, photos, tmp_path, capsys):
    (tmp_path / ablation.NOTE).write_text(text)
    arguments = ["--data", str(photos), "--val", str(photos), "--out", str(tmp_path)]
    assert ablation.main(arguments) == 2
    told = f"ablation: {tmp_path / ablation.NOTE}: damaged; another --out trains anew\n"
    assert capsys.readouterr().err == told


def test_verdict():
    """More or less where the interval leaves 0 out, undecided where it does not."""
    noise = np.random.default_rng(0).standard_normal(1 + B)
    noise[0] = 0
    scores = {"regression": 10, "classification": 12 + noise / 5, "rebalanced": 11.9 + noise}

    def tally(value):
        v, unknown = value * np.ones(1 + B), np.full(1 + B, np.nan)
        measured = {"colorfulness": v, "auc_balanced": -v, "auc_raw": unknown}
        return SimpleNamespace(scores=lambda _: measured)

    tallies = [tally(value) for value in scores.values()]
    systems = [SimpleNamespace(name=name) for name in scores]
    lines = ablation.verdict(SimpleNamespace(systems=systems, tallies=tallies)).splitlines()
    words = [line.split()[-1] for line in lines]
    assert words == ["more", "undecided", "less", "undecided", "photos", "photos"]
    assert lines[0].startswith("colorfulness  classification - regression: +2.00 [+1.6")
