"""The same recordings in any format give the same samples, and what is malformed gives a sentence."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig
from evernas.data import ingest, load_rows, load_split

IDS = ["r0", "r1", "r2", "r3"]
DOMAINS = ["t", "t", "s", "g"]


def _payload() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(4, 2, 40)).astype(np.float32)


def _parquet(**more: Any) -> bytes:
    sink = io.BytesIO()
    columns = {
        "id": [f"r{i}" for i in range(4)],
        "domain": DOMAINS,
        "label": ["walk"] * 4,
        "payload": _payload().tolist(),
    }
    pq.write_table(pa.table(columns | more), sink, write_page_checksum=True)
    return sink.getvalue()


def _npz(leave_out: str = "", **more: Any) -> bytes:
    sink = io.BytesIO()
    arrays = {"id": IDS, "domain": DOMAINS, "label": ["walk"] * 4, "payload": _payload()} | more
    np.savez_compressed(sink, **{name: np.asarray(v) for name, v in arrays.items() if name != leave_out})
    return sink.getvalue()


def _row(**more: Any) -> str:
    return json.dumps({"id": "x", "domain": "t", "label": "walk", "payload": _payload()[0].tolist()} | more)


def _jsonl(*lines: str) -> bytes:
    rows = [
        json.dumps({"id": f"r{i}", "domain": DOMAINS[i], "label": "walk", "payload": payload.tolist()})
        for i, payload in enumerate(_payload())
    ]
    return "\n".join([*rows, *lines]).encode()


def _csv(header: str = "id,domain,label,x,y,time", extra: str = "") -> bytes:
    lines = [header]
    for i, payload in enumerate(_payload()):
        lines += [
            f"r{i},{DOMAINS[i]},walk,{x!r},{y!r},{t}" for t, (x, y) in enumerate(payload.T.astype(float).tolist())
        ]
    return ("\n".join(lines) + "\n" + extra).encode()


MADE: dict[str, Callable[[], bytes]] = {".parquet": _parquet, ".npz": _npz, ".jsonl": _jsonl, ".csv": _csv}


@pytest.mark.parametrize("suffix", MADE)
def test_all_formats_give_the_same_samples(suffix: str, source: Path, tmp_path: Path, config: DataConfig) -> None:
    (source / f"a{suffix}").write_bytes(MADE[suffix]())
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert snapshot.manifest.refused_objects == {}
    assert snapshot.manifest.counts()["domain"] == {"g": 4, "s": 4, "t": 8}
    loaded = load_split(snapshot, "train", config.labels)
    assert loaded.sample_ids == tuple(f"r{i}/{start}" for i in (0, 1) for start in (0, 8, 16, 24))
    np.testing.assert_array_equal(loaded.x[1], _payload()[0, :, 8:24])


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
def test_npz_of_any_float_is_taken(dtype: str, source: Path, tmp_path: Path, config: DataConfig) -> None:
    (source / "a.npz").write_bytes(_npz(payload=_payload().astype(dtype)))
    loaded = load_split(ingest(source, tmp_path / "store", config, None), "train", config.labels)
    np.testing.assert_array_equal(loaded.x[0], _payload().astype(dtype)[0, :, :16].astype("<f4"))


def test_a_recording_of_a_csv_may_straddle_what_is_read_at_once(
    source: Path, tmp_path: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evernas.data.csv._BLOCK_BYTES", 500)
    (source / "a.csv").write_bytes(_csv())
    assert len(load_split(ingest(source, tmp_path / "store", config, None), "train", config.labels)) == 8


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "no JSON in UTF-8"),
        ("[1]", "no object with an id"),
        ("[" * 100_000, "no JSON in UTF-8"),
        (_row(id=5), "id is no text"),
        (_row(label="\ud800"), "label is no text"),
        (_row(payload=[["1"]]), "no list of lists of numbers"),
        (_row(payload="text"), "no list of lists of numbers"),
        (_row(payload=[[1.0], [1.0, 2.0]]), "from 1 to 2 time steps"),
        (_row(payload=None), "payload is null"),
        (_row(time="now"), "time is no number of seconds"),
        (_row(time=10**400), "after the year 2199"),
        (_row(time=-1), "before 1970"),
    ],
)
def test_a_bad_line_is_a_row_with_a_sentence(
    line: str, sentence: str, source: Path, tmp_path: Path, config: DataConfig
) -> None:
    (source / "a.jsonl").write_bytes(_jsonl(line))
    rows = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    assert len(rows) == 17
    (error,) = [row["decode_error"] for row in rows if row["decode_error"] is not None]
    assert sentence in error


def test_a_recording_before_1970_is_a_row_with_a_sentence(source: Path, tmp_path: Path, config: DataConfig) -> None:
    (source / "a.parquet").write_bytes(_parquet(time=pa.array([0, -1, None, 5], pa.timestamp("us"))))
    (source / "b.csv").write_bytes(_csv(extra="z,t,walk,0,0,-3\n"))
    (source / "c.npz").write_bytes(_npz(time=[1.0, 2.0, -3.0, np.nan]))
    rows = load_rows(ingest(source, tmp_path / "store", config, None)).to_pylist()
    bad = [(row["object"], row["recording"]) for row in rows if "1970" in (row["decode_error"] or "")]
    assert sorted(bad) == [("a.parquet", "r1"), ("b.csv", "z"), ("c.npz", "r2")]


def _zip(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.getvalue()


def _header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _with_payload(member: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(_npz("payload"))) as archive:
        return _zip(**{name: archive.read(name) for name in archive.namelist()}, **{"payload.npy": member})


class _Executed:
    """A pickle that writes a file where it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


