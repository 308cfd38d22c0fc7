"""The page of the Turing test as a file: pairs of pictures in, one .html out, and back.

A page must not tell which picture of a pair is fake. So each pair is one JPEG, the photo in its
left half and the colouring in its right: both have the same codec, tables, sampling and size, and
there are not two files whose lengths could be compared. The order and the sides are drawn in the
browser. All JPEGs lie in one block of text, masked by a stream of numbers: no secret, since the
page must be able to read it, but a glance at the source or the DOM tells nothing.

Notation
    n    pairs          side    of one picture, pixels
"""

import base64
import binascii
import dataclasses
import hashlib
import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import UserError
from ...files.disk import atomic_write

PRACTICE, COLORING, CHECK = KINDS = 0, 1, 2  # of pairs
JPEG = {"format": "JPEG", "quality": 92, "subsampling": 0}  # colour is what is judged: all of it
MAX_BYTES = 512 * 2**20  # of a page
SCRIPTS = ("pairs", "page", "result")  # one after the other in one function
HERE = Path(__file__).parent


class PageError(UserError):
    """A file is not a usable page of the test. One line that starts with its path."""


@dataclasses.dataclass
class Page:
    """id: 16 hexadecimal digits. kinds: n numbers. jpegs: n bytes, photo left, colouring right."""

    id: str
    side: int
    kinds: list
    jpegs: list

    def pair(self, i):
        """Pair i as PIL images: (photo, colouring)."""
        both = Image.open(io.BytesIO(self.jpegs[i]), formats=["JPEG"])
        side = self.side
        return both.crop((0, 0, side, side)), both.crop((side, 0, 2 * side, side))


def join(photo, coloring):
    """Two pictures (side, side, 3) uint8, side a multiple of 8 -> one JPEG, bytes.

    A multiple of 8, because then no block of the JPEG lies in both halves.
    """
    file = io.BytesIO()
    Image.fromarray(np.hstack([photo, coloring])).save(file, **JPEG)
    return file.getvalue()


def write_page(path, side, kinds, jpegs):
    """Write the page whole or not at all. Returns its id. Raises OSError, and PageError if a page of
    other pairs is there: answers to it could not be scored any more.

    The same pairs always make the same page, to the byte.
    """
    head = {"size": side, "kinds": kinds, "lengths": [len(j) for j in jpegs]}
    text = json.dumps(head).encode()
    payload = len(text).to_bytes(4, "little") + text + b"".join(jpegs)
    page = hashlib.sha256(payload).hexdigest()[:16]
    if page_id(path) not in (None, page):
        raise PageError(f"{path}: is a page of other pairs, which may have answers; choose another")
    parts = {
        "@CSS@": _part("page.css").replace("@SIZE@", str(side)),
        "@JS@": "\n\n".join(_part(f"{name}.js") for name in SCRIPTS),
        "@PAGE@": page,
        "@DATA@": base64.b64encode(_masked(payload, page)).decode(),  # last: 5 MB, and no @ in it
    }
    html = _part("page.html")
    for mark, value in parts.items():
        html = html.replace(mark, value)
    with atomic_write(path) as file:
        file.write(html.encode())
    return page


def _part(name):
    return (HERE / name).read_text(encoding="utf-8").strip()


def _masked(data, page):
    """bytes XOR the numbers that follow from the page's id; done twice, it undoes itself.

    The numbers are mulberry32's, which page.js computes as well.
    """
    count = -(-len(data) // 4)
    t = np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x6D2B79F5)
    t += np.uint32(int(page[:8], 16))
    t = (t ^ t >> 15) * (t | 1)
    t = (t + (t ^ t >> 7) * (t | 61)) ^ t
    stream = (t ^ t >> 14).astype("<u4").view(np.uint8)[: len(data)]
    return (np.frombuffer(data, np.uint8) ^ stream).tobytes()


def page_id(path):
    """The id in the first lines of a file, or None if it is no page of the test."""
    try:
        with open(path, "rb") as file:
            found = re.search(rb'<html lang="en" data-page="([0-9a-f]{16})">', file.read(1000))
    except OSError:
        return None
    return found and found[1].decode()


def read_page(path):
    """Read a page that write_page made. Returns a Page. Raises PageError."""
    try:
        page = page_id(path)
        if Path(path).stat().st_size > MAX_BYTES or page is None:
            raise ValueError
        html = Path(path).read_bytes()
        block = re.search(rb'<script id="data" type="text/plain">([A-Za-z0-9+/=]*)</script>', html)
        payload = _masked(base64.b64decode(block[1], validate=True), page)
        if hashlib.sha256(payload).hexdigest()[:16] != page:
            raise ValueError
        start = 4 + int.from_bytes(payload[:4], "little")
        head = json.loads(payload[4:start])
        ends = start + np.cumsum([0, *head["lengths"]])
        jpegs = [payload[a:b] for a, b in itertools.pairwise(ends)]
        if len(jpegs) != len(head["kinds"]) or not set(head["kinds"]) <= {*KINDS}:
            raise ValueError
        return Page(page, head["size"], head["kinds"], jpegs)
    except OSError as error:
        raise PageError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, binascii.Error):
        raise PageError(f"{path}: not a page of the Turing test, or a damaged one") from None
