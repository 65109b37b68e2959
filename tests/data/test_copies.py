"""Rows that repeat others are found, exactly and nearly, and a domain under a new name goes where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evernas.config import DataConfig, NearDuplicatesConfig, ValidationConfig
from evernas.data import Manifest, ingest, load_rows, load_split, open_snapshot, repeats, unchanged
from evernas.data.copies import Copies, Pairs, joined, read_copies
from evernas.data.hidden import hidden_copies
from evernas.data.near import NEAREST
from evernas.data.repeats import Digests
from evernas.errors import IntegrityError, UsageError
from evernas.validation import Again, ValidationResult, validate

LOOSE = ValidationConfig(min_rows={"train": 1, "search": 1, "gate": 1}, min_rows_per_class=0, max_quarantine=1.0)
STEPS = 64 * 3


@pytest.fixture
def config() -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "unused",
            "signal": {"channels": ["x", "y"], "length": 64, "stride": 64},
            "labels": ["walk", "run"],
            "splits": {"gate": ["g"], "search": ["s"]},
        }
    )


def walk(seed: int) -> Any:
    """Movement of two channels: smooth, and of its own for each seed."""
    noise = np.random.default_rng(seed).normal(size=(2, STEPS + 8))
    return np.stack([np.convolve(channel, np.hanning(7), "same") for channel in noise]).astype(np.float32)


def row(id: str, domain: str, payload: Any) -> dict[str, Any]:
    return {"id": id, "domain": domain, "label": "walk", "payload": payload[:, :STEPS].tolist()}


@pytest.fixture
def three(deliver: Callable[..., Path]) -> None:
    """Three recordings of each of three people."""
    for at, who in enumerate("gst"):
        deliver(f"{who}.parquet", [row(f"{who}{n}", who, walk(10 * at + n)) for n in range(3)])


def copied(payload: Any) -> Any:
    """In another unit, four steps later, with noise, and rounded."""
    noise = np.random.default_rng(0).normal(size=payload.shape) * 0.05 * payload.std()
    return np.round(np.roll(2.5 * (payload + noise), -4, axis=1), 2).astype(np.float32)


@pytest.mark.usefixtures("three")
def test_a_changed_copy_of_a_gate_recording_leaves_training(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("late.parquet", [row("copy", "u", copied(walk(1))), *(row(f"u{n}", "u", walk(50 + n)) for n in range(3))])
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert snapshot.manifest.duplicates is not None
    assert (snapshot.manifest.duplicates.exact, snapshot.manifest.duplicates.near) == (0, 3)
    rows = load_rows(snapshot)
    result = validate(rows, config, LOOSE)
    gone = result.deduplicated.to_pylist()
    assert [entry["sample_id"] for entry in gone] == ["copy/0", "copy/64", "copy/128"]
    assert [entry["kept_sample_id"] for entry in gone] == ["g1/0", "g1/64", "g1/128"]
    assert result.rows_in == result.kept.num_rows + 3 == 39
    table = read_copies(snapshot.store, snapshot.manifest.duplicates)
    assert min(table.column("similarity").to_pylist()) > 0.98


@pytest.mark.usefixtures("three")
def test_a_gate_row_like_one_that_was_trained_on_judges_nothing(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("late.parquet", [row("copy", "g", copied(walk(21)))])
    rows = load_rows(ingest(source, tmp_path / "store", config, None))
    trained = [r["digest"] for r in rows.to_pylist() if r["split"] == "train"]
    result = validate(rows, config, LOOSE, trained=trained)
    assert {(e["recording"], e["rule"]) for e in result.quarantine.to_pylist()} == {("copy", "unseen_by_training")}
    assert result.quarantined == 3


@pytest.mark.usefixtures("three")
def test_a_copy_leaves_training_when_only_one_of_its_twins_stays_in_the_gate(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    gates = config.model_copy(update={"splits": config.splits.model_copy(update={"gate": ["g", "h", "i"]})})
    held = row("h1", "h", copied(walk(1)))
    deliver("h.parquet", [held])
    deliver("i.parquet", [{**held, "id": "i1", "domain": "i"}])
    new = [row("copy", "u", 0.5 * walk(1)), *(row(f"u{n}", "u", walk(50 + n)) for n in range(3))]
    deliver("late.parquet", new)
    deliver("g.parquet", [{**row("g1", "g", walk(1)), "label": "unknown"}, row("g2", "g", walk(2))])
    result = validate(load_rows(ingest(source, tmp_path / "store", gates, None)), gates, LOOSE)
    assert {entry["recording"] for entry in result.quarantine.to_pylist()} == {"g1"}, "the first twin judges nothing"
    gone = {(entry["sample_id"].split("/")[0], entry["kept_sample_id"]) for entry in result.deduplicated.to_pylist()}
    assert gone == {(id, f"h1/{at}") for id in ("copy", "i1") for at in (0, 64, 128)}


@pytest.mark.usefixtures("three")
def test_a_gate_row_judges_nothing_when_any_of_its_twins_was_trained_on(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("late.parquet", [row("new", "u", copied(walk(21))), row("u1", "u", walk(50)), row("u2", "u", walk(51))])
    deliver("more.parquet", [row("copy", "g", 0.5 * walk(21))])
    rows = load_rows(ingest(source, tmp_path / "store", config, None))
    for twin in ("new", "t1"):
        trained = [r["digest"] for r in rows.to_pylist() if r["recording"] == twin]
        result = validate(rows, config, LOOSE, trained=trained)
        failed = {(e["recording"], e["rule"]) for e in result.quarantine.to_pylist()}
        assert failed == {("copy", "unseen_by_training")}, twin


def judged(snapshot: Any, config: DataConfig, **known: Any) -> ValidationResult:
    """As a run does it."""

    def near(asking: Any, others: Any) -> Any:
        return hidden_copies(snapshot, config.near_duplicates, asking, others)

    return validate(load_rows(snapshot), config, LOOSE, again=Again(near, NEAREST), **known)


def beside(payload: Any, share: float, seed: int) -> Any:
    """A copy with so much noise of its own."""
    noise = np.random.default_rng(1000 + seed).normal(size=payload.shape) * share * payload.std()
    return (payload + noise).astype(np.float32)


def crowd(good: str, bad: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Copies of one recording, of domains that are good and bad: rows of the good one's split, then of training.

    "far" of training is the nearest to three recordings of `bad`, and further from "held" of `good`, which has three
    nearer ones in training: neither is among the nearest three of the other.
    """
    base, off = walk(700), beside(walk(700), 0.1, 0)
    theirs = [row("held", good, base), *(row(f"bad{n}", bad, beside(off, 0.005, n)) for n in range(3))]
    ours = [row("far", "t", off), *(row(f"close{n}", "t", beside(base, 0.005, 10 + n)) for n in range(3))]
    # With these, most of the rows of "t" are copies of none, so that it is nobody under another name.
    return theirs, [*ours, *(row(f"own{n}", "t", walk(800 + n)) for n in range(3))]


