"""The paper's three systems, trained alike for equal time and measured alike.

    python -m benchmarks.ablation --data DIR --val DIR [--minutes 12] [--out runs/ablation]

The same network (`tiny`), photos, crops, seeds and first weights; only the loss differs (train.py
--loss) and, for the regression, the last layer. They take turns, a step each, so that whatever
else the machine does slows all three; each stops when its own steps have taken the time. The rate
falls once, after 215/450 of the time, where the authors' fell.

The paper says: rebalanced > classification > regression, in colourfulness and in class-balanced
AuC. The last lines say whether that is so here: the differences between neighbours, with bootstrap
intervals over the photos of --val, resampled for both systems alike. They know of other photos, not
of other seeds. Where --out holds the trained three already, they are only measured, and an option
that contradicts how they were trained is an error.
"""

import argparse
import dataclasses
import json
import math
import sys
import time
from itertools import pairwise
from pathlib import Path

from tqdm import tqdm

from benchmarks.common import machine
from mini_colorize.backend import select_device
from mini_colorize.command import attempt
from mini_colorize.evaluation.evaluate import evaluate, limited
from mini_colorize.evaluation.report import rows, text
from mini_colorize.evaluation.systems import Checkpoint, Gray, Random, Truth
from mini_colorize.evaluation.tally import interval
from mini_colorize.fast.threads import THREADS
from mini_colorize.files.config import LOSSES, Config, TrainingError
from mini_colorize.files.disk import check_folder, write_json
from mini_colorize.photos import find_photos
from mini_colorize.training import Trainer

ORDER = ("regression", "classification", "rebalanced")  # what the paper says, from worst to best
NOTE = "ablation.json"  # in --out, once the three are trained: how
TRAINING = {  # its options: type, what they are where nothing is said, help
    "data": (str, None, "photos to train on; needless if --out holds the trained three"),
    "minutes": (float, 12.0, "of training, a system (12)"),
    "size": (int, 96, "side of the crops (96)"),
    "batch": (int, 16, "crops in a batch (16)"),
    "lr": (float, 1e-3, "learning rate (0.001)"),
    "seed": (int, 0, "of training, and of the resamples (0)"),
}
MIN_COUNT = 100  # pixels of a class, see mini_colorize/evaluation


class Run:
    """One system in training, and the seconds that its steps have taken."""

    def __init__(self, loss, args, xp):
        given = {name: getattr(args, name) for name in ("size", "batch", "lr", "seed")}
        # `save` says how many steps they were, and when the rate fell
        later = {"steps": 1, "schedule": "steps", "lr_every": 10**9}
        config = Config([args.data], model="tiny", loss=loss, workers=1, **given, **later)
        self.folder, self.loss, self.seconds = Path(args.out) / loss, loss, 0.0
        self.trainer = Trainer(config, self.folder, xp)
        self.trainer.start()
        self.batches = self.trainer.loader.batches()
        self.budget, self.fell = args.minutes * 60, None  # seconds; the step where the rate fell

    def step(self):
        """One step, timed. On a GPU the loss is read, as that waits for the device."""
        if self.fell is None and self.seconds > self.budget * 215 / 450:
            self.fell = self.trainer.step
            self.trainer.config.lr *= 0.316
        start = time.perf_counter()
        value = float(self.trainer.train_step(next(self.batches))[0][0])
        self.seconds += time.perf_counter() - start
        return value

    def save(self, lr):
        """The weights, and a config.json of the steps that were made, so that the run is done."""
        self.batches.close()
        self.trainer.save()
        made = {"steps": self.trainer.step, "lr": lr, "lr_every": self.fell}
        write_json(self.folder / "config.json", dataclasses.asdict(self.trainer.config) | made)


