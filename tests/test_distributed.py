"""Several processes train as one does: the same mathematics, one folder, nobody left waiting."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from photographs import album
from programs import (
    ROOT,
    TRAIN,
    arrays,
    assert_same_bits,
    default_signals,
    flags,
    log,
    python,
    wait_for_step,
)

pytest.importorskip("mpi4py", reason="needs the extra distributed")
MPIEXEC = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or "mpiexec"
SMALL = dict(size=24, resize=32, batch=5, workers=0, log_every=1, sample_every=4)


def mpi(n, *command):
    return [MPIEXEC, "-n", str(n), sys.executable, *map(str, command)]


def run(n, *command, **options):
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run(mpi(n, *command), **options)


def train(n, out, data, **options):
    """train.py, by n processes. Returns the run's folder."""
    done = run(n, *TRAIN, *flags(data=data, out=out, **SMALL | options))
    assert done.returncode == 0, done.stderr
    return out


@contextlib.contextmanager
def training(n, out, data, **options):
    """A training that goes on, and is at work."""
    command = mpi(n, *TRAIN, *flags(data=data, out=out, **SMALL | options))
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, preexec_fn=default_signals, **pipes)
    try:
        wait_for_step(process, out, 3)
        yield process
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()


def ranks(process):
    """The process ids of the ranks, in any order."""
    tree = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in tree.splitlines()[1:]]
    family, found = {process.pid}, []
    for pid, parent, args in sorted(rows, key=lambda row: int(row[0])):
        if int(parent) in family:
            family.add(int(pid))
            if "train.py" in args and "mpiexec" not in args and "hydra" not in args:
                found.append(int(pid))
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve, of which five are grey: with five crops a batch, some rank sees grey ones only."""
    folder = album(tmp_path_factory.mktemp("data") / "photos", 7, (40, 36))
    album(folder, 5, (40, 36), name="grey{}.png", mode="L", seed=1)
    return folder


@pytest.fixture(scope="module")
def steps(tmp_path_factory, photos):
    """What team_steps.py makes of options with n processes; each asked for once."""
    made, folder = {}, tmp_path_factory.mktemp("steps")

    def of(n, **options):
        key = n, json.dumps(options)
        if key not in made:
            out = folder / f"{len(made)}.npz"
            command = ROOT / "tests" / "team_steps.py", out, photos, key[1]
            done = run(n, *command) if n > 1 else python(*command)
            assert done.returncode == 0, done.stderr
            assert "without CUDA graphs" not in done.stderr
            made[key] = dict(np.load(out))
        return made[key]

    return of


def weights(made):
    return {name: array for name, array in made.items() if "." in name}


def largest_difference(one, two):
    """Over all weights, beside the largest of each array."""
    pairs = ((one[name], two[name]) for name in weights(one))
    return max(abs(a - b).max() / abs(a).max() for a, b in pairs)


@pytest.mark.parametrize("n", [2, 3])
def test_the_same_mathematics(steps, n):
    options = dict(dtype="float64", steps=20)
    one, many = steps(1, **options), steps(n, **options)
    assert np.array_equal(one["crops"], many["crops"])
    assert np.array_equal(one["counts"], many["counts"])
    assert largest_difference(one, many) < 1e-9
    assert np.allclose(one["losses"], many["losses"], rtol=1e-9, atol=0)


def test_statistics_of_a_part_are_others(steps):
    options = dict(dtype="float64", steps=20)
    local = steps(2, **options, local_batchnorm=True)
    assert largest_difference(steps(1, **options), local) > 1e-3


@pytest.mark.parametrize("loss", ["rebalanced", "regression"])
def test_nearly_the_same_in_float32(steps, loss):
    one, two = steps(1, steps=20, lr=1e-4, loss=loss), steps(2, steps=20, lr=1e-4, loss=loss)
    assert np.array_equal(one["crops"], two["crops"])
    assert np.array_equal(one["counts"], two["counts"])
    off = np.linalg.norm(one["first"] - two["first"]) / np.linalg.norm(one["first"])
    assert off < 5e-3
    assert np.allclose(one["losses"], two["losses"], rtol=1e-3, atol=0)


def test_some_rank_sees_only_grey(steps):
    """In the trainings above: else they would not show what becomes of it."""
    counts = steps(3, dtype="float64", steps=20)["counts"]
    assert counts.min() <= 2 * 6 * 6 * 5  # two coloured crops or fewer, for three ranks


def test_on_gpus(steps):
    """By the emulator, where NCCL's sums are MPI's; the last step is a graph's."""
    from emulator import why_unavailable

    if why_unavailable():
        pytest.skip(why_unavailable())
    options = dict(steps=4, lr=1e-4, size=16)
    here, there = steps(2, **options), steps(2, **options, gpu=True)
    assert np.array_equal(here["crops"], there["crops"])
    assert np.allclose(here["losses"], there["losses"], rtol=1e-3, atol=0)


