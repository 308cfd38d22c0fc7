"""The folder walk, the crop and the loader, against what they promise."""

import threading
import time
from unittest.mock import Mock

import numpy as np
import pytest
from photographs import smooth
from PIL import Image

from mini_colorize import cache, data
from mini_colorize.data import PhotoLoader, ResizedPhoto, load_crop
from mini_colorize.photos import DataError


@pytest.fixture
def photos(tmp_path):
    """Ten PNGs, 12 x 10; every pixel of photo i is (10 i, x, y), so that a crop tells its place."""
    y, x = np.mgrid[:10, :12]
    for i in range(10):
        values = np.dstack([np.full_like(x, 10 * i), 20 * x, 25 * y]).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    return [tmp_path / f"{i}.png" for i in range(10)]


def take(loader, start=0, stop=6):
    return np.stack(list(loader.batches(start, stop)))


def number(crops):
    """Which photo each crop (..., H, W, 3) is of."""
    return crops[..., 0, 0, 0] // 10


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
    image = smooth(np.random.default_rng(1), shape[::-1], (9, 13))
    image.save(tmp_path / "a.png")
    step = min(shape) / resize
    wide, high = (int(side / step) for side in image.size)
    box = (0, 0, wide * step, high * step)
    whole = np.asarray(image.resize((wide, high), Image.Resampling.BICUBIC, box)).astype(int)
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

    photos = photos * 4
    expected = take(loader(0), 0, 8)
    assert expected.shape == (8, 4, 6, 6, 3) and expected.dtype == np.uint8
    for workers in (1, 2, 4):
        np.testing.assert_array_equal(take(loader(workers), 0, 8), expected)
        np.testing.assert_array_equal(take(loader(workers), 5, 8), expected[5:])
    np.testing.assert_array_equal(take(loader(0), 7, 8), expected[7:])
    if augment:
        endless = loader(2).batches()
        np.testing.assert_array_equal([next(endless) for _ in range(8)], expected)
        endless.close()
        other = PhotoLoader(photos, size=6, batch=4, seed=4, workers=0)
        assert (take(other, 0, 8) != expected).any()


