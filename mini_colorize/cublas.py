"""cuBLAS's matrix products, called in C: CuPy's wrappers refuse to work while a graph is captured.

A handle serves one stream, for good, with working memory of its own: products that are captured
must not ask for any. The library is the one that CuPy has loaded.
"""

import ctypes
import sys
from functools import cache

import numpy as np

OP_N, OP_T = 0, 1  # as it lies, transposed
TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 2}  # CUDA_R_32F, CUDA_R_16F
COMPUTE_32F, COMPUTE_32F_FAST_TF32 = 68, 77
DEFAULT_ALGORITHM = -1
NO_HALF_SUMS = 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION
WORKSPACE_BYTES = 32 * 2**20  # what NVIDIA advises for Hopper

_handle_t = _pointer = ctypes.c_void_p
_int, _long, _size = ctypes.c_int, ctypes.c_longlong, ctypes.c_size_t
_matrix = (_pointer, _int, _int)  # address, type, leading dimension
_head = (_handle_t, _int, _int, _int, _int, _int, _pointer)  # transposes, m, n, k, alpha
PROTOTYPES = {  # all return a cublasStatus_t
    "cublasCreate_v2": (ctypes.POINTER(_handle_t),),
    "cublasSetStream_v2": (_handle_t, _pointer),
    "cublasSetWorkspace_v2": (_handle_t, _pointer, _size),
    "cublasSetMathMode": (_handle_t, _int),
    "cublasGemmEx": (*_head, *_matrix, *_matrix, _pointer, *_matrix, _int, _int),
    "cublasGemmStridedBatchedEx": (
        *(*_head, *_matrix, _long, *_matrix, _long, _pointer),
        *(*_matrix, _long, _int, _int, _int),
    ),
}
STATUS = {1: "not initialised", 3: "out of memory", 7: "invalid value", 8: "not for this GPU"}
STATUS |= {11: "mapping error", 13: "execution failed", 14: "internal error", 15: "not supported"}


class CublasError(RuntimeError):
    """cuBLAS answered with a status that is not 0."""


def _open():
    """The library, as ctypes opens it. Raises OSError."""
    if sys.platform == "win32":
        for version in (13, 12):
            try:
                return ctypes.WinDLL(f"cublas64_{version}.dll")
            except OSError:
                continue
        raise OSError("cublas64_13.dll is not there")
    with open("/proc/self/maps") as file:
        paths = {line.split(maxsplit=5)[-1].strip() for line in file if "libcublas.so" in line}
    if not paths:
        raise OSError("CuPy has not loaded libcublas.so")
    return ctypes.CDLL(min(paths))


@cache
def _functions(xp):
    """name -> C function. Raises OSError or AttributeError for a library that is of no use."""
    xp.cuda.device.get_cublas_handle()  # now CuPy has loaded it
    library, found = _open(), {}
    for name, types in PROTOTYPES.items():
        found[name] = function = getattr(library, name)
        function.argtypes, function.restype = types, ctypes.c_int
    return found


def call(xp, name, *arguments):
    """Call a function of PROTOTYPES. Raises CublasError."""
    status = _functions(xp)[name](*arguments)
    if status:
        raise CublasError(f"cuBLAS: {STATUS.get(status, 'error')} ({status}, {name})")


def handle(xp):
    """The handle of the current device and stream, ready for products."""
    return _handle(xp, xp.cuda.Device().id, xp.cuda.get_current_stream().ptr)[0]


@cache
def _handle(xp, device, stream):
    made = _handle_t()
    call(xp, "cublasCreate_v2", ctypes.byref(made))
    workspace = xp.empty(WORKSPACE_BYTES, np.uint8)
    call(xp, "cublasSetStream_v2", made.value, stream)  # which takes the workspace away
    call(xp, "cublasSetWorkspace_v2", made.value, workspace.data.ptr, workspace.nbytes)
    call(xp, "cublasSetMathMode", made.value, NO_HALF_SUMS)
    return made.value, workspace