def test_one_folder_and_any_number_of_processes(tmp_path, photos):
    """Stopped and gone on with: the same bits with the same number, the same batches with another."""
    options = dict(val=photos, schedule="steps", lr_every=9)
    parts = train(2, tmp_path / "parts", photos, steps=6, **options)
    straight = train(2, tmp_path / "straight", photos, steps=10, **options)
    shutil.copytree(parts, tmp_path / "three")
    for n, folder in ((2, parts), (3, tmp_path / "three")):
        done = run(n, *TRAIN, *flags(resume=folder, steps=10))
        assert done.returncode == 0, done.stderr
    assert_same_bits(parts, straight)
    three, two = log(tmp_path / "three"), log(straight)
    assert [e["step"] for e in three] == list(range(1, 11))
    for a, b in zip(three, two, strict=True):
        assert a["loss_weighted"] == pytest.approx(b["loss_weighted"], rel=2e-2)
    # One process has the whole batch, and its validation says the same.
    alone = tmp_path / "alone"
    arguments = flags(data=photos, out=alone, steps=10, **SMALL | options)
    assert python(*TRAIN, *arguments).returncode == 0
    for name in ("loss_weighted", "val_loss_weighted"):
        pairs = zip(log(alone, name), log(straight, name), strict=True)
        assert all(a[name] == pytest.approx(b[name], rel=1e-2) for a, b in pairs), name
    colorful = (log(out, "colorfulness")[0]["colorfulness"] for out in (alone, straight))
    assert next(colorful) == pytest.approx(next(colorful), rel=1e-3)
    assert sorted(p.name for p in alone.iterdir()) == sorted(p.name for p in straight.iterdir())


@pytest.mark.parametrize("whom, number", [("mpiexec", signal.SIGINT), ("one rank", signal.SIGTERM)])
def test_stopped_after_the_same_step_and_saved_once(tmp_path, photos, whom, number):
    out = tmp_path / "run"
    with training(2, out, photos, steps=100_000, sample_every=100_000) as process:
        os.kill(process.pid if whom == "mpiexec" else ranks(process)[-1], number)
    assert process.returncode != 0
    step = int(log(out)[-1]["step"])
    from mini_colorize.files import checkpoint

    assert checkpoint.load(out / "checkpoint.npz")[0]["step"] == step
    done = run(2, *TRAIN, *flags(resume=out, steps=step + 2))
    assert done.returncode == 0, done.stderr
    assert log(out)[-1]["step"] == step + 2


def test_one_that_is_killed_ends_all(tmp_path, photos):
    out = tmp_path / "run"
    options = dict(steps=100_000, sample_every=100_000, save_every=2)
    with training(2, out, photos, **options) as process:
        while not (out / "checkpoint.npz").exists():
            time.sleep(0.05)
        mine = ranks(process)
        assert len(mine) == 2
        os.kill(mine[-1], signal.SIGKILL)
    assert process.returncode != 0
    for pid in mine:
        with pytest.raises(OSError):
            os.kill(pid, 0)
    assert python(*TRAIN, *flags(resume=out, steps=len(log(out)) + 5)).returncode == 0
    assert arrays(out)


def of_each_rank(folders, *arguments):
    """train.py by a process in each folder, as on machines of their own: cwd is another for each."""
    command = []
    for folder in folders:
        command += [":"] * bool(command)
        command += ["-n", "1", "-wdir", str(folder), sys.executable, *map(str, TRAIN), *arguments]
    return subprocess.run([MPIEXEC, *command], capture_output=True, text=True, timeout=60)


def test_other_photos_on_another_machine(tmp_path, photos):
    for i, count in enumerate((6, 6, 4)):
        album(tmp_path / str(i) / "photos", count, name=f"{{}}-{i}.png")
    arguments = flags(data="/proc/self/cwd/photos", out=tmp_path / "run", steps=4, **SMALL)
    done = of_each_rank([tmp_path / "0", tmp_path / "2"], *arguments)
    assert done.returncode != 0 and not (tmp_path / "run").exists()
    assert "--data has other photos for process 1 than for process 0: 4 and 6" in done.stderr
    done = of_each_rank([tmp_path / "0", tmp_path / "1"], *arguments)
    assert "6 and 6, of other names" in done.stderr


