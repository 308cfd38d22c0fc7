"""Chapter 14: which memory a warp touches at once; how a block adds up. Drawn from real launches."""

import numpy as np

from course.cuda import Empty, run
from course.traces import SECTOR, SHARED, WRITE, has
from tools.figures import new_figure

USED, MOVED = "#2f6fab", "#cfe1f3"
SIDE = 32  # a warp's threads, and rows and columns of the array
COPY = """
extern "C" __global__ void copy(const float* x, float* y)
{
    for (int k = 0; k < 32; k++) y[AT] = x[AT];
}
"""
SUM = """
extern "C" __global__ void sum(const float* x, float* y)
{
    __shared__ float part[16];
    const int t = threadIdx.x;
    part[t] = x[t];
    for (int half = 8; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) part[t] += part[t + half];
    }
    if (t == 0) y[0] = part[0];
}
"""


def touched(axes, at, title, turn=5):
    """The values of x that a warp reads at one turn of the loop, and what is moved for them."""
    x = np.zeros((SIDE, SIDE), np.float32)
    report = run(COPY, 1, SIDE, (x, Empty(x.shape)), defines={"AT": at})
    reads = report.of("x", write=False)
    reads = reads[np.argsort(reads["thread"], kind="stable")].reshape(SIDE, SIDE)  # thread, turn
    place = (reads["address"][:, turn] - reads["address"].min()).astype(int)
    sectors = np.unique(place // SECTOR)
    picture = np.full((SIDE * SIDE, 3), 1.0)
    for color, values in ((MOVED, sectors[:, None] * 8 + np.arange(8)), (USED, place // 4)):
        picture[values.ravel()] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    axes.imshow(picture.reshape(SIDE, SIDE, 3), extent=(0, SIDE, SIDE, 0))
    axes.set_xticks(range(0, SIDE + 1, 8))
    axes.set_yticks(range(0, SIDE + 1, 8))
    axes.grid(color="0.8", lw=0.5)
    axes.set_title(f"{title}\n{len(sectors)} sectors for 32 values", fontsize=9.5)
    axes.set(xlabel="column", ylabel="row of x")


def tree(axes):
    """The writes to shared memory between two barriers, with lines from what was read for them."""
    report = run(SUM, 1, 16, (np.ones(16, np.float32), Empty((1,))))
    a = report.accesses[has(report.accesses, SHARED)]
    value = ((a["address"] - a["address"].min()) // 4).astype(int)
    writes = has(a, WRITE)
    for step in range(a["barriers"].max() + 1):
        now = a["barriers"] == step
        for thread in np.unique(a["thread"][now & writes]):
            mine = now & (a["thread"] == thread)
            (to,) = value[mine & writes]
            for start in value[mine & ~writes]:
                axes.plot([start, to], [step - 1, step], color="0.6", lw=1, zorder=1)
            axes.text(
                to, step, thread, ha="center", va="center", fontsize=7, color="white", zorder=3
            )
            axes.plot(to, step, "o", color=USED, ms=12, zorder=2)
    for step in range(4):
        axes.axhline(step + 0.5, color="#c0392b", lw=1, ls="--")
    axes.text(15.4, 3.46, "__syncthreads()", color="#c0392b", fontsize=8, ha="right", va="bottom")
    axes.set(xlim=(-0.8, 15.8), ylim=(4.5, -0.5), xticks=range(0, 16, 2), yticks=range(5))
    axes.set(xlabel="value of part[]", ylabel="barriers passed")
    axes.set_title(
        "a block adds up 16 values\nthe thread that writes, and what it reads", fontsize=9.5
    )


def draw():
    figure = new_figure(11, 3.9)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    touched(panels[0], "32 * k + threadIdx.x", "neighbours: x[32 k + thread]")
    touched(panels[1], "32 * threadIdx.x + k", "a row each: x[32 thread + k]")
    tree(panels[2])
    return figure
