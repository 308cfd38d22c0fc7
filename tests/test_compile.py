"""Every CUDA kernel compiles for every GPU that the project names, without spilling registers.

Two compilers, neither of which needs a GPU: NVRTC, which CuPy uses (pip install
nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12), and nvcc where a CUDA toolkit is installed.

    python tests/test_compile.py      prints registers and shared memory of every kernel
"""

import ctypes
import ctypes.util
import functools
import importlib.util
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "kernels"
GPUS = [70, 80, 90, 100]  # V100, A100, H100, B200
MEASURED = 90  # where no kernel may spill

# What fast/kernels.py and cuda.py pass as #defines, at the ends of their range.
FULL = ["VEC=4 REAL=float", "VEC=8 REAL=__half"]
CHANNELWISE = [f"TX=32 {full}" for full in FULL]
CHANNELWISE += ["TX=32 VEC=1 REAL=float", "TX=1 VEC=8 REAL=__half", "TX=1 VEC=1 REAL=__half"]
REALS = [*FULL, "VEC=1 REAL=float", "VEC=1 REAL=__half"]
ROWS = [f"PITCH=320 {full}" for full in FULL] + REALS[2:]
TILES = [
    (m, f"REAL={real} VEC={v}") for m in (2, 4) for real in ("float", "__half") for v in (1, 8 // m)
]
DEFINES = {
    "adam": [""],
    "annealed_mean": [f"Q=313 MODE={mode} {row}" for mode in (0, 1) for row in ROWS],
    "batchnorm_backward": CHANNELWISE,
    "batchnorm_normalize": CHANNELWISE,
    "batchnorm_statistics": CHANNELWISE,
    "batchnorm_sums": CHANNELWISE,
    "bias_relu": [f"{defines} RELU={relu}" for defines in CHANNELWISE for relu in (0, 1)],
    "bias_relu_backward": [f"{defines} RELU={relu}" for defines in CHANNELWISE for relu in (0, 1)],
    "find_overflow": [""],
    "gather": REALS,
    "lab_to_rgb": [""],
    "moving_average": [""],
    "crops_to_lab": ["STEP=4 OFFSET=2", "STEP=1 OFFSET=0"],
    "soft_encode": ["K=5 Q=313 CELL=5 REACH=130", "K=10 Q=313 CELL=5 REACH=130"],
    "softmax_cross_entropy": [f"Q=313 K={k} {row}" for k in (5, 10) for row in ROWS],
    "upsample": [""],
    "winograd_output": [f"M={m} RELU={relu} {more}" for m, more in TILES for relu in (0, 1)],
    "winograd_transform": [
        f"M={m} INPUT={inputs} {more}" for m, more in TILES for inputs in (0, 1)
    ],
}
CASES = [(name, defines) for name in DEFINES for defines in DEFINES[name]]


def options(defines, folder=SOURCES):
    """As mini_colorize/fast/kernels.py gives them, and what CuPy adds: tiny numbers count as 0."""
    return ["-std=c++17", "-ftz=true", f"-I{folder}", *(f"-D{d}" for d in defines.split())]


def resources(log):
    """ptxas's report for one GPU: kernel -> its numbers, by name."""
    found = {}
    for part in re.split(r"Compiling entry function '", log)[1:]:
        sizes = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill", part
        )
        numbers = dict(zip(("stack", "stores", "loads"), map(int, sizes.groups()), strict=True))
        numbers["registers"] = int(re.search(r"Used (\d+) registers", part)[1])
        shared = re.search(r"(\d+) bytes smem", part)
        numbers["shared"] = int(shared[1]) if shared else 0
        found[part.partition("'")[0]] = numbers
    return found


def check_no_warning(log):
    """Except that a GPU is old."""
    warned = [line for line in log.splitlines() if "warning" in line]
    assert all("Architectures prior to" in line for line in warned), log


def check_no_spill(log):
    for kernel, numbers in resources(log).items():
        spilled = {name: numbers[name] for name in ("stack", "stores", "loads")}
        assert not any(spilled.values()), f"{kernel} uses local memory: {spilled}"


# ---- NVRTC


