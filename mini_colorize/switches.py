"""What the environment can switch: a variable has this one value, or is not set.

MINI_COLORIZE_OPS=plain gives the chapters to every NumPy array (ops.py). MINI_COLORIZE_GRAPHS=off
does without CUDA graphs (fast/graphs.py).
"""

import os

SWITCHES = {"MINI_COLORIZE_OPS": "plain", "MINI_COLORIZE_GRAPHS": "off"}
PLAIN, NO_GRAPHS = (os.environ.get(name) == value for name, value in SWITCHES.items())
