"""What has happened to a project as CloudEvents 1.0 (https://cloudevents.io), whose ids are the same each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evernas.config_outbox import TYPE_PREFIX
from evernas.registry.entries import Entry
from evernas.state.notices import Notice

KINDS = {
    "promotion": "champion.promoted",
    "rollback": "champion.rolled-back",
    "import": "champion.imported",
    "anchor": "champion.anchored",
}


@dataclass(frozen=True)
class Happening:
    """An event that is to be told, and when it was."""

    id: str
    type: str
    subject: str
    at: str
    data: dict[str, Any]

    def document(self, project: str) -> dict[str, Any]:
        """The CloudEvent, in its structured form."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": source_of(project),
            "type": f"{TYPE_PREFIX}{self.type}",
            "subject": self.subject,
            "time": self.at,
            "datacontenttype": "application/json",
            "data": {"project": project, **self.data},
        }


def source_of(project: str) -> str:
    """What says of an event that it is a project's own."""
    return f"/evernas/{project}"


def of_entry(project: str, entry: Entry) -> Happening:
    """What an entry of the journal tells."""
    data = {
        "device": entry.device,
        "number": entry.number,
        "bundle": entry.bundle,
        "model": entry.model,
        "run": entry.run,
        "stands": entry.stands,
        "previous": entry.previous,
        "reason": entry.reason,
        "verdict": entry.verdict or None,
    }
    return Happening(
        f"{project}/{entry.device}/{entry.number}", KINDS[entry.kind], entry.device, entry.promoted_at, data
    )


def of_notice(project: str, notice: Notice) -> Happening:
    """What a notice tells."""
    data = {"sentence": notice.sentence, **notice.about}
    return Happening(f"{project}/notice/{notice.id}", notice.kind, notice.subject, notice.at, data)
