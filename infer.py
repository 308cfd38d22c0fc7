#!/usr/bin/env python3
"""Colour grey photographs (colour ones are turned grey first)."""

import argparse
import hashlib
import itertools
import os
import sys
from pathlib import Path

from mini_colorize import command
from mini_colorize.files import printable

EPILOG = """\
examples
  python infer.py photo.jpg                      writes photo.color.png beside it
  python infer.py photo.jpg --out colored.jpg    the name and the format you say
  python infer.py album/ old/*.png --out done/   many, into a folder
  python infer.py album/ --skip-done             only those that have no result yet
  python infer.py photo.jpg --compare            also photo.compare.png: grey | coloured | original
  python infer.py photo.jpg --size 128           bolder: the network sees more detail

The photo's own lightness and resolution are kept; only its colour is made. A photo is never
overwritten; a result of the same photo is replaced; any other file only with --overwrite. A picture
that is cut off is coloured as far as it goes, and that is said. Of several pictures in one file the
first that is no thumbnail is taken. Dates, camera and place (EXIF) stay with the photo.

Exit code: 0 if all went well, 1 if that could not all be printed, 2 if something could not be
coloured.
"""

PANEL = 1024  # longest side of one picture of a comparison, pixels
FORMATS = ("png", "jpg", "webp", "tiff")
BYTES = 24  # of memory that a pixel of the photo takes while it is coloured


def parse(argv):
    p = argparse.ArgumentParser(
        prog="infer.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="picture files or folders")
    p.add_argument(
        "--out",
        metavar="FILE|DIR",
        help="where to write; a name without an extension, or that ends in a slash, is a folder's "
        "(default: NAME.color.png beside each photo)",
    )
    p.add_argument("--format", choices=FORMATS, help="of the results in a folder (default: png)")
    p.add_argument(
        "--quality", type=int, metavar="1..100", help="of .jpg, .webp and .avif (default: 95)"
    )
    p.add_argument(
        "--overwrite", action="store_true", help="replace files that are no results of this program"
    )
    p.add_argument(
        "--skip-done", action="store_true", help="leave out photos that have their result already"
    )
    p.add_argument(
        "--weights",
        metavar="full|tiny|FILE|RUN",
        help="full or tiny, those that ship: tiny takes half of the time and a third of the "
        "memory, with paler colours; or a weights file (one named so is ./full), or the folder of a "
        "training run (default: full)",
    )
    p.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="0 the likeliest colour .. 1 the mean of all that are possible (default: what the "
        "weights recommend, else 0.38, the paper's)",
    )
    p.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="X",
        help="multiplies the colours: 0 grey, 1 as predicted (default: 1)",
    )
    p.add_argument(
        "--max-megapixels",
        type=float,
        metavar="N",
        help="refuse larger photos (default: what the memory that is free allows)",
    )
    p.add_argument(
        "--size",
        type=int,
        metavar="S",
        help="side at which the network looks at the photo, a multiple of 8 (default: "
        "what the weights recommend, else 256, the paper's)",
    )
    p.add_argument(
        "--compare", action="store_true", help="also write grey, coloured and original side by side"
    )
    p.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto takes a CUDA GPU if one works and says so; cuda fails without one "
        "(default auto)",
    )
    p.add_argument(
        "--precision",
        default="fp32",
        choices=("fp32", "tf32", "mixed"),
        help="of the network on a GPU: fp32 as on the CPU, tf32 or mixed (float16) for speed "
        "(default fp32)",
    )
    args = p.parse_args(argv)
    if args.out == "":  # an unset variable; Path would make the current folder of it
        p.error("--out '': no such file or folder")
    if args.quality is not None and not 1 <= args.quality <= 100:
        p.error("--quality must be 1 to 100")
    if args.max_megapixels is not None and not args.max_megapixels > 0:
        p.error("--max-megapixels must be more than 0")
    return args


class UsageError(Exception):
    """The arguments cannot be carried out. One line."""


