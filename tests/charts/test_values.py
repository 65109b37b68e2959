"""The chart's values are those of the model, every one of them, and so is the schema that the chart carries."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "charts"))

import values as model  # noqa: E402


def test_published_schema_is_that_of_the_model() -> None:
    assert model.SCHEMA.read_text() == model.schema(), "the values changed: `make golden`"


def test_values_file_has_every_key_and_no_other() -> None:
    given = yaml.safe_load((ROOT / "charts" / "evernas" / "values.yaml").read_text())
    parsed = model.Chart.model_validate(given)
    assert parsed.model_dump(exclude={"global_"}) == given


def test_chart_is_of_the_version_of_the_code() -> None:
    from evernas import __version__

    assert yaml.safe_load((ROOT / "charts" / "evernas" / "Chart.yaml").read_text())["appVersion"] == __version__


def test_labels_of_the_pods_are_those_that_the_charts_policies_select() -> None:
    from evernas_pipelines import placement

    policy = (ROOT / "charts" / "evernas" / "templates" / "_helpers.tpl").read_text()
    assert f"{placement.PART_LABEL}: {placement.PART}" in policy
    assert f"{placement.PROJECT_LABEL}: " in policy