def train(args, xp):
    """Train the three in turn; write their weights and the note of how. Returns the note."""
    runs = [Run(loss, args, xp) for loss in LOSSES]
    bar = tqdm(total=round(args.minutes * 60 * len(runs)), unit="s", smoothing=0)
    values = {}
    while todo := [run for run in runs if run.seconds < run.budget]:
        for run in todo:
            values[run.loss] = run.step()
        bar.n = min(bar.total, round(sum(run.seconds for run in runs)))
        bar.set_postfix_str(", ".join(f"{k[:5]} {v:.3f}" for k, v in values.items()))
    bar.close()
    for run in runs:
        run.save(args.lr)
    told = {run.loss: {"steps": run.trainer.step, "seconds": round(run.seconds)} for run in runs}
    settings = {name: getattr(args, name) for name in TRAINING}
    note = {"machine": machine(), "threads": THREADS, **settings, "trained": told}
    write_json(Path(args.out) / NOTE, note)
    return note


def measure(args):
    """The Evaluation of the three systems, beside the baselines."""
    photos = limited(find_photos(args.val), args.limit)
    systems = [Truth(), Gray(), Random(photos, args.seed)]
    out, device = Path(args.out), args.device
    systems += [Checkpoint(out / loss, device=device, name=loss) for loss in reversed(ORDER)]
    return evaluate(photos, systems, data=args.val, seed=args.seed)


def verdict(result):
    """Whether the paper's order is seen, in lines: neighbours' differences and their intervals."""
    tallied = zip(result.systems, result.tallies, strict=True)
    scores = {system.name: tally.scores(MIN_COUNT) for system, tally in tallied}
    lines = []
    for name in ("colorfulness", "auc_balanced", "auc_raw"):
        for worse, better in pairwise(ORDER):
            difference = scores[better][name] - scores[worse][name]
            ends, line = interval(difference), "cannot be measured on these photos"
            if ends is not None:
                low, high = ends
                seen = "more" if low > 0 else "less" if high < 0 else "undecided"
                line = f"{difference[0]:+.2f} [{low:+.2f} {high:+.2f}], {seen}"
            lines.append(f"{name:<13} {better} - {worse}: {line}")
    return "\n".join(lines)


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, (kind, _, what) in TRAINING.items():
        p.add_argument(f"--{name}", type=kind, help=what)
    p.add_argument("--val", required=True, help="photos to measure on")
    p.add_argument("--limit", type=int, help="photos to measure on, evenly spread (all)")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    p.add_argument("--out", default="runs/ablation", help="folder of the three (runs/ablation)")
    args = p.parse_args(argv)
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        p.error("--minutes must be more than 0")
    return args


def read_note(path):
    """The note beside the trained three, or None where there is none. Raises TrainingError."""
    if not path.exists():
        return None
    try:
        note = dict(json.loads(path.read_text()))
        if not {"machine", "threads", *TRAINING, "trained"} <= note.keys():
            raise ValueError
    except (TypeError, ValueError):
        raise TrainingError(f"{path}: damaged; another --out trains anew") from None
    return note


def settle(args, told):
    """Fill in the options of training that were not given. told: the note, None before training.

    Raises TrainingError if one that was given is not what the trained three were trained with.
    """
    for name, (_, default, _) in TRAINING.items():
        given, value = getattr(args, name), told[name] if told else default
        if told and given not in (None, value):
            raise TrainingError(
                f"{args.out} holds three trained with --{name} {value}, not "
                f"{given}; another --out trains anew"
            )
        setattr(args, name, value if given is None else given)
    if args.data is None:
        raise TrainingError("say which photos to train on: --data DIR")


def run(args):
    """Train, if that is not done, and measure."""
    note = read_note(Path(args.out) / NOTE)
    settle(args, note)
    find_photos(args.val)  # now, not after the trainings
    check_folder(Path(args.out))
    if note is None:
        xp, line = select_device(args.device)
        print(line)
        note = train(args, xp)
    result = measure(args)
    print(note["machine"])
    print(
        "{minutes:g} minutes a system, {threads} threads, {size} x {size}, batch {batch}, "
        "lr {lr:g}, seed {seed}; one run each".format(**note)
    )
    for loss, told in note["trained"].items():
        print(f"{loss}: {told['steps']} steps in {told['seconds']} s")
    print("\n" + text(result, MIN_COUNT, rows(result, MIN_COUNT)), verdict(result), sep="\n")


def main(argv=None):
    args = parse(argv)
    return attempt("ablation", lambda: run(args), also=(ValueError,))


if __name__ == "__main__":
    sys.exit(main())
