"""The authors' own weights as ours: their PyTorch port's .pth, their Caffe network's .caffemodel.

| here               | PyTorch                              | Caffe                           |
|--------------------|--------------------------------------|---------------------------------|
| conv3_2            | model3.2 (a ReLU follows each)       | conv3_2; conv1_1 is bw_conv1_1  |
| (kh, kw, in, out)  | (out, in, kh, kw)                    | the same                        |
| conv8_1, the same  | (in, out, kh, kw), not turned around | the same                        |
| bn3                | model3.6                             | conv3_3norm                     |
| gamma, beta        | weight, bias                         | 1, 0                            |
| mean, var          | running_mean, running_var            | blobs 0 and 1, each over blob 2 |
| input              | (L - 50) / 100                       | L - 50: conv1_1 times 100       |
| the bins           | model_out: bins / 110                | class8_ab: bins                 |
| temperature        | 1: a plain softmax                   | 1 / conv8_313_rh = 1 / 2.606    |
| side               | 256, of their demo_release.py        | 224, of their deploy.prototxt   |

The last two layers of the Caffe file may be missing, or hold placeholders: whoever uses it fills
them in. Then the bins are ours, in the order of their pts_in_hull.npy, and T is 0.38.

Sources: richzhang/colorization, colorizers/eccv16.py, and models/colorization_deploy_v2.prototxt
on its branch caffe.
"""

import os
import zipfile
from collections import Counter
from math import prod
from pathlib import Path

import numpy as np

from ..bins import BINS, STEP, TEMPERATURE
from ..errors import UserError
from ..network import Network
from .caffe import read_caffemodel
from .later import Later
from .pickled import programs_of, read_archive, read_stream

CHANNELS = 512  # of conv5_2 at width 1
AB_UNIT, LIGHTNESS_UNIT = 110, 100  # what the port's ab, and our L, are divided by
NEAR = 0.25  # of ab: bfloat16 rounds 110 to as much
_CAFFE = (b"\x0a", b"\x12", b"\xa2")  # first bytes: the key of its name or of a layer, see caffe.py
_PARTS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}


def read(file):
    """The network in a file of the authors', or None if it is a file of another kind.

    file: binary, opened by its path. Its first bytes say of which kind it is.
    Returns (meta, state) as in our own files. The arrays of the state are Later: the file must stay
    open. Raises UserError, a line without the path, or nearly anything if the file is damaged.
    """
    head = file.read(4)
    file.seek(0)
    length = os.fstat(file.fileno()).st_size
    if head[:1] == b"\x80":
        return _from_port(read_stream(file), length)
    if head[:2] == b"PK" and programs_of(zipfile.ZipFile(file)):
        return _from_port(read_archive(file), length)
    named = Path(file.name).suffix == ".caffemodel" and head[:2] != b"PK"
    if head[:1] in _CAFFE or named:
        return _from_caffe(read_caffemodel(file))
    return None


def _layers():
    """The names of our layers, in their order."""
    return list(Network(1 / CHANNELS).layers)


# PyTorch ------------------------------------------------------------------------------------------


def _from_port(value, length):
    """(meta, state) of what torch.save has written. length: of the file, bytes."""
    tensors = _tensors(value)
    names, places = {}, Counter()  # our array -> theirs; block -> modules of it so far
    for layer in _layers():
        block = layer.removeprefix("bn").removeprefix("conv")[0]
        parts = _PARTS if layer.startswith("bn") else {"weight": "weight", "bias": "bias"}
        for part, theirs in parts.items():
            names[f"{layer}.{part}"] = f"model{block}.{places[block]}.{theirs}"
        places[block] += 2  # with its ReLU
    strange = any(name.startswith("model8up.") for name in tensors)
    _check_names(tensors, [*names.values(), "model_out.weight"], list(tensors), strange)
    state = {ours: tensors[theirs] for ours, theirs in names.items()}
    if sum(prod(a.shape) for a in state.values()) * 2 > length:  # float16 has two bytes
        raise UserError("its tensors claim more numbers than it holds")
    order = _order(tensors["model_out.weight"], AB_UNIT)
    return _ours(state, order, temperature=1.0, size=256)


def _tensors(value):
    """The state dict: what torch.save wrote, or a part of that. Returns {name: Later}."""
    found = []
    for part in (value, *(value.values() if isinstance(value, dict) else ())):
        if isinstance(part, dict):
            tensors = {str(n): a for n, a in part.items() if isinstance(a, Later)}
            while tensors and all(name.startswith("module.") for name in tensors):
                tensors = {name.removeprefix("module."): a for name, a in tensors.items()}
            if "model1.0.weight" in tensors:
                found.insert(0, tensors)
            elif tensors:
                found.append(tensors)
    if not found:
        raise UserError("not a network: torch.save wrote it, but there is no state dict in it")
    return {n: a for n, a in found[0].items() if not n.endswith(".num_batches_tracked")}


# Caffe --------------------------------------------------------------------------------------------


