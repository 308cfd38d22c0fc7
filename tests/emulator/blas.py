"""cuBLAS: products from raw addresses, checked as cuBLAS does, by the names of its C library.

As there, a product is work of the stream that its handle was told of.

Notation (column-major, as in cuBLAS)
    C = alpha op(A) op(B) + beta C        op(X) = X (CUBLAS_OP_N) or its transpose (CUBLAS_OP_T)
    op(A) (m, k)    op(B) (k, n)    C (m, n)    ld: elements from one column to the next
"""

import ctypes
import types

import numpy as np

from . import memory, standin

_handles = {}  # handle -> {"stream": address, "workspace": address or None}

CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 70, 77


def create(handle):
    """handle: ctypes.byref of a c_void_p."""
    handle._obj.value = 0x0B1A5 + len(_handles)
    _handles[handle._obj.value] = {"stream": 0, "workspace": None}
    return 0


def set_stream(handle, stream):
    """Takes the workspace away, as cuBLAS does."""
    _handles[handle].update(stream=stream or 0, workspace=None)
    return 0


def set_workspace(handle, address, nbytes):
    memory.require(address, nbytes, "workspace")
    _handles[handle]["workspace"] = address
    return 0


def set_math_mode(handle, mode):
    """0: the default; 16: no sums in float16 within a product. Both are how this file computes."""
    if handle not in _handles or mode not in (0, 16):
        raise ValueError(f"CUBLAS_STATUS_INVALID_VALUE: math mode {mode}")
    return 0


_DTYPE = {0: np.dtype(np.float32), 1: np.dtype(np.float64), 2: np.dtype(np.float16)}  # CUDA_R_...
# compute type -> the types of A and B, and of C, that it goes with
_SUPPORTED = {
    CUBLAS_COMPUTE_32F: [(0, 0), (2, 2), (2, 0)],
    CUBLAS_COMPUTE_32F_FAST_TF32: [(0, 0)],
    CUBLAS_COMPUTE_64F: [(1, 1)],
}


# As cublas_api.h declares them.
ARGUMENTS = """handle transa transb m n k alpha A Atype lda strideA B Btype ldb strideB beta
               C Ctype ldc strideC batchCount computeType algo""".split()
ONLY_BATCHED = {"strideA": 0, "strideB": 0, "strideC": 0, "batchCount": 1}
SINGLE = [name for name in ARGUMENTS if name not in ONLY_BATCHED]


def gemm(*values, **named):
    """One product. alpha, beta: addresses on the host. A, B, C: addresses on the GPU."""
    return _multiply(types.SimpleNamespace(**_bound(SINGLE, values, named), **ONLY_BATCHED))


def gemm_batched(*values, **named):
    """batchCount products; stride: elements from one matrix to the next (0: the same one)."""
    return _multiply(types.SimpleNamespace(**_bound(ARGUMENTS, values, named)))


def _bound(names, values, named):
    """name -> value; a TypeError unless each is there once."""
    given = {**dict(zip(names, values, strict=False)), **named}
    if given.keys() != set(names) or len(values) + len(named) != len(names):
        raise TypeError(f"takes these arguments, each once: {', '.join(names)}")
    return given


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
    factor, old = (inner.type(scalar.from_address(x).value) for x in (of.alpha, of.beta))  # now

    @np.errstate(all="ignore")  # infinity, as on a GPU, and no warning
    def product():
        x, y = a.astype(inner), b.astype(inner)
        if of.computeType == CUBLAS_COMPUTE_32F_FAST_TF32:
            x, y = _round_to_tf32(x), _round_to_tf32(y)
        result = factor * np.matmul(x, y)
        if old != 0:  # else C is not read: it may hold NaN
            result += old * c.astype(inner)
        c[...] = result

    standin.perform(product, (of.A, of.B, of.C))
    return 0


library = types.SimpleNamespace(
    cublasCreate_v2=create,
    cublasSetStream_v2=set_stream,
    cublasSetWorkspace_v2=set_workspace,
    cublasSetMathMode=set_math_mode,
    cublasGemmEx=gemm,
    cublasGemmStridedBatchedEx=gemm_batched,
)


def _check(handle, transposes, sizes, dtypes, compute, algo):
    """Raise ValueError for what cuBLAS answers with an error, or with no word at all."""
    if handle not in _handles:
        raise ValueError("CUBLAS_STATUS_NOT_INITIALIZED: no handle")
    stream = standin.current_stream()
    if _handles[handle]["stream"] != stream.ptr:
        raise ValueError("the handle is for another stream than the current one")
    if stream.captured is not None and _handles[handle]["workspace"] is None:
        raise ValueError("CUBLAS_STATUS_ALLOC_FAILED: no memory may be asked for in a capture")
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