def test_an_error_of_one_rank_is_said_once_and_ends_all(tmp_path, photos):
    album(tmp_path / "0" / "photos")
    (tmp_path / "1").mkdir()
    arguments = flags(data="/proc/self/cwd/photos", out=tmp_path / "run", steps=4, **SMALL)
    done = of_each_rank([tmp_path / "0", tmp_path / "1"], *arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith("train.py:")]
    assert done.returncode != 0 and len(lines) == 1 and lines[0].startswith("train.py: process 1:")
    assert "Traceback" not in done.stderr
    # Process 0 could not clean up: the folder may be there, and nothing but its lock in it.
    assert [path.name for path in (tmp_path / "run").glob("*")] in ([], [".lock"])
    train(2, tmp_path / "run", photos, steps=1)


def test_photos_that_nobody_can_read_any_more(tmp_path, photos):
    """Found by one rank on the way: all save, and end."""
    data = shutil.copytree(photos, tmp_path / "data")
    with training(2, tmp_path / "run", data, steps=100_000, sample_every=100_000) as process:
        for photo in data.iterdir():
            photo.write_bytes(b"")
        _, error = process.communicate(timeout=60)
    assert process.returncode != 0 and "saved at step" in error
    assert len([line for line in error.splitlines() if line.startswith("train.py:")]) == 1
    assert (tmp_path / "run" / "checkpoint.npz").exists()


def test_fewer_photos_a_batch_than_processes(tmp_path, photos):
    done = run(3, *TRAIN, *flags(data=photos, out=tmp_path / "run", **SMALL | {"batch": 2}))
    lines = [line for line in done.stderr.splitlines() if line.startswith("train.py:")]
    assert done.returncode != 0 and len(lines) == 1 and "3 processes need a photo each" in lines[0]


@pytest.mark.parametrize("off, save_every, code", [(6e-6, 1, 0), (6e-6, 2, 2), (1e-3, 1, 2)])
def test_weights_that_are_not_the_same(tmp_path, photos, off, save_every, code):
    """Off by roundings, made good with each checkpoint; or by more."""
    spoiled = f"""
import sys, runpy
from mini_colorize.learning import Learner
def step(self, *arguments, step=Learner.step):
    made = step(self, *arguments)
    self.optimizer.params.flat *= 1 + {off} * self.team.rank
    return made
Learner.step = step
sys.argv = sys.argv[1:]
runpy.run_path({str(TRAIN[0])!r}, run_name="__main__")
"""
    arguments = flags(data=photos, out=tmp_path / "run", steps=4, save_every=save_every, **SMALL)
    done = run(2, "-c", spoiled, *TRAIN, *arguments, cwd=ROOT)
    assert done.returncode == code, done.stderr
    line = "the weights of process 1 " + ("are not" if code else "were off by 6e-06")
    assert (done.stderr if code else done.stdout).count(line) == 1
    assert (tmp_path / "run" / "checkpoint.npz").exists() == (not code)


def test_minutes(tmp_path, photos):
    out = tmp_path / "run"
    options = dict(SMALL, minutes=0.12, sample_every=1000)
    done = run(2, *TRAIN, *flags(data=photos, out=out, **options))
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.glob(".*rehearsal"))


