"""Measure colourings as the paper does: AuC, PSNR, colourfulness, loss; baselines included.

examples
  the weights that ship with this
      python -m mini_colorize.evaluation --data val.tar --weights full tiny
  two runs, at two temperatures each, on 500 of the photos
      python -m mini_colorize.evaluation --data photos/val --weights runs/a runs/b \\
          --temperature 0.38 0.2 --limit 500 --out out/ab

Use photos that no network was trained on. Writes scores.txt, scores.json and curves.png into --out.
Every pixel of every photo counts alike, so photos should be of about one size; the paper's were
256 x 256. Of several networks (or temperatures), the differences to the first are printed as well.

columns
  AuC            area under the curve of the share of pixels whose ab is within 0 ... 150 of the
                 truth, in percent; balanced: the mean over the classes of the truth's colours
  gap closed     the share of what gray lacks in the balanced AuC: (this - gray) / (100 - gray). The
                 balanced AuC depends on how many classes the photos have; this less so
  PSNR, dB       10 log10(255^2 / mean squared error), the mean over all sRGB values of all photos
                 together: not a mean of the photos' own PSNRs
  colourfulness  Hasler and Suesstrunk's, the mean over the photos
  loss, nats     cross-entropy with the soft-encoded truth, each photo at the network's --size, all
                 classes weighted alike; the mean over the photos that have colour
  s a photo      from lightness to picture, reading the file left out
"""

import functools
from pathlib import Path

from .. import command
from ..files.disk import check_folder


def parse(argv):
    p = command.new_parser("python -m mini_colorize.evaluation", __doc__)
    command.add_options(p, "data", required=True)
    command.add_options(p, "weights", nargs="+", action="extend")
    several = command.OPTIONS["temperature"]["help"] + "; several give a row each"
    command.add_options(p, "temperature", nargs="+", default=[None], help=several)
    command.add_options(p, "size")
    numbers = {
        "--limit N": "photos, evenly spread (all)",
        "--batch N": "photos a network sees at a time; changes the speed only (1)",
        "--min-count N": "pixels that a class of colour needs to count in the balanced AuC, which "
        "depends on it (100)",
    }
    command.add_numbers(p, numbers, whole=command.positive)
    command.add_numbers(p, {"--seed N": "of the resamples and of `random` (0)"})
    p.set_defaults(batch=1, min_count=100, seed=0)
    command.add_options(p, "device")
    p.add_argument(
        "--out",
        type=Path,
        default=Path("out/evaluation"),
        metavar="DIR",
        help="folder of the results (out/evaluation)",
    )
    args = p.parse_args(argv)
    if args.seed < 0:
        p.error("--seed must be 0 or more")
    return args


def print_scores(args, team):
    """Measure, print and write: the team shares the photos, rank 0 has the last word. Raises what
    `main` turns into a line."""
    from ..colorizer import UNHEARD
    from ..files.checkpoint import DEFAULT
    from ..photos import find_photos
    from . import report
    from .evaluate import evaluate, limited
    from .systems import Checkpoint, Gray, Random, Truth

    check_folder(args.out)  # now, not after an hour
    report.check_out(args.out)
    photos = limited(find_photos(args.data), args.limit)
    systems = [Truth(), Gray(), Random(photos, args.seed)]
    for weights in args.weights or [DEFAULT]:
        first, *others = args.temperature
        where = {"device": args.device, "number": team.local_rank}
        systems.append(Checkpoint(weights, first, args.size, **where))
        if not systems[-1].colorizer.regression:
            systems += [systems[-1].at(temperature) for temperature in others]
        elif first is not None:
            print(f"{weights}: {UNHEARD}")
    print(systems[-1].colorizer.device)
    result = evaluate(
        photos, systems, data=" ".join(args.data), seed=args.seed, batch=args.batch, team=team
    )
    if team.rank:
        return
    rows = report.rows(result, args.min_count)
    drawn = report.write(result, args.min_count, rows, args.out)  # a reader may have gone
    print(report.text(result, args.min_count, rows), end="")
    print(f"\nscores.txt, scores.json{', curves.png' if drawn else ''}: in {args.out}")
    if not drawn:
        print("no curves.png: it needs matplotlib (pip install 'mini_colorize[plots]')")


def main(argv=None):
    command.share_cores()
    args = parse(argv)

    errors = {
        "also": (ValueError,),
        "memory": "a smaller --batch or --size needs less",
        "stopped": "stopped; every file is whole, new or as it was",
    }

    def work():
        from ..team import together

        explain = functools.partial(command.explained, **errors)
        together("evaluation", lambda team: print_scores(args, team), explain=explain)

    return command.attempt("evaluation", work, **errors)


if __name__ == "__main__":
    command.run_program(main)
