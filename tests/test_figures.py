"""The figures are drawn, from any photos and weights, and their facts are facts."""

from unittest.mock import Mock

import numpy as np
import pytest
from photographs import album
from PIL import Image
from programs import ROOT, called, flags

from mini_colorize import bins
from mini_colorize.color import rgb_to_lab

pytest.importorskip("matplotlib", reason="figures need matplotlib")
import figures  # noqa: E402


@pytest.fixture
def photos(tmp_path):
    return album(tmp_path / "photos", 3, (96, 72))


def test_every_figure_is_drawn(photos, weights, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = flags(data=photos, photo=photos / "0.png", weights=weights, out=out)
    assert figures.main([*figures.FIGURES, *arguments]) == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{n}.png" for n in figures.FIGURES)
    for path in out.iterdir():
        image = Image.open(path)
        assert image.width > 700 and np.asarray(image.convert("RGB")).std() > 10
        assert (ROOT / "docs" / "figures" / path.name).exists()


def test_the_same_each_time(photos, weights, tmp_path):
    for name in ("one", "two"):
        options = dict(photo=photos / "0.png", weights=weights, at=[90, 3], out=tmp_path / name)
        assert figures.main(["pixel", *flags(**options)]) == 0
    one, two = ((tmp_path / name / "pixel.png").read_bytes() for name in ("one", "two"))
    assert one == two


def test_261_of_the_313_are_reached():
    reached = figures.occupied()
    assert reached.sum() == 261 and len(reached) == 313


def test_the_colors_of_bins_are_nearly_theirs():
    """Of a bin in the middle of the gamut exactly, of one outside as near as sRGB comes."""
    ab = rgb_to_lab(figures.bin_colors())[:, 1:]
    off = np.linalg.norm(ab - bins.BINS, axis=1)
    assert off[np.linalg.norm(bins.BINS, axis=1) < 40].max() < 0.5 and off.max() < 25


def test_the_outline_holds_all_colors():
    rgb = np.random.default_rng(0).integers(0, 256, (20000, 3), dtype=np.uint8)
    lab = rgb_to_lab(rgb)
    cells = figures.gamut_cells()
    a, b = np.floor(2 * (lab[:, 1:] + figures.LIM)).astype(int).T
    assert cells[a, b].mean() > 0.99  # at its very edge the faces are sampled, not filled
    assert not cells[0].any() and not cells[:, 0].any()


def test_raw_and_smoothed_prior(photos):
    raw, smooth, count = figures.measure_priors(photos)
    assert count == 3 and raw.sum() == pytest.approx(1) and smooth.sum() == pytest.approx(1)
    assert (smooth > 0).sum() > (raw > 0).sum() and (smooth[raw > 0] > 0).all()


def test_every_photo_counts_once_in_the_prior(photos):
    """So the prior of three is the mean of the priors of each."""
    alone = []
    for path in sorted(photos.iterdir()):
        folder = photos.parent / path.stem
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        alone.append(figures.measure_priors(folder)[:2])
    found = figures.measure_priors(photos)[:2]
    for all_three, each in zip(found, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(all_three, np.mean(each, axis=0), atol=1e-9)


def test_ctrl_c_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(figures.FIGURES, "bins", Mock(side_effect=KeyboardInterrupt))
    assert figures.main(["bins", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "figures: stopped\n" and not list(tmp_path.iterdir())


REFUSED = [
    (["nothing"], "no figure nothing"),
    (["prior"], "prior needs --data"),
    (["prior", "--data", "no-such"], "no-such: no such folder"),
    (["pixel", "--weights", "no.npz"], "no.npz: no such file"),
    (["pixel", "--at", "9999", "0"], "--at 9999 0"),
]


@pytest.mark.parametrize("arguments, told", REFUSED)
def test_errors_are_one_line(arguments, told, tmp_path, capsys):
    code, _, err = called(figures.main, capsys, *arguments, "--out", tmp_path)
    assert code == 2 and told in err.splitlines()[-1]
