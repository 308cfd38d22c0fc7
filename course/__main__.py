"""Check the exercises of the course.

    python -m course                   how far you are, chapter by chapter
    python -m course 4                 check chapter 4, and say what is wrong
    python -m course --answers DIR     check the files of another folder, laid out as
                                       course/exercises is
    python -m course colorize PHOTO    colour a photo with your own functions, as far as they are
                                       right

Read course/NN-name.md, write into course/exercises/NN_name.py, check. The exit code is 0 if all
that was checked is right, else 1.
"""

import importlib
import os
import sys
from pathlib import Path

from mini_colorize.command import attempt, new_parser, run_program

from . import colorize
from .check import UNWRITTEN, verdicts

HERE = Path(__file__).resolve().parent


def chapters():
    """The chapters: number -> (title, file of its text, exercises)."""
    found = {}
    for text in sorted(HERE.glob("[0-9][0-9]-*.md")):
        number = int(text.name[:2])
        title = text.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
        checks = importlib.import_module(f"{__package__}.checks.c{number:02}")
        found[number] = title, text, checks.EXERCISES
    return found


def parse(argv, numbers):
    p = new_parser("python -m course", __doc__)
    p.add_argument("chapter", nargs="*", type=int, help=f"{numbers[0]} to {numbers[-1]} (all)")
    p.add_argument(
        "--answers", type=Path, default=HERE / "exercises", help="folder (course/exercises)"
    )
    args = p.parse_args(argv)
    for number in args.chapter:
        if number not in numbers:
            there = ", ".join(map(str, numbers))
            p.error(f"there is no chapter {number}; there are {there}")
    if not args.answers.is_dir():
        p.error(f"--answers {args.answers}: there is no such folder")
    return args


def overview(known, answers):
    """A line for each chapter. Returns whether all is right."""
    total = done = 0
    for title, _, exercises in known.values():
        said = [verdict for _, verdict in verdicts(exercises, answers)]
        marks = "".join({None: "#", UNWRITTEN: "."}.get(v, "x") for v in said)
        total, done = total + len(said), done + said.count(None)
        print(f"{title:<52}  {marks}", flush=True)
    print(f"\n{done} of {total} exercises are right.  # right   x wrong   . {UNWRITTEN}")
    return done == total


def in_detail(title, text, exercises, answers):
    """What is wrong with each answer of a chapter. Returns whether all is right."""
    print(f"{title}  ({os.path.relpath(text)})\n")
    width = max(len(exercise.name) for exercise in exercises)
    done = 0
    for exercise, said in verdicts(exercises, answers):
        done += said is None
        print(
            f"  {exercise.name:<{width}}  " + (said or "right").replace("\n", "\n      "),
            flush=True,
        )
    files = sorted({os.path.relpath(answers / exercise.file) for exercise in exercises})
    print(f"\n{done} of {len(exercises)} exercises are right. Your answers: {', '.join(files)}\n")
    return done == len(exercises)


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    known = chapters()
    if argv[:1] == ["colorize"]:
        exercises = [exercise for *_, some in known.values() for exercise in some]
        return attempt("course", lambda: colorize.main(argv[1:], exercises, HERE / "exercises"))
    args = parse(argv, list(known))

    def work():
        if not args.chapter:
            return 0 if overview(known, args.answers) else 1
        right = [in_detail(*known[number], args.answers) for number in args.chapter]
        return 0 if all(right) else 1

    return attempt("course", work)


if __name__ == "__main__":
    sys.exit(run_program(main))
