#!/usr/bin/env python3
"""Train the colourisation network on a folder of photographs.

examples
  a first try, minutes on a laptop
      python train.py --data photos/ --model tiny --size 96 --batch 16 --steps 2000 --out runs/try
  the authors' recipe (days on a GPU)
      python train.py --data imagenet/train --val imagenet/val --model full --size 176 --batch 40 \\
          --steps 450000 --schedule steps --lr 3.16e-5 --ema 0 --sample-every 5000 --out runs/paper
  as well as half an hour allows
      python train.py --data photos/ more.zip --val val.tar --size 96 --resize 112 --batch 32 \\
          --cache --minutes 30
  go on from the weights that ship, with photos of your own
      python train.py --data photos/ --val val/ --init full --size 112 --resize 128 --minutes 60
  go on with a run that was stopped
      python train.py --resume runs/try
  at a lower rate, if the loss was not a number any more
      python train.py --resume runs/try --lr 3e-4
  train longer than was planned
      python train.py --resume runs/try --steps 4000

The run's folder holds the log, sample pictures, the curve of the loss and the weights: weights.npz
is the moving average at the step with the lowest loss on --val (without --val, the last one), and
last.npz the last. Colour a photo by  python infer.py photo.jpg --weights runs/try
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import os
import time
from pathlib import Path

from mini_colorize import command

# What a run writes, and a new one would overwrite; and what may change when it is resumed.
RUN_FILES = "config.json weights.npz checkpoint.npz last.npz log.jsonl loss.png prior.npy samples"
FREE = "device precision lr steps workers data val cache log_every sample_every save_every"


# Options that are numbers, by group.
DATA = {
    "--size S": "side of the crops, pixels (176)",
    "--resize R": "photos' shorter side before cropping (size * 256/176)",
    "--scale X": "crop squares of a random side, size / X to size * X, and resize them to size; "
    "against learning by heart (1)",
    "--frame P": "share of the crops that are laid, smaller, on white or gray, as on a page: "
    "teaches that paper is white (0)",
    "--batch N": "photos a step (40)",
    "--workers N": "decoding threads (one a processor, at most 8)",
}
LENGTH = {
    "--steps N": "steps in all (10000)",
    "--minutes M": "instead: as many steps as fit into this time, counted from the start of the "
    "command, preparations, validations and saving included; a rehearsal tells how many, and "
    "--resume keeps to it",
}
OPTIMISATION = {
    "--lr X": "learning rate of Adam (1e-3; with --init 1e-4)",
    "--lr-every N": "with --schedule steps: multiply the rate by 0.316 every N steps, twice in all "
    "(0.48 of all steps)",
    "--warmup N": "steps in which the rate grows from 0 (0; with --init 200, at most a tenth of "
    "all)",
    "--weight-decay X": "as the authors count it, on the loss summed over a picture (1e-3)",
    "--lam X": "lambda of the class weights: 1 no rebalancing, to 0 all (0.5); has a say with "
    "--loss rebalanced only",
    "--ema X": "moving average of the weights, 0 for none (0.999)",
    "--seed N": "of the weights, the order and the crops (0)",
}
REPORTS = {
    "--log-every N": "steps a line of log.jsonl (10)",
    "--sample-every N": "steps between validations and sample sheets (200)",
    "--save-every N": "steps between checkpoints (by the clock: every 30 seconds to 10 minutes, so "
    "that they take a twentieth of the time or less; one more with each new best)",
}


def parse(argv):
    p = command.new_parser("train.py", __doc__)
    what = p.add_argument_group("what to do")
    command.add_options(what, "data")
    judges = "photos to measure the loss on, never trained on; all, every --sample-every steps"
    what.add_argument("--val", **{**command.OPTIONS["data"], "help": judges})
    what.add_argument("--out", metavar="DIR", help="the run's folder (runs/MODEL, a new one)")
    what.add_argument("--resume", metavar="DIR", help="go on with this run; needs nothing else")
    what.add_argument(
        "--init",
        metavar="FILE|RUN|full|tiny",
        help="start from these weights, not from random; full and tiny are those that ship (a file "
        "of such a name is ./full); the authors' .pth and .caffemodel are read, too; those of "
        "a narrower model are widened",
    )
    # Without a default: a run that is resumed has its own.
    command.add_options(what, "device", "precision", default=None)
    net = p.add_argument_group("network and data")
    net.add_argument(
        "--model",
        choices=("tiny", "small", "full"),
        help="width: full is the paper's, small half, tiny a quarter (that of --init, else tiny)",
    )
    net.add_argument(
        "--loss",
        choices=("rebalanced", "classification", "regression"),
        help="the paper's three systems: cross-entropy in which rare colours weigh more, "
        "cross-entropy, or the squared distance to the colour itself (rebalanced)",
    )
    command.add_numbers(net, DATA)
    net.add_argument(
        "--cache",
        action=argparse.BooleanOptionalAction,
        help="decode every photo once and keep it in memory, R x R x 3 bytes or a little more each; "
        "the crops stay the same",
    )
    net.add_argument(
        "--local-batchnorm",
        action=argparse.BooleanOptionalAction,
        help="of several processes (mpiexec -n 8 python train.py ...), each normalises by the "
        "statistics of its own part of the batch: two messages less a layer, and another result",
    )
    opt = p.add_argument_group("optimisation")
    command.add_numbers(opt.add_mutually_exclusive_group(), LENGTH)
    opt.add_argument(
        "--schedule",
        choices=("cosine", "steps"),
        help="of the rate. cosine: falls to 1 %% at the last step; steps: see --lr-every (cosine)",
    )
    command.add_numbers(opt, OPTIMISATION)
    command.add_numbers(p.add_argument_group("reports"), REPORTS)
    return p, p.parse_args(argv)


def prepare(parser, args):
    """The Config and the folder that the arguments ask for. A run that is resumed has its own."""
    from mini_colorize.files.checkpoint import SHIPPED
    from mini_colorize.files.config import Config, load_config

    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Config)}
    given = {name: value for name, value in given.items() if value is not None}
    for name in {"data", "val"} & given.keys():  # --resume may be called from elsewhere
        given[name] = [path and os.path.abspath(path) for path in given[name]]
    if given.get("init") and given["init"] not in SHIPPED:
        given["init"] = os.path.abspath(given["init"])
    if args.resume:
        fixed = [*sorted(given.keys() - set(FREE.split())), *(["out"] if args.out else [])]
        if fixed:
            parser.error(f"--{fixed[0].replace('_', '-')} cannot change in a run that is resumed")
        return dataclasses.replace(load_config(args.resume), **given), Path(args.resume)
    if not args.data:
        parser.error("say which photos: --data SOURCE (or --resume DIR)")
    config = Config(**given).settled()
    config.check_warmup()
    if args.lam is not None and config.loss != "rebalanced":
        parser.error("--lam has a say with --loss rebalanced only")
    return config, Path(args.out) if args.out else None


@contextlib.contextmanager
def claimed_folder(parser, folder, config, resumed):
    """The run's folder, Path, for this process alone; None makes a new one, runs/MODEL."""
    from mini_colorize.files.disk import claimed

    with contextlib.ExitStack() as stack:
        if folder is None:
            for i in itertools.count(1):
                folder = Path("runs", config.model if i == 1 else f"{config.model}-{i}")
                with contextlib.suppress(FileExistsError):
                    stack.enter_context(claimed(folder, new=True))
                    break
        else:
            stack.enter_context(claimed(folder))
        there = [name for name in RUN_FILES.split() if not resumed and (folder / name).exists()]
        if there:
            go_on = f"go on with --resume {folder}, or " if "config.json" in there else ""
            parser.error(f"{folder} holds a run's {there[0]}: {go_on}choose another --out")
        yield folder


