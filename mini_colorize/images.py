"""Picture files: any of them in, one canonical form out; and whole files written.

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
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from mini_colorize.errors import UserError
from mini_colorize.files import atomic_write, printable
from mini_colorize.repair import (
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
        "HEIF",
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
MAX_BYTES = 2**28  # of a picture file that has to be read into memory whole

# Pillow gives up a picture whose text or colour profile is longer than this when unpacked, and has
# 1 MiB. Ours are then left out, see repair.without_ballast; but a profile is worth some memory.
PngImagePlugin.MAX_TEXT_CHUNK = 16 * 2**20

# What Pillow has to say about odd files would land among the progress lines. A filter set once is
# the only way that is safe with threads: warnings.catch_warnings changes the whole process.
warnings.filterwarnings("ignore", module=r"PIL\.(Image|\w+ImagePlugin)$")

MARK = "mini_colorize"  # how the software calls itself in the pictures that it writes
ENDINGS = (".color", ".compare")  # of the names of its results, before the extension

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

_WITH_QUALITY = ("JPEG", "WEBP", "AVIF")
_RESULT_EXTENSIONS = {e for e, f in Image.registered_extensions().items() if f in _WRITERS}

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

_LYING = (5, 6, 7, 8)  # of those, the ones that exchange width and height

_SRGB = ImageCms.createProfile("sRGB")

# EXIF that a coloured photo keeps: camera, dates, author, and the folders of exposure and place.
_KEPT = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_KEPT_FOLDERS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_DROPPED = (
    ExifTags.Base.MakerNote,
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
    ExifTags.IFD.Interop,  # another folder, and only its place
)


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
    said = set()

    def say(line):  # once, however often it is tried
        if line not in said:
            said.add(line)
            tell(f"{called}: {line}")

    options = draft_side, limit, say if tell else None
    try:
        with _opened(path) as file:
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
        with _opened(path) as file:
            image = Image.open(file, formats=FORMATS)
            _to_the_photo(image, None)
            _check_size(image, MAX_PIXELS)
            return image.size
    except Exception as error:
        raise ImageError(f"{path}: {_reason(path, error, MAX_PIXELS)}") from None


def metadata(path, target):
    """What a coloured photo should keep of its file; options of write_image. {} if unreadable.

    target: the name under which it will be written: what that format cannot hold is left out.
    """
    kept = {}
    try:
        with _opened(path) as file:
            image = Image.open(file, formats=FORMATS)
            _to_the_photo(image, None)
            if "icc_profile" in image.info:  # the result is sRGB, and says so where its source did
                kept["icc_profile"] = ImageCms.ImageCmsProfile(_SRGB).tobytes()
            found = _exif(image)
            dpi = tuple(float(d) for d in image.info.get("dpi") or _exif_dpi(found))
            if len(dpi) == 2 and all(np.isfinite(d) and 1 < d < 65536 for d in dpi):
                lies = found.get(ExifTags.Base.Orientation, 1) in _LYING
                kept["dpi"] = dpi[::-1] if lies else dpi
            exif = {"exif": _kept_exif(found)}
            name = _format(target)  # the proof that it can be written
            Image.new("L", (1, 1)).save(io.BytesIO(), name, **_options(name, "", None, exif))
            kept |= exif
    except Exception:  # of no consequence for the picture
        pass
    return kept


def _exif_dpi(exif):
    """Pixels an inch that an Exif tells, or nothing."""
    found = [exif.get(tag) for tag in (ExifTags.Base.XResolution, ExifTags.Base.YResolution)]
    per_inch = {2: 1, 3: 2.54}.get(exif.get(ExifTags.Base.ResolutionUnit, 2))
    return [float(d) * per_inch for d in found] if all(found) and per_inch else ()


def _exif(image):
    """The EXIF of an image that need not be decoded for it, as PngImageFile.getexif would."""
    return Image.Image.getexif(image)


def _kept_exif(found):
    """The part of an Exif that stays true of the coloured photo."""
    exif = Image.Exif()
    exif.update({tag: found[tag] for tag in _KEPT if tag in found})
    for folder in _KEPT_FOLDERS:
        values = {t: v for t, v in found.get_ifd(folder).items() if t not in _DROPPED}
        if ExifTags.Base.ColorSpace in values:
            values[ExifTags.Base.ColorSpace] = 1  # sRGB
        if values:
            exif.get_ifd(folder).update(values)
    return exif


def _opened(path):
    """A binary file for what read_image takes, in a `with`; a file that is given stays open."""
    if hasattr(path, "read"):
        path.seek(0)
        return contextlib.nullcontext(path)
    return (Path(path) if isinstance(path, str) else path).open("rb")


def _name(path):
    """What to call it in a message."""
    return getattr(path, "name", "the picture") if hasattr(path, "read") else path


def _check_size(image, limit):
    if image.width * image.height > limit:
        raise Image.DecompressionBombError


def _decoded(file, draft_side, limit, say, keep_cut=False):
    """Open and decode. keep_cut: take a picture that is cut off as far as it goes."""
    image = Image.open(file, formats=FORMATS)
    _to_the_photo(image, say)
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


def _to_the_photo(image, say):
    """Go to the first picture in the file that is no thumbnail. Says what is left out."""
    if image.format == "TIFF":
        try:
            photos = _to_the_page(image, say is not None)
        except Exception:  # a damaged list of pages does not cost the first
            image.seek(0)
            return
        if say and photos > 1:
            say(f"holds {photos} pages; the first is taken")
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
    for k in range(image.n_frames):
        with contextlib.suppress(Exception):
            image.seek(k)
            count += image.size == size
    image.seek(0)
    return count


def _to_the_page(image, count):
    """Go to a TIFF's first page that is no thumbnail, or the largest if all are said to be.

    Returns the number of such pages, if `count`; else of those seen so far.
    """
    photos, largest = [], (0, 0)
    for k in range(image.n_frames):
        image.seek(k)
        if not (int(image.tag_v2.get(254, 0)) & 1 or image.tag_v2.get(255) == 2):
            photos.append(k)
        largest = max(largest, (image.width * image.height, -k))
        if photos and not count:
            break
    image.seek(photos[0] if photos else -largest[1])
    return len(photos)


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


def write_image(image, path, *, of=None, quality=None, **kept):
    """Write a PIL image to `path` in the format of its extension, whole or not at all.

    image: PIL image of 8 bits a channel; transparency is laid over white where the format has
        none (JPEG, BMP).
    path: str or Path ending in .png .jpg .jpeg .webp .tif .tiff .bmp .avif .jp2
    of: what tells the photo of which this is a result, ASCII. It is written into the file, with
        our own name, for `made_of`; BMP has no place for it.
    quality: 1 ... 100, of JPEG, WebP and AVIF. kept: what `metadata` says; what the format cannot
        hold is left out.
    Raises ImageError for another extension or if the file cannot be written.
    """
    name = _format(path)
    keeps_alpha, options = _WRITERS[name]
    options = {**options, **_options(name, of, quality, kept)}
    try:
        if not keeps_alpha and image.has_transparency_data:
            image = flatten(image)
        with atomic_write(path) as file:
            image.save(file, format=name, **options)
    except Exception as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise ImageError(f"{path}: cannot write ({reason})") from None


def takes_quality(path):
    """Whether `quality` has a say for files of this name. Raises ImageError as write_image does."""
    return _format(path) in _WITH_QUALITY


def check_writable(path):
    """Raises ImageError unless write_image has a format for this name."""
    _format(path)


def _format(path):
    """Pillow's name of the format to write."""
    name = Image.registered_extensions().get(Path(path).suffix.lower())
    if name not in _WRITERS:
        raise ImageError(f"{path}: cannot write this kind of file; use .png, .jpg, .webp or .tif")
    return name


