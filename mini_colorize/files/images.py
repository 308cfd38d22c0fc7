"""Picture files: any of them in, one canonical form out.

The rest of the project sees one kind of picture: 8-bit sRGB, upright, mode "RGB", or "RGBA" where
the file has transparency. Everything odd about files is settled here, in this order:

    open -> the photo's page -> JPEG draft -> decode -> alpha apart -> 8 bits -> ICC profile to sRGB
    -> upright

Errors are one line for a person and start with the path. The functions may be called from many
threads at once.
"""

import contextlib
import io
import os
import posixpath
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..errors import UserError
from .canonical import canonical
from .disk import printable
from .repair import (
    END_OF_JPEG,
    JPEG,
    MORE_BLOCKS,
    PNG,
    ZEROS,
    jpeg_scans,
    without_ballast,
    without_check_sum,
)

Image.init()  # all the plugins, once: loading them on demand from several threads is a race

HEIC = ".heic, .heif and .hif need: pip install 'mini_colorize[heic]'"

with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()

# The formats in which photographs are kept, the frequent ones first because Pillow tries them in
# this order. Left out: drawings that need another program (EPS through Ghostscript, WMF), films
# (MPEG), scientific arrays (FITS, HDF5, GRIB, BUFR), which are no photographs or cannot be decoded.
FORMATS = (
    "JPEG PNG WEBP TIFF GIF BMP AVIF HEIF JPEG2000 MPO PPM DIB PSD PCX SGI ICO ICNS DDS QOI PCD TGA"
)
FORMATS = tuple(name for name in FORMATS.split() if name in Image.OPEN)
EXTENSIONS = frozenset(e for e, f in Image.registered_extensions().items() if f in FORMATS)

# About 0.6 GB decoded. Pillow itself refuses headers that claim more than 179 megapixels and warns
# from half of that on; this limit replaces the warning.
MAX_PIXELS = 160_000_000

MAX_BYTES = 2**28  # of a picture file that has to be read into memory whole

MAX_PAGES = 100  # of a file that are looked at

# Pillow gives up a picture whose text or colour profile is longer than this when unpacked, and has
# 1 MiB. Ours are then left out, see repair.without_ballast; but a profile is worth some memory.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20

# What Pillow has to say about odd files would land among the progress lines. A filter set once is
# the only way that is safe with threads: warnings.catch_warnings changes the whole process.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")


class ImageError(UserError):
    """A picture file cannot be read or written. One line, starting with the path."""

    def __init__(self, message):
        super().__init__(printable(message))


def read_image(path, draft_side=None, limit=MAX_PIXELS, tell=None):
    """Read a picture file of any kind.

    path: str, Path, a binary file, or anything with a method `open`, see photos.PhotoFile.
    draft_side: pixels or None. A JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size, which
        is much faster, as long as its shorter side stays >= draft_side.
    limit: pixels; a larger picture is refused.
    tell: function, given a line for what a person should know: that the file is cut off and the
        picture only as far as it goes, or that it holds more pictures than this one. Without it
        nothing is said, and a file that is cut off is refused.
    Returns a PIL image, mode "RGB", or "RGBA" if the file has transparency: 8-bit sRGB, upright,
    with empty `info`. Of several pictures the first that is no thumbnail.
    Raises ImageError.
    """
    called = _name(path)
    reported = set()

    def say(line):  # once, however often it is tried
        if line not in reported:
            reported.add(line)
            tell(f"{called}: {line}")

    options = draft_side, limit, say if tell else None
    try:
        with opened(path) as file:
            try:
                image = _decoded(file, *options)
            except Image.DecompressionBombError:
                raise
            except Exception as error:
                image = _rescued(file, error, *options)
        return canonical(image)
    # Pillow's decoders raise nearly anything on damaged files: OSError, SyntaxError, ValueError,
    # TypeError, EOFError, OverflowError, struct.error, zlib.error ...
    except Exception as error:
        raise ImageError(f"{called}: {_reason(path, error, limit)}") from None


def picture_size(path):
    """Width and height of a picture file as it is stored, pixels, from its head. Raises ImageError.

    path: as of read_image.
    """
    try:
        with opened(path) as file:
            image = Image.open(file, formats=FORMATS)
            to_the_photo(image, None)
            _check_size(image, MAX_PIXELS)
            return image.size
    except Exception as error:
        raise ImageError(f"{path}: {_reason(path, error, MAX_PIXELS)}") from None


def opened(path):
    """A binary file for what read_image takes, in a `with`; a file that is given stays open.

    A pipe, which has no way back, is read into memory.
    """
    given = hasattr(path, "read")
    file = path if given else (Path(path) if isinstance(path, str) else path).open("rb")
    kept = contextlib.nullcontext(file) if given else file
    if hasattr(file, "seekable") and not file.seekable():
        with kept:
            return io.BytesIO(file.read())
    file.seek(0)
    return kept


def _name(path):
    """What to call it in a message."""
    return getattr(path, "name", "the picture") if hasattr(path, "read") else path


def _check_size(image, limit):
    if image.width * image.height > limit:
        raise Image.DecompressionBombError


