"""In the process of a step, only what the step's image holds can be imported: Python starts this, from PYTHONPATH.

ONLY_REFUSED names a JSON file of import names by step; which step this is, KFP's command line says, and a step's
children learn it from their environment.
"""

import json
import os
import sys

REFUSED, STEP = "ONLY_REFUSED", "ONLY_STEP"


class Refusal:
    """Finds nothing, and lets nobody find what the image lacks."""

    def __init__(self, step: str, names: list[str]) -> None:
        self._step, self._names = step, frozenset(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}: the image of {self._step} lacks it", name=name)


arguments = sys.orig_argv
if "--function_to_execute" in arguments:
    os.environ[STEP] = arguments[arguments.index("--function_to_execute") + 1]
if REFUSED in os.environ and STEP in os.environ:
    with open(os.environ[REFUSED], encoding="utf-8") as file:
        refused = json.load(file)
    if os.environ[STEP] in refused:
        sys.meta_path.insert(0, Refusal(os.environ[STEP], refused[os.environ[STEP]]))
