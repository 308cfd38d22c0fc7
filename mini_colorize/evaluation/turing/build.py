"""Makes the page of the Turing test: chooses photos, colours them, joins the pairs."""

import os

import numpy as np
from tqdm import tqdm

from ...color import EVERY, rgb_to_lab
from ...colorizer import UNHEARD, Colorizer, paint
from ...data import load_crop
from ...files.disk import check_folder
from ...files.images import ImageError
from ...photos import DataError, find_photos
from .page import CHECK, COLORING, PRACTICE, join, page_id, write_page

OWN_COLOR = 3.0  # Lab units; below, a photo has no colour of its own


def own_color(rgb):
    """How much colour a photo has that its lightness does not explain. rgb: (H, W, 3) uint8.

    Returns the root mean square distance, in Lab units, of ab from the cubic in L that fits it
    best: about 0 for grey photos and for toned ones (sepia), which would give themselves away.
    """
    lab = rgb_to_lab(rgb[EVERY, EVERY]).reshape(-1, 3)
    powers = np.vander(lab[:, 0] / 100, 4)
    fit = powers @ np.linalg.lstsq(powers, lab[:, 1:], rcond=None)[0]
    return float(np.sqrt(((lab[:, 1:] - fit) ** 2).sum(1).mean()))


def choose(sources, side, seed, count):
    """Square crops of the first `count` usable photos, in an order drawn from the seed.

    sources: of find_photos.

    Returns the crops, (side, side, 3) uint8 each, and a line that says why photos before the last
    of them were left out, empty if none was. Raises DataError if there are too few.
    """
    photos = find_photos(sources)
    left_out = {"without colour": 0, "that cannot be read": 0, "there twice": 0}
    crops, known = [], set()
    for i in np.random.default_rng(seed).permutation(len(photos)):
        if len(crops) == count:
            break
        try:
            rgb = load_crop(photos[i], side, side)
        except ImageError:
            left_out["that cannot be read"] += 1
            continue
        if own_color(rgb) < OWN_COLOR:
            left_out["without colour"] += 1
        elif rgb.tobytes() in known:
            left_out["there twice"] += 1
        else:
            known.add(rgb.tobytes())
            crops.append(rgb)
    reasons = ", ".join(f"{n} {reason}" for reason, n in left_out.items() if n)
    told = f"left out: {reasons}" if reasons else ""
    if len(crops) < count:
        few = (
            f"{' '.join(sources)}: only {len(crops)} usable photos, {count} are needed "
            "(--trials and --practice make it fewer)"
        )
        raise DataError(f"{few}; {told}".rstrip("; "))
    return crops, told


def borrow(rgb, other):
    """A photo in the colours of another, as coarse as the network's. Returns (H, W, 3) uint8."""
    ab = rgb_to_lab(other[EVERY, EVERY])[..., 1:].astype(np.float32)
    return paint(rgb_to_lab(rgb)[..., 0].astype(np.float32), ab)


def make_pairs(crops, colorizer, kinds):
    """A JPEG for each crop, as page.join makes them. A check borrows from the one before."""
    jpegs = []
    for i, kind in enumerate(tqdm(kinds, unit="pair", leave=False)):
        rgb = crops[i]
        fake = borrow(rgb, crops[i - 1]) if kind == CHECK else np.asarray(colorizer(rgb))
        jpegs.append(join(rgb, fake))
    return jpegs


def build(args):
    """Make the page; args: of turing.parse. All that can be checked is, before the work begins.

    Raises DataError, CheckpointError, DeviceError, PageError, ValueError, OSError.
    """
    if args.out.is_dir():
        raise ValueError(f"{args.out}: is a folder; --out names the page's file")
    if os.path.realpath(args.out) in map(os.path.realpath, args.data):
        raise ValueError(f"{args.out}: is --data; the page needs a file of its own")
    if args.out.exists() and page_id(args.out) is None:
        raise ValueError(f"{args.out}: is there already and no page of this test; choose another")
    check_folder(args.out.parent)
    colorings = args.trials - args.checks
    kinds = [PRACTICE] * args.practice + [COLORING] * colorings + [CHECK] * args.checks
    options = {"temperature": args.temperature, "size": args.size}
    colorizer = Colorizer.load(args.weights, args.device, **options)
    if args.temperature is not None and colorizer.regression:
        print(UNHEARD)
    crops, left_out = choose(args.data, args.side, args.seed, len(kinds))
    jpegs = make_pairs(crops, colorizer, kinds)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    page = write_page(args.out, args.side, kinds, jpegs)
    if left_out:
        print(left_out)
    print(
        f"{args.out}: {args.practice} pairs of practice, {args.trials} trials ({args.checks} of "
        f"them checks), {args.out.stat().st_size / 1e6:.1f} MB, page {page}"
    )
