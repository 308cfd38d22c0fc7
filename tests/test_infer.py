"""infer.py as people use it: where results go, that no photo is ever lost, and what it says."""

import io
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
from photographs import noise, png
from PIL import Image, ImageCms
from programs import ROOT, called, complaints, python

import infer
from mini_colorize import album
from mini_colorize.color import rgb_to_lightness
from mini_colorize.files import checkpoint, images

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
unix = pytest.mark.skipif(os.name != "posix", reason="links and bytes in names")
not_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write anything"
)


@pytest.fixture
def go(weights, capsys, monkeypatch):
    """Run main in this process. Returns (exit code, stdout, what stderr says line by line)."""
    monkeypatch.setattr(album, "free_memory", lambda: album.BYTES * 160_000_000)

    def run(*args):
        arguments = ["--weights", weights, "--device", "cpu", *args]
        code, out, err = called(infer.main, capsys, *arguments)
        return code, out, complaints(err)

    return run


def photo(path, size=(24, 16), mode="RGB", **options):
    """Write a picture of noise. Returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(RNG, size, 60, 200).convert(mode).save(path, **options)
    return path


@pytest.fixture
def source(tmp_path):
    return photo(tmp_path / "a.png")


def names(folder):
    """All files below a folder."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())


def is_result_of(result, source):
    """Whether `result` has the size and the lightness of `source`; noise cannot by chance."""
    one, two = (np.asarray(Image.open(p).convert("RGB")) for p in (result, source))
    lightness = [rgb_to_lightness(rgb).astype(float) for rgb in (one, two)]
    return one.shape == two.shape and abs(lightness[0] - lightness[1]).mean() < 2


def one_line(result, *parts, code=2):
    """One line that says these things, and the exit code."""
    found, out, err = result
    assert found == code and len(err) == 1 and err[0].startswith("infer.py:"), err
    for part in parts:
        assert str(part) in err[0], err
    return out


# ---- Where results go


def test_beside_the_photo(tmp_path, go):
    source = photo(tmp_path / "a.jpg")
    before = source.read_bytes()
    target = tmp_path / "a.color.png"
    assert go(source) == (0, f"{source} -> {target}\n", [])
    assert names(tmp_path) == ["a.color.png", "a.jpg"] and source.read_bytes() == before
    assert is_result_of(target, source)
    assert go(source)[0] == 0 and names(tmp_path) == ["a.color.png", "a.jpg"]  # again: the same


@pytest.mark.parametrize("name", ["b.png", "b.jpg", "B.JPEG", "b.webp", "b.tif", "new/sub/b.png"])
def test_out_is_a_file(tmp_path, go, source, name):
    assert go(source, "--out", tmp_path / name)[::2] == (0, [])
    assert names(tmp_path) == sorted(["a.png", name])
    assert Image.open(tmp_path / name).size == (24, 16)


@pytest.mark.parametrize("out", ["new", "new/deep", "there", "there.d", "scans.2024/", "st. mary/"])
def test_out_is_a_folder(tmp_path, go, source, out):
    sources, out = [source, photo(tmp_path / "b.jpg")], f"{tmp_path}/{out}"
    (tmp_path / "there").mkdir()
    (tmp_path / "there.d").mkdir()
    assert go(source, "--out", out)[::2] == (0, [])
    assert names(Path(out)) == ["a.color.png"]
    for given in (sources, [source]):  # one photo: the same folder
        assert go(*given, "--out", out)[::2] == (0, [])
        assert names(Path(out)) == ["a.color.png", "b.color.png"]
    assert len(names(tmp_path)) == 4


def test_folders_keep_their_structure_and_leave_out_results(tmp_path, go):
    album, done = tmp_path / "album", tmp_path / "done"
    for name in ("a.png", "1990/a.png", "1990/june/b.jpg"):
        photo(album / name)
    (album / "notes.txt").write_text("x")
    expected = ["1990/a.color.png", "1990/june/b.color.png", "a.color.png"]
    assert go(album, "--out", done)[::2] == (0, [])
    assert names(done) == expected
    assert len(names(album)) == 4
    for k in range(2):  # the second time over, earlier results lie there
        told = [f"infer.py: {album}: left out: named like results of this program (6)"] if k else []
        assert go(album, "--compare")[::2] == (0, told)
        assert len(names(album)) == 4 + 3 + 3
    assert go(album, "--out", album / "done")[0] == 0
    assert go(album, "--out", album / "done")[0] == 0
    assert names(album / "done") == expected


