"""The workflows: their scripts work with the files that GitHub gives, and nothing has more than it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
ACTION = FOLDER / "actions" / "promotion-gate" / "action.yml"
# A stand-in of the command: says what it was called with, and ends with the code that the test wants.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$@" >> "$CALLS"
echo -- >> "$CALLS"
echo "said by evernas $1"
case "$1" in run) echo '{"outcome": "held"}' ;; esac
exit "${CODE:-0}"
"""


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The environment of a job's step: the files that GitHub gives, and evernas on the PATH."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "evernas").write_text(STAND_IN)
    (commands / "evernas").chmod(0o755)
    for name in ("summary", "output", "calls"):
        (tmp_path / name).touch()
    event = {"inputs": {"run": "run-1", "device": "laptop", "config": "evernas.yaml"}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    return {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "RUNNER_TEMP": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
    }


def _inputs(runner: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(runner["GITHUB_EVENT_PATH"]).read_text())["inputs"]
    return found


def _do(step: dict[str, Any], runner: dict[str, str], inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step's script as GitHub starts it, its expressions filled in from the event's inputs."""
    filled = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: inputs[match[1]], value)
        for name, value in step.get("env", {}).items()
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, env={**runner, **filled}, text=True, capture_output=True, check=False)


def _calls(runner: dict[str, str]) -> list[list[str]]:
    return [call.split("\n")[:-1] for call in Path(runner["CALLS"]).read_text().split("--\n") if call]


def _steps() -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load(ACTION.read_text())["runs"]["steps"]
    return steps


def test_the_action_verifies_and_then_promotes_the_run_of_the_event(runner: dict[str, str]) -> None:
    verify, promote = _steps()
    for step in (verify, promote):
        assert _do(step, runner, _inputs(runner)).returncode == 0
    run = ["evernas.yaml", "--device", "laptop", "--run", "run-1"]
    assert _calls(runner) == [["gate", "verify", *run], ["promote", *run]]
    assert "said by evernas promote" in Path(runner["GITHUB_STEP_SUMMARY"]).read_text()
    assert promote["if"] == "${{ inputs.promote == 'true' }}"


@pytest.mark.parametrize("step", [0, 1])
def test_a_hold_fails_the_step_so_that_nothing_follows(runner: dict[str, str], step: int) -> None:
    done = _do(_steps()[step], {**runner, "CODE": "3"}, _inputs(runner))
    assert done.returncode == 3, "a pipe must not hide the hold"


def test_an_input_is_data_and_never_a_command(runner: dict[str, str], tmp_path: Path) -> None:
    evil = f'laptop"; touch {tmp_path}/broken; echo "$(touch {tmp_path}/broken)'
    for step in _steps():
        _do(step, runner, {**_inputs(runner), "device": evil})
    assert not (tmp_path / "broken").exists()
    assert _calls(runner)[0][4] == evil


def test_the_nightly_job_runs_and_says_which_champions_there_are(runner: dict[str, str]) -> None:
    steps = yaml.safe_load((FOLDER / "workflows" / "nightly.yml").read_text())["jobs"]["run"]["steps"]
    for step in (step for step in steps if "run" in step):
        assert _do(step, {**runner, "CONFIG": "evernas.yaml"}, {}).returncode == 0
    assert _calls(runner) == [["run", "evernas.yaml", "--json"], ["champion", "evernas.yaml"]]
    assert '"outcome": "held"' in (Path(runner["RUNNER_TEMP"]) / "result.json").read_text()


@pytest.mark.parametrize("model", ["", "models/candidate.onnx"])
def test_the_device_measures_what_is_named_or_its_champion(runner: dict[str, str], model: str) -> None:
    (job,) = yaml.safe_load((FOLDER / "workflows" / "benchmark.yml").read_text())["jobs"].values()
    assert job["runs-on"] == ["self-hosted", "${{ inputs.device }}"]
    given = {**runner, "CONFIG": "evernas.yaml", "DEVICE": "pi", "MODEL": model}
    download, measure = (step for step in job["steps"] if "run" in step)
    assert download["if"] == "${{ inputs.model == '' }}"
    for step in [measure] if model else [download, measure]:
        assert _do(step, given, {}).returncode == 0
    place = f"{runner['RUNNER_TEMP']}/champion"
    of = ["--config", "evernas.yaml", "--device", "pi"]
    fetched = [] if model else [["champion", "download", place, *of]]
    assert _calls(runner) == [*fetched, ["benchmark", model or f"{place}/current/bundle", *of, "--json"]]
    assert "said by evernas benchmark" in (Path(runner["RUNNER_TEMP"]) / "benchmark.json").read_text()


def test_what_was_measured_is_signed_before_it_leaves_the_device(runner: dict[str, str]) -> None:
    document = yaml.safe_load((FOLDER / "workflows" / "benchmark.yml").read_text())
    (job,) = document["jobs"].values()
    _, measure, attest, upload = [step for step in job["steps"] if "checkout" not in step.get("uses", "")]
    assert _do(measure, {**runner, "CODE": "1", "CONFIG": "c", "DEVICE": "d", "MODEL": "m"}, {}).returncode == 1
    assert attest["with"]["subject-path"] == upload["with"]["path"] == "${{ runner.temp }}/benchmark.json"
    assert document["concurrency"] == {"group": "benchmark-${{ inputs.device }}", "cancel-in-progress": False}


def test_the_nightly_run_is_off_until_it_is_turned_on() -> None:
    job = yaml.safe_load((FOLDER / "workflows" / "nightly.yml").read_text())["jobs"]["run"]
    assert "vars.EVERNAS_NIGHTLY == 'on'" in job["if"]


def test_promotion_waits_for_the_environment_and_verifies_again_after_it() -> None:
    jobs = yaml.safe_load((FOLDER / "workflows" / "promotion-gate.yml").read_text())["jobs"]
    gates = {
        name: [step for step in job["steps"] if step.get("uses") == "./.github/actions/promotion-gate"]
        for name, job in jobs.items()
    }
    assert {name: len(steps) for name, steps in gates.items()} == {"verify": 1, "promote": 1}
    assert "environment" not in jobs["verify"]
    assert "promote" not in gates["verify"][0]["with"]
    assert jobs["promote"]["environment"] == "production"
    assert jobs["promote"]["needs"] == "verify"
    assert gates["promote"][0]["with"]["promote"] == "true"


COMMIT = "3f2c1ab04d21c0ffee3f2c1ab04d21c0ffee3f2c"
# Stand-ins of what the upload of a pipeline calls. In this registry each image has a digest of its own.
REGISTRY = """#!/bin/sh
case "$*" in
*imagetools*inspect*) echo "sha256:$(printf '%s' "$4" | sha256sum | cut -c1-64)" ;;
esac
"""
RECORDED = """#!/bin/sh
printf '%s\\n' "$(basename "$0")" "$@" >> "$CALLS"
echo -- >> "$CALLS"
echo "images are $IMAGE_DIGESTS"
exit "${CODE:-0}"
"""


def _upload(runner: dict[str, str], tmp_path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The scripts that verify a pipeline's images and upload it, a job each, and their environment."""
    for name in ("kubectl", "curl", "evernas-pipelines", "cosign"):
        (tmp_path / "bin" / name).write_text(RECORDED)
    (tmp_path / "bin" / "docker").write_text(REGISTRY)
    for path in (tmp_path / "bin").iterdir():
        path.chmod(0o755)
    jobs = yaml.safe_load((FOLDER / "workflows" / "images.yml").read_text())["jobs"]
    steps = [step for name in ("signed", "pipeline") for step in jobs[name]["steps"]]
    steps = [step for step in steps if "cosign" in step.get("run", "") or "upload" in step.get("run", "")]
    given = {
        "CONFIG": "evernas.yaml",
        "IMAGE_REPOSITORY": "registry.example.com/evernas",
        "IMAGES": jobs["signed"]["env"]["IMAGES"],
        "IDENTITY": "https://github.com/o/r/.github/workflows/images.yml@refs/heads/main",
        "NAMESPACE": "kubeflow",
        "GITHUB_SHA": COMMIT,
    }
    return steps, {**runner, **given}


def test_pipeline_is_uploaded_under_the_commits_name_with_its_images_by_digest(
    runner: dict[str, str], tmp_path: Path
) -> None:
    (verify, upload), given = _upload(runner, tmp_path)
    assert _do(verify, given, {}).returncode == 0
    (line,) = Path(runner["GITHUB_OUTPUT"]).read_text().splitlines()
    digests = line.removeprefix("digests=")
    assert [one.partition("=sha256:")[0] for one in digests.split()] == ["core", "train", "runner", "runner-openvino"]
    verified = [call for call in _calls(runner) if call[0] == "cosign"]
    assert [call[2] for call in verified] == [
        f"registry.example.com/evernas/{one.replace('=', '@', 1)}" for one in digests.split()
    ]
    assert all(call[call.index("--certificate-github-workflow-sha") + 1] == COMMIT for call in verified)
    assert _do({"run": upload["run"]}, {**given, "IMAGE_DIGESTS": digests}, {}).returncode == 0
    (uploaded,) = [call for call in _calls(runner) if call[0] == "evernas-pipelines"]
    api = "http://127.0.0.1:8001/api/v1/namespaces/kubeflow/services/ml-pipeline:8888/proxy"
    assert uploaded[1:] == ["upload", "evernas.yaml", "--version", COMMIT, "--host", api]
    assert digests in Path(runner["GITHUB_STEP_SUMMARY"]).read_text()


@pytest.mark.parametrize("step", [0, 1])
def test_image_that_is_not_signed_and_version_that_is_refused_fail_the_job(
    runner: dict[str, str], tmp_path: Path, step: int
) -> None:
    steps, given = _upload(runner, tmp_path)
    assert _do({"run": steps[step]["run"]}, {**given, "CODE": "2"}, {}).returncode


def test_pipeline_is_uploaded_once_it_is_turned_on_and_its_images_are_published() -> None:
    jobs = yaml.safe_load((FOLDER / "workflows" / "images.yml").read_text())["jobs"]
    assert jobs["signed"]["needs"] == "publish"
    assert "vars.EVERNAS_PIPELINE == 'on'" in jobs["signed"]["if"]
    assert jobs["pipeline"]["needs"] == "signed"


def test_what_is_installed_for_the_upload_is_never_beside_the_role_that_pushes_images() -> None:
    jobs = yaml.safe_load((FOLDER / "workflows" / "images.yml").read_text())["jobs"]
    signed, pipeline = (str(jobs[name]) for name in ("signed", "pipeline"))
    assert "EVERNAS_IMAGES_ROLE" in signed
    assert "pip install" not in signed
    assert "checkout" not in signed
    assert "pip install" in pipeline
    assert "EVERNAS_IMAGES_ROLE" not in pipeline


def test_trial_on_kind_is_that_of_the_page() -> None:
    steps = yaml.safe_load((FOLDER / "workflows" / "e2e.yml").read_text())["jobs"]["trial"]["steps"]
    page = (ROOT / "docs" / "cluster-local.md").read_text()
    called = re.findall(r"examples/kind/cluster\.sh [a-z ]+", "\n".join(step.get("run", "") for step in steps))
    assert [call.split()[1] for call in called] == ["up", "load", "trial"]
    assert all(call.strip() in page for call in called)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_names_its_permissions_and_each_has_its_reason(path: Path) -> None:
    text, document = path.read_text(), yaml.safe_load(path.read_text())
    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"]
        for name, level in job["permissions"].items():
            assert (name, level) in {("contents", "read"), ("id-token", "write"), ("attestations", "write")}
            assert re.search(rf"^ +{name}: {level} # to \w", text, re.MULTILINE)


@pytest.mark.parametrize("path", [*WORKFLOWS, ACTION], ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_digest_and_names_its_version(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "uses:" in line and "uses: ./" not in line:
            assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_no_script_holds_an_expression() -> None:
    for path in [*WORKFLOWS, ACTION]:
        document = yaml.safe_load(path.read_text())
        jobs = document.get("jobs") or {"action": document["runs"]}
        for step in (step for job in jobs.values() for step in job["steps"]):
            assert "${{" not in step.get("run", ""), path.name


def test_zizmor_finds_nothing() -> None:
    command = shutil.which("zizmor", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("zizmor is not installed: make install brings it.")
    done = subprocess.run(
        [command, "--offline", "--no-progress", str(FOLDER)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_actionlint_finds_nothing() -> None:
    command = shutil.which("actionlint")
    if command is None:
        pytest.skip("actionlint is not on the PATH; CI runs it with go run.")
    done = subprocess.run([command, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