@pytest.mark.parametrize(
    "who, fault, line",
    [
        ("1", "sys.modules['mpi4py'] = None", "pip install 'mini_colorize[distributed]'"),
        ("01", "sys.modules['mpi4py'] = None", "pip install 'mini_colorize[distributed]'"),
        ("1", "os.environ['MPI4PY_LIBMPI'] = '/nowhere'", "(cannot load MPI library /nowhere"),
        ("1", "sys.modules['numpy'] = None", "Error: import of numpy halted"),
        ("1", "sys.argv.append('--bogus')", "error: unrecognized arguments: --bogus"),
        ("1", "os.environ['MINI_COLORIZE_OPS'] = 'x'", "MINI_COLORIZE_OPS=x: is plain"),
    ],
)
def test_one_that_fails_before_it_joins_ends_all(tmp_path, photos, who, fault, line):
    """MPICH's mpiexec lets the others wait for a process that ended with an exit code."""
    code = f"""
import os, sys, runpy
sys.argv = sys.argv[1:]
if os.environ["PMI_RANK"] in {who!r}:
    {fault}
runpy.run_path({str(TRAIN[0])!r}, run_name="__main__")
"""
    arguments = flags(data=photos, out=tmp_path / "run", steps=2, **SMALL)
    done = run(2, "-c", code, *TRAIN, *arguments, timeout=20)
    assert done.returncode not in (0, 130) and not (tmp_path / "run").exists()
    assert done.stderr.count(line) == 1 + ("numpy" in line)  # its traceback has two parts


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="sees MPI start, in /proc")
def test_signals_end_one_that_waits_for_others(tmp_path, photos):
    """Within MPI, where no Python runs: here for one that ended, and never asked for MPI."""
    command = mpi(1, *TRAIN, *flags(data=photos, out=tmp_path / "run", **SMALL))
    process = subprocess.Popen([*command, ":", "-n", "1", "true"], stderr=subprocess.DEVNULL)
    try:
        while not (mine := ranks(process)) or "libmpi" not in maps(mine[0]):
            time.sleep(0.05)
        time.sleep(1)
        process.terminate()
        assert process.wait(10) != 0
    finally:
        process.kill()


def maps(pid):
    """The files that a process has in its memory."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps") as file:
        return file.read()
    return ""


def test_one_process_asks_for_no_mpi():
    code = "import sys, mini_colorize.training; sys.exit('mpi4py' in sys.modules)"
    assert python("-c", code, cwd=ROOT).returncode == 0


def test_an_album_and_its_scores_are_shared(tmp_path, photos, weights):
    """Every photo is coloured once, and measured once."""
    command = ROOT / "infer.py", photos, "--weights", weights, "--device", "cpu", "--out"
    done = run(3, *command, tmp_path / "three")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 12, done.stderr
    assert python(*command, tmp_path / "one").returncode == 0
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "three" / path.name).read_bytes() == path.read_bytes()
    command = "-m", "mini_colorize.evaluation", *flags(data=photos, weights=weights, device="cpu")
    for n, name in ((1, "one.scores"), (2, "two.scores")):
        arguments = *command, "--out", tmp_path / name
        done = run(n, *arguments) if n > 1 else python(*arguments)
        assert done.returncode == 0, done.stderr
    one, two = (
        json.loads((tmp_path / name / "scores.json").read_text())
        for name in ("one.scores", "two.scores")
    )
    assert one["photos"] == two["photos"] == 12 and one["class_pixels"] == two["class_pixels"]
    for a, b in zip(one["rows"], two["rows"], strict=True):
        for name in ("auc_raw", "auc_balanced", "psnr_db", "colorfulness", "loss_nats"):
            values = ([np.nan if v is None else v for v in row[name].values()] for row in (a, b))
            assert np.allclose(*values, rtol=1e-9, atol=0, equal_nan=True), name


def fails_on_rank_1(error):
    """A command of two processes, of which one fails while the other waits for it."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from functools import partial
from mini_colorize.command import explained
from mini_colorize.team import together
def work(team):
    print("before")
    team.all(0)
    if team.rank == 1:
        {error}
    team.all(0)
together("x.py", work, explain=partial(explained, memory="less"))
"""
    return run(2, "-c", code, timeout=30)


@pytest.mark.parametrize(
    "error, code, line",
    [
        ("raise KeyboardInterrupt", 130, "stopped"),
        ("raise MemoryError", 2, "not enough memory; less"),
        ("open('/nowhere/a.png')", 2, "/nowhere/a.png: No such file or directory"),
    ],
)
def test_last_words(error, code, line):
    """Those of one process; and what had been printed before is not lost."""
    done = fails_on_rank_1(error)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert f"x.py: process 1: {line}\n" in done.stderr and done.stdout == "before\n"


def test_no_last_words():
    """Whoever cannot say why ends the others nevertheless."""
    assert fails_on_rank_1("sys.__stderr__.close(); raise OSError").returncode == 1


def test_arguments_are_complained_of_once():
    done = run(3, *TRAIN, "--bogus")
    assert done.returncode == 2 and done.stderr.count("unrecognized arguments") == 1


@pytest.mark.parametrize(
    "here, there, line",
    [
        ("gpu(0)", "np", "process 1 computes on the CPU, and others on GPUs"),
        ("gpu(0)", "gpu(0)", "processes 0 and 1 have one GPU"),
        ("gpu(0)", "gpu(1)", "finds no NCCL"),
    ],
)
def test_devices_that_do_not_go_together(here, there, line):
    code = f"""
