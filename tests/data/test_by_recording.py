"""Recordings are split within every domain: each stays where its name puts it, and copies do not part."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evernas.config import DataConfig, NearDuplicatesConfig, SplitConfig, ValidationConfig
from evernas.data import Manifest, ingest, load_rows, load_split
from evernas.data.copies import read_copies
from evernas.data.erasing import held, remove_rewritten, rewrite
from evernas.data.forgotten import Forgotten
from evernas.data.hidden import hidden_copies
from evernas.data.near import fingerprint_of
from evernas.data.snapshot import told_keys
from evernas.data.splits import Split, drawn
from evernas.data.told import Told
from evernas.errors import IntegrityError, UsageError
from evernas.storage import FileStorage
from evernas.validation import validate

LOOSE = ValidationConfig(min_rows={"train": 1, "search": 1, "gate": 1}, min_rows_per_class=0, max_quarantine=1.0)
STEPS = 64 * 3
SITES = ("north", "south", "west")


def config_of(**splits: Any) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "unused",
            "signal": {"channels": ["x", "y"], "length": 64, "stride": 32},
            "labels": ["walk", "run"],
            "splits": {"by": "recording", "gate": 0.3, "search": 0.2, **splits},
        }
    )


@pytest.fixture
def config() -> DataConfig:
    return config_of()


def walk(seed: int) -> Any:
    noise = np.random.default_rng(seed).normal(size=(2, STEPS + 8))
    return np.stack([np.convolve(channel, np.hanning(7), "same") for channel in noise]).astype(np.float32)


def row(id: str, domain: str, payload: Any) -> dict[str, Any]:
    return {"id": id, "domain": domain, "label": "walk", "payload": payload[:, :STEPS].tolist()}


def copied(payload: Any) -> Any:
    return np.round(np.roll(2.5 * payload, -4, axis=1), 2).astype(np.float32)


def where(snapshot: Any) -> dict[str, str]:
    """The split of each recording; fails if one has rows in two."""
    found: dict[str, set[str]] = {}
    for entry in load_rows(snapshot).to_pylist():
        found.setdefault(entry["recording"], set()).add(entry["split"])
    assert all(len(splits) == 1 for splits in found.values())
    return {recording: splits.pop() for recording, splits in found.items()}


def named(split: Split, config: DataConfig, start: str = "r") -> list[str]:
    """The first names that the lot puts into a split."""
    return [name for n in range(200) if drawn(name := f"{start}{n:03d}", config.splits) == split]


def test_every_domain_is_in_all_splits_and_the_shares_are_those_asked_for(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    rows = [row(f"{site}-{n}", site, walk(100 * at + n)) for at, site in enumerate(SITES) for n in range(60)]
    deliver("all.parquet", rows)
    snapshot = ingest(source, tmp_path / "store", config, None)
    counts = Counter(where(snapshot).values())
    assert sum(counts.values()) == 180
    assert (36 < counts["gate"] < 72, 20 < counts["search"] < 54) == (True, True), counts
    for split in ("gate", "search", "train"):
        assert set(load_split(snapshot, split, config.labels).domains) == set(SITES)
    result = validate(load_rows(snapshot), config, LOOSE)
    assert (result.refusals, result.quarantined, result.deduplicated.num_rows) == ((), 0, 0)
    assert snapshot.manifest.splits == {}
    assert Manifest.from_json(snapshot.manifest.to_json()) == snapshot.manifest


def test_a_recording_is_where_its_name_puts_it_in_whatever_order_and_parts_it_comes(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    rows = [row(f"{site}-{n}", site, walk(100 * at + n)) for at, site in enumerate(SITES) for n in range(8)]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        parent, known = None, dict[str, str]()
        for part in range(seed + 1):
            deliver(f"part-{seed}-{part}.parquet", rows[part :: seed + 1])
            snapshot = ingest(source, tmp_path / f"store-{seed}", config, parent)
            assert where(snapshot).items() >= known.items(), "nothing moves while data grows"
            parent, known = snapshot.id, where(snapshot)
        found.append(known)
        for path in source.iterdir():
            path.unlink()
    assert found[0] == found[1] == found[2]
    assert set(found[0].values()) == {"gate", "search", "train"}


def test_parts_of_one_recording_that_judge_are_of_one_domain(
    source: Path, tmp_path: Path, deliver: Callable[..., Path]
) -> None:
    """A bound over both would take for two recordings, each of its own domain, what was one session."""
    config = config_of(group="^(.+)-part")
    judge, learner = named("gate", config)[0], named("train", config)[0]
    rows = [row(f"{name}-part{n}", "north", walk(n + at)) for at, name in ((0, judge), (9, learner)) for n in range(2)]
    deliver("all.parquet", rows)
    first = ingest(source, tmp_path / "store", config, None)
    assert validate(load_rows(first), config, LOOSE).figures["judges_of_many_domains"] == 0
    deliver("more.parquet", [row(f"{name}-part9", "south", walk(30 + at)) for at, name in enumerate((judge, learner))])
    (refusal,) = [
        each
        for each in validate(load_rows(ingest(source, tmp_path / "store", config, first.id)), config, LOOSE).refusals
        if "independent" in each
    ]
    assert refusal.startswith("1 recordings of the gate split, as data.splits.group joins their parts")


def test_a_recording_whose_domain_is_mended_stays_in_its_split(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    rows = [row(f"r{n}", "north", walk(n)) for n in range(12)]
    deliver("all.parquet", [*rows, row("south", "south", walk(99))])
    first = ingest(source, tmp_path / "store", config, None)
    deliver("all.parquet", [{**one, "domain": "south"} for one in rows[:6]] + rows[6:] + [row("x", "south", walk(98))])
    loose = config.model_copy(update={"max_loss": 1.0})
    second = where(ingest(source, tmp_path / "store", loose, first.id))
    before = where(first)
    assert {name: second[name] for name in before if name in second} == {n: s for n, s in before.items() if n in second}


def test_another_seed_is_another_lot_and_neither_it_nor_a_share_may_change(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    names = [f"r{n}" for n in range(400)]
    lots = [[drawn(name, config_of(seed=seed).splits) for name in names] for seed in (0, 1)]
    assert 100 < sum(a != b for a, b in zip(*lots, strict=True)) < 350
    deliver("all.parquet", [row(name, "north", walk(n)) for n, name in enumerate(names[:6])])
    first = ingest(source, tmp_path / "store", config, None)
    for other in (config_of(seed=1), config_of(gate=0.4), config_of(search=0.25), config_of(group="^(.+)-part")):
        with pytest.raises(UsageError, match="would move recordings"):
            ingest(source, tmp_path / "store", other, first.id)
    by_domain = config.model_copy(update={"splits": SplitConfig(gate=["north"], search=["s"])})
    with pytest.raises(UsageError, match="is now by domain"):
        ingest(source, tmp_path / "store", by_domain, first.id)
    earlier = ingest(source, tmp_path / "other", by_domain, None)
    with pytest.raises(UsageError, match="was by domain"):
        ingest(source, tmp_path / "other", config, earlier.id)


def test_an_evernas_that_knows_no_rule_refuses_the_manifest(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("all.parquet", [row(f"r{n}", "north", walk(n)) for n in range(6)])
    text = ingest(source, tmp_path / "store", config, None).manifest.to_json()
    assert '"version":3' in text
    by_domain = config.model_copy(update={"splits": SplitConfig(gate=["north"], search=["s"])})
    other = ingest(source, tmp_path / "other", by_domain, None).manifest.to_json()
    assert '"version":2' in other
    assert '"rule"' not in other
    with pytest.raises(IntegrityError, match="has version 4"):
        Manifest.from_json(text.replace('"version":3', '"version":4'))


def test_a_new_recording_that_is_another_under_a_new_name_goes_where_that_is(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    gate, train = named("gate", config)[0], named("train", config)[0]
    to_train, to_gate = named("train", config, "copy")[0], named("gate", config, "copy")[0]
    deliver("first.parquet", [row(gate, "north", walk(0)), row(train, "north", walk(1))])
    said: list[str] = []
    first = ingest(source, tmp_path / "store", config, None, say=said.append)
    assert (said, first.manifest.joined) == ([], {})
    # Another site's export of what is known, and one whose copy is only a part of it.
    deliver("late.parquet", [row(to_train, "west", copied(walk(0))), row(to_gate, "west", copied(walk(1)))])
    second = ingest(source, tmp_path / "store", config, first.id, say=said.append)
    assert where(second) == {gate: "gate", to_train: "gate", train: "train", to_gate: "train"}
    assert second.manifest.joined == {to_train: "gate", to_gate: "train"}
    assert "2 new recordings mostly repeat others" in said[0]
    assert Manifest.from_json(second.manifest.to_json()) == second.manifest
    deliver("more.parquet", [row(f"other{n}", "west", walk(50 + n)) for n in range(3)])
    assert where(ingest(source, tmp_path / "store", config, second.id)).items() >= where(second).items()


def test_copies_that_come_together_go_where_the_first_of_them_goes(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    names = [named("search", config, "a")[0], named("gate", config, "b")[0], named("train", config, "c")[0]]
    deliver(
        "all.parquet",
        [
            row(name, site, copied(walk(0)) if n else walk(0))
            for n, (name, site) in enumerate(zip(names, SITES, strict=True))
        ],
    )
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert where(snapshot) == dict.fromkeys(names, "search")


def test_where_less_than_a_share_is_copied_the_rows_leave_training(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    gate, train = named("gate", config)[0], named("train", config)[0]
    mixed = walk(1)
    mixed[:, :64] = copied(walk(0))[:, :64]
    deliver("all.parquet", [row(gate, "north", walk(0)), row(train, "north", mixed)])
    rows = load_rows(ingest(source, tmp_path / "store", config, None))
    gone = validate(rows, config, LOOSE).deduplicated.to_pylist()
    assert [entry["sample_id"] for entry in gone] == [f"{train}/0"]
    assert gone[0]["kept_sample_id"].startswith(f"{gate}/")


def test_windows_of_one_recording_overlap_and_are_no_copies(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    slow = np.stack([np.sin(np.arange(STEPS + 8) / 40 + phase) for phase in (0.0, 1.0)]).astype(np.float32)
    deliver("all.parquet", [row("slow", "north", slow), row("other", "north", walk(1))])
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert snapshot.manifest.duplicates is not None
    assert snapshot.manifest.duplicates.near == 0


def test_parts_of_a_recording_go_together_where_the_config_says_what_they_share(
    source: Path, tmp_path: Path, deliver: Callable[..., Path]
) -> None:
    config = config_of(group="^(.+)-part")
    rows = [row(f"session{n}-part{k}", "north", walk(10 * n + k)) for n in range(12) for k in range(4)]
    deliver("all.parquet", [*rows, row("alone", "north", walk(999))])
    found = where(ingest(source, tmp_path / "store", config, None))
    of = {n: {found[f"session{n}-part{k}"] for k in range(4)} for n in range(12)}
    assert all(len(splits) == 1 for splits in of.values())
    assert len({split for splits in of.values() for split in splits}) == 3
    apart = where(ingest(source, tmp_path / "other", config_of(), None))
    assert any(len({apart[f"session{n}-part{k}"] for k in range(4)}) > 1 for n in range(12))


def test_a_recording_without_an_id_is_in_no_judging_split(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("all.parquet", [{**row("x", "north", walk(0)), "id": None}, row("r", "north", walk(1))])
    rows = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    assert {entry["split"] for entry in rows if entry["recording"] is None} == {"train"}


def test_what_was_joined_is_erased_with_the_recording(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    gate, copy = named("gate", config)[0], named("train", config, "copy")[0]
    deliver("first.parquet", [row(gate, "north", walk(0)), row("other", "north", walk(1))])
    store = FileStorage(tmp_path / "store")
    first = ingest(source, store, config, None)
    deliver("late.parquet", [row(copy, "west", copied(walk(0)))])
    second = ingest(source, store, config, first.id)
    assert second.manifest.joined == {copy: "gate"}
    keyed = Forgotten(b"k" * 32, "p", {"domain": frozenset(), "id": frozenset()})
    hidden = Forgotten(keyed.key, "p", {"domain": frozenset({keyed.hash_of("domain", "west")}), "id": frozenset()})
    found = held(store, hidden)
    assert found.snapshots[second.id] == ["gate"]
    moved = rewrite(store, hidden, {*found.recordings, *found.objects}, lambda: None)
    remove_rewritten(store, moved, lambda: None)
    left = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert copy.encode() not in left
    assert b"west" not in left


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"gate": 0.2, "search": 0.1}, "gate is 0.2, a share"),
        ({"gate": ["g"], "search": 0.1}, "search is 0.1, a share"),
        ({"by": "recording", "gate": ["g"], "search": 0.1}, "gate names g"),
        ({"by": "recording", "gate": 0.6, "search": 0.4}, "leaves nothing to train on"),
        ({"by": "recording", "gate": 0, "search": 0.4}, "greater than 0"),
        ({"by": "recording", "gate": 1, "search": 0.4}, "less than 1"),
        ({"gate": ["g"], "search": ["s"], "seed": 3}, "seed is given"),
        ({"gate": ["g"], "search": ["s"], "group": "(.)"}, "group is given"),
        ({"by": "recording", "gate": 0.2, "search": 0.1, "group": "^.+"}, "has no bracket"),
        ({"by": "recording", "gate": 0.2, "search": 0.1, "group": "("}, "no regular expression"),
        ({"by": "site", "gate": 0.2, "search": 0.1}, "domain"),
    ],
)
def test_splits_that_cannot_be_are_refused(splits: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        SplitConfig.model_validate(splits)


def test_the_digest_of_a_config_by_domain_is_what_it_was() -> None:
    splits = SplitConfig(gate=["g"], search=["s"])
    assert splits.model_dump(mode="json") == {"gate": ["g"], "search": ["s"]}


class Watched(FileStorage):
    """A folder that notes which shards are read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_shards: list[str] = []

    def read(self, key: str) -> bytes:
        data = super().read(key)
        if key.startswith("shards/"):
            self.read_shards.append(key)
        return data


