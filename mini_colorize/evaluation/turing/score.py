"""The answers of many people, pooled.

The interval is a bootstrap over people and over pictures at once (Owen's pigeonhole bootstrap,
2007): both would be others in another run of the experiment, and the trials of one person, or of
one picture, are not independent. That makes it wider than a bootstrap over trials. Of one person
alone it is over pictures, and says nothing of other people.

Which pairs practise, count or check is the page's to say, where it is found: a file can be edited.

Notation
    P    people         N    pictures that somebody saw         B    resamples
"""

import argparse
import collections
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files.disk import write_json
from ...files.results import write_image
from .page import CHECK, COLORING, PRACTICE, PageError, page_id, read_page
from .sheet import draw_sheet

FORMAT, VERSION = "mini_colorize turing answers", 1
NAMES = {"practice": PRACTICE, "colouring": COLORING, "check": CHECK}  # of kinds, in a file
MAX_BYTES, MAX_TRIALS = 2**20, 2000  # of one file; an honest one has about 10 kB
RESAMPLES = 2000
PAPER = "published: 32.3 % for the paper's full method, 40 people, ImageNet"


class AnswersError(UserError):
    """A file holds no usable answers. One line that starts with its path."""


@dataclasses.dataclass
class Answers:
    """One person's. trials: picture -> (kind, whether the fake was taken for real).

    None instead of whether, if the pair was interrupted and so does not count.
    """

    path: Path
    page: str
    person: str
    trials: dict

    def of(self, wanted):
        """The trials of a kind that count: picture -> whether."""
        return {p: t for p, (kind, t) in self.trials.items() if kind == wanted and t is not None}

    def interrupted(self):
        return sum(kind != PRACTICE and taken is None for kind, taken in self.trials.values())


def read_answers(path):
    """Read one file that the page saved. Raises AnswersError."""
    try:
        if not Path(path).is_file():
            raise AnswersError(f"{path}: no such file")
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise AnswersError(f"{path}: too large for a file of answers")
        return _checked(path, json.loads(text))
    except OSError as error:
        raise AnswersError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError):  # not UTF-8, not JSON, numbers of a million digits
        raise AnswersError(f"{path}: not JSON") from None


def _checked(path, data):
    """The parsed JSON as Answers. Nothing of it is trusted."""

    def need(condition, what):
        if not condition:
            raise AnswersError(f"{path}: {what}")

    need(isinstance(data, dict) and data.get("format") == FORMAT, "not answers of the Turing test")
    need(data.get("version") == VERSION, f"this program reads version {VERSION}")
    for key, length in (("page", 16), ("participant", 8)):
        value = data.get(key)
        hexadecimal = isinstance(value, str) and set(value) <= set("0123456789abcdef")
        need(hexadecimal and len(value) == length, f"has no usable {key}")
    trials = data.get("trials")
    need(isinstance(trials, list) and 0 < len(trials) <= MAX_TRIALS, "has no usable trials")
    answers = Answers(Path(path), data["page"], data["participant"], {})
    for trial in trials:
        need(_sound(trial) and trial["picture"] not in answers.trials, "a trial makes no sense")
        taken = None if trial["interrupted"] else trial["fake"] != trial["chosen"]
        answers.trials[trial["picture"]] = NAMES[trial["kind"]], taken
    return answers


def _sound(trial):
    sides = ("left", "right")
    return (
        isinstance(trial, dict)
        and type(trial.get("picture")) is int
        and 1 <= trial["picture"] <= MAX_TRIALS
        and trial.get("kind") in tuple(NAMES)
        and trial.get("fake") in sides
        and trial.get("chosen") in sides
        and type(trial.get("interrupted")) is bool
    )


def select(answers, wanted, page=None):
    """Those of one page, each person once. Returns (selected, lines about the others).

    wanted: the page's id. page: the Page, if it is there: it says of which kind the trials are.
    """
    selected, problems = {}, []
    for a in answers:
        first = selected.get(a.person)
        if a.page != wanted:
            problems.append(f"{a.path}: answers to another page ({a.page}, not {wanted})")
        elif first is not None:
            problems.append(f"{a.path}: the same person as in {first.path}; counted once")
        elif page is not None and max(a.trials) > len(page.kinds):
            problems.append(f"{a.path}: picture {max(a.trials)} is not in the page")
        else:
            selected[a.person] = a
            if page is not None:
                a.trials = {p: (page.kinds[p - 1], taken) for p, (_, taken) in a.trials.items()}
    return list(selected.values()), problems


def bootstrap(fooled, seen, resamples=RESAMPLES, seed=0):
    """The 95 % interval of sum(fooled) / sum(seen). fooled, seen: (P, N) of 0 and 1.

    People and pictures are drawn with replacement, each as often as there are. Returns (low,
    high), or None if nothing was seen.
    """
    if not seen.any():
        return None
    people, pictures = seen.shape
    rng = np.random.default_rng(seed)
    # How often each is drawn: (B, P) and (B, N).
    a = rng.multinomial(people, np.full(people, 1 / people), resamples)
    b = rng.multinomial(pictures, np.full(pictures, 1 / pictures), resamples)
    total = ((a @ seen) * b).sum(1)
    rates = ((a @ fooled) * b).sum(1)[total > 0] / total[total > 0]
    return tuple(float(x) for x in np.percentile(rates, [2.5, 97.5]))


