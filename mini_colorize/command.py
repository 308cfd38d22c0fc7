"""What all command lines have in common: options, output that nobody reads, and being stopped.

A long piece of work must not be lost because its output goes to a pipe whose reader has left, to a
full disk or nowhere. And who is told to end, by Ctrl-C, by `kill`, by a terminal that is closed,
cleans up first.
"""

import argparse
import contextlib
import math
import os
import re
import signal
import sys
import time
import traceback
import warnings

from .errors import UserError
from .switches import SWITCHES

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")  # set by who starts us
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_TASKS_PER_NODE")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SAID = 0.3  # seconds until mpiexec has passed on what was said: once it ends it drops the rest
in_team = False  # whether this process is known to the others: then team.py sees to its end
UNSAID = 1  # exit code: all is done, but not everything could be said


class _Stream:
    """A text stream to which writing never fails. `failed`: whether something was not written."""

    def __init__(self, stream):
        self.failed = False
        self.closed_before = stream is None  # Python's way to say that there is none
        self.stream = stream or open(os.devnull, "w")
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self.stream.reconfigure(errors="backslashreplace")  # a file's name need not be text

    def write(self, text):
        self.failed |= self.closed_before
        self._try(self.stream.write, text)
        return len(text)

    def flush(self):
        self._try(self.stream.flush)

    def _try(self, function, *arguments):
        try:
            function(*arguments)
        except (OSError, ValueError):  # ValueError: it was closed
            self.failed = True
            # What waits in the stream's memory would be tried again at the end, and fail again.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.stream.fileno())
                os.close(nowhere)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def positive(string):
    """A whole number of 1 or more, as argparse's `type`."""
    value = int(string)
    if value < 1:
        raise ValueError
    return value


positive.__name__ = "number above 0"  # argparse: invalid ... value

# The options that several commands have: argparse's own keywords.
OPTIONS = {
    "data": dict(
        nargs="+",
        action="extend",
        metavar="SOURCE",
        help="folders of photos, with or without subfolders, .zip and .tar files, and .tar files in "
        "a .tar file; archives are read where they are",
    ),
    "weights": dict(
        metavar="full|tiny|FILE|RUN",
        help="full or tiny, those that ship: tiny takes half of the time and a third of the "
        "memory, with paler colours; or a weights file (one named so is ./full), or the folder of a "
        "training run; or the authors' own weights, their .pth or .caffemodel, which cannot be "
        "shipped here (full)",
    ),
    "temperature": dict(
        type=float,
        metavar="T",
        help="0 the likeliest colour .. 1 the mean of all that are possible (what the weights "
        "recommend, else 0.38, the paper's)",
    ),
    "size": dict(
        type=int,
        metavar="S",
        help="side at which the network looks at the photo, a multiple of 8, at most 4096 (what "
        "the weights recommend, else 256, the paper's)",
    ),
    "device": dict(
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto takes a CUDA GPU if one works and says so; cuda fails without one (auto)",
    ),
    "precision": dict(
        default="fp32",
        choices=("fp32", "tf32", "mixed"),
        help="of the matrix products on a GPU. fp32: float32, as on the CPU. tf32: inputs rounded "
        "to 10 bits, several times faster. mixed: pictures in float16, sums in float32, half the "
        "memory, fastest (fp32)",
    ),
}


def new_parser(name, doc):
    """An ArgumentParser for the command `name`. doc: its module's, what --help prints as it stands,
    the first paragraph before the options and the others after them."""
    description, _, epilog = doc.partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    return _Parser(prog=name, description=description, epilog=epilog, formatter_class=raw)


def add_options(parser, *names, **changed):
    """Add some of OPTIONS to a parser, with other keywords where `changed` says so."""
    for name in names:
        parser.add_argument(f"--{name}", **{**OPTIONS[name], **changed})


def add_numbers(parser, options, whole=int):
    """Add options that are numbers. options: "--name LETTER" -> help; those called N, S or R are
    whole numbers, made by `whole`, the others floats."""
    for flag, told in options.items():
        name, letter = flag.split()
        kind = whole if letter in "NSR" else float
        parser.add_argument(name, metavar=letter, type=kind, help=told)


def processes(local=False):
    """How many processes were started together, by mpiexec or srun; or how many of them here."""
    values = [os.environ.get(name, "") for name in (LOCAL_SIZES if local else SIZES)]
    numbers = [re.match("[0-9]+", value) for value in values]  # Slurm writes 8(x2), too
    return max([int(number[0]) for number in numbers if number], default=1)


def own_rank():
    """The number, from 0, of this process among those that were started together."""
    values = [os.environ.get(name, "") for name in RANKS if processes() > 1]
    return max([int(value) for value in values if value.isdigit()], default=0)


