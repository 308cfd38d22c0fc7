"""The door: `ops(x)` is the body of code that serves an array.

float64 gets the chapters themselves, so gradient checks check the code that is taught; other NumPy
arrays the fast twins of the CPU, CuPy's those of the GPU. MINI_COLORIZE_OPS=plain in the
environment gives the chapters to every NumPy array.
"""

import os
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np

from . import bins, color
from .backend import array_module
from .fast import cpu, cuda
from .layers import batchnorm, conv, conv_transpose, relu
from .layers.upsample import upsample
from .losses import l2_loss, softmax_cross_entropy
from .optim import adam, find_overflow, moving_average

PLAIN = os.environ.get("MINI_COLORIZE_OPS") == "plain"


chapters = SimpleNamespace(
    crops_to_lab=color.crops_to_lab,
    lab_to_rgb=color.lab_to_rgb,
    soft_encode=bins.soft_encode,
    annealed_mean=bins.annealed_mean,
    conv2d=conv.conv2d,
    conv2d_backward=conv.conv2d_backward,
    conv_transpose2d=conv_transpose.conv_transpose2d,
    conv_transpose2d_backward=conv_transpose.conv_transpose2d_backward,
    bias_relu_backward=relu.bias_relu_backward,
    batchnorm=batchnorm.batchnorm,
    batchnorm_inference=batchnorm.batchnorm_inference,
    batchnorm_backward=batchnorm.batchnorm_backward,
    upsample=upsample,
    softmax_cross_entropy=softmax_cross_entropy,
    l2_loss=l2_loss,
    adam=adam,
    moving_average=moving_average,
    find_overflow=find_overflow,
    # What needs no chapter: keeping what is made of weights, BLAS's threads.
    freeze=lambda weight: None,
    at_work=nullcontext,
)


def ops(x):
    """The operations for an array x: `chapters`, `fast.cpu` or `fast.cuda`, of the same names."""
    if array_module(x) is not np:
        return cuda
    return chapters if PLAIN or x.dtype == np.float64 else cpu
