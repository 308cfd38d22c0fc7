"""All cores for what NumPy does on one.

NumPy lets go of Python's lock while it computes, so threads that take one block each of a large
array work side by side. BLAS has threads of its own, but they meet after every matrix product, and
the products here are small. So BLAS is held at one thread while ours work, and set back afterwards.

This is for OpenBLAS, which NumPy comes with from PyPI. With a BLAS that cannot be told, everything
runs in the caller's thread.
"""

import ctypes
import os
import threading
from collections import deque
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from queue import SimpleQueue

import numpy as np


def _openblas(verb):
    """OpenBLAS's function openblas_<verb>, under the name it has in this NumPy, or None."""
    try:
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)  # and what it is linked to
    except (AttributeError, OSError):
        return None
    names = [f"{p}openblas_{verb}{s}" for p in ("scipy_", "") for s in ("64_", "")]
    return next((getattr(library, name) for name in names if hasattr(library, name)), None)


_get, _set = _openblas("get_num_threads"), _openblas("set_num_threads")
# As many as BLAS would use: the number of cores, or what OPENBLAS_NUM_THREADS or OMP_NUM_THREADS
# says.
THREADS = max(1, _get()) if _get and _set else 1
_local = threading.local()  # inside: whether this thread is at work in `parallel_for`
_lock, _depth, _before = threading.Lock(), 0, 1


@contextmanager
def one_blas_thread():
    """Within it, in all threads, a matrix product is computed by the thread that asks for it.

    To be entered once for much work: going in and out is cheap, but BLAS's threads watch for more
    work for a while before they sleep, and hinder others.
    """
    global _depth, _before
    if THREADS == 1:
        yield
        return
    with _lock:
        if _depth == 0:
            _before = _get()
            _set(1)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth = max(0, _depth - 1)  # 0 already in a child that was forked within
            if _depth == 0:
                _set(_before)


def _after_fork():
    """In a forked child: other threads, who may have been within or held the lock, are gone."""
    global _lock, _depth
    if _depth:
        _set(_before)
    _lock, _depth = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@lru_cache(maxsize=1)
def _helpers(process):
    """Where the helpers of this process wait for work: a forked child has none of its parent's.

    (Not concurrent.futures, which hands over work through a lock and a Future each time.)
    """
    queue = SimpleQueue()
    for _ in range(THREADS - 1):
        threading.Thread(target=_help, args=(queue,), name="numpy", daemon=True).start()
    return queue


def _help(queue):
    while True:
        work, answers = queue.get()
        try:
            answers.put(work())
        except BaseException as error:
            answers.put(error)
        del work, answers  # they hold arrays


def parallel_for(function, items):
    """function(item) for every item, shared among the threads in no particular order.

    What the calls write must not overlap. A call of `parallel_for` within a call is carried out by
    its own thread. Raises what a call raised.
    """
    items = deque(items)
    if THREADS == 1 or len(items) < 2 or getattr(_local, "inside", False):
        for item in items:
            function(item)
        return

    def work():
        _local.inside = True
        try:
            while items:
                try:
                    item = items.popleft()
                except IndexError:  # another thread took the last one
                    return
                function(item)
        except BaseException:
            items.clear()  # nobody need go on
            raise
        finally:
            _local.inside = False

    queue, answers, count = _helpers(os.getpid()), SimpleQueue(), min(THREADS, len(items)) - 1
    with one_blas_thread():
        for _ in range(count):
            queue.put((work, answers))
        try:
            work()
        finally:
            errors = [error for _ in range(count) if (error := answers.get())]
    if errors:
        raise errors[0]


def cut(total, count):
    """Cut range(total) into so many nearly equal slices, or fewer, none empty."""
    count = min(total, count)
    ends = [total * k // count for k in range(count + 1)] if count else [0]
    return [slice(*pair) for pair in pairwise(ends)]


def split(total, most):
    """Cut range(total) into nearly equal slices of at most `most` (of 1 if that is less)."""
    return cut(total, -(-total // max(1, most)))
