"""Photographs, albums and small networks that the tests make for themselves, the same each time."""

import struct
import zlib

import numpy as np
from PIL import Image

from mini_colorize.files import checkpoint
from mini_colorize.network import Network


def smooth(rng, size=(40, 32), patches=(4, 5), low=0, high=256):
    """A photo-like picture: large patches of colour. size: (width, height); patches: (down, across)."""
    small = Image.fromarray(rng.integers(low, high, (*patches, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def noise(rng, size, low=0, high=256):
    """A picture that compresses badly and whose every pixel tells its place. size: (width, height)."""
    return Image.fromarray(rng.integers(low, high, (*size[::-1], 3), dtype=np.uint8))


def album(folder, count=6, size=(30, 24), name="{}.png", mode="RGB", seed=0):
    """Write smooth photos 0.png, 1.png ... into a folder, which is made if need be. Returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        smooth(rng, size).convert(mode).save(folder / name.format(i))
    return folder


def png(path, width, height, bits, kind, rows, *chunks, packed=None):
    """Write a PNG by hand. rows: bytes of each row, unless they are packed already; chunks: (name,
    bytes) before the data."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    body = chunk(b"IDAT", packed or zlib.compress(b"".join(b"\0" + row for row in rows)))
    extra = b"".join(chunk(*c) for c in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + extra + body + chunk(b"IEND", b""))
    return path


def mixed_album(folder):
    """Five colourful photos of several sizes, and a grey one in a folder within. Returns it."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        smooth(rng, (40 + 8 * i, 48), (3, 4)).save(folder / f"{i}.png")
    (folder / "sub").mkdir()
    noise(rng, (40, 40)).convert("L").save(folder / "sub" / "gray.png")
    return folder


def small_network(width=1 / 32, head="bins", seed=0):
    """A network that colours at once, though badly."""
    network = Network(width, head=head)
    lightness = np.random.default_rng(seed).uniform(-0.5, 0.5, (4, 32, 32, 1))
    network.initialize(lightness.astype(np.float32), seed)
    return network


def small_weights(path, size=32, **network):
    """Save a small network. Returns the path."""
    checkpoint.save_network(path, small_network(**network), size=size)
    return path
