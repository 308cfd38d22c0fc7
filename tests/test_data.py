"""The folder walk, the crop and the loader, against what they promise."""

import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from mini_colorize import data
from mini_colorize.data import DataError, PhotoLoader, find_photos, load_crop
from mini_colorize.images import ImageError


@pytest.fixture
def photos(tmp_path):
    """Ten PNGs, 12 x 10; every pixel of photo i is (10 i, x, y), so that a crop tells its place."""
    y, x = np.mgrid[:10, :12]
    for i in range(10):
        values = np.dstack([np.full_like(x, 10 * i), 20 * x, 25 * y]).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    return find_photos(tmp_path)


def take(loader, start=0, stop=6):
    return np.stack(list(loader.batches(start, stop)))


def number(crops):
    """Which photo each crop (..., H, W, 3) is of."""
    return crops[..., 0, 0, 0] // 10


# ---- find_photos


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_find_photos_by_posix_path(tmp_path):
    touch(
        tmp_path,
        "b.JPG",
        "a/z.png",
        "a-b/y.webp",
        "a.tiff",
        "B.jpeg",
        "a/sub/x.bmp",
        ".hid.jpg",
        ".git/h.jpg",
        "notes.txt",
        "film.mpg",
        "drawing.eps",
        "page.pdf",
        "stars.fits",
        "t.h5",
    )
    (tmp_path / "folder.jpg").mkdir()
    names = [p.relative_to(tmp_path).as_posix() for p in find_photos(tmp_path)]
    assert names == ["B.jpeg", "a-b/y.webp", "a.tiff", "a/sub/x.bmp", "a/z.png", "b.JPG"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_find_photos_follows_links_once(tmp_path):
    touch(tmp_path, "in/a.png", "in/deep/b.png", "out/c.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/deep/up").symlink_to(tmp_path)
    (tmp_path / "in/linked").symlink_to(tmp_path / "out")
    (tmp_path / "in/file.png").symlink_to(tmp_path / "out/c.png")
    (tmp_path / "in/dangling.png").symlink_to(tmp_path / "nothing")
    names = [p.relative_to(tmp_path / "in").as_posix() for p in find_photos(tmp_path / "in")]
    # deep/up leads out of the folder, to "out" first; "in" itself has been visited.
    assert names == ["a.png", "deep/b.png", "deep/up/out/c.png", "file.png"]


def test_find_photos_refuses(tmp_path):
    touch(tmp_path, "a.txt")
    for path, reason in [
        (tmp_path / "no", "no such folder"),
        (tmp_path / "a.txt", "not a folder"),
        (tmp_path, "holds no pictures"),
    ]:
        with pytest.raises(DataError) as caught:
            find_photos(path)
        assert str(caught.value) == f"{path}: {reason}"


# ---- load_crop


def test_crop_without_resizing_is_exact(photos):
    values = np.asarray(Image.open(photos[3]))
    crop = load_crop(photos[3], 6, 10)
    np.testing.assert_array_equal(crop, values[2:8, 3:9])
    assert crop.dtype == np.uint8 and crop.flags.c_contiguous and crop.flags.writeable
    offsets = set()
    for seed in range(300):
        crop = load_crop(photos[3], 6, 10, np.random.default_rng(seed))
        flipped = crop[0, 0, 1] > crop[0, 1, 1]
        crop = crop[:, ::-1] if flipped else crop
        x, y = crop[0, 0, 1] // 20, crop[0, 0, 2] // 25
        np.testing.assert_array_equal(crop, values[y : y + 6, x : x + 6])  # inside, nothing made up
        offsets.add((x, y, bool(flipped)))
    assert len(offsets) == 7 * 5 * 2  # every place there is, both ways round


@pytest.mark.parametrize("shape, resize", [((90, 130), 40), ((130, 90), 40), ((30, 50), 64)])
def test_crop_is_that_of_the_resized_picture(tmp_path, shape, resize):
    """The naive twin: resize everything, then cut."""
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (9, 13, 3), dtype=np.uint8))
    image = noise.resize(shape[::-1], Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.png")
    scale = resize / min(shape)
    wide, high = (round(side * scale) for side in image.size)
    whole = np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC)).astype(int)
    for seed in range(5):
        draw = np.random.default_rng(seed)
        x, y = draw.integers(wide - 32 + 1), draw.integers(high - 32 + 1)
        naive = whole[y : y + 32, x : x + 32]
        naive = naive[:, ::-1] if draw.random() < 0.5 else naive
        crop = load_crop(tmp_path / "a.png", 32, resize, np.random.default_rng(seed))
        assert np.abs(crop - naive).max() <= 2


