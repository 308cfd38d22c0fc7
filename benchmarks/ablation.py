"""The paper's three systems, trained alike for equal time and measured alike.

    python -m benchmarks.ablation --data DIR --val DIR [--minutes 12] [--out runs/ablation]

The same network (`tiny`), photos, crops, seeds and first weights; only the loss differs (train.py
--loss) and, for the regression, the last layer. They take turns, a step each, so that whatever
else the machine does slows all three; each stops when its own steps have taken the time. The rate
falls once, after 215/450 of the time, where the authors' fell.

The paper says: rebalanced > classification > regression, in colourfulness and in class-balanced
AuC. The last lines say whether that is so here: the differences between neighbours, with bootstrap
intervals over the photos of --val, resampled for both systems alike. They know of other photos, not
of other seeds. Where --out holds the trained three already, they are only measured.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.common import machine
from mini_colorize.backend import DeviceError, select_device
from mini_colorize.checkpoint import CheckpointError
from mini_colorize.config import LOSSES, Config, TrainingError
from mini_colorize.data import DataError, find_photos
from mini_colorize.evaluation.report import text
from mini_colorize.evaluation.run import evaluate, limited
from mini_colorize.evaluation.systems import Checkpoint, Gray, Random, Truth
from mini_colorize.evaluation.tally import interval
from mini_colorize.report import write_json
from mini_colorize.training import Trainer

ORDER = ("regression", "classification", "rebalanced")  # what the paper says, from worst to best
NOTE = "ablation.json"  # in --out, once the three are trained: how
MIN_COUNT = 100  # pixels of a class, see mini_colorize/evaluation


class Run:
    """One system in training, and the seconds that its steps have taken."""

    def __init__(self, loss, args, xp):
        config = Config(
            data=args.data, model="tiny", loss=loss, size=args.size, batch=args.batch,
            steps=10**9, lr_every=10**9, lr=args.lr, seed=args.seed, workers=1,
        )  # fmt: skip
        self.folder, self.loss, self.seconds = Path(args.out) / loss, loss, 0.0
        self.trainer = Trainer(config, self.folder, xp)
        self.trainer.start()
        self.batches = self.trainer.loader.batches(0, config.steps)
        self.budget, self.late = args.minutes * 60, False

    def step(self):
        """One step, timed. On a GPU the loss is read, as that waits for the device."""
        if not self.late and self.seconds > self.budget * 215 / 450:
            self.late = True
            self.trainer.config.lr *= 0.316
        start = time.perf_counter()
        values, _ = self.trainer.train_step(next(self.batches))
        value = float(values[0])
        self.seconds += time.perf_counter() - start
        return value


def train(args, xp):
    """Train the three in turn; write their weights and how they came about."""
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
        run.batches.close()
        run.trainer.save()
    told = {run.loss: {"steps": run.trainer.step, "seconds": round(run.seconds)} for run in runs}
    settings = {k: getattr(args, k) for k in ("data", "size", "batch", "lr", "seed")}
    write_json(Path(args.out) / NOTE, {"machine": machine(), **settings, "trained": told})


def measure(args):
    """The Evaluation of the three systems, beside the baselines."""
    paths = limited(find_photos(args.val), args.limit)
    systems = [Truth(), Gray(), Random(paths, args.seed)]
    for loss in reversed(ORDER):
        system = Checkpoint(Path(args.out) / loss, device=args.device)
        system.name = loss
        systems.append(system)
    return evaluate(paths, args.val, systems, seed=args.seed)


def verdict(result):
    """Whether the paper's order is seen, in lines: neighbours' differences and their intervals."""
    scores = {s.name: t.scores(MIN_COUNT) for s, t in zip(result.systems, result.tallies)}
    lines = []
    for name in ("colorfulness", "auc_balanced", "auc_raw"):
        for worse, better in zip(ORDER, ORDER[1:]):
            difference = scores[better][name] - scores[worse][name]
            ends = interval(difference)
            if ends is None:
                lines.append(f"{name:<13} {better} - {worse}: cannot be measured on these photos")
                continue
            low, high = ends
            seen = "more" if low > 0 else "less" if high < 0 else "undecided"
            lines.append(f"{name:<13} {better} - {worse}: {difference[0]:+.2f} "
                         f"[{low:+.2f} {high:+.2f}], {seen}")  # fmt: skip
    return "\n".join(lines)


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", help="photos to train on; needless if --out holds the trained three")
    p.add_argument("--val", required=True, help="photos to measure on")
    p.add_argument("--minutes", type=float, default=12.0, help="of training, a system (12)")
    p.add_argument("--size", type=int, default=96, help="side of the crops (96)")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--limit", type=int, help="photos to measure on, evenly spread (all)")
    p.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    p.add_argument("--out", default="runs/ablation", help="folder of the three (runs/ablation)")
    return p, p.parse_args()


def main():
    parser, args = parse()
    note = Path(args.out) / NOTE
    try:
        if not note.exists():
            if not args.data:
                parser.error("say which photos to train on: --data DIR")
            xp, line = select_device(args.device)
            print(line)
            train(args, xp)
        told = json.loads(note.read_text())
        result = measure(args)
    except (CheckpointError, DataError, DeviceError, TrainingError, OSError, ValueError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablation: stopped", file=sys.stderr)
        return 130
    print(told["machine"])
    print(f"{told['size']} x {told['size']}, batch {told['batch']}, lr {told['lr']:g}, seed "
          f"{told['seed']}; one run each")  # fmt: skip
    for loss, run in told["trained"].items():
        print(f"{loss}: {run['steps']} steps in {run['seconds']} s")
    print("\n" + text(result, MIN_COUNT))
    print(verdict(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
