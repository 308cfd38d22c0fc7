"""The authors' own code, torch and OpenCV say the same as our network with the same weights file.

`make test-peers` runs these, with the peers that test_peers.py needs and two more: rz-colorization,
the authors' PyTorch port, and OpenCV 4, which reads Caffe's networks.
"""

import sys
import types

import foreign_files as files
import numpy as np
import pytest

from mini_colorize.bins import BINS
from mini_colorize.files.checkpoint import CheckpointError, load_network

try:
    import cv2
    import torch

    sys.modules["IPython"] = types.SimpleNamespace(embed=None)  # they import it, and use it not
    try:
        from colorizers.eccv16 import ECCVGenerator
        from colorizers.siggraph17 import SIGGRAPHGenerator
    finally:
        del sys.modules["IPython"]

    missing = None
except ImportError as error:  # this file can still be collected: "-m 'not peers'" needs no torch
    missing = error

pytestmark = pytest.mark.peers

SIZES = [(256, 256), (72, 136)]  # the second: odd multiples of 8
LOGITS, AB = 1e-4, 1e-3  # relative; ab's own units


@pytest.fixture(autouse=True)
def peers_are_installed():
    if missing is not None:
        raise missing


def randomize(model, spread=0.35, affine=True):
    """Random weights and averages, bins as they should be. Logits are about 2, as in a network that
    was trained; where they are larger, ab's rounding errors are, too, torch's as well as ours."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(0.1, 0.7)
            module.running_var.uniform_(0.2, 1.2)
            if affine:
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.uniform_(-0.3, 0.3)
        elif hasattr(module, "weight"):
            fan_in = module.weight[0].numel() / (8 if module.kernel_size == (4, 4) else 1)
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5)
            if module.bias is not None:
                module.bias.data.uniform_(-0.2, 0.2)
    model.model8[6].weight.data *= spread
    centres = torch.tensor(BINS.T / 110).reshape(2, len(BINS), 1, 1)
    model.model_out.weight.data.copy_(centres)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return None if missing else randomize(ECCVGenerator())


def lightness(height, width):
    """(1, H, W, 1) float32, 0..100: a gradient and noise."""
    rng = np.random.default_rng(height)
    ramp = np.linspace(0, 80, width) + rng.uniform(0, 20, (1, height, width))
    return ramp[..., None].astype(np.float32)


def theirs(model, light):
    """Logits (1, h, w, 313) and ab (1, h, w, 2) of their code, before it enlarges."""
    with torch.no_grad():
        x = model.normalize_l(torch.tensor(light).permute(0, 3, 1, 2))
        for i in range(1, 9):
            x = getattr(model, f"model{i}")(x)
        ab = model.unnormalize_ab(model.model_out(model.softmax(x)))
    return (a.permute(0, 2, 3, 1).numpy() for a in (x, ab))


def same(network, meta, light, logits, ab):
    """That our network, as it is and folded, has these logits and colours. Returns the errors."""
    worst = [0, 0]
    for net in (network, network.folded()):
        mine = net.forward((light - 50) / 100)
        errors = (
            np.linalg.norm(mine - logits) / np.linalg.norm(logits),
            abs(network.colors(mine, meta["temperature"]) - ab).max(),
        )
        worst = [max(pair) for pair in zip(worst, errors, strict=True)]
    print(f"logits {worst[0]:.1e}, ab {worst[1]:.1e}, ab's range {np.ptp(ab):.0f}")
    assert np.ptp(ab) > 20  # colours, not grey everywhere
    assert worst[0] < LOGITS and worst[1] < AB
    return worst


# The PyTorch port ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped, sizes", [(True, SIZES), (False, SIZES[1:])])
def test_the_port_s_weights_give_the_port_s_colours(model, tmp_path, zipped, sizes):
    path = tmp_path / "colorization_release_v2-9b330a0b.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=zipped)
    assert 128e6 < path.stat().st_size < 131e6
    network, meta = load_network(path)
    assert (meta["width"], meta["temperature"], meta["size"]) == (1, 1, 256)
    for size in sizes:
        light = lightness(*size)
        same(network, meta, light, *theirs(model, light))


def test_their_whole_function_is_ours_enlarged(model, tmp_path):
    """Their forward, which ends with a bilinear enlargement by 4."""
    path = tmp_path / "eccv16.pth"
    torch.save(model.state_dict(), path)
    network, meta = load_network(path)
    light = lightness(64, 48)
    ab = network.colors(network.forward((light - 50) / 100), meta["temperature"])
    with torch.no_grad():
        wanted = model(torch.tensor(light).permute(0, 3, 1, 2)).numpy()
        enlarged = model.upsample4(torch.tensor(ab).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(enlarged, wanted, rtol=0, atol=AB)


def test_a_random_model_out_is_refused(tmp_path):
    """A network of their code that nobody trained."""
    torch.manual_seed(1)
    torch.save(ECCVGenerator().state_dict(), tmp_path / "random.pth")
    with pytest.raises(CheckpointError, match="not the paper's 313 bins"):
        load_network(tmp_path / "random.pth")


def test_their_second_network_is_named(tmp_path):
    state = SIGGRAPHGenerator().state_dict()
    torch.save(state, tmp_path / "siggraph17-df00044c.pth")
    with pytest.raises(CheckpointError, match="is siggraph17, the authors' network of 2017"):
        load_network(tmp_path / "siggraph17-df00044c.pth")


def narrow():
    return {n: torch.tensor(a) for n, a in files.port(1 / 32, BINS).items()}


def flat():
    """All tensors views of one storage, one after another."""
    state = {n: t for n, t in narrow().items() if t.is_floating_point()}
    whole, views, at = torch.cat([t.flatten() for t in state.values()]), {}, 0
    for name, t in state.items():
        views[name] = whole[at : at + t.numel()].view(t.shape)
        at += t.numel()
    return views


def strided():
    """Channels last, every second number of a vector, a transposed matrix, a part of a larger one."""
    state = narrow()
    for name, t in state.items():
        if t.ndim == 4:
            state[name] = t.contiguous(memory_format=torch.channels_last)
        elif t.ndim == 1:
            state[name] = torch.stack([t, t + 1], dim=1)[:, 0]
    t = state["model4.0.weight"]
    state["model4.0.weight"] = torch.cat([t, t, t])[t.shape[0] : 2 * t.shape[0]]
    t = state["model4.2.weight"]
    state["model4.2.weight"] = t.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
    return state


def trained():
    """What a training script saves: the optimiser's state, numbers, texts, lists."""
    weights = [torch.nn.Parameter(t) for t in narrow().values() if t.is_floating_point()]
    adam = torch.optim.Adam(weights)
    sum((w**2).sum() for w in weights).backward()
    adam.step()
    state = {f"module.{n}": t for n, t in narrow().items()}
    more = {"optimizer": adam.state_dict(), "epoch": 3, "best": 1.5, "note": "ä", "log": [None]}
    return {**more, "big": 2**70, "pair": (1, 2), "set": True, "state_dict": state}


