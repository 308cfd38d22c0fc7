"""Networks and training states as files: .npz without pickle, so a file cannot run code.

A checkpoint holds one JSON text under "meta" (format, version, kind, the network's width and
head, and what the writer adds) and arrays under "group/name":

    network/conv1_1.weight ...   weights and BatchNorm's averages, for inference
    optimizer/..., raw/...       only in a training state: see learning.py

Weights to share are stored as int8, a quarter of float32 and less when compressed. Every output
channel has one factor, its largest weight / 127, under "conv1_1.scale":

    weight (k, k, c_in, c_out) ~ int8 (k, k, c_in, c_out) * scale (c_out,) float32

Arrays are read only after their header was checked, so a file that claims to hold terabytes is
refused before memory is asked for.

Files of the authors' own weights are read where a network is asked for: foreign.py.
"""

import hashlib
import io
import json
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ..backend import to_host
from ..errors import UserError
from ..network import HEADS, MULTIPLE, Network
from . import foreign
from .disk import atomic_write
from .later import Later

FORMAT, VERSION = "mini_colorize", 1
WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = {  # name of a file in WEIGHTS -> its SHA-256
    "full": "04cb384060fade737325ba85cb442186a4a5b26695eeaaeb203757425dcd910e",
    "tiny": "8cafb5be87fb7f9b4efb1a266c7fa7ac27fdea98c4b711e999a4463a227321ea",
}
DEFAULT = "full"
DTYPES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}  # of weights in a file
MAX_BYTES = 256 * 2**20  # of one array; the largest real one has 9.4 MB
MAX_META_BYTES = 2**20
MAX_SIZE = 4096  # pixels; the largest side to colour at: memory grows with its square
MAX_TEMPERATURE = 1000  # far beyond 1, where the annealed mean is the mean


class CheckpointError(UserError):
    """A file that is not a usable checkpoint. One line that starts with its path."""


def save(path, meta, groups, compress=False):
    """Write a checkpoint whole or not at all.

    meta: JSON-able dict; must hold "kind" ("weights" or "training") and "width".
    groups: group -> {name: array}. compress: zipped; floats hardly shrink, int8 by a quarter.
    Raises OSError if the file cannot be written.
    """
    meta = {"format": FORMAT, "version": VERSION, **meta}
    arrays = {f"{g}/{n}": to_host(a) for g, named in groups.items() for n, a in named.items()}
    text = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    with atomic_write(path) as file:
        (np.savez_compressed if compress else np.savez)(file, meta=text, **arrays)


def load(path, kind=None):
    """Read a checkpoint. Returns (meta, groups) as they were given to `save`.

    kind: "weights" or "training" if only that will do. Raises CheckpointError.
    """
    with _opened(path) as file:
        return _read_ours(file, path, kind)


def load_meta(path):
    """The meta of a file, a run's folder or shipped weights, as of load_network."""
    path = _find(path)
    with _opened(path) as file:
        theirs = foreign.read(file)
        return theirs[0] if theirs else _read_meta(zipfile.ZipFile(file), path)


@contextmanager
def _opened(path):
    """The file, ours or the authors'. Whatever fails within is raised as CheckpointError."""
    try:
        with open(path, "rb") as file:
            yield file
    except CheckpointError:
        raise
    except UserError as error:
        raise CheckpointError(f"{path}: {short(error, 250)}") from None
    except FileNotFoundError:
        hint = "" if Path(path).suffix else f" (shipped are {', '.join(SHIPPED)})"
        raise CheckpointError(f"{path}: no such file{hint}") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path}: is a folder without weights in it") from None
    except zipfile.BadZipFile:
        raise CheckpointError(f"{path}: not a checkpoint, or one that is cut short") from None
    # NumPy, zipfile and its decompressors raise nearly anything on damaged bytes.
    except Exception as error:
        raise CheckpointError(f"{path}: damaged checkpoint ({short(error)})") from None


def short(value, most=100):
    """A text from a file or an exception, safe to print: one line, no control codes, not long."""
    text = " ".join(str(value).split()) or type(value).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:most]


def _read_meta(archive, path):
    try:
        meta = json.loads(_read_array(archive, "meta.npy", MAX_META_BYTES).tobytes())
        if meta["format"] != FORMAT:
            raise KeyError
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
        raise CheckpointError(f"{path}: not a mini_colorize checkpoint") from None
    if meta.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: format version {short(meta.get('version'))}; "
            f"this program reads version {VERSION}"
        )
    return meta


def _read_ours(file, path, kind=None):
    """As `load`. file: the same, open."""
    archive, groups = zipfile.ZipFile(file), {}
    meta = _read_meta(archive, path)
    if kind is not None and meta.get("kind") != kind:
        raise CheckpointError(f"{path}: is not a {kind} checkpoint")
    for entry in archive.namelist():
        name = entry.removesuffix(".npy")
        if name != "meta":
            group, _, key = name.partition("/")
            groups.setdefault(group, {})[key] = _read_array(archive, entry, MAX_BYTES)
    return meta, groups


