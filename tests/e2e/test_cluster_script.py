"""The trial on a cluster, as far as it can be told without one: what it asks of the environment, what it installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import helm

FOLDER = Path(__file__).parent / "cluster"
GIVEN = {
    "KUBECONFIG": "/nowhere",
    "KFP_HOST": "http://192.0.2.7:8888",
    "S3_ENDPOINT": "http://192.0.2.8:9000",
    "S3_ACCESS_KEY": "access",
    "S3_SECRET_KEY": "secret",
    "POSTGRES_URL": "postgresql://u:p@192.0.2.9:5544/postgres",
    "IMAGE_REPOSITORY": "registry.example.com/evernas",
    "IMAGE_TAG": "v1",
}


KIND = FOLDER.parents[2] / "examples" / "kind"
# What the script for kind calls: each says what the real one would, and what it was given is kept.
STAND_IN = """#!/bin/sh
name="$(basename "$0")"
echo "$name $*" >> "$CALLS"
case "$name $*" in
*inspect*evernas-s3) echo 192.0.2.8 ;;
*inspect*evernas-postgresql) echo 192.0.2.9 ;;
"kind get kubeconfig"*) echo kubeconfig ;;
*"get nodes"*) echo 192.0.2.7 ;;
*"get service"*) echo 30888 ;;
*"apply -f -") cat > "$CALLS.applied" ;;
make*) env > "$CALLS.environment"; cat "$KUBECONFIG" > "$CALLS.kubeconfig" ;;
esac
"""


def on_kind(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What the script for kind says, and the commands that it gave."""
    for name in ("docker", "kind", "kubectl", "make"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    given = {"PATH": f"{folder}:/usr/bin:/bin", "CALLS": str(folder / "calls")}
    done = subprocess.run([KIND / "cluster.sh", *arguments], env=given, text=True, capture_output=True, check=False)
    calls = folder / "calls"
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_trial_on_kind_is_given_all_that_the_trial_asks_for(modules: SimpleNamespace, tmp_path: Path) -> None:
    done, calls = on_kind(tmp_path, "trial", "dev")
    assert not done.returncode, done.stderr
    environment = dict(
        line.split("=", 1) for line in (tmp_path / "calls.environment").read_text().splitlines() if "=" in line
    )
    given = modules.settings.Settings.of(environment)
    assert given.kfp_host == "http://192.0.2.7:30888"
    assert given.separate, "who decides has keys of its own"
    assert (given.s3_endpoint, given.image("core")["tag"]) == ("http://192.0.2.8:9000", "dev")
    assert "@192.0.2.9:5432/" in given.postgres_url
    assert (tmp_path / "calls.kubeconfig").read_text() == "kubeconfig\n"
    assert not Path(environment["KUBECONFIG"]).exists(), "it is removed at the end"
    (made,) = [call for call in calls if call.startswith("make")]
    assert made.endswith("e2e-cluster")
    service, slice_ = yaml.safe_load_all((tmp_path / "calls.applied").read_text())
    assert slice_["endpoints"] == [{"addresses": ["192.0.2.8"]}]
    assert {p["name"]: p["targetPort"] for p in service["spec"]["ports"]} == {
        p["name"]: p["port"] for p in slice_["ports"]
    }
    # KFP's Secret for its object store holds these; whoever decides is another.
    assert any("create-user --access minio --secret minio123 --role userplus" in call for call in calls)
    assert given.s3_access_key == "minio"


def test_script_for_kind_installs_the_kfp_that_is_deployed_and_says_what_it_takes(tmp_path: Path) -> None:
    deployed = (FOLDER.parents[2] / "infra" / "deploy" / "deploy.py").read_text()
    done, calls = on_kind(tmp_path, "up")
    assert not done.returncode, done.stderr
    versions = {call.partition("ref=")[2] for call in calls if "ref=" in call}
    assert [f'KFP_VERSION = "{version}"' in deployed for version in versions] == [True]
    for arguments in ((), ("dance",), ("trial",)):
        refused, _ = on_kind(tmp_path, *arguments)
        assert refused.returncode
    assert "name the tag of the images" in refused.stderr


def test_service_of_the_store_on_kind_is_where_kfps_launcher_looks() -> None:
    providers = yaml.safe_load(yaml.safe_load((KIND / "launcher.yaml").read_text())["data"]["providers"])
    service, _ = yaml.safe_load_all((KIND / "store.yaml").read_text())
    where = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert providers["s3"]["default"]["endpoint"] in [f"http://{where}:{p['port']}" for p in service["spec"]["ports"]]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The script's modules, which nothing else shall find."""
    monkeypatch.syspath_prepend(FOLDER)
    # The script finds the watch example by a path of its own.
    monkeypatch.syspath_prepend(FOLDER.parents[2] / "examples" / "watch")
    before = set(sys.modules)
    found = SimpleNamespace(**{name: __import__(name) for name in ("settings", "release", "checks")})
    for name in {"cluster", "settings", "release", "runs", "probes", "checks", "deliver", "arrival"} - before:
        monkeypatch.delitem(sys.modules, name)
    return found


def place(modules: SimpleNamespace) -> Any:
    return modules.release.Place(modules.settings.Settings.of(GIVEN), modules.settings.Names("a1b2c3"))


def values(modules: SimpleNamespace, **config: Any) -> dict[str, Any]:
    found: dict[str, Any] = place(modules).values([{"ipBlock": {"cidr": "192.0.2.5/32"}}], **config)
    return found


def test_first_batch_brings_the_judges_and_the_second_one_wearer(modules: SimpleNamespace) -> None:
    first, second, *_ = modules.checks.batches(SimpleNamespace(place=place(modules)))
    assert first[:5] == ["2", "7", "9", "3", "8"]
    assert len(first) > 5, "somebody trains"
    assert len(second) == 1


def test_what_the_environment_lacks_is_named_before_anything_is_made(tmp_path: Path) -> None:
    for tool in ("kubectl", "helm"):
        (tmp_path / tool).symlink_to("/bin/false")
    given = {**os.environ, **GIVEN, "POSTGRES_URL": "", "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(FOLDER)], env=given, text=True, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("The environment lacks POSTGRES_URL, a PostgreSQL server")


def test_keys_of_whoever_decides_come_in_pairs_and_go_to_the_decision_alone(modules: SimpleNamespace) -> None:
    settings = modules.settings.Settings
    with pytest.raises(ValueError, match="belong together"):
        settings.of({**GIVEN, "S3_PROMOTER_ACCESS_KEY": "promoter"})
    assert not settings.of(GIVEN).separate
    given = settings.of({**GIVEN, "S3_PROMOTER_ACCESS_KEY": "promoter", "S3_PROMOTER_SECRET_KEY": "other"})
    assert given.separate
    assert given.s3_keys["AWS_ACCESS_KEY_ID"] == "access"
    assert given.promoter_keys["AWS_ACCESS_KEY_ID"] == "promoter"
    said = modules.release.Place(given, modules.settings.Names("a1b2c3")).bucket_policy()["Statement"]
    assert {statement["Principal"]["AWS"][0] for statement in said} == {"access"}
    denied = {(action, on) for s in said if s["Effect"] == "Deny" for action in s["Action"] for on in s["Resource"]}
    assert ("s3:GetObject", "arn:aws:s3:::evernas-e2e-a1b2c3/state/gate/*") in denied
    assert ("s3:PutObject", "arn:aws:s3:::evernas-e2e-a1b2c3/state/registry/*") in denied


@pytest.mark.skipif(not helm.found(), reason=helm.HOW)
def test_chart_takes_its_values_and_writes_a_config(modules: SimpleNamespace) -> None:
    from evernas.config import parse_config

    where = ["--set-json", 'networkPolicies.kubernetesApi.to=[{"ipBlock":{"cidr":"192.0.2.1/32"}}]']
    done = helm.template(*where, "--values", "-", given=yaml.safe_dump(values(modules)))
    assert not done.returncode, done.stderr
    made = [document for document in yaml.safe_load_all(done.stdout) if document]
    (config,) = [m for m in made if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "e2e-a1b2c3-config"]
    parsed = parse_config(yaml.safe_load(config["data"]["evernas.yaml"]), "the chart")
    assert parsed.project == "e2e-a1b2c3"
    assert parsed.triggers is not None
    assert parsed.triggers.submit.kfp is not None
    assert parsed.triggers.submit.kfp.service_account == "e2e-a1b2c3-training"
    (policy,) = [m for m in made if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "e2e-a1b2c3-runs"]
    named = {peer["ipBlock"]["cidr"] for e in policy["spec"]["egress"] for peer in e["to"] if "ipBlock" in peer}
    assert named == {"192.0.2.8/32", "192.0.2.5/32", "192.0.2.1/32"}, "PostgreSQL is not for runs"
