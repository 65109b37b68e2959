"""Domains that come unnamed train, or are drawn once by the rule that there is when they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evernas.config import DataConfig, SplitConfig
from evernas.data import Manifest, ingest, load_split
from evernas.data.splits import drawn_domain
from evernas.errors import UsageError
from small_source import config, deliver, recording, source

__all__ = ["config", "deliver", "recording", "source"]
COMING = [f"p{n:02d}" for n in range(24)]
Give = Callable[..., None]


@pytest.fixture
def give(deliver: Callable[..., Path], recording: Callable[..., dict[str, Any]]) -> Give:
    def write(name: str, domains: list[str], start: int = 0) -> None:
        rows = [
            recording(f"{domain}-{start}-{n}", domain, seed=7 * (sum(domain.encode()) + 100 * int(domain[1:] or 0)) + n)
            for domain in domains
            for n in range(start, start + 2)
        ]
        deliver(f"{name}.parquet", rows)

    return write


def ruled(config: DataConfig, **new: Any) -> DataConfig:
    """The same with a rule for new domains."""
    splits = {"gate": ["g"], "search": ["s"], **({"new": new} if new else {})}
    return config.model_copy(update={"splits": SplitConfig.model_validate(splits)})


def test_a_domain_is_drawn_by_its_name_in_whatever_deliveries_it_comes(
    source: Path, tmp_path: Path, config: DataConfig, give: Give
) -> None:
    rule = ruled(config, gate=0.3, search=0.2)
    give("named", ["g", "s", "t"])
    give("all", COMING)
    said: list[str] = []
    whole = ingest(source, tmp_path / "whole", rule, None, say=said.append)
    counts = Counter(whole.manifest.splits[domain] for domain in COMING)
    assert set(counts) == {"gate", "search", "train"}
    drawn = {d: split for d, split in whole.manifest.splits.items() if split != "train" and d not in ("g", "s")}
    assert drawn == {d: split for d in [*COMING, "t"] if (split := drawn_domain(d, rule.splits)) != "train"}
    assert whole.manifest.joined == drawn
    assert f"{len(drawn)} new domains are drawn to judge or to guide the search" in said[0]
    assert {"g", *(d for d, split in drawn.items() if split == "gate")} == set(
        load_split(whole, "gate", config.labels).domains
    )
    assert Manifest.from_json(whole.manifest.to_json()) == whole.manifest
    (source / "all.parquet").unlink()
    parent = None
    for at in range(3):
        give(f"part-{at}", COMING[::-1][at::3])
        parent = ingest(source, tmp_path / "parts", rule, parent).id
        last = ingest(source, tmp_path / "parts", rule, parent)
    assert last.manifest.splits == whole.manifest.splits


def test_a_domain_stays_where_it_was_drawn_whatever_the_rule_is_later(
    source: Path, tmp_path: Path, config: DataConfig, give: Give
) -> None:
    give("named", ["g", "s", "t"])
    give("old", COMING[:8])
    first = ingest(source, tmp_path / "store", config, None)
    assert {first.manifest.splits[domain] for domain in COMING[:8]} == {"train"}
    rule = ruled(config, gate=0.5, search=0.3)
    give("new", COMING[8:])
    give("more", COMING[:2], start=5)
    second = ingest(source, tmp_path / "store", rule, first.id)
    assert {second.manifest.splits[domain] for domain in COMING[:8]} == {"train"}, "who trained never judges"
    drawn = {domain: second.manifest.splits[domain] for domain in COMING[8:]}
    assert set(drawn.values()) == {"gate", "search", "train"}
    for later in (config, ruled(config, gate=0.1, seed=9), ruled(config, search=1.0)):
        give("last", [COMING[8], COMING[9]], start=40)
        third = ingest(source, tmp_path / "store", later, second.id)
        assert {domain: third.manifest.splits[domain] for domain in COMING[8:]} == drawn
    judge = next(domain for domain, split in drawn.items() if split == "gate")
    splits = SplitConfig.model_validate({"gate": ["g"], "search": ["s", judge]})
    with pytest.raises(UsageError, match=f"'{judge}' from gate to search"):
        ingest(source, tmp_path / "store", config.model_copy(update={"splits": splits}), second.id)


def test_who_is_named_is_not_drawn(source: Path, tmp_path: Path, config: DataConfig, give: Give) -> None:
    give("named", ["g", "s", "t"])
    snapshot = ingest(source, tmp_path / "store", ruled(config, search=1.0), None)
    assert snapshot.manifest.splits == {"g": "gate", "s": "search", "t": "search"}


def test_a_new_domain_that_is_another_under_a_new_name_goes_where_that_is_and_not_where_it_is_drawn(
    source: Path,
    tmp_path: Path,
    config: DataConfig,
    deliver: Callable[..., Path],
    recording: Callable[..., dict[str, Any]],
) -> None:
    rule = ruled(config, search=1.0)
    mine = [recording(f"r{n}", "t", steps=64, seed=n) for n in range(3)]
    deliver("t.parquet", mine)
    deliver("g.parquet", [recording("g0", "g", seed=50), recording("s0", "s", seed=51)])
    first = ingest(source, tmp_path / "store", config, None)
    deliver("new.parquet", [{**row, "id": f"copy-{n}", "domain": "u"} for n, row in enumerate(mine)])
    second = ingest(source, tmp_path / "store", rule, first.id)
    assert second.manifest.splits["u"] == "train"
    deliver("later.parquet", [recording("u9", "u", seed=90), recording("v9", "v", seed=91)])
    third = ingest(source, tmp_path / "store", rule, second.id)
    assert (third.manifest.splits["u"], third.manifest.splits["v"]) == ("train", "search")


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"gate": ["g"], "search": ["s"], "new": {"gate": 0.7, "search": 0.4}}, "more than all together"),
        ({"by": "recording", "gate": 0.2, "search": 0.1, "new": {"gate": 0.1}}, "where all domains are split"),
    ],
)
def test_rules_that_cannot_be_are_refused(splits: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SplitConfig.model_validate(splits)
