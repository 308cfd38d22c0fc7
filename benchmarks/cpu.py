"""NumPy against torch on this machine's CPU: the table of what the project wants to reach.

    python -m benchmarks.cpu                          the whole table, some ten minutes
    python -m benchmarks.cpu --rounds 5 --only small  fewer rounds, the rows with "small" in them
    python -m benchmarks.cpu --scaling                time against picture size and batch
    python -m benchmarks.cpu --profile                where a training step and a photo spend it

Both sides run in one process in turn, with the same number of threads (OMP_NUM_THREADS changes
it for both), and every number is a median. Of torch's two memory layouts the faster one counts.
Needs torch (extra `peers`), but for --profile and --scaling.

"of sgemm" is the speed counted as if every convolution were a direct one, over what this
machine's own matrix product of 2048 x 2048 reaches; Winograd does fewer operations, so it may
exceed 1.
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

from benchmarks.common import interleaved, machine, picture, torch_twin
from mini_colorize import bins
from mini_colorize.fast import cpu, threads
from mini_colorize.files import checkpoint
from mini_colorize.modules import Adam
from mini_colorize.network import WIDTHS, Network
from mini_colorize.ops import ops
from mini_colorize.targets import targets

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.jpg"))


def pictures(n, size):
    """Pictures as smooth as photographs. Returns (n, size, size, 3) uint8."""
    return np.stack([np.asarray(picture(size, size, seed)) for seed in range(n)])


def network_for(model, rgb):
    network = Network(WIDTHS[model])
    network.initialize(targets(rgb[:2])[0])
    return network


def flops(network, size):
    """Of one picture forward, every convolution counted as a direct one."""
    shape, total = (size, size, 1), 0
    for layer in network.layers.values():
        total += layer.flops(shape)
        shape = layer.output_shape(shape)
    return total


def sgemm_rate():
    """FLOP/s of this machine's large float32 matrix product, the best of 10."""
    a = np.ones((2048, 2048), np.float32)
    best = min(_seconds(lambda: a @ a) for _ in range(10))
    return 2 * 2048**3 / best


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


# Rows of the table: each returns name -> seconds, "ours" and torch's layouts ---------------------


def inference(model, size, batch, rounds):
    import torch

    x = targets(pictures(batch, size))[0]
    network = network_for(model, pictures(2, 64))
    ours = network.folded()
    sides = {"ours": lambda: ours.forward(x)}
    for layout in (torch.contiguous_format, torch.channels_last):
        twin = torch_twin(network).eval().to(memory_format=layout)
        data = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(memory_format=layout)

        def run(twin=twin, data=data):
            with torch.inference_mode():
                twin(data)

        sides[f"torch {layout}"] = run
    return interleaved(sides, rounds), batch * flops(network, size)


def training_step(model, size, batch, rounds):
    """Lab, soft-encoding, forward, loss, backward, Adam, from uint8 crops."""
    import torch

    from benchmarks.torch_side import TrainingStep

    rgb = pictures(batch, size)
    network = network_for(model, rgb)
    twins = {
        f"torch {layout}": TrainingStep(torch_twin(network), layout, rgb)
        for layout in (torch.contiguous_format, torch.channels_last)
    }
    ours = _our_step(network, rgb)
    # Forward, and twice the same backward, but for the first layer's gradient to the picture.
    return interleaved({"ours": ours, **twins}, rounds), 3 * batch * flops(network, size)


def _our_step(network, rgb):
    packed, ones = network.pack(), np.ones(bins.Q, np.float32)
    optimizer = Adam(packed["params"], decay=1e-6)

    def step():
        x, index, weight = targets(rgb)
        logits = network.forward(x, train=True)
        loss = ops(logits).softmax_cross_entropy(logits, index, weight, ones)
        network.backward(loss.gradient)
        optimizer.step(packed["grads"], 1e-5)

    return step


