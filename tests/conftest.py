"""The GPU of the tests: CuPy on a real one, or the emulator of tests/emulator on the CPU.

`python -m pytest --gpu` (make gpu-check) takes the real one, and fails where there is none.
"""

import pytest

from emulator import standin, why_unavailable

ORDERS = {"forward": 0, "reverse": 1, "random": 2, "shuffled": 7}  # in which threads take turns


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="run the kernel tests on a CUDA GPU")
    parser.addoption("--orders", default=",".join(ORDERS), help="orders of threads to emulate")


def pytest_generate_tests(metafunc):
    """A test that asks for `gpu` runs once on a real GPU, or once for each order of threads."""
    if "gpu" in metafunc.fixturenames:
        real = metafunc.config.getoption("gpu")
        orders = ["cuda"] if real else metafunc.config.getoption("orders").split(",")
        if metafunc.definition.get_closest_marker("one_order"):
            orders = orders[:1]
        metafunc.parametrize("gpu", orders, indirect=True)


@pytest.fixture
def gpu(request, monkeypatch):
    """The module cupy. The test is skipped where the emulator cannot run."""
    if request.param == "cuda":
        from mini_colorize.backend import select_device

        yield select_device("cuda")[0]
        return
    if why_unavailable():
        pytest.skip(why_unavailable())
    monkeypatch.setattr(standin.settings, "order", ORDERS[request.param])
    yield standin.install()
    standin.uninstall()
