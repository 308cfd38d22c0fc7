"""The programs as users run them, and what is expected of all of them."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

from mini_colorize.files import checkpoint

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ROOT / "train.py", "--device", "cpu"


def python(*arguments, **options):
    """Python in a process of its own, from beginning to end: what it says is text."""
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run([sys.executable, *map(str, arguments)], **options)


def called(main, capsys, *arguments):
    """A program's main in this process. Returns (exit code, stdout, stderr); never a traceback."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def complaints(err):
    """The lines of stderr that are no progress bar."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", err)]
    return [line for line in lines if line and "photo/s" not in line and "%|" not in line]


def default_signals():
    """For a child: the tests may run under nohup, or in the background of a shell."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def flags(**options):
    """save_every=2, val=[a, b] -> --save-every 2 --val a b. None leaves one out."""
    given = []
    for name, value in options.items():
        if value is not None:
            values = value if isinstance(value, (list, tuple)) else [value]
            given += [f"--{name.replace('_', '-')}", *map(str, values)]
    return given


def log(run, name="loss_weighted"):
    """The lines of a run's log that tell `name`."""
    lines = (run / "log.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if name in entry]


def wait_for_step(process, run, step):
    """Until the log of a run that goes on tells of this step."""
    deadline, path = time.time() + 60, run / "log.jsonl"
    while not (path.exists() and f'"step": {step}' in path.read_text()):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)


def arrays(run):
    """All that a run's checkpoint holds: group -> name -> array."""
    return checkpoint.load(run / "checkpoint.npz")[1]


def assert_same_bits(one, two):
    """Of two runs."""
    one, two = arrays(one), arrays(two)
    assert one.keys() == two.keys()
    for group in one:
        assert one[group].keys() == two[group].keys()
        for name in one[group]:
            assert one[group][name].tobytes() == two[group][name].tobytes(), (group, name)


@contextlib.contextmanager
def at_most(nbytes):
    """No more memory than this is taken inside. (NumPy reports its arrays, too.)"""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < nbytes
    finally:
        tracemalloc.stop()
