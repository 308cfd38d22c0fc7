"""cupy.cuda: one device. The main stream does everything at once; other streams do nothing until
somebody waits for them, so that code which forgets to wait reads garbage.
"""

import ctypes
import types
import weakref

from . import memory, nccl, standin


class Device:
    """The only one: it always is the current device."""

    def __init__(self, device=0):
        if device != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = 0

    def __eq__(self, other):
        return isinstance(other, Device)

    def use(self):
        pass


class Event:
    """Notes how much of a stream's work must be over for it to have happened."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.stream, self.work = None, 0

    def record(self, stream=None):
        self.stream = get_current_stream() if stream is None else stream
        self.work = self.stream.issued

    def synchronize(self):
        """Not counted as waiting for the GPU: it guards a host buffer, not a value."""
        if self.stream is not None:
            self.stream.run(self.work)


_current = []  # streams entered by `with`, the innermost last


_streams = weakref.WeakSet()  # all but the main one


def synchronize_all():
    """Wait for everything."""
    standin.synchronise()
    for stream in list(_streams):
        stream.run()


class Stream:
    """With `with`, makes itself the current stream. All but the main stream put off their work."""

    def __init__(self, null=False, non_blocking=False):
        self.null_stream, self.issued, self.done, self.queue = null, 0, 0, []
        self.non_blocking, self.captured = non_blocking, None
        self.ptr = 0 if null else id(self)
        if not null:
            _streams.add(self)

    def issue(self, work):
        """Do something at once, or on another stream than the main one when it is waited for."""
        self.issued += 1
        self.queue.append(work)
        if self.null_stream:
            self.run()

    def begin_capture(self, mode=None):
        """From now on work of this stream is noted, not done."""
        if self.null_stream or not self.non_blocking:
            raise RuntimeError("cudaErrorStreamCaptureImplicit: the stream must be non-blocking")
        self.run()
        self.captured = []

    def end_capture(self):
        captured, self.captured = self.captured, None
        if captured is None:
            raise RuntimeError("cudaErrorIllegalState: nothing is captured")
        return Graph(captured)

    def run(self, until=None):
        """Do what was issued, the first `until` pieces of it or all."""
        until = self.issued if until is None else until
        while self.done < until:
            self.done += 1
            self.queue.pop(0)()

    def __enter__(self):
        _current.append(self)
        return self

    def __exit__(self, *exception):
        _current.pop()

    def synchronize(self):
        standin.synchronise()
        self.run()

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event):
        if not isinstance(event, Event):
            raise TypeError(f"wait_event takes an Event, not {type(event).__name__}")
        stream, work = event.stream, event.work  # as recorded now, whatever it is used for later
        if stream is not None:
            self.issue(lambda: stream.run(work))


class Graph:
    """What a stream captured: launches with their arguments as they were then."""

    def __init__(self, captured):
        self.captured = captured

    def launch(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        stream.run()
        for work, addresses in self.captured:
            for address in addresses:
                memory.require(address, 1, "captured memory that is gone")
            work()


Stream.null = Stream(null=True)


def get_current_stream():
    return _current[-1] if _current else Stream.null


def alloc_pinned_memory(nbytes):
    """A buffer of at least nbytes: CuPy rounds up to 512, so np.frombuffer needs its count."""
    return (ctypes.c_char * (-(-nbytes // 512) * 512))()


def _device_properties(device):
    Device(device)
    numbers = dict(major=9, minor=0, multiProcessorCount=4)
    numbers |= dict(totalGlobalMem=1 << 33, maxThreadsPerBlock=1024)
    return {"name": b"CUDA emulator on the CPU", **numbers}


def make_module(blas):
    """The module cupy.cuda with its submodules."""
    module = types.ModuleType("cupy.cuda")
    for value in (Device, Event, Stream, get_current_stream, alloc_pinned_memory):
        setattr(module, value.__name__, value)
    module.__path__ = []
    module.runtime = types.ModuleType("cupy.cuda.runtime")
    module.runtime.getDeviceCount = lambda: 1
    module.runtime.getDevice = lambda: 0
    module.runtime.getDeviceProperties = _device_properties
    module.runtime.deviceSynchronize = synchronize_all
    module.device = types.ModuleType("cupy.cuda.device")
    module.device.get_cublas_handle = lambda: 1
    module.nccl = nccl.make_module()
    module.MemoryPool, module.using_allocator = memory.Pool, memory.using_allocator
    return module
