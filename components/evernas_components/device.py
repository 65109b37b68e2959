"""Steps of one device's branch: profile, search, probe, refine, finalists, benchmark, and the decision."""

from kfp import dsl

from evernas_components.images import CORE, RUNNER, TRAIN


@dsl.component(base_image=RUNNER, install_kfp_package=False)
def profile(home: str, run: str, device: str, trained: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Measure a few subnets on the device and fit its latency predictor."""
    from evernas.steps import launch

    return launch("profile", home=home, run=run, device=device, trained=trained, told=told.path)


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def search(
    home: str, run: str, device: str, validated: str, trained: str, profiled: str, told: dsl.Output[dsl.Markdown]
) -> str:
    """Search the Pareto front with the supernet's weights and the device's predictor."""
    from evernas.steps import launch

    return launch(
        "search",
        home=home,
        run=run,
        device=device,
        validated=validated,
        trained=trained,
        profiled=profiled,
        told=told.path,
    )


@dsl.component(base_image=RUNNER, install_kfp_package=False)
def probe(
    home: str, run: str, device: str, trained: str, profiled: str, searched: str, told: dsl.Output[dsl.Markdown]
) -> str:
    """Measure the front's least certain architectures on the device and fit its predictors anew."""
    from evernas.steps import launch

    return launch(
        "probe",
        home=home,
        run=run,
        device=device,
        trained=trained,
        profiled=profiled,
        searched=searched,
        told=told.path,
    )


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def refine(
    home: str,
    run: str,
    device: str,
    validated: str,
    trained: str,
    searched: str,
    probed: str,
    told: dsl.Output[dsl.Markdown],
) -> str:
    """Find the front anew by the new predictors; search on where the old ones were wrong."""
    from evernas.steps import launch

    return launch(
        "refine",
        home=home,
        run=run,
        device=device,
        validated=validated,
        trained=trained,
        searched=searched,
        probed=probed,
        told=told.path,
    )


@dsl.component(base_image=TRAIN, install_kfp_package=False)
def finalists(
    home: str, run: str, device: str, validated: str, trained: str, searched: str, told: dsl.Output[dsl.Markdown]
) -> str:
    """Fine-tune a few architectures of the front and export them as bundles."""
    from evernas.steps import launch

    return launch(
        "finalists",
        home=home,
        run=run,
        device=device,
        validated=validated,
        trained=trained,
        searched=searched,
        told=told.path,
    )


@dsl.component(base_image=RUNNER, install_kfp_package=False)
def benchmark(home: str, run: str, device: str, finalists: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Measure the finalists and the champion on the device, interleaved."""
    from evernas.steps import launch

    return launch("benchmark", home=home, run=run, device=device, finalists=finalists, told=told.path)


@dsl.component(base_image=CORE, install_kfp_package=False)
def gate(
    home: str, run: str, device: str, validated: str, finalists: str, benchmarked: str, told: dsl.Output[dsl.Markdown]
) -> str:
    """Decide on one candidate; returns `promote` or `hold`."""
    from evernas.steps import launch

    return launch(
        "gate",
        home=home,
        run=run,
        device=device,
        validated=validated,
        finalists=finalists,
        benchmarked=benchmarked,
        told=told.path,
    )


@dsl.component(base_image=CORE, install_kfp_package=False)
def promote(home: str, run: str, device: str, finalists: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Make the candidate the champion; returns the decision's reference."""
    from evernas.steps import launch

    return launch("promote", home=home, run=run, device=device, finalists=finalists, told=told.path)


@dsl.component(base_image=CORE, install_kfp_package=False)
def hold(home: str, run: str, device: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Keep the champion and say why; returns the decision's reference."""
    from evernas.steps import launch

    return launch("hold", home=home, run=run, device=device, told=told.path)


@dsl.component(base_image=RUNNER, install_kfp_package=False)
def recheck(home: str, run: str, device: str, told: dsl.Output[dsl.Markdown]) -> str:
    """Measure the champion again where that is long ago; returns the reference of what was found."""
    from evernas.steps import launch

    return launch("recheck", home=home, run=run, device=device, told=told.path)
