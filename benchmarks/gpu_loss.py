"""soft_encode + loss + gradient, ours and the same written in torch with the dense target.

At the size of a training batch, float32. Ours: two kernels and some small operations; the gradient
takes the logits' place. Torch: cdist, topk, scatter to (P, Q), log_softmax, autograd.
"""

import numpy as np

from mini_colorize import bins
from mini_colorize.bins import Q
from mini_colorize.ops import ops

from .gpu_common import colors, mib, noise, table
from .gpu_timing import peak_memory

TARGET = 10  # times faster than torch


def measure(bench):
    xp, sizes = bench.xp, bench.sizes
    shape = (sizes.batch, sizes.side // 4, sizes.side // 4)
    pixels = int(np.prod(shape))
    ab, logits = colors(xp, shape), noise(xp, (*shape, Q))
    v = 1 + xp.abs(noise(xp, Q))
    found = bench.found["loss"] = {"pixels": pixels}
    op = ops(logits)
    first = op.softmax_cross_entropy(logits.copy(), *op.soft_encode(ab), v)
    scale = xp.full((), pixels, np.float32)  # the gradients, in the logits' place, stay in range

    def ours():
        return op.softmax_cross_entropy(logits, *op.soft_encode(ab), v, scale)

    sides = {"ours": ours}
    if bench.torch is not None:
        from . import gpu_torch

        gpu_torch.set_precision("fp32")
        device = bench.torch_device
        t_ab, t_v, t_bins = (
            gpu_torch.to_torch(a, device) for a in (ab.get().reshape(-1, 2), v.get(), bins.BINS)
        )
        t_logits = gpu_torch.to_torch(logits.get().reshape(-1, Q), device).requires_grad_()

        def theirs():
            t_logits.grad = None
            loss = gpu_torch.dense_loss(t_logits, t_ab, t_bins, t_v)
            loss.backward()
            return loss.detach()

        sides["torch"] = theirs
        loss = float(theirs())
        error = np.linalg.norm(t_logits.grad.cpu().numpy() - first.gradient.get().reshape(-1, Q))
        found["losses"] = {"ours": float(first.weighted), "torch": loss}
        found["gradients_differ_by"] = float(error / np.linalg.norm(first.gradient.get()))
        if not abs(loss / found["losses"]["ours"] - 1) < 1e-4:
            raise AssertionError(f"the two sides compute different losses: {found['losses']}")
    del first
    for call in sides.values():
        call()
    each = bench.timer.side_by_side(sides, 20)
    for name, call in sides.items():
        device_ms, host_ms = bench.timer.queued(call)
        found[name] = {"ms": each[name], "device_ms": device_ms, "host_ms": host_ms}
    encode = bench.timer.queued(lambda: op.soft_encode(ab))
    found["soft_encode"] = {"device_ms": encode[0], "host_ms": encode[1]}
    found["inputs_mib"] = mib(ab.nbytes + logits.nbytes)
    before = xp.get_default_memory_pool().used_bytes()
    found["ours"]["more_mib"] = mib(peak_memory(xp, ours) - before)
    if "torch" in sides and bench.torch_device == "cuda":
        memory = bench.torch.cuda
        t_logits.grad = None
        before = memory.memory_allocated()
        memory.reset_peak_memory_stats()
        theirs()
        found["torch"]["more_mib"] = mib(memory.max_memory_allocated() - before)
    rows = [
        [name, f["ms"], f["device_ms"], f["host_ms"], f.get("more_mib")]
        for name, f in found.items()
        if name in sides
    ]
    table(
        f"soft_encode + loss + gradient, {pixels:,} pixels; peak memory on top of the "
        f"{found['inputs_mib']:.0f} MiB of ab and logits",
        ["", "ms", "device ms", "host ms", "more MiB"],
        rows,
    )
    print(f"soft_encode alone: {found['soft_encode']['device_ms']:.4f} ms")
    if "torch" in sides:
        found["ratio"] = found["torch"]["ms"] / found["ours"]["ms"]
        found["device_ratio"] = found["torch"]["device_ms"] / found["ours"]["device_ms"]
        found["target"] = TARGET
        print(
            f"torch / ours: {found['ratio']:.1f} in a row, {found['device_ratio']:.1f} on the "
            f"device alone (target {TARGET})"
        )