def test_a_folder_of_nothing_but_results(tmp_path, go):
    """Nothing is done, and that is said."""
    photo(tmp_path / "a.color.png")
    one_line(go(tmp_path), tmp_path)
    assert names(tmp_path) == ["a.color.png"]


def test_out_as_a_file_for_several(tmp_path, go):
    a, b = photo(tmp_path / "in/a.png"), photo(tmp_path / "in/b.png")
    for inputs in ([a, b], [tmp_path / "in"]):
        one_line(go(*inputs, "--out", tmp_path / "one.png"), "one.png")
        assert names(tmp_path) == ["in/a.png", "in/b.png"]


def test_out_below_a_file(tmp_path, go, source):
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/sub", "file/sub/b.png"):
        one_line(go(source, "--out", tmp_path / out), tmp_path / "file")
        assert names(tmp_path) == ["a.png", "file"]


# ---- No photo is overwritten, no result lost


def unharmed(go, sources, *options):
    """Colour them all. Every source keeps its bytes, and every one has a result of its own."""
    before = {s: s.read_bytes() for s in sources}
    code, out, err = go(*sources, *options)
    assert {s: s.read_bytes() for s in sources} == before
    if code == 0:
        targets = [line.split(" -> ")[1] for line in out.splitlines()]
        assert len(set(map(os.path.realpath, targets))) == len(sources), out
        for source, target in zip(sources, targets, strict=True):
            assert is_result_of(target, source), (source, target)
    else:  # refusing is right as well, if it says why
        assert code == 2 and err and all(line.startswith("infer.py:") for line in err)
    return code


COLLIDING = """
    photo.jpg photo.png;  photo.png photo.jpg photo.webp photo.tif;  Photo.jpg photo.png
    a.color.png a.png;  a.png a.color.png;  a.jpg a.png a.color.png;  a.jpg A.png a.color.png
    a.png a.jpg a.jpg.color.png;  a.png a.png.color.png a.color.png;  x/a.png y/a.png
    a.color.color.png a.color.png a.png"""


@pytest.mark.parametrize("given", re.split(r";  |\n +", COLLIDING.strip()))
@pytest.mark.parametrize("options", [[], ["--compare"]], ids=["plain", "compare"])
def test_names_that_collide(tmp_path, go, given, options):
    assert unharmed(go, [photo(tmp_path / name) for name in given.split()], *options) == 0


IN_FOLDERS = ["x/a.png y/a.png", "x/a.png y/a.png z/a.png", "x/a.png y/a.png z/a.png.color.png"]


@pytest.mark.parametrize("given", [*IN_FOLDERS, "x/a.png y/a.jpg z/a.png x/a.jpg"])
def test_names_that_collide_in_the_out_folder(tmp_path, go, given):
    sources = [photo(tmp_path / name) for name in given.split()]
    assert unharmed(go, sources, "--out", tmp_path / "done") == 0
    assert len(names(tmp_path / "done")) == len(sources)
    if ".color" not in given:  # a result is left out of a folder
        folders = {source.parent for source in sources}
        assert go(*folders, "--out", tmp_path / "again")[0] == 0
        assert len(names(tmp_path / "again")) == len(sources)


IN_THE_WAY = [
    ("x/a.png y/a.color.png", "--out y"),  # the folder of other photos given
    ("a.png a.compare.png", "--compare"),
    ("a.compare.png a.png", "--compare"),
    ("a.compare.png", "--compare --out a.png"),
]


@pytest.mark.parametrize("given, options", IN_THE_WAY)
def test_no_result_and_no_comparison_overwrites_a_photo(tmp_path, go, monkeypatch, given, options):
    monkeypatch.chdir(tmp_path)
    unharmed(go, [photo(tmp_path / name) for name in given.split()], *options.split())


def test_result_and_comparison_are_two_files(tmp_path, go, source):
    out = tmp_path / "b.compare.png"
    assert go(source, "--out", out, "--compare")[0] == 0
    assert is_result_of(out, source) and len(names(tmp_path)) == 3


@pytest.mark.parametrize("spelling", ["a.png", "./a.png", "../{0}/a.png", "sub/../a.png"])
def test_out_on_the_photo_itself(tmp_path, go, source, spelling):
    (tmp_path / "sub").mkdir()
    before = source.read_bytes()
    out = os.path.join(tmp_path, spelling.format(tmp_path.name))
    one_line(go(source, "--out", out), "overwrite")
    assert source.read_bytes() == before and names(tmp_path) == ["a.png"]


