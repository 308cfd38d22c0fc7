"""cupy.cuda.nccl: GPUs of several processes, whose sums and gatherings MPI makes here."""

import ctypes
import types

import numpy as np

from . import memory, standin

_KINDS = {"INT32": np.int32, "INT64": np.int64, "FLOAT16": np.float16}
_KINDS |= {"FLOAT32": np.float32, "FLOAT64": np.float64}
_DTYPES = dict(enumerate(_KINDS.values()))
_SUM = 0


class NcclCommunicator:
    def __init__(self, ndev, commId, rank):
        from mpi4py import MPI

        self.mpi, self.comm = MPI, MPI.COMM_WORLD
        if (ndev, rank) != (self.comm.size, self.comm.rank) or commId != get_unique_id():
            raise RuntimeError("NCCL_ERROR_INVALID_ARGUMENT: invalid argument")

    def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
        if sendbuf != recvbuf or op != _SUM:
            raise NotImplementedError("the emulator sums in place")
        values = _array(recvbuf, count, datatype, stream)
        standin.perform(lambda: self.comm.Allreduce(self.mpi.IN_PLACE, values), [recvbuf])

    def allGather(self, sendbuf, recvbuf, count, datatype, stream):
        own = _array(sendbuf, count, datatype, stream)
        everybodys = _array(recvbuf, count * self.comm.size, datatype, stream)
        standin.perform(lambda: self.comm.Allgather(own, everybodys), [sendbuf, recvbuf])


def get_unique_id():
    return ("emulated",)


def _array(address, count, datatype, stream):
    """The memory as NumPy's, which must be the GPU's, on the current stream."""
    dtype = np.dtype(_DTYPES[datatype])
    memory.require(address, count * dtype.itemsize, "NCCL's memory")
    if stream != standin.current_stream().ptr:
        raise ValueError("NCCL is asked to work on another stream than the current one")
    buffer = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(buffer, dtype)


def make_module():
    module = types.ModuleType("cupy.cuda.nccl")
    module.NcclCommunicator, module.get_unique_id = NcclCommunicator, get_unique_id
    for number, name in enumerate(_KINDS):
        setattr(module, f"NCCL_{name}", number)
    module.NCCL_SUM, module.available = _SUM, True
    return module