def test_every_photo_once_an_epoch(photos):
    loader = PhotoLoader(photos, size=6, batch=4, workers=2)  # 10 batches are 4 epochs
    epochs = number(take(loader, 0, 10)).reshape(4, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4  # each in another order
    assert len(loader) == 10 and loader.resize == 9


@pytest.mark.parametrize("workers", [0, 2])
def test_without_augmentation_every_photo_once_in_the_order_given(photos, workers):
    loader = PhotoLoader(photos[::-1], size=6, resize=10, batch=4, augment=False, workers=workers)
    batches = list(loader.batches())
    assert [len(batch) for batch in batches] == [4, 4, 2]  # the last one is short, not filled up
    crops = np.concatenate(batches)
    np.testing.assert_array_equal(number(crops), range(9, -1, -1))
    np.testing.assert_array_equal(crops[6], load_crop(photos[3], 6, 10))
    assert [len(batch) for batch in loader.batches(1, 99)] == [4, 2]


def test_without_augmentation_a_broken_photo_is_left_out(photos):
    for i in (1, 8, 9):
        photos[i].write_bytes(b"")
    loader = PhotoLoader(photos, size=6, batch=4, augment=False, workers=2)
    batches = list(loader.batches())
    assert [list(number(batch)) for batch in batches] == [[0, 2, 3], [4, 5, 6, 7]]
    assert set(loader.skipped) == {photos[i] for i in (1, 8, 9)}


def test_flips_about_half_the_time(photos):
    loader = PhotoLoader(photos, size=6, resize=10, batch=50, workers=0)
    crops = take(loader, 0, 20).reshape(1000, 6, 6, 3)
    flips = (crops[:, 0, 0, 1] > crops[:, 0, 1, 1]).sum()
    assert 437 <= flips <= 563  # 500 and four standard deviations


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
            # Not `position`: NumPy pads with zeros, and (1, epoch) shuffles the photos.
            rng = np.random.default_rng((1, epoch, position + 1))
            expected = load_crop(photos[photo], 6, 10, rng)
            np.testing.assert_array_equal(crops[epoch, position], expected)


@pytest.mark.parametrize("changed, threads", [({}, 1), ({"scale": 1.2}, 3), ({"frame": 0.5}, 3)])
def test_workers_of_cached_photos(photos, monkeypatch, changed, threads):
    """One thread is enough to cut crops out of the cache, and not to resize them."""
    seen, barrier = set(), threading.Barrier(3, timeout=5)
    real = data.crop

    def crop(*arguments):
        if threading.get_ident() not in seen and threads > 1:
            barrier.wait()  # three are at work at once
        seen.add(threading.get_ident())
        return real(*arguments)

    loader = PhotoLoader(photos, size=6, batch=2, workers=3, **changed)
    expected = take(loader, 0, 9)
    loader.fill_cache()
    monkeypatch.setattr(data, "crop", crop)
    np.testing.assert_array_equal(take(loader, 0, 9), expected)
    assert len(seen) == threads


def test_a_broken_photo_is_tried_once(photos, monkeypatch):
    photos[2].write_bytes(b"")
    load = Mock(side_effect=ResizedPhoto)
    monkeypatch.setattr(data, "ResizedPhoto", load)
    take(PhotoLoader(photos, size=6, batch=10, workers=0), 0, 3)
    assert [call.args[0] for call in load.mock_calls].count(photos[2]) == 1
    assert load.call_count == 31


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


@pytest.mark.parametrize("end", [GeneratorExit, RuntimeError, KeyboardInterrupt])
def test_workers_stop_promptly(photos, monkeypatch, end):
    """Raised where the generator waits: by close(), a failing training step or Ctrl-C."""

    def slow(*arguments):
        time.sleep(0.02)
        return ResizedPhoto(*arguments)

    monkeypatch.setattr(data, "ResizedPhoto", slow)
    loader = PhotoLoader(photos, size=6, batch=8, workers=2)
    batches = loader.batches()
    next(batches)
    assert len(threads()) == 2
    start = time.perf_counter()
    with pytest.raises(end):
        batches.throw(end)
    assert time.perf_counter() - start < 0.12  # a batch alone takes 0.16 s
    assert threads() == []


def test_an_error_in_a_worker_reaches_the_caller(photos, monkeypatch):
    broken = Mock(side_effect=RuntimeError("a fault of the program"))
    monkeypatch.setattr(data, "ResizedPhoto", broken)
    with pytest.raises(RuntimeError, match="a fault of the program"):
        take(PhotoLoader(photos, size=6, batch=4, workers=2))
    assert threads() == []


def test_prefetch_is_bounded(photos, monkeypatch):
    load = Mock(side_effect=ResizedPhoto)
    monkeypatch.setattr(data, "ResizedPhoto", load)
    batches = PhotoLoader(photos, size=6, batch=2, workers=2).batches()
    next(batches)
    time.sleep(0.2)
    assert load.call_count == 8  # the batch taken, and workers + 1 more
    batches.close()


# ---- The cache


@pytest.fixture
def odd_photos(tmp_path):
    """Photos of many sizes: enlarged, made smaller, of blocks, long, as JPEG and PNG."""
    rng = np.random.default_rng(4)
    sizes = [(500, 375), (301, 200), (40, 64), (77, 301), (799, 537), (2000, 40)]
    paths = []
    for i, size in enumerate([*sizes, (3, 300), (1, 1)]):
        paths.append(tmp_path / f"odd{i}.{'jpg' if i % 2 else 'png'}")
        smooth(rng, size, (40, 50)).save(paths[-1])
    return paths


@pytest.mark.parametrize("size, resize", [(16, 24), (40, 40), (40, 41), (88, 128)])
def test_a_part_has_the_same_bits_as_cut_out_of_the_whole(odd_photos, size, resize):
    for path in odd_photos:
        whole = data.resized_pixels(path, resize)
        assert min(whole.shape[:2]) == resize and whole.flags.owndata
        for seed in (None, *range(8)):
            rng = [None if seed is None else np.random.default_rng(seed) for _ in "ab"]
            alone = data.crop(data.ResizedPhoto(path, resize), size, rng[0], 1.3, 0.3)
            cut = data.crop(data.CachedPhoto(whole), size, rng[1], 1.3, 0.3)
            np.testing.assert_array_equal(alone, cut)


def test_of_a_very_long_photo_the_middle_is_used(tmp_path):
    values = np.zeros((10, 1000, 3), np.uint8)
    values[:, 460:540] = 255  # 8 times as long as high
    Image.fromarray(values).save(tmp_path / "long.png")
    whole = data.resized_pixels(tmp_path / "long.png", 10)
    assert whole.shape == (10, 80, 3) and (whole == 255).all()


@pytest.mark.parametrize("augment", [True, False])
def test_the_cache_changes_nothing(odd_photos, photos, augment):
    odd_photos[2].write_bytes(b"no picture")
    options = dict(size=32, resize=40, batch=5, augment=augment)
    loaders = [PhotoLoader(odd_photos + photos, workers=n, **options) for n in (0, 2)]
    cache = loaders[1].fill_cache()
    expected = list(loaders[0].batches(0, 9))
    for path in odd_photos + photos:  # from here on all comes from memory
        path.unlink()
    got = list(loaders[1].batches(0, 9))
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaders[1].skipped == loaders[0].skipped
    assert list(loaders[1].skipped) == [odd_photos[2]] and odd_photos[2] not in cache


def test_the_cache_says_what_it_takes(photos, odd_photos):
    loader = PhotoLoader(photos * 3 + odd_photos, size=6, resize=10, batch=4, workers=2)
    told = str(loader.plan_cache())
    assert len(loader.cache) == 0  # before anything is decoded
    cache = loader.fill_cache()
    assert cache is loader.cache and str(cache) == told
    taken = sum(pixels.nbytes for pixels in cache.values())  # each photo once
    assert len(cache) == len(photos) + len(odd_photos)
    assert abs(cache.expected / taken - 1) < 0.05
    assert str(cache).startswith("18 photos, shorter side 10: 0.00 GB")


def test_a_cache_that_does_not_fit_is_refused(photos, monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda: 3500)  # ten photos of 10 x 12 x 3 take 3,600
    with pytest.raises(DataError, match="--cache: 10 photos with a shorter side of 10 take") as got:
        PhotoLoader(photos, size=6, resize=10, batch=4).fill_cache()
    assert len(str(got.value).splitlines()) == 1
    monkeypatch.setattr(cache, "free_memory", lambda: 3600 / cache.SHARE)
    PhotoLoader(photos, size=6, resize=10, batch=4).fill_cache()
    other = PhotoLoader(photos, size=6, resize=10, batch=4)  # beside the first there is no room
    with pytest.raises(DataError, match="leave --cache out"):
        other.plan_cache(taken=1)
    assert other.cache is None
    # Heads that promise less than the photos turn out to take: noticed while it fills.
    monkeypatch.setattr(cache.PhotoCache, "_bytes", lambda *_: 1)
    monkeypatch.setattr(cache, "free_memory", lambda: 3000)
    with pytest.raises(DataError, match="leave --cache out"):
        PhotoLoader(photos, size=6, resize=10, batch=4, workers=1).fill_cache()


def test_free_memory_is_that_of_the_machine_or_of_the_control_group(monkeypatch, tmp_path):
    free = cache.free_memory()
    assert free is None or 2**20 < free < 2**50
    files = {"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   4000 kB\n"}

    class Fake(type(tmp_path)):
        def read_text(self):
            if str(self) not in files:
                raise FileNotFoundError
            return files[str(self)]

    monkeypatch.setattr(cache, "Path", Fake)
    assert cache.free_memory() == 4000 * 1024
    group = "/sys/fs/cgroup/memory"
    files |= {f"{group}.max": "max\n", f"{group}.current": "5\n", f"{group}.stat": "anon 3\n"}
    assert cache.free_memory() == 4000 * 1024
    files[f"{group}.max"] = "1000005\n"
    assert cache.free_memory() == 1_000_000
    files[f"{group}.stat"] = "anon 3\ninactive_file 2000\n"  # files kept in memory, as long as
    assert cache.free_memory() == 1_002_000  # nobody asks for it
    files.clear()
    assert cache.free_memory() is None


# ---- Scale and frame


def test_scale_takes_squares_of_many_sides(tmp_path):
    x = np.broadcast_to(np.arange(120) * 2, (90, 120))
    Image.fromarray(np.dstack([x, x, x]).astype(np.uint8)).save(tmp_path / "ramp.png")
    photo = data.ResizedPhoto(tmp_path / "ramp.png", 90)
    sides = []
    for seed in range(400):
        crop = data.crop(photo, 40, np.random.default_rng(seed), scale=2.0).astype(int)
        assert crop.shape == (40, 40, 3)
        sides.append(abs(crop[20, 35, 0] - crop[20, 5, 0]) / 30 / 2 * 40)  # of the square taken
    assert 18 < min(sides) < 22 and 76 < max(sides) < 84
    assert abs(np.log(np.array(sides) / 40).mean()) < 0.08  # evenly in the logarithm
    with_one = data.crop(photo, 40, np.random.default_rng(3), scale=1.0)
    np.testing.assert_array_equal(with_one, data.crop(photo, 40, np.random.default_rng(3)))


def test_frames_lie_on_grays(tmp_path):
    Image.new("RGB", (64, 64), (200, 30, 60)).save(tmp_path / "red.png")
    photo = data.ResizedPhoto(tmp_path / "red.png", 64)
    grounds, shares, framed = [], [], 0
    for seed in range(400):
        crop = data.crop(photo, 48, np.random.default_rng(seed), frame=0.5).astype(int)
        red = (crop == (200, 30, 60)).all(-1)
        if red.all():
            continue
        framed += 1
        others = crop[~red]
        assert (others == others[:, :1]).all()  # grays, and nothing between
        rows = np.flatnonzero(red.any(1))
        assert red[rows[0] : rows[-1] + 1].any(1).all() and red.sum() == len(rows) ** 2  # a square
        shares.append(len(rows) / 48)
        if len(rows) < 0.8 * 48:  # the thin frame covers less than the ground
            grounds.append(np.bincount(others[:, 0]).argmax())
    assert 150 < framed < 250
    assert 0.52 < min(shares) < 0.6 and 0.9 < max(shares) <= 0.96
    assert 0.4 < np.mean(np.array(grounds) == 255) < 0.65 and min(grounds) < 40
