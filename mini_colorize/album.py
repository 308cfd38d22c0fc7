"""An album of photographs coloured: what belongs to which file, and the loop over them.

A result says in its EXIF of which photo it is (`mark_of`), so that it is told from a photo, is
known again, and is the only thing that is replaced unasked.
"""

import itertools
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from .cache import free_memory
from .color import rgb_to_lightness
from .colorizer import UNHEARD, Colorizer, gray
from .errors import UserError
from .files import images
from .files.canonical import flatten
from .files.disk import printable
from .files.images import ImageError, read_image
from .files.results import (
    format_of,
    is_same,
    made_of,
    mark_of,
    metadata,
    takes_quality,
    write_image,
)
from .measures import colorfulness
from .photos import DataError, find_photos
from .team import ALONE

PANEL = 1024  # longest side of one picture of a comparison, pixels
BYTES = 24  # of memory that a pixel of the photo takes while it is coloured


class UsageError(UserError):
    """The arguments cannot be carried out. One line."""


@dataclass
class Job:
    """One photo to colour. other: the comparison's file. mark: what the result says that it was
    made of, see `mark_of`."""

    source: Path
    target: Path
    other: Path | None
    mark: str

    def files(self):
        return [path for path in (self.target, self.other) if path is not None]

    def owns(self, path):
        """Whether a file is a result of this photo."""
        return is_same(made_of(path), self.mark)

    def is_done(self):
        """Whether the results are there and are of this photo; a BMP cannot say what it is of."""
        return all(
            os.path.isfile(path) if path.suffix.lower() == ".bmp" else self.owns(path)
            for path in self.files()
        )

    def foreign(self):
        """The first file that is in the way and is no result of this photo, or None."""
        there = (path for path in self.files() if os.path.lexists(path))
        return next((path for path in there if not self.owns(path)), None)


def plan(photos, out=None, compare=False, extension="png", tell=print):
    """What to colour and where to write it.

    photos, out: str. tell: function, is given lines about what is left out.
    Returns a list of Job, and a line for each folder that holds nothing to colour. No target is a
    photo of the list or another target.
    Raises UsageError if --out does not fit the photos.
    """
    single = is_file_name(out)
    out = None if out is None else Path(out)
    if single and (len(photos) > 1 or os.path.isdir(photos[0])):
        raise UsageError(f"--out {out} is a file: for several photos give a folder")
    sources, problems = {}, []  # real path -> (path, what was given)
    for photo in photos:
        if photo == "":  # an unset variable; Path would make the current folder of it
            problems.append("'': no such file or folder")
            continue
        try:
            inside = [Path(photo)]
            if os.path.isdir(photo):
                inside = [p.path for p in find_photos(photo, tell)]
                rest = [p for p in inside if made_of(p) is None]  # others have names that we gave
                if 0 < len(rest) < len(inside):
                    count, inside = len(inside) - len(rest), rest
                    tell(f"{photo}: left out: results of this program under other names ({count})")
            elif len(photos) > 1 and made_of(photo) is not None:
                tell(f"{photo}: left out; it is a result of this program")
                continue
            for source in inside:
                sources.setdefault(os.path.realpath(source), (source, photo))
        except DataError as error:
            problems.append(str(error))
    names, jobs = _Names(set(sources), extension), []
    for source, given in sources.values():
        mark = mark_of(source)
        if single:
            other = out.with_name(out.stem.removesuffix(".color") + ".compare.png")
            job = Job(source, out, other if compare else None, mark)
            if {os.path.realpath(path) for path in job.files()} & names.taken:
                raise UsageError(f"--out {out}: would overwrite a photo; choose another name")
        else:
            job = Job(source, *names.free(_folder(source, given, out), source, mark), mark)
            job.other = job.other if compare else None
        jobs.append(job)
    return jobs, problems


def is_file_name(out):
    """Whether --out, str or None, names a file and not a folder."""
    if out is None or out.endswith(("/", os.sep)) or os.path.isdir(out):
        return False
    return Path(out).suffix != ""


def check_format(args):
    """Raises UsageError if --format or --quality would have no effect, ImageError if there is no
    such format."""
    single = is_file_name(args.out)
    if single and args.format:
        raise UsageError(f"--format: the name {args.out} says the format already")
    name = args.out if single else f"photo.{args.format or 'png'}"
    if args.quality is not None and not takes_quality(name):
        suffix = Path(name).suffix
        raise UsageError(f"--quality has a say for .jpg, .webp and .avif, not for {suffix}")


def _folder(source, given, out):
    """The folder of a result: the photo's own, or in `out` as it lay in the folder given."""
    if out is None:
        return source.parent
    return out / source.parent.relative_to(given) if os.path.isdir(given) else out


