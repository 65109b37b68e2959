"""What the chart makes, as a security engineer reads it: Kubernetes' strict schemas, `restricted`, rights, routes."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

import helm

pytestmark = pytest.mark.skipif(not helm.found(), reason=helm.HOW)
# Defined by operators; Kubernetes has no schema of them.
FOREIGN = ("monitoring.coreos.com/v1", "external-secrets.io/v1")


@functools.cache
def schemas() -> Path:
    """The folder of Kubernetes' strict schemas."""
    package = pytest.importorskip("kubernetes_validate", reason="Kubernetes' schemas: pip install kubernetes-validate")
    return Path(package.__file__).parent / "kubernetes-json-schema" / "v1.34.0-local-strict"


@functools.cache
def definitions() -> referencing.Registry:
    """What all schemas refer to."""
    contents = json.loads((schemas() / "_definitions.json").read_text())
    resource = referencing.Resource.from_contents(contents, referencing.jsonschema.DRAFT7)
    return referencing.Registry().with_resource("_definitions.json", resource)


@functools.cache
def validator(kind: str, version: str) -> jsonschema.Draft7Validator:
    """What checks a manifest of this kind."""
    group, _, number = version.rpartition("/")
    stem = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    schema = json.loads((schemas() / f"{stem}.json").read_text())
    return jsonschema.Draft7Validator(schema, registry=definitions())


def pods(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that the chart starts or describes, with its name."""
    for manifest in helm.manifests(case):
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        pod = spec if manifest["kind"] == "Pod" else spec.get("template", {}).get("spec")
        if pod is not None:
            yield manifest["metadata"]["name"], pod


def violations(pod: dict[str, Any]) -> list[str]:
    """What the pod security standard `restricted` would refuse; kubernetes.io/docs/concepts/security has its table."""
    found = []
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found += [f"volume {v['name']}" for v in pod.get("volumes", []) if not set(v) - {"name"} <= allowed]
    found += [key for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if pod.get(key)]
    whole = pod.get("securityContext", {})
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        own = {**whole, **container.get("securityContext", {})}
        if not own.get("runAsNonRoot") or own.get("runAsUser") == 0:
            found.append("may run as root")
        if own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("no seccomp profile")
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            found.append("may gain privileges")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append("has capabilities")
        found += [f"host port {p['hostPort']}" for p in container.get("ports", []) if "hostPort" in p]
    return found


@pytest.mark.parametrize("case", helm.CASES)
def test_every_manifest_is_what_kubernetes_takes(case: str) -> None:
    wrong = [
        f"{manifest['kind']} {manifest['metadata']['name']}: {error.json_path} {error.message}"
        for manifest in helm.manifests(case)
        if manifest["apiVersion"] not in FOREIGN
        for error in validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest)
    ]
    assert wrong == []


@pytest.mark.parametrize("case", helm.CASES)
def test_every_pod_is_restricted_and_more(case: str) -> None:
    found = dict(pods(case))
    assert found
    for name, pod in found.items():
        assert violations(pod) == [], name
        assert pod["automountServiceAccountToken"] is False, f"{name} asks nothing of Kubernetes"
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert set(container["resources"]) == {"requests", "limits"}, name


def test_the_check_of_restricted_sees_each_violation() -> None:
    good = dict(pods("default"))["evernas-receiver"]
    container = good["containers"][0]
    for change, said in (
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "volume host"),
        ({"securityContext": {}}, "may run as root"),
        ({"containers": [{**container, "securityContext": {}}]}, "has capabilities"),
    ):
        assert said in violations({**good, **change})


def test_runs_have_the_rights_that_the_launcher_uses_and_no_other() -> None:
    roles = [m for m in helm.manifests("default") if m["kind"] in ("Role", "ClusterRole")]
    (role,) = roles
    rights = {
        (rule["apiGroups"][0], rule["resources"][0], *rule.get("resourceNames", [])): rule["verbs"]
        for rule in role["rules"]
    }
    assert rights == {
        ("", "configmaps", "kfp-launcher"): ["get"],
        ("", "secrets", "mlpipeline-minio-artifact"): ["get"],
        ("argoproj.io", "workflowtaskresults"): ["create", "patch"],
        ("", "pods"): ["get"],
    }


def test_no_right_is_on_everything_and_none_is_for_the_whole_cluster() -> None:
    for manifest in helm.manifests("everything"):
        assert manifest["kind"] not in ("ClusterRole", "ClusterRoleBinding")
        for rule in manifest.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if "secrets" in rule["resources"]:
                assert rule["resourceNames"]


def policies(case: str) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m for m in helm.manifests(case) if m["kind"] == "NetworkPolicy"}


def test_nothing_goes_in_or_out_of_the_release_but_what_is_named() -> None:
    deny = policies("default")["evernas-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, policy in policies("everything").items():
        for way in ("ingress", "egress"):
            for rule in policy["spec"].get(way, []):
                assert rule.get("to") or rule.get("from"), f"{name}: a rule without peers allows everybody"
                assert rule.get("ports"), f"{name}: a rule without ports allows all of them"
                assert {} not in [*rule.get("to", []), *rule.get("from", [])], name


def test_pods_with_our_code_have_no_route_to_kfps_api() -> None:
    runs = policies("default")["evernas-runs"]
    assert runs["metadata"]["namespace"] == "kubeflow"
    assert runs["spec"]["podSelector"]["matchLabels"] == {"evernas.dev/project": "watch", "evernas.dev/part": "run"}
    assert runs["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in runs["spec"]
    ports = {port["port"] for rule in runs["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 6443, 8080, 5000}
    assert "ml-pipeline" not in json.dumps(runs["spec"])


def test_only_receiver_and_schedule_reach_kfps_api() -> None:
    reaching = {name for name, policy in policies("default").items() if "ml-pipeline" in json.dumps(policy["spec"])}
    assert reaching == {"evernas-receiver", "evernas-schedule"}


def test_secrets_are_named_and_never_written() -> None:
    assert not [m for case in helm.CASES for m in helm.manifests(case) if m["kind"] == "Secret"]
    for _, pod in pods("everything"):
        for container in pod["containers"]:
            for variable in container["env"]:
                assert not variable.get("value") or "PASSWORD" not in variable["name"]


def test_promotion_alone_is_given_the_promoters_secrets() -> None:
    given = {
        name
        for name, pod in pods("everything")
        if any("promoter" in json.dumps(c.get("envFrom", [])) for c in pod["containers"])
    }
    assert given == {"evernas-search-promotion"}
