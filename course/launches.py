"""A CUDA kernel as a program of its own: compiled, launched, and its instructions named.

g++ compiles the unchanged source with the emulator of tests/emulator and with watch.h, which writes
down every access to memory. What these accesses mean is said in cuda.py.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .traces import ACCESS, ATOMIC, SHARED, WRITE, has

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))  # the emulator's home

from emulator import modules, why_unavailable  # noqa: E402

__all__ = [
    "Empty",
    "Kernel",
    "compiled",
    "modules",
    "place",
    "who",
    "why_unavailable",
    "without_comments",
]

FLAGS = "-O1 -g1 -fsanitize=thread,bounds -fno-tree-vectorize -fno-thread-jumps -fno-exceptions -no-pie "
FLAGS += "-fno-pie -nodefaultlibs -lm -lc -lgcc -fdiagnostics-color=never"


@dataclass
class Empty:
    """An array to be written: its memory holds NaN (all bytes 0xFF)."""

    shape: tuple | int
    dtype: type = np.float32


# Compiling ----------------------------------------------------------------------------------------


def without_comments(text):
    """CUDA C++ with blanks for comments: every line and column stays where it is."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)


@cache
def compiled(path, text, defines):
    """The Kernel of a file with this text. Raises EmulatorError."""
    plain = without_comments(text)
    found = list(modules.KERNEL.finditer(plain))
    if len(found) != 1 or 'extern "C"' not in plain:
        raise modules.EmulatorError(f'{path.name}: needs one kernel, extern "C" __global__ void')
    bounds, name = found[0].groups()
    parameters = plain[found[0].end() :].partition(")")[0].split(",")
    source = f'#define WATCHED {name}\n#include "watch.h"\n'
    source += "".join(f"#define {k} {v}\n" for k, v in defines)
    source += f'#line 1 "{path.name}"\n{text}\nEMU_KERNEL({name}, {bounds or 1024})\n'
    folders = [f"-I{folder}" for folder in (modules.HERE, HERE, path.parent)]
    try:
        program = modules.build(
            source, [*FLAGS.split(), *folders], "", (HERE / "watch.h").read_text()
        )
    except modules.EmulatorError as error:
        raise modules.EmulatorError(first_error(str(error), path.name, text)) from None
    names = [re.findall(r"\w+", p)[-1] for p in parameters]
    return Kernel(program, path.name, text, source, folders, name, names)


def first_error(message, name, text):
    """g++'s first error, with the line of the file that it is about."""
    here = rf"{re.escape(name)}:(\d+):\d+:"
    found = re.search(rf"{here} (?:fatal )?error: (.*)", message)
    place, error = re.search(here, message), re.search(r"error: (.*)", message)
    if not found and not (place and error):
        return message
    line, said = (int(found[1]), found[2]) if found else (int(place[1]), error[1])
    if line > len(lines := text.splitlines()):
        return "it does not compile: the file ends too early; is a } missing?"
    first = line - 1 - (" before " in said)  # what is missing may belong to the line above
    shown = [f"    {k + 1}  {lines[k]}" for k in range(max(first, 0), line)]
    return "\n".join([f"line {line} does not compile: {said}", *shown])


# Launching ----------------------------------------------------------------------------------------


class Launch(NamedTuple):
    status: int  # of the program, see watch.h
    printed: str
    errors: str
    arrays: dict  # name -> array
    accesses: np.ndarray