def _read_array(archive, entry, most):
    """One array of the archive, of at most so many bytes, its header checked first. No pickle."""
    with archive.open(entry) as file:
        head = io.BytesIO(file.read(4096))  # any honest header is far shorter
        version = np.lib.format.read_magic(head)
        if version != (1, 0):  # what NumPy writes for arrays of plain numbers
            raise ValueError(f"{entry} is in an unknown version of the npy format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        count = int(np.prod(shape, dtype=object))
        size = count * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(f"{entry} holds Python objects")
        if size > most or size != archive.getinfo(entry).file_size - head.tell():
            raise ValueError(f"{entry} is not as long as it says")
        array = np.frombuffer(head.read() + file.read(), dtype=dtype)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{entry} holds numbers that are not finite")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def check_recommended(path, meta):
    """The side and the temperature to colour with, if meta has any. Raises CheckpointError."""
    size, temperature = meta.get("size", MULTIPLE), meta.get("temperature", 0.0)
    if type(size) is not int or size % MULTIPLE or not 0 < size <= MAX_SIZE:
        raise CheckpointError(f"{path}: recommends an impossible size, {short(size)}")
    if type(temperature) not in (int, float) or not 0 <= temperature <= MAX_TEMPERATURE:
        raise CheckpointError(f"{path}: recommends an impossible temperature, {short(temperature)}")


def _network_from(path, meta, state):
    """A Network with the given weights. Raises CheckpointError if they do not fit together."""
    width = meta.get("width")
    head = meta.get("head", "bins")  # files from before there was another head do not name it
    if type(width) not in (int, float) or not 0 < width <= 4:
        raise CheckpointError(f"{path}: has no usable network width")
    if not isinstance(head, str) or head not in HEADS:
        raise CheckpointError(f"{path}: has an unknown head, {short(head)}")
    check_recommended(path, meta)
    network = Network(width, head=head)
    try:
        network.load_state(_dequantized(state))
    except ValueError as error:
        raise CheckpointError(f"{path}: {short(error)}") from None
    for name, array in network.state().items():
        if name.endswith(".var") and (array < 0).any():
            raise CheckpointError(f"{path}: {name} is negative")
    return network


def _quantized(name, weight):
    """The arrays that stand for a convolution's weight in a file. weight: float (..., c_out)."""
    scale = abs(weight).max(axis=(0, 1, 2)) / np.float32(127)
    values = np.divide(weight, scale, out=np.zeros_like(weight), where=scale > 0)
    values = np.rint(values).clip(-127, 127).astype(np.int8)
    return {name: values, name.removesuffix("weight") + "scale": scale}


def _dequantized(state):
    """The state with every int8 weight and its scale made one array of float32.

    Raises ValueError for a scale that is missing or cannot be one.
    """
    state = dict(state)
    for name, array in list(state.items()):
        if array.dtype == np.int8 and array.ndim == 4:
            key = name.removesuffix("weight") + "scale"
            scale = state.pop(key, None)
            if scale is None:
                raise ValueError(f"{name} is int8 and has no {key}")
            if scale.dtype != np.float32 or scale.shape != array.shape[3:] or (scale < 0).any():
                raise ValueError(f"{key} is not {array.shape[3]} factors, float32, 0 or more")
            state[name] = Later(array.shape, np.float32, partial(np.multiply, array, scale))
    return state


def save_network(path, network, dtype=np.float32, **meta):
    """Write a network for inference. dtype: of the convolutions' weights, one of DTYPES.

    float16 is half the size, int8 a sixth. All other arrays stay float32: BatchNorm's range may
    exceed float16's, and they are small.
    Raises CheckpointError if a weight does not fit, OSError if the file cannot be written.
    """
    state, eight = {}, dtype == np.int8
    for name, array in network.state().items():
        array = to_host(array)
        if array.ndim != 4:
            state[name] = array.astype(np.float32)
        elif eight:
            state.update(_quantized(name, array.astype(np.float32)))
        else:
            with np.errstate(over="ignore"):
                state[name] = array.astype(dtype)
    for name, array in state.items():
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name} does not fit {array.dtype.name}")
    meta = {"kind": "weights", "width": network.width, "head": network.head, **meta}
    save(path, meta, {"network": state}, compress=eight)


def load_network(path=None):
    """A Network from a file of weights, ours or the authors', a training state or a run's folder.

    path: a Path or str; or the name of shipped weights, see SHIPPED, of which None takes DEFAULT.
    (A file of such a name in the current folder is "./full".)
    Returns (network, meta); meta may recommend the "size" and the "temperature" to colour with.
    Raises CheckpointError.
    """
    path = _find(path)
    with _opened(path) as file:
        theirs = foreign.read(file)
        if theirs is not None:
            return _network_from(path, *theirs), theirs[0]
        meta, groups = _read_ours(file, path)
    return _network_from(path, meta, groups.get("network", {})), meta


def mean_state(network, paths):
    """The mean of the states of these files, all like `network`. Raises CheckpointError.

    Source: Wortsman et al., "Model soups", 2022.
    """
    total = {name: np.zeros(array.shape) for name, array in network.state().items()}
    for path in paths:
        state = load_network(path)[0].state()
        if {n: a.shape for n, a in state.items()} != {n: a.shape for n, a in total.items()}:
            raise CheckpointError(f"{path}: is another network than {paths[0]}")
        for name, array in state.items():
            total[name] += array
    return {name: array / len(paths) for name, array in total.items()}


def _find(path):
    """The Path of the file that `path` means, see load_network."""
    if path == "":  # an unset variable; Path would make the current folder of it
        raise CheckpointError("'': no such file")
    path = shipped(DEFAULT) if path is None else shipped(path) or Path(path)
    return path / "weights.npz" if path.is_dir() else path


def shipped(name):
    """The file of shipped weights of that name, or None if `name` is not one.

    Raises CheckpointError unless it is, to the bit, the file of its model card.
    """
    if not isinstance(name, str) or name not in SHIPPED:
        return None
    path = WEIGHTS / f"{name}.npz"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from None
    if digest != SHIPPED[name]:
        raise CheckpointError(f"{path}: not the file that was shipped; fetch or install it again")
    return path
