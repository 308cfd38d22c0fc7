"""Make docs/examples.jpg, the picture of the README: each example as grey | coloured | original.

python tools/examples_sheet.py [--weights FILE|RUN] [--out docs/examples.jpg]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infer import comparison  # noqa: E402
from mini_colorize import Colorizer  # noqa: E402
from mini_colorize.images import read_image, write_image  # noqa: E402

HEIGHT, ACROSS = 150, 2  # pixels of a row; examples a row


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--weights")
    p.add_argument("--out", type=Path, default=ROOT / "docs" / "examples.jpg")
    args = p.parse_args()
    colorizer = Colorizer.load(args.weights)
    strips = []
    for path in sorted((ROOT / "examples").glob("*.jpg")):
        image = read_image(path)
        strip = comparison(image, colorizer(image))
        strips.append(strip.resize((round(strip.width * HEIGHT / strip.height), HEIGHT)))
    rows = [strips[i : i + ACROSS] for i in range(0, len(strips), ACROSS)]
    width = max(sum(s.width for s in row) + 10 * (len(row) - 1) for row in rows)
    sheet = np.full((len(rows) * (HEIGHT + 10) - 10, width, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        left = 0
        for strip in row:
            sheet[r * (HEIGHT + 10) :, left : left + strip.width][:HEIGHT] = np.asarray(strip)
            left += strip.width + 10
    write_image(Image.fromarray(sheet), args.out)


if __name__ == "__main__":
    main()
