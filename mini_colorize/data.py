"""Photographs -> batches of uint8 sRGB crops (chapter 10).

Notation
    n       photos
    k       number of a batch, 0, 1, 2, ...; with one batch a step this is the training step
    s       number of a sample, k * batch + i; sample s is position s % n of epoch s // n
    resize  length in pixels of the shorter side after resizing
    size    side in pixels of the square crop, size <= resize
    step    pixels of the file between two pixels of the resized photo

Batch k is a pure function of (photos, seed, k). Epoch e visits every photo once in an order drawn
from (seed, e), and sample p of it is cropped with a generator drawn from (seed, e, p). Nothing is
carried from one batch to the next, so the place in the data is the step number alone: training
that starts again at step k sees exactly the batches it would have seen, with any number of workers.

Source: the authors' recipe, 176 x 176 crops of pictures 256 wide, flipped half the time.
"""

import contextlib
import itertools
import math
import threading
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from .cache import PhotoCache, made_ahead
from .command import own_cores
from .files.canonical import flatten
from .files.images import ImageError, read_image
from .photos import DataError
from .team import ALONE

ASPECT = 8  # of a photo that is longer, only the middle is used
REDUCING_GAP = 3  # a picture this many times too large is first averaged in whole blocks: faster
BITS = 24  # of the numbers in which Pillow takes the corners of a box
GROUND, FRAME = (0.55, 0.95), 4  # of `framed`: a crop's share of the side; widest frame, pixels


class ResizedPhoto:
    """A photo whose shorter side is `resize`, of which only the parts that are asked for are made.

    photo: what read_image takes; transparency is laid over white. height, width: pixels.
    The step is rounded down to a number that Pillow's arithmetic holds exactly, and so are its
    multiples: a part has the same bits whether it is made alone or cut out of the whole.
    Raises ImageError.
    """

    def __init__(self, photo, resize):
        image = flatten(read_image(photo, draft_side=resize))
        short, long = sorted(image.size)
        if long > ASPECT * short:
            image = _middle(image, ASPECT * short)
        blocks = int(min(image.size) / resize / REDUCING_GAP)
        if blocks > 1:
            image = image.reduce(blocks)
        unit = 2.0 ** (math.ceil(math.log2(max(image.size))) - BITS)
        self.step = math.floor(min(image.size) / resize / unit) * unit
        self.width, self.height = (max(resize, int(side / self.step)) for side in image.size)
        self.image = image

    def part(self, x, y, width, height):
        """(height, width, 3) uint8 sRGB from column x and row y on."""
        if self.step == 1:
            return np.asarray(self.image.crop((x, y, x + width, y + height)))
        # Bicubic, which Pillow widens when it shrinks (no aliasing): sharper than bilinear, and a
        # blurred photo teaches pale colours. First along the rows, then along the columns: left to
        # itself, Pillow takes the order that is faster, and each order rounds in its own way.
        left, top, right, bottom = (v * self.step for v in (x, y, x + width, y + height))
        reach = 2 * max(1, self.step) + 1  # of the bicubic filter
        first, last = max(0, int(top - reach)), min(self.image.height, int(bottom + reach) + 1)
        rows = self.image.crop((0, first, self.image.width, last))
        bicubic = Image.Resampling.BICUBIC
        rows = rows.resize((width, last - first), bicubic, box=(left, 0, right, last - first))
        box = (0, top - first, width, bottom - first)
        return np.asarray(rows.resize((width, height), bicubic, box=box))


class CachedPhoto:
    """A photo that was resized before. pixels: (height, width, 3) uint8."""

    def __init__(self, pixels):
        self.pixels, (self.height, self.width) = pixels, pixels.shape[:2]

    def part(self, x, y, width, height):
        return self.pixels[y : y + height, x : x + width]


