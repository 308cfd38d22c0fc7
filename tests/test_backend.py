"""Choosing the device: what works is taken, what does not is named in one line."""

import sys
import types
from unittest.mock import Mock

import numpy as np
import pytest

from mini_colorize import backend
from mini_colorize.backend import DeviceError, select_device, to_host
from mini_colorize.fast import memory


def broken_cupy(devices=0):
    """A stand-in for a cupy that is installed but whose driver is missing or sees no GPU."""
    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.cuda = type("ndarray", (), {}), Mock()
    too_old = RuntimeError("cudaErrorInsufficientDriver:\n driver too old")
    cupy.cuda.runtime.getDeviceCount.side_effect = too_old if devices is None else [devices] * 9
    return cupy


BROKEN = [(None, "cupy is not installed"), (broken_cupy(0), "no CUDA device found")]
BROKEN += [(broken_cupy(None), "cudaErrorInsufficientDriver: driver too old")]


@pytest.mark.parametrize("module, reason", BROKEN)
def test_without_cuda(monkeypatch, module, reason):
    monkeypatch.setitem(sys.modules, "cupy", module)
    xp, line = select_device("auto")
    assert xp is np and reason in line and "\n" not in line
    with pytest.raises(DeviceError, match=reason):
        select_device("cuda")
    assert select_device("cpu") == (np, "device: cpu (NumPy)")


def test_a_cupy_that_cannot_be_imported_says_why(monkeypatch, tmp_path):
    """Its own ImportError is a banner of many lines around the one that tells."""
    (tmp_path / "cupy.py").write_text(
        "try:\n    raise OSError('libcublas.so.12: cannot open')\n"
        "except OSError as error:\n    raise ImportError('=' * 64 + '\\nFailed') from error\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    xp, line = select_device("auto")
    assert xp is np and "cannot be imported: libcublas.so.12: cannot open" in line
    (tmp_path / "cupy.py").write_text("import no_such_module_of_cupys")
    assert "No module named 'no_such_module_of_cupys'" in select_device("auto")[1]


def test_unknown_device():
    with pytest.raises(DeviceError, match="auto, cpu, cuda"):
        select_device("tpu")


def test_arrays_know_their_module():
    x = np.zeros(3)
    assert backend.array_module(x) is np and backend.array_module(1.0) is np and to_host(x) is x


@pytest.mark.one_order
def test_a_working_gpu_is_taken(gpu):
    for name in ("auto", "cuda"):
        xp, line = select_device(name)
        assert xp is gpu and line.endswith("(CuPy)") and "\n" not in line


@pytest.mark.one_order
def test_a_gpu_whose_compiler_fails_is_not_taken(gpu, monkeypatch):
    told = RuntimeError("catastrophic error:\n cannot open source file cuda_fp16.h")
    monkeypatch.setattr(gpu, "RawModule", Mock(side_effect=told))
    xp, line = select_device("auto")
    assert xp is np and "cannot open source file cuda_fp16.h" in line
    with pytest.raises(DeviceError, match="cuda_fp16"):
        select_device("cuda")


@pytest.mark.one_order
def test_constants_are_copied_to_the_gpu_once(gpu):
    array, like = np.arange(3.0), gpu.zeros(1)
    copy = memory.constant(array, like)
    assert memory.constant(array, like) is copy
    assert memory.constant(array.copy(), like) is not copy
    np.testing.assert_array_equal(to_host(copy), array)
    half = memory.number(0.5, like, shape=(3,))
    assert memory.number(0.5, like, shape=(3,)) is half is memory.number(half, like)
    np.testing.assert_array_equal(to_host(half), np.full(3, 0.5, np.float32))


@pytest.mark.parametrize("precision", ["tf32", "mixed", "fp64"])
def test_precisions_that_the_cpu_does_not_have(precision):
    with pytest.raises(DeviceError, match="precision"):
        backend.set_precision(precision, np)
    backend.set_precision("fp32", np)