def command(rounds):
    """One photo from the shell: infer.py beside benchmarks/torch_side.py, `small`, same weights."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        network = network_for("small", pictures(2, 64))
        checkpoint.save_network(folder / "small.npz", network)
        torch.save(torch_twin(network).state_dict(), folder / "small.pt")
        picture(500, 400).save(folder / "photo.jpg")
        python, photo = [sys.executable], str(folder / "photo.jpg")
        out = [str(folder / name) for name in ("ours.png", "theirs.png")]
        commands = {
            "ours": [
                *python,
                "infer.py",
                photo,
                "--weights",
                str(folder / "small.npz"),
                "--device",
                "cpu",
                "--size",
                "256",
                "--out",
                out[0],
            ],
            "torch": [
                *python,
                "-m",
                "benchmarks.torch_side",
                photo,
                str(folder / "small.pt"),
                out[1],
            ],
        }
        sides = {
            name: lambda line=line: subprocess.run(line, check=True, capture_output=True)
            for name, line in commands.items()
        }
        medians = interleaved(sides, rounds)
        _same_picture(*out)
    return medians, flops(network, 256)


def _same_picture(*paths):
    """Both sides must have done the same work."""
    from PIL import Image

    ours, theirs = (np.asarray(Image.open(path), np.float64) for path in paths)
    difference = abs(ours - theirs).mean()
    if difference > 1:  # of 255; the two differ in rounding and in the resizing of ab
        sys.exit(f"the two commands made different pictures: {difference:.1f} of 255 apart")


ROWS = {
    "inference, full, 256 x 256, batch 1": (0.60, lambda r: inference("full", 256, 1, r)),
    "inference, small, 256 x 256, batch 1": (0.65, lambda r: inference("small", 256, 1, r)),
    "inference, small, 256 x 256, batch 8": (0.65, lambda r: inference("small", 256, 8, r)),
    "training step, tiny, 128 x 128, batch 16": (0.85, lambda r: training_step("tiny", 128, 16, r)),
    "training step, full, 176 x 176, batch 4": (0.85, lambda r: training_step("full", 176, 4, r)),
    "infer.py, small, one photo, whole command": (0.50, command),
}


def table(rounds, only):
    rate = sgemm_rate()
    print(f"{'':<42} {'ours, s':>8} {'torch, s':>8} {'ratio':>6} {'target':>6}  {'':<6} of sgemm")
    for name, (target, measure) in ROWS.items():
        if only not in name:
            continue
        medians, work = measure(rounds)
        ours, theirs = medians.pop("ours"), min(medians.values())
        met = "met" if ours / theirs <= target else "missed"
        print(
            f"{name:<42} {ours:>8.3f} {theirs:>8.3f} {ours / theirs:>6.2f} {target:>6.2f}  {met:<6}"
            f" {work / ours / rate:>6.2f}",
            flush=True,
        )


# Accuracy ----------------------------------------------------------------------------------------


def errors():
    """Relative L2 error of the logits of float32 against float64, which gathers."""
    print("\nrelative L2 error of the logits against float64 (target: at most 1e-5)")
    rgb = pictures(4, 64)
    fresh = network_for("full", rgb)
    print(f"{'full, random weights':<42} {_error(fresh):.1e}")
    step = _our_step(fresh, rgb)
    for _ in range(30):
        step()
    print(f"{'full, after 30 steps':<42} {_error(fresh):.1e}")
    for name in checkpoint.SHIPPED:
        network = checkpoint.load_network(name)[0]
        print(f"{name + ', the weights that ship':<42} {_error(network):.1e}")


def _error(network):
    from PIL import Image

    photo = Image.open(EXAMPLES[0]).convert("RGB").resize((256, 256))
    x = targets(np.asarray(photo)[None])[0]
    exact = Network(network.width, np.float64)
    exact.load_state(network.state())
    truth = exact.forward(x.astype(np.float64))
    return np.linalg.norm(network.folded().forward(x) - truth) / np.linalg.norm(truth)


# Scaling -----------------------------------------------------------------------------------------


def scaling(rounds):
    """Time of `small` against picture size and batch; linear is a constant last column."""
    rate, network = sgemm_rate(), network_for("small", pictures(2, 64))
    print(f"small, inference: {'size':>6} {'batch':>6} {'ms':>9} {'us a kilopixel':>15} of sgemm")
    cases = [(size, 1) for size in (64, 128, 256, 384, 512, 768, 1024)]
    for size, batch in cases + [(128, 2**k) for k in range(6)]:
        ours, x = network.folded(), targets(pictures(batch, size))[0]
        ours.forward(x)
        median = interleaved({"ours": partial(ours.forward, x)}, rounds)["ours"]
        share = batch * flops(network, size) / median / rate
        pixel = median * 1e9 / (batch * size * size)
        print(f"{'':<17} {size:>6} {batch:>6} {median * 1e3:>9.1f} {pixel:>15.1f} {share:>8.2f}")


# Profile -----------------------------------------------------------------------------------------


class Clock:
    """Adds up seconds by name."""

    def __init__(self):
        self.runs = {}

    def time(self, name, function):
        """The same function, timed."""

        def timed(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.runs.setdefault(name, []).append(time.perf_counter() - start)
            return result

        return timed

    def print(self, title):
        medians = {name: statistics.median(times) for name, times in self.runs.items()}
        total = sum(medians.values())
        print(f"\n{title}: {total * 1e3:.1f} ms")
        for name, seconds in medians.items():
            print(f"  {name:<24} {seconds * 1e3:>9.2f} ms {seconds / total:>7.1%}")


def profile_step(model, size, batch, rounds):
    rgb = pictures(batch, size)
    network = network_for(model, rgb)
    packed, ones = network.pack(), np.ones(bins.Q, np.float32)
    optimizer, clock = Adam(packed["params"]), Clock()
    for name, layer in network.layers.items():
        layer.forward = clock.time(f"{name} forward", layer.forward)
    for name, layer in reversed(network.layers.items()):
        layer.backward = clock.time(f"{name} backward", layer.backward)
    make = clock.time("Lab, soft-encoding", targets)
    criterion = clock.time("loss", cpu.softmax_cross_entropy)
    update = clock.time("Adam", optimizer.step)
    for r in range(rounds + 1):
        x, index, weight = make(rgb)
        loss = criterion(network.forward(x, train=True), index, weight, ones)
        network.backward(loss.gradient)
        update(packed["grads"], 1e-5)
        if r == 0:
            clock.runs.clear()
    clock.print(f"training step, {model}, {size} x {size}, batch {batch}")


def profile_photo(rounds):
    """One photo of 500 x 400 with `small`: start-up in fresh processes, the rest in this one."""
    from mini_colorize import colorizer
    from mini_colorize.files.images import read_image
    from mini_colorize.files.results import write_image

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        network = network_for("small", pictures(2, 64))
        checkpoint.save_network(folder / "small.npz", network)
        picture(500, 400).save(folder / "photo.jpg")
        for _ in range(rounds):
            load = clock.time("load weights, fold", colorizer.Colorizer.load)
            c = load(folder / "small.npz", size=256)
            image = clock.time("read photo", read_image)(folder / "photo.jpg")
            lightness = clock.time("lightness", colorizer._lightness)(np.asarray(image))
            inner = c.inference.forward
            c.inference.forward = clock.time("network, first picture", inner)
            ab = clock.time("predict, with network", c.predict)(lightness)
            clock.runs["predict, with network"][-1] -= clock.runs["network, first picture"][-1]
            painted = clock.time("paint", colorizer.paint)(lightness, ab)
            write = clock.time("write PNG", write_image)
            write(colorizer.Image.fromarray(painted), folder / "out.png")
        startup(folder, clock, rounds)
    clock.runs["predict, the rest"] = clock.runs.pop("predict, with network")
    clock.print("one photo, small, infer.py")


FIRST_LAYER = """
import os, sys
sys.path.insert(0, ".")
import infer
args = infer.parse([{photo!r}, "--device", "cpu", "--out", {out!r}])
from mini_colorize import modules
modules.Conv2d.forward = lambda *_, **__: os._exit(0)
infer.colorize_all(args)
"""


def startup(folder, clock, rounds):
    """From the shell to the first layer, with the weights that ship; and Python's own start."""
    code = FIRST_LAYER.format(photo=str(folder / "photo.jpg"), out=str(folder / "none.png"))
    lines = {"Python itself": "pass", "start to first layer": code}
    runs = {
        name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)
        for name, code in lines.items()
    }
    medians = interleaved(runs, rounds)
    own = medians["start to first layer"] - medians["Python itself"]
    clock.runs["Python itself"] = [medians["Python itself"]]
    clock.runs["imports, until 1st layer"] = [own]
    print(f"\nshell to first layer, beyond Python's own start: {own:.3f} s (target: below 0.5 s)")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--only", default="", metavar="TEXT", help="rows of the table with this in them")
    p.add_argument("--errors", action="store_true", help="only the accuracy")
    p.add_argument("--scaling", action="store_true")
    p.add_argument("--profile", action="store_true")
    args = p.parse_args()
    print(f"{machine()}, {threads.THREADS} threads, medians of {args.rounds}")
    if args.profile:
        profile_step("tiny", 128, 16, args.rounds)
        profile_step("full", 176, 4, min(args.rounds, 5))
        profile_photo(args.rounds)
    elif args.scaling:
        scaling(args.rounds)
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
