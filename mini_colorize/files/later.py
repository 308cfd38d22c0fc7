"""Arrays that are still in their file: only one at a time need be in memory."""

from math import prod

import numpy as np


class Later:
    """Looks like an array, which is made when it is asked for (np.asarray).

    shape, dtype: what it will have. make: function without arguments that returns it.
    """

    def __init__(self, shape, dtype, make):
        self.shape, self.dtype, self.make = tuple(shape), np.dtype(dtype), make

    def __array__(self, dtype=None, copy=None):  # always a new one
        array = self.make()
        return array if dtype is None else array.astype(dtype)

    def transposed(self, axes):
        """As np.transpose."""
        shape = [self.shape[axis] for axis in axes]
        return Later(shape, self.dtype, lambda: np.asarray(self).transpose(axes))

    def flat(self):
        """All numbers in a row."""
        return Later([prod(self.shape)], self.dtype, lambda: np.asarray(self).reshape(-1))

    def with_last(self, order):
        """The last axis in another order. order: list of int, as many as the axis is long."""
        return Later(self.shape, self.dtype, lambda: np.asarray(self)[..., order])

    def times(self, factor):
        """Multiplied by a number, in this dtype."""
        return Later(self.shape, self.dtype, lambda: np.asarray(self) * self.dtype.type(factor))
