"""The CUDA emulator: a kernel that is right gives what it should, and a planted bug is noticed.

The kernels and their bugs are in emulator/planted.cu. What only a sanitizer sees is tested in
emulator/test_sanitizers.py.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import emulator
import numpy as np
import pytest
from emulator import modules, planted, standin
from emulator.modules import EmulatorError

MISSING = emulator.why_unavailable()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=str(MISSING))

ORDERS = [0, 1, 2, 77]
KERNELS = ["mirror", "total", "exchange", "meet"]


# ---- in every order of fibers


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_healthy(cupy, kernel, order):
    standin.settings.order = order
    assert planted.right(cupy, kernel)


@pytest.mark.parametrize("kernel, bug", [("total", 1), ("total", 2), ("total", 3), ("exchange", 1)])
def test_missing_barrier_shows_in_some_order(cupy, kernel, bug):
    seen = []
    for order in ORDERS:
        standin.settings.order = order
        seen.append(not planted.right(cupy, kernel, bug))
    assert any(seen) and all(seen[2:])  # in both random ones


def test_one_seed_one_order(cupy):
    standin.settings.order = 5
    got = [planted.run(cupy, "total", 3)[0][0] for _ in range(2)]
    standin.settings.order = 6
    got.append(planted.run(cupy, "total", 3)[0][0])
    late = [np.isnan(g) for g in got]  # the threads that read before the result was there
    assert np.array_equal(late[0], late[1]) and not np.array_equal(late[0], late[2])


def test_blocks_run_in_every_order(cupy):
    """Each block reads what the one before it wrote: a chain that only rising order keeps."""
    kernel = planted.module(cupy).get_function("chain")
    whole = []
    for order in ORDERS:
        standin.settings.order = order
        y = cupy.empty(50, np.float32)
        kernel((50,), (64,), (y,))
        assert y.get()[0] == 0 and not np.all(y.get() == 0)  # every block has run or read NaN
        whole.append(np.array_equal(y.get(), np.arange(50)))
    assert whole == [True, False, False, False]


def test_uninitialised_memory_shows(cupy):
    for bug in 5, 6:  # shared memory, a variable
        assert not planted.right(cupy, "mirror", bug)
    assert np.isnan(planted.run(cupy, "mirror", 5)[0][0]).all()
    assert np.abs(planted.run(cupy, "mirror", 6)[0][0]).min() > 1e30


def test_grid_too_small_shows(cupy):
    x, y = cupy.ones(200, np.float32), cupy.empty(200, np.float32)
    kernel = planted.module(cupy).get_function("mirror")
    kernel((3,), (64,), (x, y, np.int64(200), np.int32(0)))
    assert np.isnan(y.get()[192:]).all() and not np.isnan(y.get()[:192]).any()


# ---- meetings that some miss

MEETINGS = [  # bug, message, its lines counted from the line of `if (BUG(...))`
    (1, r"divergent __syncthreads: thread \d+ at line {}, thread \d+ at line {}", (2, 4)),
    (2, r"__syncthreads at line {}: 1 of 64 threads exited without reaching it", (11,)),
    (3, r"deadlock: 0 of 64 threads finished, .* line {} for its warp, .* for __syncthreads", (0,)),
    (4, r"divergent warp operation: lane \d+ at line {}, lane \d+ at line {}", (2, 4)),
    (5, r"shuffle at line {}: lane \d+ reads inactive lane 20", (0,)),
    (6, r"warp operation at line {}: the calling lane is not in its mask 0000ffff", (0,)),
    (7, r"warp operation at line {}: lane \d+ has the mask \w+f\w+, the others have \w+", (0,)),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bug, message, offsets", MEETINGS)
def test_missed_meeting(cupy, bug, message, offsets, order):
    standin.settings.order = order
    line = planted.line_of(f"if (BUG({bug})", "meet")
    message = message.format(*(line + offset for offset in offsets))
    place = r"^meet: block \(\d,0,0\) thread \(\d+,0,0\): "
    with pytest.raises(EmulatorError, match=f"{place}{message}$"):
        planted.run(cupy, "meet", bug)
    assert planted.right(cupy, "meet")  # the library is fit for another launch


# ---- launches


def arguments(cupy):
    """Right ones for the kernel `mirror`."""
    return [cupy.ones(64, np.float32), cupy.empty(64, np.float32), np.int64(64), np.int32(0)]


WRONG_ARGUMENTS = [
    (0, lambda cupy: np.ones(64, np.float32), "ndarray, not an array on the GPU"),
    (0, lambda cupy: None, "NoneType, not an array on the GPU"),
    (0, lambda cupy: np.float32(1), "float32, not an array on the GPU"),
    (0, lambda cupy: cupy.ones(64, np.float64), "float64 array for a f4 pointer"),
    (0, lambda cupy: cupy.ones(64, np.int32), "int32 array for a f4 pointer"),
    (1, lambda cupy: cupy.ones((64, 2), np.float32)[:, 0], "the array is not C-contiguous"),
    (2, lambda cupy: np.int32(64), "int32 scalar, the kernel takes i8"),
    (2, lambda cupy: np.float64(64), "float64 scalar, the kernel takes i8"),
    (2, lambda cupy: 64, "int, not a NumPy scalar"),
    (2, lambda cupy: cupy.ones((), np.int64), "ndarray, not a NumPy scalar"),
    (3, lambda cupy: np.uint32(0), "uint32 scalar, the kernel takes i4"),
]


@pytest.mark.parametrize("i, wrong, message", WRONG_ARGUMENTS)
def test_wrong_argument(cupy, i, wrong, message):
    kernel = planted.module(cupy).get_function("mirror")
    args = arguments(cupy)
    kernel((1,), (64,), args)
    args[i] = wrong(cupy)
    with pytest.raises(EmulatorError, match=f"^mirror: argument {i}: {re.escape(message)}"):
        kernel((1,), (64,), args)


def test_wrong_number_of_arguments(cupy):
    kernel, args = planted.module(cupy).get_function("mirror"), arguments(cupy)
    for wrong in args[:3], args + [np.int32(0)]:
        with pytest.raises(EmulatorError, match=f"{len(wrong)} arguments, the kernel takes 4"):
            kernel((1,), (64,), wrong)


WRONG_LAUNCHES = {
    "limit is 64 threads": [((1,), (65,)), ((1,), (8, 4, 3))],
    "empty launch": [((0,), (64,)), ((1, 0), (64,)), ((1,), (0,))],
    "grid": [((1, 65536), (64,)), ((1, 1, 65536), (64,)), ((2**31,), (64,))],
    "must be a tuple": [(1, (64,)), ((1,), [64]), ((1, 1, 1, 1), (64,))],
}


@pytest.mark.parametrize("message", WRONG_LAUNCHES)
def test_wrong_launch(cupy, message):
    kernel = planted.module(cupy).get_function("mirror")
    for grid, block in WRONG_LAUNCHES[message]:
        with pytest.raises(EmulatorError, match=message):
            kernel(grid, block, arguments(cupy))


def test_no_dynamic_shared_memory(cupy):
    kernel = planted.module(cupy).get_function("mirror")
    with pytest.raises(EmulatorError, match="shared_mem must be 0"):
        kernel((1,), (64,), arguments(cupy), shared_mem=1024)


def test_every_type_and_dimension(cupy):
    kernel = planted.module(cupy).get_function("signature")
    assert kernel.max_threads == 64  # the expression before the comma
    rng = np.random.default_rng(0)
    grid, block, n = (2, 3, 2), (4, 2, 4), 2 * 3 * 2 * 4 * 2 * 4 - 7
    half, double = rng.integers(0, 99, n).astype(np.float16), rng.integers(0, 99, n).astype(float)
    vector = rng.integers(0, 99, (n, 4)).astype(np.float32)
    places, flags = cupy.empty(n, np.int64), cupy.empty(n, np.uint8)
    inputs = [cupy.asarray(a) for a in (half, double, vector)]
    scalars = np.bool_(True), np.float64(0.5), np.uint32(n)
    kernel(grid, block, (inputs[0], flags, *inputs[1:], places, *scalars))
    expected = np.arange(n) % 4 * 1000 + 1000 + (half + 0.5 * double + vector[:, 3]).astype(int)
    assert np.array_equal(places.get(), expected) and np.all(flags.get() == 1)


# ---- compiling


def compile_error(cupy, source):
    with pytest.raises(EmulatorError) as e:
        cupy.RawModule(code=source).get_function("k")
    return str(e.value)


REFUSED = [
    ("y[0] = h[0] * h[0];", "no match for .operator"),  # half is for storage
    ("y[0] = INFINITY;", "INFINITY"),  # NVRTC has no standard headers
    ("y[0] = missing;", "missing"),
    ("atomicAdd(n, 1LL);", "no atomicAdd for this type"),
]


@pytest.mark.parametrize("body, message", REFUSED)
def test_refused_code(cupy, body, message):
    head = '#line 1 "some.cu"\nextern "C" __global__ void k(float* y, __half* h, long long* n) {\n'
    error = compile_error(cupy, head + body + "}")
    assert re.search(message, error) and ("some.cu:2" in error or "atomicAdd" in body)


def test_no_standard_headers(cupy):
    source = '#include <stdint.h>\nextern "C" __global__ void k() {}'
    assert "stdint.h" in compile_error(cupy, source)


def test_kernels_are_those_the_preprocessor_leaves(cupy):
    with pytest.raises(EmulatorError, match="no kernel 'absent' in this module: mirror, total, "):
        planted.module(cupy).get_function("absent")
    assert planted.module(cupy, NOT_DEFINED=1).get_function("absent").parameters == ["pf4"]


def test_changed_include_is_compiled_again(cupy, tmp_path):
    for value in "1", "2":
        (tmp_path / "value.cuh").write_text(f"#define VALUE {value}\n")
        source = '#include "value.cuh"\nextern "C" __global__ void k(int* y) { *y = VALUE; }'
        y = cupy.empty(1, np.int32)
        cupy.RawModule(code=source, options=(f"-I{tmp_path}",)).get_function("k")((1,), (1,), (y,))
        assert int(y[0]) == int(value)


def test_defines_do_not_reach_the_emulator(cupy):
    """The project's names are short: none may rename what the emulator's headers use."""
    names = "K Q N T value line mask state error size order i n lane"
    source = 'extern "C" __global__ void k(int* y) { __syncthreads(); *y = K; }'
    options = tuple(f"-D{name}=3" for name in names.split())
    y = cupy.empty(1, np.int32)
    cupy.RawModule(code=source, options=options).get_function("k")((1,), (32,), (y,))
    assert int(y[0]) == 3


def test_cache_folder_is_private(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("MINI_COLORIZE_EMULATOR_CACHE", str(folder))
    assert modules.cache_folder() == folder and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(EmulatorError, match="not a folder of this user alone"):
        modules.cache_folder()


def test_launches_of_two_threads_take_turns(cupy):
    blocks = 2000
    kernel, x = planted.module(cupy).get_function("total"), cupy.ones(blocks * 64, np.float32)
    totals = [cupy.zeros(1, np.float32) for _ in range(3)]

    def launch(y):
        kernel((blocks,), (64,), (x, cupy.empty_like(x), y, np.int32(0)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(launch, totals))
    assert [float(y[0]) for y in totals] == [blocks * 64] * 3
