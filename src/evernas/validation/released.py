"""Which row of which content a release is of; where releases are kept is said elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.digest import digest_value


def row_key(row: Mapping[str, Any]) -> str:
    """The key of a row of the row table, or of the quarantine: its sample's id, domain, label and payload digest.

    A row that is delivered again with another label or payload is another row.
    """
    return digest_value([row[name] or "" for name in ("sample_id", "domain", "label", "digest")])
