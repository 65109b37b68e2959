"""Runs the loop's pipeline on this machine as a cluster does: `apart.py CONFIG ADDRESS RUN LOG`, ADDRESS the state's.

Each step is a process of its own; what they have in common is where ADDRESS and MLFLOW_TRACKING_URI point.
"""

from __future__ import annotations

import sys
from pathlib import Path

from evernas.config import load_config
from evernas_pipelines.local import run


def main() -> int:
    config, address, name, log = sys.argv[1:]
    return 0 if run(load_config(Path(config)), address, name, Path(log)) else 1


if __name__ == "__main__":
    sys.exit(main())
