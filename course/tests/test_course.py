"""The course, checked three times: the package's own functions pass, the stubs fail, and planted
wrong answers fail with the right message. And what the chapters show is what their code prints.
"""

import inspect
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from course import case, check, colorize
from course.__main__ import HERE, chapters, main
from course.check import UNWRITTEN, Exercise, Wrong, load
from course.text import refreshed
from mini_colorize import Colorizer
from mini_colorize.bins import annealed_mean
from mini_colorize.color import rgb_to_lab
from mini_colorize.files.checkpoint import load_network
from mini_colorize.layers import batchnorm
from tools.figures import figure_chapter, save

CHAPTERS = chapters()
EXERCISES = [e for *_, exercises in CHAPTERS.values() for e in exercises]
PLANTED = [
    pytest.param(answer, id=f"{path.stem}-{name}")
    for path in sorted((HERE / "tests" / "planted").glob("*.py"))
    for name, answer in vars(load(path)).items()
    if inspect.isfunction(answer) and not name.startswith("_")
]


def names(exercise):
    return f"{exercise.file}-{exercise.name}"


@pytest.mark.parametrize("exercise", EXERCISES, ids=names)
def test_a_stub_is_said_to_be_unwritten(exercise):
    assert exercise.verdict(HERE / "exercises") == UNWRITTEN


@pytest.mark.parametrize("exercise", [e for e in EXERCISES if isinstance(e, Exercise)], ids=names)
def test_the_package_has_the_right_answer(exercise):
    exercise.check(exercise.solution)


@pytest.mark.parametrize("answer", PLANTED)
def test_a_wrong_answer_is_told_what_is_wrong(answer):
    name, said = answer.__doc__.split(": ", 1)
    file = Path(inspect.getsourcefile(answer)).name
    (exercise,) = [e for e in EXERCISES if (e.file, e.name) == (file, name)]
    with pytest.raises(Wrong) as wrong:
        exercise.check(answer)
    assert said in str(wrong.value)


def test_each_exercise_has_three_wrong_answers():
    planted = [(Path(inspect.getsourcefile(p.values[0])).name, p.values[0]) for p in PLANTED]
    for exercise in [e for e in EXERCISES if isinstance(e, Exercise)]:
        own = [a for file, a in planted if file == exercise.file
               and a.__doc__.startswith(f"{exercise.name}: ")]  # fmt: skip
        assert len(own) >= 3, exercise.name


@pytest.mark.parametrize("number", CHAPTERS)
def test_a_chapter_shows_what_its_code_prints(number):
    text = CHAPTERS[number][1].read_text(encoding="utf-8")
    assert refreshed(text) == text, f"python -m course.text {number}"


@pytest.mark.parametrize("number", CHAPTERS)
def test_a_figure_is_as_it_is_drawn(number):
    name = CHAPTERS[number][1].stem
    drawn = io.BytesIO()
    save(figure_chapter(name), drawn)
    there = Image.open(HERE / "figures" / f"{name}.png")
    pictures = [np.asarray(image.convert("RGB"), float) for image in (there, Image.open(drawn))]
    assert pictures[0].shape == pictures[1].shape
    # Fonts are not drawn alike everywhere.
    assert abs(pictures[0] - pictures[1]).mean() < 2, f"python tools/figures.py {name}"


@pytest.mark.parametrize("number", CHAPTERS)
def test_links_lead_somewhere(number):
    text = CHAPTERS[number][1].read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert f"figures/{CHAPTERS[number][1].stem}.png" in links
    missing = [link for link in links if "://" not in link and not (HERE / link).exists()]
    assert not missing


def test_the_command_says_how_far_one_is(capsys):
    assert main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHAPTERS) + 2 and lines[-1].startswith(
        f"0 of {len(EXERCISES)} exercises are"
    )


