"""Files of every kind, made here byte by byte or by Pillow, against the values they must give."""

import contextlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from photographs import noise, png
from PIL import Image, ImageCms
from programs import ROOT, at_most, python

from mini_colorize.color import linear_to_srgb
from mini_colorize.files.canonical import canonical, flatten, from_array
from mini_colorize.files.disk import atomic_write
from mini_colorize.files.images import ImageError, picture_size, read_image
from mini_colorize.files.repair import JPEG, PNG
from mini_colorize.files.results import write_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ROWS = [row.tobytes() for row in PIXELS]


def save(image, path, **options):
    image.save(path, **options)
    return path


pixels = np.asarray


def profile(space, pcs, tags):
    """An ICC profile by hand. tags: {name: bytes}."""
    offset, table, body, white = 132 + 12 * len(tags), b"", b"", (0xF6D6, 0x10000, 0xD32D)
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    fields = b"lcms", 0x02400000, b"prtr" if space == b"CMYK" else b"mntr", space, pcs, b"acsp"
    head = struct.pack(">I4sI4s4s4s12x4s28x3I48x", offset + len(body), *fields, *white)
    return head + struct.pack(">I", len(tags)) + table + body


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"


LINEAR = curve(1)
WHITE = xyz(0.9642, 1, 0.8249)
GREY_PROFILE = profile(b"GRAY", b"XYZ ", {b"wtpt": WHITE, b"kTRC": curve(1.8)})
# The primaries of sRGB with red and green exchanged, and no gamma.
SWAPPED = {b"wtpt": WHITE, b"rTRC": LINEAR, b"gTRC": LINEAR, b"bTRC": LINEAR}
SWAPPED |= {b"rXYZ": xyz(0.3851, 0.7169, 0.0971), b"gXYZ": xyz(0.4361, 0.2225, 0.0139)}
SWAPPED |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141)}
SWAPPED_PROFILE = profile(b"RGB ", b"XYZ ", SWAPPED)
# Only the black ink counts, and L* falls from 100 to 0 with it.
IDENTITY, INKS = bytes(range(256)), bytes([255, 128, 128, 0, 128, 128]) * 8
TABLES = b"mft1\0\0\0\0\4\3\2\0" + (65536 * np.eye(3, dtype=">i4")).tobytes()
TABLES += IDENTITY * 4 + INKS + IDENTITY * 3
CMYK_PROFILE = profile(b"CMYK", b"Lab ", {b"wtpt": WHITE, b"A2B0": TABLES})


def srgb(linear):
    """Linear light 0..1 -> sRGB 0..255."""
    return 255 * linear_to_srgb(linear)


def assert_shows(picture, grey):
    """The picture is this grey, 0..1, but for the rounding of a level; a lamp beyond 1 is white."""
    expected = np.rint(255 * np.minimum(grey, 1))
    np.testing.assert_allclose(pixels(picture)[..., 0], expected, atol=1)


# ---- modes


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_modes_without_alpha(tmp_path, mode):
    image = Image.fromarray(PIXELS)
    if mode == "LAB":
        spaces = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
        image = ImageCms.profileToProfile(image, *spaces, outputMode="LAB")
    image = image.convert(mode)
    got = read_image(save(image, tmp_path / "a.tif"))
    assert got.mode == "RGB" and got.info == {} and type(got) is Image.Image
    np.testing.assert_array_equal(pixels(got), pixels(image.convert("RGB")))
    if mode == "LAB":  # there and back, up to the rounding of 8-bit Lab
        assert np.abs(pixels(got).astype(int) - PIXELS).mean() < 3


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA"])
def test_modes_with_alpha(tmp_path, mode):
    rgba = Image.fromarray(np.dstack([PIXELS, np.arange(35, dtype=np.uint8).reshape(5, 7)]))
    image = Image.new("PA", (7, 5)) if mode == "PA" else rgba.convert(mode)
    got = read_image(save(image, tmp_path / "a.tif"))
    assert got.mode == "RGBA"
    np.testing.assert_array_equal(pixels(got), pixels(image.convert("RGBA")))


GREY16 = np.array([[0, 128, 129, 257], [32896, 65535, 65406, 65407]], np.uint16)
GREY8 = np.array([[0, 0, 1, 1], [128, 255, 254, 255]], np.uint8)  # v / 257, rounded


