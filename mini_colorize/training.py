"""Chapter 10: the training loop.

Notation
    N, S      batch and side of the crops         h = w = S/4
    step      counts from 0; batch k belongs to step k
"""

import signal
import time
from functools import partial

import numpy as np
from tqdm import tqdm

from .backend import device_memory, uploaded
from .measures import colorfulness
from .ops import ops
from .optim import cosine_schedule, step_schedule, warmed_up
from .photos import DataError
from .rehearsal import fit_steps
from .runs import CHECKPOINT, Run

SAVE_SECONDS = 30, 600  # between checkpoints, at least and at most, where they go by the clock
SAVE_SHARE = 0.05  # of the time, that they may take within those bounds


class Trainer(Run):
    """A run that trains: `start` or `resume` it, then `train`."""

    def start(self):
        """A new run, of as many steps as its minutes allow if it is to take minutes."""
        prior = self.begin()
        if self.config.steps is None:
            fit_steps(self, prior)
        self.found(prior)

    def resume(self):
        """Go on, or begin again if the run was stopped before its first checkpoint."""
        if (self.folder / CHECKPOINT).exists():
            super().resume()
        else:
            self.start()

    def train_step(self, rgb, measure=False):
        """One step on crops (N, S, S, 3) uint8. Returns its two losses, and the
        colourfulness of what it predicted, or None unless `measure` is set.

        On a GPU this only queues the work: nothing here waits for the device, unless `measure`.
        """
        self.optimizer.advance(self._rate(self.step))
        if self.average:
            self.average.advance()
        name, work = "step", self._work
        if measure:
            name, work = "measured step", partial(self._work, measure=True)
        results = self.graphs(name, work, self.xp.asarray(rgb))
        self.step += 1
        return results[:2], colorfulness(results[2]) if measure else None

    def _work(self, rgb, measure=False):
        """What a step does on the device, the same every time: see graphs.py.

        Returns two losses and, if `measure`, the colours of the batch as predicted now: (N, h, w,
        3), sRGB.
        """
        x, *truth = self.targets(rgb)
        logits = self.network.forward(x, train=True)
        colors = (self._painted(x, logits),) if measure else ()
        scale = self.loss_scale.scale if self.loss_scale else 1
        loss = self._loss(logits, truth, scale)
        del logits
        self.network.backward(loss.gradient)
        grads = self.grads.flat
        overflow = ops(grads).find_overflow(grads) if self.loss_scale else 0
        self.optimizer.update(self.grads, scale, overflow)
        if self.loss_scale:
            self.loss_scale.update(overflow)
        if self.average:
            self.average.update()
        return loss.weighted, loss.unweighted, *colors

    def _rate(self, step):
        c = self.config
        if c.schedule == "steps":
            lr = step_schedule(step, c.lr, c.lr_every)
        else:
            lr = cosine_schedule(step, c.lr, c.steps)
        return warmed_up(step, lr, c.warmup)

    def _painted(self, x, logits):
        """The batch as predicted now, at h x w: sRGB."""
        lightness = x[:, 2::4, 2::4] * 100 + 50
        ab = self.network.colors(logits).astype(x.dtype, copy=False)
        lab = self.xp.concatenate([lightness, ab], axis=-1)
        return ops(lab).lab_to_rgb(lab)

    def train(self):
        """Train until the last step, or until Ctrl-C or SIGTERM. Returns True if it is done."""
        c = self.config
        batches = uploaded(self.loader.batches(self.step, c.steps), self.xp)
        bar = tqdm(total=c.steps, initial=self.step, unit="step", dynamic_ncols=True)
        since = saved = time.perf_counter()
        saved_step, due = None, self.due(0)
        timed, seconds = 0, 0.0  # steps since the last line of the log, and what they took
        with _Signals() as signals, bar:
            for rgb in self._kept_safe(batches):
                logging = (self.step + 1) % c.log_every == 0 or self.step + 1 == c.steps
                values, color = self.train_step(rgb, measure=logging)
                self.group.append(values)
                timed, seconds = timed + 1, seconds + time.perf_counter() - since
                bar.update()
                if logging:
                    self._log_group(bar, color, timed * c.batch / seconds)
                    timed, seconds = 0, 0.0
                last, better = self.step == c.steps, False
                if self.step % c.sample_every == 0 or last:
                    better = self.validate_and_draw()
                now = time.perf_counter()
                wanted = now - saved > due or (c.save_every and self.step % c.save_every == 0)
                # Better weights are on the disk already: the checkpoint must know of them.
                if better or wanted:
                    self.save()
                    saved, saved_step = time.perf_counter(), self.step
                    due = self.due(saved - now)
                if signals.received:
                    break
                since = time.perf_counter()  # validating and saving are not training
            batches.close()
            if saved_step != self.step:
                self.save()
        return self.step == c.steps

    def due(self, saving):
        """Seconds after which a checkpoint is due in any case. saving: what one takes."""
        least, most = SAVE_SECONDS
        return most if self.config.save_every else min(max(saving / SAVE_SHARE, least), most)

    def _kept_safe(self, batches):
        """The batches; if they fail on the way, what was learned is saved first."""
        try:
            yield from batches
        except DataError as error:
            self.save()
            raise DataError(
                f"{error}; saved at step {self.step}, go on with --resume {self.folder}"
            ) from None

    def _log_group(self, bar, color, rate):
        """A line of the log and of the progress bar: the mean over the steps since the last."""
        count = len(self.group)
        weighted, unweighted = (
            float(sum(column)) / count for column in zip(*self.group, strict=True)
        )
        self.group = []
        if not np.isfinite(weighted + unweighted):
            raise self._diverged()
        nats = "" if self.config.loss == "regression" else f" ({unweighted:.3f} nats)"
        bar.set_postfix_str(f"loss {weighted:.3f}{nats}, {rate:.1f} images/s")
        self.log.write(
            step=self.step,
            **self._named("loss", weighted, unweighted),
            lr=self._rate(self.step - 1),
            images_per_s=round(rate, 2),
            colorfulness=round(color, 3),
            **self._memory(),
        )
        for loader in (self.loader, self.val, self.shown):
            for photo, reason in list(loader.skipped.items()):
                if str(photo) not in self.reported:
                    self.reported.add(str(photo))
                    self.log.write(step=self.step, skipped=str(photo), reason=reason)
                    bar.write(f"skipped: {reason}")

    def _memory(self):
        """What the device's memory has held so far, for the log; nothing on the CPU."""
        held = device_memory(self.xp, self.graphs.room and self.graphs.room.pool)
        return {} if held is None else {"device_memory_mib": round(held / 2**20)}


class _Signals:
    """Turns the first Ctrl-C, SIGTERM or SIGHUP into a flag; a second Ctrl-C stops at once.

    The others may come twice without anybody's wish: a shell and a terminal that are closed both
    send SIGHUP.
    """

    def __enter__(self):
        self.received = None
        ends = [signal.SIGINT, signal.SIGTERM]
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
