"""Which steps of a run are done already, by the keys that the steps themselves make; nothing is run or kept."""

from __future__ import annotations

from dataclasses import replace

from evernas.state import Done
from evernas.steps.benchmark import benchmark_inputs
from evernas.steps.context import Setting
from evernas.steps.finalists import finalists_inputs
from evernas.steps.gate import gate_inputs, incomparable
from evernas.steps.ingest import ingest_inputs, known_snapshot
from evernas.steps.probe import probe_inputs
from evernas.steps.profile import profile_inputs
from evernas.steps.refine import refine_inputs
from evernas.steps.search import search_inputs
from evernas.steps.supernet import supernet_inputs
from evernas.steps.validate import validate_inputs, validated_alike

Name = tuple[str, str | None]


def reusable(run: Setting) -> set[Name]:
    """The steps, as (step, device), whose earlier results this run will take.

    A step's key needs the results of those before it: behind the first that has to be made, all have to be, but for a
    profile, which needs only the shapes of the space.
    """
    found: dict[str, Done] = {}
    anew = set[str]()
    snapshot = known_snapshot(run)
    ingested = None if snapshot is None else run.find("ingest", ingest_inputs(snapshot))
    if ingested is not None:
        found["ingest"] = ingested
        inputs = validate_inputs(run, ingested)
        same = run.find("validate", inputs)
        # Where the day counts it is validated anew, and comes to the same rows.
        validated = same or validated_alike(run, inputs)
        if validated is not None:
            found["validate"] = validated
            supernet = run.find("supernet", supernet_inputs(run, validated))
            if supernet is not None:
                found["supernet"] = supernet
        if same is None:
            anew = {"validate"}
    names: set[Name] = {(step, None) for step in found if step not in anew}
    for device in run.config.devices:
        here = replace(run, device_name=device.name)
        names |= {(step, device.name) for step in _branch(here, found.get("validate"), found.get("supernet"))}
    return names


def _branch(device: Setting, validated: Done | None, supernet: Done | None) -> list[str]:
    """The steps of one device's branch that are done."""
    shapes = supernet or _of_the_same_shapes(device)
    profiled = None if shapes is None else device.find("profile", profile_inputs(device, shapes))
    if profiled is None:
        return []
    if validated is None or supernet is None:
        return ["profile"]
    done = ["profile"]
    searched = device.find("search", search_inputs(device, validated, supernet, profiled))
    if searched is None:
        return done
    done.append("search")
    if device.config.search.rounds > 1:
        probed = device.find("probe", probe_inputs(device, profiled, searched))
        if probed is None:
            return done
        done.append("probe")
        searched = device.find("refine", refine_inputs(searched, probed))
        if searched is None:
            return done
        done.append("refine")
    chosen = device.find("finalists", finalists_inputs(device, validated, supernet, searched))
    if chosen is None:
        return done
    done.append("finalists")
    measured = device.find("benchmark", benchmark_inputs(device, chosen))
    if measured is None:
        return done
    done.append("benchmark")
    decided = device.find("gate", gate_inputs(device, validated, chosen, measured))
    return done if decided is None or incomparable(device) is not None else [*done, "gate"]


def _of_the_same_shapes(setting: Setting) -> Done | None:
    """The last supernet, if the next one will give a profile the same subnets to measure."""
    head = setting.manifest.head
    last = None if head is None else setting.store.find(head.supernet)
    if last is None:
        return None
    same = last.inputs["space"] == setting.space.id and last.inputs["profile_subnets"] == setting.config.profile.subnets
    return last if same else None
