"""Make the figures of docs/figures and of the course. Needs matplotlib (extra `plots`).

    python tools/figures.py                        bins, temperature and pixel
    python tools/figures.py course                 those of all chapters, into course/figures
    python tools/figures.py 06-batchnorm           that of one chapter
    python tools/figures.py prior --data DIR       the prior of a folder of photos
    python tools/figures.py pixel --photo photo.jpg --at 120 80 --weights runs/first --out out

    bins         the 313 colour bins inside the outline of what sRGB can show
    prior        how often photographs use each bin, raw and smoothed, and the class weights
    temperature  one photo coloured at T = 1 ... 0
    pixel        what the network believes of one pixel: mean, annealed mean, mode

Photos and weights are those of the clone unless said otherwise; the pictures come out the same
each time.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mini_colorize import bins  # noqa: E402
from mini_colorize.color import lab_to_rgb, rgb_to_lab, rgb_to_lightness  # noqa: E402
from mini_colorize.colorizer import Colorizer, gray  # noqa: E402
from mini_colorize.command import add_options, attempt, new_parser  # noqa: E402
from mini_colorize.data import PhotoLoader  # noqa: E402
from mini_colorize.files.disk import atomic_write  # noqa: E402
from mini_colorize.files.images import read_image  # noqa: E402
from mini_colorize.photos import DataError, find_photos  # noqa: E402
from mini_colorize.targets import targets  # noqa: E402

TEMPERATURES = (1, 0.77, 0.58, 0.38, 0.29, 0.14, 0)
LIM = 125  # of the ab plane as drawn


def new_figure(width, height):
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def ab_axes(axes, title, labels=True):
    """Turn axes into the ab plane: a to the right, b upwards, one unit alike on both."""
    axes.set(xlim=(-LIM, LIM), ylim=(-LIM, LIM), aspect="equal", title=title)
    axes.set(xlabel="a: green to red", ylabel="b: blue to yellow" if labels else "")
    axes.axhline(0, color="0.85", lw=0.8, zorder=0)
    axes.axvline(0, color="0.85", lw=0.8, zorder=0)


def gamut_cells():
    """Which ab cells of side 1/2 some sRGB colour falls into. Returns (4 LIM, 4 LIM) bool: a, b.

    The outline of a solid's shadow is the shadow of its surface: the six faces of the RGB cube.
    """
    side = np.linspace(0, 1, 800)
    u, v = (x.ravel() for x in np.meshgrid(side, side))
    seen = np.zeros((4 * LIM, 4 * LIM), bool)
    for channel in range(3):
        for value in (0, 1):
            face = np.insert(np.stack([u, v], axis=1), channel, value, axis=1)
            a, b = np.floor(2 * (rgb_to_lab(face)[:, 1:] + LIM)).astype(int).T
            seen[a, b] = True
    return seen


def draw_gamut(axes, **style):
    """The outline of sRGB in the ab plane."""
    centres = (np.arange(4 * LIM) + 0.5) / 2 - LIM
    style = {"colors": "black", "linewidths": 1.2, **style}
    axes.contour(centres, centres, gamut_cells().T.astype(float), levels=[0.5], **style)


def bin_colors():
    """A colour to show each bin by, (Q, 3) sRGB 0..1: at the lightness where sRGB comes nearest.

    Among equals the lightness nearest to 65.
    """
    lightness = np.arange(20, 98, 1.0)
    lab = np.empty((len(lightness), bins.Q, 3))
    lab[..., 0], lab[..., 1:] = lightness[:, None], bins.BINS
    rgb = lab_to_rgb(lab)
    off = np.linalg.norm(rgb_to_lab(rgb)[..., 1:] - bins.BINS, axis=-1)
    best = (np.round(off) + abs(lightness - 65)[:, None] / 1000).argmin(axis=0)
    return rgb[best, np.arange(bins.Q)]


def occupied():
    """Which bins the rounded Lab of some 8-bit sRGB colour falls into, (Q,) bool: 261 of them."""
    level = np.arange(256, dtype=np.uint8)
    found = set()
    for red in level:  # 256 slices of the cube: all of it at once would take gigabytes
        rgb = np.stack(np.broadcast_arrays(red, level[:, None], level), axis=-1)
        a, b = np.rint(rgb_to_lab(rgb)[..., 1:] / bins.STEP).astype(np.int64).reshape(-1, 2).T
        found.update(np.unique(a * 1000 + b).tolist())
    cells = np.rint(bins.BINS / bins.STEP).astype(int)
    return np.array([int(a) * 1000 + int(b) in found for a, b in cells])


def squares(axes, face, side=9.2, **style):
    """A square for each bin. face: (Q,) or (Q, 3) colours. Returns the collection."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    half = side / 2
    made = [Rectangle((a - half, b - half), side, side) for a, b in bins.BINS]
    collection = PatchCollection(made, **style)
    if np.ndim(face) == 1:
        collection.set_array(face)
    else:
        collection.set_facecolor(face)
    return axes.add_collection(collection)


