"""The CUDA kernels of kernels/*.cu: how they are loaded and launched, and those of the layers.

Each kernel is launched by one function, here or in cuda.py. What it computes and how is told in its
own file, with the name of its NumPy reference. A CUDA kernel does not check what it is given, so
these functions do: dtype, shape, contiguity; whatever is wrong raises ValueError or TypeError before
anything is launched. Python must not be slower than the GPU, so what has been checked is remembered,
with all that follows from it: `prepared`.

Sizes that shape the code (Q, K, vector width ...) are compiled in as #defines; CuPy keeps every
variant it compiled on disk. Half-precision arrays only change how numbers are stored (REAL): all
arithmetic is float32.

Notation
    C   channels, the last axis everywhere      V, M   as in winograd.py
"""

import hashlib
from functools import cache, partial
from math import prod
from pathlib import Path

import numpy as np

from ..backend import array_module
from .memory import ALIGNED, whole

_HERE = Path(__file__).parents[1]
# In a clone they lie at the top; an installed package carries them along.
SOURCES = next(p for p in (_HERE.parent / "kernels", _HERE / "cu") if (p / "common.cuh").exists())

BLOCK_SIZE = 256  # threads of a block, in every kernel
_BLOCK = (BLOCK_SIZE,)
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


class Launch:
    """A kernel with its grid and numbers, called with the arrays, which come first. A kernel that
    has nothing to do is not launched."""

    __slots__ = ("grid", "kernel", "name", "numbers")

    def __init__(self, name, kernel, grid, numbers):
        self.name, self.kernel, self.grid, self.numbers = name, kernel, grid, numbers

    def __call__(self, *arrays):
        if self.kernel:
            self.kernel(self.grid, _BLOCK, (*arrays, *self.numbers))


def ready(file, grid, first, *numbers, name=None, **defines):
    """The Launch of a kernel with 256 threads a block.

    grid: blocks, a number or two. first: the first array; REAL is its C type, if that holds real
    numbers. numbers: in the kernel's order; a Python int is an int there, a float a float.
    """
    grid, name = grid if isinstance(grid, tuple) else (grid,), name or file
    if 0 in grid:
        return Launch(name, None, grid, ())
    if first.dtype in C_TYPES:
        defines.setdefault("REAL", C_TYPES[first.dtype])
    kernel = compiled(array_module(first), file, name, tuple(sorted(defines.items())))
    return Launch(name, kernel, grid, tuple(map(_as_in_c, numbers)))


def _as_in_c(number):
    if isinstance(number, float):  # or NumPy's float64
        return np.float32(number)
    return np.int32(number) if isinstance(number, int) else number


_prepared = {}  # what `prepared` keeps
MOST = 4096  # of it


def prepared(prepare):
    """A function of (arrays, *rest) that calls prepare(*arrays, *rest), which checks the arrays and
    makes launches ready, once for all arrays that are alike but for their contents."""

    def find(arrays, *rest):
        key = [prepare, *rest]
        try:
            for a in arrays:
                at = a.data
                key += type(a), a.dtype.char, a.shape, a.strides, at.ptr % ALIGNED, at.device_id
        except AttributeError:
            prepare(*arrays, *rest)  # which says what is wrong
            raise
        key = tuple(key)
        found = _prepared.get(key)
        if found is None:
            if len(_prepared) >= MOST:
                _prepared.clear()
            found = _prepared[key] = prepare(*arrays, *rest)
        return found

    return find


def room(like, *shape, dtype=np.float32):
    """A function that makes an array of this shape, on the device of `like`."""
    return partial(array_module(like).empty, shape, dtype)


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


def vector_width(channels, array, *others, most=ALIGNED):
    """How many neighbouring channels a thread treats at once: up to `most` bytes, or one channel.
    Raises if an array does not allow it."""
    vec = most // array.itemsize
    vec = 1 if channels % vec else vec
    for each in (array, *others):
        if each.data.ptr % (vec * array.itemsize):
            raise ValueError(f"an array must begin at a multiple of {vec * array.itemsize} bytes")
    return vec


# Layers --------------------------------------------------------------------------------------


