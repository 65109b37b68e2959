"""Deciding on what a run has handed over: the gate, promotion and the report, apart from the run that asks for it.

The same steps as in a run that decides itself, in one process that holds what no pod of a run is given: the signing
key, the promoter's MLflow user, and the keys to `gate/` and `registry/`. What the run says is believed as far as it can
be checked: by which config it was made, who holds the project's lease, and the digest of every byte that is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from evernas.config import Config
from evernas.errors import OwnershipError, UsageError
from evernas.state import Home, RunManifest
from evernas.state.opening import opened
from evernas.state.runs import config_digest, result_path
from evernas.state.sharing import fetched
from evernas.steps import launch
from evernas.steps.handover import HandOver, forget, handed_over
from evernas.triggers.lease import leases_of


def decide(config: Config, run: str) -> dict[str, str]:
    """Decide on what a run has handed over; by device, the reference of what was decided.

    Begun again after a kill or a failure it goes on; empty if it was decided before, and only waits to be taken away.
    UsageError if nothing of it waits, or it was made under another config than this; OwnershipError if another run has
    the project by now: then it is void, and stays for the receiver to see that it was not decided. A step that fails
    ends the process.
    """
    address = state_address(config)
    with opened(address) as place:
        made, manifest = _taken_up(place, config, run)
        if _is_decided(place, config, run):
            forget(place, config.project, run)
            return {}
    step = partial(launch, home=address, run=run, taken=manifest)
    decided = {device.name: _decided(step, device.name, made) for device in config.devices}
    step(
        "report",
        ingested=made.ingested,
        validated=made.validated,
        trained=made.trained,
        decisions=list(decided.values()),
    )
    with opened(address) as place:
        forget(place, config.project, run)
    return decided


def state_address(config: Config) -> str:
    """Where the state of a cluster's runs lies; UsageError if the config does not say."""
    kfp = None if config.triggers is None else config.triggers.submit.kfp
    if kfp is None:
        raise UsageError("triggers.submit.kfp is missing from the config: its `home` says where the runs' state lies.")
    return kfp.home


def _taken_up(place: Home, config: Config, run: str) -> tuple[HandOver, RunManifest]:
    """What the run has handed over, and its manifest with our own config in it: the run may write both anew."""
    made = handed_over(place, config.project, run)
    manifest = RunManifest.read(place, run)
    if manifest.config_digest != config_digest(config.model_dump(mode="json")):
        raise UsageError(
            f"Run {run} was made under another config than this one, by which it would be decided: run again, so that "
            "both are the same."
        )
    return made, replace(manifest, config=config)


def _is_decided(place: Home, config: Config, run: str) -> bool:
    """Whether the run's report was the end of it. OwnershipError if it has no claim, and not because of that."""
    try:
        leases_of(place, config.project).join(run)
    except OwnershipError:
        if not fetched(place, result_path(place, run)).exists():
            raise
        return True
    return False


def _decided(step: Callable[..., str], device: str, made: HandOver) -> str:
    finalists = made.finalists[device]
    outcome = step(
        "gate",
        device=device,
        validated=made.validated,
        finalists=finalists,
        benchmarked=made.measured[device],
    )
    if outcome == "promote":
        return step("promote", device=device, finalists=finalists)
    return step("hold", device=device)
