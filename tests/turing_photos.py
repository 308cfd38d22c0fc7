"""Photos and weights to make small pages of the Turing test from."""

import numpy as np
from PIL import Image

from mini_colorize.files import checkpoint
from mini_colorize.network import Network


def colorful(rng, size=(80, 96)):
    """A soft pattern of strong colours: (H, W, 3) uint8."""
    patches = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return np.asarray(patches.resize(size[::-1], Image.Resampling.BICUBIC))


def make_photos(folder, count, seed=0):
    """Write `count` photos with colour, some as PNG. Returns the folder."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        path = folder / f"secret-name-{i:02}.{'png' if i % 3 else 'jpg'}"
        Image.fromarray(colorful(rng)).save(path)
    return folder


def small_weights(path):
    """Weights of a network that colours at once, though badly. Returns the path."""
    rng = np.random.default_rng(0)
    network = Network(1 / 32)
    network.initialize(rng.uniform(-0.5, 0.5, (4, 32, 32, 1)).astype(np.float32))
    checkpoint.save_network(path, network, size=32)
    return path
