"""The config's `robustness` section: which corruptions networks are tried under, and how severe each is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from evernas.section import Positive, Section


@dataclass(frozen=True)
class Corruption:
    """A way in which production is worse than the data. `most` is the largest severity that has a meaning."""

    severity: float
    """The default."""
    most: float
    meaning: str
    """What the severity is."""


KNOWN: dict[str, dict[str, Corruption]] = {
    "signal": {
        "dropout": Corruption(0.5, 1.0, "share of the window for which one channel, drawn by row, is lost and reads 0"),
        "noise": Corruption(
            0.3, 10.0, "standard deviation of added noise, in standard deviations of the channel in that window"
        ),
        "gain": Corruption(0.2, 0.95, "share by which all channels read too much or too little"),
        "shift": Corruption(
            0.2, 0.9, "share of the window by which it begins too early or too late; what is missing is mirrored"
        ),
    },
    "image": {
        "blur": Corruption(0.025, 0.5, "standard deviation of the blur, as a share of the shorter side"),
        "noise": Corruption(
            0.1, 1.0, "standard deviation of added noise, as a share of the image's own range from dark to bright"
        ),
        "contrast": Corruption(0.5, 1.0, "share of the contrast that is lost"),
        "brightness": Corruption(
            0.2, 1.0, "share of the image's own range by which it is too bright or too dark; its ends saturate"
        ),
    },
    "text": {
        "typos": Corruption(
            0.05, 1.0, "share of the characters that are doubled, left out, swapped with the next or replaced"
        ),
        "case": Corruption(1.0, 1.0, "share of the words that are written in capitals"),
        "truncation": Corruption(0.5, 0.99, "share of the characters that is cut off at the end"),
    },
}
"""The corruptions of each kind of data."""


class RobustnessConfig(Section):
    """What finalists and champion are tried under, on the search split, beside the data as it is."""

    enabled: bool = Field(
        True,
        description="Whether finalists and the champion also answer the search split's rows as they would be in worse "
        "conditions. It costs each network as many answers as rows times corruptions.",
    )
    rows: Positive | None = Field(
        2000, description="Most rows of the search split that are corrupted, spread evenly over it; null for all."
    )
    corruptions: dict[str, float | None] | None = Field(
        None,
        description="The corruptions and their severities; those that are not named are left out, and null is the "
        "default severity. If not given, all of the data's kind. "
        + " ".join(
            f"{kind.capitalize()}: "
            + "; ".join(f"{name} ({c.severity:g}: {c.meaning})" for name, c in known.items())
            + "."
            for kind, known in KNOWN.items()
        ),
    )

    def severities(self, kind: str) -> dict[str, float]:
        """The severity of each corruption that data of this kind is tried under; nothing where it is off."""
        if not self.enabled:
            return {}
        named = dict.fromkeys(KNOWN[kind]) if self.corruptions is None else self.corruptions
        return {name: KNOWN[kind][name].severity if given is None else given for name, given in named.items()}

    def fault(self, kind: str) -> str | None:
        """A sentence if a corruption is none of this kind of data, or cannot be so severe."""
        known = KNOWN[kind]
        if self.corruptions == {}:
            return "robustness.corruptions names none: leave it out for all of them, or set robustness.enabled to false"
        for name, severity in (self.corruptions or {}).items():
            if name not in known:
                return (
                    f"robustness.corruptions names {name!r}, which is no corruption of the kind {kind}: use "
                    f"{', '.join(known)}"
                )
            if severity is not None and not (math.isfinite(severity) and 0 < severity <= known[name].most):
                return (
                    f"robustness.corruptions.{name} is {severity:g}, the {known[name].meaning}: give a number above 0 "
                    f"and at most {known[name].most:g}"
                )
        return None
