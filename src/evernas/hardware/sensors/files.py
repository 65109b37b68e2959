"""Numbers that the kernel shows in files, or why there is none."""

from __future__ import annotations

from pathlib import Path

from evernas.hardware.energy import SensorError


def text_of(path: Path) -> str:
    """What stands in a file; SensorError if it cannot be read."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise SensorError(
            f"The energy sensor {path} cannot be read ({error.strerror}): give the user that measures the right to."
        ) from None


def whole_number(path: Path, what: str) -> int:
    """The whole number in a file; SensorError if it cannot be read or is no `what`."""
    text = text_of(path)
    if not text.isdigit():
        raise SensorError(f"The energy sensor {path} says {text!r}, which is no {what}.")
    return int(text)
