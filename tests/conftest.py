"""The GPU of the tests: CuPy on a real one, or the emulator of tests/emulator on the CPU.

`python -m pytest --gpu` (make gpu-check) takes the real one, and fails where there is none.
"""

import contextlib
import gc
import os
import subprocess
import sys

import pytest
from emulator import standin, why_unavailable
from photographs import album, small_weights
from programs import ROOT, default_signals

from mini_colorize import network, report
from mini_colorize.backend import DeviceError, select_device

sys.path.append(str(ROOT / "tools"))

ORDERS = {"forward": 0, "reverse": 1, "random": 2, "shuffled": 7}  # in which threads take turns


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the kernel tests on a CUDA GPU")
    parser.addoption("--orders", default=",".join(ORDERS), help="orders of threads to emulate")


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that no process of pytest-xdist ends long after the rest."""
    items.sort(key=lambda item: item.path.name != "test_kernels_sanitized.py")


def pytest_collection_finish():
    """The thousands of tests are no garbage: no collection shall look through them again."""
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc):
    """A test that asks for `gpu` runs once on a real GPU, or once for each order of threads."""
    if "gpu" in metafunc.fixturenames:
        real = metafunc.config.getoption("gpu")
        orders = ["cuda"] if real else metafunc.config.getoption("orders").split(",")
        if metafunc.definition.get_closest_marker("one_order"):
            orders = orders[:1]
        metafunc.parametrize("gpu", orders, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def quick():
    """The disk is not waited for, and no curve of the loss is drawn: trainings in processes of their
    own do both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr(report, "loss_curve", lambda *_: True)
        yield


@pytest.fixture
def gpu(request, monkeypatch):
    """The module cupy. The test is skipped where the emulator cannot run."""
    if request.param == "cuda":
        yield select_device("cuda")[0]
        return
    if why_unavailable():
        pytest.skip(why_unavailable())
    monkeypatch.setattr(standin.settings, "order", ORDERS[request.param])
    yield standin.install()
    standin.uninstall()


@pytest.fixture
def cupy():
    """The stand-in, whatever the options say."""
    with standin.installed(order=0, sanitizer="") as cupy:
        yield cupy


@pytest.fixture
def no_cuda():
    with contextlib.suppress(DeviceError):
        select_device("cuda")
        pytest.skip("CUDA works here")


@pytest.fixture
def narrow(monkeypatch):
    """`--model tiny` has 4 to 32 channels."""
    monkeypatch.setitem(network.WIDTHS, "tiny", 1 / 16)


@pytest.fixture
def started():
    """started(*arguments of Python): a program that runs beside the test, and no longer than it."""
    programs = []

    def start(*arguments, **options):
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, **options}
        command = [sys.executable, *map(str, arguments)]
        programs.append(subprocess.Popen(command, preexec_fn=default_signals, **options))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.wait()


@pytest.fixture
def photos(tmp_path):
    """A folder of six photos."""
    return album(tmp_path / "photos")


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """The file of a small network: it is only read."""
    return small_weights(tmp_path_factory.mktemp("weights") / "small.npz")


@pytest.fixture(scope="session")
def regression(tmp_path_factory):
    """The file of a small network that says ab."""
    return small_weights(tmp_path_factory.mktemp("weights") / "ab.npz", head="ab")