def found(snapshot: Any) -> set[tuple[frozenset[str], bool]]:
    """The pairs of rows that repeat one another, by their ids, and whether to the byte."""
    assert snapshot.manifest.duplicates is not None
    ids = [entry["sample_id"] for entry in load_rows(snapshot).to_pylist()]
    table = read_copies(snapshot.store, snapshot.manifest.duplicates).to_pylist()
    return {(frozenset([ids[pair["row"]], ids[pair["other"]]]), pair["exact"]) for pair in table}


def test_increments_find_the_copies_that_a_look_at_all_finds_and_read_no_old_shard(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    # Each where its name puts it, so that both look at the same splits.
    apart = config.model_copy(update={"near_duplicates": NearDuplicatesConfig(join=1.0)})
    store = Watched(tmp_path / "store")
    deliver("first.parquet", [row(f"a{n}", "north", walk(n)) for n in range(8)])
    first = ingest(source, store, apart, None)
    deliver("second.parquet", [row(f"b{n}", "north", copied(walk(n)) if n % 2 else walk(20 + n)) for n in range(6)])
    store.read_shards.clear()
    second = ingest(source, store, apart, first.id)
    new = {shard.digest for shard in second.manifest.objects["second.parquet"].shards}
    # The payload of what may be a copy is compared, nothing else is read again.
    held = {key for key in store.read_shards if key.rpartition("/")[2].removesuffix(".parquet") not in new}
    deliver("third.parquet", [row(f"c{n}", "south", walk(50 + n)) for n in range(4)])
    store.read_shards.clear()
    third = ingest(source, store, apart, second.id)
    assert store.read_shards == []
    assert len(held) <= 3
    whole = ingest(source, tmp_path / "whole", apart, None)
    assert found(third) == found(whole)
    # Each window of each of the three that were copied.
    pairs = {(n, at) for n in (1, 3, 5) for at in range(0, STEPS - 63, 32)}
    assert found(third) == {(frozenset({f"a{n}/{at}", f"b{n}/{at}"}), False) for n, at in pairs}
    assert where(third) == where(whole)
    assert third.manifest.joined == {}


def test_domains_that_are_split_and_recordings_that_are_do_not_take_one_anothers_packs(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    deliver("all.parquet", [row(f"r{n}", "north", walk(n)) for n in range(4)])
    first = ingest(source, tmp_path / "store", config, None)
    (key,) = told_keys(first.store, first.id)
    shape, print_of = (2, 64), fingerprint_of(first.manifest.schema)
    for splits, known in (
        (config.splits, 3),
        (config_of(group="^(.)").splits, 0),
        (SplitConfig(gate=["g"], search=["s"]), 0),
    ):
        with Told(print_of, shape, splits=splits) as told:
            assert bool(told.unpack(first.store.read(key))) == bool(known)


def test_texts_are_split_one_by_one_and_nearly_the_same_ones_together(source: Path, tmp_path: Path) -> None:
    config = DataConfig.model_validate(
        {
            "source": "unused",
            "kind": "text",
            "text": {"characters": 200},
            "labels": ["order", "refund"],
            "splits": {"by": "recording", "gate": 0.3, "search": 0.2},
        }
    )
    words = ["parcel", "invoice", "garden", "bicycle", "winter", "morning", "harbour", "lantern", "violin", "copper"]
    random.seed(3)
    rows = [
        {
            "id": f"t{n}",
            "domain": "shop",
            "label": "order",
            "text": " ".join(random.choices(words, k=9)) + f" {n * 7919}",
        }
        for n in range(40)
    ]
    gate, train = named("gate", config, "g")[0], named("train", config, "t-")[0]
    text = "Where is the parcel that I ordered on the first of May, please?"
    rows += [{"id": gate, "domain": "shop", "label": "order", "text": text}]
    (source / "a.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in rows))
    first = ingest(source, tmp_path / "store", config, None)
    assert set(where(first).values()) == {"gate", "search", "train"}
    again = {"id": train, "domain": "other shop", "label": "order", "text": text.upper().replace("?", " !")}
    (source / "b.jsonl").write_text(json.dumps(again) + "\n")
    second = ingest(source, tmp_path / "store", config, first.id)
    assert where(second)[train] == "gate"
    assert second.manifest.joined == {train: "gate"}


def test_copies_behind_rows_that_do_not_count_are_found_by_the_packs_of_recordings(
    source: Path, tmp_path: Path, config: DataConfig, deliver: Callable[..., Path]
) -> None:
    apart = config.model_copy(update={"near_duplicates": NearDuplicatesConfig(join=1.0)})
    store = Watched(tmp_path / "store")
    gate, train = named("gate", config)[0], named("train", config)[0]
    deliver(
        "all.parquet", [row(gate, "north", walk(0)), row(train, "north", copied(walk(0))), row("x", "south", walk(9))]
    )
    snapshot = ingest(source, store, apart, None)
    rows = load_rows(snapshot).to_pylist()
    splits = np.array([entry["split"] for entry in rows])
    store.read_shards.clear()
    nobody = np.array([entry["recording"] == "x" for entry in rows])
    assert len(hidden_copies(snapshot, apart.near_duplicates, nobody, np.zeros(len(rows), bool))[0]) == 0
    assert store.read_shards == [], "what is not near is not read"
    first, second = hidden_copies(snapshot, apart.near_duplicates, splits == "gate", splits == "train")
    assert {frozenset({rows[a]["recording"], rows[b]["recording"]}) for a, b in zip(first, second, strict=True)} == {
        frozenset({gate, train})
    }
