"""Compare what mini_colorize/cublas.py believes of cuBLAS with NVIDIA's own header.

    python tools/check_cublas.py WHEEL ...

Each WHEEL is a file nvidia_cublas*.whl or nvidia_cuda_runtime*.whl (pip download --no-deps
nvidia-cublas), or a folder with such headers in it. ctypes would pass a wrong type without a word.
Exit code: 0 if all agrees, 1 if not, 2 if a file cannot be used.
"""

import ctypes
import re
import sys
import zipfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mini_colorize import cublas  # noqa: E402

HEADERS = "cublas_api.h", "library_types.h"
TYPES = {
    "cublasHandle_t": ctypes.c_void_p,
    "cublasHandle_t*": ctypes.POINTER(ctypes.c_void_p),
    "cudaStream_t": ctypes.c_void_p,
    "void*": ctypes.c_void_p,
    "int": ctypes.c_int,
    "long long int": ctypes.c_longlong,
    "size_t": ctypes.c_size_t,
}
TYPES |= dict.fromkeys(
    "cublasOperation_t cudaDataType cublasComputeType_t cublasGemmAlgo_t cublasMath_t".split(),
    ctypes.c_int,  # enumerations
)
CONSTANTS = {
    "CUBLAS_OP_N": cublas.OP_N,
    "CUBLAS_OP_T": cublas.OP_T,
    "CUBLAS_COMPUTE_32F": cublas.COMPUTE_32F,
    "CUBLAS_COMPUTE_32F_FAST_TF32": cublas.COMPUTE_32F_FAST_TF32,
    "CUBLAS_GEMM_DEFAULT": cublas.DEFAULT_ALGORITHM,
    "CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION": cublas.NO_HALF_SUMS,
    "CUDA_R_32F": cublas.TYPES[np.dtype(np.float32)],
    "CUDA_R_16F": cublas.TYPES[np.dtype(np.float16)],
}
CONSTANTS |= {
    f"CUBLAS_STATUS_{name}": number
    for number, name in {
        1: "NOT_INITIALIZED",
        3: "ALLOC_FAILED",
        7: "INVALID_VALUE",
        8: "ARCH_MISMATCH",
        11: "MAPPING_ERROR",
        13: "EXECUTION_FAILED",
        14: "INTERNAL_ERROR",
        15: "NOT_SUPPORTED",
    }.items()
}


def texts(path):
    """The texts of HEADERS in a wheel or a folder."""
    if Path(path).is_dir():
        return [p.read_text() for name in HEADERS for p in Path(path).rglob(name)]
    with zipfile.ZipFile(path) as wheel:
        found = [n for n in wheel.namelist() if n.rpartition("/")[2] in HEADERS]
        return [wheel.read(name).decode() for name in found]


def declared(header, name):
    """The ctypes of a function's arguments, or None if the header does not have it."""
    found = re.search(rf"cublasStatus_t\s+CUBLASWINAPI\s+{name}\(([^)]*)\)", header)
    if found is None:
        return None
    arguments = (" ".join(a.split()).removeprefix("const ") for a in found[1].split(","))
    return tuple(TYPES[re.sub(r"\s*\w+$", "", a).replace(" *", "*")] for a in arguments)


def differences(header):
    """Lines about what does not agree."""
    for name, types in cublas.PROTOTYPES.items():
        if declared(header, name) != types:
            yield f"{name}: {declared(header, name)}, not {types}"
    for name, value in CONSTANTS.items():
        found = re.search(rf"\b{name}\s*=\s*(-?\d+)", header)
        if found is None or int(found[1]) != value:
            yield f"{name}: {found and found[1]}, not {value}"


def main(argv=None):
    paths = sys.argv[1:] if argv is None else argv
    try:
        header = "\n".join(text for path in paths for text in texts(path))
    except (OSError, zipfile.BadZipFile) as error:
        print(f"check_cublas.py: {error}", file=sys.stderr)
        return 2
    if "cublasGemmEx" not in header or "CUDA_R_32F" not in header:
        print(f"check_cublas.py: needs {' and '.join(HEADERS)}; see its text", file=sys.stderr)
        return 2
    wrong = list(differences(header))
    print(
        "\n".join(wrong) or f"{len(cublas.PROTOTYPES)} functions, {len(CONSTANTS)} constants: fine"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
