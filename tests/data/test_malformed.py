"""Malformed images and texts end in quarantine or in a sentence, in bounded time and memory, and run nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import malformed
from evernas.cli import app
from evernas.config import DataConfig
from evernas.data import ingest, load_rows
from evernas.delivery.packing import pack
from evernas.errors import UsageError

_COMMON = {"source": "unused", "labels": ["cat", "dog"], "splits": {"gate": ["g"], "search": ["s"]}}
IMAGES = DataConfig.model_validate(
    _COMMON
    | {
        "kind": "image",
        "image": {"channels": ["red", "green", "blue"], "height": malformed.HEIGHT, "width": malformed.WIDTH},
    }
)
TEXTS = DataConfig.model_validate(_COMMON | {"kind": "text", "text": {"characters": 40}})
_PEAK_MIB = 400
_READ = """
import sys
from pathlib import Path
from evernas.config import ImageConfig, TextConfig
from evernas.data.formats import read_blocks
from evernas.data.source import RefusedObjectError
import PIL.Image
sample = ImageConfig(height=10, width=12) if sys.argv[1] == "image" else TextConfig(characters=40)
try:
    with open(sys.argv[2], "rb") as file:
        assert all(block.error for block in read_blocks(sys.argv[2], file, sample))
except RefusedObjectError as refusal:
    print(refusal)
print(int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024)
"""


def _taken(folder: Path, files: dict[str, bytes], config: DataConfig) -> Any:
    source = folder / "source"
    source.mkdir()
    for name, data in files.items():
        (source / name).write_bytes(data)
    return ingest(source, folder / "store", config, None)


def _errors(snapshot: Any) -> list[str | None]:
    rows = sorted(load_rows(snapshot).to_pylist(), key=lambda row: row["position"])
    return [row["decode_error"] for row in rows]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", ["bytes", "struct", "dictionary"])
def test_every_bad_image_is_a_row_with_a_sentence_and_every_good_one_is_taken(layout: str, tmp_path: Path) -> None:
    bad, good = malformed.bad_images(), malformed.good_images()
    values = [*bad.values(), *good.values()]
    payload = pa.array(values, pa.binary())
    if layout == "struct":
        payload = pa.array([{"bytes": value, "path": "../../x.png"} for value in values])
    if layout == "dictionary":
        payload = payload.dictionary_encode()
    errors = _errors(_taken(tmp_path, {"a.parquet": malformed.of_images(payload)}, IMAGES))
    assert len(errors) == len(values) >= 60
    for name, error in zip([*bad, *good], errors, strict=True):
        assert (error is not None and error.endswith(".")) == (name in bad), (name, error)


@pytest.mark.parametrize("name", sorted(malformed.bombs()))
def test_a_bomb_ends_in_bounded_memory(name: str, tmp_path: Path) -> None:
    kind, make = malformed.bombs()[name]
    data = make()
    assert len(data) < 2**20
    path = tmp_path / "bomb.parquet"
    path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _READ, kind, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < _PEAK_MIB


def test_no_row_is_taken_of_a_file_that_is_no_table_of_texts(tmp_path: Path) -> None:
    files = malformed.refused_texts()
    refused = _taken(tmp_path, files, TEXTS).manifest.refused_objects
    assert refused.keys() == files.keys()
    assert all(sentence.endswith(".") for sentence in refused.values())


@pytest.mark.parametrize("name", sorted(malformed.bad_texts()))
def test_a_bad_text_is_a_row_with_a_sentence(name: str, tmp_path: Path) -> None:
    said, value = malformed.bad_texts()[name]
    table = malformed.parquet(id=["a", "b"], domain=["t"] * 2, label=["cat"] * 2, text=[value, value[:0] + value])
    for error in _errors(_taken(tmp_path, {"a.parquet": table}, TEXTS)):
        assert said in str(error)


def test_every_bad_line_is_a_row_with_a_sentence(tmp_path: Path) -> None:
    bad = malformed.bad_lines()
    good = malformed.lines(malformed.GOOD)
    errors = _errors(_taken(tmp_path, {"a.jsonl": good + b"".join(bad) + good}, TEXTS))
    assert errors[0] is None
    assert errors[-1] is None
    assert len(errors) == len(bad) + 2
    assert all(error is not None and error.endswith(".") for error in errors[1:-1]), errors


def test_marks_of_the_byte_order_line_ends_of_any_kind_and_quotes_within_are_read(tmp_path: Path) -> None:
    header, mark = malformed.HEADER, b"\xef\xbb\xbf"
    files = {
        "mark.csv": mark + header + b"a,t,cat,one\n",
        "mark.jsonl": mark + malformed.lines(malformed.GOOD | {"id": "b"}),
        "mixed.csv": header + b"c,t,cat,three\r\nd,t,cat,four\re,t,cat,five",
        "quoted.csv": header + b'f,t,cat,"say ""six"",\nplease"\ng,t,cat,a 7" disk\n',
        "crossing.csv": header + b"h,t,cat,o\n" * 100_000 + b"i,t,cat," + b"y" * 10**6 + b"\n",
    }
    snapshot = _taken(tmp_path, files, TEXTS)
    assert snapshot.manifest.refused_objects == {}
    rows = load_rows(snapshot).to_pylist()
    assert {row["recording"] for row in rows if row["decode_error"] is None} == set("abcdefgh")
    assert len(rows) == 7 + 100_000 + 1


def test_what_is_said_of_a_damaged_table_does_not_quote_it(tmp_path: Path) -> None:
    files = {
        "a.csv": malformed.HEADER + b"Jo Doe,\x1b[31mhas,a cold\n",
        "b.csv": b"id,domain,label,x\nJo,Doe,ill,red\n",
    }
    for config in (TEXTS, DataConfig.model_validate(_COMMON | _SIGNAL)):
        folder = tmp_path / config.kind
        folder.mkdir()
        said = " ".join(_taken(folder, files, config).manifest.refused_objects.values())
        assert not any(word in said for word in ("Jo", "\x1b", "red", "ill,")), said


_SIGNAL = {"kind": "signal", "signal": {"channels": ["x"], "length": 8, "stride": 8}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of all the images, good and bad, which are packed all the same: ingest says what they are."""
    folder = tmp_path / "photos"
    (folder / "t" / "cat").mkdir(parents=True)
    images = {name: data or b"" for name, data in (malformed.bad_images() | malformed.good_images()).items()}
    for name, data in images.items():
        (folder / "t" / "cat" / f"{name}.png").write_bytes(data)
    return folder


