"""Where a training step's time goes: by phase, by kernel, and as the driver's own profiler has it.

Events around the parts, with the host ahead, so that only the device counts. Every pair of events
costs a microsecond or two: the sums are a little larger than the step by itself.
"""

import gc

from mini_colorize.fast import cuda

from .gpu_common import crops, percent, table
from .gpu_step import torch_step, trainer, workplace
from .gpu_timing import Spans, launches_seen, products_seen

SHOWN = 14  # lines of the profiler's table


def measure(bench):
    found = bench.found["profile"] = {}
    with workplace(bench) as (folder, net):
        for precision in bench.sizes.precisions:
            with bench.part(f"profile, {precision}"):
                found[precision] = {}
                _profile(bench, folder, net, precision, found[precision])


def _profile(bench, folder, net, precision, found):
    gc.collect()
    bench.free()
    made = trainer(bench, folder, precision)
    rgb = bench.xp.asarray(crops(bench.sizes))

    def step():
        made.train_step(rgb)

    for _ in range(2):
        step()
    found["step_ms"], found["host_ms"] = bench.timer.queued(step)
    with bench.part(f"phases, {precision}"):
        _phases(bench, made, step, precision, found)
    with bench.part(f"operations, {precision}"):
        _operations(bench, step, precision, found)
    if bench.torch is None or bench.torch_device != "cuda":
        return
    with bench.part(f"profiler, ours, {precision}"):
        found["profiler_ours"] = _profiler(bench, step, f"ours, {precision}")
    with bench.part(f"profiler, torch, {precision}"):
        theirs = torch_step(bench, net, made)
        t_rgb = bench.torch.from_numpy(crops(bench.sizes)).to(bench.torch_device)
        for _ in range(3):
            theirs(t_rgb)
        name = f"torch, {precision}"
        found["profiler_torch"] = _profiler(bench, lambda: theirs(t_rgb), name)


def _phases(bench, made, step, precision, found):
    """The parts of Trainer.train_step; a network's pass by kind of layer."""
    with Spans(bench.timer) as spans:
        spans.wrap(made, "targets", "crops to Lab, soft_encode")
        spans.wrap(cuda, "softmax_cross_entropy", "loss and its gradient")
        spans.wrap(cuda, "find_overflow", "overflow")
        spans.wrap(made.optimizer, "step", "Adam")
        if made.average:
            spans.wrap(made.average, "update", "moving average")
        if made.loss_scale:
            spans.wrap(made.loss_scale, "update", "loss scale")
        for layer in made.network.layers.values():
            kind = "BatchNorm" if "gamma" in layer.params else "convolutions"
            spans.wrap(layer, "forward", f"{kind}, forward")
            spans.wrap(layer, "backward", f"{kind}, backward")
        spans.measure(step)
    found["phases"] = {"ms": spans.ms, "total_ms": spans.total_ms}
    rows = sorted(spans.ms.items(), key=lambda item: -item[1])
    rows.append(("between them", max(0.0, spans.total_ms - sum(spans.ms.values()))))
    rows = [[name, ms, percent(ms / spans.total_ms)] for name, ms in rows]
    table(
        f"Training step by phase, {precision}: {spans.total_ms:.2f} ms",
        ["phase", "ms", "of it"],
        rows,
    )
    other = sum(ms for name, ms in spans.ms.items() if not name.startswith("convolutions"))
    found["not_convolutions_ms"] = other
    print(f"all that is no convolution, {precision}: {other:.2f} ms")


def _operations(bench, step, precision, found):
    """Kernels by name, matrix products, and what is left: CuPy's own operations and gaps."""
    flops = []

    def product(count, multiply):
        flops.append(count)
        return spans.around("matrix products (cuBLAS)", multiply)

    with Spans(bench.timer) as spans:

        def launch(name, run, kernel, args):
            spans.around(name, run)

        with launches_seen(launch), products_seen(product):
            spans.measure(step)
    products_ms = spans.ms.get("matrix products (cuBLAS)", 0.0)
    steps = len(flops) / max(1, spans.counts.get("matrix products (cuBLAS)", 0))
    rate = sum(flops) / steps / products_ms / 1e9 if products_ms else 0.0
    rest = found["step_ms"] - sum(spans.ms.values())
    found["operations"] = {
        "ms": spans.ms,
        "counts": spans.counts,
        "rest_ms": rest,
        "products_tflop_s": rate,
        "total_ms": spans.total_ms,
    }
    whole = found["step_ms"]
    rows = [
        [name, spans.counts[name], ms, percent(ms / whole)]
        for name, ms in sorted(spans.ms.items(), key=lambda item: -item[1])
    ]
    table(
        f"Training step by operation, {precision}: {whole:.2f} ms",
        ["operation", "times", "ms", "of it"],
        rows,
    )
    kernels_ms = sum(spans.ms.values()) - products_ms
    print(
        f"where the step goes, {precision}: matrix products {percent(products_ms / whole)} at "
        f"{rate:.0f} TFLOP/s (a large one: {bench.ceilings[precision] / 1e12:.0f}), our kernels "
        f"{percent(kernels_ms / whole)}, CuPy's own operations, less the events' cost, "
        f"{percent(rest / whole)}; the host needs {found['host_ms']:.2f} ms to queue it"
    )


def _profiler(bench, step, title):
    """Kernels as CUPTI sees them, whoever launched them. Returns the first rows."""
    activity = bench.torch.profiler.ProfilerActivity.CUDA
    bench.timer.wait()
    with bench.torch.profiler.profile(activities=[activity]) as profiler:
        step()
        bench.timer.wait()
    events = [(e.key, e.count, e.self_device_time_total / 1e3) for e in profiler.key_averages()]
    events = sorted((e for e in events if e[2] > 0), key=lambda e: -e[2])
    total = sum(ms for _, _, ms in events)
    if not events:
        raise RuntimeError("the profiler saw no kernel")
    table(
        f"Kernels of a step, {title}: {sum(n for _, n, _ in events)} of them, {total:.2f} ms",
        ["kernel", "times", "ms", "of it"],
        [[key[:70], n, ms, percent(ms / total)] for key, n, ms in events[:SHOWN]],
    )
    return [{"kernel": key[:200], "times": n, "ms": ms} for key, n, ms in events[:40]]
