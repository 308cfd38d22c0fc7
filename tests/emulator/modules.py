"""cupy.RawModule: a .cu file compiled by g++ with cuda_emu.h, and launches that check everything.

A RawKernel on a GPU takes what it is given: four bytes of a Python int, an array of another dtype,
the address of an array on the host. Here each of these is an EmulatorError.

Compiled libraries are kept in MINI_COLORIZE_EMULATOR_CACHE, or in a folder of the user's own in the
system's temporary directory.
"""

import ctypes
import functools
import hashlib
import os
import re
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from . import memory, standin

HERE = Path(__file__).parent
# What comes last fills variables that have no value yet, so that one which is read shows.
GXX = "-std=c++17 -O2 -g -w -ffp-contract=off -fno-strict-aliasing".split()
GXX += ["-ftrivial-auto-var-init=pattern"]
LIBRARY = ["-fPIC", "-shared", "-fvisibility=hidden"]
SANITIZE = {
    "": [],
    # Without the second flag g++ puts no red zones around the arrays of our own section.
    "asan+ubsan": "-fsanitize=address,alignment,bounds -fsanitize-sections=emu_shared "
    "-fno-sanitize-recover=all".split(),
    "tsan": ["-fsanitize=thread"],
}
PARENTHESES = r"\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)"  # up to three deep
KERNEL = re.compile(
    r"\b__global__\s+void\s+(?:__launch_bounds__\s*" + PARENTHESES + r"\s*)?(\w+)\s*\("
)


class EmulatorError(RuntimeError):
    """A kernel does not compile, is launched wrongly, or does what it must not."""


class RawModule:
    """Options -D and -I count; what else NVRTC takes is ignored. Compiled when first needed."""

    def __init__(self, code=None, *, options=(), **ignored):
        if not isinstance(code, str) or not isinstance(options, tuple):
            raise TypeError("RawModule takes code (a string) and options (a tuple of strings)")
        self.code = code
        self.includes = [o for o in options if o.startswith("-I")]
        self.defines = [o for o in options if o.startswith("-D")]
        self.paths, self.libraries = {}, {}  # by sanitizer

    def get_function(self, name):
        if name not in self._kernels:
            raise EmulatorError(f"no kernel {name!r} in this module: {', '.join(self._kernels)}")
        return RawKernel(self, name)

    @functools.cached_property
    def _preprocessed(self):
        # Without standard headers: NVRTC has none, and a GPU's compiler must not find one either.
        flags = ["-E", "-nostdinc", "-I", str(HERE), *self.includes, *self.defines]
        return run_gxx([*flags, "-x", "c++", "-"], self.code)

    @functools.cached_property
    def _kernels(self):
        """name -> launch bounds, as text."""
        return {name: bounds or "1024" for bounds, name in KERNEL.findall(self._preprocessed)}

    def library(self, sanitizer):
        """This module compiled with a sanitizer and loaded."""
        if sanitizer not in self.libraries:
            # PyDLL: no second Python thread runs while fibers switch stacks.
            self.libraries[sanitizer] = ctypes.PyDLL(str(self.path(sanitizer)))
        return self.libraries[sanitizer]

    def path(self, sanitizer):
        """The library's file."""
        if sanitizer not in self.paths:
            self.paths[sanitizer] = self._build(sanitizer)
        return self.paths[sanitizer]

    def _build(self, sanitizer):
        # As #defines around the code only, the project's short names do not upset the headers.
        defines = [d[2:].partition("=") for d in self.defines]
        lines = ['#include "cuda_emu.h"']
        lines += [f"#define {name} {value if equals else 1}" for name, equals, value in defines]
        lines.append(self.code if self.code.startswith("#line") else "#line 1\n" + self.code)
        lines += [f"#undef {name}" for name, _, _ in defines]
        lines += [f"EMU_KERNEL({name}, {bounds})" for name, bounds in self._kernels.items()]
        flags = [*LIBRARY, *SANITIZE[sanitizer], "-I", str(HERE), *self.includes]
        return build("\n".join(lines), flags, ".so", uses=self._preprocessed)


