"""Chapter 10: what a run has, and what keeps a long one safe: its folder, saved and taken up again.

    config.json       what the run was asked to do          prior.npy   (313,), if rebalanced
    log.jsonl         one JSON object a line                loss.png    the curves
    samples/*.png     grey | prediction | truth             checkpoint.npz   to go on exactly
    weights.npz       for inference: with --val the step of the lowest validation loss so far
    last.npz          only with --val: those of the last step

Notation
    step   counts from 0; batch k belongs to step k
"""

import dataclasses
import hashlib
import itertools
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import bins, report
from .backend import array_module, as_numbers, set_precision
from .data import PhotoLoader
from .fast.graphs import Graphs
from .files import checkpoint
from .files.config import TrainingError
from .files.disk import atomic_write, check_folder, write_json
from .modules import Adam, LossScale, MovingAverage
from .network import MULTIPLE, WIDTHS, Network
from .ops import ops
from .photos import DataError, find_photos
from .targets import measure_prior, regression_targets, require_color, targets
from .widen import widened

CHECKPOINT = "checkpoint.npz"
SHEET_PHOTOS = 8  # photos on a sample sheet, at most


def _names(photos):
    """What tells one list of photos from another: how many, and a hash of their names."""
    digest = hashlib.sha256("\0".join(photo.name for photo in photos).encode(errors="replace"))
    return [len(photos), digest.hexdigest()[:16]]


def _read_names(told):
    """What `_names` gave, from a file. Raises nearly anything if it is damaged."""
    count, digest = told
    return [int(count), str(digest)]


