"""Wrong answers that students give to chapter 7. The docstring: exercise, and what is to be said."""

import numpy as np


def as_it_stands_in_the_book(logits):
    """log_softmax: exp overflows at logits of 1000"""
    e = np.exp(logits)
    return np.log(e / e.sum(axis=-1, keepdims=True))


def stable_softmax_then_log(logits):
    """log_softmax: a softmax that rounds to 0 has no logarithm"""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.log(e / e.sum(axis=-1, keepdims=True))


def a_small_number_added(logits):
    """log_softmax: a small number in the logarithm"""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.log(e / e.sum(axis=-1, keepdims=True) + 1e-8)


def clipped(logits):
    """log_softmax: a small number in the logarithm"""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.log(np.clip(e / e.sum(axis=-1, keepdims=True), 1e-15, 1))


def largest_of_all(logits):
    """log_softmax: the maximum is that of all pixels"""
    shifted = logits - np.max(logits)
    return shifted - np.log(np.sum(np.exp(shifted), axis=3, keepdims=True))


def maximum_not_added_again(logits):
    """log_softmax: the maximum is subtracted in the exp only"""
    top = logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def over_the_channels_of_nchw(logits):
    """log_softmax: the softmax runs along the wrong axis"""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def no_axis(logits):
    """log_softmax: the softmax runs over all pixels"""
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def no_logarithm(logits):
    """log_softmax: this is softmax itself"""
    e = np.exp(logits - logits.max(-1)[..., None])
    return e / e.sum(-1)[..., None]


def no_keepdims(logits):
    """log_softmax: ValueError in line"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1))


def _log_softmax(z):
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def gradient_is_softmax_only(logits, target):
    """cross_entropy: gradient is wrong: the term -Z is missing"""
    logs = _log_softmax(logits)
    n = logs[..., 0].size
    return -np.sum(target * logs) / n, np.exp(logs) / n


def mean_over_everything(logits, target):
    """cross_entropy: loss is wrong: it is divided by Q too"""
    logs = _log_softmax(logits)
    return -np.mean(target * logs), (np.exp(logs) - target) / logs.size


def gradient_over_everything(logits, target):
    """cross_entropy: gradient is wrong: it is divided by Q too"""
    logs = _log_softmax(logits)
    return (-target * logs).sum(-1).mean(), (np.exp(logs) - target) / logs.size


def a_sum(logits, target):
    """cross_entropy: loss is wrong: the sum over the pixels is given"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(), np.exp(logs) - target


def gradient_of_the_sum(logits, target):
    """cross_entropy: gradient is wrong: the sum over the pixels is given"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(-1).mean(), np.exp(logs) - target


def mean_over_the_batch(logits, target):
    """cross_entropy: loss is wrong: it is divided by the number of pictures"""
    logs = _log_softmax(logits)
    n = logits.shape[0]
    return -(target * logs).sum() / n, (np.exp(logs) - target) / n


def minus_forgotten(logits, target):
    """cross_entropy: loss is wrong: the sign is wrong"""
    logs = _log_softmax(logits)
    return (target * logs).sum(-1).mean(), (np.exp(logs) - target) / logs[..., 0].size


def gradient_uphill(logits, target):
    """cross_entropy: gradient is wrong: the sign is wrong: it is softmax - Z"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(-1).mean(), (target - np.exp(logs)) / logs[..., 0].size


def bits(logits, target):
    """cross_entropy: loss is wrong: the logarithm is not the natural one"""
    p = np.exp(_log_softmax(logits))
    loss = -(target * np.log2(p)).sum(-1).mean()
    return loss, (p - target) / p[..., 0].size


def unstable(logits, target):
    """cross_entropy: loss is wrong: exp overflows"""
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return -(target * np.log(p)).sum(-1).mean(), (p - target) / p[..., 0].size


def logarithm_of_zero(logits, target):
    """cross_entropy: loss is wrong: a softmax that rounds to 0 has no logarithm"""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return -(target * np.log(p)).sum(-1).mean(), (p - target) / p[..., 0].size


def logarithm_of_zero_where_it_counts(logits, target):
    """cross_entropy: loss is wrong: a softmax that rounds to 0 has no logarithm"""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    loss = -(target[target > 0] * np.log(p[target > 0])).sum() / p[..., 0].size
    return loss, (p - target) / p[..., 0].size


def with_an_epsilon(logits, target):
    """cross_entropy: loss is wrong: a small number in the logarithm"""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return -(target * np.log(p + 1e-12)).sum(-1).mean(), (p - target) / p[..., 0].size


