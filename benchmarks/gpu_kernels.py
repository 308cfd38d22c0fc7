"""Each memory-bound kernel: its time, the bytes it must move, and the share of a copy's rate.

Only the kernel is timed, in a CUDA graph, on inputs that are rotated so that no cache holds them.
`call` is the whole call of its wrapper with the few small operations around it, `host` what that
costs the host. The rows, and what their bytes count, are in gpu_cases.py.
"""

import numpy as np

from .gpu_cases import cases
from .gpu_common import percent, table
from .gpu_timing import launches_seen, replayed

TARGET = 0.85  # of a copy's rate, for the two kernels that read all logits
TARGETED = ("softmax_cross_entropy", "annealed_mean")


def measure_case(bench, case):
    """One row, as a dictionary."""
    sets = max(2, min(32, -(-bench.sizes.cache_bytes // case.nbytes)))
    calls, launches, kernel_names, held = [], [], {}, []

    def around(name, launch, kernel, args):
        kernel_names[name] = kernel
        launches.append(launch)
        held.append(args)  # the graph has only their addresses
        launch()

    for seed in range(sets):
        calls.append(case.make(seed))
        with launches_seen(around):
            held.append(calls[-1]())
    times = -(-bench.sizes.calls // sets)
    ms, method = replayed(bench.timer, launches * times)
    ms /= sets * times
    whole_ms, host_ms = bench.timer.queued(lambda: [call() for call in calls])
    rate = case.nbytes / ms * 1e3
    return {
        "kernel": case.name,
        "size": case.size,
        "dtype": np.dtype(case.dtype).name,
        "bytes": case.nbytes,
        "us": 1e3 * ms,
        "gb_s": rate / 1e9,
        "share_of_copy": rate / bench.ceilings["copy"],
        "call_us": 1e3 * whole_ms / sets,
        "host_us": 1e3 * host_ms / sets,
        "method": method,
        "target": TARGET if case.name in TARGETED else None,
        **_resources(bench.xp, list(kernel_names.values())[-1]),
    }


def _resources(xp, kernel):
    """Registers a thread, bytes that spill to local memory, and the share of a multiprocessor's
    threads that fit; empty where the kernel does not tell."""
    try:
        registers, shared, local = (
            getattr(kernel, name) for name in ("num_regs", "shared_size_bytes", "local_size_bytes")
        )
    except AttributeError:
        return {}
    p = xp.cuda.runtime.getDeviceProperties(0)
    warps = p.get("regsPerMultiprocessor", 65536) // (-(-registers * 32 // 256) * 256)
    blocks = min(warps // 8, p.get("maxThreadsPerMultiProcessor", 2048) // 256)
    if shared:
        blocks = min(blocks, p.get("sharedMemPerMultiprocessor", 2**16) // (shared + 1024))
    most = p.get("maxThreadsPerMultiProcessor", 2048)
    return {"registers": registers, "spilled_bytes": local, "occupancy": blocks * 256 / most}


def measure(bench):
    """The section: all rows, then what misses the target."""
    rows = bench.found["kernels"] = []
    for case in cases(bench.xp, bench.sizes):
        with bench.part(f"{case.name}, {case.size}, {np.dtype(case.dtype).name}"):
            rows.append(measure_case(bench, case))
        bench.free()
    head = [
        "kernel",
        "size",
        "dtype",
        "us",
        "GB/s",
        "of copy",
        "call us",
        "host us",
        "regs",
        "spilled",
        "occupancy",
    ]
    table(
        f"Kernels (a copy moves {bench.ceilings['copy'] / 1e9:.0f} GB/s, read + write; "
        f"{', '.join(TARGETED)}: at least {TARGET:.0%} of it)",
        head,
        [
            [
                r["kernel"],
                r["size"],
                r["dtype"],
                r["us"],
                r["gb_s"],
                percent(r["share_of_copy"]),
                r["call_us"],
                r["host_us"],
                r.get("registers"),
                r.get("spilled_bytes"),
                percent(r["occupancy"]) if "occupancy" in r else None,
            ]
            for r in rows
        ],
    )
    for r in rows:
        if r["target"] and r["share_of_copy"] < r["target"]:
            print(
                f"below {r['target']:.0%}: {r['kernel']}, {r['size']}, {r['dtype']}: "
                f"{percent(r['share_of_copy'])}"
            )
    for method in {r["method"] for r in rows} - {"graph"}:
        print(f"timed without a graph: {method}")