@unix
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_to_the_photo(tmp_path, go, source, link):
    """As --out, as the photo, and where the result would lie."""
    before = source.read_bytes()
    for name in ("link.png", "other.png", "a.color.png", "a.png.color.png", "a.compare.png"):
        link(source, tmp_path / name)
    onto = [source, "--out", tmp_path / "link.png"], [tmp_path / "other.png", "--out", source]
    for arguments in (*onto, [source], [source, "--compare"], [tmp_path]):
        code, _, err = go(*arguments)
        given = source if arguments[0] == tmp_path else arguments[0]
        assert given.read_bytes() == before, arguments
        assert code == 0 or (code == 2 and err[0].startswith("infer.py:"))


@unix
def test_a_link_in_the_way_of_a_result(tmp_path, go):
    """An earlier result's name, linked to a photo that is not given, which must not change."""
    source, other = photo(tmp_path / "a.png"), photo(tmp_path / "other.png")
    (tmp_path / "a.png.color.png").symlink_to(source)
    (tmp_path / "a.color.png").symlink_to(source)
    before = source.read_bytes(), other.read_bytes()
    go(source, other)
    assert before == (source.read_bytes(), other.read_bytes())


def test_out_in_other_case(tmp_path, go):
    """Where case does not count, PHOTO.PNG is photo.png."""
    source = photo(tmp_path / "photo.png")
    before = source.read_bytes()
    code, _, err = go(source, "--out", tmp_path / "PHOTO.PNG")
    assert source.read_bytes() == before and (code == 0 or "overwrite" in err[0])


def test_given_twice(tmp_path, go, source):
    before = source.read_bytes()
    assert go(source, source, tmp_path, tmp_path / "." / "a.png")[0] == 0
    assert source.read_bytes() == before and is_result_of(tmp_path / "a.color.png", source)


# ---- Photos of every kind


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1)])
def test_thin_photos(tmp_path, go, size):
    source = photo(tmp_path / "a.png", size)
    assert go(source, "--compare")[::2] == (0, [])
    assert Image.open(tmp_path / "a.color.png").size == size


@pytest.mark.parametrize("mode, panels", [("L", 2), ("RGB", 3)])
def test_compare(tmp_path, go, mode, panels):
    source = photo(tmp_path / "a.png", mode=mode)
    assert go(source, "--compare")[::2] == (0, [])
    assert names(tmp_path) == ["a.color.png", "a.compare.png", "a.png"]
    sheet = np.asarray(Image.open(tmp_path / "a.compare.png"))
    assert sheet.shape == (16, 24 * panels, 3)
    grey, colored, *original = np.split(sheet.astype(int), panels, axis=1)
    assert np.ptp(grey, axis=-1).max() <= 1
    np.testing.assert_array_equal(colored, np.asarray(Image.open(tmp_path / "a.color.png")))
    given = np.asarray(Image.open(source).convert("RGB"))
    if mode == "RGB":
        np.testing.assert_array_equal(original[0], given)
    else:
        np.testing.assert_allclose(grey, given, atol=1)


def test_compare_of_a_large_photo_is_of_bounded_size(tmp_path, go):
    source = photo(tmp_path / "a.png", (1500, 30), "L")
    assert go(source, "--compare", "--out", tmp_path / "out.jpg")[0] == 0
    assert Image.open(tmp_path / "out.jpg").size == (1500, 30)
    width, height = Image.open(tmp_path / "out.compare.png").size
    assert width == 2 * album.PANEL and height in (20, 21)


def test_a_temperature_without_effect_is_told(go, source, regression):
    code, _, lines = go(source, "--weights", regression, "--temperature", 0.2)
    assert code == 0 and len(lines) == 1 and "--temperature has no say" in lines[0]
    assert go(source, "--weights", regression)[2] == go(source, "--temperature", 0.2)[2] == []


def test_options_of_the_colours(tmp_path, go, source):
    def chroma(*options):
        assert go(source, *options)[0] == 0
        return np.ptp(np.asarray(Image.open(tmp_path / "a.color.png")).astype(int), axis=-1)

    assert chroma("--temperature", 0).mean() > 1.5 * chroma("--temperature", 1).mean()
    assert (chroma("--size", 32) != chroma("--size", 64)).any()
    found = [chroma("--strength", strength).mean() for strength in (0, 0.5, 1, 2)]
    assert found[0] < 0.1 and found == sorted(found) and found[3] > 1.3 * found[2] > 1


# ---- What cannot be coloured


def bad_file(path, kind):
    if kind in ("text", "empty"):
        path.write_text("this is no picture\n" if kind == "text" else "")
    elif kind == "bomb":
        png(path, 30_000, 30_000, 8, 2, [])
    elif kind in ("loop", "dangling"):
        path.symlink_to(path if kind == "loop" else path.with_name("gone.png"))
    return path


