"""Steps of a small training by as many processes as were started; rank 0 writes what came of them.

    mpiexec -n 2 python tests/team_steps.py OUT.npz PHOTOS '{"steps": 20, "batch": 5}'

Options of Config, and: dtype, "float64" for the chapters; gpu, true for the emulated one.
"""

import json
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from emulator import standin  # noqa: E402

from mini_colorize import learning, training  # noqa: E402
from mini_colorize.backend import to_host  # noqa: E402
from mini_colorize.files.config import Config  # noqa: E402
from mini_colorize.network import Network  # noqa: E402
from mini_colorize.team import together  # noqa: E402


def in_float64(rgb, targets=learning.targets):
    x, index, weight = targets(rgb)
    return x.astype(np.float64), index, weight.astype(np.float64)


def main(everyone, out, photos, options):
    options, xp = json.loads(options), np
    if options.pop("dtype", None):
        learning.targets = in_float64
        training.Network = lambda width, head: Network(width, np.float64, head)
    training.WIDTHS = {"tiny": 1 / 32}
    if options.pop("gpu", False):
        xp = standin.install()
    settings = dict(size=24, resize=32, batch=5, steps=8, workers=0, lr=1e-3) | options
    config = Config([photos], **settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = training.Trainer(config, Path(folder) / "run", xp, team=everyone)
        trainer.start()
        losses, counts, crops, first = [], [], [], None
        for rgb in trainer.loader.batches(0, config.steps):
            truth = trainer.learner.targets(xp.asarray(rgb))[-1]
            counts.append(sum(everyone.all(int((to_host(truth).reshape(len(rgb), -1) > 0).sum()))))
            crops.append(zlib.crc32(np.concatenate(everyone.all(rgb))))
            values, _ = trainer.train_step(rgb)
            losses.append([float(v) for v in values])
            if first is None:
                first = to_host(trainer.learner.grads.flat).copy()
        if everyone.rank == 0:
            state = {k: to_host(v) for k, v in trainer.network.state().items()}
            np.savez(out, losses=losses, counts=counts, crops=crops, first=first, **state)


if __name__ == "__main__":
    together("team_steps.py", lambda team: main(team, *sys.argv[1:]))
