"""How numbers print for a person: units, sensible digits, and 'not measured' for what is missing."""

from __future__ import annotations

import math
import re
from datetime import datetime

MISSING = "not measured"
THIN = "\u202f"
MINUS = "\u2212"
DASH = "\u2013"
TIMES = "\u00d7"


def number(value: object) -> float | None:
    """The value as a finite number; None for whatever is missing, NaN, infinite or no number at all."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        real = float(value)
    except OverflowError:
        return None
    return real if math.isfinite(real) else None


def significant(value: float, digits: int = 3) -> str:
    """The value with so many significant digits, never in scientific notation below a million."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    text = f"{value:,.{max(digits - 1 - size, 0)}f}"
    return text.replace("-", MINUS)


def percent(value: object, digits: int = 1) -> str:
    """A share as per cent."""
    share = number(value)
    return MISSING if share is None else f"{100 * share:.{digits}f}{THIN}%".replace("-", MINUS)


def points(value: object, digits: int = 1) -> str:
    """A difference of shares in percentage points, with its sign."""
    share = number(value)
    if share is None:
        return MISSING
    shown = f"{100 * share:+.{digits}f}".replace("-", MINUS)
    return f"{shown}{THIN}points"


def milliseconds(value: object) -> str:
    """A latency."""
    real = number(value)
    return MISSING if real is None else f"{significant(real)}{THIN}ms"


def kilobytes(value: object) -> str:
    """A size in units of 1000 bytes."""
    real = number(value)
    return MISSING if real is None else f"{significant(real)}{THIN}kB"


def megabytes(value: object) -> str:
    """A size in units of a million bytes."""
    real = number(value)
    return MISSING if real is None else f"{significant(real)}{THIN}MB"


def millijoules(value: object) -> str:
    """An energy."""
    real = number(value)
    return MISSING if real is None else f"{significant(real)}{THIN}mJ"


def count(value: object) -> str:
    """A number of things; from ten digits on with a power of ten."""
    if isinstance(value, str) and value.isdigit():
        value = int(value) if len(value) <= 15 else value
    if isinstance(value, str) and value.isdigit():
        return f"{value[0]}.{value[1:3]}{THIN}{TIMES}{THIN}10{superscript(len(value) - 1)}"
    real = number(value)
    return MISSING if real is None else f"{real:,.0f}".replace("-", MINUS)


def counted(value: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 row, 2 rows, no rows."""
    noun = one if value == 1 else many or f"{one}s"
    return f"{value:,} {noun}" if value else f"no {noun}"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts subject-2 before subject-10."""
    # Python refuses to read numbers of thousands of digits.
    return [
        (0, int(part), "") if part.isdecimal() and len(part) < 20 else (1, 0, part) for part in re.split(r"(\d+)", name)
    ]


def superscript(value: int) -> str:
    """Digits set high."""
    return str(value).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


def thousands(value: object) -> str:
    """Operations or parameters: 12.3 k, 4.56 M."""
    real = number(value)
    if real is None:
        return MISSING
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(float(f"{real:.2e}")) >= limit:
            return f"{significant(real / limit)}{THIN}{unit}"
    return significant(real)


def seconds(value: object) -> str:
    """A span of time: 0.4 s, 12 s, 3 min 12 s, 2 h 5 min."""
    real = number(value)
    if real is None:
        return MISSING
    if real < 10:
        return f"{real:.1f}{THIN}s"
    whole = round(real)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600:,}{THIN}h {whole % 3600 // 60}{THIN}min"


def change(before: object, after: object) -> str:
    """The relative change from one value to another, in words; empty if either is missing."""
    old, new = number(before), number(after)
    if old is None or new is None or old == 0:
        return ""
    relative = (new - old) / abs(old)
    return "unchanged" if new == old else f"{100 * relative:+.1f}{THIN}%".replace("-", MINUS)


def moment(value: str) -> str:
    """A time stamp to the minute; a text that is none stays as it is."""
    try:
        stamp = datetime.fromisoformat(value)
    except ValueError:
        return value
    zone = stamp.strftime("%Z") if stamp.tzinfo else ""
    return f"{stamp.day} {stamp.strftime('%B %Y, %H:%M')} {zone}".strip()


def shortened(digest: str | None, digits: int = 12) -> str:
    """The beginning of a digest; 'none' where there is none."""
    return digest[:digits] if digest else "none"


def singular(noun: str) -> str:
    """One of what an English plural names: people, sites, factories."""
    if noun == "people":
        return "person"
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun.removesuffix("s")
