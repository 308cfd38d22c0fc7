"""How much better is a photo, if a person says the colours of a few places?

    python -m benchmarks.hints [--data photos.zip] [--hints 0 1 3 10] [--limit N] [--weights full]

The person clicks at random places and knows the true colour of those pixels; the pixels that would
share it follow (mini_colorize/hints.py). Of every photo the first 1, 3, ... of the same places are
taken. Printed are the median and the mean of the photos' PSNRs, dB, the mean gain, and the share of
the photos that lose more than 0.1 dB.
"""

import sys

import numpy as np
from tqdm import tqdm

from mini_colorize import command
from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer, lightness_of, paint
from mini_colorize.evaluation.evaluate import limited
from mini_colorize.files.canonical import flatten
from mini_colorize.files.images import read_image
from mini_colorize.hints import follow, place
from mini_colorize.measures import squared_error
from mini_colorize.photos import find_photos


def psnrs(colorizer, rgb, counts, rng):
    """One photo's PSNR with so many hints each. rgb: (H, W, 3) uint8."""
    lightness, places = lightness_of(rgb), rng.random((max(counts), 2))
    hints = []
    for u, v in places:
        row, column = place(rgb.shape, u, v)
        hints.append((u, v, *rgb_to_lab(rgb[row : row + 1, column])[0, 1:]))
    (logits,), (ab,) = colorizer.predict([lightness])
    beliefs = None if colorizer.regression else logits
    made = (follow(ab, hints[:n], lightness, beliefs) for n in counts)
    errors = np.array([squared_error(paint(lightness, ab), rgb) for ab in made]) / rgb.size
    return 10 * np.log10(255**2 / np.maximum(errors, 1e-9))


def measure(args):
    colorizer, rng = Colorizer.load(args.weights, args.device), np.random.default_rng(args.seed)
    photos = limited(find_photos(args.data), args.limit)
    counts, found = sorted({0, *args.hints}), []
    for photo in tqdm(photos, leave=False):
        with photo.open() as file:
            rgb = np.asarray(flatten(read_image(file)))
        found.append(psnrs(colorizer, rgb, counts, rng))
    gains = np.array(found) - np.array(found)[:, :1]
    print(f"{len(photos)} photos; PSNR, dB   median     mean     gain    worse")
    for n, values, gain in zip(counts, np.transpose(found), gains.T, strict=True):
        what = f"{n} hint{'s' * (n != 1)}"
        numbers = f"{np.median(values):9.2f}{values.mean():9.2f}{gain.mean():+9.2f}"
        print(f"{what:<19}{numbers}{(gain < -0.1).mean():9.1%}")


def main(argv=None):
    p = command.new_parser("python -m benchmarks.hints", __doc__)
    command.add_options(p, "data", default=None)
    command.add_options(p, "weights", default="full")
    p.add_argument("--hints", metavar="N", nargs="+", type=int, default=[1, 3, 10])
    command.add_numbers(
        p, {"--limit N": "photos, evenly spread (all)", "--seed N": "of places (0)"}
    )
    p.set_defaults(seed=0)
    command.add_options(p, "device")
    args = p.parse_args(argv)
    if min(args.hints) < 0:
        p.error("--hints must be 0 or more")
    args.data = args.data or ["examples"]
    return command.attempt("hints", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
