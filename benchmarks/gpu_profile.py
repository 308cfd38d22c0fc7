"""Where a training step's time goes: by phase, by kernel, and as the driver's own profiler has it.

All of it launch by launch, without a CUDA graph, whose times are printed first.

Events around the parts, with the host ahead, so that only the device counts. Every pair of events
costs a microsecond or two: the sums are a little larger than the step by itself.
"""

from functools import partial

from mini_colorize.fast import cuda

from .gpu_common import crops, table
from .gpu_step import torch_step, trainer, workplace
from .gpu_timing import Spans, launches_seen, products_seen

SHOWN = 14  # lines of the profiler's table
PRODUCTS = "matrix products (cuBLAS)"


def measure(bench):
    """The section "profile"."""
    found = bench.found["profile"] = {}
    with workplace(bench) as (folder, net):
        for precision in bench.sizes.precisions:
            with bench.part(f"profile, {precision}"):
                _profile(bench, folder, net, precision, found.setdefault(precision, {}))


def _profile(bench, folder, net, precision, found):
    bench.free()
    made = trainer(bench, folder, precision)
    step = partial(made.train_step, bench.xp.asarray(crops(bench.sizes)))
    found["graph_ms"], found["graph_host_ms"] = bench.timer.queued(step)
    print(f"as a graph, {precision}: {found['graph_ms']:.2f} ms, host {found['graph_host_ms']:.2f}")
    made.learner.graphs.room = None  # what follows looks between the launches
    found["step_ms"], found["host_ms"] = bench.timer.queued(step)
    with bench.part(f"phases, {precision}"):
        _phases(bench, made, step, precision, found)
    with bench.part(f"operations, {precision}"):
        _operations(bench, step, precision, found)
    if bench.torch_device != "cuda":
        return
    with bench.part(f"profiler, ours, {precision}"):
        found["profiler_ours"] = _profiler(bench, step, f"ours, {precision}")
    with bench.part(f"profiler, torch, {precision}"):
        theirs = torch_step(bench, net, made)
        for _ in range(3):
            theirs()
        found["profiler_torch"] = _profiler(bench, theirs, f"torch, {precision}")


def _phases(bench, made, step, precision, found):
    """The parts of Trainer.train_step; a network's pass by kind of layer."""
    with Spans(bench.timer) as spans:
        spans.wrap(made.learner, "targets", "crops to Lab, soft_encode")
        spans.wrap(cuda, "softmax_cross_entropy", "loss and its gradient")
        spans.wrap(cuda, "find_overflow", "overflow")
        spans.wrap(made.learner.optimizer, "update", "Adam")
        for owner, label in (
            (made.learner.average, "moving average"),
            (made.learner.loss_scale, "loss scale"),
        ):
            if owner:
                spans.wrap(owner, "update", label)
        for layer in made.network.layers.values():
            kind = "BatchNorm" if "gamma" in layer.params else "convolutions"
            spans.wrap(layer, "forward", f"{kind}, forward")
            spans.wrap(layer, "backward", f"{kind}, backward")
        spans.measure(step)
    found["phases"] = {"ms": spans.ms, "total_ms": spans.total_ms}
    rest = max(0.0, spans.total_ms - sum(spans.ms.values()))
    rows = spans.rows(spans.total_ms)
    rows.append({"": "between them", "ms": rest, "share": rest / spans.total_ms})
    title = f"Training step by phase, {precision}: {spans.total_ms:.2f} ms"
    table(title, ", times, ms, share", rows)
    other = sum(ms for name, ms in spans.ms.items() if not name.startswith("convolutions"))
    print(f"all that is no convolution, {precision}: {other:.2f} ms")


def _operations(bench, step, precision, found):
    """Kernels by name, matrix products, and what is left: CuPy's own operations and gaps."""
    flops, whole = [], found["step_ms"]
    with Spans(bench.timer) as spans:

        def launch(name, run, kernel, args):
            spans.around(name, run)

        def product(count, multiply):
            flops.append(count)
            return spans.around(PRODUCTS, multiply)

        with launches_seen(launch), products_seen(product):
            spans.measure(step)
    products_ms = spans.ms.get(PRODUCTS, 0.0)
    of_a_step = flops[len(flops) - spans.counts.get(PRODUCTS, 0) :]
    rate = sum(of_a_step) / products_ms / 1e9 if products_ms else 0.0
    rest = whole - sum(spans.ms.values())
    found["operations"] = {"ms": spans.ms, "counts": spans.counts, "total_ms": spans.total_ms}
    found["operations"] |= {"rest_ms": rest, "products_tflop_s": rate}
    title = f"Training step by operation, {precision}: {whole:.2f} ms"
    table(title, ", times, ms, share", spans.rows(whole))
    kernels_ms = sum(spans.ms.values()) - products_ms
    print(
        f"where the step goes, {precision}: matrix products {products_ms / whole:.1%} at "
        f"{rate:.0f} TFLOP/s (a large one: {bench.ceilings[precision] / 1e12:.0f}), our kernels "
        f"{kernels_ms / whole:.1%}, CuPy's own operations, less the events' cost, "
        f"{rest / whole:.1%}; the host needs {found['host_ms']:.2f} ms to queue it"
    )


def _profiler(bench, step, title):
    """Kernels as CUPTI sees them, whoever launched them. Returns the first rows."""
    profiling = bench.torch.torch.profiler
    bench.timer.wait()
    with profiling.profile(activities=[profiling.ProfilerActivity.CUDA]) as profiler:
        step()
        bench.timer.wait()
    rows = [
        {"kernel": e.key[:200], "times": e.count, "ms": e.self_device_time_total / 1e3}
        for e in profiler.key_averages()
        if e.self_device_time_total > 0
    ]
    if not rows:
        raise RuntimeError("the profiler saw no kernel")
    rows.sort(key=lambda row: -row["ms"])
    times, ms = (sum(row[key] for row in rows) for key in ("times", "ms"))
    shown = [{**row, "kernel": row["kernel"][:70], "share": row["ms"] / ms} for row in rows[:SHOWN]]
    title = f"Kernels of a step, {title}: {times} of them, {ms:.2f} ms"
    table(title, "kernel, times, ms, share", shown)
    return rows[:40]
