"""Colorful Image Colorization (Zhang, Isola, Efros, 2016), from scratch in NumPy and CuPy.

from mini_colorize import Colorizer
Colorizer.load()("photo.jpg").save("photo.color.png")
"""

__version__ = "0.1.0"
__all__ = ["Colorizer"]


def __getattr__(name):
    """Import the Colorizer, and with it the network, only when it is asked for."""
    if name == "Colorizer":
        from .colorizer import Colorizer

        return Colorizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
