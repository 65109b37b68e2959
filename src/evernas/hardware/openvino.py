"""OpenVINO on the CPU: the second runtime, so that one processor can be two devices."""

from __future__ import annotations

import importlib.util
import threading
from typing import Any

import numpy as np

from evernas.hardware.runtime import CORES, Floats, Inputs, Session


class OpenVinoCpu:
    """OpenVINO's CPU plugin: one stream of `threads` threads, in float32, left on the cores that the process has."""

    name = "openvino-cpu"
    extra = "runner-openvino"
    place = CORES

    def available(self) -> bool:
        """Whether openvino is installed."""
        return importlib.util.find_spec("openvino") is not None

    def version(self) -> str:
        """Version of openvino."""
        import openvino

        return str(openvino.__version__)

    def load(self, model: bytes, threads: int) -> Session:
        """A session with the options that serving uses too."""
        import openvino

        core = openvino.Core()
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Processors with bfloat16 would use it unasked, and answer otherwise than the network that was judged.
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        return _OpenVinoSession(core.compile_model(core.read_model(model), "CPU", options), openvino.Tensor)


class _OpenVinoSession:
    """Each thread that calls has a request of its own: one request cannot be used by two."""

    def __init__(self, compiled: Any, tensor: Any) -> None:
        self._compiled = compiled
        self._tensor = tensor
        self._own = threading.local()

    @property
    def input_shape(self) -> tuple[int, ...]:
        shape = list(self._compiled.input(0).partial_shape)[1:]
        return tuple(size.get_length() if size.is_static else 0 for size in shape)

    @property
    def input_type(self) -> str:
        return str(np.dtype(self._compiled.input(0).element_type.to_dtype()))

    def run(self, x: Inputs) -> Floats:
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        request.set_input_tensor(self._tensor(np.ascontiguousarray(x), shared_memory=True))
        request.infer()
        scores: Floats = request.get_output_tensor(0).data.copy()
        return scores
