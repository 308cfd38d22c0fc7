"""What is measured: the truth, two baselines, and networks. Each gives a photo an ab picture.

Notation
    H, W   a photo's own size       S   side the network works at      h = w = S/4
"""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from ..backend import to_host
from ..bins import Q
from ..color import normalize_lightness, rgb_to_lab
from ..colorizer import Colorizer
from ..data import DataError
from ..guided import enlarge, fit_lines
from ..images import ImageError, flatten, read_image
from ..losses import softmax_cross_entropy
from ..training import targets
from .measures import classes


class Photo:
    """A photograph and what is true of it; each array is made when first asked for.

    path: Path. name: str, what it is called in the folder, whatever the folder. Raises ImageError.
    rgb: (H, W, 3) uint8. lab: (H, W, 3) float32. label: (H, W) int32, the class of each pixel.
    """

    def __init__(self, path, name):
        self.path, self.name = path, name
        self.rgb = np.asarray(flatten(read_image(path)))
        self.size = self.rgb.shape[:2]

    @cached_property
    def lab(self):
        return rgb_to_lab(self.rgb)

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
    paths: list of Path, in any order. Raises DataError if there are fewer than two.
    """

    name = "random"

    def __init__(self, paths, seed=0):
        if len(paths) < 2:
            raise DataError("one photo is too few: at least two are needed")
        circle = sorted(paths)
        order = np.random.default_rng(seed).permutation(len(circle))
        self.circle = [circle[i] for i in order]
        self.place = {path: i for i, path in enumerate(self.circle)}

    def answer(self, photos):
        return [Answer(self._lent(photo)) for photo in photos]

    def _lent(self, photo):
        n, start = len(self.circle), self.place[photo.path]
        for step in range(1, n):
            try:
                image = flatten(read_image(self.circle[(start + step) % n]))
            except ImageError:
                continue
            wanted = photo.size[::-1]
            image = image.resize(wanted, Image.Resampling.BICUBIC, reducing_gap=3.0)
            return rgb_to_lab(np.asarray(image))[..., 1:]
        raise DataError("only one photo can be read: at least two are needed")


class Checkpoint:
    """A network, coloured with exactly as infer.py does.

    weights: file or run's folder, None for the shipped ones. temperature: of the annealed mean;
    size: S; None for those that the weights recommend. device: "auto", "cpu" or "cuda".
    Raises CheckpointError, DeviceError, ValueError.
    """

    def __init__(self, weights=None, temperature=None, size=None, device="cpu"):
        self.colorizer = Colorizer.load(weights, device, temperature=temperature, size=size)
        self.weights = "shipped weights" if weights is None else str(weights)
        self.regression = self.colorizer.network.head == "ab"
        self.ones = self.colorizer.xp.ones(Q, dtype=np.float32)
        how = "regression" if self.regression else f"T {self.colorizer.temperature:g}"
        self.name = f"{self.weights}, {how}, S {self.colorizer.size}"

    def warm_up(self):
        """Do once what only the first picture costs (compiled kernels, fresh memory)."""
        self.colorizer.predict(np.full((8, 8), 50, np.float32))

    def answer(self, photos):
        colorizer, xp = self.colorizer, self.colorizer.xp
        start = time.perf_counter()
        small = np.stack([colorizer.shrunk(photo.lab[..., 0]) for photo in photos])
        logits = colorizer.inference.forward(normalize_lightness(xp.asarray(small))[..., None])
        color = colorizer.network.colors(logits, colorizer.temperature).astype(np.float32)
        lightness = [np.ascontiguousarray(photo.lab[..., 0]) for photo in photos]
        large = [to_host(enlarge(fit_lines(l, ab), l)) for l, ab in zip(lightness, color)]
        seconds = (time.perf_counter() - start) / len(photos)
        nats = [None if self.regression else self._nats(*pair) for pair in zip(photos, logits)]
        return [Answer(ab, n, seconds) for ab, n in zip(large, nats)]

    def _nats(self, photo, logits):
        """The unweighted loss, as in training: on the photo at S x S, at one pixel of every 4 x 4.

        logits: (h, w, Q), overwritten. Returns a float, or None for a photo without colour.
        """
        side = (self.colorizer.size,) * 2
        rgb = np.asarray(Image.fromarray(photo.rgb).resize(side, Image.Resampling.BICUBIC))
        _, index, weight = targets(self.colorizer.xp.asarray(rgb[None]))
        if not bool(weight.any()):
            return None
        loss = softmax_cross_entropy(logits[None], index, weight, self.ones)
        return float(loss.unweighted)


def photo_name(path, folder):
    """What a photo is called in its folder: a POSIX path. Returns a str."""
    return Path(path).relative_to(folder).as_posix()
