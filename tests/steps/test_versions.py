"""A step whose source changed has a new version, so that results of the old code are never taken for its own."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

from evernas.digest import digest_value
from evernas.steps.versions import VERSIONS

SOURCE = Path(__file__).parents[2] / "src"
RECORD = Path(__file__).parent / "versions.json"
# What a step's result does not depend on: how it is found, told, shown and paid for.
APART = (
    "evernas.report",
    "evernas.registry",
    "evernas.state",
    "evernas.storage",
    "evernas.errors",
    "evernas.result",
    "evernas.steps.versions",
    "evernas.steps.context",
    "evernas.steps.launch",
    "evernas.steps.accounting",
    "evernas.steps.progress",
    "evernas.steps.decision",
    "evernas.steps.report",
    "evernas.steps.gathering",
    "evernas.config",
)
ENTRY = {"finetuned": "finalists", "quantised": "finalists"}


def _path(module: str) -> Path | None:
    base = SOURCE / module.replace(".", "/")
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """A module's code without its prose, and what it imports of the library."""
    tree = ast.parse(path.read_text())
    return _without_prose(tree), frozenset(_imports(tree))


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("evernas.") and _path(name) is not None}


def _without_prose(tree: ast.Module) -> str:
    """The code without docstrings, so that prose may change freely."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.dump(tree)


def source_digest(step: str) -> str:
    """Digest of the code that a step's result depends on: its module and all of the library that it imports."""
    entry = f"evernas.steps.{ENTRY.get(step, step)}"
    todo, seen = [entry], {}
    while todo:
        module = todo.pop()
        if module in seen or (module != entry and module.startswith(APART)):
            continue
        path = _path(module)
        assert path is not None, module
        seen[module], imported = _read(path)
        todo += sorted(imported)
    return digest_value(seen)


def problems(recorded: dict[str, dict[str, str]]) -> list[str]:
    """Steps whose source differs from what was recorded for their version."""
    return [
        f"The source of the step {step} changed, its version is still {version}: raise it in steps/versions.py."
        for step, version in VERSIONS.items()
        if recorded.get(step, {}).get(str(version), source_digest(step)) != source_digest(step)
    ]


def updated(recorded: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The record with the current versions."""
    return {step: {**recorded.get(step, {}), str(version): source_digest(step)} for step, version in VERSIONS.items()}


def test_every_changed_step_has_a_new_version() -> None:
    recorded = json.loads(RECORD.read_text())
    assert problems(recorded) == []
    missing = [step for step, version in VERSIONS.items() if str(version) not in recorded.get(step, {})]
    assert missing == [], "record the new versions with `make golden`"


def test_prose_does_not_count_as_a_change() -> None:
    a, b = "def f():\n    '''One.'''\n    return 1 # a\n", "def f():\n    '''Two.'''\n    return 1\n"
    assert _without_prose(ast.parse(a)) == _without_prose(ast.parse(b))


def test_code_of_a_stage_counts_for_the_steps_that_use_it() -> None:
    assert source_digest("search") != source_digest("finalists")
