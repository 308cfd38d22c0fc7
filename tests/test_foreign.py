"""The authors' own weights, as torch.save and Caffe write them, become our network. No torch here.

tests/test_foreign_peers.py compares with their code and has torch write the files;
tests/test_foreign_hostile.py has the files that nobody should open.
"""

import struct
import zipfile

import foreign_files as files
import numpy as np
import pytest
from photographs import small_weights
from PIL import Image
from programs import at_most

import infer
from mini_colorize import Colorizer
from mini_colorize import checkpoint as convert
from mini_colorize.bins import BINS
from mini_colorize.evaluation.systems import Checkpoint
from mini_colorize.files.checkpoint import CheckpointError, load_meta, load_network
from mini_colorize.files.config import Config
from mini_colorize.training import Trainer

WIDTH = 1 / 32
STATE = files.port(WIDTH, BINS)
OURS = files.ours(STATE)
X = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 32, 24, 1)).astype(np.float32)


@pytest.fixture
def pth(tmp_path):
    return tmp_path / "colorization_release_v2-9b330a0b.pth"


@pytest.fixture
def caffemodel(tmp_path):
    return tmp_path / "colorization_release_v2.caffemodel"


def same_state(network, expected, **tolerance):
    state = network.state()
    assert state.keys() == expected.keys()
    for name, array in expected.items():
        assert state[name].dtype == np.float32
        np.testing.assert_allclose(state[name], array, err_msg=name, **(tolerance or {"rtol": 0}))


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1
    with pytest.raises(CheckpointError) as of_meta:  # for train.py --init, which asks first
        load_meta(path)
        load_network(path)
    assert str(of_meta.value) == message
    return message.removeprefix(f"{path}: ")


# ---- PyTorch's two forms


@pytest.mark.parametrize("older", [False, True])
def test_a_pth_is_read_to_the_bit(pth, older):
    files.write_pth(pth, STATE, older)
    network, meta = load_network(pth)
    same_state(network, OURS)
    wanted = {"kind": "weights", "width": WIDTH, "head": "bins", "size": 256, "temperature": 1}
    assert meta == wanted == load_meta(pth)


@pytest.mark.parametrize("name", ["weights.bin", "full", "x.npz"])
def test_the_name_has_no_say(tmp_path, name):
    files.write_pth(tmp_path / name, STATE)
    same_state(load_network(tmp_path / name)[0], OURS)
    files.write_caffemodel(tmp_path / name, files.caffe_blobs(STATE))
    assert load_network(tmp_path / name)[1]["size"] == 224


@pytest.mark.parametrize("older", [False, True])
def test_prefixes_and_a_dictionary_around(pth, older):
    """What DataParallel and training scripts make of it; with another network before it."""
    state = {f"module.module.{name}": array for name, array in STATE.items()}
    files.write_pth(pth, state, older)
    same_state(load_network(pth)[0], OURS)
    other = files.mapping({"x": files.whole("0", next(iter(STATE.values())), not older)})
    more = {"epoch": files.integer(3), "best": b"G" + struct.pack(">d", 0.5), "none": b"N"}
    files.write_pth(
        pth, state, older, lambda value: files.mapping({**more, "other": other, "state": value})
    )
    same_state(load_network(pth)[0], OURS)


def with_tensor(pth, name, value, key, data, count, older=False, **options):
    """Write STATE, but one tensor as given."""
    keys = {n: str(i) for i, n in enumerate(STATE)}
    items = {n: files.whole(keys[n], a, not older) for n, a in STATE.items()}
    stored = {keys[n]: (a.size, a.tobytes()) for n, a in STATE.items() if n != name}
    stored[key] = count, data
    items[name] = value
    if older:
        files.write_stream(pth, files.mapping(items), stored)
    else:
        stored = {k: data for k, (_, data) in stored.items()}
        files.write_archive(pth, files.mapping(items), stored, **options)


NAME = "model4.2.weight"
ARRAY = STATE[NAME]


