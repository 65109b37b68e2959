"""Images and texts as a broken or hostile sender might deliver them, as files by name; nothing here reads them."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HEIGHT, WIDTH = 10, 12
_RANDOM = np.random.default_rng(0)
HEADER = b"id,domain,label,text\n"
GOOD = {"id": "a", "domain": "t", "label": "cat", "text": "hello"}


def colour() -> Any:
    return Image.fromarray(_RANDOM.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def encoded(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *more: bytes) -> bytes:
    """A PNG (grey) whose header claims this size, and whose data unpacks to these bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", zlib.compress(pixels, 9)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(colour(), "JPEG", exif=exif)


def bad_images() -> dict[str, bytes | None]:
    """Images that must not be taken in as such of 10 x 12 pixels and three colours."""
    whole = {"png": encoded(colour()), "jpeg": encoded(colour(), "JPEG"), "webp": encoded(colour(), "WEBP")}
    frames = [colour(), colour()]
    sixteen = Image.fromarray(_RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16))
    found: dict[str, bytes | None] = {
        "null": None,
        "empty": b"",
        "zeros": bytes(1000),
        "magic": b"\x89PNG\r\n\x1a\n",
        "wrong magic": b"\xff\xd8\xff" + whole["png"],
        "gif": encoded(colour(), "GIF"),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 10\n(x) run\n",
        "claims": png(60_000, 60_000, b"0" * 1000),
        "claims much": png(2**31 - 1, 2**31 - 1, b""),
        "claims nothing": png(0, 0, b""),
        "wide": png(2**31 - 1, 1, b""),
        "tells a lot": png(WIDTH, HEIGHT, bytes(130), _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7), 9))),
        "animated png": encoded(frames[0], save_all=True, append_images=frames[1:]),
        "animated webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "16 bits": encoded(sixteen),
        "grey and alpha": encoded(colour().convert("LA")),
        **{f"turned {orientation}": turned(orientation) for orientation in range(2, 9)},
    }
    # All but the checksum and what follows the pixels would be the whole image.
    for kind, data in whole.items():
        found |= {f"{kind} cut {end}": data[:end] for end in np.linspace(1, len(data) - 40, 12).astype(int).tolist()}
    return found


def good_images() -> dict[str, bytes]:
    """Images of 10 x 12 pixels that are unusual, and right."""
    transparency = bytes(range(0, 160, 10))
    sink = io.BytesIO()
    colour().save(sink, "MPO", save_all=True, append_images=[colour()])
    return {
        "cmyk": encoded(colour().convert("CMYK"), "JPEG"),
        "palette": encoded(colour().quantize(16)),
        "transparent palette": encoded(colour().quantize(16), transparency=transparency),
        "alpha": encoded(colour().convert("RGBA")),
        "progressive": encoded(colour(), "JPEG", progressive=True),
        "upright": turned(1),
        "no such orientation": turned(77),
        "two pictures": sink.getvalue(),
        "unpacks to more": encoded(colour()) + bytes(10**6),
    }


def of_images(payload: Any, **columns: Any) -> bytes:
    """A Parquet file of these payloads."""
    n = len(payload)
    columns = {"id": [str(i) for i in range(n)], "domain": ["t"] * n, "label": ["cat"] * n} | columns
    return parquet(**columns, payload=payload)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    # A dictionary may hold one long value; written plainly, no bomb would be small.
    options: dict[str, Any] = {"compression": "zstd", "dictionary_pagesize_limit": 2**30}
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def repeated(value: str | bytes, rows: int) -> Any:
    """A column with one value in all rows, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))


def bombs() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Small Parquet files that are gigabytes once they are written out, and which kind of data each is given as."""
    rows, many = 4000, ["x"] * 4000
    names = {"id": many, "domain": many, "label": many}
    return {
        "image": ("image", lambda: parquet(**names, payload=repeated(b"y" * 10**6, rows))),
        "one image": ("image", lambda: of_images([bytes(200 * 2**20)])),
        "text": ("text", lambda: parquet(**names, text=repeated("y" * 10**6, rows))),
        "id": ("text", lambda: parquet(**names | {"id": repeated("y" * 10**6, rows)}, text=many)),
        "id of images": (
            "image",
            lambda: parquet(**names | {"id": repeated("y" * 10**6, rows)}, payload=[b"y"] * rows),
        ),
    }


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def refused_texts() -> dict[str, bytes]:
    """Files of which no row is taken."""
    names = {"id": ["a"], "domain": ["t"], "label": ["cat"]}
    half = pa.py_buffer(np.array([0, 2], np.int32))
    broken = pa.Array.from_buffers(pa.string(), 1, [None, half, pa.py_buffer(b"\xff\xfe")])
    classes = [f"c{i}" for i in range(10**6)]
    whole = parquet(**names, text=["hello"])
    found = {
        "empty.csv": b"",
        "empty.jsonl": b"",
        "empty.parquet": b"",
        "blank.csv": b"\n\n",
        "header.csv": HEADER,
        "twice.csv": HEADER[:-1] + b",text\na,t,cat,one,two\n",
        "id-twice.csv": b"id," + HEADER + b"a,b,t,cat,one\n",
        "utf-16.csv": (HEADER + b"a,t,cat,hello\n").decode().encode("utf-16"),
        "utf-16.jsonl": lines(GOOD).decode().encode("utf-16"),
        "unclosed.csv": HEADER + b'a,t,cat,"hello\nb,t,cat,ho\n',
        "unclosed-long.csv": HEADER + b'a,t,cat,"hello\n' + b"b,t,cat,ho\n" * 500_000,
        "unclosed-at-end.csv": HEADER + b'a,t,cat,hello\nb,t,cat,"ho',
        "unclosed-id.csv": HEADER + b'a,t,cat,hello\n"b,t,cat,ho\n',
        "ragged.csv": HEADER + b"a,t,cat\n",
        "no-utf8-id.csv": HEADER + b"\xff,t,cat,hello\n",
        "no-utf8-header.csv": b"\xff," + HEADER[3:],
        "long-id.csv": HEADER + b"a" * 3000 + b",t,cat,hello\n",
        "long-row.csv": HEADER + b"a,t,cat," + b"y" * 3_000_000 + b"\n",
        "classes.csv": HEADER + b"".join(f"{name},t,{name},hello\n".encode() for name in classes),
        "classes.parquet": parquet(id=classes, domain=["t"] * 10**6, label=classes, text=["hello"] * 10**6),
        "domains.jsonl": lines(*(GOOD | {"domain": name} for name in classes[:150_000])),
        "array.jsonl": b"[" + lines(GOOD).strip() + b"]\n",
        "carriage-returns.jsonl": lines(GOOD, GOOD).replace(b"\n", b"\r"),
        "nested.jsonl": b"[" * 100_000,
        "line.jsonl": lines(GOOD | {"text": "y" * 2_000_000}),
        "zeros.jsonl": bytes(1000),
        "number.parquet": parquet(**names, text=[5]),
        "struct.parquet": parquet(**names, text=[{"bytes": b"hello"}]),
        "list.parquet": parquet(**names, text=[["hello"]]),
        "fixed.parquet": parquet(**names, text=pa.array([b"ab"], pa.binary(2))),
        "no-utf8.parquet": parquet(**names, text=broken),
        "no-utf8-id.parquet": parquet(**names | {"id": broken}, text=["hello"]),
        "no-rows.parquet": parquet(**{name: pa.nulls(0, pa.string()) for name in (*names, "text")}),
    }
    for end in np.linspace(1, len(whole) - 1, 20).astype(int).tolist():
        found[f"cut-{end:04d}.parquet"] = whole[:end]
    return found


