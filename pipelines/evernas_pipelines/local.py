"""The pipeline on this machine: kfp.local with one subprocess a step, its output in the run's log."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from evernas.config import Config, document_of_run

if TYPE_CHECKING:
    from evernas_pipelines.definition import Placing


def run(config: Config, home: Path | str, run_id: str, log: Path, placing: Placing | None = None) -> bool:
    """Run the loop's pipeline to its end. False if a step failed: the run's failure.json says which and why.

    `home` is the state's address: a folder, or a bucket, before which each step has a scratch folder of its own. With a
    `placing` it is the pipeline of a cluster, which decides nothing itself.
    """
    from kfp import local

    from evernas.steps.leased import EXECUTION_VARIABLE
    from evernas_pipelines.definition import build_pipeline

    # A step's matrices are small: a second thread of the linear algebra waits more than it works.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ[EXECUTION_VARIABLE] = ""
    # The images' names say nothing of Python, which kfp.local remarks at each step; it starts none of them.
    warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(log.parent / "kfp"), raise_on_error=True)
        document = json.dumps(document_of_run(config), sort_keys=True)
        try:
            build_pipeline(config, placing)(home=str(home), run=run_id, config=document)
        except RuntimeError as error:
            # What kfp.local raises when a task has failed; the step has said why in its own words.
            print(error)
            return False
    return True
