"""NumPy against torch on this machine's CPU: the table of what the project wants to reach.

    python -m benchmarks.cpu                          the whole table, some ten minutes
    python -m benchmarks.cpu --rounds 5 --only small  fewer rounds, the rows with "small" in them
    python -m benchmarks.cpu --profile                where a training step and a photo spend it

Both sides run in one process in turn, with the same number of threads (OMP_NUM_THREADS changes
it for both), and every number is a median. Of torch's two memory layouts the faster one counts.
Needs torch (extra `peers`), but for --profile.

"of sgemm" is the speed counted as if every convolution were a direct one, over what a matrix
product of 2048 x 2048 reaches here; Winograd does fewer operations, so it may exceed 1.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize import colorizer
from mini_colorize.fast import cpu, threads
from mini_colorize.files import checkpoint
from mini_colorize.network import Network
from mini_colorize.targets import targets

from . import common
from .common import Step, agree, in_turn, initialized, machine, picture, pictures, with_shapes
from .watch import Watch

EXAMPLES = Path(__file__).parent.parent / "examples"
LR = 1e-5  # of the training steps that are timed


def flops(network, size):
    """Of one picture forward, every convolution counted as a direct one."""
    return sum(layer.flops(shape) for _, layer, shape in with_shapes(network, (size, size, 1)))


def sgemm_rate():
    """FLOP/s of this machine's large float32 matrix product, the best of 10."""
    a = np.ones((2048, 2048), np.float32)
    return 2 * 2048**3 / min(in_turn({"": lambda: a @ a}, 10)[""])


def medians(functions, rounds):
    """Seconds of each function: name -> median."""
    return {name: statistics.median(t) for name, t in in_turn(functions, rounds).items()}


# Rows of the table: each returns name -> seconds, "ours" and torch's, and our FLOPs -------------


def inference(model, size, batch, rounds):
    from .torch_side import LAYOUTS, Inference, from_nhwc

    network = initialized(model, pictures(2, 64))
    ours, x = network.folded(), targets(pictures(batch, size))[0]
    logits, sides = ours.forward(x), {"ours": partial(ours.forward, x)}
    for layout in LAYOUTS:
        theirs, t_x = Inference(network, layout=layout).logits, from_nhwc(x, layout=layout)
        agree("logits", logits, theirs(t_x).permute(0, 2, 3, 1), 1e-4)
        sides[f"torch {layout}"] = partial(theirs, t_x)
    return medians(sides, rounds), batch * flops(network, size)


def training_step(model, size, batch, rounds):
    """Lab, soft-encoding, forward, loss, backward, Adam, from uint8 crops."""
    from .torch_side import LAYOUTS, TrainingStep, torch

    rgb, decay = pictures(batch, size), 1e-6
    network, t_rgb = initialized(model, rgb[:2]), torch.from_numpy(rgb)
    step = Step(network, decay)
    sides = {"ours": lambda: step(rgb, LR).weighted}
    for layout in LAYOUTS:
        theirs = TrainingStep(network, step.class_weight, LR, decay, layout=layout)
        sides[f"torch {layout}"] = partial(theirs, t_rgb)
    losses = {name: [float(side()) for _ in range(2)] for name, side in sides.items()}
    for name, pair in losses.items():
        agree(f"the losses of two steps, {name}", losses["ours"], pair, 1e-4)
    # Forward, and twice the same backward, but for the first layer's gradient to the picture.
    return medians(sides, rounds), 3 * batch * flops(network, size)


def command(rounds):
    """One photo from the shell: infer.py beside benchmarks/torch_side.py, `small`, same weights."""
    from .torch_side import torch, twin

    with tempfile.TemporaryDirectory() as folder:
        names = ("photo.jpg", "small.npz", "small.pt", "ours.png", "theirs.png")
        photo, weights, t_weights, ours, theirs = (str(Path(folder, name)) for name in names)
        network = initialized("small", pictures(2, 64))
        checkpoint.save_network(weights, network)
        torch.save(twin(network).state_dict(), t_weights)
        picture(500, 400).save(photo)
        options = ["--device", "cpu", "--size", "256"]
        colour = partial(python, "infer.py", photo, "--weights", weights, "--out", ours, *options)
        rival = partial(python, "-m", "benchmarks.torch_side", photo, t_weights, theirs)
        sides = {"ours": colour, "torch": rival}
        for run in sides.values():
            run()
        # The two round differently, and resize ab in different ways.
        agree("pictures", Image.open(ours), Image.open(theirs), 0.02)
        return medians(sides, rounds), flops(network, 256)


def python(*arguments):
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


ROWS = {
    "inference, full, 256 x 256, batch 1": (0.60, partial(inference, "full", 256, 1)),
    "inference, small, 256 x 256, batch 1": (0.65, partial(inference, "small", 256, 1)),
    "inference, small, 256 x 256, batch 8": (0.65, partial(inference, "small", 256, 8)),
    "training step, tiny, 128 x 128, batch 16": (0.85, partial(training_step, "tiny", 128, 16)),
    "training step, full, 176 x 176, batch 4": (0.85, partial(training_step, "full", 176, 4)),
    "infer.py, small, one photo, whole command": (0.50, command),
}


def table(rounds, only):
    rate = sgemm_rate()
    print(f"{'':<42} {'ours, s':>8} {'torch, s':>8} {'ratio':>6} {'target':>6}  {'':<6} of sgemm")
    for name, (target, measure) in ROWS.items():
        if only not in name:
            continue
        seconds, work = measure(rounds)
        ours, theirs = seconds.pop("ours"), min(seconds.values())
        met = "met" if ours / theirs <= target else "missed"
        times = f"{ours:>8.3f} {theirs:>8.3f} {ours / theirs:>6.2f} {target:>6.2f}  {met:<6}"
        print(f"{name:<42} {times} {work / ours / rate:>6.2f}", flush=True)


