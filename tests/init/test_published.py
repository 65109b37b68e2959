"""evernas init on Parquet files as data sets are published: images and texts with classes as numbers with names."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from evernas.cli import app
from evernas.config import load_config
from evernas.data import ingest, load_rows
from evernas.data.images import MAX_BYTES
from evernas.delivery import parquet_tables, writing
from evernas.delivery.folders import samples_at
from evernas.delivery.items import Item
from evernas.errors import EvernasError
from evernas.validation import validate

KINDS = ("cat", "dog")
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
RANDOM = np.random.default_rng(0)


def png(size: tuple[int, int] = (20, 16), form: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(held, form)
    return held.getvalue()


def noted(features: dict[str, Any]) -> dict[bytes, bytes]:
    """What the data sets' library writes into a schema; checked by hand against its version 5.2."""
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(KINDS), "_type": "ClassLabel"}}


def publish(
    path: Path,
    images: Sequence[bytes | None],
    labels: Sequence[int | None],
    features: dict[str, Any] | None = FEATURES,
    column: str = "image",
    plain: bool = False,
    **others: Any,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = pa.array(images, pa.binary()) if plain else pa.array([{"bytes": i, "path": None} for i in images], STRUCT)
    table = pa.table({column: held, "label": pa.array(labels, pa.int64()), **others})
    pq.write_table(table.replace_schema_metadata(noted(features) if features else None), path, row_group_size=50)


def init(tmp_path: Path, *more: str, of: str = "pets") -> tuple[int, str]:
    fixed = ["--out", str(tmp_path / "evernas.yaml"), "--home", str(tmp_path / "home"), "--yes"]
    done = CliRunner().invoke(app, ["init", str(tmp_path / of), *fixed, *more])
    assert isinstance(done.exception, SystemExit | EvernasError | None), done.exception
    return done.exit_code, done.output or str(done.exception)


def accepted(tmp_path: Path, of: str = "pets") -> Any:
    """What a run's own ingestion and validation make of what was written."""
    config = load_config(tmp_path / "evernas.yaml")
    result = validate(load_rows(ingest(tmp_path / f"{of}-evernas", tmp_path / "store", config.data, None)), config.data,
                      config.validation)  # fmt: skip
    assert result.refusals == ()
    return result


def written(tmp_path: Path, of: str = "pets") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / f"{of}-evernas" / "batch-1.parquet").to_pylist()
    return rows


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """240 images to train in three files, and 60 to test."""
    for number in range(3):
        labels = [n % 2 for n in range(80)]
        publish(tmp_path / f"pets/data/train-{number:05d}-of-00003.parquet", [png() for _ in labels], labels)
    publish(
        tmp_path / "pets/data/test-00000-of-00001.parquet", [png() for _ in range(120)], [n % 2 for n in range(120)]
    )
    return tmp_path / "pets"


@pytest.mark.usefixtures("pets")
def test_a_published_set_of_images_is_accepted_with_its_classes_and_splits(tmp_path: Path) -> None:
    code, said = init(tmp_path)
    assert code == 0, said
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.labels == list(KINDS)
    assert all(name.startswith("test-") for name in config.data.splits.gate)
    assert all(name.startswith("train-") for name in config.data.splits.search)
    result = accepted(tmp_path)
    assert (result.kept.num_rows, result.quarantined) == (360, 0)
    text = " ".join((tmp_path / "evernas.yaml").read_text().replace("#", " ").split())
    assert "Images are in 'image'; the class is in 'label', whose numbers the file names ('cat' is 0)." in text
    assert "each image is its own" in text


def test_classes_and_bytes_are_those_of_the_rows(tmp_path: Path, pets: Path) -> None:
    assert init(tmp_path)[0] == 0
    expected = {
        (row["image"]["bytes"], KINDS[row["label"]])
        for path in pets.rglob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    assert {(row["payload"], row["label"]) for row in written(tmp_path)} == expected


def test_new_files_are_a_batch_of_what_is_new_however_rows_are_cut_into_files(tmp_path: Path, pets: Path) -> None:
    assert init(tmp_path)[0] == 0
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(pets.rglob("train-*.parquet"))])
    for path in pets.rglob("train-*.parquet"):
        path.unlink()
    pq.write_table(whole, pets / "data" / "train-00000-of-00002.parquet")
    publish(pets / "data" / "train-00001-of-00002.parquet", [png() for _ in range(10)], [0, 1] * 5)
    out = tmp_path / "pets-evernas" / "batch-2.parquet"
    arguments = ["data", "pack", str(pets), str(out), "--config", str(tmp_path / "evernas.yaml")]
    done = CliRunner().invoke(app, [*arguments, "--label=label", "--domain=-"])
    assert done.exit_code == 0, done.output
    assert "10 images are in" in done.output
    assert "360 were delivered before" in done.output


