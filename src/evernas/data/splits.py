"""Which split a domain, or a recording, belongs to, and that it never changes; nothing here reads data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from evernas.config import SplitConfig
from evernas.errors import UsageError

Split = Literal["train", "search", "gate"]
SPLITS: tuple[Split, ...] = ("gate", "search", "train")
_WHOLE = 2**64


def split_of(name: str | None, config: SplitConfig, joined: Mapping[str, Split] | None = None) -> Split:
    """The split of a domain: gate and search are named in the config, every other domain trains.

    Where the config splits by recording, that of a recording, which is drawn by lot. What was drawn, or joined with one
    of another split, when it was new stays in that: `joined` has it.
    """
    if config.by_recording:
        return "train" if name is None else _of_recording(config.unit_of(name), config, joined or {})
    if name in config.gate_domains:
        return "gate"
    if name in config.search_domains:
        return "search"
    return (joined or {}).get(name or "", "train")


def _of_recording(unit: str, config: SplitConfig, joined: Mapping[str, Split]) -> Split:
    return joined[unit] if unit in joined else drawn(unit, config)


def drawn(unit: str, config: SplitConfig) -> Split:
    """The lot of a recording: of nothing but its name and the seed, so that it is the same whatever else has come."""
    return _lot("evernas split", config.seed, unit, config.shares)


def drawn_domain(domain: str, config: SplitConfig) -> Split:
    """The lot of a domain that is new and that the config does not name: it trains where no rule says otherwise."""
    new = config.new
    return "train" if new is None else _lot("evernas domain", new.seed, domain, (new.gate, new.search))


def _lot(what: str, seed: int, name: str, shares: tuple[float, float]) -> Split:
    text = f"{what}\0{seed}\0{name}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
    gate, search = shares
    if number < gate * _WHOLE:
        return "gate"
    return "search" if number < (gate + search) * _WHOLE else "train"


def rule_of(config: SplitConfig) -> dict[str, Any] | None:
    """By what recordings are drawn, which a snapshot keeps; None where domains are split."""
    if not config.by_recording:
        return None
    gate, search = config.shares
    rule: dict[str, Any] = {"by": config.by, "gate": gate, "search": search, "seed": config.seed}
    return rule if config.group is None else {**rule, "group": config.group}


def refuse_changed_splits(
    assigned: Mapping[str, Split],
    config: SplitConfig,
    joined: Mapping[str, Split] | None = None,
    rule: Mapping[str, Any] | None = None,
) -> None:
    """UsageError if a domain that a snapshot assigned, or a recording by its rule, would now be in another split."""
    if rule != rule_of(config):
        was, now = _told(rule), _told(rule_of(config))
        raise UsageError(
            f"data.splits was {was}, and is now {now}: that would move recordings between splits, but models were "
            "already trained and judged with the old ones: restore it in the config, or start a new project."
        )
    if rule is not None:
        return
    moved = [(domain, old, split_of(domain, config, joined)) for domain, old in sorted(assigned.items())]
    moved = [(domain, old, new) for domain, old, new in moved if old != new]
    if moved:
        listed = ", ".join(f"{domain!r} from {old} to {new}" for domain, old, new in moved)
        raise UsageError(
            f"data.splits would move the domain {listed}, but models were already trained and judged with the old "
            "splits: restore them in the config, or start a new project."
        )


def _told(rule: Mapping[str, Any] | None) -> str:
    return "by domain" if rule is None else ", ".join(f"{name} {value}" for name, value in rule.items())
