"""Chapter 3d: the rectified linear unit, y = max(x, 0)."""

from ..backend import array_module


class ReLU:
    """max(x, 0), written over its input: a network of these needs half the memory.

    Memory between the passes: its output, which the next layer keeps as its input anyway.
    """

    def __init__(self):
        self.params, self.grads = {}, {}
        self.y = None

    def forward(self, x, train=False):
        """x: any shape, overwritten. Returns it."""
        y = array_module(x).maximum(x, 0, out=x)
        self.y = y if train else None
        return y

    def backward(self, dy):
        """dx = dy where y > 0, else 0. dy: the shape of y, overwritten. Returns it."""
        y, self.y = self.y, None
        dy *= y > 0
        return dy

    def output_shape(self, shape):
        """(H, W, C) -> the same."""
        return shape

    def flops(self, shape):
        """One comparison a value."""
        return shape[0] * shape[1] * shape[2]
