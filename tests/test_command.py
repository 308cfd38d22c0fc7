"""Programs whose output nobody reads, which are told to end, and which want one folder at once."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from programs import ROOT, TRAIN, default_signals, flags, python, wait_for_step

from mini_colorize.files import checkpoint
from mini_colorize.files.disk import claimed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, signals and shells of POSIX")
SMALL = "--model tiny --size 16 --batch 2 --workers 1 --sample-every 10000".split()


def commands(photos, weights, out):
    """name -> (arguments of Python, files that must be there afterwards)."""
    weights = ["--weights", weights, "--device", "cpu"]
    evaluation = ["-m", "mini_colorize.evaluation", "--data", photos, *weights, "--out", out]
    turing = ["-m", "mini_colorize.evaluation.turing", "--data", photos, *weights]
    turing += ["--trials", 2, "--practice", 1, "--out", out / "t.html"]
    train = [*TRAIN, "--data", photos, "--out", out, *SMALL, "--steps", 6, "--log-every", 1]
    infer = [ROOT / "infer.py", photos, *weights, "--out", f"{out}/"]
    return {
        "infer": (infer, [f"{i}.color.png" for i in range(6)]),
        "train": (train, ["weights.npz", "checkpoint.npz"]),
        "evaluation": (evaluation, ["scores.txt", "scores.json"]),
        "turing": (turing, ["t.html"]),
    }


OUTPUTS = ["| head -c 1", "> /dev/full", ">&-"]
BOTH = ["2>&1 | head -c 1", "> /dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"]
CASES = [(name, output) for name in ("infer", "train") for output in OUTPUTS + BOTH]
CASES += [(name, output) for name in ("evaluation", "turing") for output in BOTH]


@pytest.mark.parametrize("name, output", CASES)
def test_the_work_is_done_whatever_the_output_is(photos, weights, tmp_path, name, output):
    if "/dev/full" in output and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    arguments, files = commands(photos, weights, tmp_path / "out")[name]
    if name == "turing":
        (tmp_path / "out").mkdir()
    line = " ".join(f"'{a}'" for a in [sys.executable, *arguments])
    # The exit code of the program, not that of its reader.
    script = f"set -o pipefail; {line} {output}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, timeout=100)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr, done.stderr
    for file in files:
        assert (tmp_path / "out" / file).exists(), (file, done.stderr)
    assert done.returncode == 1 or "head" in output  # head may have read all there was
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_training_is_saved_though_its_reader_is_gone(photos, tmp_path, started, number):
    """train.py ... 2>&1 | tee log, and Ctrl-C, which the terminal sends to both."""
    run, (reader, writer) = tmp_path / "run", os.pipe()
    options = flags(data=photos, out=run, steps=100_000, log_every=1, save_every=100_000)
    process = started(*TRAIN, *options, *SMALL, stdout=writer, stderr=writer)
    os.close(writer)
    wait_for_step(process, run, 3)
    os.close(reader)
    for _ in range(1 if number == signal.SIGINT else 20):  # shell and terminal both send SIGHUP
        process.send_signal(number)
        time.sleep(0.002)
    assert process.wait(60) == 130
    assert checkpoint.load(run / "checkpoint.npz", kind="training")[0]["step"] >= 3


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_who_is_told_to_end_twice_leaves_no_half_file(tmp_path, name):
    script = f"""if True:
        import os, signal
        from mini_colorize import command
        from mini_colorize.files.disk import atomic_write
        def main():
            try:
                with atomic_write({str(tmp_path / "a")!r}) as file:
                    file.write(b'x')
                    try:
                        os.kill(os.getpid(), signal.{name})
                        signal.pause()
                    finally:
                        os.kill(os.getpid(), signal.{name})
            except KeyboardInterrupt as stop:
                return 130 if stop.__context__ is None else 1
        command.run_program(main)"""
    done = python("-c", script, cwd=ROOT, preexec_fn=default_signals)
    assert done.returncode == 130
    assert list(tmp_path.iterdir()) == []


# ---- One folder, one process


def test_a_folder_belongs_to_one_process(photos, tmp_path, started):
    run = tmp_path / "run"
    options = [*flags(data=photos, steps=100_000, save_every=1, log_every=1), *SMALL]
    first = started(*TRAIN, *options, "--out", run)
    wait_for_step(first, run, 2)
    for arguments in ([*options, "--out", run], ["--resume", run]):
        second = started(*TRAIN, *arguments)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"train.py: {run}: process {first.pid} works in this folder" in err
    first.kill()  # its lock ends with it
    first.communicate()
    step = checkpoint.load(run / "checkpoint.npz")[0]["step"]
    third = started(*TRAIN, "--resume", run, "--steps", step + 1)
    _, err = third.communicate(timeout=60)
    assert third.returncode == 0, err
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(steps) == len(set(steps))


def test_two_trainings_without_a_name_have_a_folder_each(photos, tmp_path, started):
    options = ["--data", photos, "--steps", "2", *SMALL]
    both = [started(*TRAIN, *options, cwd=tmp_path) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    for name in ("tiny", "tiny-2"):
        assert (tmp_path / "runs" / name / "weights.npz").exists()


def test_runs_that_lead_nowhere(photos, tmp_path):
    (tmp_path / "runs").symlink_to("nowhere/runs")
    done = python(*TRAIN, "--data", photos, *SMALL, cwd=tmp_path, timeout=60)
    assert done.returncode == 2 and "train.py: runs: not a folder" in done.stderr


def test_a_claim_leaves_nothing_behind_and_takes_nothing_away(tmp_path):
    folder = tmp_path / "a" / "b"
    with claimed(folder):
        assert folder.is_dir()
        with pytest.raises(BlockingIOError, match="works in this folder"), claimed(folder):
            pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with claimed(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()
    with claimed(folder):
        (folder / "x").touch()
    with claimed(folder):  # again
        pass
    assert (folder / "x").exists()


def test_a_switch_that_is_none(tmp_path):
    done = python(ROOT / "infer.py", "--help", env={**os.environ, "MINI_COLORIZE_OPS": "Plain"})
    assert done.returncode == 2 and done.stderr == "MINI_COLORIZE_OPS=Plain: is plain, or not set\n"


def test_what_a_killed_process_left_in_its_folder_goes(tmp_path):
    (tmp_path / ".0123456789abcdef.tmp").write_text("half")
    (tmp_path / "kept.tmp").write_text("whole")
    with claimed(tmp_path):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "kept.tmp"]
