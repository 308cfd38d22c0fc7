"""Chapter 11: a photograph in, a coloured photograph out.

The network sees the photo's lightness at S x S and answers with ab at S/4 x S/4. Eyes are sharp
for lightness and blurred for colour, so the small ab is enlarged along the photo's edges
(guided.py) and laid under the photo's own, untouched lightness, at the photo's own resolution.

Notation
    H, W    the photo's size         S       side the network works at, a multiple of 8
    L       lightness, 0..100        h, w    S/4
"""

import importlib

import numpy as np
from PIL import Image

from .backend import array_module, select_device, set_precision, to_host
from .bins import TEMPERATURE
from .color import lab_to_rgb, normalize_lightness, rgb_to_lightness, to_byte
from .fast.graphs import Graphs
from .files import checkpoint
from .files.canonical import canonical, from_array
from .files.images import read_image
from .guided import enlarge, fit_lines
from .network import MULTIPLE
from .ops import ops

STRIP_PIXELS = 2**18  # full-resolution pixels treated at a time: bounds memory for any photo
WIDE = STRIP_PIXELS // 16  # of wider photos a strip is few rows, and each costs a matrix as wide
SIZE = 256  # the paper's
MAX_STRENGTH = 10
UNHEARD = "--temperature has no say: a regression network knows one colour for each place"
BICUBIC = Image.Resampling.BICUBIC


