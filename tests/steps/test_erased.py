"""After an erasure the steps train from what never saw it, or cold, and refuse what the source still holds of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from evernas.config import Config
from evernas.loop.forget import forget
from evernas.loop.plan import plan_of
from evernas.state import Done, Home
from evernas.state.ownership import FENCE_VARIABLE, claim
from evernas.state.sharing import steps_of
from evernas.steps.finalists import SAMPLES, check_inputs
from evernas.steps.forgotten import PENDING
from small_lineage import config, give, train

__all__ = ["config"]


def test_the_next_run_trains_from_what_never_saw_it_and_refuses_it(config: Config, tmp_path: Path) -> None:
    place = Home(tmp_path / "home")
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    _, first = _train(place, config, "run-1")
    give(config, "erase-me", [8, 9])
    _, second = _train(place, config, "run-2")
    assert second.inputs["parent"] == first.ref

    forget(config, place, "erase-me", None, "asked")
    assert "never saw it" in str(plan_of(config, place).erasure)
    data, third = _train(place, config, "run-3")
    stand_in = steps_of(place, config.project).get(str(third.inputs["parent"]))
    assert stand_in.facts["digest"] == first.facts["digest"], "the weights that run-1 had"
    assert "erase-me" not in str(data.facts)
    assert third.facts["domains"] == ["t"]

    forget(config, place, "t", None, "asked")
    assert "trains cold" in str(plan_of(config, place).erasure)
    give(config, "another", [10, 11, 12])
    _, fourth = _train(place, config, "run-4")
    assert fourth.inputs["parent"] is None
    assert fourth.facts["domains"] == ["another"]


def test_while_an_erasure_waits_to_be_completed_the_ingest_step_takes_nothing_in(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Home(tmp_path / "home")
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    waiting = place.erasures(config.project) / PENDING
    waiting.parent.mkdir(parents=True)
    waiting.write_text("{}")
    with pytest.raises(SystemExit, match="1"):
        _train(place, config, "run-1")
    assert "no data is taken in" in capsys.readouterr().err
    assert not list(place.snapshots(config.project).rglob("*.parquet"))
    waiting.unlink()
    assert _train(place, config, "run-1")[0].facts["rows_kept"] > 0


def _train(place: Home, config: Config, run: str) -> tuple[Done, Done]:
    """What a run does, that owns the state folder only as long as it works."""
    with claim(place, 0, lambda text: None) as ownership:
        os.environ.update(ownership.environment())
        try:
            return train(place, config, run)
        finally:
            del os.environ[FENCE_VARIABLE]


def test_a_bundle_is_tried_on_nobodys_data() -> None:
    rng = np.random.default_rng(1)
    data = (rng.normal(size=(50, 3, 16)) * np.array([1, 10, 0.1])[None, :, None] + 4).astype(np.float32)
    made = check_inputs(data)
    assert made.shape == (SAMPLES, 3, 16)
    assert np.abs(made.std(axis=(0, 2)) / data.std(axis=(0, 2)) - 1).max() < 0.5
    known = {row.tobytes() for row in data.reshape(-1, 16)}
    assert not any(row.tobytes() in known for row in made.reshape(-1, 16))
    assert (made.min(), made.max()) >= (data.min(), 0)
    assert np.array_equal(made, check_inputs(data)), "the same each time"
    assert check_inputs(np.full((2, 1, 8, 8), 255, np.float32)).max() <= 255, "images keep to their range"
