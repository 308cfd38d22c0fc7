"""A whole training step, and inference, ours and torch's in turn: images a second, peak memory.

The step goes from uint8 crops on the device to updated weights, moving average included. Ours is
Trainer.train_step itself; torch's is that of gpu_torch.py, from the same weights, and the losses
of the first step are compared, so that both sides do the same work.
"""

import gc
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from mini_colorize.backend import set_precision, to_host
from mini_colorize.files.checkpoint import save_network
from mini_colorize.files.config import Config
from mini_colorize.network import WIDTHS, Network
from mini_colorize.ops import ops
from mini_colorize.targets import targets
from mini_colorize.training import Trainer

from .gpu_common import colors, crops, mib, noise, percent, table
from .gpu_timing import peak_memory

SHARE = 0.05  # of a step, what soft_encode may take
LR = 1e-4
AGREE = {"fp32": 1e-4, "tf32": 5e-3, "mixed": 2e-2}  # relative, the losses of the first step


def network(bench):
    """A network on the host with first weights, made on the device."""
    xp, net = bench.xp, Network(WIDTHS[bench.sizes.model])
    rgb = xp.asarray(crops(bench.sizes)[:4])
    net.to(xp).initialize(targets(rgb)[0])
    return net.to(np)


@contextmanager
def workplace(bench):
    """A folder with some photographs and first weights to train from. Yields (folder, network)."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "photos").mkdir()
        for i, picture in enumerate(crops(bench.sizes, 1)[:2]):
            Image.fromarray(picture).save(folder / "photos" / f"{i}.png")
        net = network(bench)
        save_network(folder / "weights.npz", net)
        yield folder, net


def trainer(bench, folder, precision):
    """Ready for its first step."""
    s = bench.sizes
    config = Config(
        data=[str(folder / "photos")],
        model=s.model,
        size=s.side,
        resize=s.side,
        batch=s.batch,
        lr=LR,
        schedule="steps",
        lr_every=10**6,
        warmup=0,
        init=str(folder / "weights.npz"),
        precision=precision,
        workers=0,
    )
    made = Trainer(config, folder / precision, bench.xp)
    made.start()
    return made


def torch_step(bench, net, ours):
    """The same step in torch. ours: the Trainer it shall equal."""
    from . import gpu_torch

    c = ours.config
    gpu_torch.set_precision(c.precision)
    decay = c.weight_decay / (c.size // 4) ** 2
    class_weight, device = to_host(ours.class_weight), bench.torch_device
    return gpu_torch.TrainingStep(net, class_weight, c.precision, device, decay, c.ema, LR)


def measure(bench):
    """The section "step"."""
    found = bench.found["step"] = {}
    with workplace(bench) as (folder, net):
        for precision in bench.sizes.precisions:
            with bench.part(f"training step, {precision}"):
                found[precision] = {}
                _step(bench, folder, net, precision, found[precision])
    s = bench.sizes
    _table(f"Training step, {s.model}, batch {s.batch}, {s.side}x{s.side}", found)
    for precision, f in found.items():
        if "soft_encode_share" in f:
            ms, share = f["soft_encode_ms"], percent(f["soft_encode_share"])
            print(f"soft_encode, {precision}: {ms:.4f} ms, {share} of the step (aim: {SHARE:.0%})")


def _step(bench, folder, net, precision, found):
    xp, sizes, pool = bench.xp, bench.sizes, bench.xp.get_default_memory_pool()
    gc.collect()
    bench.free()
    held, used = pool.total_bytes(), pool.used_bytes()
    made = trainer(bench, folder, precision)
    rgb = xp.asarray(crops(sizes))
    first = float(made.train_step(rgb)[0][0])
    sides = {"ours": lambda: made.train_step(rgb)}
    found["first_losses"] = {"ours": first}
    if bench.torch is not None:
        theirs = torch_step(bench, net, made)
        t_rgb = bench.torch.from_numpy(crops(sizes)).to(bench.torch_device)
        sides["torch"] = lambda: theirs(t_rgb)
        found["first_losses"]["torch"] = float(theirs(t_rgb))
    for _ in range(3):
        for call in sides.values():
            call()
    _times(bench, sides, 3, sizes.batch, found)
    found["ours"]["peak_mib"] = mib(peak_memory(xp, sides["ours"]) - used)
    found["ours"]["held_mib"] = mib(pool.total_bytes() - held)
    if "torch" in sides and bench.torch_device == "cuda":
        memory = bench.torch.cuda
        memory.reset_peak_memory_stats()
        sides["torch"]()
        found["torch"]["peak_mib"] = mib(memory.max_memory_allocated())
        found["torch"]["held_mib"] = mib(memory.memory_reserved())
    ab = colors(xp, (sizes.batch, sizes.side // 4, sizes.side // 4))
    found["soft_encode_ms"] = bench.timer.queued(lambda: ops(ab).soft_encode(ab))[0]
    found["soft_encode_share"] = found["soft_encode_ms"] / found["ours"]["ms"]
    found["last_loss"] = float(made.train_step(rgb)[0][0])
    if not np.isfinite(found["last_loss"]):
        raise AssertionError(f"the loss became {found['last_loss']}")
    if "torch" in sides:
        _agree(found["first_losses"], AGREE[precision])


def _agree(values, limit):
    """Both sides must have computed the same, or their times mean nothing."""
    if not abs(values["torch"] / values["ours"] - 1) < limit:
        raise AssertionError(f"the two sides differ: {values}")


def _times(bench, sides, count, images, found):
    """Fill found with the times of each side, and images a second."""
    each = bench.timer.side_by_side(sides, count)
    for name, call in sides.items():
        device_ms, host_ms = bench.timer.queued(call)
        found[name] = {
            "ms": each[name],
            "device_ms": device_ms,
            "host_ms": host_ms,
            "images_s": 1e3 * images / each[name],
        }
    if "torch" in sides:
        found["ratio"] = each["torch"] / each["ours"]


def _table(title, found):
    """found: name of a row -> what `_times` and the memory's figures filled in."""
    head = [
        "",
        "side",
        "images/s",
        "ours/torch",
        "ms",
        "device ms",
        "host ms",
        "peak MiB",
        "held MiB",
    ]
    rows = []
    for name, f in found.items():
        for side in ("ours", "torch"):
            if side in f:
                r = f[side]
                ratio = f.get("ratio") if side == "ours" else None
                times = [r["ms"], r["device_ms"], r["host_ms"]]
                memory = [r.get("peak_mib"), r.get("held_mib")]
                rows.append([name, side, r["images_s"], ratio, *times, *memory])
    table(
        f"{title} (aim: ours/torch 1.0 or more; host above device: the host is the limit)",
        head,
        rows,
    )


