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
from mini_colorize.backend import DeviceError, select_device
from mini_colorize.evaluation.evaluate import evaluate, limited
from mini_colorize.evaluation.report import rows, text
from mini_colorize.evaluation.systems import Checkpoint, Gray, Random, Truth
from mini_colorize.evaluation.tally import interval
from mini_colorize.fast.threads import THREADS
from mini_colorize.files.checkpoint import CheckpointError
from mini_colorize.files.config import LOSSES, Config, TrainingError
from mini_colorize.files.disk import check_folder, write_json
from mini_colorize.photos import DataError, find_photos
from mini_colorize.training import Trainer

ORDER = ("regression", "classification", "rebalanced")  # what the paper says, from worst to best
NOTE = "ablation.json"  # in --out, once the three are trained: how
# The options of training, and what they are where nothing is said.
TRAINING = {"data": None, "minutes": 12.0, "size": 96, "batch": 16, "lr": 1e-3, "seed": 0}
MIN_COUNT = 100  # pixels of a class, see mini_colorize/evaluation


class Run:
    """One system in training, and the seconds that its steps have taken."""

    def __init__(self, loss, args, xp):
        config = Config(
            data=[args.data],
            model="tiny",
            loss=loss,
            size=args.size,
            batch=args.batch,
            steps=1,
            schedule="steps",
            lr_every=10**9,
            lr=args.lr,
            seed=args.seed,
            workers=1,
        )  # `save` says how many steps they were, and when the rate fell
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
        values, _ = self.trainer.train_step(next(self.batches))
        value = float(values[0])
        self.seconds += time.perf_counter() - start
        return value

    def save(self, lr):
        """The weights, and a config.json of the steps that were made, so that the run is done."""
        self.batches.close()
        self.trainer.save()
        made = {"steps": self.trainer.step, "lr": lr, "lr_every": self.fell}
        config = dataclasses.asdict(self.trainer.config) | made
        write_json(self.folder / "config.json", config)


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
    for loss in reversed(ORDER):
        systems.append(Checkpoint(Path(args.out) / loss, device=args.device, name=loss))
    return evaluate(photos, systems, data=args.val, seed=args.seed)


def verdict(result):
    """Whether the paper's order is seen, in lines: neighbours' differences and their intervals."""
    scores = {
        s.name: t.scores(MIN_COUNT) for s, t in zip(result.systems, result.tallies, strict=True)
    }
    lines = []
    for name in ("colorfulness", "auc_balanced", "auc_raw"):
        for worse, better in pairwise(ORDER):
            difference = scores[better][name] - scores[worse][name]
            ends = interval(difference)
            if ends is None:
                lines.append(f"{name:<13} {better} - {worse}: cannot be measured on these photos")
                continue
            low, high = ends
            seen = "more" if low > 0 else "less" if high < 0 else "undecided"
            lines.append(
                f"{name:<13} {better} - {worse}: {difference[0]:+.2f} "
                f"[{low:+.2f} {high:+.2f}], {seen}"
            )
    return "\n".join(lines)


def parse(argv):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", help="photos to train on; needless if --out holds the trained three")
    p.add_argument("--val", required=True, help="photos to measure on")
    p.add_argument("--minutes", type=float, help="of training, a system (12)")
    p.add_argument("--size", type=int, help="side of the crops (96)")
    p.add_argument("--batch", type=int, help="crops in a batch (16)")
    p.add_argument("--lr", type=float, help="learning rate (0.001)")
    p.add_argument("--seed", type=int, help="of training, and of the resamples (0)")
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
    except (TypeError, ValueError):
        raise TrainingError(f"{path}: damaged; another --out trains anew") from None
    for name in ("machine", "threads", *TRAINING, "trained"):
        if name not in note:
            raise TrainingError(f"{path}: does not say {name}; another --out trains anew")
    return note


def settle(args, told):
    """Fill in the options of training that were not given. told: the note, None before training.

    Raises TrainingError if one that was given is not what the trained three were trained with.
    """
    for name, default in TRAINING.items():
        given, value = getattr(args, name), told[name] if told else default
        if told and given not in (None, value):
            raise TrainingError(
                f"{args.out} holds three trained with --{name} {value}, not "
                f"{given}; another --out trains anew"
            )
        setattr(args, name, value if given is None else given)
    if args.data is None:
        raise TrainingError("say which photos to train on: --data DIR")


def main(argv=None):
    args = parse(argv)
    try:
        told = read_note(Path(args.out) / NOTE)
        settle(args, told)
        find_photos(args.val)  # now, not after the trainings
        check_folder(Path(args.out))
        if told is None:
            xp, line = select_device(args.device)
            print(line)
            told = train(args, xp)
        result = measure(args)
    except (CheckpointError, DataError, DeviceError, TrainingError, OSError, ValueError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablation: stopped", file=sys.stderr)
        return 130
    print(told["machine"])
    print(
        f"{told['minutes']:g} minutes a system, {told['threads']} threads, {told['size']} x "
        f"{told['size']}, batch {told['batch']}, lr {told['lr']:g}, seed {told['seed']}; "
        "one run each"
    )
    for loss, run in told["trained"].items():
        print(f"{loss}: {run['steps']} steps in {run['seconds']} s")
    print("\n" + text(result, MIN_COUNT, rows(result, MIN_COUNT)))
    print(verdict(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
