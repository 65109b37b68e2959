"""A file to deliver, there as a whole or not at all, and never written over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evernas.errors import UsageError


@contextmanager
def new_file(out: Path, schema: Any) -> Iterator[Any]:
    """A ParquetWriter whose rows are in `out` once the block ends without an error, and nowhere else.

    UsageError where `out` is no name of a batch, is there already, or something cannot be read or written.
    """
    if out.suffix != ".parquet":
        raise UsageError(f"{out} does not end in .parquet: ingest would pass it over.")
    if out.exists():
        raise UsageError(f"{out} is there already: name a new file, since a delivered batch is not written over.")
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with pq.ParquetWriter(temporary, schema, write_page_checksum=True) as writer:
            yield writer
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(out)
    except OSError as error:
        raise UsageError(f"{error.filename or out} cannot be read or written ({error.strerror}).") from None
    finally:
        temporary.unlink(missing_ok=True)
