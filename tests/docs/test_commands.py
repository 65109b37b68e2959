"""Every command that a page names, in a line or in a block, exists with the arguments that the page gives it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from evernas.cli import app
from evernas_pipelines.cli import app as pipelines_app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "infra/**/*.md", "charts/**/*.md")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
COMMANDS: dict[str, typer.Typer] = {"evernas": app, "evernas-pipelines": pipelines_app}
OF_NO_COMMAND = {"--help", "--version", "--install-completion", "--show-completion"}
INLINE = re.compile(r"(?<!`)`(evernas(?:-pipelines)? [^`]+)`(?!`)")
BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```$", re.M | re.S)
IN_BLOCK = re.compile(r"(?:^\s*|[;|&]\s*|\$ )(evernas(?:-pipelines)? .*)")


def named_in(text: str) -> Iterator[str]:
    """The commands of a page, each on one line and without the comment behind it."""
    blocks = BLOCK.findall(text)
    for found in INLINE.findall(BLOCK.sub("", text)):
        yield " ".join(found.split())
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            found = IN_BLOCK.search(line)
            if found is not None:
                yield re.split(r"\s#\s|\s[|>]\s|;|\)\"|\s2>", found[1])[0].strip()


def fault_of(said: str) -> str | None:
    """What is wrong with a command, or None; its values are a reader's own and are not looked at."""
    words = shlex.split(said.replace("…", "..."))
    command: Any = get_command(COMMANDS[words.pop(0)])
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return None if set(words) <= OF_NO_COMMAND else f"there is no {words[0]}"
        alternatives = words[0].split("|")
        if all(one in command.commands for one in alternatives):
            command = command.commands[alternatives[0]]
            words.pop(0)
        elif command.name == "champion":
            command = command.commands["show"]
        else:
            return f"there is no command {words[0]}"
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    places = sum(option.param_type_name == "argument" for option in command.params)
    endless = any(option.nargs == -1 for option in command.params)
    while words:
        word = words.pop(0)
        if word == "...":
            continue
        if not word.startswith("-"):
            places -= 1
        elif word not in (*options, "--help"):
            return f"there is no {word}"
        elif word != "--help" and not getattr(options[word], "is_flag", False):
            words = words[1:]
    return "too many arguments" if places < 0 and not endless else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_that_a_page_names_exist(page: Path) -> None:
    faults = {said: fault_of(said) for said in named_in(page.read_text())}
    assert {said: fault for said, fault in faults.items() if fault is not None} == {}


def test_the_pages_name_most_commands() -> None:
    said = [command for page in PAGES for command in named_in(page.read_text())]
    assert len(said) > 100
    unnamed = {name for name in get_command(app).commands if not any(f"evernas {name}" in one for one in said)}  # type: ignore[attr-defined]
    assert unnamed <= {"schema"}


@pytest.mark.parametrize(
    "wrong",
    ["evernas dance CONFIG", "evernas run CONFIG --soon", "evernas data quarantine twist CONFIG", "evernas plan A B"],
)
def test_a_command_that_is_not_there_is_found(wrong: str) -> None:
    assert fault_of(wrong) is not None
