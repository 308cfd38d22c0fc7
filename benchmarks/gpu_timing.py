"""Time and memory on the device, for both sides alike: CuPy and torch work on the default stream,
so one pair of CUDA events around either measures it.

Three times of a piece of work:
    each    calls follow one another, as in real use; waits for the host are in it. Median
    device  the same queued behind other work, so that the host is ahead and only the device counts.
            Median
    host    how long a call takes to return meanwhile: where it exceeds `device`, the host is the
            limit. The least, since a call may also wait for room in the queue
"""

import math
import statistics
import time
from collections import defaultdict
from unittest import mock

from benchmarks.watch import Watch
from mini_colorize import backend
from mini_colorize.fast import kernels


class Timer:
    """See above. xp: cupy. nbytes: of the two buffers whose copying keeps the device busy."""

    def __init__(self, xp, nbytes, rounds):
        self.xp, self.rounds = xp, max(1, rounds)
        self.source, self.target = xp.zeros(nbytes, "u1"), xp.zeros(nbytes, "u1")
        self.copy_ms = self._once(self.copy, 4) or 1e-3

    def copy(self):
        """Copy one buffer to the other by the driver's own copy, device to device."""
        cuda, buffers = self.xp.cuda, (self.target.data.ptr, self.source.data.ptr)
        kind, stream = cuda.runtime.memcpyDeviceToDevice, cuda.get_current_stream().ptr
        cuda.runtime.memcpyAsync(*buffers, self.source.nbytes, kind, stream)

    def wait(self):
        self.xp.cuda.runtime.deviceSynchronize()

    def span(self):
        """Two events; `elapsed` after the second was recorded."""
        return self.xp.cuda.Event(), self.xp.cuda.Event()

    def elapsed(self, start, end):
        """ms between two events that were recorded."""
        end.synchronize()
        return self.xp.cuda.get_elapsed_time(start, end)

    def _once(self, call, count):
        start, end = self.span()
        call()
        self.wait()
        start.record()
        for _ in range(count):
            call()
        end.record()
        return self.elapsed(start, end) / count

    def each(self, call, count=10):
        """ms a call, `count` calls in a row."""
        return self.side_by_side({"": call}, count)[""]

    def side_by_side(self, sides, count):
        """`each` of several sides, which take turns. sides: name -> callable."""
        times = {name: [] for name in sides}
        for _ in range(self.rounds):
            for name, call in sides.items():
                times[name].append(self._once(call, count))
        return {name: statistics.median(values) for name, values in times.items()}

    def queued(self, call, rounds=None):
        """(device ms, host ms) of a call that was queued while the device was busy."""
        call()
        device, host, ahead_ms = [], [], 0.5
        left = 4  # times that the device may be kept busy for longer
        while len(device) < (rounds or self.rounds):
            start, end = self.span()
            self.wait()
            for _ in range(math.ceil(ahead_ms / self.copy_ms)):
                self.copy()
            start.record()
            clock = time.perf_counter()
            call()
            taken_ms = (time.perf_counter() - clock) * 1e3
            end.record()
            host.append(taken_ms)
            if start.done and left:  # the device came to it before the host had queued it all
                ahead_ms, left = max(2 * ahead_ms, 1.5 * taken_ms), left - 1
                continue
            device.append(self.elapsed(start, end))
        return statistics.median(device), min(host)


def replayed(timer, launches):
    """ms that the launches take, one after another, as a CUDA graph: no host in between.

    launches: callables that only launch kernels. Returns (ms, "graph"), or if this CuPy cannot
    make the graph (ms, the reason), measured by plain launches.
    """
    xp = timer.xp

    def all_of_them():
        for launch in launches:
            launch()

    stream = xp.cuda.Stream(non_blocking=True)
    timer.wait()
    try:
        with stream:
            stream.begin_capture()
            all_of_them()
            graph = stream.end_capture()
    except Exception as error:
        return timer.queued(all_of_them)[0], f"no graph: {' '.join(str(error).split())[:80]}"
    times = []
    for _ in range(timer.rounds + 2):
        start, end = timer.span()
        with stream:
            start.record(stream)
            graph.launch(stream)
            end.record(stream)
        times.append(timer.elapsed(start, end))
    return statistics.median(times[2:]), "graph"


# Looking into a call ---------------------------------------------------------------------------


def launches_seen(around):
    """A context: `around(name, launch, kernel, args)` is called in place of every launch of a
    kernel of ours; it must call launch()."""

    def seen(self, *arrays):
        if self.kernel:
            args = *arrays, *self.numbers
            around(self.name, lambda: original(self, *arrays), self.kernel, args)

    original = kernels.Launch.__call__
    return mock.patch.object(kernels.Launch, "__call__", seen)


def products_seen(around):
    """The same for matrix products: `around(flops, multiply)`, which returns multiply()."""
    original = backend.gemm

    def gemm(xp, a, b, out, accumulate):
        flops = 2 * math.prod(a.shape) * b.shape[-1]
        return around(flops, lambda: original(xp, a, b, out, accumulate))

    return mock.patch.object(backend, "gemm", gemm)


class Spans(Watch):
    """Device time of the parts of a call, by label.

    Say with `wrap` which functions are parts, then `measure` a call that reaches them.
    ms: median by label, of all its parts in one call together. counts: how many they are.
    total_ms: of the whole call.
    """

    def __init__(self, timer):
        super().__init__()
        self.timer, self.marks, self.ms, self.counts = timer, [], {}, {}

    def around(self, label, call):
        """call(), between two events."""
        start, end = self.timer.span()
        start.record()
        result = call()
        end.record()
        self.marks.append((label, start, end))
        return result

    def measure(self, call, rounds=None):
        """Fill `ms` and `counts` by label, and total_ms, with the host ahead of the device."""
        every = []

        def one():
            self.marks = []
            call()
            every.append(self.marks)

        self.total_ms, _ = self.timer.queued(one, rounds)
        runs = []  # label -> ms of its parts, of each call
        for marks in every[-(rounds or self.timer.rounds) :]:
            runs.append(defaultdict(list))
            for label, start, end in marks:
                runs[-1][label].append(self.timer.elapsed(start, end))
        for label, parts in runs[-1].items():
            self.ms[label] = statistics.median(sum(run[label]) for run in runs)
            self.counts[label] = len(parts)

    def rows(self, whole):
        """What a table shows of them, from the longest to the shortest. whole: ms, all of it."""
        rows = [(label, self.counts[label], ms, ms / whole) for label, ms in self.ms.items()]
        rows.sort(key=lambda row: -row[2])
        return [dict(zip(("", "times", "ms", "share"), row, strict=True)) for row in rows]


# Memory ----------------------------------------------------------------------------------------


def peak_memory(xp, call):
    """Most bytes of CuPy's pool in use at once while call() runs."""
    now = peak = xp.get_default_memory_pool().used_bytes()

    class Hook(xp.cuda.MemoryHook):
        name = "peak"

        def malloc_postprocess(self, **what):
            nonlocal now, peak
            now += what["mem_size"]
            peak = max(peak, now)

        def free_postprocess(self, **what):
            nonlocal now
            now -= what["mem_size"]

    with Hook():
        call()
    return peak