class NVRTC:
    """The library, through ctypes. Raises OSError if there is none."""

    def __init__(self):
        spec = importlib.util.find_spec("nvidia")
        roots = [Path(p) for p in spec.submodule_search_locations] if spec else []
        wheels = [p for root in roots for p in sorted(root.glob("*/lib/libnvrtc.so.*"))]
        path = str(wheels[0]) if wheels else ctypes.util.find_library("nvrtc")
        if path is None:
            raise OSError("no NVRTC: pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12")
        self.library = ctypes.CDLL(path)
        places = [root.glob("*/include/cuda_fp16.h") for root in roots]
        places.append(Path("/usr/local/cuda/include").glob("cuda_fp16.h"))
        headers = [header.parent for place in places for header in place]
        if not headers:
            raise OSError("no cuda_fp16.h: pip install nvidia-cuda-runtime-cu12")
        self.include = headers[0]

    def gpus(self):
        """Compute capabilities that this version knows."""
        n = ctypes.c_int()
        self.library.nvrtcGetNumSupportedArchs(ctypes.byref(n))
        known = (ctypes.c_int * n.value)()
        self.library.nvrtcGetSupportedArchs(known)
        return list(known)

    def compile(self, source, name, options):
        """(whether it worked and gave machine code, the log, the code in PTX)."""
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        options = [option.encode() for option in [*options, f"-I{self.include}"]]
        given = (ctypes.c_char_p * len(options))(*options)
        lib = self.library
        lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        status = lib.nvrtcCompileProgram(program, len(given), given)
        lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetProgramLog(program, log)
        lib.nvrtcGetCUBINSize(program, ctypes.byref(size))
        worked = status == 0 and size.value > 0
        lib.nvrtcGetPTXSize(program, ctypes.byref(size))
        ptx = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetPTX(program, ptx)
        lib.nvrtcDestroyProgram(ctypes.byref(program))
        return worked, log.value.decode(), ptx.value.decode()


@functools.cache
def find_nvrtc():
    """(NVRTC or None, why not)."""
    try:
        return NVRTC(), ""
    except OSError as error:
        return None, str(error)


@pytest.fixture
def nvrtc():
    found, reason = find_nvrtc()
    if found is None:
        pytest.skip(reason)
    return found


def compile_for(nvrtc, gpu, name, defines, folder=SOURCES):
    """Compile kernels/<name>.cu; returns the log, with ptxas's report. Fails on errors."""
    return compile_whole(nvrtc, gpu, name, defines, folder)[0]


def compile_whole(nvrtc, gpu, name, defines, folder=SOURCES):
    """The same; returns the log and PTX."""
    source = (folder / f"{name}.cu").read_text()
    flags = [*options(defines, folder), f"-arch=sm_{gpu}", "--ptxas-options=-v"]
    worked, log, ptx = nvrtc.compile(source, f"{name}.cu", flags)
    assert worked, f"{name} {defines} for sm_{gpu}:\n{log}"
    return log, ptx


@pytest.mark.parametrize("name, defines", CASES)
def test_nvrtc(nvrtc, name, defines):
    gpus = [gpu for gpu in GPUS if gpu in nvrtc.gpus()]
    with ThreadPoolExecutor() as pool:  # it runs outside of Python
        logs = pool.map(lambda gpu: compile_for(nvrtc, gpu, name, defines), gpus)
    logs = dict(zip(gpus, logs, strict=True))
    for log in logs.values():
        assert resources(log)
        check_no_warning(log)
    check_no_spill(logs[MEASURED])


WIDE = [(n, d) for n, d in CASES if "VEC=8" in d or "VEC=4" in d and "float" in d]


@pytest.mark.parametrize("name, defines", WIDE)
def test_vectors_are_read_and_written_whole(nvrtc, name, defines):
    """A compiler may take 16 bytes apart: what is left of narrow stores is not the pictures."""
    _, ptx = compile_whole(nvrtc, MEASURED, name, defines)
    assert re.search(r"ld\.global(\.nc)?\.v4", ptx)
    narrow = len(re.findall(r"st\.global(?!\S*\.v4)", ptx))
    few = {"softmax_cross_entropy": 4, "annealed_mean": 2, "batchnorm_statistics": 18}
    few |= {"bias_relu_backward": 8, "batchnorm_sums": 16}  # partial sums
    assert narrow <= few.get(name, 0), narrow
    reads_only = "annealed_mean", "batchnorm_statistics", "batchnorm_sums"
    if name not in reads_only and "backward" not in name:
        assert re.search(r"st\.global\S*\.v4", ptx)


def test_nvrtc_knows_the_gpus(nvrtc):
    missing = set(GPUS) - set(nvrtc.gpus())
    assert missing <= {70}, f"this NVRTC does not know {missing}"  # CUDA 13 has dropped V100


# ---- nvcc


