"""Chapter 6: batch normalisation (Ioffe and Szegedy, 2015: algorithm 1, and what follows it).

Every channel is brought to mean 0 and variance 1 over the batch, then scaled and shifted:

    xhat = (x - mu) / sigma,   sigma = sqrt(var + eps)          y = gamma xhat + beta

Notation
    x, y, xhat    (N, H, W, C)   input, output, normalised input
    mu, var       (C,)           mean and variance over the M = N H W values of a channel
    gamma, beta   (C,)           learned scale and shift
    eps           a small number, 1e-5: sigma is never 0
"""

import numpy as np

PIXELS = (0, 1, 2)  # the axes that are summed over


def batchnorm(x, gamma, beta, eps, whole=None):
    """Normalise with the batch's own mean and variance (biased, over M), as in training.

    whole: where x is a part of a batch, the function that makes mu and var of x those of the batch.
    Returns y (N, H, W, C), mu (C,), var (C,). NumPy sums leading axes one number after another: of
    a million in float32 three digits would be lost, so the sums are float64.
    """
    mu = x.mean(axis=PIXELS, dtype=np.float64).astype(x.dtype)
    var = np.square(x - mu).mean(axis=PIXELS, dtype=np.float64).astype(x.dtype)
    if whole:
        mu, var = whole(mu, var)
    return batchnorm_inference(x, gamma, beta, mu, var, eps), mu, var


def batchnorm_inference(x, gamma, beta, mu, var, eps):
    """Normalise with given mean and variance: the running averages. Returns y (N, H, W, C)."""
    xhat = (x - mu) / np.sqrt(var + eps)
    return gamma * xhat + beta


def merged_statistics(share, mu, var):
    """Mean and variance of a batch, of those of its parts.

        mu = sum_r s_r mu_r        var = sum_r s_r (var_r + (mu_r - mu)^2)

    No square of a mean is taken from a mean of squares: their difference would have few digits
    left. Source: Chan, Golub and LeVeque, 1979.
    share: s_r, (R, 1), which part of the batch's pictures, of sum 1. mu, var: (R, C). Returns two
    (C,).
    """
    mean = (share * mu).sum(axis=0)
    return mean, (share * (var + (mu - mean) ** 2)).sum(axis=0)


def running_averages(mean, var, mu, var_batch, m, momentum):
    """What inference uses: averages that move towards each batch's mean and variance.

        mean <- mean + momentum (mu - mean)       var <- var + momentum (M/(M-1) var_batch - var)

    M/(M-1) makes the estimate unbiased, as torch has it. m: M. All others (C,), momentum a float.
    Returns mean, var.
    """
    unbiased = var_batch * (m / max(m - 1, 1))
    return mean + momentum * (mu - mean), var + momentum * (unbiased - var)


def scale_and_shift(gamma, beta, mu, var, eps):
    """Inference in one multiplication and addition: y = x scale + shift. Returns both, (C,)."""
    scale = gamma / np.sqrt(var + eps)
    return scale, beta - mu * scale


def batchnorm_backward(dy, x, gamma, mu, var, eps, whole=None):
    """The gradients of `batchnorm`; sums run over N, H and W.

        dbeta = sum dy        dgamma = sum dy xhat
        dx = gamma / sigma (dy - dbeta / M - xhat dgamma / M)

    An x acts in three ways, each a term of dx: by itself; through mu, which all share; and through
    var. With g = gamma dy, the gradient of xhat, these are g / sigma, -sum g / (M sigma) and
    -xhat sum (g xhat) / (M sigma); what mu does to var is 0, since the x - mu sum to 0.
    dy: (N, H, W, C). mu, var: as `batchnorm` returned them. whole: where x is a part of a batch, the
    function that makes M, dgamma and dbeta of x those of the batch, which dx wants.
    Returns dx (N, H, W, C), dgamma (C,), dbeta (C,), the last two of x.
    """
    count = x.size // x.shape[3]  # M
    sigma = np.sqrt(var + eps)
    xhat = (x - mu) / sigma
    dbeta = dy.sum(axis=PIXELS, dtype=np.float64).astype(x.dtype)
    dgamma = (dy * xhat).sum(axis=PIXELS, dtype=np.float64).astype(x.dtype)
    m, dg, db = whole(count, dgamma, dbeta) if whole else (count, dgamma, dbeta)
    dx = gamma / sigma * (dy - db / m - xhat * dg / m)
    return dx, dgamma, dbeta
