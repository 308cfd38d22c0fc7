"""Chapter 10: a training run: its folder, started, saved, and taken up again to the bit.

    config.json       what the run was asked to do          prior.npy   (313,), if rebalanced
    log.jsonl         one JSON object a line                loss.png    the curves
    samples/*.png     grey | prediction | truth             checkpoint.npz   to go on exactly
    weights.npz       for inference: with --val the step of the lowest validation loss so far
    last.npz          only with --val: those of the last step

Notation
    N, S   batch and side of the crops       step   counts from 0; batch k belongs to step k
"""

import contextlib
import dataclasses
import time
from pathlib import Path
from zlib import crc32

import numpy as np
from tqdm import tqdm

from . import bins, loop, report
from .backend import array_module, set_precision, to_host
from .data import PhotoLoader
from .files import checkpoint
from .files.config import TrainingError
from .files.disk import atomic_write, check_folder, write_json
from .judging import Judge
from .learning import Learner
from .network import MULTIPLE, WIDTHS, Network
from .ops import ops
from .optim import cosine_schedule, step_schedule, warmed_up
from .photos import digest, find_photos
from .rehearsal import fit_steps
from .targets import measure_prior, require_color
from .team import ALONE
from .widen import widened

CHECKPOINT = "checkpoint.npz"
DRIFT = 1e-5  # of the weights, relative: more than rounding makes of them between checkpoints, and
# less than one step does