def gradient_of_softmax(logits, target):
    """cross_entropy: gradient is wrong: this is -Z / softmax"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(-1).mean(), -target / np.exp(logs) / logs[..., 0].size


def jacobian_diagonal_only(logits, target):
    """cross_entropy: gradient is wrong: each softmax moves with all logits of its pixel"""
    logs = _log_softmax(logits)
    p, n = np.exp(logs), logs[..., 0].size
    with np.errstate(all="ignore"):
        return -(target * logs).sum(-1).mean(), np.where(p, -target / p * p * (1 - p), -target) / n


def gradient_for_a_hard_label(logits, target):
    """cross_entropy: gradient is wrong: only the bin with the largest Z is counted"""
    logs = _log_softmax(logits)
    hard = np.eye(logits.shape[-1])[target.argmax(-1)]
    return -(target * logs).sum(-1).mean(), (np.exp(logs) - hard) / logs[..., 0].size


def logits_for_softmax(logits, target):
    """cross_entropy: gradient is wrong: logits stand where their softmax belongs"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(-1).mean(), (logits - target) / logs[..., 0].size


def entropy_subtracted(logits, target):
    """cross_entropy: loss is wrong: this is the divergence"""
    logs = _log_softmax(logits)
    where = target > 0
    loss = (target[where] * (np.log(target[where]) - logs[where])).sum() / logs[..., 0].size
    return loss, (np.exp(logs) - target) / logs[..., 0].size


def binary_cross_entropy(logits, target):
    """cross_entropy: loss is wrong: this is Q yes-or-no questions"""
    p = np.exp(_log_softmax(logits))
    loss = -(target * np.log(p) + (1 - target) * np.log(1 - p)).sum(-1).mean()
    return loss, (p - target) / p[..., 0].size


def one_loss_a_pixel(logits, target):
    """cross_entropy: loss has the shape (2, 1, 3), wanted is ()"""
    logs = _log_softmax(logits)
    return -(target * logs).sum(-1), (np.exp(logs) - target) / logs[..., 0].size