def unlabelled(rows: list[dict[str, Any]], begin: str) -> list[dict[str, Any]]:
    return [{**r, "label": "unknown"} if r["id"].startswith(begin) else r for r in rows]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("split", ["g", "s"])
def test_a_copy_behind_three_quarantined_ones_leaves_training(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path], split: str
) -> None:
    theirs, ours = crowd(split, split)
    deliver("more.parquet", [*unlabelled(theirs, "bad"), *ours])
    snapshot = ingest(source, tmp_path / "store", config, None)
    rows = {r["row"]: r for r in load_rows(snapshot).to_pylist()}
    twins = {rows[n]["recording"] for r in rows.values() if r["recording"] == "far" for n in r["twins"]}
    assert twins == {"bad0", "bad1", "bad2"}, "the crowd hides the good one from the table"
    assert "far" in {r["recording"] for r in validate(load_rows(snapshot), config, LOOSE).kept.to_pylist()}
    result = judged(snapshot, config)
    gone = {(e["sample_id"].split("/")[0], e["kept_sample_id"].split("/")[0]) for e in result.deduplicated.to_pylist()}
    assert gone == {("far", "held"), *((f"close{n}", "held") for n in range(3))}
    assert {e["recording"] for e in result.quarantine.to_pylist()} == {"bad0", "bad1", "bad2"}


