"""What a training run leaves to look at: the log, the sample sheets, the curve of the loss."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from .backend import to_host
from .color import normalize_lightness, rgb_to_lightness
from .colorizer import paint
from .files.disk import atomic_write
from .files.results import write_image
from .network import AB_SCALE


class Log:
    """log.jsonl: a JSON object a line, each with the step it was written after."""

    def __init__(self, path):
        self.path = Path(path)

    def write(self, **entry):
        """Append one line."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def read(self):
        """All entries. A last line that was cut short by a crash is left out."""
        if not self.path.exists():
            return []
        entries = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                continue
        return [e for e in entries if isinstance(e, dict) and type(e.get("step")) is int]

    def truncate(self, step):
        """Forget what was logged after `step`, all of it for 0: a resumed run does it again."""
        kept = [json.dumps(e) + "\n" for e in self.read() if 0 < e["step"] <= step]
        with atomic_write(self.path) as file:
            file.write("".join(kept).encode())


class NoLog:
    """The log of a process that writes none."""

    def write(self, **entry):
        pass

    def truncate(self, step):
        pass


def sample_sheet(path, network, truth, xp=np):
    """Draw grey | prediction | truth for a few photos, two photos a row.

    truth: (n, S, S, 3) uint8. network: on the device of xp.
    """
    lightness = rgb_to_lightness(truth)
    logits = network.forward(normalize_lightness(xp.asarray(lightness))[..., None])
    ab = to_host(network.colors(logits).astype(np.float32, copy=False))
    rows = []
    for light, color, rgb in zip(lightness, ab, truth, strict=True):
        rows.append(np.hstack([paint(light, np.zeros_like(color)), paint(light, color), rgb]))
    if len(rows) % 2 and len(rows) > 1:
        rows.append(np.full_like(rows[0], 255))
    pairs = [np.hstack(rows[i : i + 2]) for i in range(0, len(rows), 2)]
    path.parent.mkdir(exist_ok=True)
    write_image(Image.fromarray(np.vstack(pairs)), path)


def loss_curve(path, entries):
    """Draw the losses over the steps. Needs matplotlib (extra `plots`); without it, does nothing.

    entries: as from Log.read. Returns whether the picture was drawn.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    curves = {
        "loss_weighted": "weighted (what is minimised)",
        "loss_unweighted_nats": "unweighted",
        "val_loss_weighted": "validation, weighted",
        "val_loss_unweighted_nats": "validation, unweighted",
        "loss_l2": "squared distance (what is minimised)",
        "val_loss_l2": "validation, squared distance",
    }
    nats = any("loss_weighted" in e for e in entries)
    unit = "nats a pixel" if nats else f"1/2 |ab - truth|² / {AB_SCALE:g}²"
    axes = figure.subplots()
    for i, (key, label) in enumerate(curves.items()):
        points = [(e["step"], e[key]) for e in entries if key in e]
        if points:
            style, alpha = ("o-", 1) if key.startswith("val") else ("-", 0.5)
            steps, values = zip(*points, strict=True)
            look = {"color": f"C{i % 2}", "ms": 4, "lw": 1, "alpha": alpha}
            axes.plot(steps, values, style, label=label, **look)
    axes.set(xlabel="step", ylabel=unit, title="Training loss")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
    return True
