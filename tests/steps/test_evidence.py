"""The evidence of a decision is read by its version: that of the last release decides again, a newer one is refused."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.config import Config
from evernas.errors import IntegrityError
from evernas.gate import Agreement, Claim, Evidence, Measured
from evernas.loop.verification import same
from evernas.state import Home, RunManifest
from evernas.steps.evidence import BY_DOMAIN, EVIDENCE_VERSION, decide_again, evidence_document

PREVIOUS = Path(__file__).parents[1] / "state" / "previous" / "state.tar.xz"
# What each version names. Another field is another version: an evernas that does not know it cannot decide again.
FIELDS = {
    3: {
        Evidence: "candidate champion labels domains groups anchor new_classes classes corrupted worse_under",
        Measured: "digest answers latency_ms latency_p95_ms size_kb peak_memory_mb agreement cold_start_ms energy_mj "
        "load_p95_ms cost_per_million scores robust_error worst_domain_error",
        Agreement: "compared differing same_scores",
        Claim: "decision level left",
    }
}


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Config, dict[str, Any], Any]:
    """The config, the told verdict and the evidence of a promotion that the last release left."""
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(tmp_path, filter="data")
    home = Home(tmp_path / "home")
    (run,) = (path.name for path in home.runs.iterdir())
    (step,) = (home.steps("tiny") / "gate").iterdir()
    told = json.loads((step / "done.json").read_text())["facts"]["verdict"]
    return RunManifest.read(home, run).config, told, json.loads((step / "evidence.json").read_text())


def test_evidence_of_the_last_release_decides_the_same_again(kept: tuple[Config, dict[str, Any], Any]) -> None:
    config, told, evidence = kept
    assert evidence["version"] == 2 < EVIDENCE_VERSION
    assert "worse_under" not in evidence["evidence"]
    again = decide_again(evidence, config, "laptop")
    assert again["outcome"] == "promote"
    assert same(again, told)


@pytest.mark.parametrize("version", [EVIDENCE_VERSION + 1, 99])
def test_evidence_of_a_newer_evernas_is_refused_with_what_to_do(
    kept: tuple[Config, dict[str, Any], Any], version: int
) -> None:
    config, _, evidence = kept
    with pytest.raises(IntegrityError, match=r"written by a newer evernas: it has version .* Upgrade evernas here"):
        decide_again({**evidence, "version": version}, config, "laptop")


@pytest.mark.parametrize("version", [0, 1, None, "3", [2]])
def test_evidence_of_no_version_that_is_read_is_none(kept: tuple[Config, dict[str, Any], Any], version: Any) -> None:
    config, _, evidence = kept
    with pytest.raises(IntegrityError, match="no evidence of the gate"):
        decide_again({**evidence, "version": version}, config, "laptop")


def test_what_evidence_names_has_a_version_of_its_own() -> None:
    for kind, names in FIELDS[BY_DOMAIN].items():
        assert [field.name for field in dataclasses.fields(kind)] == names.split()


def test_evidence_is_written_with_the_version_that_has_all_of_its_fields() -> None:
    shown = Evidence(Measured("a", np.zeros(1, int)), None, np.zeros(1, int), ["d"], ["r"])
    document = evidence_document(shown, {})
    assert document["version"] == BY_DOMAIN == 3
    assert {"corrupted", "worse_under"} <= document["evidence"].keys()


def test_evidence_of_domains_that_were_trained_on_is_none_to_an_earlier_evernas() -> None:
    shown = Evidence(Measured("a", np.zeros(1, int)), None, np.zeros(1, int), ["d"], ["r"])
    assert evidence_document(shown, {"within": True})["version"] == EVIDENCE_VERSION == BY_DOMAIN + 1
    assert evidence_document(shown, {"within": False})["version"] == BY_DOMAIN
