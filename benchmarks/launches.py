"""What the wrappers of kernels and matrix products cost Python, without the work itself.

    python -m benchmarks.launches

No kernel and no product is launched, arrays are small: what is left is checking, packing arguments,
memory for results, and the operations of CuPy around a launch. Microseconds a call, the best of
seven rounds. Without a GPU on the emulator, whose arrays cost more than CuPy's.
"""

import sys
import timeit
from pathlib import Path
from unittest import mock

import numpy as np

from mini_colorize import backend, cublas
from mini_colorize.backend import DeviceError, select_device
from mini_colorize.fast import cuda, kernels
from mini_colorize.fast.gather import Taps

from .gpu_common import table

ROUNDS, CALLS = 7, 1000


def wrappers(xp):
    """name -> call."""
    x, dy = (xp.ones((1, 4, 4, 64), np.float16) for _ in range(2))
    vector, all_cells = xp.ones(64, np.float32), (slice(0, 1), slice(0, 2), slice(0, 2))
    block, taps = (slice(0, 1), slice(0, 4), slice(0, 4)), Taps(-1, 1, 3, 1)
    products, matrix = xp.ones((16, 4, 64), np.float16), xp.ones((64, 64), np.float16)
    flat, one = xp.ones(64, np.float32), xp.ones((), np.float32)
    logits, index = xp.ones((1, 2, 2, 313), np.float16), xp.zeros((1, 2, 2, 5), np.int32)
    weight, v, rates = xp.ones(index.shape, np.float32), xp.ones(313, np.float32), flat[:2]
    rest = {"rates": rates, "scale": one, "overflow": xp.zeros((), np.int32)}
    rest |= {"betas": (0.9, 0.99), "eps": 1e-8, "decay": 1e-6, "decayed": 32}
    return {
        "bias_relu": lambda: kernels.bias_relu(x, vector, True),
        "bias_relu_backward": lambda: kernels.bias_relu_backward(dy, x, True),
        "batchnorm_statistics": lambda: kernels.batchnorm_statistics(x),
        "batchnorm_normalize": lambda: kernels.batchnorm_normalize(x, vector, vector, vector),
        "batchnorm_sums": lambda: kernels.batchnorm_sums(dy, x, vector),
        "batchnorm_backward": lambda: kernels.batchnorm_backward(dy, x, *[vector] * 4),
        "gather": lambda: kernels.gather(x, taps, taps, block, vector),
        "winograd_transform": lambda: kernels.winograd_transform(
            x, 2, True, 1, 1, vector, all_cells
        ),
        "winograd_output": lambda: kernels.winograd_output(
            products, 2, x, 1, vector, True, all_cells
        ),
        "softmax_cross_entropy": lambda: cuda.softmax_cross_entropy(logits, index, weight, v, one),
        "annealed_mean": lambda: cuda.annealed_mean(logits),
        "soft_encode": lambda: cuda.soft_encode(flat.reshape(-1, 2)),
        "adam": lambda: cuda.adam(flat, flat, flat, flat, **rest),
        "find_overflow": lambda: cuda.find_overflow(flat),
        "matmul": lambda: backend.matmul(matrix, matrix, out=matrix),
    }


def measure(xp):
    """Rows of the table."""
    cublas.handle(xp)  # is kept for good, so it must be made while cuBLAS is called in earnest
    nothing = mock.patch.object(kernels, "compiled", lambda *of: lambda grid, block, args: None)
    none_yet = mock.patch.object(kernels, "_prepared", {})
    with nothing, none_yet, mock.patch.object(cublas, "call", lambda *told: None):
        rows = []
        for name, call in wrappers(xp).items():
            call()
            best = min(timeit.repeat(call, number=CALLS, repeat=ROUNDS))
            rows.append({"wrapper": name, "us": 1e6 * best / CALLS})
    return rows


def main():
    try:
        xp, line = select_device("cuda")
    except DeviceError as error:
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        from emulator import standin

        xp, line = standin.install(), f"on the emulator: {error}"
    print(line)
    table("What a wrapper costs Python", "wrapper, us", measure(xp))


if __name__ == "__main__":
    main()
