"""The Terraform of infra/, held to its format, types and own tests by the real terraform; no account is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOW = (
    "terraform is not on the PATH: install 1.11 or newer (developer.hashicorp.com/terraform/install); "
    "infra/README.md says how the AWS provider is found without the internet."
)
pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason=HOW)


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(["terraform", *arguments], cwd=folder, env=env, text=True, capture_output=True)


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that nothing that terraform writes lands in the checkout."""
    copy = tmp_path_factory.mktemp("terraform") / "infra"
    unwanted = shutil.ignore_patterns(
        ".terraform", ".terraform.lock.hcl", "terraform.tfvars", "*.tfstate*", "backend.hcl"
    )
    shutil.copytree(ROOT / "infra", copy, ignore=unwanted)
    for environment in ("dev", "prod"):
        done = terraform(copy / "envs" / environment, "init", "-backend=false", "-input=false", "-no-color")
        if done.returncode:
            pytest.skip(f"terraform cannot get the AWS provider here (infra/README.md, Checks): {done.stderr[-600:]}")
    return copy


def test_files_are_formatted() -> None:
    done = terraform(ROOT / "infra", "fmt", "-check", "-recursive", "-diff")
    assert not done.returncode, done.stdout


def test_production_is_valid(infra: Path) -> None:
    done = terraform(infra / "envs" / "prod", "validate", "-no-color")
    assert not done.returncode, done.stderr


def test_rights_trust_pools_and_refusals_are_as_written(infra: Path) -> None:
    done = terraform(infra / "envs" / "dev", "test", "-no-color")
    assert not done.returncode, done.stdout + done.stderr
    assert "15 passed, 0 failed" in done.stdout
