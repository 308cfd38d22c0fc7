"""Chapter 3: a graph with numbers, and the gradients that run back through it."""

from tools.figures import new_figure

from . import GRADIENT, boxes


def draw():
    x, w, b, t = 3.0, 1.5, -2.5, 3.5
    u = w * x + b
    y = max(u, 0.0)
    s = x * y
    loss = (s - t) ** 2
    ds = 2 * (s - t)
    dy, through_s = ds * x, ds * y
    du = dy * (u > 0)
    dw, through_u, db = du * x, du * w, du
    values = {
        "b": (0, 1.05, "b", b, f"{db:g}"),
        "w": (0, 0, "w", w, f"{dw:g}"),
        "x": (0, -1.05, "x", x, f"{through_u:g} + {through_s:g} = {through_u + through_s:g}"),
        "u": (1.6, 0, "u = w x + b", u, f"{du:g}"),
        "y": (3.2, 0, "y = max(u, 0)", y, f"{dy:g}"),
        "s": (4.3, -1.05, "s = x y", s, f"{ds:g}"),
        "loss": (6, -1.05, "loss = (s − t)²", loss, "1"),
        "t": (6, 0, "t", t, f"{-ds:g}"),
    }
    nodes = {k: (x, y, title, f"{v:g}", d) for k, (x, y, title, v, d) in values.items()}
    arrows = ("x u", "w u", "b u", "u y", "y s", "x s", "s loss", "t loss")
    figure = new_figure(11, 4.2)
    axes = figure.subplots()
    boxes(axes, nodes, [pair.split() for pair in arrows])
    factors = [
        (0.95, 0.68, "times 1"),
        (0.8, 0.1, "times x"),
        (0.56, -0.5, "times w"),
        (2.4, 0.1, "times 1"),
        (4.15, -0.5, "times x"),
        (2.2, -0.95, "times y"),
        (5.15, -0.95, "times 2 (s − t)"),
    ]
    for at_x, at_y, text in factors:
        axes.text(at_x, at_y, text, color=GRADIENT, fontsize=8, ha="center", style="italic")
    axes.set_title(
        "Black: values, from left to right. Red: gradients of the loss, from right to left, "
        "and what an arrow back multiplies by",
        fontsize=10,
    )
    return figure
