"""How fast photos become batches: PhotoLoader against a bare Pillow loop.

    python benchmarks/loader.py [--data DIR] [--size 176] [--rounds 5]

The bare loop is the straightforward one, in one thread: open, draft, resize so that the shorter
side is size * 256 / 176, random crop, asarray. The candidates take turns within each round, so a
load on the machine meets them all, and the median of the rounds counts. Without --data the photos
are JPEGs made for the occasion, 500 x 375, smoothed noise at quality 90.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mini_colorize.data import PhotoLoader  # noqa: E402
from mini_colorize.photos import find_photos  # noqa: E402

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
    """Returns {name: [images/s of each round]}. Round 0 warms the disk cache and is dropped."""
    resize = round(size * 256 / 176)
    cache = PhotoLoader(paths, size=size, resize=resize, batch=BATCH).fill_cache()
    candidates = {
        "bare Pillow loop": lambda: bare(paths, size, resize),
        "loader, 1 worker": lambda: loader(paths, size, resize, 1),
        "loader, 2 workers": lambda: loader(paths, size, resize, 2),
        "loader, cached": lambda: loader(paths, size, resize, 1, cache),
        "cached, scaled, 1": lambda: loader(paths, size, resize, 1, cache, 1.25),
        "cached, scaled, 2": lambda: loader(paths, size, resize, 2, cache, 1.25),
    }
    rates = {name: [] for name in candidates}
    for _ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            rates[name].append(len(paths) / (time.perf_counter() - start))
    return {name: values[1:] for name, values in rates.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of photographs")
    parser.add_argument("--size", type=int, default=176, help="side of the crops, pixels")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if arguments.data is None:
            make_photos(Path(made))
        photos = find_photos(arguments.data or made)
        photos = photos[:: max(1, len(photos) // 480)][:480]
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