@pytest.mark.parametrize("older", [False, True])
def test_offsets_and_strides(pth, older):
    """Channels last, from the fifth number of a storage on."""
    o, i, h, w = ARRAY.shape
    reference = files.storage("v", "Float", ARRAY.size + 9, () if not older else None)
    value = files.tensor(reference, ARRAY.shape, (h * w * i, 1, w * i, i), 5)
    data = bytes(20) + ARRAY.transpose(0, 2, 3, 1).tobytes() + bytes(16)
    with_tensor(pth, NAME, value, "v", data, ARRAY.size + 9, older)
    same_state(load_network(pth)[0], OURS)


def test_a_view_of_another_storage(pth):
    """In the older form a storage may be a part of another one."""
    reference = files.storage("v", "Float", ARRAY.size + 9, ("part", 4, ARRAY.size + 2))
    value = files.tensor(reference, ARRAY.shape, files.strides_of(ARRAY.shape), 1)
    data = bytes(20) + ARRAY.tobytes() + bytes(16)
    with_tensor(pth, NAME, value, "v", data, ARRAY.size + 9, older=True)
    same_state(load_network(pth)[0], OURS)


def test_big_endian(pth):
    swapped = {n: a.astype(a.dtype.newbyteorder(">")) for n, a in STATE.items()}
    keys = {n: str(i) for i, n in enumerate(STATE)}
    value = files.mapping({n: files.whole(keys[n], a) for n, a in STATE.items()})
    data = {keys[n]: a.tobytes() for n, a in swapped.items()}
    files.write_archive(pth, value, data, order=b"big")
    same_state(load_network(pth)[0], OURS)
    files.write_archive(pth, value, data)  # without the mark it is little-endian: other numbers
    assert "not the paper's 313 bins" in refused(pth)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_other_floats(pth, kind, older):
    floats = {n: a.astype(kind) if a.dtype == np.float32 else a for n, a in STATE.items()}
    files.write_pth(pth, floats, older)
    rounded = {n: a.astype(np.float32) for n, a in floats.items()}
    same_state(load_network(pth)[0], files.ours(rounded))


@pytest.mark.parametrize("older", [False, True])
def test_bfloat16(pth, older):
    """The upper half of a float32."""
    bits = ARRAY.view(np.uint32)
    reference = files.storage("v", "BFloat16", ARRAY.size, () if not older else None)
    value = files.tensor(reference, ARRAY.shape, files.strides_of(ARRAY.shape))
    with_tensor(pth, NAME, value, "v", (bits >> 16).astype("<u2").tobytes(), ARRAY.size, older)
    wanted = (bits & 0xFFFF0000).view(np.float32)
    same_state(load_network(pth)[0], files.ours({**STATE, NAME: wanted}))


def test_notes_on_a_dictionary(pth):
    """torch adds the modules' versions to the OrderedDict itself."""
    notes = files.mapping({"_metadata": files.EMPTY}) + b"b"
    files.write_pth(pth, STATE, wrap=lambda value: value + notes)
    same_state(load_network(pth)[0], OURS)


# ---- Caffe


