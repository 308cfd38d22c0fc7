"""Choosing the device: what works is taken, what does not is named in one line."""

import sys
import types

import numpy as np
import pytest

from mini_colorize.backend import DeviceError, array_module, select_device, to_host


def broken_cupy(devices=0):
    """A stand-in for a cupy that is installed but whose driver is missing or sees no GPU."""
    cupy = types.ModuleType("cupy")

    def device_count():
        if devices is None:
            raise RuntimeError("cudaErrorInsufficientDriver:\n driver too old")
        return devices

    cupy.ndarray = type("ndarray", (), {})
    cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=device_count))
    return cupy


@pytest.mark.parametrize(
    "module, reason",
    [
        (None, "cupy is not installed"),
        (broken_cupy(0), "no CUDA device found"),
        (broken_cupy(None), "cudaErrorInsufficientDriver: driver too old"),
    ],
)
def test_without_cuda(monkeypatch, module, reason):
    monkeypatch.setitem(sys.modules, "cupy", module)
    xp, line = select_device("auto")
    assert xp is np and reason in line and "\n" not in line
    with pytest.raises(DeviceError, match=reason):
        select_device("cuda")
    assert select_device("cpu") == (np, "device: cpu (NumPy)")


def test_unknown_device():
    with pytest.raises(DeviceError, match="auto, cpu, cuda"):
        select_device("tpu")


def test_arrays_know_their_module():
    x = np.zeros(3)
    assert array_module(x) is np and array_module(1.0) is np and to_host(x) is x
