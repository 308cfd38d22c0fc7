"""The GPU benchmarks and `make gpu-check`, in tiny sizes on the emulator, so that they cannot rot.

Times mean nothing here. Run as a program, this file is `python -m benchmarks.gpu` on the emulator:
the sections' own processes are started that way.
"""

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), *([str(ROOT)] if __name__ == "__main__" else [])]

import gpu_check  # noqa: E402
from emulator import cuda, standin, why_unavailable  # noqa: E402

from benchmarks import gpu, gpu_common, gpu_layers, gpu_timing, launches  # noqa: E402
from mini_colorize import network  # noqa: E402
from mini_colorize.fast import winograd  # noqa: E402

try:
    import torch
except ImportError:
    torch = None

WIDTH = 1 / 16  # of the network, as in test_gpu_path.py


# What the stand-in has no use for but the benchmarks have --------------------------------------


class TimedEvent(cuda.Event):
    """An event with a time. Never `done` too early, as if the device were far behind the host."""

    seconds, done = None, False

    def record(self, stream=None):
        super().record(stream)
        self.seconds = time.perf_counter()


class MemoryHook:
    """Sees one array come and go."""

    def __enter__(self):
        self.malloc_postprocess(device_id=0, size=1000, mem_size=1024, mem_ptr=1, pmem_id=1)
        self.free_postprocess(device_id=0, mem_size=1024, mem_ptr=1, pmem_id=1)

    def __exit__(self, *exception):
        pass


def copy(target, source, nbytes, kind, stream):
    assert kind == 3
    ctypes.memmove(target, source, nbytes)


def additions(cupy):
    """What is set on the stand-in: owner, name, value."""
    yield cupy.cuda, "Event", TimedEvent
    yield cupy.cuda, "get_elapsed_time", lambda a, b: 1e3 * (b.seconds - a.seconds) + 1e-3
    yield cupy.cuda, "MemoryHook", MemoryHook
    yield cupy.cuda.runtime, "memcpyDeviceToDevice", 3
    yield cupy.cuda.runtime, "memcpyAsync", copy


@pytest.fixture
def torch_on_the_cpu(monkeypatch):
    """In one thread: on a busy machine its threads wait for each other longer than they work."""
    if torch is None:
        yield
        return
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def cupy(monkeypatch, torch_on_the_cpu):
    if why_unavailable():
        pytest.skip(why_unavailable())
    with standin.installed(order=0) as module:
        for owner, name, value in additions(module):
            monkeypatch.setattr(owner, name, value, raising=False)
        monkeypatch.setitem(network.WIDTHS, "tiny", WIDTH)
        yield module


# The sections ----------------------------------------------------------------------------------


def section(name, path):
    """Run one; returns what it found."""
    code = gpu.run_section(name, path, gpu_common.SMOKE)
    part = json.loads(path.read_text())
    assert part["failures"] == [] and code == 0
    return part["found"]


def test_kernels(cupy, tmp_path, capsys):
    """Every kernel file but the filters of none has its row, and a rate."""
    rows = section("kernels", tmp_path / "part.json")["kernels"]
    files = {path.stem for path in (ROOT / "kernels").glob("*.cu")}
    assert files == {row["kernel"].split(" (")[0] for row in rows}
    assert all(row["us"] > 0 and row["method"] == "graph" for row in rows)
    assert "softmax_cross_entropy" in capsys.readouterr().out


def test_loss_and_steps(cupy, tmp_path):
    """Both sides, where torch is there, compute the same losses: the sections check that."""
    loss = section("loss", tmp_path / "loss.json")["loss"]
    step = section("step", tmp_path / "step.json")["step"]
    inference = section("inference", tmp_path / "inference.json")["inference"]
    assert loss["ours"]["more_mib"] > 0
    assert list(step) == ["fp32", "mixed"]
    assert list(inference) == ["fp32, batch 2", "mixed, batch 2"]
    for row in (*step.values(), *inference.values()):
        assert row["ours"]["images_s"] > 0
        assert ("ratio" in row) == (torch is not None)
    assert step["fp32"]["ours"]["peak_mib"] > 0
    if torch is None:
        assert "torch" in json.loads((tmp_path / "step.json").read_text())["found"]["without_torch"]
    else:
        assert loss["gradients_differ_by"] < 1e-5
        losses = step["fp32"]["first_losses"]
        assert losses["ours"] == pytest.approx(losses["torch"], rel=1e-4)


