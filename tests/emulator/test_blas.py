"""The stand-in's cuBLAS: every layout it can be asked for, against NumPy; and what it refuses."""

import itertools

import numpy as np
import pytest

from emulator import blas
from mini_colorize import cublas

TYPES = {"f4": 0, "f8": 1, "f2": 2}
C32, C64, TF32 = 68, 70, 77


GAP = 2


def column_major(cupy, x, dtype):
    """Matrices (batch, rows, columns) on the GPU as (batch, columns, ld): a gap of NaN below each
    column."""
    host = np.full((len(x), x.shape[2], x.shape[1] + GAP), np.nan, dtype)
    host[:, :, :-GAP] = x.swapaxes(1, 2)
    return cupy.asarray(host)


class Product:
    """One call of gemm_batched, with matrices that have gaps, full of NaN, around them."""

    def __init__(self, cupy, transa=0, transb=0, type_in="f4", type_out="f4", compute=C32, **more):
        more = {"batch": 3, "shared_b": False, "alpha": 1.5, "beta": 0.0} | more
        batch, shared_b, alpha, beta = more.values()
        m, n, k = 4, 5, 6
        rng = np.random.default_rng(0)
        a = rng.standard_normal((batch, m, k)).astype(type_in)
        b = rng.standard_normal((1 if shared_b else batch, k, n)).astype(type_in)
        c = rng.standard_normal((batch, m, n)).astype(type_out)
        self.expected = alpha * (a.astype(float) @ b.astype(float)) + beta * c.astype(float)
        self.a = column_major(cupy, a.swapaxes(1, 2) if transa else a, type_in)
        self.b = column_major(cupy, b.swapaxes(1, 2) if transb else b, type_in)
        self.c = column_major(cupy, c if beta else np.full_like(c, np.nan), type_out)  # or not read
        self.before = self.c.get()
        self.scalars = np.array([alpha, beta], np.float64 if compute == C64 else np.float32)

        def of(x, kind, shared=False):
            return [x.data.ptr, TYPES[kind], x.shape[2], 0 if shared else x[0].size]

        alpha, beta = (self.scalars[i:].ctypes.data for i in (0, 1))
        values = [cublas.handle(cupy), transa, transb, m, n, k, alpha]
        values += [*of(self.a, type_in), *of(self.b, type_in, shared_b), beta]
        values += [*of(self.c, type_out), batch, compute, -1]
        self.arguments = dict(zip(blas.ARGUMENTS, values, strict=True))

    def run(self, **changed):
        blas.gemm_batched(**{**self.arguments, **changed})

    def result(self):
        """C without its gaps, which nobody has touched."""
        assert np.isnan(self.c.get()[:, :, -GAP:]).all()
        return self.c.get()[:, :, :-GAP].swapaxes(1, 2)