def _from_caffe(layers):
    """(meta, state) of a Caffe network. layers: as of read_caffemodel."""
    names, last = {}, None  # our layer -> theirs
    for layer in _layers():
        names[layer] = f"{last}norm" if layer.startswith("bn") else layer
        last = layer
    names["conv1_1"] = "bw_conv1_1"
    strange = any(name.startswith(("conv9_", "conv10_")) for name in layers)
    parts = [name for name in layers if "conv" in name and name != "conv8_313_rh"]
    _check_names(layers, list(names.values()), parts, strange)
    state = {}
    for layer, theirs in names.items():
        blobs = layers[theirs]
        if len(blobs) != (3 if layer.startswith("bn") else 2):
            raise UserError(f"its layer {theirs} has {len(blobs)} arrays")
        if layer.startswith("bn"):
            state.update(_averages(layer, *blobs))
        else:
            state[f"{layer}.weight"], state[f"{layer}.bias"] = blobs[0], blobs[1].flat()
    state["conv1_1.weight"] = state["conv1_1.weight"].times(LIGHTNESS_UNIT)
    order, temperature = _decoding(layers.get("class8_ab"), layers.get("conv8_313_rh"))
    return _ours(state, order, temperature, size=224)


def _averages(layer, mean, var, count):
    """BatchNorm's arrays. Caffe keeps sums of averages, and in the third blob of how many."""
    if prod(count.shape) != 1:
        raise UserError(f"its {layer} has {prod(count.shape)} counts, not one")
    count = np.asarray(count).item()
    share = 1 / count if count else 0
    channels = prod(mean.shape)
    return {
        f"{layer}.gamma": np.ones(channels, np.float32),
        f"{layer}.beta": np.zeros(channels, np.float32),
        f"{layer}.mean": mean.flat().times(share),
        f"{layer}.var": var.flat().times(share),
    }


def _decoding(centres, scale):
    """The order of the classes and the temperature. Both: the blobs of a layer, or None."""
    order, temperature = None, TEMPERATURE
    if centres is not None:
        weight, *bias = centres
        order = _order(weight, 1, placeholder=True)
        if order is not None and any(np.asarray(b).any() for b in bias):
            raise UserError("its class8_ab shifts the colours, which the paper's does not")
    if scale is not None:
        factors = np.unique(scale[0])
        if len(scale) != 1 or len(factors) != 1 or not factors[0] >= 0:
            raise UserError("its conv8_313_rh is not one factor for all classes")
        temperature = TEMPERATURE if factors[0] in (0, 1) else float(1 / factors[0])
    return order, temperature


# Both ---------------------------------------------------------------------------------------------


def _check_names(found, wanted, parts, strange):
    """Raises UserError unless all that is wanted is there, and nothing else that is a part of it.

    found: dict, all that the file has. parts: those of its names that are no accessories. strange:
    whether it is the network of 2017.
    """
    if strange:
        raise UserError(
            "is siggraph17, the authors' network of 2017 that takes hints of colour; only their "
            "eccv16, the paper's, can be read"
        )
    missing = [name for name in wanted if name not in found]
    extra = [name for name in parts if name not in wanted]
    if missing or extra:
        why = f"{missing[0]} is missing" if missing else f"{extra[0][:40]} is not part of that"
        what = f"a network of {len(found)} parts, the first {next(iter(found))[:40]}"
        raise UserError(f"{what}; not the paper's: {why}")


def _order(centres, unit, placeholder=False):
    """For each of our bins the class of theirs that stands for it.

    centres: Later, (2, 313, 1, 1), a and b divided by `unit`. placeholder: whether they may also be
    all the same; then, None. Raises UserError unless they are the paper's.
    """
    if centres.shape == (2, len(BINS), 1, 1):
        centres = np.asarray(centres, np.float64)[..., 0, 0].T * unit
        if placeholder and np.ptp(centres) == 0:
            return None
        grid = np.rint(centres / STEP) * STEP
        classes = {tuple(centre): i for i, centre in enumerate(grid.tolist())}
        order = [classes.get(tuple(centre)) for centre in BINS.tolist()]
        if (abs(centres - grid) < NEAR).all() and None not in order:
            return order
    raise UserError("its colours are not the paper's 313 bins")


def _ours(state, order, temperature, size):
    """(meta, state) with weights laid out as ours, and the classes in our order.

    The widest layers say the width: no file can claim a network much larger than it is itself.
    """
    for name, array in state.items():
        if name.endswith(".weight"):
            if len(array.shape) != 4:
                raise UserError(f"its {name} has {len(array.shape)} axes, not 4")
            state[name] = array.transposed((2, 3, 0, 1) if "conv8_1." in name else (2, 3, 1, 0))
    if order is not None:
        for name in ("conv8_313.weight", "conv8_313.bias"):
            state[name] = state[name].with_last(order)
    width = state["conv5_2.weight"].shape[3] / CHANNELS
    meta = {"kind": "weights", "width": width, "head": "bins"}
    return {**meta, "size": size, "temperature": temperature}, state