@pytest.mark.skipif(torch is None, reason="torch is not installed")
@pytest.mark.parametrize("name", ["step", "inference", "loss", "layers"])
def test_sides_that_differ_are_not_timed(name, cupy, tmp_path, monkeypatch):
    """5 % more on torch's side; of the layers only in the transposed convolution."""
    from benchmarks import torch_side

    def more(owner, function):
        right = getattr(owner, function)
        monkeypatch.setattr(owner, function, lambda *args, **kw: 1.05 * right(*args, **kw))

    for function in ("sparse_loss", "dense_loss", "annealed_mean"):
        more(torch_side, function)
    if name == "layers":
        more(torch_side.F, "conv_transpose2d")
        every = gpu_layers.convolutions
        few = ("conv1_2", "conv8_1", "conv8_2")
        chosen = lambda *args: [row for row in every(*args) if row[0] in few]  # noqa: E731
        monkeypatch.setattr(gpu_layers, "convolutions", chosen)
    assert gpu.run_section(name, tmp_path / "part.json", gpu_common.SMOKE) == 1
    part = json.loads((tmp_path / "part.json").read_text())
    assert len(part["failures"]) == (1 if name == "loss" else 2)
    assert all("the two sides differ" in failure["error"] for failure in part["failures"])
    found = part["found"][name]
    if name == "layers":
        untimed = {r["layer"] for rows in found.values() for r in rows if "torch_ms" not in r}
        assert untimed == {"conv8_1"}
    else:
        assert '"ms"' not in json.dumps(found)


def test_what_wrappers_cost(cupy, monkeypatch):
    """Every wrapper is called, and launches nothing."""
    monkeypatch.setattr(launches, "CALLS", 1)
    rows = launches.measure(cupy)
    assert {"gather", "adam", "matmul"} < {row["wrapper"] for row in rows}
    assert all(row["us"] > 0 for row in rows)


def test_layers(cupy, tmp_path):
    """Each convolution has all its directions and all its plans."""
    found = section("layers", tmp_path / "part.json")["layers"]
    for rows in found.values():
        assert len(rows) == 23
        for row in rows:
            assert row["best"] in row["plans"] and row["plan"] in row["plans"]
            for plan in row["plans"].values():
                assert {"forward", "dw", "bias", "sum"} <= plan.keys()
                assert ("dx" in plan) == (row["layer"] != "conv1_1")
        assert sum(len(row["plans"]) == 3 for row in rows) == 17


def test_profile(cupy, tmp_path, capsys):
    found = section("profile", tmp_path / "part.json")["profile"]
    assert found["mixed"]["phases"]["ms"].keys() >= {"Adam", "loss scale", "convolutions, forward"}
    assert found["fp32"]["operations"]["counts"]["softmax_cross_entropy"] == 1
    assert "where the step goes, mixed" in capsys.readouterr().out


def test_a_row_that_fails_is_named_and_the_rest_goes_on(cupy, tmp_path, monkeypatch, capsys):
    all_of_them = gpu_layers.convolutions

    def broken(*args, **kwargs):
        raise RuntimeError("out of order")

    monkeypatch.setattr(winograd, "weight_gradient", broken)
    monkeypatch.setattr(gpu_layers, "convolutions", lambda *args: list(all_of_them(*args))[:3])
    path = tmp_path / "part.json"
    assert gpu.run_section("layers", path, gpu_common.SMOKE) == 1
    part = json.loads(path.read_text())
    assert part["failures"][0]["part"].startswith("layer conv2_1, fp32, 2x2")
    assert "out of order" in part["failures"][0]["error"]
    assert all("gather" in row["plans"] for row in part["found"]["layers"]["mixed"])
    assert "FAILED" in capsys.readouterr().out


def test_without_graphs(cupy, monkeypatch):
    def refuse(self, mode=None):
        raise RuntimeError("no capture here")

    monkeypatch.setattr(cupy.cuda.Stream, "begin_capture", refuse)
    timer, launched = gpu_timing.Timer(cupy, 64, 2), []
    ms, how = gpu_timing.replayed(timer, [lambda: launched.append(1)] * 3)
    assert ms > 0 and "no capture here" in how and len(launched) == 9


def test_a_host_that_is_too_slow_for_the_queue(cupy, monkeypatch):
    """The device is kept busy for longer, a few times, and then it is taken as it is."""
    monkeypatch.setattr(TimedEvent, "done", True)
    timer, calls = gpu_timing.Timer(cupy, 64, 2), []
    device_ms, host_ms = timer.queued(lambda: calls.append(1))
    assert device_ms > 0 and host_ms > 0 and len(calls) == 1 + 4 + 2


# Processes and results -------------------------------------------------------------------------


