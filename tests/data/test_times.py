"""The time of a recording comes through every format, and what cannot be one ends in a sentence."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import malformed
from evernas.config import DataConfig
from evernas.data import ingest, load_rows, open_snapshot
from evernas.data.erasing import rewrite
from evernas.data.forgotten import Forgotten
from evernas.data.shards import read_shard
from evernas.data.snapshot import Snapshot
from small_source import config, source

__all__ = ["config", "source"]

COMMON = {"source": "unused", "labels": ["cat", "dog"], "splits": {"gate": ["g"], "search": ["s"]}}
IMAGES = DataConfig.model_validate(
    COMMON | {"kind": "image", "image": {"channels": ["red", "green", "blue"], "height": 10, "width": 12}}
)
TEXTS = DataConfig.model_validate(COMMON | {"kind": "text", "text": {"characters": 40}})
NAMES = {"id": ["a", "b", "c"], "domain": ["t", "s", "g"], "label": ["walk"] * 3}
PAYLOAD = np.random.default_rng(0).normal(size=(3, 2, 16)).astype(np.float32)
TIMES = [1_700_000_000.0, None, 0.5]


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(NAMES | {"payload": PAYLOAD.tolist()} | columns), sink)
    return sink.getvalue()


def npz(time: Any) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{name: np.array(values) for name, values in NAMES.items()}, payload=PAYLOAD, time=time)
    return sink.getvalue()


def jsonl(times: list[Any]) -> bytes:
    rows = [
        {"id": NAMES["id"][i], "domain": NAMES["domain"][i], "label": "walk", "payload": PAYLOAD[i].tolist(), "time": t}
        for i, t in enumerate(times)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def csv(times: list[Any]) -> bytes:
    lines = ["id,domain,label,x,y,time"]
    for i, time in enumerate(times):
        lines += [
            f"{NAMES['id'][i]},{NAMES['domain'][i]},walk,{x!r},{y!r},{'' if time is None else time}"
            for x, y in PAYLOAD[i].T.astype(float).tolist()
        ]
    return ("\n".join(lines) + "\n").encode()


MADE: dict[str, Callable[[], bytes]] = {
    "seconds.parquet": lambda: parquet(time=pa.array(TIMES, pa.float64())),
    "stamps.parquet": lambda: parquet(time=pa.array([1_700_000_000_000, None, 500], pa.timestamp("ms", "UTC"))),
    "nanoseconds.parquet": lambda: parquet(time=pa.array([1_700_000_000 * 10**9, None, 5 * 10**8], pa.timestamp("ns"))),
    "a.npz": lambda: npz(np.array([1_700_000_000.0, np.nan, 0.5])),
    "a.jsonl": lambda: jsonl(TIMES),
    "iso.jsonl": lambda: jsonl(["2023-11-14T22:13:20Z", None, "1970-01-01T00:00:00.5"]),
    "zone.jsonl": lambda: jsonl(["2023-11-15T00:13:20+02:00", "", 0.5]),
    "a.csv": lambda: csv(TIMES),
}


def taken(folder: Path, name: str, data: bytes, config: DataConfig) -> Snapshot:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    (source / name).write_bytes(data)
    return ingest(source, folder / "store", config, None)


def times(snapshot: Snapshot) -> dict[str, float | None]:
    return {row["recording"]: row["time"] for row in load_rows(snapshot).to_pylist()}


@pytest.mark.parametrize("name", MADE)
def test_signals_of_any_format_bring_their_time(name: str, tmp_path: Path, config: DataConfig) -> None:
    snapshot = taken(tmp_path, name, MADE[name](), config)
    assert times(snapshot) == {"a": 1_700_000_000.0, "b": None, "c": 0.5}
    assert not any(row["decode_error"] for row in load_rows(snapshot).to_pylist())


def test_images_bring_their_time_from_a_column_or_an_array_and_else_have_none(tmp_path: Path) -> None:
    payload = [malformed.encoded(malformed.colour()) for _ in range(3)]
    names = {"domain": ["t", "s", "g"], "label": ["cat"] * 3}
    days = pa.array([datetime.date(2023, 11, 14), None, datetime.date(1970, 1, 1)])
    with_days = malformed.of_images(pa.array(payload), **names, time=days)
    assert times(taken(tmp_path / "a", "a.parquet", with_days, IMAGES)) == {"0": 1_699_920_000.0, "1": None, "2": 0.0}
    sink = io.BytesIO()
    arrays = {"id": np.array(["0", "1", "2"]), **{name: np.array(values) for name, values in names.items()}}
    np.savez(sink, **arrays, payload=np.zeros((3, 10, 12, 3), np.uint8), time=np.array([1, 2, 3], np.uint64))
    assert times(taken(tmp_path / "b", "a.npz", sink.getvalue(), IMAGES)) == {"0": 1.0, "1": 2.0, "2": 3.0}
    without = malformed.of_images(pa.array(payload), **names)
    assert set(times(taken(tmp_path / "c", "a.parquet", without, IMAGES)).values()) == {None}


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()


def test_texts_of_any_format_bring_their_time(tmp_path: Path) -> None:
    names = {"id": ["x", "y", "z"], "domain": ["t", "s", "g"], "label": ["cat"] * 3, "text": ["one", "two", "three"]}
    stamps = pa.array([1_700_000_000, None, 0], pa.timestamp("s"))
    lines = b"x,t,cat,one,1700000000\ny,s,cat,two,\nz,g,cat,three,1970-01-01\n"
    rows = [{key: names[key][i] for key in names} | {"time": t} for i, t in enumerate([1.7e9, None, "1970-01-01"])]
    for folder, name, data in (
        ("a", "a.parquet", malformed.parquet(**names, time=stamps)),
        ("b", "a.csv", malformed.HEADER.replace(b"text", b"text,time") + lines),
        ("c", "a.jsonl", malformed.lines(*rows)),
    ):
        assert times(taken(tmp_path / folder, name, data, TEXTS)) == {"x": 1.7e9, "y": None, "z": 0.0}, name


@pytest.mark.parametrize("name", sorted(malformed.bad_times()))
def test_what_cannot_be_a_time_is_a_row_with_a_sentence(name: str, tmp_path: Path, config: DataConfig) -> None:
    said, value = malformed.bad_times()[name]
    made = {"a.jsonl": jsonl([value, 1.0, None])}
    if isinstance(value, int | float) and abs(value) < 2**63:
        column = pa.array([value, 1, None], pa.float64() if isinstance(value, float) else pa.int64())
        made |= {"a.csv": csv([value, 1.0, None]), "a.parquet": parquet(time=column)}
        made["a.npz"] = npz(np.array([value, 1.0, 2.0]))
    for folder, (file, data) in zip("abcd", made.items(), strict=False):
        (tmp_path / folder).mkdir(exist_ok=True)
        snapshot = taken(tmp_path / folder, file, data, config)
        rows = {row["recording"]: row for row in load_rows(snapshot).to_pylist()}
        assert said in str(rows["a"]["decode_error"]), (file, rows["a"])
        assert rows["a"]["time"] is None, "what is no time is not kept as one"
        assert rows["b"]["decode_error"] is None
        assert str(value) not in str(rows["a"]["decode_error"])


def texts_at(tmp_path: Path, value: Any) -> list[list[dict[str, Any]]]:
    """The rows of a text without a time and of one of this time, as JSON lines and as CSV."""
    row = f'a,t,cat,hello,"{value}"\n'.encode()
    return [
        load_rows(taken(tmp_path / folder, file, data, TEXTS)).to_pylist()
        for folder, file, data in (
            ("a", "a.jsonl", malformed.lines(malformed.GOOD, malformed.GOOD | {"id": "b", "time": value})),
            ("b", "a.csv", malformed.HEADER.replace(b"text", b"text,time") + b"z,t,cat,hello,\n" + row),
        )
    ]


@pytest.mark.parametrize("name", sorted(malformed.bad_times().keys() - malformed.unreadable_times().keys()))
def test_a_text_of_a_time_that_cannot_be_is_a_row_with_a_sentence(name: str, tmp_path: Path) -> None:
    said, value = malformed.bad_times()[name]
    for rows in texts_at(tmp_path, value):
        assert [said in str(row["decode_error"]) for row in rows] == [False, True], rows


@pytest.mark.parametrize("name", sorted(malformed.unreadable_times()))
def test_a_text_whose_time_says_none_has_none_and_no_fault(name: str, tmp_path: Path) -> None:
    for rows in texts_at(tmp_path, malformed.unreadable_times()[name]):
        assert [(row["time"], row["decode_error"]) for row in rows] == [(None, None)] * 2


@pytest.mark.parametrize("nothing", ["NULL", "null", "None", "NaT", "nan", " ", "N/A"])
def test_what_programs_write_for_no_time_is_none(nothing: str, tmp_path: Path, config: DataConfig) -> None:
    rows = load_rows(taken(tmp_path, "a.jsonl", jsonl([nothing, 1.0, None]), config)).to_pylist()
    assert [(row["time"], row["decode_error"]) for row in sorted(rows, key=lambda row: str(row["recording"]))] == [
        (None, None),
        (1.0, None),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("20240101", 1_704_067_200.0),
        (" 20240101 ", 1_704_067_200.0),
        ("20241301", None),
        ("2024", None),
        ("2024.0", None),
        ("1704067200", 1_704_067_200.0),
        ("1704067200.5", 1_704_067_200.5),
        ("20240101T12", 1_704_110_400.0),
        ("12", 12.0),
    ],
)
def test_digits_of_a_text_are_a_day_or_seconds_and_a_year_is_no_time(
    written: str, time: float | None, tmp_path: Path
) -> None:
    for rows in texts_at(tmp_path, written):
        assert [(row["time"], row["decode_error"]) for row in rows] == [(None, None), (time, None)]


def test_a_number_of_json_is_seconds_however_many_digits_it_has(tmp_path: Path, config: DataConfig) -> None:
    assert times(taken(tmp_path, "a.jsonl", jsonl([20240101, 2024, None]), config)) == {
        "a": 20_240_101.0,
        "b": 2024.0,
        "c": None,
    }


def test_a_column_of_that_name_that_holds_no_times_is_passed_over(tmp_path: Path, config: DataConfig) -> None:
    for folder, column in (("a", pa.array(["noon"] * 3)), ("b", pa.array([[1.0]] * 3))):
        snapshot = taken(tmp_path / folder, "a.parquet", parquet(time=column), config)
        assert set(times(snapshot).values()) == {None}


def test_a_shard_of_which_nothing_has_a_time_is_as_it_was_before_there_were_any(
    tmp_path: Path, config: DataConfig
) -> None:
    snapshot = taken(tmp_path, "a.parquet", parquet(), config)
    shards = [shard for _, _, shard in snapshot.manifest.shards()]
    assert all("time" not in read_shard(snapshot.store, shard, ["time"]).column_names for shard in shards)
    (tmp_path / "source" / "b.parquet").write_bytes(parquet(id=["d", "e", "f"], time=pa.array([7, None, 9])))
    later = ingest(tmp_path / "source", tmp_path / "store", config, snapshot.id)
    assert times(later) == {"a": None, "b": None, "c": None, "d": 7.0, "e": None, "f": 9.0}
    assert load_rows(open_snapshot(tmp_path / "store", snapshot.id)).column("time").null_count == 3


def test_what_is_left_of_a_shard_after_an_erasure_keeps_its_times(tmp_path: Path, config: DataConfig) -> None:
    snapshot = taken(tmp_path, "a.parquet", parquet(domain=["t", "t", "g"], time=pa.array([7, 8, 9])), config)
    none = Forgotten(b"k" * 32, "p", {"domain": frozenset(), "id": frozenset()})
    hidden = Forgotten(none.key, "p", {**none.hashes, "id": frozenset([none.hash_of("id", "a")])})
    moved = rewrite(snapshot.store, hidden, [], lambda: None)
    assert times(open_snapshot(snapshot.store, moved[snapshot.id])) == {"b": 8.0, "c": 9.0}


def test_all_windows_of_a_recording_have_its_time(tmp_path: Path, config: DataConfig) -> None:
    long = np.random.default_rng(1).normal(size=(3, 2, 40)).astype(np.float32).tolist()
    snapshot = taken(tmp_path, "a.parquet", parquet(payload=long, time=pa.array([7, None, 9])), config)
    found = [(row["recording"], row["time"]) for row in load_rows(snapshot).to_pylist()]
    assert sorted(found, key=str) == [*[("a", 7.0)] * 4, *[("b", None)] * 4, *[("c", 9.0)] * 4]
