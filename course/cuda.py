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

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import traces
from .launches import Empty, Kernel, compiled, modules, place, who
from .traces import ACCESS, SECTOR, SHARED, WRITE, has

__all__ = ["Empty", "Problem", "Report", "run"]
ORDERS = 0, 1, 2, 3  # threads and blocks rise, fall, two shuffles
ERROR, OUTSIDE, TOO_MANY, ENDLESS, CRASH = range(3, 8)  # exit status of the program
HINTS = {
    "inactive lane": "a lane that is read from must be in the mask and run the same line",
    "not in its mask": "a lane that runs this line must be in the mask",
    "exited without": "all threads of a block must come to a __syncthreads(): no `if` around it that "
    "some do not enter, no return before it",
}  # to what the emulator says


@dataclass
class Problem:
    """kind: compile, arguments, stop (the launch ended early), race, early (read before it was
    written), empty, unwritten (outputs), value (a variable without one), order."""

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

    kernel: Kernel | None = None
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
    sizes = [(*np.atleast_1d(n).tolist(), 1, 1)[:3] for n in (grid, block)]
    try:
        kernel = compiled(path, text, tuple((defines or {}).items()))
        arrays = kernel.arguments(sizes, args)
    except modules.EmulatorError as error:
        return Report(problems=[Problem("compile", str(error))])
    except ValueError as error:
        return Report(problems=[Problem("arguments", str(error))])
    report = Report(kernel)
    for order in orders:
        done = kernel.launch(sizes, order, seconds, arrays)
        if order == orders[0]:
            report.accesses, report.printed = done.accesses, done.printed
        if done.status:
            report.problems += [Problem("stop", why_it_stopped(kernel, done, arrays))]
        elif order == orders[0]:
            report.outputs = done.arrays
            report.problems += look(kernel, args, arrays, done)
        else:
            report.problems += differences(report.outputs, done.arrays)
        if report.problems:
            break
    return report


def why_it_stopped(kernel, done, arrays):
    """Why a launch ended early, in a sentence."""
    if done.status not in (OUTSIDE, TOO_MANY, ENDLESS, CRASH):
        hints = [f"; {hint}" for said, hint in HINTS.items() if said in done.errors]
        return "".join([done.errors or f"the program ended with status {done.status}", *hints])
    last = done.accesses[-1]
    if done.status == OUTSIDE:
        i = last["argument"]
        size = f"{arrays[i].size} value{'s' * (arrays[i].size != 1)}"
        return f"{kernel.at(last['pc'])}{kernel.does(last, arrays)}; {kernel.names[i]} has {size}"
    if done.status == TOO_MANY:
        return f"{kernel.at(last['pc'])}four million accesses to memory: does this loop end?"
    here = kernel.at(last["pc"], last["barriers"])  # there the address of the last access lies
    if done.status == ENDLESS:
        return f"{here}the kernel does not end: {who(last)} still runs"
    why = "a pointer to no array, a division by 0, or 256 kB of local variables"
    return f"{here}{who(last)} crashes: {why}"


def look(kernel, args, arrays, done):
    """Problems of a launch that ended: races, memory that was not written, no values."""
    a = done.accesses
    found = traces.race(a)
    if found:
        between, first, second = found[0], a[found[1]], a[found[2]]
        nothing = {
            "warps": "no __syncthreads() stands between",
            "lanes": "no __syncwarp() stands between",
            "blocks": "blocks run in any order",
        }[between]
        if has(first, WRITE) and has(second, WRITE):
            nothing += "; are two threads to write the same value, or is an index wrong?"
        other = kernel.line(second["pc"])
        yield Problem(
            "race",
            f"{kernel.at(first['pc'])}{kernel.does(first, arrays)}, and "
            f"{kernel.does(second, arrays)} (line {other}): {nothing}",
        )
    empty = [i for i, given in enumerate(args) if isinstance(given, Empty)]
    early = traces.read_too_early(a, empty)
    if early is not None:
        words = kernel.does(a[early], arrays)
        yield Problem("early", f"{kernel.at(a[early]['pc'])}{words}, which nobody has written")
    for i in empty:
        mine = a[(a["argument"] == i) & ~has(a, SHARED)]
        written = traces.written(mine, place(i), arrays[i].size, arrays[i].itemsize)
        name, missing = kernel.names[i], np.flatnonzero(~written)
        if len(missing) == written.size:
            yield Problem("empty", f"nothing is written to {name}")
        elif len(missing):
            words = f"{len(missing)} of the {written.size} values of {name} are never written"
            yield Problem("unwritten", f"{words}; the first is {name}[{missing[0]}]")
    floats = [r for r in done.arrays.values() if r.dtype.kind == "f"]
    if not all((abs(r) < 1e37).all() for r in floats) and kernel.without_value:
        yield Problem("value", kernel.without_value)


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
