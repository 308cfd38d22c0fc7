"""What MkDocs needs beside mkdocs.yml: formulas become MathML, which browsers show by themselves,
and files of code that a chapter links to become pages. See `make docs`.
"""

import re
from pathlib import Path, PurePosixPath

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)\)")
CODE_OR_MATH = re.compile(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
KINDS = {".py": "python", ".cu": "cpp", ".cuh": "cpp", ".h": "cpp"}


def _page_of(target):
    """Where the page of a file of code lies. target: Path in the repository."""
    return f"code/{target.relative_to(ROOT).as_posix()}.md"


def _linked(markdown, folder):
    """The files of code that a page links to. Yields (link, Path)."""
    for _, link in LINK.findall(markdown):
        target = (folder / link).resolve()
        if target.suffix in KINDS and target.is_file():
            yield link, target


def on_files(files, config):
    folder = Path(config.docs_dir)
    targets = {
        t for page in folder.glob("*.md") for _, t in _linked(page.read_text("utf-8"), folder)
    }
    for target in sorted(targets):
        name = target.relative_to(ROOT).as_posix()
        content = f"---\ntitle: {name}\n---\n\n````{KINDS[target.suffix]}\n{target.read_text('utf-8')}````\n"
        files.append(File.generated(config, _page_of(target), content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    if page.file.src_uri.startswith("code/"):
        return markdown
    folder = Path(config.docs_dir)
    pages = {link: _page_of(target) for link, target in _linked(markdown, folder)}

    def relinked(match):
        text, link = match.groups()
        if link in pages:
            return f"[{text}]({pages[link]})"
        inside = (folder / link).resolve().is_relative_to(folder) and PurePosixPath(link).suffix
        return match[0] if inside else text  # a folder of the repository is no page

    page.meta["formulas"] = formulas = []

    def kept(match):
        code, block, inline = match.groups()
        if code:
            return code
        formula = convert((block or inline).strip(), display="block" if block else "inline")
        if block:  # wider than a telephone: it is scrolled, and not the page
            formula = f'<span style="display: block; overflow-x: auto">{formula}</span>'
        formulas.append(formula)
        return f"FORMULA{len(formulas) - 1}END"

    return LINK.sub(relinked, CODE_OR_MATH.sub(kept, markdown))


def on_page_content(html, page, config, files):
    formulas = page.meta.get("formulas", ())
    return re.sub(r"FORMULA(\d+)END", lambda match: formulas[int(match[1])], html)