@contextlib.contextmanager
def told_where_photos_are_said(args, config):
    """Of a run that is resumed: photos that are missing may have moved."""
    from mini_colorize.photos import DataError

    try:
        yield
    except DataError as error:
        names = [n for n in ("data", "val") if getattr(config, n) and not getattr(args, n)]
        if not (args.resume and names):
            raise
        flags = " and ".join(f"--{name}" for name in names)
        raise DataError(f"{error}; photos that have moved are named by {flags}") from None


def main(argv=None):
    started = time.perf_counter()
    command.share_cores()
    parser, args = parse(argv)

    errors = {"memory": "a smaller --batch or --size needs less"}

    def work():
        from mini_colorize.team import together

        explain = functools.partial(command.explained, **errors)
        return together(
            "train.py", lambda team: train(parser, args, started, team), explain=explain
        )

    return command.attempt("train.py", work, **errors)


def train(parser, args, started, team):
    """Returns the exit code."""
    from mini_colorize.backend import device_memory, select_device
    from mini_colorize.training import Trainer

    config, folder = team.told(prepare(parser, args) if team.rank == 0 else None)
    xp, line = select_device(config.device, team.local_rank)
    team.check_devices(xp)
    # Saved as what it turned out to be: a resumed run stays where it began.
    config = dataclasses.replace(config, device="cpu" if xp.__name__ == "numpy" else "cuda")
    print(line)
    if team.size > 1:
        print(f"processes: {team.size}")
    claim = claimed_folder(parser, folder, config, args.resume)
    with claim if team.rank == 0 else contextlib.nullcontext() as folder:
        folder = team.told(folder)
        with told_where_photos_are_said(args, config):
            trainer = Trainer(config, folder, xp, started, team)
        trainer.resume() if args.resume else trainer.start()
        print(f"precision: {config.precision}")
        print(f"run: {folder}, {len(trainer.loader)} photos, from step {trainer.step}")
        done = trainer.train()
    if not done:
        print(f"saved at step {trainer.step}; go on with: python train.py --resume {folder}")
        return 130
    held = device_memory(xp)
    if held is not None:
        print(f"device memory held: {held / 2**20:,.0f} MiB")
    if trainer.judge.best:
        print(
            f"weights.npz: step {trainer.judge.best['step']:,}, the lowest validation loss "
            f"({trainer.judge.best['loss']:.4f}); last.npz: step {trainer.step:,}"
        )
    print(
        f"done: {trainer.step} steps; colour a photo with: "
        f"python infer.py photo.jpg --weights {folder}"
    )
    return 0


if __name__ == "__main__":
    command.run_program(main)