class _Names:
    """Gives results their names. taken: set of real paths that nobody gets any more."""

    def __init__(self, taken, extension):
        self.taken, self.extension = taken, extension
        self.first = {}  # (folder, name of a photo) -> the first of its names that is not taken
        # path -> its real path and what it is made of
        self.look = cache(lambda path: (os.path.realpath(path), made_of(path)))

    def free(self, folder, source, mark):
        """The first of NAME.color.EXT, NAME.jpg.color.EXT, NAME.jpg-2.color.EXT ... that is not
        taken and not the result of another photo, and beside it NAME.compare.png. Two Paths."""
        first = self.first.get((folder, source.name), 0)
        for i in itertools.count(first):
            stem = (source.stem, source.name)[i] if i < 2 else f"{source.name}-{i}"
            paths = f"{folder / stem}.color.{self.extension}", f"{folder / stem}.compare.png"
            real, made = zip(*map(self.look, paths), strict=True)
            if not self.taken.isdisjoint(real):
                first += i == first
            elif all(found is None or is_same(found, mark) for found in made):
                self.taken.update(real)
                self.first[folder, source.name] = first
                return [Path(path) for path in paths]


def color_one(colorizer, job, limit, quality=None, tell=print):
    """Colour one file and write the result, and the comparison if wanted. Raises ImageError."""
    format_of(job.target)  # before the work
    image = read_image(job.source, limit=limit, tell=tell)
    colored = colorizer(image)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    kept = metadata(job.source, job.target)
    write_image(colored, job.target, of=job.mark, quality=quality, **kept)
    if job.other is not None:
        write_image(comparison(image, colored), job.other, of=job.mark)


def comparison(image, colored):
    """grey | coloured | original, the last only if it has colour. PIL images; returns one."""
    original, colored = (flatten(picture).copy() for picture in (image, colored))
    original.thumbnail((PANEL, PANEL))
    colored = colored.resize(original.size, Image.Resampling.LANCZOS)
    rgb = np.asarray(original)
    panels = [gray(rgb_to_lightness(rgb)), np.asarray(colored)]
    if colorfulness(rgb) > 2:
        panels.append(rgb)
    return Image.fromarray(np.hstack(panels))


def colorize_all(args, team=ALONE):
    """What infer.py is for. args: as its `parse` gives them. team: those who share the photos.

    Returns the number of photos that could not be coloured, each told in a line. Raises UsageError,
    CheckpointError, DeviceError, before anything is coloured.
    """
    # Of twice that Pillow itself will have nothing: some formats it decodes unasked.
    Image.MAX_IMAGE_PIXELS = max(_limit(args), images.MAX_PIXELS)
    extension = args.format or "png"
    check_format(args)
    tell = _say if team.rank == 0 else lambda line: None
    jobs, problems = plan(args.photos, args.out, args.compare, extension, tell)
    options = {"size": args.size, "temperature": args.temperature, "strength": args.strength}
    try:
        options |= {"precision": args.precision, "number": team.local_rank}
        colorizer = Colorizer.load(args.weights, args.device, **options)
    except ValueError as error:
        raise UsageError(error) from None
    if args.device == "auto" and "not installed" not in colorizer.device and team.rank == 0:
        print(colorizer.device)  # whoever installed CuPy wants to know whether it is used
    if args.temperature is not None and colorizer.regression:
        tell(UNHEARD)
    failed = 0 if team.rank else sum(_complain(problem) for problem in problems)
    if args.skip_done:
        left = [job for job in jobs if not job.is_done()]
        if len(left) < len(jobs):
            tell(f"{len(jobs) - len(left)} of {len(jobs)} photos have their result already")
        jobs = left
    jobs = team.told(jobs)[team.rank :: team.size]
    bar = tqdm(jobs, unit="photo", disable=len(jobs) < 2 or team.rank > 0, leave=False)
    for job in bar:
        try:
            if not args.overwrite and (foreign := job.foreign()):
                why = f"is there already and no result of {job.source}; --overwrite replaces it"
                raise ImageError(f"{foreign}: {why}")
            color_one(colorizer, job, _limit(args), args.quality, _say)
        except ImageError as error:
            failed += _complain(error)
        except MemoryError:
            failed += _complain(f"{job.source}: not enough memory; a smaller --size needs less")
        except OSError as error:
            failed += _complain(f"{error.filename or job.target}: {error.strerror or error}")
        else:
            bar.write(printable(f"{job.source} -> {job.target}"))
    return sum(team.all(failed))


def _limit(args):
    """The most pixels that a photo may have."""
    if args.max_megapixels is not None:
        return int(args.max_megapixels * 1e6)
    free = free_memory()
    return images.MAX_PIXELS if free is None else free // BYTES


def _say(line):
    tqdm.write(f"infer.py: {printable(str(line))}", file=sys.stderr)


def _complain(error):
    _say(error)
    return 1