def bad_texts() -> dict[str, tuple[str, str | bytes]]:
    """Texts that are rows of the quarantine, and a part of what is said of each."""
    marks = "a" + "\u0301\u0323" * 250_000
    return {
        "utf-8": ("no UTF-8", b"\xff\xfe"),
        "half": ("no UTF-8", b"\xed\xa0\x80"),
        "long": ("1000000 characters", "y" * 10**6),
        "longer": ("more than 1048576", "y" * (2**20 + 1)),
        "marks": ("more than 30 marks", marks),
        "zero width": ("nothing but blanks", "\u200b\u200d\ufeff"),
        "right to left": ("nothing but blanks", "\u202e\u200f\u2067"),
        "controls": ("nothing but blanks", "\0\x07\x1b"),
        "expands": ("characters, more than", "\ufdfa" * 100),
    }


def bad_times() -> dict[str, tuple[str, Any]]:
    """Times that no recording can have, and a part of what is said of each."""
    return {
        "negative": ("before 1970", -1),
        "before all": ("before 1970", -(10**17)),
        "negative part": ("before 1970", -0.25),
        "milliseconds": ("after the year 2199", 1_700_000_000_000),
        "nanoseconds": ("after the year 2199", 1_700_000_000_123_456_789),
        "largest": ("after the year 2199", 2**63 - 1),
        "no end": ("after the year 2199", float(10**300)),
        "more digits than a float": ("The time is", 10**400),
        "infinite": ("after the year 2199", "inf"),
        "minus infinite": ("before 1970", "-Infinity"),
        "word": ("no number of seconds", "yesterday"),
        "no day": ("no number of seconds", "2023-02-30"),
        "no year": ("no number of seconds", "0000-01-01"),
        "year 1": ("before 1970", "0001-01-01T00:00:00+00:00"),
        "year 9999": ("after the year 2199", "9999-12-31T23:59:59Z"),
        "long": ("no number of seconds", "9" * 5000 + "x"),
        "injected": ("no number of seconds", "=cmd|' /C calc'!A0"),
    }


def unreadable_times() -> dict[str, Any]:
    """Those that say no time at all, and more of them: in a column about something else."""
    known = {name: value for name, (said, value) in bad_times().items() if said == "no number of seconds"}
    odd = {"true": True, "list": [], "object": {"s": 1}, "noon": "noon"}
    return known | odd | {"time of day": "12:30", "turned around": "01/02/2024 10:00", "half": "2024-01-01T"}


def bad_lines() -> list[bytes]:
    """Lines of a file of texts that are rows of the quarantine, one each."""
    odd = [{"text": "\ud800"}, {"id": "\udc00"}, {"text": {"a": 1}}, {"text": 5}, {"label": True}, {"text": None}]
    odd += [{"domain": ["t"]}, {"text": ""}, {"text": "\u200b"}]
    odd += [{"time": bad_times()[name][1]} for name in sorted(bad_times().keys() - unreadable_times().keys())]
    return [
        *(lines(GOOD | more) for more in odd),
        b'{"id": "a", "id": "b", "domain": "t", "label": "cat", "text": "hello"}\n',
        b'{"id": "a", "text": ' + b"1" * 900_000 + b"}\n",
        b'{"id": "a", "text": 1e999}\n',
        b'{"id": "a", "text": "\xff"}\n',
        b'{"id": "a", "text": "cut\n',
        b"\0\n",
        b"[" * 100_000 + b"\n",
    ]
