"""The section of the config that says how drift is tested and what follows from it."""

from __future__ import annotations

from pydantic import Field

from evernas.section import Section, Share


class DriftConfig(Section):
    """Drift against the data that the champions were trained on, tested over domains, and how much work it makes."""

    decides: bool = Field(
        True, description="Whether it decides how much a run does; else it is only reported, and each run does all."
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="Level at which drift is shown, all its tests together.")
    least_rows: Share = Field(
        0.02, description="New rows, as a share of the old ones, below which a run without drift does nothing."
    )
    search_above: float = Field(
        0.8,
        gt=0.5,
        le=1,
        description="Lower bound of how often a new domain is told from an old one, above which is searched again.",
    )
