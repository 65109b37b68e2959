"""Answers of a network's shipped bytes, computed by the runtime that serves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.steps.context import Setting

BATCH = 256


def scores_of(
    context: Setting, model: bytes | Bundle, x: npt.NDArray[Any], on_device: bool = False
) -> tuple[npt.NDArray[np.float32], str]:
    """Class scores (n, classes) and the runtime's version. What the device itself answers only its own runtime tells.

    A bundle is given samples as they were delivered, and a network's bytes what the network takes: they differ for
    texts, of which a bundle's own tokeniser makes numbers.
    """
    from evernas.hardware.runtime import answering, runtime_named

    runtime = (runtime_named if on_device else answering)(context.device.runtime)
    if not isinstance(model, bytes):
        x, model = model.inputs(x), model.model_path.read_bytes()
    session = runtime.load(model, context.device.threads)
    parts = [session.run(np.ascontiguousarray(x[start : start + BATCH])) for start in range(0, len(x), BATCH)]
    return np.concatenate(parts), runtime.version()


def errors_by_domain(correct: npt.NDArray[Any], domains: Sequence[str]) -> dict[str, float]:
    """Share of wrong answers per domain."""
    names = np.asarray(domains)
    return {str(name): float(1 - correct[names == name].mean()) for name in np.unique(names)}


def worst_domain_error(by_domain: Mapping[str, float]) -> float | None:
    """The error in the domain where it is largest; None where there is no domain."""
    return max(by_domain.values(), default=None)
