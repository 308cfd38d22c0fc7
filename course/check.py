"""Is an answer right; and if not, what is wrong with it?

An exercise is a function that a student writes. It is called with cases, the smallest first, and
what it returns is compared with an oracle: loops, central differences, a formula from elsewhere.
Where it differs, three things are tried in turn, and an explanation counts only if it holds for
every case that failed:

    mistakes   wrong answers that people give: is this one of them?
    terms      the right answer is a sum of terms: which of them are missing, or have a factor?
    views      what can be seen from outside: shape, sign, order of axes, border, first picture

The planted wrong answers that test all this are in tests/planted.
"""

import contextlib
import copy
import functools
import importlib.util
import inspect
import io
import itertools
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Number

import numpy as np

PICTURES = ("picture", "row", "column", "channel")
FILTERS = ("row of the filter", "column of the filter", "input channel", "output channel")
CHANNELS = ("channel",)
UNWRITTEN = "not written yet"
UNKNOWN = "no known mistake"
LIMIT = 20  # seconds for an exercise
FAULTS = (Exception, SystemExit, KeyboardInterrupt)  # what an answer may raise


class Wrong(Exception):
    """What is wrong with an answer: one or more lines for the student."""


class Stopped(BaseException):
    """The time is over, or somebody has pressed Ctrl-C; no `except Exception` holds it up."""


