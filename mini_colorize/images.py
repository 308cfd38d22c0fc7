"""Picture files: any of them in, one canonical form out; and whole files written.

The rest of the project sees one kind of picture: 8-bit sRGB, upright, mode "RGB", or "RGBA" where
the file has transparency. Everything odd about files is settled here, in this order:

    open -> JPEG draft -> decode -> alpha apart -> 8 bits -> ICC profile to sRGB -> upright

Errors are one line for a person and start with the path. The functions may be called from many
threads at once.
"""

import io
import os
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from mini_colorize.files import atomic_write

Image.init()  # all the plugins, once: loading them on demand from several threads is a race

# The formats in which photographs are kept, the frequent ones first because Pillow tries them in
# this order. Left out: drawings that need another program (EPS through Ghostscript, WMF), films
# (MPEG), scientific arrays (FITS, HDF5, GRIB, BUFR), which are no photographs or cannot be decoded.
FORMATS = tuple(
    f
    for f in (
        "JPEG",
        "PNG",
        "WEBP",
        "TIFF",
        "GIF",
        "BMP",
        "AVIF",
        "JPEG2000",
        "MPO",
        "PPM",
        "DIB",
        "PSD",
        "PCX",
        "SGI",
        "ICO",
        "ICNS",
        "DDS",
        "QOI",
        "PCD",
        "TGA",
    )
    if f in Image.OPEN
)

EXTENSIONS = frozenset(e for e, f in Image.registered_extensions().items() if f in FORMATS)

# About 0.6 GB decoded. Pillow itself refuses headers that claim more than 179 megapixels and warns
# from half of that on; this limit replaces the warning.
MAX_PIXELS = 160_000_000

# What Pillow has to say about odd files would land among the progress lines. A filter set once is
# the only way that is safe with threads: warnings.catch_warnings changes the whole process.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")

# Pillow format: (keeps alpha, options of save). Others are refused.
_WRITERS = {
    "PNG": (True, {}),
    "TIFF": (True, {}),
    "WEBP": (True, {"quality": 95}),
    "AVIF": (True, {"quality": 95}),
    "JPEG2000": (True, {}),
    "BMP": (False, {}),
    # subsampling 0: colour at full resolution, since colour is what the project makes.
    "JPEG": (False, {"quality": 95, "subsampling": 0}),
}

# EXIF orientation -> how to turn the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SRGB = ImageCms.createProfile("sRGB")


class ImageError(Exception):
    """A picture file cannot be read or written. One line, starting with the path."""

    def __init__(self, message):
        # a name, above all in an archive, may hold line ends and codes that terminals obey
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


def read_image(path, draft_side=None):
    """Read a picture file of any kind.

    path: str, Path, or anything with its method `open`, see photos.PhotoFile.
    draft_side: pixels or None. A JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size, which
        is much faster, as long as its shorter side stays >= draft_side.
    Returns a PIL image, mode "RGB", or "RGBA" if the file has transparency: 8-bit sRGB, upright,
    the first frame of an animation, with empty `info`.
    Raises ImageError.
    """
    try:
        with (Path(path) if isinstance(path, str) else path).open("rb") as file:
            image = Image.open(file, formats=FORMATS)
            _check_size(image)
            if draft_side is not None:
                image.draft(None, (draft_side, draft_side))  # before load, or it does nothing
            image.load()
        return canonical(image)
    # Pillow's decoders raise nearly anything on damaged files: OSError, SyntaxError, ValueError,
    # TypeError, EOFError, OverflowError, struct.error, zlib.error ...
    except Exception as error:
        raise ImageError(f"{path}: {_reason(path, error)}") from None


def picture_size(path):
    """Width and height of a picture file as it is stored, pixels, from its head. Raises ImageError.

    path: as of read_image.
    """
    try:
        with (Path(path) if isinstance(path, str) else path).open("rb") as file:
            image = Image.open(file, formats=FORMATS)
            _check_size(image)
            return image.size
    except Exception as error:
        raise ImageError(f"{path}: {_reason(path, error)}") from None


def _check_size(image):
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError


