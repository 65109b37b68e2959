"""Which events ask for a run, and configs that are refused because evernas would start itself without end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.config import Config, load_config
from evernas.errors import UsageError
from evernas.triggers.events import RUN_ENDED, Event
from evernas.triggers.places import model_of, refuse_overlaps, written
from evernas.triggers.rules import NO_RULE, OURS, Rules

REGISTRY = {"name": "registry", "kind": "mlflow", "secrets": [{"env": "LAKE_SECRET"}]}


def _config(folder: Path, **triggers: Any) -> Config:
    return load_config(serving.write_config(folder / "evernas.yaml", serving.triggers_config(**triggers)))


def _event(bucket: str, key: str, label: str = "created") -> Event:
    return Event("e", "", bucket, key, label)


def test_event_matches_by_source_bucket_prefix_and_label(tmp_path: Path) -> None:
    config = _config(tmp_path, rules=[{**serving.RULE, "label": "created"}], own=["raw/watch/state/"])
    assert config.triggers is not None
    rules = Rules(config.project, config.triggers, written(config, config.triggers, None))
    assert rules.match("lake", _event("raw", "watch/a")).rule == "recordings"
    for source, event, reason in [
        ("other", _event("raw", "watch/a"), NO_RULE),
        ("lake", _event("raw2", "watch/a"), NO_RULE),
        ("lake", _event("raw", "watc"), NO_RULE),
        ("lake", _event("raw", "watch/a", "removed"), NO_RULE),
        ("lake", _event("raw", "watch/state/journal"), OURS),
        ("lake", _event("raw", "watch/a", RUN_ENDED), OURS),
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
    with pytest.raises(UsageError, match=sentence):
        _refuse(config, tmp_path)


def _refuse(config: Config, home: Path, lease: str | None = None) -> None:
    assert config.triggers is not None
    refuse_overlaps(config, config.triggers, home, written(config, config.triggers, lease))


def _with_source(config: Config, source: str) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"source": source})})


@pytest.mark.parametrize("source", ["${EVERNAS_HOME}/projects/watch/in", "${EVERNAS_HOME}", "${EVERNAS_HOME}/runs"])
def test_source_folder_that_overlaps_the_state_is_refused(tmp_path: Path, source: str) -> None:
    config = _config(tmp_path)
    _refuse(config, tmp_path)
    with pytest.raises(UsageError, match="where evernas writes"):
        _refuse(_with_source(config, source), tmp_path)


STATE = "s3://state/of/runs?region=eu-central-1"


def _on_a_cluster(folder: Path, **rule: str) -> Config:
    """The state in a bucket, which no `own` names."""
    submit = {"to": "kfp", "kfp": {"host": "http://kfp", "home": STATE}}
    return _config(folder, submit=submit, rules=[{**serving.RULE, **rule}])


@pytest.mark.parametrize("prefix", ["", "of/", "of/runs/candidates/state/watch/"])
def test_rule_that_watches_the_state_of_the_runs_is_refused_though_nobody_called_it_own(
    tmp_path: Path, prefix: str
) -> None:
    with pytest.raises(UsageError, match=r"overlaps s3://state/of/runs/.*, where evernas writes"):
        _refuse(_on_a_cluster(tmp_path, bucket="state", prefix=prefix), tmp_path)


def test_data_may_lie_beside_the_state_of_the_runs_and_events_of_the_state_are_ours(tmp_path: Path) -> None:
    config = _on_a_cluster(tmp_path, bucket="state", prefix="of/runs/raw/")
    _refuse(_with_source(config, "s3://state/of/runs/raw/watch"), tmp_path)
    assert config.triggers is not None
    rules = Rules(config.project, config.triggers, written(config, config.triggers, None))
    assert rules.match("lake", _event("state", "of/runs/registry/watch/journal/1")).reason == OURS
    assert rules.match("lake", _event("state", "of/runs/raw/watch/a")).rule == "recordings"


@pytest.mark.parametrize(
    ("source", "refused"),
    [
        ("s3://state", True),
        ("s3://state/of/runs/snapshots/watch", True),
        ("s3://state/of/runs/candidates2", False),
        ("s3://lease/candidates/state", True),
        ("s3://journals/ours/watch", True),
        ("s3://journals/ours/other", False),
        ("s3://journals/ours/watch?endpoint=http://elsewhere", False),
    ],
)
def test_source_in_a_bucket_that_overlaps_what_evernas_writes_is_refused(
    tmp_path: Path, source: str, refused: bool
) -> None:
    config = _on_a_cluster(tmp_path)
    registry = config.registry.model_copy(update={"journal": "s3://journals/ours?endpoint=http://here"})
    config = _with_source(config.model_copy(update={"registry": registry}), source)
    lease = "s3://lease"
    if not refused:
        _refuse(config, tmp_path, lease)
        return
    with pytest.raises(UsageError, match=f"data.source is {source}, which overlaps"):
        _refuse(config, tmp_path, lease)


def test_artifacts_of_the_clusters_steps_are_ours(tmp_path: Path) -> None:
    config = load_config(serving.ROOT / "examples" / "watch" / "cluster.yaml")
    assert config.triggers is not None
    bare = config.triggers.model_copy(update={"own": []})
    names = {place.name for place in written(config, bare, None)}
    assert {"s3://evernas/candidates/kfp", "s3://evernas/registry/watch/journal/"} < names
    refuse_overlaps(config, config.triggers, tmp_path, written(config, config.triggers, None))


def test_model_that_is_known_to_be_ours_is_the_one_that_is_promoted() -> None:
    from evernas.registry.models import model_name

    assert model_of("watch") == model_name("watch")


def test_triggers_change_no_key_and_no_pipeline(tmp_path: Path) -> None:
    with_triggers = _config(tmp_path)
    assert with_triggers.triggers is not None
    assert "triggers" not in with_triggers.model_dump(mode="json")