@dataclass
class Exercise:
    """A function to write, and all that is known of it.

    file, name: where the function is written, and what it is called. solution: the package's own,
    which must pass as well. oracle: gives what is right, in the order of `outputs`. outputs: name
    -> names of its axes; () for a number. cases: dicts of arguments, the smallest first; the arrays
    of a case are never changed.
    mistakes: output -> list of (sentence, function of a case that gives the wrong output).
    terms: output -> function of a case that gives {name: term}, of which the output is the sum.
    tolerance: of the largest number of the right output.
    seen: where many answers are right, what of them is compared: a function of what is returned and
    of the case, which may raise Wrong. The oracle and the mistakes then give this.
    order: the outputs in the order in which they are looked at, causes before what they cause.
    properties: where there are many right answers: functions of an answer, each of which gives a
    sentence if something does not hold, else None; oracle, outputs and cases may then be empty.
    """

    file: str
    name: str
    solution: Callable
    oracle: Callable
    outputs: dict[str, tuple[str, ...]]
    cases: list[dict]
    mistakes: dict[str, list[tuple[str, Callable]]] = field(default_factory=dict)
    terms: dict[str, Callable] = field(default_factory=dict)
    tolerance: float = 1e-6
    seen: Callable | None = None
    order: tuple[str, ...] = ()
    properties: list[Callable] = field(default_factory=list)
    _known: dict = field(default_factory=dict, repr=False)  # what the oracle gave

    def verdict(self, folder, before=None):
        """None if the answer in a folder is right, else what is wrong with it, in lines.

        before: name -> verdict of the exercises already checked, which this answer may call.
        """
        printed, answer = Printed(), None
        try:
            with watched(), contextlib.redirect_stdout(printed):
                answer = getattr(load(folder / self.file), self.name, None)
                if not callable(answer):
                    return f"there is no function {self.name} in {self.file}"
                self.check(answer)
        except Wrong as wrong:
            said = str(wrong)
        else:
            return None
        for name in getattr(getattr(answer, "__code__", None), "co_names", ()):
            if (before or {}).get(name):
                if before[name] == UNWRITTEN:
                    return f"it calls your {name}, which is {UNWRITTEN}: write that first"
                return f"it calls your {name}, which is not right yet: mend that first\n{said}"
        return "\n".join([said, *printed.lines()]) if said != UNWRITTEN else said

    def check(self, answer):
        """Raises Wrong if `answer`, a function, is not right in every case."""
        for holds in self.properties:
            if said := holds(guarded(answer)):
                raise Wrong(said)
        tried = [(case, self._returned(answer, case)) for case in self.cases]
        names = list(self.outputs)
        for name in self.order or names:
            at, axes = names.index(name), self.outputs[name]
            rows = [(case, got[at], self._right(case)[at]) for case, got in tried]
            failed = [row for row in rows if not close(*row[1:], self.tolerance)]
            if not failed:
                continue
            case, got, want = failed[0]
            finite = [row for row in failed if np.isfinite(row[1]).all()]
            why = self._explained(name, axes, failed)
            if why == UNKNOWN and finite:  # an overflow on top of it hides no mistake
                why = self._explained(name, axes, finite)
            lines = [f"{name} is wrong: {why}" if len(self.outputs) > 1 else f"wrong: {why}"]
            raise Wrong("\n".join([*lines, *self._shown(case), *compared(name, got, want)]))

    def _shown(self, case):
        number = next((i for i, known in enumerate(self.cases) if known is case), None)
        lines, all_of_it = shown(case)
        if not all_of_it and number is not None:
            chapter = int(self.file[:2])
            lines.append(
                f'  in Python: from course import case; case({chapter}, "{self.name}", {number})'
            )
        return lines

    def _right(self, case):
        if id(case) not in self._known:
            self._known[id(case)] = listed(self.oracle(**case), self.outputs)
        return self._known[id(case)]

    def _returned(self, answer, case):
        """What the answer gives for a case, a list, one for each output."""
        given = copy.deepcopy(case)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                returned = answer(**given)
                if inspect.isgenerator(returned):
                    returned = list(returned)
        except NotImplementedError:
            raise Wrong(UNWRITTEN) from None
        except FAULTS as error:
            raise Wrong("\n".join([raised(answer, error), *self._shown(case)])) from None
        for name, before in case.items():
            after = given[name]
            if isinstance(before, np.ndarray) and not (
                after.shape == before.shape and close(after, before, 1e-12)
            ):
                raise Wrong(
                    f"it overwrites its argument {name}: work on a copy, or put back what was there"
                )
        if self.seen:
            returned = self.seen(returned, **copy.deepcopy(case))
        found = listed(returned, self.outputs)
        if found is None:
            n, wanted = len(self.outputs), ", ".join(self.outputs)
            wanted = (
                f"wanted are {n} values: {wanted}" if n > 1 else f"wanted is one value: {wanted}"
            )
            raise Wrong(f"it returns {described(returned)}; {wanted}")
        for at, (name, axes) in enumerate(self.outputs.items()):
            got, want = found[at], self._right(case)[at]
            if kind := odd(got):
                raise Wrong(
                    f"{name} holds numbers of type {kind}; wanted are real ones: float(...), or .real"
                )
            if got.dtype.kind not in "fiub":
                raise Wrong(f"{name} is {described(returned)}, not numbers; is there a return?")
            if want.ndim == 0 and got.size == 1:  # an array of one number is a number
                got = found[at] = got.reshape(())
            if got.shape != want.shape:
                why = [
                    s for s, f in self.mistakes.get(name, ()) if self._explains(f, name, case, got)
                ]
                raise Wrong(
                    "\n".join([reshaped(name, axes, got, want), *why[:1], *self._shown(case)])
                )
        return found

    def _explained(self, name, axes, failed):
        for sentence, mistake in self.mistakes.get(name, ()):
            if all(self._explains(mistake, name, case, got) for case, got, _ in failed):
                return sentence
        if name in self.terms and (found := fitted(self.terms[name], failed, self.tolerance)):
            return found
        for i, other in enumerate(self.outputs):
            pairs = [(got, self._right(case)[i]) for case, got, _ in failed]
            if all(a.shape == b.shape and close(a, b, self.tolerance) for a, b in pairs):
                names = ", ".join(self.outputs)
                return f"{other} stands in its place; wanted are, in this order, {names}"
        if found := self._constant(name, failed):
            return found
        for view in VIEWS:
            with np.errstate(all="ignore"):
                found = [view(got, want, axes, self.tolerance) for _, got, want in failed]
            if found[0] and all(sentence == found[0] for sentence in found):
                return found[0]
        return UNKNOWN

    def _constant(self, name, failed):
        """A sentence if an argument that is a number is taken to be the same in all cases."""
        at = list(self.outputs).index(name)
        numbers = {
            key: sorted({case[key] for case in self.cases})
            for key in (self.cases[0] if self.cases else ())
            if all(type(case.get(key)) in (int, float) for case in self.cases)
        }
        for key, values in numbers.items():
            for value in values:

                def mistake(key=key, value=value, **case):
                    try:
                        return listed(self.oracle(**{**case, key: value}), self.outputs)[at]
                    except Exception as error:  # these arguments do not go together
                        raise ValueError(key) from error

                if all(self._explains(mistake, name, case, got) for case, got, _ in failed):
                    return f"{key} is taken to be {value:g}: it is an argument"
        return None

    def _explains(self, mistake, name, case, got):
        try:
            with np.errstate(all="ignore"):
                value = np.asarray(mistake(**copy.deepcopy(case)))
        except ValueError:  # a mistake that this case does not admit
            return False
        return value.shape == got.shape and close(got, value, self.tolerance)