DEEP = [GREY16, GREY16.astype(np.int32), GREY16.astype(np.float32), GREY8.astype(np.int32)]
DEEP += [(GREY16 / 65535).astype(np.float32), GREY8.astype(np.float32)]
IMAGES = [("png", Image.fromarray(GREY16)), *(("tif", Image.fromarray(v)) for v in DEEP)]
BIG_ENDIAN = Image.frombytes("I;16B", (4, 2), GREY16.astype(">u2").tobytes())


@pytest.mark.parametrize("extension, image", [*IMAGES, ("tif", BIG_ENDIAN)])
def test_deep_greys(tmp_path, extension, image):
    path = save(image, tmp_path / f"a.{extension}")
    assert (Image.open(path).mode == "I;16B") == (image is BIG_ENDIAN)
    got = read_image(path)
    assert got.mode == "RGB"
    np.testing.assert_array_equal(pixels(got), np.dstack([GREY8] * 3))


def test_float_oddities(tmp_path):
    values = np.array([[np.nan, -np.inf, -3, 0.5], [1, np.inf, 0, 0.25]], np.float32)
    got = read_image(save(Image.fromarray(values), tmp_path / "a.tif"))
    np.testing.assert_array_equal(pixels(got)[..., 0], [[0, 0, 0, 128], [255, 255, 0, 64]])


def tiff(path, *pages):
    """Write a TIFF by hand. pages: (width, height, bytes of the pixels, {tag: value or values})."""
    data, links = bytearray(b"II*\0\0\0\0\0"), 4
    for width, height, body, more in pages:
        tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: len(data), 277: 1}
        tags |= {278: height, 279: len(body), **more}
        data += body + b"\0" * (len(body) % 2)
        data[links : links + 4] = struct.pack("<I", len(data))
        head = len(data) + 2 + 12 * len(tags) + 4  # where values lie that do not fit into a tag
        table, beside = struct.pack("<H", len(tags)), b""
        for tag, value in sorted(tags.items()):
            values = value if isinstance(value, tuple) else (value,)
            packed = struct.pack(f"<{len(values)}I", *values)
            if len(packed) > 4:
                packed, beside = struct.pack("<I", head + len(beside)), beside + packed
            table += struct.pack("<HHI", tag, 4, len(values)) + packed
        data += table
        links = len(data)
        data += b"\0\0\0\0" + beside
    path.write_bytes(data)
    return path


def to_12_bits(values):
    """Two values in three bytes, the higher bits first."""
    a, b = values.reshape(-1, 2).T.astype(int)
    return np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], 1).astype(np.uint8).tobytes()


TIFFS = [
    (16, 1, 0, 65535 - GREY16),  # WhiteIsZero
    (12, 1, 1, np.rint(GREY8 / 255 * 4095)),
    (16, 2, 1, np.rint(GREY8 / 255 * 32767).astype("<i2")),
    (16, 2, 1, (GREY16.astype(int) - 32768).astype("<i2")),  # signed, with black below 0
    (32, 1, 1, GREY16.astype("<u4") * 65537),
    (32, 1, 1, GREY16.astype("<u4")),  # narrower than its samples
    (32, 2, 1, (GREY8 / 255 * (2**31 - 1)).astype("<i4")),
    (32, 2, 1, (GREY16 * 65537.0 - 2**31).astype("<i4")),
    (32, 3, 1, (GREY8 / 255).astype("<f4")),
    (32, 3, 0, (1 - GREY8 / 255).astype("<f4")),
    (8, 1, 0, 255 - GREY8),
    (8, 2, 1, (GREY8.astype(int) - 128).astype("i1")),
]


@pytest.mark.parametrize("bits, sample, zero, values", TIFFS)
def test_a_tiff_says_what_its_values_mean(tmp_path, bits, sample, zero, values):
    body = to_12_bits(values) if bits == 12 else values.tobytes()
    path = tiff(tmp_path / "a.tif", (4, 2, body, {258: bits, 262: zero, 339: sample}))
    try:
        got = read_image(path)
    except ImageError as error:  # Pillow cannot open all of them
        assert bits != 12 and "not an image that Pillow can read" in str(error)
        pytest.skip("Pillow does not know this kind")
    np.testing.assert_array_equal(pixels(got)[..., 0], GREY8)