import sys, types
sys.path[:0] = {[str(ROOT), str(ROOT / "tests")]!r}
from emulator import standin
import numpy as np
from mini_colorize.team import together
cupy = standin.install()
cupy.cuda.nccl.available = False
def gpu(i):
    cupy.cuda.Device = lambda: types.SimpleNamespace(pci_bus_id=i)
    return cupy
together("x.py", lambda team: team.check_devices({there} if team.rank else {here}))
"""
    done = run(2, "-c", code, timeout=30)
    assert done.returncode == 2 and line in done.stderr and "Traceback" not in done.stderr


def test_an_error_while_a_graph_is_made():
    """In the step that the graph is compared with. The other process is in it, and waits."""
    from emulator import why_unavailable

    if why_unavailable():
        pytest.skip(why_unavailable())
    code = f"""
import sys
sys.path[:0] = {[str(ROOT), str(ROOT / "tests")]!r}
from emulator import standin
from mini_colorize.fast.graphs import WARM, Graphs
from mini_colorize.team import together
cupy, calls = standin.install(), []
def main(team):
    def total(x):
        calls.append(1)
        if team.rank == 1 and len(calls) == WARM + 1:
            raise OSError(5, "half a step")
        return (team.sum(x + 0),)
    graphs = Graphs(cupy, all_of=team.all)
    for _ in range(WARM + 3):
        graphs("total", total, cupy.ones(3, "f4"))
together("x.py", main)
"""
    done = run(2, "-c", code, timeout=20)
    assert done.returncode == 2 and "x.py: process 1: half a step\n" in done.stderr


def test_gpus_are_given_out_in_albums_and_scores(tmp_path, photos):
    """As in training: process 1 asks for the second."""
    for main in ("infer", "mini_colorize.evaluation.__main__"):
        arguments = flags(weights="tiny", size=64, out=tmp_path / main.replace(".", "_"))
        arguments += [str(photos)] if main == "infer" else ["--data", str(photos)]
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from importlib import import_module
from mini_colorize import colorizer
from mini_colorize.backend import select_device
def select(name="auto", number=0):
    sys.__stderr__.write(f"asks for {{number}}\\n")  # at once: the other may be writing, too
    return select_device("cpu")
colorizer.select_device = select
sys.exit(import_module({main!r}).main({arguments!r}))
"""
        done = run(2, "-c", code)
        assert done.returncode == 0, done.stderr
        asked = re.findall(r"asks for \d", done.stderr)  # perhaps behind the other's half a line
        assert sorted(asked) == ["asks for 0", "asks for 1"]


def test_running_averages_are_the_same_everywhere(tmp_path, photos):
    """With statistics of parts, too: else a validation judges what nobody saves."""
    options = dict(val=photos, schedule="steps", lr_every=9, sample_every=2, local_batchnorm=())
    parts = train(2, tmp_path / "parts", photos, steps=3, **options)
    straight = train(2, tmp_path / "straight", photos, steps=4, **options)
    done = run(2, *TRAIN, *flags(resume=parts, steps=4))
    assert done.returncode == 0, done.stderr
    name = "val_loss_weighted"
    assert log(parts, name)[-1][name] == log(straight, name)[-1][name]
    assert_same_bits(parts, straight)


def test_caches_share_the_memory(monkeypatch, photos):
    from mini_colorize import cache

    monkeypatch.setattr(cache, "free_memory", lambda: 10**9)
    limits = [
        cache.PhotoCache(list(photos.iterdir()), 32, None, 8, sharing=n).limit for n in (1, 4)
    ]
    assert limits == [0.9e9, 0.9e9 / 4]


@pytest.mark.parametrize(
    "name, value", [("MPI_LOCALNRANKS", "3"), ("SLURM_STEP_TASKS_PER_NODE", "3(x2),1")]
)
def test_cores_are_parted(monkeypatch, photos, name, value):
    from mini_colorize.data import PhotoLoader

    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(6))
    monkeypatch.setenv(name, value)
    assert PhotoLoader(list(photos.iterdir()), size=24, batch=5).workers == 2


def test_where_there_is_no_sigusr1(monkeypatch):
    """On Windows."""
    from mini_colorize import loop

    monkeypatch.delattr(signal, "SIGUSR1")
    with loop._Signals(together=True) as signals:
        assert signals.received is None
