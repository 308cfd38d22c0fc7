"""An Evaluation as text, as JSON and as a picture of its curves."""

import json
import math

import numpy as np

from ..files.disk import atomic_write, write_json
from ..measures import LAST, curves
from . import published
from .tally import B, interval

# measure: heading, format, width of its column
_COLUMNS = {
    "auc_raw": ("AuC raw", ".1f", 20),
    "auc_balanced": ("AuC balanced", ".1f", 20),
    "gap_closed": ("gap closed", ".3f", 24),
    "psnr_db": ("PSNR, dB", ".2f", 21),
    "colorfulness": ("colourfulness", ".1f", 20),
    "loss_nats": ("loss, nats", ".3f", 24),
    "seconds": ("s a photo", ".3f", 9),
}


def rows(result, min_count):
    """The scores of each system. min_count: pixels that a class must have to count.

    Returns a list of dicts, the `found` of the functions below: name, curve_raw and curve_balanced
    (151 shares each, None if no class counts), and for each measure value, low and high; what does
    not apply is None, the infinite PSNR of the truth too. gap_closed is the share of what gray
    lacks in the balanced AuC, (ours - gray) / (100 - gray). Every network but the first has
    "difference", the same measures minus those of the first network, paired over the photos.
    """
    scores = [tally.scores(min_count) for tally in result.tallies]
    grays = [s for s, known in zip(scores, result.systems, strict=True) if known.name == "gray"]
    missing = 100 - grays[0]["auc_balanced"] if grays else np.nan
    found, first = [], None
    for system, tally, measured in zip(result.systems, result.tallies, scores, strict=True):
        measured["gap_closed"] = 1 - (100 - measured["auc_balanced"]) / missing
        row = {"name": system.name, **_entries(measured)}
        if hasattr(system, "weights"):  # a network
            if first is not None:
                names = measured.keys() - {"seconds"}
                row["difference"] = _entries({n: measured[n] - first[n] for n in names})
            first = first or measured
        raw, balanced = curves(tally.histogram, min_count)
        row["curve_raw"] = raw.tolist()
        row["curve_balanced"] = balanced.tolist() if np.isfinite(balanced).all() else None
        found.append(row)
    return found


def _entries(measured):
    """measure -> its value and interval, as numbers for JSON. measured: measure -> (1 + B,)."""
    entries = {}
    for name, values in measured.items():
        low, high = (name != "seconds" and interval(values)) or (None, None)
        value = float(values[0]) if math.isfinite(values[0]) else None
        entries[name] = {"value": value, "low": low, "high": high}
    return entries


def head(result, min_count):
    """What was measured, in lines."""
    pixels = result.class_pixels()
    seen, used = int((pixels > 0).sum()), int((pixels >= max(1, min_count)).sum())
    lines = [
        f"{result.photos} photos of {result.data}, {pixels.sum() / 1e6:.1f} million pixels at "
        f"the photos' own size",
        f"{seen} classes of colour in them; {used} have at least {min_count} pixels and count in "
        f"the balanced AuC",
        f"[ ] 95 % of {B} resamples of the photos (bootstrap, seed {result.seed})",
    ]
    if result.skipped:
        lines.append(f"{len(result.skipped)} photos could not be read and are left out")
    return lines


def _cell(name, row, sign=""):
    """One measure of a row as text. sign: "+" for differences."""
    entry, (_, form, width) = row[name], _COLUMNS[name]
    form = sign + form
    if entry["value"] is None:
        same = name == "psnr_db" and row["auc_raw"]["value"] == 100
        return ("inf" if same else "-").ljust(width)
    text = format(entry["value"], form)
    if entry["low"] is not None and entry["low"] < entry["high"]:
        text += f" [{entry['low']:{form}} {entry['high']:{form}}]"
    return f"{text} ".ljust(width)


