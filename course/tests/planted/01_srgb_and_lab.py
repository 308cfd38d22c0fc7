"""Wrong answers that students give to chapter 1. The docstring: exercise, and what is to be said."""

import numpy as np

M = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def _linear(rgb):
    low = rgb <= 0.04045
    out = ((rgb + 0.055) / 1.055) ** 2.4
    out[low] = rgb[low] / 12.92
    return out


def _xyz(linear):
    return np.einsum("ij,hwj->hwi", M, linear) / WHITE


def _f(t):
    return np.where(t <= 0.008856, 7.787 * t + 16 / 116, t ** (1 / 3))


def _lab(f):
    fx, fy, fz = f[..., 0], f[..., 1], f[..., 2]
    return np.dstack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def gamma_forgotten(rgb):
    """rgb_to_lab: the sRGB curve is not undone"""
    return _lab(_f(_xyz(rgb)))


def gamma_of_2_2(rgb):
    """rgb_to_lab: a power of 2.2 is not the sRGB curve"""
    return _lab(_f(_xyz(np.power(rgb, 2.2))))


def gamma_the_wrong_way(rgb):
    """rgb_to_lab: the sRGB curve is applied, not undone"""
    out = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return _lab(_f(_xyz(out)))


def no_foot(rgb):
    """rgb_to_lab: the foot of the sRGB curve is missing"""
    return _lab(_f(_xyz(((rgb + 0.055) / 1.055) ** 2.4)))


def threshold_of_the_other_side(rgb):
    """rgb_to_lab: 0.0031308 is the threshold in linear light"""
    linear = np.where(rgb <= 0.0031308, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return _lab(_f(_xyz(linear)))


def without_white(rgb):
    """rgb_to_lab: XYZ is not divided by that of white"""
    return _lab(_f(_linear(rgb) @ M.T))


def cube_root_everywhere(rgb):
    """rgb_to_lab: the cube root is taken of small numbers too"""
    return _lab(np.cbrt(_xyz(_linear(rgb))))


def matrix_not_transposed(rgb):
    """rgb_to_lab: the matrix is transposed"""
    return _lab(_f(_linear(rgb) @ M / WHITE))


def white_before_the_matrix(rgb):
    """rgb_to_lab: white divides R, G and B; it belongs to XYZ, behind the matrix"""
    return _lab(_f((_linear(rgb) / WHITE) @ M.T))


def a_and_b_exchanged(rgb):
    """rgb_to_lab: a and b are exchanged"""
    lab = _lab(_f(_xyz(_linear(rgb))))
    return np.stack([lab[..., 0], lab[..., 2], lab[..., 1]], axis=-1)


def factors_exchanged(rgb):
    """rgb_to_lab: the factors of a and b are exchanged"""
    return _lab(_f(_xyz(_linear(rgb)))) * np.array([1, 0.4, 2.5])


def sign_of_a(rgb):
    """rgb_to_lab: a has the wrong sign"""
    lab = _lab(_f(_xyz(_linear(rgb))))
    lab[..., 1] *= -1
    return lab


def channels_first(rgb):
    """rgb_to_lab: lab has the shape (3, 1, 1), wanted is (1, 1, 3): row, column, coordinate; its axes are in another order"""
    return _lab(_f(_xyz(_linear(rgb)))).transpose(2, 0, 1)


def divided_by_255(rgb):
    """rgb_to_lab: rgb is divided by 255, but it is 0..1 already"""
    return _lab(_f(_xyz(_linear(rgb / 255))))


def written_into_the_argument(rgb):
    """rgb_to_lab: it overwrites its argument rgb"""
    low = rgb <= 0.04045
    rgb[low] /= 12.92
    rgb[~low] = ((rgb[~low] + 0.055) / 1.055) ** 2.4
    return _lab(_f(_xyz(rgb)))


def _linear_of(lab, cube=None, white=WHITE):
    fy = (lab[..., 0] + 16) / 116
    f = np.dstack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200])
    line = (f - 16 / 116) / 7.787
    return (f**3 if cube else np.where(f < 0.2068966, line, f**3)) * white @ np.linalg.inv(M).T


