"""What the GPU benchmarks share: their sizes, a section's run, random arrays, tables, the machine.

Notation: milliseconds everywhere a name ends in _ms, bytes in _bytes; rates are per second.
"""

import gc
import json
import math
import subprocess
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from mini_colorize.backend import PRECISIONS, matmul, set_precision
from mini_colorize.files.disk import write_json

from .common import machine
from .gpu_timing import Timer, peak_memory

QUERY = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]


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

    xp: cupy. torch: benchmarks.torch_side, or None. path: the JSON of this section.
    """

    def __init__(self, xp, torch, sizes, path):
        self.xp, self.torch, self.sizes, self.path = xp, torch, sizes, path
        self.timer = Timer(xp, sizes.copy_bytes, sizes.rounds)
        self.found, self.failures = {}, []
        # The memory of torch's side, and None on the CPU, where only the code is tested.
        self.torch_memory = torch.torch.cuda if torch and torch.torch.cuda.is_available() else None
        self.torch_device = "cuda" if self.torch_memory else "cpu"

    @contextmanager
    def part(self, name):
        """What fails in here is noted, and the rest goes on. Writes down what is known so far."""
        try:
            yield
        except Exception as error:
            line = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"FAILED {name}: {line}", flush=True)
            trace = traceback.format_exc()[-4000:]
            self.failures.append({"part": name, "error": line, "traceback": trace})
        write_json(self.path, plain({"found": self.found, "failures": self.failures}))

    def free(self):
        """Give unused device memory back, so that what is measured next starts from nothing."""
        gc.collect()
        self.xp.get_default_memory_pool().free_all_blocks()
        if self.torch_memory:
            self.torch_memory.empty_cache()

    def memory(self):
        """Bytes in use and bytes held, of each side that can tell: name -> (used, held)."""
        pool, theirs = self.xp.get_default_memory_pool(), self.torch_memory
        found = {"ours": (pool.used_bytes(), pool.total_bytes())}
        if theirs:
            found["torch"] = theirs.memory_allocated(), theirs.memory_reserved()
        return found

    def measure(self, sides, count, images, before):
        """Time and memory of both sides, in turn. sides: name -> callable. count: calls in a row.
        images: in a call. before: of `memory`, what is not counted. Returns name -> {"ms",
        "device_ms", ...}, and the "ratio" of the two times where there are two."""
        each, found = self.timer.side_by_side(sides, count), {}
        for name, call in sides.items():
            device_ms, host_ms = self.timer.queued(call)
            found[name] = {"ms": each[name], "device_ms": device_ms, "host_ms": host_ms}
            found[name]["images_s"] = 1e3 * images / each[name]
            if name in before:
                used, held = before[name]
                found[name]["peak_mib"] = mib(self._peak(name, call) - used)
                found[name]["held_mib"] = mib(self.memory()[name][1] - held)
        if "torch" in sides:
            found["ratio"] = each["torch"] / each["ours"]
        return found

    def _peak(self, name, call):
        if name == "ours":
            return peak_memory(self.xp, call)
        self.torch_memory.reset_peak_memory_stats()
        call()
        return self.torch_memory.max_memory_allocated()

    @cached_property
    def ceilings(self):
        """Rates of this GPU, measured once: bytes of a copy (read + write), operations of a product
        at each precision."""
        xp, n = self.xp, self.sizes.copy_bytes
        rates = self.found["ceilings"] = {"copy": 2 * n / self.timer.each(self.timer.copy) * 1e3}
        for precision in PRECISIONS:
            set_precision(precision, xp)
            dtype = np.float16 if precision == "mixed" else np.float32
            rates[precision] = max(self._product_rate(side, dtype) for side in self.sizes.product)
        set_precision("fp32", xp)
        return rates

    def _product_rate(self, side, dtype):
        a, b, out = (noise(self.xp, (side, side), dtype, seed) for seed in range(3))
        return 2 * side**3 / self.timer.each(lambda: matmul(a, b, out=out), 5) * 1e3


# Arrays ----------------------------------------------------------------------------------------


def noise(xp, shape, dtype=np.float32, seed=0):
    """Normal random numbers on the device, the same few million over and over."""
    base = _noise(xp, np.dtype(dtype))[7919 * seed :][: 2**22]
    out = xp.empty(math.prod(np.atleast_1d(shape).tolist()), dtype)
    for at in range(0, out.size, 2**22):
        part = out[at : at + 2**22]
        part[...] = base[: part.size]
    return out.reshape(shape)


@cache
def _noise(xp, dtype):
    return xp.asarray(np.random.default_rng(0).standard_normal(2**22 + 2**19).astype(dtype))


def colors(xp, shape, seed=0):
    """ab as photographs have it, spread wide. Returns (*shape, 2) float32."""
    return xp.clip(40 * noise(xp, (*shape, 2), seed=seed), -100, 100)


def crops(sizes, seed=0):
    """A training batch as the loader gives it, noise. Returns (N, S, S, 3) uint8, NumPy."""
    shape = (sizes.batch, sizes.side, sizes.side, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Report ----------------------------------------------------------------------------------------


def table(title, columns, rows):
    """Print a table. columns: keys, with commas between them. rows: dictionaries."""
    columns = columns.split(", ")
    cells = [columns, *([_cell(key, row.get(key)) for key in columns] for row in rows)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for first, *rest in cells:
        padded = [first.ljust(wide[0]), *(c.rjust(w) for c, w in zip(rest, wide[1:], strict=True))]
        print("  ".join(padded).rstrip())
    print(flush=True)


def _cell(key, value):
    if isinstance(value, float):
        digits = 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
        return f"{value:.1%}" if key.startswith("share") else f"{value:.{digits}f}"
    return "-" if value is None else str(value)


def mib(nbytes):
    return nbytes / 2**20


def plain(value):
    """What JSON can hold: numbers to six digits, NaN and infinity as text."""
    text = json.dumps(value, default=lambda number: number.item())
    return json.loads(text, parse_float=lambda n: float(f"{float(n):.6g}"), parse_constant=str)


def gpu_machine(xp, torch):
    """GPU, host, driver and versions; what cannot be found out is None. torch: torch or None."""
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    name = properties["name"]
    return {
        "gpu": name.decode() if isinstance(name, bytes) else str(name),
        "multiprocessors": properties.get("multiProcessorCount"),
        "compute_capability": f"{properties.get('major')}.{properties.get('minor')}",
        "memory_mib": properties.get("totalGlobalMem", 0) // 2**20,
        "l2_mib": properties.get("l2CacheSize", 0) / 2**20,
        "host": machine(),
        "driver": _tried(lambda: subprocess.check_output(QUERY, text=True, timeout=20).split()[0]),
        "cuda_driver": _tried(lambda: runtime.driverGetVersion()),
        "cuda_runtime": _tried(lambda: runtime.runtimeGetVersion()),
        "nvrtc": _tried(lambda: ".".join(map(str, xp.cuda.nvrtc.getVersion()))),
        "cublas": _tried(lambda: xp.cuda.cublas.getVersion(xp.cuda.device.get_cublas_handle())),
        "cupy": xp.__version__,
        "torch": _tried(lambda: torch.__version__),
        "torch_cuda": _tried(lambda: torch.version.cuda),
        "cudnn": _tried(lambda: torch.backends.cudnn.version()),
    }


def _tried(question):
    with suppress(Exception):
        return question()
