"""Chapter 3b: transposed convolution, the network's one step up in size (conv8).

It is the gradient of a convolution to its input, used as a layer of its own: every input pixel
stamps its filter onto the output. With stride 2 and a 4x4 filter each output pixel is under
exactly four stamps. So forward and backward are those of chapter 3a with roles exchanged.

Notation: as in chapter 3a; the output is (H-1) s - 2p + d (k-1) + 1 pixels high.
"""

import numpy as np

from .common import keep_gradient
from .conv import correlate, correlate_adjoint, weight_gradient
from .relu import bias_relu_backward


class ConvTranspose2d:
    """Transposed convolution with bias, and with ReLU if `relu`. Memory as Conv2d.

    weight: (kh, kw, C_in, C_out), C_in being this layer's input.
    """

    def __init__(self, c_in, c_out, kernel=4, stride=2, dilation=1, padding=1, relu=False,
                 dtype=np.float32):  # fmt: skip
        self.geometry = {"stride": stride, "dilation": dilation, "padding": padding}
        self.params = {
            "weight": np.zeros((kernel, kernel, c_in, c_out), dtype),
            "bias": np.zeros(c_out, dtype),
        }
        self.grads = {}
        self.relu = relu
        self.kept = None

    def _mirror(self, dtype):
        """The weights of the convolution that this layer is the adjoint of: it maps y to x."""
        return self.params["weight"].astype(dtype, copy=False).swapaxes(2, 3)

    def forward(self, x, train=False):
        """x: (N, H, W, C_in) -> (N, Ho, Wo, C_out). Keeps x and y for `backward` if `train`."""
        mirror, size = self._mirror(x.dtype), self.output_shape(x.shape[1:])[:2]
        bias = self.params["bias"]
        y = correlate_adjoint(x, mirror, size, bias, relu=self.relu, **self.geometry)
        self.kept = (x, y if self.relu else None) if train else None
        return y

    def backward(self, dy, input_gradient=True):
        """The mirror convolution M maps y to x:  dx = M(dy),  dW = that of M with dy as its input.

        dy: (N, Ho, Wo, C_out), overwritten if there is a ReLU.
        Returns dx (N, H, W, C_in), or None if it is not wanted.
        """
        (x, y), self.kept = self.kept, None
        mirror = self._mirror(x.dtype)
        keep_gradient(self.grads, "bias", bias_relu_backward(dy, y, self.relu))
        dw = weight_gradient(dy, x, mirror.shape[:2], **self.geometry)
        keep_gradient(self.grads, "weight", dw.swapaxes(2, 3).copy())
        if input_gradient:
            return correlate(dy, mirror, **self.geometry)

    def output_shape(self, shape):
        """(H, W, C_in) -> (Ho, Wo, C_out)."""
        kh, kw, _, c_out = self.params["weight"].shape
        s, d, p = self.geometry.values()
        return (
            (shape[0] - 1) * s - 2 * p + d * (kh - 1) + 1,
            (shape[1] - 1) * s - 2 * p + d * (kw - 1) + 1,
            c_out,
        )

    def flops(self, shape):
        """Multiplications plus additions for one picture of shape (H, W, C_in), edges included."""
        h, w, c_out = self.output_shape(shape)
        return 2 * shape[0] * shape[1] * self.params["weight"].size + self.relu * h * w * c_out
