"""An entry of the journal: which bundle became the champion of a device, how, and by whose leave; no reading here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from evernas.errors import IntegrityError
from evernas.state.formats import newer

ENTRY_VERSION = 2
Kind = Literal["promotion", "rollback", "import", "anchor"]
KINDS = ("promotion", "rollback", "import", "anchor")


@dataclass(frozen=True)
class Entry:
    """A decision that made a bundle the champion.

    `stands` is the number of the promotion or import by which the bundle came to be champion: a rollback takes an
    earlier one up again, an anchor leaves it. `previous` is the number of the one that a rollback goes to, 0 if there
    is none: what stood before the bundle that stands, so that two rollbacks go back two champions. `signed` is the
    signed verdict of a promotion; `reason` what a person gave for acting without one.
    """

    number: int
    device: str
    bundle: str
    architecture: dict[str, Any] | None
    run: str
    verdict: str
    model: str
    promoted_at: str
    token: str
    kind: Kind = "promotion"
    stands: int = 0
    previous: int = 0
    reason: str | None = None
    signed: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.stands:
            object.__setattr__(self, "stands", self.number)

    def to_json(self) -> dict[str, Any]:
        """The entry as it is kept."""
        return {"version": ENTRY_VERSION, **asdict(self)}

    def to_bytes(self) -> bytes:
        """The bytes that are kept."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, device: str, number: int) -> Entry:
        """Read what `to_bytes` wrote, or version 1 before it; IntegrityError if it is of another version or damaged."""
        name = f"Journal entry {number} of {device}"
        try:
            document = json.loads(data)
            version = document.pop("version", None)
        except (ValueError, AttributeError, TypeError) as error:
            raise IntegrityError(f"{name} is damaged ({error}): restore the journal from a backup.") from None
        if version == 1:
            # Version 1 knew promotions alone, each after the one before.
            document |= {"kind": "promotion", "stands": number, "previous": number - 1, "reason": None, "signed": None}
        elif isinstance(version, int) and version > ENTRY_VERSION:
            raise newer(name, version, ENTRY_VERSION)
        elif version != ENTRY_VERSION:
            raise IntegrityError(f"{name} was written by another version of evernas: use that version.")
        if set(document) != {field.name for field in fields(cls)} or document["kind"] not in KINDS:
            raise IntegrityError(f"{name} has the keys {', '.join(sorted(document))}, which are not those of an entry.")
        if (document["device"], document["number"]) != (device, number):
            raise IntegrityError(
                f"{name} says that it is entry {document['number']} of {document['device']}: the journal was tampered "
                "with; restore it from a backup."
            )
        return cls(**document)
