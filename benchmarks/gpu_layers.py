"""Each convolution of a training step by itself: forward, dx and dw, by every plan, at every
precision, and torch's forward and backward beside it.

The floor of a direction is the larger of two times: the bytes that must move (each picture and each
weight once) at a copy's rate, and the operations of a direct convolution at the rate of a large
matrix product of that precision. Winograd makes fewer operations, so it may go below that floor.
"""

import math

import numpy as np

from mini_colorize.backend import set_precision
from mini_colorize.fast import convolution, cuda, gather, winograd
from mini_colorize.modules import Conv2d, ConvTranspose2d
from mini_colorize.network import WIDTHS, Network

from .gpu_common import noise, percent, table
from .gpu_timing import Spans

PLANS = {0: "gather", 2: "2x2", 4: "4x4"}
DIRECTIONS = ("forward", "dx", "dw")


def measure(bench):
    found, sizes = bench.found.setdefault("layers", {}), bench.sizes
    for precision in bench.sizes.precisions:
        rows = found[precision] = []
        set_precision(precision, bench.xp)
        net = Network(WIDTHS[sizes.model]).to(bench.xp)
        for name, layer, shape in convolutions(net, (sizes.batch, sizes.side, sizes.side, 1)):
            with bench.part(f"layer {name}, {precision}"):
                for p in layer.params.values():
                    p[...] = 0.05 * noise(bench.xp, p.shape)
                rows.append(_row(bench, name, layer, shape, precision))
            bench.free()
        with bench.part(f"table of the layers, {precision}"):
            _print(rows, precision)
    set_precision("fp32", bench.xp)


def convolutions(net, shape):
    """name, layer and shape of the input of every convolution. shape: of the network's input."""
    for name, layer in net.layers.items():
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            yield name, layer, shape
        shape = (shape[0], *layer.output_shape(shape[1:]))


def _plans(layer, shape, dtype):
    """The plan that the layer chooses, and all that it could choose."""
    if isinstance(layer, ConvTranspose2d):
        return 0, [0]
    kernel, _, c_in, _ = layer.params["weight"].shape
    able = kernel == 3 and layer.geometry["stride"] == 1 and c_in > 1
    pixels = shape[0] * math.prod(layer.output_shape(shape[1:])[:2])
    weight, stride = layer.params["weight"].shape, layer.geometry["stride"]
    chosen = convolution.conv_plan(weight, pixels, stride, dtype)
    return chosen, [0, 2, 4] if able else [0]


def _row(bench, name, layer, shape, precision):
    dtype = np.float16 if precision == "mixed" else np.float32
    chosen, plans = _plans(layer, shape, dtype)
    out = (shape[0], *layer.output_shape(shape[1:]))
    flops = 2 * layer.params["weight"].size * shape[0]
    flops *= shape[1] * shape[2] if isinstance(layer, ConvTranspose2d) else out[1] * out[2]
    nbytes = np.dtype(dtype).itemsize * int(
        np.prod(shape) + np.prod(out) + layer.params["weight"].size
    )
    floor = 1e3 * max(nbytes / bench.ceilings["copy"], flops / bench.ceilings[precision])
    row = {
        "layer": name,
        "input": list(shape),
        "plan": PLANS[chosen],
        "flops": flops,
        "bytes": nbytes,
        "floor_ms": floor,
        "plans": {},
    }
    x, dy = noise(bench.xp, shape, dtype), noise(bench.xp, out, dtype, 1)
    for plan in plans:
        with bench.part(f"layer {name}, {precision}, {PLANS[plan]}"):
            row["plans"][PLANS[plan]] = _directions(bench, layer, x, dy, plan)
    if bench.torch is not None:
        with bench.part(f"layer {name}, {precision}, torch"):
            row["torch_ms"] = _torch(bench, layer, shape, precision)
    return row


def _directions(bench, layer, x, dy, plan):
    """ms of forward, dx, dw, bias (its gradient, and ReLU's) and their sum, by one plan."""
    first = x.shape[3] == 1  # the gradient to the picture is not made
    options = {"input_gradient": False} if first else {}

    def both():
        layer.forward(x, train=True)
        layer.backward(dy, **options)

    ways = {"dx": "correlate_adjoint", "dw": "weight_gradient"}
    if isinstance(layer, ConvTranspose2d):  # the other way round
        ways["dx"] = "correlate"
    choose = convolution.choose_plan
    convolution.choose_plan = lambda *_: plan
    try:
        with Spans(bench.timer) as spans:
            spans.wrap(layer, "forward", "forward")
            for label, name in ways.items():
                spans.wrap(winograd if plan else gather, name, label)
            spans.wrap(cuda, "bias_relu_backward", "bias")
            spans.measure(both, min(5, bench.timer.rounds))
    finally:
        convolution.choose_plan = choose
    return {**spans.ms, "sum": spans.total_ms}


def _torch(bench, layer, shape, precision):
    from . import gpu_torch

    gpu_torch.set_precision(precision)
    both = gpu_torch.convolution(layer, shape, precision, bench.torch_device)
    for _ in range(2):
        both()
    return bench.timer.queued(both, min(5, bench.timer.rounds))[0]


def _print(rows, precision):
    printed, sums = [], {"ours": 0.0, "best": 0.0, "torch": 0.0}
    for row in rows:
        chosen = row["plans"].get(row["plan"], {})
        ways = sum(direction in chosen for direction in DIRECTIONS)
        work_ms = sum(chosen.get(d, 0.0) for d in DIRECTIONS)
        cells = [
            row["layer"],
            "x".join(map(str, row["input"])),
            row["plan"],
            *(chosen.get(d) for d in (*DIRECTIONS, "bias", "sum")),
        ]
        if work_ms:
            row["tflop_s"] = ways * row["flops"] / work_ms / 1e9
            row["gb_s"] = ways * row["bytes"] / work_ms / 1e6
            row["share_of_floor"] = ways * row["floor_ms"] / work_ms
            cells += [row["tflop_s"], row["gb_s"], percent(row["share_of_floor"])]
        else:
            cells += [None] * 3
        totals = {plan: f["sum"] for plan, f in row["plans"].items()}
        row["best"] = min(totals, key=totals.get) if totals else None
        cells += [totals.get(plan) for plan in PLANS.values()] + [row["best"], row.get("torch_ms")]
        printed.append(cells)
        sums["ours"] += totals.get(row["plan"], 0.0)
        sums["best"] += min(totals.values(), default=0.0)
        sums["torch"] += row.get("torch_ms", 0.0)
    table(
        f"Convolutions of a training step, {precision}: ms of the plan in use, then forward + "
        "backward by each plan, and torch's",
        [
            "layer",
            "input",
            "plan",
            *DIRECTIONS,
            "bias",
            "sum",
            "TFLOP/s",
            "GB/s",
            "of floor",
            *PLANS.values(),
            "best",
            "torch",
        ],
        printed,
    )
    print(
        f"all convolutions, {precision}: {sums['ours']:.2f} ms; {sums['best']:.2f} ms if each "
        f"took its best plan; torch {sums['torch']:.2f} ms"
    )
