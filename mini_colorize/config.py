"""Chapter 8a: what a training run is asked to do, checked before anything starts."""

import dataclasses
import json
import math
from pathlib import Path

from .backend import PRECISIONS
from .checkpoint import short
from .network import MULTIPLE, WIDTHS

LOSSES = ("rebalanced", "classification", "regression")  # the paper's three systems


class TrainingError(Exception):
    """The run cannot start or go on. One line, for a person."""


@dataclasses.dataclass
class Config:
    """What a run was asked to do; config.json holds exactly this. See train.py --help."""

    data: str
    val: str | None = None
    model: str = "tiny"
    loss: str = "rebalanced"
    size: int = 176
    resize: int | None = None
    batch: int = 40
    steps: int = 10_000
    lr: float = 1e-3
    lr_every: int | None = None
    weight_decay: float = 1e-3
    lam: float = 0.5
    ema: float = 0.999
    init: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    seed: int = 0
    workers: int | None = None
    log_every: int = 10
    sample_every: int = 200
    save_every: int = 100

    def check(self):
        """Raises TrainingError in one line for the first value that makes no sense."""
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.type
            accepted = int | float if kind is float else kind
            if isinstance(value, bool) or not isinstance(value, accepted):
                raise TrainingError(
                    f"{_flag(field.name)} must be {getattr(kind, '__name__', kind)}"
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise TrainingError(f"{_flag(field.name)} must be finite")
        positive = ("size", "batch", "steps", "lr", "log_every", "sample_every", "save_every")
        for name in positive:
            if not getattr(self, name) > 0:
                raise TrainingError(f"{_flag(name)} must be more than 0")
        if self.precision not in PRECISIONS:
            raise TrainingError(f"--precision must be one of {', '.join(PRECISIONS)}")
        if self.model not in WIDTHS:
            raise TrainingError(f"--model must be one of {', '.join(WIDTHS)}")
        if self.loss not in LOSSES:
            raise TrainingError(f"--loss must be one of {', '.join(LOSSES)}")
        if self.size % MULTIPLE:
            raise TrainingError(f"--size must be a multiple of {MULTIPLE}, such as 96, 128 or 176")
        if self.resize is not None and self.resize < self.size:
            raise TrainingError("--resize must not be less than --size")
        if self.lr_every is not None and self.lr_every < 1:
            raise TrainingError("--lr-every must be at least 1")
        if not (0 < self.lam <= 1 and 0 <= self.ema < 1 and self.weight_decay >= 0):
            raise TrainingError("--lam is above 0 and at most 1, --ema 0 to below 1, decay not < 0")
        if self.seed < 0 or (self.workers is not None and self.workers < 0):
            raise TrainingError("--seed and --workers must not be negative")


def _flag(name):
    return "--" + name.replace("_", "-")


def load_config(folder):
    """The Config of a run's folder. Raises TrainingError in one line."""
    path = Path(folder) / "config.json"
    try:
        config = Config(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise TrainingError(f"{folder}: not a run's folder (no config.json)") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = short(error)
        raise TrainingError(f"{path}: cannot be used ({reason})") from None
    try:
        config.check()
    except TrainingError as error:
        raise TrainingError(f"{path}: {error}") from None
    return config