def _malformed(marker: Path) -> dict[str, bytes]:
    """Malformed files by name, more than two hundred."""
    made: dict[str, bytes] = {
        "pickle.npz": _npz(payload=np.array([_Executed(marker)] * 4, object)),
        "pickled-id.npz": _npz(id=np.array([_Executed(marker)] * 4, object)),
        "bomb.npz": _with_payload(_header("(4, 2, 100000000)") + bytes(5_000_000)),
        "huge.npz": _with_payload(_header("(4, 1000000000, 1000000000)")),
        "endless.npz": _with_payload(_header("(4, 2, 40)")),
        "negative.npz": _with_payload(_header("(-4, 2, 40)")),
        "nested.npz": _with_payload(_header("(" * 4000)),
        "code.npz": _with_payload(_header("__import__('os').system('true')")),
        "flat.npz": _npz(payload=np.zeros(4)),
        "whole.npz": _npz(payload=np.zeros((4, 2, 40), int)),
        "complex.npz": _npz(payload=np.zeros((4, 2, 40), complex)),
        "fortran.npz": _npz(payload=np.asfortranarray(_payload())),
        "none.npz": _npz(payload=np.zeros((0, 2, 40))),
        "no-steps.npz": _npz(payload=np.zeros((4, 2, 0))),
        "fewer.npz": _npz(id=["a"]),
        "bytes.npz": _npz(id=np.array([b"a"] * 4)),
        "long.npz": _npz(id=["a" * 2000] * 4),
        "traversal.npz": _zip(**{"../../id.npy": b"x", "/etc/passwd": b"x"}),
        "members.npz": _zip(**{f"{i}.npy": b"" for i in range(100)}),
        "not-a-zip.npz": b"PK\x03\x04" + bytes(100),
        "classes.csv": ("id,domain,label,x,y\n" + "".join(f"r,t,{i},0,0\n" for i in range(11_000))).encode(),
        "long.parquet": _parquet(id=["a" * 2000] * 4),
        "text.parquet": _parquet(payload=["a"] * 4),
        "number.parquet": _parquet(domain=[1, 2, 3, 4]),
        "twice.csv": _csv("id,domain,label,x,x,time"),
        "quoted.csv": _csv('id,domain,label,"x,y",time'),
        "no-channel.csv": b"id,domain,label\na,b,c\n",
        "no-number.csv": _csv(extra="z,t,walk,a,b,0\n"),
        "ragged.csv": _csv(extra="z,t\n"),
        "one-line.csv": b"id,domain,label,x,y",
        "empty-table.csv": b"id,domain,label,x,y\n",
        "no-newline.csv": b"id," * 50_000,
        "field.csv": _csv(extra="z,t," + "w" * 3_000_000 + ",0,0,0\n"),
        "null.csv": bytes(10_000),
        "no-utf8.csv": _csv(extra="z,t,\xff,0,0,0\n").replace("\xff".encode(), b"\xff"),
        "no-utf8.jsonl": b"\xff\xfe{}\n",
        "array.jsonl": b"[1, 2]\n",
        "line.jsonl": b'{"id": "' + b"a" * 9_000_000 + b'"}\n',
        "blank.jsonl": b"\n\n\n",
        "binary.jsonl": bytes(range(256)) * 50,
    }
    sink = io.BytesIO()
    many = pa.array(np.arange(1_000_000)).cast(pa.string())
    payload = pa.nulls(len(many), pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"id": many, "domain": many, "label": many, "payload": payload}), sink)
    made["classes.parquet"] = sink.getvalue()
    random = np.random.default_rng(0)
    for suffix, make in MADE.items():
        whole = make()
        made[f"empty{suffix}"] = b""
        made[f"text{suffix}"] = b"hello"
        for number, end in enumerate(np.linspace(1, len(whole) - 1, 22).astype(int).tolist()):
            made[f"cut-{number:02d}{suffix}"] = whole[:end]
        for number in range(22):
            flipped = bytearray(whole)
            for at in random.integers(0, len(whole), 3):
                flipped[at] ^= int(random.integers(1, 256))
            made[f"flip-{number:02d}{suffix}"] = bytes(flipped)
    return made


def test_malformed_files_end_in_a_sentence_and_run_nothing(source: Path, tmp_path: Path, config: DataConfig) -> None:
    marker = tmp_path / "executed"
    made = _malformed(marker)
    assert len(made) >= 200
    for name, data in made.items():
        (source / name).write_bytes(data)
    snapshot = ingest(source, tmp_path / "store", config, None)
    assert not marker.exists()
    entries = snapshot.manifest.objects
    assert entries.keys() == made.keys()
    for name, entry in entries.items():
        assert (entry.refused is None) == bool(entry.shards), name
        assert entry.refused is None or entry.refused.endswith("."), name
    taken = {name for name, entry in entries.items() if entry.refused is None}
    # Flipped bits and cut lines may leave numbers that are read; of what is wrong as a whole, nothing is.
    assert {name for name in taken if not name.startswith(("flip-", "cut-"))} == {"whole.npz"}
    assert not {name for name in taken if name.startswith("cut-") and name.endswith((".parquet", ".npz"))}
    rows = load_rows(snapshot).to_pylist()
    assert all("not floats" in row["decode_error"] for row in rows if row["object"] == "whole.npz")