@pytest.mark.usefixtures("three")
def test_a_copy_with_the_bytes_of_three_quarantined_ones_leaves_training(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    theirs, ours = crowd("g", "g")
    same = [{**ours[0], "id": f"bad{n}", "domain": "g"} for n in range(3)]
    deliver("more.parquet", unlabelled([theirs[0], *same, *ours], "bad"))
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert "far" in {r["recording"] for r in validate(load_rows(snapshot), config, LOOSE).kept.to_pylist()}
    assert "far" not in {r["recording"] for r in judged(snapshot, config).kept.to_pylist()}


@pytest.mark.usefixtures("three")
def test_a_copy_of_quarantined_rows_alone_stays_in_training(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    theirs, ours = crowd("g", "g")
    deliver("more.parquet", [*unlabelled(theirs[1:], "bad"), ours[0]])
    result = judged(ingest(source, tmp_path / "store", config, None), config)
    assert "far" in {r["recording"] for r in result.kept.to_pylist()}
    assert result.deduplicated.num_rows == 0


@pytest.mark.usefixtures("three")
def test_a_gate_row_is_judged_by_a_trained_copy_behind_three_untrained_ones(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    """The same crowd seen from the gate: the nearest three of "held" are new, the fourth was trained on."""
    theirs, ours = crowd("g", "g")
    deliver("more.parquet", [*theirs, *ours])
    snapshot = ingest(source, tmp_path / "store", config, None)
    trained = [r["digest"] for r in load_rows(snapshot).to_pylist() if r["recording"] == "far"]
    missed = validate(load_rows(snapshot), config, LOOSE, trained=trained)
    assert "held" not in {e["recording"] for e in missed.quarantine.to_pylist()}
    found = judged(snapshot, config, trained=trained).quarantine.to_pylist()
    assert ("held", "unseen_by_training") in {(e["recording"], e["rule"]) for e in found}


@pytest.mark.usefixtures("three")
def test_near_copies_are_looked_for_again_only_where_some_may_be_hidden(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("late.parquet", [row("copy", "u", copied(walk(1))), *(row(f"u{n}", "u", walk(50 + n)) for n in range(3))])
    snapshot = ingest(source, tmp_path / "store", config, None)

    def near(asking: Any, others: Any) -> Any:
        raise AssertionError("nothing is hidden")

    rows = load_rows(snapshot)
    assert validate(rows, config, LOOSE, again=Again(near, NEAREST)) is not None


@pytest.mark.usefixtures("three")
def test_hidden_copies_are_found_without_packs_and_read_no_other_shard(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = crowd("g", "g")
    deliver("more.parquet", [*unlabelled(theirs, "bad"), *ours])
    deliver("other.parquet", [row(f"w{n}", "w", walk(300 + n)) for n in range(3)])
    snapshot = ingest(source, tmp_path / "store", config, None)
    recordings = np.array(load_rows(snapshot).column("recording").to_pylist())
    for pack in (tmp_path / "store" / "told").iterdir():
        pack.unlink()
    for shard in snapshot.manifest.objects["other.parquet"].shards:
        (tmp_path / "store" / f"shards/{shard.split}/{shard.digest}.parquet").rename(tmp_path / shard.digest)
    asking, others = recordings == "far", recordings == "held"
    found = hidden_copies(snapshot, config.near_duplicates, asking, others)
    expected = zip(*(np.flatnonzero(rows).tolist() for rows in (asking, others)), strict=True)
    assert {*map(frozenset, zip(*(rows.tolist() for rows in found), strict=True))} == {*map(frozenset, expected)}


@pytest.mark.usefixtures("three")
def test_a_person_under_a_new_name_joins_the_gate_and_stays_there(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    said: list[str] = []
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    deliver("new.parquet", [row(f"v{n}", "v", copied(walk(n))) for n in range(2)] + [row("v9", "v", walk(99))])
    second = ingest(source, store, config, first.id, say=said.append)
    assert second.manifest.splits == {"g": "gate", "s": "search", "t": "train", "v": "gate"}
    assert second.manifest.joined == {"v": "gate"}
    assert "'v' (gate)" in said[0]
    assert set(load_split(second, "train", config.labels).domains) == {"t"}
    assert set(load_split(second, "gate", config.labels).domains) == {"g", "v"}
    deliver("later.parquet", [row("v10", "v", walk(100))])
    third = ingest(source, store, config, second.id)
    assert third.manifest.counts()["split"] == {"gate": 21, "search": 9, "train": 9}
    assert Manifest.from_json(third.manifest.to_json()) == third.manifest
    named = config.model_copy(update={"splits": config.splits.model_copy(update={"search": ["s", "v"]})})
    with pytest.raises(UsageError, match="'v' from gate to search"):
        ingest(source, store, named, third.id)


def test_a_known_domain_never_moves_and_new_ones_go_where_the_strictest_is() -> None:
    known = {"g": "gate", "s": "search", "t": "train"}
    shares = {("a", "b"): 0.9, ("b", "s"): 0.6, ("t", "g"): 1.0, ("c", "t"): 0.9, ("d", "g"): 0.5, ("e", "t"): 1.0}
    assert joined({**shares, ("e", "g"): 0.6}, 0.5, known) == {"a": "search", "b": "search", "e": "gate"}


def test_rows_with_the_same_bytes_are_copies_in_all_their_domains_and_near_all_that_any_is_near() -> None:
    """Of rows 0 to 9, 0, 2, 4 and 5 are the same, 1 and 6 are, and 2 is near 8, which is near 1."""
    domain_of = np.array([0, 0, 1, 1, 2, 2, 2, -1, 3, 3], np.int32)
    ones = np.ones(4, np.float32)
    exact = Pairs(np.array([0, 0, 0, 1]), np.array([2, 4, 5, 6]), ones)
    near = Pairs(np.array([1, 2]), np.array([8, 8]), ones[:2])
    expected = {
        **{("a", "b"): 0.5, ("a", "c"): 1.0, ("a", "d"): 1.0},
        **{("b", "a"): 0.5, ("b", "c"): 0.5, ("b", "d"): 0.5},
        **{("c", "a"): 1.0, ("c", "b"): 2 / 3, ("c", "d"): 1.0},
        **{("d", "a"): 0.5, ("d", "b"): 0.5, ("d", "c"): 0.5},
    }
    assert Copies(exact, near, domain_of, ("a", "b", "c", "d")).shares() == expected
    assert Copies(*[Pairs(*[np.zeros(0, np.int64)] * 2, ones[:0])] * 2, domain_of, ("a", "b", "c", "d")).shares() == {}


@pytest.mark.usefixtures("three")
def test_a_person_whose_rows_came_first_from_another_joins_the_gate_all_the_same(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    first = ingest(source, tmp_path / "store", config, None)
    deliver("g-late.parquet", [row(f"g-t{n}", "g", walk(20 + n)) for n in range(3)])
    second = ingest(source, tmp_path / "store", config, first.id)
    deliver("new.parquet", [row(f"v{n}", "v", walk(20 + n)) for n in range(3)])
    assert ingest(source, tmp_path / "store", config, second.id).manifest.joined == {"v": "gate"}


@pytest.mark.usefixtures("three")
def test_without_the_search_only_exact_copies_are_found(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("late.parquet", [row("near", "u", copied(walk(1))), row("same", "u", walk(20)), row("u1", "u", walk(51))])
    off = config.model_copy(update={"near_duplicates": NearDuplicatesConfig(enabled=False)})
    snapshot = ingest(source, tmp_path / "store", off, None)
    assert snapshot.manifest.duplicates is not None
    assert (snapshot.manifest.duplicates.exact, snapshot.manifest.duplicates.near) == (3, 0)
    assert not any(load_rows(snapshot).column("twins").to_pylist())
    assert unchanged(source, snapshot, off)
    assert not unchanged(source, snapshot, config)
    sought = ingest(source, tmp_path / "store", config, snapshot.id)
    assert sought.manifest.duplicates is not None
    assert sought.manifest.duplicates.near == 3
    assert sought.manifest.added == sought.manifest.changed == ()


@pytest.mark.usefixtures("three")
def test_exact_copies_are_found_against_earlier_snapshots(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    store = tmp_path / "store"
    first = ingest(source, store, config, None)
    deliver("a-late.parquet", [row("same", "t", walk(21)), row("other", "t", walk(70))])
    second = ingest(source, store, config, first.id)
    assert second.manifest.duplicates is not None
    table = read_copies(store_of(store, second.id), second.manifest.duplicates).to_pylist()
    rows = {r["row"]: r["sample_id"] for r in load_rows(second).to_pylist()}
    assert [(rows[e["row"]], rows[e["other"]], e["exact"]) for e in table] == [
        (f"same/{start}", f"t1/{start}", True) for start in (0, 64, 128)
    ]


def store_of(store: Path, id: str) -> Any:
    return open_snapshot(store, id).store


@pytest.mark.usefixtures("three")
def test_a_manifest_of_an_earlier_release_is_read_and_stays_as_it_is(
    source: Path, tmp_path: Path, config: DataConfig
) -> None:
    manifest = ingest(source, tmp_path / "store", config, None).manifest
    import json
    from dataclasses import replace

    old = replace(manifest, duplicates=None)
    document = json.loads(old.to_json())
    assert document["version"] == 1
    assert not {"joined", "duplicates"} & document.keys()
    assert Manifest.from_json(old.to_json()) == old
    snapshot_file = tmp_path / "store" / "manifests" / f"{old.id}.json"
    snapshot_file.write_text(old.to_json())
    earlier = open_snapshot(tmp_path / "store", old.id)
    assert not any(load_rows(earlier).column("twins").to_pylist())
    assert ingest(source, tmp_path / "store", config, old.id).id == old.id


@pytest.mark.usefixtures("three")
def test_a_changed_table_of_copies_is_noticed(source: Path, tmp_path: Path, config: DataConfig) -> None:
    snapshot = ingest(source, tmp_path / "store", config, None)
    (path,) = (tmp_path / "store" / "duplicates").iterdir()
    path.write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="missing or was changed"):
        load_rows(snapshot)


@pytest.mark.parametrize("collide", [False, True])
def test_repeated_digests_are_those_that_a_dictionary_finds(monkeypatch: pytest.MonkeyPatch, collide: bool) -> None:
    monkeypatch.setattr(repeats, "PART_ROWS", 50)
    random = np.random.default_rng(0)
    pool = [random.bytes(32).hex() for _ in range(150)]
    if collide:
        pool = ["00ff" * 4 + digest[16:] for digest in pool]
    drawn: list[str | None] = [pool[i] for i in random.integers(0, 150, 400)]
    drawn[7] = drawn[300] = None
    seen: dict[str, int] = {}
    expected = [(i, seen[d]) for i, d in enumerate(drawn) if d is not None and seen.setdefault(d, i) != i]
    with Digests() as digests:
        for shard in range(4):
            digests.add(str(shard), pa.chunked_array([pa.array(drawn[100 * shard : 100 * shard + 100], pa.string())]))
        rows, firsts = digests.repeated(["0", "1", "2", "3"])
    assert list(zip(rows.tolist(), firsts.tolist(), strict=True)) == expected
