"""cupy.cuda.cublas: gemmEx and gemmStridedBatchedEx, from raw addresses, checked as cuBLAS does.

Notation (column-major, as in cuBLAS)
    C = alpha op(A) op(B) + beta C        op(X) = X (CUBLAS_OP_N) or its transpose (CUBLAS_OP_T)
    op(A) (m, k)    op(B) (k, n)    C (m, n)    ld: elements from one column to the next
"""

import ctypes
from types import SimpleNamespace

import numpy as np

from . import memory

HANDLE = 0x0B1A5  # any number: there is one device

CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 70, 77
CUBLAS_GEMM_DEFAULT, CUBLAS_GEMM_DEFAULT_TENSOR_OP = -1, 99


def setMathMode(handle, mode):
    """0: the default; 16: no sums in float16 within a product. Both are how this file computes."""
    if handle != HANDLE or mode not in (0, 16):
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: math mode {mode}")


EXPORTED = [name for name in dir() if name.startswith("CUBLAS_")]
EXPORTED += ["gemmEx", "gemmStridedBatchedEx", "setMathMode"]

_DTYPE = {0: np.dtype(np.float32), 1: np.dtype(np.float64), 2: np.dtype(np.float16)}  # CUDA_R_...
# compute type -> the types of A and B, and of C, that it goes with
_SUPPORTED = {
    CUBLAS_COMPUTE_32F: [(0, 0), (2, 2), (2, 0)],
    CUBLAS_COMPUTE_32F_FAST_TF32: [(0, 0)],
    CUBLAS_COMPUTE_64F: [(1, 1)],
}

# As cupy_backends declares them.
ARGUMENTS = """handle transa transb m n k alpha A Atype lda strideA B Btype ldb strideB beta
               C Ctype ldc strideC batchCount computeType algo""".split()
ONLY_BATCHED = {"strideA": 0, "strideB": 0, "strideC": 0, "batchCount": 1}


def gemmEx(*values, **named):
    """One product. alpha, beta: addresses on the host. A, B, C: addresses on the GPU."""
    order = [name for name in ARGUMENTS if name not in ONLY_BATCHED]
    _multiply(SimpleNamespace(**_bound(order, values, named), **ONLY_BATCHED))


def gemmStridedBatchedEx(*values, **named):
    """batchCount products; stride: elements from one matrix to the next (0: the same one)."""
    _multiply(SimpleNamespace(**_bound(ARGUMENTS, values, named)))


def _bound(names, values, named):
    """name -> value; a TypeError unless each is there once."""
    given = {**dict(zip(names, values, strict=False)), **named}
    if given.keys() != set(names) or len(values) + len(named) != len(names):
        raise TypeError(f"takes these arguments, each once: {', '.join(names)}")
    return given


@np.errstate(all="ignore")  # infinity, as on a GPU, and no warning
def _multiply(of):
    m, n, k, batch = sizes = of.m, of.n, of.k, of.batchCount
    dtypes = of.Atype, of.Btype, of.Ctype
    _check(of.handle, (of.transa, of.transb), sizes, dtypes, of.computeType, of.algo)
    if batch > 1 and abs(of.strideC) < of.ldc * (n - 1) + m:
        raise ValueError(f"strideC {of.strideC}: the results would overlap")
    shape_a = (k, m) if of.transa else (m, k)
    shape_b = (n, k) if of.transb else (k, n)
    a = _matrices("A", of.A, of.Atype, shape_a, of.lda, of.strideA, batch)
    b = _matrices("B", of.B, of.Btype, shape_b, of.ldb, of.strideB, batch)
    c = _matrices("C", of.C, of.Ctype, (m, n), of.ldc, of.strideC, batch)
    if of.transa:
        a = a.swapaxes(1, 2)
    if of.transb:
        b = b.swapaxes(1, 2)

    scalar = ctypes.c_double if of.computeType == CUBLAS_COMPUTE_64F else ctypes.c_float
    inner = np.dtype(scalar)
    a, b = a.astype(inner), b.astype(inner)
    if of.computeType == CUBLAS_COMPUTE_32F_FAST_TF32:
        a, b = _round_to_tf32(a), _round_to_tf32(b)
    result = inner.type(scalar.from_address(of.alpha).value) * np.matmul(a, b)
    factor = inner.type(scalar.from_address(of.beta).value)
    if factor != 0:  # else C is not read: it may hold NaN
        result += factor * c.astype(inner)
    c[...] = result


def _check(handle, transposes, sizes, dtypes, compute, algo):
    """Raise ValueError for what cuBLAS answers with an error, or with no word at all."""
    if handle != HANDLE:
        raise ValueError("CUBLAS_STATUS_NOT_INITIALIZED: use cupy.cuda.device.get_cublas_handle()")
    if any(t not in (CUBLAS_OP_N, CUBLAS_OP_T) for t in transposes):
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: transposes {transposes}, must be 0 or 1")
    if min(sizes) < 1:
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: m, n, k, batchCount {sizes}")
    if dtypes[0] != dtypes[1] or dtypes[1:] not in _SUPPORTED.get(compute, []):
        raise ValueError(f"CUBLAS_STATUS_NOT_SUPPORTED: types {dtypes} with compute type {compute}")
    if not (-1 <= algo <= 23 or 99 <= algo <= 115):
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: algorithm {algo}")


def _matrices(name, address, dtype, shape, ld, stride, batch):
    """A (batch, rows, columns) view of column-major matrices at an address of the GPU."""
    rows, columns = shape
    dtype = _DTYPE[dtype]
    if ld < rows:
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: {name}: leading dimension {ld} < {rows}")
    if stride < 0:
        raise ValueError(f"{name}: stride {stride} is negative")
    if address % dtype.itemsize:
        raise ValueError(f"{name}: {address:#x} is no address of a {dtype}")
    count = (batch - 1) * stride + ld * (columns - 1) + rows
    memory.require(address, count * dtype.itemsize, name)
    flat = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)
    strides = tuple(dtype.itemsize * s for s in (stride, 1, ld))
    return np.lib.stride_tricks.as_strided(flat, (batch, rows, columns), strides)


def _round_to_tf32(x):
    """float32 rounded to the 10 bits of mantissa that a tensor core reads; halves go up."""
    bits = x.view(np.uint32)
    rounded = ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    return np.where(np.isfinite(x), rounded, x)
