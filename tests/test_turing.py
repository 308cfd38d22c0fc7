"""The Turing test without a browser: what is in the page, and how answers are pooled."""

import base64
import io
import json
import re
from unittest.mock import ANY, Mock

import numpy as np
import pytest
from photographs import album, smooth
from PIL import Image
from programs import called, complaints, flags, python

from mini_colorize.evaluation.turing import __main__ as turing
from mini_colorize.evaluation.turing import build as turing_build
from mini_colorize.evaluation.turing import page as turing_page
from mini_colorize.evaluation.turing.page import CHECK, COLORING, PRACTICE
from mini_colorize.evaluation.turing.score import RESAMPLES, bootstrap

RNG = np.random.default_rng(0)
SMALL = ["--trials", "6", "--practice", "2", "--checks", "1", "--side", "64", "--device", "cpu"]
SIZE, SECRET = (96, 80), "secret-name-{:02}.jpg"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return album(tmp_path_factory.mktemp("photos"), 12, SIZE, SECRET)


@pytest.fixture
def go(capsys):
    """Run main in this process. Returns (exit code, stdout, what stderr says line by line)."""

    def run(*args):
        code, out, err = called(turing.main, capsys, *args)
        return code, out, complaints(err)

    return run


@pytest.fixture
def make(go, photos, weights):
    """make(page, *more): as `go`."""
    return lambda out, *more: go(*flags(data=photos, weights=weights, out=out), *SMALL, *more)


@pytest.fixture
def page(make, tmp_path):
    path = tmp_path / "turing.html"
    assert make(path) == (0, ANY, [])
    return path


# ---- The page ------------------------------------------------------------------------------


def test_pairs_are_photo_and_coloring(page, photos, weights):
    made = turing_page.read_page(page)
    assert sorted(made.kinds) == [PRACTICE] * 2 + [COLORING] * 5 + [CHECK]
    colorizer = turing_build.Colorizer.load(weights)
    crops = [turing_build.load_crop(p, 64, 64) for p in turing_build.find_photos(photos)]
    used = set()
    for i, kind in enumerate(made.kinds):
        real, fake = (np.asarray(image, float) for image in made.pair(i))
        distances = [np.abs(crop - real).mean() for crop in crops]
        used.add(best := int(np.argmin(distances)))
        assert distances[best] < 3  # JPEG at 92
        wanted = np.asarray(colorizer(crops[best]), float)
        assert (np.abs(wanted - fake).mean() < 3) == (kind == COLORING or kind == PRACTICE)
    assert len(used) == 8  # no photo twice


def test_check_has_the_lightness_of_one_and_the_colors_of_the_other():
    one, other = (np.asarray(smooth(RNG, (64, 64), (5, 6))) for _ in range(2))
    lab = [turing_build.rgb_to_lab(rgb) for rgb in (turing_build.borrow(one, other), one, other)]
    away = [np.abs(lab[0] - other).mean((0, 1)) for other in lab[1:]]
    assert away[0][0] < 4 < away[1][0]  # L: of the first, but for what lies out of gamut
    assert max(away[1][1:]) < 12 < min(away[0][1:])  # ab: of the second


def test_both_halves_are_one_jpeg_without_metadata(page):
    made = turing_page.read_page(page)
    for jpeg in made.jpegs:
        image = Image.open(io.BytesIO(jpeg))
        assert image.size == (128, 64)
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not image.getexif()
        assert {c[1:3] for c in image.layer} == {(1, 1)}  # colour is not subsampled


def test_halves_do_not_bleed_into_each_other():
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    jpeg = turing_page.join(black, white)
    left, right = turing_page.Page("0" * 16, 64, [COLORING], [jpeg]).pair(0)
    assert np.asarray(left).max() <= 2 and np.asarray(right).min() >= 253


def test_page_tells_nothing(page):
    text = page.read_text()
    assert "secret-name" not in text and str(page.parent) not in text
    block = re.search(r'<script id="data" type="text/plain">(.*?)</script>', text)[1]
    raw = base64.b64decode(block)
    for sign in (b"\xff\xd8\xff", b"JFIF", b"kinds", b"lengths"):
        assert sign not in raw
    outside = text.replace(block, "")
    assert "@CSS@" not in outside and "@SIZE@" not in outside
    # Nothing is fetched: no address in it, and the browser is told so.
    assert "default-src 'none'" in outside
    assert not re.search(r"https?://|url\(|@import|<img|<iframe", outside)