def on_the_emulator(name, path, smoke):
    return [sys.executable, __file__, "--section", name, "--out", str(path), "--smoke"]


def test_each_section_has_a_process_of_its_own(monkeypatch, tmp_path, capsys):
    """One dies, one hangs, one works; the results of that one are there."""
    if why_unavailable():
        pytest.skip(why_unavailable())

    def command(name, path, smoke):
        return {
            "kernels": [sys.executable, "-c", "import os; os.abort()"],
            "layers": [sys.executable, "-c", "import time; time.sleep(60)"],
        }.get(name) or on_the_emulator(name, path, smoke)

    monkeypatch.setattr(gpu, "section_command", command)
    monkeypatch.setitem(gpu.SECTIONS, "layers", (None, 1))
    out = tmp_path / "results.json"
    assert gpu.main(["--only", "kernels,layers,ceilings", "--out", str(out), "--smoke"]) == 1
    results = json.loads(out.read_text())
    assert [f["part"] for f in results["failures"]] == ["kernels", "layers"]
    assert "signal 6" in results["failures"][0]["error"]
    assert "more than" in results["failures"][1]["error"]
    assert results["found"]["machine"]["gpu"] == "CUDA emulator on the CPU"
    assert results["found"]["ceilings"].keys() == {"copy", "fp32", "tf32", "mixed"}
    assert "2 failures" in capsys.readouterr().out


def test_without_a_gpu(capfd, tmp_path):
    if gpu_check.why_no_gpu() is None:
        pytest.skip("there is a GPU")
    assert gpu.main(["--out", str(tmp_path / "none.json")]) == 2
    assert "CUDA cannot be used here" in capfd.readouterr().out
    assert gpu_check.main([]) == 0
    assert capfd.readouterr().out.startswith("SKIPPED: no CUDA GPU: ")


def test_results_are_named_by_gpu_and_date():
    import datetime

    found = {"machine": {"gpu": "NVIDIA H100 80GB HBM3"}}
    path = gpu.result_path("here", found, datetime.datetime(2026, 1, 2, 3, 4, 5))
    assert path == Path("here/nvidia-h100-80gb-hbm3_2026-01-02_030405.json")


# make gpu-check --------------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch, tmp_path):
    """gpu_check.check with parts given as (found, line, well) or an exception; returns
    (exit code, results)."""

    def check(parts):
        def part(name, folder, seconds):
            if isinstance(parts[name], Exception):
                raise parts[name]
            return parts[name]

        monkeypatch.setattr(gpu_check, "_part", part)
        out = tmp_path / str(len(list(tmp_path.iterdir())))  # a file is named by the second
        code = gpu_check.check({"gpu": "Some GPU"}, list(parts), 540, out)
        return code, json.loads(next(out.glob("some-gpu_*.json")).read_text())

    return check


def test_gpu_check_passes_only_if_every_part_does(checked, capsys):
    code, results = checked({"tests": ({"passed": 9}, "", True), "racecheck": ({}, "", True)})
    assert code == 0 and results["passed"] and results["tests"]["passed"] == 9
    code, results = checked({"tests": RuntimeError("broken"), "memcheck": ({}, "fine", True)})
    assert code == 1 and not results["passed"] and "broken" in results["tests"]["summary"]
    assert "FAILED tests: RuntimeError: broken" in capsys.readouterr().out


def run_of(code, folder, monkeypatch, seconds):
    """gpu_check.tests by a real run of pytest on this code."""
    (folder / "test_these.py").write_text(code)
    option = "def pytest_addoption(parser): parser.addoption('--gpu', action='store_true')\n"
    (folder / "conftest.py").write_text(option)
    monkeypatch.setattr(gpu_check, "TESTS", [str(folder / "test_these.py")])
    return gpu_check.tests(folder, seconds)


def test_gpu_check_counts_tests(tmp_path, monkeypatch):
    """One that passes, one that fails, one that is skipped."""
    code = "import pytest\ndef test_a(): pass\ndef test_b(): assert 1 == 2\n"
    code += "def test_c(): pytest.skip('no reason')\n"
    found, line, well = run_of(code, tmp_path, monkeypatch, 60)
    assert (line, well) == ("1 passed, 1 failed, 1 skipped", False)
    assert "1 == 2" in found["failed"][0]["message"] and "test_b" in found["failed"][0]["test"]
    assert list(found["skipped"].values()) == ["no reason"]