KINDS = ["text", "missing", "empty", "bomb"]
KINDS += [pytest.param(k, marks=unix) for k in ("loop", "dangling")]


@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_photo_alone_and_among_good_ones(tmp_path, go, kind):
    good = [photo(tmp_path / "a.png"), photo(tmp_path / "z.png")]
    bad = bad_file(tmp_path / "m.png", kind)
    before = names(tmp_path)
    assert one_line(go(bad, "--out", tmp_path / "new" / "b.png"), f"infer.py: {bad}: ") == ""
    assert names(tmp_path) == before and not (tmp_path / "new").exists()
    out = one_line(go(good[0], bad, good[1]), f"infer.py: {bad}: ")
    assert names(tmp_path) == sorted([*before, "a.color.png", "z.color.png"])
    assert len(out.splitlines()) == 2


def test_bad_photos_in_a_folder(tmp_path, go):
    photo(tmp_path / "a.png")
    bad_file(tmp_path / "b.png", "text")
    bad_file(tmp_path / "c.jpg", "empty")
    code, _, err = go(tmp_path)
    assert code == 2 and len(err) == 2
    assert names(tmp_path) == ["a.color.png", "a.png", "b.png", "c.jpg"]


def test_an_empty_folder(tmp_path, go):
    """One bad thing does not keep the others from being done."""
    (tmp_path / "empty").mkdir()
    one_line(go(tmp_path / "empty"), tmp_path / "empty")
    one_line(go(tmp_path / "empty", photo(tmp_path / "a.png")), tmp_path / "empty")
    assert "a.color.png" in names(tmp_path)


@pytest.fixture
def inside(tmp_path):
    """A photo in a folder that the test may close."""
    yield photo(tmp_path / "closed" / "b.png")
    (tmp_path / "closed").chmod(0o755)


@not_root
def test_an_unreadable_folder_and_file(tmp_path, go, source, inside):
    (tmp_path / "c.png").write_bytes(source.read_bytes())
    (tmp_path / "c.png").chmod(0)
    inside.parent.chmod(0)
    for bad in (inside.parent, inside, tmp_path / "c.png"):
        one_line(go(bad, source), bad)
        assert (tmp_path / "a.color.png").exists(), bad
        (tmp_path / "a.color.png").unlink()


@not_root
def test_a_read_only_folder(go, source, inside):
    closed = inside.parent
    closed.chmod(0o555)
    one_line(go(inside), closed)
    for out in (closed, closed / "new", closed / "x.png"):
        one_line(go(source, "--out", out), closed)
    assert names(closed) == ["b.png"]


def test_a_folder_where_the_result_should_lie(tmp_path, go, source):
    (tmp_path / "a.color.png").mkdir()
    one_line(go(source), "a.color.png")
    assert names(tmp_path) == ["a.png"]


@unix
@pytest.mark.parametrize("length", [250, 300, 5000])
def test_long_names(tmp_path, go, length):
    """250: no room for .color; 300: no file can be called that."""
    source = tmp_path / ("x" * (length - 4) + ".png")
    if length < 256:
        photo(source)
    before = names(tmp_path)
    one_line(go(source))
    assert names(tmp_path) == before


def test_a_disk_that_is_full_leaves_nothing(tmp_path, go, source, monkeypatch):
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    one_line(go(source), tmp_path / "a.color.png", "No space left")
    assert names(tmp_path) == ["a.png"]


def test_a_photo_too_large_for_memory(tmp_path, go, monkeypatch):
    good, large = photo(tmp_path / "a.png"), photo(tmp_path / "large.png", (40, 40))
    first_fails = Mock(wraps=album.color_one, side_effect=[MemoryError, DEFAULT])
    monkeypatch.setattr(album, "color_one", first_fails)
    one_line(go(large, good), large, "memory")
    assert "a.color.png" in names(tmp_path)


# ---- What is there already


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path, go):
    a, b, mine = photo(tmp_path / "a.png"), photo(tmp_path / "b.png"), tmp_path / "a.color.png"
    photo(mine)
    before = mine.read_bytes()
    for options in ([a, b], [tmp_path]):
        code, _, err = go(*options)
        assert code == 2 and mine.read_bytes() == before
        assert f"infer.py: {mine}: is there already" in err[-1] and "--overwrite" in err[-1]
        assert is_result_of(tmp_path / "b.color.png", b)
    photo(tmp_path / "c.jpg")
    before = (tmp_path / "c.jpg").read_bytes()
    one_line(go(a, "--out", tmp_path / "c.jpg"), tmp_path / "c.jpg", "--overwrite")
    assert (tmp_path / "c.jpg").read_bytes() == before
    assert go(a, "--overwrite")[0] == 0 and is_result_of(mine, a)
    assert go(a)[0] == 0  # now it is a result


