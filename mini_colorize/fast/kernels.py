"""The CUDA kernels of kernels/*.cu: each is loaded, checked and launched by one function here.

cuda.py makes operations of them. What a kernel computes and how is told in its own file, with the
name of its NumPy reference. A CUDA kernel does not check what it is given, so these functions do:
dtype, shape, contiguity; whatever is wrong raises ValueError or TypeError before anything is
launched.

Sizes that shape the code (Q, K, vector width ...) are compiled in as #defines; CuPy keeps every
variant it compiled on disk. Half-precision arrays only change how numbers are stored (REAL): all
arithmetic is float32.

Notation
    P   pixels      Q   bins      K   neighbours      C   channels, the last axis everywhere
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from ..backend import array_module
from .memory import constant

_HERE = Path(__file__).parents[1]
# In a clone they lie at the top; an installed package carries them along.
SOURCES = next(p for p in (_HERE.parent / "kernels", _HERE / "cu") if (p / "common.cuh").exists())

BLOCK_SIZE = 256  # of a block, in every kernel
_C_TYPES = {np.dtype(np.float32): "float", np.dtype(np.float16): "__half"}
REAL = tuple(_C_TYPES)


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


def _launch(file, grid, *args, name=None, **defines):
    """Launch a kernel of 256 threads a block, unless there is nothing to do.

    grid: blocks, a number or two. args: in the kernel's order; a Python int is an int there, a
    float a float. REAL is the C type of the first array, if that holds real numbers.
    """
    grid = grid if isinstance(grid, tuple) else (grid,)
    if 0 in grid:
        return
    if args[0].dtype in _C_TYPES:
        defines.setdefault("REAL", _C_TYPES[args[0].dtype])
    defined = tuple(sorted(defines.items()))
    kernel = compiled(array_module(args[0]), file, name or file, defined)
    kernel(grid, (BLOCK_SIZE,), tuple(_as_in_c(a) for a in args))


def _as_in_c(argument):
    kind = {int: np.int32, float: np.float32}.get(type(argument))
    return kind(argument) if kind else argument


def _cdiv(items, size=BLOCK_SIZE):
    return -(-items // size)


def _check(dtypes, shape=None, **arrays):
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


# Colours and bins ------------------------------------------------------------------------------


def crops_to_lab(rgb, linear, to_xyz, step, offset):
    """See color.crops_to_lab. linear: (256,), to_xyz: (3, 3) float64, on the host."""
    xp = array_module(rgb)
    n, height, width, _ = rgb.shape
    _check(np.uint8, (n, height, width, 3), rgb=rgb)
    x = xp.empty((n, height, width, 1), np.float32)
    rows, columns = (len(range(offset, side, step)) for side in (height, width))
    ab = xp.empty((n, rows, columns, 2), np.float32)
    constants = constant(linear, xp), constant(to_xyz, xp)
    sizes, defines = (height, width, np.int64(x.size)), {"STEP": step, "OFFSET": offset}
    _launch("crops_to_lab", _cdiv(x.size), rgb, *constants, x, ab, *sizes, **defines)
    return x, ab


def lab_to_rgb(lab, to_linear):
    """See color.lab_to_rgb. lab: (..., 3) float32. to_linear: (3, 3) float32, on the host."""
    xp, pixels = array_module(lab), lab.size // 3
    _check(np.float32, lab.shape[:-1] + (3,), lab=lab)
    rgb = xp.empty_like(lab)
    _launch("lab_to_rgb", _cdiv(pixels), lab, constant(to_linear, xp), rgb, np.int64(pixels))
    return rgb


def soft_encode(ab, bins, table, cell, reach, k, sigma):
    """See bins.soft_encode. bins: (Q, 2) float32, table: (cells, cells, M) int32, on the host."""
    xp, pixels = array_module(ab), ab.size // 2
    _check(np.float32, ab.shape[:-1] + (2,), ab=ab)
    index = xp.empty(ab.shape[:-1] + (k,), np.int32)
    weight = xp.empty(index.shape, np.float32)
    arrays = ab, constant(bins, xp), constant(table, xp), index, weight
    numbers = np.int64(pixels), table.shape[2], 1 / (2 * sigma**2)
    defines = {"K": k, "Q": len(bins), "CELL": cell, "REACH": reach}
    _launch("soft_encode", _cdiv(pixels), *arrays, *numbers, **defines)
    return index, weight


def annealed_mean(logits, bins, temperature):
    """See bins.annealed_mean. bins: (Q, 2) float32, on the host."""
    xp = array_module(logits)
    _check(REAL, logits.shape[:-1] + (len(bins),), logits=logits)
    ab = xp.empty(logits.shape[:-1] + (2,), logits.dtype)
    pixels = ab.size // 2
    mode = bool(np.float32(temperature) == 0)
    # At most the largest float32: a difference of 0 times infinity would be no number.
    slope = 0.0 if mode else min(np.log2(np.e) / temperature, 3.4e38)
    grid = min(_cdiv(pixels, 8), 8 * _multiprocessors(xp))
    args = logits, constant(bins, xp), ab, np.int64(pixels), float(slope)
    _launch("annealed_mean", grid, *args, Q=len(bins), MODE=int(mode))
    return ab


@cache
def _multiprocessors(xp):
    return xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["multiProcessorCount"]


# Loss ------------------------------------------------------------------------------------------


def softmax_cross_entropy(logits, index, weight, class_weight, scale):
    """See losses.softmax_cross_entropy. logits: (P, Q), overwritten by the gradient.

    index, weight: (P, K). class_weight: (Q,) float32. scale: () float32.
    Returns the pixels that count, () int64, and two losses a pixel, (P,) float32: with the class
    weight and without.
    """
    xp = array_module(logits)
    (pixels, q), k = logits.shape, index.shape[-1]
    if k > 32:
        raise ValueError(f"{k} neighbours: a warp has room for 32")
    _check(REAL, logits=logits)
    _check(np.int32, (pixels, k), index=index)
    _check(np.float32, (pixels, k), weight=weight)
    _check(np.float32, (q,), class_weight=class_weight)
    _check(np.float32, (), scale=scale)
    valid = (weight[:, 0] > 0).sum(dtype=np.int64)
    cross_entropy, weighted = xp.empty(pixels, np.float32), xp.empty(pixels, np.float32)
    given = logits, logits, index, weight, class_weight, valid, scale
    args = *given, cross_entropy, weighted, np.int64(pixels)
    _launch("softmax_cross_entropy", _cdiv(pixels, 8), *args, Q=q, K=k)
    return valid, weighted, cross_entropy


# Layers ----------------------------------------------------------------------------------------


class _Channelwise:
    """A channelwise kernel for (..., C) arrays (see common.cuh): its grid, sizes and #defines."""

    def __init__(self, x, *others):
        self.channels = x.shape[-1]
        rows = x.size // self.channels
        vec = _vector_width(self.channels, x, *others)
        groups = self.channels // vec
        wide = 1  # threads side by side: a power of two, at most a warp
        while wide < min(groups, 32):
            wide *= 2
        across = _cdiv(groups, wide)
        # Enough blocks to fill the device, each with at least one row a thread.
        chunk = max(BLOCK_SIZE // wide, _cdiv(rows, max(1, 1024 // across)))
        self.chunks = _cdiv(rows, chunk)
        self.grid = (across, self.chunks)
        self.defines = {"TX": wide, "VEC": vec}
        self.sizes = np.int64(rows), np.int64(chunk)

    def launch(self, file, *arrays, **defines):
        """Every such kernel ends with the sizes."""
        args = *arrays, self.channels, *self.sizes
        _launch(file, self.grid, *args, **self.defines, **defines)


def bias_relu(y, bias, relu):
    """y <- max(y + b, 0), or y + b without relu: chapter 3."""
    _check(REAL, y=y)
    _check(np.float32, y.shape[-1:], bias=bias)
    _Channelwise(y).launch("bias_relu", y, bias, RELU=int(relu))
    return y


def bias_relu_backward(dy, y, relu):
    """dy <- dx. Returns db. y is not read unless relu: chapter 3."""
    y = y if relu else dy
    _check(REAL, dy=dy)
    _check(dy.dtype, dy.shape, y=y)
    c = _Channelwise(dy, y)
    partial = array_module(dy).empty((c.chunks, c.channels), np.float32)
    c.launch("bias_relu_backward", dy, y, partial, RELU=int(relu))
    return partial.sum(axis=0)


def batchnorm_statistics(x):
    """mu and var (biased) of every channel: chapter 6."""
    xp = array_module(x)
    _check(REAL, x=x)
    c = _Channelwise(x)
    partial = xp.empty((2, c.chunks, c.channels), np.float32)
    mean, var = xp.empty(c.channels, np.float32), xp.empty(c.channels, np.float32)
    c.launch("batchnorm_statistics", x, partial)
    merge = {"name": "batchnorm_merge", "REAL": _C_TYPES[x.dtype]}  # nothing new to compile
    args = partial, mean, var, c.channels, c.chunks, *c.sizes
    _launch("batchnorm_statistics", _cdiv(c.channels, 8), *args, **merge, **c.defines)
    return mean, var


def batchnorm_normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift: chapter 6."""
    _check(REAL, x=x)
    _check(np.float32, x.shape[-1:], mean=mean, scale=scale, shift=shift)
    y = array_module(x).empty_like(x)
    _Channelwise(x).launch("batchnorm_normalize", x, mean, scale, shift, y)
    return y


def batchnorm_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels: chapter 6."""
    _check(REAL, dy=dy)
    _check(dy.dtype, dy.shape, x=x)
    _check(np.float32, dy.shape[-1:], mean=mean)
    c = _Channelwise(dy, x)
    partial = array_module(dy).empty((c.chunks, 2, c.channels), np.float32)
    c.launch("batchnorm_sums", dy, x, mean, partial)
    sums = partial.sum(axis=0)
    return sums[0], sums[1]


def batchnorm_backward(dy, x, mean, scale, offset, slope):
    """dy <- scale (dy - offset - (x - mean) slope): chapter 6."""
    _check(REAL, dy=dy)
    _check(dy.dtype, dy.shape, x=x)
    _check(np.float32, dy.shape[-1:], mean=mean, scale=scale, offset=offset, slope=slope)
    _Channelwise(dy, x).launch("batchnorm_backward", dy, x, mean, scale, offset, slope)
    return dy


def gather(x, rows, cols, block, fill):
    """See gather.gather. fill: (C,) float32."""
    _, height, width, channels = x.shape
    _check(REAL, x=x)
    _check(np.float32, (channels,), fill=fill)
    n, r, c = block
    high, wide = r.stop - r.start, c.stop - c.start
    pixels = (n.stop - n.start) * high * wide
    columns = array_module(x).empty((pixels, rows.count * cols.count * channels), x.dtype)
    vec = _vector_width(channels, x)
    threads = pixels * channels // vec
    if threads >= 2**32 - BLOCK_SIZE:
        raise ValueError(f"{pixels} pixels at a time: the kernel counts to 2^32")
    taps = (number for t in (rows, cols) for number in (t.start, t.step, t.count, t.stride))
    numbers = height, width, channels, n.start, r.start, c.start, high, wide, *taps
    _launch("gather", _cdiv(threads), x, fill, columns, *numbers, np.uint32(threads), VEC=vec)
    return columns


def winograd_transform(x, m, inputs, dilation, padding, fill, block):
    """V = B^T X B for every tile of a block (see winograd.py), or without `inputs` A X A^T.

    x: (N, H, W, C). fill: (C,) float32, the value of what lies outside x. Returns (t*t, P, C).
    """
    _, height, width, channels = x.shape
    _check(REAL, x=x)
    _check(np.float32, (channels,), fill=fill)
    tiles, starts, cells = _cells(block, m, dilation, padding)
    v = array_module(x).empty(((m + 2) ** 2, tiles, channels), x.dtype)
    args = x, fill, v, height, width, channels, *starts, *cells, dilation, np.int64(tiles)
    _launch("winograd_transform", _cdiv(tiles * channels), *args, M=m, INPUT=int(inputs))
    return v


def winograd_output(products, m, y, dilation, bias, relu, block):
    """Y = A^T M A for every tile of a block, plus bias, put in its place in y (N, Ho, Wo, C).

    products: M (t*t, P, C). What a tile overhangs is dropped. relu: clamp at 0. Returns y.
    """
    _, height, width, channels = y.shape
    tiles, starts, cells = _cells(block, m, dilation)
    _check(REAL, y=y)
    _check(y.dtype, ((m + 2) ** 2, tiles, channels), M=products)
    _check(np.float32, (channels,), bias=bias)
    args = products, bias, y, height, width, channels, *starts, *cells, dilation, np.int64(tiles)
    _launch("winograd_output", _cdiv(tiles * channels), *args, M=m, RELU=int(relu))
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


def upsample(x, size, rows=slice(None)):
    """See layers.upsample.upsample. rows: a slice of range(size[0])."""
    n, h, w, channels = x.shape
    _check(np.float32, x=x)
    height, width = size
    top, bottom, _ = rows.indices(height)
    y = array_module(x).empty((n, bottom - top, width, channels), np.float32)
    pixels = y.size // channels
    numbers = h, w, height, width, top, bottom - top, channels, np.int64(pixels)
    _launch("upsample", _cdiv(pixels), x, y, *numbers)
    return y


# Optimiser -------------------------------------------------------------------------------------


def adam(p, g, m, v, scale, overflow, rates, decayed, decay, betas, eps):
    """See optim.adam. rates: (2,) float32."""
    _check(np.float32, (p.size,), p=p, g=g, m=m, v=v)
    _check(np.float32, (), scale=scale)
    _check(np.int32, (), overflow=overflow)
    _check(np.float32, (2,), rates=rates)
    numbers = np.int64(p.size), np.int64(decayed), *map(float, (decay, *betas, eps))
    _launch("adam", _cdiv(p.size), p, g, m, v, scale, overflow, rates, *numbers)


def find_overflow(x):
    """1 if any number is infinite or not a number, else 0. x: (n,). Returns () int32."""
    _check(np.float32, (x.size,), x=x)
    overflow = array_module(x).zeros((), np.int32)
    _launch("find_overflow", min(_cdiv(x.size), 1024), x, overflow, np.int64(x.size))
    return overflow


def moving_average(average, now, share):
    """See optim.moving_average. share: () float32."""
    _check(np.float32, (average.size,), average=average, now=now)
    _check(np.float32, (), share=share)
    _launch("moving_average", _cdiv(average.size), average, now, share, np.int64(average.size))
