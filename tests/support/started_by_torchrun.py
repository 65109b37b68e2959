"""A program of a user's own that trains texts; torchrun starts it several times."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from evernas.config import SupernetConfig
from evernas.supernet import save_state, state_digest, train
from small_texts import sentences, texts_space

STEPS = 50


def config(processes: int) -> SupernetConfig:
    """Settings at which rounding grows no faster than losses are compared."""
    return SupernetConfig(
        steps=STEPS, batch=64, learning_rate=0.001, checkpoint_every=20, threads=1, dropout=0, processes=processes,
        device="cpu",
    )  # fmt: skip


def main(folder: Path, processes: int) -> None:
    """Train, and leave what this process was told and given."""
    losses: list[float] = []
    state = train(
        texts_space(), sentences(240, 0), config(processes), 0, checkpoint=folder / "checkpoint",
        on_progress=lambda step, total, metrics: losses.append(metrics["loss"]),
    )  # fmt: skip
    rank = os.environ["RANK"]
    (folder / f"{rank}.json").write_text(json.dumps({"losses": losses, "weights": state_digest(state)}))
    if rank == "0":
        save_state(state, folder / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
