"""Colour a photo with your own functions.

    python -m course colorize examples/tulips.jpg

This is the program of chapter 0 with your rgb_to_lab, conv2d, conv_transpose2d, annealed_mean,
interpolation_matrix and lab_to_rgb. Where an answer is not written yet, or not right, the package's
function does it; the order of the layers, BatchNorm and the weights are always the package's.
"""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize.bins import BINS, TEMPERATURE
from mini_colorize.color import to_byte
from mini_colorize.command import new_parser
from mini_colorize.files.checkpoint import load_network
from mini_colorize.files.images import read_image
from mini_colorize.files.results import write_image
from mini_colorize.modules import BatchNorm2d, ConvTranspose2d

from .check import load

NAMES = (
    "rgb_to_lab", "conv2d", "conv_transpose2d", "annealed_mean", "interpolation_matrix",
    "lab_to_rgb",
)  # fmt: skip


def functions(exercises, answers):
    """The functions of NAMES, a dict: the student's where they are right. Says whose each is."""
    by_name = {exercise.name: exercise for exercise in exercises}
    found = {}
    for name in NAMES:
        exercise = by_name[name]
        own = exercise.verdict(answers) is None
        found[name] = getattr(load(answers / exercise.file), name) if own else exercise.solution
        whose = "yours" if own else "the package's; yours is not right yet"
        print(f"  {name:<21} {whose}")
    return found


def painted(rgb, f, network, size):
    """rgb: (H, W, 3), 0..1; only its lightness is used. f: as of `functions`. Returns the same."""
    lightness = f["rgb_to_lab"](rgb)[..., 0]
    small = Image.fromarray(lightness.astype(np.float32)).resize((size, size), Image.BICUBIC)
    x = (np.asarray(small, np.float64)[None, :, :, None] - 50) / 100
    for layer in network.layers.values():
        if isinstance(layer, BatchNorm2d):
            x = layer.forward(x)
            continue
        convolve = f["conv_transpose2d" if isinstance(layer, ConvTranspose2d) else "conv2d"]
        x = np.asarray(convolve(x, **layer.params, **layer.geometry))
        x = np.maximum(x, 0) if layer.relu else x
    ab = np.asarray(f["annealed_mean"](x[0], BINS, TEMPERATURE))
    tall, wide = (
        np.asarray(f["interpolation_matrix"](n, m))
        for n, m in zip(ab.shape, lightness.shape, strict=False)
    )
    ab = np.stack([tall @ ab[..., i] @ wide.T for i in (0, 1)], axis=-1)
    return f["lab_to_rgb"](np.concatenate([lightness[..., None], ab], axis=-1))


def main(argv, exercises, answers):
    p = new_parser("python -m course colorize", __doc__)
    p.add_argument("photo", type=Path)
    p.add_argument("--answers", type=Path, default=answers, help="folder (course/exercises)")
    p.add_argument("--output", type=Path, help="picture to write (PHOTO-course.png, here)")
    p.add_argument("--size", type=int, default=176, help="side of what the network sees (176)")
    args = p.parse_args(argv)
    if args.size < 8 or args.size % 8:
        p.error(f"--size {args.size}: must be a multiple of 8")
    rgb = np.asarray(read_image(args.photo).convert("RGB")) / 255
    network = load_network("full")[0]
    f = functions(exercises, args.answers)
    start = time.perf_counter()
    picture = np.asarray(painted(rgb, f, network, args.size))
    output = args.output or Path(f"{args.photo.stem}-course.png")
    write_image(Image.fromarray(to_byte(picture)), output)
    print(f"{output}, in {time.perf_counter() - start:.0f} s")
    return 0
