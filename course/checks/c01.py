"""Chapter 1: sRGB and Lab."""

import numpy as np

from mini_colorize import color as package

from ..check import Exercise, combined

FILE = "01_srgb_and_lab.py"
AXES = "row", "column", "coordinate"
MATRIX, WHITE = package.XYZ_FROM_RGB, package.WHITE
D50 = np.array([0.9642, 1.0, 0.8249])


# To Lab -----------------------------------------------------------------------------------------


def _to_lab_cases():
    yield {"rgb": np.array([0.8, 0.4, 0.2]).reshape(1, 1, 3)}
    yield {"rgb": np.array([0.02, 0.002, 0.03]).reshape(1, 1, 3)}  # both feet
    yield {"rgb": np.array([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]).reshape(1, 3, 3)}
    yield {"rgb": np.random.default_rng(0).uniform(0, 1, (2, 3, 3)).round(1)}


def _pixel_to_lab(red, green, blue):
    """By numbers, in the letters of the standards."""
    r, g, b = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue)
    )
    x = (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883
    x, y, z = (7.787 * t + 16 / 116 if t <= 0.008856 else t ** (1 / 3) for t in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _by_pixels(rgb):
    return np.array([[_pixel_to_lab(*map(float, pixel)) for pixel in row] for row in rgb])


def _power(v):
    return ((v + 0.055) / 1.055) ** 2.4


def _root(t):
    return np.where(t > package.FOOT, np.cbrt(t), 7.787 * t + 16 / 116)


def _coordinates(x, y, z):
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _to_lab(linear=package.srgb_to_linear, matrix=MATRIX, white=WHITE, f=_root, lab=_coordinates):
    """rgb_to_lab with one step changed."""

    def wrong(rgb):
        fxyz = f(linear(rgb) @ matrix.T / white)
        return np.stack(lab(*np.moveaxis(fxyz, -1, 0)), axis=-1)

    return wrong


def _above(threshold, f, below):
    return lambda v: np.where(v > threshold, f(v), below(v))


def _foot(t):
    return 7.787 * t + 16 / 116


def _curve_to(below, power=_power, threshold=0.04045):
    return _above(threshold, power, below)


LINEAR = [
    ("the sRGB curve is not undone: XYZ needs linear light (gamma forgotten)", lambda v: v),
    ("a power of 2.2 is not the sRGB curve, only near it", lambda v: v**2.2),
    (
        "a power of 2.4 alone is not the sRGB curve: (rgb + 0.055) / 1.055 is raised to it",
        _curve_to(lambda v: v / 12.92, lambda v: v**2.4),
    ),
    (
        "0.055 is subtracted, but (rgb + 0.055) / 1.055 is raised to 2.4",
        _curve_to(lambda v: v / 12.92, lambda v: abs((v - 0.055) / 1.055) ** 2.4),
    ),
    (
        "the division by 1.055 is missing: (rgb + 0.055) / 1.055 is raised to 2.4",
        _curve_to(lambda v: v / 12.92, lambda v: (v + 0.055) ** 2.4),
    ),
    (
        "the sRGB curve is applied, not undone: wanted is the power 2.4, not 1 / 2.4",
        package.linear_to_srgb,
    ),
    (
        "the foot of the sRGB curve is missing: up to 0.04045 it is the line rgb / 12.92",
        _power,
    ),
    (
        "the line of the sRGB curve multiplies by 12.92; undone, it divides",
        _curve_to(lambda v: v * 12.92),
    ),
    (
        "0.0031308 is the threshold in linear light; on the side of rgb it is 0.04045",
        _curve_to(lambda v: v / 12.92, threshold=0.0031308),
    ),
    (
        "rgb is divided by 255, but it is 0..1 already",
        lambda v: package.srgb_to_linear(v / 255),
    ),
    ("red and blue are exchanged", lambda v: package.srgb_to_linear(v)[..., ::-1]),
]
TO_XYZ = [
    ("the matrix is transposed: (..., 3) times the matrix needs its .T", MATRIX.T),
    ("the matrix is inverted: that is the way from XYZ to RGB", package.RGB_FROM_XYZ),
    ("white divides R, G and B; it belongs to XYZ, behind the matrix",
     MATRIX * WHITE[:, None] / WHITE),
]  # fmt: skip
OVER_WHITE = [
    ("XYZ is not divided by that of white", 1),
    ("XYZ is multiplied by that of white; divide", 1 / WHITE),
    ("white is that of D50; that of sRGB is D65", D50),
]
ROOTS = [
    ("the cube root is taken of small numbers too; up to 0.008856 f is a line", np.cbrt),
    (
        "0.2068966 is the threshold on the other side of f; on this side it is 0.008856",
        _above(package.FOOT_ROOT, np.cbrt, _foot),
    ),
    ("the line of f lacks its 16/116", _above(package.FOOT, np.cbrt, lambda t: 7.787 * t)),
    (
        "16/116 is added before the factor 7.787",
        _above(package.FOOT, np.cbrt, lambda t: 7.787 * (t + 16 / 116)),
    ),
    ("f is missing: L, a and b are made of X, Y, Z themselves", lambda t: t),
    (
        "f is the square root; wanted is the cube root",
        _above(package.FOOT, np.sqrt, _foot),
    ),
    ("f is the square root; wanted is the cube root", np.sqrt),
]
COORDINATES = [
    ("L lacks its -16", lambda x, y, z: (116 * y, 500 * (x - y), 200 * (y - z))),
    (
        "L is 0..1; wanted is 0..100",
        lambda x, y, z: (1.16 * y - 0.16, 500 * (x - y), 200 * (y - z)),
    ),
    (
        "L is made of X; the luminance is Y",
        lambda x, y, z: (116 * x - 16, 500 * (x - y), 200 * (y - z)),
    ),
    (
        "the factors of a and b are exchanged: a has 500, b has 200",
        lambda x, y, z: (116 * y - 16, 200 * (x - y), 500 * (y - z)),
    ),
    (
        "a has the wrong sign: f(X) - f(Y)",
        lambda x, y, z: (116 * y - 16, 500 * (y - x), 200 * (y - z)),
    ),
    (
        "b has the wrong sign: f(Y) - f(Z)",
        lambda x, y, z: (116 * y - 16, 500 * (x - y), 200 * (z - y)),
    ),
    (
        "a and b have the wrong sign: f(X) - f(Y), f(Y) - f(Z)",
        lambda x, y, z: (116 * y - 16, 500 * (y - x), 200 * (z - y)),
    ),
    (
        "b is made of X and Z; wanted is f(Y) - f(Z)",
        lambda x, y, z: (116 * y - 16, 500 * (x - y), 200 * (x - z)),
    ),
    ("a and b are exchanged", lambda x, y, z: (116 * y - 16, 200 * (y - z), 500 * (x - y))),
]

TO_LAB = Exercise(
    FILE,
    "rgb_to_lab",
    package.rgb_to_lab,
    _by_pixels,
    {"lab": AXES},
    list(_to_lab_cases()),
    mistakes={
        "lab": combined(
            _to_lab, linear=LINEAR, matrix=TO_XYZ, white=OVER_WHITE, f=ROOTS, lab=COORDINATES
        )
    },
    tolerance=3e-4,  # (6/29)^3 and 7.787037 are right too
)


# Back -------------------------------------------------------------------------------------------


def _to_rgb_cases():
    yield {"lab": np.array([60.0, 30, 20]).reshape(1, 1, 3)}
    yield {"lab": np.array([1.5, 0.7, -0.8]).reshape(1, 1, 3)}  # both feet
    yield {"lab": np.array([[50.0, 90, 20], [50, -70, -20], [97, 10, 40]]).reshape(1, 3, 3)}
    lab = np.random.default_rng(0).uniform(-1, 1, (2, 2, 3)) * [30, 40, 40] + [60, 0, 0]
    yield {"lab": lab.round(1)}


def _solved(lab):
    """By bisection: the linear light whose f and matrix give this Lab, as rgb_to_lab has them."""
    fy = (lab[..., 0] + 16) / 116
    wanted = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = _inverse(_root, wanted, -1, 8) * WHITE
    linear = np.linalg.solve(MATRIX, xyz[..., None])[..., 0]
    return _inverse(package.srgb_to_linear, np.clip(linear, 0, 1), 0, 1), linear


def _inverse(rising, value, low, high):
    low, high = np.full(value.shape, float(low)), np.full(value.shape, float(high))
    for _ in range(60):
        middle = (low + high) / 2
        below = rising(middle) < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _cube(f):
    return np.where(f > package.FOOT_ROOT, f**3, (f - 16 / 116) / 7.787)


def _roots(lightness, a, b):
    fy = (lightness + 16) / 116
    return fy + a / 500, fy, fy - b / 200


def _clip(rgb):
    return np.clip(rgb, 0, 1)


def _to_rgb(
    roots=_roots, cube=_cube, white=WHITE, matrix=package.RGB_FROM_XYZ, curve=package.linear_to_srgb,
    clip=_clip,
):  # fmt: skip
    """lab_to_rgb with one step changed."""

    def wrong(lab):
        f = np.stack(roots(*np.moveaxis(lab, -1, 0)), axis=-1)
        return clip(curve(cube(f) * white @ matrix.T))

    return wrong


def _root_curve(v):
    return 1.055 * v ** (1 / 2.4) - 0.055


def _line(below):
    return _above(package.FOOT_ROOT, lambda f: f**3, below)


BACK = {
    "curve": [
        ("this is linear light: the sRGB curve is missing at the end", lambda v: v),
        (
            "a power of 1 / 2.2 is not the sRGB curve, only near it",
            lambda v: np.maximum(v, 0) ** (1 / 2.2),
        ),
        (
            "a power of 1 / 2.2 is not the sRGB curve, only near it, and a negative number has none",
            lambda v: v ** (1 / 2.2),
        ),
        (
            "the foot of the sRGB curve is missing: up to 0.0031308 it is the line 12.92 v",
            lambda v: _root_curve(np.maximum(v, 0)),
        ),
        (
            "the foot of the sRGB curve is missing: up to 0.0031308 it is the line 12.92 v, and "
            "a negative number has no power",
            _root_curve,
        ),
        (
            "0.04045 is the threshold on the side of rgb; in linear light it is 0.0031308",
            _above(0.04045, _root_curve, lambda v: v * 12.92),
        ),
        (
            "the line of the sRGB curve divides by 12.92; applied, it multiplies",
            _above(0.0031308, _root_curve, lambda v: v / 12.92),
        ),
        (
            "the sRGB curve is undone, not applied: wanted is the power 1 / 2.4, not 2.4",
            package.srgb_to_linear,
        ),
        (
            "the sRGB curve lacks its - 0.055",
            _above(0.0031308, lambda v: 1.055 * v ** (1 / 2.4), lambda v: v * 12.92),
        ),
        (
            "the sRGB curve lacks its factor 1.055",
            _above(0.0031308, lambda v: v ** (1 / 2.4) - 0.055, lambda v: v * 12.92),
        ),
        (
            "numbers below 0 become positive (abs); clip them",
            lambda v: package.linear_to_srgb(abs(v)),
        ),
        ("red and blue are exchanged", lambda v: package.linear_to_srgb(v)[..., ::-1]),
    ],
    "white": [
        ("XYZ is not multiplied by that of white", 1),
        ("XYZ is divided by that of white; here it is multiplied", 1 / WHITE),
        ("white is that of D50; that of sRGB is D65", D50),
    ],
    "matrix": [
        ("the matrix is not inverted", MATRIX),
        (
            "the inverse is transposed: (..., 3) times the matrix needs its .T",
            package.RGB_FROM_XYZ.T,
        ),
        ("a transposed matrix is no inverse", MATRIX.T),
    ],
    "cube": [
        ("the third power of f is missing", lambda f: f),
        ("f is squared; wanted is its third power", _above(package.FOOT_ROOT, np.square, _cube)),
        (
            "the third power is taken of small f too; up to 0.2068966 it is a line (0.008856 is "
            "the threshold on the side of XYZ)",
            lambda f: f**3,
        ),
        ("the line is not undone: (f - 16/116) / 7.787", _line(_foot)),
        ("the line lacks its 16/116: (f - 16/116) / 7.787", _line(lambda f: f / 7.787)),
        (
            "the line is multiplied by 7.787: (f - 16/116) / 7.787",
            _line(lambda f: (f - 16 / 116) * 7.787),
        ),
    ],
    "roots": [
        (
            "f(Y) is (L - 16) / 116; undone it is (L + 16) / 116",
            lambda lightness, a, b: _roots(lightness - 32, a, b),
        ),
        (
            "f(Y) lacks its 16: (L + 16) / 116",
            lambda lightness, a, b: _roots(lightness - 16, a, b),
        ),
        (
            "500 and 200 are exchanged: f(X) = f(Y) + a / 500, f(Z) = f(Y) - b / 200",
            lambda lightness, a, b: _roots(lightness, a * 2.5, b / 2.5),
        ),
        (
            "a has the factor 200: f(X) = f(Y) + a / 500",
            lambda lightness, a, b: _roots(lightness, a * 2.5, b),
        ),
        (
            "f(X) has the wrong sign: f(Y) + a / 500",
            lambda lightness, a, b: _roots(lightness, -a, b),
        ),
        (
            "f(Z) has the wrong sign: f(Y) - b / 200",
            lambda lightness, a, b: _roots(lightness, a, -b),
        ),
        ("a and b are exchanged", lambda lightness, a, b: _roots(lightness, b, a)),
    ],
    "clip": [
        ("it is not clipped to 0..1", lambda v: v),
        ("above 1 it is not clipped; wanted is 0..1", lambda v: np.maximum(v, 0)),
        ("below 0 it is not clipped; wanted is 0..1", lambda v: np.minimum(v, 1)),
        ("wanted is 0..1, not 0..255", lambda v: 255 * _clip(v)),
        ("wanted is 0..1, not 0..255 and rounded", lambda v: np.rint(255 * _clip(v))),
        ("wanted is 0..1, not 0..255 and cut to whole numbers", lambda v: np.trunc(255 * _clip(v))),
    ],
}


TO_RGB = Exercise(
    FILE,
    "lab_to_rgb",
    package.lab_to_rgb,
    lambda lab: _solved(lab)[0],
    {"rgb": AXES},
    list(_to_rgb_cases()),
    mistakes={"rgb": combined(_to_rgb, **BACK)},
    tolerance=1e-4,
)


# The gamut --------------------------------------------------------------------------------------


def in_gamut(lab):
    fxyz = np.stack(_roots(*np.moveaxis(lab, -1, 0)), axis=-1)
    linear = _cube(fxyz) * WHITE @ package.RGB_FROM_XYZ.T
    return ((linear > -1e-4) & (linear < 1 + 1e-4)).all(axis=-1)


def _gamut_cases():
    yield {"lab": np.array([[60.0, 30, 20], [60, -90, 20]]).reshape(1, 2, 3)}
    yield {"lab": np.array([[97.0, 10, 40], [50, 10, 40], [40, 135, 30]]).reshape(1, 3, 3)}
    yield {"lab": np.array([[60.0, 130, -80], [60, 0, 0]]).reshape(1, 2, 3)}  # R, G and B out
    lab = np.random.default_rng(22).uniform(-1, 1, (3, 4, 3)) * [45, 60, 60] + [50, 0, 0]
    yield {"lab": lab.round()}  # none within 0.02 of the border


def _test(inside):
    """A mask from the linear light of a colour."""
    return lambda lab: inside(_solved(lab)[1])


GAMUT = Exercise(
    FILE,
    "in_gamut",
    in_gamut,
    lambda lab: abs(_solved(lab)[1] - 0.5).max(axis=-1) <= 0.5,
    {"inside": ("row", "column")},
    list(_gamut_cases()),
    mistakes={
        "inside": [
            (
                "this is the opposite: those that need clipping",
                _test(lambda v: ~((v >= 0) & (v <= 1)).all(axis=-1)),
            ),
            (
                "only what is above 1 is found; below 0 is outside too",
                _test(lambda v: (v <= 1).all(axis=-1)),
            ),
            (
                "only what is below 0 is found; above 1 (not 255) is outside too",
                _test(lambda v: (v >= 0).all(axis=-1)),
            ),
            (
                "any of R, G, B inside is taken for all: a colour needs all three",
                _test(lambda v: ((v >= 0) & (v <= 1)).any(axis=-1)),
            ),
            (
                "a and b alone are looked at; what can be shown depends on L",
                lambda lab: (abs(lab[..., 1:]) <= 110).all(axis=-1),
            ),
            (
                "all are inside: the colour is clipped before it is looked at",
                _test(lambda v: np.ones(v.shape[:-1], bool)),
            ),
        ]
    },
)

EXERCISES = [TO_LAB, TO_RGB, GAMUT]
