"""What the gate decided and why, as data and as sentences; nothing is decided here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from evernas.errors import IntegrityError

VERDICT_VERSION = 3
READABLE = (2, VERDICT_VERSION)
"""Version 2 knew no quality metric but error, and did not name it."""


@dataclass(frozen=True)
class Reason:
    """One rule, whether it passed, and the figures: error as a share, ratios and milliseconds as they are."""

    rule: str
    passed: bool
    value: float | None
    bound: float | None
    limit: float | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """A plain document; figures that are not finite become null."""
        return {
            "rule": self.rule,
            "passed": self.passed,
            "value": _finite(self.value),
            "bound": _finite(self.bound),
            "limit": _finite(self.limit),
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Verdict:
    """Promote if every reason passed, else hold. `level` is the chance of a false promotion spent on this decision.

    `resolution` is the half-width of the interval of the error (of its difference to the champion's, if there is one),
    `detectable` the gain in error that would be shown with a chance of 80 %; shares, None where nothing was compared.
    `left` is how many decisions the gate split is good for after this one. `quality` is the metric whose loss is called
    error; None where the split was not read.
    """

    outcome: Literal["promote", "hold"]
    reasons: tuple[Reason, ...]
    decision: int
    level: float
    scope: str
    resolution: float | None = None
    detectable: float | None = None
    left: int | None = None
    quality: str | None = None

    def __post_init__(self) -> None:
        passed = bool(self.reasons) and all(reason.passed for reason in self.reasons)
        if (self.outcome == "promote") != passed:
            raise ValueError(
                f"The outcome is {self.outcome!r}, but the reasons say otherwise: promote means all passed."
            )

    @property
    def failed(self) -> tuple[Reason, ...]:
        """The reasons to hold."""
        return tuple(reason for reason in self.reasons if not reason.passed)

    def sentence(self) -> str:
        """The verdict in one sentence for a person."""
        if self.outcome == "promote":
            last = _inner(self.reasons[-1].sentence).removesuffix(": passed")
            return f"Promote: {last}; all {len(self.reasons)} rules passed."
        first = _inner(self.failed[0].sentence)
        others = len(self.failed) - 1
        more = f" ({others} more {'rule' if others == 1 else 'rules'} failed)" if others else ""
        return f"Hold: {first}{more}."

    def to_json(self) -> dict[str, Any]:
        """A plain document of finite figures, fit for canonical JSON and a signature."""
        return {
            "version": VERDICT_VERSION,
            "outcome": self.outcome,
            "sentence": self.sentence(),
            "scope": self.scope,
            "decision": self.decision,
            "level": self.level,
            "resolution": _finite(self.resolution),
            "detectable": _finite(self.detectable),
            "left": self.left,
            "quality": self.quality,
            "reasons": [reason.to_json() for reason in self.reasons],
        }

    @staticmethod
    def from_json(document: Any) -> Verdict:
        """Read what `to_json` wrote; IntegrityError for anything else, or if outcome and reasons disagree."""
        try:
            if document["version"] not in READABLE:
                raise ValueError(f"its version is {document['version']!r}, and this version reads {VERDICT_VERSION}")
            quality = None if document["version"] == 2 else document["quality"]
            if document["outcome"] not in ("promote", "hold"):
                raise ValueError(f"its outcome is {document['outcome']!r}")
            return Verdict(
                outcome=document["outcome"],
                reasons=tuple(_reason(item) for item in document["reasons"]),
                decision=_whole(document["decision"]),
                level=_number(document["level"]),
                scope=_text(document["scope"]),
                resolution=_optional(document["resolution"]),
                detectable=_optional(document["detectable"]),
                left=None if document["left"] is None else _whole(document["left"]),
                quality=None if quality is None else _text(quality),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"This is no verdict of the gate ({error}): run the gate again.") from None


def _reason(item: Any) -> Reason:
    if type(item["passed"]) is not bool:
        raise ValueError(f"passed is {item['passed']!r}, not true or false")
    return Reason(
        rule=_text(item["rule"]),
        passed=item["passed"],
        value=_optional(item["value"]),
        bound=_optional(item["bound"]),
        limit=_optional(item["limit"]),
        sentence=_text(item["sentence"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _inner(sentence: str) -> str:
    """A sentence as a part of another: without its full stop, and small at its start."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")