def text(result, min_count, found):
    """The table, as a person reads it. Returns one str of several lines."""
    wide = max(len(name) for name in [r["name"] for r in found] + [r[0] for r in published.ROWS])
    titles = "".join(title.ljust(width) for title, _, width in _COLUMNS.values())
    lines = [*head(result, min_count), "", " " * (wide + 2) + titles.rstrip()]
    for row in found:
        cells = "".join(_cell(name, row) for name in _COLUMNS)
        lines.append(f"{row['name']:<{wide}}  {cells}".rstrip())
    lines += ["", f"published: {published.SOURCE}; other photos than ours"]
    gray = published.ROWS[0][2]
    for name, *numbers in published.ROWS:
        numbers.append((numbers[1] - gray) / (100 - gray))
        columns = zip(numbers, _COLUMNS.values(), strict=False)  # of the first ones
        cells = [format(n, f).ljust(w) for n, (_, f, w) in columns]
        lines.append(f"{name:<{wide}}  {''.join(cells)}".rstrip())
    lines.append(published.BALANCED)
    compared = [row for row in found if "difference" in row]
    if compared:
        network = next(s.name for s in result.systems if hasattr(s, "weights"))
        lines += ["", f"minus {network}, paired over the photos"]
        for row in compared:
            cells = "".join(_cell(n, row["difference"], "+") for n in _COLUMNS if n != "seconds")
            lines.append(f"{row['name']:<{wide}}  {cells}".rstrip())
    return "\n".join(lines) + "\n"


def as_json(result, min_count, found):
    """The same as a dict for a JSON file, with the curves and the pixels of each class."""
    names = ("name", "auc_raw", "auc_balanced")
    return {
        "data": result.data,
        "photos": result.photos,
        "skipped": result.skipped,
        "class_pixels": result.class_pixels().tolist(),
        "min_count": min_count,
        "auc": "percent of the area under the share of pixels within an ab distance of 0, 1 ... "
        "150, trapezoid rule, photos' own size",
        "bootstrap": {"resamples": B, "seed": result.seed, "percentiles": [2.5, 97.5]},
        "rows": found,
        "published": {
            "source": published.SOURCE,
            "rows": [dict(zip(names, row, strict=True)) for row in published.ROWS],
        },
    }


def check_out(folder):
    """Raises ValueError if what `write` would replace is no result of this evaluation."""
    for name in ("scores.txt", "scores.json", "curves.png"):
        path = folder / name
        if path.exists() and not _is_ours(path):
            raise ValueError(
                f"{path}: is there already and no result of this evaluation; choose another --out"
            )


def _is_ours(path):
    """A text says how its intervals were drawn, a JSON file what it counted; a picture lies beside
    one."""
    try:
        if path.suffix == ".txt":
            return b"resamples of the photos (bootstrap, seed" in path.read_bytes()
        told = json.loads(path.with_suffix(".json").with_stem("scores").read_bytes())
        return {"class_pixels", "bootstrap", "rows"} <= told.keys()
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def write(result, min_count, found, folder):
    """Write scores.txt, scores.json and curves.png into a folder, each whole or not at all.

    folder: Path, made if missing. Returns whether the picture was drawn: it needs matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "scores.txt") as file:
        file.write(text(result, min_count, found).encode(errors="backslashreplace"))
    write_json(folder / "scores.json", as_json(result, min_count, found))
    return draw_curves(found, folder / "curves.png")


def draw_curves(found, path):
    """Draw the cumulative curves. Returns False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    baselines = {"ground truth": ("black", "-"), "gray": ("0.55", "-"), "random": ("0.55", ":")}
    colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]  # Okabe and Ito
    kinds = (("raw", "all pixels"), ("balanced", "mean of classes"))
    for axes, (kind, title) in zip(panels, kinds, strict=True):
        networks = 0
        for row in found:
            color, style = baselines.get(row["name"], (colors[networks % len(colors)], "-"))
            networks += row["name"] not in baselines
            score = row[f"auc_{kind}"]["value"]
            label = row["name"] + ("" if score is None else f": {score:.1f}")
            if row[f"curve_{kind}"] is None:
                continue
            percent = np.multiply(row[f"curve_{kind}"], 100)
            axes.plot(np.arange(LAST + 1), percent, style, color=color, label=label, lw=1.8)
        axes.set(xlabel="ab distance to the truth, at most", xlim=(0, LAST))
        axes.set(title=f"AuC {kind}: {title}")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(loc="lower right", fontsize="small")
    panels[0].set(ylabel="share of pixels, %", ylim=(0, 102))
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)
    return True