def _kahan(x):
    total = lost = np.zeros(x.shape[3], np.float32)
    for pixel in x.reshape(-1, x.shape[3]):
        exact = pixel - lost
        lost = ((total + exact) - total) - exact
        total = total + exact
    return total


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("channel_sums", _kahan),
        ("running_averages", lambda **case: np.array(batchnorm.running_averages(**case))),
        ("batchnorm_backward", lambda **case: (v for v in batchnorm.batchnorm_backward(**case))),
        ("batchnorm_backward", lambda **case: list(batchnorm.batchnorm_backward(**case))),
    ],
    ids=["Kahan", "array", "generator", "list"],
)
def test_a_right_answer_of_another_style_passes(name, answer):
    (exercise,) = [e for e in EXERCISES if e.name == name]
    exercise.check(answer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("def expected_error(guess, colors, shares):\n    quit()", "SystemExit in line 2"),
        (
            "def expected_error(guess, colors, shares):\n    raise KeyboardInterrupt",
            "KeyboardInter",
        ),
        (
            "def expected_error(guess, colors, shares):\n    while True:\n        pass",
            "endless loop?",
        ),
        ("def expected_error(g, c, s):\n    return 1", "keep the names"),
        ("def expected_error(guess, colors, shares):\n    return 1j", "numbers of type complex"),
        ("def expected_error(guess, colors, shares):\n    return 1, [2, 3]", "one value: E"),
        ("def expected_error(guess, colors, shares):\n    print('hi')", "begins:\n        hi"),
        (
            "def cheapest_color(colors, shares):\n    return colors[0]\n"
            "def chroma_kept(colors, shares):\n    return cheapest_color(colors, shares)[0]",
            "it calls your cheapest_color, which is not right yet",
        ),
    ],
    ids=["exit", "quit", "interrupt", "endless", "names", "complex", "two", "prints", "calls"],
)
def test_what_an_answer_does_is_said(text, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check, "LIMIT", 0.5)
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # quit closes it
    stubs = (HERE / "exercises" / "00_one_pixel.py").read_text(encoding="utf-8")
    (tmp_path / "00_one_pixel.py").write_text(stubs)
    assert "not written yet" in CHAPTERS[0][2][0].verdict(tmp_path)
    (tmp_path / "00_one_pixel.py").write_text(text)
    assert main(["0", "--answers", str(tmp_path)]) == 1
    assert said in capsys.readouterr().out


def test_a_case_can_be_had():
    assert case(4, "conv2d", 2)["x"].shape == (1, 3, 4, 1)


def test_a_photo_is_colored_with_ones_own_functions(tmp_path, capsys):
    for path in (HERE / "exercises").glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    with open(tmp_path / "11_painting.py", "a") as file:
        file.write("\n\nfrom mini_colorize.layers.upsample import interpolation_matrix  # noqa\n")
    output = tmp_path / "photo.png"
    arguments = ["--answers", str(tmp_path), "--output", str(output), "--size", "32"]
    assert main(["colorize", "examples/tulips.jpg", *arguments]) == 0
    said = capsys.readouterr().out
    assert "interpolation_matrix  yours" in said and said.count("not right yet") == 5
    rgb = np.asarray(Image.open("examples/tulips.jpg")) / 255
    found = {e.name: e.solution for e in EXERCISES} | {"lab_to_rgb": lambda lab: lab}
    lab = colorize.painted(rgb, found, load_network("full")[0], 32)
    light = lab[..., 0].astype(np.float32)
    logits, _ = Colorizer.load("full", size=32).predict([light])
    ab = np.asarray(Image.fromarray(annealed_mean(logits)[0, ..., 0]).resize((500, 500), 2))
    assert abs(ab - lab[..., 1]).max() < 0.01
    back = rgb_to_lab(np.asarray(Image.open(output)) / 255)
    assert abs(back[..., 0] - light).mean() < 2 and abs(back[..., 1] - ab).mean() < 3


def test_the_readme_shows_what_comes_out(tmp_path, capsys):
    stubs = (HERE / "exercises" / "06_batchnorm.py").read_text(encoding="utf-8")
    planted = load(HERE / "tests" / "planted" / "06_batchnorm.py").the_variance_is_a_constant
    source = inspect.getsource(planted).replace(planted.__name__, "batchnorm_backward")
    (tmp_path / "06_batchnorm.py").write_text(stubs + "\n\n" + source, encoding="utf-8")
    main(["6", "--answers", str(tmp_path)])
    shown = capsys.readouterr().out.split("Your answers")[0]
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    assert shown.split("\n", 1)[1] in readme
    for number, (title, path, exercises) in CHAPTERS.items():
        written = ", ".join(f"`{exercise.name}`" for exercise in exercises)
        assert f"| {number} | [{title.split('. ', 1)[1]}]({path.name}) | {written} |" in readme
