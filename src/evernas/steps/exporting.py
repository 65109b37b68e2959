"""Untrained subnets as files for devices to time: an architecture has the same bytes under every supernet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evernas.digest import digest_bytes
from evernas.spaces import NetworkSpace
from evernas.spaces.api import Architecture
from evernas.state.files import write_bytes


def export_untrained(space: NetworkSpace, architectures: Sequence[Architecture], folder: Path) -> list[dict[str, Any]]:
    """Write each as `<id>.onnx`; their ids, architectures and digests. What they cost does not depend on weights."""
    from evernas.hardware.export import export_onnx
    from evernas.supernet import extract, initial, supernet_of

    network = supernet_of(space, initial(space, 0))
    exported = []
    for arch in architectures:
        data = export_onnx(extract(network, arch), space.shape)
        write_bytes(folder / f"{arch.id}.onnx", data)
        exported.append({"id": arch.id, "architecture": arch.to_json(), "digest": digest_bytes(data)})
    return exported
