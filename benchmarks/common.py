"""What the benchmarks share: the machine, pictures, our training step; comparing and timing."""

import os
import platform
import time

import numpy as np
from PIL import Image

from mini_colorize.bins import Q
from mini_colorize.modules import Adam
from mini_colorize.network import WIDTHS, Network
from mini_colorize.ops import ops
from mini_colorize.targets import targets


def machine():
    """One line: processor, cores, versions."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            name = next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        pass
    python = platform.python_version()
    return f"{name}, {os.cpu_count()} cores, Python {python}, NumPy {np.__version__}"


def picture(width, height, seed=0):
    """A PIL image as smooth as a photograph, of any size."""
    size = max(1, height // 50), max(1, width // 50), 3
    noise = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def pictures(n, size):
    """Pictures as smooth as photographs. Returns (n, size, size, 3) uint8."""
    return np.stack([np.asarray(picture(size, size, seed)) for seed in range(n)])


def initialized(model, rgb):
    """A network with first weights. model: a name of WIDTHS. rgb: crops to initialise on."""
    network = Network(WIDTHS[model])
    network.initialize(targets(rgb)[0])
    return network


def with_shapes(network, shape):
    """Yields name, layer, and the shape of its input. shape: of the network's, (H, W, 1)."""
    for name, layer in network.layers.items():
        yield name, layer, shape
        shape = layer.output_shape(shape)


class Step:
    """Our training step without a run around it, on the CPU: from crops to updated weights.

    All classes weigh the same. network: is packed. decay: of the weights.
    """

    def __init__(self, network, decay=0.0):
        self.network, self.packed = network, network.pack()
        self.adam = Adam(self.packed["params"], decay=decay)
        self.class_weight = np.ones(Q, np.float32)

    def __call__(self, rgb, lr):
        """rgb: (N, S, S, 3) uint8. Returns the Loss before the update."""
        return self.learn(targets(rgb), lr)

    def loss(self, batch):
        """Forward only. batch: what `targets` returns."""
        x, index, weight = batch
        logits = self.network.forward(x, train=True)
        return ops(logits).softmax_cross_entropy(logits, index, weight, self.class_weight)

    def learn(self, batch, lr):
        """The step, from the targets on."""
        loss = self.loss(batch)
        self.network.backward(loss.gradient)
        self.adam.step(self.packed["grads"], lr)
        return loss


def agree(what, ours, theirs, limit):
    """Both sides must have computed the same, or their times mean nothing.

    ours, theirs: what NumPy can read. limit: of the relative L2 difference, which is returned.
    Raises AssertionError.
    """
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise AssertionError(f"{what}: ours is {ours.shape}, theirs {theirs.shape}")
    difference = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if not difference < limit:
        raise AssertionError(f"{what}: the two sides differ by {difference:.1e} (limit {limit:g})")
    return difference


def in_turn(functions, rounds):
    """Seconds of each function, called in turn `rounds` times after one warm-up each.

    functions: name -> callable. Returns name -> list. In turn, because machines are noisy, and
    with a pause, because one side's threads watch for more work for a while before they sleep.
    """
    times = {name: [] for name in functions}
    for r in range(rounds + 1):
        for name, function in functions.items():
            time.sleep(0.05)
            start = time.perf_counter()
            function()
            if r:
                times[name].append(time.perf_counter() - start)
    return times
