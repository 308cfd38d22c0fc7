"""Chapter 14's kernels: planted mistakes are told, and so is all that a launch can do wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "tests"))

import test_compile

from course.check import Wrong
from course.checks.c14 import EXERCISES
from course.cuda import Empty, run
from course.launches import why_unavailable

pytestmark = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
HERE = Path(__file__).parent
PLANTED = sorted((HERE / "planted" / "14").glob("*.cu"))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_package_has_the_right_answer(exercise):
    exercise.check(exercise.solution)


@pytest.mark.parametrize("path", PLANTED, ids=lambda path: path.stem)
def test_a_wrong_answer_is_told_what_is_wrong(path):
    name, said = path.read_text().splitlines()[0].removeprefix("// ").split(": ", 1)
    (exercise,) = [e for e in EXERCISES if e.name == name]
    with pytest.raises(Wrong) as wrong:
        exercise.check(path)
    assert said in str(wrong.value)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_each_exercise_has_three_wrong_answers(exercise):
    assert sum(path.name.startswith(f"{exercise.name}-") for path in PLANTED) >= 3


SHARED = "__shared__ float part[64];"
WRONG = {  # what a launch does wrong -> the body of a kernel, of two blocks of 64 threads; what is said
    "misses_a_syncwarp": (
        SHARED + "part[t] = x[i];\n y[i] = part[t ^ 1];",
        "line 3: thread 0 of block 0 writes part[0], and thread 1 of block 0 reads part[0] (line 4): "
        "no __syncwarp() stands between",
    ),
    "waits_for_a_block": (
        "y[i] = x[i]; if (t == 0 && i > 0) y[i] = y[i - 1];",
        "line 3: thread 63 of block 0 writes y[63], and thread 0 of block 1 reads y[63] (line 3): "
        "blocks run in any order",
    ),
    "reads_what_nobody_wrote": (
        SHARED + "if (t < 40) part[t] = 1;\n __syncthreads();\n y[i] = part[t];",
        "line 5: thread 40 of block 0 reads part[40], which nobody has written",
    ),
    "adds_floats_in_any_order": (
        "y[i] = 0;\n __syncthreads();\n atomicAdd(&y[i - t], x[i] * 1.1f);",
        "y[0] depends on the order in which threads run: 2217.6",
    ),
    "reads_before_the_array": (
        "y[i] = x[i - 1];",
        "line 3: thread 0 of block 0 reads x[-1]; x has",
    ),
    "writes_past_shared_memory": (
        SHARED + "part[t + 1] = x[i];",
        "line 3: thread 63 of block 0 uses the index 64, outside of 'float [64]'",
    ),
    "follows_a_null_pointer": (
        "float* p = 0;\n p[i] = x[i];",
        "line 4: thread 0 of block 0 crashes",
    ),
    "does_not_end": ("while (n) i++;\n y[i] = 0;", "the kernel does not end: thread 0"),
    "shuffles_with_half_a_warp": (
        "float v = x[i];\n if (t < 16) v = __shfl_down_sync(0xffffffffu, v, 8);\n y[i] = v;",
        "shuffle at line 4: lane 8 reads inactive lane 16; a lane that is read from must be in",
    ),
    "calls_what_is_not_there": ("y[i] = relu(x[i]);", "line 3 does not compile: "),
}
HEAD = 'extern "C" __global__ void k(const float* x, float* y, int n)\n'
HEAD += "{ const int t = threadIdx.x; int i = blockIdx.x * blockDim.x + t;\n"
X = np.arange(128, dtype=np.float32)


@pytest.mark.parametrize("body, said", WRONG.values(), ids=WRONG)
def test_a_launch_is_told_that_it(body, said):
    problems = run(HEAD + body + "\n}", 2, 64, (X, Empty(128), 3), seconds=1).problems
    assert said in str(problems[0])


def test_what_is_right_is_not_blamed():
    """A __syncwarp orders a warp, atomics race with nobody; what is printed is handed on."""
    body = SHARED + "part[t] = x[i]; __syncwarp(); y[i] = part[t ^ 1]; atomicAdd(&z[0], 1);"
    body += 'if (i == 127) printf("%d\\n", i); }'
    source = HEAD.replace("int n)", "int* z)") + body
    report = run(source, 2, 64, (X, Empty(128), np.zeros(1, np.int32)))
    assert not report.problems and report.printed == "127\n"
    assert np.array_equal(report.outputs["y"], X.reshape(-1, 2)[:, ::-1].ravel())
    assert report.outputs["z"] == 128
    assert report.bytes("x") == (512, 0) and report.moved("y") == (0, 512)


def test_vectors_and_bytes_are_counted_as_they_are():
    source = """extern "C" __global__ void k(const float4* x, unsigned char* y)
    { const float4 v = x[threadIdx.x]; y[threadIdx.x] = v.x + v.w; }"""
    report = run(source, 1, 32, (X, Empty(32, np.uint8)))
    assert not report.problems and report.moved("x") == (512, 0)
    assert report.bytes("x")[0] in (256, 512) and report.bytes("y") == (0, 32)


def test_arguments_that_do_not_fit_are_refused():
    source = HEAD + "y[i] = x[i]; }"
    for args, said in (
        ((X, Empty(128)), "k has 3 parameters, not 2"),
        ((X.astype(np.float64), Empty(128), 1), "x points to float32; it is given float64"),
        ((X, 1, 1), "y is a pointer in the kernel; it is given a number"),
        ((X, Empty(128), X), "n is a number in the kernel; it is given an array"),
    ):
        assert str(run(source, 2, 64, args).problems[0]) == said


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_answer_is_cuda(exercise):
    """NVRTC compiles it, without spilling registers."""
    nvrtc, why = test_compile.find_nvrtc()
    if nvrtc is None:
        pytest.skip(why)
    path = exercise.solution
    log = test_compile.compile_for(nvrtc, test_compile.MEASURED, path.stem, "", path.parent)
    test_compile.check_no_spill(log)