def figure_bins(args):
    """The 313 bins: 261 that sRGB reaches, filled; the ring around them, framed."""
    reached, colors = occupied(), bin_colors()
    figure = new_figure(7, 6.6)
    axes = figure.subplots()
    face = np.column_stack([colors, np.where(reached, 1, 0.28)])
    edge = np.column_stack(
        [np.where(reached[:, None], 0.0, 0.45) * np.ones((bins.Q, 3)), np.where(reached, 0, 1)]
    )
    squares(axes, face, edgecolor=edge, linewidth=0.7)
    draw_gamut(axes)
    hit = f"{reached.sum()} bins that sRGB colours round to"
    near = f"{(~reached).sum()} neighbours, for soft-encoding at the edge"
    axes.plot([], [], color="black", lw=1.2, label="outline of sRGB, any lightness")
    axes.plot([], [], "s", color="0.5", ms=9, label=hit)
    axes.plot([], [], "s", mfc="0.92", mec="0.45", ms=9, label=near)
    axes.legend(loc="lower left", fontsize=8.5, framealpha=0.95)
    ab_axes(axes, f"The {bins.Q} colour bins, 10 x 10 each")
    return figure


def measure_priors(folder):
    """The prior of photos' centre crops, hard and soft-encoded.

    Returns raw (Q,), the share of pixels nearest to each bin; smoothed (Q,), the mean of Z; and
    the number of photos.
    """
    loader = PhotoLoader(find_photos(folder), size=176, batch=16, augment=False)
    raw, smooth = np.zeros(bins.Q), np.zeros(bins.Q)
    for rgb in loader.batches():
        _, index, weight = targets(rgb)
        counted = (weight[..., :1] > 0).astype(np.float64)
        raw += bins.bin_mass(index[..., :1], counted)
        smooth += bins.bin_mass(index, weight)
    if not raw.sum() > 0:
        raise DataError(f"{folder}: no photo has any colour")
    return raw / raw.sum(), smooth / smooth.sum(), len(loader)


def figure_prior(args):
    """log10 of the raw and of the smoothed prior, and the class weights, over the ab plane."""
    raw, smooth, photos = measure_priors(args.data)
    weights = bins.class_weights(smooth)
    figure = new_figure(14, 4.3)
    panels = figure.subplots(1, 3, sharey=True)
    floor = 1e-7
    with np.errstate(divide="ignore"):
        logs = [np.where(p > floor, np.log10(p), np.nan) for p in (raw, smooth)]
    top = max(np.nanmax(x) for x in logs)
    drawn = [
        (logs[0], f"Prior of {photos} photos, raw", "log10 of the share; white: < 1e-7", (-7, top)),
        (logs[1], "Smoothed by soft-encoding", "log10 of the share; white: < 1e-7", (-7, top)),
        (weights, "Class weights, lambda = 1/2", "weight of a pixel of this class", None),
    ]
    for i, (axes, (values, title, what, limits)) in enumerate(zip(panels, drawn, strict=True)):
        colors = "viridis" if i < 2 else "magma"
        face = np.ma.masked_invalid(values)
        shown = squares(axes, face, cmap=colors, edgecolor="0.8", linewidth=0.3)
        if limits:
            shown.set_clim(*limits)
        draw_gamut(axes, linewidths=0.9)
        ab_axes(axes, title, labels=i == 0)
        figure.colorbar(shown, ax=axes, label=what)
    return figure


def figure_temperature(args):
    """One photo in grey and at each temperature, from the mean to the mode."""
    image = read_image(args.photo or ROOT / "examples" / "meadow.jpg").convert("RGB")
    image.thumbnail((480, 480))
    colorizer = Colorizer.load(args.weights)
    panels = [("given: lightness", gray(rgb_to_lightness(np.asarray(image))))]
    for temperature in TEMPERATURES:
        colorizer.temperature = temperature
        note = {1: ", the mean", 0.38: ", the paper's", 0: ", the mode"}.get(temperature, "")
        panels.append((f"T = {temperature:g}{note}", np.asarray(colorizer(image))))
    figure = new_figure(12, 2 * (3 * image.height / image.width + 0.35))
    for axes, (title, picture) in zip(figure.subplots(2, 4).ravel(), panels, strict=True):
        axes.imshow(picture)
        axes.set_title(title, fontsize=13)
        axes.set_axis_off()
    return figure


