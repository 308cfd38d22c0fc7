"""How much colour does a network give to white paper?

    python -m benchmarks.whites --data DIR [--weights full tiny ...] [--limit 100]

Every photo is laid, at half of the side, on a white page of the network's own size, in the middle.
Printed is the mean chroma (distance from gray in the ab plane) that the page around it is given,
which should be 0, and that of the photo, beside the truth's.
"""

import argparse
import sys

import numpy as np
from PIL import Image

from mini_colorize.color import rgb_to_lab
from mini_colorize.colorizer import Colorizer
from mini_colorize.command import attempt
from mini_colorize.data import PhotoLoader
from mini_colorize.evaluation.evaluate import limited
from mini_colorize.photos import find_photos


def chroma(rgb, where):
    """Mean chroma of the pixels `where`, (H, W) bool, of a picture (H, W, 3) uint8."""
    return np.linalg.norm(rgb_to_lab(rgb)[where][:, 1:], axis=-1).mean()


def page(rgb):
    """A photo (side, side, 3) on a white page of twice the side, and where the page is white."""
    edge = len(rgb) // 2
    paper = np.pad(rgb, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
    return paper, np.pad(np.zeros(rgb.shape[:2], bool), edge, constant_values=True)


def measure(args):
    photos = limited(find_photos(args.data), args.limit)
    print(f"{len(photos)} photos; mean chroma of {'page':>8} {'photo':>8} {'truth':>8}")
    for weights in args.weights:
        colorizer, found = Colorizer.load(weights), []
        side = colorizer.size // 2
        loader = PhotoLoader(photos, size=side, resize=side, batch=1, augment=False)
        for (photo,) in loader.batches():
            paper, white = page(photo)
            made = np.asarray(colorizer(Image.fromarray(paper)))
            found.append([chroma(made, white), chroma(made, ~white), chroma(paper, ~white)])
        print(f"{weights:<26}" + " ".join(f"{v:8.2f}" for v in np.mean(found, axis=0)))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", nargs="+", required=True, help="photos, never trained on")
    p.add_argument("--weights", nargs="+", default=["full", "tiny"])
    p.add_argument("--limit", type=int, default=100, help="photos, evenly spread (100)")
    args = p.parse_args()
    return attempt("whites", lambda: measure(args))


if __name__ == "__main__":
    sys.exit(main())
