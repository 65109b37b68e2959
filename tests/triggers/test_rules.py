"""Which events ask for a run, and configs that are refused because evernas would start itself without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.config import Config, load_config
from evernas.errors import UsageError
from evernas.triggers.events import Event
from evernas.triggers.rules import NO_RULE, OURS, Rules, refuse_overlaps

REGISTRY = {"name": "registry", "kind": "mlflow", "secrets": [{"env": "LAKE_SECRET"}]}


def _config(folder: Path, **triggers: Any) -> Config:
    return load_config(serving.write_config(folder / "evernas.yaml", serving.triggers_config(**triggers)))


def _event(bucket: str, key: str, label: str = "created") -> Event:
    return Event("e", "", bucket, key, label)


def test_event_matches_by_source_bucket_prefix_and_label(tmp_path: Path) -> None:
    config = _config(tmp_path, rules=[{**serving.RULE, "label": "created"}], own=["raw/watch/state/"])
    assert config.triggers is not None
    rules = Rules(config.project, config.triggers)
    assert rules.match("lake", _event("raw", "watch/a")).rule == "recordings"
    for source, event, reason in [
        ("other", _event("raw", "watch/a"), NO_RULE),
        ("lake", _event("raw2", "watch/a"), NO_RULE),
        ("lake", _event("raw", "watc"), NO_RULE),
        ("lake", _event("raw", "watch/a", "removed"), NO_RULE),
        ("lake", _event("raw", "watch/state/journal"), OURS),
    ]:
        found = rules.match(source, event)
        assert (found.rule, found.reason) == (None, reason)


@pytest.mark.parametrize(
    ("triggers", "sentence"),
    [
        ({"own": ["raw/watch/out"]}, "overlaps raw/watch/out"),
        ({"own": ["s3://raw/wa"]}, "overlaps s3://raw/wa"),
        ({"own": ["raw"]}, "overlaps raw"),
        (
            {"sources": [REGISTRY], "rules": [{"name": "r", "source": "registry", "bucket": "evernas-watch"}]},
            "which evernas itself promotes",
        ),
    ],
)
def test_rule_that_our_own_writes_would_match_is_refused(tmp_path: Path, triggers: Any, sentence: str) -> None:
    config = _config(tmp_path, **triggers)
    assert config.triggers is not None
    with pytest.raises(UsageError, match=sentence):
        refuse_overlaps(config, config.triggers, tmp_path)


@pytest.mark.parametrize("source", ["${EVERNAS_HOME}/projects/watch/in", "${EVERNAS_HOME}", "${EVERNAS_HOME}/runs"])
def test_source_folder_that_overlaps_the_state_is_refused(tmp_path: Path, source: str) -> None:
    config = _config(tmp_path)
    refuse_overlaps(config, config.triggers, tmp_path)  # type: ignore[arg-type]
    moved = config.model_copy(update={"data": config.data.model_copy(update={"source": source})})
    with pytest.raises(UsageError, match="where evernas writes"):
        refuse_overlaps(moved, config.triggers, tmp_path)  # type: ignore[arg-type]


def test_triggers_change_no_key_and_no_pipeline(tmp_path: Path) -> None:
    with_triggers = _config(tmp_path)
    assert with_triggers.triggers is not None
    assert "triggers" not in with_triggers.model_dump(mode="json")
