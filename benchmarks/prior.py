"""The colour prior of a folder of photos, and how far it lies from another one.

    python -m benchmarks.prior --data DIR [--reference reference_prior.npy]

Prints the total variation distance (half the sum of absolute differences: the share of the mass
that would have to move) and the Kullback-Leibler divergence, and the range of the class weights.
"""

import argparse

import numpy as np

from mini_colorize.bins import class_weights
from mini_colorize.data import PhotoLoader
from mini_colorize.photos import find_photos
from mini_colorize.targets import measure_prior


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--data", required=True)
    p.add_argument("--reference", help="(313,) .npy to compare with")
    p.add_argument("--size", type=int, default=176)
    args = p.parse_args()
    loader = PhotoLoader(find_photos(args.data), size=args.size, batch=16)
    prior = measure_prior(loader)
    w = class_weights(prior)
    print(
        f"{len(loader)} photos: {(prior > 1e-6).sum()} bins in use, "
        f"weights {w.min():.2f} .. {w.max():.2f}"
    )
    if args.reference:
        other = np.load(args.reference).ravel()
        distance = abs(prior - other).sum() / 2
        divergence = (prior * np.log((prior + 1e-12) / (other + 1e-12))).sum()
        print(
            f"to {args.reference}: total variation {distance:.3f}, "
            f"Kullback-Leibler {divergence:.3f} nats"
        )


if __name__ == "__main__":
    main()
