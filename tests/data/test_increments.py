"""An increment costs what is new: no shard of the history is read again, and as much is found as by a look at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import DataConfig
from evernas.data import Snapshot, ingest, load_rows, told
from evernas.data.copies import Pairs, nearest_pairs, read_copies
from evernas.data.erasing import remove_rewritten, rewrite
from evernas.data.forgotten import Forgotten
from evernas.data.garbage import garbage
from evernas.data.near import search
from evernas.data.shards import shard_key
from evernas.data.snapshot import told_keys
from evernas.state import Home
from evernas.state.sharing import storage_of
from evernas.storage import FileStorage
from machines import Server, machine, server

__all__ = ["machine", "server"]

STEPS = 64 * 3
Deliver = Callable[..., Path]


@pytest.fixture
def config() -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "unused",
            "signal": {"channels": ["x", "y"], "length": 64, "stride": 64},
            "labels": ["walk", "run"],
            "splits": {"gate": ["g"], "search": ["s"]},
            "max_loss": 1.0,
            "retired": ["a", "v", *(f"p{n}" for n in range(5))],
        }
    )


def walk(seed: int) -> Any:
    noise = np.random.default_rng(seed).normal(size=(2, STEPS))
    return np.stack([np.convolve(channel, np.hanning(7), "same") for channel in noise]).astype(np.float32)


def row(id: str, domain: str, payload: Any) -> dict[str, Any]:
    return {"id": id, "domain": domain, "label": "walk", "payload": payload.tolist()}


@dataclass
class Watched(FileStorage):
    """A folder that says what was read."""

    root: Path
    asked: list[str] = field(default_factory=list)

    def read(self, key: str) -> bytes:
        data = super().read(key)
        self.asked.append(key)
        return data

    def shards(self) -> set[str]:
        return {key for key in self.asked if key.startswith("shards/")}


@pytest.fixture
def store(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store")


@pytest.fixture
def first(source: Path, store: Watched, config: DataConfig, deliver: Deliver) -> Snapshot:
    """Six files, one of two people."""
    for at, who in enumerate("gstuv"):
        deliver(f"{who}.parquet", [row(f"{who}{n}", who, walk(10 * at + n)) for n in range(3)])
    deliver("mixed.parquet", [row("w1", "w", walk(80)), row("x1", "x", walk(81))])
    return ingest(source, store, config, None)


def keys_of(snapshot: Snapshot, name: str) -> set[str]:
    return {shard_key(s.split, s.digest) for n, _, s in snapshot.manifest.shards() if n == name}


def pairs(snapshot: Snapshot) -> set[tuple[frozenset[tuple[str, int]], bool]]:
    """All copies, by object and place in it."""
    assert snapshot.manifest.duplicates is not None
    places = []
    for name, _, shard in snapshot.manifest.shards():
        at = sum(n == name for n, _ in places)
        places += [(name, at + n) for n in range(shard.rows)]
    table = read_copies(snapshot.store, snapshot.manifest.duplicates).to_pylist()
    return {(frozenset([places[e["row"]], places[e["other"]]]), e["exact"]) for e in table}


@pytest.mark.usefixtures("first")
def test_an_increment_reads_no_shard_but_those_with_rows_like_the_new_ones(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    assert store.shards() == set(), "what was written just now is not read to find copies in it"
    deliver("new.parquet", [row(f"y{n}", "y", walk(90 + n)) for n in range(4)])
    second = ingest(source, store, config, first.id)
    assert store.shards() == set()
    deliver("copy.parquet", [row("z", "z", 0.5 * walk(1)), *(row(f"z{n}", "z", walk(70 + n)) for n in range(3))])
    third = ingest(source, store, config, second.id)
    assert store.shards() == keys_of(third, "g.parquet") | keys_of(third, "copy.parquet")
    assert third.manifest.duplicates is not None
    assert third.manifest.duplicates.near == 3
    store.asked.clear()
    deliver("later.parquet", [row("later", "y", walk(99))])
    fourth = ingest(source, store, config, third.id)
    assert store.shards() == set(), "pairs that are known are not compared again"
    assert pairs(fourth) == pairs(third) != set()


def test_in_a_bucket_too_with_what_is_held_out(
    machine: Callable[..., Home], server: Server, source: Path, config: DataConfig, deliver: Deliver
) -> None:
    def store() -> Any:
        home = machine()
        return storage_of(home, home.snapshots("p"))

    server.refuses = "gate/"
    for at, who in enumerate("gst"):
        deliver(f"{who}.parquet", [row(f"{who}{n}", who, walk(10 * at + n)) for n in range(3)])
    first = ingest(source, store(), config, None)
    server.asked.clear()
    deliver("new.parquet", [row("copy", "y", 0.5 * walk(1)), *(row(f"y{n}", "y", walk(90 + n)) for n in range(4))])
    second = ingest(source, store(), config, first.id)
    assert second.manifest.duplicates is not None
    assert second.manifest.duplicates.near == 3
    read = [line for line in server.asked if line.startswith("read") and "/shards/" in line]
    new = {f"{shard.digest}.parquet" for shard in second.manifest.objects["new.parquet"].shards}
    assert {line.rpartition("/")[2] for line in read} <= new


def test_increments_find_what_a_look_at_all_finds(
    source: Path, store: Watched, tmp_path: Path, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    others = [row(f"a{n}", "a", walk(60 + n)) for n in range(2, 4)]
    deliver("a.parquet", [row("a", "a", 2 * walk(20)), row("a1", "a", walk(11)), *others])
    second = ingest(source, store, config, first.id)
    deliver("b.parquet", [row("b", "b", 3 * walk(20)), *(row(f"b{n}", "b", walk(70 + n)) for n in range(3))])
    deliver("u.parquet", [row("u0", "u", 0.5 * walk(0)), *(row(f"u{n}", "u", walk(120 + n)) for n in range(2))])
    (source / "v.parquet").unlink()
    third = ingest(source, store, config, second.id)
    whole = ingest(source, tmp_path / "whole", config, None)
    assert pairs(third) == pairs(whole)
    assert {exact for _, exact in pairs(third)} == {True, False}
    for key in told_keys(store, third.id):
        (store.root / key).unlink()
    (source / "a.parquet").unlink()
    fourth = ingest(source, store, config, third.id)
    (source / "b.parquet").rename(source / "c.parquet")
    assert pairs(ingest(source, store, config, fourth.id)) == pairs(ingest(source, tmp_path / "again", config, None))


def test_of_a_crowd_others_are_paired_when_the_nearest_have_gone(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    """Of many that are alike each is paired with the nearest three: a fourth takes the place of those that go."""
    base = walk(200)
    noise = [np.random.default_rng(n).normal(size=base.shape) * 0.02 * (1 + n) for n in range(8)]
    names = [f"p{n}" for n in range(8)]
    for name, more in zip(names, noise, strict=True):
        others = [row(f"{name}-{n}", name, walk(1000 + 10 * int(name[1:]) + n)) for n in range(3)]
        deliver(f"{name}.parquet", [row(name, name, (base + more).astype(np.float32)), *others])
    before = ingest(source, store, config, first.id)
    for name in names[:5]:
        (source / f"{name}.parquet").unlink()
    after = ingest(source, store, config, before.id)
    assert pairs(after) >= {
        (frozenset([(f"{a}.parquet", at), (f"{b}.parquet", at)]), False)
        for a, b in [("p5", "p6"), ("p5", "p7"), ("p6", "p7")]
        for at in range(3)
    }


def test_a_domain_that_joins_another_keeps_its_copies(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    deliver("new.parquet", [row(f"v{n}", "z", 0.5 * walk(n)) for n in range(3)])
    second = ingest(source, store, config, first.id)
    assert second.manifest.joined == {"z": "gate"}
    assert second.manifest.duplicates is not None
    assert second.manifest.duplicates.near == 9


def test_a_damaged_pack_is_made_anew(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    (key,) = told_keys(store, first.id)
    (store.root / key).write_bytes(b"changed")
    deliver("copy.parquet", [row("z", "z", 0.5 * walk(1)), *(row(f"z{n}", "z", walk(70 + n)) for n in range(3))])
    second = ingest(source, store, config, first.id)
    assert second.manifest.duplicates is not None
    assert second.manifest.duplicates.near == 3
    store.asked.clear()
    deliver("new.parquet", [row("y", "y", walk(90))])
    ingest(source, store, config, second.id)
    assert store.shards() == set()


def test_many_small_packs_become_one(
    source: Path,
    store: Watched,
    config: DataConfig,
    deliver: Deliver,
    first: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(told, "LOOSE_PACKS", 3)
    counts, last = [], first
    for n in range(5):
        deliver(f"new{n}.parquet", [row(f"y{n}", "y", walk(90 + n))])
        last = ingest(source, store, config, last.id)
        counts.append(len(told_keys(store, last.id)))
    assert counts == [2, 3, 4, 1, 2]
    assert store.shards() == set()


def test_packs_that_nothing_reaches_are_garbage_and_those_of_kept_snapshots_are_not(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    deliver("new.parquet", [row("y", "y", walk(90))])
    second = ingest(source, store, config, first.id)
    found = garbage(store.root, [first.id], older_than_s=-1)
    gone = {key for key in found.keys if key.startswith("told/")}
    assert gone == told_keys(store, second.id) - told_keys(store, first.id) != set()
    assert not [key for key in garbage(store.root, [second.id], older_than_s=-1).keys if key.startswith("told/")]


def test_after_an_erasure_no_pack_is_left_and_the_next_increment_is_right(
    source: Path, store: Watched, tmp_path: Path, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    none = Forgotten(b"k" * 32, "p", {"domain": frozenset(), "id": frozenset()})
    forgotten = replace(none, hashes={**none.hashes, "domain": frozenset([none.hash_of("domain", "w")])})
    moved = rewrite(store, forgotten, [], lambda: None)
    remove_rewritten(store, moved, lambda: None)
    assert store.list("told/") == []
    deliver("mixed.parquet", [row("x1", "x", walk(81))])
    deliver("copy.parquet", [row("z", "z", 0.5 * walk(1)), *(row(f"z{n}", "z", walk(70 + n)) for n in range(3))])
    last = ingest(source, store, config, moved[first.id])
    assert pairs(last) == pairs(ingest(source, tmp_path / "whole", config, None)) != set()


def test_copies_that_hid_behind_erased_ones_are_found_by_the_next_increment(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the many that are alike only the nearest are paired: when those have gone, others are the nearest."""
    monkeypatch.setattr("evernas.data.near.search.NEAREST", 1)
    middle, aside = walk(5), walk(6)
    deliver("s.parquet", [row("s", "s", middle + 0.05 * aside)])
    deliver("v.parquet", [row(f"v{n}", "v", middle + 0.001 * n * aside) for n in range(-5, 6)])
    deliver("z.parquet", [row("z", "z", middle - 0.05 * aside)])
    before = ingest(source, store, config, None)
    missed = (frozenset([("s.parquet", 0), ("z.parquet", 0)]), False)
    assert missed not in pairs(before)
    none = Forgotten(b"k" * 32, "p", {"domain": frozenset(), "id": frozenset()})
    forgotten = replace(none, hashes={**none.hashes, "domain": frozenset([none.hash_of("domain", "v")])})
    moved = rewrite(store, forgotten, [], lambda: None)
    remove_rewritten(store, moved, lambda: None)
    (source / "v.parquet").unlink()
    deliver("new.parquet", [row("y", "y", walk(90))])
    assert missed in pairs(ingest(source, store, config, moved[before.id]))