def test_gpu_check_keeps_what_a_part_found_in_its_time(tmp_path, monkeypatch):
    """Its time is over when the first test is known, however long pytest needs to start."""

    class Popen(subprocess.Popen):
        def wait(self, timeout=None):
            if timeout is None:
                return super().wait()
            while self.poll() is None and not (report.exists() and report.read_text()):
                time.sleep(0.05)
            raise subprocess.TimeoutExpired(self.args, timeout)

    report = tmp_path / "tests.jsonl"
    monkeypatch.setattr(subprocess, "Popen", Popen)
    code = "import time\ndef test_a(): pass\ndef test_b(): time.sleep(600)\n"
    found, line, well = run_of(code, tmp_path, monkeypatch, 5)
    assert found["passed"] == 1 and found["exit_code"] is None and well
    assert line == "1 passed, 0 failed, 0 skipped; not finished in 5 s"


def test_gpu_check_says_what_it_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "_part", lambda *_: ({}, "fine", True))
    assert gpu_check.check({"gpu": "Some GPU"}, ["tests", "step", "layers"], 10, tmp_path) == 0
    told = capsys.readouterr().out
    assert "left out, for lack of time: tests,step,layers (--only tests,step,layers" in told


def test_gpu_check_takes_sections(monkeypatch, tmp_path, capsys):
    """In the order of their worth, whatever the order asked for; benchmarks are all of them."""
    asked = []
    monkeypatch.setattr(gpu_check, "why_no_gpu", lambda: None)
    monkeypatch.setattr(gpu_check, "ask_machine", dict)
    monkeypatch.setattr(gpu_check, "check", lambda *arguments: asked.append(arguments) or 0)
    for only in ("inference,step", "benchmarks"):
        assert gpu_check.main(["--only", only, "--out", str(tmp_path), "--seconds", "60"]) == 0
    assert [a[1:] for a in asked[:1]] == [(["step", "inference"], 60, tmp_path)]
    assert set(asked[1][1]) == set(gpu.SECTIONS) and asked[1][1][:2] == ["step", "inference"]
    with pytest.raises(SystemExit):
        gpu_check.main(["--only", "loss,nothing"])
    assert "--only nothing" in capsys.readouterr().err


def test_gpu_check_runs_a_section(tmp_path, monkeypatch):
    """By a program in the place of the benchmarks."""
    wrote = json.dumps({"found": {}, "failures": [{"part": "step", "error": "no"}]})
    program = f"import sys, pathlib; pathlib.Path(sys.argv[1]).write_text({wrote!r}); sys.exit(1)"
    run = gpu_check.run

    def instead(command, seconds, **options):
        return run([sys.executable, "-c", program, command[command.index("--out") + 1]], seconds)

    monkeypatch.setattr(gpu_check, "run", instead)
    found, line, well = gpu_check.section("step", tmp_path, 30)
    assert (line, well, found["exit_code"]) == ("1 failures", False, 1)
    assert found["failures"][0]["error"] == "no"


GOOD = "========= ERROR SUMMARY: 0 errors\n"
BAD = "========= Invalid __global__ read of size 4 bytes\n"
RACES = "========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)\n"


@pytest.mark.parametrize(
    "tool, code, log, passed, well",
    [
        ("memcheck", 0, GOOD, 5, True),
        ("memcheck", 0, GOOD, 0, False),  # no test ran
        ("memcheck", 1, GOOD, 5, False),  # a test failed
        ("memcheck", 99, BAD + "========= ERROR SUMMARY: 1 error\n", 5, False),
        ("memcheck", None, "", 0, True),  # its time was over
        ("memcheck", None, BAD, 0, False),
        ("memcheck", 255, "========= Error: Target application terminated before\n", 0, False),
        ("racecheck", 99, RACES, 5, False),
    ],
)
def test_gpu_check_reads_the_sanitizer(tool, code, log, passed, well):
    found = {"tests": {"passed": passed}, "output": ""}
    line, good = gpu_check.judge(tool, code, log, found, 60)
    assert good == well and line


def test_gpu_check_runs_the_sanitizer(tmp_path, monkeypatch):
    """With a program in its place that writes the log and then does what it is told."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        f'#!/bin/sh\nwhile [ "$1" != "--log-file" ]; do shift; done\nprintf "{GOOD}" > "$2"\n'
        "shift 4\nexec true\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found, line, well = gpu_check.sanitizer("memcheck", tmp_path, 60)
    assert found["exit_code"] == 0 and "0 problems, 0 tests passed" in line and not well
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpu_check.sanitizer("memcheck", tmp_path, 60)[1].startswith("SKIPPED")


if __name__ == "__main__":
    for setting in additions(standin.install()):
        setattr(*setting)
    network.WIDTHS["tiny"] = WIDTH
    sys.exit(gpu.main())
