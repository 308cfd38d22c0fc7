"""Files that look like the authors' weights and mean harm, or are damaged: one line each.

Nothing in them runs, none takes much memory or time.
"""

import os
import pickle
import re
import struct
import time
import warnings
import zipfile

import foreign_files as files
import numpy as np
import pytest
from foreign_files import (
    EMPTY,
    MACHINE,
    MAGIC,
    field,
    integer,
    layer,
    mapping,
    name,
    pickled,
    sequence,
    storage,
    tensor,
    text,
    varint,
    whole,
)
from programs import at_most

from mini_colorize.bins import BINS
from mini_colorize.files.checkpoint import CheckpointError, load_meta, load_network

STATE = files.port(1 / 32, BINS)
MEMORY, SECONDS = 40e6, 10  # of each; the largest of the files has 4 MB
MARKER = "this-ran"  # what the code in the files would make, in the current folder
RUN = sequence(text(f"touch {MARKER}")) + b"R"
SYSTEM = name("os", "system") + RUN
ZEROS = np.zeros((2, 2), "f4")


def archive(value, storages=None, **options):
    """A file maker: the archive with this pickle."""
    return lambda path: files.write_archive(path, value, storages or {}, **options)


def stream(value, storages=None):
    return lambda path: files.write_stream(path, value, storages or {})


def raw(data):
    return lambda path: path.write_bytes(data)


def rebuilt(**changed):
    """An archive with the paper's network, of which one thing is wrong: `tensor`'s arguments."""
    given = {"reference": storage("0", "Float", 4, ()), "shape": (2, 2), "strides": (2, 1)}
    value = mapping({"model1.0.weight": tensor(**{**given, **changed})})
    return archive(value, {"0": bytes(16)})


def one(value):
    """A state dict with one entry, pickled."""
    return mapping({"model1.0.weight": value})


def wide(path):
    """Tensors of a network four times as wide, every one of them one number repeated."""
    shapes = {n: a.shape for n, a in files.port(1 / 32, BINS).items()}
    items = {}
    for key, shape in shapes.items():
        grown = [n * 128 if n not in (1, 2, 3, 4, 313) else n for n in shape]
        reference = storage("0", "Float", 1, ())
        items[key] = tensor(reference, grown, [0] * len(grown))
    centres = STATE["model_out.weight"]
    items["model_out.weight"] = whole("1", centres)
    files.write_archive(path, mapping(items), {"0": bytes(4), "1": centres.tobytes()})


def repeated_bins(path):
    """The colours of the classes as one number, two trillion times."""
    state = {n: whole(str(i), a) for i, (n, a) in enumerate(STATE.items(), 1)}
    reference = storage("0", "Float", 1, ())
    state["model_out.weight"] = tensor(reference, (2, 10**12, 1, 1), (0, 0, 0, 0))
    data = {str(i): a.tobytes() for i, a in enumerate(STATE.values(), 1)}
    files.write_archive(path, mapping(state), {"0": bytes(4), **data})


def two_programs(path):
    """Another pickle stands before the honest one."""
    honest = path.with_suffix(".honest")
    files.write_pth(honest, STATE)
    with zipfile.ZipFile(path, "w") as target, zipfile.ZipFile(honest) as source:
        target.writestr("evil/data.pkl", pickled(SYSTEM))
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))


