"""The README's commands: how they are found, and that the two doors are among them."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import infer
import train
from mini_colorize import checkpoint
from mini_colorize.evaluation import __main__ as evaluation
from mini_colorize.files.config import Config
from tools import run_readme

SAMPLE = """\
# Title

```sh
# a comment
echo one
for i in 1 2; do
  echo $i
done

echo a \\
  b
```

```console
$ false
```

````text
```sh
false
```
````

- in a list:

  ```sh
  cat <<EOF
  exit 1
EOF
  ```
"""


def test_only_sh_blocks_are_found_with_their_line_numbers():
    first, second = run_readme.blocks(SAMPLE)
    loop = (6, "for i in 1 2; do\n  echo $i\ndone")
    assert run_readme.commands(first) == [(5, "echo one"), loop, (10, "echo a \\\n  b")]
    assert run_readme.commands(second) == [(27, "  cat <<EOF\n  exit 1\nEOF")]


def test_a_block_that_is_never_closed_is_an_error():
    with pytest.raises(ValueError, match="line 2"):
        run_readme.blocks("```sh\necho one\n")


BLOCKS = {
    "x=1; test $x = 1": (0, 2),  # one shell for the whole block
    "true; exit 3; true": (3, 2),
    "false | true; true": (1, 1),  # pipefail
    "echo $not_set_anywhere; true": (1, 1),  # -u
    "true; if; true": (2, 2),  # not shell: bash says so
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_stops_at_the_command_that_fails(block):
    assert run_readme.run(list(enumerate(block.split("; "), start=1))) == BLOCKS[block]


def test_python_is_the_one_that_runs_the_script(capfd):
    block = [(1, "python -c 'import sys; print(sys.prefix)'")]
    assert run_readme.run(block) == (0, 1)
    assert capfd.readouterr().out.splitlines() == ["$ " + block[0][1], sys.prefix]


@pytest.mark.parametrize("door", ["infer.py", "train.py"])
def test_the_readme_shows_both_doors(door):
    readme = run_readme.ROOT / "README.md"
    blocks = run_readme.blocks(readme.read_text(encoding="utf-8"))
    assert any(door in command for block in blocks for _, command in run_readme.commands(block))


ROOT = Path(__file__).parent.parent
PARSERS = {
    "train.py": lambda argv: train.parse(argv)[1],
    "infer.py": infer.parse,
    "-m mini_colorize.evaluation": evaluation.parse,
    "-m mini_colorize.checkpoint": checkpoint.parse,
}


def recipes():
    """The commands of the docs that take hours or other people's photos, and of train.py --help."""
    texts = {"train.py": train.__doc__}
    for path in [*ROOT.glob("docs/**/*.md"), ROOT / "mini_colorize" / "weights" / "README.md"]:
        blocks = run_readme.blocks(path.read_text(encoding="utf-8"), "text")
        texts[str(path)] = "\n".join(line for block in blocks for _, line in block)
    for name, text in texts.items():
        for line in text.replace("\\\n", " ").splitlines():
            if match := re.match(r"\s*python (-m mini_colorize\.\w+|\w+\.py) (.*)", line):
                yield pytest.param(*match.groups(), id=f"{name}: {line.strip()}"[-120:])


@pytest.mark.parametrize("program, arguments", list(recipes()))
def test_recipes_are_commands_that_the_programs_take(program, arguments):
    """They cannot be run here, but every option must be there and fit the others."""
    args = PARSERS[program](shlex.split(arguments))
    if program == "train.py" and not args.resume:
        names = Config.__dataclass_fields__
        given = {n: getattr(args, n) for n in names if getattr(args, n) is not None}
        Config(**{**given, "model": given.get("model", "tiny")}).settled()
