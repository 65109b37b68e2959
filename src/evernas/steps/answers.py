"""The device's own answers: questions of the search split go to it, for the gate to compare its answers with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evernas.bundle import Bundle
from evernas.digest import digest_bytes
from evernas.state import Done
from evernas.steps.context import Context
from evernas.steps.predictions import scores_of

QUESTIONS = "questions.npy"
ANSWERS = "answers.npz"
# Enough to bound the share of answers that differ well below the default limit, and a few megabytes at most.
MOST = 4096


def write_questions(folder: Path, x: npt.NDArray[np.float32]) -> str:
    """Keep inputs (n, *shape) for the device, evenly over the search split; the name of the file."""
    np.save(folder / QUESTIONS, x[:: -(-len(x) // MOST)], allow_pickle=False)
    return QUESTIONS


def answer(context: Context, finalists: Done, bundles: list[Bundle], folder: Path) -> dict[str, Any]:
    """What these networks answer on this machine, the device: classes to a file, and a digest of each one's scores."""
    x = np.load(finalists.file(QUESTIONS), allow_pickle=False)
    scores = {bundle.digest: scores_of(context, bundle, x, on_device=True)[0] for bundle in bundles}
    np.savez(folder / ANSWERS, **{digest: found.argmax(1).astype(np.uint16) for digest, found in scores.items()})
    return {digest: {"scores": digest_bytes(found.tobytes())} for digest, found in scores.items()}
