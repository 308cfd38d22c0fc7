"""Run a CUDA kernel without a GPU, and be told in words what is wrong with it.

    report = run("softmax.cu", grid=2, block=256, args=(x, Empty((11, 313)), 11))
    print(report)                  what is wrong, with lines; the bytes of each array
    report.outputs["y"]            an array after the launch

The kernel is compiled by g++ with the emulator of tests/emulator, and runs in a program of its own,
so a crash harms nobody. Every access to memory is written down (watch.h), in the order in which a
first launch makes it; so races, bytes and coalescing are questions to one array, `accesses`.
Three more launches run the threads and blocks in other orders and must give the same.

Not seen: speed, caches, conflicts of banks, registers that spill.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the emulator's home

from emulator import modules, why_unavailable  # noqa: E402

from . import traces  # noqa: E402
from .traces import ACCESS, ATOMIC, SECTOR, SHARED, WRITE, has  # noqa: E402

__all__ = ["Empty", "Problem", "Report", "run", "why_unavailable"]

ORDERS = 0, 1, 2, 3  # threads and blocks rise, fall, two shuffles
ERROR, OUTSIDE, TOO_MANY, ENDLESS, CRASH = range(3, 8)  # exit status of the program
FLAGS = "-fsanitize=thread,bounds -fno-tree-vectorize -fno-thread-jumps -fno-exceptions -no-pie "
FLAGS += "-fno-pie -nodefaultlibs -lm -lc -lgcc -fdiagnostics-color=never"
HINTS = {
    "inactive lane": "a lane that is read from must be in the mask and run the same line",
    "not in its mask": "a lane that runs this line must be in the mask",
    "exited without": "all threads of a block must come to a __syncthreads(): no `if` around it that "
    "some do not enter, no return before it",
}  # to what the emulator says


@dataclass
class Empty:
    """An array to be written: its memory holds NaN (all bytes 0xFF)."""

    shape: tuple | int
    dtype: type = np.float32


@dataclass
class Problem:
    """kind: compile, arguments, stop (the launch ended early), race, unwritten, order, value."""

    kind: str
    text: str

    def __str__(self):
        return self.text


@dataclass
class Report:
    """What a kernel did.

    outputs   name -> array after the first launch; empty if it ended early
    problems  the worst first
    accesses  (n,) ACCESS: those to global and shared memory, in order
    """

    kernel: "Kernel" = None
    outputs: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)
    accesses: np.ndarray = field(default_factory=lambda: np.empty(0, ACCESS))
    printed: str = ""

    def of(self, name, write=None):
        """The accesses to an array; those that write (True), that read (False)."""
        a = self.accesses
        chosen = (a["argument"] == self.kernel.names.index(name)) & ~has(a, SHARED)
        return a[chosen if write is None else chosen & (has(a, WRITE) == write)]

    def bytes(self, name):
        """Bytes that threads read from and wrote to an array."""
        return tuple(int(self.of(name, w)["size"].sum(dtype=np.int64)) for w in (False, True))

    def moved(self, name):
        """Bytes that the memory moves for it: a warp's access takes whole sectors of 32 bytes."""
        sectors = (traces.by_warp(self.of(name, w))[1] for w in (False, True))
        return tuple(SECTOR * int(n.sum()) for n in sectors)

    def uncoalesced(self, name, write):
        """A sentence on the line that moves most for what it asks."""
        a = self.of(name, write)
        one, sectors, least = traces.by_warp(a)
        pcs, line = np.unique(a["pc"][one], return_inverse=True)
        worst = np.argmax(np.bincount(line, sectors - least))
        i = np.flatnonzero(line == worst)[np.argmax(sectors[line == worst])]
        return (
            f"{self.kernel.at(pcs[worst])}in one go a warp's threads {'write' if write else 'read'} "
            f"{name} in {sectors[i]} sectors of {SECTOR} bytes, {least[i]} would hold it; all in all "
            f"{SECTOR * sectors.sum() / self.outputs[name].nbytes:.3g} times the array's bytes are "
            "moved. Let neighbouring threads take neighbouring values"
        )

    def __str__(self):
        lines = [p.text for p in self.problems] or ["nothing wrong was seen"]
        for name in self.outputs:
            (read, written), moved = self.bytes(name), sum(self.moved(name))
            lines.append(f"{name}: {read} bytes read, {written} written; {moved} bytes moved")
        return "\n".join(lines)


def run(path, grid, block, args, defines=None, orders=ORDERS, seconds=5):
    """Compile the one kernel of a .cu file, or of a text, launch it once an order, and report.

    grid, block: a number or up to three. args: of the kernel's parameters in turn, NumPy arrays
    (they are copied, nothing is overwritten), Empty(...) for arrays to be written, numbers.
    defines: name -> value, as -D of a compiler. seconds: for one launch. Returns a Report, and
    raises nothing for what the kernel does wrong.
    """
    text = path if "\n" in str(path) else Path(path).read_text(encoding="utf-8")
    path = Path("kernel.cu" if text is path else path)
    try:
        kernel = compiled(path, text, tuple((defines or {}).items()))
        arrays = kernel.arguments(args)
    except modules.EmulatorError as error:
        return Report(problems=[Problem("compile", str(error))])
    except ValueError as error:
        return Report(problems=[Problem("arguments", str(error))])
    sizes = [(*np.atleast_1d(n).tolist(), 1, 1)[:3] for n in (grid, block)]
    report = Report(kernel)
    for order in orders:
        status, words, results, accesses = kernel.launch(sizes, order, seconds, arrays)
        if order == orders[0]:
            report.accesses, report.printed = accesses, words[0]
        if status:
            report.problems += [Problem("stop", kernel.why(status, words[1], accesses, arrays))]
            return report
        if order == orders[0]:
            report.outputs = results
            report.problems += kernel.look(accesses, args, arrays, results)
        else:
            report.problems += differences(report.outputs, results)
        if report.problems and order:  # one difference says it
            break
    return report


