"""Time of inference and of a training step, beside torch on the same machine in the same run.

    python -m benchmarks.speed [--rounds 7]

Needs torch (extra `peers`). Both sides use all processors, which OMP_NUM_THREADS changes for
both; torch runs in its faster memory layout. The training step is the network forward and
backward, the loss and Adam, from targets made beforehand; torch's loss gathers the K bins too.
"""

import argparse

import numpy as np
import torch

from benchmarks.common import interleaved, machine, torch_twin
from mini_colorize.bins import Q
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.network import WIDTHS, Network
from mini_colorize.optim import Adam
from mini_colorize.training import targets


def inference(width, size, rounds):
    """Medians of one picture through the network."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, size, size, 1)).astype(np.float32)
    network = Network(width)
    network.initialize(x)
    ours = network.folded()
    sides = {"ours": lambda: ours.forward(x)}
    for layout in (torch.contiguous_format, torch.channels_last):
        twin = torch_twin(network).eval().to(memory_format=layout)
        data = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)

        def run(twin=twin, data=data):
            with torch.inference_mode():
                twin(data)

        sides[f"torch {str(layout).split('.')[-1]}"] = run
    return interleaved(sides, rounds)


def training_step(width, size, batch, rounds):
    """Medians of one step: forward, loss, backward, Adam."""
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    network, ones = Network(width), np.ones(Q, np.float32)
    network.initialize(targets(rgb)[0])
    packed = network.pack()
    optimizer = Adam(packed["params"])
    x, index, weight = targets(rgb)
    bins, shares = torch.from_numpy(index).long(), torch.from_numpy(weight)

    def ours():
        loss = softmax_cross_entropy(network.forward(x, train=True), index, weight, ones)
        network.backward(loss.gradient)
        optimizer.step(packed["grads"], 1e-4)

    sides = {"ours": ours}
    for layout in (torch.contiguous_format, torch.channels_last):
        twin = torch_twin(network).train().to(memory_format=layout)
        adam = torch.optim.Adam(twin.parameters(), 1e-4, betas=(0.9, 0.99))

        data = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)

        def step(twin=twin, adam=adam, data=data):
            adam.zero_grad()
            log_softmax = torch.log_softmax(twin(data), 1).permute(0, 2, 3, 1)
            loss = -(shares * log_softmax.gather(-1, bins)).sum(-1).mean()
            loss.backward()
            adam.step()

        sides[f"torch {str(layout).split('.')[-1]}"] = step
    return interleaved(sides, rounds)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=7)
    args = p.parse_args()
    print(
        f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {args.rounds} rounds"
    )
    print(f"{'':<40} {'ours, s':>9} {'torch, s':>9} {'ratio':>6}")
    rows = {
        "inference, full, 256 x 256, batch 1": inference(WIDTHS["full"], 256, args.rounds),
        "inference, tiny, 256 x 256, batch 1": inference(WIDTHS["tiny"], 256, args.rounds),
        "training step, tiny, 128 x 128, batch 16": training_step(0.25, 128, 16, args.rounds),
    }
    for name, medians in rows.items():
        ours = medians.pop("ours")
        theirs = min(medians.values())
        print(f"{name:<40} {ours:>9.3f} {theirs:>9.3f} {ours / theirs:>6.2f}")


if __name__ == "__main__":
    main()
