"""Is a student's CUDA kernel right, and does it read no more than it must?

A kernel is run for each case by course/cuda.py. First comes what went wrong in the launch: an index
outside of an array, a race, a barrier that some miss. Then its values are compared with the NumPy
twin's and explained, as in all chapters (check.py). At last the bytes are counted: each value of
the large arrays is read once and written once, and neighbouring threads take neighbouring values.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .check import UNWRITTEN, Exercise, Wrong
from .cuda import run
from .launches import why_unavailable, without_comments

SMALL = 1024  # bytes: nobody cares how an array of this size is moved


@dataclass
class Values(Exercise):
    """The comparison with the twin. last_only: what is said if only the last case fails."""

    last_only: str = ""

    def _explained(self, name, axes, failed):
        said = super()._explained(name, axes, failed)
        only = self.last_only and len(failed) == 1 and failed[0][0] is self.cases[-1]
        return self.last_only if only else said


@dataclass
class KernelExercise:
    """A kernel to write.

    file, name, outputs, cases, mistakes, tolerance: as of an Exercise; outputs are arrays of the
    kernel. last_only: as of Values. twin: gives what is right, of a case. launch: gives grid, block and arguments, of a case.
    once: arrays each of whose values is read at most once; outputs are written at most once. per:
    what bytes are counted by, (word, function of a case that gives their number). solution: a .cu.
    """

    file: str
    name: str
    solution: object
    twin: Callable
    outputs: dict
    cases: list
    launch: Callable
    once: tuple
    per: tuple
    mistakes: dict = field(default_factory=dict)
    tolerance: float = 1e-5
    last_only: str = ""

    def verdict(self, folder, before=None):
        """As of an Exercise; a kernel calls no other."""
        path = folder / self.file
        try:
            self.check(path)
        except Wrong as wrong:
            return str(wrong)
        return None

    def check(self, path):
        """Raises Wrong if the kernel in a file is not right in every case."""
        if not path.is_file():
            raise Wrong(f"there is no file {path}")
        if unwritten(path.read_text(encoding="utf-8")):
            raise Wrong(UNWRITTEN)
        if why_unavailable():
            raise Wrong(f"it cannot be checked here: {why_unavailable()}")
        reports = [self._run(path, case) for case in self.cases]
        remaining = iter(reports)

        def answer(**case):
            outputs = next(remaining).outputs
            found = [outputs[name] for name in self.outputs]
            return found if len(found) > 1 else found[0]

        Values(
            self.file, self.name, answer, self.twin, self.outputs, self.cases,
            mistakes=self.mistakes, tolerance=self.tolerance, last_only=self.last_only,
        ).check(answer)  # fmt: skip
        for case, report in list(zip(self.cases, reports, strict=True))[::-1]:  # the largest first
            self._count(case, report)

    def _run(self, path, case):
        grid, block, args = self.launch(**case)
        report = run(path, grid, block, args)
        if report.problems:
            sizes = [f"{k} {v.shape}" for k, v in case.items() if isinstance(v, np.ndarray)]
            launch = f"launched with grid {grid}, block {block}; {', '.join(sizes)}"
            raise Wrong(f"{report.problems[0]}\n{launch}")
        missing = [name for name in self.outputs if name not in report.outputs]
        if missing:
            raise Wrong(f"the kernel has no parameter {missing[0]}: leave its signature as it was")
        return report

    def _count(self, case, report):
        word, count = self.per
        for name in dict.fromkeys((*self.once, *self.outputs)):
            size = report.outputs[name].nbytes
            for write, verb in ((False, "read"), (True, "written")):
                if name not in (self.outputs if write else self.once):
                    continue
                done = report.bytes(name)[write]
                if done > 1.01 * size:
                    each, least = done / count(**case), size / count(**case)
                    words = f"each value of {name} is {verb} {done / size:.3g} times"
                    raise Wrong(f"{words}: {each:.7g} bytes a {word}; {least:.7g} are enough")
                if size > SMALL and report.moved(name)[write] > 2.5 * size:
                    raise Wrong(report.uncoalesced(name, write))


def unwritten(text):
    """Whether the body of the kernel holds nothing but comments."""
    return re.search(r"\)\s*\{\s*\}\s*$", without_comments(text)) is not None
