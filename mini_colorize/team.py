"""Several processes that train one network together: who they are, and what they tell one another.

    mpiexec -n 8 python train.py --data imagenet/

starts the same command eight times. MPI, through mpi4py, tells each process its rank, and carries
what is small and what is in the CPU's memory; sums and gatherings of arrays on GPUs are NCCL's.
Every rank has the whole network and sees a part of each batch. Three things are summed or gathered
in a step, so that the mathematics is that of one process with the whole batch: BatchNorm's
statistics, the count of pixels in the loss, and the gradients.

One process alone is `ALONE`: it needs no MPI, and all of this is nothing.
"""

import contextlib
import os
import sys
import time
import traceback

import numpy as np

from . import command
from .backend import array_module
from .command import SAID, ended_by_signals, explained, processes, wait_for_turn
from .errors import UserError
from .layers.batchnorm import merged_statistics

KINDS = {"f2": "FLOAT16", "f4": "FLOAT32", "f8": "FLOAT64", "i4": "INT32", "i8": "INT64"}


class Alone:
    """The team of one."""

    rank, size, local_rank, local_size = 0, 1, 0, 1  # local: of this machine

    def share(self, n):
        """Which of n things are this rank's, a range: as even as can be, in the order of ranks."""
        return range(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum(self, array):
        """The sum over ranks, written over the array on each of them. Returns it."""
        return array

    def stacked(self, array):
        """The array of every rank: (size, ...), on the same device."""
        return array[None]

    def told(self, value=None):
        """What rank 0 has, any Python value, on all ranks."""
        return value

    def all(self, value):
        """The value of each rank, any Python values, in a list, on all ranks."""
        return [value]

    def receive(self, arrays):
        """Write rank 0's arrays, of the same shapes everywhere, over those of the others."""

    def check_devices(self, xp):
        """Raises UserError unless all compute on CPUs, or each on a GPU of its own, with NCCL."""

    @contextlib.contextmanager
    def kept_together(self, name, explain=explained):
        """Within it an error on one rank ends all of them. explain: as `command.explained`."""
        yield


ALONE = Alone()


class Team(Alone):
    """comm: an MPI communicator, of mpi4py."""

    def __init__(self, comm, MPI):
        self.comm, self.MPI = comm, MPI
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        local = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = local.Get_rank(), local.Get_size()
        self.nccl = None

    def sum(self, array):
        if isinstance(array, np.ndarray):
            self.comm.Allreduce(self.MPI.IN_PLACE, array)
        else:
            nccl, kind, stream = self._nccl(array)
            at = array.data.ptr
            nccl.allReduce(at, at, array.size, kind, _constant("SUM"), stream)
        return array

    def stacked(self, array):
        array = array if array.flags.c_contiguous else array.copy()
        out = array_module(array).empty((self.size, *array.shape), array.dtype)
        if isinstance(array, np.ndarray):
            self.comm.Allgather(array, out)
        else:
            nccl, kind, stream = self._nccl(array)
            nccl.allGather(array.data.ptr, out.data.ptr, array.size, kind, stream)
        return out

    def told(self, value=None):
        return self.comm.bcast(value, root=0)

    def all(self, value):
        return self.comm.allgather(value)

    def receive(self, arrays):
        for array in arrays:
            if isinstance(array, np.ndarray):
                self.comm.Bcast(array, root=0)
            else:
                host = array.get()
                self.comm.Bcast(host, root=0)
                array.set(host)

    def check_devices(self, xp):
        gpu = xp is not np and (self.MPI.Get_processor_name(), xp.cuda.Device().pci_bus_id)
        gpus = self.all(gpu)
        if not any(gpus):
            return
        if not all(gpus):
            raise UserError(
                f"process {gpus.index(False)} computes on the CPU, and others on GPUs; "
                "--device cpu or cuda is for all"
            )
        if len(set(gpus)) < len(gpus):
            again = next(rank for rank, gpu in enumerate(gpus) if gpu in gpus[:rank])
            raise UserError(
                f"processes {gpus.index(gpus[again])} and {again} have one GPU, and NCCL wants one "
                "for each: start fewer processes on a machine"
            )
        from cupy.cuda import nccl

        if not nccl.available:
            raise UserError(
                "CuPy finds no NCCL, which sums over GPUs: pip install nvidia-nccl-cu12 "
                "(with CUDA 13 nvidia-nccl-cu13)"
            )

    def _nccl(self, array):
        """NCCL's communicator, made at first use, its name of the dtype, the stream to work on."""
        from cupy.cuda import get_current_stream, nccl

        if self.nccl is None:
            name = self.told(nccl.get_unique_id() if self.rank == 0 else None)
            self.nccl = nccl.NcclCommunicator(self.size, name, self.rank)
        return self.nccl, _constant(KINDS[array.dtype.str[1:]]), get_current_stream().ptr

    @contextlib.contextmanager
    def kept_together(self, name, explain=explained):
        """The others may be waiting for this rank: they would wait for ever."""
        try:
            yield
        except BaseException as error:
            code = 1
            try:
                code = self._last_words(name, error, explain)
            finally:  # whatever becomes of the words: a pipe may be closed, Ctrl-C come again
                self.comm.Abort(code)
                os._exit(code)

    def _last_words(self, name, error, explain):
        """Say what happened. Returns the exit code."""
        if isinstance(error, SystemExit):  # who raises it has said why
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        else:
            line, code = explain(error)
            if line is None:
                traceback.print_exception(error, file=sys.__stderr__)
                line, code = str(error) or type(error).__name__, 2
            wait_for_turn()
            line = " ".join(line.split())
            print(f"{name}: process {self.rank}: {line}", file=sys.__stderr__, flush=True)
        sys.stdout.flush()
        time.sleep(SAID)
        return code


def _constant(name):
    from cupy.cuda import nccl

    return getattr(nccl, f"NCCL_{name}")


def _team():
    """The team that this process was started in. Raises UserError if there is one, and no mpi4py."""
    if processes() < 2:
        return ALONE
    try:
        with ended_by_signals():
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter: mpi4py is there, and no MPI
        reason = " ".join(str(error).split())
        raise UserError(
            f"{processes()} processes were started, and MPI cannot be used ({reason}): "
            "pip install 'mini_colorize[distributed]'"
        ) from None
    if MPI.COMM_WORLD.Get_size() < 2:
        library = MPI.Get_library_version().split("\n")[0]
        raise UserError(
            f"{processes()} processes were started, but not by mpi4py's MPI, which is {library}"
        )
    command.in_team = True
    return Team(MPI.COMM_WORLD, MPI)


def together(name, work, talks=False, explain=explained):
    """work(team), in each of the processes that were started together; an error in one ends all.

    name: of the command. talks: whether others than rank 0 may print. explain: what makes a line
    and an exit code of an exception. Raises UserError.
    """
    team = _team()
    if team.rank and not talks:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # open as long as the process lives
    elif team.size > 1:  # mpiexec's pipe would be told at the end only, and nothing if that is bad
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stdout.reconfigure(line_buffering=True)
    with team.kept_together(name, explain):
        return work(team)


class BatchPart:
    """A rank's part of a batch, as BatchNorm must know it.

    team: Team. batch: pictures of the whole batch; each rank has at least one. xp: numpy or cupy.
    """

    def __init__(self, team, batch, xp):
        self.team, self.batch = team, batch
        self.own = len(team.share(batch))
        self.shares = xp.asarray(np.array(team.all(self.own))[:, None] / batch)

    def count(self, m):
        """From pixels of this part to pixels of the batch. Both ints."""
        return m * self.batch // self.own

    def statistics(self, mu, var):
        """Mean and variance of the batch, of those of this part. All (C,)."""
        parts = self._stacked(mu, var)
        return tuple(v.astype(mu.dtype) for v in merged_statistics(self.shares, *parts))

    def sums(self, m, dgamma, dbeta):
        """M, dgamma and dbeta of the batch, of those of this part. In the order of the ranks, so
        that all have the same bits."""
        dgamma, dbeta = (parts.sum(axis=0) for parts in self._stacked(dgamma, dbeta))
        return self.count(m), dgamma, dbeta

    def _stacked(self, a, b):
        """Two vectors of every rank, by one message: two of (size, C)."""
        both = self.team.stacked(array_module(a).concatenate([a, b]))
        return both[:, : len(a)], both[:, len(a) :]
