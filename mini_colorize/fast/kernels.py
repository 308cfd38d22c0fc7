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

from ..backend import array_module, device_copy

_HERE = Path(__file__).parents[1]
# In a clone they lie at the top; an installed package carries them along.
SOURCES = next(p for p in (_HERE.parent / "kernels", _HERE / "cu") if (p / "common.cuh").exists())

BLOCK_SIZE = 256  # of a block, in every kernel
_REAL = {np.dtype(np.float32): "float", np.dtype(np.float16): "__half"}
_KINDS = {name: (np.dtype(name),) for name in ("uint8", "int32", "float32")} | {
    "real": tuple(_REAL)
}


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


def _launch(file, grid, args, name=None, **defines):
    """Launch a kernel of 256 threads a block. args: arrays and NumPy scalars, in its order.

    REAL is the C type of the first array, if that holds real numbers.
    """
    xp = array_module(args[0])
    if args[0].dtype in _REAL:
        defines.setdefault("REAL", _REAL[args[0].dtype])
    kernel = compiled(xp, file, name or file, tuple(sorted(defines.items())))
    kernel(grid if isinstance(grid, tuple) else (grid,), (BLOCK_SIZE,), args)


def _cdiv(items, size=BLOCK_SIZE):
    return -(-items // size)


def _int32(*numbers):
    return [np.int32(k) for k in numbers]


def _check(name, array, kind, shape=None):
    """Raise unless the array is on the GPU, C-contiguous, of a dtype and, if given, of a shape.

    kind: of _KINDS; "real" is float32 or float16.
    """
    if array_module(array) is np:
        raise TypeError(f"{name}: is not on the GPU")
    if array.dtype not in _KINDS[kind]:
        raise TypeError(f"{name}: {array.dtype}, must be {' or '.join(map(str, _KINDS[kind]))}")
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


def _check_like(name, array, other, shape=None):
    """Raise unless the array is as `_check` wants it, of another one's dtype and shape."""
    _check(name, array, "real", other.shape if shape is None else shape)
    if array.dtype != other.dtype:
        raise TypeError(f"{name}: {array.dtype}, must be {other.dtype}")


# Colours and bins ------------------------------------------------------------------------------


def crops_to_lab(rgb, linear, to_xyz, step, offset):
    """See color.crops_to_lab. linear: (256,), to_xyz: (3, 3) float64, on the host."""
    xp = array_module(rgb)
    n, height, width, _ = rgb.shape
    _check("rgb", rgb, "uint8", (n, height, width, 3))
    x = xp.empty((n, height, width, 1), np.float32)
    rows, columns = (len(range(offset, side, step)) for side in (height, width))
    ab = xp.empty((n, rows, columns, 2), np.float32)
    constants = device_copy(linear, xp), device_copy(to_xyz, xp)
    args = rgb, *constants, x, ab, *_int32(height, width), np.int64(x.size)
    _launch("crops_to_lab", _cdiv(x.size), args, STEP=step, OFFSET=offset)
    return x, ab


def lab_to_rgb(lab, to_linear):
    """See color.lab_to_rgb. lab: (..., 3) float32. to_linear: (3, 3) float32, on the host."""
    xp = array_module(lab)
    _check("lab", lab, "float32", lab.shape[:-1] + (3,))
    rgb = xp.empty_like(lab)
    pixels = lab.size // 3
    if pixels:
        args = (lab, device_copy(to_linear, xp), rgb, np.int64(pixels))
        _launch("lab_to_rgb", _cdiv(pixels), args)
    return rgb


def soft_encode(ab, bins, table, cell, reach, k, sigma):
    """See bins.soft_encode. bins: (Q, 2) float32, table: (cells, cells, M) int32, on the host."""
    xp = array_module(ab)
    _check("ab", ab, "float32", ab.shape[:-1] + (2,))
    index = xp.empty(ab.shape[:-1] + (k,), np.int32)
    weight = xp.empty(index.shape, np.float32)
    pixels = ab.size // 2
    if pixels:
        constants = device_copy(bins, xp), device_copy(table, xp)
        sizes = np.int64(pixels), np.int32(table.shape[2]), np.float32(1 / (2 * sigma**2))
        args = ab, *constants, index, weight, *sizes
        _launch("soft_encode", _cdiv(pixels), args, K=k, Q=len(bins), CELL=cell, REACH=reach)
    return index, weight


def annealed_mean(logits, bins, temperature):
    """See bins.annealed_mean. bins: (Q, 2) float32, on the host."""
    xp = array_module(logits)
    _check("logits", logits, "real", logits.shape[:-1] + (len(bins),))
    ab = xp.empty(logits.shape[:-1] + (2,), logits.dtype)
    pixels = ab.size // 2
    mode = np.float32(temperature) == 0
    # At most the largest float32: a difference of 0 times infinity would be no number.
    slope = np.float32(0 if mode else min(np.log2(np.e) / temperature, 3.4e38))
    if pixels:
        args = (logits, device_copy(bins, xp), ab, np.int64(pixels), slope)
        grid = min(_cdiv(pixels, 8), 8 * _multiprocessors(xp))
        _launch("annealed_mean", grid, args, Q=len(bins), MODE=int(mode))
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
    _check("logits", logits, "real")
    _check("index", index, "int32", (pixels, k))
    _check("weight", weight, "float32", (pixels, k))
    _check("class_weight", class_weight, "float32", (q,))
    _check("scale", scale, "float32", ())
    valid = (weight[:, 0] > 0).sum(dtype=np.int64)
    cross_entropy, weighted = xp.empty(pixels, np.float32), xp.empty(pixels, np.float32)
    given = logits, logits, index, weight, class_weight, valid, scale
    args = *given, cross_entropy, weighted, np.int64(pixels)
    _launch("softmax_cross_entropy", _cdiv(pixels, 8), args, Q=q, K=k)
    return valid, weighted, cross_entropy


# Layers ----------------------------------------------------------------------------------------


class _Channelwise:
    """Grid and #defines of a channelwise kernel for (..., C) arrays (see common.cuh)."""

    def __init__(self, x, *others, blocks=1024):
        self.channels = x.shape[-1]
        self.rows = x.size // self.channels
        vec = _vector_width(self.channels, x, *others)
        groups = self.channels // vec
        wide = 1  # threads side by side: a power of two, at most a warp
        while wide < min(groups, 32):
            wide *= 2
        across = _cdiv(groups, wide)
        # Enough blocks to fill the device, each with at least one row a thread.
        high = BLOCK_SIZE // wide
        self.chunk = max(high, _cdiv(self.rows, max(1, blocks // across)))
        self.chunks = _cdiv(self.rows, self.chunk)
        self.grid = (across, self.chunks)
        self.defines = {"TX": wide, "VEC": vec}

    @property
    def sizes(self):
        """The scalar arguments every such kernel ends with."""
        return np.int32(self.channels), np.int64(self.rows), np.int64(self.chunk)


def _check_channels(x, *vectors):
    for vector in vectors:
        _check("a vector of channels", vector, "float32", x.shape[-1:])


def bias_relu(y, bias, relu):
    """y <- max(y + b, 0), or y + b without relu: chapter 3."""
    _check("y", y, "real")
    _check_channels(y, bias)
    c = _Channelwise(y)
    _launch("bias_relu", c.grid, (y, bias, *c.sizes), RELU=int(relu), **c.defines)
    return y


def bias_relu_backward(dy, y, relu):
    """dy <- dx. Returns db. y is not read unless relu: chapter 3."""
    _check("dy", dy, "real")
    if relu:
        _check_like("y", y, dy)
    c = _Channelwise(dy, *([y] if relu else []))
    partial = array_module(dy).empty((c.chunks, c.channels), np.float32)
    args = (dy, y if relu else dy, partial, *c.sizes)
    _launch("bias_relu_backward", c.grid, args, RELU=int(relu), **c.defines)
    return partial.sum(axis=0)


def batchnorm_statistics(x):
    """mu and var (biased) of every channel: chapter 6."""
    xp = array_module(x)
    _check("x", x, "real")
    c = _Channelwise(x)
    partial = xp.empty((2, c.chunks, c.channels), np.float32)
    mean, var = xp.empty(c.channels, np.float32), xp.empty(c.channels, np.float32)
    _launch("batchnorm_statistics", c.grid, (x, partial, *c.sizes), **c.defines)
    channels, rows, chunk = c.sizes
    args = (partial, mean, var, channels, np.int32(c.chunks), rows, chunk)
    defines = {**c.defines, "REAL": _REAL[x.dtype]}  # as above: nothing new to compile
    _launch("batchnorm_statistics", _cdiv(c.channels, 8), args, "batchnorm_merge", **defines)
    return mean, var


def batchnorm_normalize(x, mean, scale, shift):
    """y = (x - mean) scale + shift: chapter 6."""
    _check("x", x, "real")
    _check_channels(x, mean, scale, shift)
    c, y = _Channelwise(x), array_module(x).empty_like(x)
    _launch("batchnorm_normalize", c.grid, (x, mean, scale, shift, y, *c.sizes), **c.defines)
    return y


def batchnorm_sums(dy, x, mean):
    """sum dy and sum dy (x - mean) over pixels: chapter 6."""
    _check("dy", dy, "real")
    _check_like("x", x, dy)
    _check_channels(dy, mean)
    c = _Channelwise(dy, x)
    partial = array_module(dy).empty((c.chunks, 2, c.channels), np.float32)
    _launch("batchnorm_sums", c.grid, (dy, x, mean, partial, *c.sizes), **c.defines)
    sums = partial.sum(axis=0)
    return sums[0], sums[1]


def batchnorm_backward(dy, x, mean, scale, offset, slope):
    """dy <- scale (dy - offset - (x - mean) slope): chapter 6."""
    _check("dy", dy, "real")
    _check_like("x", x, dy)
    _check_channels(dy, mean, scale, offset, slope)
    c = _Channelwise(dy, x)
    args = (dy, x, mean, scale, offset, slope, *c.sizes)
    _launch("batchnorm_backward", c.grid, args, **c.defines)
    return dy


def gather(x, rows, cols, block, fill):
    """See gather.gather. fill: (C,) float32."""
    xp = array_module(x)
    _, height, width, channels = x.shape
    _check("x", x, "real")
    _check("fill", fill, "float32", (channels,))
    n, r, c = block
    high, wide = r.stop - r.start, c.stop - c.start
    pixels = (n.stop - n.start) * high * wide
    columns = xp.empty((pixels, rows.count * cols.count * channels), x.dtype)
    vec = _vector_width(channels, x)
    threads = pixels * channels // vec
    if threads >= 2**32 - BLOCK_SIZE:
        raise ValueError(f"{pixels} pixels at a time: the kernel counts to 2^32")
    taps = (number for t in (rows, cols) for number in (t.start, t.step, t.count, t.stride))
    numbers = (height, width, channels, n.start, r.start, c.start, high, wide, *taps)
    args = (x, fill, columns, *_int32(*numbers), np.uint32(threads))
    _launch("gather", _cdiv(threads), args, VEC=vec)
    return columns


def winograd_transform(x, m, inputs, dilation, padding, fill, block, out=None):
    """See winograd.input_transform, or without `inputs` gradient_transform."""
    xp = array_module(x)
    _, height, width, channels = x.shape
    _check("x", x, "real")
    _check("fill", fill, "float32", (channels,))
    tiles, starts, cells = _cells(block, m, dilation, padding)
    shape = ((m + 2) ** 2, tiles, channels)
    v = xp.empty(shape, x.dtype) if out is None else out
    _check_like("out", v, x, shape)
    numbers = height, width, channels, *starts, *cells, dilation
    args = (x, fill, v, *_int32(*numbers), np.int64(tiles))
    _launch("winograd_transform", _cdiv(tiles * channels), args, M=m, INPUT=int(inputs))
    return v


def winograd_output(products, m, y, dilation, bias, relu, block):
    """See winograd.output_transform."""
    _, height, width, channels = y.shape
    tiles, starts, cells = _cells(block, m, dilation)
    _check("y", y, "real")
    _check_like("M", products, y, ((m + 2) ** 2, tiles, channels))
    _check_channels(y, bias)
    numbers = height, width, channels, *starts, *cells, dilation
    args = (products, bias, y, *_int32(*numbers), np.int64(tiles))
    _launch("winograd_output", _cdiv(tiles * channels), args, M=m, RELU=int(relu))
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
    _check("x", x, "float32")
    height, width = size
    top, bottom, _ = rows.indices(height)
    y = array_module(x).empty((n, bottom - top, width, channels), np.float32)
    pixels = y.size // channels
    numbers = (h, w, height, width, top, bottom - top, channels)
    if pixels:
        args = (x, y, *_int32(*numbers), np.int64(pixels))
        _launch("upsample", _cdiv(pixels), args)
    return y


# Optimiser -------------------------------------------------------------------------------------


def adam(p, g, m, v, scale, overflow, rates, decayed, decay, betas, eps):
    """See optim.adam. rates: (2,) float32."""
    for name, array in {"p": p, "g": g, "m": m, "v": v}.items():
        _check(name, array, "float32", (p.size,))
    _check("scale", scale, "float32", ())
    _check("overflow", overflow, "int32", ())
    _check("rates", rates, "float32", (2,))
    numbers = np.int64(p.size), np.int64(decayed), *(np.float32(f) for f in (decay, *betas, eps))
    args = (p, g, m, v, scale, overflow, rates, *numbers)
    _launch("adam", _cdiv(p.size), args)


def find_overflow(x):
    """1 if any number is infinite or not a number, else 0. x: (n,). Returns () int32."""
    _check("x", x, "float32", (x.size,))
    overflow = array_module(x).zeros((), np.int32)
    _launch("find_overflow", min(_cdiv(x.size), 1024), (x, overflow, np.int64(x.size)))
    return overflow


def moving_average(average, now, share):
    """See optim.moving_average. share: () float32."""
    _check("average", average, "float32", (average.size,))
    _check("now", now, "float32", (average.size,))
    _check("share", share, "float32", ())
    _launch("moving_average", _cdiv(average.size), (average, now, share, np.int64(average.size)))
