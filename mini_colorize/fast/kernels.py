"""The CUDA kernels of kernels/*.cu: how they are loaded and launched, and those of the layers.

Each kernel is launched by one function, here or in cuda.py. What it computes and how is told in its
own file, with the name of its NumPy reference. A CUDA kernel does not check what it is given, so
these functions do: dtype, shape, contiguity; whatever is wrong raises ValueError or TypeError before
anything is launched.

Sizes that shape the code (Q, K, vector width ...) are compiled in as #defines; CuPy keeps every
variant it compiled on disk. Half-precision arrays only change how numbers are stored (REAL): all
arithmetic is float32.

Notation
    C   channels, the last axis everywhere      V, M   as in winograd.py
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from ..backend import array_module

_HERE = Path(__file__).parents[1]
# In a clone they lie at the top; an installed package carries them along.
SOURCES = next(p for p in (_HERE.parent / "kernels", _HERE / "cu") if (p / "common.cuh").exists())

BLOCK_SIZE = 256  # of a block, in every kernel
C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float16): "__half"}
REAL = tuple(C_TYPES)


@cache
def compiled(xp, file, name, defines):
    """The kernel `name` of kernels/<file>.cu, compiled for these (name, value) pairs."""
    path = SOURCES / f"{file}.cu"
    # CuPy keeps compiled code by its source text: what is included must leave a trace in it. And
    # it runs the compiler once more for every new set of options, so these stay the same.
    headers = b"".join(header.read_bytes() for header in sorted(SOURCES.glob("*.cuh")))
    lines = [f"// headers {hashlib.sha1(headers).hexdigest()}"]
    lines += [f"#define {key} {value}" for key, value in defines]
    lines += [f'#line 1 "{path}"', path.read_text()]
    options = ("-std=c++17", f"-I{SOURCES}")
    return xp.RawModule(code="\n".join(lines), options=options).get_function(name)


def launch(file, grid, *args, name=None, **defines):
    """Launch a kernel of 256 threads a block, unless there is nothing to do.

    grid: blocks, a number or two. args: in the kernel's order; a Python int is an int there, a
    float a float. REAL is the C type of the first array, if that holds real numbers.
    """
    grid = grid if isinstance(grid, tuple) else (grid,)
    if 0 in grid:
        return
    if args[0].dtype in C_TYPES:
        defines.setdefault("REAL", C_TYPES[args[0].dtype])
    defined = tuple(sorted(defines.items()))
    kernel = compiled(array_module(args[0]), file, name or file, defined)
    kernel(grid, (BLOCK_SIZE,), tuple(_as_in_c(a) for a in args))


def _as_in_c(argument):
    kind = {int: np.int32, float: np.float32}.get(type(argument))
    return kind(argument) if kind else argument


def cdiv(items, size=BLOCK_SIZE):
    return -(-items // size)


def check(dtypes, shape=None, **arrays):
    """Raise unless the arrays are on the GPU, C-contiguous, of a dtype and, if given, of a shape.

    dtypes: one, or REAL.
    """
    allowed = dtypes if isinstance(dtypes, tuple) else (np.dtype(dtypes),)
    for name, array in arrays.items():
        if isinstance(array, np.ndarray):
            raise TypeError(f"{name}: is not on the GPU")
        if array.dtype not in allowed:
            raise TypeError(f"{name}: {array.dtype}, must be {' or '.join(map(str, allowed))}")
        if shape is not None and array.shape != tuple(shape):
            raise ValueError(f"{name}: shape {array.shape}, must be {tuple(shape)}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name}: must be C-contiguous")


def _vector_width(channels, *arrays):
    """How many channels a thread may read at once, 4 or 1. Raises if an array does not allow it."""
    vec = 4 if channels % 4 == 0 else 1
    for array in arrays:
        if array.data.ptr % (vec * array.itemsize):
            raise ValueError(f"an array must begin at a multiple of {vec * array.itemsize} bytes")
    return vec


# Layers --------------------------------------------------------------------------------------


class _Channelwise:
    """A channelwise kernel for (..., C) arrays (see common.cuh): its grid, sizes and #defines.

    pictures: name -> array, float32 or float16, all alike. vectors: (C,) float32.
    """

    def __init__(self, pictures, **vectors):
        x, *_ = pictures.values()
        check(REAL, **pictures)
        check(x.dtype, x.shape, **pictures)
        check(np.float32, x.shape[-1:], **vectors)
        self.channels = x.shape[-1]
        rows = x.size // self.channels
        vec = _vector_width(self.channels, *pictures.values())
        groups = self.channels // vec
        wide = 1  # threads side by side: a power of two, at most a warp
        while wide < min(groups, 32):
            wide *= 2
        across = cdiv(groups, wide)
        # Enough blocks to fill the device, each with at least one row a thread.
        chunk = max(BLOCK_SIZE // wide, cdiv(rows, max(1, 1024 // across)))
        self.chunks = cdiv(rows, chunk)
        self.grid = (across, self.chunks)
        self.defines = {"TX": wide, "VEC": vec}
        self.sizes = np.int64(rows), np.int64(chunk)

    def launch(self, file, *arrays, **defines):
        """Every such kernel ends with the sizes."""
        launch(file, self.grid, *arrays, self.channels, *self.sizes, **self.defines, **defines)


def bias_relu(y, bias, relu):
    """y <- max(y + b, 0), or y + b without relu: chapter 3."""
    _Channelwise({"y": y}, bias=bias).launch("bias_relu", y, bias, RELU=int(relu))
    return y


def bias_relu_backward(dy, y, relu=True):
    """The same as in chapter 3; dx is written over dy."""
    y = y if relu else dy  # is not read
    c = _Channelwise({"dy": dy, "y": y})
    partial = array_module(dy).empty((c.chunks, c.channels), np.float32)
    c.launch("bias_relu_backward", dy, y, partial, RELU=int(relu))
    return dy, partial.sum(axis=0)


def batchnorm_statistics(x):
    """mu and var (biased) of every channel: chapter 6."""
    c, xp = _Channelwise({"x": x}), array_module(x)
    partial = xp.empty((2, c.chunks, c.channels), np.float32)
    mean, var = xp.empty(c.channels, np.float32), xp.empty(c.channels, np.float32)
    c.launch("batchnorm_statistics", x, partial)
    merge = {"name": "batchnorm_merge", "REAL": C_TYPES[x.dtype]}  # nothing new to compile
    args = partial, mean, var, c.channels, c.chunks, *c.sizes
    launch("batchnorm_statistics", cdiv(c.channels, 8), *args, **merge, **c.defines)
    return mean, var


def batchnorm_normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift: chapter 6."""
    c = _Channelwise({"x": x}, mean=mean, scale=scale, shift=shift)
    y = array_module(x).empty_like(x)
    c.launch("batchnorm_normalize", x, mean, scale, shift, y)
    return y