class Run:
    """A run: made new by `begin` and `found`, or taken up from its folder by `resume`.

    config: Config. folder: Path, the run's folder. xp: numpy or cupy. started: time.perf_counter()
    from which config.minutes count.
    Raises TrainingError, DataError, CheckpointError, DeviceError.
    """

    def __init__(self, config, folder, xp=np, started=None):
        self.started = time.perf_counter() if started is None else started
        config = config.settled()
        set_precision(config.precision, xp)
        self.config, self.folder, self.xp = config, Path(folder), xp
        self.loader = PhotoLoader(
            find_photos(config.data),
            size=config.size,
            batch=config.batch,
            resize=config.resize,
            seed=config.seed,
            scale=config.scale,
            frame=config.frame,
            workers=config.workers,
        )
        judges = find_photos(config.val) if config.val else self.loader.photos
        self.val = self._centre_crops(judges, config.batch)
        spread = judges[:: -(-len(judges) // SHEET_PHOTOS)]  # and others, where these are broken
        self.shown = self._centre_crops(list(dict.fromkeys(spread + judges)), SHEET_PHOTOS)
        head = "ab" if config.loss == "regression" else "bins"
        self.targets = regression_targets if config.loss == "regression" else targets
        self.network = Network(WIDTHS[config.model], head=head)
        self.averaged = Network(WIDTHS[config.model], head=head).to(xp)  # is judged and shipped
        self.step, self.reported = 0, set()
        self.group = []  # (weighted, unweighted) of the steps since the last line of the log
        self.best = None  # {"step", "loss", "photos"} of the lowest validation loss so far
        self.log = report.Log(self.folder / "log.jsonl")

    def _centre_crops(self, photos, batch):
        c = self.config
        return PhotoLoader(
            photos, size=c.size, resize=c.resize, batch=batch, augment=False, workers=c.workers
        )

    # Start, save, resume ------------------------------------------------------------------------

    def begin(self):
        """A new run: prior, first weights, optimiser. Returns the prior, for `found`."""
        check_folder(self.folder)  # all that can be checked is, before the long work begins
        init = self._initial_network() if self.config.init else None
        self._check_val()
        self._fill_caches()
        prior = None
        if self.config.loss == "rebalanced":
            prior = measure_prior(self.loader, xp=self.xp)
        else:
            require_color(self.loader)
        if init is not None:
            self.network.load_state(init.state())
        else:
            x, *_ = self.targets(next(self.loader.batches(0, 1)))
            self.network.initialize(x, self.config.seed)
        self.prepare(prior)
        return prior

    def found(self, prior):
        """Make the folder of a new run, last of all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if prior is not None:
            with atomic_write(self.folder / "prior.npy") as file:
                np.save(file, prior)
        self.log.truncate(0)
        self._write_config()

    def _check_val(self):
        """Raises DataError if --val is of no use. Says if it is not kept apart from --data."""
        if not self.config.val:
            return
        try:
            require_color(self.val)
        except DataError as error:
            raise DataError(f"--val {' '.join(self.config.val)}: {error}") from None
        both = {str(photo) for photo in self.val.photos} & {str(p) for p in self.loader.photos}
        if both:
            print(f"{len(both):,} photos of --val are among --data: their loss tells little")

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
        loaders = {"--data": self.loader} | ({"--val": self.val} if self.config.val else {})
        taken = 0
        for name, loader in loaders.items():
            taken += loader.plan_cache(taken).expected
            print(f"cache of {name}: {loader.cache}", flush=True)
        for loader in loaders.values():
            loader.fill_cache()

    def resume(self):
        """Take up the folder's run where its last checkpoint left it, to the bit."""
        meta, groups = checkpoint.load(self.folder / CHECKPOINT, kind="training")
        try:
            photos = self._restore(meta, groups)
        except MemoryError:
            raise
        # Whatever a damaged file makes of these lines, the answer is the same.
        except Exception as error:
            reason = checkpoint.short(error)
            raise TrainingError(f"{self.folder}: cannot go on from here ({reason})") from None
        if self.config.steps is None or self.step > self.config.steps:
            raise TrainingError(f"{self.folder} has made {self.step} steps already: ask for more")
        if photos != (now := _names(self.loader.photos)):
            require_color(self.loader)
            print(
                f"the photos of --data are not those of the last time: {photos[0]:,} then, "
                f"{now[0]:,} now; the order is another one from here"
            )
        self._check_val()
        self._fill_caches()
        if self.best and self.best["photos"] != _names(self.val.photos):
            self._begin_best_anew()
        self.log.truncate(self.step)
        self._write_config()  # with what --resume changed, such as --steps

    def _begin_best_anew(self):
        """--val has other photos now: weights.npz, the best so far, is measured on them."""
        print("the photos of --val are not those of the last time: the best step begins anew")
        step, self.best = self.best["step"], None
        try:
            network, _ = checkpoint.load_network(self.folder / "weights.npz")
            self.averaged.load_state(network.state())
        except (checkpoint.CheckpointError, ValueError):
            return  # missing, or of another network: the next ones are the best
        self._note_best(self.validate(), step)

    def _note_best(self, losses, step):
        """Take down what is best. losses: of `validate`."""
        loss = next(iter(losses.values()))  # the one that is minimised
        self.best = {"step": step, "loss": loss, "photos": _names(self.val.photos)}

    def _write_config(self):
        write_json(self.folder / "config.json", dataclasses.asdict(self.config))

    def _restore(self, meta, groups):
        """Take over a training state and the run's prior. Returns the `_names` of its photos.

        Raises nearly anything if damaged.
        """
        step = meta["step"]
        if type(step) is not int or step < 0:
            raise ValueError(f"{step!r} is no number of steps")
        prior = None
        if self.config.loss == "rebalanced":
            prior = np.load(self.folder / "prior.npy", allow_pickle=False)
            if prior.shape != (bins.Q,):
                raise ValueError(f"prior.npy has shape {prior.shape}")
        self.network.load_state(groups["raw"])
        self.prepare(prior)
        self.optimizer.load_state(groups["optimizer"])
        if self.average:
            for name, array in self.average.average.items():
                array[...] = as_numbers(name, groups["network"][name], array)
            self.average.t = step
            self.average.trained = bool(meta.get("average_trained"))
        if self.loss_scale and "loss_scale" in groups:
            self.loss_scale.load_state(groups["loss_scale"])
        self.step = step
        self.group = [(float(w), float(u)) for w, u in meta["group"]]
        if meta.get("best") is not None and self.config.val:
            step, loss, photos = (meta["best"][key] for key in ("step", "loss", "photos"))
            if not np.isfinite(float(loss)):
                raise ValueError(f"{loss} is no loss")
            photos = _read_names(photos)
            self.best = {"step": int(step), "loss": float(loss), "photos": photos}
        return _read_names(meta["photos"]) if "photos" in meta else _names(self.loader.photos)

    def prepare(self, prior):
        """What a new and a resumed run have in common."""
        c, xp = self.config, self.xp
        weights = np.ones(bins.Q, np.float32) if prior is None else bins.class_weights(prior, c.lam)
        self.class_weight = xp.asarray(weights)
        packed = self.network.to(xp).pack()
        self.network.half = c.precision == "mixed"
        self.loss_scale = LossScale(xp) if self.network.half else None
        # The authors' loss is a sum over h w pixels, ours a mean. Adam does not mind the scale of
        # the loss, but the decay, which is added to the gradient, must follow it.
        pixels = (c.size // 4) ** 2
        self.optimizer = Adam(packed["params"], decay=c.weight_decay / pixels)
        self.grads, self.buffers = packed["grads"], packed["buffers"]
        learned = [packed["params"], packed["buffers"]]
        trained = c.init is not None
        self.average = MovingAverage(learned, c.ema, trained) if c.ema else None
        self.graphs = Graphs(xp, self._state)

    def _state(self):
        """All arrays that a step changes, but for the gradients."""
        arrays = [self.optimizer.params, self.optimizer.m, self.optimizer.v, self.buffers]
        arrays += [averages for averages, _ in self.average.groups] if self.average else []
        scale = self.loss_scale.state().values() if self.loss_scale else ()
        return [*(packed.flat for packed in arrays), *scale]

    def save(self):
        """Write checkpoint.npz and the weights, unless they are no longer numbers."""
        net = self.network
        meta = {"kind": "training", "width": net.width, "head": net.head}
        meta["size"], meta["step"], meta["best"] = self._photo_size(), self.step, self.best
        meta["photos"] = _names(self.loader.photos)
        meta["average_trained"] = bool(self.average and self.average.trained)
        meta["group"] = [(float(w), float(u)) for w, u in self.group]
        raw, optimizer = self.network.state(), self.optimizer.state()
        groups = {"raw": raw, "network": self._judged(), "optimizer": optimizer}
        if self.loss_scale:
            groups["loss_scale"] = self.loss_scale.state()
        for arrays in groups.values():
            self._check_finite(arrays)
        checkpoint.save(self.folder / CHECKPOINT, meta, groups)
        self.averaged.load_state(self._judged())
        if self.config.val:
            self._write_weights("last.npz")
        if self.best is None:
            self._write_weights("weights.npz")

    def _write_weights(self, name, **more):
        """Write what `averaged` holds, for inference."""
        size = self._photo_size()
        path = self.folder / name
        checkpoint.save_network(path, self.averaged, size=size, step=self.step, **more)

    def _photo_size(self):
        """The side to colour at: the scale of the training photos, 256 for the authors' 176."""
        return max(MULTIPLE, round(self.loader.resize / MULTIPLE) * MULTIPLE)

    def _judged(self):
        """The state that is evaluated and shipped: the moving average, if there is one."""
        return self.average.average if self.average else self.network.state()

    def _check_finite(self, arrays):
        for name, array in arrays.items():
            if not bool(array_module(array).isfinite(array).all()):
                raise self._diverged(name)

    def _diverged(self, what="the loss"):
        # Without a checkpoint, a resume starts again; in a rehearsal there is no run yet.
        again = "start again with a lower --lr"
        if (self.folder / "config.json").exists():
            lower = f"{self.config.lr / 10:.3g}"
            again = f"go on at a lower rate: --resume {self.folder} --lr {lower}"
            if (self.folder / CHECKPOINT).exists():
                again = f"the last good checkpoint stays in {self.folder}; {again}"
        return TrainingError(
            f"{what} is not a number any more, before step {self.step + 1}; {again}"
        )

    # What it is judged by ----------------------------------------------------------------------

    def _loss(self, logits, truth, scale=1):
        """Loss of what the network says. truth: as `targets` has it. logits: overwritten."""
        if self.config.loss == "regression":
            return ops(logits).l2_loss(logits, *truth, scale)
        return ops(logits).softmax_cross_entropy(logits, *truth, self.class_weight, scale)

    def _named(self, prefix, weighted, unweighted):
        """The two values of a loss for the log; of the regression, where they are one, one."""
        if self.config.loss == "regression":
            return {f"{prefix}_l2": round(float(weighted), 6)}
        return {
            f"{prefix}_weighted": round(float(weighted), 6),
            f"{prefix}_unweighted_nats": round(float(unweighted), 6),
        }

    def validate_and_draw(self):
        """Validation loss, sample sheet, curve: of the weights that would be shipped.

        The best so far become weights.npz at once. Returns whether these are.
        """
        before = self.best
        self._check_finite(self._judged())
        self.averaged.load_state(self._judged())
        if self.config.val:
            losses = self.validate()
            loss = next(iter(losses.values()))
            if not np.isfinite(loss):
                raise self._diverged()
            if before is None or loss < before["loss"]:
                self._note_best(losses, self.step)
                self._write_weights("weights.npz", val_loss=loss)
            self.log.write(step=self.step, **losses, best_step=self.best["step"])
        shown = (self.shown.batches(k, k + 1) for k in range(len(self.shown)))
        truth = next(itertools.chain.from_iterable(shown))
        path = self.folder / "samples" / f"step_{self.step:07d}.png"
        report.sample_sheet(path, self.averaged, truth, self.xp)
        if not report.loss_curve(self.folder / "loss.png", self.log.read()):
            tqdm.write("no loss.png: it needs matplotlib (pip install matplotlib)")
        return self.best is not before

    def validate(self):
        """Losses of what `averaged` holds on centre crops of all of --val, for the log.

        Returns a dict, first the loss that is minimised. A photo without colour has no say, as in
        training. Raises DataError if no photo has colour.
        """
        total, colored = np.zeros(2), 0
        batches = -(-len(self.val) // self.val.batch)
        for rgb in tqdm(self.val.batches(), "validation", batches, leave=False, delay=1):
            x, *truth = self.targets(self.xp.asarray(rgb))
            count = int((truth[-1].reshape(len(rgb), -1) > 0).any(axis=1).sum())
            loss = self._loss(self.averaged.forward(x), truth)
            total += count * np.array([float(loss.weighted), float(loss.unweighted)])
            colored += count
        if not colored:
            raise DataError("no photo of --val has any colour: there is nothing to measure")
        return self._named("val_loss", *(total / colored))