def test_a_comparison_of_somebody_else(tmp_path, go):
    a, mine = photo(tmp_path / "a.png"), photo(tmp_path / "a.compare.png")
    before = mine.read_bytes()
    one_line(go(a, "--compare"), mine)
    assert mine.read_bytes() == before and not (tmp_path / "a.color.png").exists()


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff"])
def test_results_say_what_they_were_made_of(tmp_path, go, extension):
    a, other = photo(tmp_path / "caf\u00e9.png"), photo(tmp_path / "caf\u00e9.jpg")
    result = tmp_path / f"caf\u00e9.color.{extension}"
    for _ in range(2):  # over its own result
        assert go(a, "--format", extension)[::2] == (0, []) and is_result_of(result, a)
    before = result.read_bytes()
    assert go(other, "--format", extension)[::2] == (0, [])  # the result of another photo stays
    assert result.read_bytes() == before
    assert is_result_of(tmp_path / f"caf\u00e9.jpg.color.{extension}", other)
    assert len(names(tmp_path)) == 4


def test_results_that_are_named_are_left_out(tmp_path, go):
    """infer.py *.png, three times."""
    for name in "ab":
        photo(tmp_path / f"{name}.png")
    for k in range(3):
        code, _, err = go(*sorted(tmp_path.glob("*.png")))
        assert code == 0 and len(err) == (2 if k else 0)
        assert all("left out; it is a result of this program" in line for line in err)
        assert names(tmp_path) == ["a.color.png", "a.png", "b.color.png", "b.png"]
    assert go(tmp_path / "a.color.png")[::2] == (0, [])  # the only one is meant
    assert len(names(tmp_path)) == 5


def test_results_under_other_names_in_an_album(tmp_path, go, source):
    go(source, "--out", tmp_path / "b.jpg")
    one_line(go(tmp_path), tmp_path, "under other names (1)", code=0)
    assert names(tmp_path) == ["a.color.png", "a.png", "b.jpg"]


def test_a_photo_is_known_wherever_the_result_lies(tmp_path, go):
    """Given with --out or without, changed, or moved with its results."""
    album, result = tmp_path / "album", tmp_path / "album" / "a.color.png"
    source = photo(album / "a.png")
    assert go(source)[::2] == go(source, "--out", result)[::2] == go(source)[::2] == (0, [])
    photo(source)  # another picture, in the same place
    assert go(source)[::2] == (0, []) and is_result_of(result, source)
    done = tmp_path / "done"
    for _ in range(2):
        photo(source)
        assert go(album, "--out", done)[0] == 0
    assert names(done) == ["a.color.png"] and is_result_of(done / "a.color.png", source)
    go(album)
    album.rename(tmp_path / "moved")
    for options in ([], ["--out", done]):
        code, out, err = go(tmp_path / "moved", "--skip-done", *options)
        assert (code, out) == (0, "")
        assert err[-1] == "infer.py: 1 of 1 photos have their result already"
    assert names(tmp_path / "moved") == ["a.color.png", "a.png"]


@unix
def test_other_photos_of_one_name_are_told_apart(tmp_path, go):
    """In whatever folder a result lies; scans with the same border; what comes through a pipe."""
    a, b = photo(tmp_path / "a" / "x.tif"), photo(tmp_path / "b" / "x.tif")
    go(b, "--out", tmp_path / "a/")
    assert go(a)[::2] == (0, [])
    assert is_result_of(tmp_path / "a" / "x.color.png", b)
    assert is_result_of(tmp_path / "a" / "x.tif.color.png", a)
    scans = []
    for name in "cd":
        grey = np.full((500, 600), 250, np.uint8)
        grey[200:300] = RNG.integers(60, 200, (100, 600))
        scans.append(tmp_path / name / "x.tif")
        (tmp_path / name).mkdir()
        Image.fromarray(grey).save(scans[-1])
    go(scans[0], "--out", tmp_path / "done/")
    assert go(scans[1], "--skip-done", "--out", tmp_path / "done/")[2] == []
    before = {path.name: path.read_bytes() for path in (tmp_path / "done").iterdir()}
    assert sorted(before) == ["x.color.png", "x.tif.color.png"]
    for scan in scans:  # once more the same
        assert go(scan.parent, "--out", tmp_path / "done")[::2] == (0, [])
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "done").iterdir()}
    os.mkfifo(tmp_path / "pipe")
    assert album.mark_of(tmp_path / "pipe") != album.mark_of(tmp_path / "pipe")


