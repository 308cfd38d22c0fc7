#!/usr/bin/env python3
"""Colour grey photographs (colour ones are turned grey first)."""

import argparse
import contextlib
import itertools
import os
import sys
from pathlib import Path

EPILOG = """\
examples
  python infer.py photo.jpg                      writes photo.color.png beside it
  python infer.py photo.jpg --out colored.jpg    the name and the format you say
  python infer.py album/ old/*.png --out done    many, into a folder
  python infer.py photo.jpg --compare            also photo.compare.png: grey | coloured | original
  python infer.py photo.jpg --size 128           bolder: the network sees more detail

The photo's own lightness and resolution are kept; only its colour is made. An input is never
overwritten. Exit code: 0 if all went well, 2 if something could not be coloured.
"""

OWN = (".color.png", ".compare.png")  # our own results, left out when a folder is given
PANEL = 1024  # longest side of one picture of a comparison, pixels


def parse(argv):
    p = argparse.ArgumentParser(
        prog="infer.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="picture files or folders")
    p.add_argument(
        "--out",
        type=Path,
        metavar="FILE|DIR",
        help="where to write (default: NAME.color.png beside each photo)",
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
    return p.parse_args(argv)


class UsageError(Exception):
    """The arguments cannot be carried out. One line."""


def plan(photos, out, compare):
    """What to colour and where to write it.

    Returns jobs (source, target, comparison or None), and a line for each folder that holds
    nothing to colour. No target is a photo of the list or another target.
    Raises UsageError if --out does not fit the photos.
    """
    from mini_colorize.photos import DataError, find_photos

    single = out is not None and out.suffix != "" and not os.path.isdir(out)
    if single and (len(photos) > 1 or os.path.isdir(photos[0])):
        raise UsageError(f"--out {out} is a file: for several photos give a folder")
    sources, problems = {}, []  # real path -> (path, what was given)
    for photo in photos:
        try:
            inside = [photo]
            if os.path.isdir(photo):
                inside = [p.path for p in find_photos(photo) if not p.name.endswith(OWN)]
                if not inside:
                    raise DataError(f"{photo}: holds nothing but results")
            for source in inside:
                sources.setdefault(os.path.realpath(source), (source, photo))
        except DataError as error:
            problems.append(str(error))
    taken, jobs = set(sources), []
    for source, given in sources.values():
        if single:
            target, other = out, out.with_name(out.stem.removesuffix(".color") + ".compare.png")
            if {os.path.realpath(target), os.path.realpath(other) if compare else ""} & taken:
                raise UsageError(f"--out {out}: would overwrite a photo; choose another name")
        else:
            target, other = _free_names(_folder(source, given, out), source, taken)
        taken |= {os.path.realpath(target), os.path.realpath(other)}
        jobs.append((source, target, other if compare else None))
    return jobs, problems


def _folder(source, given, out):
    """The folder of a result: the photo's own, or in `out` as it lay in the folder given."""
    if out is None:
        return source.parent
    return out / source.parent.relative_to(given) if os.path.isdir(given) else out


def _free_names(folder, source, taken):
    """The first of NAME.color.png, NAME.jpg.color.png, NAME.jpg-2.color.png ... that is free."""
    more = (f"{source.name}-{i}" for i in itertools.count(2))
    for stem in itertools.chain([source.stem, source.name], more):
        names = [folder / (stem + ending) for ending in OWN]
        if not {os.path.realpath(name) for name in names} & taken:
            return names


def color_one(colorizer, source, target, other):
    """Colour one file and write the result, and the comparison if wanted. Raises ImageError."""
    from mini_colorize.images import read_image, write_image

    image = read_image(source)
    colored = colorizer(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_image(colored, target)
    if other is not None:
        write_image(comparison(image, colored), other)


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
    from tqdm import tqdm

    from mini_colorize.backend import DeviceError
    from mini_colorize.checkpoint import CheckpointError
    from mini_colorize.colorizer import Colorizer
    from mini_colorize.images import ImageError

    try:
        jobs, problems = plan(args.photos, args.out, args.compare)
        options = {"size": args.size, "temperature": args.temperature}
        colorizer = Colorizer.load(args.weights, args.device, precision=args.precision, **options)
    except (UsageError, CheckpointError, DeviceError, ValueError) as error:
        return _complain(error)
    except MemoryError:
        return _complain("not enough memory for this network; --device cpu may have more")
    if args.device == "auto" and "not installed" not in colorizer.device:
        print(colorizer.device)  # whoever installed CuPy wants to know whether it is used
    failed = sum(_complain(problem) for problem in problems)
    bar = tqdm(jobs, unit="photo", disable=len(jobs) < 2, leave=False)
    for source, target, other in bar:
        try:
            color_one(colorizer, source, target, other)
        except ImageError as error:
            failed += _complain(error)
        except MemoryError:
            failed += _complain(f"{source}: not enough memory; a smaller --size needs less")
        except OSError as error:
            failed += _complain(f"{error.filename or target}: {error.strerror or error}")
        else:
            with contextlib.suppress(BrokenPipeError):  # nobody reads our output any more
                bar.write(f"{source} -> {target}")
    return failed


def _complain(error):
    from tqdm import tqdm

    tqdm.write(f"infer.py: {error}", file=sys.stderr)
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
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be valid text
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
