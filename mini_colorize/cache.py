"""Photos kept in memory as they are after resizing (chapter 10): train.py --cache.

Decoding a photo takes longer than cropping it by far. A collection of small photos fits the
memory of a large machine: 41,000 with a shorter side of 128 pixels are 2.7 GB.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from .files.images import ImageError, picture_size
from .photos import DataError

PROBED = 200  # photos whose heads tell how much all of them will take
SHARE = 0.9  # of the free memory that the cache may have; the rest is for the training


class PhotoCache(dict):
    """photo -> (height, width, 3) uint8 sRGB, after `fill`.

    photos: list. resize: the shorter side, pixels. resized: function (photo, resize) -> pixels.
    aspect: the most that `resized` makes of the longer side, in shorter sides.
    taken: bytes of the free memory that another cache will take. sharing: processes of this machine
    that do the same, each with a cache of its own.
    Raises DataError in one line if they will not fit; `expected` says how many bytes they take.
    """

    def __init__(self, photos, resize, resized, aspect, taken=0, sharing=1):
        super().__init__()
        self.photos, self.resize, self.resized = list(dict.fromkeys(photos)), resize, resized
        free = free_memory()
        self.limit = float("inf") if free is None else max(0, free * SHARE / sharing - taken)
        probed = self.photos[:: -(-len(self.photos) // PROBED)]
        each = [self._bytes(photo, aspect) for photo in probed]
        self.expected = sum(each) / len(each) * len(self.photos)
        self._check(self.expected)

    def _bytes(self, photo, aspect):
        """How much a photo will take, from its head; 0 if it cannot be read."""
        try:
            short, long = sorted(picture_size(photo))
        except ImageError:
            return 0
        return self.resize**2 * min(long / short, aspect) * 3

    def _check(self, needed):
        if needed > self.limit:
            raise DataError(
                f"--cache: {len(self.photos):,} photos with a shorter side of {self.resize} take "
                f"{needed / 1e9:.1f} GB, and {self.limit / 1e9:.1f} GB are free for them; "
                "leave --cache out, or take a smaller --resize"
            )

    def __str__(self):
        return (
            f"{len(self.photos):,} photos, shorter side {self.resize}: {self.expected / 1e9:.2f} GB"
        )

    def fill(self, workers):
        """Decode every photo. Returns photo -> why, for those that cannot be read."""

        def make(photo):
            try:
                return photo, self.resized(photo, self.resize)
            except ImageError as error:
                return photo, error

        taken, failed = 0, {}
        with closing(made_ahead(make, self.photos, workers, 8 * workers, "cache")) as made:
            for photo, pixels in tqdm(made, "cache", len(self.photos), leave=False, unit=" photos"):
                if isinstance(pixels, ImageError):
                    failed[photo] = str(pixels)
                    continue
                self[photo] = pixels
                taken += pixels.nbytes
                self._check(taken)
        return failed


def made_ahead(function, items, workers, most, name, stopping=None):
    """function(item) of each item, in order, made by threads ahead of who takes them.

    workers: threads; 0 makes each when it is asked for. most: results ready or in the making.
    name: of the threads. stopping: threading.Event, set before those that work are waited for, at
    the end, when the generator is closed, or after an exception.
    """
    items = iter(items)
    if workers == 0:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        pending = deque(pool.submit(function, item) for item in islice(items, most))
        while pending:
            made = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(items, 1))
            yield made
    finally:
        if stopping is not None:
            stopping.set()
        pool.shutdown(cancel_futures=True)


def free_memory():
    """Bytes of memory that a process may still have here, or None where the system does not say.

    On Linux: what is available, or less where the process's control group has a limit; files
    that the system keeps in memory, and gives up when asked, count as free.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return None
    for folder, most, used, files in (
        ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
        (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ):
        try:
            names = most, used, "memory.stat"
            limit, now, stat = (Path(folder, name).read_text().strip() for name in names)
        except OSError:
            continue
        if limit != "max":
            kept = dict(line.split() for line in stat.splitlines()).get(files, 0)
            free.append(int(limit) - int(now) + int(kept))
    return min(free, default=None)
