"""Untrained subnets as files for devices to time: an architecture has the same bytes under every supernet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.digest import digest_bytes
from evernas.errors import EvernasError
from evernas.spaces import NetworkSpace, TextSpace
from evernas.spaces.api import Architecture
from evernas.state.files import write_bytes

CALIBRATION = 8
"""Samples of noise that the scales of eight bits are from: what such a network costs does not depend on them."""


def network_file(arch_id: str, precision: str = "fp32") -> str:
    """The name of an exported network's file."""
    return f"{arch_id}.onnx" if precision == "fp32" else f"{arch_id}.{precision}.onnx"


def network_files(exported: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all files of what was exported."""
    return [
        network_file(each["id"], precision)
        for each in exported
        for precision, digest in (("fp32", each.get("digest")), ("int8", each.get("int8")))
        if digest is not None
    ]


def export_untrained(
    space: NetworkSpace,
    architectures: Sequence[Architecture],
    folder: Path,
    precisions: Sequence[str] = ("fp32",),
    guard: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Write each in these precisions; their ids, architectures and digests, `digest` in float32 and `int8`.

    What they cost does not depend on weights. One that cannot be quantised has no file in eight bits, and no `int8`.
    `guard` is called before each, and may raise.
    """
    from evernas.hardware.export import export_onnx
    from evernas.supernet import extract, initial, supernet_of

    network = supernet_of(space, initial(space, 0))
    exported = []
    for arch in architectures:
        guard()
        data = export_onnx(extract(network, arch), space.shape)
        found: dict[str, Any] = {"id": arch.id, "architecture": arch.to_json()}
        if "fp32" in precisions:
            write_bytes(folder / network_file(arch.id), data)
            found["digest"] = digest_bytes(data)
        small = in_eight_bits(space, data) if "int8" in precisions else None
        if small is not None:
            write_bytes(folder / network_file(arch.id, "int8"), small)
            found["int8"] = digest_bytes(small)
        exported.append(found)
    return exported


def in_eight_bits(space: NetworkSpace, model: bytes) -> bytes | None:
    """An exported network in eight bits, with scales of noise; None if it cannot be quantised."""
    from evernas.hardware.quantise import quantise

    try:
        return quantise(model, _noise(space))
    except EvernasError:
        return None


def _noise(space: NetworkSpace) -> npt.NDArray[Any]:
    rng, shape = np.random.default_rng(0), (CALIBRATION, *space.shape)
    return rng.integers(0, 2, shape) if isinstance(space, TextSpace) else rng.normal(size=shape).astype(np.float32)
