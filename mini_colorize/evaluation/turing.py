"""The paper's experiment with people: which of two pictures has fake colours? (section 3.1)

    python -m mini_colorize.evaluation.turing --data DIR --out turing.html
    python -m mini_colorize.evaluation.turing score answers/*.json

The first makes a page to be given to people: it works offline, in any browser, on a phone. After
10 pairs of practice come 40 that count, each shown for one second, the photo and the colouring
side by side. As in the paper, one pair in ten checks the attention: its fake wears the colours of
another photo, which is easy to see. The second pools what the people saved.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mini_colorize.backend import DeviceError
from mini_colorize.checkpoint import CheckpointError
from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer, paint
from mini_colorize.data import DataError, find_photos, load_crop
from mini_colorize.images import ImageError

from . import turing_score
from .turing_page import CHECK, COLORING, PRACTICE, join, write_page

PROG = "python -m mini_colorize.evaluation.turing"
OWN_COLOR = 3.0  # Lab units; below, a photo has no colour of its own


def parse(argv):
    p = argparse.ArgumentParser(
        prog=PROG,
        description=__doc__,
        epilog=f"{PROG} score --help tells how answers are pooled. Exit code: 0 if all went "
        "well, 2 if not.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of photos, "
                   "none of which the network was trained on")  # fmt: skip
    p.add_argument("--weights", metavar="FILE|RUN", help="weights file, or folder of a training "
                   "run (default: those shipped)")  # fmt: skip
    p.add_argument("--out", type=Path, default=Path("turing.html"), metavar="FILE",
                   help="the page (default turing.html)")  # fmt: skip
    p.add_argument("--trials", type=int, default=40, metavar="N", help="pairs that count "
                   "(default 40, the paper's)")  # fmt: skip
    p.add_argument("--practice", type=int, default=10, metavar="N", help="pairs of practice "
                   "before them (default 10, the paper's)")  # fmt: skip
    p.add_argument("--checks", type=int, metavar="N", help="how many of the trials check the "
                   "attention (default: one in ten)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, metavar="S", help="draws the photos (default 0)")
    p.add_argument("--side", type=int, default=256, metavar="PIXELS", help="of the pictures, a "
                   "multiple of 8 (default 256, the paper's)")  # fmt: skip
    p.add_argument("--temperature", type=float, metavar="T",
                   help="0 vivid .. 1 pale (default: what the weights recommend)")  # fmt: skip
    p.add_argument("--size", type=int, metavar="S", help="side at which the network looks at the "
                   "photo (default: what the weights were trained for)")  # fmt: skip
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"),
                   help="(default auto: a CUDA GPU if one works)")  # fmt: skip
    args = p.parse_args(argv)
    if args.checks is None:
        args.checks = args.trials // 10
    if not 1 <= args.trials <= 1000 or not 0 <= args.practice <= 1000:
        p.error("--trials must be 1 to 1000, --practice 0 to 1000")
    if not 0 <= args.checks < args.trials:
        p.error("--checks must be 0 or more, and fewer than --trials")
    if args.seed < 0:
        p.error("--seed must be 0 or more")
    if not 64 <= args.side <= 512 or args.side % 8:
        p.error("--side must be a multiple of 8 from 64 to 512")
    return args


def own_color(rgb):
    """How much colour a photo has that its lightness does not explain. rgb: (H, W, 3) uint8.

    Returns the root mean square distance, in Lab units, of ab from the cubic in L that fits it
    best: about 0 for grey photos and for toned ones (sepia), which would give themselves away.
    """
    lab = rgb_to_lab(rgb[2::4, 2::4]).reshape(-1, 3)
    powers = np.vander(lab[:, 0] / 100, 4)
    fit = powers @ np.linalg.lstsq(powers, lab[:, 1:], rcond=None)[0]
    return float(np.sqrt(((lab[:, 1:] - fit) ** 2).sum(1).mean()))


class Photos:
    """The usable photos of a folder in an order drawn from the seed, as square crops.

    Iterating yields (side, side, 3) uint8. `left_out` counts the others by the reason.
    """

    def __init__(self, folder, side, seed):
        paths = find_photos(folder)
        self.paths = [paths[i] for i in np.random.default_rng(seed).permutation(len(paths))]
        self.side = side
        self.left_out = {"without colour": 0, "that cannot be read": 0, "there twice": 0}

    def __iter__(self):
        known = set()
        for path in self.paths:
            try:
                rgb = load_crop(path, self.side, self.side)
            except ImageError:
                self.left_out["that cannot be read"] += 1
                continue
            if own_color(rgb) < OWN_COLOR:
                self.left_out["without colour"] += 1
            elif rgb.tobytes() in known:
                self.left_out["there twice"] += 1
            else:
                known.add(rgb.tobytes())
                yield rgb

    def summary(self):
        """Why photos were left out, in a line; empty if none was."""
        reasons = [f"{count} {reason}" for reason, count in self.left_out.items() if count]
        return f"left out: {', '.join(reasons)}" if reasons else ""


def borrow(rgb, other):
    """A photo in the colours of another, as coarse as the network's. Returns (H, W, 3) uint8."""
    ab = rgb_to_lab(other[2::4, 2::4])[..., 1:].astype(np.float32)
    return paint(rgb_to_lab(rgb)[..., 0].astype(np.float32), ab)


def make_pairs(photos, colorizer, kinds):
    """A JPEG for each kind, as turing_page.join makes them. Raises DataError if photos run out."""
    jpegs, before = [], None
    crops = iter(photos)
    for kind in tqdm(kinds, unit="pair", leave=False):
        rgb = next(crops, None)
        if kind == CHECK and before is None:
            before, rgb = rgb, next(crops, None)
        if rgb is None:
            raise DataError(
                f"only {len(jpegs)} usable photos, {len(kinds)} are needed "
                "(--trials and --practice make it fewer)"
            )
        fake = borrow(rgb, before) if kind == CHECK else np.asarray(colorizer(rgb))
        jpegs.append(join(rgb, fake))
        before = rgb
    return jpegs


def build(args):
    """Make the page. Raises DataError, CheckpointError, DeviceError, ValueError, OSError."""
    if args.out.is_dir():
        raise ValueError(f"{args.out}: is a folder; --out names the page's file")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    photos = Photos(args.data, args.side, args.seed)
    options = {"temperature": args.temperature}
    if args.size is not None:
        options["size"] = args.size
    colorizer = Colorizer.load(args.weights, args.device, **options)
    colorings = args.trials - args.checks
    kinds = [PRACTICE] * args.practice + [COLORING] * colorings + [CHECK] * args.checks
    try:
        jpegs = make_pairs(photos, colorizer, kinds)
    except DataError as error:
        raise DataError(f"{args.data}: {error}; {photos.summary()}".rstrip("; ")) from None
    page = write_page(args.out, args.side, kinds, jpegs)
    if photos.summary():
        print(photos.summary())
    print(f"{args.out}: {args.practice} pairs of practice, {args.trials} trials ({args.checks} of "
          f"them checks), {args.out.stat().st_size / 1e6:.1f} MB, page {page}")  # fmt: skip


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["score"]:
            return turing_score.main(argv[1:], f"{PROG} score")
        build(parse(argv))
        return 0
    except KeyboardInterrupt:
        print("turing: stopped; nothing was written", file=sys.stderr)
        return 130
    except OSError as error:
        print(
            f"turing: {error.filename or 'the files'}: {error.strerror or error}", file=sys.stderr
        )
    except (DataError, CheckpointError, DeviceError, ValueError) as error:
        print(f"turing: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be valid text
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
