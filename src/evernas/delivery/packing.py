"""A folder of image files as one Parquet file that can be delivered: the files' bytes, untouched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from evernas.data.images import MAX_BYTES
from evernas.delivery.new_file import new_file
from evernas.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
GROUP_BYTES = 16 * 2**20
_SCHEMA = pa.schema({"id": pa.string(), "domain": pa.string(), "label": pa.string(), "payload": pa.binary()})


def pack(folder: Path, out: Path, layout: str) -> tuple[int, int]:
    """Write all images under a folder into the new file `out`; how many images, of how many domains.

    `layout` says what two levels of folders are: "domain/label" or "label/domain". In file order by name, so that the
    same folder gives the same bytes; memory does not grow with the folder. UsageError says what is in the way.
    """
    if layout not in ("domain/label", "label/domain"):
        raise UsageError(f"The layout {layout!r} is unknown: domain/label or label/domain.")
    found, domains = 0, set[str]()
    with new_file(out, _SCHEMA) as writer:
        for rows in _groups(folder, layout):
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
            found += len(rows)
            domains.update(row["domain"] for row in rows)
        if not found:
            kinds = ", ".join(SUFFIXES)
            raise UsageError(f"{folder} has no images ({kinds}) two levels of folders down, as {layout} says.")
    return found, len(domains)


def _groups(folder: Path, layout: str) -> Iterator[list[dict[str, Any]]]:
    """Rows whose images have GROUP_BYTES together."""
    rows: list[dict[str, Any]] = []
    size = 0
    for outer in _folders(folder):
        for inner in _folders(Path(outer.path)):
            for image in _images(folder, Path(inner.path)):
                domain, label = (outer, inner) if layout == "domain/label" else (inner, outer)
                rows.append(_row(domain.name, label.name, image))
                size += len(rows[-1]["payload"])
                if size >= GROUP_BYTES:
                    yield rows
                    rows, size = [], 0
    if rows:
        yield rows


def _row(domain: str, label: str, image: os.DirEntry[str]) -> dict[str, Any]:
    name = f"{domain}/{label}/{image.name}"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"The name of {name!a} is no UTF-8: rename it, or its folder.") from None
    with Path(image.path).open("rb") as file:
        payload = file.read(MAX_BYTES + 1)
    if len(payload) > MAX_BYTES:
        raise UsageError(
            f"{name!r} has more than {MAX_BYTES} bytes, which no image that is taken in has: move it away."
        )
    return {"id": name, "domain": domain, "label": label, "payload": payload}


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in _sorted(folder) if entry.is_dir()]


def _images(root: Path, folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files of a folder that are named as images. UsageError for one that is no file, or lies elsewhere."""
    for entry in _sorted(folder):
        if not entry.name.lower().endswith(SUFFIXES) or entry.name.startswith("."):
            continue
        # Of an archive that somebody sent, a link could take any file of this machine into what is delivered.
        if not Path(os.path.realpath(entry.path)).is_relative_to(root.resolve()):
            raise UsageError(f"{entry.path!a} is a link to a file outside of {root}: put the image in its place.")
        if not entry.is_file():
            raise UsageError(f"{entry.path!a} is named as an image, and is no file: rename it, or move it away.")
        yield entry


def _sorted(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))
