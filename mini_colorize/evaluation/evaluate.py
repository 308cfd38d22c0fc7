"""The loop: every photo once through every system. Only one batch of photos is in memory."""

import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from ..color import lab_to_rgb, to_byte
from ..files.images import ImageError
from ..measures import colorfulness, histogram, squared_error
from ..photos import DataError
from ..team import ALONE
from .systems import Photo
from .tally import Tally, times_drawn


@dataclass
class Evaluation:
    """What came out. tallies: one a system, in their order. skipped: path -> why."""

    data: str  # where the photos are
    systems: list
    seed: int
    photos: int = 0
    tallies: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)

    def class_pixels(self):
        """Pixels of each class in the truth, (Q,) int64."""
        return self.tallies[0].histogram.sum(axis=1)


def limited(photos, limit):
    """At most `limit` of the photos, evenly spread. Returns a list. None is no limit."""
    if limit is None or limit >= len(photos):
        return list(photos)
    return [photos[i * len(photos) // limit] for i in range(limit)]


def evaluate(photos, systems, *, data="", seed=0, batch=1, progress=True, team=ALONE):
    """Measure systems on photos.

    photos: list of PhotoFile. data: where they are, for the report. systems: list with `name` and
    `answer`, see systems. batch: photos a network sees at a time; changes nothing but the speed.
    team: those who share the photos; all get the whole result. Photos that cannot be read are
    skipped. Raises DataError if fewer than two can be.
    """
    result = Evaluation(data, systems, seed, tallies=[Tally() for _ in systems])
    for system in systems:
        getattr(system, "warm_up", lambda: None)()
    held, names = [], Counter()
    with tqdm(photos, "evaluate", unit="photo", leave=False, disable=not progress) as bar:
        for i, file in enumerate(bar):
            names[file.name] += 1
            if i % team.size != team.rank:
                continue
            again = f" ({names[file.name]})" if names[file.name] > 1 else ""
            try:
                held.append(Photo(file, file.name + again))
            except ImageError as error:
                result.skipped[str(file)] = str(error)
                bar.write(f"skipped: {error}")
            if len(held) == batch:
                _measure(held, result)
                held = []
        if held:
            _measure(held, result)
    for tally in result.tallies:
        tally.merge(team)
    result.photos = sum(team.all(result.photos))
    for skipped in team.all(result.skipped):
        result.skipped |= skipped
    if result.photos < 2:
        raise DataError(f"{data}: {result.photos} photos can be read; at least two are needed")
    return result


def _measure(photos, result):
    """Take a batch of photos into the tallies."""
    drawn = [times_drawn(photo.name, result.seed) for photo in photos]
    for system, tally in zip(result.systems, result.tallies, strict=True):
        for photo, times, answer in zip(photos, drawn, system.answer(photos), strict=True):
            start = time.perf_counter()
            picture = painted(photo, answer.ab)
            seconds = np.nan
            if answer.seconds is not None:
                seconds = answer.seconds + time.perf_counter() - start
            counts = histogram(answer.ab, photo.lab[..., 1:], photo.label)
            error = squared_error(picture, photo.rgb)
            tally.add(times, counts, error, colorfulness(picture), answer.nats, seconds)
    result.photos += len(photos)


def painted(photo, ab):
    """The photo's own lightness under these colours. ab: (H, W, 2). Returns (H, W, 3) uint8."""
    lab = np.concatenate([photo.lightness[..., None], ab], axis=-1)
    return to_byte(lab_to_rgb(lab))
