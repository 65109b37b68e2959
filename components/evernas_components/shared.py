"""Steps that all devices share: data in, supernet out, and the report at the end."""

from kfp import dsl

from evernas_components.images import CORE, TRAIN


@dsl.component(base_image=CORE, install_kfp_package=False)
def ingest(home: str, run: str, config: str, execution: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Take in what is new; returns the snapshot step's reference, `nothing-new`, or `recheck`."""
    from evernas.steps import launch

    return launch("ingest", home=home, run=run, config=config, execution=execution, told=told.path)


@dsl.component(base_image=CORE, install_kfp_package=False)
def validate(home: str, run: str, ingested: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Check the snapshot; quarantine bad rows, refuse bad data."""
    from evernas.steps import launch

    return launch("validate", home=home, run=run, ingested=ingested, told=told.path)


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def supernet(home: str, run: str, validated: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Train the supernet, from the last one where there is one."""
    from evernas.steps import launch

    return launch("supernet", home=home, run=run, validated=validated, told=told.path)


@dsl.component(base_image=CORE, install_kfp_package=False)
def report(
    home: str,
    run: str,
    ingested: str,
    validated: str,
    trained: str,
    decisions: list,
    told: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
) -> str:
    """Write result.json and the report, and leave the head for the next run."""
    from evernas.steps import launch

    return launch(
        "report",
        home=home,
        run=run,
        ingested=ingested,
        validated=validated,
        trained=trained,
        decisions=decisions,
        told=told.path,
        page=page.path,
    )


@dsl.component(base_image=CORE, install_kfp_package=False)
def handover(
    home: str, run: str, ingested: str, validated: str, trained: str, measured: list, told: dsl.Output[dsl.Markdown]
) -> str:
    """Hand over to whoever decides, apart from the run."""
    from evernas.steps import launch

    return launch(
        "handover",
        home=home,
        run=run,
        ingested=ingested,
        validated=validated,
        trained=trained,
        measured=measured,
        told=told.path,
    )


@dsl.component(base_image=CORE, install_kfp_package=False)
def conclude(home: str, run: str, rechecked: list, told: dsl.Output[dsl.Markdown], page: dsl.Output[dsl.HTML]) -> str:
    """Write the result of a run that found nothing new and looked at champions again."""
    from evernas.steps import launch

    return launch("conclude", home=home, run=run, rechecked=rechecked, told=told.path, page=page.path)


@dsl.component(base_image=CORE, install_kfp_package=False)
def ended(home: str, run: str, project: str, status: dsl.PipelineTaskFinalStatus) -> str:
    """Tell of a run that failed; returns the sentence that says what was done."""
    from evernas.loop.ended import ended

    return ended(home=home, run=run, project=project, state=status.state, message=status.error_message or "")