def test_a_dark_16_bit_picture_stays_dark(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 4 2 65535\n" + (GREY16 // 300).astype(">u2").tobytes())
    expected = np.rint(GREY16 // 300 / 257)
    np.testing.assert_array_equal(pixels(read_image(tmp_path / "a.pgm"))[..., 0], expected)


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("share", [0.001, 0.05])
def test_floats_a_little_above_white(white, share):
    """As sharpening leaves them; in the next scale the picture would be black."""
    values = np.linspace(0, 1, 10_000).reshape(100, 100)
    values[RNG.random(values.shape) < share] = 1.3
    for array in (values, np.dstack([values] * 3)):
        got = read_array((array * white).astype(np.float32))
        assert_shows(got, values)
        assert np.ptp(pixels(got), axis=2).max() == 0 and (pixels(got)[values > 1] == 255).all()


ODD_PIXELS = [
    *[(8 * n, 2, f"<i{n}", 2 ** (8 * n - 1) - 1, -1) for n in (1, 2, 4)],  # one below black
    (32, 1, "<u4", 65535, 65536),  # narrower than its samples, but for one pixel
]


@pytest.mark.parametrize("bits, sample, kind, white, odd", ODD_PIXELS)
def test_one_odd_pixel_does_not_decide(tmp_path, bits, sample, kind, white, odd):
    grey = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    values = np.rint(grey * white).astype(kind)
    values[5, 5], grey[5, 5] = odd, odd > 0
    tags = {258: bits, 339: sample}
    assert_shows(read_image(tiff(tmp_path / "a.tif", (64, 64, values.tobytes(), tags))), grey)


def test_signed_values_of_which_few_lie_below_the_middle(tmp_path):
    """Snow: the values are offset, though 99 % are above 0."""
    grey = np.full((64, 64), 0.75)
    grey[:2, :10] = np.linspace(0.2, 0.4, 20).reshape(2, 10)
    values = np.rint(grey * 65535 - 32768).astype("<i2")
    path = tiff(tmp_path / "a.tif", (64, 64, values.tobytes(), {258: 16, 339: 2}))
    assert_shows(read_image(path), grey)


@pytest.mark.parametrize("white", [1, 255])
@pytest.mark.parametrize("side, lamps", [(300, 90), (90, 2)])
def test_lamps_and_broken_sensors_do_not_make_it_black(white, side, lamps):
    """A thousandth of the values is eight times white, or two pixels are."""
    grey = np.linspace(0.02, 1, side**2)
    grey[-lamps:] = 8
    grey = grey.reshape(side, side)
    assert_shows(read_array((grey * white).astype(np.float32)), grey)


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_a_small_bright_thing_before_the_dark(tmp_path, white):
    """99 % of the values fit into the next smaller scale."""
    grey = np.full((100, 100), 0.003)
    grey[40:49, 40:49] = np.linspace(0.3, 1, 81).reshape(9, 9)
    assert_shows(read_array((grey * white).astype(np.float32)), grey)
    if white == 65535:
        values = np.rint(grey * white).astype("<u4").tobytes()
        path = tiff(tmp_path / "a.tif", (100, 100, values, {258: 32, 339: 1}))
        assert_shows(read_image(path), grey)


@pytest.mark.parametrize("scale", [1, 255])
def test_portable_float_maps(tmp_path, scale):
    path, grey = tmp_path / "a.pfm", np.linspace(0, 1, 48).reshape(6, 8)
    path.write_bytes(b"Pf 8 6 -1.0\n" + (grey[::-1] * scale).astype("<f4").tobytes())
    np.testing.assert_array_equal(pixels(read_image(path))[..., 0], np.rint(grey * 255))


def read_array(array):
    return canonical(from_array(array))


def test_arrays_of_16_bits():
    np.testing.assert_array_equal(pixels(read_array(GREY16))[..., 0], GREY8)
    for values in (GREY16, GREY16.astype(">u2"), GREY16.astype("<u2")):
        np.testing.assert_array_equal(pixels(read_array(np.dstack([values] * 3)))[..., 1], GREY8)


def test_associated_alpha(tmp_path):
    """Colours that were multiplied by their alpha, grey and RGB."""
    grey = np.dstack([np.full((2, 4), 60), np.full((2, 4), 128)]).astype(np.uint8)
    rgb = np.dstack([np.full((2, 4, 3), 60), np.full((2, 4), 128)]).astype(np.uint8)
    for kind, values in ((1, grey), (2, rgb)):
        count = values.shape[2]
        tags = {258: (8,) * count, 262: kind, 277: count, 338: 1}
        got = read_image(tiff(tmp_path / "a.tif", (4, 2, values.tobytes(), tags)))
        assert got.mode == "RGBA"
        np.testing.assert_allclose(pixels(got)[0, 0], [119.5, 119.5, 119.5, 128], atol=1)


@pytest.mark.parametrize("extension", ["bmp", "tga"])
def test_alpha_that_is_none(tmp_path, extension):
    """The fourth byte of these is often unused, and 0."""
    rgba = np.dstack([PIXELS, np.zeros((5, 7), np.uint8)])
    path = tmp_path / f"a.{extension}"
    if extension == "tga":
        save(Image.fromarray(rgba), path)
    else:  # with masks, among them one of alpha
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head = struct.pack("<IiiHHIIiiII", 108, 7, -5, 1, 32, 3, 140, 0, 0, 0, 0)
        body = rgba[..., [2, 1, 0, 3]].tobytes()
        head = b"BM" + struct.pack("<IHHI", 122 + len(body), 0, 0, 122) + head
        path.write_bytes(head + masks + b"\0" * (108 - 40 - 16) + body)
    assert Image.open(path).mode == "RGBA"
    got = read_image(path)
    assert got.mode == "RGB"
    np.testing.assert_array_equal(pixels(got), PIXELS)
    rgba[0, 0, 3] = 255
    if extension == "tga":
        save(Image.fromarray(rgba), path)
        assert read_image(path).mode == "RGBA"


# ---- several pictures in one file


GREY_PAGE = (7, 5, PIXELS[..., 0].tobytes(), {})
THUMBNAIL = (2, 1, b"\0\xff", {254: 1})


PAGES = [
    [THUMBNAIL, GREY_PAGE],
    [(2, 1, b"\0\xff", {255: 2}), GREY_PAGE],
    [GREY_PAGE, THUMBNAIL],
    [THUMBNAIL, (*GREY_PAGE[:3], {254: 1})],  # all are said to be: the largest
]


@pytest.mark.parametrize("pages", PAGES)
def test_the_photo_and_not_its_thumbnail(tmp_path, pages):
    told = []
    for tell in (None, told.append):
        got = read_image(tiff(tmp_path / "a.tif", *pages), tell=tell)
        np.testing.assert_array_equal(pixels(got)[..., 0], PIXELS[..., 0])
    assert told == []
    assert picture_size(tmp_path / "a.tif") == (7, 5)


@pytest.mark.parametrize("link", [3, 2**31, 100])
def test_a_damaged_list_of_pages_does_not_cost_the_first(tmp_path, link):
    path = tiff(tmp_path / "a.tif", GREY_PAGE)
    data = bytearray(path.read_bytes())
    at = struct.unpack("<I", data[4:8])[0]
    at += 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]
    data[at : at + 4] = struct.pack("<I", link)
    path.write_bytes(data)
    for tell in (None, print):
        np.testing.assert_array_equal(pixels(read_image(path, tell=tell))[..., 0], PIXELS[..., 0])


def test_pages_and_frames_that_are_left_out(tmp_path):
    told = []
    path = tiff(tmp_path / "a.tif", THUMBNAIL, GREY_PAGE, GREY_PAGE)
    assert read_image(path, tell=told.append).size == (7, 5)
    assert told == [f"{path}: holds 2 pages; the first is taken"]
    path = tiff(tmp_path / "a.tif", THUMBNAIL, *[GREY_PAGE] * 150)  # not all of them are looked at
    assert read_image(path, tell=told.append).size == (7, 5)
    assert told.pop() == f"{path}: holds 99 or more pages; the first is taken"
    frames = [Image.new("RGB", (3, 2), c) for c in ("red", "blue")]
    for extension in ("gif", "webp", "png"):
        path = save(frames[0], tmp_path / f"a.{extension}", save_all=True, append_images=frames[1:])
        got = pixels(read_image(path, tell=told.append).convert("RGB"))
        assert abs(got.astype(int) - [255, 0, 0]).max() < 9  # WebP is lossy
        assert told[-1] == f"{path}: is an animation; its first picture is taken"
    assert len(told) == 4


def test_the_second_picture_of_a_stereo_camera(tmp_path):
    """Said, but not of the small ones that telephones put behind a photo."""
    one, two, small = (noise(RNG, (32, height)) for height in (24, 24, 8))
    expected = pixels(read_image(save(one, tmp_path / "one.jpg")))
    for others, lines in (([two], ["holds 2 pictures; the first is taken"]), ([small], [])):
        path, told = tmp_path / "a.mpo", []
        one.save(path, save_all=True, append_images=others)
        np.testing.assert_array_equal(pixels(read_image(path, tell=told.append)), expected)
        assert told == [f"{path}: {line}" for line in lines]


def test_16_bit_rgb_png(tmp_path):
    values = RNG.integers(0, 65536, (3, 4, 3), dtype=np.uint16)
    rows = [row.astype(">u2").tobytes() for row in values]
    got = read_image(png(tmp_path / "a.png", 4, 3, 16, 2, rows))
    assert np.abs(pixels(got) - values / 257).max() <= 1


TRANSPARENT = [
    (8, 0, bytes([7, 9]), struct.pack(">H", 9), [7, 9], [255, 0]),
    (16, 0, struct.pack(">2H", 257, 771), struct.pack(">H", 771), [1, 3], [255, 0]),
    (8, 2, bytes([5, 5, 5, 8, 8, 8]), struct.pack(">3H", 5, 5, 5), [5, 8], [0, 255]),
    (8, 3, bytes([0, 1]), bytes([40]), [20, 30], [40, 255]),
]


@pytest.mark.parametrize(
    "bits, kind, row, key, colours, alpha", TRANSPARENT, ids=["L", "I;16", "RGB", "P"]
)
def test_png_transparency(tmp_path, bits, kind, row, key, colours, alpha):
    chunks = [(b"PLTE", bytes([20] * 3 + [30] * 3))] if kind == 3 else []
    path = png(tmp_path / "a.png", 2, 1, bits, kind, [row], *chunks, (b"tRNS", key))
    got = read_image(path)
    assert got.mode == "RGBA"
    expected = [[c, c, c, a] for c, a in zip(colours, alpha, strict=True)]
    np.testing.assert_array_equal(pixels(got)[0], expected)


def test_cmyk_jpeg(tmp_path):
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    got = pixels(read_image(save(image, tmp_path / "a.jpg", quality=100)))
    assert np.abs(got.astype(int) - [0, 255, 255]).max() <= 3


# ---- orientation, draft, colour profiles


@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(tmp_path, orientation, extension):
    # How a camera stores the upright picture under each orientation (EXIF 2.3, 4.6.4).
    p, turned = PIXELS, PIXELS.swapaxes(0, 1)
    stored = [p, np.fliplr(p), np.rot90(p, 2), np.flipud(p), turned, np.rot90(p, 1)]
    stored += [np.rot90(turned, 2), np.rot90(p, -1)]
    image = Image.fromarray(np.ascontiguousarray(stored[orientation - 1]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if extension == "webp" else {}
    path = save(image, tmp_path / f"a.{extension}", exif=exif, **options)
    np.testing.assert_array_equal(pixels(read_image(path)), PIXELS)


@pytest.mark.parametrize("orientation, size", [(1, (75, 50)), (6, (50, 75))])
def test_draft_keeps_the_shorter_side(tmp_path, orientation, size):
    ramp = np.linspace(0, 255, 600).astype(np.uint8)  # dark at the left
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.broadcast_to(ramp[None, :, None], (400, 600, 3)).copy())
    path = save(image, tmp_path / "a.jpg", exif=exif, quality=95)
    assert read_image(path).size == ((600, 400) if orientation == 1 else (400, 600))
    got = read_image(path, draft_side=50)
    assert got.size == size  # 1/8
    across = pixels(got)[..., 0].mean(axis=0 if orientation == 1 else 1)
    np.testing.assert_allclose(across, ramp.reshape(75, 8).mean(1), atol=2)
    assert min(read_image(path, draft_side=51).size) == 100  # 1/8 would be too small
    assert min(read_image(path, draft_side=401).size) == 400


def test_broken_exif_is_ignored(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    np.testing.assert_array_equal(pixels(read_image(path)), PIXELS)


def test_icc_rgb_is_converted(tmp_path):
    image = Image.fromarray(PIXELS)
    got = pixels(read_image(save(image, tmp_path / "a.png", icc_profile=SWAPPED_PROFILE)))
    assert np.abs(got - srgb(PIXELS[..., [1, 0, 2]] / 255)).max() < 2


def test_icc_grey_and_alpha_are_kept_apart(tmp_path):
    grey, alpha = PIXELS[..., 0], PIXELS[..., 1]
    for gamma, icc in [(1.8, GREY_PROFILE), (1, SWAPPED_PROFILE)]:
        image = Image.fromarray(np.dstack([grey, alpha]), "LA")
        got = read_image(save(image, tmp_path / f"{gamma}.png", icc_profile=icc))
        assert got.mode == "RGBA" and "icc_profile" not in got.info
        np.testing.assert_array_equal(pixels(got)[..., 3], alpha)
        assert np.abs(pixels(got)[..., :3] - srgb((grey / 255) ** gamma)[..., None]).max() < 2


def test_icc_cmyk_is_converted(tmp_path):
    inks = RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8)
    path = save(Image.fromarray(inks, "CMYK"), tmp_path / "a.tif", icc_profile=CMYK_PROFILE)
    lightness = 100 * (1 - inks[..., 3] / 255)
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    assert np.abs(pixels(read_image(path)) - srgb(light)[..., None]).max() < 2


def test_icc_profiles_without_effect_on_rgb(tmp_path):
    """sRGB, rubbish, one that is cut, of grey, of CMYK."""
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (same, b"not a profile", SWAPPED_PROFILE[:200], GREY_PROFILE, CMYK_PROFILE):
        path = save(Image.fromarray(PIXELS), tmp_path / "a.png", icc_profile=icc)
        np.testing.assert_array_equal(pixels(read_image(path)), PIXELS)


# ---- files that cannot be read


def refusal(path):
    with pytest.raises(ImageError) as caught:
        read_image(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    assert caught.value.__suppress_context__
    return line[len(f"{path}: ") :]


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "bmp", "gif", "webp"])
def test_a_picture_that_is_cut_off(tmp_path, extension):
    """Whoever listens gets it as far as it goes; training does not."""
    path, told = tmp_path / f"a.{extension}", []
    data = save(noise(RNG, (64, 64)), path).read_bytes()
    whole = pixels(read_image(path))
    for share in (0.5, 0.95, 0.7):
        path.write_bytes(data[: int(share * len(data))])
        reason = refusal(path)
        assert reason.startswith(("truncated or damaged (", "not an image"))
        assert extension in ("tif", "webp") or reason.startswith("truncated")
    if extension not in ("gif", "webp"):
        got = pixels(read_image(path, tell=told.append))
        assert told == [f"{path}: is damaged or cut off; the picture is made as far as it goes"]
        same = (got == whole).all(axis=(1, 2))
        assert same[-16:].all() if extension == "bmp" else same[:16].all()  # a BMP begins below
        assert not same.all()
    for nothing in (20, data.find(b"IDAT") + 7):
        path.write_bytes(data[:nothing])
        with pytest.raises(ImageError, match="truncated" if nothing > 20 else None):
            read_image(path, tell=told.append)


JPEGS = [{}, {"quality": 40}, {"restart_marker_blocks": 2}, {"progressive": True}]


@pytest.mark.parametrize("options", [*JPEGS, {"progressive": True, "restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_where_a_jpeg_ends(tmp_path, mode, options):
    """Without its end mark, or half of it, it is all there, as every viewer shows; with less it
    never passes for whole, wherever it is cut: at a restart, between the scans, within a header.
    """
    image = noise(RNG, (60, 50)).convert(mode)
    data = save(image, tmp_path / "a.jpg", **options).read_bytes()
    whole, path = pixels(read_image(tmp_path / "a.jpg")), tmp_path / "cut.jpg"
    for short in (1, 2):
        path.write_bytes(data[:-short])
        np.testing.assert_array_equal(pixels(read_image(path)), whole)
    markers = [i for i in range(len(data) - 2) if data[i] == 255 and data[i + 1] >= 0xC0]
    begun = data.find(b"\xff\xda")  # before, there is nothing to show
    cuts = {i + more for i in markers for more in (0, 1, 2, 3, 9)} | {len(data) - 30}
    for cut in sorted(cut for cut in cuts if begun < cut < len(data) - 2):
        path.write_bytes(data[:cut])
        with contextlib.suppress(ImageError):
            assert (pixels(read_image(path)) == whole).all(), cut
        if cut > begun + 400:
            assert read_image(path, tell=str).size == (60, 50), cut


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95, 1])
def test_a_jpeg_that_is_filled_with_zeros(tmp_path, share):
    """Space that was kept for what did not arrive: it decodes, to blocks of one colour."""
    image = noise(RNG, (320, 256))
    data = save(image, tmp_path / "a.jpg", quality=95, subsampling=0).read_bytes()
    whole, path, told = pixels(read_image(tmp_path / "a.jpg")), tmp_path / "cut.jpg", []
    for end in (-2, None) if share == 1 else (int(share * len(data)),):
        path.write_bytes(data[:end] + bytes(len(data)))
        got = pixels(read_image(path, tell=told.append))
        assert (got == whole).all() == (share == 1)
    assert len(told) == (share < 1)
    if share < 1:
        refusal(path)


TEXT = zlib.compress(bytes(20 * 2**20))


PROFILES = TEXT, zlib.compress(bytes(2 * 2**20)), b"no zlib"
LONG_TEXT = b"zTXt", b"Comment\0\0" + TEXT
CHUNKS = [LONG_TEXT, (b"iTXt", b"Comment\0\1\0\0\0" + TEXT)]
CHUNKS += [(b"iCCP", b"Profile\0\0" + data) for data in PROFILES]
CHUNKS += [(b"gAMA", b"\0"), (b"pHYs", b"\0"), (b"eXIf", b"no"), (b"tIME", b""), (b"tRNS", b"\0")]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_no_ancillary_chunk_costs_the_picture(tmp_path, chunk):
    for damaged in (False, True):
        path = png(tmp_path / "a.png", 7, 5, 8, 2, ROWS, chunk)
        if damaged:
            data = bytearray(path.read_bytes())
            data[data.find(chunk[0]) + 4 + len(chunk[1])] ^= 1  # its check sum
            path.write_bytes(data)
        np.testing.assert_array_equal(pixels(read_image(path)), PIXELS)


def test_a_png_whose_check_sum_is_wrong(tmp_path):
    """The sum over all rows. They are all there, though perhaps not right: with a warning."""
    packed = bytearray(zlib.compress(b"".join(b"\0" + row for row in ROWS)))
    packed[-1] ^= 1
    path, told = png(tmp_path / "a.png", 7, 5, 8, 2, [], packed=bytes(packed)), []
    np.testing.assert_array_equal(pixels(read_image(path, tell=told.append)), PIXELS)
    assert told == [f"{path}: is damaged or cut off; the picture is made as far as it goes"]
    assert refusal(path).startswith("truncated")


def test_a_png_that_is_filled_with_zeros(tmp_path):
    """Also with a text in it that is too long."""
    image, told = noise(RNG, (64, 64)), []
    rows = [row.tobytes() for row in pixels(image)]
    path = png(tmp_path / "a.png", 64, 64, 8, 2, rows, LONG_TEXT)
    data = path.read_bytes()
    cut = data.find(b"IDAT") + 7000
    path.write_bytes(data[:cut] + bytes(len(data) - cut))
    got = pixels(read_image(path, tell=told.append))
    assert len(told) == 1 and (got == pixels(image)).all(axis=(1, 2))[:30].all()
    refusal(path)


def test_a_bomb_in_disguise(tmp_path):
    """The text is too long, so the size is not looked at first."""
    packed = zlib.compress(bytes(30 * 2**20))
    path = png(tmp_path / "a.png", 40_000, 40_000, 8, 2, [], LONG_TEXT, packed=packed)
    with at_most(60e6), pytest.raises(ImageError, match="too large: over 160 megapixels"):
        read_image(path, tell=print)


@pytest.mark.parametrize("head", [b"x", b"II*\0\x08\0\0\0\0\0", JPEG, PNG])
def test_a_file_of_no_use_is_not_read_into_memory(tmp_path, head):
    path = tmp_path / "a.tif"
    path.write_bytes(head)
    os.truncate(path, 2**30)
    with at_most(2**29), pytest.raises(ImageError):
        read_image(path, tell=print)


def test_a_long_colour_profile_counts(tmp_path):
    chunk = b"iCCP", b"Profile\0\0" + zlib.compress(SWAPPED_PROFILE + bytes(2 * 2**20))
    plain = b"iCCP", b"Profile\0\0" + zlib.compress(SWAPPED_PROFILE)
    expected = pixels(read_image(png(tmp_path / "a.png", 7, 5, 8, 2, ROWS, plain)))
    assert (expected != PIXELS).any()
    for chunks in ([chunk], [chunk, LONG_TEXT]):
        got = pixels(read_image(png(tmp_path / "b.png", 7, 5, 8, 2, ROWS, *chunks)))
        np.testing.assert_array_equal(got, expected)


def test_binary_files(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "a.png")
    with open(path, "rb") as file:
        for given in (file, io.BytesIO(path.read_bytes())):
            for _ in range(2):  # it stays open, and is read from its beginning
                np.testing.assert_array_equal(pixels(read_image(given)), PIXELS)
    with pytest.raises(ImageError, match="^the picture: not an image"):
        read_image(io.BytesIO(b"x"))


def test_damaged_bytes_never_escape(tmp_path):
    """Random damage gives a picture or an ImageError, and nothing else."""
    for extension in ("jpg", "png", "tif", "gif", "webp", "bmp", "jp2", "ico"):
        path = save(Image.fromarray(PIXELS), tmp_path / f"a.{extension}")
        data = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            bad = data.copy()
            bad[RNG.integers(len(bad), size=3)] = RNG.integers(0, 256, 3)
            path.write_bytes(bad.tobytes())
            for tell in (None, str):
                try:
                    assert read_image(path, tell=tell).mode in ("RGB", "RGBA")
                except ImageError as error:
                    assert "\n" not in str(error)


def test_no_pictures(tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()
    save(Image.fromarray(PIXELS), tmp_path / "drawing.eps")
    for name in ("text.jpg", "empty.png", "drawing.eps"):
        assert refusal(tmp_path / name) == "not an image that Pillow can read"
    assert refusal(tmp_path) == "is a folder"
    assert refusal(tmp_path / "missing.png") == "no such file"


@pytest.mark.parametrize("side", [12_700, 50_000])  # Pillow itself refuses only the second
def test_decompression_bomb(tmp_path, side):
    path = png(tmp_path / "a.png", side, side, 1, 0, [])
    assert refusal(path) == "too large: over 160 megapixels"


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 3)])
def test_thin_pictures(tmp_path, shape):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    path = save(Image.fromarray(values), tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(read_image(path, draft_side=2)), values)