class _Channelwise:
    """A channelwise kernel for (..., C) arrays (see common.cuh): its grid, sizes and #defines.

    pictures: name -> array, float32 or float16, all alike. vectors: (C,) float32.
    """

    def __init__(self, pictures, **vectors):
        self.first, *_ = pictures.values()
        x = self.first
        check(REAL, **pictures)
        check(x.dtype, x.shape, **pictures)
        check(np.float32, x.shape[-1:], **vectors)
        self.channels = x.shape[-1]
        rows = x.size // self.channels
        vec = vector_width(self.channels, *pictures.values())
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

    def ready(self, file, **defines):
        """Every such kernel ends with the sizes."""
        numbers = self.channels, *self.sizes
        return ready(file, self.grid, self.first, *numbers, **self.defines, **defines)

    def room(self, *leading):
        return room(self.first, *leading, self.channels)


@prepared
def _bias_relu(y, bias, relu):
    return _Channelwise({"y": y}, bias=bias).ready("bias_relu", RELU=int(relu))


def bias_relu(y, bias, relu):
    """y <- max(y + b, 0), or y + b without relu: chapter 3."""
    _bias_relu((y, bias), relu)(y, bias)
    return y


@prepared
def _bias_relu_backward(dy, y, relu):
    c = _Channelwise({"dy": dy, "y": y})
    return c.ready("bias_relu_backward", RELU=int(relu)), c.room(c.chunks)


def bias_relu_backward(dy, y, relu=True):
    """The same as in chapter 3; dx is written over dy. Without relu dy's rows may be padded."""
    rows = whole(dy)
    y = y if relu else rows  # is not read
    launch, room = _bias_relu_backward((rows, y), relu)
    partial = room()
    launch(rows, y, partial)
    return dy, partial.sum(axis=0)[: dy.shape[-1]]


@prepared
def _batchnorm_statistics(x):
    c = _Channelwise({"x": x})
    merge = {"name": "batchnorm_merge", **c.defines}  # nothing new to compile
    numbers = c.channels, c.chunks, *c.sizes
    merge = ready("batchnorm_statistics", cdiv(c.channels, 8), x, *numbers, **merge)
    return c.ready("batchnorm_statistics"), merge, c.room(2, c.chunks), c.room()


def batchnorm_statistics(x):
    """mu and var (biased) of every channel: chapter 6."""
    launch, merge, room, vector = _batchnorm_statistics((x,))
    partial, mean, var = room(), vector(), vector()
    launch(x, partial)
    merge(partial, mean, var)
    return mean, var


@prepared
def _batchnorm_normalize(x, mean, scale, shift):
    c = _Channelwise({"x": x}, mean=mean, scale=scale, shift=shift)
    return c.ready("batchnorm_normalize"), room(x, *x.shape, dtype=x.dtype)


def batchnorm_normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift: chapter 6."""
    launch, y = _batchnorm_normalize((x, mean, scale, shift))
    y = y()
    launch(x, mean, scale, shift, y)
    return y


@prepared
def _batchnorm_sums(dy, x, mean):
    c = _Channelwise({"dy": dy, "x": x}, mean=mean)
    return c.ready("batchnorm_sums"), c.room(c.chunks, 2)


def batchnorm_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels: chapter 6."""
    launch, room = _batchnorm_sums((dy, x, mean))
    partial = room()
    launch(dy, x, mean, partial)
    sums = partial.sum(axis=0)
    return sums[0], sums[1]


@prepared
def _batchnorm_backward(dy, x, mean, scale, offset, slope):
    vectors = {"mean": mean, "scale": scale, "offset": offset, "slope": slope}
    return _Channelwise({"dy": dy, "x": x}, **vectors).ready("batchnorm_backward")


def batchnorm_backward(dy, x, mean, scale, offset, slope):
    """dy <- scale (dy - offset - (x - mean) slope): chapter 6."""
    arrays = dy, x, mean, scale, offset, slope
    _batchnorm_backward(arrays)(*arrays)
    return dy


