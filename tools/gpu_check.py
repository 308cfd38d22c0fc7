"""Check and measure everything that needs a CUDA GPU: what `make gpu-check` runs.

    python3 tools/gpu_check.py [--seconds 170] [--only tests,step,inference] [--out DIR]

In order: the GPU tests (kernels against their references, graphs, network, training, resume, both
doors); the benchmarks of benchmarks/gpu.py, section by section; some kernel tests under
compute-sanitizer, where that is installed: memcheck with CuPy's memory pool switched off, so that
every array is an allocation of its own, and racecheck for the kernels with shared memory. What
there is no time for is left out, and that is said. Prints tables and writes one JSON file into DIR
(benchmarks/results), after every part; what a part that ran out of time had found stays. Needs
CuPy, NumPy, pillow, tqdm and pytest; torch to compare with.

Exit code: 0 if all that was begun went well, or if there is no GPU, which a line that begins with
SKIPPED says; 1 if a test, a benchmark or a sanitizer failed, or if there is a GPU that CuPy cannot
use.
"""

import argparse
import ctypes
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu import RESULTS, SECTIONS, result_path  # noqa: E402
from benchmarks.gpu_common import plain  # noqa: E402
from mini_colorize.files.disk import write_json  # noqa: E402

TESTS = [f"tests/test_{name}.py" for name in ("kernels", "twins", "gpu_path", "graphs")]
SANITIZERS = {"memcheck": 90, "racecheck": 60}
# name of a part -> how long it may take, seconds; the sections of the benchmarks in this order
PARTS = {"tests": 200}
PARTS |= {name: SECTIONS[name][1] for name in ("step", "inference", *SECTIONS)} | SANITIZERS
LEAST = 15  # seconds; with less left a part is not begun
# Of test_kernels.py: one storage type; and, for races, the kernels that have shared memory.
CHOSEN = {
    "memcheck": "not float16 and not matmul and not precisions and not refuse",
    "racecheck": "float32 and (bias_relu_backward or statistics or sums or annealed)",
}
SANITIZER = "/usr/local/cuda/bin/compute-sanitizer"  # where it lies if it is not on the PATH
NO_POOL = (
    "import sys, cupy, pytest; cupy.cuda.set_allocator(None); sys.exit(pytest.main(sys.argv[1:]))"
)
MACHINE = """
import json, sys
from mini_colorize.backend import DeviceError, select_device
try:
    xp, _ = select_device("cuda")
except DeviceError as error:
    sys.exit(str(error))
try:
    import torch
except ImportError:
    torch = None
from benchmarks.gpu_common import gpu_machine
print(json.dumps(gpu_machine(xp, torch)))
"""
SUMMARIES = {
    "memcheck": r"ERROR SUMMARY: (\d+) error",
    "racecheck": r"RACECHECK SUMMARY: (\d+) hazard",
}
REPORT = "GPU_CHECK_REPORT"  # the variable that tells the plugin where to write
PYTHONPATH = os.environ.get("PYTHONPATH", "")
_NO_DEVICE = {34: "a stub of the CUDA driver", 100: "the CUDA driver sees no GPU"}


def why_no_gpu():
    """None if the CUDA driver sees a GPU, else the reason in a few words.

    Raises RuntimeError if there is a driver that does not work: that is no reason to skip.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        if Path("/dev/nvidia0").exists():
            return None  # CuPy may find the driver elsewhere, or say what is wrong
        return "no CUDA driver (libcuda.so.1) on this machine"
    count, status = ctypes.c_int(), driver.cuInit(0)
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count)) or (0 if count.value else 100)
    if status and status not in _NO_DEVICE:
        raise RuntimeError(f"the CUDA driver does not start: error {status}")
    return _NO_DEVICE.get(status)


def run(command, seconds, **options):
    """Run a program from the clone's top. Returns its exit code, or None if its time was over."""
    # Other people's plugins of pytest only cost time here; ours is this file.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tools"), PYTHONPATH]))
    options |= {"cwd": ROOT, "start_new_session": True}
    options["env"] = {**environment, **options.get("env", {})}
    process = subprocess.Popen(command, **options)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
        except ProcessLookupError:
            pass
        process.wait()