def figure_pixel(args):
    """One pixel's distribution over the bins, each drawn by its colour and probability."""
    image = read_image(args.photo or ROOT / "examples" / "tulips.jpg").convert("RGB")
    rgb = np.asarray(image)
    colorizer = Colorizer.load(args.weights)
    if colorizer.regression:
        raise ValueError("a regression network has no distribution over bins")
    lightness = rgb_to_lightness(rgb)
    (logits,), _ = colorizer.predict([lightness])
    x, y = args.at or (image.width // 2, image.height // 2)
    if not (0 <= x < image.width and 0 <= y < image.height):
        raise ValueError(f"--at {x} {y}: the photo is {image.width} x {image.height}")
    row, column = y * len(logits) // image.height, x * len(logits) // image.width
    figure = new_figure(12, 5.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.05))
    left.imshow(gray(lightness))
    left.plot(x, y, "o", ms=13, mfc="none", mec="white", mew=3.5)
    left.plot(x, y, "o", ms=13, mfc="none", mec="black", mew=1.5)
    left.set(title="What the network is given, and the pixel asked about")
    left.set_axis_off()
    draw_belief(right, logits[row, column], lightness[y, x])
    return figure


def draw_belief(axes, logits, lightness):
    """Bubbles with the area of the probability; mean, annealed mean and mode in their colours.

    logits: (Q,) float32. lightness: L of the pixel.
    """
    share = np.exp(logits - logits.max())
    share /= share.sum()
    area = 330 * share / share.max()
    axes.scatter(*bins.BINS.T, s=area, c=bin_colors(), edgecolors="0.4", lw=0.4)
    draw_gamut(axes, colors="0.5", linewidths=0.9)
    for name, t, marker in (("mean", 1, "o"), ("annealed mean", 0.38, "D"), ("mode", 0, "s")):
        a, b = bins.annealed_mean(logits[None], t)[0]
        color = lab_to_rgb(np.array([lightness, a, b], np.float64))
        label = f"{name}, T = {t:g}: a {a:.0f}, b {b:.0f}"
        axes.plot(a, b, marker, ms=11, mfc=color, mec="black", mew=2, ls="none", label=label)
    axes.legend(loc="lower left", fontsize=9, framealpha=0.95)
    ab_axes(axes, f"Its distribution over the bins; the largest bubble is {share.max():.1%}")


FIGURES = {
    "bins": figure_bins,
    "prior": figure_prior,
    "temperature": figure_temperature,
    "pixel": figure_pixel,
}
CHAPTERS = sorted(path.stem for path in (ROOT / "course").glob("[0-9][0-9]-*.md"))


def figure_chapter(name):
    return importlib.import_module(f"course.drawings.c{name[:2]}").draw()


def parse(argv):
    p = new_parser("figures.py", __doc__)
    named = f"{', '.join(FIGURES)}, course, or a chapter of it (all but prior and course)"
    p.add_argument("names", nargs="*", metavar="NAME", help=named)
    p.add_argument("--data", help="photos whose prior is drawn")
    p.add_argument("--photo", type=Path, help="for temperature and pixel")
    p.add_argument("--at", type=int, nargs=2, metavar=("X", "Y"), help="the pixel, from top left")
    add_options(p, "weights")
    where = "folder (docs/figures; course/figures for chapters)"
    p.add_argument("--out", type=Path, help=where)
    args = p.parse_args(argv)
    args.names = args.names or [name for name in FIGURES if name != "prior" or args.data]
    args.names = [n for name in args.names for n in (CHAPTERS if name == "course" else [name])]
    if unknown := [name for name in args.names if name not in [*FIGURES, *CHAPTERS]]:
        p.error(f"no figure {unknown[0]}; there are {', '.join([*FIGURES, *CHAPTERS])}")
    if "prior" in args.names and not args.data:
        p.error("prior needs --data DIR")
    return args


def save(figure, file):
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})


def main(argv=None):
    args = parse(argv)

    def work():
        for name in args.names:
            figure = FIGURES[name](args) if name in FIGURES else figure_chapter(name)
            out = args.out or ROOT / ("docs" if name in FIGURES else "course") / "figures"
            out.mkdir(parents=True, exist_ok=True)
            with atomic_write(out / f"{name}.png") as file:
                save(figure, file)
            print(out / f"{name}.png")

    if importlib.util.find_spec("matplotlib") is None:
        missing = "matplotlib is missing (pip install 'mini_colorize[plots]')"
        print(f"figures: {missing}", file=sys.stderr)
        return 2
    return attempt("figures", work, also=(ValueError,), memory="a smaller photo needs less")


if __name__ == "__main__":
    sys.exit(main())
