"""What of CuPy 14 the stand-in knows: all of it is there on a GPU, under the same names.

A name that the project comes to need is added here, if `cupy` has it (test_standin.py asks a CuPy
that is installed).
"""

METHODS = """all any argmax argmin argsort astype clip copy cumsum diagonal dot fill flatten max
    mean min nonzero prod ravel repeat reshape round sort squeeze std sum swapaxes take transpose
    var view""".split()

UFUNCS = """absolute add arctan2 bitwise_and bitwise_or cbrt ceil cos divide equal exp exp2 expm1
    float_power floor floor_divide greater greater_equal hypot invert isfinite isinf isnan less
    less_equal log log10 log1p log2 logical_and logical_not logical_or logical_xor matmul maximum
    minimum multiply negative not_equal positive power reciprocal remainder rint sign sin sqrt
    square subtract tan tanh true_divide""".split()

FUNCTIONS = """all any argmax argmin argsort array_equal array_split atleast_1d atleast_2d bincount
    broadcast_arrays broadcast_to clip concatenate count_nonzero cumsum diag diff dot einsum
    expand_dims flip full_like hsplit kron max mean min moveaxis nan_to_num nonzero ones_like outer
    pad prod put_along_axis ravel repeat reshape roll searchsorted sort split squeeze stack std sum
    swapaxes take take_along_axis tensordot tile transpose tril triu unique var vstack where
    zeros_like""".split()

CREATION = "arange eye full identity linspace ones zeros".split()

ALIASES = {"abs": "absolute", "mod": "remainder", "bitwise_not": "invert"}

# Types and constants, NumPy's own.
SAME = """bool_ complex64 dtype e finfo float16 float32 float64 iinfo inf int16 int32 int64 int8
    issubdtype nan ndim newaxis pi result_type uint16 uint32 uint64 uint8""".split()

# CuPy looks at values before it knows the shape (or the answer): the host waits.
SYNCHRONISING = "bincount nonzero unique".split()
