"""Registered models: a promoted bundle as an MLflow model version, and the aliases that project the journal's head."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evernas.errors import EvernasError
from evernas.registry.journal import head, head_number, read
from evernas.registry.tracking import Tracked, client
from evernas.state.home import Home

ALIAS_TRIES = 20


def model_name(project: str) -> str:
    """The registered model of a project; its devices differ by alias."""
    return f"evernas-{project}"


def register(
    tracked: Tracked, project: str, bundle: Path, digest: str, contract: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    """Make a bundle a model version with a signature and lineage tags, once; returns `models:/name/version`."""
    from mlflow.exceptions import MlflowException

    name = model_name(project)
    store = tracked.client
    try:
        store.create_registered_model(
            name, description="Champions of evernas; the journal says which is in production."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in store.search_model_versions(f"name = '{name}'"):
        wanted = {"evernas.bundle": digest, **{key: tags.get(key) for key in ("evernas.run", "evernas.device")}}
        if all(version.tags.get(key) == value for key, value in wanted.items()):
            return f"models:/{name}/{version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(bundle, contract, folder)
        store.log_artifacts(tracked.run_id, str(folder), f"model-{digest[:12]}")
    source = f"{store.get_run(tracked.run_id).info.artifact_uri}/model-{digest[:12]}"
    made = store.create_model_version(
        name, source=source, run_id=tracked.run_id, tags={**tags, "evernas.bundle": digest}
    )
    return f"models:/{name}/{made.version}"


def _save(bundle: Path, contract: Mapping[str, Any], folder: Path) -> None:
    """An MLflow ONNX model whose signature is the bundle's input contract; the bundle travels inside."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *contract["shape"]), contract["input"])]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, contract["classes"]), contract["output"])]),
    )
    mlflow.onnx.save_model(
        onnx.load(str(bundle / "model.onnx")),
        str(folder),
        signature=signature,
        pip_requirements=["onnxruntime"],
        onnx_execution_providers=["CPUExecutionProvider"],
    )
    target = folder / "bundle"
    target.mkdir()
    for file in sorted(bundle.iterdir()):
        (target / file.name).write_bytes(file.read_bytes())


def project_alias(home: Home, project: str, device: str) -> str | None:
    """Make the aliases say what the journal says: champion and previous of a device. Returns the champion's model.

    MLflow has no compare-and-set for aliases, so an alias is written and read back until it equals the journal's
    head, which is read again each time.
    """
    journal = home.journal(project)
    if head(journal, device) is None:
        return None
    store = client(home)
    name = model_name(project)
    for _ in range(ALIAS_TRIES):
        number = head_number(journal, device)
        wanted = {f"champion-{device}": _version(read(journal, device, number).model)}
        if number > 1:
            wanted[f"previous-{device}"] = _version(read(journal, device, number - 1).model)
        aliases = {alias: str(version) for alias, version in store.get_registered_model(name).aliases.items()}
        wrong = {alias: version for alias, version in wanted.items() if aliases.get(alias) != version}
        if not wrong and head_number(journal, device) == number:
            return read(journal, device, number).model
        for alias, version in wrong.items():
            store.set_registered_model_alias(name, alias, version)
        time.sleep(0.05)
    raise EvernasError(
        f"The alias champion-{device} of {name} did not become the journal's head in {ALIAS_TRIES} tries: "
        "another program moves it; the journal stands, repair the alias with `evernas champion`."
    )


def _version(model: str) -> str:
    return model.rsplit("/", 1)[1]