def _middle(image, longest):
    """The middle of an image that is longer than `longest` pixels."""
    width, height = (min(side, longest) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def resized_pixels(photo, resize):
    """The whole of a ResizedPhoto, (height, width, 3) uint8 sRGB. Raises ImageError."""
    whole = ResizedPhoto(photo, resize)
    return np.array(whole.part(0, 0, whole.width, whole.height))


def load_crop(photo, size, resize, rng=None):
    """One square crop of one photo: `crop` of its ResizedPhoto. Raises ImageError, before
    anything is drawn from rng."""
    return crop(ResizedPhoto(photo, resize), size, rng)


def crop(photo, size, rng=None, scale=1.0, frame=0.0):
    """One square crop.

    photo: ResizedPhoto or CachedPhoto. size: pixels, at most the photo's shorter side.
    rng: numpy Generator for a random crop, flipped with probability 1/2; None for the centre.
    scale: the crop is taken from a square whose side is drawn between size / scale and
        size * scale (evenly in its logarithm), but never larger than the photo.
    frame: the probability that it is then `framed`.
    Returns (size, size, 3) uint8 sRGB, C-contiguous.
    """
    side = size
    if rng is not None and scale > 1:
        side = min(round(size * scale ** rng.uniform(-1, 1)), photo.width, photo.height)
    free = photo.width - side, photo.height - side
    if rng is None:
        return np.array(photo.part(free[0] // 2, free[1] // 2, side, side))
    x, y = (int(rng.integers(f + 1)) for f in free)
    flip = rng.random() < 0.5
    pixels = photo.part(x, y, side, side)
    framing = frame > 0 and rng.random() < frame
    if not (flip or framing or side != size):
        return np.array(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if side != size:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    if flip:  # by Pillow, several times faster than a reversed copy in NumPy
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.array(framed(image, rng) if framing else image)


def framed(image, rng):
    """A square picture made smaller and laid on a ground, as on a page or an album's leaf.

    Photographs that are mostly white are rare, and a network that has seen none gives white paper
    a colour. The ground is white half the time, else any gray; half the pictures get a thin frame
    of another gray. Returns a PIL image of the same size.
    """
    size = image.width
    side = max(1, round(size * rng.uniform(*GROUND)))
    x, y = (int(rng.integers(size - side + 1)) for _ in "xy")
    ground, line = (int(v) for v in rng.integers(256, size=2))
    if rng.random() < 0.5:
        ground = 255
    paper = Image.new("RGB", (size, size), (ground,) * 3)
    if rng.random() < 0.5:
        wide = int(rng.integers(1, FRAME + 1))
        paper.paste((line,) * 3, (x - wide, y - wide, x + side + wide, y + side + wide))
    paper.paste(image.resize((side, side), Image.Resampling.BICUBIC), (x, y))
    return paper


class PhotoLoader:
    """Batches of crops from a list of photos, decoded ahead by threads.

    photos: list of PhotoFile or Path, n of them, n >= 1 (DataError if empty).
    size: side of the crops, pixels.
    batch: crops in a batch.
    resize: shorter side before the crop, pixels; default size * 256 / 176, the authors' ratio.
    seed: integer >= 0.
    augment: True for shuffled photos, random crops and flips, without end; False for each photo's
        centre, once, in the order given: the last batch may be smaller.
    scale, frame: of `crop`, with augment only.
    team: of several processes, each makes its own share of every batch.
    workers: threads; default the number of processors, at most 8; 0 decodes in the caller's
        thread. Threads do, where processes are usual, because Pillow lets go of Python's lock
        while it decodes and resizes.
    Raises ValueError for numbers out of range.

    A photo that cannot be read goes into `skipped`, a dict from it to a line that says why, and
    is not tried again. With augment, the next readable photo of that epoch's order takes its
    place, so batches stay full and repeatable; without, it is left out.
    `cache` may hold a PhotoCache: the photos are then taken from there, with the same bits.
    """

    def __init__(
        self,
        photos,
        *,
        size,
        batch,
        resize=None,
        seed=0,
        augment=True,
        scale=1.0,
        frame=0.0,
        workers=None,
        team=ALONE,
    ):
        resize = round(size * 256 / 176) if resize is None else resize
        workers = min(8, own_cores()) if workers is None else workers
        if not (1 <= size <= resize and batch >= 1 and seed >= 0 and workers >= 0):
            raise ValueError(f"out of range: {size=}, {resize=}, {batch=}, {seed=}, {workers=}")
        self.photos = list(photos)
        if not self.photos:
            raise DataError("no photos")
        self.size, self.batch, self.resize = size, batch, resize
        self.seed, self.augment, self.workers = seed, augment, workers
        self.scale, self.frame = scale, frame
        self.skipped, self.cache, self.team = {}, None, team

    def __len__(self):
        """The number of photos, n (not of batches)."""
        return len(self.photos)

    def plan_cache(self, taken=0):
        """Make a PhotoCache for the photos, to be filled by fill_cache, and return it.

        taken: bytes that another cache will take. Raises DataError if the photos do not fit.
        """
        sharing = self.team.local_size
        self.cache = PhotoCache(self.photos, self.resize, resized_pixels, ASPECT, taken, sharing)
        return self.cache

    def fill_cache(self):
        """Decode every photo once and keep it in memory. Raises DataError if they do not fit."""
        if self.cache is None:
            self.plan_cache()
        self.skipped |= self.cache.fill(max(1, self.workers))
        return self.cache

    def batches(self, start=0, stop=None, whole=False):
        """Generate the batches start, start + 1, ... up to but not including stop, in order.

        stop: None for no end; without augment the photos are the end. whole: also what is others'
        share.
        Yields (batch, size, size, 3) uint8 sRGB, C-contiguous, the receiver's to keep. With
        augment, batches run across the end of an epoch into the next, so every one is full.
        Memory: the workers keep at most workers + 1 batches ready or in the making.
        Closing the generator, or an exception, stops the workers after the crop each is at.
        Raises DataError if no photo can be read.
        """
        if not self.augment:
            all_of_them = -(-len(self.photos) // self.batch)
            stop = all_of_them if stop is None else min(stop, all_of_them)
        numbers = itertools.count(start) if stop is None else range(start, stop)
        # Crops of cached photos are all Python, of which one thread runs at a time, unless Pillow
        # makes them larger or smaller.
        resized = self.augment and (self.scale > 1 or self.frame > 0)
        workers = self.workers if self.cache is None or resized else min(1, self.workers)
        # One task makes one whole batch: tasks as small as a crop would spend Python's lock on
        # bookkeeping.
        closing, empty = threading.Event(), True
        places = range(self.batch) if whole else self.team.share(self.batch)
        make = partial(self._make, closing, places)
        ahead = made_ahead(make, numbers, workers, workers + 1, "photos", closing)
        with contextlib.closing(ahead):
            for made in ahead:
                if len(made):
                    empty = False
                    yield made
        if empty and len(self.skipped) == len(set(self.photos)):
            raise self._useless()

    def _make(self, closing, places, k):
        """Those crops of batch k that stand at `places`, a range of numbers below `batch`: (n, size,
        size, 3) uint8; None, soon, once the event `closing` is set."""
        crops = np.empty((len(places), self.size, self.size, 3), np.uint8)
        made = 0
        for place in places:
            i = k * self.batch + place
            if closing.is_set():
                return None
            if self.augment:
                crops[made] = self._sample(*divmod(i, len(self.photos)))
            elif i >= len(self.photos) or (photo := self._read(self.photos[i])) is None:
                continue
            else:
                crops[made] = crop(photo, self.size)
            made += 1
        return crops[:made]

    def _sample(self, epoch, position):
        """The crop at `position` of `epoch`, (size, size, 3) uint8, or that of its stand-in."""
        n = len(self.photos)
        order = _shuffled(n, self.seed, epoch)
        # + 1: NumPy pads a seed with zeros, so (seed, epoch, 0) would be the shuffle's own.
        rng = np.random.default_rng((self.seed, epoch, position + 1))
        for step in range(n):
            photo = self._read(self.photos[order[(position + step) % n]])
            if photo is not None:
                return crop(photo, self.size, rng, self.scale, self.frame)
        raise self._useless()

    def _read(self, photo):
        """A photo to be cropped, or None if it cannot be read."""
        if photo in self.skipped:
            return None
        try:
            if self.cache is not None:
                return CachedPhoto(self.cache[photo])
            return ResizedPhoto(photo, self.resize)
        except ImageError as error:
            self.skipped[photo] = str(error)
            return None

    def _useless(self):
        reason = list(self.skipped.values())[0]
        n = len(self.photos)
        return DataError(f"none of the {n} photos can be read; one of them: {reason}")


@lru_cache(maxsize=4)
def _shuffled(n, seed, epoch):
    """The order of an epoch: a permutation of 0..n-1, (n,) int64. Kept for the epochs in use."""
    return np.random.default_rng((seed, epoch)).permutation(n)
