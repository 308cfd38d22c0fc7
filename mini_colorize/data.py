"""A folder of photographs -> batches of uint8 sRGB crops (chapter 7).

Notation
    n       photos
    k       number of a batch, 0, 1, 2, ...; with one batch a step this is the training step
    s       number of a sample, k * batch + i; sample s is position s % n of epoch s // n
    resize  length in pixels of the shorter side after resizing
    size    side in pixels of the square crop, size <= resize

Batch k is a pure function of (photos, seed, k). Epoch e visits every photo once in an order drawn
from (seed, e), and sample p of it is cropped with a generator drawn from (seed, e, p). Nothing is
carried from one batch to the next, so the place in the data is the step number alone: training
that starts again at step k sees exactly the batches it would have seen, with any number of workers.

Source: the authors' recipe, 176 x 176 crops of pictures 256 wide, flipped half the time.
"""

import itertools
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize.images import EXTENSIONS, ImageError, flatten, read_image


class DataError(Exception):
    """A folder or a list of photos is of no use. One line for a person."""


def find_photos(folder):
    """All photos in a folder and the folders below it (flat, or one folder a class).

    folder: str or Path.
    Returns a list of Path, sorted by their POSIX path inside `folder`, so that the order, and
    with it every batch, is the same on every machine. A photo is a file whose extension is in
    images.EXTENSIONS. Names with a leading dot are left out. Linked folders are followed; each
    real folder is visited once, so links in a circle do no harm.
    Raises DataError if the folder is missing, cannot be read or holds no photos.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder")
    found, visited = [], set()
    try:
        _collect(str(folder), "", found, visited)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot read this folder ({error.strerror})") from None
    if not found:
        raise DataError(f"{folder}: holds no pictures")
    return [folder / name for name in sorted(found)]


def _collect(folder, prefix, found, visited):
    """Append the POSIX paths of the photos below `folder`, each with `prefix` before it."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    with os.scandir(folder) as entries:
        # Sorted, because of several links to one folder the first is the one that counts.
        entries = sorted(entries, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            _collect(entry.path, f"{prefix}{entry.name}/", found, visited)
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS and entry.is_file():
            found.append(prefix + entry.name)


def load_crop(path, size, resize, rng=None):
    """One square crop of one photo.

    path: str or Path; transparency is laid over white.
    size, resize: pixels, 1 <= size <= resize. The photo is resized so that its shorter side is
        `resize`; the crop is size x size.
    rng: numpy Generator for a random crop, flipped with probability 1/2; None for the centre.
    Returns (size, size, 3) uint8 sRGB, C-contiguous.
    Raises ImageError, before anything is drawn from rng.
    """
    image = flatten(read_image(path, draft_side=resize))
    width, height = image.size
    scale = resize / min(width, height)
    wide, high = max(resize, round(width * scale)), max(resize, round(height * scale))
    flip = False
    if rng is None:
        x, y = (wide - size) // 2, (high - size) // 2
    else:
        x, y = int(rng.integers(wide - size + 1)), int(rng.integers(high - size + 1))
        flip = rng.random() < 0.5
    # The resized picture is never made: only the crop is, from its box in the source. That halves
    # the work at 176 of 256, and a picture of 1 x 5000 costs no more than any other.
    to_x, to_y = width / wide, height / high
    box = (x * to_x, y * to_y, min((x + size) * to_x, width), min((y + size) * to_y, height))
    # Bicubic, which Pillow widens when it shrinks (no aliasing): sharper than bilinear, and a
    # blurred photo teaches pale colours. reducing_gap 3 shrinks huge pictures in two steps.
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    if flip:  # by Pillow, several times faster than a reversed copy in NumPy
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(crop)


class PhotoLoader:
    """Batches of crops from a list of photos, decoded ahead by threads.

    paths: list of Path, n of them, n >= 1 (DataError if empty).
    size: side of the crops, pixels.
    batch: crops in a batch.
    resize: shorter side before the crop, pixels; default size * 256 / 176, the authors' ratio.
    seed: integer >= 0.
    augment: True for shuffled photos, random crops and flips; False for the photos in the order
        given, again and again, each one's centre.
    workers: threads; default the number of processors, at most 8; 0 decodes in the caller's
        thread. Threads do, where processes are usual, because Pillow lets go of Python's lock
        while it decodes and resizes.
    Raises ValueError for numbers out of range.

    A photo that cannot be read goes into `skipped`, a dict from its path to a line that says why,
    and is not tried again. The next readable photo of that epoch's order takes its place, so
    batches stay full and repeatable.
    """

    def __init__(self, paths, *, size, batch, resize=None, seed=0, augment=True, workers=None):
        resize = round(size * 256 / 176) if resize is None else resize
        workers = min(8, os.cpu_count() or 1) if workers is None else workers
        if not (1 <= size <= resize and batch >= 1 and seed >= 0 and workers >= 0):
            raise ValueError(f"out of range: {size=}, {resize=}, {batch=}, {seed=}, {workers=}")
        self.paths = list(paths)
        if not self.paths:
            raise DataError("no photos")
        self.size, self.batch, self.resize = size, batch, resize
        self.seed, self.augment, self.workers = seed, augment, workers
        self.skipped = {}

    def __len__(self):
        """The number of photos, n (not of batches, of which there is no end)."""
        return len(self.paths)

    def batches(self, start=0, stop=None):
        """Generate the batches start, start + 1, ... up to but not including stop, in order.

        stop: None for no end.
        Yields (batch, size, size, 3) uint8 sRGB, C-contiguous, the receiver's to keep. Batches
        run across the end of an epoch into the next, so every one is full.
        Memory: the workers keep at most workers + 1 batches ready or in the making.
        Closing the generator, or an exception, stops the workers after the crop each is at.
        Raises DataError if no photo can be read.
        """
        numbers = iter(itertools.count(start) if stop is None else range(start, stop))
        closing = threading.Event()
        if self.workers == 0:
            for k in numbers:
                yield self._make(k, closing)
            return
        # One task makes one whole batch: tasks as small as a crop would spend Python's lock on
        # bookkeeping.
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="photos")
        try:
            ahead = itertools.islice(numbers, self.workers + 1)
            pending = deque(pool.submit(self._make, k, closing) for k in ahead)
            while pending:
                made = pending.popleft().result()
                for k in itertools.islice(numbers, 1):
                    pending.append(pool.submit(self._make, k, closing))
                yield made
        finally:
            closing.set()
            pool.shutdown(cancel_futures=True)

    def _make(self, k, closing):
        """Batch k, (batch, size, size, 3) uint8; None, soon, once the event `closing` is set."""
        crops = np.empty((self.batch, self.size, self.size, 3), np.uint8)
        for i in range(self.batch):
            if closing.is_set():
                return None
            crops[i] = self._sample(*divmod(k * self.batch + i, len(self.paths)))
        return crops

    def _sample(self, epoch, position):
        """The crop at `position` of `epoch`, (size, size, 3) uint8, or that of its stand-in."""
        n = len(self.paths)
        order, rng = range(n), None
        if self.augment:
            order = _shuffled(n, self.seed, epoch)
            # + 1: NumPy pads a seed with zeros, so (seed, epoch, 0) would be the shuffle's own.
            rng = np.random.default_rng((self.seed, epoch, position + 1))
        for step in range(n):
            path = self.paths[order[(position + step) % n]]
            if path in self.skipped:
                continue
            try:
                return load_crop(path, self.size, self.resize, rng)
            except ImageError as error:  # rng is as it was
                self.skipped[path] = str(error)
        reason = list(self.skipped.values())[0]
        raise DataError(f"none of the {n} photos can be read; one of them: {reason}")


@lru_cache(maxsize=4)
def _shuffled(n, seed, epoch):
    """The order of an epoch: a permutation of 0..n-1, (n,) int64. Kept for the epochs in use."""
    return np.random.default_rng((seed, epoch)).permutation(n)
