"""A photo in, a coloured photo out: its size, its lightness and its alpha stay."""

import copy
import io
import pickle

import numpy as np
import pytest
from photographs import small_network, smooth
from PIL import Image
from programs import ROOT, python

from mini_colorize import colorizer
from mini_colorize.bins import BINS
from mini_colorize.color import lab_to_rgb, rgb_to_lab, rgb_to_lightness, to_byte
from mini_colorize.colorizer import Colorizer, paint
from mini_colorize.files import checkpoint
from mini_colorize.files.checkpoint import CheckpointError

# Half a level of all three channels at once: dL/d(level) is at most 0.44, so 0.22, and float32.
L_TOLERANCE = 0.25


@pytest.fixture(scope="module")
def pale(weights):
    """Colours so pale that nothing of middle lightness leaves the gamut."""
    return Colorizer.load(weights, temperature=1.0)


def middle(height, width, low=80, high=180):
    """Smooth, in colour, of middle lightness. (H, W, 3) uint8."""
    return np.asarray(smooth(np.random.default_rng(1), (width, height), (4, 4), low, high))


SIZES = [(1, 1), (1, 300), (300, 1), (37, 53), (53, 37), (32, 32), (5, 8), (100, 140)]


@pytest.mark.parametrize("size", SIZES)
def test_size_and_lightness_stay(pale, size):
    rgb = middle(*size)
    result = pale(rgb)
    assert result.size == size[::-1] and result.mode == "RGB"
    assert np.asarray(result).min() > 0 and np.asarray(result).max() < 255  # nothing was clipped
    error = abs(rgb_to_lightness(np.asarray(result)) - rgb_to_lightness(rgb))
    assert error.max() < L_TOLERANCE


def test_it_has_colour_and_it_is_the_networks(weights):
    """The picture's ab is that of the network, unfolded, enlarged by Pillow."""
    rgb = middle(64, 96)
    network, _ = checkpoint.load_network(weights)
    small = Image.fromarray(rgb_to_lightness(rgb)).resize((32, 32), Image.Resampling.BICUBIC)
    ab = network.colors(network.forward((np.asarray(small)[None, ..., None] - 50) / 100), 0.1)[0]
    assert np.ptp(ab, axis=(0, 1)).max() > 3 and np.hypot(*ab.mean(axis=(0, 1))) > 5
    result = rgb_to_lab(np.asarray(Colorizer(network, size=32, temperature=0.1)(rgb)))
    for i in (0, 1):
        large = Image.fromarray(ab[..., i]).resize((96, 64), Image.Resampling.BILINEAR)
        error = result[..., 1 + i] - np.asarray(large)
        assert abs(error).max() < 1.5 and abs(error.mean()) < 0.1  # 8 bits: a level is 0.5 to 1


def test_colour_and_grey_versions_give_the_same_picture(pale):
    """Only L goes in. The grey version is rounded to 8 bits: one level here, one in the result."""
    rgb = middle(37, 53)
    lightness = rgb_to_lightness(rgb)
    levels = rgb_to_lightness(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))
    grey = abs(lightness[..., None] - levels).argmin(axis=-1).astype(np.uint8)
    one, two = np.asarray(pale(rgb)), np.asarray(pale(np.repeat(grey[..., None], 3, axis=-1)))
    difference = abs(one.astype(int) - two)
    assert difference.max() <= 2 and difference.mean() < 0.6
    assert abs(one.astype(int) - rgb).max() > 20  # it did not just give the colours back