def write_image(image, path):
    """Write a PIL image to `path` in the format of its extension, whole or not at all.

    image: PIL image of 8 bits a channel; transparency is laid over white where the format has
        none (JPEG, BMP).
    path: str or Path ending in .png .jpg .jpeg .webp .tif .tiff .bmp .avif .jp2
    Raises ImageError for another extension or if the file cannot be written.
    """
    name = Image.registered_extensions().get(Path(path).suffix.lower())
    if name not in _WRITERS:
        raise ImageError(f"{path}: cannot write this kind of file; use .png, .jpg, .webp or .tif")
    keeps_alpha, options = _WRITERS[name]
    try:
        if not keeps_alpha and image.has_transparency_data:
            image = flatten(image)
        with atomic_write(path) as file:
            image.save(file, format=name, **options)
    except Exception as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise ImageError(f"{path}: cannot write ({reason})") from None


def flatten(image):
    """Lay a PIL image over white. Returns mode "RGB"; an image without alpha is only converted."""
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def canonical(image):
    """A decoded picture of any mode -> 8-bit sRGB, upright, RGB or RGBA, nothing in `info`."""
    turn = _UPRIGHT.get(_orientation(image))
    profile = image.info.get("icc_profile")
    colour, alpha = _split_alpha(image)
    result = _to_srgb(colour, profile)
    if alpha is not None:
        result.putalpha(alpha)
    if turn is not None:
        result = result.transpose(turn)
    # Left in place, the profile and the orientation would be applied again by whoever saves it.
    result.info = {}
    return result


def _orientation(image):
    """EXIF orientation, 1..8; 1 if there is none. Broken EXIF does not make a picture useless."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1


def _split_alpha(image):
    """-> (8-bit image without alpha, alpha as an "L" image or None)."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        clear = image.info.get("transparency")  # PNG: the one grey value that is transparent
        alpha = None
        if isinstance(clear, int):
            alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
        return Image.fromarray(_to_8_bits(values, image.mode)), alpha
    if not image.has_transparency_data:
        return image, None
    rgba = image.convert("RGBA")
    # A grey picture stays grey, because a grey ICC profile can only be applied to that.
    colour = rgba.getchannel("R") if image.mode in ("1", "L", "LA") else rgba.convert("RGB")
    return colour, rgba.getchannel("A")


def _to_8_bits(values, mode):
    """Grey values (H, W) of mode I;16*, I (int32) or F (float32) -> (H, W) uint8, 0..255.

    I;16 has 16 bits. I and F do not say their scale, so their largest value tells: up to 1
    (F only), up to 255, else 16 bits. Not-a-number is black.
    """
    if mode == "F":
        values = np.where(np.isfinite(values) | np.isposinf(values), values, 0)
        finite = values[np.isfinite(values)]
        top = finite.max() if finite.size else 0
        white = 1 if top <= 1 else 255 if top <= 255 else 65535
    elif mode == "I":
        white = 255 if values.max() <= 255 else 65535
    else:
        white = 65535
    # clip first: infinity then is white.
    return np.rint(np.clip(values, 0, white) * np.float32(255 / white)).astype(np.uint8)


def _to_srgb(image, profile):
    """Image without alpha -> a new "RGB" image; an unusable or unfitting ICC profile is ignored.

    profile: bytes or None.
    """
    if profile and image.mode != "LAB":  # LAB is absolute already
        kind = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(image.mode, "RGB")
        wanted, transform = _srgb_transform(profile)
        # Grey files often carry the RGB profile they were edited in: R = G = B fits that.
        if wanted == kind or (wanted, kind) == ("RGB", "L"):
            return transform.apply(image.convert(wanted))
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _srgb_transform(profile):
    """ICC profile (bytes) -> (mode of its input, transform to sRGB), or (None, None) if unusable.

    Kept, because making one takes as long as applying it to a small picture. LittleCMS allows
    many threads to apply the same transform.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[source.profile.xcolor_space.strip()]
        fine = ImageCms.Flags.HIGHRESPRECALC  # a finer table: dark greys come out right
        return mode, ImageCms.buildTransform(source, _SRGB, mode, "RGB", flags=fine)
    except Exception:  # PyCMSError, but OSError and others too on random bytes
        return None, None


def _reason(path, error):
    """What went wrong in read_image, for a person."""
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: over {MAX_PIXELS // 10**6} megapixels"
    if isinstance(error, MemoryError):
        return "too large for the memory of this computer"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, (IsADirectoryError, PermissionError)):
        # Windows says "permission denied" of a folder.
        return "is a folder" if os.path.isdir(str(path)) else "no permission to read it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"truncated or damaged ({_one_line(error)})"


def _one_line(error):
    """An exception's own words on one line; its name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
