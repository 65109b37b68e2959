"""What runs a network on a device, behind one small interface; no timing and no config here, since workers load it."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evernas.errors import UsageError

Floats: TypeAlias = NDArray[np.float32]
Inputs: TypeAlias = NDArray[Any]
SURELY_KNOWN = 257
"""Every vocabulary has padding and a sub-word for each of 256 bytes."""


class Session(Protocol):
    """A loaded network."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input without the batch, as the network declares it; 0 where it is dynamic."""
        ...

    @property
    def input_type(self) -> str:
        """What one value of the input is: float32, or int64 for numbers of sub-words."""
        ...

    def run(self, x: Inputs) -> Floats:
        """Scores (batch, classes) of inputs (batch, *shape). Threads may call at the same time."""
        ...


class Runtime(Protocol):
    """An inference engine on this machine."""

    name: str
    extra: str
    """The extra of evernas that installs it."""

    def available(self) -> bool:
        """Whether it can be imported here."""
        ...

    def version(self) -> str:
        """Version of the engine, part of every measurement's environment."""
        ...

    def load(self, model: bytes, threads: int) -> Session:
        """A session on exactly these bytes. Raises whatever the engine raises for a network it cannot run."""
        ...


class OnnxRuntimeCpu:
    """ONNX Runtime on the CPU: one call at a time, `threads` threads inside an operator, none between operators."""

    name = "onnxruntime-cpu"
    extra = "runner"

    def available(self) -> bool:
        """Whether onnxruntime is installed."""
        return importlib.util.find_spec("onnxruntime") is not None

    def version(self) -> str:
        """Version of onnxruntime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def load(self, model: bytes, threads: int) -> Session:
        """A session with the options that serving uses too."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # Threads spin while a call runs, which small operators need; they stop when it returns, since spinning between
        # calls would take the pinned cores from the next network of an interleaved measurement.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return _OnnxSession(
            onnxruntime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
        )


class _OnnxSession:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [session.get_outputs()[0].name]

    @property
    def input_shape(self) -> tuple[int, ...]:
        shape = self._session.get_inputs()[0].shape[1:]
        return tuple(size if isinstance(size, int) else 0 for size in shape)

    @property
    def input_type(self) -> str:
        kind = str(self._session.get_inputs()[0].type)
        return {"tensor(float)": "float32"}.get(kind, kind.removeprefix("tensor(").removesuffix(")"))

    def run(self, x: Inputs) -> Floats:
        scores: Floats = self._session.run(self._outputs, {self._input: x})[0]
        return scores


def example(session: Session, shape: tuple[int, ...], seed: int) -> Inputs:
    """One random sample (1, *shape) of the network's type; of texts a longest one, which costs most."""
    rng = np.random.default_rng(seed)
    if np.dtype(session.input_type).kind == "i":
        return rng.integers(1, SURELY_KNOWN, (1, *shape)).astype(session.input_type)
    return rng.standard_normal((1, *shape), dtype=np.float32)


def runtimes() -> dict[str, Runtime]:
    """The runtimes that evernas knows, by the name that a device's config uses."""
    from evernas.hardware.openvino import OpenVinoCpu

    known: list[Runtime] = [OnnxRuntimeCpu(), OpenVinoCpu()]
    return {runtime.name: runtime for runtime in known}


def runtime_named(name: str) -> Runtime:
    """The runtime of this name; UsageError if it is unknown or not installed here."""
    known = runtimes()
    if name not in known:
        raise UsageError(f"devices.runtime is {name!r}: use one of {', '.join(known)}.")
    if not known[name].available():
        raise UsageError(
            f"devices.runtime is {name!r}, which is not installed here: install evernas[{known[name].extra}]."
        )
    return known[name]