def test_the_disk_bounds_what_is_compared_at_once_and_not_what_is_found(
    source: Path, store: Watched, tmp_path: Path, config: DataConfig, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who in "suvz":
        deliver(f"{who}.parquet", [row(f"{who}{n}", who, (1 + n) * walk(n)) for n in range(3)])
    whole = pairs(ingest(source, store, config, None))
    monkeypatch.setattr("evernas.data.copies._GATHERED_BYTES", 1)
    assert pairs(ingest(source, FileStorage(tmp_path / "bounded"), config, None)) == whole != set()


def crowd(numbers: range) -> list[Any]:
    """Recordings that are all alike, each one a little otherwise, the more so the further apart their numbers are."""
    base, aside = walk(300), walk(301)
    return [(base + 0.02 * np.sin(n) * aside + 0.01 * np.cos(n) * walk(302)).astype(np.float32) for n in numbers]


def near_pairs_of(snapshot: Snapshot) -> int:
    assert snapshot.manifest.duplicates is not None
    return snapshot.manifest.duplicates.near


def test_pairs_of_a_crowd_do_not_grow_with_the_number_of_increments(
    source: Path, store: Watched, tmp_path: Path, config: DataConfig, deliver: Deliver
) -> None:
    """Each increment is like all before it: each row keeps its nearest, of a gate, of training, and no more."""
    deliver("g.parquet", [row("g", "g", crowd(range(1))[0])])
    deliver("s.parquet", [row(f"s{n}", "s", walk(10 + n)) for n in range(3)])
    last, kept = ingest(source, store, config, None), list[int]()
    for number in range(1, 25):
        others = [row(f"c{number}-{n}", f"c{number}", walk(1000 + 10 * number + n)) for n in range(3)]
        deliver(
            f"c{number:02}.parquet", [row(f"c{number}", f"c{number}", crowd(range(number, number + 1))[0]), *others]
        )
        last = ingest(source, store, config, last.id)
        kept.append(near_pairs_of(last))
    alike = 3 * 25  # three windows of each of the crowd's recordings
    assert kept[-1] <= 2 * search.NEAREST * alike, "of training and of the gate each"
    assert kept[-1] - kept[-7] <= 2 * search.NEAREST * 3 * 6, "what is added is by the rows that are new"
    whole = ingest(source, tmp_path / "whole", config, None)
    assert near_pairs_of(whole) <= 2 * search.NEAREST * alike
    # Which of the crowd are paired is told by prints in one look and by payloads over many; who leaves training is not.
    gate = {("g.parquet", at) for at in range(3)}
    for found in (last, whole):
        beside_gate = {other for place, _ in pairs(found) if place & gate for other in place - gate}
        assert beside_gate == {(f"c{number:02}.parquet", at) for number in range(1, 25) for at in range(3)}


def test_a_domain_that_joined_the_gate_stays_there_while_its_crowd_grows(
    source: Path, store: Watched, config: DataConfig, deliver: Deliver, first: Snapshot
) -> None:
    deliver("again.parquet", [row(f"z{n}", "z", 0.5 * walk(n)) for n in range(3)])
    last = ingest(source, store, config, first.id)
    assert last.manifest.joined == {"z": "gate"}
    for number in range(6):
        noise = np.random.default_rng(number).normal(size=(2, STEPS)).astype(np.float32)
        deliver(
            f"like{number}.parquet",
            [
                row(f"l{number}", f"l{number}", walk(1) + 0.01 * noise),
                *(row(f"l{number}-{n}", f"l{number}", walk(2000 + 10 * number + n)) for n in range(4)),
            ],
        )
        last = ingest(source, store, config, last.id)
        assert last.manifest.splits["z"] == last.manifest.joined["z"] == "gate"
    places = {frozenset(place) for place, exact in pairs(last) if not exact}
    for number in range(6):
        # Of a row in training that repeats the gate one of the gate stays beside it, however many others there are.
        mine = [place for place in places if (f"like{number}.parquet", 0) in place]
        assert any({"g.parquet", "again.parquet"} & {name for name, _ in place} for place in mine)


def test_of_many_pairs_those_stay_that_are_among_the_most_similar_of_one_of_their_rows_on_a_side() -> None:
    first, second = (np.array(rows, np.int64) for rows in np.triu_indices(200, 1))
    similarity = np.random.default_rng(0).random(len(first)).astype(np.float32)
    sides = (np.arange(200) % 10 == 0).astype(np.int8)
    found = nearest_pairs(Pairs(first, second, similarity), sides)
    kept = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    for row_number in range(200):
        mine = (first == row_number) | (second == row_number)
        other = np.where(first == row_number, second, first)
        for side in (0, 1):
            best = np.flatnonzero(mine & (sides[other] == side))
            best = best[np.argsort(-similarity[best])][: search.NEAREST]
            assert {(int(first[at]), int(second[at])) for at in best} <= kept
    assert len(kept) <= 2 * search.NEAREST * 200
    assert nearest_pairs(found, sides).first.tolist() == found.first.tolist()


def test_training_rows_keep_their_twins_in_the_gate_when_a_new_domain_is_joined_to_it(
    source: Path, store: Watched, tmp_path: Path, config: DataConfig, deliver: Deliver
) -> None:
    """The nearest of each split are paired, so what joins the gate is looked at anew as a part of it."""
    rng = np.random.default_rng(0)

    def near(size: float) -> Any:
        return walk(5) + size * rng.normal(size=(2, STEPS)).astype(np.float32)

    deliver("g.parquet", [row(f"g{n}", "g", walk(100 + n)) for n in range(4)])
    deliver("s.parquet", [row("s", "s", walk(200))])
    for n in range(10):
        deliver(f"t{n}.parquet", [row(f"t{n}", f"t{n}", near(0.01)), row(f"o{n}", f"t{n}", walk(300 + n))])
    before = ingest(source, store, config, None)
    copies = [row(f"z{n}", "z", walk(100 + n) + 1e-3) for n in range(4)]
    deliver("z.parquet", [*copies, row("zc", "z", near(0.05))])

    def twins(snapshot: Snapshot) -> int:
        """Rows of the crowd in training that have a twin in the gate."""
        rows = load_rows(snapshot).to_pylist()
        crowd = [one for one in rows if one["domain"].startswith("t") and one["recording"].startswith("t")]
        assert {one["split"] for one in crowd} == {"train"}
        return sum(any(rows[other]["split"] == "gate" for other in one["twins"]) for one in crowd)

    joined = ingest(source, store, config, before.id)
    assert joined.manifest.joined == {"z": "gate"}
    assert twins(before) == 0
    assert twins(joined) == twins(ingest(source, tmp_path / "whole", config, None)) == 30
