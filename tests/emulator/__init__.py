"""CUDA kernels and CuPy on the CPU, so that the code for the GPU is tested where there is none.

    from emulator import standin          (tests/ is on the path of every test)
    cupy = standin.install()              now `import cupy` finds the stand-in
    x = cupy.asarray(np.arange(4.0))      an array in "GPU memory"
    kernel = cupy.RawModule(code=source, options=("-DQ=313",)).get_function("softmax")
    kernel((blocks,), (256,), (x, np.int64(4)))
    standin.settings.order = 1            0: threads in order, 1: reversed, else a random seed

Files
    standin.py   the module `cupy`: its arrays and functions, as strict as CuPy
    modules.py   RawModule: compiles a .cu file with g++, checks every launch
    blas.py      what cuBLAS's C library does
    nccl.py      sums of several processes
    cuda.py      streams, events, devices: work on a second stream waits until it is waited for
    *.h          what g++ needs to take a .cu file for C++ (cuda_emu.h tells how)
    runner.cpp   one launch in a process of its own, for ThreadSanitizer

Not seen here: races between blocks, a copy on a second stream into an array that a kernel still
reads (one that is used before the copy is waited for is seen), a pointer that runs
into another part of its own array, speed, tensor cores.
"""

import functools
import os
import platform
import shutil
import subprocess
import sys

SANITIZERS = ("", "asan+ubsan", "tsan")


@functools.cache
def why_unavailable():
    """None where the emulator works, else why it does not: for pytest.mark.skipif."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "the CUDA emulator needs Linux on x86-64"
    if shutil.which("g++") is None:
        return "the CUDA emulator needs g++"
    if int(_ask_gxx("-dumpversion").split(".")[0]) < 12:
        return "the CUDA emulator needs g++ 12 or newer"  # float16 in C++
    return None


def sanitizer_environment(kind):
    """The environment of a Python process that launches kernels under a sanitizer.

    "asan+ubsan": reads and writes out of bounds, misaligned vectors; the first one ends the
    process with a report. "tsan": missing barriers; launches run in processes of their own, and
    raise EmulatorError.
    """
    if kind not in SANITIZERS:
        raise ValueError(f"sanitizer {kind!r}: choose one of {SANITIZERS}")
    environment = {**os.environ, "EMU_SAN": kind}
    if kind == "asan+ubsan":
        environment["LD_PRELOAD"] = _ask_gxx("-print-file-name=libasan.so")
        # Python never frees all it has; that is no concern of a kernel.
        environment["ASAN_OPTIONS"] = "detect_leaks=0:detect_stack_use_after_return=0"
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return environment


def _ask_gxx(question):
    return subprocess.run(["g++", question], capture_output=True, text=True).stdout.strip()