def test_a_plain_column_of_bytes_a_column_of_domains_and_numbers_without_names(tmp_path: Path) -> None:
    number = 400
    sites = [f"site-{n % 8}" for n in range(number)]
    publish(
        tmp_path / "pets" / "all.parquet",
        [png(form=("PNG", "JPEG")[n % 2]) for n in range(number)],
        [n // 8 % 2 for n in range(number)],
        features=None,
        column="picture",
        plain=True,
        site=pa.array(sites),
    )
    code, said = init(tmp_path)
    assert code == 0, said
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.labels == ["0", "1"]
    assert config.data.domain_noun == "sites"
    assert {row["domain"] for row in written(tmp_path)} == set(sites)
    assert accepted(tmp_path).kept.num_rows == number


def test_one_file_will_do(tmp_path: Path) -> None:
    publish(tmp_path / "pets.parquet", [png() for _ in range(400)], [n % 2 for n in range(400)])
    assert init(tmp_path, of="pets.parquet")[0] == 0
    assert len(written(tmp_path)) == 400


@pytest.mark.parametrize("names", [["a", "a/b"], ["train", "test"]])
def test_splits_may_be_folders(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        publish(tmp_path / "pets" / "default" / name / "0000.parquet", [png() for _ in range(200)], [0, 1] * 100)
    samples = samples_at(tmp_path / "pets")
    assert samples is not None
    assert samples.splits == ({"train", "test"} if "train" in names else set())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claiming(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that claims to be so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bad_images() -> dict[str, bytes | None]:
    whole = png()
    return {
        "null": None,
        "empty": b"",
        "no image": b"\x00" * 500,
        "cut": whole[: len(whole) // 2],
        "a bomb": claiming(60_000, 60_000, zlib.compress(b"\0" * 10**6, 9)),
        "too large": claiming(20, 16) + b"\0" * MAX_BYTES,
        "a text": b"https://example.org/cat.png",
    }


def test_bad_images_are_left_out_with_the_reason_and_mixed_sizes_are_scaled(tmp_path: Path) -> None:
    images: list[bytes | None] = [png((16 + n % 5, 16 + n % 3)) for n in range(400)]
    labels: list[int | None] = [n % 2 for n in range(400)]
    for number, image in enumerate(bad_images().values()):
        images.insert(40 * number, image)
        labels.insert(40 * number, 0)
    publish(tmp_path / "pets" / "a.parquet", images, labels)
    code, said = init(tmp_path)
    assert code == 0, said
    assert f"{len(bad_images())} of 407 files are left out" in said
    assert "It has no bytes" in said
    assert "claims more pixels" in said
    sizes = {Image.open(io.BytesIO(row["payload"])).size for row in written(tmp_path)}
    assert len(sizes) == 1
    assert accepted(tmp_path).kept.num_rows == 400


def test_rows_without_a_class_are_left_out_and_said(tmp_path: Path) -> None:
    labels: list[int | None] = [0, 1] * 200
    labels[:3] = [-1, None, 7]
    publish(tmp_path / "pets" / "a.parquet", [png() for _ in labels], labels)
    publish(tmp_path / "pets" / "test-00000-of-00001.parquet", [png() for _ in range(20)], [-1] * 20, features=None)
    code, said = init(tmp_path)
    assert code == 0, said
    assert "23 samples have no class: they are left out." in said
    assert load_config(tmp_path / "evernas.yaml").data.labels == list(KINDS)


def test_a_whole_number_below_zero_that_is_a_class_stays_one(tmp_path: Path) -> None:
    publish(tmp_path / "pets" / "a.parquet", [png() for _ in range(300)], [-1, 0, 1] * 100, features=None)
    assert init(tmp_path)[0] == 0
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["0", "1", "-1"]


def test_names_of_classes_are_taken_from_the_other_files_where_one_notes_none(tmp_path: Path) -> None:
    publish(tmp_path / "pets" / "train-00000-of-00002.parquet", [png() for _ in range(200)], [0, 1] * 100)
    publish(tmp_path / "pets" / "train-00001-of-00002.parquet", [png() for _ in range(200)], [0, 1] * 100, None)
    assert init(tmp_path)[0] == 0
    assert load_config(tmp_path / "evernas.yaml").data.labels == list(KINDS)


def test_classes_that_one_file_has_as_numbers_and_another_by_name_are_the_same(tmp_path: Path) -> None:
    publish(tmp_path / "pets" / "a.parquet", [png() for _ in range(200)], [0, 1] * 100)
    publish(tmp_path / "pets" / "b.parquet", [png() for _ in range(200)], [0, 1] * 100)
    table = pq.read_table(tmp_path / "pets" / "b.parquet").drop_columns(["label"])
    table = table.append_column("label", pa.array(KINDS * 100)).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "pets" / "b.parquet")
    samples = samples_at(tmp_path / "pets")
    assert samples is not None
    assert {label: sum(item.label == label for item in samples.items) for label in KINDS} == {"cat": 200, "dog": 200}
    assert samples.remarks == []


def test_numbers_in_a_column_that_is_called_as_texts_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    columns = {"id": ["r"] * 20, "domain": ["p"] * 20, "label": ["x"] * 20, "body": np.arange(20) / 2}
    pq.write_table(pa.table(columns), tmp_path / "steps" / "a.parquet")
    assert samples_at(tmp_path / "steps") is None
    code, said = init(tmp_path, of="steps")
    assert code != 0
    assert "has one number a row in 'body'" in said


@pytest.mark.parametrize(
    "metadata",
    [
        b"no JSON",
        b"[1]",
        b"null",
        b'{"info": {"features": []}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": [1, 2]}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": "ab"}, "image": 3}}}',
        b"[" * 100_000,
    ],
)
def test_what_is_noted_in_a_file_may_be_anything(tmp_path: Path, metadata: bytes) -> None:
    path = tmp_path / "pets" / "a.parquet"
    publish(path, [png() for _ in range(300)], [0, 1] * 150)
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": metadata}), path)
    assert init(tmp_path)[0] == 0
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["0", "1"]


def test_damaged_files_are_left_out_and_said(tmp_path: Path, pets: Path) -> None:
    publish(pets / "data" / "train-00003-of-00005.parquet", [png() for _ in range(200)], [0, 1] * 100)
    cut = pets / "data" / "train-00001-of-00003.parquet"
    cut.write_bytes(cut.read_bytes()[:-100])
    torn = pets / "data" / "train-00002-of-00003.parquet"
    data = bytearray(torn.read_bytes())
    data[4:6000] = b"\xff" * 5996
    torn.write_bytes(data)
    code, said = init(tmp_path)
    assert code == 0, said
    for path in (cut, torn):
        assert f"A table is left out. {path} is no whole Parquet file" in said
    assert len(written(tmp_path)) == 400


def test_a_file_that_is_damaged_after_it_was_looked_at_gives_sentences(tmp_path: Path, pets: Path) -> None:
    samples = samples_at(pets)
    assert samples is not None
    mine = [item for item in samples.items if item.split == "train"]
    for path in pets.rglob("train-00000*.parquet"):
        path.write_bytes(path.read_bytes()[:3000])
    read = [content for some in writing.batched_images(mine) for _, content in some]
    assert sum(isinstance(content, str) for content in read) == 80
    assert sum(isinstance(content, bytes) for content in read) == 160


def test_which_of_several_images_and_classes_is_meant_must_be_said(tmp_path: Path) -> None:
    features = {**FEATURES, "mask": {"_type": "Image"}, "depth": {"_type": "Image"}}
    images = [png() for _ in range(300)]
    mask = pa.array([{"bytes": image, "path": None} for image in images], STRUCT)
    publish(tmp_path / "pets" / "a.parquet", images, [0, 1] * 150, features, mask=mask)
    assert init(tmp_path)[0] == 0, "one of them is called so"
    publish(tmp_path / "two" / "a.parquet", images, [0, 1] * 150, features, column="depth", mask=mask)
    code, said = init(tmp_path, "--force", of="two")
    assert code != 0
    assert "The columns 'depth', 'mask' of" in said
    both = {
        "fine": {"names": list(KINDS), "_type": "ClassLabel"},
        "coarse": {"names": ["x", "y"], "_type": "ClassLabel"},
    }
    table = pq.read_table(tmp_path / "pets" / "a.parquet").select(["image"])
    for name in both:
        table = table.append_column(name, pa.array([0, 1] * 150, pa.int64()))
    (tmp_path / "three").mkdir()
    pq.write_table(table.replace_schema_metadata(noted(both)), tmp_path / "three" / "a.parquet")
    code, said = init(tmp_path, "--force", of="three")
    assert code != 0
    assert "--label COLUMN" in said
    assert init(tmp_path, "--force", "--label", "coarse", of="three")[0] == 0
    assert load_config(tmp_path / "evernas.yaml").data.labels == ["x", "y"]


def test_sounds_are_no_images(tmp_path: Path) -> None:
    features = {"audio": {"_type": "Audio", "sampling_rate": 16000}, "label": FEATURES["label"]}
    publish(tmp_path / "pets" / "a.parquet", [b"RIFF" + b"\0" * 100] * 300, [0, 1] * 150, features, column="audio")
    code, said = init(tmp_path)
    assert code != 0
    assert "perhaps sounds" in said
    publish(tmp_path / "pets" / "a.parquet", [b"RIFF" + b"\0" * 100] * 300, [0, 1] * 150, None, column="audio")
    code, said = init(tmp_path)
    assert code != 0
    assert "no images that are taken" in said


def test_texts_as_published_have_their_classes_by_name(tmp_path: Path) -> None:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    }
    folder = tmp_path / "films" / "plain_text"
    folder.mkdir(parents=True)
    for name, number, label in (("train", 600, None), ("test", 200, None), ("unsupervised", 50, -1)):
        texts = [f"{('awful', 'lovely')[n % 2]} film, number {n} of {name}" for n in range(number)]
        labels = [n % 2 if label is None else label for n in range(number)]
        table = pa.table({"text": texts, "label": pa.array(labels, pa.int64())})
        pq.write_table(table.replace_schema_metadata(noted(features)), folder / f"{name}-00000-of-00001.parquet")
    code, said = init(tmp_path, of="films")
    assert code == 0, said
    assert "50 samples have no class" in said
    config = load_config(tmp_path / "evernas.yaml")
    assert config.data.labels == ["neg", "pos"]
    rows = written(tmp_path, "films")
    assert {row["label"] for row in rows if row["text"].startswith("lovely")} == {"pos"}
    assert all(row["domain"].startswith("test-") == ("of test" in row["text"]) for row in rows)
    result = accepted(tmp_path, "films")
    assert result.kept.num_rows + result.deduplicated.num_rows == 800


def test_one_long_value_for_a_million_rows_is_never_written_out(tmp_path: Path) -> None:
    long = "x" * (2 * 2**20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array([long]))
    table = pa.table({"text": texts, "label": pa.array([0, 1] * 10_000)})
    (tmp_path / "long").mkdir()
    pq.write_table(table, tmp_path / "long" / "a.parquet")
    code, said = init(tmp_path, of="long")
    assert code != 0
    assert "has a text that can be read" in said


def test_images_are_read_in_order_once_and_in_batches_of_bounded_size(
    tmp_path: Path, pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_at(pets)
    assert samples is not None
    opened = list[int]()
    batches: Callable[..., Any] = parquet_tables._batches

    def counted(path: Path, columns: Sequence[str], first: int = 0) -> Any:
        for batch in batches(path, columns, first):
            opened.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(parquet_tables, "_batches", counted)
    monkeypatch.setattr(writing, "MAX_BYTES", 10_000)
    sizes = [sum(len(str(content)) for _, content in some) for some in writing.batched_images(samples.items)]
    assert len(sizes) > 20
    assert sum(opened) == 360
    some: list[Item] = samples.items[::-1]
    read = [content for part in writing.batched_images(some) for _, content in part]
    assert all(isinstance(content, bytes) for content in read)
