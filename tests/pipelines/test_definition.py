"""The compiled pipeline is what it was, says what runs where, and compiles to the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import load_config

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
EXAMPLES = ["evernas", "two-devices"]


def compiled(name: str, folder: Path) -> str:
    """The IR of an example config."""
    from kfp import compiler

    from evernas_pipelines.definition import build_pipeline

    path = folder / f"{name}.yaml"
    compiler.Compiler().compile(build_pipeline(load_config(ROOT / "examples" / "watch" / f"{name}.yaml")), str(path))
    return path.read_text()


@pytest.mark.parametrize("name", EXAMPLES)
def test_compiled_pipeline_equals_the_golden_ir(name: str, tmp_path: Path) -> None:
    golden = (GOLDEN / f"{name}.yaml").read_text()
    assert compiled(name, tmp_path) == golden, "the pipeline changed: look at the difference, then `make golden`"


def _tasks(spec: Any) -> list[tuple[str, dict[str, Any]]]:
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    return [(name, task) for dag in dags for name, task in dag["tasks"].items()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_kfps_own_cache_is_off_on_every_step(name: str, tmp_path: Path) -> None:
    (spec, *_) = yaml.safe_load_all(compiled(name, tmp_path))
    steps = [(n, t) for n, t in _tasks(spec) if "executorLabel" in spec["components"][t["componentRef"]["name"]]]
    assert len(steps) == 5 + 10 * len(load_config(ROOT / f"examples/watch/{name}.yaml").devices)
    assert [n for n, t in steps if t.get("cachingOptions", {}).get("enableCache")] == []


def test_first_step_is_told_which_submission_of_the_run_it_belongs_to(tmp_path: Path) -> None:
    (spec, *_) = yaml.safe_load_all(compiled("evernas", tmp_path))
    given = spec["root"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"]["execution"]
    assert given == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}


def test_all_but_ingest_is_behind_the_question_whether_anything_is_new(tmp_path: Path) -> None:
    (spec, *_) = yaml.safe_load_all(compiled("evernas", tmp_path))
    tasks = spec["root"]["dag"]["tasks"]
    (work,) = [t for n, t in tasks.items() if n.startswith("condition")]
    assert {n for n in tasks if not n.startswith("condition")} == {"ingest"}
    assert "!= 'nothing-new'" in work["triggerPolicy"]["condition"]
    (branches,) = spec["components"][work["componentRef"]["name"]]["dag"]["tasks"].values()
    old, new = spec["components"][branches["componentRef"]["name"]]["dag"]["tasks"].values()
    assert "== 'recheck'" in old["triggerPolicy"]["condition"]
    assert "validate" in spec["components"][new["componentRef"]["name"]]["dag"]["tasks"]
    rechecked = spec["components"][old["componentRef"]["name"]]["dag"]["tasks"]
    assert set(rechecked) == {"recheck", "conclude"}


def test_each_device_has_a_branch_of_its_own(tmp_path: Path) -> None:
    (spec, *_) = yaml.safe_load_all(compiled("two-devices", tmp_path))
    assert {"comp-device-laptop", "comp-device-laptop-2t"} <= set(spec["components"])


def test_promote_runs_only_on_a_verdict_to_promote(tmp_path: Path) -> None:
    (spec, *_) = yaml.safe_load_all(compiled("evernas", tmp_path))
    branch = spec["components"]["comp-device-laptop"]["dag"]["tasks"]
    (conditions,) = [t for n, t in branch.items() if n.startswith("condition-branches")]
    inner = spec["components"][conditions["componentRef"]["name"]]["dag"]["tasks"]
    found = {n: t["triggerPolicy"]["condition"] for n, t in inner.items()}
    assert sorted(c.count("!") for c in found.values()) == [0, 1]
    assert all("promote" in c for c in found.values())


def test_of_one_round_there_is_no_step_between_search_and_finalists(tmp_path: Path) -> None:
    from kfp import compiler

    from evernas_pipelines.definition import build_pipeline

    config = load_config(ROOT / "examples" / "watch" / "evernas.yaml")
    once = config.model_copy(update={"search": config.search.model_copy(update={"rounds": 1})})
    compiler.Compiler().compile(build_pipeline(once), str(tmp_path / "once.yaml"))
    one = yaml.safe_load((tmp_path / "once.yaml").read_text())
    (two, *_) = yaml.safe_load_all(compiled("evernas", tmp_path))
    branch = two["components"]["comp-device-laptop"]["dag"]["tasks"]
    assert branch.keys() - one["components"]["comp-device-laptop"]["dag"]["tasks"].keys() == {"probe", "refine"}
    for step in ("probe", "refine"):
        del branch[step], two["components"][f"comp-{step}"], two["deploymentSpec"]["executors"][f"exec-{step}"]
    finalists = branch["finalists"]
    finalists["dependentTasks"] = ["search"]
    finalists["inputs"]["parameters"]["searched"]["taskOutputParameter"]["producerTask"] = "search"
    parameters = two["root"]["inputDefinitions"]["parameters"]
    parameters["config"] = one["root"]["inputDefinitions"]["parameters"]["config"]
    assert one == two
