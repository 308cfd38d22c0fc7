"""What the GPU benchmarks share: their sizes, one report, random arrays, tables, the machine.

Notation: milliseconds everywhere a name ends in _ms, bytes in _bytes; rates are per second.
"""

import math
import platform
import subprocess
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

import numpy as np

from mini_colorize.backend import PRECISIONS, matmul, set_precision
from mini_colorize.files.disk import write_json

from .gpu_timing import Timer, copy_whole

SAVE_SECONDS = 2  # the least time between two savings of what is known so far


@dataclass(frozen=True)
class Sizes:
    """What is measured: the authors' recipe, or something tiny that only proves the code."""

    model: str = "full"
    batch: int = 40
    side: int = 176  # of the training crops
    large_pixels: int = 256 * 64 * 64  # logit pixels of a batch too large for any cache
    infer_side: int = 256
    infer_batches: tuple = (1, 32)
    cache_bytes: int = 256 * 2**20  # inputs are rotated until they are this large together
    copy_bytes: int = 2**30  # of one buffer
    product: tuple = (4096, 8192)  # sides of the matrices whose product is a ceiling
    rounds: int = 9
    calls: int = 32  # of a kernel in one CUDA graph
    precisions: tuple = PRECISIONS


FULL = Sizes()
SMOKE = Sizes("tiny", 2, 16, 70, 16, (2,), 2**12, 2**16, (8,), 1, 2, ("fp32", "mixed"))


class Bench:
    """One section's run: where it computes, what it has found, what went wrong.

    xp: cupy. torch: the module, or None. path: where `save` writes what is known so far.
    """

    def __init__(self, xp, torch, sizes, path):
        self.xp, self.torch, self.sizes, self.path = xp, torch, sizes, path
        self.timer = Timer(xp, sizes.copy_bytes, sizes.rounds)
        self.found, self.failures, self.saved = {}, [], 0.0
        self.torch_device = "cpu"
        if torch is not None and torch.cuda.is_available():
            self.torch_device = "cuda"

    @contextmanager
    def part(self, name):
        """What fails in here is noted, and the rest goes on. Saves now and then."""
        try:
            yield
        except Exception as error:
            line = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"FAILED {name}: {line}", flush=True)
            self.failures.append(
                {"part": name, "error": line, "traceback": traceback.format_exc()[-4000:]}
            )
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()

    def save(self):
        self.saved = time.monotonic()
        write_json(self.path, plain({"found": self.found, "failures": self.failures}))

    def free(self):
        """Give unused device memory back, so that what is measured next starts from nothing."""
        self.xp.get_default_memory_pool().free_all_blocks()
        if self.torch_device == "cuda":
            self.torch.cuda.empty_cache()

    @property
    def ceilings(self):
        """Rates of this GPU, measured once: bytes of a copy (read + write), operations of a product
        at each precision."""
        if "ceilings" not in self.found:
            self.found["ceilings"] = _ceilings(self)
        return self.found["ceilings"]


def _ceilings(bench):
    xp, n = bench.xp, bench.sizes.copy_bytes
    source, target = noise(xp, n // 4), xp.empty(n // 4, np.float32)
    copy_ms = bench.timer.each(lambda: copy_whole(xp, target, source))
    rates = {"copy": 2 * n / copy_ms * 1e3}
    for precision in PRECISIONS:
        set_precision(precision, xp)
        dtype = np.float16 if precision == "mixed" else np.float32
        rates[precision] = max(_product_rate(bench, side, dtype) for side in bench.sizes.product)
    set_precision("fp32", xp)
    return rates


def _product_rate(bench, side, dtype):
    a, b = (noise(bench.xp, (side, side), dtype, seed) for seed in range(2))
    out = bench.xp.empty((side, side), dtype)
    return 2 * side**3 / bench.timer.each(lambda: matmul(a, b, out=out), 5) * 1e3


# Arrays ----------------------------------------------------------------------------------------


def noise(xp, shape, dtype=np.float32, seed=0):
    """Normal random numbers on the device, the same few million over and over."""
    size, base = math.prod(np.atleast_1d(shape).tolist()), _noise(xp, np.dtype(dtype))
    out = xp.empty(size, dtype)
    at, start = 0, seed * 7919 % len(base)
    while at < size:
        count = min(size - at, len(base) - start)
        out[at : at + count] = base[start : start + count]
        at, start = at + count, 0
    return out.reshape(shape)


@cache
def _noise(xp, dtype):
    return xp.asarray(np.random.default_rng(0).standard_normal(2**22).astype(dtype))


def colors(xp, shape, seed=0):
    """ab as photographs have it, spread wide. Returns (*shape, 2) float32."""
    return xp.clip(40 * noise(xp, (*shape, 2), seed=seed), -100, 100)


def crops(sizes, seed=0):
    """A training batch as the loader gives it, noise. Returns (N, S, S, 3) uint8, NumPy."""
    shape = (sizes.batch, sizes.side, sizes.side, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Report ----------------------------------------------------------------------------------------


def table(title, head, rows):
    """Print a table. rows: lists of what `_cell` knows, as long as head."""
    cells = [head, *([_cell(value) for value in row] for row in rows)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for first, *rest in cells:
        padded = [first.ljust(wide[0]), *(c.rjust(w) for c, w in zip(rest, wide[1:], strict=True))]
        print("  ".join(padded).rstrip())
    print(flush=True)


def _cell(value):
    if isinstance(value, float):
        digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
        return f"{value:.{digits}f}"
    return "-" if value is None else str(value)


def percent(share):
    return f"{100 * share:.1f} %"


def mib(nbytes):
    return nbytes / 2**20


def plain(value):
    """What JSON can hold: numbers to six digits, NaN and infinity as text."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return int(value) if isinstance(value, np.integer) else value


def machine(xp, torch):
    """GPU, driver and versions; what cannot be found out is None."""
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    name = properties["name"]
    return {
        "gpu": name.decode() if isinstance(name, bytes) else str(name),
        "multiprocessors": properties.get("multiProcessorCount"),
        "compute_capability": f"{properties.get('major')}.{properties.get('minor')}",
        "memory_mib": properties.get("totalGlobalMem", 0) // 2**20,
        "l2_mib": properties.get("l2CacheSize", 0) / 2**20,
        "driver": _tried(_driver),
        "cuda_driver": _tried(lambda: runtime.driverGetVersion()),
        "cuda_runtime": _tried(lambda: runtime.runtimeGetVersion()),
        "nvrtc": _tried(lambda: ".".join(map(str, xp.cuda.nvrtc.getVersion()))),
        "cublas": _tried(lambda: xp.cuda.cublas.getVersion(xp.cuda.device.get_cublas_handle())),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cupy": xp.__version__,
        "torch": _tried(lambda: torch.__version__),
        "torch_cuda": _tried(lambda: torch.version.cuda),
        "cudnn": _tried(lambda: torch.backends.cudnn.version()),
    }


def _tried(question):
    with suppress(Exception):
        return question()


def _driver():
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout.strip().splitlines()[0]
