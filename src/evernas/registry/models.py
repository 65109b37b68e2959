"""Registered models: a promoted bundle as an MLflow model version, and the aliases that project the journal's head."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.bundle import Bundle, load_bundle
from evernas.digest import short
from evernas.errors import EvernasError, IntegrityError
from evernas.registry.bundles import bundle_folder
from evernas.registry.card import shortened
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.tracking import Tracked, client
from evernas.state.files import read_json
from evernas.state.home import Home

if TYPE_CHECKING:
    from mlflow import MlflowClient

CARD = "card.md"
ALIAS_TRIES = 40
ALIAS_PAUSE_S = 0.02


class NowhereError(IntegrityError):
    """A bundle is neither in the state folder nor in MLflow."""


def model_name(project: str) -> str:
    """The registered model of a project; its devices differ by alias."""
    return f"evernas-{project}"


def contract_of_bundle(bundle: Bundle) -> dict[str, Any]:
    """What MLflow's signature says of a bundle."""
    contract = bundle.contract
    return {
        "input": contract.input_name,
        "output": contract.output_name,
        "shape": contract.shape,
        "dtype": contract.dtype,
        "classes": len(bundle.labels),
    }


def register(
    tracked: Tracked,
    project: str,
    bundle: Path,
    digest: str,
    contract: Mapping[str, Any],
    tags: Mapping[str, str],
    card: str,
) -> str:
    """Make a bundle a model version with its card and lineage tags, once; returns `models:/name/version`."""
    from mlflow.exceptions import MlflowException

    name = model_name(project)
    store = tracked.client
    try:
        store.create_registered_model(
            name, description="Champions of evernas; the journal says which is in production."
        )
    except MlflowException as error:
        # Where MLflow knows users, an administrator has made it, and nobody else makes models.
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED"):
            raise
    known = _find(store, name, digest, tags.get("evernas.run"), tags.get("evernas.device"))
    if known is not None:
        return known
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _save(bundle, contract, folder)
        (folder / CARD).write_text(card, encoding="utf-8")
        store.log_artifacts(tracked.run_id, str(folder), f"model-{digest[:12]}")
    source = f"{store.get_run(tracked.run_id).info.artifact_uri}/model-{digest[:12]}"
    made = store.create_model_version(
        name, source=source, run_id=tracked.run_id, tags={**tags, "evernas.bundle": digest}, description=shortened(card)
    )
    return f"models:/{name}/{made.version}"


def find_version(home: Home, project: str, digest: str, run: str, device: str) -> str | None:
    """The version that a run made of a bundle for a device, as `models:/name/version`; None if there is none."""
    return _find(client(home), model_name(project), digest, run, device)


def run_artifact(home: Home, project: str, run: str, device: str, name: str) -> Any:
    """A JSON file that a run logged beside the version it registered for a device; None if there is no such version."""
    store = client(home)
    for version in store.search_model_versions(f"name = '{model_name(project)}'"):
        if (version.tags.get("evernas.run"), version.tags.get("evernas.device")) == (run, device):
            with tempfile.TemporaryDirectory() as scratch:
                return read_json(Path(store.download_artifacts(version.run_id, name, scratch)))
    return None


def _find(store: MlflowClient, name: str, digest: str, run: str | None, device: str | None) -> str | None:
    wanted = {"evernas.bundle": digest, "evernas.run": run, "evernas.device": device}
    for version in store.search_model_versions(f"name = '{name}' and tags.`evernas.bundle` = '{digest}'"):
        if all(version.tags.get(key) == value for key, value in wanted.items()):
            return f"models:/{name}/{version.version}"
    return None


def fetch(home: Home, project: str, digest: str) -> Path:
    """The folder of a registered bundle, brought from MLflow where it is not in the state folder yet.

    NowhereError if no version carries it, IntegrityError if its bytes are not those that its digest names.
    """
    folder = bundle_folder(home, project, digest)
    if folder.exists():
        return folder
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError:
        raise IntegrityError(
            f"The bundle {short(digest)} is not in {home.bundles(project)}, and there is no MLflow here to bring it "
            "from: restore the state folder, or run a step that has MLflow, such as the gate."
        ) from None

    versions = client(home).search_model_versions(
        f"name = '{model_name(project)}' and tags.`evernas.bundle` = '{digest}'"
    )
    if not versions:
        raise NowhereError(
            f"The bundle {short(digest)} is neither in {home.bundles(project)} nor a version of {model_name(project)} "
            "in MLflow: restore the state folder, or check MLFLOW_TRACKING_URI."
        )
    home.bundles(project).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.bundles(project), prefix=".writing-") as scratch:
        fetched = Path(
            download_artifacts(
                artifact_uri=f"{versions[0].source}/bundle", dst_path=scratch, tracking_uri=home.tracking_uri
            )
        )
        load_bundle(fetched, expected=digest)
        # Another process may have brought it meanwhile.
        with contextlib.suppress(OSError):
            fetched.rename(folder)
    return folder


def _save(bundle: Path, contract: Mapping[str, Any], folder: Path) -> None:
    """An MLflow ONNX model whose signature is the bundle's input contract; the bundle travels inside."""
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(contract["dtype"]), (-1, *contract["shape"]), contract["input"])]),
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


def project_alias(home: Home, project: str, device: str, journal: Journal) -> str | None:
    """Make the aliases say what the journal says: champion and previous of a device. Returns the champion's model.

    MLflow has no compare-and-set for aliases, so an alias is written and read back until it equals the journal's
    head, which is read again each time. Where no champion stood before, there is no alias previous-<device>.
    """
    if journal.head_number(device) == 0:
        return None
    from mlflow.exceptions import MlflowException

    store = client(home)
    name = model_name(project)
    for attempt in range(ALIAS_TRIES):
        head = journal.head(device)
        assert head is not None, "a journal never becomes shorter"
        wanted = {f"champion-{device}": head.model, f"previous-{device}": _previous_model(journal, head)}
        aliases = {alias: str(version) for alias, version in store.get_registered_model(name).aliases.items()}
        wrong = {alias: model for alias, model in wanted.items() if aliases.get(alias) != _version(model)}
        if not wrong and journal.head_number(device) == head.number:
            return head.model
        for alias, model in wrong.items():
            # Two that write an alias at once may both fail in MLflow's database: what is read back next decides.
            with contextlib.suppress(MlflowException):
                if model is None:
                    store.delete_registered_model_alias(name, alias)
                else:
                    store.set_registered_model_alias(name, alias, _version(model))
        # Those who write at the same moment must not do so again at the same moment.
        time.sleep(ALIAS_PAUSE_S * (1 + attempt) * random.random())  # noqa: S311
    raise EvernasError(
        f"The alias champion-{device} of {name} did not become the journal's head in {ALIAS_TRIES} tries: "
        "another program moves it; the journal stands, repair the alias with `evernas champion`."
    )


def _previous_model(journal: Journal, head: Entry) -> str | None:
    return journal.read(head.device, head.previous).model if head.previous else None


def _version(model: str | None) -> str | None:
    return None if model is None else model.rsplit("/", 1)[1]
