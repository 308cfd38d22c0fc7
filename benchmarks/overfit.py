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

from benchmarks.common import machine
from mini_colorize import bins
from mini_colorize.color import rgb_to_lab
from mini_colorize.data import load_crop
from mini_colorize.modules import Adam
from mini_colorize.network import WIDTHS, Network
from mini_colorize.ops import ops
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
    x, index, weight = targets(rgb)
    network, ones = Network(WIDTHS["tiny"]), np.ones(bins.Q, np.float32)
    network.initialize(x)
    packed = network.pack()
    optimizer = Adam(packed["params"])
    start = time.perf_counter()
    for step in tqdm(range(args.steps), leave=False):
        logits = network.forward(x, train=True)
        loss = ops(logits).softmax_cross_entropy(logits, index, weight, ones)
        network.backward(loss.gradient)
        optimizer.step(packed["grads"], step_schedule(step, args.lr, args.steps // 3))
    seconds = time.perf_counter() - start
    logits = network.forward(x, train=True)
    ab = rgb_to_lab(rgb[:, 2::4, 2::4])[..., 1:]
    distance = np.linalg.norm(bins.annealed_mean(logits) - ab, axis=-1).mean()
    entropy = bins.target_entropy(weight)
    final = float(ops(logits).softmax_cross_entropy(logits, index, weight, ones).unweighted)
    print(f"{machine()}: {args.steps} steps at lr {args.lr:g}, {seconds:.0f} s")
    print(
        f"loss {final:.3f} nats, entropy of the targets {entropy:.3f}, "
        f"excess {final - entropy:.3f} (target 0.1)"
    )
    print(f"mean ab distance of the annealed mean {distance:.2f} (target 6)")


if __name__ == "__main__":
    main()
