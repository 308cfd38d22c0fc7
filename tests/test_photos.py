"""Photos in folders and archives: which there are, in which order, and their bytes."""

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from mini_colorize import photos as module
from mini_colorize.files.images import ImageError, read_image
from mini_colorize.photos import DataError, find_photos

# ---- Folders


def make_folder(path, files):
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def touch(folder, *names):
    make_folder(folder, dict.fromkeys(names, b""))


def test_find_photos_by_posix_path(tmp_path):
    touch(tmp_path, "b.JPG", "a/z.png", "a-b/y.webp", "a.tiff", "B.jpeg", "a/sub/x.bmp")
    touch(tmp_path, ".hid.jpg", ".git/h.jpg", "notes.txt", "film.mpg", "drawing.eps", "page.pdf")
    touch(tmp_path, "stars.fits", "t.h5")
    (tmp_path / "folder.jpg").mkdir()
    names = [p.name for p in find_photos(tmp_path)]
    assert names == ["B.jpeg", "a-b/y.webp", "a.tiff", "a/sub/x.bmp", "a/z.png", "b.JPG"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_find_photos_follows_links_once(tmp_path):
    touch(tmp_path, "in/a.png", "in/deep/b.png", "out/c.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/deep/up").symlink_to(tmp_path)
    (tmp_path / "in/linked").symlink_to(tmp_path / "out")
    (tmp_path / "in/file.png").symlink_to(tmp_path / "out/c.png")
    (tmp_path / "in/dangling.png").symlink_to(tmp_path / "nothing")
    names = [p.name for p in find_photos(tmp_path / "in")]
    # deep/up leads out of the folder, to "out" first; "in" itself has been visited.
    assert names == ["a.png", "deep/b.png", "deep/up/out/c.png", "file.png"]


CONFIG = '{"data": ["x"], "loss": "rebalanced", "lam": 0.5, "weight_decay": 0.001}'


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_what_this_program_made_is_left_out(tmp_path, kind):
    own = ["a.color.png", "b.compare.png", "sub/C.Color.JPG", "d.color.webp", "e.compare.tiff"]
    photos = ["a.png", "colour.png", "f.color.gif", "g.colors.png", "sub/color.png"]
    if kind == "folder":
        touch(tmp_path, *photos, *own, "run/samples/step_0000200.png", "mine/h.png")
        (tmp_path / "run" / "config.json").write_text(CONFIG)
        (tmp_path / "mine" / "config.json").write_text('{"model": "of something else"}')
        source, told = tmp_path, ", folders of training runs (1)"
        photos = sorted([*photos, "mine/h.png"])
    else:
        source, told = archive_of(tmp_path, kind, dict.fromkeys(photos + own, b"x")), ""
    lines = []
    assert [p.name for p in find_photos(source, lines.append)] == photos
    assert lines == [f"{source}: left out: named like results of this program (5){told}"]
    with pytest.raises(DataError, match="holds no pictures .left out: folders of training runs"):
        touch(tmp_path, "r/samples/a.png")
        (tmp_path / "r" / "config.json").write_text(CONFIG)
        find_photos(tmp_path / "r")


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_one_bad_entry_does_not_cost_the_folder(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "lost+found/b.png", "sub/c.png")
    (tmp_path / "loop").symlink_to("loop")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    lines = []
    assert [p.name for p in find_photos(tmp_path, lines.append)] == ["a.png", "sub/c.png"]
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path}/loop: left out (too many levels")
    assert lines[1] == f"{tmp_path}/lost+found: left out (permission denied)"
    with pytest.raises(DataError, match="lost.found: cannot read this folder"):
        find_photos(tmp_path / "lost+found")


def test_pictures_of_other_kinds_are_counted(tmp_path):
    touch(tmp_path, "a.png", "b.CR2", "sub/c.cr2", "d.jxl", "notes.txt", ".e.cr2")
    lines = []
    find_photos(tmp_path, lines.append)
    assert lines == [f"{tmp_path}: left out: .cr2 (2), .jxl (1)"]


def test_find_photos_refuses(tmp_path):
    touch(tmp_path, "a.txt")
    one_line(find_photos, tmp_path / "no", DataError, "no such folder or archive")
    told = "neither a folder nor a .zip or .tar file"
    one_line(find_photos, tmp_path / "a.txt", DataError, told)
    one_line(find_photos, tmp_path, DataError, "holds no pictures")
    touch(tmp_path, "b.zip", "a.tar")
    told = "holds no pictures; name the archives in it, such as ", "a.tar"
    one_line(find_photos, tmp_path, DataError, *told)


# ---- Archives


def picture(value, kind="PNG"):
    """The bytes of a 6 x 4 picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (value, 2 * value, 255 - value)).save(buffer, kind)
    return buffer.getvalue()


def value(photo):
    """Of which picture it is."""
    return int(np.asarray(read_image(photo))[0, 0, 0])


NAMES = ["b/2.png", "a/1.png", "b/10.png", "top.png"]
ORDER = ["a/1.png", "b/10.png", "b/2.png", "top.png"]
EXTRA = {"._n.tar": b"x", "notes.txt": b"x", "b/.hidden.png": picture(1), "d.png/x": b""}
EXTRA["__MACOSX/b/._2.png"] = b"x"


def make_zip(path, files, compression=zipfile.ZIP_STORED, prefix=""):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("folder.png/", b"")
        for name, data in files.items():
            archive.writestr(prefix + name, data)
    return path


def make_tar(path, files, prefix="", form=tarfile.PAX_FORMAT):
    where = {"fileobj": path} if isinstance(path, io.BytesIO) else {"name": path}
    with tarfile.open(**where, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("folder.png")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            add(archive, prefix + name, data)
    return path


def add(archive, name, data):
    """A member to a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def tar_bytes(files):
    buffer = io.BytesIO()
    make_tar(buffer, files)
    return buffer.getvalue()


def archive_of(folder, kind, files):
    return {"zip": make_zip, "tar": make_tar}[kind](folder / f"x.{kind}", files)


def files():
    return {name: picture(10 * i) for i, name in enumerate(NAMES, 1)} | EXTRA


MAKERS = {
    "folder": lambda p: make_folder(p / "x", files()),
    "zip": lambda p: make_zip(p / "x.zip", files()),
    "zip deflated": lambda p: make_zip(p / "x.ZIP", files(), zipfile.ZIP_DEFLATED),
    "tar": lambda p: make_tar(p / "x.tar", files()),
    "tar of .": lambda p: make_tar(p / "x.tar", files(), "./"),
    "gnu tar": lambda p: make_tar(p / "x.tar", files(), form=tarfile.GNU_FORMAT),
    "tar in tar": lambda p: make_tar(
        p / "x.tar",
        {
            "b.tar": tar_bytes({"2.png": picture(10), "10.png": picture(30), ".h.png": b""}),
            "top.png": picture(40),
            "./a.tar": tar_bytes({"./1.png": picture(20)}),
        },
    ),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_source_gives_the_same_photos(tmp_path, kind):
    """Names, order and pictures do not depend on what the photos lie in."""
    source = MAKERS[kind](tmp_path)
    for given in (source, str(source), [source]):
        found = find_photos(given)
        assert [photo.name for photo in found] == ORDER
        assert [value(photo) for photo in found] == [20, 30, 10, 40]
        assert all(str(photo) == f"{source}/{photo.name}" for photo in found)


def test_several_sources_are_one_list_by_name(tmp_path):
    sources = [
        make_zip(tmp_path / "z.zip", {"a.png": picture(1), "c.png": picture(2)}),
        make_tar(tmp_path / "a.tar", {"b.png": picture(3), "c.png": picture(4)}),
        make_folder(tmp_path / "m", {"d/e.png": picture(5), "a.png": picture(6)}),
    ]
    found = find_photos(sources)
    names = [photo.name.removesuffix(".png") for photo in found]
    assert names == ["a", "a", "b", "c", "c", "d/e"]
    # Of equal names, that of the source named first.
    assert [value(photo) for photo in found] == [1, 6, 3, 2, 4, 5]
    twice = find_photos([sources[0], str(sources[0])])  # a source counts as often as it is named
    assert len(twice) == 4 and twice[0] == twice[1] and len(set(twice)) == 2


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_of_one_name_the_last_counts(tmp_path, kind):
    """As when it is unpacked: an archive that was appended to."""
    path = archive_of(tmp_path, kind, {"a.png": picture(1)})
    if kind == "zip":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning):
            archive.writestr("a.png", picture(2))
    else:
        with tarfile.open(path, "a") as archive:
            add(archive, "./a.png", picture(2))
    (photo,) = find_photos(path)
    assert value(photo) == 2


def test_links_and_odd_members_of_a_tar_are_left_out(tmp_path):
    path = make_tar(tmp_path / "x.tar", {"a.png": picture(1)})
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.png")
            info.type, info.linkname = kind, "a.png"
            archive.addfile(info)
    assert [photo.name for photo in find_photos(path)] == ["a.png"]


def test_names_that_are_not_unicode(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", encoding="latin-1") as archive:
        add(archive, "caf\u00e9.png", picture(7))
    (photo,) = find_photos(tmp_path / "x.tar")
    assert value(photo) == 7


def one_line(read, path, error, *parts):
    with pytest.raises(error) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < 300
    for part in parts:
        assert part in line


def unreadable(photo, *parts):
    one_line(read_image, photo, ImageError, *parts)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_broken_member_is_named_and_the_others_are_read(tmp_path, kind):
    members = {"a.png": picture(1), "b.png": b"no picture", "c.png": picture(3)[:40]}
    good, *bad = find_photos(archive_of(tmp_path, kind, members))
    assert value(good) == 1
    for photo in bad:
        unreadable(photo)


def test_a_name_that_a_terminal_would_obey(tmp_path):
    (photo,) = find_photos(make_zip(tmp_path / "x.zip", {"a\x1b[2J\n.png": b"no picture"}))
    with pytest.raises(ImageError) as got:
        read_image(photo)
    assert r"a\x1b[2J\n.png" in str(got.value) and str(got.value).isprintable()


def test_a_member_whose_bytes_changed(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"a.png": picture(1), "b.png": picture(2)})
    data = bytearray(path.read_bytes())
    data[data.find(b"IDAT") + 5] ^= 1
    path.write_bytes(data)
    first, second = find_photos(path)
    unreadable(first, "CRC")
    assert value(second) == 2


def test_an_encrypted_member(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"a.png": picture(1)})
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    unreadable(find_photos(path)[0], "it is encrypted")