def _options(name, of, quality, kept):
    """Options of Pillow's save for what is kept of a photo and said of its result."""
    options = {key: kept[key] for key in ("icc_profile", "dpi") if key in kept}
    if name in ("BMP", "JPEG2000"):
        options.pop("icc_profile", None)
    mark = None if of is None else f"{MARK}: {of}"
    if name == "JPEG2000":
        return {"comment": mark} if mark else {}
    if name != "BMP":
        options["exif"] = exif = kept.get("exif", Image.Exif())
        if name == "TIFF":  # Pillow's TIFF looks for folders among the values
            exif.update({f: dict(exif.get_ifd(f)) for f in _KEPT_FOLDERS if exif.get_ifd(f)})
        if mark:
            exif[ExifTags.Base.Software] = mark
            exif[ExifTags.Base.Orientation] = 1
    if name in _WITH_QUALITY and quality is not None:
        options["quality"] = quality
    if name in ("WEBP", "AVIF") and (dpi := options.pop("dpi", None)):  # no place but the EXIF
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = dpi
        exif[ExifTags.Base.ResolutionUnit] = 2  # inches
    return options


def made_of(path):
    """What a picture file that is this program's result says of its photo (`of`), or None.

    None, too, where there is no such file, and for BMP, which has no place to say so.
    """
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return None
        with open(path, "rb") as file:
            image = Image.open(file, formats=FORMATS)
            said = _exif(image).get(ExifTags.Base.Software) or image.info.get("comment") or ""
    except Exception:
        return None
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    mark, _, name = said.partition(": ")
    return name if mark == MARK else None


