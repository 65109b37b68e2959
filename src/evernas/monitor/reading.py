"""Reading a file that production logged: predictions, or labels that came later; nothing is counted or judged here."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.digest import digest_bytes
from evernas.errors import DataRefusedError

if TYPE_CHECKING:
    import numpy.typing as npt

ID, BUNDLE, PREDICTED, LABEL = "id", "bundle", "predicted", "label"
DOMAIN, RECORDING, LATENCY_MS = "domain", "recording", "latency_ms"
INPUT = "input_"
TEXTS = (ID, BUNDLE, PREDICTED, LABEL, DOMAIN, RECORDING)
NUMBERS = (LATENCY_MS, f"{INPUT}mean_", f"{INPUT}std_")


@dataclass(frozen=True)
class LogFile:
    """A file of the log, by its address and its bytes."""

    name: str
    data: bytes

    @property
    def digest(self) -> str:
        return digest_bytes(self.data)


@dataclass(frozen=True)
class Rows:
    """The columns of the log that a file has: texts, or None, and numbers, or NaN."""

    count: int
    texts: dict[str, list[str | None]]
    numbers: dict[str, npt.NDArray[np.float64]]

    @property
    def predicts(self) -> bool:
        """Whether it is a file of predictions, with labels or without."""
        return {BUNDLE, PREDICTED} <= set(self.texts)

    def text(self, column: str) -> list[str | None]:
        """A column of texts."""
        return self.texts.get(column) or [None] * self.count

    def number(self, column: str) -> npt.NDArray[np.float64]:
        """A column of numbers."""
        found = self.numbers.get(column)
        return np.full(self.count, np.nan) if found is None else found


def read_rows(file: LogFile) -> Rows:
    """The rows of a file; DataRefusedError says what is wrong with it. Columns that are not of the log are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(io.BytesIO(file.data))
        _refuse_strange(parquet.schema_arrow)
        columns = [name for name in parquet.schema_arrow.names if name in TEXTS or name.startswith(NUMBERS)]
        table = parquet.read(columns)
        texts = {name: _texts(table.column(name)) for name in columns if name in TEXTS}
        numbers = {name: _numbers(table.column(name)) for name in columns if name not in TEXTS}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataRefusedError(f"it is no Parquet file ({str(error).splitlines()[0][:100]})") from None
    return Rows(int(table.num_rows), texts, numbers)


def _refuse_strange(schema: Any) -> None:
    """DataRefusedError for columns that are missing, there twice, or hold no numbers where numbers belong."""
    import pyarrow as pa

    names = set(schema.names)
    if ID not in names or not ({BUNDLE, PREDICTED} <= names or LABEL in names):
        raise DataRefusedError(
            f"it has the columns {', '.join(sorted(names)[:8])}: predictions need {ID}, {BUNDLE} and {PREDICTED}, "
            f"labels need {ID} and {LABEL}"
        )
    twice = sorted(name for name in names if schema.names.count(name) > 1)
    if twice:
        raise DataRefusedError(f"it has the column {twice[0]} more than once")
    for field in schema:
        numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
        if field.name.startswith(NUMBERS) and not any(is_a(field.type) for is_a in numeric):
            raise DataRefusedError(f"its column {field.name} is of {field.type}: write numbers there")


def _texts(column: Any) -> list[str | None]:
    return [None if value is None else str(value) for value in column.to_pylist()]


def _numbers(column: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)
