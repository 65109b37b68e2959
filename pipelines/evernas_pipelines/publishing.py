"""The compiled pipeline: as a file that KFP takes, or as Kubernetes manifests for GitOps; nothing is sent from here."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path

from evernas.config import Config
from evernas.errors import UsageError


def compile_pipeline(config: Config, path: Path) -> None:
    """Write the pipeline's IR, with all that the config's `cluster` section says; always the same bytes."""
    _compile(config, path)


def compile_manifests(config: Config, path: Path, version: str, namespace: str) -> None:
    """Write the resources Pipeline and PipelineVersion, which KFP takes from Kubernetes' API."""
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    from evernas_pipelines.definition import pipeline_name

    name = pipeline_name(config)
    options = KubernetesManifestOptions(
        pipeline_name=name,
        pipeline_version_name=f"{name}-{version}".lower(),
        pipeline_version_display_name=version,
        namespace=namespace,
        include_pipeline_manifest=True,
    )
    _compile(config, path, kubernetes_manifest_format=True, kubernetes_manifest_options=options)


def _compile(config: Config, path: Path, **options: object) -> None:
    if config.cluster is None:
        raise UsageError(
            "The config has no section `cluster`: say where the steps run; examples/watch/cluster.yaml has an example."
        )
    plain = [device.name.replace("_", "-") for device in config.devices]
    if len(set(plain)) != len(plain):
        raise UsageError(
            f"KFP cannot tell the devices {', '.join(d.name for d in config.devices)} apart, since it takes _ for -: "
            "rename one."
        )
    from kfp import compiler

    from evernas_pipelines.definition import build_pipeline
    from evernas_pipelines.placement import Placement

    pipeline = build_pipeline(config, Placement(config.project, config.cluster))
    # The compiler speaks of its own deprecations: what is to be said, we say.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        compiler.Compiler().compile(pipeline, str(path), **options)