class RawKernel:
    """kernel(grid, block, args): as CuPy's, for the settings of standin.settings."""

    def __init__(self, module, name):
        self.module, self.name = module, name
        text = ctypes.create_string_buffer(4096)
        getattr(module.library(""), f"emu_describe_{name}")(text)
        bounds, *self.parameters = text.value.decode().split()
        self.max_threads = int(bounds)

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        grid, block = self._three("grid", grid), self._three("block", block)
        self._check_sizes(grid, block, shared_mem)
        if len(args) != len(self.parameters):
            raise self._error(f"{len(args)} arguments, the kernel takes {len(self.parameters)}")
        pairs = zip(args, self.parameters, strict=True)
        values = [self._value(i, *pair) for i, pair in enumerate(pairs)]
        sanitizer = standin.settings.sanitizer
        if sanitizer not in SANITIZE:
            raise self._error(f"unknown sanitizer {sanitizer!r}")
        addresses = [a.data.ptr for a in args if isinstance(a, standin.ndarray) and a.size]
        if sanitizer == "tsan":
            standin.perform(lambda: self._launch_in_runner(grid, block, args, values), addresses)
        else:
            standin.perform(lambda: self._launch(grid, block, values, sanitizer), addresses)

    def _error(self, text):
        return EmulatorError(f"{self.name}: {text}")

    def _three(self, name, sizes):
        if not isinstance(sizes, tuple) or not 1 <= len(sizes) <= 3:
            raise self._error(f"{name} {sizes!r}: must be a tuple of one to three numbers")
        return tuple(int(n) for n in sizes) + (1,) * (3 - len(sizes))

    def _check_sizes(self, grid, block, shared_mem):
        threads = block[0] * block[1] * block[2]
        if min(grid + block) < 1:
            raise self._error(f"empty launch: grid {grid}, block {block}")
        if grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            raise self._error(f"grid {grid}: the limits are 2147483647, 65535, 65535")
        if max(block[:2]) > 1024 or block[2] > 64 or threads > self.max_threads:
            raise self._error(f"block {block}: the kernel's limit is {self.max_threads} threads")
        if shared_mem:
            raise self._error("shared memory is declared in the kernel: shared_mem must be 0")

    def _value(self, i, argument, parameter):
        """The 8 bytes of an argument: an address, or a scalar's bytes and zeros."""
        what = f"argument {i}"
        if parameter[0] in "cp":  # a pointer
            if not isinstance(argument, standin.ndarray):
                raise self._error(f"{what}: {type(argument).__name__}, not an array on the GPU")
            if _code(argument) != parameter[1:]:
                raise self._error(f"{what}: {argument.dtype} array for a {parameter[1:]} pointer")
            if not argument.flags.c_contiguous:
                raise self._error(f"{what}: the array is not C-contiguous")
            return struct.pack("Q", argument.data.ptr)
        if not isinstance(argument, np.generic):
            raise self._error(f"{what}: {type(argument).__name__}, not a NumPy scalar")
        if _code(argument) != parameter:
            raise self._error(f"{what}: {argument.dtype} scalar, the kernel takes {parameter}")
        return argument.tobytes().ljust(8, b"\0")

    def _launch(self, grid, block, values, sanitizer):
        if "asan" in sanitizer and "libasan" not in os.environ.get("LD_PRELOAD", ""):
            raise self._error("AddressSanitizer must be preloaded: emulator.sanitizer_environment")
        library = self.module.library(sanitizer)
        buffer = ctypes.create_string_buffer(b"".join(values), 8 * len(values))
        start = ctypes.addressof(buffer)
        pointers = (ctypes.c_void_p * len(values))(*(start + 8 * i for i in range(len(values))))
        sizes = (ctypes.c_uint * 3)(*grid), (ctypes.c_uint * 3)(*block)
        order = ctypes.c_ulonglong(standin.settings.order)
        if getattr(library, f"emu_launch_{self.name}")(*sizes, order, pointers):
            library.emu_error.restype = ctypes.c_char_p
            raise self._error(library.emu_error().decode())

    def _launch_in_runner(self, grid, block, args, values):
        """See runner.cpp. Arrays are copied there and back, with all of the memory they are in."""
        buffers, pairs = {}, []  # address -> (index, owner); a pair an argument
        for argument, value in zip(args, values, strict=True):
            pair = (-1, struct.unpack("q", value)[0])
            if isinstance(argument, standin.ndarray):
                owner = memory.owner(argument._host)
                index, _ = buffers.setdefault(owner.ctypes.data, (len(buffers), owner))
                pair = (index, argument.data.ptr - owner.ctypes.data)
            pairs.append(struct.pack("qq", *pair))
        owners = [owner for _, owner in buffers.values()]
        head = [*grid, *block, standin.settings.order, len(owners), len(args)]
        path = self.module.path("tsan")
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("input", "output")]
            with open(files[0], "wb") as file:
                file.write(struct.pack(f"{len(head)}q", *head))
                for owner in owners:
                    file.write(struct.pack("q", owner.nbytes) + bytes(_memory(owner)))
                file.write(b"".join(pairs))
            run_tsan([str(runner()), str(path), self.name, *files], self._error)
            data = memoryview(Path(files[1]).read_bytes())
        for owner in owners:
            _memory(owner)[:] = data[: owner.nbytes]
            data = data[owner.nbytes :]


