"""What torch.save writes, read without torch, and without running anything.

Two forms. Since 2020 a zip archive, whose parts are stored as they are:

    NAME/data.pkl   a pickle; a tensor in it is a storage's key, an offset, a shape and strides
    NAME/data/KEY   the numbers of a storage        NAME/byteorder   "little" or "big"

and before that a stream:

    five pickles    a magic number, a version, the machine, the object itself, the storages' keys
    for each key    how many numbers, int64; the numbers, little-endian

A pickle is a program, and Python's own machine calls whatever the program names. Even where it
may name nothing, nine bytes make it take gigabytes (the index of a memo), and a hundred keep it
busy for years (the hash of nested tuples). So `_unpickled` is a machine of our own. It knows what a
dictionary of tensors needs, and its memory is bounded by the program's length.

Sources: torch/serialization.py and torch/_utils.py of PyTorch; Python's pickletools.
"""

import io
import os
import pickletools
import struct
import zipfile
from functools import lru_cache, partial
from math import prod

import numpy as np

from ..errors import UserError
from .later import Later

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MAX_PICKLE = 2**19  # bytes; that of the authors' network has some 15,000
MAX_AXES = 8
STORAGES = {  # name in torch -> its numbers' dtype, little-endian
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch BFloat16Storage": "<u2",  # the upper half of a float32, see `_array`
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "<u1",
}
DICT, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"


