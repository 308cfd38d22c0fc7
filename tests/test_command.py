"""Programs whose output nobody reads, which are told to end, and which want one folder at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mini_colorize.files import checkpoint
from mini_colorize.files.disk import claimed
from mini_colorize.network import Network

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, signals and shells of POSIX")
TRAIN = "--model tiny --size 16 --batch 2 --workers 1 --device cpu --sample-every 10000"


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for i in range(4):
        small = RNG.integers(60, 200, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((40, 32), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    network = Network(1 / 32)
    network.initialize(RNG.uniform(-0.5, 0.5, (4, 32, 32, 1)).astype(np.float32))
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    checkpoint.save_network(path, network, size=32)
    return path


def commands(album, weights, out):
    """name -> (arguments of Python, files that must be there afterwards)."""
    return {
        "infer": (
            [ROOT / "infer.py", album, "--weights", weights, "--device", "cpu", "--out", f"{out}/"],
            [out / f"{i}.color.png" for i in range(4)],
        ),
        "train": (
            [
                ROOT / "train.py",
                "--data",
                album,
                "--out",
                out,
                "--steps",
                "30",
                "--log-every",
                "1",
                *TRAIN.split(),
            ],
            [out / "weights.npz", out / "checkpoint.npz"],
        ),
        "evaluation": (
            [
                "-m",
                "mini_colorize.evaluation",
                "--data",
                album,
                "--weights",
                weights,
                "--device",
                "cpu",
                "--out",
                out,
            ],
            [out / "scores.txt", out / "scores.json"],
        ),
        "turing": (
            [
                "-m",
                "mini_colorize.evaluation.turing",
                "--data",
                album,
                "--weights",
                weights,
                "--trials",
                "2",
                "--practice",
                "1",
                "--out",
                out / "t.html",
            ],
            [out / "t.html"],
        ),
    }


@pytest.mark.parametrize(
    "output",
    [
        "| head -c 1",
        "> /dev/full",
        ">&-",
        "2>&1 | head -c 1",
        "> /dev/full 2>&1",
        ">&- 2>&-",
        "<&- >&- 2>&-",
    ],
)
@pytest.mark.parametrize("name", ["infer", "train", "evaluation", "turing"])
def test_the_work_is_done_whatever_the_output_is(album, weights, tmp_path, name, output):
    if name == "turing" and "2>" not in output:
        pytest.skip("no need of each")
    if "/dev/full" in output and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    arguments, files = commands(album, weights, tmp_path / "out")[name]
    if name == "turing":
        (tmp_path / "out").mkdir()
    line = " ".join(f"'{a}'" for a in [sys.executable, *arguments])
    # The exit code of the program, not that of its reader.
    script = f"set -o pipefail; {line} {output}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, timeout=100)
    assert b"Traceback" not in done.stderr and b"Exception" not in done.stderr, done.stderr
    for path in files:
        assert path.exists(), (path, done.stderr)
    assert done.returncode == 1 or "head" in output  # head may have read all there was
    assert done.returncode in (0, 1)


def not_ignoring():
    """The tests may run under nohup, or in the background of a shell."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def started():
    """A program that runs beside the test, and no longer than it."""
    programs = []

    def start(arguments, **options):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options}
        options["preexec_fn"] = not_ignoring
        program = subprocess.Popen([sys.executable, *map(str, arguments)], text=True, **options)
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.wait()


def wait_for(condition):
    deadline = time.time() + 60
    while not condition():
        assert time.time() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_training_is_saved_though_its_reader_is_gone(album, tmp_path, started, number):
    """train.py ... 2>&1 | tee log, and Ctrl-C, which the terminal sends to both."""
    run, (reader, writer) = tmp_path / "run", os.pipe()
    options = ["--out", run, "--steps", "100000", "--log-every", "1", "--save-every", "100000"]
    arguments = [ROOT / "train.py", "--data", album, *options, *TRAIN.split()]
    process = started(arguments, stdout=writer, stderr=writer)
    os.close(writer)
    wait_for(
        lambda: (run / "log.jsonl").exists() and '"step": 3' in (run / "log.jsonl").read_text()
    )
    os.close(reader)
    for _ in range(1 if number == signal.SIGINT else 20):  # shell and terminal both send SIGHUP
        process.send_signal(number)
        time.sleep(0.002)
    assert process.wait(60) == 130
    assert checkpoint.load(run / "checkpoint.npz", kind="training")[0]["step"] >= 3


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_who_is_told_to_end_twice_leaves_no_half_file(tmp_path, name):
    script = (
        "import os, signal, sys\n"
        "from mini_colorize import command\n"
        "from mini_colorize.files.disk import atomic_write\n"
        "def main():\n"
        "    try:\n"
        f"        with atomic_write({str(tmp_path / 'a')!r}) as file:\n"
        "            file.write(b'x')\n"
        "            try:\n"
        f"                os.kill(os.getpid(), signal.{name})\n"
        "                signal.pause()\n"
        "            finally:\n"
        f"                os.kill(os.getpid(), signal.{name})\n"
        "    except KeyboardInterrupt as stop:\n"
        "        return 130 if stop.__context__ is None else 1\n"
        "command.run_program(main)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, timeout=60, preexec_fn=not_ignoring)
    assert done.returncode == 130
    assert list(tmp_path.iterdir()) == []


# ---- One folder, one process


def test_a_folder_belongs_to_one_process(album, tmp_path, started):
    run = tmp_path / "run"
    options = ["--data", album, "--steps", "100000", "--save-every", "1", *TRAIN.split()]
    first = started([ROOT / "train.py", *options, "--out", run])
    wait_for(lambda: (run / "checkpoint.npz").exists())
    for arguments in ([*options, "--out", run], ["--resume", run]):
        second = started([ROOT / "train.py", *arguments])
        _, err = second.communicate(timeout=60)
        assert second.returncode == 2
        assert f"train.py: {run}: process {first.pid} works in this folder" in err
    first.kill()  # its lock ends with it
    first.communicate()
    step = checkpoint.load(run / "checkpoint.npz")[0]["step"]
    third = started([ROOT / "train.py", "--resume", run, "--steps", step + 1])
    _, err = third.communicate(timeout=60)
    assert third.returncode == 0, err
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert len(steps) == len(set(steps))


def test_two_trainings_without_a_name_have_a_folder_each(album, tmp_path, started):
    options = ["--data", album, "--steps", "2", *TRAIN.split()]
    both = [started([ROOT / "train.py", *options], cwd=tmp_path) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    for name in ("tiny", "tiny-2"):
        assert (tmp_path / "runs" / name / "weights.npz").exists()


def test_a_start_that_fails_leaves_no_folder(album, tmp_path, started):
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        process = started([ROOT / "train.py", "--data", "empty"], cwd=tmp_path)
        assert process.wait(60) == 2
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["album", "empty"]
    (tmp_path / "runs").symlink_to("nowhere/runs")
    process = started([ROOT / "train.py", "--data", album, *TRAIN.split()], cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "train.py: runs: not a folder" in err


@pytest.mark.parametrize("name", ["log.jsonl", "loss.png", "last.npz", "prior.npy", "samples"])
def test_a_new_run_overwrites_nothing(album, tmp_path, started, name):
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True) if name == "samples" else run.mkdir()
    if name != "samples":
        (run / name).write_text("of somebody else")
    process = started([ROOT / "train.py", "--data", album, "--out", run, *TRAIN.split()])
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and f"{run} holds a run's {name}: choose another" in err
    assert [path.name for path in run.iterdir() if path.name != ".lock"] == [name]


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
