#!/usr/bin/env python3
"""Colour grey photographs (colour ones are turned grey first)."""

import argparse
import math

from mini_colorize import command

EPILOG = """\
examples
  python infer.py photo.jpg                      writes photo.color.png beside it
  python infer.py photo.jpg --out colored.jpg    the name and the format you say
  python infer.py album/ old/*.png --out done/   many, into a folder
  python infer.py album/ --skip-done             only those that have no result yet
  python infer.py photo.jpg --compare            also photo.compare.png: grey | coloured | original
  python infer.py photo.jpg --size 128           bolder: the network sees more detail

The photo's own lightness and resolution are kept; only its colour is made. A photo is never
overwritten; a result of the same photo is replaced; any other file only with --overwrite, a .bmp
too, since it cannot say what it was made of. A picture that is damaged or cut off is coloured as
far as it goes, and that is said. Of several pictures in one file the first that is no thumbnail is
taken. Dates, camera and place (EXIF) stay with the photo.

Exit code: 0 if all went well, 1 if that could not all be printed, 2 if something could not be
coloured.
"""

FORMATS = ("png", "jpg", "webp", "tiff")


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
        "training run; or the authors' own weights, their .pth or .caffemodel, which cannot be "
        "shipped here (default: full)",
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
    if args.max_megapixels is not None and not 0 < args.max_megapixels < math.inf:
        p.error("--max-megapixels must be a number above 0")
    return args


def main(argv=None):
    args = parse(argv)

    def work():
        from mini_colorize.album import colorize_all  # --help need not wait for it

        return 2 if colorize_all(args) else 0

    return command.attempt(
        "infer.py",
        work,
        memory="for this network; --device cpu may have more",
        stopped="stopped; every picture written so far is whole",
    )


if __name__ == "__main__":
    command.run_program(main)
