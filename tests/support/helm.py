"""The chart, rendered by the real helm over a matrix of values; for the chart's tests and its golden file."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "evernas"
CASES = ("default", "everything", "bare")
HOW = (
    "helm is not on the PATH: install 3.16 or newer (helm.sh/docs/intro/install, or with Go: "
    "go install helm.sh/helm/v3/cmd/helm@v3.18.6), then run the tests again."
)
RELEASE, NAMESPACE = "evernas", "nas"
# What the chart is rendered for, whatever cluster this helm was made for.
KUBERNETES = ("--kube-version", "1.34.0")
# What such a cluster serves beside what helm itself knows, where its API server is told to.
MUTATING = "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"


def found() -> bool:
    """Whether helm can be run."""
    return shutil.which("helm") is not None


def values_of(case: str) -> list[str]:
    """The options that give a case's values."""
    files = ["default"] if case == "default" else ["default", case]
    return [part for name in files for part in ("--values", str(CHART / "ci" / f"{name}-values.yaml"))]


def helm(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; its output is the caller's to judge."""
    return subprocess.run(["helm", *arguments], input=given, text=True, capture_output=True, check=False)


def template(
    *options: str, given: str | None = None, serves: Sequence[str] = (MUTATING,)
) -> subprocess.CompletedProcess[str]:
    """Render the chart with these values, for a cluster that serves these kinds too."""
    cluster = [*KUBERNETES, *(part for kind in serves for part in ("--api-versions", kind))]
    return helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *cluster, *options, given=given)


def rendered(case: str, *options: str) -> str:
    """The chart's manifests as text."""
    done = template(*values_of(case), *options)
    assert not done.returncode, done.stderr
    return done.stdout


@functools.cache
def manifests(case: str) -> tuple[dict[str, Any], ...]:
    """The chart's manifests; not to be changed."""
    return tuple(document for document in yaml.safe_load_all(rendered(case)) if document)
