"""Files of every kind, made here byte by byte or by Pillow, against the values they must give."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mini_colorize.files import atomic_write
from mini_colorize.images import ImageError, flatten, read_image, write_image

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def save(image, path, **options):
    image.save(path, **options)
    return path


def pixels(image):
    return np.asarray(image)


def png(path, width, height, bits, kind, rows, *chunks):
    """Write a PNG by hand. rows: bytes of each row; chunks: (name, bytes) before the data."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    extra = b"".join(chunk(*c) for c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + extra + body + chunk(b"IEND", b""))
    return path


def profile(space, pcs, tags):
    """An ICC profile by hand. tags: {name: bytes}."""
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s28x3I48x",
        offset + len(body),
        b"lcms",
        0x02400000,
        b"prtr" if space == b"CMYK" else b"mntr",
        space,
        pcs,
        b"acsp",
        0xF6D6,
        0x10000,
        0xD32D,
    )
    return head + struct.pack(">I", len(tags)) + table + body


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + b"\0\0"


LINEAR = curve(1)
WHITE = xyz(0.9642, 1, 0.8249)
GREY_PROFILE = profile(b"GRAY", b"XYZ ", {b"wtpt": WHITE, b"kTRC": curve(1.8)})
# The primaries of sRGB with red and green exchanged, and no gamma.
SWAPPED_PROFILE = profile(
    b"RGB ",
    b"XYZ ",
    {
        b"wtpt": WHITE,
        b"rXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"gXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": LINEAR,
        b"gTRC": LINEAR,
        b"bTRC": LINEAR,
    },
)
# Only the black ink counts, and L* falls from 100 to 0 with it.
IDENTITY = bytes(range(256))
CMYK_PROFILE = profile(
    b"CMYK",
    b"Lab ",
    {
        b"wtpt": WHITE,
        b"A2B0": (
            b"mft1\0\0\0\0\4\3\2\0"
            + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
            + IDENTITY * 4
            + bytes([255, 128, 128, 0, 128, 128]) * 8
            + IDENTITY * 3
        ),
    },
)


def srgb(linear):
    """Linear light 0..1 -> sRGB 0..255."""
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * curve


# ---- modes


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_modes_without_alpha(tmp_path, mode):
    image = Image.fromarray(PIXELS)
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
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


@pytest.mark.parametrize(
    "name, values",
    [
        ("a.png", GREY16),
        ("a.tif", GREY16),
        ("b.tif", GREY16.astype(np.int32)),
        ("c.tif", GREY16.astype(np.float32)),
        ("d.tif", (GREY16 / 65535).astype(np.float32)),
        ("e.tif", GREY8.astype(np.int32)),
        ("f.tif", GREY8.astype(np.float32)),
    ],
)
def test_deep_greys(tmp_path, name, values):
    got = read_image(save(Image.fromarray(values), tmp_path / name))
    assert got.mode == "RGB"
    np.testing.assert_array_equal(pixels(got), np.dstack([GREY8] * 3))


def test_big_endian_16_bits(tmp_path):
    image = Image.frombytes("I;16B", (4, 2), GREY16.astype(">u2").tobytes())
    path = save(image, tmp_path / "a.tif")
    assert Image.open(path).mode == "I;16B"
    np.testing.assert_array_equal(pixels(read_image(path))[..., 1], GREY8)


def test_float_oddities(tmp_path):
    values = np.array([[np.nan, -np.inf, -3, 0.5], [1, np.inf, 0, 0.25]], np.float32)
    got = read_image(save(Image.fromarray(values), tmp_path / "a.tif"))
    np.testing.assert_array_equal(pixels(got)[..., 0], [[0, 0, 0, 128], [255, 255, 0, 64]])


def test_16_bit_rgb_png(tmp_path):
    values = RNG.integers(0, 65536, (3, 4, 3), dtype=np.uint16)
    rows = [row.astype(">u2").tobytes() for row in values]
    got = read_image(png(tmp_path / "a.png", 4, 3, 16, 2, rows))
    assert np.abs(pixels(got) - values / 257).max() <= 1


@pytest.mark.parametrize(
    "bits, kind, row, key, colours, alpha",
    [
        (8, 0, bytes([7, 9]), struct.pack(">H", 9), [7, 9], [255, 0]),
        (16, 0, struct.pack(">2H", 257, 771), struct.pack(">H", 771), [1, 3], [255, 0]),
        (8, 2, bytes([5, 5, 5, 8, 8, 8]), struct.pack(">3H", 5, 5, 5), [5, 8], [0, 255]),
        (8, 3, bytes([0, 1]), bytes([40]), [20, 30], [40, 255]),
    ],
    ids=["L", "I;16", "RGB", "P"],
)
def test_png_transparency(tmp_path, bits, kind, row, key, colours, alpha):
    chunks = [(b"PLTE", bytes([20] * 3 + [30] * 3))] if kind == 3 else []
    path = png(tmp_path / "a.png", 2, 1, bits, kind, [row], *chunks, (b"tRNS", key))
    got = read_image(path)
    assert got.mode == "RGBA"
    np.testing.assert_array_equal(pixels(got)[0], [[c, c, c, a] for c, a in zip(colours, alpha)])