class Job:
    """One photo to colour. source, target: Path. other: Path of the comparison, or None. of: what
    the result says that it was made of."""

    def __init__(self, source, target, other, of):
        self.source, self.target, self.other, self.of = source, target, other, of

    def files(self):
        return [path for path in (self.target, self.other) if path is not None]

    def is_done(self):
        """Whether the results are there and are of this photo."""
        from mini_colorize.images import made_of

        return all(made_of(path) == self.of for path in self.files())

    def foreign(self):
        """The first file that is in the way and is no result of this photo, or None."""
        from mini_colorize.images import made_of

        there = (path for path in self.files() if os.path.lexists(path))
        return next((path for path in there if made_of(path) != self.of), None)


def plan(photos, out=None, *, compare=False, extension="png", tell=print):
    """What to colour and where to write it.

    photos, out: str. tell: function, is given lines about what is left out.
    Returns a list of Job, and a line for each folder that holds nothing to colour. No target is a
    photo of the list or another target.
    Raises UsageError if --out does not fit the photos.
    """
    from mini_colorize.images import made_of
    from mini_colorize.photos import DataError, find_photos

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
    taken, jobs = set(sources), []
    for source, given in sources.values():
        # A folder of results may come to hold those of several photos of one name.
        where = os.path.realpath(source.parent).encode(errors="surrogateescape")
        of = source.name.encode("ascii", "backslashreplace").decode()
        if out is not None:
            of = f"{of} {hashlib.sha1(where).hexdigest()[:8]}"
        if single:
            other = out.with_name(out.stem.removesuffix(".color") + ".compare.png")
            job = Job(source, out, other if compare else None, of)
            if {os.path.realpath(path) for path in job.files()} & taken:
                raise UsageError(f"--out {out}: would overwrite a photo; choose another name")
        else:
            job = _free_names(_folder(source, given, out), source, of, extension, taken)
            taken |= {os.path.realpath(path) for path in job.files()}
            job.other = job.other if compare else None
        jobs.append(job)
    return jobs, problems


def is_file_name(out):
    """Whether --out, str or None, names a file and not a folder."""
    if out is None or out.endswith(("/", os.sep)) or os.path.isdir(out):
        return False
    return Path(out).suffix != ""


def check_format(args):
    """Raises UsageError if --format or --quality would have no effect."""
    single = is_file_name(args.out)
    if single and args.format:
        raise UsageError(f"--format: the name {args.out} says the format already")
    kind = Path(args.out).suffix.lower() if single else f".{args.format or 'png'}"
    if args.quality is not None and kind not in (".jpg", ".jpeg", ".webp", ".avif"):
        raise UsageError(f"--quality has a say for .jpg, .webp and .avif, not for {kind}")


def _folder(source, given, out):
    """The folder of a result: the photo's own, or in `out` as it lay in the folder given."""
    if out is None:
        return source.parent
    return out / source.parent.relative_to(given) if os.path.isdir(given) else out


def _free_names(folder, source, of, extension, taken):
    """A Job with the first of NAME.color.EXT, NAME.jpg.color.EXT, NAME.jpg-2.color.EXT ... that is
    neither taken nor the result of another photo."""
    from mini_colorize.images import made_of

    more = (f"{source.name}-{i}" for i in itertools.count(2))
    for stem in itertools.chain([source.stem, source.name], more):
        names = folder / f"{stem}.color.{extension}", folder / f"{stem}.compare.png"
        used = {os.path.realpath(name) for name in names} & taken
        if not used and all(made_of(name) in (None, of) for name in names):
            return Job(source, *names, of)


def color_one(colorizer, job, limit, quality=None, tell=print):
    """Colour one file and write the result, and the comparison if wanted. Raises ImageError."""
    from mini_colorize.images import check_writable, metadata, read_image, write_image

    check_writable(job.target)
    image = read_image(job.source, limit=limit, tell=tell)
    colored = colorizer(image)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_image(colored, job.target, of=job.of, quality=quality, **metadata(job.source))
    if job.other is not None:
        write_image(comparison(image, colored), job.other, of=job.of)


