"""A decoded picture of any kind -> the one kind that the rest of the project sees.

That is 8-bit sRGB, upright, mode "RGB", or "RGBA" where there is transparency. Settled here, in
this order: alpha apart -> 8 bits -> ICC profile to sRGB -> upright. May be called from many threads
at once.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import ExifTags, Image, ImageCms

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

SRGB = ImageCms.createProfile("sRGB")


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
        return mode, ImageCms.buildTransform(source, SRGB, mode, "RGB", flags=fine)
    except Exception:  # PyCMSError, but OSError and others too on random bytes
        return None, None
