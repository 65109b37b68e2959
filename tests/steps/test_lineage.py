"""A row that any supernet before was trained on judges no network: the lineage of supernets remembers its rows."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from evernas import supernet
from evernas.config import Config
from evernas.state import Home
from evernas.steps.versions import VERSIONS
from small_lineage import config, give, home, train

__all__ = ["config", "home"]


def test_a_row_that_a_supernet_was_trained_on_is_refused_in_the_gate_ever_after(home: Home, config: Config) -> None:
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    data, first = train(home, config, "run-1")
    assert data.facts["quarantine"] == {}
    windows = data.facts["rows_kept"] // 7

    # The recording 7 is now gone from training: the second supernet, though warm, never sees it.
    give(config, "t", [5, 6, 8, 9])
    data, second = train(home, config, "run-2")
    assert second.inputs["parent"] == first.ref
    assert data.facts["quarantine"] == {}

    give(config, "g", [1, 2, 7])
    data, third = train(home, config, "run-3")
    assert data.facts["quarantine"] == {"unseen_by_training": windows}
    assert "a model was already trained on the same window" in data.facts["quarantine_examples"][0]
    assert data.facts["splits"]["gate"] == {"g": 2 * windows}

    # Another seed changes nothing of the data: it is not validated again.
    again, _ = train(home, config.model_copy(update={"seed": 1}), "run-4")
    assert again.ref == data.ref
    assert third.ref == second.ref, "rows of the gate change nothing of the training"


def test_a_warm_start_is_told_which_rows_its_parent_was_not_trained_on(
    home: Home, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[list[str], Any]] = []

    def watched(space: Any, data: Any, *others: Any, **options: Any) -> Any:
        told.append((list(data.recordings), options["new"]))
        return supernet.training.train(space, data, *others, **options)

    monkeypatch.setattr(supernet, "train", watched)
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    train(home, config, "run-1")
    give(config, "t", [5, 6, 8])
    give(config, "u", [9, 10])
    train(home, config, "run-2")
    (_, first), (recordings, new) = told
    assert first is None, "cold"
    assert {recording for recording, is_new in zip(recordings, new, strict=True) if is_new} == {"t-8", "u-9", "u-10"}
    assert {recording for recording, is_new in zip(recordings, new, strict=True) if not is_new} == {"t-5", "t-6"}


def test_a_cold_start_does_not_forget_what_was_trained_on(home: Home, config: Config) -> None:
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    _, first = train(home, config, "run-1")
    always = config.supernet.warm_start.model_copy(update={"cold_every": 1})
    other = config.model_copy(update={"supernet": config.supernet.model_copy(update={"warm_start": always})})
    give(config, "t", [5, 6, 8, 9])
    _, second = train(home, other, "run-2")
    assert second.inputs["parent"] is None
    assert second.inputs["last"] == first.ref
    give(config, "g", [1, 2, 7])
    data, _ = train(home, other, "run-3")
    assert set(data.facts["quarantine"]) == {"unseen_by_training"}


def test_rows_are_judged_beside_the_last_supernet_where_the_one_before_it_was_cleared_away(
    home: Home, config: Config
) -> None:
    give(config, "g", [1, 2])
    give(config, "s", [3, 4])
    give(config, "t", [5, 6, 7])
    _, first = train(home, config, "run-1")
    give(config, "t", [5, 6, 7, 8])
    validated, second = train(home, config, "run-2")
    assert validated.inputs["trained"] == first.ref
    shutil.rmtree(home.steps(config.project) / first.ref)
    again, _ = train(home, config, "run-3")
    assert again.inputs["trained"] == second.ref


def _with_space(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"space": config.space.model_copy(update=changes)})


def test_a_last_supernet_that_cannot_be_compared_is_told_with_why(home: Home, config: Config) -> None:
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    _, first = train(home, config, "run-1")
    assert (first.facts["lost"], first.facts["incomparable"]) == (None, None), "there is none before it"
    grown = _with_space(config, kernels=[*config.space.kernels, 9])
    _, second = train(home, grown, "run-2")
    assert second.inputs["parent"] == first.ref
    assert (second.facts["lost"]["networks"], second.facts["incomparable"]) == (4, None)
    _, third = train(home, _with_space(config, stem_width=20), "run-3")
    assert (third.facts["lost"], third.facts["incomparable"]) == (None, "no network was found that both spaces have")
    marker = third.folder / "done.json"
    facts = {**third.facts, "layout": {name: third.facts["layout"][name] for name in ("samples", "pooled")}}
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "facts": facts}))
    _, fourth = train(home, grown.model_copy(update={"seed": 1}), "run-4")
    assert fourth.facts["incomparable"] == "it is of an older version, and does not tell its space"
    (fourth.folder / "done.json").unlink()
    _, fifth = train(home, config.model_copy(update={"seed": 2}), "run-5")
    assert (fifth.inputs["parent"], fifth.facts["incomparable"]) == (None, "it is gone or damaged")
    data, sixth = train(home, config.model_copy(update={"seed": 3}), "run-6")
    assert sixth.facts["lost"]["samples"] == sum(data.facts["splits"]["train"].values())
    other = config.data.signal.model_copy(update={"length": 64, "stride": 64})
    _, seventh = train(
        home, config.model_copy(update={"data": config.data.model_copy(update={"signal": other})}), "run-7"
    )
    assert seventh.facts["incomparable"] == "its samples were of another size"


@pytest.mark.parametrize("gone", [False, True])
def test_a_supernet_that_a_newer_version_makes_again_needs_nothing_that_was_cleared_away(
    home: Home, config: Config, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    for domain, seeds in {"g": [1, 2], "s": [3, 4], "t": [5, 6, 7]}.items():
        give(config, domain, seeds)
    _, first = train(home, config, "run-1")
    give(config, "t", [5, 6, 7, 8])
    _, second = train(home, config, "run-2")
    assert second.inputs["parent"] == first.ref
    if gone:
        shutil.rmtree(first.folder)
    monkeypatch.setitem(VERSIONS, "supernet", VERSIONS["supernet"] + 1)
    _, again = train(home, config, "run-3")
    assert again.ref != second.ref
    assert again.inputs["parent"] == (second.ref if gone else first.ref)