def guarded(answer):
    """An answer whose exceptions are lines for the student."""

    @functools.wraps(answer)
    def called(*args, **options):
        try:
            return answer(*args, **options)
        except NotImplementedError:
            raise Wrong(UNWRITTEN) from None
        except FAULTS as error:
            raise Wrong(raised(answer, error)) from None

    return called


def verdicts(exercises, folder):
    """Yields each exercise and what is wrong with its answer, None if nothing is."""
    before = {}
    for exercise in exercises:
        before[exercise.name] = exercise.verdict(folder, before)
        yield exercise, before[exercise.name]


@contextlib.contextmanager
def watched():
    """Students' code inside may take LIMIT seconds (on Linux and macOS, in the main thread)."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number, frame):
        raise Stopped(number)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGINT)}
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 1)  # again each second: `except:` may catch one
    try:
        yield
    except Stopped as stopped:
        if stopped.args == (signal.SIGINT,):
            raise KeyboardInterrupt from None
        raise Wrong(f"it takes longer than {LIMIT} s: an endless loop?") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)


class Printed(io.TextIOBase):
    """Keeps the first lines of what an answer prints, and drops the rest."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text = (self.text + text)[:1000]
        return len(text)

    def lines(self):
        lines = self.text.splitlines()
        if lines:
            yield "what it prints begins:"
            yield from (f"  {line[:100]}" for line in lines[:4])


def close(got, want, tolerance):
    """Whether two arrays of one shape agree; integers and truth values exactly, NaN with NaN."""
    if want.dtype.kind in "iub":
        return np.array_equal(got, want)
    unlike = np.isfinite(got) != np.isfinite(want)
    if unlike.any() or not np.array_equal(got[~np.isfinite(got)], want[~np.isfinite(want)], True):
        return False
    got, want = (np.where(np.isfinite(v), v, 0).astype(np.float64) for v in (got, want))
    return bool((abs(got - want) <= tolerance * max(abs(want).max(initial=0), 1e-6)).all())


def listed(returned, outputs):
    """A returned value as a list of arrays, one for each output; None if that cannot be."""
    if len(outputs) == 1:
        returned = (returned,)
    elif isinstance(returned, np.ndarray) and len(set(map(len, outputs.values()))) == 1:
        # The outputs have equally many axes, and this may be an array of them.
        returned = (
            list(returned) if returned.ndim == 1 + len(next(iter(outputs.values()))) else None
        )
    if not isinstance(returned, tuple | list) or len(returned) != len(outputs):
        return None
    try:
        return [np.asarray(value) for value in returned]
    except ValueError:  # lists of lists of several lengths
        return None


# What is said of a case -------------------------------------------------------------------------


def shown(case):
    """The input, in lines: whole where it is small. And whether that is all of it."""
    lines, all_of_it = ["the smallest input that shows it:"], True
    for name, value in case.items():
        if isinstance(value, np.ndarray) and value.ndim:
            whole = value.round(4) + 0.0 if value.dtype.kind == "f" else value  # no -0.0
            small = value.size <= 24
            numbers = f": {whole.tolist()}" if small else ""
            lines.append(f"  {name}, {value.shape} {value.dtype}{numbers}")
            all_of_it = all_of_it and small
        else:
            lines.append(f"  {name} = {value.__name__ if callable(value) else value}")
    return lines, all_of_it