def wait_for_turn():
    """Before a complaint. Where all have the same, the first of them says it, and ends the others:
    see `_end_all`."""
    if own_rank():
        _world()  # the first cannot end us by MPI before we are there
        time.sleep(1 + min(own_rank(), 8) / 2)


def _world():
    """MPI's communicator of the processes that were started together; None if it has none."""
    with contextlib.suppress(ImportError, RuntimeError), ended_by_signals():
        from mpi4py import MPI

        return MPI.COMM_WORLD if MPI.COMM_WORLD.Get_size() > 1 else None


def _end_all(code):
    """End all processes, since this one fails before it is in the team: else they wait for it for
    ever, as MPICH's mpiexec sees nothing wrong with an exit code."""
    time.sleep(SAID)
    if world := _world():
        world.Abort(code)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has the other


@contextlib.contextmanager
def ended_by_signals():
    """Signals end the process at once: while it waits in C, no handler of Python's is called."""
    ours = [n for n in (signal.SIGINT, *ENDING) if callable(signal.getsignal(n))]
    before = {n: signal.signal(n, signal.SIG_DFL) for n in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def own_cores():
    """The cores for this process: all of the machine, or its share of them."""
    cores = os.cpu_count() or 1
    if processes(local=True) > 1:
        cores //= processes(local=True)
        if hasattr(os, "sched_getaffinity"):  # mpiexec may bind each to fewer
            cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, cores)


def share_cores():
    """Part the cores among the processes of this machine; before NumPy is imported."""
    if processes(local=True) > 1 and not any(os.environ.get(name) for name in THREADS):
        os.environ["OMP_NUM_THREADS"] = str(own_cores())


class _Parser(argparse.ArgumentParser):
    """Of several processes with the same arguments, one says what is wrong with them."""

    def _print_message(self, message, file=None):
        if file is sys.stderr:
            wait_for_turn()
        if file is sys.stderr or own_rank() == 0:
            super()._print_message(message, file)


def attempt(name, work, *, also=(), memory="", stopped="stopped"):
    """Call `work`, and say in a line what went wrong. Returns the exit code: its own, 2, or 130.

    name: of the command. also: exceptions that are a person's mistakes, beside UserError. memory:
    what needs less of it. stopped: what to say after Ctrl-C.
    """

    try:
        return work() or 0
    except (Exception, KeyboardInterrupt) as error:
        wait_for_turn()
        line, code = explained(error, also=also, memory=memory, stopped=stopped)
        if line is None:
            raise
        print(f"{name}: {line}", file=sys.stderr)
        return code


def explained(error, *, also=(), memory="", stopped="stopped"):
    """What `attempt` makes of an exception: a line and the exit code. The line is None if it is a
    mistake of the program, whose traceback is wanted."""
    if isinstance(error, (UserError, *also)):
        return str(error), 2
    if isinstance(error, OSError):
        return ": ".join(filter(None, [error.filename, error.strerror or str(error)])), 2
    if isinstance(error, MemoryError):
        return f"not enough memory; {memory}", 2
    if isinstance(error, KeyboardInterrupt):
        return stopped, 130
    from .backend import gpu_failure  # NumPy is not wanted before an error

    return gpu_failure(error), 2


def run_program(main):
    """Call `main`, which returns an exit code, as a program, and end the process.

    SIGTERM and SIGHUP are KeyboardInterrupt, as Ctrl-C is, unless they were to be ignored (nohup).
    """
    for descriptor in (0, 1, 2):  # a closed one would be given to the next file that is opened
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # An overflow; what comes of it is looked at, and told in a line.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    sys.stdout, sys.stderr = streams = _Stream(sys.stdout), _Stream(sys.stderr)
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        _check_switches()
        code = main()
    except SystemExit as stop:  # argparse
        code = stop.code
    except KeyboardInterrupt:  # before or after its own care
        code = 130
    except Exception:  # a mistake of the program
        traceback.print_exc()
        code = 1
    for stream in streams:
        stream.flush()
    if code and processes() > 1 and not in_team:
        _end_all(code)
    sys.exit(code or (UNSAID if any(stream.failed for stream in streams) else 0))


def _check_switches():
    for name, value in SWITCHES.items():
        if os.environ.get(name, "") not in ("", value):
            wait_for_turn()
            print(f"{name}={os.environ[name]}: is {value}, or not set", file=sys.stderr)
            sys.exit(2)


def _end(number, frame):
    """As Ctrl-C. A shell and its terminal both send SIGHUP: the second is not to stop the cleaning
    up."""
    global _ended
    now, before = time.monotonic(), _ended
    if now > before + TWICE:
        _ended = now
        raise KeyboardInterrupt


TWICE, _ended = 2, -math.inf  # seconds in which a second signal is the same wish; when one came
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
