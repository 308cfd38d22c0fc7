"""The stand-in's device memory: which ranges of addresses are alive, and how many bytes.

NumPy allocates through malloc, an array of n bytes in a block of exactly n (small blocks are kept
for reuse, each for its own size), so AddressSanitizer sees the first byte past the end.
"""

import contextlib
import weakref

_live = {}  # address -> weak reference to the NumPy array that owns the memory


class Pointer:
    """What CuPy's ndarray.data is."""

    device_id = 0

    def __init__(self, address):
        self.ptr = address


class Pool:
    """A MemoryPool: bytes in use, and the most since free_all_blocks()."""

    def __init__(self, allocator=None):
        self._used = self._total = 0
        self.kept = []  # what was captured in it

    def keep(self, host):
        """Captured memory stays, in a pool that nobody else takes from."""
        if self is default_pool:
            raise RuntimeError("memory of a graph comes from the pool of all: it would be reused")
        self.kept.append(host)

    def set_limit(self, size):
        pass

    def malloc(self, nbytes):
        raise NotImplementedError("the emulator's arrays are NumPy's: see using_allocator")

    def used_bytes(self):
        return self._used

    def total_bytes(self):
        return self._total

    def free_all_blocks(self):
        self._total = self._used

    def count(self, nbytes):
        self._used += nbytes
        self._total = max(self._total, self._used)


pool = default_pool = Pool()  # the current one, and the one that counts all


@contextlib.contextmanager
def using_allocator(malloc):
    """Arrays come from the pool whose method `malloc` is."""
    global pool
    before, pool = pool, malloc.__self__
    try:
        yield
    finally:
        pool = before


def owner(host):
    """The NumPy array that owns the memory of `host`."""
    while hasattr(host.base, "base"):  # an array, or what as_strided() puts between two
        host = host.base
    return host


def register(host):
    """Note the memory of an array that is now the GPU's, until it is freed."""
    host = owner(host)
    address, nbytes = host.ctypes.data, _rounded(host.nbytes)
    known = _live.get(address)
    if known is not None and known() is host:
        return

    def freed(reference):
        default_pool.count(-nbytes)
        if _live.get(address) is reference:  # else somebody has the address by now
            del _live[address]

    _live[address] = weakref.ref(host, freed)
    default_pool.count(nbytes)


def require(address, nbytes, name):
    """Raise ValueError unless the range lies within one array of the GPU."""
    known = _live.get(address)  # nearly always the beginning of one
    for base, reference in [(address, known)] if known else _live.copy().items():
        host = reference()
        if host is not None and base <= address and address + nbytes <= base + host.nbytes:
            return
    raise ValueError(f"{name}: {nbytes} bytes from {address:#x} are not in one array of the GPU")


def _rounded(nbytes):
    return -(-nbytes // 512) * 512  # as CuPy's pool does
