#!/usr/bin/env python3
"""Colour grey photographs (colour ones are turned grey first)."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
examples
  python infer.py photo.jpg                      writes photo.color.png beside it
  python infer.py photo.jpg --out colored.jpg    the name and the format you say
  python infer.py album/ old/*.png --out done    many, into a folder
  python infer.py photo.jpg --compare            also photo.compare.png: grey | coloured | original
  python infer.py photo.jpg --temperature 0.2    more vivid; 1 is the palest, 0 the boldest

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
    p.add_argument("--out", type=Path, metavar="FILE|DIR",
                   help="where to write (default: NAME.color.png beside each photo)")  # fmt: skip
    p.add_argument("--weights", metavar="FILE|RUN",
                   help="weights file, or folder of a training run (default: those shipped)")  # fmt: skip
    p.add_argument("--temperature", type=float, default=0.38, metavar="T",
                   help="0 vivid .. 1 pale (default 0.38, the paper's)")  # fmt: skip
    p.add_argument("--size", type=int, metavar="S",
                   help="side at which the network looks at the photo, a multiple of 8 (default: "
                        "what the weights were trained for; 256 in the paper)")  # fmt: skip
    p.add_argument("--compare", action="store_true",
                   help="also write grey, coloured and original side by side")  # fmt: skip
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"),
                   help="auto takes a CUDA GPU if one works (default auto)")  # fmt: skip
    return p.parse_args(argv)


class UsageError(Exception):
    """The arguments cannot be carried out. One line."""


def plan(photos, out):
    """Pairs (source, target) for all photos. Raises UsageError, DataError."""
    from mini_colorize.data import find_photos

    single = out is not None and out.suffix != "" and not out.is_dir()
    if single and (len(photos) > 1 or photos[0].is_dir()):
        raise UsageError(f"--out {out} is a file: for several photos give a folder")
    pairs, taken = [], {p.resolve() for p in photos}
    for photo in photos:
        inside = [photo]
        if photo.is_dir():
            inside = [p for p in find_photos(photo) if not p.name.endswith(OWN)]
            taken.update(p.resolve() for p in inside)
        for source in inside:
            target = out if single else _beside(source, photo, out, taken)
            if single and target.resolve() in taken:
                raise UsageError(f"{target}: would overwrite the photo itself")
            taken.add(target.resolve())
            pairs.append((source, target))
    return pairs


def _beside(source, given, out, taken):
    """Where one result goes: beside its photo, or into `out` as it lay in the folder given."""
    folder = source.parent
    if out is not None:
        folder = out / (folder.relative_to(given) if given.is_dir() else "")
    target = folder / f"{source.stem}.color.png"
    if target.resolve() in taken:  # photo.jpg and photo.png side by side
        target = folder / f"{source.name}.color.png"
    return target


def color_one(colorizer, source, target, compare):
    """Colour one file and write the result, and the comparison if wanted. Raises ImageError."""
    from mini_colorize.images import read_image, write_image

    image = read_image(source)
    colored = colorizer(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_image(colored, target)
    if compare:
        name = target.name.removesuffix(target.suffix).removesuffix(".color") + ".compare.png"
        write_image(comparison(image, colored), target.with_name(name))


def comparison(image, colored):
    """grey | coloured | original, the last only if it has colour. PIL images; returns one."""
    import numpy as np
    from PIL import Image

    from mini_colorize.color import colorfulness, lab_to_rgb, rgb_to_lightness, to_byte
    from mini_colorize.images import flatten

    original, colored = (flatten(picture) for picture in (image, colored))
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
    from mini_colorize.data import DataError
    from mini_colorize.images import ImageError

    try:
        pairs = plan(args.photos, args.out)
        options = {"temperature": args.temperature}
        if args.size is not None:
            options["size"] = args.size
        colorizer = Colorizer.load(args.weights, args.device, **options)
    except (UsageError, DataError, CheckpointError, DeviceError, ValueError) as error:
        return _complain(error)
    failed = 0
    bar = tqdm(pairs, unit="photo", disable=len(pairs) < 2, leave=False)
    for source, target in bar:
        try:
            color_one(colorizer, source, target, args.compare)
        except ImageError as error:
            failed += _complain(error)
        except MemoryError:
            failed += _complain(f"{source}: not enough memory; a smaller --size needs less")
        except OSError as error:
            failed += _complain(f"{error.filename or target}: {error.strerror or error}")
        else:
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


if __name__ == "__main__":
    sys.exit(main())
