"""Smaller pieces of benchmarks/: comparing, timing, the prior."""

import sys

import numpy as np
import pytest
from photographs import album

from benchmarks import common, hints, ladder, prior, watch
from mini_colorize.data import PhotoLoader
from mini_colorize.photos import find_photos
from mini_colorize.targets import measure_prior


def test_sides_must_agree():
    x = np.random.default_rng(0).standard_normal((3, 4))
    assert common.agree("x", x * 1.001, x, 1e-2) == pytest.approx(1e-3)
    with pytest.raises(AssertionError, match="x: the two sides differ by 5.0e-02"):
        common.agree("x", x * 1.05, x, 1e-2)
    with pytest.raises(AssertionError, match="differ"):
        common.agree("x", x * np.nan, x, np.inf)
    with pytest.raises(AssertionError, match=r"\(4,\), theirs \(3, 4\)"):
        common.agree("x", x[0], x, np.inf)


def test_functions_take_turns():
    calls = []
    times = common.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3 and [len(t) for t in times.values()] == [2, 2]


def test_every_rung_of_the_ladder_is_the_same_convolution():
    layer = ladder.layer(18, 16)
    ladder.check(ladder.rungs(*layer), *layer)
    assert ladder.threads.THREADS == ladder.steps_cpu.THREADS == ladder.COUNT
    wrong = {"wrong": lambda: ladder.by_taps(*layer) * np.float32(1.01)}
    with pytest.raises(AssertionError, match="wrong: the two sides differ by 1.0e-02"):
        ladder.check(wrong, *layer)


def test_a_watch_sees_calls_while_it_is_open():
    class Recorder(watch.Watch):
        def around(self, label, call):
            return f"{label}: {call()}"

    class Owner:
        def name(self):
            return "Ada"

    owner = Owner()
    with Recorder() as recorder:
        recorder.wrap(owner, "name", "she")
        assert owner.name() == "she: Ada"
    assert owner.name() == "Ada" and vars(owner) == {}


def test_a_prior_of_another_order_is_compared_sorted(tmp_path, monkeypatch, capsys):
    album(tmp_path, 3, (40, 40))
    own = measure_prior(PhotoLoader(find_photos(tmp_path), size=32, batch=16))
    np.save(tmp_path / "other.npy", np.random.default_rng(0).permutation(own)[:, None])
    arguments = ["--data", tmp_path, "--size", "32", "--reference", tmp_path / "other.npy"]
    monkeypatch.setattr(sys, "argv", ["prior", *map(str, arguments)])
    prior.main()
    out = capsys.readouterr().out
    assert "3 photos: " in out and "total variation 0.000, Kullback-Leibler 0.000 nats" in out


def test_true_colours_of_some_places_bring_a_photo_nearer(tmp_path, capsys):
    common.picture(64, 64).save(tmp_path / "x.png")
    arguments = [
        "--data",
        str(tmp_path),
        "--weights",
        "tiny",
        "--hints",
        "3",
        "1",
        "--device",
        "cpu",
    ]
    assert hints.main(arguments) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["0", "1", "3"] and rows[0][4:] == ["+0.00", "0.0%"]
    assert float(rows[2][4]) > 0 and rows[2][2] == rows[2][3]
