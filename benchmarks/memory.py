"""Peak memory of the whole process, for what people do most. Each case runs in its own process.

    python -m benchmarks.memory

The peak is the largest resident set the system saw (getrusage), Python and libraries included.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import machine, picture

TRAIN = """
import numpy as np
from mini_colorize.network import Network
from mini_colorize.training import targets
from mini_colorize.losses import softmax_cross_entropy
from mini_colorize.optim import Adam
rgb = np.random.default_rng(0).integers(0, 256, (16, 128, 128, 3), dtype=np.uint8)
net = Network(0.25)
net.initialize(targets(rgb)[0])
packed, ones = net.pack(), np.ones(313, np.float32)
adam = Adam(packed["params"])
for _ in range(2):
    x, index, weight = targets(rgb)
    loss = softmax_cross_entropy(net.forward(x, train=True), index, weight, ones)
    net.backward(loss.gradient)
    adam.step(packed["grads"], 1e-3)
"""
SAVE = """
import numpy as np
from mini_colorize.checkpoint import save_network
from mini_colorize.network import Network
net = Network({width})
net.initialize(np.random.default_rng(0).standard_normal((1, 64, 64, 1)).astype(np.float32))
save_network({path!r}, net)
"""
INFER = """
import sys
sys.path.insert(0, ".")
import infer
assert infer.main([{photo!r}, "--weights", {path!r}, "--size", "256", "--out", {out!r},
                   "--device", "cpu"]) == 0
"""
PEAK = """
import resource
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(code):
    """Peak of a fresh Python that runs the code, MiB."""
    done = subprocess.run([sys.executable, "-c", code + PEAK], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout.split("peak ")[-1])


def main():
    print(machine())
    print(f"{'':<56} {'peak, MiB':>9} {'limit':>7}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        picture(500, 500).save(folder / "quarter.jpg")
        picture(6000, 4000).save(folder / "large.jpg")
        for width in (0.5, 1.0):
            peak(SAVE.format(width=width, path=str(folder / f"{width}.npz")))
        cases = {
            "training, tiny, batch 16, 128 x 128": (TRAIN, 4096),
            "inference, full, 256 x 256, float32": (_infer(folder, "quarter.jpg", 1.0), 1024),
            "infer.py, small, a photo of 24 megapixels": (_infer(folder, "large.jpg", 0.5), 2048),
        }
        for name, (code, limit) in cases.items():
            print(f"{name:<56} {peak(code):>9.0f} {limit:>7}")


def _infer(folder, photo, width):
    return INFER.format(
        photo=str(folder / photo), path=str(folder / f"{width}.npz"), out=str(folder / "out.png")
    )


if __name__ == "__main__":
    main()
