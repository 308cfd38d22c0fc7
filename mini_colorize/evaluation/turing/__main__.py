"""The paper's experiment with people: which of two pictures has fake colours? (section 3.1)

    python -m mini_colorize.evaluation.turing --data DIR --out turing.html
    python -m mini_colorize.evaluation.turing score answers/*.json

The first makes a page to be given to people, of photos that the network was not trained on: it
works offline, in any browser, on a phone. After 10 pairs of practice come 40 that count, each shown
for one second, the photo and the colouring side by side. As in the paper, one pair in ten checks
the attention: its fake wears the colours of another photo, which is easy to see. The second pools
what the people saved; `... score --help` tells how. Exit code: 0 if all went well, 2 if not.
"""

import sys
from pathlib import Path

from ... import command

PROG = "python -m mini_colorize.evaluation.turing"


def parse(argv):
    p = command.new_parser(PROG, __doc__)
    command.add_options(p, "data", required=True)
    command.add_options(p, "weights")
    p.add_argument(
        "--out",
        type=Path,
        default=Path("turing.html"),
        metavar="FILE",
        help="the page (turing.html)",
    )
    numbers = {
        "--trials N": "pairs that count (40, the paper's)",
        "--practice N": "pairs of practice before them (10, the paper's)",
        "--checks N": "how many of the trials check the attention (one in ten)",
        "--seed N": "draws the photos (0)",
        "--side S": "of the pictures, pixels, a multiple of 8 (256, the paper's)",
    }
    command.add_numbers(p, numbers)
    p.set_defaults(trials=40, practice=10, seed=0, side=256)
    command.add_options(p, "temperature", "size", "device")
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


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    scoring = argv[:1] == ["score"]
    args = None if scoring else parse(argv)

    def work():
        if scoring:
            from .score import main as score

            return score(argv[1:], f"{PROG} score")
        from .build import build

        return build(args)

    return command.attempt(
        "turing",
        work,
        also=(ValueError,),
        memory="a smaller --size needs less",
        stopped="stopped; every file is whole, new or as it was",
    )


if __name__ == "__main__":
    command.run_program(main)
