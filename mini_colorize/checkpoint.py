"""A run's weights, or the authors' own, at a sixth of the size (int8), to share.

    python -m mini_colorize.checkpoint runs/full full.npz
    python -m mini_colorize.checkpoint colorization_release_v2-9b330a0b.pth eccv16.npz

Of several runs that began with the same weights, the mean, which may be better than each.
"""

from pathlib import Path

from . import command


def parse(argv):
    p = command.new_parser("python -m mini_colorize.checkpoint", __doc__)
    p.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a training run, or a file of weights, the authors' .pth or .caffemodel too",
    )
    p.add_argument("file", metavar="FILE", help="the file to write; it must not exist yet")
    first = "that the file recommends (the first run's, or none)"
    command.add_options(p, "size", help=f"side to colour at {first}")
    command.add_options(p, "temperature", help=f"temperature {first}")
    p.add_argument(
        "--dtype",
        choices=("float32", "float16", "int8"),
        default="int8",
        help="of the convolutions' weights in the file (int8)",
    )
    return p.parse_args(argv)


def convert(args):
    """Carry out the command. Raises CheckpointError, OSError."""
    from .files import checkpoint  # NumPy comes along: by now Ctrl-C is looked after

    if Path(args.file).exists():  # above all, not a run whose output was forgotten
        raise checkpoint.CheckpointError(f"{args.file}: exists already; choose another name")
    network, meta = checkpoint.load_network(args.runs[0])
    if len(args.runs) > 1:
        network.load_state(checkpoint.mean_state(network, args.runs))
        meta.pop("step", None)
    keep = {key: meta[key] for key in ("size", "step", "temperature") if key in meta}
    for key in ("size", "temperature"):
        if getattr(args, key) is not None:
            keep[key] = getattr(args, key)
    checkpoint.check_recommended(args.file, keep)
    checkpoint.save_network(args.file, network, checkpoint.DTYPES[args.dtype], **keep)


def main(argv=None):
    args = parse(argv)
    memory = "the weights of a narrower network need less"
    return command.attempt("checkpoint", lambda: convert(args), memory=memory)


if __name__ == "__main__":
    command.run_program(main)
