"""Photos in, coloured pictures and beliefs out. What is kept in memory is bounded.

A file is kept as it came, with a small picture of it. The logits of the last looks stay, so that
another temperature needs no network, and the lightness of the last photo, for its full picture.
Whatever had to go is made again, or, if it is a file, asked for again.

Notation
    u, v    a place in a photo, 0..1 from the left and from the top     L     lightness, 0..100
    h, w    size of the logits                                          Q     bins, 313
"""

import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..backend import to_host
from ..colorizer import joined, paint, parts
from ..errors import UserError
from ..fast.memory import give_back
from ..files.canonical import flatten
from ..files.images import ImageError, read_image
from ..files.results import MAX_JPEG_SIDE, mark, metadata, save_image
from ..guided import fit_lines, flat_lines
from ..hints import follow, place

SMALL = 384  # longest side of the picture that answers at once, pixels
MAX_PIXELS = 50_000_000  # of a photo
MAX_SIDE = 100_000  # of a photo, pixels: what is longer is no photo, and takes much memory
FILE_BYTES = 96 * 2**20  # files that are kept, together; the last one is whatever it takes
LOGIT_BYTES = 64 * 2**20  # looks that are kept, together
FAST_PNG = {"format": "PNG", "compress_level": 1}
FULL_JPEG = {"format": "JPEG", "quality": 92, "subsampling": 0}
FORMATS = "png", "jpg", "tiff"  # that can be saved


class Gone(UserError):
    """A photo that is not here, or not any more."""

    def __init__(self):
        super().__init__("this photo is not here any more")


@dataclass(frozen=True)
class Settings:
    """How to colour. weights: a name. guided: enlarged along edges, not bilinearly. hints: a tuple of
    (u, v, a, b), colours that a person chose."""

    weights: str
    size: int
    temperature: float
    strength: float
    guided: bool
    hints: tuple = ()


@dataclass(frozen=True)
class Photo:
    """data: the file. size: width and height. small: PIL image, RGB or RGBA. parts: of small, see
    colorizer.parts. notes: lines that a person should know."""

    name: str
    data: bytes
    size: tuple
    small: Image.Image
    parts: tuple
    notes: list


class Kept:
    """A dictionary of what was used last, of at most so many bytes; but the newest is kept."""

    def __init__(self, most):
        self.most, self.values, self.nbytes = most, OrderedDict(), 0

    def get(self, key):
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key][0]
        return None

    def put(self, key, value, nbytes):
        _, before = self.values.pop(key, (None, 0))
        self.values[key] = value, nbytes
        self.nbytes += nbytes - before
        while self.nbytes > self.most and len(self.values) > 1:
            self.nbytes -= self.values.popitem(last=False)[1][1]