def is_result_name(name):
    """Whether a file's name is one that this program gives to results: NAME.color.EXT."""
    stem, extension = posixpath.splitext(name.lower())
    return stem.endswith(ENDINGS) and extension in _RESULT_EXTENSIONS


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
    signed = image.mode == "L" and getattr(image, "tag_v2", {}).get(339) == (2,)
    if image.mode in ("I", "F") or image.mode.startswith("I;16") or signed:
        values = np.asarray(image)
        clear = image.info.get("transparency")  # PNG: the one grey value that is transparent
        alpha = None
        if isinstance(clear, int):
            alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
        return Image.fromarray(_grey_to_8_bits(values, image)), alpha
    if image.mode in ("La", "RGBa"):  # colours that were multiplied by their alpha
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif not image.has_transparency_data:
        return image, None
    rgba = image.convert("RGBA")
    # A grey picture stays grey, because a grey ICC profile can only be applied to that.
    colour = rgba.getchannel("R") if image.mode in ("1", "L", "LA") else rgba.convert("RGB")
    alpha = rgba.getchannel("A")
    if getattr(image, "format", None) in ("BMP", "DIB", "TGA") and alpha.getextrema()[1] == 0:
        alpha = None  # the fourth byte of these is often unused
    return colour, alpha


def _grey_to_8_bits(values, image):
    """Grey values (H, W) of an image of mode I;16*, I, F or L -> (H, W) uint8.

    The scale is what a TIFF says: bits and sign of a sample, and whether 0 is white. Other files
    of mode I or F do not say theirs; see `to_8_bits`.
    """
    tags = getattr(image, "tag_v2", {})
    bits, sample = tags.get(258, (16,))[0], tags.get(339, (1,))[0]
    black, white = 0, None
    if image.mode == "L":
        values = values.view(np.int8)
    if image.mode.startswith("I;16"):
        white = 2**bits - 1
    elif image.format == "PPM" and image.mode == "I":
        white = 65535  # Pillow makes this of any depth
    elif image.mode in ("I", "L") and tags:
        if sample == 1:
            values = values.view(np.uint32)
        elif _share(values, 0.01) < 0 or _share(values, 0.001) < -(2 ** (bits - 4)):
            black = -(2 ** (bits - 1))  # not for the sake of a few that lie a little below 0
        white = 2 ** (bits - (sample == 2)) - 1
        if bits == 32 and black == 0 and _share(values, 0.99) < 2**16:
            white = None  # a narrower picture in wide samples
    result = to_8_bits(values, white, black)
    return 255 - result if tags.get(262) == 0 else result


def _share(values, q):
    """The quantile, one of the values, never something between two; 0 of none. A few odd pixels,
    which sharpening leaves and a sensor has, do not move it far from the middle."""
    method = "lower" if q > 0.5 else "higher"
    return np.quantile(values, q, method=method) if values.size else 0


def to_8_bits(values, white=None, black=0):
    """Values of any kind -> uint8, 0 for black, 255 for white. values: array. white: a number.

    Without `white` it is, of 1 (fractions only), 255 and 65535, the least that fits. Sharpening,
    lamps and broken sensors leave some values above white, and in the next scale such a picture
    would be black: so 99 % of the values are at most white, or, of fractions, twice that. But a
    bright thing before the dark is not to burn out: 99.8 % are at most four times white. Whole
    numbers beyond 1 are no fractions of 1. Not-a-number is black.
    """
    fractions = values.dtype.kind == "f"
    if fractions:
        values = np.where(np.isfinite(values) | np.isposinf(values), values, 0)
    if white is None:
        finite = values[np.isfinite(values)] if fractions else values
        most, nearly_all = _share(finite, 0.99), _share(finite, 0.998)
        whole = fractions and most > 1 and (finite == np.rint(finite)).all()
        scales = (1, 255) if fractions and not whole else (255,)
        fit = (w for w in scales if most <= w * (1 + fractions) and nearly_all <= 4 * w)
        white = next(fit, 65535)
    # clip first: infinity then is white.
    values = np.clip(values, black, white).astype(np.float32)
    return np.rint((values - np.float32(black)) * np.float32(255 / (white - black))).astype(
        np.uint8
    )


def from_array(array):
    """An (H, W), (H, W, 3) or (H, W, 4) array of uint8, uint16 or float -> a PIL image of 8 bits.

    Floats: 0 ... 1, 0 ... 255 or 0 ... 65535, as `to_8_bits` finds out.
    """
    if array.dtype.kind == "f":
        array = to_8_bits(array)
    elif array.dtype.kind == "u" and array.dtype.itemsize == 2:  # of either byte order
        array = to_8_bits(array, 65535)
    return Image.fromarray(array)


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
    return f"truncated or damaged ({_one_line(error)})"


def _one_line(error):
    """An exception's own words on one line; its name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
