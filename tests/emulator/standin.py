"""A module `cupy` without a GPU: NumPy underneath, CuPy's manners on top.

What CuPy refuses is refused: an array of the GPU never meets a NumPy array without asarray() or
.get(), and only names that CuPy 14 has are there. What CuPy does differently is done its way:
reductions give arrays of no dimension, and memory from empty() holds garbage, here NaN.

settings.order, settings.sanitizer: how kernels run (EMU_ORDER, EMU_SAN; see modules.py).
synchronisations: how often the host has waited for a value of the GPU so far.
"""

import contextlib
import functools
import os
import sys
import types

import numpy as np

from mini_colorize import cublas

from . import memory
from .names import ALIASES, CREATION, FUNCTIONS, METHODS, SAME, SYNCHRONISING, UFUNCS

settings = types.SimpleNamespace(
    order=int(os.environ.get("EMU_ORDER", "0")), sanitizer=os.environ.get("EMU_SAN", "")
)
synchronisations = 0


def current_stream():
    from .cuda import get_current_stream

    return get_current_stream()


def synchronise():
    """Note that the host waits for the GPU."""
    global synchronisations
    if current_stream().captured is not None:
        raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
    synchronisations += 1


def perform(work, addresses=()):
    """Work of the current stream: done now, after what waits in the stream, or captured.

    addresses: of the arrays that it touches; a captured one must live when it is launched.
    """
    stream = current_stream()
    if stream.captured is None:
        stream.run()
        work()
    else:
        stream.captured.append((work, addresses))


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array on the GPU that there is not. Made by the functions of the module only."""

    __slots__ = ("_host", "__weakref__")  # _host: the NumPy array that holds the numbers

    shape, ndim, size, dtype, itemsize, nbytes, strides, flags = (
        property(lambda self, name=name: getattr(self._host, name))
        for name in "shape ndim size dtype itemsize nbytes strides flags".split()
    )
    T = property(lambda self: to_device(self._host.T))
    data = property(lambda self: memory.Pointer(self._host.ctypes.data))
    device = property(lambda self: sys.modules["cupy"].cuda.Device(0))

    # to the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        """A NumPy copy. With blocking=False the host does not wait."""
        if blocking:
            synchronise()
        if out is None:
            return np.array(self._host, order=order)
        if (out.dtype, out.shape) != (self.dtype, self.shape):
            raise ValueError(f"out: {out.dtype} {out.shape}, not {self.dtype} {self.shape}")
        out[...] = self._host
        return out

    def set(self, array, stream=None):
        """Copy a NumPy array of the same shape and dtype into this one.

        On a stream of its own the copy happens when somebody waits for it. Until then this array
        holds garbage, and the NumPy array must stay as it is.
        """
        if type(array) is not np.ndarray:
            raise TypeError(f"set() takes a numpy.ndarray, not {type(array).__name__}")
        if (array.dtype, array.shape) != (self.dtype, self.shape):
            raise ValueError(f"set {array.dtype} {array.shape} to {self.dtype} {self.shape}")
        if not self.flags.c_contiguous and not self.flags.f_contiguous:
            raise RuntimeError("cannot set to a non-contiguous array")
        from .cuda import get_current_stream

        stream = get_current_stream() if stream is None else stream
        if stream.captured is not None:
            raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")
        if not stream.null_stream:
            fill_with_garbage(self._host)
        stream.issue(lambda: self._host.__setitem__(..., array))

    def __reduce__(self):  # for pickle and copy
        return array, (self.get(),)

    def item(self, *index):
        synchronise()
        return self._host.item(*index)

    def tolist(self):
        return self.get().tolist()

    def __bool__(self):
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __index__(self):
        return self.get().__index__()

    def __float__(self):
        return float(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    def __repr__(self):
        return f"cupy stand-in {self._host!r}"  # a debugger or pytest asks: not counted

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use .get()")

    # element access

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        if any(isinstance(k, ndarray) and k.dtype == bool for k in keys):
            synchronise()  # the shape of the result depends on values
        if not any(k is Ellipsis for k in keys):
            keys = (*keys, Ellipsis)  # one element is a view of no dimension, not a number
        return to_device(self._host[to_host(keys)])

    def __setitem__(self, key, value):
        host, key, value = self._host, to_host(key), to_host(value)
        perform(np.errstate(all="ignore")(lambda: host.__setitem__(key, value)), [_address(host)])

    # NumPy's functions, called with such an array, end up here

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__" or ufunc.__name__ not in UFUNCS:
            raise TypeError(f"CuPy has no numpy.{ufunc.__name__}.{method}")
        return apply(ufunc, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if function.__name__ not in FUNCTIONS:
            raise TypeError(f"CuPy has no numpy.{function.__name__}")
        return apply(function, args, kwargs)


def _method(name):
    return lambda self, *args, **kwargs: apply(getattr(self._host, name), args, kwargs)


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


def to_host(x):
    """What lies under x, through lists, tuples and dictionaries. Refuses NumPy arrays, as CuPy."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(
            f"Unsupported type numpy.ndarray {x.shape}: CuPy copies nothing to the GPU "
            "by itself, use asarray()"
        )
    if isinstance(x, (list, tuple)):
        return type(x)(map(to_host, x))
    if isinstance(x, dict):
        return {name: to_host(value) for name, value in x.items()}
    return x


