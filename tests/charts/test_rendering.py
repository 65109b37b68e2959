"""The chart as the real helm renders it: what it makes, what it refuses, and that nothing of it has changed unseen."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

import helm
from evernas.config import parse_config

GOLDEN = Path(__file__).parent / "golden" / "default.yaml"
pytestmark = pytest.mark.skipif(not helm.found(), reason=helm.HOW)


def write_golden() -> None:
    """Write the golden file anew, where there is helm."""
    if not helm.found():
        print(f"{GOLDEN.name} of the chart was left as it is: {helm.HOW}")
        return
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(helm.rendered("default"))


def one(case: str, kind: str, name: str) -> dict[str, Any]:
    """The one manifest of this kind and name."""
    (manifest,) = [m for m in helm.manifests(case) if m["kind"] == kind and m["metadata"]["name"] == name]
    return manifest


def refusal(*options: str) -> str:
    """What helm says of values that the chart does not take."""
    done = helm.template(*helm.values_of("default"), *options)
    assert done.returncode
    return done.stderr


@pytest.mark.parametrize("case", helm.CASES)
def test_chart_is_clean_to_the_linter(case: str) -> None:
    done = helm.helm("lint", "--strict", str(helm.CHART), *helm.KUBERNETES, *helm.values_of(case))
    assert not done.returncode, done.stdout + done.stderr


def test_rendered_default_equals_the_golden_file() -> None:
    assert helm.rendered("default") == GOLDEN.read_text(), (
        "the chart changed: look at the difference, then `make golden`"
    )


def test_all_that_can_be_switched_off_is_off_and_all_that_can_be_on_is_on() -> None:
    bare = {(m["kind"], m["metadata"]["name"]) for m in helm.manifests("bare")}
    assert {kind for kind, _ in bare} == {"ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Pod"}
    kinds = {m["kind"] for m in helm.manifests("everything")}
    assert {
        "CronJob",
        "Deployment",
        "ExternalSecret",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "MutatingAdmissionPolicy",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceMonitor",
        "ValidatingAdmissionPolicy",
    } <= kinds


def test_key_that_the_chart_does_not_know_is_refused_by_name() -> None:
    assert "replica" in refusal("--set", "receiver.replica=3")


def test_value_of_the_wrong_kind_is_refused() -> None:
    assert "port" in refusal("--set", "receiver.port=http")
    assert "digest" in refusal("--set", "images.core.digest=latest")


def test_config_without_a_project_is_refused_with_what_to_give() -> None:
    assert "give the project's config" in refusal("--set", "config.project=null")


@pytest.mark.parametrize("what", ["postgresql", "objectStore", "kubernetesApi"])
def test_destination_that_is_not_given_is_asked_for(what: str) -> None:
    assert f"networkPolicies.{what}.to is empty" in refusal("--set-json", f"networkPolicies.{what}.to=[]")


def test_read_only_root_is_refused_where_the_cluster_cannot_be_asked_for_it() -> None:
    done = helm.template(*helm.values_of("everything"), serves=())
    assert done.returncode
    assert "this cluster serves no MutatingAdmissionPolicy: take Kubernetes 1.36 or newer" in done.stderr
    assert not helm.template(*helm.values_of("default"), serves=()).returncode, "it is off"


def test_policy_is_written_in_the_newest_version_that_the_cluster_serves() -> None:
    stable = helm.MUTATING.replace("v1beta1", "v1")
    done = helm.template(*helm.values_of("everything"), serves=(helm.MUTATING, stable))
    assert "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\n" in done.stdout


def test_read_only_roots_are_refused_where_another_release_makes_what_runs_need() -> None:
    assert "runs.create is false" in refusal("--set", "runs.create=false,runs.readOnlyRoot.enabled=true")


@pytest.mark.parametrize("size", ["", "0Gi", "1 Gi", "lots"])
def test_scratch_without_a_size_is_refused(size: str) -> None:
    assert "scratchSize" in refusal("--set", f"runs.readOnlyRoot.scratchSize={size}")


def test_config_is_accepted_by_evernas_and_says_what_the_place_decides() -> None:
    document = yaml.safe_load(one("default", "ConfigMap", "evernas-config")["data"]["evernas.yaml"])
    config = parse_config(document, "the chart")
    assert config.triggers is not None
    assert (config.triggers.host, config.triggers.port) == ("0.0.0.0", 8750)
    assert config.triggers.database is not None
    assert config.triggers.database.env == "INBOX_URL"
    assert config.triggers.submit.kfp is not None
    assert config.triggers.submit.kfp.service_account == one("default", "Role", "evernas-training")["metadata"]["name"]
    assert [source.name for source in config.triggers.sources] == ["lake"]


def test_what_the_config_says_counts_before_what_the_place_decides() -> None:
    rendered = helm.rendered("default", "--set", "config.triggers.submit.kfp.host=http://elsewhere:80")
    assert "host: http://elsewhere:80" in rendered


def pinned(*options: str) -> str | None:
    """The pipeline version that receivers submit and the schedule uploads."""
    made = [document for document in yaml.safe_load_all(helm.rendered("default", *options)) if document]
    (config,) = [m for m in made if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "evernas-config"]
    version: str | None = yaml.safe_load(config["data"]["evernas.yaml"])["triggers"]["submit"]["kfp"].get("version")
    return version


def test_receivers_submit_the_pipeline_of_their_own_release_also_after_a_rollback() -> None:
    first = pinned()
    assert first
    for option in ("config.cluster.ttl_hours=3", "images.core.tag=v2", "config.seed=7"):
        assert pinned("--set", option) != first, option
    assert pinned("--set", "config.triggers.schedule.cron=0 0 3 * * *") == first, "it is no part of the pipeline"
    assert pinned("--set", "config.triggers.submit.kfp.version=3f2c1ab") == "3f2c1ab"
    for option in ("schedule.enabled=false", "config.cluster=null"):
        assert pinned("--set", option) is None, "somebody else uploads it"


def test_changed_config_starts_new_receivers_and_leaves_mlflow_alone() -> None:
    changed = list(yaml.safe_load_all(helm.rendered("default", "--set", "config.seed=7")))
    pods = {m["metadata"]["name"]: m["spec"]["template"] for m in changed if m and m["kind"] == "Deployment"}
    assert pods["evernas-receiver"] != one("default", "Deployment", "evernas-receiver")["spec"]["template"]
    assert pods["evernas-mlflow"] == one("default", "Deployment", "evernas-mlflow")["spec"]["template"]


def test_selectors_hold_nothing_that_an_upgrade_changes() -> None:
    for name in ("evernas-receiver", "evernas-mlflow"):
        selector = one("default", "Deployment", name)["spec"]["selector"]["matchLabels"]
        assert set(selector) == {f"app.kubernetes.io/{part}" for part in ("name", "instance", "component")}


def test_image_by_digest_counts_before_its_tag() -> None:
    (container,) = one("everything", "Deployment", "evernas-search-receiver")["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("registry.example.com/evernas/core@sha256:1111")


def test_migration_runs_before_anything_is_changed_and_the_schedule_after() -> None:
    hooks = {
        name: one("default", "Job", name)["metadata"]["annotations"]["helm.sh/hook"]
        for name in ("evernas-migration", "evernas-schedule", "evernas-unschedule")
    }
    assert hooks == {
        "evernas-migration": "pre-install,pre-upgrade",
        "evernas-schedule": "post-install,post-upgrade,post-rollback",
        "evernas-unschedule": "pre-delete",
    }


def accepted(values: dict[str, Any]) -> list[dict[str, Any]]:
    """What the chart makes of values; the config that it writes must be one."""
    lookup = ["--set-json", 'networkPolicies.kubernetesApi.to=[{"ipBlock":{"cidr":"10.0.0.0/24"}}]']
    given = yaml.safe_dump(values)
    done = helm.template(*lookup, "--values", "-", given=given)
    assert not done.returncode, done.stderr
    made = [document for document in yaml.safe_load_all(done.stdout) if document]
    (config,) = [m for m in made if m["kind"] == "ConfigMap" and m["metadata"]["name"] == "evernas-config"]
    parse_config(yaml.safe_load(config["data"]["evernas.yaml"]), "the chart")
    return made


def test_values_for_aws_need_nothing_but_terraforms_outputs_and_the_config() -> None:
    words = ("image_core", "image_mlflow", "bucket", "region", "namespace_runs", "vpc_cidr")
    outputs = {word: word.replace("_", "-") for word in words} | {"vpc_cidr": "10.0.0.0/16"}
    values = yaml.safe_load(Template((helm.CHART / "values-aws.yaml").read_text()).substitute(outputs))
    config = yaml.safe_load((helm.ROOT / "examples" / "watch" / "cluster.yaml").read_text())
    made = accepted({**values, "config": config})
    (role,) = [m for m in made if m["kind"] == "Role" and m["metadata"]["name"] == "evernas-training"]
    assert "secrets" not in str(role["rules"]), "Pod Identity gives the keys"


def test_values_and_config_of_the_page_for_kind_are_accepted() -> None:
    page = (helm.ROOT / "docs" / "cluster-local.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    accepted(yaml.safe_load(textwrap.dedent(block)))


def test_config_without_a_cluster_is_scheduled_and_not_uploaded() -> None:
    with_it, without = helm.rendered("default"), helm.rendered("default", "--set", "config.cluster=null")
    assert "evernas-pipelines, schedule, --upload, /etc" in with_it
    assert "evernas-pipelines, schedule, /etc" in without
