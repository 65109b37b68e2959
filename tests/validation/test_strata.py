"""How much of production's strata the gate split covers is said, and can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evernas.config import Config, DataConfig, ValidationConfig, load_config
from evernas.data import ingest, load_rows
from evernas.redaction import Redaction
from evernas.validation import ValidationResult, validate
from place import EXAMPLE
from small_source import config, deliver, recording, source

__all__ = ["config", "deliver", "recording", "source"]
LOOSE = {"min_rows": {"train": 1, "search": 1, "gate": 1}, "min_rows_per_class": 0, "max_quarantine": 1.0}
SITES = {"g": "north", "s": "north", "a": "north", "b": "south", "c": "west"}


@pytest.fixture
def judge(
    source: Path,
    tmp_path: Path,
    config: DataConfig,
    deliver: Callable[..., Path],
    recording: Callable[..., dict[str, Any]],
) -> Callable[..., ValidationResult]:
    """Validates deliveries, each a number of recordings by domain, by these strata."""

    def validated(
        *deliveries: dict[str, int], strata: Any = None, least: float | None = None, **splits: Any
    ) -> ValidationResult:
        named = config.model_copy(
            update={
                "strata": strata,
                "splits": config.splits.model_validate(splits or {"gate": ["g"], "search": ["s"]}),
            }
        )
        parent = None
        for at, counts in enumerate(deliveries):
            rows = [
                recording(f"{domain}-{at}-{n}", domain=domain, seed=1000 * at + 50 * (ord(domain) - 96) + n)
                for domain, count in counts.items()
                for n in range(count)
            ]
            deliver(f"{at}.parquet", rows)
            snapshot = ingest(source, tmp_path / "store", named, parent)
            parent = snapshot.id
        return validate(load_rows(snapshot), named, ValidationConfig(**LOOSE, min_stratum_coverage=least))

    return validated


def test_what_trains_in_no_stratum_of_the_gate_is_not_covered(judge: Callable[..., ValidationResult]) -> None:
    found = judge({"g": 2, "s": 2, "a": 3, "b": 1, "c": 1}, {}, strata={"site": SITES}).strata["site"]
    each = found["strata"]["south"]["rows"]
    # The first delivery is no longer new: only what trains is production.
    assert found["strata"]["north"] == {"rows": 3 * each, "domains": 1, "gate_rows": 2 * each, "gate_domains": 1}
    assert found["strata"]["south"] == {"rows": each, "domains": 1, "gate_rows": 0, "gate_domains": 0}
    assert (found["rows"], found["domains"]) == (pytest.approx(3 / 5), pytest.approx(1 / 3))
    assert found["sentence"].startswith("By site, the gate split covers 60.0% of the rows and 33.3% of the domains")
    assert f"not covered: 'south' ({each} rows of 1 domains), 'west'" in found["sentence"]


def test_what_is_new_is_production_whatever_its_split(judge: Callable[..., ValidationResult]) -> None:
    sites = {**SITES, "s": "east"}
    old = judge({"g": 2, "s": 2, "a": 2}, {"a": 1}, strata={"site": sites}).strata["site"]
    assert (old["rows"], "east" in old["strata"]) == (1.0, False)


def test_new_rows_of_the_search_split_count(judge: Callable[..., ValidationResult]) -> None:
    sites = {**SITES, "s": "east"}
    found = judge({"g": 2, "s": 1, "a": 2}, {"s": 2, "a": 1}, strata={"site": sites}).strata["site"]
    assert found["strata"]["east"]["gate_rows"] == 0
    assert found["rows"] == pytest.approx(3 / 5)


def test_a_domain_without_a_stratum_is_never_covered(judge: Callable[..., ValidationResult]) -> None:
    sites = {"g": "north", "s": "north", "a": "north"}
    found = judge({"g": 2, "s": 1, "a": 1, "b": 1}, {}, strata={"site": sites}).strata["site"]
    assert found["unnamed"]["domains"] == 1
    assert found["domains"] == 0.5
    assert "of 1 domains that data.strata lacks" in found["sentence"]
    nobody = judge({"g": 2, "s": 1, "a": 1}, {}, strata={"site": {"x": "north"}}).strata["site"]
    assert (nobody["rows"], nobody["domains"], nobody["strata"]) == (0.0, 0.0, {})


@pytest.mark.parametrize(("least", "refused"), [(None, 0), (0.33, 0), (0.34, 1), (1.0, 1)])
def test_too_little_coverage_refuses_where_it_is_asked_for(
    judge: Callable[..., ValidationResult], least: float | None, refused: int
) -> None:
    """By rows 60 % are covered, by domains 33 %: the lesser counts. Of models all are."""
    strata = {"site": SITES, "model": dict.fromkeys(SITES, "a2")}
    found = judge({"g": 2, "s": 2, "a": 3, "b": 1, "c": 1}, {}, strata=strata, least=least)
    assert len(found.refusals) == refused
    assert all("By site" in text and "min_stratum_coverage" in text for text in found.refusals)
    assert found.figures["stratum_coverage_model"] == 1.0


def test_without_strata_nothing_is_said(judge: Callable[..., ValidationResult]) -> None:
    found = judge({"g": 2, "s": 2, "a": 3})
    assert found.strata == {}
    assert "strata" not in found.summary()
    assert not any("strat" in name for name in found.figures)


@pytest.mark.parametrize(
    "strata", [{"": {"a": "n"}}, {"site|": {"a": "n"}}, {"site": {"a": ""}}, {"site": {" a": "n"}}, {"site": ["a"]}]
)
def test_strata_that_cannot_be_are_refused(strata: Any) -> None:
    document = load_config(EXAMPLE).model_dump(mode="json")
    with pytest.raises(ValidationError, match="strata"):
        Config.model_validate({**document, "data": {**document["data"], "strata": strata}})


def test_coverage_of_no_strata_cannot_be_asked_for() -> None:
    document = load_config(EXAMPLE).model_dump(mode="json")
    assert "strata" not in document["data"]
    assert "min_stratum_coverage" not in document["validation"]
    document["validation"]["min_stratum_coverage"] = 0.9
    with pytest.raises(ValidationError, match=r"data\.strata names none"):
        Config.model_validate(document)


def test_an_erased_domain_is_taken_out_of_the_strata_whatever_their_kind_is_called() -> None:
    document = {"data": {"labels": ["p3"], "strata": {"device": {"p3": "a2", "p4": "a3"}, "label": {"p3": "x"}}}}
    found = Redaction({"p3": "erased-1"}, {}).document(document)
    assert found["data"] == {
        "labels": ["p3"],
        "strata": {"device": {"erased-1": "a2", "p4": "a3"}, "label": {"erased-1": "x"}},
    }