def test_what_it_takes(pale, tmp_path):
    rgb = np.repeat(middle(20, 30)[..., :1], 3, axis=-1)
    image = Image.fromarray(rgb)
    expected = np.asarray(pale(image))
    path = tmp_path / "photo.png"
    image.save(path)
    given = [path, str(path), image, rgb, image.convert("RGBA"), image.convert("L")]
    given += [io.BytesIO(path.read_bytes()), open(path, "rb"), rgb / 255]
    for photo in [*given, rgb.astype(np.uint16) * 257]:
        result = pale(photo)
        np.testing.assert_array_equal(np.asarray(result.convert("RGB")), expected)
    np.testing.assert_array_equal(np.asarray(image), rgb)  # the input is left as it was


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_alpha_stays(pale, mode):
    """ "RGBA if there was alpha": also grey with alpha, and a palette with a transparent colour."""
    rgb = middle(8, 8)
    alpha = np.random.default_rng(2).integers(0, 256, (8, 8), dtype=np.uint8)
    if mode != "RGBA":
        alpha[:], alpha[:, 4:] = 255, 0
    image = Image.fromarray(np.dstack([rgb, alpha]))
    if mode == "P":
        image = Image.fromarray((alpha == 0).astype(np.uint8), "L").convert("P")
        image.putpalette([100, 100, 100, 50, 50, 50])
        image.info["transparency"] = 1
    elif mode != "RGBA":
        image = image.convert("LA").convert(mode)
        image.putalpha(Image.fromarray(alpha))  # Pillow drops it on the way to PA
    result = np.asarray(pale(image))
    np.testing.assert_array_equal(result[..., 3], alpha)
    if mode == "RGBA":
        np.testing.assert_array_equal(result[..., :3], np.asarray(pale(rgb)))


@pytest.mark.parametrize("pixels", [1, 100, 1000])
def test_strips_are_the_whole(pale, monkeypatch, pixels):
    rgb = middle(37, 53)
    whole = np.asarray(pale(rgb)).astype(int)
    monkeypatch.setattr(colorizer, "STRIP_PIXELS", pixels)
    strips = np.asarray(pale(rgb)).astype(int)
    # BLAS may sum in another order for another shape: then a level at the edge of rounding.
    assert abs(whole - strips).max() <= 1 and (whole != strips).mean() < 1e-3


def test_a_wide_photo_is_painted_from_the_side(pale, monkeypatch):
    """A strip of its rows would be one row, with a matrix as wide as the photo."""
    rgb = middle(21, 90)
    usual = np.asarray(pale(rgb)).astype(int)
    monkeypatch.setattr(colorizer, "WIDE", 80)
    seen, real = [], colorizer.enlarge
    monkeypatch.setattr(colorizer, "enlarge", lambda *a: (seen.append(a[1].shape), real(*a))[1])
    turned = np.asarray(pale(rgb)).astype(int)
    assert seen[0] == (90, 21)
    assert abs(usual - turned).max() <= 1 and (usual != turned).mean() < 1e-3


def test_it_can_be_pickled_and_copied(pale):
    rgb = middle(20, 30)
    expected = np.asarray(pale(rgb))
    for other in (pickle.loads(pickle.dumps(pale)), copy.deepcopy(pale)):
        assert other.xp is np
        np.testing.assert_array_equal(np.asarray(other(rgb)), expected)


def test_strength(weights):
    lightness = rgb_to_lightness(middle(20, 30))
    _, expected = Colorizer.load(weights).predict([lightness])
    for strength in (0, 0.5, 2):
        _, found = Colorizer.load(weights, strength=strength).predict([lightness])
        np.testing.assert_allclose(found, strength * expected, rtol=1e-6)
    for strength in (-1, float("nan"), 11):
        with pytest.raises(ValueError, match="^strength"):
            Colorizer.load(weights, strength=strength)


def test_paint_constant_colour():
    lightness = np.linspace(40, 70, 37 * 53, dtype=np.float32).reshape(37, 53)
    ab = np.tile(np.float32([20, -15]), (4, 6, 1))
    picture = paint(lightness, ab)
    assert picture.shape == (37, 53, 3) and picture.dtype == np.uint8
    lab = rgb_to_lab(picture)
    assert abs(lab[..., 0] - lightness).max() < L_TOLERANCE
    assert abs(lab[..., 1:] - (20, -15)).max() < 1.5
    assert abs(lab[..., 1:].mean(axis=(0, 1)) - (20, -15)).max() < 0.1
    constant = np.concatenate([lightness[..., None], np.broadcast_to(ab[0, 0], (37, 53, 2))], -1)
    np.testing.assert_allclose(picture.astype(int), to_byte(lab_to_rgb(constant)), atol=1)


