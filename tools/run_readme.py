"""Run the commands of README.md as they stand: its fenced code blocks marked sh, in order.

Each block is one bash (-euo pipefail) started in the repository root, where `python`
is the Python that runs this script. Blocks marked anything else are left alone.

    python tools/run_readme.py            run them; stop at the first that fails (exit code 1)
    python tools/run_readme.py --list     print them only
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*(.*?)\s*$")


def blocks(text, kind="sh"):
    """The blocks of a kind in a Markdown text: a list of blocks, each a list of (line number, line)."""
    found, fence, block = [], None, None
    for number, line in enumerate(text.splitlines(), start=1):
        match = FENCE.match(line)
        if fence is None:
            if match:
                fence = match[1]
                block = [] if match[2] == kind else None
        elif match and match[1].startswith(fence) and not match[2]:
            if block:
                found.append(block)
            fence = None
        elif block is not None:
            block.append((number, line))
    if fence is not None and block is not None:
        raise ValueError(f"line {block[0][0] if block else number}: this sh block is never closed")
    return found


def is_whole(command):
    """False where bash would wait for more lines: an open quote, loop or here-document."""
    if command.endswith("\\"):
        return False
    check = subprocess.run(
        ["bash", "-n"],
        input=command,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return check.returncode == 0 and "here-document" not in check.stderr


def commands(block):
    """The commands of one block: a list of (line number of its first line, command)."""
    found, start, lines = [], None, []
    for number, line in block:
        if not lines and (not line.strip() or line.lstrip().startswith("#")):
            continue
        start = start if lines else number
        lines.append(line)
        if is_whole("\n".join(lines)):
            found.append((start, "\n".join(lines)))
            lines = []
    if lines:  # bash itself will say what is wrong with it
        found.append((start, "\n".join(lines)))
    return found


def run(block):
    """Run one block. Returns (exit status, line number of the last command begun)."""
    todo = commands(block)
    if not todo:
        return 0, block[0][0]
    with tempfile.TemporaryDirectory() as folder:
        begun = Path(folder, "begun")
        script = "".join(
            f"echo {number} > {shlex.quote(str(begun))}; printf '%s\\n' {shlex.quote('$ ' + command)}\n"
            f"{command}\n"
            for number, command in todo
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        status = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": path},
        ).returncode
        return status, int(begun.read_text()) if begun.exists() else todo[0][0]


def main():
    parser = argparse.ArgumentParser(description="Run the sh blocks of README.md.")
    parser.add_argument("--list", action="store_true", help="print the commands, run nothing")
    args = parser.parse_args()
    try:
        found = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"README.md: {error}")
    for block in found:
        if args.list:
            for number, command in commands(block):
                print(f"README.md:{number}: {command}")
            continue
        status, number = run(block)
        if status:
            sys.exit(f"README.md:{number}: this command failed with exit status {status}")


if __name__ == "__main__":
    main()