def test_same_seed_same_page(make, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(tmp_path / name, "--seed", seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_mask_is_what_the_browser_computes():
    """mulberry32 with seed 0: the first two numbers, by its published C code."""
    masked = turing_page._masked(bytes(10), "0" * 16)
    for i, a in enumerate((0x6D2B79F5, 2 * 0x6D2B79F5)):
        t = (a ^ a >> 15) * (a | 1) & 0xFFFFFFFF
        t ^= t + ((t ^ t >> 7) * (t | 61) & 0xFFFFFFFF) & 0xFFFFFFFF
        assert int.from_bytes(masked[4 * i : 4 * i + 4], "little") == t ^ t >> 14
    assert turing_page._masked(masked, "0" * 16) == bytes(10)


# ---- Which photos --------------------------------------------------------------------------


def test_grey_and_toned_photos_are_left_out(go, photos, weights, tmp_path, monkeypatch):
    folder = album(tmp_path / "mixed", 8, SIZE, SECRET, seed=5)
    grey = np.asarray(smooth(RNG, SIZE)).mean(2, keepdims=True)
    Image.fromarray(np.repeat(grey, 3, 2).astype(np.uint8)).save(folder / "grey.png")
    Image.fromarray((grey * [1, 0.85, 0.65]).astype(np.uint8)).save(folder / "sepia.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "twice.jpg").write_bytes((folder / SECRET.format(1)).read_bytes())
    args = [*flags(data=folder, weights=weights, out=tmp_path / "a.html"), *SMALL]
    assert go(*args)[0] == 0
    monkeypatch.setattr(turing_build, "join", pytest.fail)  # it is said before anything is coloured
    code, _, err = go(*args, "--trials", "7")
    assert code == 2 and len(err) == 1
    assert "only 8 usable photos, 9 are needed" in err[0]
    assert "2 without colour, 1 that cannot be read, 1 there twice" in err[0]


BAD = "trials=0 practice=-1 checks=6 side=100 seed=-1 temperature=-1 temperature=nan size=33"
BAD += " size=8000000000000 weights=missing.npz data=missing out=."


@pytest.mark.parametrize("option", BAD.split())
def test_bad_arguments(make, tmp_path, option):
    code, _, err = make(tmp_path / "new" / "page.html", f"--{option}")
    assert code == 2 and err
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_written(make, tmp_path, monkeypatch):
    """It is said before anything is coloured."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(turing_build, "join", pytest.fail)
    told = [f"turing: {tmp_path / 'file'}: Not a directory"]
    assert make(tmp_path / "file" / "page.html") == (2, "", told)


DOORS = [("turing", ["--data", "."]), ("turing", ["score", "."]), ("__main__", ["--data", "."])]


@pytest.mark.parametrize("module, args", DOORS)
def test_ctrl_c_while_it_starts(module, args):
    """As NumPy is imported, which takes a while."""
    code = f"""if True:
        import runpy, sys
        class Stop:
            def find_spec(self, name, *_):
                if name == "numpy":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Stop())
        sys.argv[1:] = {args}
        runpy.run_module("mini_colorize.evaluation.{module}", run_name="__main__")"""
    done = python("-c", code)
    assert done.returncode == 130 and len(done.stderr.splitlines()) == 1, done.stderr


def test_interrupted_build_leaves_nothing(make, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    old = '<html lang="en" data-page="0123456789abcdef">'
    out.write_text(old)
    monkeypatch.setattr(turing_build, "join", Mock(side_effect=KeyboardInterrupt))
    assert make(out)[0] == 130
    assert [f.name for f in tmp_path.iterdir()] == ["page.html"] and out.read_text() == old


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "other"])
def test_damaged_page(go, page, tmp_path, damage):
    data = page.read_bytes()
    middle = data.index(b'type="text/plain">') + 1000
    changed = data[:middle] + b"AAAA" + data[middle + 4 :]
    damaged = {"cut": data[:middle], "changed": changed, "empty": b"", "other": b"<html></html>"}
    page.write_bytes(damaged[damage])
    with pytest.raises(turing_page.PageError, match="turing.html: not a page"):
        turing_page.read_page(page)


# ---- The answers ---------------------------------------------------------------------------


def answers(page, person=1, trials=()):
    """What the page saves. trials: (picture, kind, whether it was taken for real)."""
    told = []
    for picture, kind, taken in trials:
        told.append({"picture": picture, "kind": kind, "chosen": "right" if taken else "left"})
        told[-1].update(fake="left", interrupted=False)
    head = {"format": "mini_colorize turing answers", "version": 1, "page": page}
    return {**head, "participant": f"{person:08x}", "trials": told}


def save(folder, *all_answers):
    folder.mkdir(exist_ok=True)
    for i, value in enumerate(all_answers):
        text = value if isinstance(value, (bytes, str)) else json.dumps(value)
        path = folder / f"{i}.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return sorted(folder.glob("*.json"))


def scored(folder):
    return json.loads((folder / "out" / "score.json").read_text())


def test_score(go, page, tmp_path):
    made = turing_page.read_page(page).id
    one = [(1, "practice", True), (3, "colouring", True), (4, "colouring", False)]
    two = [(3, "colouring", True), (5, "colouring", True), (8, "check", True)]
    people = answers(made, 1, [*one, (8, "check", False)]), answers(made, 2, two)
    files = save(tmp_path / "answers", *people)
    code, out, err = go("score", *files, "--out", tmp_path / "out")
    assert (code, err) == (0, [])
    score = scored(tmp_path)
    assert score["answers"] == 4 and score["fooled_rate"] == 0.75
    told = [(p["picture"], p["fooled"], p["seen"]) for p in score["pictures"]]
    assert told == [(3, 2, 2), (5, 1, 1), (4, 0, 1)]
    assert [p["checks_found"] for p in score["people"]] == [1, 0]
    assert "fooled         75.0%" in out and "1 of 2" in out
    assert "bootstrap over people and pictures" in out
    sheet = Image.open(tmp_path / "out" / "sheet.png")  # the page lay beside the answers
    assert sheet.width > 700 and sheet.height > 400


def test_interrupted_trials_do_not_count(go, page, tmp_path):
    made = turing_page.read_page(page).id
    value = answers(made, 1, [(3, "colouring", True), (4, "colouring", False)])
    value["trials"][0]["interrupted"] = True
    go("score", *save(tmp_path / "a", value), "--out", tmp_path / "out")
    score = scored(tmp_path)
    assert score["answers"] == 1 and score["fooled_rate"] == 0
    assert score["people"][0]["interrupted"] == 1
    assert score["interval"].startswith("bootstrap over the pictures that one person saw, ")


def test_which_pairs_are_checks_is_the_pages_to_say(go, page, tmp_path):
    """Not the file's, which could pass checks off as colourings."""
    made = turing_page.read_page(page)
    claimed = [(1, "colouring"), (3, "check"), (4, "practice"), (8, "colouring")]
    files = save(tmp_path / "a", answers(made.id, 1, [(*claim, True) for claim in claimed]))
    assert go("score", *files, "--out", tmp_path / "out")[0] == 0
    score = scored(tmp_path)
    assert [p["picture"] for p in score["pictures"]] == [3, 4] and score["answers"] == 2
    assert (score["people"][0]["checks"], score["people"][0]["checks_found"]) == (1, 0)
    page.unlink()
    code, out, _ = go("score", *files, "--out", tmp_path / "out")
    assert code == 0 and "which pairs are checks is what the answers say" in out
    assert scored(tmp_path)["people"][0]["checks"] == 1


def test_a_damaged_page_nearby_is_passed_over(go, page, tmp_path, monkeypatch):
    folder = tmp_path / "a"
    files = save(folder, answers(turing_page.read_page(page).id, 1, [(3, "colouring", True)]))
    damaged = folder / "page.html"
    damaged.write_bytes(page.read_bytes().partition(b'type="text/plain">')[0])
    monkeypatch.chdir(folder)  # here and beside the answers: the same folder is named once
    code, out, err = go("score", *files, "--out", tmp_path / "out")
    assert err == [f"turing: {damaged}: not a page of the Turing test, or a damaged one"]
    assert code == 2 and "1 person, 1 answers" in out
    assert (tmp_path / "out" / "sheet.png").exists()  # from the good one, a folder above


def test_bootstrap_interval():
    seen = np.ones((40, 36), int)
    fooled = (RNG.random(seen.shape) < 0.3).astype(int)
    low, high = bootstrap(fooled, seen)
    assert low < fooled.mean() < high
    # Independent trials: known to be about sqrt(3) times as wide as the binomial interval.
    binomial = 2 * 1.96 * np.sqrt(0.3 * 0.7 / seen.size)
    assert 1.4 * binomial < high - low < 2 * binomial
    # People who differ: as wide as a bootstrap over people alone, not over trials.
    people = np.repeat((np.arange(40) < 12).astype(int)[:, None], 36, 1)
    low, high = bootstrap(people, seen)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 40), rel=0.15)
    assert bootstrap(fooled[:0, :0], seen[:0, :0]) is None
    assert bootstrap(fooled, seen) == bootstrap(fooled, seen)
    assert RESAMPLES >= 1000