def compared(name, got, want):
    """The place that is furthest off."""
    finite = np.isfinite(got) & np.isfinite(want)
    off = abs(np.where(finite, got, 0) - np.where(finite, want, 0.0))
    at = np.unravel_index(np.where(finite, off, np.inf).argmax(), got.shape)
    place = f"{name}[{', '.join(map(str, at))}]" if at else name
    yield f"{place}: yours {got[at]:.6g}, right {want[at]:.6g}"


def described(value):
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    return "None" if value is None else f"a {type(value).__name__}"


def line_of(error, file):
    """The last line of a file that an exception went through, or None."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


def raised(answer, error):
    """An exception in a student's function: its kind, text and line."""
    line = line_of(error, inspect.getsourcefile(answer))
    where = f" in line {line}" if line else " when it is called"
    text = f"{type(error).__name__}{where}: {error}"
    if isinstance(error, TypeError) and "unexpected keyword argument" in text and not line:
        return text + "; arguments are passed by name: keep the names"
    if isinstance(error, SystemExit):
        return text + "; an answer returns, and does not end the program"
    return text


def odd(values):
    """The name of the type of values that are numbers and not floats, such as complex, or None."""
    if values.dtype.kind == "c":
        return "complex"
    first = values.flat[0] if values.dtype.kind == "O" and values.size else None
    return type(first).__name__ if isinstance(first, Number) else None


def reshaped(name, axes, got, want):
    text = f"{name} has the shape {got.shape}, wanted is {want.shape}"
    if axes:
        text += f": {', '.join(axes)}"
    if got.shape == want.shape[::-1] and got.ndim == 2:
        return text + "; is it transposed?"
    if got.ndim == want.ndim and sorted(got.shape) == sorted(want.shape):
        return text + "; its axes are in another order"
    return text


# Explanations -----------------------------------------------------------------------------------


def fitted(terms, failed, tolerance):
    """The answer as a sum of the right one's terms, each times a factor; None if it is none.

    First with factors that are the same in all cases; then with some of each case's own, such as a
    count of pixels, of which the first is said.
    """
    rows = []
    for case, got, _ in failed:
        parts = terms(**case)
        columns = [np.broadcast_to(v, got.shape).ravel() for v in parts.values()]
        rows.append((np.stack(columns, axis=1).astype(np.float64), got.ravel().astype(np.float64)))
    pooled = [tuple(map(np.concatenate, zip(*rows, strict=True)))]
    for groups in (pooled, rows):
        said = []
        for matrix, got in groups:
            size = len(matrix), matrix.shape[1]
            if not np.isfinite(got).all() or size[0] <= size[1]:
                continue  # too small a case to tell the terms apart
            factors, _, rank, _ = np.linalg.lstsq(matrix, got, rcond=1e-9)
            if rank < size[1] or not close(matrix @ factors, got, tolerance):
                break
            named = zip(parts, factors, strict=True)
            said.append(" and ".join(spoken(k, c) for k, c in named if abs(c - 1) > 1e-4))
        else:
            if said and said[0]:
                return said[0]
    return None


def spoken(term, factor):
    if abs(factor) < 1e-4:
        return f"the term {term} is missing"
    if abs(factor + 1) < 1e-4:
        return f"the term {term} has the wrong sign"
    return f"the term {term} is {times(factor)}"


def times(factor):
    words = {0.5: "half of", 2: "twice"}
    often = next((w for c, w in words.items() if abs(factor / c - 1) < 1e-4), f"{factor:.4g} times")
    return f"{often} what it should be"


def not_finite(got, want, axes, tolerance):
    if not np.isfinite(got[np.isfinite(want)]).all():
        return "some of it is not a finite number (an overflow, 0/0, the logarithm of 0?)"


def no_truth_value(got, want, axes, tolerance):
    if want.dtype.kind == "b" and got.dtype.kind == "f":
        return "True or False is wanted, and this is a number"


def nothing(got, want, axes, tolerance):
    if not got.any():
        return "it is 0 everywhere"


def factor(got, want, axes, tolerance):
    norm = (want.astype(np.float64) ** 2).sum()
    c = (got * want).sum() / norm if norm else 0
    if abs(c) > 1e-9 and abs(c - 1) > 1e-3 and close(got / c, want, tolerance):
        return "it has the wrong sign" if abs(c + 1) < 1e-4 else f"it is {times(c)}"