CASES = {
    "float32": (narrow, 0),
    "float16": (lambda: {n: t.half() for n, t in narrow().items()}, 2**-11),
    "bfloat16": (lambda: {n: t.bfloat16() for n, t in narrow().items()}, 2**-8),
    "float64": (lambda: {n: t.double() for n, t in narrow().items()}, 0),
    "flat": (flat, 0),
    "strided": (strided, 0),
    "trained": (trained, 0),
}


@pytest.mark.parametrize("options", [{}, {"pickle_protocol": 4}, {"pickle_protocol": 5}, "older"])
@pytest.mark.parametrize("case", CASES)
def test_what_torch_saves_is_what_we_read(tmp_path, case, options):
    make, error = CASES[case]
    options = {"_use_new_zipfile_serialization": False} if options == "older" else options
    torch.save(make(), tmp_path / "x.pth", **options)
    state = load_network(tmp_path / "x.pth")[0].state()
    for name, wanted in files.ours(files.port(1 / 32, BINS)).items():
        np.testing.assert_allclose(state[name], wanted, rtol=error, atol=error / 1e4, err_msg=name)


def test_the_files_of_our_tests_are_torch_s(tmp_path):
    """torch reads what the other tests write, with its own restricted unpickler."""
    state = files.port(1 / 32, BINS)
    for older in (False, True):
        files.write_pth(tmp_path / "x.pth", state, older)
        read = torch.load(tmp_path / "x.pth", weights_only=True)
        assert read.keys() == state.keys()
        assert all(np.array_equal(read[n].numpy(), a) for n, a in state.items())