def _decoded(file, draft_side, limit, say, keep_cut=False):
    """Open and decode. keep_cut: take a picture that is cut off as far as it goes."""
    image = Image.open(file, formats=FORMATS)
    to_the_photo(image, say)
    _check_size(image, limit)
    if image.format in ("JPEG", "MPO") and _ends_in_zeros(file):
        raise OSError("truncated, and filled with zeros")  # which decode as blocks of a picture
    if draft_side is not None:
        image.draft(None, (draft_side, draft_side))  # before load, or it does nothing
    try:
        image.load()
    except OSError as error:
        if not (keep_cut and any(word in str(error) for word in ("truncated", "broken data"))):
            raise
        image.tile = []  # nothing is left to decode
    return image


def _ends_in_zeros(file):
    """Whether the last bytes of a file are 0: space that was kept for what never arrived."""
    place = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - ZEROS))
    tail = file.read(ZEROS)
    file.seek(place)
    return not any(tail)


def to_the_photo(image, say):
    """Go to the first picture in the file that is no thumbnail. Says what is left out."""
    if image.format == "TIFF":
        try:
            photos, more = _to_the_page(image, say is not None)
        except Exception:  # a damaged list of pages does not cost the first
            image.seek(0)
            return
        if say and photos > 1:
            say(f"holds {photos}{more} pages; the first is taken")
    elif say and image.format == "MPO":
        # A telephone puts smaller ones behind the photo: a preview, a map of its brightness.
        if (photos := _pictures_as_large(image)) > 1:
            say(f"holds {photos} pictures; the first is taken")
    elif say and image.format in ("GIF", "WEBP", "PNG", "AVIF"):
        if getattr(image, "is_animated", False):
            say("is an animation; its first picture is taken")


def _pictures_as_large(image):
    """How many pictures of an MPO file are as large as its first."""
    size, count = image.size, 0
    for k in range(min(image.n_frames, MAX_PAGES)):
        with contextlib.suppress(Exception):
            image.seek(k)
            count += image.size == size
    image.seek(0)
    return count


def _to_the_page(image, count):
    """Go to a TIFF's first page that is no thumbnail, or the largest if all are said to be.

    Returns the number of such pages, if `count`, else of those seen so far, and " or more" or "".
    """
    photos, largest, more = [], (0, 0), " or more"
    for k in range(MAX_PAGES):
        try:
            image.seek(k)
        except EOFError:
            more = ""
            break
        if not (int(image.tag_v2.get(254, 0)) & 1 or image.tag_v2.get(255) == 2):
            photos.append(k)
        largest = max(largest, (image.width * image.height, -k))
        if photos and not count:
            break
    image.seek(photos[0] if photos else -largest[1])
    return len(photos), more


def _rescued(file, error, draft_side, limit, say):
    """The picture of a file that Pillow gives up but that can be shown. Else raises `error`."""
    file.seek(0)
    head, options = file.read(24), (draft_side, limit, say)
    if isinstance(error, MemoryError):
        raise error
    if head.startswith((JPEG, PNG)):
        if file.seek(0, os.SEEK_END) > MAX_BYTES:
            raise error
        file.seek(0)
        data = file.read()
        if head.startswith(PNG):
            if int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big") > limit:
                raise Image.DecompressionBombError
            rescue, rest = _rescued_png, without_check_sum(without_ballast(data))
        else:
            data, promised = jpeg_scans(data)
            rescue, rest = _rescued_jpeg if promised else None, data + END_OF_JPEG
        with contextlib.suppress(Exception):
            return rescue(data, options)
        file = io.BytesIO(rest)
    elif isinstance(error, UnidentifiedImageError):
        raise error
    if say is None:
        raise error
    return _as_far_as_it_goes(file, error, options)


def _rescued_png(data, options):
    """The picture without what is not the picture. Raises nearly anything."""
    try:
        return _decoded(io.BytesIO(without_ballast(data)), *options)
    except Exception:
        return _decoded(io.BytesIO(without_ballast(data, critical_only=True)), *options)


def _rescued_jpeg(data, options):
    """The picture of a file without its end mark, as many cameras and transfers leave it.

    A file that has lost more shows it by turning into another picture when other bytes follow.
    Raises ValueError, or nearly anything.
    """
    image = _decoded(io.BytesIO(data + END_OF_JPEG), *options)
    pixels = np.asarray(image)
    for more in MORE_BLOCKS:
        other = _decoded(io.BytesIO(data + more + END_OF_JPEG), *options)
        if not np.array_equal(pixels, np.asarray(other)):
            raise ValueError("cut off")
    return image


def _as_far_as_it_goes(file, error, options):
    """What has arrived of a picture. Raises `error` if that is nothing."""
    file.seek(0)
    try:
        image = _decoded(file, *options, keep_cut=True)
        pixels = np.asarray(image)
    except MemoryError:
        raise
    except Exception:
        raise error from None
    if (pixels == pixels[0, 0]).all():
        raise error
    options[-1]("is damaged or cut off; the picture is made as far as it goes")
    return image


def _reason(path, error, limit):
    """What went wrong in read_image, for a person."""
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: over {limit / 1e6:g} megapixels"
    if isinstance(error, MemoryError):
        return "too large for the memory of this computer"
    if isinstance(error, UnidentifiedImageError):
        kind = posixpath.splitext(str(path))[1].lower()
        hint = f"; {HEIC}" if kind and kind in HEIC and "HEIF" not in FORMATS else ""
        return f"not an image that Pillow can read{hint}"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, (IsADirectoryError, PermissionError)):
        # Windows says "permission denied" of a folder.
        return "is a folder" if os.path.isdir(str(path)) else "no permission to read it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"truncated or damaged ({one_line(error)})"


def one_line(error):
    """An exception's own words on one line; its name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
