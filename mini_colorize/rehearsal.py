"""Chapter 10: how many steps fit into the minutes that a run may take."""

import dataclasses
import shutil
import time

from tqdm import tqdm

from . import report
from .backend import uploaded
from .fast.graphs import WARM
from .files.config import STEPS, TrainingError
from .loop import seconds_until_due

REHEARSAL = 0.05  # share of --minutes that goes to measuring how long a step takes, at most
REHEARSED = 100  # steps, at most
WARMING = WARM + 2  # its first steps, untimed: kernels are compiled, a graph is made
RESERVE = 0.02  # share of --minutes that is left free: no two steps take the same time
ENDING = 1  # second, to end the process


def fit_steps(trainer, prior):
    """Settle how many steps fit into --minutes, by a rehearsal of which nothing remains.

    The run then begins anew, so it is, to the bit, the run that --steps with that number gives.
    """
    c = trainer.config
    state = {name: array.copy() for name, array in trainer.network.state().items()}
    step, judging, saving = rehearse(trainer)
    trainer.network.load_state(state)
    trainer.prepare(prior)
    trainer.step, trainer.group, trainer.judge.best, trainer.config = 0, [], None, c
    spent = trainer.team.told(time.perf_counter() - trainer.started)
    left = 60 * c.minutes * (1 - RESERVE) - ENDING - spent
    # One that is better is saved, and the clock begins anew.
    saves = 1 + (c.sample_every * step + judging) // seconds_until_due(c, saving)
    each = step + (judging + saves * saving) / c.sample_every
    each += saving / c.save_every if c.save_every else 0
    steps = int((left - judging - saving) / each)
    if steps < 1:
        raise TrainingError(
            f"--minutes {c.minutes:g}: {spent:.0f} s are gone, a step takes {step:.1f} s, and "
            f"validating and saving {judging + saving:.1f} s: too few for one step"
        )
    trainer.config = dataclasses.replace(c, steps=steps).settled()
    trainer.config.check_warmup()
    print(
        f"--minutes {c.minutes:g}: {steps:,} steps of {step:.3f} s, after {spent:.0f} s of "
        f"preparing; a validation {judging:.1f} s, a save {saving:.1f} s",
        flush=True,
    )


def rehearse(trainer):
    """Train, validate and save for a while, in a folder that is thrown away.

    Returns the seconds that a step, a validation with its pictures, and a save take.
    """
    c, folder, log = trainer.config, trainer.folder, trainer.log
    trainer.config = dataclasses.replace(c, steps=STEPS).settled()
    # On the disk of the run. One that was killed left its folder, which goes now.
    beside = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    trainer.folder = beside / f".{folder.name}.rehearsal"
    if trainer.leads:
        shutil.rmtree(trainer.folder, ignore_errors=True)
        trainer.folder.mkdir()
        trainer.log = report.Log(trainer.folder / "log.jsonl")
    try:
        if trainer.leads:
            report.loss_curve(trainer.folder / "loss.png", [])  # matplotlib wakes up slowly
        begun = []  # when each step began
        batches = uploaded(trainer.loader.batches(0, REHEARSED), trainer.xp)
        for k, rgb in enumerate(tqdm(batches, "rehearsal", REHEARSED, leave=False)):
            begun.append(time.perf_counter())
            logging = k % c.log_every == 0
            values, _ = trainer.train_step(rgb, measure=logging)
            if logging or k < WARMING:
                float(values[0])  # on a GPU: waits for it
            if trainer.team.told(begun[-1] - begun[0] > 60 * c.minutes * REHEARSAL):
                break
        float(values[0])
        trained = time.perf_counter()
        batches.close()
        trainer.validate_and_draw()
        judged = time.perf_counter()
        trainer.save()
        saved = time.perf_counter()
    finally:
        if trainer.leads:
            shutil.rmtree(trainer.folder, ignore_errors=True)
        trainer.folder, trainer.log, trainer.config = folder, log, c
    begun = begun[WARMING:] or begun
    seconds = (trained - begun[0]) / len(begun), judged - trained, saved - judged
    return trainer.team.told(seconds)
