"""The threads, and the memory that is used again: nothing is lost, doubled or written over."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mini_colorize.fast import threads
from mini_colorize.fast.memory import KEEP, SMALL, Arena, scratch
from mini_colorize.fast.threads import cut, one_blas_thread, parallel_for, split


@pytest.fixture(params=[1, 2, 5])
def count(request, monkeypatch):
    """So many threads, whatever this machine has."""
    monkeypatch.setattr(threads, "THREADS", request.param)
    threads._helpers.cache_clear()
    yield request.param
    threads._helpers.cache_clear()


# Threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [0, 1, 2, 7, 100])
def test_every_item_is_worked_on_once(count, items):
    seen = []
    parallel_for(seen.append, range(items))
    assert sorted(seen) == list(range(items))


def test_they_work_at_the_same_time(count):
    """Each of as many items as threads waits for all the others."""
    barrier = threading.Barrier(count, timeout=20)
    parallel_for(lambda _: barrier.wait(), range(count))


def test_work_within_work(count):
    seen = []
    parallel_for(lambda i: parallel_for(lambda j: seen.append((i, j)), range(3)), range(4))
    assert sorted(seen) == [(i, j) for i in range(4) for j in range(3)]


@pytest.mark.parametrize("error", [ValueError, IndexError, KeyboardInterrupt])
def test_an_exception_comes_out_and_ends_the_work(count, error):
    done = []

    def work(i):
        if i == 3:
            raise error("three")
        time.sleep(0.001)
        done.append(i)

    with pytest.raises(error, match="three"):
        parallel_for(work, range(1000))
    assert len(done) < 500
    parallel_for(done.append, range(10))  # the next one works


def forked(as_it_should=lambda: True):
    """The exit code of a forked child: 0 if it can work and is as it should be."""
    child = os.fork()
    if child == 0:
        seen = []
        parallel_for(seen.append, range(10))
        os._exit(0 if len(seen) == 10 and as_it_should() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_has_threads_of_its_own(count):
    parallel_for(lambda _: None, range(10))
    assert forked() == 0


def test_a_child_forked_while_another_thread_is_at_work():
    """It has the BLAS threads of before, and can work itself."""
    if threads._get is None or not hasattr(os, "fork") or threads.THREADS == 1:
        pytest.skip("nothing to set back here")
    before, inside, leave = threads._get(), threading.Event(), threading.Event()

    def work():
        with one_blas_thread():
            inside.set()
            leave.wait()

    other = threading.Thread(target=work)
    other.start()
    inside.wait()
    code = forked(lambda: threads._get() == before)
    leave.set()
    other.join()
    assert code == 0


def test_blas_is_set_back():
    if threads._get is None:
        pytest.skip("this BLAS cannot be asked")
    before = threads._get()
    with one_blas_thread():
        with one_blas_thread():
            assert threads._get() == 1
        assert threads._get() == 1
    assert threads._get() == before
    with pytest.raises(ValueError), one_blas_thread():
        raise ValueError
    assert threads._get() == before


@pytest.mark.parametrize("total, parts", [(0, 3), (1, 3), (7, 3), (6, 3), (3, 1)])
def test_cut(total, parts):
    slices = cut(total, parts)
    assert [k for s in slices for k in range(total)[s]] == list(range(total))
    lengths = [s.stop - s.start for s in slices]
    assert len(lengths) == min(total, parts) and (not lengths or max(lengths) - min(lengths) <= 1)


def test_split():
    assert [s.stop - s.start for s in split(10, 4)] == [3, 3, 4]
    assert split(2, 0) == [slice(0, 1), slice(1, 2)] and split(0, 5) == []


def test_scratch_is_used_again_and_is_the_threads_own():
    first = scratch("test", (4, 5), np.float32)
    assert first.shape == (4, 5) and first.dtype == np.float32
    assert np.shares_memory(first, scratch("test", (3, 2), np.float32))
    assert not np.shares_memory(first, scratch("test", (4, 5), np.float64))
    assert not np.shares_memory(first, scratch("other", (4, 5), np.float32))
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(scratch, "test", (4, 5), np.float32).result()
    assert not np.shares_memory(first, theirs)


# Memory used again --------------------------------------------------------------------------------

LIKE = np.zeros(0, np.float32)
SIDE = 2 * int(SMALL**0.5)  # SIDE x SIDE float32: 16 times SMALL


def test_memory_is_used_again_once_nobody_holds_it():
    arena = Arena()
    a = arena.empty((SIDE, SIDE), LIKE)
    assert a.shape == (SIDE, SIDE) and a.dtype == np.float32 and a.flags.c_contiguous
    where = a.ctypes.data
    b = arena.empty((SIDE, SIDE), LIKE)
    assert not np.shares_memory(a, b)
    del a
    again = arena.empty((SIDE // 2, SIDE // 2), np.zeros(0, np.float64))
    assert again.ctypes.data != where  # half as large: not for that
    again = arena.empty((SIDE // 2, SIDE), np.zeros(0, np.float64))
    assert again.ctypes.data == where and again.dtype == np.float64


VIEWS = [memoryview, lambda a: a[5:, ::3], lambda a: a.T, lambda a: a.reshape(-1)[:1]]
VIEWS += [lambda a: np.lib.stride_tricks.as_strided(a, (2, 2), (4, 4)), lambda a: [a.real, None]]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_of_any_kind_holds_it(view):
    arena = Arena()
    a = arena.empty((SIDE, SIDE), LIKE)
    where, held = a.ctypes.data, view(a)
    del a
    b = arena.empty((SIDE, SIDE), LIKE)
    assert b.ctypes.data != where
    del held
    assert arena.empty((SIDE, SIDE), LIKE).ctypes.data == where


def test_small_arrays_are_left_to_the_allocator():
    arena = Arena()
    arena.empty((SMALL // 4 - 1,), LIKE)
    assert arena.buffers == []
    arena.empty((SMALL // 4,), LIKE)
    assert len(arena.buffers) == 1


def test_what_nobody_wants_is_given_back():
    arena = Arena()
    arena.empty((8, SMALL), LIKE)
    kept = arena.empty((4, SMALL), LIKE)
    for _ in range(KEEP + 1):
        arena.empty((2, SMALL), LIKE)
    assert len(arena.buffers) == 3
    arena.empty((1, SMALL), LIKE)  # a new one comes: time to look
    assert sorted(b.nbytes // (4 * SMALL) for b in arena.buffers) == [1, 2, 4]
    assert kept.shape == (4, SMALL)


def test_threads_never_get_the_same_memory():
    arena, failures = Arena(), []

    def work(k):
        for i in range(200):
            a = arena.empty((SMALL // 4,), LIKE)
            a[::1000] = k * 1000 + i
            time.sleep(0)
            if not (a[::1000] == k * 1000 + i).all():
                failures.append((k, i))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert failures == [] and len(arena.buffers) <= 8  # each holds its last while it asks
