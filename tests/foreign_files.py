"""Writes files as torch.save and Caffe do, byte by byte, without either.

Written from their descriptions and independently of what reads them. Arrays are theirs: convolutions (out, in, kh, kw), the transposed one (in, out, kh, kw).
"""

import struct
import zipfile

import numpy as np
from paper import NORMALISED, TABLE

# The port numbers the modules of a block, ReLUs among them; conv8_313 is the fourth of its block.
CONVOLUTIONS = []  # ours, the port's, Caffe's, channels in and out at width 1, side of the filter
for layer_name, side, c_in, c_out, _ in TABLE:
    block, number = layer_name.removeprefix("conv").split("_")
    place = 2 * min(int(number), 4) - 2
    caffes = f"bw_{layer_name}" if layer_name == "conv1_1" else layer_name
    CONVOLUTIONS.append((layer_name, f"model{block}.{place}", caffes, c_in, c_out, side))
NORMS = [  # ours, the port's, Caffe's, channels at width 1
    (f"bn{n}", f"model{n}.{2 * last}", f"conv{n}_{last}norm", channels)
    for n, last, channels in zip(range(1, 8), (2, 2, 3, 3, 3, 3, 3), NORMALISED, strict=True)
]


def port(width, bins, seed=0):
    """A state dict of the PyTorch port: random weights and averages, and bins / 110."""
    rng, state = np.random.default_rng(seed), {}

    def normal(*shape, mean=0.0, spread=1.0):
        values = rng.standard_normal(shape, dtype=np.float32)
        return (values * np.float32(spread) + np.float32(mean)).astype(np.float32)

    for ours, name, _, c_in, c_out, k in CONVOLUTIONS:
        c_in, c_out = (c if c in (1, 313) else round(c * width) for c in (c_in, c_out))
        shape = (c_in, c_out, k, k) if ours == "conv8_1" else (c_out, c_in, k, k)
        fan_in = c_in * k * k / (4 if ours == "conv8_1" else 1)
        state[f"{name}.weight"] = normal(*shape, spread=(2 / fan_in) ** 0.5)
        state[f"{name}.bias"] = normal(c_out, spread=0.1)
    for _, name, _, channels in NORMS:
        channels = round(channels * width)
        state[f"{name}.weight"] = normal(channels, mean=1, spread=0.2)
        state[f"{name}.bias"] = normal(channels, spread=0.1)
        state[f"{name}.running_mean"] = normal(channels, mean=0.4, spread=0.1)
        state[f"{name}.running_var"] = normal(channels, spread=0.5) ** 2 + np.float32(0.3)
        state[f"{name}.num_batches_tracked"] = np.array(7, np.int64)
    state["model_out.weight"] = (bins.T / 110).astype(np.float32).reshape(2, -1, 1, 1)
    return state


def ours(state):
    """What our network should hold for a state dict of the port."""
    expected = {}
    for name, theirs, _, *_ in CONVOLUTIONS:
        axes = "iohw->hwio" if name == "conv8_1" else "oihw->hwio"
        expected[f"{name}.weight"] = np.einsum(axes, state[f"{theirs}.weight"])
        expected[f"{name}.bias"] = state[f"{theirs}.bias"]
    for name, theirs, *_ in NORMS:
        expected[f"{name}.gamma"] = state[f"{theirs}.weight"]
        expected[f"{name}.beta"] = state[f"{theirs}.bias"]
        expected[f"{name}.mean"] = state[f"{theirs}.running_mean"]
        expected[f"{name}.var"] = state[f"{theirs}.running_var"]
    return expected


# Pickles, by their instructions -------------------------------------------------------------------

KINDS = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "u1": "Byte", "bf": "BFloat16"}


def text(string):
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def integer(n):
    if -(2**31) <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    data = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sequence(*values):
    return b"(" + b"".join(values) + b"t"


def name(module, what):
    return b"c" + f"{module}\n{what}\n".encode()


EMPTY = name("collections", "OrderedDict") + b")R"


def mapping(items):
    """An OrderedDict. items: name -> pickled value."""
    return EMPTY + b"(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def pickled(value):
    return b"\x80\x02" + value + b"."


def storage(key, kind, count, view=None):
    """A reference to a storage. view: None, or ("key", first, count), in the older form only."""
    parts = [text("storage"), name("torch", f"{kind}Storage"), text(key), text("cpu")]
    parts.append(integer(count))
    if view is None:
        parts.append(b"N")
    elif view:
        parts.append(sequence(text(view[0]), *map(integer, view[1:])))
    return sequence(*parts) + b"Q"


def tensor(reference, shape, strides, offset=0, hooks=EMPTY):
    place = integer(offset), sequence(*map(integer, shape)), sequence(*map(integer, strides))
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return rebuild + sequence(reference, *place, b"\x89", hooks) + b"R"


