"""The authors' weights files beside our own, at full size with random weights.

    PYTHONPATH=tests python -m benchmarks.foreign

For each kind, medians of 5: the seconds to read it, and the peak of memory, beyond those of an
interpreter that only imports; the seconds of infer.py for one photo, the whole command. Each case
runs in its own process, the kinds in turn; the machine should be idle.
"""

import statistics
import tempfile
from pathlib import Path

import foreign_files as files
import numpy as np

from benchmarks.common import machine, picture
from benchmarks.memory import INFER, peak
from mini_colorize.bins import BINS
from mini_colorize.files.checkpoint import load_network, save_network

IMPORT = "from mini_colorize.files.checkpoint import load_network\n"
READ = "load_network({path!r})\n"


KINDS = {
    ".pth, zip": "eccv16.pth",
    ".pth, older form": "older.pth",
    ".pth, zip, float16": "half.pth",
    ".caffemodel": "release.caffemodel",
    "ours, float32": "float32.npz",
    "ours, int8": "int8.npz",
}


def write(folder):
    """The same network in every kind of file."""
    pth, older, half, caffe, float32, int8 = (Path(folder, name) for name in KINDS.values())
    state = files.port(1.0, BINS)
    files.write_pth(pth, state)
    files.write_pth(older, state, older=True)
    files.write_pth(half, {n: a.astype("f2") for n, a in state.items()})
    files.write_caffemodel(caffe, files.caffe_blobs(state))
    network, _ = load_network(pth)
    save_network(float32, network, np.float32)
    save_network(int8, network, np.int8)


def main():
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        picture(640, 480).save(folder / "photo.jpg")
        # Not here: a process's peak begins with that of the one that started it.
        peak(f"from benchmarks.foreign import write\nwrite({str(folder)!r})")
        paths = {kind: folder / name for kind, name in KINDS.items()}
        print(f"{'':<20} {'file, MB':>8} {'read, s':>8} {'memory / file':>13} {'infer.py, s':>11}")
        peak(IMPORT)  # reads the interpreter from the disk
        bare, start = peak(IMPORT)
        rounds = [{kind: measure(path, folder) for kind, path in paths.items()} for _ in range(5)]
        for kind, path in paths.items():
            size = path.stat().st_size
            most, read, whole = (
                statistics.median(values)
                for values in zip(*(row[kind] for row in rounds), strict=True)
            )
            share = (most - bare) * 2**20 / size
            print(
                f"{kind:<20} {size / 1e6:>8.0f} {read - start:>8.2f} {share:>13.2f} {whole:>11.2f}"
            )


def measure(path, folder):
    """Peak of reading, MiB; its seconds; and those of infer.py."""
    most, read = peak(IMPORT + READ.format(path=str(path)))
    options = {"photo": str(folder / "photo.jpg"), "out": str(folder / "out.png")}
    more = ["--size", "256"]
    infer = peak(INFER.format(weights=str(path), more=more, **options))
    return most, read, infer[1]


if __name__ == "__main__":
    main()
