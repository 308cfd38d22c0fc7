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

from .backend import array_module
from .command import processes
from .errors import UserError
from .layers.batchnorm import merged_statistics


class Alone:
    """The team of one."""

    rank, size, local_rank = 0, 1, 0

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

    @contextlib.contextmanager
    def kept_together(self, name):
        """Within it an error on one rank ends all of them."""
        yield


ALONE = Alone()


class Team(Alone):
    """comm: an MPI communicator, of mpi4py."""

    def __init__(self, comm, MPI):
        self.comm, self.MPI = comm, MPI
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_rank = comm.Split_type(MPI.COMM_TYPE_SHARED).Get_rank()
        self.nccl = None

    def sum(self, array):
        if isinstance(array, np.ndarray):
            self.comm.Allreduce(self.MPI.IN_PLACE, array)
        else:
            nccl, stream = self._nccl(array)
            at = array.data.ptr
            nccl.allReduce(at, at, array.size, _kind(array), _sum(), stream)
        return array

    def stacked(self, array):
        array = array[...] if array.flags.c_contiguous else array.copy()
        if isinstance(array, np.ndarray):
            out = np.empty((self.size, *array.shape), array.dtype)
            self.comm.Allgather(array, out)
        else:
            import cupy

            out = cupy.empty((self.size, *array.shape), array.dtype)
            nccl, stream = self._nccl(array)
            nccl.allGather(array.data.ptr, out.data.ptr, array.size, _kind(array), stream)
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

    def _nccl(self, array):
        """NCCL's communicator, made at first use, and the stream to work on."""
        from cupy.cuda import get_current_stream, nccl

        if self.nccl is None:
            name = self.told(nccl.get_unique_id() if self.rank == 0 else None)
            self.nccl = nccl.NcclCommunicator(self.size, name, self.rank)
        return self.nccl, get_current_stream().ptr

    @contextlib.contextmanager
    def kept_together(self, name):
        """The others may be waiting for this rank: they would wait for ever."""
        try:
            yield
        except BaseException as error:
            code = getattr(error, "code", 1)
            if not isinstance(error, SystemExit):
                if not isinstance(error, (UserError, OSError, MemoryError, KeyboardInterrupt)):
                    traceback.print_exc(file=sys.__stderr__)
                time.sleep(self.rank and 1)  # where all fail alike, rank 0 says so
                line = " ".join(str(error).split()) or type(error).__name__
                print(f"{name}: process {self.rank}: {line}", file=sys.__stderr__, flush=True)
                code = 2
            if code:
                time.sleep(0.3)  # mpiexec passes on what was said, and drops it once it ends
                code = code if isinstance(code, int) else 1
                self.comm.Abort(code)
                os._exit(code)
            raise


def _kind(array):
    from cupy.cuda import nccl

    kinds = {"f2": "FLOAT16", "f4": "FLOAT32", "f8": "FLOAT64", "i4": "INT32", "i8": "INT64"}
    return getattr(nccl, f"NCCL_{kinds[array.dtype.str[1:]]}")


def _sum():
    from cupy.cuda import nccl

    return nccl.NCCL_SUM


def _team():
    """The team that this process was started in. Raises UserError if there is one, and no mpi4py."""
    if processes() < 2:
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise UserError(
            f"{processes()} processes were started, and MPI cannot be used ({error}): "
            "pip install 'mini_colorize[distributed]'"
        ) from None
    if MPI.COMM_WORLD.Get_size() < 2:
        library = MPI.Get_library_version().split("\n")[0]
        raise UserError(
            f"{processes()} processes were started, but not by mpi4py's MPI, which is {library}"
        )
    return Team(MPI.COMM_WORLD, MPI)


def together(name, work, talks=False):
    """work(team), in each of the processes that were started together; an error in one ends all.

    name: of the command. talks: whether others than rank 0 may print. Raises UserError.
    """
    team = _team()
    if team.rank and not talks:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # open as long as the process lives
    with team.kept_together(name):
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