def strides_of(shape):
    return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]


def whole(key, array, zipped=True):
    """The tensor that is the whole of a storage."""
    reference = storage(key, KINDS[array.dtype.str[1:]], array.size, () if zipped else None)
    return tensor(reference, array.shape, strides_of(array.shape))


# torch.save ---------------------------------------------------------------------------------------

MAGIC = pickled(b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little"))
MACHINE = pickled(
    mapping({"protocol_version": integer(1001), "little_endian": b"\x88", "type_sizes": EMPTY})
)


def write_archive(path, value, storages, order=b"little", method=zipfile.ZIP_STORED, more=()):
    """The form of today. value: pickled, without its frame. storages: key -> bytes."""
    members = {
        "data.pkl": pickled(value),
        "byteorder": order,
        **{f"data/{key}": data for key, data in storages.items()},
        "version": b"3\n",
        **dict(more),
    }
    with zipfile.ZipFile(path, "w", method) as archive:
        for member, data in members.items():
            if data is not None:
                archive.writestr(f"archive/{member}", data)


def write_stream(path, value, storages):
    """The older form. storages: key -> (count, bytes)."""
    with open(path, "wb") as file:
        file.write(MAGIC + pickled(integer(1001)) + MACHINE + pickled(value))
        file.write(pickled(b"](" + b"".join(text(key) for key in sorted(storages)) + b"e"))
        for _, (count, data) in sorted(storages.items()):
            file.write(struct.pack("<q", count) + data)


def write_pth(path, state, older=False, wrap=lambda value: value):
    """A state dict as torch.save would write it, each tensor with a storage of its own."""
    keys = {name: str(i) for i, name in enumerate(state)}
    value = wrap(mapping({n: whole(keys[n], a, not older) for n, a in state.items()}))
    if older:
        write_stream(path, value, {keys[n]: (a.size, a.tobytes()) for n, a in state.items()})
    else:
        write_archive(path, value, {keys[n]: a.tobytes() for n, a in state.items()})


# Caffe --------------------------------------------------------------------------------------------


def varint(n):
    out = bytearray()
    while True:
        n, low = n >> 7, n & 127
        out.append(low | (128 if n else 0))
        if not n:
            return bytes(out)


def field(number, data, kind=2):
    """A field: bytes with their length before them, or an integer as a varint (kind 0)."""
    key = varint(number << 3 | kind)
    return key + (varint(data) if kind == 0 else (varint(len(data)) if kind == 2 else b"") + data)


def blob(array, old=False):
    """A BlobProto. old: its shape as four numbers, as before 2014."""
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(field(i, n, 0) for i, n in enumerate(shape, 1))
    else:
        head = field(7, field(1, b"".join(varint(n) for n in array.shape)))
    return head + field(8 if array.dtype == np.float64 else 5, array.tobytes())


def layer(title, kind, blobs=(), v1=False, old=False):
    """A layer as a field of the net. v1: a V1LayerParameter, of which the kind is a number."""
    if v1:
        head = field(4, title.encode()) + field(5, {"Convolution": 4}.get(kind, 39), 0)
        return field(2, head + b"".join(field(6, blob(b, old)) for b in blobs))
    head = field(1, title.encode()) + field(2, kind.encode()) + field(3, b"bottom")
    head += field(10, 1, 0) + field(5, struct.pack("<f", 1), 5)  # phase, loss_weight
    return field(100, head + b"".join(field(7, blob(b, old)) for b in blobs))


def caffe_blobs(state, factor=999.25, dtype=np.float32):
    """The port's weights as Caffe's, without their gamma and beta: {layer: (kind, blobs)}."""
    layers = {}
    for _, theirs, title, *_ in CONVOLUTIONS:
        weight, bias = (state[f"{theirs}.{part}"].astype(dtype) for part in ("weight", "bias"))
        if title == "bw_conv1_1":
            weight = weight / dtype(100)  # its input is L - 50
        kind = "Deconvolution" if title == "conv8_1" else "Convolution"
        layers[title] = kind, [weight, bias]
        for _, norm, norm_title, _ in NORMS:
            if norm_title == f"{title}norm":
                parts = (state[f"{norm}.running_{part}"] for part in ("mean", "var"))
                sums = [(part * factor).astype(dtype) for part in parts]
                layers[norm_title] = "BatchNorm", [*sums, np.array([factor], dtype)]
    return layers


def write_caffemodel(path, layers, more=b"", v1=False, old=False):
    """A NetParameter. layers: {title: (kind, blobs)}. more: further fields."""
    with open(path, "wb") as file:
        file.write(field(1, b"LtoAB"))
        if not v1:
            file.write(layer("data_l", "Input") + layer("relu1_1", "ReLU"))
        for title, (kind, blobs) in layers.items():
            file.write(layer(title, kind, blobs, v1, old))
        file.write(more)
