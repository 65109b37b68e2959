"""How often exported networks are wrong on the search split under corruptions; no other split is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.config_robustness import KNOWN
from evernas.data import Samples
from evernas.robustness import corrupted
from evernas.steps.context import Setting
from evernas.steps.predictions import BATCH

Answering = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def robustness_of(
    setting: Setting, search: Samples, bundles: Sequence[Bundle], tried: Callable[[int, int], None] = lambda n, of: None
) -> dict[str, dict[str, Any]]:
    """What each of these networks does under the config's corruptions, by its bundle's digest.

    rows: how many rows were corrupted; error: the share of wrong answers on these as they are; corruptions: a name,
    severity, meaning and error each; worst: the name with the largest error. Empty where it is off, or the split is.
    All networks answer the same rows, a batch of them in memory at a time. `tried` is told how many batches of how
    many are done.
    """
    config, kind = setting.config.robustness, setting.config.data.kind
    severities = config.severities(kind)
    if not severities or not bundles or not len(search):
        return {}
    rows = _spread(len(search), config.rows)
    networks = {bundle.digest: _answering(setting, bundle) for bundle in bundles}
    wrong: dict[str, dict[str, int]] = {digest: dict.fromkeys(["", *severities], 0) for digest in networks}
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    for number, batch in enumerate(batches):
        for name, x in _changed(kind, severities, search.x[batch], setting.config.seed):
            for digest, network in networks.items():
                wrong[digest][name] += int((network(x) != search.y[batch]).sum())
        tried(number + 1, len(batches))
    return {digest: _record(kind, severities, found, len(rows)) for digest, found in wrong.items()}


def robust_error(robustness: Mapping[str, Any] | None) -> float | None:
    """The error under the worst corruption; None where nothing was tried."""
    if robustness is None:
        return None
    return max(float(corruption["error"]) for corruption in robustness["corruptions"])


def robust_metrics(robustness: Mapping[str, Any] | None, prefix: str = "") -> dict[str, float | None]:
    """What MLflow is told: robust_error, and the error under each corruption."""
    if robustness is None:
        return {}
    each = {f"{prefix}error_under_{c['name']}": c["error"] for c in robustness["corruptions"]}
    return {f"{prefix}robust_error": robust_error(robustness), **each}


def _spread(count: int, most: int | None) -> npt.NDArray[np.int64]:
    """The numbers of at most so many rows, evenly over all, which lie by domain and recording."""
    if most is None or count <= most:
        return np.arange(count)
    return np.arange(most) * count // most


def _answering(setting: Setting, bundle: Bundle) -> Answering:
    """A network as it ships, from samples as they are delivered to classes; what is no number is no class."""
    from evernas.hardware.runtime import runtime_named

    device = setting.device
    session = runtime_named(device.runtime).load(bundle.model_path.read_bytes(), device.threads)
    taken = bundle.taking()

    def answers(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scores = session.run(np.ascontiguousarray(taken(x)))
        return np.where(np.isfinite(scores).all(1), scores.argmax(1), -1)

    return answers


def _changed(
    kind: str, severities: Mapping[str, float], x: npt.NDArray[np.float32], seed: int
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """The rows as they are, under an empty name, and then under each corruption."""
    yield "", x
    for name, severity in severities.items():
        yield name, corrupted(kind, name, severity, x, seed)


def _record(kind: str, severities: Mapping[str, float], wrong: Mapping[str, int], rows: int) -> dict[str, Any]:
    errors = {name: count / rows for name, count in wrong.items()}
    corruptions = [
        {"name": name, "severity": severity, "meaning": KNOWN[kind][name].meaning, "error": errors[name]}
        for name, severity in severities.items()
    ]
    return {
        "rows": rows,
        "error": errors[""],
        "corruptions": corruptions,
        "worst": max(severities, key=lambda name: errors[name]),
    }
