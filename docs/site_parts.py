"""What the site's pages are filled with: references from the code, lists of pages, and pictures under a slider.

A line `@NAME` in a page is replaced by what GENERATED[NAME] returns.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
from docutils import nodes
from docutils.parsers.rst import Directive, directives

HERE = Path(__file__).parent
WIDEST = 90
"""Characters of a signature on one line."""
LATER = ("players", "cluster", "reliability", "history")
"""Pages that may be missing: the site links to them as soon as they are there."""
TOP = {"CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changelog", "README.md": "index"}
"""Files of the repository's top, and the pages that show them or stand for them."""
SOURCE = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]


# --- pages ------------------------------------------------------------------------------------------------


def fill(_app: object, page: str, source: list[str]) -> None:
    """Fill a page's `@NAME` lines, and leave out links to pages of LATER that are not there."""
    text = source[0]
    if page == "index":
        text = text.replace("@rest", "\n".join(unlisted(text)))
    if "/" not in page:
        text = re.sub(r"\]\(\.\./(\w[^)]*)\)", outside, text)
    text = re.sub(r"^@(\w+)$", lambda line: GENERATED[line[1]](), text, flags=re.MULTILINE)
    source[0] = without_missing(text)


def top(name: str) -> str:
    """Return a file of the repository's top as a page of the site."""
    text = (HERE.parent / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for file, page in TOP.items():
        text = text.replace(f"]({file}", f"]({page}.md")
    return text


def outside(link: re.Match[str]) -> str:
    """Return a link out of this folder: to the page that shows the file, or to the file in the repository."""
    return f"]({TOP[link[1]]}.md)" if link[1] in TOP else f"]({SOURCE}/blob/main/{link[1]})"


def without_missing(text: str) -> str:
    """Return the text without links to, or lines of, pages that are not there yet."""
    for name in LATER:
        if not (HERE / f"{name}.md").exists():
            text = re.sub(rf"\[([^\]]*)\]\((?:docs/)?{name}\.md[^)]*\)", r"\1", text)
            text = re.sub(rf"^{name}\n", "", text, flags=re.MULTILINE)
    return text


def unlisted(index: str) -> list[str]:
    """Return the pages that the index does not name, so that a new page is in the site without a further line."""
    named = set(re.findall(r"^(?:.* <)?([\w/-]+)>?$", index, re.MULTILINE))
    return sorted(p.stem for p in HERE.glob("*.md") if p.stem not in named | {"index"})


# --- references -------------------------------------------------------------------------------------------


def described(name: str, thing: Any) -> str:
    """Return a heading, the signature and the docstring of a function or class."""
    signature = inspect.signature(thing)
    words, kinds = [], [p.kind for p in signature.parameters.values()]
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and kinds.index(p.kind) == len(words):
            words.append("*")
        stars = {p.VAR_KEYWORD: "**", p.VAR_POSITIONAL: "*"}.get(p.kind, "")
        words.append(f"{stars}{p.name}: {p.annotation}" + ("" if p.default is p.empty else f" = {p.default!r}"))
    short = name.rpartition(".")[2]
    call = f"{short}({', '.join(words)})"
    if len(call) > WIDEST:
        call = "\n".join([f"{short}(", *(f"    {word}," for word in words), ")"])
    returned = "" if isinstance(thing, type) else f" -> {signature.return_annotation}"
    return f"### {name}\n\n```python\n{call}{returned}\n```\n\n{prose(inspect.getdoc(thing) or '')}"


def prose(text: str) -> str:
    """Return a docstring as Markdown: lines such as "name: what it is", with what is indented below, are a list."""
    text = re.sub(r"^(\w+(?:, \w+)*): (?=\S)", r"- **\1**: ", text, flags=re.MULTILINE)
    text = re.sub(r"^( +)(?=\S)", "  ", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\n-])\n(- \*\*)", r"\n\n\1", text).replace("_SceneChange", "\\_SceneChange")


def filters() -> str:
    """Return the reference of all that a script uses."""
    import vs_slomo
    from vs_slomo.filters.motion import MotionClips

    named = {name: getattr(vs_slomo, name) for name in ("slomo", "retime", "motion")}
    parts = [described(name, thing) for name, thing in named.items()]
    parts.append("#### What `motion` returns\n\n" + prose(inspect.getdoc(MotionClips) or ""))
    names = ("source", "source_timecodes", "scan_timecodes", "Timecodes")
    parts += [described(name, getattr(vs_slomo, name)) for name in names]
    return "\n\n".join(parts)


def module(found: ModuleType, prefix: str, names: list[str]) -> str:
    """Return the reference of some functions of a module."""
    return "\n\n".join(described(f"{prefix}.{name}", getattr(found, name)) for name in names)


def baselines() -> str:
    """Return the reference of the older methods."""
    from vs_slomo import baselines as found

    return module(found, "baselines", ["sample", "blend", "mc", "flow"])


def files() -> str:
    """Return the reference of what writes files."""
    from vs_slomo import render as found

    return module(found, "render", ["render", "encode"])


def contributing() -> str:
    """Return CONTRIBUTING.md."""
    return top("CONTRIBUTING.md")


def changelog() -> str:
    """Return CHANGELOG.md."""
    return top("CHANGELOG.md")


def options() -> str:
    """Return the table of options."""
    from vs_slomo.filters.record import table

    return table().replace("](docs/", "](")


def command() -> str:
    """Return the command's help as pages have it; lines that are calls are set as such."""
    from vs_slomo.cli.app import app

    text = app.generate_docs(output_format="markdown", heading_level=1, usage_name="vs-slomo")
    text = re.sub(r"^## Table of Contents\n.*?(?=^\*\*|^## )", "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.partition("**Commands**")[2].partition("\n\n")[2]
    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        call = line.startswith("vs-slomo ") and not fenced
        lines.append(f"```sh\n{line}\n```" if call else line)
    return "\n".join(lines).replace("```\n```sh\n", "")


PARTS: tuple[Callable[[], str], ...] = (filters, baselines, files, options, command, contributing, changelog)
GENERATED = {part.__name__: part for part in PARTS}


# --- pictures ---------------------------------------------------------------------------------------------


class Slider(Directive):
    """Two pictures of the gallery, one over the other, and a line between them that can be moved.

    The argument is the moment's name in `benchmarks/gallery.py`; left, right: which pictures, and what they show.
    """

    required_arguments = 1
    option_spec = {"left": directives.unchanged_required, "right": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Return the pictures as HTML; without scripts both are seen whole."""
        name = self.arguments[0]
        images = []
        for side in ("left", "right"):
            kind, _, title = self.options[side].partition(" ")
            path = HERE / "images" / "gallery" / f"{name}-{kind}.webp"
            if not path.exists():
                raise self.error(f"{path.name} is not in docs/images/gallery")
            height, width = cv2.imread(str(path)).shape[:2]
            words = f'src="_static/gallery/{path.name}" alt="{name}: {escape(title)}" width="{width}" height="{height}"'
            images.append(f'<div class="{side}"><img {words}><span>{escape(title)}</span></div>')
        bar = f'<input type="range" min="0" max="100" value="50" aria-label="{name}: move the line" hidden>'
        return [nodes.raw("", f'<div class="slider">{"".join(images)}{bar}</div>', format="html")]