def test_a_whole_model_is_refused(tmp_path):
    """torch.save(model) needs the model's code to be read, which is not run."""
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="asks for torch.nn.modules.container.Sequential"):
        load_network(tmp_path / "model.pth")


# Caffe --------------------------------------------------------------------------------------------


def caffe_layers(state, scale=None):
    layers = files.caffe_blobs(state)
    layers["class8_ab"] = "Convolution", [BINS.T.reshape(2, -1, 1, 1).copy(), np.zeros(2, "f4")]
    if scale is not None:
        layers["conv8_313_rh"] = "Scale", [np.full(313, scale, np.float32)]
    return layers


def test_caffe_s_weights_give_torch_s_logits(tmp_path):
    """The authors' network at full width without gamma and beta, as Caffe has it."""
    plain = randomize(ECCVGenerator(), 0.35 / 2.606, affine=False)
    state = {n: t.numpy() for n, t in plain.state_dict().items()}
    path = tmp_path / "colorization_release_v2.caffemodel"
    files.write_caffemodel(path, caffe_layers(state, 2.606))
    network, meta = load_network(path)
    assert meta["temperature"] == pytest.approx(1 / 2.606)
    light = lightness(*SIZES[1])
    logits, _ = theirs(plain, light)
    p = torch.softmax(torch.tensor(logits) * 2.606, dim=3).numpy()
    same(network, meta, light, logits, p @ BINS)


def prototxt(layers, height, width):
    """A description of the network for OpenCV. layers: as of caffe_layers."""
    shape = f"dim: 1 dim: 1 dim: {height} dim: {width}"
    text = [f'layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}']
    last = "x"

    def add(title, kind, parameters=""):
        nonlocal last
        ends = f'bottom: "{last}" top: "{title}"'
        text.append(f'layer {{ name: "{title}" type: "{kind}" {ends} {parameters} }}')
        last = title

    for title, (kind, blobs) in layers.items():
        if kind == "BatchNorm":
            add(title, kind)
        elif kind == "Scale":
            add(title, kind, "scale_param { bias_term: false }")
            add("class8_313_rh", "Softmax")
        else:
            k = blobs[0].shape[2]
            out = blobs[0].shape[1 if kind == "Deconvolution" else 0]
            dilation = 2 if title.startswith(("conv5", "conv6")) else 1
            stride = 2 if title in ("conv1_2", "conv2_2", "conv3_3", "conv8_1") else 1
            pad = {1: 0, 3: dilation, 4: 1}[k]
            sizes = f"num_output: {out} kernel_size: {k} pad: {pad} stride: {stride}"
            add(title, kind, f"convolution_param {{ {sizes} dilation: {dilation} }}")
            if "8_313" not in title and title != "class8_ab":
                add(f"relu_{title}", "ReLU")
    return "\n".join(text)


def test_opencv_reads_the_same_from_the_same_file(tmp_path):
    state = files.port(1 / 8, BINS)
    state["model8.6.weight"] *= np.float32(1 / 2.606)
    layers = caffe_layers(state, 2.606)
    layers["class8_ab"] = layers.pop("class8_ab")  # the last one, behind the softmax
    path = tmp_path / "colorization_release_v2.caffemodel"
    files.write_caffemodel(path, layers)
    network, meta = load_network(path)
    for height, width in [(64, 64), (72, 136)]:
        (tmp_path / "deploy.prototxt").write_text(prototxt(layers, height, width))
        net = cv2.dnn.readNetFromCaffe(str(tmp_path / "deploy.prototxt"), str(path))
        light = lightness(height, width)
        net.setInput((light - 50).transpose(0, 3, 1, 2))
        outputs = net.forward(["conv8_313", "class8_ab"])
        same(network, meta, light, *(a.transpose(0, 2, 3, 1) for a in outputs))