def test_a_damaged_tar_in_a_tar_is_named_when_its_turn_comes(tmp_path):
    inner = tar_bytes({"1.png": picture(1)})
    path = make_tar(tmp_path / "x.tar", {"a.tar": b"rubbish" * 200, "b.tar": inner})
    bad, good = find_photos(path)
    unreadable(bad, "x.tar/a.tar", "damaged")
    assert good.name == "b/1.png" and value(good) == 1


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("how", ["cut", "empty", "text", "no photos", "folder"])
def test_archives_of_no_use(tmp_path, kind, how):
    content = {"a.png": picture(1), "big.png": np.random.default_rng(0).bytes(5000)}
    path = archive_of(tmp_path, kind, {"x.txt": b""} if how == "no photos" else content)
    if how == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    elif how in ("empty", "text"):
        path.write_bytes(b"" if how == "empty" else b"no archive at all\n" * 100)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    one_line(find_photos, path, DataError)


def test_a_tar_with_a_damaged_header_is_not_taken_for_a_short_one(tmp_path):
    path = make_tar(tmp_path / "x.tar", {"a.png": picture(1), "b.png": picture(2)})
    data = bytearray(path.read_bytes())
    at = data.find(b"b.png")
    data[at : at + 100] = b"?" * 100
    path.write_bytes(data)
    one_line(find_photos, path, DataError, "damaged header")