def test_bad_images_are_packed_as_they_are_and_end_in_quarantine(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    images, _ = pack(folder, source / "a.parquet", "domain/label")
    rows = load_rows(ingest(source, tmp_path / "store", IMAGES, None)).to_pylist()
    good = {f"t/cat/{name}.png" for name in malformed.good_images()}
    assert len(rows) == images == len(list((folder / "t" / "cat").iterdir()))
    assert {row["recording"] for row in rows if row["decode_error"] is None} == good


def _directory(place: Path, outside: Path) -> None:
    (place / "x.png").mkdir()


def _fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place / "x.png")


def _link(place: Path, outside: Path) -> None:
    (place / "x.png").symlink_to(outside)


def _linked_folder(place: Path, outside: Path) -> None:
    (place.parent / "dog").symlink_to(outside.parent)


def _link_to_nothing(place: Path, outside: Path) -> None:
    (place / "x.png").symlink_to(place / "gone.png")


def _loop(place: Path, outside: Path) -> None:
    (place / "x.png").symlink_to(place / "x.png")


def _device(place: Path, outside: Path) -> None:
    (place / "x.png").symlink_to("/dev/zero")


def _no_utf8(place: Path, outside: Path) -> None:
    Path(os.fsdecode(bytes(place) + b"/\xff.png")).write_bytes(b"x")


def _no_utf8_folder(place: Path, outside: Path) -> None:
    inner = Path(os.fsdecode(bytes(place.parent) + b"/\xff"))
    inner.mkdir()
    (inner / "x.png").write_bytes(b"x")


def _huge(place: Path, outside: Path) -> None:
    with (place / "x.png").open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize(
    "put",
    [
        _directory,
        _fifo,
        _link,
        _linked_folder,
        _link_to_nothing,
        _loop,
        _device,
        _no_utf8,
        _no_utf8_folder,
        _huge,
    ],
)
def test_what_cannot_be_packed_is_named_and_nothing_is_left(put: Any, folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "secret.png"
    outside.parent.mkdir()
    outside.write_bytes(b"secret")
    put(folder / "t" / "cat", outside)
    with pytest.raises(UsageError, match=r"\.$"):
        pack(folder, tmp_path / "a.parquet", "domain/label")
    done = CliRunner().invoke(app, ["data", "pack", str(folder), str(tmp_path / "a.parquet")])
    assert isinstance(done.exception, UsageError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "photos"]


def test_a_link_within_the_folder_is_packed(folder: Path, tmp_path: Path) -> None:
    (folder / "t" / "dog").mkdir()
    (folder / "t" / "dog" / "x.png").symlink_to(folder / "t" / "cat" / "alpha.png")
    pack(folder, tmp_path / "a.parquet", "domain/label")
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    found = {row["id"]: row["payload"] for row in rows}
    assert found["t/dog/x.png"] == found["t/cat/alpha.png"]


def test_flipped_bits_in_images_raise_nothing() -> None:
    from evernas.data.images import decoded

    random = np.random.default_rng(1)
    seeds = [data for data in (malformed.bad_images() | malformed.good_images()).values() if data]
    for number in range(2000):
        data = bytearray(seeds[number % len(seeds)][:4000])
        for at in random.integers(0, len(data), 3):
            data[at] = int(random.integers(0, 256))
        found = decoded(bytes(data), IMAGES.image)  # type: ignore[arg-type]
        assert isinstance(found, np.ndarray) or found.endswith(".")
