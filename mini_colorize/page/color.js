/* sRGB <-> Lab, as in color.py, for one colour. rgb: 0..255. lab: L 0..100, a, b. */

const XYZ = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169],
  [0.019334, 0.119193, 0.950227]];
const WHITE = [0.95047, 1, 1.08883];
const RGB = inverse(XYZ);

const times = (matrix, v) => matrix.map((row) => row.reduce((sum, x, i) => sum + x * v[i], 0));

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  return [[e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d]].map((row) => row.map((x) => x / whole));
}

export function rgbToLab(rgb) {
  const linear = rgb.map((v) => v / 255)
    .map((v) => (v > 0.04045 ? ((v + 0.055) / 1.055) ** 2.4 : v / 12.92));
  const [x, y, z] = times(XYZ, linear).map((v, i) => v / WHITE[i])
    .map((t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/* As CSS wants it. */
export const css = (lab) => `rgb(${labToRgb(lab).join(" ")})`;

/* What lies outside the gamut is clipped. */
export function labToRgb([lightness, a, b]) {
  const y = (lightness + 16) / 116;
  const xyz = [y + a / 500, y, Math.max(0, y - b / 200)]
    .map((f) => (f > 0.2068966 ? f ** 3 : (f - 16 / 116) / 7.787)).map((v, i) => v * WHITE[i]);
  return times(RGB, xyz).map((v) => Math.max(0, v))
    .map((v) => (v > 0.0031308 ? 1.055 * v ** (1 / 2.4) - 0.055 : v * 12.92))
    .map((v) => Math.round(255 * Math.min(1, v)));
}
