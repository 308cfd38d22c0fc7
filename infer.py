#!/usr/bin/env python3
"""Colour grey photographs (colour ones are turned grey first).

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

import functools
import math

from mini_colorize import command

FORMATS = ("png", "jpg", "webp", "tiff")


def parse(argv):
    p = command.new_parser("infer.py", __doc__)
    p.add_argument("photos", nargs="+", metavar="PHOTO", help="picture files or folders")
    p.add_argument(
        "--out",
        metavar="FILE|DIR",
        help="where to write; a name without an extension, or that ends in a slash, is a folder's "
        "(NAME.color.png beside each photo)",
    )
    p.add_argument("--format", choices=FORMATS, help="of the results in a folder (png)")
    p.add_argument(
        "--overwrite", action="store_true", help="replace files that are no results of this program"
    )
    p.add_argument(
        "--skip-done", action="store_true", help="leave out photos that have their result already"
    )
    command.add_options(p, "weights", "temperature", "size")
    numbers = {
        "--quality N": "of .jpg, .webp and .avif, 1 to 100 (95)",
        "--strength X": "multiplies the colours: 0 grey, 1 as predicted (1)",
        "--max-megapixels X": "refuse larger photos (what the memory that is free allows)",
    }
    command.add_numbers(p, numbers)
    p.set_defaults(strength=1.0)
    p.add_argument(
        "--compare", action="store_true", help="also write grey, coloured and original side by side"
    )
    command.add_options(p, "device", "precision")
    args = p.parse_args(argv)
    if args.out == "":  # an unset variable; Path would make the current folder of it
        p.error("--out '': no such file or folder")
    if args.quality is not None and not 1 <= args.quality <= 100:
        p.error("--quality must be 1 to 100")
    if args.max_megapixels is not None and not 0 < args.max_megapixels < math.inf:
        p.error("--max-megapixels must be a number above 0")
    return args


def main(argv=None):
    command.share_cores()
    args = parse(argv)

    errors = {
        "memory": "for this network; --device cpu may have more",
        "stopped": "stopped; every picture written so far is whole",
    }

    def work():
        from mini_colorize.album import colorize_all  # --help need not wait for it
        from mini_colorize.team import together

        explain = functools.partial(command.explained, **errors)
        failed = together("infer.py", lambda team: colorize_all(args, team), True, explain)
        return 2 if failed else 0

    return command.attempt("infer.py", work, **errors)


if __name__ == "__main__":
    command.run_program(main)