def _code(x):
    """dtype of an array or a scalar, as launch.h names types: f4, i8, ..."""
    return f"{x.dtype.kind}{x.dtype.itemsize}"


def _memory(host):
    """The bytes of an array, writable."""
    return memoryview((ctypes.c_char * host.nbytes).from_address(host.ctypes.data)).cast("B")


# ---- compiling


def run_gxx(arguments, source):
    """Feed a source to g++, return what it prints. Raises EmulatorError with its first errors."""
    done = _run(["g++", *arguments], source)
    if done.returncode:
        raise EmulatorError("g++ refuses the kernel:\n" + done.stderr[:3000])
    return done.stdout


def _run(command, source=None, **more):
    """In this process's environment and `more`, but with nothing preloaded."""
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"} | more
    return subprocess.run(command, input=source, capture_output=True, text=True, env=environment)


def build(source, flags, suffix, uses=""):
    """Compile, unless it was done before. uses: the text of what the source includes."""
    headers = [p.read_text() for p in sorted(HERE.glob("*.h"))]
    key = hashlib.sha256("\0".join([source, uses, *flags, *GXX, *headers]).encode()).hexdigest()
    path = cache_folder() / f"{key[:24]}{suffix}"
    if not path.exists():
        handle, part = tempfile.mkstemp(suffix=suffix, dir=path.parent)
        os.close(handle)
        try:
            run_gxx([*GXX, "-x", "c++", "-", "-o", part, *flags], source)
            os.replace(part, path)  # another process may build the same: both are whole
        finally:
            Path(part).unlink(missing_ok=True)
    return path


def cache_folder():
    """A folder that nobody else can write to: what lies there is loaded and run."""
    path = os.environ.get("MINI_COLORIZE_EMULATOR_CACHE")
    path = Path(path or Path(tempfile.gettempdir()) / f"mini_colorize_emulator_{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise EmulatorError(f"{path} is not a folder of this user alone: remove it")
    return path


def runner():
    """The program of runner.cpp, built when first needed."""
    return build((HERE / "runner.cpp").read_text(), ["-fsanitize=thread", "-ldl"], "")


def run_tsan(command, error):
    """Run a program that was linked with ThreadSanitizer; raise error(text) if it fails."""
    options = "halt_on_error=1:exitcode=66:atexit_sleep_ms=0"
    done = _run(command, TSAN_OPTIONS=options)
    if "unexpected memory mapping" in done.stderr:  # addresses more random than it can bear
        done = _run(["setarch", "-R", *command], TSAN_OPTIONS=options)
    if done.returncode:
        raise error(done.stderr.strip()[:2000] or f"the runner died with status {done.returncode}")
