"""A whole training step, and inference, ours and torch's in turn: images a second, peak memory.

The step goes from uint8 crops on the device to updated weights, moving average included. Ours is
Trainer.train_step itself; torch's is that of torch_side.py, from the same weights. Before anything
is timed the losses are compared, in fp32 also those after an update, so that both sides do the same
work; of inference the colours are.

The section "loss": soft_encode + loss + gradient at the size of a training batch, float32. Ours:
two kernels and some small operations; the gradient takes the logits' place. Torch's has the dense
target: cdist, topk, scatter to (P, Q), cross-entropy, autograd.
"""

import tempfile
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize.backend import set_precision, to_host
from mini_colorize.bins import Q
from mini_colorize.fast.graphs import Graphs
from mini_colorize.fast.memory import padded
from mini_colorize.files.checkpoint import save_network
from mini_colorize.files.config import Config
from mini_colorize.ops import ops
from mini_colorize.training import Trainer

from .common import agree, initialized
from .gpu_common import colors, crops, mib, noise, table

SHARE = 0.05  # of a step, what soft_encode may take
LR = 1e-4
LOSS_TARGET = 10  # times faster than torch
AGREE = {"fp32": 1e-4, "tf32": 5e-3, "mixed": 2e-2}  # relative, the losses of the first step
UPDATED = {"fp32": 1e-3}  # the same after an update: Adam follows the sign of small gradients
COLORS_AGREE = {"fp32": 1e-3, "tf32": 4e-2, "mixed": 4e-2}  # relative L2