def _curve(linear):
    linear = linear.clip(0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def not_clipped(lab):
    """lab_to_rgb: it is not clipped to 0..1"""
    linear = _linear_of(lab)
    with np.errstate(invalid="ignore"):
        return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def clipped_above_only(lab):
    """lab_to_rgb: below 0 it is not clipped"""
    return np.minimum(not_clipped(lab), 1)


def linear_light(lab):
    """lab_to_rgb: this is linear light"""
    return _linear_of(lab).clip(0, 1)


def curve_undone_again(lab):
    """lab_to_rgb: the sRGB curve is undone, not applied"""
    return _linear(_linear_of(lab)).clip(0, 1)


def negative_powers(lab):
    """lab_to_rgb: the foot of the sRGB curve is missing: up to 0.0031308 it is the line 12.92 v, and a negative number has no power"""
    return np.clip(1.055 * _linear_of(lab) ** (1 / 2.4) - 0.055, 0, 1)


def power_for_dark_ones_too(lab):
    """lab_to_rgb: the foot of the sRGB curve is missing"""
    return np.clip(1.055 * _linear_of(lab).clip(0, 1) ** (1 / 2.4) - 0.055, 0, 1)


def white_forgotten_on_the_way_back(lab):
    """lab_to_rgb: XYZ is not multiplied by that of white"""
    return _curve(_linear_of(lab, white=1)).clip(0, 1)


def cubes_everywhere(lab):
    """lab_to_rgb: the third power is taken of small f too"""
    return _curve(_linear_of(lab, cube=True)).clip(0, 1)


def minus_sixteen(lab):
    """lab_to_rgb: f(Y) is (L - 16) / 116; undone it is (L + 16) / 116"""
    return _curve(_linear_of(lab - [32, 0, 0])).clip(0, 1)


def b_added(lab):
    """lab_to_rgb: f(Z) has the wrong sign"""
    return _curve(_linear_of(lab * [1, 1, -1])).clip(0, 1)


def transposed_for_inverse(lab):
    """lab_to_rgb: a transposed matrix is no inverse"""
    fy = (lab[..., 0] + 16) / 116
    f = np.dstack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200])
    xyz = np.where(f < 0.2068966, (f - 16 / 116) / 7.787, f**3) * WHITE
    return _curve(xyz @ M).clip(0, 1)


def bytes_returned(lab):
    """lab_to_rgb: wanted is 0..1, not 0..255 and rounded"""
    return np.rint(255 * _curve(_linear_of(lab)).clip(0, 1)).astype(np.uint8)


def after_the_clip(lab):
    """in_gamut: all are inside: the colour is clipped before it is looked at"""
    rgb = _curve(_linear_of(lab)).clip(0, 1)
    return ((rgb >= 0) & (rgb <= 1)).all(-1)


def those_outside(lab):
    """in_gamut: this is the opposite"""
    linear = _linear_of(lab)
    return ((linear < 0) | (linear > 1)).any(-1)


def above_one_only(lab):
    """in_gamut: only what is above 1 is found"""
    return _linear_of(lab).max(axis=-1) <= 1


def below_zero_only(lab):
    """in_gamut: only what is below 0 is found"""
    return (_linear_of(lab) * 255).min(axis=-1) >= 0


def any_for_all(lab):
    """in_gamut: any of R, G, B inside is taken for all"""
    linear = _linear_of(lab)
    return np.any((linear >= 0) & (linear <= 1), axis=-1)


def each_channel(lab):
    """in_gamut: inside has the shape (1, 2, 3), wanted is (1, 2): row, column"""
    linear = _linear_of(lab)
    return (linear >= 0) & (linear <= 1)


def one_answer_for_all(lab):
    """in_gamut: inside has the shape (), wanted is (1, 2): row, column"""
    linear = _linear_of(lab)
    return bool(((linear >= 0) & (linear <= 1)).all())


def limits_of_ab(lab):
    """in_gamut: a and b alone are looked at"""
    return (np.abs(lab[..., 1]) < 128) & (np.abs(lab[..., 2]) < 128)
