"""NumPy on the CPU or CuPy on a CUDA GPU. The only file that imports cupy.

What serves both asks `array_module(x)` for the module of its own input and calls it `xp`. What
CuPy has no equal word for stands here: matrix products of a stated precision, copies that overlap
with computing.
"""

import sys
from functools import lru_cache
from itertools import cycle
from math import prod

import numpy as np

from . import cublas
from .errors import UserError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "tf32", "mixed")

_ONE, _ZERO = (np.full(1, factor, np.float32) for factor in (1, 0))  # of products and sums
_ADDRESS = {True: _ONE.ctypes.data, False: _ZERO.ctypes.data}
_tf32 = False  # see set_precision

_PROBE = """#include <cuda_fp16.h>
extern "C" __global__ void probe(float* x) { x[threadIdx.x] += __half2float(__float2half(0.5f)); }
"""


class DeviceError(UserError):
    """The device asked for cannot be used. One line, for a person."""


def array_module(x):
    """numpy for a NumPy array or a number, cupy for a CuPy array."""
    cupy = sys.modules.get("cupy")  # no CuPy array can exist before cupy was imported
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def select_device(name="auto", number=0):
    """Choose where to compute.

    name: "cpu"; "cuda", which fails if there is none; or "auto", which takes CUDA if it works.
    number: of this process on this machine; GPUs are given out in turn.
    Returns (xp, line): the array module, and one line that says what was chosen and why.
    Raises DeviceError if `name` is "cuda" and CUDA does not work here.
    """
    if name not in DEVICES:
        raise DeviceError(f"device {name!r}: choose one of {', '.join(DEVICES)}")
    if name == "cpu":
        return np, "device: cpu (NumPy)"
    try:
        cupy, what = _working_cupy(number)
    except Exception as error:  # a broken driver shows itself in many types of exception
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if name == "cuda":
            raise DeviceError(f"CUDA cannot be used here: {reason}") from None
        return np, f"device: cpu (NumPy; no CUDA: {reason})"
    return cupy, f"device: {what} (CuPy)"