def test_cmyk_jpeg(tmp_path):
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    got = pixels(read_image(save(image, tmp_path / "a.jpg", quality=100)))
    assert np.abs(got.astype(int) - [0, 255, 255]).max() <= 3


def test_first_frame_of_a_gif(tmp_path):
    red, blue = Image.new("RGB", (3, 2), "red"), Image.new("RGB", (3, 2), "blue")
    path = save(red, tmp_path / "a.gif", save_all=True, append_images=[blue])
    np.testing.assert_array_equal(pixels(read_image(path).convert("RGB"))[0, 0], [255, 0, 0])


# ---- orientation, draft, colour profiles


@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations(tmp_path, orientation, extension):
    # How a camera stores the upright picture under each orientation (EXIF 2.3, 4.6.4).
    stored = [
        lambda p: p,
        np.fliplr,
        lambda p: np.rot90(p, 2),
        np.flipud,
        lambda p: p.swapaxes(0, 1),
        lambda p: np.rot90(p, 1),
        lambda p: np.rot90(p.swapaxes(0, 1), 2),
        lambda p: np.rot90(p, -1),
    ]
    image = Image.fromarray(np.ascontiguousarray(stored[orientation - 1](PIXELS)))
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


@pytest.mark.parametrize(
    "icc",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),  # changes nothing
        b"not a profile",
        SWAPPED_PROFILE[:200],
        GREY_PROFILE,
        CMYK_PROFILE,
    ],
    ids=["sRGB", "rubbish", "cut", "grey", "CMYK"],
)
def test_icc_profiles_without_effect_on_rgb(tmp_path, icc):
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


@pytest.mark.parametrize("extension", ["jpg", "png", "tif", "gif", "webp", "bmp"])
def test_truncated(tmp_path, extension):
    image = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = save(image, tmp_path / f"a.{extension}").read_bytes()
    for share in (0.5, 0.95):
        path = tmp_path / f"cut.{extension}"
        path.write_bytes(data[: int(share * len(data))])
        reason = refusal(path)
        assert reason.startswith(("truncated or damaged (", "not an image"))
        assert extension in ("tif", "webp") or reason.startswith("truncated")


def test_damaged_bytes_never_escape(tmp_path):
    """Random damage gives a picture or an ImageError, and nothing else."""
    for extension in ("jpg", "png", "tif", "gif", "webp", "bmp", "jp2", "ico"):
        path = save(Image.fromarray(PIXELS), tmp_path / f"a.{extension}")
        data = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            bad = data.copy()
            bad[RNG.integers(len(bad), size=3)] = RNG.integers(0, 256, 3)
            path.write_bytes(bad.tobytes())
            try:
                assert read_image(path).mode in ("RGB", "RGBA")
            except ImageError as error:
                assert "\n" not in str(error)


def test_no_pictures(tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    assert refusal(text) == "not an image that Pillow can read"
    empty = tmp_path / "empty.png"
    empty.touch()
    assert refusal(empty) == "not an image that Pillow can read"
    assert refusal(tmp_path) == "is a folder"
    assert refusal(tmp_path / "missing.png") == "no such file"
    drawing = tmp_path / "a.eps"
    save(Image.fromarray(PIXELS), drawing)
    assert refusal(drawing) == "not an image that Pillow can read"


@pytest.mark.parametrize("side", [12_700, 50_000])  # Pillow itself refuses only the second
def test_decompression_bomb(tmp_path, side):
    path = png(tmp_path / "a.png", side, side, 1, 0, [])
    assert refusal(path) == "too large: over 160 megapixels"


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3000, 3), (3000, 1, 3)])
def test_thin_pictures(tmp_path, shape):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(
        pixels(read_image(save(Image.fromarray(values), tmp_path / "a.png"), draft_side=2)), values
    )


def test_silence_and_closed_files(tmp_path):
    """Neither Pillow's warnings nor those of files left open, even when warnings are errors."""
    save(Image.fromarray(PIXELS), tmp_path / "a.png")
    save(Image.fromarray(PIXELS), tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "d.tif").write_bytes(b"II*\0\x08\0\0\0\x02\0\x00\x01\x04\0\xff\xff\xff\x7f")
    code = (
        "import sys, gc; from pathlib import Path; from PIL import Image\n"
        "from mini_colorize.images import read_image, ImageError\n"
        "Image.MAX_IMAGE_PIXELS = 20\n"  # 35 pixels: the warning, not the error
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: read_image(path)\n"
        "    except ImageError as error: print(path.name)\n"
        "gc.collect()"
    )
    for options in (["-X", "dev"], ["-W", "error"]):
        done = subprocess.run(
            [sys.executable, *options, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
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


@pytest.mark.parametrize(
    "name, mode",
    [("a.png", "RGBA"), ("a.webp", "RGBA"), ("a.tif", "RGBA"), ("a.jpg", "RGB"), ("a.bmp", "RGB")],
)
def test_write_alpha(tmp_path, name, mode):
    write_image(Image.new("RGBA", (8, 8), (100, 50, 0, 51)), tmp_path / name)
    got = read_image(tmp_path / name)
    assert got.mode == mode
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