LAYOUTS = list(itertools.product([0, 1], [0, 1], [1, 3], [False, True], [0.0, -2.0]))
KINDS = [
    ("f4", "f4", C32, 1e-6),
    ("f8", "f8", C64, 1e-14),
    ("f2", "f2", C32, 2e-3),
    ("f2", "f4", C32, 1e-6),
    ("f4", "f4", TF32, 2e-3),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transa, transb, batch, shared_b, beta", LAYOUTS)
def test_product(cupy, transa, transb, batch, shared_b, beta, kind):
    *types, tolerance = kind  # of the input, of the output, of the arithmetic
    product = Product(cupy, transa, transb, *types, batch=batch, shared_b=shared_b, beta=beta)
    product.run()
    error = np.abs(product.result() - product.expected).max() / np.abs(product.expected).max()
    assert error < tolerance


def test_single_product(cupy):
    product = Product(cupy, batch=1, transa=1, beta=0.5)
    blas.gemm(**{name: product.arguments[name] for name in blas.SINGLE})
    assert np.allclose(product.result(), product.expected, rtol=1e-5, atol=1e-5)


def test_positions_of_arguments(cupy):
    product = Product(cupy)
    blas.gemm_batched(*product.arguments.values())
    first = product.c.get()
    product.c[...] = np.nan
    values = [product.arguments[name] for name in blas.SINGLE]
    blas.gemm(*values)
    for wrong in (values[:-1], [*values, 0]):
        with pytest.raises(TypeError, match="each once"):
            blas.gemm(*wrong)
    assert np.array_equal(product.c.get()[0], first[0], equal_nan=True)
    assert np.isnan(product.c.get()[1:]).all()


def multiply(cupy, sizes, a, b, c, compute):
    """c = a b, each an array, its type and its leading dimension."""
    alpha, beta = np.ones(1, np.float32), np.zeros(1, np.float32)
    (a, *of_a), (b, *of_b), (c, *of_c) = a, b, c
    values = [cublas.handle(cupy), 0, 0, *sizes, alpha.ctypes.data]
    values += [a.data.ptr, *of_a, b.data.ptr, *of_b, beta.ctypes.data, c.data.ptr, *of_c]
    blas.gemm(*values, compute, -1)


def test_tf32_rounds_to_ten_bits(cupy):
    """1 + 2^-10 stays, 1 + 2^-11 goes up, 1 + 2^-12 goes down; the sum itself is float32."""
    x = np.array([1 + 2**-10, 1 + 2**-11, 1 + 2**-12, -(1 + 2**-11), 3e38, np.inf], np.float32)
    given, one = cupy.asarray(x), cupy.ones(1, np.float32)
    y = cupy.empty(6, np.float32)
    multiply(cupy, (6, 1, 1), (given, 0, 6), (one, 0, 1), (y, 0, 6), TF32)
    up = 1 + 2**-10
    assert y.get()[:4].tolist() == [up, up, 1, -up] and y.get()[5] == np.inf


def test_half_is_summed_in_float32(cupy):
    """2048 + 1 + 1: float16 has no 2049, a float32 sum gives 2050."""
    a, b = cupy.asarray(np.array([2048, 1, 1], np.float16)), cupy.ones(3, np.float16)
    c = cupy.empty(1, np.float16)
    multiply(cupy, (1, 1, 3), (a, 2, 1), (b, 2, 3), (c, 2, 1), C32)
    assert float(c[0]) == 2050


REFUSED = [
    (dict(lda=3), "A: leading dimension 3 < 4"),
    (dict(ldb=5), "B: leading dimension 5 < 6"),
    (dict(ldc=3), "C: leading dimension 3 < 4"),
    (dict(transa=1, lda=5), "A: leading dimension 5 < 6"),
    (dict(m=0), "INVALID_VALUE: m, n, k"),
    (dict(n=-1), "INVALID_VALUE: m, n, k"),
    (dict(k=0), "INVALID_VALUE: m, n, k"),
    (dict(batchCount=0), "INVALID_VALUE: m, n, k"),
    (dict(transa=2), "transposes"),
    (dict(Atype=1), "NOT_SUPPORTED"),
    (dict(Ctype=2), "NOT_SUPPORTED"),
    (dict(Atype=1, Btype=1, Ctype=1), "NOT_SUPPORTED"),
    (dict(computeType=C64), "NOT_SUPPORTED"),
    (dict(computeType=0), "NOT_SUPPORTED"),
    (dict(Atype=2, Btype=2, Ctype=2, computeType=TF32), "NOT_SUPPORTED"),
    (dict(algo=50), "algorithm 50"),
    (dict(handle=1), "NOT_INITIALIZED"),
    (dict(strideA=-36), "stride -36 is negative"),
    (dict(strideC=0), "overlap"),
    (dict(batchCount=4), "A: .* not in one array"),
    (dict(k=7, ldb=8), "A: .* not in one array"),
    (dict(A=64), "A: .* not in one array"),
    (dict(lda=7, strideA=42), "A: .* not in one array"),
]


@pytest.mark.parametrize("changed, message", REFUSED)
def test_refused(cupy, changed, message):
    product = Product(cupy)
    with pytest.raises(ValueError, match=message):
        product.run(**changed)
    assert np.array_equal(product.c.get(), product.before, equal_nan=True)


def test_host_and_freed_memory_are_refused(cupy):
    product = Product(cupy)
    host = product.a.get()
    with pytest.raises(ValueError, match="A: .* not in one array of the GPU"):
        product.run(A=host.ctypes.data)
    with pytest.raises(ValueError, match="B: .* is no address of a float32"):
        product.run(B=product.b.data.ptr + 2)
    big = cupy.ones(1 << 20, np.float32)
    address = big.data.ptr
    product.run(A=address)
    del big
    with pytest.raises(ValueError, match="A: .* not in one array of the GPU"):
        product.run(A=address)