def _working_cupy(number):
    """cupy and the GPU's name, after one real computation on the GPU. Raises if any of it fails."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise
        raise DeviceError("cupy is not installed (pip install 'mini_colorize[cuda12]')") from None
    except ImportError as error:  # its own text is a banner of many lines
        raise DeviceError(f"cupy cannot be imported: {error.__cause__ or error}") from None
    count = cupy.cuda.runtime.getDeviceCount()
    if count == 0:
        raise DeviceError("no CUDA device found")
    if number % count:
        cupy.cuda.Device(number % count).use()
    # cuBLAS, CuPy's own kernels and the compiler for ours, with the header that these include.
    x = cupy.ones((2, 2), dtype=np.float32)
    x = matmul(x, x)
    cupy.RawModule(code=_PROBE).get_function("probe")((1,), (4,), (x,))
    if float(x.sum()) != 4 * (2 + 0.5):
        raise DeviceError("a test computation on the GPU gave a wrong result")
    name = cupy.cuda.runtime.getDeviceProperties(number % count)["name"]
    return cupy, name.decode() if isinstance(name, bytes) else str(name)


def set_precision(precision, xp):
    """Choose the arithmetic of matrix products on a GPU, for the whole process.

    "fp32": float32 and nothing less. "tf32": float32 arrays, whose products round their inputs to
    10 bits of mantissa (a GPU older than Ampere computes fp32). "mixed": float16 arrays, summed in
    float32 (see Network.half). The CPU knows fp32 only, and says so.
    Raises DeviceError.
    """
    global _tf32
    if precision not in PRECISIONS:
        raise DeviceError(f"precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if xp is not np:
        _tf32 = precision == "tf32"
    elif precision != "fp32":
        raise DeviceError(
            f"--precision {precision} needs a CUDA GPU (see --device cuda); "
            "the CPU computes in fp32, say --precision fp32"
        )


def tf32():
    """True if float32 matrix products may round their inputs: a plan may depend on it."""
    return _tf32


def gpu_failure(error):
    """One line if an exception is CUDA's or CuPy's own, else None.

    Out of memory has many names: MemoryError, CUBLAS_STATUS_ALLOC_FAILED, CUDA_ERROR_OUT_OF_MEMORY.
    """
    if not (type(error).__module__.startswith("cupy") or isinstance(error, cublas.CublasError)):
        return None
    return "the GPU failed: " + " ".join(str(error).split())[:200]


def to_host(x):
    """x as a NumPy array, copied from the GPU if it lives there."""
    return x if isinstance(x, (np.ndarray, np.generic)) else x.get()


def to_device(x, xp):
    """x as an array of xp, numpy or cupy, copied if it lives elsewhere."""
    return to_host(x) if xp is np else xp.asarray(x)


def gpu_number(xp):
    """The number of the GPU that xp works on now; None on the CPU."""
    return None if xp is np else xp.cuda.Device().id


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


def device_numbers(numbers, xp, into=None):
    """Numbers, a tuple or one, as float32 on the device: in the array `into` or a new one.

    On the CPU they are what they were.
    """
    if xp is np:
        return numbers
    if into is None:
        return xp.asarray(np.array(numbers, np.float32))
    for k, number in enumerate(numbers) if into.ndim else [(..., numbers)]:
        into[k] = number  # an argument of a launch: nothing is waited for
    return into


# Matrix products -------------------------------------------------------------------------------


def matmul(a, b, out=None, accumulate=False):
    """a @ b, row-major, summed in float32 at least.

    a: (M, K) or (B, M, K). b: (K, N) or (B, K, N). Either may be a transposed view.
    out: C-contiguous array for the result, or None for a new one of a's dtype; on a GPU a float32
    `out` may take the product of float16 arrays. accumulate: add to `out`, do not replace it.
    Returns out.
    """
    xp = array_module(a)
    if xp is not np:
        return gemm(xp, a, b, out, accumulate)
    if accumulate:
        out += a @ b
        return out
    return np.matmul(a, b, out=out)


def gemm(xp, a, b, out, accumulate):
    """matmul by cuBLAS. It thinks in columns: a row-major C = A B is its C^T = B^T A^T."""
    if out is None:
        out = xp.empty(a.shape[:-1] + b.shape[-1:], dtype=a.dtype)
    name, sizes, told_b, told_a, told_out = _told(*map(_form, (a, b, out)), _tf32)
    if name:
        head = cublas.handle(xp), *sizes, _ADDRESS[True]
        operands = b.data.ptr, *told_b, a.data.ptr, *told_a
        result = _ADDRESS[bool(accumulate)], out.data.ptr, *told_out
        cublas.call(xp, name, *head, *operands, *result)
    return out


def _form(x):
    return x.shape, x.strides, x.dtype


@lru_cache(4096)
def _told(a, b, out, fast):
    """What cuBLAS is told of a product besides addresses: its function; how B and A lie, n, m, k;
    of B, of A, of the result, and how to compute. a, b, out: see _form. No function: nothing to do.
    """
    types = cublas.TYPES
    (a_shape, _, a_dtype), (b_shape, _, b_dtype), (shape, strides, dtype) = a, b, out
    (m, k), (k_b, n), itemsize = a_shape[-2:], b_shape[-2:], dtype.itemsize
    fit = k == k_b and shape == a_shape[:-2] + (m, n) and a_dtype == b_dtype
    if not fit or a_dtype not in types or dtype not in types:
        raise ValueError(f"matmul: {a_shape} @ {b_shape} -> {shape}, {a_dtype} @ {b_dtype}")
    contiguous = [prod(shape[i + 1 :]) * itemsize for i in range(len(shape))]
    if any(n > 1 and s != c for n, s, c in zip(shape, strides, contiguous, strict=True)):
        raise ValueError("matmul: out must be contiguous")
    if m == 0 or n == 0:
        return (None,) * 5
    batched = len(shape) == 3
    op_a, told_a = _operand(*a, batched)
    op_b, told_b = _operand(*b, batched)
    fast = fast and a_dtype == np.float32
    how = cublas.COMPUTE_32F_FAST_TF32 if fast else cublas.COMPUTE_32F, cublas.DEFAULT_ALGORITHM
    name = "cublasGemmStridedBatchedEx" if batched else "cublasGemmEx"
    batch = (m * n, shape[0]) if batched else ()
    return name, (op_b, op_a, n, m, k), told_b, told_a, (types[dtype], n, *batch, *how)


def _operand(shape, strides, dtype, batched):
    """A (..., rows, columns) array as cuBLAS is told of it: whether it lies transposed; its type,
    step from one contiguous line to the next, and in a batch from one matrix to the next.

    Raises ValueError if neither its rows nor its columns are contiguous.
    """
    rows, columns = shape[-2:]
    row, column = (s // dtype.itemsize for s in strides[-2:])
    if column == 1 or columns == 1:
        transposed, step = cublas.OP_N, row if rows > 1 else columns
    elif row == 1 or rows == 1:
        transposed, step = cublas.OP_T, column
    else:
        raise ValueError("matmul: an operand has neither contiguous rows nor contiguous columns")
    told = cublas.TYPES[dtype], step
    if batched:
        told += (strides[0] // dtype.itemsize if len(shape) == 3 else 0,)
    return transposed, told


# Overlapping copies ----------------------------------------------------------------------------


def uploaded(batches, xp):
    """The batches on the device of xp, each copied there while the previous one is used.

    batches: a generator of NumPy arrays of one shape and dtype. On a GPU a batch goes through
    page-locked memory and a second stream, and what is yielded is valid until the next but one
    is asked for. Closing this generator closes `batches`.
    """
    try:
        yield from (batches if xp is np else _uploaded(batches, xp))
    finally:
        batches.close()


def _uploaded(batches, xp):
    stream = xp.cuda.Stream(non_blocking=True)
    slots, last = [_Slot(xp), _Slot(xp)], None
    try:
        for slot, batch in zip(cycle(slots), batches, strict=False):
            slot.send(batch, stream)
            if last:
                yield from last.use()
            last = slot
        if last:
            yield from last.use()
    finally:
        stream.synchronize()  # nobody else may get the arrays while a copy is under way


class _Slot:
    """A page-locked buffer, its twin on the device, and who is done with them."""

    def __init__(self, xp):
        self.xp = xp
        self.pinned = self.array = None
        self.copied, self.used = xp.cuda.Event(), xp.cuda.Event()

    def send(self, batch, stream):
        """Start to copy a batch. Waits until the last copy out of this slot is over."""
        xp = self.xp
        if self.array is None:
            memory = xp.cuda.alloc_pinned_memory(batch.nbytes)
            self.pinned = np.frombuffer(memory, batch.dtype, batch.size).reshape(batch.shape)
            self.array = xp.empty(batch.shape, batch.dtype)
            self.used.record(xp.cuda.get_current_stream())
        else:
            self.copied.synchronize()  # long past: two steps ago
        self.pinned[...] = batch
        stream.wait_event(self.used)
        with stream:
            self.array.set(self.pinned)
            self.copied.record(stream)

    def use(self):
        """Yield the array once the copy is there, then note how far the reader has got."""
        main = self.xp.cuda.get_current_stream()
        main.wait_event(self.copied)
        yield self.array
        self.used.record(main)


def device_memory(xp, *pools):
    """Bytes of device memory that CuPy's pools hold, used or ready for reuse; None on the CPU.

    A pool keeps what it once had, so at the end of a run this is the most that was needed. pools:
    MemoryPools beside the one for all; None is none.
    """
    if xp is np:
        return None
    return sum(p.total_bytes() for p in (xp.get_default_memory_pool(), *pools) if p)
