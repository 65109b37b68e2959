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
import yaml

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
    roles = {m["metadata"]["name"]: m for m in helm.manifests("default") if m["kind"] in ("Role", "ClusterRole")}
    assert set(roles) == {"evernas-training", "evernas-receiver"}
    rights = {
        (rule["apiGroups"][0], rule["resources"][0], *rule.get("resourceNames", [])): rule["verbs"]
        for rule in roles["evernas-training"]["rules"]
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


def test_submitters_reach_kfps_api_and_no_other_service_or_pod() -> None:
    (role,) = [m for m in helm.manifests("everything") if m["metadata"]["name"] == "evernas-search-submitters"][:1]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "kubeflow")
    (rule,) = role["rules"]
    assert (rule["resources"], rule["resourceNames"]) == (["services/proxy"], ["ml-pipeline:8888"])
    assert rule["verbs"] == ["get", "create"]
    assert not [m for m in helm.manifests("default") if m["metadata"]["name"].endswith("-submitters")]


def test_pods_of_the_projects_runs_alone_are_made_read_only() -> None:
    made = [m for m in helm.manifests("everything") if m["kind"].startswith("MutatingAdmissionPolicy")]
    policy, binding = made
    assert binding["spec"]["policyName"] == policy["metadata"]["name"] == f"{helm.NAMESPACE}-evernas-search-read-only"
    where = {"matchLabels": {"kubernetes.io/metadata.name": "kubeflow"}}
    assert binding["spec"]["matchResources"] == {"namespaceSelector": where}
    assert policy["spec"]["failurePolicy"] == "Fail"
    matched = policy["spec"]["matchConstraints"]
    assert matched["namespaceSelector"] == where
    assert matched["objectSelector"]["matchLabels"] == {"evernas.dev/project": "watch", "evernas.dev/part": "run"}
    (rule,) = matched["resourceRules"]
    assert (rule["operations"], rule["resources"]) == (["CREATE"], ["pods"])
    (mutation,) = policy["spec"]["mutations"]
    expression = mutation["applyConfiguration"]["expression"]
    for containers in ("containers", "initContainers"):
        assert f"Object.spec.{containers}.securityContext{{readOnlyRootFilesystem: true}}" in expression
    assert 'sizeLimit: "512Mi"' in expression


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


def job_of_decision(case: str) -> dict[str, Any]:
    """The one Job that the receiver makes."""
    (made,) = [m for m in helm.manifests(case) if m["kind"] == "ConfigMap" and "job.yaml" in m["data"]]
    job: dict[str, Any] = yaml.safe_load(made["data"]["job.yaml"])
    return job


def secrets_of(pod: dict[str, Any]) -> set[str]:
    """All Secrets that a pod is given."""
    volumes = {v["secret"]["secretName"] for v in pod.get("volumes", []) if "secret" in v}
    whole = {one["secretRef"]["name"] for c in pod["containers"] for one in c.get("envFrom", [])}
    keys = [v["valueFrom"]["secretKeyRef"]["name"] for c in pod["containers"] for v in c["env"] if "valueFrom" in v]
    return volumes | whole | set(keys)


def test_promotion_and_decision_alone_are_given_what_writes_the_registry() -> None:
    given = {name: secrets_of(pod) for name, pod in pods("everything")}
    promoters = {name for name, secrets in given.items() if "evernas-mlflow-promoter" in secrets}
    assert promoters == {"evernas-search-promotion", "evernas-search-mlflow-users"}
    decision = job_of_decision("everything")["spec"]["template"]["spec"]
    assert secrets_of(decision) == {"gate", "store", "evernas-mlflow-promoter"}
    assert not [name for name, secrets in given.items() if "gate" in secrets]


def test_receiver_may_make_jobs_and_nothing_else_and_its_token_is_its_own() -> None:
    (role,) = [
        m for m in helm.manifests("default") if m["metadata"]["name"] == "evernas-receiver" and m["kind"] == "Role"
    ]
    assert role["rules"] == [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}]
    assert role["metadata"].get("namespace") is None, "in the release's namespace"
    with_token = {n for n, pod in pods("everything") if "serviceAccountToken" in json.dumps(pod.get("volumes", []))}
    assert with_token == {"evernas-search-receiver"}


def test_job_of_decision_is_what_kubernetes_takes_and_restricted() -> None:
    for case in ("default", "everything"):
        job = job_of_decision(case)
        named = {**job, "metadata": {**job["metadata"], "name": "decision"}}
        assert not list(validator("Job", "batch/v1").iter_errors(named))
        pod = job["spec"]["template"]["spec"]
        assert violations(pod) == []
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_jobs_of_the_receiver_are_held_to_the_template() -> None:
    name = f"{helm.NAMESPACE}-evernas-decision"
    (policy,) = [
        m
        for m in helm.manifests("default")
        if m["kind"] == "ValidatingAdmissionPolicy" and m["metadata"]["name"] == name
    ]
    (condition,) = policy["spec"]["matchConditions"]
    assert f"system:serviceaccount:{helm.NAMESPACE}:evernas-receiver" in condition["expression"]
    assert 'serviceAccountName.orValue("") == "evernas-decider"' in condition["expression"]
    rules = json.dumps(policy["spec"]["validations"])
    (container,) = job_of_decision("default")["spec"]["template"]["spec"]["containers"]
    assert json.dumps(container["command"]).replace('"', '\\"').replace(", ", ",") in rules
    assert container["image"] in rules
    assert {"name": "RUN", "value": ""} in container["env"]
    (binding,) = [m for m in helm.manifests("default") if m["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert binding["spec"]["policyName"] == name
    assert binding["spec"]["validationActions"] == ["Deny"]


@pytest.mark.parametrize("component", ["decision", "promotion"])
def test_job_apart_is_one_pod_with_the_templates_labels_and_all_of_its_environment(component: str) -> None:
    (policy,) = [
        m
        for m in helm.manifests("everything")
        if m["kind"] == "ValidatingAdmissionPolicy" and m["metadata"]["name"].endswith(f"-{component}")
    ]
    variables = {one["name"]: one["expression"] for one in policy["spec"]["variables"]}
    assert json.loads(variables["labels"])["app.kubernetes.io/component"] == component
    rules = [one["expression"] for one in policy["spec"]["validations"]]
    for held in (
        "object.spec.?parallelism.orValue(1) == 1 && object.spec.?completions.orValue(1) == 1",
        'object.spec.template.?metadata.?labels[?name].orValue("") == variables.labels[name]',
        "variables.environment.all(name, variables.container.?env.orValue([]).exists_one(one, one.name == name))",
        'variables.container.?terminationMessagePath.orValue("/dev/termination-log") == "/dev/termination-log"',
    ):
        assert [rule for rule in rules if held in rule], held


def test_mlflow_has_users_and_whoever_was_granted_nothing_may_nothing() -> None:
    (mlflow,) = [pod for name, pod in pods("default") if name == "evernas-mlflow"]
    (container,) = mlflow["containers"]
    assert "default_permission = NO_PERMISSIONS" in container["args"][0]
    assert '"--app-name", "basic-auth"' in container["args"][0]
    assert "evernas-mlflow-admin" in secrets_of(mlflow)