def test_silence_and_closed_files(tmp_path):
    """Neither Pillow's warnings nor those of files left open, even when warnings are errors."""
    save(Image.fromarray(PIXELS), tmp_path / "a.png")
    save(Image.fromarray(PIXELS), tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "d.tif").write_bytes(b"II*\0\x08\0\0\0\x02\0\x00\x01\x04\0\xff\xff\xff\x7f")
    code = (
        "import sys, gc; from pathlib import Path; from PIL import Image\n"
        "from mini_colorize.files.images import read_image, ImageError\n"
        "Image.MAX_IMAGE_PIXELS = 20\n"  # 35 pixels: the warning, not the error
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_image(path)\n"
        "    except ImageError as error: print(path.name)\n"
        "gc.collect()"
    )
    for options in (["-X", "dev"], ["-W", "error"]):
        done = python(*options, "-c", code, tmp_path, cwd=ROOT)
        assert (done.stderr, done.stdout.split()) == ("", ["c.png", "d.tif"])


# ---- writing


@pytest.mark.parametrize("name", ["a.png", "a.TIF", "a.tiff", "a.bmp", "a.jp2"])
def test_write_and_read_back(tmp_path, name):
    write_image(Image.fromarray(PIXELS), tmp_path / name)
    np.testing.assert_array_equal(pixels(read_image(tmp_path / name)), PIXELS)
    assert os.listdir(tmp_path) == [name]


