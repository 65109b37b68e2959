"""The bundle: one folder, named by its digest, with all that serving a network needs; numpy and JSON, no pickles."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evernas.digest import canonical_json, digest_bytes, digest_value, short
from evernas.errors import EvernasError, IntegrityError, UsageError
from evernas.storage import sync_folder
from evernas.tokeniser import PADDING, Tokeniser

VERSION = 1
MODEL, LABELS, CONTRACT, SAMPLES, MANIFEST = (
    "model.onnx",
    "labels.json",
    "contract.json",
    "samples.json",
    "bundle.json",
)
TOKENISER = "tokenizer.json"
FILES = (MODEL, LABELS, CONTRACT, SAMPLES)
"""What every bundle holds; one for texts its TOKENISER too."""

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Contract:
    """What goes in and what comes out: enough to call the network without its training code."""

    channels: tuple[str, ...]
    size: tuple[int, ...]
    """(time,) or (height, width); for texts, which have no channels, (tokens,)."""
    rate_hz: float | None = None
    units: tuple[str, ...] | None = None
    input_name: str = "input"
    output_name: str = "scores"
    dtype: str = "float32"
    normalisation_inside: bool = True
    characters: int | None = None
    """Of texts: most characters of one that the network was judged on."""

    @property
    def takes_texts(self) -> bool:
        """Whether the input are numbers of sub-words, which the bundle's tokeniser makes of a text."""
        return not self.channels

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, time), (channels, height, width) or (tokens,) of one sample; a batch goes before it."""
        return (len(self.channels), *self.size) if self.channels else self.size

    def to_json(self) -> dict[str, Any]:
        """Plain values; the batch dimension is null."""
        return {
            "channels": list(self.channels),
            "dtype": self.dtype,
            "input_name": self.input_name,
            "normalisation_inside": self.normalisation_inside,
            "output_name": self.output_name,
            "rate_hz": self.rate_hz,
            "shape": [None, *self.shape],
            "units": None if self.units is None else list(self.units),
            **({"tokeniser": TOKENISER, "padding": PADDING, "characters": self.characters} if self.takes_texts else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Contract:
        """The inverse of to_json."""
        return cls(
            channels=tuple(value["channels"]),
            size=tuple(int(side) for side in value["shape"][2 if value["channels"] else 1 :]),
            rate_hz=value["rate_hz"],
            units=None if value["units"] is None else tuple(value["units"]),
            input_name=value["input_name"],
            output_name=value["output_name"],
            dtype=value["dtype"],
            normalisation_inside=bool(value["normalisation_inside"]),
            characters=value.get("characters"),
        )


@dataclass(frozen=True)
class Samples:
    """A few inputs (n, *shape) with the scores (n, classes) that the network gave: a check after every move."""

    inputs: NDArray[Any]
    scores: Floats


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose every digest was checked. `extra` holds the architecture's id and genes, and metadata."""

    path: Path
    digest: str
    model_digest: str
    labels: tuple[str, ...]
    contract: Contract
    samples: Samples
    extra: dict[str, Any]
    tokeniser_digest: str = ""

    @property
    def model_path(self) -> Path:
        """The file whose bytes are measured and served."""
        return self.path / MODEL

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all that its folder holds, the manifest last."""
        return (*FILES, *((TOKENISER,) if self.tokeniser_digest else ()), MANIFEST)

    def inputs(self, x: NDArray[Any]) -> NDArray[Any]:
        """What the network takes of samples as they were delivered: of texts, the numbers of their sub-words."""
        return self.taking()(x)

    def taking(self) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """`inputs` for many batches: what it needs is read once."""
        if not self.contract.takes_texts:
            return lambda x: x
        tokeniser = Tokeniser(_read_checked(self.path / TOKENISER, self.tokeniser_digest))
        return lambda x: tokeniser.rows(x, self.contract.size[0])

    @property
    def size_kb(self) -> float:
        """Exact size of the network's file, in units of 1000 bytes."""
        return self.model_path.stat().st_size / 1000


def write_bundle(
    folder_root: Path,
    model_bytes: bytes,
    labels: Sequence[str],
    contract: Contract,
    samples: Samples,
    extra: Mapping[str, Any],
    tokeniser: Tokeniser | None = None,
) -> Bundle:
    """Write `folder_root/<short digest>` whole or not at all; the same content written before is returned as it is.

    Raises UsageError when the parts do not fit together, IntegrityError when a folder of that name is damaged.
    """
    _check_parts(model_bytes, labels, contract, samples)
    if (tokeniser is not None) != contract.takes_texts:
        raise UsageError("A network for texts, and no other, is bundled with its tokeniser.")
    contents = {
        MODEL: model_bytes,
        LABELS: _json_bytes(list(labels)),
        CONTRACT: _json_bytes(contract.to_json()),
        SAMPLES: _json_bytes({"inputs": _shortest(samples.inputs), "scores": _shortest(samples.scores)}),
    }
    if tokeniser is not None:
        contents[TOKENISER] = tokeniser.data
    files = {name: digest_bytes(data) for name, data in contents.items()}
    manifest = {"version": VERSION, "files": files, "extra": dict(extra)}
    contents[MANIFEST] = _json_bytes(manifest)
    digest = digest_value(manifest)
    folder_root.mkdir(parents=True, exist_ok=True)
    final = folder_root / short(digest)
    if not final.exists():
        _publish(contents, folder_root, final)
    return load_bundle(final, expected=digest)