@pytest.mark.parametrize(
    "options", [{}, {"v1": True}, {"old": True}, {"v1": True, "old": True}], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_caffemodel(caffemodel, options, dtype):
    """Both layer messages, both shapes, both floats; unknown fields of every kind are skipped."""
    more = files.field(3, b"input") + files.field(4, 224, 0) + files.field(1000, bytes(8), 1)
    more += files.field(7, 1, 0) + files.field(900, bytes(4), 5)
    more += files.layer("data_l_meansub", "Scale", [np.ones(1, "f4"), np.full(1, -50, "f4")])
    more += files.layer("Silence", "Silence")
    layers = files.caffe_blobs(STATE, dtype=dtype)
    files.write_caffemodel(caffemodel, layers, more, **options)
    network, meta = load_network(caffemodel)
    expected = dict(OURS)
    for name, array in OURS.items():
        if name.endswith((".gamma", ".beta")):
            expected[name] = np.full_like(array, name.endswith("gamma"))
    same_state(network, expected, rtol=1e-6)
    assert meta == load_meta(caffemodel)
    assert (meta["width"], meta["size"], meta["temperature"]) == (WIDTH, 224, 0.38)


def test_a_shape_whose_numbers_are_fields_of_their_own(caffemodel, monkeypatch):
    """proto2 without [packed = true]; a reader of protobuf takes both."""

    def blob(array, old=False):
        shape = b"".join(files.field(1, n, 0) for n in array.shape)
        return files.field(5, array.tobytes()) + files.field(7, shape)

    monkeypatch.setattr(files, "blob", blob)
    files.write_caffemodel(caffemodel, files.caffe_blobs(STATE))
    np.testing.assert_array_equal(
        load_network(caffemodel)[0].state()["conv8_2.weight"][0, 0, 0, 0],
        STATE["model8.2.weight"][0, 0, 0, 0],
    )


def test_a_count_of_zero_means_zero(caffemodel):
    """As in Caffe: no averages were added up yet."""
    layers = files.caffe_blobs(STATE)
    layers["conv3_3norm"][1][2][:] = 0
    files.write_caffemodel(caffemodel, layers)
    state = load_network(caffemodel)[0].state()
    assert not state["bn3.mean"].any() and not state["bn3.var"].any()
    assert state["bn4.var"].all()


CENTRES = BINS.T.reshape(2, 313, 1, 1)
NOISE = np.random.default_rng(1)


@pytest.mark.parametrize(
    "centres, scale, temperature",
    [
        (CENTRES, np.full(313, 2.606), 1 / 2.606),
        (CENTRES, np.full((1, 313), 2.606), 1 / 2.606),
        (CENTRES, np.full(1, 4.0), 0.25),
        (CENTRES, None, 0.38),
        (None, np.full(313, 2.606), 1 / 2.606),
        (None, None, 0.38),
        (np.zeros_like(CENTRES), np.ones(313), 0.38),
        (np.full_like(CENTRES, 0.01), np.zeros(313), 0.38),
    ],
)
def test_the_last_layers_of_caffe_may_be_placeholders(caffemodel, centres, scale, temperature):
    layers = files.caffe_blobs(STATE)
    if centres is not None:
        layers["class8_ab"] = "Convolution", [centres.astype("f4"), np.zeros(2, "f4")]
    if scale is not None:
        layers["conv8_313_rh"] = "Scale", [scale.astype("f4")]
    files.write_caffemodel(caffemodel, layers)
    network, meta = load_network(caffemodel)
    assert meta["temperature"] == pytest.approx(temperature, rel=1e-6)
    np.testing.assert_array_equal(network.state()["conv8_313.bias"], STATE["model8.6.bias"])


@pytest.mark.parametrize(
    "blobs, told",
    [
        ({"conv8_313_rh": [np.linspace(2, 3, 313)]}, "one factor"),
        ({"conv8_313_rh": [np.full(313, -2.6)]}, "one factor"),
        ({"conv8_313_rh": [np.full(313, np.nan)]}, "one factor"),
        ({"conv8_313_rh": [np.full(313, 1e-9)]}, "impossible temperature"),
        ({"conv8_313_rh": [np.full(313, 2.6), np.ones(313)]}, "one factor"),
        ({"class8_ab": [CENTRES, np.array([0, 1.0])]}, "shifts the colours"),
        ({"class8_ab": [NOISE.uniform(-90, 90, CENTRES.shape)]}, "not the paper's 313 bins"),
        ({"class8_ab": [CENTRES[:, :312]]}, "not the paper's 313 bins"),
        ({"class8_ab": [CENTRES / 110]}, "not the paper's 313 bins"),
        ({"conv4_2": [np.zeros((2, 2), "f4"), np.zeros(2, "f4")]}, "has 2 axes, not 4"),
        ({"conv4_2": [np.zeros((16, 16, 3, 3), "f4")]}, "conv4_2 has 1 arrays"),
        ({"conv4_3norm": [np.ones(16, "f4"), np.ones(16, "f4")]}, "conv4_3norm has 2 arrays"),
        ({"conv4_2": [np.zeros((16, 8, 3, 3), "f4"), np.zeros(16, "f4")]}, "conv4_2.weight does"),
        ({"conv4_2": [np.full((16, 16, 3, 3), np.inf), np.zeros(16)]}, "not finite"),
        ({"conv4_3norm": [np.ones(16), np.ones(16), np.full(1, np.nan)]}, "not finite"),
        ({"conv4_3norm": [np.ones(16), np.ones(16), np.full(1, -1.0)]}, "bn4.var is negative"),
        ({"conv4_3norm": [np.ones(16), np.ones(16), np.ones(2)]}, "its bn4 has 2 counts"),
    ],
)
def test_caffe_layers_that_are_none(caffemodel, blobs, told):
    layers = files.caffe_blobs(STATE)
    for name, arrays in blobs.items():
        layers[name] = "Convolution", [np.asarray(a) for a in arrays]
    with np.errstate(over="ignore"):
        files.write_caffemodel(caffemodel, layers)
    assert told in refused(caffemodel)


# ---- The order of the classes


def test_classes_in_another_order_are_put_into_ours(pth, caffemodel):
    """A port whose bins are shuffled, and with them the classes, says the same colours."""
    order = np.random.default_rng(2).permutation(313)
    state = dict(STATE)
    for name in ("model8.6.weight", "model8.6.bias"):
        state[name] = np.ascontiguousarray(STATE[name][order])
    state["model_out.weight"] = np.ascontiguousarray(STATE["model_out.weight"][:, order])
    files.write_pth(pth, state)
    network, meta = load_network(pth)
    same_state(network, OURS)
    layers = files.caffe_blobs(state)
    layers["class8_ab"] = "Convolution", [np.ascontiguousarray(CENTRES[:, order])]
    files.write_caffemodel(caffemodel, layers)
    np.testing.assert_array_equal(
        load_network(caffemodel)[0].state()["conv8_313.weight"], OURS["conv8_313.weight"]
    )


def moved(by):
    centres = STATE["model_out.weight"].copy()
    centres[0, 7] += by / 110
    return centres


REFUSED = {
    "random bins": ({"model_out.weight": NOISE.normal(size=(2, 313, 1, 1)).astype("f4")}, "bins"),
    "a bin moved by 1": ({"model_out.weight": moved(1)}, "not the paper's 313 bins"),
    "a bin moved by 10": ({"model_out.weight": moved(10)}, "not the paper's 313 bins"),
    "a bin is none": ({"model_out.weight": moved(np.nan)}, "not the paper's 313 bins"),
    "no bins": ({"model_out.weight": None}, "model_out.weight is missing"),
    "a layer less": ({"model5.2.weight": None}, "not the paper's: model5.2.weight is missing"),
    "a layer more": ({"model9.0.bias": np.zeros(3, "f4")}, "model9.0.bias is not part of that"),
    "the network of 2017": (
        {"model8up.0.weight": np.zeros((512, 256, 4, 4), "f4")},
        "is siggraph17, the authors' network of 2017",
    ),
    "another shape": ({"model5.2.bias": np.zeros(3, "f4")}, "conv5_2.bias does not match"),
    "integers": ({"model5.2.bias": np.zeros(16, "i8")}, "real numbers"),
    "not finite": ({"model5.2.bias": np.full(16, np.nan, "f4")}, "not finite"),
    "a negative variance": ({"model3.6.running_var": np.full(8, -1, "f4")}, "bn3.var is negative"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_networks_that_are_not_the_paper_s(pth, what):
    arrays, told = REFUSED[what]
    state = {n: a for n, a in {**STATE, **arrays}.items() if a is not None}
    files.write_pth(pth, state)
    assert told in refused(pth)


def test_what_another_network_is_is_said(pth, caffemodel):
    zero = np.zeros((2, 2), "f4")
    files.write_pth(pth, {"fc.weight": zero, "fc.bias": zero[0]})
    assert refused(pth) == (
        "a network of 2 parts, the first fc.weight; not the paper's: model1.0.weight is missing"
    )
    files.write_caffemodel(caffemodel, {"fc6": ("InnerProduct", [zero])})
    assert "the first fc6; not the paper's: bw_conv1_1 is missing" in refused(caffemodel)
    later = {**files.caffe_blobs(STATE), "conv9_1": ("Deconvolution", [zero])}
    files.write_caffemodel(caffemodel, later)
    assert "is siggraph17" in refused(caffemodel)
    other = {**files.caffe_blobs(STATE), "conv8_314": ("Convolution", [zero])}
    files.write_caffemodel(caffemodel, other)
    assert "conv8_314 is not part of that" in refused(caffemodel)
    files.write_archive(pth, files.mapping({"epoch": files.integer(1)}), {})
    assert "no state dict in it" in refused(pth)


# ---- Whoever takes weights takes these


def test_all_doors(pth, tmp_path, capsys):
    """infer.py, Colorizer.load, the evaluation and the conversion; the conversion colours alike."""
    files.write_pth(pth, STATE)
    Image.new("RGB", (40, 30), "gray").save(tmp_path / "photo.png")
    options = ["--size", "32", "--device", "cpu", "--out", str(tmp_path / "out.png")]
    assert infer.main([str(tmp_path / "photo.png"), "--weights", str(pth), *options]) == 0
    colorizer = Colorizer.load(pth, size=32)
    assert colorizer.temperature == 1 and Colorizer.load(pth).size == 256
    assert np.array_equal(
        np.asarray(colorizer(tmp_path / "photo.png")), np.asarray(Image.open(tmp_path / "out.png"))
    )
    assert Checkpoint(str(pth)).name == f"{pth}, T 1, S 256"
    assert convert.main([str(pth), str(tmp_path / "own.npz"), "--dtype", "float32"]) == 0
    network, meta = load_network(tmp_path / "own.npz")
    same_state(network, OURS)
    assert (meta["size"], meta["temperature"]) == (256, 1)
    assert convert.main([str(pth), str(tmp_path / "int8.npz")]) == 0
    np.testing.assert_allclose(
        load_network(tmp_path / "int8.npz")[0].forward(X), network.forward(X), atol=0.2
    )
    pth.write_bytes(pth.read_bytes()[:-100])
    assert infer.main([str(tmp_path / "photo.png"), "--weights", str(pth), *options]) == 2
    assert capsys.readouterr().err.startswith(f"infer.py: {pth}: not a checkpoint, or one that")


def test_training_goes_on_from_it(photos, tmp_path):
    """--init: the model is as wide as the file says."""
    files.write_pth(tmp_path / "x.pth", files.port(0.25, BINS))
    options = dict(init=str(tmp_path / "x.pth"), size=16, batch=2, steps=1, workers=1)
    config = Config([str(photos)], **options).settled()
    assert config.model == "tiny"
    trainer = Trainer(config, tmp_path / "run")
    trainer.start()
    same_state(trainer.network, files.ours(files.port(0.25, BINS)))


# ---- Memory


@pytest.mark.parametrize("kind", ["zip", "stream", "float16", "caffe"])
def test_memory_while_reading(pth, kind):
    """At most 2.5 times the file: the network, and a layer or two on their way to it."""
    state = files.port(0.5, BINS)
    if kind == "caffe":
        files.write_caffemodel(pth, files.caffe_blobs(state))
    else:
        floats = {n: a.astype("f2") if kind == "float16" else a for n, a in state.items()}
        files.write_pth(pth, floats, older=kind == "stream")
    del state
    with at_most((2.5 if kind == "float16" else 1.5) * pth.stat().st_size):
        assert load_network(pth)[0].width == 0.5


def test_a_flipped_bit_of_the_archive_is_noticed(pth):
    files.write_pth(pth, STATE)
    with zipfile.ZipFile(pth) as archive:
        info = max(archive.infolist(), key=lambda info: info.file_size)
    data = bytearray(pth.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 1
    pth.write_bytes(data)
    assert "cut short" in refused(pth) or "damaged" in refused(pth)


def test_our_own_file_under_a_name_of_theirs(tmp_path):
    small_weights(tmp_path / "ours.caffemodel")
    assert load_network(tmp_path / "ours.caffemodel")[0].width == 1 / 32
