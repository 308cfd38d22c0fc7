"""How fast the GPU path is, beside torch on the same GPU in the same run.

    python -m benchmarks.gpu [--only kernels,step] [--out FILE]

Sections: ceilings, kernels, loss, step, inference, layers, profile; each file benchmarks/gpu_*.py
tells what it measures. A section runs in a process of its own with a time limit: one that fails,
crashes or hangs does not take the others with it. Prints tables and writes one JSON file, by
default benchmarks/results/<GPU>_<date>.json, after every section. Needs CuPy; without torch only
our side is measured, and the output says so. Exit code: 0, 1 if anything failed, 2 without a GPU.
"""

import argparse
import datetime
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mini_colorize.backend import PRECISIONS, DeviceError, select_device
from mini_colorize.files.disk import write_json

from . import gpu_kernels, gpu_layers, gpu_profile, gpu_step
from .gpu_common import FULL, SMOKE, Bench, gpu_machine, plain, table

RESULTS = Path(__file__).parent / "results"
NO_GPU = 2


def _ceilings(bench):
    """The machine and its rates."""
    bench.found["machine"] = gpu_machine(bench.xp, bench.torch and bench.torch.torch)
    print("\n".join(f"{name:<20} {value}" for name, value in bench.found["machine"].items()))
    rates = bench.ceilings
    rows = [{"": "copy, read + write", "rate": f"{rates['copy'] / 1e9:.0f} GB/s"}]
    for name in PRECISIONS:
        rows.append({"": f"matrix product, {name}", "rate": f"{rates[name] / 1e12:.1f} TFLOP/s"})
    table("Ceilings, measured", ", rate", rows)


# name -> the section and how long it may take, seconds
SECTIONS = {
    "ceilings": (_ceilings, 60),
    "kernels": (gpu_kernels.measure, 120),
    "step": (gpu_step.measure, 120),
    "loss": (gpu_step.run_loss, 60),
    "inference": (gpu_step.run_inference, 100),
    "layers": (gpu_layers.measure, 150),
    "profile": (gpu_profile.measure, 120),
}


def run_section(name, path, sizes):
    """One section, in this process. Writes {"found", "failures"} to path. Returns the exit code."""
    try:
        xp, line = select_device("cuda")
    except DeviceError as error:
        print(error)
        return NO_GPU
    print(f"== {name}; {line}", flush=True)
    torch, missing = _torch(sizes)
    bench = Bench(xp, torch, sizes, path)
    if missing:
        print(f"only our side is measured: {missing}", flush=True)
        bench.found["without_torch"] = missing
    with bench.part(name):
        SECTIONS[name][0](bench)
    return 1 if bench.failures else 0


def _torch(sizes):
    """(benchmarks.torch_side, None), or None and the reason why it is no use."""
    try:
        from . import torch_side
    except ImportError as error:
        return None, str(error)
    usable = torch_side.torch.cuda.is_available() or sizes is not FULL
    return (torch_side, None) if usable else (None, "this torch sees no GPU")


def section_command(name, path, smoke):
    """The command that runs one section."""
    command = [sys.executable, "-u", "-m", "benchmarks.gpu", "--section", name, "--out", str(path)]
    return command + ["--smoke"] * smoke


def _run_apart(name, path, smoke, seconds):
    """A section in a process of its own. Returns (its part of the results, exit code)."""
    command, quiet = section_command(name, path, smoke), {"TQDM_DISABLE": "1"}
    code, how = 1, "no time left"
    if seconds > 0:
        try:
            how, done = "", subprocess.run(command, env={**os.environ, **quiet}, timeout=seconds)
            code = done.returncode
        except subprocess.TimeoutExpired:
            how = f"took more than {seconds:.0f} s"
    if code < 0:
        how = f"died of signal {-code}"
    part = json.loads(path.read_text()) if path.exists() else {"found": {}, "failures": []}
    if code and not part["failures"]:
        how = how or f"ended with status {code}"
    if how and code != NO_GPU:
        print(f"FAILED {name}: {how}", flush=True)
        part["failures"].append({"part": name, "error": how})
    return part, code


def result_path(folder, found, date):
    """<folder>/<GPU>_<date>.json"""
    gpu = found.get("machine", {}).get("gpu", "unknown GPU")
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return Path(folder) / f"{slug}_{date:%Y-%m-%d_%H%M%S}.json"


def run_all(names, out=None, smoke=False, seconds=math.inf):
    """The sections one after another. seconds: for all of them. Returns the exit code."""
    date, began, path = datetime.datetime.now(), time.monotonic(), out and Path(out)
    results = {"date": f"{date:%Y-%m-%d %H:%M:%S}", "found": {}, "failures": [], "seconds": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            start = time.monotonic()
            limit = min(SECTIONS[name][1], seconds - (start - began))
            part, code = _run_apart(name, Path(folder) / f"{name}.json", smoke, limit)
            if code == NO_GPU:
                return NO_GPU
            results["seconds"][name] = time.monotonic() - start
            results["found"] = {**part["found"], **results["found"]}
            results["failures"] += part["failures"]
            if path is None:
                RESULTS.mkdir(parents=True, exist_ok=True)
                path = result_path(RESULTS, results["found"], date)
            write_json(path, plain(results))
    failures, took = results["failures"], time.monotonic() - began
    print(f"{took:.0f} s, {len(failures)} failures, results in {path}")
    for failure in failures:
        print(f"FAILED {failure['part']}: {failure['error']}")
    return 1 if failures else 0


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--only", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    p.add_argument("--out", help="the JSON file")
    p.add_argument("--seconds", type=float, default=math.inf, help="time for all sections together")
    p.add_argument("--smoke", action="store_true", help="tiny sizes, which only prove the code")
    p.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)  # a child's
    args = p.parse_args(argv)
    if args.section:
        return run_section(args.section, Path(args.out), SMOKE if args.smoke else FULL)
    names = args.only.split(",")
    if unknown := set(names) - SECTIONS.keys():
        p.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}")
    return run_all(names, args.out, args.smoke, args.seconds)


if __name__ == "__main__":
    sys.exit(main())