def parts(image):
    """Of a PIL image, RGB or RGBA: L, (H, W) float32, and its alpha, an image or None."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    return lightness_of(np.asarray(image)[..., :3]), alpha


def joined(rgb, alpha):
    """A PIL image of (H, W, 3) uint8 and what `parts` gave, an alpha or None."""
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(alpha)
    return image


def paint(lightness, ab, fit=fit_lines, between=None):
    """Enlarge ab to the lightness's size and make a picture of both.

    lightness: (H, W) float32, L, NumPy. ab: (h, w, 2) float32, on any device. fit: how to enlarge,
    guided.fit_lines along the photo's edges or guided.flat_lines bilinearly. between: function,
    called before each strip; what it raises ends the work.
    Returns (H, W, 3) uint8 sRGB, NumPy.
    """
    if WIDE < lightness.shape[1] > lightness.shape[0]:
        turned = np.ascontiguousarray(lightness.T), ab.transpose(1, 0, 2)
        return np.ascontiguousarray(paint(*turned, fit, between).transpose(1, 0, 2))
    xp, lines = array_module(ab), fit(lightness, ab)
    picture = np.empty((*lightness.shape, 3), np.uint8)
    for rows in _strips(*lightness.shape):
        if between is not None:
            between()
        light = xp.asarray(lightness[rows])[..., None]
        lab = xp.concatenate([light, enlarge(lines, lightness, rows)], axis=-1)
        picture[rows] = to_host(to_byte(ops(lab).lab_to_rgb(lab)))
    return picture


def _strips(height, width):
    """Slices of rows of about STRIP_PIXELS pixels each."""
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def lightness_of(rgb):
    """L of a uint8 picture (H, W, 3), made in strips. Returns (H, W) float32."""
    lightness = np.empty(rgb.shape[:2], np.float32)
    for rows in _strips(*rgb.shape[:2]):
        lightness[rows] = rgb_to_lightness(rgb[rows])
    return lightness


def gray(lightness):
    """A grey picture, (H, W, 3) uint8. lightness: (H, W) float32, L."""
    lab = np.zeros((*lightness.shape, 3), np.float32)
    lab[..., 0] = lightness
    return to_byte(lab_to_rgb(lab))


def check_temperature(temperature):
    """Raises ValueError."""
    most = checkpoint.MAX_TEMPERATURE
    if not 0 <= temperature <= most:
        raise ValueError(f"temperature {temperature:g}: must be 0 or more, at most {most}")


class Colorizer:
    """Colours photographs with one network.

        colorizer = Colorizer.load()
        colorizer("photo.jpg").save("photo.color.png")

    network: a Network with weights. size: S. temperature: of the annealed mean (0 the
    likeliest colour, 1 the mean); a regression network ignores it. precision: "fp32", on a GPU
    also "tf32", "mixed". strength: multiplies the colours, 0 for none. Can be pickled and copied.
    Raises ValueError for numbers out of range, DeviceError for a precision that cannot be had.
    """

    def __init__(
        self, network, size=SIZE, temperature=TEMPERATURE, xp=np, precision="fp32", strength=1.0
    ):
        whole = hasattr(size, "__index__") and not isinstance(size, bool)
        if not whole or size % MULTIPLE or not 0 < size <= checkpoint.MAX_SIZE:
            most = checkpoint.MAX_SIZE
            raise ValueError(f"size {size}: must be a multiple of {MULTIPLE}, at most {most}")
        check_temperature(temperature)
        if not 0 <= strength <= MAX_STRENGTH:
            raise ValueError(f"strength {strength:g}: must be 0 to {MAX_STRENGTH}")
        self.network, self.size, self.xp = network, int(size), xp
        self.temperature, self.strength = temperature, strength
        set_precision(precision, xp)
        self.inference = network.folded().to(xp)
        if precision == "mixed":
            self.inference.halved()
        self.graphs = Graphs(xp)

    @property
    def regression(self):
        """Whether the network says a colour, not a distribution: it has no temperature."""
        return self.network.head == "ab"

    def __getstate__(self):
        # A module and a graph cannot be pickled.
        return {**self.__dict__, "xp": self.xp.__name__, "graphs": None}

    def __setstate__(self, state):
        self.__dict__.update(state, xp=importlib.import_module(state["xp"]))
        self.graphs = Graphs(self.xp)

    @classmethod
    def load(cls, weights=None, device="cpu", number=0, **options):
        """From a file of weights, a run's folder, or the name of shipped weights, "full" or "tiny".

        None is "full"; "tiny" takes half of the time and a third of the memory, and is paler.

        device: "auto", "cpu" or "cuda". number: as of select_device. options: size and temperature (by default what the
        weights recommend, else the paper's), precision, strength. The attribute `device` says in
        one line what was chosen and why. Raises CheckpointError, DeviceError, ValueError.
        """
        network, meta = checkpoint.load_network(weights)
        options = {key: value for key, value in options.items() if value is not None}
        options.setdefault("size", meta.get("size", SIZE))
        options.setdefault("temperature", meta.get("temperature", TEMPERATURE))
        xp, line = select_device(device, number)
        colorizer = cls(network, xp=xp, **options)
        colorizer.device = line
        return colorizer

    def __call__(self, image):
        """Colour one photo. A colour photo is turned grey first.

        image: what read_image takes (a path, a binary file), a PIL image of any mode, or an array,
            (H, W) or (H, W, 3), of uint8, uint16 or float, see from_array.
        Returns a PIL image of the photo's size, upright, RGB, or RGBA if there was alpha.
        Raises ImageError if a path cannot be read.
        """
        if isinstance(image, np.ndarray):
            image = from_array(image)
        elif not isinstance(image, Image.Image):
            image = read_image(image)
        # Nothing is left to make canonical if it comes from read_image.
        lightness, alpha = parts(canonical(image))
        _, (ab,) = self.predict([lightness])
        return joined(paint(lightness, ab), alpha)

    def predict(self, photos, size=None):
        """What the network says of photos. photos: list of (H, W) float32, L, each of any size.

        size: S, or our own. Returns logits (n, h, w, Q) and ab (n, h, w, 2) float32, on the device.
        """
        side = (size or self.size,) * 2
        small = [Image.fromarray(lightness).resize(side, BICUBIC) for lightness in photos]
        (logits,) = self.graphs("look", self._look, self.xp.asarray(np.stack(small)))
        return logits, self.colors(logits)

    def _look(self, small):
        return (self.inference.forward(normalize_lightness(small)[..., None]),)

    def colors(self, logits, temperature=None, strength=None):
        """The ab of `predict`, at this temperature and strength or our own."""
        temperature = self.temperature if temperature is None else temperature
        strength = self.strength if strength is None else strength
        ab = self.network.colors(logits, temperature).astype(np.float32, copy=False)
        return ab if strength == 1 else ab * strength

    @staticmethod
    def enlarge(lightness, ab):
        """ab at the photo's size, whole. Both as of `predict`. Returns (H, W, 2) float32, NumPy."""
        return to_host(enlarge(fit_lines(lightness, ab), lightness))
