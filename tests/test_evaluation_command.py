"""python -m mini_colorize.evaluation: table, JSON, curves; errors of one line; whole files."""

import contextlib
import io
import json
import shutil
import sys
from unittest import mock
from unittest.mock import Mock

import numpy as np
import pytest
from photographs import mixed_album
from PIL import Image
from programs import called, flags

from mini_colorize.evaluation import __main__ as command
from mini_colorize.evaluation import published, report


@pytest.fixture
def photos(tmp_path):
    return mixed_album(tmp_path / "photos")


def main(*arguments):
    return command.main(["--device", "cpu", *map(str, arguments)])


@pytest.fixture(scope="module")
def evaluated(weights, regression, tmp_path_factory):
    """An evaluation of both networks: its folder, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("evaluated"), io.StringIO()
    options = dict(weights=[weights, regression], temperature=[0.38, 0], min_count=20)
    options |= dict(data=mixed_album(folder / "photos"), out=folder / "new" / "out")
    rows = Mock(side_effect=report.rows)
    with mock.patch.object(report, "rows", rows), contextlib.redirect_stdout(printed):
        assert main(*flags(**options)) == 0
    assert rows.call_count == 1  # they are not quick
    return options["out"], printed.getvalue()


def test_the_table_the_json_and_the_curves(evaluated, weights, regression):
    out, table = evaluated
    assert (out / "scores.txt").read_text() in table
    names = ["ground truth", "gray", "random", *(f"{weights}, T {t}, S 32" for t in (0.38, 0))]
    names.append(f"{regression}, regression, S 32")
    told = json.loads((out / "scores.json").read_text(), parse_constant=pytest.fail)
    assert [row["name"] for row in told["rows"]] == names
    for name in names:
        assert any(line.startswith(name) for line in table.splitlines())
    truth, gray, random, sharp, mode = told["rows"][:5]
    assert truth["auc_raw"] == {"value": 100.0, "low": 100.0, "high": 100.0}
    assert truth["psnr_db"]["value"] is None and " inf " in table
    assert gray["loss_nats"]["value"] is None
    assert sharp["auc_raw"]["low"] < sharp["auc_raw"]["value"] < sharp["auc_raw"]["high"]
    assert sharp["seconds"]["value"] > 0 and sharp["loss_nats"]["value"] > 1
    assert np.isfinite(sharp["psnr_db"]["value"])
    assert mode["colorfulness"]["value"] > 1.1 * sharp["colorfulness"]["value"]  # T 0
    assert len(gray["curve_raw"]) == 151 and gray["curve_raw"][150] == 1
    area = (sum(gray["curve_raw"]) - (gray["curve_raw"][0] + gray["curve_raw"][150]) / 2) / 1.5
    assert gray["auc_raw"]["value"] == pytest.approx(area)
    assert told["photos"] == 6 and sum(told["class_pixels"]) == 48 * 280 + 1600
    assert told["min_count"] == 20 and "20 pixels" in table
    assert Image.open(out / "curves.png").width > 1000


def test_the_share_of_the_gap_and_the_paired_differences(evaluated):
    """Of what the table says itself, and of the tallies: the same resamples for both networks."""
    out, table = evaluated
    truth, gray, random, one, two, other = json.loads((out / "scores.json").read_text())["rows"]
    assert truth["gap_closed"]["value"] == 1 and gray["gap_closed"]["value"] == 0
    base = gray["auc_balanced"]["value"]
    for row in (random, one, two, other):
        expected = (row["auc_balanced"]["value"] - base) / (100 - base)
        assert row["gap_closed"]["value"] == pytest.approx(expected)
    assert "difference" not in one and "difference" not in gray
    for row in (two, other):
        for name in ("auc_raw", "auc_balanced", "gap_closed", "psnr_db", "colorfulness"):
            found = row["difference"][name]
            assert found["value"] == pytest.approx(row[name]["value"] - one[name]["value"])
            assert found["low"] <= found["value"] <= found["high"]
    assert two["difference"]["loss_nats"]["value"] == pytest.approx(0, abs=1e-9)
    assert other["difference"]["loss_nats"]["value"] is None
    # Paired: both lie on the same photos, so the difference is surer than either.
    wide = one["auc_raw"]["high"] - one["auc_raw"]["low"]
    found = two["difference"]["auc_raw"]
    assert found["high"] - found["low"] < wide
    lines = table.splitlines()
    start = lines.index(f"minus {one['name']}, paired over the photos")
    value = f"{two['difference']['auc_raw']['value']:+.1f}"
    assert lines[start + 1].startswith(two["name"]) and f" {value} [" in lines[start + 1]


def test_where_no_class_has_enough_pixels_the_rest_is_told(photos, weights, tmp_path):
    out = tmp_path / "o"
    assert main("--data", photos, "--weights", weights, "--min-count", 10**9, "--out", out) == 0
    told = json.loads((out / "scores.json").read_text(), parse_constant=pytest.fail)
    for row in told["rows"]:
        assert row["auc_balanced"]["value"] is None and row["curve_balanced"] is None
        assert row["auc_raw"]["value"] > 0
    assert Image.open(out / "curves.png").width > 1000


def test_the_published_rows_are_marked(photos, tmp_path, capsys):
    assert main("--data", photos, "--limit", 2, "--out", tmp_path / "o") == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("published"))
    assert published.SOURCE in lines[start] and "other photos" in lines[start]
    closed = ["0.000", "-0.017", "0.152", "0.169", "0.221"]  # of gray's gap, by hand
    rows = zip(lines[start + 1 :], closed, published.ROWS, strict=False)
    for line, gap, (name, raw, balanced) in rows:
        assert line.startswith(name) and line.split()[-3:] == [f"{raw}", f"{balanced}", gap]
    assert len(published.ROWS) == 5 and lines[start + 6] == published.BALANCED
    told = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert told["published"]["source"] == published.SOURCE
    assert {"name": "gray", "auc_raw": 89.1, "auc_balanced": 58.0} in told["published"]["rows"]


def test_help_defines_every_column(capsys):
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    defined = capsys.readouterr().out.partition("\ncolumns\n")[2]
    for title, *_ in report._COLUMNS.values():
        assert f"  {title.removesuffix(' raw').removesuffix(' balanced')} " in defined


def test_without_matplotlib_it_says_so(photos, weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main("--data", photos, "--weights", weights, "--out", tmp_path / "o") == 0
    assert "no curves.png: it needs matplotlib" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["scores.json", "scores.txt"]


REFUSED = [
    (["--data", "no-such"], "no-such: no such folder or archive"),
    (["--data", ".", "--weights", "no.npz"], "no.npz: no such file"),
    (["--data", ".", "--temperature", "-1"], "temperature -1"),
    (["--data", ".", "--size", "12"], "size 12"),
    (["--data", ".", "--size", "8000000000000"], "must be a multiple of 8, at most 4096"),
    (["--data", ".", "--seed", "-1"], "--seed must be 0 or more"),
    (["--data", ".", "--limit", "1"], "at least two"),
    (["--data", ".", "--limit", "0"], "invalid number above 0"),
    ([], "--data"),
]


@pytest.mark.parametrize("arguments, told", REFUSED)
def test_errors_are_one_line(arguments, told, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    code, _, err = called(command.main, capsys, "--out", tmp_path / "o", *arguments)
    assert code == 2 and told in err.splitlines()[-1] and not (tmp_path / "o").exists()


def test_an_out_that_cannot_be_written(photos, weights, tmp_path, capsys, monkeypatch):
    """It is said before any photo is measured."""
    monkeypatch.setattr("mini_colorize.evaluation.evaluate.evaluate", pytest.fail)
    file, broken = tmp_path / "file", tmp_path / "broken"
    file.write_text("mine")
    broken.symlink_to(tmp_path / "nowhere")
    for out in (file, file / "below" / "it", broken):
        assert main("--data", photos, "--weights", weights, "--out", out) == 2
        line = capsys.readouterr().err
        assert len(line.splitlines()) == 1 and (str(file) in line or str(broken) in line)
    denied = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    assert main("--data", photos, "--weights", weights, "--out", tmp_path / "new") == 2
    assert f"{tmp_path}: Permission denied" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_ctrl_c_leaves_nothing_half_written(photos, weights, tmp_path, capsys, monkeypatch):
    stopped = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr("mini_colorize.evaluation.evaluate.histogram", stopped)
    assert main("--data", photos, "--weights", weights, "--out", tmp_path / "o") == 130
    assert "stopped" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_ctrl_c_while_writing_keeps_the_old_file(photos, weights, tmp_path, monkeypatch):
    out = tmp_path / "o"
    assert main("--data", photos, "--weights", weights, "--out", out) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    monkeypatch.setattr(json, "dumps", Mock(side_effect=KeyboardInterrupt))
    assert main("--data", photos, "--weights", weights, "--out", out) == 130
    after = {p.name: p.read_bytes() for p in out.iterdir()}
    assert after.keys() == before.keys() and after["scores.json"] == before["scores.json"]


def test_skipped_photos_are_named(photos, weights, tmp_path, capsys):
    (photos / "2.png").write_bytes(b"no picture")
    assert main("--data", photos, "--weights", weights, "--out", tmp_path / "o") == 0
    assert "1 photos could not be read" in capsys.readouterr().out
    told = json.loads((tmp_path / "o" / "scores.json").read_text())
    assert told["photos"] == 5 and list(told["skipped"]) == [str(photos / "2.png")]


@pytest.mark.parametrize("name", ["scores.txt", "scores.json", "curves.png"])
@pytest.mark.parametrize("content", ["mine", "[]", '{"rows": []}', "\0"])
def test_files_of_others_are_not_overwritten(evaluated, photos, tmp_path, capsys, name, content):
    out = shutil.copytree(evaluated[0], tmp_path / "o")
    (out / "scores.json").unlink() if name == "curves.png" else None
    (out / name).write_text(content)
    assert main("--data", photos, "--out", out) == 2
    line = capsys.readouterr().err
    assert f"{out / name}: is there already" in line and len(line.splitlines()) == 1
    assert (out / name).read_text() == content


def test_a_temperature_without_effect_is_told(photos, weights, regression, tmp_path, capsys):
    """And what it wrote itself is overwritten."""
    options = dict(data=photos, weights=[weights, regression], out=tmp_path / "o", limit=2)
    assert main(*flags(**options)) == 0
    assert "--temperature" not in capsys.readouterr().out
    assert main(*flags(**options, temperature=[0.2, 0.4])) == 0
    out = capsys.readouterr().out
    assert out.count("--temperature has no say") == out.count(f"{regression}: --temp") == 1
