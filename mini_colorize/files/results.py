"""The pictures that this program makes: written whole, with what is to be kept of the photo.

A result says whose it is and of which photo, so that it is not taken for a photo, and only a
result of the same photo is replaced unasked.
"""

import hashlib
import io
import os
import posixpath
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms

from .canonical import SRGB, flatten
from .disk import atomic_write
from .images import FORMATS, ImageError, one_line, opened, to_the_photo

MARK = "mini_colorize"  # how the software calls itself in the pictures that it writes

PART = 2**16  # bytes: of a photo's beginning, middle and end, by which it is known

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

MAX_JPEG_SIDE = 65_500  # pixels, that libjpeg writes

_WITH_QUALITY = ("JPEG", "WEBP", "AVIF")

_RESULT_EXTENSIONS = {e for e, f in Image.registered_extensions().items() if f in _WRITERS}

_LYING = (5, 6, 7, 8)  # of those, the ones that exchange width and height

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


def metadata(path, target):
    """What a coloured photo should keep of its file; options of write_image. {} if unreadable.

    target: the name under which it will be written: what that format cannot hold is left out.
    """
    kept = {}
    try:
        with opened(path) as file:
            image = Image.open(file, formats=FORMATS)
            to_the_photo(image, None)
            if "icc_profile" in image.info:  # the result is sRGB, and says so where its source did
                kept["icc_profile"] = ImageCms.ImageCmsProfile(SRGB).tobytes()
            found = _exif(image)
            dpi = tuple(float(d) for d in image.info.get("dpi") or _exif_dpi(found))
            if len(dpi) == 2 and all(np.isfinite(d) and 1 < d < 65536 for d in dpi):
                lies = found.get(ExifTags.Base.Orientation, 1) in _LYING
                kept["dpi"] = dpi[::-1] if lies else dpi
            exif = {"exif": _kept_exif(found)}
            name = format_of(target)  # the proof that it can be written
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


_exif = Image.Image.getexif  # PngImageFile's own would decode the picture


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
    format_of(path)
    try:
        with atomic_write(path) as file:
            save_image(image, file, path, of=of, quality=quality, **kept)
    except Exception as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise ImageError(f"{path}: cannot write ({reason})") from None


def save_image(image, file, name, *, of=None, quality=None, **kept):
    """As write_image, in the format of a file of this name, into a binary file that is open.

    Raises ImageError for another extension, and what Pillow raises.
    """
    form = format_of(name)
    keeps_alpha, options = _WRITERS[form]
    options = {**options, **_options(form, of, quality, kept)}
    if not keeps_alpha and image.has_transparency_data:
        image = flatten(image)
    if form == "JPEG" and max(image.size) > MAX_JPEG_SIDE:
        most = f"{MAX_JPEG_SIDE:,} pixels a side"
        raise ImageError(f"a JPEG holds at most {most}: choose PNG or TIFF")
    image.save(file, format=form, **options)


def takes_quality(path):
    """Whether `quality` has a say for files of this name. Raises ImageError as write_image does."""
    return format_of(path) in _WITH_QUALITY


def format_of(path):
    """Pillow's name of the format that write_image writes under this name. Raises ImageError."""
    name = Image.registered_extensions().get(Path(path).suffix.lower())
    if name not in _WRITERS:
        raise ImageError(f"{path}: cannot write this kind of file; use .png, .jpg, .webp or .tif")
    return name


def _options(name, of, quality, kept):
    """Options of Pillow's save for what is kept of a photo and said of its result."""
    options = {key: kept[key] for key in ("icc_profile", "dpi") if key in kept}
    if name in ("BMP", "JPEG2000"):
        options.pop("icc_profile", None)
    said = None if of is None else f"{MARK}: {of}"
    if name == "JPEG2000":
        return {"comment": said} if said else {}
    if name != "BMP":
        options["exif"] = exif = kept.get("exif", Image.Exif())
        if name == "TIFF":  # Pillow's TIFF looks for folders among the values
            exif.update({f: dict(exif.get_ifd(f)) for f in _KEPT_FOLDERS if exif.get_ifd(f)})
        if said:
            exif[ExifTags.Base.Software] = said
            exif[ExifTags.Base.Orientation] = 1
    if name in _WITH_QUALITY and quality is not None:
        options["quality"] = quality
    if name in ("WEBP", "AVIF") and (dpi := options.pop("dpi", None)):  # no place but the EXIF
        exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = dpi
        exif[ExifTags.Base.ResolutionUnit] = 2  # inches
    return options


def mark_of(source):
    """What a result says of its photo, a Path: see `mark`. Of a pipe it is not known what is in it."""
    where = os.path.realpath(source.parent).encode(errors="surrogateescape")
    if os.path.isfile(source):
        try:
            with open(source, "rb") as file:
                return mark(source.name, where, file)
        except OSError:  # it will be told when its turn comes
            pass
    return mark(source.name, where, io.BytesIO(os.urandom(8)))


def mark(name, where, file):
    """The name of a photo, ASCII, where it lies and what is in it.

    The last two are hashes. A photo that was moved, or one that was changed, is still known by
    the other; another photo of the same name is not taken for it.
    where: bytes. file: binary, open.
    """
    size = file.seek(0, os.SEEK_END)
    what = str(size).encode()
    for place in (0, size // 2, max(0, size - PART)):
        file.seek(place)
        what += file.read(PART)
    name = name.encode("ascii", "backslashreplace").decode()
    return " ".join([name, *(hashlib.sha1(b).hexdigest()[:8] for b in (where, what))])


def is_same(found, mark):
    """Whether two marks are of one photo: of one name, and one place or one content. found: or
    None."""
    (name, *hashes), (wanted, *others) = (found or "").rsplit(" ", 2), mark.rsplit(" ", 2)
    return name == wanted and any(a == b for a, b in zip(hashes, others, strict=False))


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
