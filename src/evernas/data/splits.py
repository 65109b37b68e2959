"""Which split a domain belongs to, and that it never changes; nothing here reads data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from evernas.config import SplitConfig
from evernas.errors import UsageError

Split = Literal["train", "search", "gate"]
SPLITS: tuple[Split, ...] = ("gate", "search", "train")


def split_of(domain: str | None, config: SplitConfig, joined: Mapping[str, Split] | None = None) -> Split:
    """The split of a domain: gate and search are named in the config, every other domain trains, unless it was joined
    with one of another split when it was new."""
    if domain in config.gate:
        return "gate"
    if domain in config.search:
        return "search"
    return (joined or {}).get(domain or "", "train")


def refuse_changed_splits(
    assigned: Mapping[str, Split], config: SplitConfig, joined: Mapping[str, Split] | None = None
) -> None:
    """UsageError if a domain that a snapshot already assigned would now belong to another split."""
    moved = [(domain, old, split_of(domain, config, joined)) for domain, old in sorted(assigned.items())]
    moved = [(domain, old, new) for domain, old, new in moved if old != new]
    if moved:
        listed = ", ".join(f"{domain!r} from {old} to {new}" for domain, old, new in moved)
        raise UsageError(
            f"data.splits would move the domain {listed}, but models were already trained and judged with the old "
            "splits: restore them in the config, or start a new project."
        )