def nearly(got, want, axes, tolerance):
    off = abs(got - want.astype(np.float64)).max(initial=0)
    if off <= 100 * tolerance * abs(want).max(initial=0):
        return (
            "only its first digits are right: is it rounded, in float32, or a small number wrong?"
        )


def offset(got, want, axes, tolerance):
    off = np.asarray(got - want.astype(np.float64))
    if off.size > 1 and np.ptp(off) <= tolerance * abs(want).max():
        return f"everything is too large by {off.flat[0]:.4g}"


def first_only(got, want, axes, tolerance):
    for i, axis in enumerate(axes):
        if want.shape[i] > 1:
            one = [slice(None)] * want.ndim
            for at, word in ((0, "first"), (want.shape[i] - 1, "last")):
                one[i] = slice(at, at + 1)
                if want[tuple(one)].any() and close(got[tuple(one)], want[tuple(one)], tolerance):
                    return f"it is right for the {word} {axis} only"


def flipped(got, want, axes, tolerance):
    long = [i for i in range(len(axes)) if want.shape[i] > 1]
    for n in range(1, len(long) + 1):
        for some in itertools.combinations(long, n):
            if close(np.flip(got, some), want, tolerance):
                if n == 1 and want.shape[some[0]] == 2 and " or " in axes[some[0]]:
                    return f"{axes[some[0]].replace(' or ', ' and ')} are exchanged"
                return f"it is flipped along the axis {' and '.join(axes[i] for i in some)}"


def exchanged(got, want, axes, tolerance):
    for i, j in itertools.combinations(range(len(axes)), 2):
        if want.shape[i] == want.shape[j] and close(np.swapaxes(got, i, j), want, tolerance):
            return f"the axes {axes[i]} and {axes[j]} are exchanged"


def reordered(got, want, axes, tolerance):
    for i, axis in enumerate(axes if want.dtype.kind != "b" else ()):
        if want.shape[i] > 1 and close(np.sort(got, i), np.sort(want, i), tolerance):
            return f"the right numbers along the axis {axis}, in another order"


def border(got, want, axes, tolerance):
    if "row" in axes and "column" in axes:
        inside = tuple(slice(1, -1) if a in ("row", "column") else slice(None) for a in axes)
        if want[inside].size and want[inside].any() and close(got[inside], want[inside], tolerance):
            return "it is right inside the picture, and wrong at its border"


VIEWS = [
    not_finite, no_truth_value, nothing, nearly, factor, offset, flipped, exchanged, first_only,
    reordered, border,
]  # fmt: skip


# Mistakes ---------------------------------------------------------------------------------------


def combined(make, **steps):
    """Mistakes in one step of a computation, and those in two of its steps at once.

    make(**options): the computation, a function of a case, with some steps replaced. steps: name of
    an option -> list of (sentence, what replaces it). Returns a list of (sentence, function).
    """
    single = [(name, *mistake) for name, mistakes in steps.items() for mistake in mistakes]
    found = [(sentence, make(**{name: option})) for name, sentence, option in single]
    for (name, sentence, option), (other, then, second) in itertools.combinations(single, 2):
        if name != other:
            found.append((f"{sentence}; and {then}", make(**{name: option, other: second})))
    return found


# Oracles ----------------------------------------------------------------------------------------


def numeric_gradient(f, x, eps=1e-6):
    """Central differences: the gradient of f(x), a number, with respect to each number of x.

    x: float64, of any shape; it is not changed. Returns x's shape, good to about 9 digits.
    """
    gradient = np.zeros_like(x)
    for at in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[at] = eps
        gradient[at] = (f(x + step) - f(x - step)) / (2 * eps)
    return gradient


# Files ------------------------------------------------------------------------------------------


def load(path):
    """A student's file as a module. Raises Wrong if it is not there or cannot be run."""
    if not path.is_file():
        raise Wrong(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"answers_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise Wrong(f"{path}, line {error.lineno}: {error.msg}") from None
    except FAULTS as error:
        line = line_of(error, str(path))
        where = f", line {line}" if line else ""
        raise Wrong(f"{path}{where}: {type(error).__name__}: {error}") from None
    return module