@pytest.mark.parametrize("how", ["name", "no name", "size", "negative size"])
def test_fields_that_are_absurd(tmp_path, how):
    """Python's zipfile and tarfile raise other things than they say of these."""
    path = tmp_path / ("x.tar" if how.endswith("size") else "x.zip")
    if how.endswith("size"):
        make_tar(path, {"a.png": picture(1), "b.png": picture(2)})
        data = bytearray(path.read_bytes())
        at = data.find(b"a.png")
        # In base 256. Minus 512 is the length of the header, which would come next again.
        size = b"\x80" + b"\xff" * 11 if how == "size" else b"\xff" * 10 + b"\xfe\0"
        data[at + 124 : at + 136] = size
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    else:
        make_zip(path, {"a.png": picture(1), "\u00e9.png": picture(2)})
        data = bytearray(path.read_bytes())
        if how == "name":
            data = data.replace("\u00e9.png".encode(), b"\xff\xff.png")
        else:
            at = data.rfind(b"PK\x01\x02") + 28
            data[at : at + 4] = b"\0\0" + (6).to_bytes(2, "little")  # its name is an extra field
    path.write_bytes(data)
    try:
        found = find_photos(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1
    else:
        assert [photo.name for photo in found] == ["a.png"]


def test_compressed_tars_are_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w:gz") as archive:
        add(archive, "a.png", picture(1))
    one_line(find_photos, tmp_path / "x.tar", DataError, "not a plain .tar file")
    told = "neither a folder nor a .zip or .tar file"
    named = (tmp_path / "x.tar").rename(tmp_path / "x.tar.gz")
    one_line(find_photos, named, DataError, told)


def test_members_that_claim_too_much_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 50)
    for kind in ("zip", "tar"):
        path = archive_of(tmp_path, kind, {"a.png": picture(1)})
        unreadable(find_photos(path)[0], "are no photo")


def test_an_archive_that_was_cut_since_it_was_listed(tmp_path):
    path = make_tar(tmp_path / "x.tar", {"a.png": picture(1), "b.png": picture(2)})
    photos = find_photos(path)
    path.write_bytes(path.read_bytes()[: photos[1].place[0] + 10])
    assert value(photos[0]) == 1
    unreadable(photos[1], "the archive ends in the middle of it")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_many_threads_read_at_once(tmp_path, kind):
    path = archive_of(tmp_path, kind, {f"{i:03}.png": picture(i) for i in range(120)})
    photos = find_photos(path) * 5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(value, photos)) == [int(photo.name[:3]) for photo in photos]


def test_drawings_of_the_evaluation_are_no_photos(tmp_path):
    """Those beside what is written with them; a photo of such a name is one."""
    for folder in ("scores", "mine"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "curves.png")
    (tmp_path / "scores" / "scores.json").write_text("{}")
    told = []
    assert [p.name for p in find_photos(tmp_path, told.append)] == ["mine/curves.png"]
    assert "drawings of this program (1)" in told[0]
