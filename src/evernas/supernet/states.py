"""States on disk: safetensors files written whole or not at all, their digests, and checkpoints; no training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from evernas.digest import canonical_json
from evernas.errors import IntegrityError

VERSION = 1
CHECKPOINT = "checkpoint.safetensors"
# safetensors keeps metadata in a hash map of random order: one entry keeps the bytes repeatable.
META = "evernas"


def save_state(state: Mapping[str, Tensor], path: Path, meta: Mapping[str, Any] | None = None) -> None:
    """Write tensors, of whatever device, and JSON metadata to a file that is complete whenever it is there."""
    document = canonical_json({"version": VERSION, **(meta or {})})
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, {META: document})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and metadata of a file that `save_state` wrote; IntegrityError if it is not whole."""
    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {}).get(META, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise IntegrityError(f"The state {path} is missing: run again to train it anew.") from None
    except (SafetensorError, ValueError, OSError) as error:
        raise IntegrityError(f"The state {path} cannot be read ({error}): remove it and run again.") from None
    if meta.get("version") != VERSION:
        raise IntegrityError(
            f"The state {path} has the format version {meta.get('version')}, this evernas reads {VERSION}: "
            "use the evernas that wrote it, or remove it and run again."
        )
    return state, meta


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and values, whatever the order."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(canonical_json([name, list(tensor.shape), str(tensor.dtype)]).encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def save_checkpoint(folder: Path, key: str, step: int, tensors: Mapping[str, Tensor]) -> None:
    """Replace the folder's checkpoint. `key` names all that the training depends on."""
    save_state(tensors, folder / CHECKPOINT, {"key": key, "step": step})


def load_checkpoint(folder: Path, key: str) -> tuple[int, dict[str, Tensor]] | None:
    """Step and tensors of the folder's checkpoint; None if there is none of this training that can be read."""
    if not (folder / CHECKPOINT).exists():
        return None
    try:
        tensors, meta = load_state(folder / CHECKPOINT)
    except IntegrityError:
        return None
    return (int(meta["step"]), tensors) if meta.get("key") == key else None
