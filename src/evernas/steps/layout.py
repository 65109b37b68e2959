"""What a supernet keeps of the space that it is of, so that a later run with another one can still read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from evernas.config import ImageConfig, SignalConfig, SpaceConfig, TextConfig
from evernas.errors import UsageError
from evernas.spaces import NetworkSpace
from evernas.state import Done
from evernas.steps.context import Setting, space_for

_SAMPLES: Mapping[str, type[SignalConfig | ImageConfig | TextConfig]] = {
    "signal": SignalConfig,
    "image": ImageConfig,
    "text": TextConfig,
}


def layout_of(context: Setting) -> dict[str, Any]:
    """All that the space is made of, beside the classes."""
    data = context.config.data
    return {
        "kind": context.space.name,
        "sample": data.sample.model_dump(mode="json"),
        "space": context.config.space.model_dump(mode="json"),
    }


def space_before(supernet: Done) -> NetworkSpace | None:
    """The space that a supernet is of; None where it does not tell, as those of older versions."""
    layout = supernet.facts.get("layout", {}).get("of")
    if layout is None:
        return None
    try:
        sample = _SAMPLES[layout["kind"]].model_validate(layout["sample"])
        space = space_for(sample, len(supernet.inputs["labels"]), SpaceConfig.model_validate(layout["space"]))
    except (KeyError, ValidationError, UsageError):
        return None
    # What a config means may have changed with the version.
    return space if space.id == supernet.inputs["space"] else None
