"""Chapter 3: the layers. Each has its forward and its backward pass written by hand.

Every layer has `forward(x, train)`, `backward(dy)`, the dictionaries `params` and `grads` with
the same keys and, but for the upsampling, which is no part of the network proper, `output_shape`
and `flops`. Pictures are (N, H, W, C). A layer keeps what backward
needs only if `train` is true, and lets go of it in backward. `backward` may overwrite dy.
"""

from .batchnorm import BatchNorm2d
from .conv import Conv2d
from .conv_transpose import ConvTranspose2d
from .upsample import BilinearUpsample

__all__ = ["BatchNorm2d", "BilinearUpsample", "Conv2d", "ConvTranspose2d"]
