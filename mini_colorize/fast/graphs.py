"""CUDA graphs: work of hundreds of launches, which is the same every time, in one.

On a fast GPU Python needs longer to launch a training step's kernels than they need to run. A graph
is the list of these launches, made once and launched as a whole. So nothing may differ from one
time to the next but the contents of memory:

    arguments   arrays come by way of arrays of the graph's own, into which they are copied;
                numbers that change, such as the learning rate, lie in arrays, too
    memory      comes from a pool of the graphs' own: nobody else may ever get what they use. What
                is handed out is a copy.
    products    are called in C (see cublas.py)
    the host    reads nothing meanwhile

Nothing of this can be tested beforehand on somebody's machine. So a graph is first compared with
the plain work, and where one cannot be made, or differs, work goes on plainly and a line says why.
MINI_COLORIZE_GRAPHS=off in the environment does without.
"""

import os
import sys
from contextlib import contextmanager

import numpy as np

OFF = os.environ.get("MINI_COLORIZE_GRAPHS") == "off"
WARM = 2  # plain calls before a capture: kernels are compiled, constants made, memory is asked for
MOST = 16  # graphs at a time; with more shapes than that the oldest go


class Graphs:
    """Functions of arrays, each captured once for each shape of its arguments.

    xp: cupy; with numpy every function is just called. state: function that gives the list of
    arrays which the captured functions read and write beside their arguments. They must stay where
    they are.
    """

    def __init__(self, xp, state=list):
        self.xp, self.state = xp, state
        self.off = OFF or xp is np
        self.works = {}  # (name, shapes ...) -> _Work; the one that was asked for last at the end
        self.pool = None if self.off else xp.cuda.MemoryPool()
        self.stream = None if self.off else xp.cuda.Stream(non_blocking=True)

    def __call__(self, name, function, *arrays):
        """function(*arrays), a tuple of arrays.

        name: tells functions apart. The function must wait for nothing, and launch the same
        whatever the values are.
        """
        if self.off:
            return function(*arrays)
        key = name, *((a.shape, a.dtype.str) for a in arrays)
        with self._ours():
            work = self.works.pop(key, None) or _Work(self.xp, arrays)
            if work.calls == WARM:
                self._capture(work, function, arrays)
            results = None if self.off else work(function, arrays)
        if self.off:
            return function(*arrays)
        self.works[key] = work
        if len(self.works) > MOST:
            del self.works[next(iter(self.works))]
        return _copied(results)

    @contextmanager
    def _ours(self):
        """Work on our stream and from our pool, after the caller's work and before what follows."""
        callers = self.xp.cuda.get_current_stream()
        self.stream.wait_event(callers.record())
        with self.stream, self.xp.cuda.using_allocator(self.pool.malloc):
            yield
        callers.wait_event(self.stream.record())

    def _capture(self, work, function, arrays):
        """Make a graph and try it. If it cannot be, graphs are off, and a line says why."""
        everybodys = self.xp.get_default_memory_pool()
        try:
            with self.xp.cuda.using_allocator(everybodys.malloc):
                before = _copied(self.state())
            try:
                self._try(work, function, arrays, before, everybodys)
            finally:
                _copy(self.state(), before)
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            print(f"without CUDA graphs, which is slower: {reason}", file=sys.stderr)
            self.off, self.works = True, {}
        del before
        everybodys.free_all_blocks()  # as much as all the state was set aside, twice

    def _try(self, work, function, arrays, before, everybodys):
        """Raises ValueError unless the graph does to results and state what the function does."""
        results = work(function, arrays)
        with self.xp.cuda.using_allocator(everybodys.malloc):
            plain = _copied((*results, *self.state()))
        del results
        work.capture(function, self.stream, self.pool)
        _copy(self.state(), before)
        graphs = *work(function, arrays), *self.state()
        with self.xp.cuda.using_allocator(everybodys.malloc):
            if not all(bool((a == b).all()) for a, b in zip(plain, graphs, strict=True)):
                raise ValueError("a graph gave other numbers than its launches one by one")


class _Work:
    """A function for arrays of certain shapes: the arrays that it reads, and in the end its graph."""

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

    def capture(self, function, stream, pool):
        """The plain calls have asked for all the memory. Raises RuntimeError if that was not all."""
        held = pool.total_bytes()
        stream.begin_capture()
        try:
            self.results = function(*self.inputs)
        finally:
            graph = stream.end_capture()
        if pool.total_bytes() != held:
            raise RuntimeError("memory was asked for during the capture")
        self.graph = graph


def _copied(arrays):
    return tuple(a.copy() for a in arrays)


def _copy(arrays, values):
    for array, value in zip(arrays, values, strict=True):
        array[...] = value
