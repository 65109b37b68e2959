"""Answers of a network's shipped bytes, computed by the runtime that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.steps.context import Setting

BATCH = 256


def scores_of(context: Setting, model: bytes | Path, x: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], str]:
    """Class scores (n, classes) of the network's bytes for x (n, *shape), and the runtime's version."""
    from evernas.hardware.runtime import runtime_named

    runtime = runtime_named(context.device.runtime)
    session = runtime.load(model if isinstance(model, bytes) else model.read_bytes(), context.device.threads)
    parts = [session.run(np.ascontiguousarray(x[start : start + BATCH])) for start in range(0, len(x), BATCH)]
    return np.concatenate(parts), runtime.version()


def errors_by_domain(correct: npt.NDArray[Any], domains: Sequence[str]) -> dict[str, float]:
    """Share of wrong answers per domain."""
    names = np.asarray(domains)
    return {str(name): float(1 - correct[names == name].mean()) for name in np.unique(names)}
