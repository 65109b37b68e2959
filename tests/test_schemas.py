"""The published JSON schemas are those of the code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from evernas.config import Config
from evernas.result import Result

ROOT = Path(__file__).parents[1]
SCHEMAS: dict[Path, type[BaseModel]] = {
    ROOT / "schemas" / "config.schema.json": Config,
    ROOT / "schemas" / "result.schema.json": Result,
}


def text(model: type[BaseModel]) -> str:
    """The schema as it is published."""
    return json.dumps(model.model_json_schema(), indent=2) + "\n"


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_published_schema_is_that_of_the_code(path: Path) -> None:
    assert path.read_text() == text(SCHEMAS[path]), (
        "the form changed: raise its version if old files no longer fit, then `make golden`"
    )