# Files; and what an answer, or its first trial, has in place of the right thing.
FILES = [b"\x00\xff\xfe{", "hello", "", [], "[" * 100_000, '{"version": ' + "9" * 10_000 + "}"]
FILES += [b" " * (2**20 + 1), "twice"]
WRONG = [{"format": "x"}, {"version": 2}, {"page": "../../etc/passwd"}, {"page": 7}, {"trials": []}]
WRONG += [{"participant": "\x1b[2J\x1b[2J"}, {"trials": [0] * 3000}, {"trials": "abc"}]
WRONG += [{"trials": [None]}, {"picture": 0}, {"picture": True}, {"picture": 10**9}, {"fake": {}}]
WRONG += [{"picture": 1.5}, {"kind": ["check"]}, {"chosen": None}, {"interrupted": "yes"}]


@pytest.mark.parametrize("bad", FILES + WRONG, ids=lambda bad: ascii(bad)[:30])
def test_hostile_answers(go, page, tmp_path, bad):
    """Named in one line; the good file beside it still counts."""
    made = turing_page.read_page(page).id
    good = answers(made, 1, [(3, "colouring", True)])
    if isinstance(bad, dict):
        value = answers(made, 2, [(4, "colouring", True)])
        (value if set(bad) & set(value) else value["trials"][0]).update(bad)
        bad = value
    elif bad == "twice":
        bad = answers(made, 2, [(4, "colouring", True), (4, "colouring", False)])
    files = save(tmp_path / "answers", good, bad)
    code, out, err = go("score", *files, "--out", tmp_path / "out")
    assert code == 2
    assert len(err) == 1 and err[0].startswith(f"turing: {files[1]}: ") and len(err[0]) < 300
    assert err[0].isprintable() and "1 person, 1 answers" in out
    assert scored(tmp_path)["answers"] == 1


