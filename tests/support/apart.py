"""Runs the loop's pipeline on this machine as a cluster does: `apart.py CONFIG ADDRESS RUN LOG`, ADDRESS the state's.

Each step is a process of its own; what they have in common is where ADDRESS and MLFLOW_TRACKING_URI point. What the run
hands over is then decided here, as the receiver's Job does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from kfp import dsl

from evernas.config import Config, load_config
from evernas.loop.decide import decide
from evernas.state.opening import opened
from evernas_pipelines.local import run


@dataclass(frozen=True)
class Nowhere:
    """Places the pipeline of a cluster on no nodes."""

    root: str
    whole: dsl.PipelineConfig

    def place(self, task: dsl.PipelineTask, step: str, device: str | None) -> None:
        pass


def has_handed_over(config: Config, address: str, name: str) -> bool:
    with opened(address) as home:
        assert home.bucket is not None
        return home.bucket.area(home.handed_over(config.project), kept=False).exists(f"{name}.json")


def main() -> int:
    path, address, name, log = sys.argv[1:]
    config = load_config(Path(path))
    nowhere = Nowhere(str(Path(log).parent / "kfp"), dsl.PipelineConfig())
    if not run(config, address, name, Path(log), nowhere):
        return 1
    if has_handed_over(config, address, name):
        print(decide(config, name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
