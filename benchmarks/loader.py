"""How fast photos become batches: PhotoLoader against a bare Pillow loop.

    python -m benchmarks.loader [--data DIR] [--size 176] [--rounds 5]

The bare loop is the straightforward one, in one thread: open, draft, resize so that the shorter
side is size * 256 / 176, random crop, asarray. The candidates take turns within each round, so a
load on the machine meets them all, and the median of the rounds counts. Without --data the photos
are JPEGs made for the occasion, 500 x 375, smoothed noise at quality 90.
"""

import argparse
import os
import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.common import in_turn
from mini_colorize.data import PhotoLoader
from mini_colorize.evaluation.evaluate import limited
from mini_colorize.photos import find_photos

BATCH = 40


def make_photos(folder, count=240):
    """Write `count` JPEGs with detail at several scales, about as large as photographs are."""
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = np.full((375, 500, 3), 128.0)
        for cell, strength in ((100, 60), (25, 30), (6, 15), (1, 8)):
            shape = (375 // cell + 1, 500 // cell + 1, 3)
            noise = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            picture += (np.asarray(noise.resize((500, 375)), float) - 128) * strength / 64
        image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
        image.filter(ImageFilter.GaussianBlur(0.7)).save(folder / f"{i:03}.jpg", quality=90)


def bare(paths, size, resize):
    """The bare loop over `paths`: one (size, size, 3) uint8 crop each."""
    rng = np.random.default_rng(0)
    for path in paths:
        with path.open() as file, Image.open(file) as image:
            image.draft("RGB", (resize, resize))
            image = image.convert("RGB")
        scale = resize / min(image.size)
        wide, high = (max(resize, round(side * scale)) for side in image.size)
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
        x, y = int(rng.integers(wide - size + 1)), int(rng.integers(high - size + 1))
        np.asarray(image.crop((x, y, x + size, y + size)))


def loader(paths, size, resize, workers, cache=None, scale=1.0):
    """The same number of crops through PhotoLoader."""
    photos = PhotoLoader(paths, size=size, resize=resize, batch=BATCH, workers=workers, scale=scale)
    photos.cache = cache
    for _ in photos.batches(0, len(paths) // BATCH):
        pass


def measure(paths, size, rounds):
    """Returns {name: [images/s of each round]}."""
    resize = round(size * 256 / 176)
    cache = PhotoLoader(paths, size=size, resize=resize, batch=BATCH).fill_cache()
    load = partial(loader, paths, size, resize)
    candidates = {
        "bare Pillow loop": partial(bare, paths, size, resize),
        "loader, 1 worker": partial(load, 1),
        "loader, 2 workers": partial(load, 2),
        "loader, cached": partial(load, 1, cache),
        "cached, scaled, 1": partial(load, 1, cache, 1.25),
        "cached, scaled, 2": partial(load, 2, cache, 1.25),
    }
    seconds = in_turn(candidates, rounds)  # its first round warms the disk's cache
    return {name: [len(paths) / s for s in values] for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of photographs")
    parser.add_argument("--size", type=int, default=176, help="side of the crops, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if arguments.data is None:
            make_photos(Path(made))
        photos = limited(find_photos(arguments.data or made), 480)
        # Whole batches, so that every candidate decodes the same number.
        photos = photos * BATCH if len(photos) < BATCH else photos
        photos = photos[: len(photos) // BATCH * BATCH]
        rates = measure(photos, arguments.size, arguments.rounds)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{len(photos)} photos, crops of {arguments.size}, {os.cpu_count()} processors{load}")
    print(f"{'':20}{'images/s':>10}{'least':>8}{'most':>8}{'ratio':>8}")
    base = statistics.median(rates["bare Pillow loop"])
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"{name:20}{middle:10.0f}{min(values):8.0f}{max(values):8.0f}{middle / base:8.2f}")


if __name__ == "__main__":
    main()
