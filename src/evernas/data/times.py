"""The time of a recording, as somebody else wrote it: seconds since 1970, or why it is none; no files here."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# The first second of the year 2200: milliseconds since 1970 lie beyond it.
LATEST_S = 7_258_118_400.0
PAST = "The time is before 1970, or negative: mend the clock that wrote it."
ABSURD = "The time is after the year 2199: write seconds since 1970, and not milliseconds."
UNREADABLE = "The time is no number of seconds since 1970, and no date as ISO 8601 writes it: write one of them."
# What stands for nothing in what databases and table programs write.
_NONE = ("", "null", "none", "nat", "nan", "na", "n/a")
# Seconds of so few digits would be of the first hours, and of the first years, after 1970.
_YEAR = re.compile(r"[0-9]{4}(\.0)?")
_DAY = re.compile(r"[0-9]{8}")
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def is_time(kind: Any) -> bool:
    """Whether a column of this Arrow type can be the time of a recording."""
    return bool(
        pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    )


def seconds(column: Any) -> Any:
    """An Arrow column as seconds since 1970 (float64); null, and NaN, for no time. What has no zone is UTC."""
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_timestamp(kind):
        numbers = pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), _PER_SECOND[kind.unit])
    else:
        # A float cannot hold each large integer, which is absurd as a time anyhow.
        numbers = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.fill_null(pc.is_nan(numbers), False), pa.scalar(None, pa.float64()), numbers)


def faults(times: Any) -> Any:
    """Why each of these seconds (Arrow) cannot be the time of a recording, as texts (Arrow).

    Null where it can, or there is none; None where all can.
    """
    past, late = pc.less(times, 0.0), pc.greater_equal(times, LATEST_S)
    if not (pc.any(past).as_py() or pc.any(late).as_py()):
        return None
    nothing = pa.scalar(None, pa.string())
    return pc.if_else(pc.fill_null(past, False), PAST, pc.if_else(pc.fill_null(late, False), ABSURD, nothing))


def parsed(value: object) -> float | None:
    """Seconds since 1970 of a number, or of a text that is a number or a date as ISO 8601 writes it; None for no time.

    ValueError, with a sentence, for anything else.
    """
    if value is None or (isinstance(value, str) and value.strip().casefold() in _NONE):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(UNREADABLE)
    found = _of_text(value) if isinstance(value, str) else _of_number(value)
    return None if math.isnan(found) else found


def _of_number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        # A number all the same, and beyond all times.
        return math.inf if value > 0 else -math.inf


def _of_text(text: str) -> float:
    """Eight digits are a date, and four a year, which is too coarse to be a time; other numbers are seconds."""
    text = text.strip()
    if _YEAR.fullmatch(text):
        raise ValueError(UNREADABLE)
    if not _DAY.fullmatch(text):
        try:
            return float(text)
        except ValueError:
            pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(UNREADABLE) from None
