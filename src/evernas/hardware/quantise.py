"""An exported network in eight bits: static quantisation of its convolutions, calibrated on training samples."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from evernas.errors import EvernasError
from evernas.hardware.export import INPUT

BATCH = 64
WARNINGS, ERRORS = 2, 3
"""How grave what ONNX Runtime tells must be; it tells of warnings, if nothing is said."""


def quantise(model: bytes, calibration: np.ndarray) -> bytes:
    """An ONNX model whose convolutions compute in eight bits (QDQ, signed, a scale for each output channel).

    What is between the convolutions, the pooling and the classifier stay as they are: they cost little and lose most.
    Scales are from the extremes over the raw samples `calibration` (n, *shape). The same model and samples give the
    same bytes. EvernasError if the runtime's quantiser cannot take the model.
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    # The quantiser recommends a preparation that folds norms; here they are folded already.
    logging.getLogger().addFilter(_not_of_preparation)
    # That a weight is used no more once its eight bits are there is what the quantiser does, and no warning.
    onnxruntime.set_default_logger_severity(ERRORS)
    try:
        with tempfile.TemporaryDirectory(prefix="evernas-int8-") as folder:
            source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
            source.write_bytes(model)
            quantize_static(
                source,
                target,
                _Batches(calibration),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
            made = onnx.load_from_string(target.read_bytes())
    except Exception as error:
        raise EvernasError(
            f"The network cannot be quantised to int8 ({error}): leave int8 out of precisions."
        ) from error
    finally:
        logging.getLogger().removeFilter(_not_of_preparation)
        onnxruntime.set_default_logger_severity(WARNINGS)
    return bytes(made.SerializeToString(deterministic=True))


def _not_of_preparation(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


class _Batches:
    """Calibration samples as the quantiser asks for them."""

    def __init__(self, samples: np.ndarray) -> None:
        self._parts: Iterator[np.ndarray] = iter(
            np.ascontiguousarray(samples[at : at + BATCH], dtype=np.int64 if samples.dtype.kind == "i" else np.float32)
            for at in range(0, len(samples), BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last."""
        part = next(self._parts, None)
        return None if part is None else {INPUT: part}
