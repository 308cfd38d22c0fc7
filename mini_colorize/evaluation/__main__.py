"""Measure colourings as the paper does: AuC, PSNR, colourfulness, loss; baselines included."""

import argparse
import sys
from pathlib import Path

EPILOG = """\
examples
  the weights that ship with this
      python -m mini_colorize.evaluation --data photos/val
  two runs, at two temperatures each, on 500 of the photos
      python -m mini_colorize.evaluation --data photos/val --weights runs/a runs/b \\
          --temperature 0.38 0.2 --limit 500 --out out/ab

Use photos that no network was trained on. Writes scores.txt, scores.json and curves.png into --out.
Every pixel of every photo counts alike, so photos should be of about one size; the paper's were
256 x 256. What each column means: mini_colorize/evaluation/measures.py.
"""


def parse(argv):
    p = argparse.ArgumentParser(
        prog="python -m mini_colorize.evaluation",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of photos")
    p.add_argument("--weights", nargs="+", default=[None], metavar="FILE|RUN",
                   help="weights files or runs' folders (those shipped)")  # fmt: skip
    p.add_argument("--temperature", nargs="+", type=float, default=[None], metavar="T",
                   help="of the annealed mean; several give a row each (each weights' own)")  # fmt: skip
    p.add_argument("--size", type=int, metavar="S",
                   help="side at which the networks look (each weights' own)")  # fmt: skip
    p.add_argument("--limit", type=_positive, metavar="N", help="photos, evenly spread (all)")
    p.add_argument("--batch", type=_positive, default=1, metavar="N",
                   help="photos a network sees at a time; changes the speed only (1)")  # fmt: skip
    p.add_argument("--min-count", type=_positive, default=100, metavar="N",
                   help="pixels that a class of colour needs to count in the balanced AuC, which "
                   "depends on it (100)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of the resamples and of `random` (0)")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"),
                   help="of the networks: auto takes a CUDA GPU if one works (auto)")  # fmt: skip
    p.add_argument("--out", type=Path, default=Path("out/evaluation"), metavar="DIR",
                   help="folder of the results (out/evaluation)")  # fmt: skip
    return p.parse_args(argv)


def _positive(string):
    value = int(string)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = "number above 0"  # argparse: invalid ... value


def run(args):
    """Measure, print and write. Raises what `main` turns into a line."""
    from ..data import find_photos
    from . import report
    from .run import evaluate, limited
    from .systems import Checkpoint, Gray, Random, Truth

    paths = limited(find_photos(args.data), args.limit)
    systems = [Truth(), Gray(), Random(paths, args.seed)]
    for weights in args.weights:
        for temperature in args.temperature:
            system = Checkpoint(weights, temperature, args.size, args.device)
            systems.append(system)
            if system.regression:
                break  # it has no temperature
    print(systems[-1].colorizer.device)
    result = evaluate(paths, args.data, systems, seed=args.seed, batch=args.batch)
    print(report.text(result, args.min_count), end="")
    drawn = report.write(result, args.min_count, args.out)
    print(f"\nscores.txt, scores.json{', curves.png' if drawn else ''}: in {args.out}")
    if not drawn:
        print("no curves.png: it needs matplotlib (pip install 'mini_colorize[plots]')")


def main(argv=None):
    args = parse(argv)
    from ..backend import DeviceError
    from ..checkpoint import CheckpointError
    from ..data import DataError

    try:
        run(args)
    except (DataError, DeviceError, CheckpointError, ValueError) as error:
        return _complain(error)
    except OSError as error:
        return _complain(f"{error.filename or args.out}: {error.strerror or error}")
    except MemoryError:
        return _complain("not enough memory; a smaller --batch or --size needs less")
    except KeyboardInterrupt:
        _complain("stopped; nothing was written")
        return 130
    return 0


def _complain(error):
    print(f"evaluation: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be valid text
        stream.reconfigure(errors="backslashreplace")
    sys.exit(main())
