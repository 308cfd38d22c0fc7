"""Many small arrays in one large one."""

from .backend import array_module

ALIGN = 64  # numbers; every array begins at a multiple of 256 bytes, as a GPU likes it


class Packed(dict):
    """Named arrays laid end to end in one, `flat`: name -> view of it.

    One pass over `flat` treats them all, where a loop over them would be dozens of small ones.
    The arrays of convolution weights, those with 4 dimensions, come first: the first `decayed`
    numbers are theirs. The gaps between arrays (see ALIGN) are 0.
    """

    def __init__(self, arrays):
        super().__init__()
        order = sorted(arrays, key=lambda name: arrays[name].ndim != 4)  # stable
        starts, end, self.decayed = {}, 0, 0
        for name in order:
            starts[name] = end
            end += -(-arrays[name].size // ALIGN) * ALIGN
            if arrays[name].ndim == 4:
                self.decayed = end
        some = next(iter(arrays.values()))
        self.flat = array_module(some).zeros(end, dtype=some.dtype)
        for name, array in arrays.items():  # in their own order
            view = self.flat[starts[name] : starts[name] + array.size].reshape(array.shape)
            view[...] = array
            self[name] = view

    def zeros_like(self):
        """The same names and shapes, all 0."""
        other = Packed(self)
        other.flat[...] = 0
        return other
