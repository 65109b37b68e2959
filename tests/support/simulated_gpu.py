"""ONNX Runtime with providers of GPUs that are none: it says that they run nodes which the CPU's provider computes.

As a program, `python simulated_gpu.py MODULE ...`, it runs a module of evernas on such a machine, with a simulated
NVML; SIMULATED_GPU, a JSON map, gives the arguments of `simulate` and, as `nvml`, other answers of NVML.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import onnxruntime

from evernas.hardware import nvidia
from evernas.hardware.onnx_session import CPU
from simulated_nvml import installed

Real = onnxruntime.InferenceSession


class Simulated:
    """A session whose providers are those that were asked for and that begin, and the CPU's."""

    asked: list[tuple[list[Any], dict[str, Any]]]
    begins: Sequence[str] = (nvidia.CUDA, nvidia.TENSORRT)
    left: Sequence[str] = ()
    """Kinds of nodes that are left to the CPU."""
    taken_by: str | None = None
    """The provider that takes all others; the first that begins if not given."""

    def __init__(self, model: bytes, sess_options: Any, providers: Sequence[Any], **options: Any) -> None:
        type(self).asked.append((list(providers), options))
        self._real = Real(model, sess_options=sess_options, providers=[CPU])
        names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
        self._providers = [name for name in names if name in self.begins]

    def get_providers(self) -> list[str]:
        return [*self._providers, CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        taker = self.taken_by or self.get_providers()[0]
        return [
            SimpleNamespace(ep_name=CPU if node.op_type in self.left else taker, get_nodes=lambda node=node: [node])
            for part in self._real.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def simulate(
    begins: Sequence[str] = (nvidia.CUDA, nvidia.TENSORRT), left: Sequence[str] = (), taken_by: str | None = None
) -> type[Simulated]:
    """The class that then stands for a session, in this process."""
    made: type[Simulated] = type(
        "Simulated", (Simulated,), {"asked": [], "begins": begins, "left": left, "taken_by": taken_by}
    )
    onnxruntime.InferenceSession = made
    onnxruntime.get_available_providers = lambda: [nvidia.TENSORRT, nvidia.CUDA, CPU]
    onnxruntime.preload_dlls = lambda: None
    return made


def main(module: str, arguments: list[str]) -> int:
    """Run a module of evernas on a machine with such a GPU."""
    settings = json.loads(os.environ.get("SIMULATED_GPU", "{}"))
    installed(settings.pop("nvml", {}))
    simulate(**settings)
    for runtime in (nvidia.OnnxRuntimeCuda, nvidia.OnnxRuntimeTensorRt):
        runtime.place = replace(runtime.place, settles_s=0.05)
    started = importlib.import_module(module).main
    return int(started(arguments[0] if module.endswith("trying") else arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
