"""A .caffemodel, read without Caffe: the weights of its layers.

Such a file is a message of Google's protobuf. A message is a row of fields; a field is a key, of
which the lower three bits say how its value is stored, the others which field it is:

    0   an integer, 7 bits a byte, low ones first, the top bit set but in the last byte (a varint)
    1   8 bytes        5   4 bytes
    2   a length, a varint, and as many bytes: a text, a message, or a row of numbers

Of Caffe's messages these fields are read, and all others skipped:

    NetParameter     1 name    2 layers (V1LayerParameter, before 2015)    100 layer
    V1LayerParameter 4 name    6 blobs           LayerParameter   1 name    7 blobs
    BlobProto        5 data (float)    8 double_data    7 shape    1..4 the old shape, 4 numbers
    BlobShape        1 dim

Sources: developers.google.com/protocol-buffers/docs/encoding; caffe/proto/caffe.proto.
"""

import os
from math import prod

import numpy as np

from ..errors import UserError
from .later import Later

MAX_FIELDS = 20_000  # of a whole file; the authors' has some thousand
MAX_AXES = 8
_NET = {2: (4, 6), 100: (1, 7)}  # field of a layer -> the fields of its name and its blobs
_DATA = {5: np.dtype("<f4"), 8: np.dtype("<f8")}
_SHAPE, _OLD_SHAPE = 7, (1, 2, 3, 4)


def read_caffemodel(file):
    """The layers that have weights. file: binary, which must stay open.

    Returns {name: [Later, ...]}, the blobs in their order, float32 or float64.
    Raises UserError if the file is cut short or is no such message.
    """
    message, layers = _Messages(file), {}
    for number, value in message.fields(0, os.fstat(file.fileno()).st_size):
        if number in _NET:
            name, blobs = _layer(message, _place(value), *_NET[number])
            if blobs and layers.setdefault(name, blobs) is not blobs:
                raise UserError(f"a Caffe model with two layers {name[:40]}")
    if not layers:
        raise UserError("not a Caffe model: no layer in it has weights")
    return layers


def _layer(message, place, name_field, blob_field):
    """Its name and its blobs."""
    name, blobs = "", []
    for number, value in message.fields(*place):
        if number == name_field:
            name = message.bytes(*_place(value))[:100].decode(errors="replace")
        elif number == blob_field:
            blobs.append(_blob(message, _place(value)))
    return name, blobs


def _blob(message, place):
    """An array that is still in the file, as Later."""
    shape, old, data = None, dict.fromkeys(_OLD_SHAPE, 0), []
    for number, value in message.fields(*place):
        if number in _DATA:
            data.append((_DATA[number], *_place(value)))
        elif number == _SHAPE:
            shape = _shape(message, _place(value))
        elif number in old:
            old[number] = value
    shape = list(old.values()) if shape is None else shape
    if len(data) != 1:
        raise UserError(
            "a Caffe model with an array without numbers, or with its numbers in pieces"
        )
    dtype, start, end = data[0]
    if len(shape) > MAX_AXES or prod(shape) * dtype.itemsize != end - start:
        raise UserError("a Caffe model with an array that is not as long as it says")
    return Later(
        shape, dtype, lambda: np.frombuffer(message.bytes(start, end), dtype).reshape(shape)
    )


def _shape(message, place):
    """The dim of a BlobShape: varints, all in one field or each in its own."""
    found = []
    for number, value in message.fields(*place):
        if number == 1 and isinstance(value, int):
            found.append(value)
        elif number == 1:
            at, end = value
            while at < end and len(found) <= MAX_AXES:
                dim, at = message.varint(at, end)
                found.append(dim)
    return found


def _place(value):
    if isinstance(value, int):
        raise UserError(
            "not a Caffe model, or a damaged one: a number is where a message should be"
        )
    return value


class _Messages:
    """Reads fields from a file. Places in it are bytes from its beginning."""

    def __init__(self, file):
        self.file, self.left = file, MAX_FIELDS

    def bytes(self, start, end):
        self.file.seek(start)
        return self.file.read(end - start)

    def fields(self, at, end):
        """The fields of the message between two places: the number of each, and its value as an
        int, or as (start, end) of its bytes. No length is believed that leads out of the message.
        """
        while at < end:
            self.left -= 1
            if self.left < 0:
                raise UserError(f"not a Caffe model: it has more than {MAX_FIELDS:,} fields")
            key, at = self.varint(at, end)
            number, kind = key >> 3, key & 7
            if kind == 0:
                value, at = self.varint(at, end)
            elif kind in (1, 2, 5):
                length, at = self.varint(at, end) if kind == 2 else ({1: 8, 5: 4}[kind], at)
                value = at, at + length
                at += length
            if number == 0 or kind not in (0, 1, 2, 5):
                raise UserError("not a Caffe model, or a damaged one: there is no such field")
            if at > end:
                raise UserError("not a Caffe model, or one that is cut short")
            yield number, value

    def varint(self, at, end):
        """The integer at a place, and the place behind it."""
        value = 0
        for i, byte in enumerate(self.bytes(at, min(at + 10, end))):
            value |= (byte & 127) << 7 * i
            if byte < 128:
                return value, at + i + 1
        raise UserError("not a Caffe model, or one that is cut short")
