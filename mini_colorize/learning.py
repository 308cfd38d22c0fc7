"""Chapter 10: what learns, and what a training step is. It knows no photo and no file.

Notation
    N, S   batch and side of the crops       h = w = S/4
"""

from functools import partial

import numpy as np

from . import bins
from .backend import as_numbers, to_host
from .color import EVERY
from .fast.graphs import Graphs
from .measures import colorfulness
from .modules import Adam, LossScale, MovingAverage
from .ops import ops
from .targets import pictures_that_count, regression_targets, targets
from .team import ALONE, BatchPart


class Learner:
    """A network with its loss, its optimiser and the moving average of its weights.

    network: Network with its first weights; it goes to the device of xp, NumPy or CuPy.
    config: Config, settled. prior: (Q,) float64, of the colours; None for equal class weights.
    team: those who learn together; the crops that `step` is given are then this rank's share.
    """

    def __init__(self, network, config, prior=None, xp=np, team=ALONE):
        c, self.xp, self.network, self.team = config, xp, network, team
        self.part = None  # of the batch, where BatchNorm is to know no more than it
        if team.size > 1 and c.local_batchnorm:
            self.part = len(team.share(c.batch)) / c.batch
        elif team.size > 1:
            network.part_batches(BatchPart(team, c.batch, xp))
        self.regression = c.loss == "regression"
        self.targets = regression_targets if self.regression else targets
        weights = np.ones(bins.Q, np.float32) if prior is None else bins.class_weights(prior, c.lam)
        self.class_weight = xp.asarray(weights)
        packed = network.to(xp).pack()
        network.half = c.precision == "mixed"
        self.loss_scale = LossScale(xp) if network.half else None
        # The authors' loss is a sum over h w pixels, ours a mean. Adam does not mind the scale of
        # the loss, but the weight decay, which is added to the gradient, must follow it.
        pixels = (c.size // 4) ** 2
        self.optimizer = Adam(packed["params"], decay=c.weight_decay / pixels)
        self.grads, self.buffers = packed["grads"], packed["buffers"]
        learned = [packed["params"], packed["buffers"]]
        self.average = MovingAverage(learned, c.ema, c.init is not None) if c.ema else None
        self.graphs = Graphs(xp, self.changing, team.all)

    def step(self, rgb, rate, measure=False):
        """One step on crops (N, S, S, 3) uint8 at a learning rate. Returns its two losses, and the
        colourfulness of what it predicted, or None unless `measure` is set.

        On a GPU this only queues the work: nothing here waits for the device, unless `measure`.
        """
        self.optimizer.advance(rate)
        if self.average:
            self.average.advance()
        name, work = "step", self._work
        if measure:
            name, work = "measured step", partial(self._work, measure=True)
        results = self.graphs(name, work, self.xp.asarray(rgb))
        if not measure:
            return results[:2], None
        colors = results[2]
        if self.team.size > 1:
            colors = np.concatenate(self.team.all(to_host(colors)))
        return results[:2], colorfulness(colors)

    def _work(self, rgb, measure=False):
        """What a step does on the device, the same every time: see graphs.py.

        Returns two losses and, if `measure`, the colours of the batch as predicted now: (N, h, w,
        3), sRGB.
        """
        x, *truth = self.targets(rgb)
        logits = self.network.forward(x, train=True)
        colors = (self._painted(x, logits),) if measure else ()
        scale = self.loss_scale.scale if self.loss_scale else 1
        share = scale
        if self.team.size > 1:
            # The loss is a mean over the pixels that count: of the batch, and not of our share.
            part = self._part_of_mask(truth, x.dtype)
            share = scale * part
        loss = self.loss(logits, truth, share)
        losses = loss.weighted, loss.unweighted
        del logits
        self.network.backward(loss.gradient)
        grads = self.grads.flat
        if self.team.size > 1:
            self.team.sum(grads)
            losses = tuple(self.team.sum(self.xp.stack(losses) * part))
            self._merge_averages()
        overflow = ops(grads).find_overflow(grads) if self.loss_scale else 0
        self.optimizer.update(self.grads, scale, overflow)
        if self.loss_scale:
            self.loss_scale.update(overflow)
        if self.average:
            self.average.update()
        return *losses, *colors

    def _merge_averages(self):
        """Of BatchNorms that know their part only: their running averages' mean over the ranks.

        Else the ranks would have several, of which one is judged, and another saved.
        """
        if self.part:
            averages = self.buffers.flat
            averages *= self.part
            self.team.sum(averages)

    def _part_of_mask(self, truth, dtype):
        """This rank's pictures with colour over those of all. () of a dtype."""
        own = pictures_that_count(truth[-1]).reshape(1)
        total = self.team.sum(own.copy())
        return (own / self.xp.maximum(total, 1))[0].astype(dtype)

    def _painted(self, x, logits):
        """The batch as predicted now, at h x w: sRGB."""
        lightness = x[:, EVERY, EVERY] * 100 + 50
        ab = self.network.colors(logits).astype(x.dtype, copy=False)
        lab = self.xp.concatenate([lightness, ab], axis=-1)
        return ops(lab).lab_to_rgb(lab)

    def loss(self, logits, truth, scale=1):
        """Loss of what a network says. truth: as `targets` has it. logits: overwritten."""
        if self.regression:
            return ops(logits).l2_loss(logits, *truth, scale)
        return ops(logits).softmax_cross_entropy(logits, *truth, self.class_weight, scale)

    def named(self, prefix, weighted, unweighted):
        """The two values of a loss for the log; of the regression, where they are one, one."""
        if self.regression:
            return {f"{prefix}_l2": round(float(weighted), 6)}
        return {
            f"{prefix}_weighted": round(float(weighted), 6),
            f"{prefix}_unweighted_nats": round(float(unweighted), 6),
        }

    # Its state ---------------------------------------------------------------------------------

    def changing(self):
        """All arrays that a step changes, but for the gradients."""
        arrays = [self.optimizer.params, self.optimizer.m, self.optimizer.v, self.buffers]
        arrays += [averages for averages, _ in self.average.groups] if self.average else []
        scale = self.loss_scale.state().values() if self.loss_scale else ()
        return [*(packed.flat for packed in arrays), *scale]

    def judged(self):
        """What is evaluated and shipped, name -> array: the moving average, if there is one."""
        return self.average.average if self.average else self.network.state()

    def state(self):
        """group -> {name: array}, to be saved."""
        groups = {"raw": self.network.state(), "network": self.judged()}
        groups["optimizer"] = self.optimizer.state()
        return groups | ({"loss_scale": self.loss_scale.state()} if self.loss_scale else {})

    def load_state(self, groups, step, average_trained):
        """Take over what `state` gave after `step` steps; the group "raw" is in the network already.

        average_trained: bool, of the moving average. Raises KeyError or ValueError if it does not
        fit.
        """
        self.optimizer.load_state(groups["optimizer"])
        if self.average:
            for name, array in self.average.average.items():
                array[...] = as_numbers(name, groups["network"][name], array)
            self.average.t, self.average.trained = step, average_trained
        if self.loss_scale and "loss_scale" in groups:
            self.loss_scale.load_state(groups["loss_scale"])
