"""The loop as a KFP pipeline, devices unrolled when it is compiled."""

import copy
import dataclasses
import json
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.graph_component import GraphComponent
from kfp.dsl.pipeline_channel import PipelineChannel

from evernas.config import Config, DeviceConfig, document_of_run
from evernas.state.runs import NOTHING_NEW
from evernas_components import device as on_device
from evernas_components import shared
from evernas_components.images import RUNNERS

RECHECK = "recheck"


class Placing(Protocol):
    """Says of a step's task where it runs, and of a run what holds for all of it, on a cluster."""

    @property
    def root(self) -> str: ...
    @property
    def whole(self) -> dsl.PipelineConfig: ...
    def place(self, task: dsl.PipelineTask, step: str, device: str | None) -> None: ...


def pipeline_name(config: Config) -> str:
    """The pipeline's name in KFP, prefixed by the project."""
    return f"{config.project}-evernas"


def build_pipeline(config: Config, placing: Placing | None = None) -> GraphComponent:
    """The pipeline of a config: ingest, and if anything is new, all that follows; else champions are looked at again.

    Devices are a Python loop, not a ParallelFor: per-item images, selectors and tolerations do not compile into one.
    KFP's own cache is off on every step: a step knows by its key whether it is done.
    `home` is the state's address. It is a parameter, since all steps of a run have the same one and KFP then shows it;
    what belongs to a pod, such as its scratch folder, comes from the pod's environment.

    `placing` is for a cluster: it places each step; the run ends by handing over to whoever decides, apart from it and
    with keys that it never sees; and a last step tells of a run that failed. On this machine the same steps
    are the pipeline's own, and whoever started the run sees it fail.
    """
    steps = _Steps(placing)
    branches = {device.name: _build_branch(device, steps, config.search.rounds) for device in config.devices}
    rechecks = [partial(_recheck, device, steps) for device in config.devices]
    project = config.project

    @dsl.pipeline(
        name=pipeline_name(config),
        description="Ingest, validate, train, search, measure, gate, promote.",
        pipeline_root=None if placing is None else placing.root,
        pipeline_config=None if placing is None else placing.whole,
    )
    def loop(home: str, run: str, config: str = json.dumps(document_of_run(config), sort_keys=True)) -> None:
        with steps.telling_of_its_end(home, run, project):
            execution = dsl.PIPELINE_JOB_ID_PLACEHOLDER
            ingested = steps.step(shared.ingest(home=home, run=run, config=config, execution=execution), "ingest")
            with dsl.If(_given(ingested) != NOTHING_NEW, name="work"):
                with dsl.If(_given(ingested) == RECHECK, name="recheck"):
                    rechecked = [_given(recheck(home=home, run=run)) for recheck in rechecks]
                    steps.step(shared.conclude(home=home, run=run, rechecked=rechecked), "conclude")
                with dsl.Else(name="new"):
                    validated = steps.step(shared.validate(home=home, run=run, ingested=_given(ingested)), "validate")
                    trained = steps.step(shared.supernet(home=home, run=run, validated=_given(validated)), "supernet")
                    devices = [
                        branch(home=home, run=run, validated=_given(validated), trained=_given(trained))
                        .set_display_name(name)
                        .output
                        for name, branch in branches.items()
                    ]
                    made = {"ingested": _given(ingested), "validated": _given(validated), "trained": _given(trained)}
                    if steps.decides:
                        steps.step(shared.report(home=home, run=run, decisions=devices, **made), "report")
                    else:
                        steps.step(shared.handover(home=home, run=run, measured=devices, **made), "handover")

    return loop


def _recheck(config: DeviceConfig, steps: "_Steps", home: str, run: str) -> dsl.PipelineTask:
    """The champion of a device measured again, in the image of its runtime."""
    component = steps.of_device(on_device.recheck, config.name)
    task = component(home=home, run=run, device=config.name).set_container_image(RUNNERS[config.runtime])
    return steps.step(task, "recheck", config.name)


def _build_branch(config: DeviceConfig, steps: "_Steps", rounds: int) -> GraphComponent:
    """One device's branch as a pipeline of its own; its output is the decision of whichever of promote and hold ran.

    Where the run decides nothing it is the reference of what was measured. The number of rounds that it searches is
    fixed here: a step of the second ends at once where the first was right.
    """
    name, runner = config.name, RUNNERS[config.runtime]
    profile, search, probe, refine, finalists, benchmark = (
        steps.of_device(component, name)
        for component in (
            on_device.profile,
            on_device.search,
            on_device.probe,
            on_device.refine,
            on_device.finalists,
            on_device.benchmark,
        )
    )

    @dsl.pipeline(name=f"device-{name}")
    def branch(home: str, run: str, validated: str, trained: str) -> str:
        common = {"home": home, "run": run, "device": name}
        profiled = steps.step(profile(trained=trained, **common).set_container_image(runner), "profile", name)
        searched = steps.step(
            search(validated=validated, trained=trained, profiled=_given(profiled), **common), "search", name
        )
        if rounds > 1:
            first = {"trained": trained, "searched": _given(searched), **common}
            probed = steps.step(probe(profiled=_given(profiled), **first).set_container_image(runner), "probe", name)
            searched = steps.step(refine(validated=validated, probed=_given(probed), **first), "refine", name)
        chosen = steps.step(
            finalists(validated=validated, trained=trained, searched=_given(searched), **common), "finalists", name
        )
        measured = steps.step(
            benchmark(finalists=_given(chosen), **common).set_container_image(runner), "benchmark", name
        )
        if not steps.decides:
            return _given(measured)
        judged = on_device.gate(validated=validated, finalists=_given(chosen), benchmarked=_given(measured), **common)
        verdict = steps.step(judged, "gate", name)
        with dsl.If(_given(verdict) == "promote", name="promote"):
            promoted = steps.step(on_device.promote(finalists=_given(chosen), **common), "promote", name)
        with dsl.Else(name="hold"):
            held = steps.step(on_device.hold(**common), "hold", name)
        return dsl.OneOf(_given(promoted), _given(held))

    return branch


class _Steps:
    """What is said of every step's task."""

    def __init__(self, placing: Placing | None) -> None:
        self._placing = placing

    @property
    def decides(self) -> bool:
        """Whether the run itself decides; on a cluster somebody else does, with keys that no pod of a run is given."""
        return self._placing is None

    def of_device(self, component: BaseComponent, device: str) -> BaseComponent:
        """A step's component in one device's branch.

        On a cluster under a name of its own: KFP's compiler (2.17) tells the steps of two branches apart by number, and
        gives to all of one name the nodes, secrets and times of the last.
        """
        if self._placing is None:
            return component
        named = copy.copy(component)
        named.component_spec = dataclasses.replace(component.component_spec, name=f"{component.name}-{device}")
        return named

    def step(self, task: dsl.PipelineTask, step: str, device: str | None = None) -> dsl.PipelineTask:
        task.set_caching_options(False).set_display_name(step if device is None else f"{step} {device}")
        if self._placing is not None:
            self._placing.place(task, step, device)
        return task

    def telling_of_its_end(self, home: str, run: str, project: str) -> AbstractContextManager[object]:
        """What the whole loop is within: on a cluster, an exit handler."""
        if self._placing is None:
            return nullcontext()
        ended = shared.ended(home=home, run=run, project=project)
        return dsl.ExitHandler(self.step(ended, "ended"), name="loop")


def _given(task: dsl.PipelineTask) -> PipelineChannel:
    """What a step gives to others; beside it, it has the artifacts in which it is shown."""
    return task.outputs["Output"]
