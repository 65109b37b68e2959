"""The site builds strictly, shows every page, and its reference names all that the code has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("material", reason="the extra 'docs' is not installed")


def _build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(root / "mkdocs.yml"), "-d", str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, from a copy with one page more, as another branch may bring it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    (folder / "docs" / "brand-new.md").write_text("# Brand new\n\nA page.\n")
    built = _build(folder, folder / "built")
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "built"


def test_every_page_is_in_the_navigation(site: Path) -> None:
    index = (site / "index.html").read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{name}"' in index or name == "index.html", name
    assert 'href="brand-new.html"' in index, "a page that comes later needs no edit of the navigation"


def test_pages_need_no_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link rel="stylesheet"|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert loaded == [], page


def test_the_reference_has_every_key_command_and_name(site: Path) -> None:
    import evernas.search
    import evernas.spaces
    from evernas.cli import app
    from evernas.config import Config
    from evernas.result import Result

    text = {name: (site / "reference" / f"{name}.html").read_text() for name in ("config", "result", "cli", "api")}
    for name, model in (("config", Config), ("result", Result)):
        schema = model.model_json_schema()
        for part in (schema, *schema["$defs"].values()):
            for key in part.get("properties", {}):
                assert f"<code>{key}</code>" in text[name], key
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"evernas {command.name or command.callback.__name__}" in text["cli"]
    for public in (*evernas.search.__all__, *evernas.spaces.__all__):
        assert f'id="{public.lower()}"' in text["api"], public


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "broken.md").write_text("# Broken\n\n[nowhere](nowhere.md)\n")
    built = _build(tmp_path, tmp_path / "built")
    assert built.returncode != 0
    assert "nowhere.md" in built.stdout + built.stderr


def test_signatures_are_shown_as_they_are_written() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "site" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    text = reference.pages()["reference/api.md"]
    assert "unit: str = ''," in text
    assert "create(\n    name: str,\n" in text
    assert "direction: Literal['min', 'max'] = 'min'" in text
    assert "entry of `ways`; gene i is from 0 to ways\\[i\\] - 1" in text, "Markdown takes nothing for markup"
