"""The rounds of a device's search: which step ends them, and what foresaw the costs of the front that they found."""

from __future__ import annotations

from typing import Any

from evernas.state import Done, StepStore

PROBES = "probes"
"""The folder in which a search leaves networks for the device to measure."""
OF_SECOND = ("searched", "probe")
"""What the key of a second round holds beside all that the first one's does."""


def of_first(searched: Done) -> dict[str, Any]:
    """The inputs of a search's first round."""
    return {name: value for name, value in searched.inputs.items() if name not in OF_SECOND}


def foreseen_by(store: StepStore, searched: Done) -> Done:
    """The profile or the probe whose predictors gave the costs of a search's front."""
    return store.get(foreseeing(searched))


def foreseeing(searched: Done) -> str:
    """The reference of that profile or probe."""
    found: str = searched.inputs.get("probe", searched.inputs["profile"])
    return found


def residual_of(fitted: Done, cost: str) -> float:
    """The spread of the own errors of a cost's predictor, of a profile or a probe."""
    facts = fitted.facts
    of_profile = {"latency_ms": facts, **facts.get("more", {})}
    return float({**of_profile, **facts.get("predictors", {})}[cost]["residual"])


def drift_of(fitted: Done, cost: str) -> float:
    """By how many times a probe raised what the profile's predictor says, for today's speed; 1 of a profile."""
    return float(fitted.facts.get("costs", {}).get(cost, {}).get("drift", 1.0))
