"""Can `tiny` learn four photos by heart? If not, something in the chain is wrong.

    python -m benchmarks.overfit [--data DIR] [--steps 1500] [--lr 2e-3]

Trains on 4 photos at 64 x 64, unweighted, without decay, and compares with what is attainable:
the loss with the targets' own entropy (target: within 0.1 nats), the annealed mean's colours with
the true ones (target: a mean ab distance below 6), in less than five minutes.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.common import Step, initialized, machine
from mini_colorize import bins
from mini_colorize.color import EVERY, rgb_to_lab
from mini_colorize.data import load_crop
from mini_colorize.optim import step_schedule
from mini_colorize.photos import find_photos
from mini_colorize.targets import targets


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", default=Path(__file__).parent.parent / "examples")
    p.add_argument("--steps", type=int, default=1500)
    p.add_argument("--lr", type=float, default=2e-3)
    args = p.parse_args()
    rgb = np.stack([load_crop(path, 64, 64) for path in find_photos(args.data)[:4]])
    batch, step = targets(rgb), Step(initialized("tiny", rgb))
    start = time.perf_counter()
    for k in tqdm(range(args.steps), leave=False):
        step.learn(batch, step_schedule(k, args.lr, args.steps // 3))
    seconds = time.perf_counter() - start
    predicted = bins.annealed_mean(step.network.forward(batch[0], train=True))
    truth = rgb_to_lab(rgb[:, EVERY, EVERY])[..., 1:]
    distance = np.linalg.norm(predicted - truth, axis=-1).mean()
    final, entropy = float(step.loss(batch).unweighted), bins.target_entropy(batch[2])
    print(f"{machine()}: {args.steps} steps at lr {args.lr:g}, {seconds:.0f} s")
    excess = f"excess {final - entropy:.3f} (target 0.1)"
    print(f"loss {final:.3f} nats, entropy of the targets {entropy:.3f}, {excess}")
    print(f"mean ab distance of the annealed mean {distance:.2f} (target 6)")


if __name__ == "__main__":
    main()