class Trainer:
    """A run: `start` or `resume` it, then `train`.

    config: Config. folder: Path, the run's folder. xp: numpy or cupy. started: time.perf_counter()
    from which config.minutes count. team: those who train it together, each with the same config;
    of them rank 0 has the folder, and the others touch no file but the photos.
    Raises TrainingError, DataError, CheckpointError, DeviceError.
    """

    def __init__(self, config, folder, xp=np, started=None, team=ALONE):
        self.started = time.perf_counter() if started is None else started
        self.team, self.leads = team, team.rank == 0
        self.config = c = config.settled()
        set_precision(c.precision, xp)
        self.folder, self.xp = Path(folder), xp
        names = ("size", "batch", "resize", "seed", "scale", "frame", "workers")
        options = {name: getattr(c, name) for name in names}
        if c.batch < team.size:
            raise TrainingError(f"--batch {c.batch}: {team.size} processes need a photo each")
        self.loader = PhotoLoader(find_photos(c.data), **options, team=team)
        head = "ab" if c.loss == "regression" else "bins"
        self.network = Network(WIDTHS[c.model], head=head)
        self.judge = Judge(c, self.loader.photos, self.network.width, head, xp, team)
        self.log = report.Log(self.folder / "log.jsonl") if self.leads else report.NoLog()
        self.step, self.reported, self.drifted = 0, set(), False
        self.group = []  # (weighted, unweighted) of the steps since the last line of the log
        self._compare_photos()

    def _compare_photos(self):
        """Raises TrainingError unless all processes find the same photos, by number and name."""
        if self.team.size < 2:
            return
        found = self.team.all((digest(self.loader.photos), digest(self.judge.val.photos)))
        for rank, other in enumerate(found):
            for flag, (count, name), (ours, our_name) in zip(
                ("--data", "--val"), other, found[0], strict=True
            ):
                if (count, name) != (ours, our_name):
                    raise TrainingError(
                        f"{flag} has other photos for process {rank} than for process 0: "
                        f"{count:,} and {ours:,}" + (", of other names" if count == ours else "")
                    )

    def start(self):
        """A new run, of as many steps as its minutes allow if it is to take minutes."""
        init = None
        if self.leads:  # all that can be checked is, before the long work begins
            check_folder(self.folder)
            init = self._initial_network() if self.config.init else None
            self.judge.check(self.loader.photos)
        self._fill_caches()
        prior = None
        if self.config.loss == "rebalanced":
            prior = measure_prior(self.loader, xp=self.xp)
        elif self.leads:
            require_color(self.loader)
        if init is not None:
            self.network.load_state(init.state())
        elif self.leads:
            crops = next(self.loader.batches(0, 1, whole=True))
            self.network.initialize(ops(crops).crops_to_lab(crops)[0], self.config.seed)
        self.team.receive(self.network.state().values())
        self.prepare(prior)
        if self.config.steps is None:
            fit_steps(self, prior)
        if not self.leads:
            return
        # The folder is made last of all.
        self.folder.mkdir(parents=True, exist_ok=True)
        if prior is not None:
            with atomic_write(self.folder / "prior.npy") as file:
                np.save(file, prior)
        self.log.truncate(0)
        self._write_config()

    def prepare(self, prior):
        """What a new and a resumed run have in common, once the network has its weights."""
        self.learner = Learner(self.network, self.config, prior, self.xp, self.team)

    def _initial_network(self):
        """The network of --init, as wide as ours."""
        init = self.config.init
        source, _ = checkpoint.load_network(init)
        try:
            if source.head != self.network.head:
                raise ValueError(f"was trained with another --loss than {self.config.loss}")
            if source.width > self.network.width:
                raise ValueError(f"is wider than --model {self.config.model}")
            if source.width < self.network.width:
                return widened(source, self.network.width, self.config.seed)
        except ValueError as error:
            raise TrainingError(f"{init}: {error}; see --model and --loss") from None
        return source

    def _fill_caches(self):
        if not self.config.cache:
            return
        loaders = {"--data": self.loader} | ({"--val": self.judge.val} if self.config.val else {})
        taken = 0
        for name, loader in loaders.items():
            taken += loader.plan_cache(taken).expected
            print(f"cache of {name}: {loader.cache}", flush=True)
        self.team.all(None)  # the memory that is free has been looked at by all
        for loader in loaders.values():
            loader.fill_cache()

    def _write_config(self):
        if self.leads:
            write_json(self.folder / "config.json", dataclasses.asdict(self.config))

    # Resume, save ------------------------------------------------------------------------------

    def resume(self):
        """Take up the folder's run where its last checkpoint left it, to the bit. Without one, as
        it was stopped before, it begins again."""
        saved = None
        if self.leads and (self.folder / CHECKPOINT).exists():
            saved = checkpoint.load(self.folder / CHECKPOINT, kind="training")
        saved = self.team.told(saved)
        if saved is None:
            return self.start()
        try:
            photos = self._restore(*saved)
        except MemoryError:
            raise
        # Whatever a damaged file makes of these lines, the answer is the same.
        except Exception as error:
            reason = checkpoint.short(error)
            raise TrainingError(f"{self.folder}: cannot go on from here ({reason})") from None
        if self.config.steps is None or self.step > self.config.steps:
            raise TrainingError(f"{self.folder} has made {self.step} steps already: ask for more")
        if photos != (now := digest(self.loader.photos)):
            if self.leads:
                require_color(self.loader)
            print(
                f"the photos of --data are not those of the last time: {photos[0]:,} then, "
                f"{now[0]:,} now; the order is another one from here"
            )
        if self.leads:
            self.judge.check(self.loader.photos)
        self._fill_caches()
        if self.judge.best and self.judge.best["photos"] != digest(self.judge.val.photos):
            self._begin_best_anew()
        self.log.truncate(self.step)
        self._write_config()  # with what --resume changed, such as --steps

    def _restore(self, meta, groups):
        """Take over a training state and the run's prior. Returns the `digest` of its photos.

        Raises nearly anything if damaged.
        """
        step = meta["step"]
        if type(step) is not int or step < 0:
            raise ValueError(f"{step!r} is no number of steps")
        prior = None
        if self.config.loss == "rebalanced":
            if self.leads:
                prior = np.load(self.folder / "prior.npy", allow_pickle=False)
            prior = self.team.told(prior)
            if prior.shape != (bins.Q,):
                raise ValueError(f"prior.npy has shape {prior.shape}")
        self.network.load_state(groups["raw"])
        self.prepare(prior)
        self.learner.load_state(groups, step, bool(meta.get("average_trained")))
        self.step = step
        self.group = [(float(w), float(u)) for w, u in meta["group"]]
        if meta.get("best") is not None and self.config.val:
            step, loss, photos = (meta["best"][key] for key in ("step", "loss", "photos"))
            if not np.isfinite(float(loss)):
                raise ValueError(f"{loss} is no loss")
            photos = _read_digest(photos)
            self.judge.best = {"step": int(step), "loss": float(loss), "photos": photos}
        return _read_digest(meta["photos"]) if "photos" in meta else digest(self.loader.photos)

    def _begin_best_anew(self):
        """--val has other photos now: weights.npz, the best so far, is measured on them."""
        print("the photos of --val are not those of the last time: the best step begins anew")
        step, self.judge.best = self.judge.best["step"], None
        best = None
        if self.leads:
            with contextlib.suppress(checkpoint.CheckpointError, ValueError):
                best = checkpoint.load_network(self.folder / "weights.npz")[0].state()
        best = self.team.told(best)
        try:
            self.judge.network.load_state(best or {})
        except ValueError:  # missing, or of another network: the next ones are the best
            return
        self.judge.is_best(self.judge.validate(self.learner), step)

    def save(self):
        """Write checkpoint.npz and the weights, unless they are no longer numbers."""
        net, average = self.network, self.learner.average
        meta = {"kind": "training", "width": net.width, "head": net.head}
        meta["size"], meta["step"], meta["best"] = self._photo_size(), self.step, self.judge.best
        meta["photos"] = digest(self.loader.photos)
        meta["average_trained"] = bool(average and average.trained)
        meta["group"] = [(float(w), float(u)) for w, u in self.group]
        groups = self.learner.state()
        for arrays in groups.values():
            self._check_finite(arrays)
        self._agree()
        if not self.leads:
            return
        checkpoint.save(self.folder / CHECKPOINT, meta, groups)
        self.judge.network.load_state(self.learner.judged())
        if self.config.val:
            self._write_weights("last.npz")
        if self.judge.best is None:
            self._write_weights("weights.npz")

    def _agree(self):
        """All processes take the state of process 0, if it is not theirs to the bit: two kinds of
        processor may round a step differently. Raises TrainingError if theirs is another one."""
        if self.team.size < 2:
            return
        learned = self.learner.optimizer.params.flat, self.learner.buffers.flat
        sums = self.team.all([crc32(to_host(array)) for array in learned])
        if sums.count(sums[0]) == len(sums):
            return
        before = [to_host(array).copy() for array in learned]
        self.team.receive(self.learner.changing())
        pairs = zip(before, map(to_host, learned), strict=True)
        off = max(np.linalg.norm(old - new) / np.linalg.norm(new) for old, new in pairs)
        off, rank = max((off, rank) for rank, off in enumerate(self.team.all(float(off))))
        if not off < DRIFT:
            raise TrainingError(
                f"the weights of process {rank} are not those of process 0 any more: they differ "
                f"by {off:.1g} of their size; --resume goes on from the last checkpoint"
            )
        if not self.drifted:
            self.drifted = True
            tqdm.write(
                f"the processors round differently: the weights of process {rank} were off by "
                f"{off:.1g} of their size; now, and with every checkpoint, all take process 0's"
            )

    def _write_weights(self, name, **more):
        """Write what the judge holds, for inference."""
        if not self.leads:
            return
        meta = {"size": self._photo_size(), "step": self.step, **more}
        checkpoint.save_network(self.folder / name, self.judge.network, **meta)

    def _photo_size(self):
        """The side to colour at: the scale of the training photos, 256 for the authors' 176."""
        return max(MULTIPLE, round(self.loader.resize / MULTIPLE) * MULTIPLE)

    # Train -------------------------------------------------------------------------------------

    def train(self):
        """Train until the last step, or until Ctrl-C or SIGTERM. Returns True if it is done."""
        return loop.train(self)

    def train_step(self, rgb, measure=False):
        """One step on crops (N, S, S, 3) uint8, as Learner.step."""
        made = self.learner.step(rgb, self.rate(self.step), measure)
        self.step += 1
        return made

    def rate(self, step):
        """The learning rate of a step."""
        c = self.config
        if c.schedule == "steps":
            lr = step_schedule(step, c.lr, c.lr_every)
        else:
            lr = cosine_schedule(step, c.lr, c.steps)
        return warmed_up(step, lr, c.warmup)

    def validate_and_draw(self):
        """Validation loss, sample sheet, curve: of the weights that would be shipped.

        The best so far become weights.npz at once. Returns whether these are.
        """
        judged, better = self.learner.judged(), False
        self._check_finite(judged)
        self.judge.network.load_state(judged)
        if self.config.val:
            losses = self.judge.validate(self.learner)
            loss = next(iter(losses.values()))
            if not np.isfinite(loss):
                raise self.diverged()
            better = self.judge.is_best(losses, self.step)
            if better:
                self._write_weights("weights.npz", val_loss=loss)
            self.log.write(step=self.step, **losses, best_step=self.judge.best["step"])
        if not self.leads:
            return better
        self.judge.draw(self.folder / "samples" / f"step_{self.step:07d}.png")
        if not report.loss_curve(self.folder / "loss.png", self.log.read()):
            tqdm.write("no loss.png: it needs matplotlib (pip install matplotlib)")
        return better

    def _check_finite(self, arrays):
        for name, array in arrays.items():
            if not bool(array_module(array).isfinite(array).all()):
                raise self.diverged(name)

    def diverged(self, what="the loss"):
        """The error that `what` is not a number any more, and what to do about it."""
        # Without a checkpoint, a resume starts again; in a rehearsal there is no run yet.
        again = "start again with a lower --lr"
        if (self.folder / "config.json").exists():
            again = f"go on at a lower rate: --resume {self.folder} --lr {self.config.lr / 10:.3g}"
            if (self.folder / CHECKPOINT).exists():
                again = f"the last good checkpoint stays in {self.folder}; {again}"
        return TrainingError(
            f"{what} is not a number any more, before step {self.step + 1}; {again}"
        )


def _read_digest(told):
    """A `digest`, from a file. Raises nearly anything if it is damaged."""
    count, name = told
    return [int(count), str(name)]
