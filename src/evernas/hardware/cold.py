"""Cold start: from the start of a process to its first answer, in parts, over several fresh processes; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evernas.hardware.spread import Spread

PARTS = ("interpreter_ms", "import_ms", "load_ms", "first_ms")


@dataclass(frozen=True)
class ColdStart:
    """Milliseconds, each over the same processes: `total_ms` is the sum of the parts in each process.

    `interpreter_ms` is the start of Python, `import_ms` that of numpy and the runtime, `load_ms` reading the file,
    checking its digest and making a session, `first_ms` the first inference. The files lie in the system's page cache.
    """

    total_ms: Spread
    interpreter_ms: Spread
    import_ms: Spread
    load_ms: Spread
    first_ms: Spread

    @classmethod
    def of(cls, starts: Sequence[Mapping[str, float]]) -> ColdStart:
        """From each process's parts, in ms."""
        parts = {name: Spread.of([start[name] for start in starts]) for name in PARTS}
        return cls(Spread.of([sum(start[name] for name in PARTS) for start in starts]), **parts)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ColdStart:
        """The inverse of dataclasses.asdict."""
        return cls(**{name: Spread.from_json(value[name]) for name in ("total_ms", *PARTS)})
