"""ONNX Runtime on an NVIDIA GPU, by CUDA or by TensorRT; what would run elsewhere is refused, since nobody would know.

ONNX Runtime lists a provider that is only built in, leaves out without an error one whose libraries or GPU are missing,
and gives nodes to the CPU that the GPU cannot take
(https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html). None of this ever ran on a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from evernas.errors import EvernasError, UsageError
from evernas.hardware.onnx_session import CPU, OnnxSession, opened
from evernas.hardware.runtime import Place, Session

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
# In float32, as the network was judged: TF32, usual since Ampere, keeps ten bits of a factor. And the convolutions that
# the GPU's own rule chooses: a trial of all of them ends otherwise in every process.
EXACT = (CUDA, {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
# What ONNX Runtime keeps on the CPU on purpose where a network asks how large a tensor is: work on a few numbers. For
# each of these there is a kernel on the GPU, so that no other is kept there.
OF_SHAPES = frozenset({"Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "ConstantOfShape"})
ASKING = frozenset({"Shape", "Size"})
LACK_OF_LIBRARY = "cannot open shared object file"


class OnnxRuntimeCuda:
    """ONNX Runtime's CUDA provider on the first GPU that CUDA shows."""

    name = "onnxruntime-cuda"
    extra = "runner-cuda"
    place = Place(on_gpu=True, settles_s=2.0, patience_s=60.0, stand_in="onnxruntime-cpu")

    def available(self) -> bool:
        """Whether an onnxruntime is installed that was built for it; whether there is a GPU only loading shows."""
        return _built_in(CUDA)

    def version(self) -> str:
        """Version of onnxruntime."""
        return _version()

    def load(self, model: bytes, threads: int) -> Session:
        """A session of which no node runs on the CPU, but those of shapes.

        UsageError if the provider cannot begin here, EvernasError for a network that it would leave to the CPU.
        """
        return _loaded(self.name, model, threads, CUDA, [EXACT])


class OnnxRuntimeTensorRt:
    """ONNX Runtime's TensorRT provider on the first GPU that CUDA shows; what it cannot take, CUDA runs there.

    The engine is built when the network first runs, for the batches that come, which takes seconds to minutes.
    """

    name = "onnxruntime-tensorrt"
    extra = "runner-cuda"
    place = Place(on_gpu=True, settles_s=2.0, patience_s=600.0, stand_in="onnxruntime-cpu")

    def available(self) -> bool:
        """Whether an onnxruntime is installed that was built for it; whether there is TensorRT only loading shows."""
        return _built_in(TENSORRT)

    def version(self) -> str:
        """Version of onnxruntime."""
        return _version()

    def load(self, model: bytes, threads: int) -> Session:
        """A session of which some nodes run in TensorRT, and none on the CPU but those of shapes.

        UsageError if the provider cannot begin here, EvernasError for a network that it would leave to others.
        """
        # The provider has no switch for TF32; NVIDIA's libraries read this one when they are loaded.
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        return _loaded(self.name, model, threads, TENSORRT, [TENSORRT, EXACT])


def _loaded(
    name: str, model: bytes, threads: int, wanted: str, providers: list[str | tuple[str, dict[str, str]]]
) -> Session:
    """A session on the wanted provider, the runtime's of this name; refused as its `load` says."""
    _find_libraries()
    try:
        session = opened(model, threads, providers, recorded=True)
    except Exception:
        if _lacking(wanted) is not None:
            raise _cannot_begin(name, wanted) from None
        raise
    if wanted not in session.get_providers():
        raise _cannot_begin(name, wanted)
    kinds = _kinds_by_provider(session)
    asks = ASKING & set().union(*kinds.values())
    left = sorted(kinds.get(CPU, set()) - (OF_SHAPES if asks else set()))
    if left:
        raise EvernasError(
            f"{name} would run {', '.join(left)} of the network on the CPU, since it has no such operator: leave it "
            "out of the network, or measure on a device whose runtime is onnxruntime-cpu."
        )
    if not kinds.get(wanted):
        took = ", ".join(sorted(kinds)) or "no provider"
        raise EvernasError(f"{name} runs nothing of the network: {took} took all of it. Use another runtime.")
    return OnnxSession(session)


def _built_in(provider: str) -> bool:
    """Whether there is an onnxruntime with this provider that tells, as it does since 1.24, who runs which node."""
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    tells = hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")
    return tells and provider in onnxruntime.get_available_providers()


def _version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


@cache
def _find_libraries() -> None:
    """Load the CUDA libraries that were installed as Python packages, which the system's loader does not look for."""
    import onnxruntime

    # Where it finds none, it prints advice and goes on; what is lacking is told when the provider cannot begin.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


def _kinds_by_provider(session: Any) -> Mapping[str, set[str]]:
    """The kinds of nodes that each provider was given, those inside loops and branches too."""
    found: dict[str, set[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        found.setdefault(str(part.ep_name), set()).update(str(node.op_type) for node in part.get_nodes())
    return found


def _cannot_begin(name: str, provider: str) -> UsageError:
    import onnxruntime

    lacking = _lacking(provider) or "it does not say why; is there a GPU, and is its driver new enough?"
    mend = (
        "install TensorRT 10 where the system's loader finds it"
        if provider == TENSORRT
        else "install evernas[runner-cuda]"
    )
    return UsageError(
        f"{name} cannot use a GPU here, and onnxruntime would go on without an error on another provider "
        f"({lacking}): {mend}, with NVIDIA's driver for CUDA {getattr(onnxruntime, 'cuda_version', '') or '13'}, or "
        "measure on onnxruntime-cpu."
    )


def _lacking(provider: str) -> str | None:
    """The library without which a provider cannot be loaded, in the loader's words; None if it lacks none."""
    import onnxruntime

    part = provider.removesuffix("ExecutionProvider").lower()
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{part}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error) if LACK_OF_LIBRARY in str(error) else None
    return None