# Accuracy ----------------------------------------------------------------------------------------


def errors():
    """Relative L2 error of the logits of float32 against float64, which gathers."""
    print("\nrelative L2 error of the logits against float64 (target: at most 1e-5)")
    rgb = pictures(4, 64)
    network = initialized("full", rgb[:2])
    _error("full, random weights", network)
    step = Step(network, decay=1e-6)
    for _ in range(30):
        step(rgb, LR)
    _error("full, after 30 steps", network)
    for name in checkpoint.SHIPPED:
        _error(f"{name}, the weights that ship", checkpoint.load_network(name)[0])


def _error(name, network):
    photo = Image.open(EXAMPLES / "astronaut.jpg").convert("RGB").resize((256, 256))
    x = targets(np.asarray(photo)[None])[0]
    exact = Network(network.width, np.float64)
    exact.load_state(network.state())
    truth, ours = exact.forward(x.astype(np.float64)), network.folded().forward(x)
    print(f"{name:<42} {agree('logits', ours, truth, np.inf):.1e}")


# Profile -----------------------------------------------------------------------------------------


class Clock(Watch):
    """Keeps the seconds of each call, by label."""

    def __init__(self):
        super().__init__()
        self.runs = {}

    def around(self, label, call):
        start = time.perf_counter()
        result = call()
        self.runs.setdefault(label, []).append(time.perf_counter() - start)
        return result

    def print(self, title):
        """The medians, and their sum."""
        seconds = {label: statistics.median(times) for label, times in self.runs.items()}
        total = sum(seconds.values())
        print(f"\n{title}: {total * 1e3:.1f} ms")
        for label, s in seconds.items():
            print(f"  {label:<24} {s * 1e3:>9.2f} ms {s / total:>7.1%}")


def profile_step(model, size, batch, rounds):
    rgb = pictures(batch, size)
    step = Step(initialized(model, rgb[:2]))
    step(rgb, LR)
    with Clock() as clock:
        clock.wrap(common, "targets", "Lab, soft-encoding")
        for name, layer in step.network.layers.items():
            clock.wrap(layer, "forward", f"{name} forward")
            clock.wrap(layer, "backward", f"{name} backward")
        clock.wrap(cpu, "softmax_cross_entropy", "loss")
        clock.wrap(step.adam, "step", "Adam")
        for _ in range(rounds):
            step(rgb, LR)
    clock.print(f"training step, {model}, {size} x {size}, batch {batch}")


def profile_photo(rounds):
    """One photo of 500 x 400 with `small`: start-up in fresh processes, the rest in this one."""
    from mini_colorize.files import results

    with tempfile.TemporaryDirectory() as folder, Clock() as clock:
        folder = Path(folder)
        checkpoint.save_network(folder / "small.npz", initialized("small", pictures(2, 64)))
        picture(500, 400).save(folder / "photo.jpg")
        clock.wrap(colorizer.Colorizer, "load", "load weights, fold")
        clock.wrap(colorizer, "read_image", "read photo")
        clock.wrap(colorizer, "lightness_of", "lightness")
        clock.wrap(Network, "forward", "network, first picture")
        clock.wrap(colorizer.Colorizer, "predict", "predict, the rest")
        clock.wrap(colorizer, "paint", "paint")
        clock.wrap(results, "write_image", "write PNG")
        for _ in range(rounds):
            colored = colorizer.Colorizer.load(folder / "small.npz", size=256)(folder / "photo.jpg")
            results.write_image(colored, folder / "out.png")
            clock.runs["predict, the rest"][-1] -= clock.runs["network, first picture"][-1]
        startup(folder, clock, rounds)
    clock.print("one photo, small, infer.py")


FIRST_LAYER = """
import os, sys
sys.path.insert(0, ".")
import infer
from mini_colorize import album
args = infer.parse([{photo!r}, "--device", "cpu", "--out", {out!r}])
from mini_colorize import modules
modules.Conv2d.forward = lambda *_, **__: os._exit(0)
album.colorize_all(args)
"""


def startup(folder, clock, rounds):
    """From the shell to the first layer, with the weights that ship; and Python's own start."""
    code = FIRST_LAYER.format(photo=str(folder / "photo.jpg"), out=str(folder / "none.png"))
    runs = {"python": partial(python, "-c", "pass"), "first layer": partial(python, "-c", code)}
    seconds = medians(runs, rounds)
    own = seconds["first layer"] - seconds["python"]
    clock.runs |= {"Python itself": [seconds["python"]], "imports, until 1st layer": [own]}
    print(f"\nshell to first layer, beyond Python's own start: {own:.3f} s (target: below 0.5 s)")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--only", default="", metavar="TEXT", help="rows of the table with this in them")
    p.add_argument("--errors", action="store_true", help="only the accuracy")
    p.add_argument("--profile", action="store_true")
    args = p.parse_args()
    print(f"{machine()}, {threads.THREADS} threads, medians of {args.rounds}")
    if args.profile:
        profile_step("tiny", 128, 16, args.rounds)
        profile_step("full", 176, 4, min(args.rounds, 5))
        profile_photo(args.rounds)
    elif args.errors:
        errors()
    else:
        import torch

        torch.set_num_threads(threads.THREADS)
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
        table(args.rounds, args.only)
        if not args.only:
            errors()


if __name__ == "__main__":
    main()