@contextmanager
def workplace(bench):
    """A folder with some photographs and first weights to train from. Yields (folder, network)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "photos").mkdir()
        for i, picture in enumerate(crops(bench.sizes, 1)[:2]):
            Image.fromarray(picture).save(folder / "photos" / f"{i}.png")
        net = initialized(bench.sizes.model, crops(bench.sizes)[:2])
        save_network(folder / "weights.npz", net)
        yield folder, net


def trainer(bench, folder, precision):
    """Ready for its first step."""
    s = bench.sizes
    batches = {"size": s.side, "resize": s.side, "batch": s.batch, "workers": 0}
    rate = {"lr": LR, "schedule": "steps", "lr_every": 10**6, "warmup": 0}
    photos, weights = str(folder / "photos"), str(folder / "weights.npz")
    config = Config([photos], model=s.model, init=weights, precision=precision, **batches, **rate)
    made = Trainer(config, folder / precision, bench.xp)
    made.start()
    return made


def torch_step(bench, net, ours):
    """The same step in torch. ours: the Trainer it shall equal. Returns a callable."""
    c, device = ours.config, bench.torch_device
    decay, class_weight = c.weight_decay / (c.size // 4) ** 2, to_host(ours.learner.class_weight)
    step = bench.torch.TrainingStep(net, class_weight, LR, decay, c.ema, c.precision, device)
    rgb = bench.torch.torch.from_numpy(crops(bench.sizes)).to(device)
    return lambda: step(rgb)


def measure(bench):
    """The section "step"."""
    found, s = bench.found.setdefault("step", {}), bench.sizes
    with workplace(bench) as (folder, net):
        for precision in s.precisions:
            with bench.part(f"training step, {precision}"):
                _step(bench, folder, net, precision, found.setdefault(precision, {}))
    _table(f"Training step, {s.model}, batch {s.batch}, {s.side}x{s.side}", found)
    for precision, f in found.items():
        if "soft_encode_share" in f:
            part = "{soft_encode_ms:.4f} ms, {soft_encode_share:.1%} of the step".format(**f)
            print(f"soft_encode, {precision}: {part} (aim: {SHARE:.0%})")


def _step(bench, folder, net, precision, found):
    bench.free()
    before, sizes = bench.memory(), bench.sizes
    made, rgb = trainer(bench, folder, precision), bench.xp.asarray(crops(sizes))
    sides = {"ours": lambda: made.train_step(rgb)[0][0]}
    if bench.torch:
        sides["torch"] = torch_step(bench, net, made)
    limits = {"first_losses": AGREE[precision], "second_losses": UPDATED.get(precision, np.inf)}
    for which, limit in limits.items():
        losses = found[which] = {name: float(call()) for name, call in sides.items()}
        if "torch" in sides:
            agree(f"{which}, {losses}", losses["ours"], losses["torch"], limit)
    found |= bench.measure(sides, 3, sizes.batch, before)
    found["why_no_graph"] = made.learner.graphs.why_not
    ab = colors(bench.xp, (sizes.batch, sizes.side // 4, sizes.side // 4))
    found["soft_encode_ms"] = bench.timer.queued(lambda: ops(ab).soft_encode(ab))[0]
    found["soft_encode_share"] = found["soft_encode_ms"] / found["ours"]["ms"]
    found["last_loss"] = float(sides["ours"]())
    if not np.isfinite(found["last_loss"]):
        raise AssertionError(f"the loss became {found['last_loss']}")


def _table(title, found):
    """found: name of a row -> what Bench.measure found."""
    rows = [
        {"": name, "side": side, **f[side], "ours/torch": f.get("ratio")}
        for name, f in found.items()
        for side in ("ours", "torch")
        if side in f
    ]
    table(
        f"{title} (aim: ours/torch 1.0 or more; host above device: the host is the limit)",
        ", side, images_s, ours/torch, ms, device_ms, host_ms, peak_mib, held_mib",
        rows,
    )


# Inference -------------------------------------------------------------------------------------


def run_inference(bench):
    """The section "inference"."""
    found, s = bench.found.setdefault("inference", {}), bench.sizes
    net = initialized(s.model, crops(s)[:2])
    for precision in s.precisions:
        for batch in s.infer_batches:
            name = f"{precision}, batch {batch}"
            with bench.part(f"inference, {name}"):
                _inference(bench, net, precision, batch, found.setdefault(name, {}))
    _table(f"Inference, {s.model}, {s.infer_side}x{s.infer_side}", found)


def _inference(bench, net, precision, batch, found):
    bench.free()
    before, xp, side = bench.memory(), bench.xp, bench.sizes.infer_side
    set_precision(precision, xp)
    ours = net.folded().to(xp)
    if precision == "mixed":
        ours.halved()
    x = xp.clip(0.25 * noise(xp, (batch, side, side, 1)), -0.5, 0.5)
    graphs = Graphs(xp)
    look = partial(graphs, "look", lambda x: (ops(x).annealed_mean(ours.forward(x)),), x)
    sides = {"ours": lambda: look()[0]}
    if bench.torch:
        theirs = bench.torch.Inference(net, precision, bench.torch_device)
        t_x = bench.torch.from_nhwc(to_host(x), bench.torch_device)
        sides["torch"] = lambda: theirs(t_x)
        colored = to_host(sides["ours"]()), theirs(t_x).cpu()
        found["ab_differs_by"] = agree("colours", *colored, COLORS_AGREE[precision])
    found |= bench.measure(sides, 5, batch, before)
    found["why_no_graph"] = graphs.why_not


# The loss by itself ------------------------------------------------------------------------------


def run_loss(bench):
    """The section "loss"."""
    xp, sizes = bench.xp, bench.sizes
    shape = (sizes.batch, sizes.side // 4, sizes.side // 4)
    ab, v = colors(xp, shape), 1 + xp.abs(noise(xp, Q))
    logits = noise(xp, (*shape, padded(Q)))[..., :Q]  # as a network's lie
    pixels, op, found = prod(shape), ops(logits), bench.found.setdefault("loss", {})
    scale = xp.full((), pixels, "f4")  # the gradients, in the logits' place, stay in range
    sides, host = {}, [to_host(array) for array in (ab, logits, v)]
    if bench.torch:
        sides["torch"], t_logits = _theirs(bench, *host)
        first, loss = op.softmax_cross_entropy(logits, *op.soft_encode(ab), v), sides["torch"]()
        found["losses"] = {"ours": float(first.weighted), "torch": float(loss)}
        agree("losses", found["losses"]["ours"], found["losses"]["torch"], AGREE["fp32"])
        # At ties of rounding the two may take another fifth neighbour.
        gradients = to_host(first.gradient).reshape(-1, Q), t_logits.grad.cpu()
        found["gradients_differ_by"] = agree("gradients", *gradients, 1e-2)
        t_logits.grad = first = None

    def ours():
        return op.softmax_cross_entropy(logits, *op.soft_encode(ab), v, scale)

    sides = {"ours": ours, **sides}
    found |= {"pixels": pixels, "inputs_mib": mib(ab.nbytes + logits.nbytes)}
    found |= bench.measure(sides, 20, sizes.batch, bench.memory())
    for name in sides:
        found[name]["more_mib"] = found[name].pop("peak_mib", None)
    table(
        f"soft_encode + loss + gradient, {pixels:,} pixels; peak memory on top of the "
        f"{found['inputs_mib']:.0f} MiB of ab and logits",
        ", ms, device_ms, host_ms, more_mib",
        [{"": name, **found[name]} for name in sides],
    )
    if "torch" in sides:
        found["device_ratio"] = found["torch"]["device_ms"] / found["ours"]["device_ms"]
        ratios = f"{found['ratio']:.1f} in a row, {found['device_ratio']:.1f} on the device alone"
        print(f"torch / ours: {ratios} (target {LOSS_TARGET})")


def _theirs(bench, ab, logits, v):
    """The same in torch: a callable, which returns the loss, and the logits, which get a gradient.

    ab, logits, v: NumPy.
    """
    side, device = bench.torch, bench.torch_device
    side.set_precision("fp32")
    encoder = side.Encoder(device)
    arrays = ab.reshape(-1, 2), logits.reshape(-1, Q), v
    ab, logits, v = (side.torch.tensor(array, device=device) for array in arrays)
    logits.requires_grad_()

    def step():
        logits.grad = None
        loss = side.dense_loss(logits, *encoder.soft_encode(ab), v)
        loss.backward()
        return loss.detach()

    return step, logits
