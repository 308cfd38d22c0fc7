"""Chapter 10: what a training run is asked to do, checked before anything starts."""

import dataclasses
import json
import math
from pathlib import Path

from ..backend import PRECISIONS
from ..errors import UserError
from ..network import MULTIPLE, WIDTHS
from .checkpoint import MAX_SIZE, load_meta, short

LOSSES = ("rebalanced", "classification", "regression")  # the paper's three systems
CHOICES = {
    "precision": PRECISIONS,
    "model": WIDTHS,
    "loss": LOSSES,
    "schedule": ("cosine", "steps"),
}
NOT_NEGATIVE = "seed workers warmup"
POSITIVE = "size batch steps minutes lr lr_every log_every sample_every save_every"
STEPS = 10_000  # where neither steps nor minutes are said
LR, LR_INIT = 1e-3, 1e-4  # from random weights, and from trained ones: Adam's moments are new
WARMUP_INIT = 200  # steps, from trained weights; at most a tenth of all
MAX_SCALE, MAX_MINUTES = 4.0, 1e6


class TrainingError(UserError):
    """The run cannot start or go on. One line, for a person."""


@dataclasses.dataclass
class Config:
    """What a run was asked to do; config.json holds exactly this. See train.py --help."""

    data: list  # of paths, str
    val: list | None = None
    model: str | None = None  # None: the width of `init`, else tiny
    loss: str = "rebalanced"
    size: int = 176
    resize: int | None = None
    scale: float = 1.0
    frame: float = 0.0
    batch: int = 40
    steps: int | None = None  # None: as many as fit into `minutes`
    minutes: float | None = None
    lr: float | None = None
    schedule: str = "cosine"
    lr_every: int | None = None
    warmup: int | None = None
    weight_decay: float = 1e-3
    lam: float = 0.5
    ema: float = 0.999
    init: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    seed: int = 0
    workers: int | None = None
    cache: bool = False
    local_batchnorm: bool = False
    log_every: int = 10
    sample_every: int = 200
    save_every: int | None = None  # None: by the clock

    def settled(self):
        """A Config in which nothing is left open but what only the run itself can tell: None
        becomes what it stands for. Checked. Raises TrainingError, and CheckpointError for `init`.

        What depends on the number of steps stays open until that is known, and is then settled
        for good: a run that is made longer keeps its schedule, but for the cosine, which always
        ends with the last step.
        """
        self.check()
        new = {}
        if self.model is None:
            new["model"] = self._model_of_init() if self.init else "tiny"
        if self.lr is None:
            new["lr"] = LR_INIT if self.init else LR
        if self.steps is None and self.minutes is None:
            new["steps"] = STEPS
        steps = new.get("steps", self.steps)
        if steps is not None:
            if self.lr_every is None and self.schedule == "steps":
                # where the authors' rate fell, after 215,000 of their 450,000 steps
                new["lr_every"] = max(1, round(steps * 215 / 450))
            if self.warmup is None:
                new["warmup"] = min(WARMUP_INIT, steps // 10) if self.init else 0
        return dataclasses.replace(self, **new)

    def check_warmup(self):
        """Raises TrainingError if a new run would end while its rate still grows. One that is
        resumed with fewer steps may: how fast the rate grows is settled."""
        if self.warmup and self.steps and self.warmup >= self.steps:
            raise TrainingError(f"--warmup {self.warmup} must be less than the {self.steps} steps")

    def _model_of_init(self):
        width = load_meta(self.init).get("width")
        model = next((name for name, w in WIDTHS.items() if w == width), None)
        if model is None:
            raise TrainingError(f"{self.init}: has a width of its own; say --model")
        return model

    def check(self):
        """Raises TrainingError in one line for the first value that makes no sense."""

        def need(fine, told):
            if not fine:
                raise TrainingError(told)

        for field in dataclasses.fields(self):
            value, kind, flag = getattr(self, field.name), field.type, _flag(field.name)
            accepted = {float: int | float, float | None: int | float | None}.get(kind, kind)
            fits = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
            need(fits, f"{flag} must be {getattr(kind, '__name__', kind)}")
            if isinstance(value, list):
                names = value and all(isinstance(v, str) for v in value)
                need(names, f"{flag} must be one or more names")
            if isinstance(value, float):
                need(math.isfinite(value), f"{flag} must be finite")
        given = {name: value for name, value in vars(self).items() if value is not None}
        for name in POSITIVE.split():
            need(given.get(name, 1) > 0, f"{_flag(name)} must be more than 0")
        for name in NOT_NEGATIVE.split():
            need(given.get(name, 1) >= 0, f"{_flag(name)} must not be negative")
        for name, choices in CHOICES.items():
            need(
                getattr(self, name) in (*choices, None),
                f"{_flag(name)} must be one of {', '.join(choices)}",
            )
        need(self.init != "", "--init '': no such file")  # an unset variable
        odd = self.size % MULTIPLE
        need(not odd, f"--size must be a multiple of {MULTIPLE}, such as 96, 128 or 176")
        resize = given.get("resize", self.size)
        need(max(self.size, resize) <= MAX_SIZE, f"--size and --resize are at most {MAX_SIZE}")
        need(resize >= self.size, "--resize must not be less than --size")
        minutes = given.get("minutes", 0)
        need(minutes <= MAX_MINUTES, f"--minutes must be at most {MAX_MINUTES:.0f}")
        stepped = self.lr_every is None or self.schedule == "steps"
        need(stepped, "--lr-every has a say with --schedule steps only")
        scaled = 1 <= self.scale <= MAX_SCALE and 0 <= self.frame <= 1
        need(scaled, f"--scale is 1 to {MAX_SCALE:g}, --frame 0 to 1")
        weighed = 0 < self.lam <= 1 and 0 <= self.ema < 1 and self.weight_decay >= 0
        need(weighed, "--lam is above 0 and at most 1, --ema 0 to below 1, decay not < 0")


def _flag(name):
    return "--" + name.replace("_", "-")


def load_config(folder):
    """The Config of a run's folder. Raises TrainingError in one line."""
    path = Path(folder) / "config.json"
    try:
        told = json.loads(path.read_text())
        for name in ("data", "val"):  # runs from before there could be several
            if isinstance(told.get(name), str):
                told[name] = [told[name]]
        # what older runs did not know was so for them
        config = Config(**{"schedule": "steps", "warmup": 0, **told})
    except FileNotFoundError:
        raise TrainingError(f"{folder}: not a run's folder (no config.json)") from None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = short(error)
        raise TrainingError(f"{path}: cannot be used ({reason})") from None
    try:
        config.check()
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from None
    return config
