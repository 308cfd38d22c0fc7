"""A sheet of photographs, each as grey | coloured | original.

python tools/sheet.py                                    docs/examples.jpg, the README's picture
python tools/sheet.py photos/val --photos 24 --out out/val.jpg  24 photos, evenly spread by name
python tools/sheet.py docs/gallery --across 3 --height 120 --out docs/gallery.jpg
                                                         the model card's
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mini_colorize import Colorizer  # noqa: E402
from mini_colorize.album import comparison  # noqa: E402
from mini_colorize.command import add_numbers, add_options, attempt, new_parser, positive  # noqa: E402
from mini_colorize.evaluation.evaluate import limited  # noqa: E402
from mini_colorize.files.images import read_image  # noqa: E402
from mini_colorize.files.results import write_image  # noqa: E402
from mini_colorize.photos import find_photos  # noqa: E402

GAP = 10  # pixels of white between photos


def strips(paths, colorizer, height):
    """The pictures of the sheet, each `height` pixels high. Returns a list of (height, w, 3)."""
    made = []
    for path in paths:
        image = read_image(path)
        strip = comparison(image, colorizer(image))
        strip = strip.resize((max(1, round(strip.width * height / strip.height)), height))
        made.append(np.asarray(strip))
    return made


def sheet(pictures, across):
    """Pictures of one height, `across` a row, on white. Returns (H, W, 3) uint8."""
    height = len(pictures[0])
    rows = [pictures[i : i + across] for i in range(0, len(pictures), across)]
    width = max(sum(p.shape[1] + GAP for p in row) for row in rows) - GAP
    paper = np.full((len(rows) * (height + GAP) - GAP, width, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        left = 0
        for picture in row:
            paper[r * (height + GAP) :, left : left + picture.shape[1]][:height] = picture
            left += picture.shape[1] + GAP
    return paper


def main(argv=None):
    p = new_parser("sheet.py", __doc__)
    p.add_argument("folder", nargs="?", type=Path, default=ROOT / "examples")
    p.add_argument("--out", type=Path, help="(docs/examples.jpg, of the examples only)")
    add_options(p, "weights")
    numbers = {
        "--photos N": "evenly spread by name (all)",
        "--across N": "photos a row (2)",
        "--height N": "of a row, pixels (150)",
    }
    add_numbers(p, numbers, whole=positive)
    p.set_defaults(across=2, height=150)
    args = p.parse_args(argv)
    if args.out is None:
        if args.folder != ROOT / "examples":
            p.error("say where to: --out FILE")
        args.out = ROOT / "docs" / "examples.jpg"

    def work():
        paths = limited(find_photos(args.folder), args.photos)
        pictures = strips(paths, Colorizer.load(args.weights), args.height)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_image(Image.fromarray(sheet(pictures, args.across)), args.out)

    return attempt("sheet.py", work, memory="fewer --photos need less")


if __name__ == "__main__":
    sys.exit(main())
