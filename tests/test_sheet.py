"""The sheet of photographs: what is on it and where."""

import numpy as np
import pytest
import sheet
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Three colours, from wide to high."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, color in enumerate([(200, 60, 60), (60, 200, 60), (60, 60, 200)]):
        Image.new("RGB", (40 - 10 * i, 20 + 10 * i), color).save(folder / f"{i}.png")
    return folder


def test_rows_of_grey_coloured_original(photos, tmp_path):
    out = tmp_path / "new" / "sheet.png"
    assert sheet.main([str(photos), "--across", "2", "--height", "20", "--out", str(out)]) == 0
    paper = np.asarray(Image.open(out)).astype(int)
    widths = [3 * 40, 3 * 20, 3 * 10]
    assert paper.shape == (2 * 20 + sheet.GAP, widths[0] + widths[1] + sheet.GAP, 3)
    assert np.ptp(paper[5:15, 5:35], axis=2).max() <= 1  # grey
    assert abs(paper[5:15, 85:115] - (200, 60, 60)).max() <= 2  # the original
    assert abs(paper[5:15, 175:185] - (60, 200, 60)).max() <= 2
    assert abs(paper[35:45, 23:27] - (60, 60, 200)).max() <= 2
    assert (paper[20:30] == 255).all() and (paper[:20, 120:130] == 255).all()
    assert (paper[30:, 30:] == 255).all()


def test_some_of_the_photos(photos, tmp_path):
    out = tmp_path / "sheet.png"
    assert sheet.main([str(photos), "--photos", "1", "--height", "20", "--out", str(out)]) == 0
    assert Image.open(out).size == (120, 20)


@pytest.mark.parametrize("options", [["--photos", "0"], ["--across", "-1"], ["--height", "x"], []])
def test_options_that_are_none(photos, options, capsys):
    with pytest.raises(SystemExit) as caught:
        sheet.main([str(photos), *options])
    assert caught.value.code == 2 and "error:" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path, capsys):
    assert sheet.main([str(tmp_path / "no"), "--out", str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == f"sheet.py: {tmp_path / 'no'}: no such folder or archive\n"