def pool(answers):
    """All that is reported, as JSON-able values. answers: list of Answers, one page."""
    colorings = [a.of(COLORING) for a in answers]
    pictures = sorted(set().union(*colorings))
    shape = len(answers), len(pictures)
    seen = np.array([[p in own for p in pictures] for own in colorings], int).reshape(shape)
    fooled = np.array([[own.get(p, 0) for p in pictures] for own in colorings], int).reshape(shape)
    total = int(seen.sum())
    counts = zip(pictures, fooled.sum(axis=0).tolist(), seen.sum(axis=0).tolist(), strict=True)
    each = [dict(zip(("picture", "fooled", "seen"), row, strict=True)) for row in counts]
    people = []
    for a, own in zip(answers, colorings, strict=True):
        checks = a.of(CHECK)
        people.append(
            {
                "participant": a.person,
                "fooled": sum(own.values()),
                "seen": len(own),
                "checks_found": len(checks) - sum(checks.values()),
                "checks": len(checks),
                "interrupted": a.interrupted(),
            }
        )
    over = "people and pictures" if len(answers) > 1 else "the pictures that one person saw"
    return {
        "page": answers[0].page,
        "answers": total,
        "fooled_rate": fooled.sum() / total if total else None,
        "fooled_rate_95": bootstrap(fooled, seen),
        "interval": f"bootstrap over {over}, {RESAMPLES} resamples",
        "people": people,
        # Most often taken for real first; of equal shares, the one that more people saw.
        "pictures": sorted(each, key=lambda e: (-e["fooled"] / e["seen"], -e["seen"])),
    }


def table(result):
    """The result as text."""
    people, rate = result["people"], result["fooled_rate"]
    crowd = "1 person" if len(people) == 1 else f"{len(people)} people"
    lines = [f"page {result['page']}: {crowd}, {result['answers']} answers counted"]
    if rate is not None:
        low, high = result["fooled_rate_95"]
        lines.append(
            f"fooled        {rate:6.1%}   95 % interval {low:.1%} ... {high:.1%} "
            f"({result['interval']})"
        )
    checks = sum(p["checks"] for p in people)
    if checks:
        found = sum(p["checks_found"] for p in people)
        lines.append(f"checks found  {found / checks:6.1%}   {found} of {checks} (paper: 87 %)")
    lines += [PAPER + "; 50 % is pure chance", "", "person     fooled     checks     interrupted"]
    for p in people:
        fooled, found = f"{p['fooled']} of {p['seen']}", f"{p['checks_found']} of {p['checks']}"
        lines.append(f"{p['participant']:10} {fooled:10} {found:10} {p['interrupted']}")
    lines += ["", "picture    fooled"]
    lines += [f"{e['picture']:7}    {e['fooled']} of {e['seen']}" for e in result["pictures"]]
    return "\n".join(lines)


def find_page(page, files):
    """The Page with this id in an .html beside the answers, a folder above or here, or None.

    Also returns lines about files that claim to be it and are damaged.
    """
    problems = []
    places = [folder for file in files for folder in (file.parent, file.parent / "..")]
    for folder in dict.fromkeys(place.resolve() for place in [Path("."), *places]):
        for path in sorted(folder.glob("*.html")):
            if path.is_file() and page_id(path) == page:
                try:
                    return read_page(path), problems
                except PageError as error:
                    problems.append(str(error))
    return None, problems


def parse(argv, prog):
    p = argparse.ArgumentParser(prog=prog, description="Pool the answers that people saved.")
    files, out, page = (
        "what the page saved, or a folder of it",
        "for score.json and sheet.png (out/turing)",
        "the page, for its pictures and for which pairs are checks (an .html near the answers that "
        "is it)",
    )
    p.add_argument("answers", nargs="+", type=Path, metavar="FILE|DIR", help=files)
    p.add_argument("--out", type=Path, default=Path("out/turing"), metavar="DIR", help=out)
    p.add_argument("--page", type=Path, metavar="FILE", help=page)
    return p.parse_args(argv)


def main(argv, prog):
    """Returns the exit code. A file that is no use is named and the rest are pooled."""
    args = parse(argv, prog)
    files = [f for a in args.answers for f in (sorted(a.glob("*.json")) if a.is_dir() else [a])]
    answers, problems = [], []
    for file in files:
        try:
            answers.append(read_answers(file))
        except AnswersError as error:
            problems.append(str(error))
    try:
        page = read_page(args.page) if args.page else None
        wanted = page and page.id
        if page is None and answers:  # the one that most files are of
            wanted = collections.Counter(a.page for a in answers).most_common(1)[0][0]
            page, damaged = find_page(wanted, files)
            problems += damaged
        answers, others = select(answers, wanted, page)
        problems += others
        if answers:
            _write(args.out, pool(answers), page)
        else:
            problems.append("no answers to pool")
    except PageError as error:
        problems.append(str(error))
    for problem in problems:
        print(f"turing: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _write(out, result, page):
    """Write score.json and, if the page is there, sheet.png; then print the table."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "score.json", result)
    lines = [table(result), "", str(out / "score.json")]
    if page is None:
        lines.append(
            "the page was not found (name it with --page): no picture sheet, and which "
            "pairs are checks is what the answers say"
        )
    else:
        write_image(draw_sheet(result["pictures"], page), out / "sheet.png")
        lines.append(str(out / "sheet.png"))
    print("\n".join(lines))