@dataclass
class Kernel:
    """A kernel that is compiled.

    file, text: the student's. source: text, and what is put around it. folders: -I.
    """

    program: Path
    file: str
    text: str
    source: str
    folders: list
    name: str
    names: list  # of the parameters

    @cached_property
    def signature(self):
        """Most threads in a block, then the parameters: 256 cf4 i8, see tests/emulator/launch.h."""
        return _output([self.program]).split()

    def arguments(self, sizes, args):
        """args as contiguous arrays and scalars of the kernel's types. Raises ValueError."""
        most, *codes = self.signature
        grid, block = map(np.prod, sizes)
        if block > int(most) or block < 1 or grid < 1:
            raise ValueError(
                f"{grid} blocks of {block} threads: from 1 to {most} can be in a block"
            )
        if len(args) != len(codes):
            raise ValueError(f"{self.name} has {len(codes)} parameters, not {len(args)}")
        return [self._argument(*x) for x in zip(self.names, codes, args, strict=True)]

    def _argument(self, name, code, given):
        if code[0] not in "cp":
            if isinstance(given, np.ndarray | Empty):
                raise ValueError(f"{name} is a number in the kernel; it is given an array")
            return np.dtype(code).type(given)
        if isinstance(given, Empty):
            given = np.full(given.shape, 0, given.dtype)
            given.view(np.uint8)[...] = 0xFF
        if not isinstance(given, np.ndarray):
            raise ValueError(f"{name} is a pointer in the kernel; it is given a number")
        if given.dtype != np.dtype(code[1:]):
            raise ValueError(f"{name} points to {np.dtype(code[1:])}; it is given {given.dtype}")
        return np.ascontiguousarray(given)

    def launch(self, sizes, order, seconds, arrays):
        """One launch, in a process of its own. sizes: grid and block. Returns a Launch."""
        head = np.array([*sizes[0], *sizes[1], order, seconds, len(arrays)], np.int64).tobytes()
        parts = [
            np.int64(a.nbytes if a.ndim else -1).tobytes()
            + a.tobytes().ljust(0 if a.ndim else 8, b"\0")
            for a in arrays
        ]
        with tempfile.TemporaryDirectory() as folder:
            given, taken = Path(folder, "in"), Path(folder, "out")
            given.write_bytes(head + b"".join(parts))
            done = subprocess.run(
                [self.program, given, taken],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds + 30,
            )
            data = taken.read_bytes() if taken.exists() else b""
        said = done.stdout, done.stderr.strip()
        if not data:
            return Launch(done.returncode, *said, {}, np.empty(0, ACCESS))
        results, at = {}, 0
        for name, a in zip(self.names, arrays, strict=True):
            if a.ndim:
                results[name] = np.frombuffer(data, a.dtype, a.size, at).reshape(a.shape)
                at += a.nbytes
        return Launch(done.returncode, *said, results, np.frombuffer(data, ACCESS, offset=at))

    # What is said of a launch

    def line(self, pc):
        """The line of the source in which an instruction stands, or None."""
        found = _output(["addr2line", "-i", "-e", self.program, hex(int(pc) - 1)])
        lines = re.findall(rf"{re.escape(self.file)}:(\d+)", found)
        return int(lines[0]) if lines else None

    def at(self, *pcs):
        """The beginning of a sentence: "line 7: ", of the first that is known."""
        lines = [line for line in map(self.line, pcs) if line]
        return f"line {lines[0]}: " if lines else ""

    @cached_property
    def shared(self):
        """(address, name) of the arrays in shared memory."""
        symbols = re.findall(r"(\w+) [dDbB] (.*)", _output(["nm", "-C", self.program]))
        return sorted((int(a, 16), re.findall(r"\w+", name)[-1]) for a, name in symbols)

    def spot(self, access, arrays):
        """What is accessed: x[200]."""
        address, i = int(access["address"]), int(access["argument"])
        if has(access, SHARED):
            base, name = max(x for x in self.shared if x[0] <= address)
            size = int(access["size"])
        else:
            base, name, size = place(i), self.names[i], arrays[i].itemsize
        return f"{name}[{(address - base) // size}]"

    def does(self, access, arrays):
        """thread 3 of block 0 reads x[200]"""
        verb = "updates" if has(access, ATOMIC) else "writes" if has(access, WRITE) else "reads"
        return f"{who(access)} {verb} {self.spot(access, arrays)}"

    @cached_property
    def without_value(self):
        """What g++ says of variables that are read and may have no value; None."""
        flags = "-std=c++17 -O1 -S -o /dev/null -Werror=uninitialized -Werror=maybe-uninitialized"
        try:
            modules.run_gxx([*flags.split(), *self.folders, "-x", "c++", "-"], self.source)
        except modules.EmulatorError as error:
            name = re.search(r"error: \W(\w+)\W (?:is|may be) used uninitialized", str(error))
            lines = re.findall(rf"{re.escape(self.file)}:(\d+):\d+: (?:note|error)", str(error))
            if name and lines:
                return f"line {lines[-1]}: {name[1]} is read before it is given a value"


def _output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def place(i):
    """The address of argument i, see watch.h."""
    return (0x100 + i) << 36 | 1 << 35


def who(access):
    return f"thread {access['thread']} of block {access['block']}"
