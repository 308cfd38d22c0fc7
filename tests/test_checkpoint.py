"""Checkpoints come back as they were; whatever else lies at the path gives one clear line."""

import hashlib
import io
import json
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from photographs import small_network, small_weights
from PIL import Image
from programs import at_most

import mini_colorize
from mini_colorize import checkpoint as convert
from mini_colorize.files import checkpoint
from mini_colorize.files.checkpoint import CheckpointError, load, load_network, save, save_network
from mini_colorize.network import Network

WIDTH = 1 / 32
META = {"format": "mini_colorize", "version": 1, "kind": "weights", "width": WIDTH}


@pytest.fixture(scope="module")
def network():
    return small_network(WIDTH)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a sound file of weights."""
    return small_weights(tmp_path_factory.mktemp("good") / "weights.npz").read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.npz"


def refused(path, read=load_network):
    """The reason given, without the path. Any exception but CheckpointError fails the test."""
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)), message[:300]
    assert len(message.splitlines()) == 1, message[:300]
    reason = message.removeprefix(str(path)).lstrip(": ")
    assert reason and len(reason) < 300, reason[:300]
    return reason


def state_of(network, **changed):
    """The state with some arrays replaced; None leaves one out."""
    state = {**network.state(), **changed}
    return {name: array for name, array in state.items() if array is not None}


def npy(header, data=b"", version=(1, 0)):
    """An .npy file by hand. header: text of the dict."""
    text = header.encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(shape, descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    """members: name -> bytes; "meta.npy" is put first unless it is given."""
    meta = io.BytesIO()
    np.save(meta, np.frombuffer(json.dumps(META).encode(), np.uint8))
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in {"meta.npy": meta.getvalue(), **members}.items():
            archive.writestr(name, data)


# ---- What is written comes back


def test_round_trip(path):
    rng = np.random.default_rng(1)
    groups = {
        "network": {"a.weight": rng.standard_normal((3, 3, 2, 4)).astype(np.float32)},
        "optimizer": {
            "m/a.weight": rng.standard_normal((5, 1)),
            "t": np.array(7),
            "fortran": np.asfortranarray(rng.integers(0, 99, (3, 4, 5))),
            "none": np.zeros((0, 3), np.float16),
        },
    }
    meta = {"kind": "training", "width": 0.25, "step": 12, "note": "naïve \n note", "list": [1, 2]}
    save(path, meta, groups)
    read, back = load(path, kind="training")
    assert {k: read[k] for k in meta} == meta
    assert read["format"] == "mini_colorize" and read["version"] == 1
    assert back.keys() == groups.keys()
    for group, named in groups.items():
        assert back[group].keys() == named.keys()
        for name, array in named.items():
            assert back[group][name].dtype == array.dtype
            np.testing.assert_array_equal(back[group][name], array)
            assert back[group][name].shape == array.shape


def test_a_network_comes_back_to_the_bit(network, path):
    path.write_bytes(b"old")
    save_network(path, network, size=32, step=5)
    assert list(path.parent.iterdir()) == [path]
    for given in (path, str(path), path.parent):  # a run's folder holds weights.npz
        back, meta = load_network(given)
        assert back.width == WIDTH and meta["size"] == 32 and meta["step"] == 5
        for name, array in network.state().items():
            np.testing.assert_array_equal(back.state()[name], array)
            assert back.state()[name].dtype == np.float32


def test_float16_is_half_the_size_and_keeps_batchnorm(network, path):
    large = np.full_like(network.state()["bn4.var"], 1e6)  # beyond float16's 65504
    other = Network(WIDTH)
    other.load_state(state_of(network, **{"bn4.var": large}))
    save_network(path, other, np.float16)
    _, groups = load(path, kind="weights")
    for name, array in groups["network"].items():
        assert array.dtype == (np.float16 if array.ndim == 4 else np.float32), name
        if not name.startswith("conv"):
            np.testing.assert_array_equal(array, other.state()[name])
    back = load_network(path)[0]
    for name, array in other.state().items():  # float16 has 11 bits
        np.testing.assert_allclose(back.state()[name], array, rtol=2**-11, atol=2**-24)


def test_int8_has_one_factor_an_output_channel(network, path):
    """weight = int8 * scale; the largest of a channel is 127; nothing is off by more than half."""
    other = Network(WIDTH)
    weight = network.params()["conv3_1.weight"].copy()
    weight[..., 1] = 0
    weight[..., 2] *= 1e6
    other.load_state(state_of(network, **{"conv3_1.weight": weight}))
    save_network(path, other, np.int8, size=32)
    _, groups = load(path, kind="weights")
    arrays, back = groups["network"], load_network(path)[0]
    for name, array in other.state().items():
        if array.ndim != 4:
            np.testing.assert_array_equal(arrays[name], array)
            continue
        scale = arrays[name.replace("weight", "scale")]
        assert arrays[name].dtype == np.int8 and scale.dtype == np.float32
        assert scale.shape == array.shape[3:]
        largest = abs(array).max(axis=(0, 1, 2))
        np.testing.assert_allclose(scale * 127, largest, rtol=1e-6)
        most = abs(arrays[name].astype(int)).max(axis=(0, 1, 2))
        np.testing.assert_array_equal(most, np.where(largest, 127, 0))
        assert (abs(arrays[name] * scale - array) <= scale * 0.5001).all()
        np.testing.assert_array_equal(back.state()[name], arrays[name] * scale)
    again = path.with_name("again.npz")
    save_network(again, back, np.int8)  # once more loses nothing more
    for name, array in load_network(again)[0].state().items():
        np.testing.assert_allclose(array, back.state()[name], rtol=1e-6)


def test_int8_is_small(path):
    net = small_network(1 / 8)
    save_network(path, net)
    whole = path.stat().st_size
    save_network(path, net, np.int8)
    assert path.stat().st_size < whole / 4


def spoilt_weights(weight, scale, bias):
    yield "conv3_1.scale does not match", {"weight": weight.astype(np.float32)}
    yield "conv3_1.weight does not match", {"weight": weight[:2]}
    yield "real numbers", {"weight": weight.view(np.uint8), "scale": None}
    yield "real numbers", {"bias": bias.astype(np.int8)}
    yield "has no conv3_1.scale", {"scale": None}
    for odd in (np.nan, np.inf, 3e38):
        yield "not finite", {"scale": np.where(np.arange(8) == 3, odd, scale).astype("f4")}
    yield "0 or more", {"scale": -scale}
    for wrong in (scale[:-1], scale[:1].reshape(()), scale.reshape(2, 4)):
        yield "8 factors", {"scale": wrong}
    for dtype in (float, int):
        yield "float32", {"scale": scale.astype(dtype)}


def test_int8_that_is_none(network, path):
    save_network(path, network, np.int8)
    meta, groups = load(path)
    good = [groups["network"][f"conv3_1.{part}"] for part in ("weight", "scale", "bias")]
    for told, changed in spoilt_weights(*good):
        arrays = groups["network"] | {f"conv3_1.{part}": array for part, array in changed.items()}
        save(path, meta, {"network": {n: a for n, a in arrays.items() if a is not None}})
        assert told in refused(path), changed


def test_numpy_reads_it_without_pickle(good):
    with np.load(io.BytesIO(good), allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} == {"f", "u"}
        assert json.loads(arrays["meta"].tobytes())["kind"] == "weights"


def test_the_kind_is_checked(good, path):
    path.write_bytes(good)
    load(path, kind="weights")
    assert "not a training checkpoint" in refused(path, lambda p: load(p, kind="training"))


# ---- Files that would run code


class Touch:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (Path(self.target),)


@pytest.mark.parametrize("name", ["network/conv1_1.weight", "meta"])
def test_pickles_are_refused_and_do_not_run(tmp_path, path, name):
    marker = tmp_path / "ran"
    trap = np.array([Touch(str(marker))], dtype=object)
    meta = np.frombuffer(json.dumps(META).encode(), np.uint8)
    np.savez(path, **{"meta": meta, name: trap})
    refused(path)
    assert not marker.exists()
    with np.load(path, allow_pickle=True) as arrays:  # the trap is a real one
        arrays[name]
    assert marker.exists()


def test_a_bare_pickle_does_not_run(tmp_path, path):
    path.write_bytes(pickle.dumps(Touch(str(tmp_path / "ran"))))
    refused(path)
    assert not (tmp_path / "ran").exists()


# ---- Damage


@pytest.mark.parametrize("part", [0, 1, 3, 4, 100, 0.25, 0.5, 0.75, 0.95, 0.999, -22, -1])
def test_truncated(good, path, part):
    length = int(part * len(good)) if isinstance(part, float) else part
    path.write_bytes(good[:length])
    refused(path)


def flip_and_load(good, path, places):
    """Flip every bit of one byte at a time: refused, or (unused bytes of the zip) harmless."""
    path.write_bytes(good)
    whole, expected, stopped = bytearray(good), load_network(path)[0].state(), 0
    for place in places:
        whole[place] ^= 0xFF
        path.write_bytes(whole)
        whole[place] ^= 0xFF
        try:
            state = load_network(path)[0].state()
        except CheckpointError as error:
            assert str(error).startswith(str(path)) and len(str(error).splitlines()) == 1
            stopped += 1
        else:
            for name, array in state.items():
                np.testing.assert_array_equal(array, expected[name], err_msg=f"byte {place}")
    return stopped


def test_flipped_bytes_of_the_arrays(good, path):
    start = good.find(b"conv4_1.weight")
    places = range(start + 200, start + 4000, 200)  # its numbers: stored, 9 kB
    assert flip_and_load(good, path, places) == len(places)


def test_flipped_bytes_anywhere(good, path):
    rng = np.random.default_rng(2)
    places = rng.integers(0, len(good), 60)
    first = good.find(b"PK\x03\x04", 4)  # the header of the second member, and its array's
    directory = good.find(b"PK\x01\x02")
    flip_and_load(good, path, [*places, *range(first, first + 120, 3)])
    flip_and_load(good, path, range(directory, directory + 80))
    flip_and_load(good, path, range(len(good) - 22, len(good)))


def test_bytes_before_and_after(good, path):
    """zipfile allows both; the contents are as they were, or the file is refused."""
    path.write_bytes(b"#!/bin/sh\n" + good)
    try:
        load_network(path)
    except CheckpointError:
        refused(path)
    path.write_bytes(good + bytes(100_000))
    refused(path)


# ---- Other things at that path


def test_no_file(tmp_path):
    assert refused(tmp_path / "nothing.npz") == "no such file"
    refused(tmp_path / "no" / "folder" / "weights.npz")
    (tmp_path / "run").mkdir()
    refused(tmp_path / "run")  # load_network takes a run's folder, but there are no weights in it
    refused(tmp_path / "run", load)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "weights.npz")


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("conv1_1 0.5\n" * 1000)
    (tmp_path / "noise.npz").write_bytes(np.random.default_rng(3).bytes(10_000))
    Image.new("RGB", (64, 64), "red").save(tmp_path / "picture.png")
    np.savez(tmp_path / "foreign.npz", a=np.arange(5), b=np.eye(3))
    np.savez(tmp_path / "none.npz")
    np.save(tmp_path / "array.npy", np.arange(5))
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", pickle.dumps({"conv.weight": [1.0]}))
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/version", "3\n")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for file in files:
        assert "not a" in refused(file), file


ENCRYPTED = [(b"PK\x03\x04", 6, 1), (b"PK\x01\x02", 8, 1)]  # the flags of header and directory
UNKNOWN = [(b"PK\x01\x02", 10, 99)]


@pytest.mark.parametrize("fields", [ENCRYPTED, UNKNOWN], ids=["encrypted", "unknown compression"])
def test_a_zip_that_zipfile_cannot_unpack(good, path, fields):
    data = bytearray(good)
    for mark, offset, value in fields:
        for found in re.finditer(re.escape(mark), good):
            data[found.start() + offset] |= value
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_compressed_member(path, method):
    noise = np.random.default_rng(4).bytes(20_000)
    data = npy(header((5000,)), noise)
    write_zip(path, {"network/x.npy": data}, method)
    whole = path.read_bytes()
    start = whole.find(b"network/x.npy")
    path.write_bytes(whole[: start + 30] + bytes(2000) + whole[start + 2030 :])
    refused(path)


# ---- A zip that is whole, with nonsense in it


HEADERS = {
    "terabytes": header((10**6, 10**6)),
    "overflow": header((2**61, 8)),
    "negative": header((-2, -2)),
    "too short": header((5,)),
    "too long": header((3,)),
    "empty items": header((10**12,), "'|V0'"),
    "long strings": header((1000,), "'<U1000000000'"),
    "objects": header((2,), "'|O'"),
    "nested objects": header((2,), "[('a', '|O')]"),
    "no dtype": header((4,), "'rubbish'"),
    "a missing key": "{'descr': '<f4', 'shape': (4,), }",
    "no dict": "[1, 2, 3]",
    "code": "__import__('os').getcwd()",
    "no end": "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), ",
    "open string": "{'descr': '<f4, 'fortran_order': False, 'shape': (4,), }",
    "nul": "{'descr': '<f4', \0 'fortran_order': False, 'shape': (4,), }",
    "deep": "(" * 3000,
    "long": header((4,)) + " " * 60_000,
}


ARRAYS = {what: npy(text, bytes(16)) for what, text in HEADERS.items()}
ARRAYS |= {f"version {v}": npy(header((4,)), bytes(16), v) for v in [(1, 1), (3, 0), (9, 9)]}


@pytest.mark.parametrize("what", ARRAYS)
def test_headers(path, what):
    write_zip(path, {"network/x.npy": ARRAYS[what]})
    with at_most(20e6):
        refused(path, load)


def test_header_and_directory_that_agree_on_a_lie(path):
    """Both claim 3 GB, of which 16 bytes are there."""
    count = 750_000_000
    data = npy(header((count,)), bytes(16))
    write_zip(path, {"network/x.npy": data})
    whole = bytearray(path.read_bytes())
    at = whole.rfind(b"PK\x01\x02")
    struct.pack_into("<I", whole, at + 24, len(data) - 16 + 4 * count)
    path.write_bytes(whole)
    with at_most(20e6):
        refused(path, load)


VERSIONS = [0, 2, 1.5, "1", None, "2\nsecond line", [1], pytest.param("x" * 5000, id="long")]


@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_version(path, version):
    save(path, {**META, "version": version}, {})
    assert "version" in refused(path)


def test_no_version(path):
    np.savez(path, meta=np.frombuffer(b'{"format": "mini_colorize"}', np.uint8))
    assert "version" in refused(path)


METAS = [b"", b"{", b"null", b"5", b"[]", b'"mini_colorize"', b"{}", b'{"format": "other"}']
METAS += [b"\xff\xfe", b'{"format": {"a": 1}}', pytest.param(b"[" * 100_000, id="deep")]
LONG = b'{"format": "mini_colorize", "version": ' + b"9" * 9999 + b"}"


@pytest.mark.parametrize("text", [*METAS, pytest.param(LONG, id="long")])
def test_meta_that_is_none(path, text):
    np.savez_compressed(path, meta=np.frombuffer(text, np.uint8))
    refused(path)


@pytest.mark.parametrize("meta", [np.ones((2, 2)), np.array(json.dumps(META))])
def test_meta_of_another_type(path, meta):
    np.savez(path, meta=meta)
    refused(path)


def test_huge_meta(path, network):
    """64 MB of blanks in 64 kB of file. Real ones have some hundred bytes."""
    text = np.full(64 * 2**20, ord(" "), np.uint8)
    honest = json.dumps(META).encode()
    text[: len(honest)] = np.frombuffer(honest, np.uint8)
    arrays = {f"network/{name}": array for name, array in network.state().items()}
    np.savez_compressed(path, meta=text, **arrays)
    refused(path)


WIDTHS = [None, "0.25", "wide", [1], {}, True, 0, -1, -0.25, 1e-300, 5, 1e9, float("nan")]


@pytest.mark.parametrize("width", [*WIDTHS, 1e400, float("inf"), 2**70, 0.25, 4])
def test_width_nonsense(network, path, width):
    """Among them widths that would do, for another network than the one in the file."""
    save(path, {**META, "width": width}, {"network": network.state()})
    refused(path)
    save(path, {**META, "width": width}, {})
    refused(path)


def test_no_width(network, path):
    meta = {k: v for k, v in META.items() if k != "width"}
    save(path, meta, {"network": network.state()})
    assert "width" in refused(path)


# ---- Arrays that do not fit


ODD = [(value, dtype) for value in (np.nan, np.inf, -np.inf) for dtype in ("f2", "f4", "f8")]


def spoilt(path, network, name, array):
    """Save the network with this array in the place of another."""
    save(path, META, {"network": state_of(network, **{name: array})})
    return path


@pytest.mark.parametrize("value, dtype", [*ODD, (1e300, "f8")])  # the last not in the network
def test_not_finite(network, path, value, dtype):
    array = network.state()["conv5_2.weight"].astype(dtype)
    array[1, 1, 1, 1] = value
    assert "not finite" in refused(spoilt(path, network, "conv5_2.weight", array))


def test_a_negative_variance(network, path):
    """Its square root would make every colour none."""
    array = -network.state()["bn2.var"]
    assert refused(spoilt(path, network, "bn2.var", array)) == "bn2.var is negative"


def test_wrong_shape_or_missing(network, path):
    a = network.state()["conv3_1.weight"]
    for wrong in (a[:-1], a[None], a.ravel(), a.swapaxes(0, 3), a[..., :0], np.float32(1), None):
        assert "conv3_1.weight" in refused(spoilt(path, network, "conv3_1.weight", wrong))


KINDS = [np.complex64, "U3", "S3", "M8[s]", "m8[s]", np.bool_, [("x", "<f4")], "V4", np.int8]


@pytest.mark.parametrize("dtype", KINDS)
def test_numbers_of_another_kind(network, path, dtype):
    array = np.zeros(network.state()["conv3_1.bias"].shape, dtype)
    refused(spoilt(path, network, "conv3_1.bias", array))


def test_extra_names(network, path):
    told = refused(spoilt(path, network, "conv9_1.weight", np.zeros((3, 3, 2, 2), np.float32)))
    assert "conv9_1.weight" in told
    for name in ("a\nb", "a\r\x1b[2Jb", "x" * 5000):
        for value in (0, np.nan):
            assert "\x1b" not in refused(spoilt(path, network, name, np.full(1, value, "f4")))


def test_a_name_twice(network, path):
    """The second one must not slip past what was checked on the first."""
    save(path, META, {"network": network.state()})
    bad = npy(header((2,), "'|O'"), bytes(16))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("network/conv3_1.bias.npy", bad)
    refused(path)


@pytest.mark.parametrize("name, width, parameters", [("full", 1.0, 32.2e6), ("tiny", 0.25, 2.03e6)])
def test_shipped_weights_by_name(name, width, parameters):
    """Both are there, are what they are called, and recommend how to colour."""
    net, meta = load_network(name)
    assert net.width == width and meta["size"] % 8 == 0 and 0 < meta["temperature"] < 1
    assert sum(p.size for p in net.params().values()) == pytest.approx(parameters, rel=0.01)
    assert checkpoint.load_meta(name) == meta
    assert (checkpoint.WEIGHTS / f"{name}.npz").stat().st_size < {"full": 24e6, "tiny": 2e6}[name]
    assert checkpoint.WEIGHTS == Path(mini_colorize.__file__).parent / "weights"


def test_a_name_is_not_a_file_of_that_name(network, path, tmp_path, monkeypatch):
    """--weights tiny means the shipped ones, ./tiny the file, whatever lies there."""
    monkeypatch.chdir(tmp_path)
    save_network("tiny", network)
    assert load_network("tiny")[0].width == 0.25
    for own in ("./tiny", str(tmp_path / "tiny"), Path("tiny")):
        assert load_network(own)[0].width == WIDTH
    assert load_network()[0].width == 1  # None is full
    told = refused("small", lambda _: load_network("small"))
    assert told == "no such file (shipped are full, tiny)"
    assert refused("''", lambda _: load_network("")) == "no such file"


def test_a_shipped_file_that_was_changed_is_refused(network, path, monkeypatch):
    """One bit, in the middle of the weights, where nothing else would notice."""
    save_network(path, network)
    data = bytearray(path.read_bytes())
    monkeypatch.setattr(checkpoint, "WEIGHTS", path.parent)
    monkeypatch.setitem(checkpoint.SHIPPED, "weights", hashlib.sha256(data).hexdigest())
    assert load_network("weights")[0].width == WIDTH
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "not the file that was shipped" in refused(path, lambda _: load_network("weights"))
    path.unlink()
    assert refused(path, lambda _: load_network("weights")) == "No such file or directory"


def test_sharing_a_run_keeps_and_changes_what_is_recommended(network, path, tmp_path, capsys):
    save_network(path, network, size=32, step=7)
    shared = tmp_path / "shared.npz"
    assert convert.main([str(path), str(shared), "--dtype", "float16"]) == 0
    net, meta = load_network(shared)
    assert (meta["size"], meta["step"], "temperature" in meta) == (32, 7, False)
    expected = network.params()["conv4_1.weight"].astype(np.float16)
    np.testing.assert_array_equal(net.params()["conv4_1.weight"], expected)
    assert convert.main([str(path), str(shared)]) == 2  # nothing is overwritten
    assert "exists already" in capsys.readouterr().err
    shared.unlink()
    options = ["--size", "64", "--temperature", "0.5"]
    assert convert.main([str(path), str(shared), *options]) == 0
    assert {**load_network(shared)[1], "size": 64, "temperature": 0.5} == load_network(shared)[1]
    for bad in (["--size", "63"], ["--temperature", "-1"], ["--temperature", "nan"]):
        shared.unlink(missing_ok=True)
        assert convert.main([str(path), str(shared), *bad]) == 2
        assert "impossible" in capsys.readouterr().err and not shared.exists()


def test_sharing_several_runs_shares_their_mean(network, path, tmp_path, capsys):
    save_network(path, network, size=32)
    other = Network(WIDTH)
    other.load_state({name: array * 3 for name, array in network.state().items()})
    paths = [str(tmp_path / name) for name in ("other.npz", "wide.npz", "mean.npz")]
    save_network(paths[0], other, size=64)
    assert convert.main([str(path), paths[0], paths[2], "--dtype", "float16"]) == 0
    mean, meta = load_network(paths[2])
    assert meta["size"] == 32
    for name, array in network.state().items():
        np.testing.assert_allclose(mean.state()[name], 2 * array, rtol=2**-11, atol=2**-24)
    save_network(paths[1], Network(2 * WIDTH))
    assert convert.main([str(path), paths[1], str(tmp_path / "no.npz")]) == 2
    assert f"{paths[1]}: is another network" in capsys.readouterr().err
    assert not (tmp_path / "no.npz").exists()


def test_a_weight_beyond_float16_is_not_written(network, path, tmp_path, capsys):
    other = Network(WIDTH)
    large = np.full_like(network.state()["conv2_1.weight"], 1e5)
    other.load_state(state_of(network, **{"conv2_1.weight": large}))
    save_network(path, other)
    arguments = [str(path), str(tmp_path / "half.npz"), "--dtype", "float16"]
    assert convert.main(arguments) == 2
    assert "conv2_1.weight does not fit float16" in capsys.readouterr().err
    assert not (tmp_path / "half.npz").exists()