def ask_machine():
    """GPU and versions, a dictionary. Raises RuntimeError with the reason if CuPy cannot work."""
    done = subprocess.run(
        [sys.executable, "-c", MACHINE], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def pytest_runtest_logreport(report):
    """As a plugin of pytest (-p gpu_check): a line of JSON for every test, as soon as it is
    known."""
    if report.when == "call" or report.outcome != "passed":
        line = {"test": report.nodeid, "outcome": report.outcome}
        if report.skipped:
            line["message"] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            line["message"] = (crash.message if crash else str(report.longrepr))[:500]
        with open(os.environ[REPORT], "a") as file:
            file.write(json.dumps(line) + "\n")


def test_command(*more):
    """The arguments of pytest."""
    return ["-q", "-p", "no:cacheprovider", "-p", "gpu_check", "--gpu", "-m", "not peers", *more]


def read_report(path):
    """Counts, and names of what failed and what was skipped and why, of what the plugin wrote."""
    found = {"passed": 0, "failed": [], "skipped": {}}
    for line in path.read_text().splitlines() if path.exists() else ():
        told = json.loads(line)
        outcome = told.pop("outcome")
        if outcome == "passed":
            found["passed"] += 1
        elif outcome == "failed":
            found["failed"].append(told)
        else:
            found["skipped"][told["test"]] = told["message"]
    return found


# The parts: each returns (what it found, a line for the summary, whether it went well) -----------


def tests(folder, seconds):
    report = folder / "tests.jsonl"
    command = [sys.executable, "-m", "pytest", *test_command(*TESTS)]
    code = run(command, seconds, env={REPORT: str(report)})
    found = {"exit_code": code, **read_report(report)}
    line = (
        f"{found['passed']} passed, {len(found['failed'])} failed, {len(found['skipped'])} skipped"
    )
    if code is None:
        line += f"; not finished in {seconds:.0f} s"
    return found, line, code in (0, None) and found["passed"] > 0 and not found["failed"]


def section(name, folder, seconds):
    """A section of the benchmarks."""
    path = folder / f"{name}.json"
    command = [sys.executable, "-u", "-m", "benchmarks.gpu", "--only", name, "--out", str(path)]
    code = run([*command, "--seconds", str(max(10, seconds - 5))], seconds)
    found = json.loads(path.read_text()) if path.exists() else {"failures": []}
    found["exit_code"] = code
    failures = len(found["failures"])
    line = f"{failures} failures" if code is not None else f"stopped after {seconds:.0f} s"
    if missing := found.get("found", {}).get("without_torch"):
        line += f"; NOT compared with torch: {missing}"
    return found, line if path.exists() else f"no results, exit code {code}", code == 0


def sanitizer(tool, folder, seconds):
    program = shutil.which("compute-sanitizer") or shutil.which(SANITIZER)
    if program is None:
        return {"skipped": "not installed"}, "SKIPPED: compute-sanitizer is not installed", True
    log, report, output = (folder / f"{tool}.{kind}" for kind in ("log", "jsonl", "txt"))
    options = ["--tool", tool, "--log-file", str(log)]
    options += ["--error-exitcode", "99", "--print-limit", "30"]
    if tool == "memcheck":
        options += ["--report-api-errors", "no"]  # CuPy asks for what may not be there
    python = [sys.executable, "-c", NO_POOL]
    command = [program, *options, *python, *test_command(TESTS[0], "-k", CHOSEN[tool])]
    with open(output, "w") as file:
        streams = {"stdout": file, "stderr": subprocess.STDOUT}
        code = run(command, seconds, env={REPORT: str(report)}, **streams)
    text = log.read_text(errors="replace") if log.exists() else ""
    said = output.read_text(errors="replace")
    found = {"exit_code": code, "log": text[-8000:], "output": said[-3000:]}
    if report.exists():
        found["tests"] = read_report(report)
    return found, *judge(tool, code, text, found, seconds)


def judge(tool, code, log, found, seconds):
    """The summary's line, and whether a sanitizer's run was good."""
    summary = re.search(SUMMARIES[tool], log)
    reported = len(re.findall(r"^=+ (?:Invalid|Misaligned|Error: (?!Target))", log, re.MULTILINE))
    if summary:
        problems = int(summary.group(1))
        passed = found.get("tests", {}).get("passed", 0)
        line = f"{problems} problems, {passed} tests passed"
        return line, problems == 0 and code == 0 and passed > 0
    if code is None:
        return f"not finished in {seconds:.0f} s, {reported} problems until then", reported == 0
    return f"no summary, exit code {code}: {(log or found['output']).strip()[-200:]}", False


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=170, help="time for everything (170)")
    p.add_argument(
        "--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}; benchmarks: all sections"
    )
    p.add_argument("--out", default=RESULTS, type=Path, help="folder of the JSON file")
    args = p.parse_args(argv)
    wanted = args.only.replace("benchmarks", ",".join(SECTIONS)).split(",")
    if unknown := set(wanted) - PARTS.keys():
        p.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    try:
        if reason := why_no_gpu():
            print(f"SKIPPED: no CUDA GPU: {reason}; nothing was checked")
            return 0
        machine = ask_machine()
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"FAILED: the GPU cannot be used by {sys.executable}: {error}; nothing was checked")
        return 1
    for name, value in machine.items():
        print(f"{name:<20} {value}")
    return check(machine, [part for part in PARTS if part in wanted], args.seconds, args.out)


def check(machine, wanted, seconds, out=RESULTS):
    """Run the parts, write the results after each. Returns the exit code."""
    began, date = time.monotonic(), datetime.datetime.now()
    out.mkdir(parents=True, exist_ok=True)
    path = result_path(out, {"machine": machine}, date)
    results = {"date": f"{date:%Y-%m-%d %H:%M:%S}", "machine": machine, "passed": True}
    lines, left_out = [], []
    with tempfile.TemporaryDirectory() as folder:
        for part in wanted:
            start = time.monotonic()
            limit = min(PARTS[part], seconds - (start - began))
            if limit < min(LEAST, PARTS[part]):
                left_out.append(part)
                continue
            print(f"\n==== {part}", flush=True)
            try:
                found, line, well = _part(part, Path(folder), limit)
            except Exception as error:  # the other parts shall still be checked
                found, line, well = {}, f"{type(error).__name__}: {error}", False
            took = time.monotonic() - start
            line = f"{'ok    ' if well else 'FAILED'} {part}: {line} ({took:.0f} s)"
            print(line, flush=True)
            lines.append(line)
            results[part] = {**found, "summary": line, "seconds": took}
            results["passed"] &= well
            write_json(path, plain(results))
    print("\n==== summary", *lines, sep="\n")
    for part in results.values():
        for failure in part.get("failures", ()) if isinstance(part, dict) else ():
            print(f"FAILED {failure['part']}: {failure['error']}")
    if left_out:
        only = ",".join(left_out)
        print(
            f"left out, for lack of time: {only} (--only {only}, or --seconds {seconds:.0f} more)"
        )
    print(f"results: {path}")
    return 0 if results["passed"] else 1


def _part(name, folder, seconds):
    if name in SANITIZERS:
        return sanitizer(name, folder, seconds)
    return tests(folder, seconds) if name == "tests" else section(name, folder, seconds)


if __name__ == "__main__":
    sys.exit(main())
