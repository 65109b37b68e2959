"""The `evernas-pipelines` command: what people and CI ask of a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evernas.errors import EvernasError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Runs of evernas on a KFP cluster.")
ConfigPath = Annotated[Path, typer.Argument(help="The project's YAML config.", show_default=False)]


@app.callback()
def _commands() -> None:
    """Runs of evernas on a KFP cluster."""


@app.command("compile")
def compile_(
    config: ConfigPath,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("pipeline.yaml"),
    manifests: Annotated[
        str | None,
        typer.Option(
            help="Write Kubernetes manifests for GitOps instead, of a pipeline version of this name.",
            show_default=False,
        ),
    ] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the manifests: KFP's.")] = "kubeflow",
) -> None:
    """Compile the pipeline for a cluster, as the config's section `cluster` says."""
    from evernas.config import load_config
    from evernas_pipelines.publishing import compile_manifests, compile_pipeline

    if manifests is None:
        compile_pipeline(load_config(config), out)
    else:
        compile_manifests(load_config(config), out, manifests, namespace)
    typer.echo(f"Written: {out}")


@app.command()
def upload(
    config: ConfigPath,
    version: Annotated[
        str | None,
        typer.Option(
            help="Name of the version, as a commit; triggers.submit.kfp.version if not given.", show_default=False
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address of KFP's API as it is reached from here; triggers.submit.kfp.host if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compile the pipeline and upload it as a version.

    One of this name that is there is kept; another pipeline under a name that is given here is refused.
    """
    from evernas.config import load_config
    from evernas_pipelines.cluster import KfpSubmitter

    typer.echo(KfpSubmitter(load_config(config), host).upload(version, same=version is not None))


@app.command()
def schedule(
    config: ConfigPath,
    upload: Annotated[bool, typer.Option("--upload", help="Upload the pipeline first, and pin that version.")] = False,
) -> None:
    """Create or update the nightly run: pinned version, one at a time, no catch-up. Asking again changes nothing."""
    from evernas.config import load_config
    from evernas_pipelines.cluster import submitter

    cluster = submitter(load_config(config))
    if upload:
        typer.echo(cluster.upload())
    typer.echo(cluster.schedule())


@app.command()
def unschedule(config: ConfigPath) -> None:
    """Take the nightly run away. Asking again changes nothing; runs that work go on."""
    from evernas.config import load_config
    from evernas_pipelines.cluster import submitter

    typer.echo(submitter(load_config(config)).unschedule())


@app.command()
def submit(
    config: ConfigPath,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run; a run of this name that works or has worked is kept.", show_default=False),
    ] = None,
) -> None:
    """Start a run by hand. It ends in its first step if another run of the project works."""
    from datetime import UTC, datetime

    from evernas.config import load_config
    from evernas_pipelines.cluster import submitter

    parsed = load_config(config)
    cluster = submitter(parsed)
    run = name or f"{parsed.project}-manual-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    found = cluster.find(run)
    if found is not None and found.state in ("running", "succeeded"):
        typer.echo(f"The run {run} exists and is {found.state}: {found.handle}.")
        return
    typer.echo(f"The run {run} was submitted: {cluster.submit(run)}.")


def main() -> None:
    """Run the command; an error is a sentence on standard error and the exit code of its kind."""
    try:
        app()
    except EvernasError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