def test_paint_without_colour_is_grey():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
    picture = paint(rgb_to_lightness(grey), np.zeros((2, 2, 2), np.float32))
    np.testing.assert_allclose(picture.astype(int), grey, atol=1)  # the white point, 4 digits


def test_temperatures(weights):
    """0 is the mode, a centre of a bin; the mean is paler; infinite is the mean of all bins."""
    lightness = rgb_to_lightness(middle(32, 32))

    def predict(temperature):
        return Colorizer.load(weights, temperature=temperature).predict([lightness])[1][0]

    mode, mean, flat = predict(0), predict(1.0), predict(1000)
    assert mode.shape == (8, 8, 2) and not (mode % 10).any()
    np.testing.assert_allclose(predict(1e-6), mode, atol=1e-3)
    assert np.hypot(*mode.T).mean() > 2 * np.hypot(*mean.T).mean()  # chroma
    np.testing.assert_allclose(flat, np.broadcast_to(BINS.mean(axis=0), flat.shape), atol=1e-2)


def test_temperatures_that_are_none(weights):
    for temperature in (-1, -1e-9, float("nan"), float("inf"), float("-inf"), 1e300, 1001):
        with pytest.raises(ValueError, match="^temperature"):
            Colorizer.load(weights, temperature=temperature)


@pytest.mark.parametrize("size", [0, 4, -8, 100, 33, 32.0, "32", 8 * 10**12])
def test_sizes_that_are_none(weights, size):
    with pytest.raises(ValueError, match=f"^size {size}: must be a multiple of 8, at most 4096$"):
        Colorizer.load(weights, size=size)


def test_size(weights):
    lightness = rgb_to_lightness(middle(20, 30))
    assert Colorizer.load(weights).size == 32  # the file's
    logits, ab = Colorizer.load(weights, size=64).predict([lightness] * 3)
    assert logits.shape == (3, 16, 16, 313) and ab.shape == (3, 16, 16, 2)


RECOMMENDED = [
    ({}, {}, (256, 0.38)),  # as in the paper
    ({"size": 64, "temperature": 0.6}, {"size": None, "temperature": None}, (64, 0.6)),
    ({"size": 64, "temperature": 0.6}, {"size": 32, "temperature": 0}, (32, 0)),
]


@pytest.mark.parametrize("recommended, asked, used", RECOMMENDED)
def test_a_file_recommends_and_who_asks_decides(weights, tmp_path, recommended, asked, used):
    network, _ = checkpoint.load_network(weights)
    checkpoint.save_network(tmp_path / "w.npz", network, **recommended)
    colorizer = Colorizer.load(tmp_path / "w.npz", **asked)
    assert (colorizer.size, colorizer.temperature) == used


NONSENSE = [("temperature", t) for t in ("warm", -1, None, [0.4], 1e999, True, 10**400)]
NONSENSE += [("size", s) for s in ("big", 100, 0, None, [32], 2**40)]


@pytest.mark.parametrize("name, value", NONSENSE)
def test_what_is_nonsense_in_the_file(weights, tmp_path, name, value):
    """The fault lies with the file, and the error says so."""
    network, _ = checkpoint.load_network(weights)
    checkpoint.save_network(tmp_path / "w.npz", network, **{name: value})
    with pytest.raises(CheckpointError, match=f"^{tmp_path / 'w.npz'}: .*{name}"):
        Colorizer.load(tmp_path / "w.npz")


def test_the_import_is_lazy():
    """`import mini_colorize` is free; the class is there all the same."""
    code = """if True:
        import sys, mini_colorize
        assert mini_colorize.__version__
        heavy = {'numpy', 'PIL', 'cupy', 'tqdm'} & sys.modules.keys()
        assert not heavy, heavy
        from mini_colorize import Colorizer
        import mini_colorize.colorizer
        assert Colorizer is mini_colorize.colorizer.Colorizer
        try: mini_colorize.Nothing
        except AttributeError: print('fine')"""
    done = python("-c", code, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_size_of_any_whole_kind():
    assert Colorizer(small_network(), size=np.int64(32)).size == 32