# Inference -------------------------------------------------------------------------------------


def run_inference(bench):
    """The section "inference"."""
    found, net = bench.found.setdefault("inference", {}), network(bench)
    for precision in bench.sizes.precisions:
        for batch in bench.sizes.infer_batches:
            name = f"{precision}, batch {batch}"
            with bench.part(f"inference, {name}"):
                found[name] = {}
                _inference(bench, net, precision, batch, found[name])
            bench.free()
    s = bench.sizes
    _table(f"Inference, {s.model}, {s.infer_side}x{s.infer_side}", found)


def _inference(bench, net, precision, batch, found):
    xp, side = bench.xp, bench.sizes.infer_side
    set_precision(precision, xp)
    ours = net.folded().to(xp)
    if precision == "mixed":
        ours.halved()
    x = xp.clip(0.25 * noise(xp, (batch, side, side, 1)), -0.5, 0.5)
    sides = {"ours": lambda: ops(x).annealed_mean(ours.forward(x))}
    if bench.torch is not None:
        from . import gpu_torch

        gpu_torch.set_precision(precision)
        theirs = gpu_torch.Inference(net, precision, bench.torch_device)
        t_x = gpu_torch.to_torch(to_host(x).transpose(0, 3, 1, 2), bench.torch_device)
        sides["torch"] = lambda: theirs(t_x)
        ab = to_host(sides["ours"]()).astype(np.float64), theirs(t_x).double().cpu().numpy()
        found["ab_differs_by"] = float(np.abs(ab[0] - ab[1]).mean())
    for _ in range(3):
        for call in sides.values():
            call()
    _times(bench, sides, 5, batch, found)
    if found.get("ab_differs_by", 0) > (0.05 if precision == "fp32" else 3):
        raise AssertionError(f"the colours differ by {found['ab_differs_by']} on average")
