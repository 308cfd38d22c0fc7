"""Chapter 10: the training loop.

Notation
    step   counts from 0; batch k belongs to step k
"""

import itertools
import signal
import time

import numpy as np
from tqdm import tqdm

from .backend import device_memory, uploaded
from .photos import DataError

SAVE_SECONDS = 30, 600  # between checkpoints, at least and at most, where they go by the clock
SAVE_SHARE = 0.05  # of the time, that they may take within those bounds


def train(trainer):
    """Train until the last step, or until Ctrl-C or SIGTERM. Returns True if it is done.

    trainer: Trainer, that was started or resumed.
    """
    c, team = trainer.config, trainer.team
    batches = uploaded(trainer.loader.batches(trainer.step, c.steps), trainer.xp)
    bar = tqdm(total=c.steps, initial=trainer.step, unit="step", dynamic_ncols=True)
    since = saved = time.perf_counter()
    saved_step, due = None, seconds_until_due(c, 0)
    timed, seconds = 0, 0.0  # steps since the last line of the log, and what they took
    with _Signals(team.size > 1) as signals, bar:
        for rgb in _until_told(batches, trainer, signals):
            logging = (trainer.step + 1) % c.log_every == 0 or trainer.step + 1 == c.steps
            losses, color = trainer.train_step(rgb, measure=logging)
            trainer.group.append(losses)
            timed, seconds = timed + 1, seconds + time.perf_counter() - since
            bar.update()
            if logging:
                _log_group(trainer, bar, color, timed * c.batch / seconds)
                timed, seconds = 0, 0.0
            better = False
            if trainer.step % c.sample_every == 0 or trainer.step == c.steps:
                better = trainer.validate_and_draw()
            now = time.perf_counter()
            wanted = c.save_every and trainer.step % c.save_every == 0
            wanted = wanted or team.told(now - saved > due)  # by rank 0's clock
            # Better weights are on the disk already: the checkpoint must know of them.
            if better or wanted:
                trainer.save()
                saved, saved_step = time.perf_counter(), trainer.step
                due = seconds_until_due(c, saved - now)
            since = time.perf_counter()  # validating and saving are not training
        batches.close()
        if saved_step != trainer.step:
            trainer.save()
    return trainer.step == c.steps


def seconds_until_due(config, saving):
    """Seconds after which a checkpoint is due in any case. saving: what one takes."""
    least, most = SAVE_SECONDS
    return most if config.save_every else min(max(saving / SAVE_SHARE, least), most)


def _until_told(batches, trainer, signals):
    """The batches, until any process is told to end; if they fail, for any, what was learned is
    saved first."""
    while True:
        batch = failure = None
        try:
            batch = next(batches, None)
        except DataError as error:
            failure = error
        told = trainer.team.all((failure, signals.received))
        failures, received = zip(*told, strict=True)
        if failure := next(filter(None, failures), None):
            trainer.save()
            raise DataError(
                f"{failure}; saved at step {trainer.step}, go on with --resume {trainer.folder}"
            )
        if batch is None or any(received):
            return
        yield batch


def _log_group(trainer, bar, color, rate):
    """A line of the log and of the progress bar: the mean over the steps since the last."""
    count, learner = len(trainer.group), trainer.learner
    weighted, unweighted = (
        float(sum(column)) / count for column in zip(*trainer.group, strict=True)
    )
    trainer.group = []
    if not np.isfinite(weighted + unweighted):
        raise trainer.diverged()
    nats = "" if learner.regression else f" ({unweighted:.3f} nats)"
    bar.set_postfix_str(f"loss {weighted:.3f}{nats}, {rate:.1f} images/s")
    held = device_memory(trainer.xp, learner.graphs.room and learner.graphs.room.pool)
    trainer.log.write(
        step=trainer.step,
        **learner.named("loss", weighted, unweighted),
        lr=trainer.rate(trainer.step - 1),
        images_per_s=round(rate, 2),
        colorfulness=round(color, 3),
        **({} if held is None else {"device_memory_mib": round(held / 2**20)}),
    )
    loaders = trainer.loader, trainer.judge.val, trainer.judge.shown
    skipped = [(str(p), reason) for loader in loaders for p, reason in list(loader.skipped.items())]
    for photo, reason in itertools.chain.from_iterable(trainer.team.all(skipped)):
        if photo not in trainer.reported:
            trainer.reported.add(photo)
            trainer.log.write(step=trainer.step, skipped=photo, reason=reason)
            bar.write(f"skipped: {reason}")


class _Signals:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a flag; a second Ctrl-C stops at once.

    The others may come twice without anybody's wish: a shell and a terminal that are closed both
    send SIGHUP. together: in a team SIGUSR1, too, which every mpiexec passes on and survives.
    """

    def __init__(self, together=False):
        self.together = together

    def __enter__(self):
        self.received = None
        ends = [signal.SIGINT, signal.SIGTERM]
        if self.together and hasattr(signal, "SIGUSR1"):  # not on Windows
            ends.append(signal.SIGUSR1)
        hangup = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; not on Windows
        if hangup and signal.getsignal(hangup) is not signal.SIG_IGN:  # as nohup has it
            ends.append(hangup)
        self.before = {s: signal.signal(s, self._receive) for s in ends}
        return self

    def _receive(self, number, frame):
        if self.received:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.received = number
        tqdm.write("stopping after this step, or validation; Ctrl-C once more stops at once ...")

    def __exit__(self, *_):
        for s, handler in self.before.items():
            signal.signal(s, handler)