@pytest.mark.parametrize("again", [False, True])
def test_hundreds_of_photos_of_one_name(tmp_path, monkeypatch, again):
    """The work for each does not grow with their number, nor with that of others' results."""
    given, made_of = [], Mock(side_effect=_others if again else album.made_of)
    for i in range(60):
        given.append(str(tmp_path / str(i) / "a.jpg"))
        os.makedirs(tmp_path / str(i))
        Path(given[-1]).write_bytes(b"%d" % i)
    monkeypatch.setattr(album, "made_of", made_of)
    jobs, problems = album.plan(given, str(tmp_path / "done"))
    assert not problems and len({job.target for job in jobs}) == 60
    assert made_of.call_count < 60 * (12 if again else 4)


def _others(path):
    """As if two hundred results of other photos of the name were there."""
    number = re.search(r"-(\d+)[.](?:color|compare)", str(path))
    theirs = "done" in str(path) and (number is None or int(number[1]) <= 200)
    return "a.jpg 0 0" if theirs else None


def test_bmp_cannot_say_what_it_was_made_of(tmp_path, go, source):
    out = tmp_path / "b.bmp"
    assert go(source, "--out", out, "--skip-done")[::2] == (0, [])
    told = "1 of 1 photos have their result already"
    assert one_line(go(source, "--out", out, "--skip-done"), told, code=0) == ""
    one_line(go(source, "--out", out), out, "--overwrite replaces it")
    assert go(source, "--out", out, "--overwrite")[::2] == (0, [])


@unix
def test_pipes_are_not_waited_for(tmp_path, go, source):
    """In the place of a result; as the config.json by which a training's folder is known."""
    os.mkfifo(tmp_path / "a.color.png")
    os.mkfifo(tmp_path / "config.json")
    one_line(go(source), tmp_path / "a.color.png", "is there already")
    assert go(tmp_path, "--out", tmp_path / "done/")[0] == 0


@unix
def test_a_name_of_two_lines(tmp_path, go):
    photo(tmp_path / "a\nb.png")
    (tmp_path / "c\n\x1b[2J.png").write_text("x")
    out = one_line(go(tmp_path), r"c\n\x1b[2J.png")
    assert out == rf"{tmp_path}/a\nb.png -> {tmp_path}/a\nb.color.png" + "\n"


def test_skip_done(tmp_path, go):
    a, b = photo(tmp_path / "a.png"), photo(tmp_path / "b.png")
    go(a)
    before = (tmp_path / "a.color.png").stat().st_mtime_ns
    out = one_line(go(a, b, "--skip-done"), "1 of 2 photos have their result already", code=0)
    assert out == f"{b} -> {tmp_path / 'b.color.png'}\n"
    assert (tmp_path / "a.color.png").stat().st_mtime_ns == before
    assert len(go(a, b, "--skip-done", "--compare")[1].splitlines()) == 2  # these are missing
    assert go(a, b, "--skip-done", "--compare")[1] == ""


# ---- What is not as it should be, and is said


def test_a_picture_that_is_cut_off(tmp_path, go):
    for name in ("a.png", "a.jpg", "a.tif"):
        path = photo(tmp_path / name, (64, 64))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        told = path, "is damaged or cut off; the picture is made as far as it goes"
        one_line(go(path, "--out", tmp_path / "done/"), *told, code=0)
        assert Image.open(tmp_path / "done" / "a.color.png").size == (64, 64)
        shutil.rmtree(tmp_path / "done")