def read_archive(file):
    """The object in a zip archive of torch's.

    file: binary, which must stay open. Returns dictionaries, lists, tuples, strings and numbers as
    they are, and tensors as Later. Raises UserError, or nearly anything if the file is damaged.
    """
    archive, length = zipfile.ZipFile(file), os.fstat(file.fileno()).st_size
    programs = programs_of(archive)
    if len(programs) != 1:
        raise UserError(f"holds {len(programs)} objects of torch.save, not one")
    folder = programs[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    big = order in archive.namelist() and _part(archive, order, 16) == b"big"

    @lru_cache(1)  # several tensors may share one storage
    def numbers(key, dtype, count):
        data = _part(archive, f"{folder}data/{key}", length)
        return np.frombuffer(data, dtype.newbyteorder(">") if big else dtype)

    def find(key, dtype, count):
        size = count * dtype.itemsize
        if archive.getinfo(f"{folder}data/{key}").file_size != size or size > length:
            raise UserError(f"its storage {key[:20]} is not as long as it says")
        return partial(numbers, key, dtype, count)

    return _unpickled(io.BytesIO(_part(archive, programs[0], MAX_PICKLE)), find)


def programs_of(archive):
    """The names of the pickles in a ZipFile: one in an archive of torch's, none in our own."""
    return [name for name in archive.namelist() if f"/{name}".endswith("/data.pkl")]


def _part(archive, name, most):
    """A file of the archive, of at most so many bytes, stored as it is."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise UserError("its parts are compressed; torch.save stores them as they are")
    if info.file_size > most:
        raise UserError(f"its part {name[-40:]} is too long")
    return archive.read(info)  # checks the sum, too


def read_stream(file):
    """The object in a stream of torch's older form. As `read_archive`; the file must stay open."""
    start = file.tell()
    programs = io.BytesIO(file.read(MAX_PICKLE))  # what claims to be longer will find its end
    if _unpickled(programs) != MAGIC or _unpickled(programs) != VERSION:
        raise UserError("is a pickle, but none that torch.save has written")
    _unpickled(programs)  # about the machine: that of the numbers is little-endian nevertheless
    wanted, places = {}, {}  # key -> (dtype, count); key -> where its numbers begin

    @lru_cache(1)
    def numbers(key, dtype, count):
        file.seek(places[key])
        return np.frombuffer(file.read(count * dtype.itemsize), dtype)

    def find(key, dtype, count):
        if wanted.setdefault(key, (dtype, count)) != (dtype, count):
            raise UserError(f"its storage {key[:20]} has two lengths or kinds")
        return partial(numbers, key, dtype, count)

    value = _unpickled(programs, find)
    keys, length = _unpickled(programs), os.fstat(file.fileno()).st_size
    place = start + programs.tell()
    for key in _of(list, keys):
        dtype, count = wanted[_of(str, key)]
        file.seek(place)
        (said,) = struct.unpack("<q", file.read(8))
        places[key] = place + 8
        place += 8 + count * dtype.itemsize
        if said != count or place > length:
            raise UserError(f"its storage {key[:20]} is not as long as it says")
    if wanted.keys() != places.keys():
        raise UserError("lacks the numbers of a tensor")
    return value


class _Global(str):
    """What a pickle names: "module name"."""


def _allowed(name):
    if name not in (DICT, TENSOR, *STORAGES):
        name = name.replace(" ", ".")[:60]
        raise UserError(f"asks for {name}; only dictionaries of tensors are read: a state dict")
    return _Global(name)


_PLAIN = {  # instructions that put their argument on the stack
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES"),
}
_FRESH = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _unpickled(file, find=None):
    """The value of the pickle that begins here; the file then stands behind it.

    find: function that is given a storage's key, dtype and count, and returns one that reads it.
    """
    stack, marks, memo = [], [], {}

    def pop(count=None):
        """The last so many values, or all since the last mark."""
        at = marks.pop() if count is None else len(stack) - count
        if at < 0:
            raise ValueError("a pickle's stack is empty")
        values = stack[at:]
        del stack[at:]
        return values

    for instruction, value, _ in pickletools.genops(file):
        name = instruction.name
        if name in _PLAIN:
            stack.append(value)
        elif name in _FRESH:
            stack.append(_FRESH[name]())
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE" or name in _TUPLES:
            stack.append(tuple(pop(_TUPLES.get(name))))
        elif name in ("APPEND", "APPENDS"):
            values = pop(1 if name == "APPEND" else None)
            _of(list, stack[-1]).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = pop(2 if name == "SETITEM" else None)
            _set(_of(dict, stack[-1]), values[::2], values[1::2])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if value is None else value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name == "GLOBAL":
            stack.append(_allowed(value))
        elif name == "STACK_GLOBAL":
            stack.append(_allowed(" ".join(_of(str, part) for part in pop(2))))
        elif name == "REDUCE":
            stack.append(_call(*pop(2)))
        elif name == "BUILD":  # notes of torch's on a dictionary, such as the modules' versions
            pop(1)
            _of(dict, stack[-1])
        elif name == "BINPERSID":
            stack.append(_storage(find, *_of(tuple, *pop(1))))
        elif name == "STOP":
            return pop(1)[0]
        elif name not in ("PROTO", "FRAME"):
            raise UserError(f"its pickle has the instruction {name}; a state dict needs none such")


def _of(kind, value):
    """The value, which must be of that type and no other."""
    if type(value) is not kind:
        raise ValueError(f"a pickle has {type(value).__name__} in place of {kind.__name__}")
    return value


def _set(target, keys, values):
    """Entries of a dictionary. A key is a text, or a number as in an optimiser's state."""
    for key, value in zip(keys, values, strict=True):
        if type(key) not in (str, int):
            raise ValueError(f"a pickle has {type(key).__name__} as a key")
        target[key] = value


def _call(function, arguments):
    """Carry out one of the two calls that there are."""
    name = str(_of(_Global, function))
    if name == DICT and _of(tuple, arguments) == ():  # with pairs, a memo would copy them for ever
        return {}
    if name == TENSOR:
        return _tensor(*_of(tuple, arguments))
    raise ValueError(f"a pickle calls {name}")


def _storage(find, what, kind, key, device, count, view=None):
    """A storage: a function that reads it, its kind, its length, and where it begins.

    view: in the older form (its own key, first, count) of a part of another storage, or None.
    """
    if what != "storage" or type(kind) is not _Global or kind not in STORAGES:
        raise ValueError("a pickle refers to what is no storage")
    read = find(_of(str, key), np.dtype(STORAGES[kind]), _natural(count))
    if view is None:
        return _Storage(read, kind, 0, count)
    _, first, length = view
    if _natural(first) + _natural(length) > count:
        raise UserError(f"its storage {key[:20]} is not as long as it says")
    return _Storage(read, kind, first, length)


class _Storage:
    """read: function that returns (N,) numbers, of which `count` from `first` on are meant."""

    def __init__(self, read, kind, first, count):
        self.read, self.kind, self.first, self.count = read, kind, first, count


def _natural(number):
    if type(number) is not int or number < 0:
        raise ValueError("a pickle has a length or a place that is none")
    return number


def _tensor(storage, offset, shape, strides, gradient, hooks, notes=None):
    """A tensor as Later, float32 where it is bfloat16. Its place in the storage is checked here."""
    _of(_Storage, storage)
    shape, strides = _of(tuple, shape), _of(tuple, strides)
    if len(shape) != len(strides) or len(shape) > MAX_AXES or notes:
        raise UserError("holds a tensor of an unknown kind")
    steps = [(_natural(n) - 1) * _natural(step) for n, step in zip(shape, strides, strict=True)]
    if prod(shape) and _natural(offset) + sum(steps) >= storage.count:
        raise UserError("holds a tensor that is larger than its storage")
    offset += storage.first
    dtype = np.dtype(STORAGES[storage.kind])
    half = storage.kind == "torch BFloat16Storage"

    def make():
        numbers = storage.read()
        array = np.ndarray(
            shape,
            numbers.dtype,
            numbers,
            offset * dtype.itemsize,
            [s * dtype.itemsize for s in strides],
        )
        return (array.astype(np.uint32) << 16).view(np.float32) if half else array

    return Later(shape, np.float32 if half else dtype, make)
