"""The bytes of pictures that Pillow gives up and that can be shown.

JPEG: ITU-T T.81, annexes B and G. PNG: the W3C's PNG specification, sections 5 and 11.
"""

import re
import struct
import zlib

from PIL import PngImagePlugin

PNG, JPEG, END_OF_JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd9"

# A marker within the data of a scan: not a stuffed byte, a restart or a fill byte.
ZEROS = 64  # bytes: so many at the end of a file are no data
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# What may follow where a JPEG file ends. Of data that are complete none of it changes the picture:
# bits for the blocks that may be missing; restart intervals of them, begun at two places, because
# decoders take one that comes one or two too early for a sign that others were lost.
_MORE = b"\x55" * 256
_INTERVALS = [bytes([0xFF, 0xD0 + i]) + _MORE for i in range(8)]
MORE_BLOCKS = (_MORE, b"".join(_INTERVALS), b"".join(_INTERVALS[4:] + _INTERVALS[:4]))


def without_ballast(data, critical_only=False):
    """The bytes of a PNG file without all that may be damaged or too long and is not the picture.

    Of its ancillary chunks only whole ones that say what the colours mean and which side is up
    are left; none if `critical_only`.
    """
    kept = [PNG]
    for name, chunk in _chunks(data):
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        useful = name in (b"tRNS", b"eXIf") or (name == b"iCCP" and _is_short_profile(chunk[8:-4]))
        if name[:1].isupper() or (whole and useful and not critical_only):
            kept.append(chunk)
    return b"".join(kept)


def _chunks(data):
    """Name and bytes of each chunk of a PNG file."""
    at = len(PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at : at + 12 + length]
        at += 12 + length


def without_check_sum(data):
    """The bytes of a PNG file whose rows are all there, with new check sums: what was wrong with
    the old ones cannot be told. Those of any other file as they are.
    """
    width, height = struct.unpack(">II", data[16:24])
    chunks = list(_chunks(data))
    body = b"".join(chunk[8:-4] for name, chunk in chunks if name == b"IDAT")
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)  # without zlib's head of two bytes, and the sum
    try:
        rows = unpack.decompress(body[2:], (8 * width + 16) * height)
    except zlib.error:
        return data
    if not unpack.eof:
        return data
    made = b"IDAT" + zlib.compress(rows, 1)
    kept = [PNG]
    for name, chunk in chunks:
        if name != b"IDAT":
            kept.append(chunk)
        elif made:
            check = struct.pack(">I", zlib.crc32(made))
            kept += struct.pack(">I", len(made) - 4), made, check
            made = None
    return b"".join(kept)


def _is_short_profile(body):
    """Whether an iCCP chunk holds a profile that Pillow takes: name, 0, 0, zlib."""
    _, _, packed = body.partition(b"\0")
    unpack = zlib.decompressobj()
    try:
        unpack.decompress(packed[1:], PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return False
    return unpack.eof


def jpeg_scans(data):
    """The bytes of a JPEG file up to the last one that is of use, without an end mark, and whether
    the headers of its scans promise the whole picture: every coefficient of every component, to its
    last bit.
    """
    bits = None  # component -> for each of its 64 coefficients, how many bits are still missing
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        marker, body = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return data[: found.start()], _is_complete(bits)
        if marker == 0x01:  # TEM has no length
            at = body
            continue
        end = body + int.from_bytes(data[body : body + 2], "big")
        if end > len(data) or end < body + 2:  # cut off within a segment
            return data[: found.start()], _is_complete(bits)
        segment = data[body + 2 : end]
        if marker in _FRAMES:
            bits = {segment[i]: [16] * 64 for i in range(6, len(segment) - 2, 3)}
        elif marker == 0xDA and bits is not None:
            first, last, low = segment[-3], segment[-2], segment[-1] & 15
            for i in range(1, len(segment) - 3, 2):
                if segment[i] in bits:
                    bits[segment[i]][first : last + 1] = [low] * (min(last, 63) + 1 - first)
        at = end
    if not any(data[-ZEROS:]):
        data = data.rstrip(b"\0")
    return data.rstrip(b"\xff"), _is_complete(bits)


def _is_complete(bits):
    return bits is not None and not any(any(left) for left in bits.values())
