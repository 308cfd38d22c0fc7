"""Chapter 14's kernels: planted mistakes are told, and so is all that a launch can do wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from course.check import Wrong
from course.checks.c14 import EXERCISES
from course.cuda import Empty, run, why_unavailable

pytestmark = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
HERE = Path(__file__).parent
PLANTED = sorted((HERE / "planted" / "14").glob("*.cu"))


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_package_has_the_right_answer(exercise):
    exercise.check(exercise.solution)


@pytest.mark.parametrize("path", PLANTED, ids=lambda path: path.stem)
def test_a_wrong_answer_is_told_what_is_wrong(path):
    name, said = path.read_text().splitlines()[0].removeprefix("// ").split(": ", 1)
    (exercise,) = [e for e in EXERCISES if e.name == name]
    with pytest.raises(Wrong) as wrong:
        exercise.check(path)
    assert said in str(wrong.value)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_each_exercise_has_three_wrong_answers(exercise):
    assert sum(path.name.startswith(f"{exercise.name}-") for path in PLANTED) >= 3
