"""The chapters as a body of code that ops.py gives: every operation as it is taught."""

from contextlib import nullcontext as at_work  # BLAS may have its threads

from .bins import annealed_mean, soft_encode
from .color import crops_to_lab, lab_to_rgb
from .layers.batchnorm import batchnorm, batchnorm_backward, batchnorm_inference
from .layers.conv import conv2d, conv2d_backward
from .layers.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from .layers.relu import bias_relu_backward
from .layers.upsample import upsample
from .losses import l2_loss, softmax_cross_entropy
from .optim import adam, find_overflow, moving_average


def freeze(weight):
    """Nothing is made of weights that would be worth keeping."""
