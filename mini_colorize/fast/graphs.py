"""CUDA graphs: work of hundreds of launches, which is the same every time, in one.

On a fast GPU Python needs longer to launch a training step's kernels than they need to run. A graph
is the list of these launches, made once and launched as a whole. So nothing may differ from one
time to the next but the contents of memory:

    arguments   arrays come by way of arrays of the graph's own, into which they are copied;
                numbers that change, such as the learning rate, lie in arrays, too
    memory      comes from a pool that gives nothing back and to nobody else, with all that is made
                on the way and kept, such as constants. What is handed out is a copy
    products    are called in C (see cublas.py)
    the host    reads nothing meanwhile

Nothing of this can be tested beforehand on somebody's machine. So a graph is first compared with
the plain work, and where one cannot be made, or differs, work goes on plainly and a line says why.
MINI_COLORIZE_GRAPHS=off in the environment does without.
"""

import sys
from contextlib import contextmanager, suppress
from functools import cache
from threading import RLock

from ..backend import gpu_number
from ..switches import NO_GRAPHS
from .memory import whole

WARM = 2  # plain calls before a capture: kernels are compiled, constants made, memory is asked for
MOST = 16  # graphs at a time; with more shapes than that the oldest go


@cache
def _room(xp, device):
    """Where all graphs of a device live, for good: their stream, pool and lock."""
    return _Room(xp)


class _Room:
    def __init__(self, xp):
        self.xp, self.lock = xp, RLock()
        self.stream = xp.cuda.Stream(non_blocking=True)
        # To the pool the memory of a graph's temporaries is free. So it must never be given back to
        # the device, as a pool does when the device has no more, or a limit is reached.
        self.pool = xp.cuda.MemoryPool(self._ask)
        self.pool.set_limit(size=0)
        self.handed_out = None  # event after which results have been copied

    def _ask(self, nbytes):
        """Memory for the pool; if there is none, with that which the pool of all can spare."""
        cuda, everybodys = self.xp.cuda, self.xp.get_default_memory_pool()
        for _ in range(2):
            try:
                return cuda.MemoryPointer(cuda.Memory(nbytes), 0)
            except cuda.runtime.CUDARuntimeError:
                everybodys.free_all_blocks()
        total = self.pool.total_bytes() + everybodys.total_bytes()
        raise cuda.memory.OutOfMemoryError(nbytes, total)  # at CUDA's, the pool would free its own

    @contextmanager
    def entered(self):
        """Work on the stream and from the pool, after the caller's work and before what follows."""
        callers = self.xp.cuda.get_current_stream()
        self.stream.wait_event(callers.record())
        if self.handed_out is not None:
            self.stream.wait_event(self.handed_out)
        try:
            with self.stream, self.xp.cuda.using_allocator(self.pool.malloc):
                yield
        finally:
            callers.wait_event(self.stream.record())

    def outside(self):
        """Within `entered`: memory comes from the pool of all."""
        return self.xp.cuda.using_allocator(self.xp.get_default_memory_pool().malloc)


class Graphs:
    """Functions of arrays, each captured once for each shape of its arguments.

    xp: cupy; with numpy every function is just called. state: function that gives the list of
    arrays which the captured functions read and write beside their arguments. They must stay where
    they are. all_of: what makes of a value the list of the values of all processes of a team.
    """

    def __init__(self, xp, state=list, all_of=lambda value: [value]):
        self.xp, self.state, self.all_of = xp, state, all_of
        self.works = {}  # (name, shapes ...) -> _Work; the one that was asked for last at the end
        gpu = None if NO_GRAPHS else gpu_number(xp)
        self.room = None if gpu is None else _room(xp, gpu)
        self.why_not = None  # one line, once a graph could not be made
        self.several, self.midway = len(all_of(None)) > 1, False

    def __call__(self, name, function, *arrays):
        """function(*arrays), a tuple of arrays.

        name: tells functions apart. The function must wait for nothing, and launch the same
        whatever the values are.
        """
        if self.room is None:
            return function(*arrays)
        key = name, *((a.shape, a.dtype.str) for a in arrays)
        with self.room.lock:
            with self.room.entered():
                work = self.works.pop(key, None) or _Work(self.xp, arrays)
                if work.calls == WARM and not self.why_not:
                    self._capture(work, function, arrays)
                results = work(function, arrays)
            self.works[key] = work
            if len(self.works) > MOST:
                del self.works[next(iter(self.works))]
            results = _copied(results)
            self.room.handed_out = self.xp.cuda.get_current_stream().record()
        return results

    def _capture(self, work, function, arrays):
        """Make a graph and try it. If it cannot be, a line says so, and all goes plainly. But for
        several processes there is no way back from the midst of a function: the others are in it.
        """
        before = ()
        try:
            with self.room.outside():
                before = self._everywhere(lambda: _copied(self.state()))
            self._try(work, function, arrays, before)
        except Exception as error:
            if self.several and self.midway:
                raise
            work.graph = work.results = None
            self.why_not = " ".join(str(error).split())[:200] or type(error).__name__
            print(f"without CUDA graphs, which is slower: {self.why_not}", file=sys.stderr)
        finally:
            if before:
                _copy(self.state(), before)
        del before
        self.xp.get_default_memory_pool().free_all_blocks()  # all the state was aside, twice

    def _try(self, work, function, arrays, before):
        """Raises ValueError unless the graph does to results and state what the function does."""
        results = self._called(work, function, arrays)
        with self.room.outside():
            plain = self._everywhere(lambda: _copied((*results, *self.state())))
        del results  # their memory is the graph's
        self._everywhere(lambda: work.capture(function, self.room.stream))
        _copy(self.state(), before)
        results = self._called(work, function, arrays)

        def compared():
            for a, b in zip(plain, (*results, *self.state()), strict=True):
                if not bool(((a == b) | ((a != a) & (b != b))).all()):
                    raise ValueError("a graph gave other numbers than its launches one by one")

        with self.room.outside():
            self._everywhere(compared)

    def _called(self, work, function, arrays):
        self.midway = True
        results = work(function, arrays)
        self.midway = False
        return results

    def _everywhere(self, work):
        """work(). Raises if it fails here, or in another process of the team: a graph in which they
        sum something is launched by all or by none."""
        failure = made = None
        try:
            made = work()
        except Exception as error:
            failure = error
        if any(self.all_of(failure is not None)):
            raise failure or ValueError("another process could not make its graph")
        return made


class _Work:
    """A function for arrays of certain shapes: the arrays it reads, and in the end its graph."""

    def __init__(self, xp, arrays):
        self.inputs = [xp.empty_like(a) for a in arrays]
        self.calls, self.graph, self.results = 0, None, None

    def __call__(self, function, arrays):
        _copy(self.inputs, arrays)
        self.calls += 1
        if self.graph is None:
            return function(*self.inputs)
        self.graph.launch()  # on the current stream
        return self.results

    def capture(self, function, stream):
        stream.begin_capture()
        try:
            results = function(*self.inputs)
        except BaseException:
            with suppress(Exception):  # the first reason counts
                stream.end_capture()
            raise
        self.graph, self.results = stream.end_capture(), results


def _copied(arrays):
    return tuple(_copy_of(a) for a in arrays)


def _copy_of(array):
    rows = whole(array)
    return rows.copy() if rows is array else rows.copy()[..., : array.shape[-1]]


def _copy(arrays, values):
    for array, value in zip(arrays, values, strict=True):
        array[...] = value
