"""The evidence of a decision as a document: what the gate was shown, so that anybody can decide again without the data.

It holds outcomes sample by sample: it stays with the gate until the candidate is promoted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evernas import gate
from evernas.config import Config
from evernas.digest import digest_value
from evernas.errors import IntegrityError
from evernas.state.files import write_json
from evernas.state.formats import newer

EVIDENCE = "evidence.json"
EVIDENCE_VERSION = 4
"""That of evidence by recordings of domains that were trained on, which an earlier evernas would read otherwise."""
BY_DOMAIN = 3
"""That of other evidence. The version before it lacks what rules on worse conditions are shown, which nobody asked."""
READ = (2, BY_DOMAIN, EVIDENCE_VERSION)
KIND = "of"
"""The key that names the dataclass of a part."""


def keep_evidence(folder: Path, evidence: gate.Evidence, options: Mapping[str, Any]) -> None:
    """Write what `decide` was given beside the policy: the evidence, and its options."""
    write_json(folder / EVIDENCE, evidence_document(evidence, options))


def evidence_document(evidence: gate.Evidence, options: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence as a plain document."""
    version = EVIDENCE_VERSION if options.get("within") else BY_DOMAIN
    return {"version": version, "evidence": _plain(evidence), "options": _plain(dict(options))}


def decide_again(document: Any, config: Config, device: str) -> dict[str, Any]:
    """The verdict that the gate's rules give for this evidence under the config's policy, as a document.

    IntegrityError if the document is no evidence, or that of a newer evernas.
    """
    constraints = [c for c in config.constraints if c.device in (None, device)]
    try:
        version = document["version"]
        if isinstance(version, int) and version > EVIDENCE_VERSION:
            raise newer("The evidence", version, EVIDENCE_VERSION)
        if version not in READ:
            raise ValueError(f"its version is {version!r}")
        evidence, options = _typed(document["evidence"]), _typed(document["options"])
        verdict = gate.decide(evidence, config.gate, constraints, **options)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"This is no evidence of the gate ({error}): get that of the run.") from None
    return verdict.to_json()


def evidence_digest(document: Any) -> str:
    """Digest of a document of evidence, which the signed verdict names."""
    return digest_value(document)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {KIND: type(value).__name__, **parts}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _typed(value: Any) -> Any:
    """The inverse of `_plain`: only dataclasses that the gate publishes are made."""
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if not isinstance(value, dict):
        return value
    parts = {key: _typed(item) for key, item in value.items() if key != KIND}
    if KIND not in value:
        return parts
    kind = getattr(gate, value[KIND]) if value[KIND] in gate.__all__ else None
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"{value[KIND]!r} is nothing that the gate is shown")
    return kind(**parts)