def batchnorm_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels: chapter 6."""
    c = _Channelwise({"dy": dy, "x": x}, mean=mean)
    partial = array_module(dy).empty((c.chunks, 2, c.channels), np.float32)
    c.launch("batchnorm_sums", dy, x, mean, partial)
    sums = partial.sum(axis=0)
    return sums[0], sums[1]


def batchnorm_backward(dy, x, mean, scale, offset, slope):
    """dy <- scale (dy - offset - (x - mean) slope): chapter 6."""
    vectors = {"mean": mean, "scale": scale, "offset": offset, "slope": slope}
    c = _Channelwise({"dy": dy, "x": x}, **vectors)
    c.launch("batchnorm_backward", dy, x, *vectors.values())
    return dy


def gather(x, rows, cols, block, fill):
    """See gather.gather. rows, cols: Taps, in the kernel's order. fill: (C,) float32."""
    _, height, width, channels = x.shape
    check(REAL, x=x)
    check(np.float32, (channels,), fill=fill)
    n, r, c = block
    high, wide = r.stop - r.start, c.stop - c.start
    pixels = (n.stop - n.start) * high * wide
    columns = array_module(x).empty((pixels, rows.count * cols.count * channels), x.dtype)
    vec = _vector_width(channels, x)
    threads = pixels * channels // vec
    if threads >= 2**32 - BLOCK_SIZE:
        raise ValueError(f"{pixels} pixels at a time: the kernel counts to 2^32")
    numbers = height, width, channels, n.start, r.start, c.start, high, wide, *rows, *cols
    launch("gather", cdiv(threads), x, fill, columns, *numbers, np.uint32(threads), VEC=vec)
    return columns


def winograd_transform(x, m, inputs, dilation, padding, fill, block):
    """V = B^T X B for every tile of a block (see winograd.py), or without `inputs` A X A^T.

    x: (N, H, W, C). fill: (C,) float32, the value of what lies outside x. Returns (t*t, P, C).
    """
    _, height, width, channels = x.shape
    check(REAL, x=x)
    check(np.float32, (channels,), fill=fill)
    tiles, starts, cells = _cells(block, m, dilation, padding)
    v = array_module(x).empty(((m + 2) ** 2, tiles, channels), x.dtype)
    args = x, fill, v, height, width, channels, *starts, *cells, dilation, np.int64(tiles)
    launch("winograd_transform", cdiv(tiles * channels), *args, M=m, INPUT=int(inputs))
    return v


def winograd_output(products, m, y, dilation, bias, relu, block):
    """Y = A^T M A for every tile of a block, plus bias, put in its place in y (N, Ho, Wo, C).

    products: M (t*t, P, C). What a tile overhangs is dropped. relu: clamp at 0. Returns y.
    """
    _, height, width, channels = y.shape
    tiles, starts, cells = _cells(block, m, dilation)
    check(REAL, y=y)
    check(y.dtype, ((m + 2) ** 2, tiles, channels), M=products)
    check(np.float32, (channels,), bias=bias)
    args = products, bias, y, height, width, channels, *starts, *cells, dilation, np.int64(tiles)
    launch("winograd_output", cdiv(tiles * channels), *args, M=m, RELU=int(relu))
    return y


def _cells(block, m, dilation, padding=0):
    """Of a block of cells (see winograd.py): its tiles; its first picture, pixel row and column;
    its rows and columns of cells."""
    n, i, j = (s.start for s in block)
    pictures, rows, columns = (s.stop - s.start for s in block)
    tiles, side = pictures * rows * columns * dilation**2, m * dilation
    if tiles >= 2**31:
        raise ValueError(f"{tiles} tiles at a time: the kernel counts to 2^31")
    return tiles, (n, i * side - padding, j * side - padding), (rows, columns)
