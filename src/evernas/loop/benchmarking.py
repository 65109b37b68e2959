"""Measuring networks by hand on a device that is this machine: bundles or ONNX files, by the step's very own code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import digest_file
from evernas.errors import IntegrityError, UsageError
from evernas.hardware.measurement import Measurement


@dataclass(frozen=True)
class Tried:
    """A network that was to be measured. `refused` says why there is no figure to trust; None when there is."""

    name: str
    digest: str | None
    measurement: Measurement | None
    refused: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        measured = None if self.measurement is None else self.measurement.to_json()
        return {"model": self.name, "digest": self.digest, "measurement": measured, "refused": self.refused}


def benchmark(
    models: Sequence[Path], config: Config, device: str, on_progress: Callable[[int, int, str], None]
) -> list[Tried]:
    """Each network in the order given, all measured in one session; what cannot be is refused with a sentence.

    UsageError if the device cannot be measured here, or its measurements are read from a file.
    """
    declared = config.device(device)
    if declared.recorded is not None:
        raise UsageError(
            f"devices.{device}.recorded is {declared.recorded!r}, so that nothing is measured on {device}: name "
            "another device, or remove the key."
        )
    found = {path: _look_at(path, config) for path in models}
    files = {digest: file for digest, file, refused in found.values() if refused is None and digest and file}
    measured = measured_here(config, device, files, on_progress)
    tried = []
    for path in models:
        digest, _, refused = found[path]
        measurement = None if refused is not None else measured[str(digest)]
        tried.append(Tried(str(path), digest, measurement, refused if measurement is None else measurement.refused))
    return tried


def measured_here(
    config: Config,
    device: str,
    files: Mapping[str, Path],
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> dict[str, Measurement]:
    """What networks' files, by digest, cost on the device, which is this machine. Nothing is kept of it."""
    from evernas.hardware.measure import measure

    with tempfile.TemporaryDirectory(prefix="evernas-benchmark-") as scratch:
        return measure(
            files,
            config.device(device),
            config.benchmark,
            Path(scratch),
            champion=None,
            shape=config.data.sample.shape,
            seed=config.seed,
            on_progress=on_progress,
        )


def _look_at(path: Path, config: Config) -> tuple[str | None, Path | None, str | None]:
    """Digest and file of a network, or why it is refused: a bundle's digests are checked before anything is loaded."""
    try:
        if not path.is_dir():
            return digest_file(path), path, None
        bundle = load_bundle(path)
    except IntegrityError as error:
        return None, None, str(error)
    except OSError as error:
        return None, None, f"{path} cannot be read ({error.strerror}): give a bundle's folder or an ONNX file."
    wanted = config.data.sample.shape
    if bundle.contract.shape != wanted:
        return (
            bundle.digest,
            None,
            f"The bundle {path} takes samples of {bundle.contract.shape}, and data.{config.data.kind} says {wanted}.",
        )
    return bundle.model_digest, bundle.model_path, None