@functools.cache
def nvcc_is_here():
    """Whether there is an nvcc on PATH that knows the measured GPU."""
    if shutil.which("nvcc") is None:
        return False
    done = subprocess.run(["nvcc", "--list-gpu-code"], capture_output=True, text=True, check=True)
    return f"sm_{MEASURED}" in done.stdout.split()


needs_nvcc = pytest.mark.skipif(not nvcc_is_here(), reason="no nvcc for the measured GPU on PATH")


def run_nvcc(name, defines, output, folder=SOURCES):
    """For the measured GPU: no kernel asks which one it is compiled for."""
    command = ["nvcc", "-cubin", f"-arch=sm_{MEASURED}", *options(defines, folder)]
    command += ["-Xptxas", "-v", "-Werror", "all-warnings", str(folder / f"{name}.cu")]
    command += ["-o", str(output / "out.cubin")]
    return subprocess.run(command, capture_output=True, text=True)


@needs_nvcc
@pytest.mark.parametrize("name", DEFINES)
def test_nvcc(name, tmp_path):
    assert "__CUDA_ARCH__" not in (SOURCES / f"{name}.cu").read_text()
    done = run_nvcc(name, DEFINES[name][0], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert resources(done.stderr)
    check_no_spill(done.stderr)


# ---- these checks themselves


def unlisted(folder):
    """Kernels without #defines here, and the reverse."""
    return {path.stem for path in folder.glob("*.cu")} ^ set(DEFINES)


def test_every_kernel_is_listed(tmp_path):
    assert unlisted(SOURCES) == set()
    for name in [*DEFINES, "new_one"]:
        (tmp_path / f"{name}.cu").touch()
    assert unlisted(tmp_path) == {"new_one"}


PLANTED = {
    "spills": """extern "C" __global__ void spills(const float* x, float* y, int n) {
        float local[64];
        for (int i = 0; i < 64; i++) local[i] = x[i];
        for (int i = 0; i < n; i++) local[(int)x[i] & 63] += 1.f;
        for (int i = 0; i < 64; i++) y[i] = local[i]; }""",
    "warns": 'extern "C" __global__ void warns(float* y) { int unused; y[0] = 1.f; }',
    "fails": 'extern "C" __global__ void fails(float* y) { y[0] = INFINITY; }',
    "too_big": """extern "C" __global__ void too_big(float* y) {
        __shared__ float s[13000]; s[threadIdx.x] = y[0]; __syncthreads(); y[0] = s[1]; }""",
}


MESSAGES = {"spills": "uses local memory: {'stack': 256", "warns": "never referenced"}
MESSAGES |= {"fails": "INFINITY", "too_big": "52000 bytes smem"}


@pytest.mark.parametrize("name, message", MESSAGES.items())
def test_bad_kernels_are_noticed(nvrtc, tmp_path, name, message):
    (tmp_path / f"{name}.cu").write_text(PLANTED[name])
    with pytest.raises(AssertionError) as error:
        log = compile_for(nvrtc, MEASURED, name, "", tmp_path)
        check_no_warning(log)
        check_no_spill(log)
    assert re.search(message, str(error.value), re.S), error.value


@needs_nvcc
def test_nvcc_notices_bad_kernels(tmp_path):
    for name, source in PLANTED.items():
        (tmp_path / f"{name}.cu").write_text(source)
    done = {name: run_nvcc(name, "", tmp_path, tmp_path) for name in PLANTED}
    assert [name for name in done if done[name].returncode == 0] == ["spills", "fails"]
    assert resources(done["spills"].stderr)["spills"]["stack"] == 256


def main():
    """A line a kernel and set of #defines, for the measured GPU."""
    nvrtc, reason = find_nvrtc()
    if nvrtc is None:
        raise SystemExit(reason)
    print(f"{f'on sm_{MEASURED}':24} {'#defines':40} registers  shared  spilled (bytes)")
    for name, defines in CASES:
        for kernel, n in resources(compile_for(nvrtc, MEASURED, name, defines)).items():
            print(f"{kernel:24} {defines:40} {n['registers']:9} {n['shared']:7} {n['stack']:8}")


if __name__ == "__main__":
    main()


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.cu")), ids=lambda path: path.stem)
def test_the_reference_that_a_kernel_names_is_there(path):
    text = " ".join(line.lstrip("/ ") for line in path.read_text().splitlines()[:12])
    names = re.findall(r"mini_colorize(?:\.\w+)+", text.partition("NumPy reference:")[2])
    assert names
    for name in names:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name