@pytest.mark.skipif("HEIF" in images.FORMATS, reason="pillow-heif is here")
def test_telephones(tmp_path, go):
    photo(tmp_path / "a.png")
    for name in ("b.heic", "c.HEIC", "d.cr2"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    one_line(go(tmp_path), tmp_path, "left out: .heic (2), .cr2 (1)", "mini_colorize[heic]", code=0)
    one_line(go(tmp_path / "b.heic"), tmp_path / "b.heic", "mini_colorize[heic]")


# ---- What is kept, and what can be asked for


def test_dates_camera_and_place_are_kept(tmp_path, go):
    exif = Image.Exif()
    exif.update({271: "Zeiss", 306: "1936:05:01 10:00:00", 274: 6, 305: "Photoshop", 256: 999})
    exif.get_ifd(0x8769).update({36867: "1936:05:01 09:00:00", 37500: b"secret", 40962: 999})
    exif.get_ifd(0x8769).update({0xA001: 65535, 0xA005: 12345})
    exif.get_ifd(0x8825).update({1: "N"})
    source = tmp_path / "a.jpg"
    kept = {"exif": exif, "dpi": (300, 150), "icc_profile": SRGB}
    noise(RNG, (24, 16)).save(source, **kept)  # it lies on its side
    for name in ("b.png", "b.jpg", "b.webp", "b.tif", "b.avif", "b.jp2", "b.bmp"):
        assert go(source, "--out", tmp_path / name)[0] == 0, name
        result = Image.open(tmp_path / name)
        assert result.size == (16, 24), name  # upright
        if name in ("b.jp2", "b.bmp"):
            continue
        found = result.getexif()
        assert (found[271], found[306], found.get(274, 1)) == ("Zeiss", "1936:05:01 10:00:00", 1)
        assert found[305].startswith("mini_colorize: a.jpg") and found.get(256) != 999
        assert found.get_ifd(0x8769)[36867] == "1936:05:01 09:00:00", name
        assert 37500 not in found.get_ifd(0x8769) and 40962 not in found.get_ifd(0x8769)
        assert found.get_ifd(0x8769)[0xA001] == 1 and 0xA005 not in found.get_ifd(0x8769)  # sRGB
        assert found.get_ifd(0x8825)[1] == "N"
        assert ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"])), name
        dpi = result.info.get("dpi") or [found[282], found[283]]
        assert [round(float(d)) for d in dpi] == [150, 300], name


def test_resolution_of_a_webp(tmp_path, go):
    """It stands in the EXIF only, in inches or in centimetres."""
    for unit, expected in ((2, 300), (3, 762)):
        exif = Image.Exif()
        exif.update({282: 300.0, 283: 300.0, 296: unit})
        source = photo(tmp_path / f"{unit}.webp", exif=exif)
        assert go(source)[0] == 0
        dpi = Image.open(tmp_path / f"{unit}.color.png").info["dpi"]
        assert [round(d) for d in dpi] == [expected] * 2


def test_exif_that_cannot_be_written_costs_nothing(tmp_path, go):
    """A date that claims to be a float of 0 bytes, an orientation of a thousand values."""
    exif = Image.Exif()
    exif.update({271: "Zeiss", 306: "x" * 70_000})
    body = exif.tobytes()
    for i, data in enumerate([body, body[:40] + RNG.bytes(200), b"Exif\0\0II*\0" + RNG.bytes(300)]):
        source = photo(tmp_path / f"{i}.png", exif=data)
        for extension in ("jpg", "tiff", "png"):
            assert go(source, "--format", extension)[0] == 0
            result = tmp_path / f"{i}.color.{extension}"
            assert is_result_of(result, source)
            if i == 0:  # a JPEG has no place for so much, and the others have
                assert (Image.open(result).getexif().get(271) == "Zeiss") == (extension != "jpg")


def test_quality(tmp_path, go):
    source, out, sizes = photo(tmp_path / "a.png", (64, 64)), tmp_path / "b.jpg", []
    for quality in (10, 95):
        assert go(source, "--quality", quality, "--out", out)[0] == 0
        sizes.append(out.stat().st_size)
    assert sizes[0] < sizes[1] / 2
    assert go(source, "--quality", 10, "--out", tmp_path / "b.jfif")[0] == 0
    assert (tmp_path / "b.jfif").stat().st_size == sizes[0]
    assert go(source, "--quality", 0)[0] == go(source, "--quality", "101")[0] == 2
    for options in ("--quality 9", "--quality 9 --format tiff", f"--format png --out {out}"):
        one_line(go(source, *options.split()), options.split()[0])


def test_megapixels(tmp_path, go, monkeypatch):
    source = photo(tmp_path / "a.png", (100, 100))
    one_line(go(source, "--max-megapixels", 0.0099), source, "too large: over 0.0099 megapixels")
    assert go(source, "--max-megapixels", 0.01)[0] == 0
    monkeypatch.setattr(album, "free_memory", lambda: album.BYTES * 9999)  # by the memory
    one_line(go(source), source, "too large")
    for value in ("-1", "nan", "inf"):
        assert go(source, "--max-megapixels", value)[0] == 2


def test_an_icon_is_no_bomb(tmp_path, go, monkeypatch):
    """Icons are decoded as soon as they are opened, and so are checked before."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # back afterwards
    inner = io.BytesIO()
    Image.new("L", (2000, 2000)).save(inner, "PNG")
    head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner.getvalue()), 22)
    monkeypatch.setattr(images, "MAX_PIXELS", 1_000_000)
    (tmp_path / "a.ico").write_bytes(head + inner.getvalue())
    loaded = []
    real = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda self: loaded.append(self) or real(self))
    told = tmp_path / "a.ico", "too large: over 1 megapixels"
    one_line(go(tmp_path / "a.ico", "--max-megapixels", 1), *told)
    assert not any(image.width == 2000 for image in loaded)


def test_an_unset_variable(tmp_path, go, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = photo(tmp_path / "a.png")
    for given in ([""], ["", "a.png"]):
        one_line(go(*given), "'': no such file")
    assert names(tmp_path) == ["a.color.png", "a.png"] and source.exists()
    assert go("a.png", "--out", "")[0] == 2


# ---- Arguments


VALUES = "temperature=-1 temperature=nan temperature=inf size=100 size=0 size=-8 strength=-1"


@pytest.mark.parametrize("option", [*VALUES.split(), "out=b.xyz"])
def test_values_that_make_no_sense(tmp_path, go, source, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    name, _, value = option.partition("=")
    one_line(go(source, f"--{option}"), value if name == "out" else name)
    assert names(tmp_path) == ["a.png"]


REFUSED = "--temperature hot;--size 1.5;--device tpu;--nonsense;--out"


@pytest.mark.parametrize("arguments", REFUSED.split(";"))
def test_arguments_argparse_refuses(go, arguments):
    for given in (["a.png", *arguments.split()], []):
        code, _, err = go(*given)
        assert code == 2 and err[-1].startswith("infer.py: error: ")


def test_cuda_without_cuda(tmp_path, go, no_cuda):
    one_line(go(photo(tmp_path / "a.png"), "--device", "cuda"), "CUDA")
    assert names(tmp_path) == ["a.png"]


def test_weights_that_are_none(tmp_path, go, source):
    for bad in (tmp_path / "missing.npz", source, tmp_path):
        one_line(go(source, "--weights", bad), bad)
        assert names(tmp_path) == ["a.png"]


def test_weights_with_a_size_that_is_nonsense(tmp_path, weights, go):
    network, _ = checkpoint.load_network(weights)
    checkpoint.save_network(tmp_path / "w.npz", network, size=100)
    one_line(go(photo(tmp_path / "a.png"), "--weights", tmp_path / "w.npz"), tmp_path / "w.npz")


def test_help_mentions_every_option(go):
    code, out, _ = go("--help")
    options = set(re.findall(r'"(--[a-z-]+)[ "]', (ROOT / "infer.py").read_text()))
    options |= {"--weights", "--temperature", "--size", "--device", "--precision"}
    assert code == 0 and len(options) >= 6
    for option in options | {"PHOTO"}:
        assert option in out.split("examples")[0], option
    assert "0.38" in out and "Exit code" in out


def test_ctrl_c(tmp_path, go, monkeypatch):
    monkeypatch.setattr(album, "color_one", Mock(side_effect=KeyboardInterrupt))
    one_line(go(photo(tmp_path / "a.png")), "stopped", code=130)
    assert names(tmp_path) == ["a.png"]


# ---- As a program


def program(weights, *args, **options):
    arguments = [ROOT / "infer.py", "--weights", weights, "--device", "cpu", *args]
    done = python(*arguments, errors="replace", **options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, complaints(done.stderr)


def test_program_from_another_folder(tmp_path, weights):
    photo(tmp_path / "a.png")
    (tmp_path / "text.png").write_text("x")
    told = ["infer.py: text.png: not an image that Pillow can read"]
    assert program(weights, "a.png", "text.png", cwd=tmp_path) == (2, told)
    assert names(tmp_path) == ["a.color.png", "a.png", "text.png"]


@unix
def test_program_with_names_that_are_not_utf8(tmp_path, weights):
    """As old discs have them: Latin-1. Printing such a name must not fail."""
    try:
        with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:
            Image.new("L", (8, 8), 90).save(file, "PNG")
    except OSError:
        pytest.skip("this file system takes no such names")
    photo(tmp_path / "z.png")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}  # as in most UTF-8 locales
    assert program(weights, tmp_path, env=strict) == (0, [])
    assert len(names(tmp_path)) == 4


def test_a_jpeg_through_a_pipe(tmp_path):
    """As `cat photo.jpg | infer.py /dev/stdin`: there is no way back in it."""
    noise(np.random.default_rng(0), (40, 30)).save(tmp_path / "a.jpg")
    cat = subprocess.Popen(["cat", tmp_path / "a.jpg"], stdout=subprocess.PIPE)
    got = images.read_image(cat.stdout)
    assert cat.wait() == 0
    assert np.array_equal(np.asarray(got), np.asarray(images.read_image(tmp_path / "a.jpg")))