def nearest_bin_only(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: only the bin with the largest Z is counted"""
    logs = _log_softmax(logits)
    n = logs[..., 0].size
    hard = np.eye(logits.shape[-1])[index[..., 0]]
    return -(hard * logs).sum() / n, (np.exp(logs) - hard) / n


def weights_forgotten(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: the weights are left out"""
    logs = _log_softmax(logits)
    loss = -np.take_along_axis(logs, index, axis=-1).sum(-1).mean()
    g = np.exp(logs)
    np.put_along_axis(g, index, np.take_along_axis(g, index, -1) - 1, -1)
    return loss, g / logs[..., 0].size


def weights_forgotten_in_the_gradient(logits, index, weight):
    """sparse_cross_entropy: gradient is wrong: the weights are left out"""
    logs = _log_softmax(logits)
    loss = -(weight * np.take_along_axis(logs, index, axis=-1)).sum(-1).mean()
    g = np.exp(logs)
    np.put_along_axis(g, index, np.take_along_axis(g, index, -1) - 1, -1)
    return loss, g / logs[..., 0].size


def mean_over_neighbours(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: it is divided by K too"""
    logs = _log_softmax(logits)
    return -np.mean(weight * np.take_along_axis(logs, index, axis=-1)), np.exp(logs)


def fancy_indexing(logits, index, weight):
    """sparse_cross_entropy: gradient is wrong: gradient[..., index] takes the bins of all pixels"""
    logs = _log_softmax(logits)
    loss = -(weight * np.take_along_axis(logs, index, axis=-1)).sum(-1).mean()
    gradient = np.exp(logs)
    gradient[..., index] -= weight
    return loss, gradient / logs[..., 0].size


def softmax_over_the_neighbours(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: the softmax runs over the K bins only"""
    logs = _log_softmax(np.take_along_axis(logits, index, axis=-1))
    gradient = np.zeros_like(logits)
    np.put_along_axis(gradient, index, np.exp(logs) - weight, axis=-1)
    return -(weight * logs).sum(-1).mean(), gradient / logs[..., 0].size


def gradient_at_the_neighbours(logits, index, weight):
    """sparse_cross_entropy: gradient is wrong: it is 0 where Z is 0"""
    logs = np.take_along_axis(_log_softmax(logits), index, axis=-1)
    gradient = np.zeros_like(logits)
    np.put_along_axis(gradient, index, np.exp(logs) - weight, axis=-1)
    return -(weight * logs).sum(-1).mean(), gradient / logs[..., 0].size


def put_for_subtracted(logits, index, weight):
    """sparse_cross_entropy: gradient is wrong: -Z replaces softmax in its bins"""
    logs = _log_softmax(logits)
    gradient = np.exp(logs)
    np.put_along_axis(gradient, index, -weight, axis=-1)
    loss = -(weight * np.take_along_axis(logs, index, axis=-1)).sum(-1).mean()
    return loss, gradient / logs[..., 0].size


def index_left_out(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: the weights are in the wrong bins"""
    z = np.zeros_like(logits)
    z[..., : weight.shape[-1]] = weight
    logs = _log_softmax(logits)
    return -(z * logs).sum(-1).mean(), (np.exp(logs) - z) / logs[..., 0].size


def sparse_and_unstable(logits, index, weight):
    """sparse_cross_entropy: loss is wrong: a softmax that rounds to 0 has no logarithm"""
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    z = np.zeros_like(p)
    np.put_along_axis(z, index, weight, -1)
    loss = -(weight * np.log(np.take_along_axis(p, index, -1))).sum(-1).mean()
    return loss, (p - z) / p[..., 0].size


def _parts(logits, index, weight):
    logs = _log_softmax(logits)
    z = np.zeros_like(logits)
    np.put_along_axis(z, index, weight, axis=-1)
    nats = -(z * logs).sum(-1)
    return nats, np.exp(logs) - z, weight.sum(-1) > 0


def mean_over_all_pixels(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: the mean is over all N h w pixels"""
    nats, g, mask = _parts(logits, index, weight)
    v = class_weight[index[..., 0]] * mask
    return (v * nats).mean(), nats.mean(), v[..., None] * g / mask.size


def gradient_mean_over_all_pixels(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: the mean is over all N h w pixels"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / mask.size


def gradient_without_the_mask(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: pixels that do not count have a gradient"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]], max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / n


def gradient_without_v(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: v is missing"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]], max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, mask[..., None] * g / n


def none_counts(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: no pixel counts, and it is divided by 0"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, mask.sum()
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / n


def v_in_the_logarithm(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: v stands within the logarithm"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    p = np.take_along_axis(np.exp(_log_softmax(logits)), index, -1)
    weighted = -(weight * np.log(class_weight[index[..., 0]][..., None] * p)).sum() / n
    return weighted, nats.sum() / n, v[..., None] * g / n


def as_torch_weighs(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: each bin has its own class weight in the sum"""
    nats, g, mask = _parts(logits, index, weight)
    n = max(mask.sum(), 1)
    logs = np.take_along_axis(_log_softmax(logits), index, -1)
    return -(class_weight[index] * weight * logs).sum() / n, nats.sum() / n, class_weight * g / n


def divided_by_the_weights(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: it is divided by the sum of all v"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    if not mask.any():
        return 0.0, 0.0, 0 * g
    return (v * nats).sum() / v.sum(), nats.sum() / n, v[..., None] * g / v.sum()


def v_of_the_prediction(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: v is that of the bin that the network likes"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[logits.argmax(-1)] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / n


def v_the_largest(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: v is the largest class weight of the K bins"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index].max(-1) * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / n


def v_not_looked_up(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: weighted is wrong: v is that of bin 0 to K - 1"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[weight.argmax(-1)] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g / n


def each_bins_gradient_weighted(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: each bin has its own class weight"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]], max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, class_weight * mask[..., None] * g / n


def v_on_the_truth_only(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: v multiplies Z only"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]], max(mask.sum(), 1)
    z = np.zeros_like(logits)
    np.put_along_axis(z, index, v[..., None] * weight, axis=-1)
    p = np.exp(_log_softmax(logits)) * mask[..., None]
    return (v * nats).sum() / n, nats.sum() / n, (p - z) / n


def unweighted_with_v(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: unweighted is wrong: v has no place in it"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, (v * nats).sum() / n, v[..., None] * g / n


def gradient_of_a_sum(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: gradient is wrong: the sum over the pixels is given"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, nats.sum() / n, v[..., None] * g


def two_values(logits, index, weight, class_weight):
    """rebalanced_cross_entropy: it returns 2 values; wanted are 3 values"""
    nats, g, mask = _parts(logits, index, weight)
    v, n = class_weight[index[..., 0]] * mask, max(mask.sum(), 1)
    return (v * nats).sum() / n, v[..., None] * g / n
