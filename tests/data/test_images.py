"""Images are taken in as they would be served; whatever is no such image goes to quarantine with a sentence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from evernas.config import DataConfig, ImageConfig
from evernas.data import ingest, load_rows, load_split
from evernas.data.images import decoded, of_arrays
from evernas.data.source import RefusedObjectError

RNG = np.random.default_rng(0)
COLOUR = ImageConfig(channels=["red", "green", "blue"], height=10, width=12)
GREY = ImageConfig(height=10, width=12)


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, kind, **options)
    return sink.getvalue()


def pixels(*shape: int) -> Any:
    return RNG.integers(0, 256, shape, np.uint8)


def config(image: ImageConfig = GREY) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "unused",
            "kind": "image",
            "image": image.model_dump(),
            "labels": ["cat", "dog"],
            "splits": {"gate": ["g"], "search": ["s"]},
        }
    )


def put(path: Path, payload: Any, **columns: Any) -> None:
    n = len(payload)
    table = {
        "id": [f"{path.stem}-{i}" for i in range(n)],
        "domain": ["t", "s", "g"] * n,
        "label": ["cat", "dog"] * n,
        **columns,
    }
    pq.write_table(pa.table({**{k: v[:n] for k, v in table.items()}, "payload": payload}), path)


def test_a_png_is_its_pixels_channels_first() -> None:
    colour, grey = pixels(10, 12, 3), pixels(10, 12)
    found = decoded(encoded(colour), COLOUR)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert np.array_equal(found.reshape(3, 10, 12), colour.transpose(2, 0, 1))
    assert np.array_equal(np.reshape(decoded(encoded(grey), GREY), (10, 12)), grey)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
def test_other_formats_are_read_too(kind: str, options: dict[str, Any]) -> None:
    smooth = np.add.outer(np.arange(10), np.arange(12)).astype(np.uint8)[:, :, None].repeat(3, 2) * 8
    found = decoded(encoded(smooth, kind, **options), COLOUR)
    assert isinstance(found, np.ndarray)
    assert np.abs(found.reshape(3, 10, 12) - smooth.transpose(2, 0, 1)).mean() < 8


def _bomb() -> bytes:
    """A PNG whose header claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "image", "said"),
    [
        (None, GREY, "is null"),
        (b"", GREY, "no whole image"),
        (b"GIF89a nothing", GREY, "no whole image"),
        (encoded(pixels(10, 12), "GIF"), GREY, "no whole image"),
        (encoded(pixels(10, 12))[:60], GREY, "no whole image"),
        (encoded(pixels(12, 10)), GREY, "12 x 10 pixels, and data.image says 10 x 12"),
        (_bomb(), GREY, "more pixels than any"),
        (encoded(pixels(10, 12)), COLOUR, "the mode L, and data.image.channels names 3"),
        (encoded(pixels(10, 12, 3)), ImageConfig(channels=["a", "b"], height=10, width=12), "names 2 channels"),
    ],
)
def test_what_is_no_such_image_is_said_in_a_sentence(data: bytes | None, image: ImageConfig, said: str) -> None:
    found = decoded(data, image)
    assert isinstance(found, str)
    assert said in found


def test_parquet_with_bytes_or_structs_and_npz_give_the_same_samples(tmp_path: Path) -> None:
    images = pixels(6, 10, 12)
    files = [encoded(image) for image in images]
    folders = {name: tmp_path / name for name in ("bytes", "struct", "npz")}
    for folder in folders.values():
        folder.mkdir()
    put(folders["bytes"] / "a.parquet", pa.array(files, pa.binary()))
    put(folders["struct"] / "a.parquet", pa.array([{"bytes": f, "path": "x.png"} for f in files]))
    names = {"id": [f"a-{i}" for i in range(6)], "domain": ["t", "s", "g"] * 2, "label": ["cat", "dog"] * 3}
    np.savez(folders["npz"] / "a.npz", payload=images, **{k: np.array(v) for k, v in names.items()})
    found = {}
    for name, folder in folders.items():
        snapshot = ingest(folder, tmp_path / "state" / name, config(), None)
        found[name] = {split: load_split(snapshot, split, ["cat", "dog"]) for split in ("train", "search", "gate")}
        assert found[name]["train"].x.shape == (2, 1, 10, 12)
    for split in ("train", "search", "gate"):
        assert np.array_equal(found["bytes"][split].x, found["struct"][split].x)
        assert np.array_equal(found["bytes"][split].x, found["npz"][split].x)
        assert found["bytes"][split].recordings == found["npz"][split].recordings
    assert np.array_equal(found["bytes"]["train"].x[:, 0], images[[0, 3]])


def test_bad_images_are_rows_with_their_reason_and_the_good_ones_stay(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    good = [encoded(pixels(10, 12)) for _ in range(3)]
    put(source / "mixed.parquet", pa.array([good[0], b"nothing", good[1], encoded(pixels(3, 3)), None, good[2]]))
    snapshot = ingest(source, tmp_path / "state", config(), None)
    rows = sorted(load_rows(snapshot).to_pylist(), key=lambda row: row["position"])
    assert [row["decode_error"] is None for row in rows] == [True, False, True, False, False, True]
    assert "3 x 3 pixels" in rows[3]["decode_error"]


def _jsonl(path: Path) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text('{"id": "a", "domain": "t", "label": "cat", "payload": [[1, 2]]}\n')
    return path


def _lists(path: Path) -> Path:
    put(path, [[[0.0] * 12] * 10])
    return path


def _archive(payload: Any) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path, n = path.with_suffix(".npz"), len(payload)
        np.savez(path, id=np.array(["a"] * n), domain=np.array(["t"] * n), label=np.array(["cat"] * n), payload=payload)
        return path

    return write


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_jsonl, "not read from .jsonl"),
        (_lists, "write images as bytes"),
        (_archive(pixels(2, 9, 12)), "9 x 12 pixels"),
        (_archive(pixels(2, 10, 12, 3)), "3 channels"),
        (_archive(pixels(2, 120)), "of 2 dimensions: write numbers as (images, height, width)"),
    ],
)
def test_an_object_without_images_is_refused_with_a_sentence(
    write: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    name = write(source / "bad.parquet").name
    put(source / "good.parquet", pa.array([encoded(pixels(10, 12))] * 3, pa.binary()))
    snapshot = ingest(source, tmp_path / "state", config(), None)
    assert said in str(snapshot.manifest.objects[name].refused)
    assert snapshot.manifest.objects["good.parquet"].refused is None


def test_arrays_with_channels_are_turned_channels_first() -> None:
    payload = pixels(4, 10, 12, 3)
    assert np.array_equal(of_arrays(payload, COLOUR).reshape(4, 3, 10, 12), payload.transpose(0, 3, 1, 2))
    with pytest.raises(RefusedObjectError, match="names 1: write all"):
        of_arrays(payload, GREY)
