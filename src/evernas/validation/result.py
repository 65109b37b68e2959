"""What a validation found, and how it is written and read again; nothing here judges."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from evernas.digest import digest_value
from evernas.errors import IntegrityError
from evernas.state.files import write_bytes, write_json

VERSION = 1


@dataclass(frozen=True)
class ValidationResult:
    """rows_in = kept + quarantined + deduplicated, always; refusals say why the snapshot as a whole is refused.

    times are those of the kept rows, NaN where there is none. released counts the kept rows that a person has released
    past a rule. strata says for each kind in data.strata how much of production the gate split covers.

    kept (Arrow): row, sample_id, recording, domain, label, split, digest. quarantine: the same and object, rule and
    sentence, one line per row and failed rule. deduplicated: row, sample_id, split, digest, kept_row, kept_sample_id.
    """

    rows_in: int
    kept: Any
    quarantine: Any
    quarantined: int
    released: int
    deduplicated: Any
    rule_counts: dict[str, int]
    figures: dict[str, float]
    refusals: tuple[str, ...]
    times: npt.NDArray[np.float64]
    kept_digests: dict[str, str]
    strata: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def kept_digest(self) -> str:
        """Digest of all that is kept: which samples with which labels in which split."""
        return digest_value(self.kept_digests)

    @property
    def kept_rows(self) -> npt.NDArray[np.int64]:
        """Row numbers for `data.load_split`."""
        return np.asarray(self.kept.column("row").to_numpy(), dtype=np.int64)

    def summary(self) -> dict[str, Any]:
        """The figures as a JSON document."""
        return {
            "version": VERSION,
            "rows_in": self.rows_in,
            "kept": self.kept.num_rows,
            "quarantined": self.quarantined,
            "released": self.released,
            "deduplicated": self.deduplicated.num_rows,
            "rule_counts": self.rule_counts,
            "figures": self.figures,
            "refusals": list(self.refusals),
            "kept_digests": self.kept_digests,
            "kept_digest": self.kept_digest,
            **({"strata": self.strata} if self.strata else {}),
        }

    def write(self, folder: Path) -> None:
        """Write kept.parquet, quarantine.parquet, deduplicated.parquet and, last, validation.json: repeatable bytes."""
        for name in ("kept", "quarantine", "deduplicated"):
            sink = io.BytesIO()
            pq.write_table(getattr(self, name), sink, compression="zstd", store_schema=False)
            write_bytes(folder / f"{name}.parquet", sink.getvalue())
        write_json(folder / "validation.json", self.summary())


def read_kept_rows(folder: Path) -> npt.NDArray[np.int64]:
    """Row numbers that a written validation kept; IntegrityError if they cannot be read."""
    try:
        table = pq.ParquetFile(folder / "kept.parquet").read(columns=["row"])
    except (OSError, pa.ArrowException):
        raise IntegrityError(f"{folder / 'kept.parquet'} cannot be read: validate the snapshot again.") from None
    return np.asarray(table.column("row").to_numpy(), dtype=np.int64)
