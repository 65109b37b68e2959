"""Texts are taken in tidied, from three formats alike; whatever is no text goes to quarantine with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evernas.config import DataConfig, TextConfig, ValidationConfig
from evernas.data import ingest, load_rows, load_split
from evernas.data.texts import decoded
from evernas.tokeniser import text_of
from evernas.validation import validate

CONFIG = DataConfig.model_validate(
    {
        "source": "unused",
        "kind": "text",
        "text": {"characters": 40},
        "labels": ["order", "refund"],
        "splits": {"gate": ["g"], "search": ["s"]},
    }
)
ROWS = [
    {"id": "a", "domain": "t", "label": "order", "text": '  I\'d like\ta "large" one,\nplease '},
    {"id": "b", "domain": "t", "label": "refund", "text": "Zurück, bitte!"},
    {"id": "c", "domain": "s", "label": "refund", "text": "返金してください"},
    {"id": "d", "domain": "g", "label": "order", "text": "NA"},
]


def csv(rows: list[dict[str, Any]]) -> bytes:
    def quoted(value: Any) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = ["channel,id,domain,label,text", *(",".join(["web", *map(quoted, row.values())]) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def taken(tmp_path: Path, files: dict[str, bytes], config: DataConfig = CONFIG) -> Any:
    source = tmp_path / "source"
    source.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    return ingest(source, tmp_path / "store", config, None)


@pytest.mark.parametrize(("name", "write"), [("x.csv", csv), ("x.jsonl", jsonl), ("x.parquet", parquet)])
def test_every_format_gives_the_same_texts(tmp_path: Path, name: str, write: Any) -> None:
    snapshot = taken(tmp_path, {name: write(ROWS)})
    assert snapshot.manifest.refused_objects == {}
    train = load_split(snapshot, "train", CONFIG.labels)
    assert train.x.shape == (2, 1, 40)
    assert [text_of(row) for row in train.x] == ['I\'d like a "large" one, please', "Zurück, bitte!"]
    assert train.y.tolist() == [0, 1]
    (search,), (gate,) = (load_split(snapshot, split, CONFIG.labels).x for split in ("search", "gate"))
    assert (text_of(search), text_of(gate)) == ("返金してください", "NA")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "is null"),
        (b" \t\n\xc2\xa0", "nothing but blanks"),
        (b"ab\xff", "no UTF-8"),
        ("half a letter: \ud83d", "no UTF-8"),
        ("x" * 41, "41 characters, more than data.text.characters = 40"),
        (b"x" * (2**20 + 1), "1048577 bytes"),
    ],
)
def test_what_is_no_text_is_said(data: bytes | str | None, said: str) -> None:
    found = decoded(data, TextConfig(characters=40))
    assert isinstance(found, str)
    assert said in found
    assert found.endswith(".")


def test_a_bad_text_goes_to_quarantine_and_its_neighbours_stay(tmp_path: Path) -> None:
    bad = [
        {"id": "e", "domain": "t", "label": "order", "text": "   "},
        {"id": "f", "domain": "t", "label": "order", "text": "x" * 41},
        {"id": "g", "domain": "t", "label": "order", "text": "zurück,  bitte!"},
        {"id": "h", "domain": "t", "label": "order", "text": " Zurück, bitte!"},
    ]
    lines = jsonl([*ROWS, *bad]) + b'{"id": "i", "domain": "t", "label": "order", "text": 7}\nno json\n'
    snapshot = taken(tmp_path, {"x.jsonl": lines})
    limits = ValidationConfig(max_quarantine=1, min_rows={"train": 0, "search": 0, "gate": 0}, min_rows_per_class=0)
    result = validate(load_rows(snapshot), CONFIG, limits)
    assert result.rule_counts["decodable"] == 4
    # The same text with another label: one of the two is wrong, and the later one goes.
    assert result.rule_counts["label_agrees"] == 1
    assert result.kept.num_rows == 5
    said = " ".join(result.quarantine.column("sentence").to_pylist())
    assert "41 characters" in said
    assert "text is no text" in said
    assert "Zurück" not in said, "what a person wrote is in no sentence"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.csv", b"id,domain,label\na,t,order\n", "needs id, domain, label and text"),
        ("x.csv", b"", "needs id, domain, label and text"),
        ("x.csv", b"id,domain,label,text\n", "no rows"),
        ("x.jsonl", b"\n", "no rows"),
        ("x.jsonl", b"[1]\n", "no file of JSON lines"),
        ("x.parquet", b"PAR1", "no whole Parquet file"),
        ("x.parquet", parquet([{"id": "a", "domain": "t", "label": "order", "payload": "x"}]), "no column 'text'"),
        ("x.parquet", parquet([{"id": "a", "domain": "t", "label": "order", "text": 3}]), "write it as a string"),
        ("x.npz", b"PK", "not read from .npz"),
    ],
)
def test_a_file_without_texts_is_refused_with_a_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    refused = taken(tmp_path, {name: data}).manifest.refused_objects
    assert said in refused[name]
    assert refused[name].endswith(".")


def test_more_characters_make_another_schema_and_sub_words_do_not(tmp_path: Path) -> None:
    first = taken(tmp_path, {"x.jsonl": jsonl(ROWS)})

    def again(**changes: Any) -> Any:
        config = CONFIG.model_copy(update={"text": TextConfig(**{"characters": 40, **changes})})
        return ingest(tmp_path / "source", tmp_path / "store", config, first.id)

    assert again(vocabulary=500, tokens=8).id == first.id
    longer = again(characters=60)
    assert longer.id != first.id
    assert load_split(longer, "train", CONFIG.labels).x.shape == (2, 1, 60)
    assert np.isfinite(load_split(longer, "gate", CONFIG.labels).x).all()
