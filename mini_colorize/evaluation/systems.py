"""What is measured: the truth, two baselines, and networks. Each gives a photo an ab picture.

Notation
    H, W   a photo's own size       S   side the network works at      h = w = S/4
"""

import copy
import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from ..bins import Q
from ..color import rgb_to_lab
from ..colorizer import BICUBIC, Colorizer, check_temperature, lightness_of
from ..files.canonical import flatten
from ..files.checkpoint import DEFAULT
from ..files.images import ImageError, read_image
from ..measures import classes
from ..ops import ops
from ..photos import DataError
from ..targets import targets


class Photo:
    """A photograph and what is true of it; each array is made when first asked for.

    file: PhotoFile. name: str, unlike that of any other photo measured. Raises ImageError.
    rgb: (H, W, 3) uint8. lab: (H, W, 3) float32. label: (H, W) int32, the class of each pixel.
    """

    def __init__(self, file, name):
        self.file, self.name = file, name
        self.rgb = np.asarray(flatten(read_image(file)))
        self.size = self.rgb.shape[:2]

    @cached_property
    def lab(self):
        return rgb_to_lab(self.rgb)

    @cached_property
    def lightness(self):
        """(H, W) float32, L as infer.py has it."""
        return lightness_of(self.rgb)

    @cached_property
    def label(self):
        return classes(np.ascontiguousarray(self.lab[..., 1:]))


@dataclass
class Answer:
    """ab: (H, W, 2) float32. nats: the loss, if any. seconds: what it took, if that matters."""

    ab: np.ndarray
    nats: float | None = None
    seconds: float | None = None


class Truth:
    name = "ground truth"

    def answer(self, photos):
        """photos: list of Photo. Returns a list of Answer; so do all systems."""
        return [Answer(photo.lab[..., 1:]) for photo in photos]


class Gray:
    name = "gray"

    def answer(self, photos):
        return [Answer(np.zeros((*photo.size, 2), np.float32)) for photo in photos]


class Random:
    """The ab of another photo, stretched to this one's size.

    Who lends to whom is one circle through all photos, in an order drawn from the seed; a photo
    that cannot be read lends nothing, and the next one in the circle steps in.
    photos: list of PhotoFile, in any order. Raises DataError if there are fewer than two.
    """

    name = "random"

    def __init__(self, photos, seed=0):
        if len(photos) < 2:
            raise DataError("one photo is too few: at least two are needed")
        circle = sorted(photos, key=lambda photo: photo.name)
        order = np.random.default_rng(seed).permutation(len(circle))
        self.circle = [circle[i] for i in order]
        self.place = {file: i for i, file in enumerate(self.circle)}

    def answer(self, photos):
        return [Answer(self._lent(photo)) for photo in photos]

    def _lent(self, photo):
        n, start = len(self.circle), self.place[photo.file]
        for step in range(1, n):
            try:
                image = flatten(read_image(self.circle[(start + step) % n]))
            except ImageError:
                continue
            wanted = photo.size[::-1]
            image = image.resize(wanted, BICUBIC, reducing_gap=3.0)
            return rgb_to_lab(np.asarray(image))[..., 1:]
        raise DataError("only one photo can be read: at least two are needed")


class Checkpoint:
    """A network, and its colours as infer.py gives them.

    weights: as of Colorizer.load. temperature: of the annealed mean; size: S; None for those that
    the weights recommend. device: "auto", "cpu" or "cuda". name: in place of one made of all these.
    number: of this process on this machine.
    Raises CheckpointError, DeviceError, ValueError.
    """

    def __init__(
        self, weights=DEFAULT, temperature=None, size=None, device="cpu", name=None, number=0
    ):
        options = {"temperature": temperature, "size": size}
        self.colorizer = Colorizer.load(weights, device, number, **options)
        self.weights, self.own_name = str(weights), name
        self.temperature = self.colorizer.temperature
        self.seen = {}  # what the network made of the last photos, at any temperature

    def at(self, temperature):
        """The same network at another temperature: all of them see a photo only once."""
        check_temperature(temperature)
        other = copy.copy(self)
        other.temperature = temperature
        return other

    @property
    def name(self):
        if self.own_name is not None:
            return self.own_name
        how = "regression" if self.colorizer.regression else f"T {self.temperature:g}"
        return f"{self.weights}, {how}, S {self.colorizer.size}"

    def warm_up(self):
        """Do once what only the first picture costs (compiled kernels, fresh memory)."""
        self.colorizer.predict([np.full((8, 8), 50, np.float32)])

    def answer(self, photos):
        if self.seen.get("photos") is not photos:
            self.seen.update(self._see(photos))
        start, small = time.perf_counter(), self.seen["ab"]
        if self.temperature != self.colorizer.temperature:
            small = self.colorizer.colors(self.seen["logits"], self.temperature)
        lightness = [photo.lightness for photo in photos]
        large = list(map(self.colorizer.enlarge, lightness, small))
        seconds = (time.perf_counter() - start + self.seen["seconds"]) / len(photos)
        return [Answer(*each, seconds) for each in zip(large, self.seen["nats"], strict=True)]

    def _see(self, photos):
        """What the network says of photos, its losses and the seconds it took."""
        start = time.perf_counter()
        logits, ab = self.colorizer.predict([photo.lightness for photo in photos])
        seconds, nats = time.perf_counter() - start, [None] * len(photos)
        if not self.colorizer.regression:
            nats = [self._nats(*each) for each in zip(photos, logits, strict=True)]
        return {"photos": photos, "logits": logits, "ab": ab, "seconds": seconds, "nats": nats}

    def _nats(self, photo, logits):
        """The unweighted loss, as in training: on the photo at S x S, at one pixel of every 4 x 4.

        logits: (h, w, Q). Returns a float, or None for a photo without colour.
        """
        xp = self.colorizer.xp
        side = (self.colorizer.size,) * 2
        rgb = np.asarray(Image.fromarray(photo.rgb).resize(side, BICUBIC))
        _, index, weight = targets(xp.asarray(rgb[None]))
        if not bool(weight.any()):
            return None
        ones = xp.ones(Q, dtype=np.float32)
        loss = ops(logits).softmax_cross_entropy(logits[None].copy(), index, weight, ones)
        return float(loss.unweighted)
