"""The tests of each kernel once more, compiled with sanitizers: nothing is read or written out of
bounds or misaligned (AddressSanitizer, UBSan), and no two threads of a block touch the same number
without a barrier between them (ThreadSanitizer, on small sizes). On the CPU, by the emulator.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from emulator import sanitizer_environment, why_unavailable

ROOT = Path(__file__).parent.parent
KERNELS = sorted(path.stem for path in (ROOT / "kernels").glob("*.cu"))
ORDERS = {"asan+ubsan": "forward", "tsan": "random"}  # memory does not mind the order; races do


@pytest.fixture(autouse=True)
def emulated(request):
    if request.config.getoption("gpu"):
        pytest.skip("for the emulator; compute-sanitizer does this on a GPU")
    if why_unavailable():
        pytest.skip(why_unavailable())


@pytest.mark.parametrize("kernel", KERNELS)
def test_sanitized(kernel):
    """Both sanitizers at once, a process each. A kernel without tests fails."""
    chosen = f"test_{kernel}" + (" and not backward" if kernel == "bias_relu" else "")
    running = {}
    for sanitizer, order in ORDERS.items():
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "tests/test_kernels.py",
            "-k",
            chosen,
            "--orders",
            order,
        ]
        running[sanitizer] = subprocess.Popen(
            command,
            cwd=ROOT,
            env=sanitizer_environment(sanitizer),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    for sanitizer, process in running.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{sanitizer}:\n{output[-5000:]}"
        assert " passed" in output and "skipped" not in output, output
