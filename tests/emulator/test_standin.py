"""The stand-in for CuPy: as strict as CuPy where CuPy is stricter than NumPy, else like NumPy."""

import importlib
import sys

import numpy as np
import pytest

from emulator import cuda, names, standin
from mini_colorize.backend import array_module, to_host


def waits(action):
    """How often the host waits for the GPU in action()."""
    before = standin.synchronisations
    action()
    return standin.synchronisations - before


# ---- the two worlds do not mix

HOST = np.ones((2, 3), np.float32)
MIXED = {
    "add": lambda cp, x: x + HOST,
    "add from the left": lambda cp, x: HOST + x,
    "matmul": lambda cp, x: x @ HOST.T,
    "compare": lambda cp, x: x == HOST,
    "in place": lambda cp, x: x.__iadd__(HOST),
    "a ufunc of NumPy": lambda cp, x: np.maximum(x, HOST),
    "a ufunc": lambda cp, x: cp.maximum(x, HOST),
    "a ufunc of NumPy arrays only": lambda cp, x: cp.exp(HOST),
    "out": lambda cp, x: cp.exp(x, out=HOST.copy()),
    "out of NumPy": lambda cp, x: np.exp(x, out=HOST.copy()),
    "no dimension": lambda cp, x: x + np.array(1.0),
    "a list": lambda cp, x: x + [1, 2, 3],
    "a function": lambda cp, x: cp.where(x > 0, x, HOST),
    "a function of NumPy": lambda cp, x: np.concatenate([x, HOST]),
    "within a list": lambda cp, x: cp.concatenate([x, HOST]),
    "a method": lambda cp, x: x.dot(HOST.T),
    "assignment": lambda cp, x: x.__setitem__(..., HOST),
    "assignment to the host": lambda cp, x: HOST.copy().__setitem__(..., x),
    "index": lambda cp, x: x[np.array([0, 1])],
    "mask": lambda cp, x: x[HOST > 0],
    "index in a tuple": lambda cp, x: x[:, np.array([0, 1])],
    "index of the host": lambda cp, x: HOST[x[0, :1].astype(np.int32)],
    "asarray of NumPy": lambda cp, x: np.asarray(x),
    "a view": lambda cp, x: cp.lib.stride_tricks.as_strided(HOST, (2,), (4,)),
    "set a scalar": lambda cp, x: x.set(1.0),
    "set an array of the GPU": lambda cp, x: x.set(x),
    "not in CuPy": lambda cp, x: np.interp(x, x, x),
    "reduce": lambda cp, x: np.add.reduce(x),
    "objects": lambda cp, x: cp.asarray(["a", None]),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_mixing_is_refused(cupy, mix):
    x = cupy.ones((2, 3), np.float32)
    with pytest.raises((TypeError, IndexError)):
        mix(cupy, x)
    assert np.array_equal(x.get(), HOST)


def test_numbers_are_welcome(cupy):
    x = cupy.asarray(HOST)
    for number in 2, 2.0, np.float32(2), np.int64(2):
        for result in (x * number, number * x, cupy.multiply(x, number), np.multiply(x, number)):
            assert type(result) is cupy.ndarray and np.array_equal(result.get(), HOST * 2)
    x[0, 0] = np.float32(5)
    assert float(x[0, 0]) == 5


# ---- like NumPy


def test_results_are_those_of_numpy(cupy):
    rng = np.random.default_rng(0)
    host = rng.standard_normal((4, 5)).astype(np.float32)
    x = cupy.asarray(host)
    index = np.argsort(host, axis=1)
    pairs = [
        (x.sum(0), host.sum(0)),
        (x.T[1:, ::2], host.T[1:, ::2]),
        (cupy.einsum("ij,kj->ik", x, x), np.einsum("ij,kj->ik", host, host)),
        (cupy.take_along_axis(x, cupy.asarray(index), 1), np.take_along_axis(host, index, 1)),
        (cupy.where(x > 0, x, 0.0), np.where(host > 0, host, 0.0)),
        (cupy.pad(x, 1, constant_values=2), np.pad(host, 1, constant_values=2)),
        (cupy.concatenate([x, x], axis=1), np.concatenate([host, host], axis=1)),
        (x[cupy.asarray([2, 0])], host[[2, 0]]),
        (x[x > 0], host[host > 0]),
        (-abs(x) // 2 % 3, -abs(host) // 2 % 3),
        (x.reshape(2, -1).astype(np.float64), host.reshape(2, -1).astype(np.float64)),
        (cupy.bincount(cupy.asarray([1, 1, 3])), np.bincount([1, 1, 3])),
        (np.stack([x, x]), np.stack([host, host])),
    ]
    strided = np.lib.stride_tricks.as_strided(host, (2, 2), (4, 8))
    pairs.append((cupy.lib.stride_tricks.as_strided(x, (2, 2), (4, 8)), strided))
    for got, expected in pairs:
        assert type(got) is cupy.ndarray and got.dtype == expected.dtype
        assert got.shape == expected.shape and np.array_equal(got.get(), expected)
    assert [tuple(row.get()) for row in x] == [tuple(row) for row in host] and len(x) == 4


def test_out_and_in_place_give_the_same_object(cupy):
    x = y = cupy.ones(3, np.float32)
    x += 1
    assert x is y and cupy.maximum(x, 0, out=x) is x
    x.sum(axis=0, out=y[0])
    assert x.get().tolist() == [6, 2, 2]


def test_reductions_and_elements_are_arrays_without_dimension(cupy):
    x = cupy.arange(4.0)
    for value in x.sum(), cupy.max(x), x.mean(), x[1], x.argmax(), cupy.count_nonzero(x), x.any():
        assert type(value) is cupy.ndarray and value.shape == ()
    x[1][...] = 7  # an element is a view
    assert float(x[1]) == 7
    part = x[2:]
    part += 1
    assert x.get().tolist() == [0, 7, 3, 4]


def test_empty_is_full_of_garbage(cupy):
    assert np.isnan(cupy.empty((2, 2), np.float32).get()).all()
    assert np.isnan(cupy.empty_like(cupy.zeros(3, np.float16)).get()).all()
    assert (cupy.empty(3, np.int32).get() == 0x7B7B7B7B).all()
    assert (cupy.empty(3, np.uint8).get() == 0x7B).all()


def test_copies(cupy):
    host = np.arange(3.0)
    x = cupy.asarray(host)
    host[0] = 9
    copy = x.get()
    copy[1] = 9
    assert x.get().tolist() == [0, 1, 2] and type(copy) is np.ndarray
    assert cupy.asarray(x) is x and cupy.array(x) is not x
    x.set(np.arange(3.0) * 2)
    assert x.get(out=np.empty(3)).tolist() == [0, 2, 4]
    for wrong in np.zeros(3, np.float32), np.zeros(4):
        with pytest.raises(ValueError, match="set float"):
            x.set(wrong)
        with pytest.raises(ValueError, match="out: float"):
            x.get(out=wrong)
    with pytest.raises(RuntimeError, match="non-contiguous"):
        cupy.zeros((3, 3, 3))[:, 0].set(np.zeros((3, 3)))


@pytest.mark.filterwarnings("error")
def test_nothing_warns(cupy):
    x = cupy.asarray(np.array([0.0, 1e300]))
    with np.errstate(all="warn"):
        assert np.isnan((x / x).get()[0]) and np.isinf((x * x).astype(np.float16).get()[1])
        half = cupy.zeros(2, np.float16)
        half[...] = x
        assert np.isinf(half.get()[1])


def test_addresses(cupy):
    x = cupy.zeros((4, 4), np.float32)
    assert x[1:].data.ptr == x.data.ptr + 16 and x.device == cupy.cuda.Device(0)


def test_unknown_names(cupy):
    for name in "load", "fromfunction", "errstate":
        with pytest.raises(AttributeError, match=f"module 'cupy' has no attribute '{name}'"):
            getattr(cupy, name)


# ---- waiting


def test_what_makes_the_host_wait(cupy):
    x = cupy.ones((), np.int64)
    vector, cuda = cupy.arange(5), cupy.cuda
    actions = [x.get, x.item, x.tolist, lambda: float(x), lambda: int(x), lambda: bool(x)]
    actions += [lambda: [0, 1][x], lambda: f"{x:d}", lambda: cupy.bincount(vector)]
    actions += [lambda: cupy.nonzero(vector), lambda: vector[vector > 2]]
    for action in (*actions, cuda.runtime.deviceSynchronize, cuda.Stream().synchronize):
        assert waits(action) == 1


def test_what_does_not(cupy):
    x, event = cupy.ones((3, 3)), cupy.cuda.Event()

    def work():
        y = x @ x + 1
        y[1:] = cupy.where(y > 0, y, x)[1:]
        y.set(np.zeros((3, 3)))
        y.sum(axis=0).get(blocking=False)
        event.record(cupy.cuda.get_current_stream())
        event.synchronize()
        repr(y)

    assert waits(work) == 0


# ---- the module


def test_install_and_uninstall(monkeypatch):
    real = type(sys)("cupy")
    monkeypatch.setitem(sys.modules, "cupy", real)
    with standin.installed(order=3) as cupy:
        assert importlib.import_module("cupy") is cupy and standin.settings.order == 3
        from cupy.cuda import device, runtime

        assert device is cupy.cuda.device and runtime is cupy.cuda.runtime
        x = cupy.zeros(2)
        assert array_module(x) is cupy and type(to_host(x)) is np.ndarray
        with standin.installed(order=0) as again:
            assert again is cupy and standin.settings.order == 0
        assert sys.modules["cupy"] is cupy and standin.settings.order == 3
    assert sys.modules["cupy"] is real and "cupy.cuda" not in sys.modules


def test_memory_pool(cupy):
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.used_bytes()
    x = cupy.zeros(1000, np.uint8)
    y = x[10:]
    assert pool.used_bytes() == before + 1024  # in steps of 512
    del x
    assert pool.used_bytes() == before + 1024  # the view still needs it
    del y
    assert pool.used_bytes() == before and pool.total_bytes() == before + 1024
    pool.free_all_blocks()
    assert pool.total_bytes() == before


def test_streams_and_pinned_memory(cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null
    with stream:
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.get_current_stream() is cupy.cuda.Stream.null
    stream.wait_event(stream.record())
    with pytest.raises(TypeError, match="wait_event"):
        stream.wait_event(stream)
    memory = cupy.cuda.alloc_pinned_memory(100)
    array = np.frombuffer(memory, np.float32, 25)
    array[...] = 1
    assert len(np.frombuffer(memory, np.uint8)) == 512  # as CuPy rounds


def test_one_device(cupy):
    assert cupy.cuda.runtime.getDeviceCount() == 1
    assert cupy.cuda.runtime.getDeviceProperties(0)["name"] == b"CUDA emulator on the CPU"
    with pytest.raises(RuntimeError, match="InvalidDevice"):
        cupy.cuda.Device(1)


def test_names_are_those_of_cupy():
    """Only where CuPy is installed; it need not have a GPU."""
    real = pytest.importorskip("cupy")
    functions = [*names.UFUNCS, *names.FUNCTIONS, *names.CREATION, *names.ALIASES, *names.SAME]
    owners = [(real, functions), (real.ndarray, names.METHODS)]
    owners += [(real.cuda.Stream, vars(cuda.Stream)), (real.cuda.Event, vars(cuda.Event))]
    for owner, known in owners:
        assert [n for n in known if not n.startswith("__") and not hasattr(owner, n)] == []


# Streams ------------------------------------------------------------------------------------------


def start_copy(cupy, host):
    """A copy on a second stream: the array, the stream, the event that tells it is over."""
    array, stream, event = cupy.zeros(3), cupy.cuda.Stream(non_blocking=True), cupy.cuda.Event()
    with stream:
        array.set(host)
        event.record(stream)
    return array, stream, event


def test_a_copy_on_a_second_stream_is_garbage_until_it_is_waited_for(cupy):
    host = np.arange(3.0)
    waits = [
        lambda stream, event: cupy.cuda.get_current_stream().wait_event(event),
        lambda stream, event: event.synchronize(),
        lambda stream, event: stream.synchronize(),
        lambda stream, event: cupy.cuda.runtime.deviceSynchronize(),
    ]
    for wait in waits:
        array, stream, event = start_copy(cupy, host)
        assert np.isnan(array.get()).all()
        cupy.cuda.Event().synchronize()  # another event says nothing
        assert np.isnan(array.get()).all()
        wait(stream, event)
        np.testing.assert_array_equal(array.get(), host)


def test_a_copy_sees_its_source_as_it_is_when_it_happens(cupy):
    host = np.arange(3.0)
    array, stream, event = start_copy(cupy, host)
    host[:] = 7  # too early
    event.synchronize()
    np.testing.assert_array_equal(array.get(), [7, 7, 7])


def test_an_event_covers_what_came_before_it_only(cupy):
    array, stream, event = start_copy(cupy, np.arange(3.0))
    other = cupy.zeros(2)
    with stream:
        other.set(np.ones(2))
    event.synchronize()
    assert array.get()[1] == 1 and np.isnan(other.get()).all()
    with pytest.raises(TypeError):
        stream.wait_event(stream)