def test_write_jpeg_keeps_colour_resolution(tmp_path):
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = [200, 60, 60], [60, 60, 200]
    write_image(Image.fromarray(stripes), tmp_path / "a.jpeg")
    assert np.abs(pixels(read_image(tmp_path / "a.jpeg")).astype(int) - stripes).max() <= 12


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg", "a.bmp"])
def test_write_alpha(tmp_path, name):
    write_image(Image.new("RGBA", (8, 8), (100, 50, 0, 51)), tmp_path / name)
    got = read_image(tmp_path / name)
    assert got.mode == ("RGB" if name in ("a.jpg", "a.bmp") else "RGBA")
    white = pixels(flatten(got))[4, 4].astype(int)  # 0.2 of the colour over 0.8 of white
    assert np.abs(white - [224, 214, 204]).max() <= 3


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.pdf", "missing/a.png"])
def test_write_refuses(tmp_path, name):
    with pytest.raises(ImageError) as caught:
        write_image(Image.fromarray(PIXELS), tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: cannot write")
    assert os.listdir(tmp_path) == []


def test_write_into_a_folder_name(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match="not an ordinary file"):
        write_image(Image.fromarray(PIXELS), tmp_path / "a.png")


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_atomic_write_keeps_the_old_file(tmp_path, stop):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(stop), atomic_write(path) as file:
        file.write(b"half")
        raise stop
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"  # nothing shows before the end
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_atomic_write_permissions_and_links(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    (tmp_path / "link").symlink_to("a")
    with atomic_write(tmp_path / "link") as file:
        file.write(b"2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_bytes() == b"2"
    with pytest.raises(OSError, match="not an ordinary file"), atomic_write("/dev/null"):
        pass
