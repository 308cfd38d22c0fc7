"""The tests of each kernel once more, compiled with sanitizers: nothing is read or written out of
bounds or misaligned (AddressSanitizer, UBSan), and no two threads of a block touch the same number
without a barrier between them (ThreadSanitizer, on small sizes). On the CPU, by the emulator.
"""

import subprocess

import pytest
from emulator import sanitizer_environment, why_unavailable
from programs import ROOT

KERNELS = sorted(path.stem for path in (ROOT / "kernels").glob("*.cu"))
# Where the kernel is not called like the operation that test_twins.py has.
OPERATIONS = {"batchnorm_normalize": "batchnorm_inference", "batchnorm_sums": "batchnorm_backward"}
# Memory does not mind the order; races do.
ORDERS = {"asan+ubsan": ("forward", ["", "_in_float16"]), "tsan": ("random", [""])}
PYTEST = "-m pytest -q -x -p no:cacheprovider tests/test_kernels.py tests/test_twins.py".split()


@pytest.fixture(autouse=True)
def emulated(request):
    if request.config.getoption("gpu"):
        pytest.skip("for the emulator; compute-sanitizer does this on a GPU")
    if why_unavailable():
        pytest.skip(why_unavailable())


@pytest.mark.parametrize("kernel", KERNELS)
def test_sanitized(kernel, started):
    """Both sanitizers at once, a process each. A kernel without tests fails."""
    operation, running = OPERATIONS.get(kernel, kernel), {}
    for sanitizer, (order, kinds) in ORDERS.items():
        names = [f"test_{kernel}", *(f"test_the_gpu{kind}[{order}-{operation}" for kind in kinds)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": ROOT}
        options["env"] = sanitizer_environment(sanitizer)
        chosen = ["-k", " or ".join(names), "--orders", order]
        running[sanitizer] = started(*PYTEST, *chosen, **options)
    for sanitizer, process in running.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{sanitizer}:\n{output[-5000:]}"
        assert " passed" in output and "skipped" not in output, output
