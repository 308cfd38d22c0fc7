"""Peak memory of the whole process, for what people do most. Each case runs in its own process.

    python -m benchmarks.memory

The peak is the largest resident set the system saw (getrusage), Python and libraries included. The
time is that of the whole command from the shell, the median of 5; the machine should be idle.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.common import machine

TRAIN = """
import numpy as np
from benchmarks.common import Step, initialized
rgb = np.random.default_rng(0).integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
step = Step(initialized("tiny", rgb))
for _ in range(2):
    step(rgb, 1e-3)
"""
PREPARE = """
import sys
from benchmarks.common import initialized, picture, pictures
from mini_colorize.files.checkpoint import save_network
picture(640, 480).save(sys.argv[1] + "/photo.jpg")
picture(6000, 4000).save(sys.argv[1] + "/large.jpg")
for model in ("small", "full"):
    save_network(f"{sys.argv[1]}/{model}.npz", initialized(model, pictures(1, 64)))
"""


def peak(*arguments):
    """Of a fresh Python with these arguments: its peak, MiB, and its seconds.

    On Linux a process begins with the peak of the one that started it: this one must stay small.
    """
    start = time.perf_counter()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, *arguments], **streams)
    _, process.returncode, usage = os.wait4(process.pid, 0)
    if process.returncode:
        sys.exit(process.stderr.read().decode())
    return usage.ru_maxrss / 1024, time.perf_counter() - start


def infer(folder, photo, weights, *options):
    """The arguments for a photo. weights: a file in the folder, or the name of those that ship."""
    out, weights = folder / f"{photo}.out.png", folder / weights if "." in weights else weights
    end = ["--out", out, "--device", "cpu", *options]
    return ["infer.py", folder / photo, "--weights", weights, *end]


def main():
    print(machine())
    print(f"{'':<56} {'peak, MiB':>9} {'limit':>7}")
    with tempfile.TemporaryDirectory() as folder:
        peak("-c", PREPARE, folder)
        photo, small = partial(infer, Path(folder)), ("--size", "256")
        cases = {
            "training, tiny, batch 16, 128 x 128": (["-c", TRAIN], 4096),
            "inference, full, 256 x 256, float32": (photo("photo.jpg", "full.npz", *small), 1024),
            "infer.py, small, 24 megapixels": (photo("large.jpg", "small.npz", *small), 2048),
        }
        for name, (arguments, limit) in cases.items():
            print(f"{name:<56} {peak(*arguments)[0]:>9.0f} {limit:>7}")
        for weights, limit in (("full", 420), ("tiny", 150)):
            runs = [peak(*photo("photo.jpg", weights)) for _ in range(5)]
            most, seconds = (statistics.median(values) for values in zip(*runs, strict=True))
            name = f"infer.py --weights {weights}, 0.3 megapixels: {seconds:.2f} s"
            print(f"{name:<56} {most:>9.0f} {limit:>7}")


if __name__ == "__main__":
    main()
