"""Run the Python in the chapters, and put what it prints, and the package's code, into the text.

    python -m course.text              bring all chapters up to date
    python -m course.text 6            one of them

In a chapter, a block marked `python` is run, all blocks of a chapter in one namespace; a block
marked `text` right behind it is what it printed. A block below the comment

    <!-- code: mini_colorize/losses.py softmax_cross_entropy -->

is that function as it stands in the package, without its docstring; a method is named as
Network.initialize. The tests require that nothing is left to bring up to date.
"""

import ast
import contextlib
import io
import re
import sys
import textwrap

from mini_colorize.files.disk import atomic_write

from .__main__ import HERE, chapters

ROOT = HERE.parent
BLOCK = re.compile(
    r"(?:<!-- code: (?P<path>\S+) (?P<name>\S+) -->\n)?"
    r"```python\n(?P<code>.*?)```\n(?P<shown>\n```text\n(?:.*?)```\n)?",
    re.DOTALL,
)


def without_docstring(source, name):
    """The source of the function, class or method `name`, its docstring left out."""
    node = ast.parse(source)
    for part in name.split("."):
        node = next((n for n in node.body if getattr(n, "name", None) == part), None)
        if node is None:
            raise LookupError(f"there is no {name}")
    lines, first = source.splitlines()[: node.end_lineno], node.body[0]
    if ast.get_docstring(node) is not None:
        del lines[first.lineno - 1 : first.end_lineno]
    return textwrap.dedent("\n".join(lines[node.lineno - 1 :]) + "\n")


def refreshed(text):
    """A chapter's text with the outputs and the package's code as they are now."""
    namespace = {"__name__": "chapter"}

    def renewed(block):
        if block["path"]:
            source = (ROOT / block["path"]).read_text(encoding="utf-8")
            code = without_docstring(source, block["name"])
            return f"<!-- code: {block['path']} {block['name']} -->\n```python\n{code}```\n"
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block["code"], "a chapter's code", "exec"), namespace)
        said = printed.getvalue()
        return f"```python\n{block['code']}```\n" + (f"\n```text\n{said}```\n" if said else "")

    return BLOCK.sub(renewed, text)


def main(numbers):
    for number, (_, path, _) in chapters().items():
        if numbers and number not in numbers:
            continue
        before = path.read_text(encoding="utf-8")
        after = refreshed(before)
        if after != before:
            with atomic_write(path) as file:
                file.write(after.encode())
        print(f"{path.name}: {'brought up to date' if after != before else 'as it was'}")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