def same_name_twice(path):
    files.write_pth(path, STATE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as target:
            target.writestr("archive/data.pkl", pickled(SYSTEM))


def stream_before_an_archive(path):
    files.write_pth(path, STATE)
    path.write_bytes(pickled(SYSTEM) + path.read_bytes())


def directory_that_lies(path):
    """The directory says that a storage has terabytes, and so does the pickle."""
    count = 2**30 - 1
    value = one(tensor(storage("0", "Float", count, ()), (count,), (1,)))
    files.write_archive(path, value, {"0": bytes(16)})
    data = bytearray(path.read_bytes())
    at = data.rfind(b"archive/data/0") - 46
    struct.pack_into("<II", data, at + 20, 4 * count, 4 * count)
    path.write_bytes(data)


def encrypted(path):
    files.write_pth(path, STATE)
    good = path.read_bytes()
    data = bytearray(good)
    for mark, offset in ((rb"PK\x03\x04", 6), (rb"PK\x01\x02", 8)):
        for found in re.finditer(mark, good):
            data[found.start() + offset] |= 1
    path.write_bytes(data)


def overlapping(path):
    """A thousand names for the same 4 MB."""
    value = mapping(
        {f"x{i}": tensor(storage(str(i), "Float", 2**20, ()), (2**20,), (1,)) for i in range(1000)}
    )
    files.write_archive(path, value, {"0": bytes(2**22), "1": b""})
    data = path.read_bytes()
    start = data.find(b"PK\x01\x02")
    at = data.rfind(b"archive/data/0") - 46
    copies = b""
    for i in range(1, 1000):
        called = f"archive/data/{i}".encode()
        copies += data[at : at + 28] + struct.pack("<H", len(called))
        copies += data[at + 30 : at + 46] + called
    end = bytearray(data[-22:])
    count = struct.unpack_from("<H", end, 10)[0] + 999
    size = len(data) - 22 - start + len(copies)
    struct.pack_into("<HHI", end, 8, count, count, size)
    path.write_bytes(data[:-22] + copies + end)


def keys_of_a_stream(keys):
    """A stream whose list of storages' keys is this pickle."""
    value = one(whole("0", ZEROS, zipped=False))
    start = MAGIC + pickled(integer(1001)) + MACHINE
    return raw(start + pickled(value) + pickled(keys) + struct.pack("<q", 4) + bytes(16))


def deep_tuples(levels):
    """A tuple in a tuple in a tuple ...; each holds the one before twice."""
    return b")" + b"2\x86".replace(b"2", b"q\x00h\x00") * levels


LONG = 2**63
NET = field(1, b"LtoAB")


def net_with(blob):
    """A Caffe network with a layer that has this blob."""
    return raw(NET + field(100, field(1, b"bw_conv1_1") + field(7, blob)))


def shaped(*dims, data=bytes(16), number=5):
    return field(7, field(1, b"".join(map(varint, dims)))) + field(number, data)


def huge_scale(path):
    layers = files.caffe_blobs(STATE)
    layers["conv8_313_rh"] = "Scale", [np.arange(500_000, dtype="f4")]
    files.write_caffemodel(path, layers)


RAN, DAMAGED = "asks for os.system", "damaged checkpoint"
SHORT, CUT = "not as long as it says", "cut short"
ORDERED = name("collections", "OrderedDict")
HOSTILE = {
    # Pickles that call
    "os.system": (archive(SYSTEM), RAN),
    "os.system in the older form": (stream(SYSTEM), RAN),
    "os.system as the whole file": (raw(pickled(SYSTEM)), RAN),
    "os.system in the first pickle of a stream": (raw(pickled(SYSTEM) + MAGIC), RAN),
    "os.system in the pickle about the machine": (
        raw(MAGIC + pickled(integer(1001)) + pickled(SYSTEM)),
        RAN,
    ),
    "os.system in the storages' keys": (keys_of_a_stream(SYSTEM), RAN),
    "builtins.eval": (archive(name("builtins", "eval") + RUN), "asks for builtins.eval"),
    "builtins.exec of Python 2": (archive(name("__builtin__", "exec") + RUN), "asks for"),
    "getattr": (archive(name("builtins", "getattr") + RUN), "asks for builtins.getattr"),
    "posix.system by its name on the stack": (
        archive(text("posix") + text("system") + b"\x93" + RUN),
        "asks for posix.system",
    ),
    "a nested call": (archive(ORDERED + sequence(SYSTEM) + b"R"), RAN),
    "a call in a tensor's hooks": (rebuilt(hooks=SYSTEM), RAN),
    "a call as a storage's type": (archive(one(sequence(text("storage"), SYSTEM) + b"Q")), RAN),
    "torch.hub.load": (archive(name("torch.hub", "load") + RUN), "asks for torch.hub.load"),
    "numpy's pickles": (
        archive(name("numpy.core.multiarray", "_reconstruct") + RUN),
        "asks for numpy.core",
    ),
    "a name with line ends and colours": (
        archive(b"\x8c\x03a\nb\x8c\x04\x1b[2J\x93" + RUN),
        "asks for a b.?[2J",
    ),
    "INST": (archive(b"(" + text("touch " + MARKER) + b"ios\nsystem\n"), "instruction INST"),
    "OBJ": (archive(b"(" + EMPTY + b"o"), "instruction OBJ"),
    "NEWOBJ": (archive(ORDERED + b")\x81"), "NEWOBJ"),
    "an extension code": (archive(b"\x82\x01" + RUN), "instruction EXT1"),
    "a dictionary is called": (archive(EMPTY + RUN), "a pickle has dict in place"),
    "a storage's type is called": (
        archive(name("torch", "FloatStorage") + RUN),
        "a pickle calls torch FloatStorage",
    ),
    "a state for a function": (
        archive(name("torch._utils", "_rebuild_tensor_v2") + EMPTY + b"b"),
        "in place",
    ),
    # Pickles that waste
    "a memo of 2^31": (archive(b"Nr\xff\xff\xff\x7f"), "not a network"),
    "a memo that is empty": (archive(b"j\xff\xff\xff\x7f"), DAMAGED),
    "a key of tuples in tuples": (archive(b"}" + deep_tuples(60) + b"Ns"), "tuple as a key"),
    "30,000 tuples in one another": (archive(b")" + b"\x85" * 30_000), "not a network"),
    "a dictionary that holds itself": (
        archive(b"}q\x00" + text("state_dict") + b"h\x00s"),
        "no state dict in it",
    ),
    "a dictionary made of the same pairs again and again": (
        archive(
            b"]("
            + b"".join(b"](" + text(f"{i}") + b"Ne" for i in range(10_000))
            + b"eq\x00"
            + (ORDERED + b"h\x00\x85R0") * 5000
        ),
        "a pickle calls collections OrderedDict",
    ),
    "an integer of 100,000 bytes": (
        archive(b"\x8b" + struct.pack("<I", 100_000) + bytes(100_000)),
        "instruction LONG4",
    ),
    "a text of 4 GB": (archive(b"X\xff\xff\xff\xffabc"), DAMAGED),
    "bytes of 2^63": (archive(b"\x8e" + struct.pack("<Q", LONG) + b"abc"), DAMAGED),
    "a frame of 2^63": (archive(b"\x95" + struct.pack("<Q", LONG) + b"N"), "not a network"),
    "a pickle of a megabyte": (archive(b"N0" * 2**19), "too long"),
    "a stream whose pickle is a megabyte": (stream(text("x" * 1000) * 1100), DAMAGED),
    "nothing on the stack": (archive(b"R"), DAMAGED),
    "a dictionary called with a call": (
        archive(ORDERED + sequence(EMPTY) + b"R"),
        "a pickle calls",
    ),
    "no end": (raw(b"\x80\x02" + b"N" * 100), DAMAGED),
    # Storages and tensors
    "a storage larger than the file": (rebuilt(reference=storage("0", "Float", 2**40, ())), SHORT),
    "a storage of 2^62 numbers": (rebuilt(reference=storage("0", "Float", 2**62, ())), SHORT),
    "a storage of -1": (rebuilt(reference=storage("0", "Float", -1, ())), "a length"),
    "a storage that is not there": (rebuilt(reference=storage("../../0", "Float", 4, ())), DAMAGED),
    "a tensor beyond its storage": (rebuilt(offset=1), "larger than its storage"),
    "a tensor before its storage": (rebuilt(offset=-1), "a place that is none"),
    "strides backwards": (rebuilt(strides=(-2, 1)), "a place that is none"),
    "a shape of 2^62": (rebuilt(shape=(2**62, 2**62)), "larger than its storage"),
    "a shape of a thousand axes": (rebuilt(shape=[1] * 1000, strides=[0] * 1000), "unknown kind"),
    "one number, 10^12 times": (rebuilt(shape=(10**6, 10**6), strides=(0, 0)), "not the paper's"),
    "a wide network of four bytes": (wide, "more numbers than it holds"),
    "two trillion colours": (repeated_bins, "not the paper's 313 bins"),
    "a stream's storage larger than the file": (
        stream(one(whole("0", np.zeros(2**20, "f4"), zipped=False)), {"0": (2**20, b"")}),
        SHORT,
    ),
    "a stream's storage of another length": (
        stream(one(whole("0", ZEROS, zipped=False)), {"0": (5, bytes(20))}),
        "not as long",
    ),
    "a part of a storage beyond it": (
        stream(one(tensor(storage("0", "Float", 4, ("v", 3, 2)), (2,), (1,)))),
        "not as long",
    ),
    "a stream without its numbers": (
        stream(one(whole("0", ZEROS, zipped=False)), {}),
        "lacks the numbers",
    ),
    "keys of tuples in tuples": (
        keys_of_a_stream(b"]" + deep_tuples(60) + b"a"),
        "in place of str",
    ),
    "keys that are no list": (keys_of_a_stream(b"N"), "in place of list"),
    # Archives
    "a zip bomb": (
        archive(
            one(tensor(storage("0", "Float", 2**25, ()), (2**25,), (1,))),
            {"0": bytes(2**20)},
            method=zipfile.ZIP_DEFLATED,
        ),
        "compressed",
    ),
    "a zip bomb for a pickle": (archive(b"N0" * 2**17, method=zipfile.ZIP_LZMA), "compressed"),
    "another pickle first": (two_programs, "holds 2 objects"),
    "a pickle's name twice": (same_name_twice, "holds 2 objects"),
    "a pickle before the archive": (stream_before_an_archive, RAN),
    "an archive's mark before a pickle": (raw(b"PK\x03\x04" + pickled(SYSTEM)), "not a checkpoint"),
    "a directory that lies": (directory_that_lies, SHORT),
    "encrypted": (encrypted, DAMAGED),
    "a thousand names for the same bytes": (overlapping, "not the paper's"),
    # Caffe
    "a length of 2^63": (raw(NET + b"\xa2\x06" + varint(LONG) + b"x"), CUT),
    "a length of 2^63 in a layer": (raw(NET + field(100, b"\x3a" + varint(LONG))), CUT),
    "a length that leads out of its layer": (raw(NET + field(100, b"\x3a\x20") + bytes(100)), CUT),
    "an integer without an end": (raw(NET + b"\xff" * 50), CUT),
    "100,000 groups in one another": (raw(NET + b"\x0b" * 100_000), "no such field"),
    "layers in layers": (
        raw(NET + b"".join(b"\xa2\x06" + varint(10**6 - 5 * i) for i in range(10**4))),
        CUT,
    ),
    "a million fields": (raw(NET + field(9, 1, 0) * 10**6), "more than 20,000 fields"),
    "a shape of 2^63": (net_with(shaped(LONG, LONG)), SHORT),
    "a shape of -1": (net_with(shaped(2**64 - 4, 2**64 - 1)), SHORT),
    "a shape of a million axes": (net_with(shaped(*[1] * 10**6)), SHORT),
    "a shape that is a number": (
        net_with(field(7, 4, 0) + field(5, bytes(16))),
        "a number is where",
    ),
    "three and a half numbers": (net_with(shaped(3, data=bytes(14))), SHORT),
    "numbers in pieces": (net_with(shaped(4) + field(5, bytes(16))), "in pieces"),
    "numbers one by one": (net_with(field(5, bytes(4), 5) * 4), "a Caffe model with"),
    "a layer's name of a megabyte": (
        raw(NET + layer("x" * 2**20, "Convolution", [ZEROS])),
        "bw_conv1_1 is missing",
    ),
    "a layer twice": (
        raw(NET + layer("conv1_2", "Convolution", [ZEROS]) * 2),
        "two layers conv1_2",
    ),
    "a scale of half a million numbers": (huge_scale, "not one factor"),
    "an empty network": (raw(NET), "no layer in it has weights"),
}


def refused(path):
    """The line that is said, without the path; and that nothing ran, and what it took."""
    start = time.monotonic()
    with at_most(MEMORY), pytest.raises(CheckpointError) as caught:
        load_network(path)
    message = str(caught.value)
    assert not os.path.exists(MARKER)
    assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1
    assert message.isprintable() and len(message) < 400
    assert time.monotonic() - start < SECONDS
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    make, told = HOSTILE[what]
    path = tmp_path / "x.pth"
    make(path)
    assert told in refused(path)


def test_the_traps_are_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickled(SYSTEM))
    assert os.path.exists(MARKER)


def write_stream(path, state):
    files.write_pth(path, state, older=True)


def write_caffe(path, state):
    files.write_caffemodel(path, files.caffe_blobs(state))


@pytest.mark.parametrize("write", [files.write_pth, write_stream, write_caffe])
@pytest.mark.parametrize("tenths", range(10))
def test_cut_off_at_every_tenth(tmp_path, write, tenths):
    path = tmp_path / "x.caffemodel"
    write(path, STATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * tenths // 10])
    said = refused(path)
    assert any(word in said for word in (CUT, "damaged", "not as long", "not a Caffe"))


@pytest.mark.parametrize("write", [files.write_pth, write_stream, write_caffe])
def test_flipped_bytes(tmp_path, write):
    """Refused in a line, or read: the two forms without check sums cannot know all."""
    path = tmp_path / "x.caffemodel"
    write(path, STATE)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    places = [*range(0, 40, 2), *rng.integers(0, min(len(good), 20_000), 30), *range(-60, 0, 5)]
    for place in map(int, places):
        data = bytearray(good)
        data[place] ^= 0xFF
        path.write_bytes(data)
        for read in (load_network, load_meta):
            try:
                read(path)
            except CheckpointError as error:
                assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1
