"""Looking into a call: some functions are measured wherever they are called."""

from contextlib import ExitStack
from unittest import mock


class Watch(ExitStack):
    """While it is open, calls of the functions that were given to `wrap` go through `around`."""

    def wrap(self, owner, name, label):
        """From now on owner.name(...) is self.around(label, call)."""
        inner = getattr(owner, name)

        def wrapped(*args, **kwargs):
            return self.around(label, lambda: inner(*args, **kwargs))

        self.enter_context(mock.patch.object(owner, name, wrapped))