class Studio:
    """colorizers: name -> Colorizer. let_pass: called during long work; what it raises ends it."""

    def __init__(self, colorizers, let_pass=lambda: None):
        self.colorizers, self.let_pass = colorizers, let_pass
        self.photos, self.logits = Kept(FILE_BYTES), Kept(LOGIT_BYTES)
        self.looked = None  # weights and size of the last look
        self.last = None, None  # a photo's key, its parts at full size

    def add(self, name, data):
        """Take a photo. data: a file's bytes. Returns its key and a Photo. Raises ImageError."""
        key = hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
        if (photo := self.photos.get(key)) is None:
            notes = []
            image = read_image(io.BytesIO(data), limit=MAX_PIXELS, tell=notes.append)
            if max(image.size) > MAX_SIDE:
                raise ImageError(f"too long: over {MAX_SIDE:,} pixels a side")
            self._keep(key, image)
            small = image.copy()
            small.thumbnail((SMALL, SMALL))
            photo = Photo(name, data, image.size, small, parts(small), notes)
            self.photos.put(key, photo, len(data) + 8 * SMALL**2)
        return key, photo

    def picture(self, key, settings, kind, full):
        """A picture to look at: bytes and MIME type.

        kind: "colour", "gray" (its lightness) or "photo" (as it came). full: at the photo's own
        size, as a JPEG if it can hold it; else small, as a PNG, which loses nothing. Raises Gone.
        """
        photo = self._photo(key)
        if kind == "photo":
            image = self._decoded(photo) if full else photo.small
        else:
            image = self._made(key, photo, settings if kind == "colour" else None, full)
        file = io.BytesIO()
        options = FULL_JPEG if full and max(image.size) <= MAX_JPEG_SIDE else FAST_PNG
        flatten(image).save(file, **options)
        return file.getvalue(), f"image/{options['format'].lower()}"

    def file(self, key, settings, extension):
        """The file that infer.py would write, but for the folder that it came from. Raises Gone."""
        photo, file = self._photo(key), io.BytesIO()
        image = self._made(key, photo, settings, full=True)
        name = f"photo.color.{extension}"
        kept = metadata(io.BytesIO(photo.data), name)
        of = mark(photo.name, b"", io.BytesIO(photo.data))
        save_image(image, file, name, of=of, **kept)
        return file.getvalue()

    def belief(self, key, settings, u, v):
        """What the network believes of a place, JSON-able: the size of the logits, the place among
        them, L there, and Q logits; of a regression network ab in their stead. Raises Gone."""
        photo = self._photo(key)
        logits, (lightness, _) = self._logits(key, photo, settings)[0], photo.parts
        row, column = place(logits.shape, u, v)
        answer = {
            "height": logits.shape[0],
            "width": logits.shape[1],
            "row": row,
            "column": column,
            "L": float(lightness[place(lightness.shape, u, v)]),
        }
        colorizer = self.colorizers[settings.weights]
        if colorizer.regression:
            (ab,) = colorizer.colors(logits[None, row, column], strength=1)
            return {**answer, "ab": to_host(ab).tolist()}
        return {**answer, "logits": to_host(logits[row, column]).tolist()}

    def _photo(self, key):
        if (photo := self.photos.get(key)) is None:
            raise Gone
        return photo

    def _decoded(self, photo):
        return read_image(io.BytesIO(photo.data), limit=MAX_PIXELS, tell=lambda line: None)

    def _keep(self, key, image):
        """Lightness and alpha of a decoded photo, kept as the last."""
        self.let_pass()
        self.last = key, parts(image)
        return self.last[1]

    def _full(self, key, photo):
        """Lightness (H, W) and alpha of a photo at its own size."""
        return self.last[1] if self.last[0] == key else self._keep(key, self._decoded(photo))

    def _logits(self, key, photo, settings):
        """(1, h, w, Q), on the device."""
        look = key, settings.weights, settings.size
        if (logits := self.logits.get(look)) is None:
            lightness, _ = self._full(key, photo)
            self.let_pass()
            if self.looked != look[1:]:
                give_back()
            self.looked = look[1:]
            logits, _ = self.colorizers[settings.weights].predict([lightness], settings.size)
            self.logits.put(look, logits, logits.nbytes)
        return logits

    def _made(self, key, photo, settings, full):
        """A PIL image, coloured, or grey where settings is None."""
        ab, fit = np.zeros((1, 1, 2), np.float32), flat_lines  # without a colour
        hints, beliefs = (), None
        if settings is not None:
            fit, hints = fit_lines if settings.guided else flat_lines, settings.hints
            colorizer = self.colorizers[settings.weights]
            logits = self._logits(key, photo, settings)
            (ab,) = colorizer.colors(logits, settings.temperature, settings.strength)
            beliefs = None if colorizer.regression else logits[0]
        lightness, alpha = self._full(key, photo) if full else photo.parts
        ab = follow(ab, hints, lightness, beliefs)
        return joined(paint(lightness, ab, fit, self.let_pass if full else None), alpha)
