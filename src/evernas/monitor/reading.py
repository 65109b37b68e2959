"""Reading what production logged: Parquet files of predictions, and of labels that came later; nothing is judged here.

Rows of one recording are no independent witnesses: what is counted is recordings, each by its mean; without a column
`recording` each row is one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.digest import digest_bytes
from evernas.errors import DataRefusedError
from evernas.monitor.judging import DRIFT, HIGH, LATENCY, LOW, QUALITY, Tests

if TYPE_CHECKING:
    import numpy.typing as npt

ID, BUNDLE, PREDICTED, LABEL = "id", "bundle", "predicted", "label"
DOMAIN, RECORDING, LATENCY_MS = "domain", "recording", "latency_ms"
INPUT = "input_"
Tails = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class LogFile:
    """A file of the log, by its address and its bytes."""

    name: str
    data: bytes

    @property
    def digest(self) -> str:
        return digest_bytes(self.data)


@dataclass
class Log:
    """What was read: the counts of the champion by file, and by bundle how many answers were right of how many."""

    files: dict[str, tuple[str, Tests]] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0
    repeated: int = 0


def read_log(
    files: Sequence[LogFile],
    bundle: str,
    labels: Sequence[str],
    latency_ms: float | None,
    tails: Tails,
) -> Log:
    """The counts of a champion. A file that cannot be read is refused with the reason, and the others are read.

    `tails` has of each input the limits of the training's first and last tenth.
    """
    log, tables = Log(), dict[str, Any]()
    for file in files:
        try:
            tables[file.name] = _table(file)
        except DataRefusedError as error:
            log.refused[file.name] = str(error)
    truth: dict[str, str] = {}
    for table in tables.values():
        truth.update(_labels(table))
    seen: set[str] = set()
    for file in files:
        if file.name in tables and {BUNDLE, PREDICTED} <= set(tables[file.name].column_names):
            tests = _count(tables[file.name], truth, seen, bundle, labels, latency_ms, tails, log)
            log.files[file.name] = (file.digest, tests)
    return log


def _table(file: LogFile) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(file.data))
    except (pa.ArrowException, OSError) as error:
        raise DataRefusedError(f"it is no Parquet file ({str(error).splitlines()[0][:100]})") from None
    names = set(table.column_names)
    if ID not in names or not ({BUNDLE, PREDICTED} <= names or LABEL in names):
        raise DataRefusedError(
            f"it has the columns {', '.join(sorted(names)[:8])}: predictions need {ID}, {BUNDLE} and {PREDICTED}, "
            f"labels need {ID} and {LABEL}"
        )
    return table


def _labels(table: Any) -> Iterable[tuple[str, str]]:
    if LABEL not in table.column_names:
        return
    for name, label in zip(_texts(table, ID), _texts(table, LABEL), strict=True):
        if name is not None and label is not None:
            yield name, label


def _count(
    table: Any,
    truth: Mapping[str, str],
    seen: set[str],
    bundle: str,
    labels: Sequence[str],
    latency_ms: float | None,
    tails: Tails,
    log: Log,
) -> Tests:
    names, bundles, predicted = (_texts(table, column) for column in (ID, BUNDLE, PREDICTED))
    domains, recordings = _texts(table, DOMAIN), _texts(table, RECORDING)
    known, ours, wrong = set(labels), [], np.full(len(names), np.nan)
    for row, (name, of, answer) in enumerate(zip(names, bundles, predicted, strict=True)):
        if name is None or of is None or name in seen:
            log.repeated += name in seen
            continue
        seen.add(name)
        label = truth.get(name)
        # A label that the champion does not know can say nothing of what was promised of those that it does.
        if label is not None and label in known:
            right, total = log.answers.get(of, (0, 0))
            log.answers[of] = (right + (label == answer), total + 1)
        if of != bundle:
            continue
        ours.append(row)
        if label is not None and label in known:
            wrong[row] = float(label != answer)
        else:
            log.unlabelled += 1
    rows = np.array(ours, dtype=np.int64)
    groups = np.array([f"{domains[row]}\0{recordings[row] if recordings[row] is not None else row}" for row in ours])
    tests = _tested(QUALITY, wrong[rows], groups)
    of_rows = np.array([domains[row] or "" for row in ours])
    for domain in sorted({name for name in of_rows.tolist() if name}):
        mine = of_rows == domain
        tests |= _tested(f"{QUALITY}:{domain}", wrong[rows][mine], groups[mine])
    if latency_ms is not None:
        tests |= _tested(LATENCY, _beyond(table, LATENCY_MS, rows, -np.inf, latency_ms), groups)
    for name, (low, high) in tails.items():
        column = f"{INPUT}{name}"
        tests |= _tested(f"{DRIFT}:{name}:{LOW}", _beyond(table, column, rows, low, np.inf), groups)
        tests |= _tested(f"{DRIFT}:{name}:{HIGH}", _beyond(table, column, rows, -np.inf, high), groups)
    return tests


def _beyond(table: Any, column: str, rows: npt.NDArray[np.int64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Of each row 1 where the column lies outside of the limits, else 0; NaN where it has no number."""
    if column not in table.column_names:
        return np.full(len(rows), np.nan)
    values = np.asarray(table.column(column).to_numpy(zero_copy_only=False), dtype=np.float64)[rows]
    found = ((values < low) | (values > high)).astype(np.float64)
    found[~np.isfinite(values)] = np.nan
    return found


def _tested(name: str, values: npt.NDArray[np.float64], groups: npt.NDArray[np.str_]) -> Tests:
    """Units and the sum of their means, of the values that there are; nothing without any."""
    there = np.isfinite(values)
    if not there.any():
        return {}
    _, unit = np.unique(groups[there], return_inverse=True)
    counts = np.bincount(unit)
    return {name: (len(counts), float((np.bincount(unit, weights=values[there]) / counts).sum()))}


def _texts(table: Any, column: str) -> list[str | None]:
    if column not in table.column_names:
        return [None] * int(table.num_rows)
    return [None if value is None else str(value) for value in table.column(column).to_pylist()]
