"""The config's `monitor` section: when what production logs is an incident. No part of what a run computes."""

from __future__ import annotations

from pydantic import Field

from evernas.section import Section, Share


class MonitorConfig(Section):
    """How production is held against what the gate promised of a champion."""

    alpha: float = Field(
        0.01,
        gt=0,
        lt=0.5,
        description="Chance of any false incident over the whole life of a champion, however often one looks.",
    )
    max_error: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Largest error in production, as a share; what the gate showed of the champion if not given.",
    )
    max_latency_ms: float | None = Field(
        None,
        gt=0,
        description="Largest median latency in production; the constraint on latency_ms if not given.",
    )
    drift: Share = Field(
        0.15,
        description="How much more of production's inputs than of the training's may lie below the training's first "
        "tenth, or above its last.",
    )