def test_other_pages_and_doubles(go, page, tmp_path):
    made = turing_page.read_page(page).id
    one = answers(made, 1, [(3, "colouring", True)])
    files = save(tmp_path / "a", one, one, answers("f" * 16, 2, [(3, "colouring", True)]))
    code, out, err = go("score", tmp_path / "a", "--page", page, "--out", tmp_path / "out")
    assert code == 2 and "1 person, 1 answers" in out
    assert any("2.json: answers to another page" in line for line in err)
    assert any("1.json: the same person as in" in line for line in err)
    code, out, _ = go("score", files[2], "--out", tmp_path / "out2")
    assert code == 0 and "no picture sheet" in out  # no page is near that has this id


@pytest.mark.parametrize("args", [["missing.json"], ["."], []])
def test_nothing_to_score(go, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    code, _, err = go("score", *args)
    assert code == 2 and err and not (tmp_path / "out").exists()


def test_only_checks_and_a_foreign_picture_number(go, page, tmp_path):
    made = turing_page.read_page(page).id
    files = save(tmp_path / "a", answers(made, 1, [(8, "check", False)]))
    assert go("score", *files, "--out", tmp_path / "out")[0] == 0
    files = save(tmp_path / "b", answers(made, 1, [(999, "colouring", False)]))
    code, _, err = go("score", *files, "--out", tmp_path / "out")
    assert code == 2 and err[0] == f"turing: {files[0]}: picture 999 is not in the page"


def test_the_page_does_not_replace_the_photos(go, tmp_path):
    archive = tmp_path / "photos.zip"
    archive.write_bytes(b"mine")
    code, _, err = go("--data", archive, "--out", tmp_path / "." / "photos.zip")
    assert code == 2 and "is --data" in err[0] and archive.read_bytes() == b"mine"


def test_nothing_of_others_is_overwritten(make, page, tmp_path):
    """Neither another file nor a page of other pairs, of which answers may be about."""
    notes, before = tmp_path / "notes.html", page.read_bytes()
    notes.write_text("mine")
    code, _, err = make(notes)
    assert code == 2 and "no page of this test" in err[0] and notes.read_text() == "mine"
    assert make(page)[0] == 0  # once more the same
    code, _, err = make(page, "--seed", "5")
    assert code == 2 and "a page of other pairs" in err[0] and page.read_bytes() == before
