"""Each convolution of a training step by itself: forward, dx and dw, by every plan, at every
precision, and torch's forward and backward beside it.

Before torch is timed, its output and its gradients are compared with those of the plan in use.

The floor of a direction is the larger of two times: the bytes that must move (each picture and each
weight once) at a copy's rate, and the operations of a direct convolution at the rate of a large
matrix product of that precision. Winograd makes fewer operations, so it may go below that floor.
"""

from copy import copy
from math import prod
from unittest import mock

import numpy as np

from mini_colorize.backend import set_precision, to_host
from mini_colorize.fast import convolution, cuda, gather, winograd
from mini_colorize.modules import ConvTranspose2d
from mini_colorize.network import WIDTHS, Network

from .common import agree, with_shapes
from .gpu_common import noise, table
from .gpu_timing import Spans

PLANS = {0: "gather", 2: "2x2", 4: "4x4"}
AGREE = {"fp32": 1e-3, "tf32": 2e-2, "mixed": 2e-2}  # relative L2 of output and gradients


def measure(bench):
    """The section "layers"."""
    found, sizes = bench.found.setdefault("layers", {}), bench.sizes
    for precision in sizes.precisions:
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
    for name, layer, picture in with_shapes(net, shape[1:]):
        if "weight" in layer.params:
            yield name, layer, (shape[0], *picture)


def _plans(layer, out, dtype):
    """The plan that the layer chooses, and all that it could choose. out: shape of the output."""
    weight, stride = layer.params["weight"].shape, layer.geometry["stride"]
    able = weight[0] == 3 and stride == 1 and weight[2] > 1
    chosen = convolution.choose_plan(weight, prod(out[:3]), stride, dtype)
    return chosen, [0, 2, 4] if able else [0]


def _row(bench, name, layer, shape, precision):
    dtype = np.float16 if precision == "mixed" else np.float32
    out = (shape[0], *layer.output_shape(shape[1:]))
    chosen, plans = _plans(layer, out, dtype)
    flops = shape[0] * layer.flops(shape[1:])
    nbytes = np.dtype(dtype).itemsize * (prod(shape) + prod(out) + layer.params["weight"].size)
    row = {
        "layer": name,
        "input": list(shape),
        "plan": PLANS[chosen],
        "flops": flops,
        "bytes": nbytes,
        "floor_ms": 1e3 * max(nbytes / bench.ceilings["copy"], flops / bench.ceilings[precision]),
        "plans": {},
    }
    x, dy = noise(bench.xp, shape, dtype), noise(bench.xp, out, dtype, 1)
    if layer.relu:  # two programs that round differently may disagree on a ReLU near 0
        with mock.patch.object(layer, "relu", False):
            size = abs(layer.forward(x))
        dy *= size > 0.01 * size.max()
    else:  # logits lie in rows of 320, and so does their gradient
        y = layer.forward(x)
        y[...] = dy
        dy = y
    if bench.torch:
        with bench.part(f"layer {name}, {precision}, torch"):
            row["torch_ms"] = _torch(bench, layer, x, dy, precision)
    for plan in plans:
        with bench.part(f"layer {name}, {precision}, {PLANS[plan]}"):
            row["plans"][PLANS[plan]] = _directions(bench, layer, x, dy, plan)
    return row


def _both(layer, x, dy):
    """Forward and backward. Returns y, dweight, dbias and, but for the first layer, dx."""
    y, first = layer.forward(x, train=True), x.shape[3] == 1
    dx = layer.backward(dy, **({"input_gradient": False} if first else {}))
    return y, layer.grads["weight"], layer.grads["bias"], *([] if first else [dx])


def _torch(bench, layer, x, dy, precision):
    """ms of torch's forward and backward, which must give what ours give."""
    host = copy(layer)
    host.params = {key: to_host(p) for key, p in layer.params.items()}
    arrays = to_host(x), to_host(dy)
    both = bench.torch.convolution(host, *arrays, precision, bench.torch_device)
    names = ("y", "dw", "db", "dx")[: 3 + (x.shape[3] > 1)]
    for name, ours, theirs in zip(names, _both(layer, x, dy), both(), strict=True):
        if name in ("y", "dx"):  # the first and the last picture are enough
            ours, theirs = (pictures[:: max(1, len(x) - 1)] for pictures in (ours, theirs))
        agree(name, to_host(ours), theirs.cpu(), AGREE[precision])
    return bench.timer.queued(both, min(5, bench.timer.rounds))[0]


def _directions(bench, layer, x, dy, plan):
    """ms of forward, dx, dw, bias (its gradient, and ReLU's) and their sum, by one plan."""
    ways = {"dx": "correlate_adjoint", "dw": "weight_gradient"}
    if isinstance(layer, ConvTranspose2d):  # the other way round
        ways["dx"] = "correlate"
    choose = mock.patch.object(convolution, "choose_plan", lambda *_, **options: plan)
    with choose, Spans(bench.timer) as spans:
        spans.wrap(layer, "forward", "forward")
        for label, name in ways.items():
            spans.wrap(winograd if plan else gather, name, label)
        spans.wrap(cuda, "bias_relu_backward", "bias")
        spans.measure(lambda: _both(layer, x, dy), min(5, bench.timer.rounds))
    return {**spans.ms, "sum": spans.total_ms}


def _print(rows, precision):
    printed, sums = [], np.zeros(3)
    for row in rows:
        chosen = row["plans"].get(row["plan"], {})
        ways = [chosen[way] for way in ("forward", "dx", "dw") if way in chosen]
        if any(ways):
            each = len(ways) / sum(ways)
            row["tflop_s"], row["gb_s"] = each * row["flops"] / 1e9, each * row["bytes"] / 1e6
            row["share_of_floor"] = each * row["floor_ms"]
        totals = {plan: ms["sum"] for plan, ms in row["plans"].items()}
        row["best"] = min(totals, key=totals.get) if totals else None
        printed.append({**row, **chosen, **totals, "input": "x".join(map(str, row["input"]))})
        parts = (totals.get(row["plan"]), totals.get(row["best"]), row.get("torch_ms"))
        sums += [ms or 0.0 for ms in parts]
    table(
        f"Convolutions, {precision}: ms of the plan in use; forward + backward by each, and torch's",
        "layer, input, plan, forward, dx, dw, bias, sum, tflop_s, gb_s, share_of_floor, "
        "gather, 2x2, 4x4, best, torch_ms",
        printed,
    )
    ours, best, theirs = (f"{ms:.2f} ms" for ms in sums)
    plans = f"{ours}; {best} if each took its best plan; torch {theirs}"
    print(f"all convolutions, {precision}: {plans}")
