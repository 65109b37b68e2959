"""The loop as a KFP pipeline, devices unrolled when it is compiled."""

import json

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from evernas.config import Config, DeviceConfig
from evernas_components import device as on_device
from evernas_components import shared
from evernas_components.images import RUNNERS

NOTHING_NEW = "nothing-new"


def pipeline_name(config: Config) -> str:
    """The pipeline's name in KFP, prefixed by the project."""
    return f"{config.project}-evernas"


def build_pipeline(config: Config) -> GraphComponent:
    """The pipeline of a config: ingest, and if anything is new, all that follows from it.

    Devices are a Python loop, not a ParallelFor: per-item images, selectors and tolerations do not compile into one.
    KFP's own cache is off on every step: a step knows by its key whether it is done.
    `home` is the state's address. It is a parameter, since all steps of a run have the same one and KFP then shows it;
    what belongs to a pod, such as its scratch folder, comes from the pod's environment.
    """
    branches = {device.name: _build_branch(device) for device in config.devices}

    @dsl.pipeline(name=pipeline_name(config), description="Ingest, validate, train, search, measure, gate, promote.")
    def loop(home: str, run: str, config: str = json.dumps(config.model_dump(mode="json"), sort_keys=True)) -> None:
        execution = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        ingested = _uncached(shared.ingest(home=home, run=run, config=config, execution=execution), "ingest")
        with dsl.If(ingested.output != NOTHING_NEW, name="new"):
            validated = _uncached(shared.validate(home=home, run=run, ingested=ingested.output), "validate")
            trained = _uncached(shared.supernet(home=home, run=run, validated=validated.output), "supernet")
            decisions = [
                branch(home=home, run=run, validated=validated.output, trained=trained.output)
                .set_display_name(name)
                .output
                for name, branch in branches.items()
            ]
            reported = shared.report(
                home=home,
                run=run,
                ingested=ingested.output,
                validated=validated.output,
                trained=trained.output,
                decisions=decisions,
            )
            _uncached(reported, "report")

    return loop


def _build_branch(config: DeviceConfig) -> GraphComponent:
    """One device's branch as a pipeline of its own; its output is the decision of whichever of promote and hold ran."""
    name, runner = config.name, RUNNERS[config.runtime]

    @dsl.pipeline(name=f"device-{name}")
    def branch(home: str, run: str, validated: str, trained: str) -> str:
        common = {"home": home, "run": run, "device": name}
        profiled = _uncached(on_device.profile(trained=trained, **common), f"profile {name}")
        profiled.set_container_image(runner)
        searched = _uncached(
            on_device.search(validated=validated, trained=trained, profiled=profiled.output, **common), f"search {name}"
        )
        chosen = _uncached(
            on_device.finalists(validated=validated, trained=trained, searched=searched.output, **common),
            f"finalists {name}",
        )
        measured = _uncached(on_device.benchmark(finalists=chosen.output, **common), f"benchmark {name}")
        measured.set_container_image(runner)
        verdict = _uncached(
            on_device.gate(validated=validated, finalists=chosen.output, benchmarked=measured.output, **common),
            f"gate {name}",
        )
        with dsl.If(verdict.output == "promote", name="promote"):
            promoted = _uncached(on_device.promote(finalists=chosen.output, **common), f"promote {name}")
        with dsl.Else(name="hold"):
            held = _uncached(on_device.hold(**common), f"hold {name}")
        return dsl.OneOf(promoted.output, held.output)

    return branch


def _uncached(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
    return task.set_caching_options(False).set_display_name(name)
