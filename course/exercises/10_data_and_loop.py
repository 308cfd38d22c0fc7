"""Chapter 10: data and the loop. Check your answers with: python -m course 10"""

import numpy as np  # noqa: F401


def targets(lab):
    """What the network is given, and what it is asked for.

    lab: (N, S, S, 3) float64, Lab of N crops, S a multiple of 4. Returns
        x       (N, S, S, 1)        (L - 50) / 100
        ab      (N, S/4, S/4, 2)    a and b of one pixel of every 4 x 4: that in row 2 and column 2
                                    of the four, counted from 0
        weight  (N,)                1 for a crop with colour, 0 for one without: a crop without has
                                    no |a| and no |b| above 5 in its part of `ab`
    """
    raise NotImplementedError


def batch(n, size, seed, k):
    """The numbers of the photos in batch k: a function of its arguments and of nothing else.

    n: photos, numbered 0 ... n-1. size: photos in a batch; it may be larger than n. seed, k:
    integers >= 0. Put the batches 0, 1, 2, ... one behind the other and cut the row into pieces of
    n, the epochs: each epoch has every photo once, in an order that is drawn for this seed and this
    epoch (so epoch 1 of seed 0 is not epoch 0 of seed 1 either). A batch may lie across the end of an epoch, so each one is full. Any generator of random
    numbers will do, but leave NumPy's and Python's global ones alone.
    Returns (size,) integers.
    """
    raise NotImplementedError


def learn(network, x, z, loss, adam, steps):
    """Learn a few photos by heart: `steps` steps, each with all of them. Returns their losses.

    x: (N, h, w, C), what the network is given. z: (N, h, w, Q), what it is asked for.
    network.forward(x)         gives the logits, (N, h, w, Q), and keeps what `backward` needs
    network.backward(dlogits)  adds the gradients to those that network.grads has already
    network.clear()            makes all of network.grads 0
    loss(logits, z)            gives two values: the loss, a number, and its gradient dlogits
    adam(network)              changes network.params by network.grads: a step down
    Returns (steps,): the loss of each step, before Adam changes anything in that step.
    """
    raise NotImplementedError