def to_device(x):
    """NumPy's result as CuPy gives it, numbers as arrays too; what else there is stays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(to_device, x))
    if not isinstance(x, (np.ndarray, np.generic, bool, int)):
        return x
    host = np.asarray(x)
    if host.dtype.kind not in "biufc":
        raise TypeError(f"CuPy has no arrays of {host.dtype}")
    memory.register(host)
    if current_stream().captured is not None:
        memory.pool.keep(memory.owner(host))
    array = ndarray.__new__(ndarray)
    array._host = host
    return array


def apply(function, args, kwargs):
    """function(*args, **kwargs) of NumPy, on arrays of the GPU."""
    if isinstance(function, np.ufunc) and any(isinstance(a, (list, tuple)) for a in args):
        raise TypeError(f"{function.__name__}: CuPy takes no lists")
    if getattr(function, "__name__", None) in SYNCHRONISING:
        synchronise()
    args, named = to_host(args), to_host(kwargs)
    work = np.errstate(all="ignore")(lambda: function(*args, **named))  # a GPU does not warn
    out = kwargs.get("out")
    if out is not None:
        out = out[0] if isinstance(out, tuple) else out
        perform(work, [_address(out._host)])
        return out
    current_stream().run()
    result = work()  # also in a capture, for its shape
    if current_stream().captured is not None:
        if isinstance(result, (np.generic, bool, int)):
            result = np.asarray(result)
        own = getattr(function, "__self__", None)  # of a method
        _capture_result(result, work, (own, *args))
    return to_device(result)


def _address(host):
    return memory.owner(host).ctypes.data


def _capture_result(result, work, args):
    """Note that `work` is to be done again, with its result where it lies now. Not for views."""
    if not isinstance(result, np.ndarray):
        raise RuntimeError(f"the emulator captures no function that gives {type(result).__name__}")
    if any(_address(a) == _address(result) for a in args if isinstance(a, np.ndarray)):
        return
    perform(lambda: np.copyto(result, work()), [_address(result)])
    fill_with_garbage(result)


# ---- the module


def asarray(a, dtype=None, order=None):
    """From a list, a number, a NumPy array (always a copy) or an array of the GPU."""
    if isinstance(a, ndarray):
        same = dtype is None or np.dtype(dtype) == a.dtype
        if same and order is None:
            return a
        return apply(np.asarray, (a,), {"dtype": dtype, "order": order})
    return array(a, dtype, order=order or "C")


def array(a, dtype=None, copy=True, order="K"):
    if isinstance(a, ndarray):
        return apply(np.array, (a,), {"dtype": dtype, "order": order})
    if current_stream().captured is not None:
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")
    return to_device(np.array(a, dtype, order=order))


def ascontiguousarray(a, dtype=None):
    return asarray(a, dtype, order="C")


def empty(shape, dtype=float, order="C"):
    return to_device(fill_with_garbage(np.empty(shape, dtype, order)))


def empty_like(a, dtype=None, order="K", shape=None):
    return to_device(fill_with_garbage(np.empty_like(to_host(a), dtype, order, shape=shape)))


def fill_with_garbage(host):
    """Fill an array so that what nobody writes shows: NaN, or bytes 0x7B in an integer."""
    if host.dtype.kind in "fc":
        host.fill(np.nan)
    elif host.dtype.kind in "iu":
        host.fill(int.from_bytes(b"\x7b" * host.itemsize, "little"))
    else:
        host.fill(True)
    return host


def as_strided(x, shape=None, strides=None):
    return to_device(np.lib.stride_tricks.as_strided(to_host(x), shape, strides))


def _wrapped(name):
    function = getattr(np, name)

    def wrapper(*args, **kwargs):
        return apply(function, args, kwargs)

    wrapper.__name__ = name
    return wrapper


def _missing(name):
    raise AttributeError(
        f"module 'cupy' has no attribute {name!r} (or tests/emulator/standin.py "
        "does not know it yet)"
    )


def _make_module():
    from . import blas, cuda, modules  # they know the arrays of this file

    module = types.ModuleType("cupy")
    for name in [*UFUNCS, *FUNCTIONS, *CREATION]:
        setattr(module, name, _wrapped(name))
    for name in SAME:
        setattr(module, name, getattr(np, name))
    for alias, name in ALIASES.items():
        setattr(module, alias, getattr(module, name))
    for value in (ndarray, asarray, array, ascontiguousarray, empty, empty_like):
        setattr(module, value.__name__, value)
    module.RawModule = modules.RawModule
    module.get_default_memory_pool = lambda: memory.default_pool
    module.cuda = cuda.make_module(blas)
    module.lib = types.ModuleType("cupy.lib")
    module.lib.stride_tricks = types.ModuleType("cupy.lib.stride_tricks")
    module.lib.stride_tricks.as_strided = as_strided
    module.__getattr__ = _missing
    module.__path__ = []  # a package: `from cupy.cuda import device` works
    module.__version__ = "14.0.0"
    return module


@functools.cache
def _module():
    return _make_module()


def emulated(gpu):
    """Whether a module cupy is the stand-in."""
    return gpu is _module()


_replaced = []  # what each install() that is not undone yet found in its place
_open_cublas = cublas._open


def install():
    """Make `import cupy` find the stand-in. Returns it, the same one every time."""
    from .blas import library

    module = _module()
    cublas._open = lambda: library
    _replaced.append({n: m for n, m in sys.modules.items() if _is_cupy(n)})
    _remove()
    cuda, lib = module.cuda, module.lib
    for m in (module, cuda, cuda.runtime, cuda.device, cuda.nccl, lib, lib.stride_tricks):
        sys.modules[m.__name__] = m
    return module


def uninstall():
    """Undo the last install(): what was imported before, a real CuPy perhaps, is back."""
    _remove()
    cublas._open = _open_cublas
    sys.modules.update(_replaced.pop())


@contextlib.contextmanager
def installed(**changed):
    """install() for a while, with some settings changed; then everything is as before."""
    before = vars(settings).copy()
    vars(settings).update(changed)
    try:
        yield install()
    finally:
        uninstall()
        vars(settings).update(before)


def _is_cupy(name):
    return name == "cupy" or name.startswith("cupy.")


def _remove():
    for name in [n for n in sys.modules if _is_cupy(n)]:
        del sys.modules[name]
