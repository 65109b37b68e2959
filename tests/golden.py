"""Writes the golden files anew: compiled pipelines, published schemas, step versions. Run by `make golden`."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "support"))


def load(path: Path) -> ModuleType:
    """A test module, for the function that makes its golden file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    definition = load(HERE / "pipelines" / "test_definition.py")
    definition.GOLDEN.mkdir(exist_ok=True)
    for name in definition.EXAMPLES:
        definition.compiled(name, definition.GOLDEN)
    placement = load(HERE / "pipelines" / "test_placement.py")
    placement.compiled(placement.GOLDEN.parent)
    schemas = load(HERE / "test_schemas.py")
    for path, model in schemas.SCHEMAS.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(schemas.text(model))
    values = load(HERE.parent / "charts" / "values.py")
    values.SCHEMA.write_text(values.schema())
    charts = load(HERE / "charts" / "test_rendering.py")
    charts.write_golden()
    versions = load(HERE / "steps" / "test_versions.py")
    recorded = json.loads(versions.RECORD.read_text()) if versions.RECORD.exists() else {}
    problems = versions.problems(recorded)
    if problems:
        sys.exit("\n".join(problems))
    versions.RECORD.write_text(json.dumps(versions.updated(recorded), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
