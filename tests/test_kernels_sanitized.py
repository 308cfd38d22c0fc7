"""The tests of each kernel once more, compiled with sanitizers: nothing is read or written out of
bounds or misaligned (AddressSanitizer, UBSan), and no two threads of a block touch the same number
without a barrier between them (ThreadSanitizer, on small sizes). On the CPU, by the emulator.
"""

import pytest
from emulator import sanitizer_environment, why_unavailable
from programs import ROOT, python

KERNELS = sorted(path.stem for path in (ROOT / "kernels").glob("*.cu"))
# Where the kernel is not called like the operation that test_twins.py has.
OPERATIONS = {"batchnorm_normalize": "batchnorm_inference", "batchnorm_sums": "batchnorm_backward"}
# Memory does not mind the order; races do.
ORDERS = {"asan+ubsan": ("forward", ["", "_in_float16"]), "tsan": ("random", [""])}
PYTEST = "-m pytest -v -x -p no:cacheprovider tests/test_kernels.py tests/test_twins.py".split()


@pytest.fixture(autouse=True)
def emulated(request):
    if request.config.getoption("gpu"):
        pytest.skip("for the emulator; compute-sanitizer does this on a GPU")
    if why_unavailable():
        pytest.skip(why_unavailable())


@pytest.mark.parametrize("sanitizer", ORDERS)
def test_sanitized(sanitizer):
    """In one process, whose start takes longer than most tests. A kernel without tests fails."""
    order, kinds = ORDERS[sanitizer]
    names = {}
    for kernel in KERNELS:
        beginning = f"{order}-{OPERATIONS.get(kernel, kernel)}"
        names[kernel] = [f"test_{kernel}", *(f"test_the_gpu{kind}[{beginning}" for kind in kinds)]
    chosen = ["-k", " or ".join(sum(names.values(), [])), "--orders", order]
    environment = sanitizer_environment(sanitizer)
    done = python(*PYTEST, *chosen, env=environment, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "SKIPPED" not in done.stdout
    passed = [line for line in done.stdout.splitlines() if "PASSED" in line]
    for kernel, beginnings in names.items():
        assert any(f"::{name}" in line for name in beginnings for line in passed), kernel
