"""A network loaded by ONNX Runtime, with the options that serving uses too; which providers run it, others say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evernas.hardware.runtime import Floats, Inputs

CPU = "CPUExecutionProvider"


def opened(
    model: bytes, threads: int, providers: Sequence[str | tuple[str, dict[str, str]]], recorded: bool = False
) -> Any:
    """ONNX Runtime's own session: one call at a time, `threads` threads inside an operator, none between operators.

    No error of a provider is answered by taking another, neither now nor in a later call; a provider that cannot even
    begin is left out all the same, without an error. Where it is `recorded`, the session tells who runs which node.
    """
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
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1" if recorded else "0")
    return onnxruntime.InferenceSession(model, sess_options=options, providers=list(providers), enable_fallback=0)


class OnnxSession:
    """What is given in is in this machine's memory, and so is the answer: copies to a GPU and back are in a call."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._outputs = [session.get_outputs()[0].name]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input without the batch; 0 where it is dynamic."""
        shape = self._session.get_inputs()[0].shape[1:]
        return tuple(size if isinstance(size, int) else 0 for size in shape)

    @property
    def input_type(self) -> str:
        """float32, or int64 for numbers of sub-words."""
        kind = str(self._session.get_inputs()[0].type)
        return {"tensor(float)": "float32"}.get(kind, kind.removeprefix("tensor(").removesuffix(")"))

    def run(self, x: Inputs) -> Floats:
        """Scores (batch, classes) of inputs (batch, *shape)."""
        scores: Floats = self._session.run(self._outputs, {self._input: x})[0]
        return scores
