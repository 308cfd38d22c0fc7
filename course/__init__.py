"""The course: chapters, exercises and what checks them. See course/README.md."""

import copy
import importlib


def case(chapter, name, number):
    """What a check calls the function `name` of a chapter with: its case `number`, a dict."""
    checks = importlib.import_module(f"{__name__}.checks.c{chapter:02}")
    (exercise,) = [e for e in checks.EXERCISES if e.name == name]
    return copy.deepcopy(exercise.cases[number])
