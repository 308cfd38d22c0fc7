"""What the benchmarks share: a table of medians, the machine's description, a torch twin."""

import platform
import statistics
import time

import numpy as np


def machine():
    """One line: processor, cores, versions."""
    import os

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            name = next(line.split(":")[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        pass
    return (
        f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}"
    )


def interleaved(functions, rounds):
    """Median seconds of each function, called in turn `rounds` times after one warm-up each.

    functions: name -> callable. Returns name -> seconds. In turn, because machines are noisy, and
    with a pause, because one side's threads watch for more work for a while before they sleep.
    """
    times = {name: [] for name in functions}
    for r in range(rounds + 1):
        for name, function in functions.items():
            time.sleep(0.05)
            start = time.perf_counter()
            function()
            if r:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def picture(width, height, seed=0):
    """A PIL image as smooth as a photograph, of any size."""
    from PIL import Image

    size = max(1, height // 50), max(1, width // 50), 3
    noise = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def torch_twin(network):
    """The same network, same weights, as a torch.nn.Sequential in NCHW."""
    import torch

    from mini_colorize.modules import BatchNorm2d, ConvTranspose2d

    modules = []
    for layer in network.layers.values():
        if isinstance(layer, BatchNorm2d):
            module = torch.nn.BatchNorm2d(len(layer.params["gamma"]))
            arrays = (layer.params["gamma"], layer.params["beta"], *layer.buffers.values())
            own = (module.weight, module.bias, module.running_mean, module.running_var)
            for mine, array in zip(own, arrays, strict=True):
                mine.data.copy_(torch.from_numpy(array))
            modules.append(module)
        else:
            weight = layer.params["weight"]
            k, _, c_in, c_out = weight.shape
            transposed = isinstance(layer, ConvTranspose2d)
            kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
            module = kind(c_in, c_out, k, **layer.geometry)
            order = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
            module.weight.data.copy_(torch.from_numpy(weight.transpose(order).copy()))
            module.bias.data.copy_(torch.from_numpy(layer.params["bias"]))
            modules.append(module)
            if layer.relu:
                modules.append(torch.nn.ReLU(inplace=True))
    return torch.nn.Sequential(*modules)