def comparison(image, colored):
    """grey | coloured | original, the last only if it has colour. PIL images; returns one."""
    import numpy as np
    from PIL import Image

    from mini_colorize.color import colorfulness, lab_to_rgb, rgb_to_lightness, to_byte
    from mini_colorize.images import flatten

    original, colored = (flatten(picture).copy() for picture in (image, colored))
    original.thumbnail((PANEL, PANEL))
    colored = colored.resize(original.size, Image.Resampling.LANCZOS)
    rgb = np.asarray(original)
    lightness = rgb_to_lightness(rgb)
    zero = np.zeros_like(lightness)
    panels = [to_byte(lab_to_rgb(np.stack([lightness, zero, zero], axis=-1))), np.asarray(colored)]
    if colorfulness(rgb) > 2:
        panels.append(rgb)
    return Image.fromarray(np.hstack(panels))


def run(args):
    """Returns the number of photos that could not be coloured."""
    from PIL import Image
    from tqdm import tqdm

    from mini_colorize.backend import DeviceError
    from mini_colorize.checkpoint import CheckpointError
    from mini_colorize.colorizer import Colorizer
    from mini_colorize.images import ImageError

    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit; ours is checked before anything is decoded
    try:
        extension = args.format or "png"
        check_format(args)
        jobs, problems = plan(
            args.photos, args.out, compare=args.compare, extension=extension, tell=_say
        )
        options = {"size": args.size, "temperature": args.temperature, "strength": args.strength}
        colorizer = Colorizer.load(args.weights, args.device, precision=args.precision, **options)
    except (UsageError, CheckpointError, DeviceError, ValueError) as error:
        return _complain(error)
    except MemoryError:
        return _complain("not enough memory for this network; --device cpu may have more")
    if args.device == "auto" and "not installed" not in colorizer.device:
        print(colorizer.device)  # whoever installed CuPy wants to know whether it is used
    failed = sum(_complain(problem) for problem in problems)
    if args.skip_done:
        left = [job for job in jobs if not job.is_done()]
        if len(left) < len(jobs):
            _say(f"{len(jobs) - len(left)} of {len(jobs)} photos have their result already")
        jobs = left
    bar = tqdm(jobs, unit="photo", disable=len(jobs) < 2, leave=False)
    for job in bar:
        try:
            if not args.overwrite and (foreign := job.foreign()):
                raise ImageError(
                    f"{foreign}: is there already and no result of {job.source}; "
                    "--overwrite replaces it"
                )
            color_one(colorizer, job, _limit(args), args.quality, _say)
        except ImageError as error:
            failed += _complain(error)
        except MemoryError:
            failed += _complain(f"{job.source}: not enough memory; a smaller --size needs less")
        except OSError as error:
            failed += _complain(f"{error.filename or job.target}: {error.strerror or error}")
        else:
            bar.write(printable(f"{job.source} -> {job.target}"))
    return failed


def _limit(args):
    """The most pixels that a photo may have."""
    from mini_colorize.cache import free_memory
    from mini_colorize.images import MAX_PIXELS

    if args.max_megapixels is not None:
        return int(args.max_megapixels * 1e6)
    free = free_memory()
    return MAX_PIXELS if free is None else free // BYTES


def _say(line):
    from tqdm import tqdm

    tqdm.write(f"infer.py: {printable(str(line))}", file=sys.stderr)


def _complain(error):
    _say(error)
    return 1


def main(argv=None):
    args = parse(argv)
    try:
        return 2 if run(args) else 0
    except KeyboardInterrupt:
        print("infer.py: stopped; every picture written so far is whole", file=sys.stderr)
        return 130
    except Exception as error:
        from mini_colorize.backend import gpu_failure

        if gpu_failure(error) is None:
            raise
        print(f"infer.py: {gpu_failure(error)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    command.run(main)
