"""What mkdocs calls while it builds: the navigation from the pages that exist, and the reference from the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from reference import pages

# Pages that have a fixed place; any other page in docs/ stands among the guides, under its own heading.
FIRST = ("index.md", "first-run.md", "your-own-data.md", "concepts.md")
LAST = ("design.md",)
SECTIONS = {"benchmarks": "Benchmarks"}


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config.nav = navigation(Path(config.docs_dir), list(pages()))
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of the reference."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def navigation(docs: Path, reference: list[str]) -> list[dict[str, Any] | str]:
    """The pages in order, each once; folders of pages become sections."""
    top = sorted(path.name for path in docs.glob("*.md"))
    guides = [name for name in top if name not in (*FIRST, *LAST)]
    nav: list[dict[str, Any] | str] = [{"Overview": "index.md"}, *(name for name in FIRST[1:] if name in top)]
    if guides:
        nav.append({"Guides": guides})
    nav.append({"Reference": reference})
    for folder in sorted(path for path in docs.iterdir() if path.is_dir()):
        found = sorted(path.relative_to(docs).as_posix() for path in folder.rglob("*.md"))
        if found:
            nav.append({SECTIONS.get(folder.name, folder.name.capitalize()): found})
    return [*nav, *(name for name in LAST if name in top)]


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Say of a benchmark's picture that its full run has yet to make it, where it is not there."""
    here = Path(config.docs_dir, page.file.src_uri).parent
    if not page.file.src_uri.startswith("benchmarks/"):
        return markdown
    missing = [p for p in re.finditer(r"!\[[^\]]*\]\(([\w.-]+\.svg)\)", markdown) if not (here / p[1]).exists()]
    for picture in missing:
        markdown = markdown.replace(picture[0], f"*The picture {picture[1]} is made by a full run, not recorded yet.*")
    return markdown
