"""CUDA graphs, by the emulator or on a GPU: the same bits as launches one by one, and a way back."""

import contextlib
import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from emulator.standin import emulated
from networks import small_trainer
from photographs import small_network

from mini_colorize import modules
from mini_colorize.backend import to_host
from mini_colorize.colorizer import Colorizer
from mini_colorize.fast import graphs
from mini_colorize.fast.graphs import MOST, WARM, Graphs
from mini_colorize.files.config import Config
from mini_colorize.team import Team
from mini_colorize.training import Trainer

pytestmark = pytest.mark.one_order


@pytest.fixture(autouse=True)
def on(monkeypatch):
    monkeypatch.setattr(graphs, "NO_GRAPHS", False)


def steps(folder, photos, xp, off, count=20, **options):
    """Every number of a few steps: losses, colours, and all that was learned."""
    settings = dict(size=16, resize=22, batch=2, lr=2e-3, warmup=5, steps=count)
    trainer = small_trainer(photos, folder, xp, **settings | {"schedule": "cosine"} | options)
    if off:
        trainer.learner.graphs.room = None
    made = []
    for k, rgb in enumerate(trainer.loader.batches(0, count)):
        losses, colors = trainer.train_step(rgb, measure=k % 2 == 1)
        made += [float(value) for value in losses] + ([colors] if colors is not None else [])
    return (
        np.array(made),
        {n: to_host(a) for n, a in enumerate(trainer.learner.changing())},
        trainer,
    )


def same(one, other):
    return np.array_equal(one[0], other[0]) and all(
        np.array_equal(a, other[1][name]) for name, a in one[1].items()
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"count": 8, "precision": "mixed", "loss": "classification"},
        {"count": 8, "precision": "tf32", "loss": "regression", "ema": 0.0},
        {"count": 10, "schedule": "steps", "lr_every": 7},
    ],
)
def test_twenty_steps(gpu, narrow, photos, tmp_path, options):
    """The rate, Adam's corrections and the average's share change under way; so does the batch."""
    plain = steps(tmp_path / "plain", photos, gpu, True, **options)
    graph = steps(tmp_path / "graph", photos, gpu, False, **options)
    works = graph[2].learner.graphs.works  # of a step and of a measured one
    assert len(works) == 2 and all(work.graph for work in works.values())
    assert same(plain, graph)


def test_a_frozen_number_is_seen(gpu, narrow, photos, tmp_path, monkeypatch):
    """A learning rate that lies elsewhere every time, where the graph does not look."""
    plain = steps(tmp_path / "plain", photos, gpu, True, 8)
    kept, device_numbers = [], modules.device_numbers

    def elsewhere(numbers, xp, into=None):
        kept.append(device_numbers(numbers, xp))
        return kept[-1]

    monkeypatch.setattr(modules, "device_numbers", elsewhere)
    assert not same(plain, steps(tmp_path / "graph", photos, gpu, False, 8))


def test_a_run_goes_on_with_graphs(gpu, narrow, photos, tmp_path):
    """Trained, saved and resumed by the loop itself."""
    options = dict(size=16, batch=2, workers=0, log_every=2, sample_every=4, warmup=2)
    runs = {}
    for name, off in (("plain", True), ("graph", False)):
        for total in (5, 9):
            trainer = Trainer(Config([str(photos)], steps=total, **options), tmp_path / name, gpu)
            trainer.resume() if total == 9 else trainer.start()
            if off:
                trainer.learner.graphs.room = None
            assert trainer.train()
        runs[name] = {n: to_host(a) for n, a in enumerate(trainer.learner.changing())}
    assert all(np.array_equal(a, runs["graph"][n]) for n, a in runs["plain"].items())


def called(gpu, function, *, times=WARM + 3, state=list):
    """What a function gives for x = 0, 1, 2 ..., as numbers, and the graphs."""
    made = Graphs(gpu, state)
    values = [made("f", function, gpu.full(3, k, np.float32)) for k in range(times)]
    return [[float(y[0]) for y in results] for results in values], made


def test_results_are_the_callers_own(gpu):
    """They stay what they are when the next ones come; a view of an argument, too."""
    made = Graphs(gpu)
    given = [gpu.full(3, k, np.float32) for k in range(6)]
    results = [made("f", lambda x: (x * 2, x[1:]), x) for x in given]
    assert [[float(y[0]) for y in pair] for pair in results] == [[2 * k, k] for k in range(6)]


WHY = {"value": "apturing", "host": "apturing|other numbers", "count": "other numbers"}


