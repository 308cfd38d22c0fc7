"""What only a sanitizer sees: a planted bug is reported with its line, the healthy twin is not."""

import re
from pathlib import Path

import numpy as np
import pytest
from programs import python

import emulator
from emulator import planted, standin
from emulator.modules import EmulatorError

MISSING = emulator.why_unavailable()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
TESTS = Path(__file__).parents[1]
KERNELS = ["mirror", "total", "exchange", "meet"]


# ---- AddressSanitizer and UndefinedBehaviorSanitizer


def run_sanitized(kernel, bug, order=0):
    environment = {**emulator.sanitizer_environment("asan+ubsan"), "EMU_ORDER": str(order)}
    return python("-m", "emulator.planted", kernel, bug, env=environment, cwd=TESTS)


@pytest.mark.parametrize("kernel, order", [*((k, 0) for k in KERNELS), ("meet", 3)])
def test_healthy_under_asan(kernel, order):
    done = run_sanitized(kernel, 0, order)
    assert done.stdout == "right\n", done.stderr[:2000]


OUT_OF_BOUNDS = [
    (1, "heap-buffer-overflow.*READ of size 4", "tile[t] = x[n]"),
    (2, "heap-buffer-overflow.*WRITE of size 4", "y[n] = 1.f"),
    (3, "global-buffer-overflow.*WRITE of size 4", "*end = 1.f"),
    (4, "misaligned address .* for type 'const struct float4'", "BUG(4)"),
    (7, "index 4 out of bounds for type 'float \\[4\\]'", "BUG(7)"),
]


@pytest.mark.parametrize("bug, error, place", OUT_OF_BOUNDS)
def test_out_of_bounds_is_reported_with_its_line(bug, error, place):
    done = run_sanitized("mirror", bug)
    assert done.returncode != 0 and done.stdout == ""
    assert re.search(error, done.stderr, re.S), done.stderr[:2000]
    assert f"planted.cu:{planted.line_of(place, 'mirror')}" in done.stderr


def test_meetings_are_reported_under_asan():
    done = run_sanitized("meet", 1)
    assert re.match(r"meet: block \(0,0,0\) .*\nthen right\n$", done.stdout), done.stderr[:2000]


def test_small_arrays_have_red_zones():
    """One element too far, for arrays of every small size: NumPy keeps such memory for reuse."""
    code = """
import numpy as np
from emulator import standin
cupy = standin.install()
source = 'extern "C" __global__ void k(const float* x, float* y, int i) { y[0] = x[i]; }'
kernel = cupy.RawModule(code=source).get_function("k")
for n in range(1, 300):
    for x in cupy.empty(n, np.float32), cupy.asarray(np.ones(n, np.float32)), cupy.ones(n) + 1:
        x = x.astype(np.float32)
        kernel((1,), (1,), (x, cupy.empty(1, np.float32), np.int32(n - 1)))
print("inside", flush=True)
import sys
n = int(sys.argv[1])
kernel((1,), (1,), (cupy.ones(n, np.float32), cupy.empty(1, np.float32), np.int32(n)))
print("outside")
"""
    environment = emulator.sanitizer_environment("asan+ubsan")
    for n in 1, 5, 64:
        done = python("-c", code, n, env=environment, cwd=TESTS)
        assert done.stdout == "inside\n" and "heap-buffer-overflow" in done.stderr


def test_asan_without_its_library_is_refused(cupy, monkeypatch):
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    standin.settings.sanitizer = "asan+ubsan"
    with pytest.raises(EmulatorError, match="must be preloaded"):
        planted.run(cupy, "mirror")


# ---- ThreadSanitizer


@pytest.mark.parametrize("kernel, order", [*((k, 0) for k in KERNELS), ("total", 1), ("total", 9)])
def test_healthy_under_tsan(cupy, kernel, order):
    standin.settings.order, standin.settings.sanitizer = order, "tsan"
    assert planted.right(cupy, kernel)


MISSING_BARRIERS = [
    ("total", 1, "part[t] += part[t + half]"),
    ("total", 2, "part[t] += part[t + half]"),
    ("total", 3, "whole = part[0]"),
    ("exchange", 1, "slot[t ^ 1]"),
    ("exchange", 2, "slot[t ^ 1]"),
]


@pytest.mark.parametrize("kernel, bug, place", MISSING_BARRIERS)
@pytest.mark.parametrize("order", [0, 1, 4])
def test_missing_barrier_is_a_race_in_every_order(cupy, kernel, bug, place, order):
    standin.settings.order, standin.settings.sanitizer = order, "tsan"
    with pytest.raises(EmulatorError, match="data race") as e:
        planted.run(cupy, kernel, bug)
    assert f"planted.cu:{planted.line_of(place, kernel)}" in str(e.value)


def test_meetings_are_reported_under_tsan(cupy):
    standin.settings.sanitizer = "tsan"
    with pytest.raises(EmulatorError, match="^meet: block .* divergent __syncthreads"):
        planted.run(cupy, "meet", 1)


def test_shared_arguments_stay_shared_under_tsan(cupy):
    """In and out the same array, and a view of it: as on a GPU, one memory."""
    standin.settings.sanitizer = "tsan"
    source = """extern "C" __global__ void k(const float* x, float* same, float* later) {
        same[0] = x[0] + 1.f;
        later[0] = x[2] + same[0]; }"""
    x = cupy.asarray(np.arange(8, dtype=np.float32))
    cupy.RawModule(code=source).get_function("k")((1,), (1,), (x, x, x[5:]))
    assert x.get().tolist() == [1, 1, 2, 3, 4, 3, 6, 7]


def test_unknown_sanitizer(cupy):
    standin.settings.sanitizer = "msan"
    with pytest.raises(EmulatorError, match="unknown sanitizer 'msan'"):
        planted.run(cupy, "mirror")
    with pytest.raises(ValueError, match="msan"):
        emulator.sanitizer_environment("msan")