def test_crop_of_a_jpeg_decoded_small(tmp_path):
    """With draft, a ramp 0..255 across 800 pixels is still where it was."""
    ramp = np.linspace(0, 255, 800)
    values = np.broadcast_to(ramp[None, :, None], (640, 800, 3)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.jpg", quality=95)
    crop = load_crop(tmp_path / "a.jpg", 64, 64)
    np.testing.assert_allclose(crop[..., 1].mean(0), ramp[80:720].reshape(64, 10).mean(1), atol=2)


def test_crop_lays_alpha_over_white(tmp_path):
    Image.new("RGBA", (8, 8), (100, 50, 0, 51)).save(tmp_path / "a.png")
    assert np.abs(load_crop(tmp_path / "a.png", 4, 8).astype(int) - [224, 214, 204]).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (3000, 4)])
def test_crop_of_extreme_shapes_costs_little(tmp_path, size):
    Image.new("RGB", size, (9, 80, 200)).save(tmp_path / "a.png")
    start = time.perf_counter()
    for rng in (None, np.random.default_rng(0)):
        crop = load_crop(tmp_path / "a.png", 176, 256, rng)
        assert crop.shape == (176, 176, 3) and (crop == [9, 80, 200]).all()
    assert time.perf_counter() - start < 0.5  # the whole, 256 x 1280000, would take seconds


# ---- PhotoLoader


@pytest.mark.parametrize("augment", [True, False])
def test_workers_and_start_do_not_matter(photos, augment):
    def loader(workers):
        return PhotoLoader(photos, size=6, batch=4, seed=3, augment=augment, workers=workers)

    expected = take(loader(0), 0, 8)
    assert expected.shape == (8, 4, 6, 6, 3) and expected.dtype == np.uint8
    for workers in (1, 2, 4):
        np.testing.assert_array_equal(take(loader(workers), 0, 8), expected)
        np.testing.assert_array_equal(take(loader(workers), 5, 8), expected[5:])
    np.testing.assert_array_equal(take(loader(0), 7, 8), expected[7:])
    endless = loader(2).batches()
    np.testing.assert_array_equal([next(endless) for _ in range(8)], expected)
    endless.close()
    if augment:
        other = PhotoLoader(photos, size=6, batch=4, seed=4, workers=0)
        assert (take(other, 0, 8) != expected).any()


def test_every_photo_once_an_epoch(photos):
    loader = PhotoLoader(photos, size=6, batch=4, workers=2)  # 10 batches are 4 epochs
    epochs = number(take(loader, 0, 10)).reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4  # each in another order
    assert len(loader) == 10 and loader.resize == 9


def test_without_augmentation_the_order_is_as_given(photos):
    loader = PhotoLoader(photos[::-1], size=6, resize=10, batch=4, augment=False, workers=2)
    crops = take(loader, 0, 5).reshape(20, 6, 6, 3)
    np.testing.assert_array_equal(number(crops), 2 * list(range(9, -1, -1)))
    np.testing.assert_array_equal(crops[6], load_crop(photos[3], 6, 10))


def test_flips_about_half_the_time(photos):
    loader = PhotoLoader(photos, size=6, resize=10, batch=50, workers=0)
    crops = take(loader, 0, 20).reshape(1000, 6, 6, 3)
    flips = (crops[:, 0, 0, 1] > crops[:, 0, 1, 1]).sum()
    assert 437 <= flips <= 563  # 500 and four standard deviations


def test_first_crop_is_not_tied_to_the_shuffle(photos):
    """Sample 0 of an epoch must not repeat the shuffle's random numbers."""
    shuffle = np.random.default_rng((5, 2)).random(4)
    assert (shuffle == np.random.default_rng((5, 2, 0)).random(4)).all()  # NumPy pads with zeros
    loader = PhotoLoader(photos, size=6, resize=10, batch=1, seed=5, workers=0)
    first = photos[np.random.default_rng((5, 2)).permutation(10)[0]]
    expected = load_crop(first, 6, 10, np.random.default_rng((5, 2, 1)))
    np.testing.assert_array_equal(take(loader, 20, 21)[0, 0], expected)