@pytest.mark.parametrize("name, why", WHY.items())
def test_what_cannot_be_a_graph_goes_plainly(gpu, capsys, name, why):
    calls = []

    def value(x):
        return (x + float(x[0]),)  # the host waits

    def host(x):
        return (x + gpu.asarray(np.full(3, len(calls), np.float32)) * 0,)  # comes from the host

    def count(x):
        calls.append(1)
        return (x * 2 + np.float32(len(calls)),)  # a number of the host's own

    function = {"value": value, "host": host, "count": count}[name]
    values, made = called(gpu, function)
    line = capsys.readouterr().err
    if name == "host" and not made.why_not:  # a GPU may allow it, and then it is right
        return
    assert made.why_not in line and line.count("\n") == 1 and line.startswith("without CUDA graphs")
    assert any(reason in line for reason in why.split("|"))
    if name != "count":
        expected = {"value": lambda k: 2 * k, "host": lambda k: k}[name]
        assert values == [[expected(k)] for k in range(WARM + 3)]


def test_memory_of_others_is_no_memory_of_a_graph(gpu, capsys, monkeypatch):
    """Without a pool of their own a graph's arrays would be given to the next who asks."""
    if not emulated(gpu):
        pytest.skip("a GPU would read what lies there now")
    monkeypatch.setattr(gpu.cuda, "using_allocator", lambda _: contextlib.nullcontext())
    values, made = called(gpu, lambda x: (x * 2 + (x + 1) * 3,))
    assert made.why_not and "the pool of all" in capsys.readouterr().err
    assert values == [[5 * k + 3] for k in range(WARM + 3)]


def test_state_is_as_if_the_trial_had_not_been(gpu):
    total = gpu.zeros(3, np.float32)

    def add(x):
        total[...] += x
        return (total + 0,)

    values, made = called(gpu, add, state=lambda: [total])
    assert values == [[0], [1], [3], [6], [10]] and not made.why_not


def test_sums_of_a_team_are_part_of_a_graph(gpu):
    """NCCL's, of one GPU; no MPI is needed for that."""
    nccl = pytest.importorskip("cupy.cuda.nccl")
    if not nccl.available:
        pytest.skip("no NCCL")
    if emulated(gpu):
        pytest.importorskip("mpi4py", reason="makes NCCL's sums there")
    comm = SimpleNamespace(Get_rank=lambda: 0, Get_size=lambda: 1, bcast=lambda value, root: value)
    comm.Split_type = lambda kind: comm
    team = Team(comm, SimpleNamespace(COMM_TYPE_SHARED=0))
    values, made = called(gpu, lambda x: (team.sum(x * 2), team.stacked(x)[0]))
    assert values == [[2 * k, k] for k in range(WARM + 3)] and not made.why_not


def test_the_oldest_goes(gpu):
    made = Graphs(gpu)
    for size in range(1, MOST + 3):
        made("f", lambda x: (x + 1,), gpu.zeros(size, np.float32))
    assert len(made.works) == MOST and ("f", ((1,), "<f4")) not in made.works


@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_photos(gpu, narrow, precision):
    """The same colours with and without; a copy of the colorizer begins anew."""
    network, rng = small_network(), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(WARM + 3)]
    colorizer = Colorizer(network, size=32, xp=gpu, precision=precision)
    colorizer.graphs.room = None
    plain = [np.asarray(colorizer(p)) for p in pictures]
    one = Colorizer(network, size=32, xp=gpu, precision=precision)
    for again in (one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        for picture, wanted in zip(pictures, plain, strict=True):
            assert np.array_equal(again(picture), wanted)
        assert [bool(work.graph) for work in again.graphs.works.values()] == [True]


def test_off(gpu, monkeypatch):
    monkeypatch.setattr(graphs, "NO_GRAPHS", True)
    assert called(gpu, lambda x: (x + 1,))[1].works == {}
    assert Graphs(np)("f", lambda x: x + 1, np.zeros(2)).tolist() == [1, 1]


def test_memory_of_graphs_is_asked_for_and_never_given_back():
    """Without more on the device, the pool of all gives what it can spare, then it is an error that
    no pool takes for a reason to free its own."""

    class CudaError(Exception):
        pass

    freed, left, pool = [], [], SimpleNamespace(total_bytes=lambda: 0, set_limit=lambda size: None)

    def memory(nbytes):
        if not left:
            raise CudaError
        return left.pop()

    everybodys = SimpleNamespace(
        total_bytes=lambda: 0, free_all_blocks=lambda: (freed.append(1), left.extend(spare))
    )
    cuda = SimpleNamespace(
        Stream=lambda non_blocking: None,
        MemoryPool=lambda ask: pool,
        Memory=memory,
        MemoryPointer=lambda memory, offset: memory,
        runtime=SimpleNamespace(CUDARuntimeError=CudaError),
        memory=SimpleNamespace(OutOfMemoryError=lambda *_: MemoryError("none left")),
    )
    room = graphs._Room(SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: everybodys))
    spare = ["spared"]
    assert room._ask(10) == "spared" and freed == [1]
    spare = []
    with pytest.raises(MemoryError, match="none left"):
        room._ask(10)