@prepared
def _gather(x, fill, rows, cols, starts, sizes):
    _, height, width, channels = x.shape
    check(REAL, x=x)
    check(np.float32, (channels,), fill=fill)
    n, high, wide = sizes
    pixels, vec = n * high * wide, vector_width(channels, x)
    threads = pixels * channels // vec
    if threads >= 2**32 - BLOCK_SIZE:
        raise ValueError(f"{pixels} pixels at a time: the kernel counts to 2^32")
    numbers = height, width, channels, *starts, high, wide, *rows, *cols, np.uint32(threads)
    launch = ready("gather", cdiv(threads), x, *numbers, VEC=vec)
    return launch, room(x, pixels, rows.count * cols.count * channels, dtype=x.dtype)


def gather(x, rows, cols, block, fill):
    """See gather.gather. rows, cols: Taps, in the kernel's order. fill: (C,) float32."""
    launch, columns = _gather((x, fill), rows, cols, *_starts_and_sizes(block))
    columns = columns()
    launch(x, fill, columns)
    return columns


def _starts_and_sizes(block):
    n, r, c = block
    return (n.start, r.start, c.start), (n.stop - n.start, r.stop - r.start, c.stop - c.start)


@prepared
def _winograd_transform(x, fill, m, inputs, dilation, padding, starts, sizes):
    _, height, width, channels = x.shape
    check(REAL, x=x)
    check(np.float32, (channels,), fill=fill)
    tiles, starts = _tiles(starts, sizes, m, dilation, padding)
    vec = vector_width(channels, x, most=_tile_vector(x, m))
    numbers = height, width, channels, *starts, *sizes[1:], dilation, np.int64(tiles)
    defines = {"VEC": vec, "M": m, "INPUT": int(inputs)}
    launch = ready("winograd_transform", cdiv(tiles * channels // vec), x, *numbers, **defines)
    return launch, room(x, (m + 2) ** 2, tiles, channels, dtype=x.dtype)


def winograd_transform(x, m, inputs, dilation, padding, fill, block):
    """V = B^T X B for every tile of a block (see winograd.py), or without `inputs` A X A^T.

    x: (N, H, W, C). fill: (C,) float32, the value of what lies outside x. Returns (t*t, P, C).
    """
    block = _starts_and_sizes(block)
    launch, v = _winograd_transform((x, fill), m, inputs, dilation, padding, *block)
    v = v()
    launch(x, fill, v)
    return v


@prepared
def _winograd_output(products, bias, y, m, dilation, relu, starts, sizes):
    _, height, width, channels = y.shape
    tiles, starts = _tiles(starts, sizes, m, dilation)
    check(REAL, y=y)
    check(y.dtype, ((m + 2) ** 2, tiles, channels), M=products)
    check(np.float32, (channels,), bias=bias)
    vec = vector_width(channels, y, products, most=_tile_vector(y, m))
    numbers = height, width, channels, *starts, *sizes[1:], dilation, np.int64(tiles)
    defines = {"VEC": vec, "M": m, "RELU": int(relu)}
    return ready("winograd_output", cdiv(tiles * channels // vec), y, *numbers, **defines)


def winograd_output(products, m, y, dilation, bias, relu, block):
    """Y = A^T M A for every tile of a block, plus bias, put in its place in y (N, Ho, Wo, C).

    products: M (t*t, P, C). What a tile overhangs is dropped. relu: clamp at 0. Returns y.
    """
    arrays = products, bias, y
    _winograd_output(arrays, m, dilation, relu, *_starts_and_sizes(block))(*arrays)
    return y


def _tiles(starts, sizes, m, dilation, padding=0):
    """Of a block of cells (see winograd.py): its tiles; its first picture, pixel row and column."""
    n, i, j = starts
    tiles, side = prod(sizes) * dilation**2, m * dilation
    if tiles >= 2**31:
        raise ValueError(f"{tiles} tiles at a time: the kernel counts to 2^31")
    return tiles, (n, i * side - padding, j * side - padding)


def _tile_vector(x, m):
    """Bytes that a thread reads at once: a whole tile of so many channels fits its registers."""
    return (4 if m == 2 else 2) * x.itemsize
