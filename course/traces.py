"""Questions to a list of accesses to memory: is there a race, is it coalesced, was it written?

An access (ACCESS, a record) is one thread's read or write of `size` bytes at `address`; `argument`
says in which array (an index), where flags has no SHARED. `barriers` counts the __syncthreads that
the thread had passed, `syncs` its __syncwarp. The list is in the order in which they happened.

Two accesses of two threads to the same memory, of which one writes, are a race unless something
orders them: a __syncthreads within a block, a __syncwarp within a warp, nothing between blocks. So
whether there is one does not depend on the order that was run.
"""

import numpy as np

WRITE, ATOMIC, SHARED = 1, 2, 4  # flags
SECTOR = 32  # bytes: the least that a GPU moves
ACCESS = np.dtype(
    [("address", "u8"), ("block", "u4"), ("pc", "u4"), ("barriers", "u4"), ("syncs", "u4")]
    + [("thread", "u2"), ("size", "u1"), ("flags", "u1"), ("argument", "u4")]
)


def has(a, flag):
    return a["flags"] & flag != 0


def groups(*columns):
    """(n,) ints: the same for two rows that are equal in all columns, counted from 0."""
    ids = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        _, more = np.unique(column, return_inverse=True)
        _, ids = np.unique(ids * (more.max(initial=0) + 1) + more, return_inverse=True)
    return ids


def units(a):
    """(rows, unit): each access once for each unit of memory it touches; a unit is 4 bytes, or 1."""
    unit = 4 if np.all(a["size"] % 4 == 0) else 1
    count = a["size"] // unit
    row = np.repeat(np.arange(len(a)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, a["address"][row] // unit + step.astype(np.uint64)


# Races --------------------------------------------------------------------------------------------


def race(a):
    """(between, i, j): accesses i < j race, between "warps", "lanes" or "blocks"; else None."""
    row, unit = units(a)
    e = a[row]
    warp, shared = e["thread"] // 32, has(e, SHARED)
    inside = (unit, np.where(shared, 1, 0), e["block"], e["barriers"])
    for between, keys, who, chosen in (
        ("warps", inside, warp, slice(None)),
        ("lanes", (*inside, warp, e["syncs"]), e["thread"], slice(None)),
        ("blocks", (unit,), e["block"], ~shared),
    ):
        pair = _conflict(groups(*(k[chosen] for k in keys)), who[chosen], e[chosen])
        if pair is not None:
            return between, *row[chosen][pair]
    return None


def _conflict(ids, who, e):
    """Two rows of one group that differ in who, one of which writes; not if all are atomic."""
    if not len(ids):
        return None
    by_group = np.argsort(ids, kind="stable")
    start = np.searchsorted(ids[by_group], np.arange(ids.max() + 1))
    who, write, atomic = who[by_group], has(e, WRITE)[by_group], has(e, ATOMIC)[by_group]
    bad = np.minimum.reduceat(who, start) != np.maximum.reduceat(who, start)
    bad &= np.logical_or.reduceat(write, start) & ~np.logical_and.reduceat(atomic, start)
    if not bad.any():
        return None
    first = start[bad][np.argmin(by_group[start[bad]])]
    members = np.arange(first, first + np.count_nonzero(ids == ids[by_group[first]]))
    writer = members[np.argmax(write[members])]
    other = members[np.argmax(who[members] != who[writer])]
    return np.sort(by_group[[writer, other]])


# What was written ---------------------------------------------------------------------------------


def read_too_early(a, empty):
    """Index of the first read of memory that nobody had written: shared, or of the arguments
    `empty`; None."""
    row, unit = units(a)
    e = a[row]
    shared = has(e, SHARED)
    chosen = shared | np.isin(e["argument"], empty)
    row, unit, block = row[chosen], unit[chosen], np.where(shared, e["block"], 0)[chosen]
    _, first = np.unique(groups(unit, block), return_index=True)
    early = first[~has(a[row[first]], WRITE)]
    return row[early.min()] if len(early) else None


def written(a, base, size, itemsize):
    """(size,) bool: which elements of the array at address `base` the accesses a write."""
    result = np.zeros(size * itemsize, bool)
    w = a[has(a, WRITE)]
    start = (w["address"] - np.uint64(base)).astype(np.int64)
    for n in np.unique(w["size"]).tolist():
        result[(start[w["size"] == n, None] + np.arange(n)).ravel()] = True
    return result.reshape(size, itemsize).all(axis=1)


# Coalescing ---------------------------------------------------------------------------------------


def by_warp(a):
    """What a warp's accesses cost, for accesses to one array, in one direction.

    The lanes of a warp run an instruction together. Returns for each time that a warp does:
    the index of one of its accesses, the sectors of 32 bytes that it touches, and the least number
    of sectors that would hold what it asks for, each (instructions,) int.
    """
    each = groups(a["block"], a["thread"], a["pc"])
    by_group = np.argsort(each, kind="stable")
    start = np.searchsorted(each[by_group], np.arange(each.max(initial=-1) + 1))
    turn = np.empty(len(a), np.int64)  # how often this thread has been at this instruction
    turn[by_group] = np.arange(len(a)) - start[each[by_group]]
    instruction = groups(a["block"], a["thread"] // 32, a["pc"], turn)
    _, one = np.unique(instruction, return_index=True)

    def distinct(column):
        _, rows = np.unique(groups(instruction, column), return_index=True)
        return rows

    sectors = np.bincount(instruction[distinct(a["address"] // SECTOR)])
    rows = distinct(a["address"])
    least = -(-np.bincount(instruction[rows], a["size"][rows]).astype(np.int64) // SECTOR)
    return one, sectors, least
