"""Wrong answers that students give to chapter 10. The docstring: exercise, and what is to be said."""

import random

import numpy as np


def _made(lab, ab=None, coloured=None):
    """Right but for what is given."""
    cells = lab[:, 2::4, 2::4, 1:]
    if coloured is None:
        coloured = np.abs(cells).max(axis=(1, 2, 3)) > 5
    return (lab[..., 0:1] - 50) / 100, cells if ab is None else ab, coloured.astype(float)


def first_pixel(lab):
    """targets: ab is wrong: the pixel is that in row 0 and column 0"""
    return _made(lab, lab[:, ::4, ::4, 1:])


def counted_from_one(lab):
    """targets: ab is wrong: the pixel is that in row 1 and column 1"""
    return _made(lab, lab[:, 1::4, 1::4, 1:])


def mean_colour(lab):
    """targets: ab is wrong: a mean of 4 x 4 pixels"""
    n, s = lab.shape[:2]
    return _made(lab, lab[..., 1:].reshape(n, s // 4, 4, s // 4, 4, 2).mean((2, 4)))


def lightness_and_a(lab):
    """targets: ab is wrong: these are L and a"""
    return _made(lab, lab[:, 2::4, 2::4, :-1])


def grays_made_gray(lab):
    """targets: ab is wrong: a crop without colour keeps its ab"""
    x, ab, weight = _made(lab)
    return x, ab * weight.reshape(-1, 1, 1, 1), weight


def a_half_too_much(lab):
    """targets: x is wrong: divided by 50"""
    _, ab, weight = _made(lab)
    return lab[..., :1] / 50 - 1, ab, weight


def not_centred(lab):
    """targets: x is wrong: the 50 is missing"""
    _, ab, weight = _made(lab)
    return lab[..., :1] / 100, ab, weight


def no_channel(lab):
    """targets: x has the shape (1, 4, 4), wanted is (1, 4, 4, 1)"""
    _, ab, weight = _made(lab)
    return (lab[..., 0] - 50) / 100, ab, weight


def no_negative_colours(lab):
    """targets: weight is wrong: a and b may be negative"""
    return _made(lab, coloured=(lab[:, 2::4, 2::4, 1:] > 5).any(axis=(1, 2, 3)))


def all_pixels_coloured(lab):
    """targets: weight is wrong: one pixel above 5 is enough (any)"""
    return _made(lab, coloured=(np.abs(lab[:, 2::4, 2::4, 1:]) > 5).all(axis=(1, 2, 3)))


def mean_chroma(lab):
    """targets: weight is wrong: a mean over the crop"""
    return _made(lab, coloured=np.abs(lab[:, 2::4, 2::4, 1:]).mean(axis=(1, 2, 3)) > 5)


def chroma(lab):
    """targets: weight is wrong: |a| and |b| each"""
    length = np.linalg.norm(lab[:, 2::4, 2::4, 1:], axis=-1)
    return _made(lab, coloured=length.max(axis=(1, 2)) > 5)


def five_counts(lab):
    """targets: weight is wrong: 5 itself is still without colour"""
    return _made(lab, coloured=np.abs(lab[:, 2::4, 2::4, 1:]).max(axis=(1, 2, 3)) >= 5)


def pixels_nobody_asks_for(lab):
    """targets: weight is wrong: only the pixels of `ab` count"""
    return _made(lab, coloured=np.abs(lab[..., 1:]).max(axis=(1, 2, 3)) > 5)


def a_weight_a_pixel(lab):
    """targets: weight has the shape (1, 1, 1), wanted is (1,): picture"""
    return _made(lab, coloured=(np.abs(lab[:, 2::4, 2::4, 1:]) > 5).any(axis=3))


def one_for_all(lab):
    """targets: weight is wrong: all crops have one weight"""
    return _made(lab, coloured=np.repeat(np.any(np.abs(lab[:, 2::4, 2::4, 1:]) > 5), len(lab)))


def drawn_by_step(n, size, seed, k):
    """batch: no photo comes twice within a batch, but one does within an epoch"""
    rng = np.random.default_rng((seed, k))
    return np.resize(rng.permutation(n), size)


def every_photo_by_itself(n, size, seed, k):
    """batch: a photo comes twice: draw an order of all photos"""
    return np.random.default_rng([seed, k]).integers(n, size=size)


def epochs_all_alike(n, size, seed, k):
    """batch: all epochs have the same order"""
    order = np.random.default_rng(seed).permutation(n)
    return order[np.arange(k * size, (k + 1) * size) % n]


def global_generator(n, size, seed, k):
    """batch: a global generator is used, so a batch depends on what else was drawn"""
    return np.resize(np.random.permutation(n), size)


def global_seed(n, size, seed, k):
    """batch: a global generator is set or used"""
    found = []
    for s in range(k * size, (k + 1) * size):
        random.seed(f"{seed} {s // n}")
        order = list(range(n))
        random.shuffle(order)
        found.append(order[s % n])
    return found


def rest_left_out(n, size, seed, k):
    """batch: an epoch begins anew with a batch"""
    per_epoch = max(1, n // size)
    epoch, i = divmod(k, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return np.resize(order, max(n, size))[i * size : (i + 1) * size]


def rest_filled_up(n, size, seed, k):
    """batch: an epoch begins anew with a batch"""
    per_epoch = -(-n // size)
    epoch, i = divmod(k, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return order[np.arange(i * size, (i + 1) * size) % n]


def last_one_is_short(n, size, seed, k):
    """batch: a batch is not full"""
    per_epoch = -(-n // size)
    epoch, i = divmod(k, per_epoch)
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return order[i * size : (i + 1) * size]


def epoch_of_the_first_photo(n, size, seed, k):
    """batch: a batch across the end of an epoch is to go on with the next epoch's order"""
    first = k * size
    order = np.random.default_rng((seed, first // n)).permutation(n)
    return order[(first + np.arange(size)) % n]


_SHARED = np.random.default_rng(0)
_ORDERS = {}


def orders_as_they_are_asked_for(n, size, seed, k):
    """batch: a batch depends on which batches were asked for before it"""
    found = []
    for s in range(k * size, (k + 1) * size):
        key = n, seed, s // n
        if key not in _ORDERS:
            _ORDERS[key] = _SHARED.permutation(n)
        found.append(_ORDERS[key][s % n])
    return np.array(found)


def one_generator_for_all(n, size, seed, k):
    """batch: the same arguments do not give the same batch"""
    return np.resize(_SHARED.permutation(n), size)


def seed_and_epoch_added(n, size, seed, k):
    """batch: epoch 1 of seed 0 has the order of epoch 0 of seed 1"""
    at = [divmod(s, n) for s in range(k * size, (k + 1) * size)]
    return [int(np.random.default_rng(seed + e).permutation(n)[i]) for e, i in at]


def without_the_seed(n, size, seed, k):
    """batch: the order does not depend on the seed"""
    at = [divmod(s, n) for s in range(k * size, (k + 1) * size)]
    return [int(np.random.default_rng(e).permutation(n)[i]) for e, i in at]


def not_shuffled(n, size, seed, k):
    """batch: the photos come in the order of their numbers"""
    return (k * size + np.arange(size)) % n


def turned(n, size, seed, k):
    """batch: one order is another one turned"""
    order = np.random.default_rng(seed).permutation(n)
    at = [divmod(s, n) for s in range(k * size, (k + 1) * size)]
    return np.array([np.roll(order, 3 * e)[i] for e, i in at])


def beyond_the_end(n, size, seed, k):
    """batch: IndexError in line"""
    epoch = k * size // n
    order = np.random.default_rng((seed, epoch)).permutation(n)
    return np.array([order[k * size - epoch * n + i] for i in range(size)])


def never_cleared(network, x, z, loss, adam, steps):
    """learn: the gradients of the steps before are still in network.grads"""
    losses = []
    for _ in range(steps):
        value, dlogits = loss(network.forward(x), z)
        losses.append(value)
        network.backward(dlogits)
        adam(network)
    return losses


def cleared_once(network, x, z, loss, adam, steps):
    """learn: the gradients of the steps before are still in network.grads"""
    losses = []
    network.clear()
    for _ in range(steps):
        value, dlogits = loss(network.forward(x), z)
        losses += [value]
        network.backward(dlogits)
        adam(network)
    return np.array(losses)


def cleared_too_soon(network, x, z, loss, adam, steps):
    """learn: cleared between backward and Adam"""
    losses = []
    for _ in range(steps):
        value, dlogits = loss(network.forward(x), z)
        losses.append(value)
        network.backward(dlogits)
        network.clear()
        adam(network)
    return losses


def update_before_backward(network, x, z, loss, adam, steps):
    """learn: Adam comes before backward"""
    losses = np.zeros(steps)
    for t in range(steps):
        losses[t], dlogits = loss(network.forward(x), z)
        adam(network)
        network.clear()
        network.backward(dlogits)
    return losses


def uphill(network, x, z, loss, adam, steps):
    """learn: the sign: the loss rises"""
    losses = []
    for _ in range(steps):
        network.clear()
        value, dlogits = loss(network.forward(x), z)
        network.backward(-dlogits)
        adam(network)
        losses.append(value)
    return losses


def first_photo_only(network, x, z, loss, adam, steps):
    """learn: only the first photo is used"""
    losses = []
    for _ in range(steps):
        network.clear()
        value, dlogits = loss(network.forward(x[:1]), z[:1])
        network.backward(dlogits)
        adam(network)
        losses.append(value)
    return losses


def in_turn(network, x, z, loss, adam, steps):
    """learn: a step has one photo, and the next step another"""
    losses = []
    for t in range(steps):
        i = [t % len(x)]
        network.clear()
        value, dlogits = loss(network.forward(x[i]), z[i])
        network.backward(dlogits)
        adam(network)
        losses.append(value)
    return losses


def a_step_for_each_photo(network, x, z, loss, adam, steps):
    """learn: Adam is called after each photo"""
    losses = []
    for _ in range(steps):
        total = 0
        for i in range(len(x)):
            value, dlogits = loss(network.forward(x[[i]]), z[[i]])
            network.clear()
            network.backward(dlogits)
            adam(network)
            total += value / len(x)
        losses.append(total)
    return losses


def logits_of_the_beginning(network, x, z, loss, adam, steps):
    """learn: the loss never changes: the logits are made once"""
    logits = network.forward(x)
    losses = []
    for _ in range(steps):
        value, dlogits = loss(logits, z)
        network.clear()
        network.backward(dlogits)
        adam(network)
        losses.append(value)
    return losses


def no_update(network, x, z, loss, adam, steps):
    """learn: the loss never changes: nobody calls adam(network)"""
    losses = []
    for _ in range(steps):
        network.clear()
        value, dlogits = loss(network.forward(x), z)
        network.backward(dlogits)
        losses.append(value)
    return losses


def measured_afterwards(network, x, z, loss, adam, steps):
    """learn: these are the losses after Adam"""
    losses = []
    for _ in range(steps):
        network.clear()
        network.backward(loss(network.forward(x), z)[1])
        adam(network)
        losses.append(loss(network.forward(x), z)[0])
    return losses


def loss_for_its_gradient(network, x, z, loss, adam, steps):
    """learn: backward wants dlogits, an array, and got 2 values"""
    losses = []
    for _ in range(steps):
        network.clear()
        value = loss(network.forward(x), z)
        network.backward(value)
        adam(network)
        losses.append(value)
    return losses


def the_last_loss(network, x, z, loss, adam, steps):
    """learn: losses has the shape (), wanted is (3,): step"""
    for _ in range(steps):
        network.clear()
        value, dlogits = loss(network.forward(x), z)
        network.backward(dlogits)
        adam(network)
    return value