def test_fewer_photos_than_a_batch(photos):
    batch = take(PhotoLoader(photos[:3], size=6, batch=8, workers=2), 0, 3).reshape(24, 6, 6, 3)
    assert (np.sort(number(batch).reshape(8, 3)) == [0, 1, 2]).all()
    assert (number(take(PhotoLoader(photos[7:8], size=6, batch=5, workers=0), 0, 1)) == 7).all()


def test_broken_photos_are_replaced(photos):
    for i in (0, 4, 5):
        photos[i].write_bytes(photos[i].read_bytes()[:50])

    def loader(workers):
        return PhotoLoader(photos, size=6, resize=10, batch=4, seed=1, workers=workers)

    first = loader(0)
    expected = take(first, 0, 10)
    assert set(first.skipped) == {photos[i] for i in (0, 4, 5)}
    assert all(line.startswith(f"{path}: ") for path, line in first.skipped.items())
    for workers in (1, 2, 4):
        again = loader(workers)
        np.testing.assert_array_equal(take(again, 0, 10), expected)
        np.testing.assert_array_equal(take(again, 3, 10), expected[3:])
        assert again.skipped == first.skipped
    crops = expected.reshape(4, 10, 6, 6, 3)
    for epoch in range(4):
        order = list(np.random.default_rng((1, epoch)).permutation(10))
        for position in range(10):
            following = order[position:] + order[:position]
            photo = next(i for i in following if i not in (0, 4, 5))
            rng = np.random.default_rng((1, epoch, position + 1))
            expected = load_crop(photos[photo], 6, 10, rng)
            np.testing.assert_array_equal(crops[epoch, position], expected)


def test_a_broken_photo_is_tried_once(photos, monkeypatch):
    tried = []

    def load(path, *rest):
        tried.append(path)
        if path == photos[2]:
            raise ImageError(f"{path}: broken")
        return load_crop(path, *rest)

    monkeypatch.setattr(data, "load_crop", load)
    take(PhotoLoader(photos, size=6, batch=10, workers=0), 0, 3)
    assert tried.count(photos[2]) == 1 and len(tried) == 31


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_readable(photos, workers):
    for path in photos:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="^none of the 10 photos can be read; one of ") as caught:
        take(PhotoLoader(photos, size=6, batch=4, workers=workers))
    assert "\n" not in str(caught.value)


def test_refusals(photos):
    with pytest.raises(DataError):
        PhotoLoader([], size=6, batch=4)
    for bad in (dict(size=0), dict(batch=0), dict(resize=5), dict(seed=-1), dict(workers=-1)):
        with pytest.raises(ValueError, match="out of range"):
            PhotoLoader(photos, **{"size": 6, "batch": 4, **bad})


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("photos")]


@pytest.mark.parametrize("end", ["close", "error", "interrupt"])
def test_workers_stop_promptly(photos, monkeypatch, end):
    def slow(*arguments):
        time.sleep(0.02)
        return load_crop(*arguments)

    monkeypatch.setattr(data, "load_crop", slow)
    loader = PhotoLoader(photos, size=6, batch=8, workers=2)
    batches = loader.batches()
    next(batches)
    assert len(threads()) == 2
    start = time.perf_counter()
    if end == "close":
        batches.close()
    else:  # raised where the generator waits, as by a failing training step or Ctrl-C
        kind = RuntimeError if end == "error" else KeyboardInterrupt
        with pytest.raises(kind):
            batches.throw(kind)
    assert time.perf_counter() - start < 0.12  # a batch alone takes 0.16 s
    assert threads() == []


def test_an_error_in_a_worker_reaches_the_caller(photos, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(data, "load_crop", fail)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        take(PhotoLoader(photos, size=6, batch=4, workers=2))
    assert threads() == []


def test_prefetch_is_bounded(photos, monkeypatch):
    count = []

    def load(*arguments):
        count.append(1)
        return load_crop(*arguments)

    monkeypatch.setattr(data, "load_crop", load)
    batches = PhotoLoader(photos, size=6, batch=2, workers=2).batches()
    next(batches)
    time.sleep(0.2)
    assert len(count) == 8  # the batch taken, and workers + 1 more
    batches.close()
