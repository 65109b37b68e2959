"""What all looks at one champion came to, and its form on disk, which has no name but those of domains.

Domains have numbers, in the order of appearance, and go by them everywhere but in one table: so a name can be taken out
of it. Neither files nor predictions are named: they are known by digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evernas.monitor.judging import LATENCY, QUALITY, Tests, add
from evernas.monitor.units import Units

MEMORY_VERSION = 2
# Champions whose answers are told, this one's first; a log that names more is no log of champions.
BUNDLES = 1_000
OURS = 0


@dataclass
class Memory:
    """Counts by test, domains by number, incidents by test. Of other champions, what they answered.

    `files` were there at the last look and have no more to say. `latency_ms` is the limit that answers were held to.
    """

    bundle: str
    counts: Tests = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)
    incidents: dict[str, str] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    bundles: list[str] = field(default_factory=list)
    latency_ms: float | None = None
    ours: Units = field(default_factory=Units)
    others: Units = field(default_factory=Units)

    def __post_init__(self) -> None:
        self.bundles = self.bundles or [self.bundle]

    def count(self, tests: Tests) -> None:
        """Add counts, in which domains stand as numbers."""
        self.counts = add(self.counts, tests)

    def hold_to(self, latency_ms: float | None) -> bool:
        """Hold answers to a limit on latency from here on; whether there were counts by another, which are gone."""
        if self.latency_ms == latency_ms:
            return False
        self.latency_ms = latency_ms
        return self.counts.pop(LATENCY, None) is not None

    def number_of(self, domain: str) -> int:
        """The number of a domain, from 1."""
        return self.domains.setdefault(domain, len(self.domains) + 1)

    def place_of(self, bundle: str) -> int | None:
        """By which number a bundle's predictions are known, OURS for the champion's; None for one too many."""
        if bundle not in self.bundles:
            if len(self.bundles) >= BUNDLES:
                return None
            self.bundles.append(bundle)
        return self.bundles.index(bundle)

    def tests(self) -> Tests:
        """All counts, domains by their names."""
        named = {number: name for name, number in _numbered(self.domains).items()}
        return {named.get(test, test): counts for test, counts in self.counts.items()}

    def kept_name(self, test: str) -> str:
        """The name of a test with the domain's number for its name."""
        return _numbered(self.domains).get(test, test)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        told = {"files": sorted(self.files), "ours": self.ours.to_json(), "others": self.others.to_json()}
        return {"version": MEMORY_VERSION, **vars(self), **told}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Memory:
        """What `to_json` gave; of version 1, what was told.

        That did not know which predictions its counts were of: they are counted anew, from the files that are there.
        """
        fields = {name: value for name, value in document.items() if name != "version"}
        if document["version"] == 1:
            return cls(fields["bundle"], domains=fields["domains"], incidents=_told_before(fields))
        units = {name: Units.from_json(fields[name]) for name in ("ours", "others")}
        counts = {test: (int(of), float(total)) for test, (of, total) in fields["counts"].items()}
        return cls(**{**fields, **units, "counts": counts, "files": frozenset(fields["files"])})


def _told_before(fields: Mapping[str, Any]) -> dict[str, str]:
    """The incidents of version 1, but not of domains that were erased from its table and not from here."""
    numbered = _numbered(fields["domains"])
    told = {test: said for test, said in fields["incidents"].items() if not test.startswith(f"{QUALITY}:")}
    return told | {numbered[test]: said for test, said in fields["incidents"].items() if test in numbered}


def _numbered(domains: Mapping[str, int]) -> dict[str, str]:
    """The tests of single domains, by the name and by the number."""
    return {f"{QUALITY}:{name}": f"{QUALITY}:{number}" for name, number in domains.items()}
