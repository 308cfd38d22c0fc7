"""NumPy on the CPU or CuPy on a CUDA GPU. The only file that imports cupy.

Every numeric function asks `array_module(x)` for the module of its own input and calls it
`xp`, so that one body of code serves both.
"""

import sys

import numpy as np

DEVICES = ("auto", "cpu", "cuda")


class DeviceError(Exception):
    """The device asked for cannot be used. One line, for a person."""


def array_module(x):
    """numpy for a NumPy array or a number, cupy for a CuPy array."""
    cupy = sys.modules.get("cupy")  # no CuPy array can exist before cupy was imported
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def select_device(name="auto"):
    """Choose where to compute.

    name: "cpu"; "cuda", which fails if there is none; or "auto", which takes CUDA if it works.
    Returns (xp, line): the array module, and one line that says what was chosen and why.
    Raises DeviceError if `name` is "cuda" and CUDA does not work here.
    """
    if name not in DEVICES:
        raise DeviceError(f"device {name!r}: choose one of {', '.join(DEVICES)}")
    if name == "cpu":
        return np, "device: cpu (NumPy)"
    try:
        cupy, what = _working_cupy()
    except Exception as error:  # a broken driver shows itself in many types of exception
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if name == "cuda":
            raise DeviceError(f"CUDA cannot be used here: {reason}") from None
        return np, f"device: cpu (NumPy; no CUDA: {reason})"
    return cupy, f"device: {what} (CuPy)"


def _working_cupy():
    """cupy and the GPU's name, after one real computation on the GPU. Raises if any of it fails."""
    try:
        import cupy
    except ImportError:
        raise DeviceError("cupy is not installed (pip install 'mini_colorize[cuda12]')") from None
    if cupy.cuda.runtime.getDeviceCount() == 0:
        raise DeviceError("no CUDA device found")
    ones = cupy.ones((2, 2), dtype=np.float32)
    if float((ones @ ones).sum()) != 8.0:
        raise DeviceError("a test computation on the GPU gave a wrong result")
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    return cupy, name.decode() if isinstance(name, bytes) else str(name)


def to_host(x):
    """x as a NumPy array, copied from the GPU if it lives there."""
    return x if isinstance(x, (np.ndarray, np.generic)) else x.get()


def as_numbers(name, source, like):
    """An array from a file, converted to the dtype and the device of another one.

    Raises ValueError unless both have one shape and the source holds floating-point numbers that
    the other's dtype can hold. `name` is for its message.
    """
    xp = array_module(like)
    if source.shape != like.shape or source.dtype.kind != "f":
        raise ValueError(f"{name} is not an array of {like.shape} real numbers")
    with np.errstate(over="ignore"):
        converted = xp.asarray(source).astype(like.dtype)
    if not bool(xp.isfinite(converted).all()):
        raise ValueError(f"{name} holds numbers that are not finite")
    return converted
