"""Peak memory of the whole process, for what people do most. Each case runs in its own process.

    python -m benchmarks.memory

The peak is the largest resident set the system saw (getrusage), Python and libraries included. The
time is that of the whole command from the shell, the median of 5; the machine should be idle.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import machine, picture

TRAIN = """
import numpy as np
from mini_colorize.network import Network
from mini_colorize.targets import targets
from mini_colorize.modules import Adam
from mini_colorize.ops import ops
rgb = np.random.default_rng(0).integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
net = Network(0.25)
net.initialize(targets(rgb)[0])
packed, ones = net.pack(), np.ones(313, np.float32)
adam = Adam(packed["params"])
for _ in range(2):
    x, index, weight = targets(rgb)
    logits = net.forward(x, train=True)
    loss = ops(logits).softmax_cross_entropy(logits, index, weight, ones)
    net.backward(loss.gradient)
    adam.step(packed["grads"], 1e-3)
"""
SAVE = """
import numpy as np
from mini_colorize.files.checkpoint import save_network
from mini_colorize.network import Network
net = Network({width})
net.initialize(np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32))
save_network({path!r}, net)
"""
INFER = """
import sys
sys.path.insert(0, ".")
import infer
assert infer.main([{photo!r}, "--weights", {weights!r}, "--out", {out!r}, "--device", "cpu",
                   *{more}]) == 0
"""
PEAK = """
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(code):
    """Of a fresh Python that runs the code: its peak, MiB, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + PEAK], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split("peak ")[-1]), seconds


def main():
    print(machine())
    print(f"{'':<56} {'peak, MiB':>9} {'limit':>7}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        picture(640, 480).save(folder / "photo.jpg")
        picture(6000, 4000).save(folder / "large.jpg")
        for width in (0.5, 1.0):
            peak(SAVE.format(width=width, path=str(folder / f"{width}.npz")))
        cases = {
            "training, tiny, batch 16, 128 x 128": (TRAIN, 4096),
            "inference, full, 256 x 256, float32": (_infer(folder, "photo.jpg", 1.0), 1024),
            "infer.py, small, a photo of 24 megapixels": (_infer(folder, "large.jpg", 0.5), 2048),
        }
        for name, (code, limit) in cases.items():
            print(f"{name:<56} {peak(code)[0]:>9.0f} {limit:>7}")
        for weights, limit in (("full", 420), ("tiny", 150)):
            runs = [peak(_infer(folder, "photo.jpg", weights)) for _ in range(5)]
            most, seconds = (statistics.median(values) for values in zip(*runs, strict=True))
            name = f"infer.py --weights {weights}, 0.3 megapixels: {seconds:.2f} s"
            print(f"{name:<56} {most:>9.0f} {limit:>7}")


def _infer(folder, photo, weights):
    """Code that colours a photo with the shipped weights of a name, or a network of a width."""
    own = not isinstance(weights, str)
    return INFER.format(
        photo=str(folder / photo),
        weights=str(folder / f"{weights}.npz") if own else weights,
        out=str(folder / f"{photo}.out.png"),
        more=["--size", "256"] if own else [],
    )


if __name__ == "__main__":
    main()