# Compiling ----------------------------------------------------------------------------------------


@cache
def compiled(path, text, defines):
    """The Kernel of a file with this text. Raises EmulatorError."""
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
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
    first = line - 1 - (" before " in said)  # what is missing may belong to the line above
    shown = [f"    {k + 1}  {text.splitlines()[k]}" for k in range(max(first, 0), line)]
    return "\n".join([f"line {line} does not compile: {said}", *shown])


# Launching ----------------------------------------------------------------------------------------


@dataclass
class Kernel:
    program: Path
    file: str
    text: str
    source: str  # text, and what is put around it
    folders: list  # -I
    name: str
    names: list  # of the parameters

    @cached_property
    def codes(self):
        """Of the parameters: cf4 pf4 i8, see tests/emulator/launch.h."""
        return _output([self.program]).split()[1:]

    def arguments(self, args):
        """args as contiguous arrays and scalars of the kernel's types. Raises ValueError."""
        if len(args) != len(self.codes):
            raise ValueError(f"{self.name} has {len(self.codes)} parameters, not {len(args)}")
        return [self._argument(*x) for x in zip(self.names, self.codes, args, strict=True)]

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
        """(exit status, (what it printed, errors), {name: array}, accesses)."""
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
        results, at = {}, 0
        for name, a in zip(self.names, arrays, strict=True):
            if a.ndim:
                results[name] = np.frombuffer(data, a.dtype, a.size, at).reshape(a.shape)
                at += a.nbytes
        accesses = np.frombuffer(data, ACCESS, offset=at)
        return done.returncode, (done.stdout, done.stderr.strip()), results, accesses

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
            base, name, size = _place(i), self.names[i], arrays[i].itemsize
        return f"{name}[{(address - base) // size}]"

    def does(self, access, arrays):
        """thread 3 of block 0 reads x[200]"""
        verb = "updates" if has(access, ATOMIC) else "writes" if has(access, WRITE) else "reads"
        return f"{_who(access)} {verb} {self.spot(access, arrays)}"

    def why(self, status, error, accesses, arrays):
        """Why a launch ended early, in a sentence."""
        if status not in (OUTSIDE, TOO_MANY, ENDLESS, CRASH):
            hints = [f"; {hint}" for said, hint in HINTS.items() if said in error]
            return "".join([error or f"the program ended with status {status}", *hints])
        last = accesses[-1]
        if status == OUTSIDE:
            i = last["argument"]
            size = f"{arrays[i].size} value{'s' * (arrays[i].size != 1)}"
            return f"{self.at(last['pc'])}{self.does(last, arrays)}; {self.names[i]} has {size}"
        if status == TOO_MANY:
            return f"{self.at(last['pc'])}four million accesses to memory: does this loop end?"
        here = self.at(last["pc"], last["barriers"])  # there the address of the last access lies
        if status == ENDLESS:
            return f"{here}the kernel does not end: {_who(last)} still runs"
        return f"{here}{_who(last)} crashes: a pointer to no array, or a division by 0"

    def look(self, a, args, arrays, results):
        """Problems of a launch that ended: races, memory that was not written, no values."""
        found = traces.race(a)
        if found:
            between, first, second = found[0], a[found[1]], a[found[2]]
            nothing = {
                "warps": "no __syncthreads() stands between",
                "lanes": "no __syncwarp() stands between",
                "blocks": "blocks run in any order",
            }[between]
            other = self.line(second["pc"])
            yield Problem(
                "race",
                f"{self.at(first['pc'])}{self.does(first, arrays)}, and "
                f"{self.does(second, arrays)} (line {other}): {nothing}",
            )
        empty = [i for i, given in enumerate(args) if isinstance(given, Empty)]
        early = traces.read_too_early(a, empty)
        if early is not None:
            words = self.does(a[early], arrays)
            yield Problem("early", f"{self.at(a[early]['pc'])}{words}, which nobody has written")
        for i in empty:
            mine = a[(a["argument"] == i) & ~has(a, SHARED)]
            done = traces.written(mine, _place(i), arrays[i].size, arrays[i].itemsize)
            name, missing = self.names[i], np.flatnonzero(~done)
            if len(missing) == done.size:
                yield Problem("empty", f"nothing is written to {name}")
            elif len(missing):
                words = f"{len(missing)} of the {done.size} values of {name} are never written"
                yield Problem("unwritten", f"{words}; the first is {name}[{missing[0]}]")
        floats = [r for r in results.values() if r.dtype.kind == "f"]
        if not all((abs(r) < 1e37).all() for r in floats) and self.without_value:
            yield Problem("value", self.without_value)

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


def _place(i):
    """The address of argument i, see watch.h."""
    return (0x100 + i) << 36 | 1 << 35


def _who(access):
    return f"thread {access['thread']} of block {access['block']}"


def differences(expected, results):
    """A Problem for the first value that another order of the threads changes."""
    for name, first in expected.items():
        bits = [x.ravel().view(f"u{x.itemsize}") for x in (first, results[name])]
        at = np.flatnonzero(bits[0] != bits[1])
        if len(at):
            values = f"{first.ravel()[at[0]]} or {results[name].ravel()[at[0]]}"
            words = f"{name}[{at[0]}] depends on the order in which threads run: {values}"
            return [Problem("order", words)]
    return []