def load_bundle(path: Path, expected: str | None = None) -> Bundle:
    """Read a bundle and check every digest; IntegrityError says which bytes are not those that were written.

    `expected` is the digest that the journal or the registry holds. A folder named like a digest must bear its own.
    """
    manifest = _read_manifest(path)
    digest = digest_value(manifest)
    named = path.name if re.fullmatch(r"[0-9a-f]{16}", path.name) else None
    if (expected is not None and digest != expected) or (named is not None and short(digest) != named):
        raise IntegrityError(
            f"The bundle {path} has the digest {short(digest)}, not the recorded {short(expected or named or '')}: "
            "do not use it; restore the folder from the registry."
        )
    belong = files_of(manifest)
    strangers = sorted({entry.name for entry in path.iterdir()} - {*belong, MANIFEST})
    if strangers or set(manifest["files"]) != set(belong):
        named_files = ", ".join(strangers or sorted(manifest["files"]))
        raise IntegrityError(f"The bundle {path} holds {named_files}, where exactly {', '.join(belong)} belong.")
    contents = {name: _read_checked(path / name, manifest["files"][name]) for name in belong}
    try:
        samples = json.loads(contents[SAMPLES])
        contract = Contract.from_json(json.loads(contents[CONTRACT]))
        if contract.takes_texts != (TOKENISER in contents):
            raise ValueError("its contract and its tokeniser contradict each other")
        return Bundle(
            path=path,
            digest=digest,
            model_digest=manifest["files"][MODEL],
            labels=tuple(json.loads(contents[LABELS])),
            contract=contract,
            samples=Samples(np.array(samples["inputs"], contract.dtype), np.array(samples["scores"], np.float32)),
            extra=manifest["extra"],
            tokeniser_digest=manifest["files"].get(TOKENISER, ""),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise IntegrityError(
            f"The bundle {path} is whole but not of version {VERSION}'s form ({error}): write it again."
        ) from None


def files_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The files that a bundle with this manifest has beside the manifest."""
    return (*FILES, TOKENISER) if TOKENISER in manifest["files"] else FILES


def _check_parts(model_bytes: bytes, labels: Sequence[str], contract: Contract, samples: Samples) -> None:
    count = len(samples.inputs)
    if not model_bytes:
        raise UsageError("The network has 0 bytes: export it before it is bundled.")
    if len(set(labels)) != len(labels) or len(labels) < 2:
        raise UsageError(f"The label map is {list(labels)}: give at least two labels, each once.")
    if contract.units is not None and len(contract.units) != len(contract.channels):
        raise UsageError(f"The contract has {len(contract.channels)} channels and {len(contract.units)} units.")
    if count < 1 or samples.inputs.shape[1:] != contract.shape:
        raise UsageError(
            f"The samples have the shape {samples.inputs.shape}, where the contract says "
            f"(n, {', '.join(map(str, contract.shape))}) with n at least 1."
        )
    if samples.scores.shape != (count, len(labels)):
        raise UsageError(
            f"The samples' scores have the shape {samples.scores.shape}, where {(count, len(labels))} belongs."
        )
    if not (np.isfinite(samples.inputs).all() and np.isfinite(samples.scores).all()):
        raise UsageError("The samples hold NaN or infinity: choose sample inputs on which the network is finite.")


def _shortest(values: NDArray[Any]) -> Any:
    """Nested lists of the shortest decimals that read back to the same float32, or of whole numbers as they are."""
    if values.dtype.kind in "iu":
        return values.tolist()
    texts = values.astype(np.float32).ravel()
    flat = np.array([float(str(value)) for value in texts], dtype=np.float64)
    return flat.reshape(values.shape).tolist()


def _json_bytes(value: Any) -> bytes:
    try:
        return (canonical_json(value) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The bundle's metadata cannot be written as JSON ({error}): give plain finite values."
        ) from None


def _publish(contents: Mapping[str, bytes], root: Path, final: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        for name, data in contents.items():
            with (temporary / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        sync_folder(temporary)
        # Another writer of the same content may have been first; then its folder stands and is checked by the caller.
        with contextlib.suppress(OSError):
            temporary.rename(final)
            sync_folder(root)
        if not final.exists():
            raise EvernasError(f"The bundle {final} could not be put in place: check that {root} can be written.")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except OSError as error:
        raise IntegrityError(f"The bundle {path} has no readable {MANIFEST} ({error.strerror}).") from None
    except ValueError:
        raise IntegrityError(f"The bundle {path} has a {MANIFEST} that is not JSON: restore the folder.") from None
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        found = manifest.get("version") if isinstance(manifest, dict) else None
        raise IntegrityError(
            f"The bundle {path} has version {found}, this evernas reads version {VERSION}: upgrade evernas here if "
            "that is newer, else write the bundle again."
        )
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("extra"), dict):
        raise IntegrityError(f"The bundle {path} has a {MANIFEST} without files and extra: restore the folder.")
    return manifest


def _read_checked(file: Path, digest: str) -> bytes:
    if file.is_symlink():
        raise IntegrityError(f"{file} is a link, where a bundle holds plain files: restore the folder.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{file} cannot be read ({error.strerror}): restore the bundle's folder.") from None
    if digest_bytes(data) != digest:
        raise IntegrityError(
            f"{file} has the digest {short(digest_bytes(data))}, not the recorded {short(str(digest))}: "
            "the file was changed or torn; restore the bundle's folder from the registry."
        )
    return data
