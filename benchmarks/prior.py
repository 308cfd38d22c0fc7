"""The colour prior of a folder of photos, and how far it lies from another one.

    python -m benchmarks.prior --data DIR [--reference reference_prior.npy]

Prints the bins in use and the range of the class weights. A published prior may have its bins in
another order, so only the sorted values of the two are compared: the total variation distance (half
the sum of absolute differences, the share of the mass that would have to move) and the
Kullback-Leibler divergence. Both are lower bounds of those between the priors themselves.
"""

import argparse

import numpy as np

from mini_colorize.bins import class_weights
from mini_colorize.data import PhotoLoader
from mini_colorize.photos import find_photos
from mini_colorize.targets import measure_prior


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--reference", help="(313,) .npy to compare with")
    parser.add_argument("--size", type=int, default=176)
    args = parser.parse_args()
    loader = PhotoLoader(find_photos(args.data), size=args.size, batch=16)
    prior = measure_prior(loader)
    w = class_weights(prior)
    used, weights = (prior > 1e-6).sum(), f"{w.min():.2f} .. {w.max():.2f}"
    print(f"{len(loader)} photos: {used} bins in use, weights {weights}")
    if args.reference:
        p, q = np.sort(prior), np.sort(np.load(args.reference).ravel())
        distance, divergence = abs(p - q).sum() / 2, (p * np.log((p + 1e-12) / (q + 1e-12))).sum()
        print(f"to {args.reference}, the values of both sorted:")
        print(f"total variation {distance:.3f}, Kullback-Leibler {divergence:.3f} nats")


if __name__ == "__main__":
    main()
