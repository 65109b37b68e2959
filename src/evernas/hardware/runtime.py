"""What runs a network on a device, behind one small interface; no timing and no config here, since workers load it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Place:
    """Where a runtime computes, as far as measuring differs there.

    `settles_s` is for how long the place has to work until it runs at its usual clocks, `patience_s` how long one stage
    on one network may last, and `stand_in` the runtime that answers where this one's place is missing.
    """

    on_gpu: bool = False
    settles_s: float = 0.0
    patience_s: float = 30.0
    stand_in: str | None = None


CORES = Place()


class Runtime(Protocol):
    """An inference engine on this machine."""

    name: str
    extra: str
    """The extra of evernas that installs it."""
    place: Place

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
    """ONNX Runtime on the CPU."""

    name = "onnxruntime-cpu"
    extra = "runner"
    place = CORES

    def available(self) -> bool:
        """Whether onnxruntime is installed."""
        return importlib.util.find_spec("onnxruntime") is not None

    def version(self) -> str:
        """Version of onnxruntime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def load(self, model: bytes, threads: int) -> Session:
        """A session with the options that serving uses too."""
        from evernas.hardware.onnx_session import CPU, OnnxSession, opened

        return OnnxSession(opened(model, threads, [CPU]))


def example(session: Session, shape: tuple[int, ...], seed: int) -> Inputs:
    """One random sample (1, *shape) of the network's type; of texts a longest one, which costs most."""
    rng = np.random.default_rng(seed)
    if np.dtype(session.input_type).kind == "i":
        return rng.integers(1, SURELY_KNOWN, (1, *shape)).astype(session.input_type)
    return rng.standard_normal((1, *shape), dtype=np.float32)


def runtimes() -> dict[str, Runtime]:
    """The runtimes that evernas knows, by the name that a device's config uses."""
    from evernas.hardware.nvidia import OnnxRuntimeCuda, OnnxRuntimeTensorRt
    from evernas.hardware.openvino import OpenVinoCpu

    known: list[Runtime] = [OnnxRuntimeCpu(), OpenVinoCpu(), OnnxRuntimeCuda(), OnnxRuntimeTensorRt()]
    return {runtime.name: runtime for runtime in known}


def runtime_named(name: str) -> Runtime:
    """The runtime of this name; UsageError if it is unknown or not installed here."""
    known = runtimes()
    if name not in known:
        raise UsageError(f"devices.runtime is {name!r}: use one of {', '.join(known)}.")
    if not known[name].available():
        instead = (
            ", after `pip uninstall onnxruntime`: onnxruntime and onnxruntime-gpu write over each other's files"
            if known[name].place.on_gpu
            else ""
        )
        raise UsageError(
            f"devices.runtime is {name!r}, which is not installed here: install evernas[{known[name].extra}]{instead}."
        )
    return known[name]


def answering(name: str) -> Runtime:
    """What answers for this runtime where nothing is measured: itself, or its stand-in where it is not installed.

    How often the device then answers otherwise is for the gate to bound, which it does for every device.
    """
    known = runtimes()
    own = known.get(name)
    if own is not None and own.place.stand_in is not None and not own.available():
        return runtime_named(own.place.stand_in)
    return runtime_named(name)
