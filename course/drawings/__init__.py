"""The figures of the course, a module for each chapter with `draw()`; python tools/figures.py."""

INK, GRADIENT, PALE = "black", "#c0392b", "#eef3f8"


def boxes(axes, nodes, arrows):
    """A graph: boxes with text, and arrows between them.

    nodes: name -> (x, y, title, value, gradient), the last two may be "". arrows: pairs of names.
    """
    patches = {}
    for name, (x, y, title, value, gradient) in nodes.items():
        rows = [(title, INK, "bold"), (value, INK, None), (gradient, GRADIENT, None)]
        rows = [row for row in rows if row[0]]
        patches[name] = axes.add_patch(box(x, y, 0.17 * len(rows) + 0.07))
        for i, (text, color, weight) in enumerate(rows):
            at = y + 0.17 * ((len(rows) - 1) / 2 - i)
            style = {"fontsize": 8.5, "color": color, "weight": weight}
            axes.text(x, at, text, ha="center", va="center", **style)
    for start, end in arrows:
        ends = {"patchA": patches[start], "patchB": patches[end], "shrinkA": 0, "shrinkB": 0}
        style = {"arrowstyle": "-|>", "color": "0.35", "lw": 1.3, **ends}
        axes.annotate("", nodes[end][:2], nodes[start][:2], arrowprops=style)
    xs, ys = [n[0] for n in nodes.values()], [n[1] for n in nodes.values()]
    axes.set(xlim=(min(xs) - 0.62, max(xs) + 0.62), ylim=(min(ys) - 0.4, max(ys) + 0.4))
    axes.set_axis_off()


def box(x, y, height, width=1.04):
    from matplotlib.patches import FancyBboxPatch

    at = x - width / 2, y - height / 2
    style = "round,pad=0,rounding_size=0.05"
    return FancyBboxPatch(at, width, height, boxstyle=style, fc=PALE, ec="0.35", lw=1)


def numbers(values, digits=2):
    """Numbers of a small array in a line."""
    return "  ".join(f"{v:.{digits}f}" for v in values.ravel())
