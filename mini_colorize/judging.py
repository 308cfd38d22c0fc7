"""Chapter 10: what a run is judged by, the loss on --val and a sheet of samples."""

import itertools
from functools import partial

import numpy as np
from tqdm import tqdm

from .data import PhotoLoader
from .network import Network
from .photos import DataError, digest, find_photos
from .report import sample_sheet
from .targets import pictures_that_count, require_color
from .team import ALONE

SHEET_PHOTOS = 8  # photos on a sample sheet, at most


class Judge:
    """Judges weights. It remembers the lowest loss on --val so far.

    config: Config, settled. photos: those of --data, a list, drawn where there is no --val.
    width, head: of the network. xp: numpy or cupy. network: holds the weights that are judged.
    best: {"step", "loss", "photos"}, or None. team: those who judge together. Raises DataError.
    """

    def __init__(self, config, photos, width, head, xp=np, team=ALONE):
        judges = find_photos(config.val) if config.val else photos
        size = {"size": config.size, "resize": config.resize, "workers": config.workers}
        centres = partial(PhotoLoader, augment=False, **size)
        self.given, self.xp = config.val, xp
        self.val = centres(judges, batch=config.batch, team=team)
        spread = judges[:: -(-len(judges) // SHEET_PHOTOS)]  # and others, where these are broken
        self.shown = centres(list(dict.fromkeys(spread + judges)), batch=SHEET_PHOTOS)
        self.network, self.best = Network(width, head=head).to(xp), None

    def check(self, photos):
        """Raises DataError if --val is of no use. Says if it is not kept apart from --data."""
        if not self.given:
            return
        try:
            require_color(self.val)
        except DataError as error:
            raise DataError(f"--val {' '.join(self.given)}: {error}") from None
        both = {str(photo) for photo in self.val.photos} & {str(photo) for photo in photos}
        if both:
            print(f"{len(both):,} photos of --val are among --data: their loss tells little")

    def validate(self, learner):
        """Losses of what `network` holds on centre crops of all of --val, for the log.

        learner: Learner, whose loss it is. Returns a dict, first the loss that is minimised. A
        photo without colour has no say, as in training. Raises DataError if no photo has colour.
        """
        total, colored = np.zeros(2), 0
        batches = -(-len(self.val) // self.val.batch)
        for rgb in tqdm(self.val.batches(), "validation", batches, leave=False, delay=1):
            x, *truth = learner.targets(self.xp.asarray(rgb))
            count = int(pictures_that_count(truth[-1]))
            loss = learner.loss(self.network.forward(x), truth)
            total += count * np.array([float(loss.weighted), float(loss.unweighted)])
            colored += count
        *total, colored = self.val.team.sum(np.array([*total, colored], np.float64))
        if not colored:
            raise DataError("no photo of --val has any colour: there is nothing to measure")
        return learner.named("val_loss", *(np.array(total) / colored))

    def is_best(self, losses, step):
        """Whether no losses of `validate` were lower; then they are remembered."""
        loss = next(iter(losses.values()))  # the one that is minimised
        if self.best is not None and loss >= self.best["loss"]:
            return False
        self.best = {"step": step, "loss": loss, "photos": digest(self.val.photos)}
        return True

    def draw(self, path):
        """The sample sheet of what `network` holds, as a file."""
        shown = (self.shown.batches(k, k + 1) for k in range(len(self.shown)))
        truth = next(itertools.chain.from_iterable(shown))
        sample_sheet(path, self.network, truth, self.xp)
