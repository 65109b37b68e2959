"""What is asserted of evernas on a cluster: a function each."""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cluster import helm, kubectl, may, objects, refusal, wait_until
from probes import Pods, declared, undeclared
from release import NIGHTLY, RELEASE, ROOT, RUNS_NAMESPACE, Place, changes_pods
from runs import ENDED, Runs

from evernas.config import parse_config

sys.path.insert(0, str(ROOT / "examples" / "watch"))
from deliver import WATCH

MOST_NIGHTLY_S = 90.0
# Far longer than the config's debounce and the receiver's look at its inbox.
QUIET_S = 25.0
# Ingest, validate, supernet, profile, search, probe, refine, finalists, benchmark, the hand-over, and the exit handler.
STEPS_OF_A_RUN = 11
DECISION_S = 600.0
EVERY_MINUTE = "0 * * * * *"
# What a training pod must not do, and by what it is prevented.
BY_KFP, BY_MLFLOW, BY_S3 = ("start",), ("alias", "model"), ("overwrite", "judges")


@dataclass
class Trial:
    """A place, the runs there, and what was seen so far."""

    place: Place
    runs: Runs
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    """Runs that failed with the pod that was deleted, each with another in its place that did not."""
    said: list[str] = field(default_factory=list)

    @property
    def names(self) -> Any:
        return self.place.names


def release_answers(trial: Trial) -> None:
    """`helm test`: the receiver is ready, MLflow answers, and what is not named is not reached."""
    helm("test", RELEASE, "--namespace", trial.names.namespace, "--timeout", "300s")


def nightly_run_is_scheduled(trial: Trial, cron: str = NIGHTLY) -> str:
    """One recurring run, of a pinned version, one at a time, under the account of runs; returns the version's id."""
    (recurring,) = trial.runs.recurring()
    assert recurring.display_name == f"{trial.names.project}-nightly"
    assert recurring.trigger.cron_schedule.cron == cron
    assert (int(recurring.max_concurrency), recurring.no_catchup) == (1, True)
    assert recurring.service_account == trial.names.account
    return str(recurring.pipeline_version_reference.pipeline_version_id)


def bring(trial: Trial, wearers: list[str]) -> str:
    """Put the recordings of wearers into the bucket; the key of the last."""
    with tempfile.TemporaryDirectory() as folder:
        WATCH.write(Path(folder), wearers)
        for path in sorted(Path(folder).iterdir()):
            key = f"raw/{path.name}"
            trial.place.s3.upload_file(str(path), trial.names.bucket, key)
    return key


def batches(trial: Trial) -> list[list[str]]:
    wearers = sorted({item["domain"] for item in WATCH.rows()}, key=int)
    return WATCH.batches(parse_config(trial.place.config(), "the trial's config"), wearers)


def first_batch_makes_a_champion(trial: Trial) -> None:
    """Data, a signed event, the run that it starts, and the champion in the cluster's MLflow."""
    assert trial.place.champion() is None
    known = trial.runs.known()
    key = bring(trial, batches(trial)[0])
    status, said = trial.place.post(key, "1")
    assert status == 202, f"the receiver answers {status}: {said}"
    run = trial.runs.new(known)
    assert run.pipeline_version_reference.pipeline_version_id == nightly_run_is_scheduled(trial)
    trial.first = {"run": trial.runs.ended(run.run_id)}
    result = decided(trial, run.display_name)
    assert result["outcome"] == "promoted", result["outcome"]
    (device,) = result["devices"]
    champion = trial.place.champion()
    assert champion is not None
    tags = {tag["key"]: tag["value"] for tag in champion["tags"]}
    assert tags["evernas.bundle"] == device["champion_after"]["bundle"]
    assert tags["evernas.run"] == run.display_name
    trial.first["result"] = result
    assert trial.place.keys("kfp/"), "KFP keeps what is the run's under the root that the config names"


def decided(trial: Trial, run: str) -> Any:
    """The result of a run, once the Job that the receiver made has decided on what it handed over."""
    namespace = trial.names.namespace
    result = f"state/candidates/state/_runs/{run}/result.json"

    def found() -> bool:
        for job in objects("job", namespace, "app.kubernetes.io/component=decision"):
            failed = [c for c in job["status"].get("conditions", []) if c["type"] == "Failed"]
            if failed:
                said = kubectl("-n", namespace, "logs", f"job/{job['metadata']['name']}", "--tail=40")
                raise AssertionError(f"{failed[0].get('message')}\n{said}")
        return bool(trial.place.keys(result))

    wait_until(found, f"the decision on {run}", DECISION_S)
    waiting = f"state/candidates/state/{trial.names.project}/handed-over/"
    wait_until(lambda: not trial.place.keys(waiting), "the end of the decision", 60)
    return trial.place.document(run, "result.json")


def every_steps_pod_is_restricted(trial: Trial) -> None:
    """Each pod of the first run, offered to a namespace that enforces `restricted`, is taken; none holds the key."""
    pods = trial.runs.pods(trial.first["run"].run_id)
    assert "EVERNAS_GATE_KEY" not in json.dumps(pods)
    assert len(pods) >= STEPS_OF_A_RUN, [pod["metadata"]["name"] for pod in pods]
    refused = {pod["metadata"]["name"]: why for pod in pods if (why := refusal(offered(pod, trial.names.namespace)))}
    assert not refused, refused
    control = offered(pods[0], trial.names.namespace)
    control["spec"]["hostNetwork"] = True
    assert "violates PodSecurity" in refusal(control), "the namespace refuses nothing"


def every_steps_root_is_read_only(trial: Trial) -> None:
    """Each container of the first run's steps had a read-only root, where the cluster can be asked for it."""
    if not changes_pods():
        trial.said.append("not tried: read-only roots of steps, since the cluster serves no MutatingAdmissionPolicy")
        return
    for pod in trial.runs.pods(trial.first["run"].run_id):
        for container in [*pod["spec"]["containers"], *pod["spec"]["initContainers"]]:
            name = f"{container['name']} of {pod['metadata']['name']}"
            assert container["securityContext"]["readOnlyRootFilesystem"], name


def offered(pod: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A pod as it would be made in another namespace."""
    spec = copy.deepcopy(pod["spec"])
    for name in ("nodeName", "serviceAccount", "serviceAccountName", "priority", "preemptionPolicy"):
        spec.pop(name, None)
    token = {volume["name"] for volume in spec["volumes"] if volume["name"].startswith("kube-api-access")}
    spec["volumes"] = [volume for volume in spec["volumes"] if volume["name"] not in token]
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        container["volumeMounts"] = [m for m in container.get("volumeMounts", []) if m["name"] not in token]
    metadata = {"name": "offered", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def next_batch_survives_the_loss_of_its_training_pod(trial: Trial) -> None:
    """The next wearer: training starts from the first supernet, its pod is deleted meanwhile, and a verdict comes.

    The pod's work is gone on with by another pod, of the same run or of the one that the receiver makes in its place.
    """
    known = trial.runs.known()
    key = bring(trial, batches(trial)[1])
    trial.second = {"key": key, "version": "2", "message": f"second-{trial.names.number}", "moment": int(time.time())}
    assert trial.place.post(**trial.second)[0] == 202
    begun = trial.runs.new(known)
    pod = training_pod_at_work(trial, begun)
    kubectl("-n", RUNS_NAMESPACE, "delete", "pod", pod, "--grace-period=1", "--wait=false")
    run = trial.runs.ended_at_last(begun.run_id, known)
    trial.lost |= {begun.run_id} - {run.run_id}
    result = decided(trial, run.display_name)
    assert result["supernet"]["parent"] == trial.first["result"]["supernet"]["digest"], "a warm start"
    both = sorted({begun.display_name, run.display_name})
    trained = [trial.place.document(name, "steps/supernet.json") for name in both]
    assert sum(len(account["attempts"]) for account in trained) == 2, trained
    assert len({account["ref"] for account in trained}) == 1, "it is the same work that is gone on with"
    (device,) = result["devices"]
    assert device["verdict"]["outcome"] in ("promote", "hold")
    trial.said.append(
        f"the second run's verdict: {device['verdict']['outcome']}; its training pod was lost, and its work resumed by "
        + ("another pod of the run" if run.run_id == begun.run_id else "a run that the receiver made in its place")
    )
    champion = trial.place.champion()
    assert champion is not None
    tags = {tag["key"]: tag["value"] for tag in champion["tags"]}
    assert tags["evernas.bundle"] == device["champion_after"]["bundle"]


def training_pod_at_work(trial: Trial, run: Any) -> str:
    """The pod of a run's supernet step, once it has left a checkpoint in the bucket."""
    prefix = f"state/candidates/state/{trial.names.project}/steps/supernet/"
    before = {key for key in trial.place.keys(prefix) if "/work/" in key}

    def found() -> str | None:
        working = [k for k in trial.place.keys(prefix) if "/work/" in k and k not in before]
        if not working:
            assert trial.runs.client.get_run(run.run_id).state != "FAILED", trial.runs.told(run.run_id)
            return None
        pods = trial.runs.pods(run.run_id)
        (pod,) = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
        return str(pod)

    pod = wait_until(found, "a checkpoint of the training", 600)
    assert pod is not None
    return pod


def same_event_starts_no_run(trial: Trial) -> None:
    """The second batch's event once more: signed anew it is known, and the same request again is a replay."""
    known = trial.runs.known()
    again = {**trial.second, "moment": int(time.time())}
    assert trial.place.post(**again)[0] == 202
    assert trial.place.post(**again)[0] == 409
    time.sleep(QUIET_S)
    assert trial.runs.known() == known


def nightly_run_with_nothing_new_is_short(trial: Trial, known: set[str]) -> None:
    """What the schedule starts executes ingest and the exit handler, in less than 90 s."""
    run = trial.runs.ended(trial.runs.new(known, 150).run_id)
    seconds = (run.finished_at - run.created_at).total_seconds()
    pods = trial.runs.pods(run.run_id)
    assert len(pods) == 2, [pod["metadata"]["name"] for pod in pods]
    trial.said.append(f"a nightly run with nothing new took {seconds:.0f} s, as KFP counts")
    assert seconds < MOST_NIGHTLY_S, f"{seconds:.0f} s"


def upgrade_pins_the_new_pipeline_and_rollback_the_old(trial: Trial) -> None:
    """An upgrade uploads and schedules its own pipeline; a night passes under it; a rollback goes back to the first."""
    before = nightly_run_is_scheduled(trial)
    known = trial.runs.known()
    trial.place.install(cron=EVERY_MINUTE, ttl_hours=3)
    assert nightly_run_is_scheduled(trial, EVERY_MINUTE) != before
    nightly_run_with_nothing_new_is_short(trial, known)
    # One that works while its schedule is replaced goes on to its end.
    wait_until(lambda: [run for run in trial.runs.all() if run.state not in ENDED], "the next nightly run", 150)
    trial.place.roll_back()
    assert nightly_run_is_scheduled(trial) == before
    release_answers(trial)
    for run in trial.runs.all():
        if run.run_id not in trial.lost:
            trial.runs.ended(run.run_id)


def training_pod_reaches_what_is_declared_and_nothing_else(trial: Trial, pods: Pods) -> None:
    names = {**declared(trial.place), **undeclared(trial.place)}
    training, other = pods.reaches(pods.training, names), pods.reaches(pods.other, names)
    closed = [name for name, reached in other.items() if not reached]
    # MLflow has a policy of its own, which lets in ours alone; all else is open to a pod that no policy is about.
    assert closed == ["MLflow"], (
        f"a pod without our labels does not reach {closed}: of a training pod, nothing is shown"
    )
    assert [name for name, reached in training.items() if reached] == list(declared(trial.place)), training


def account_of_runs_has_four_rights(trial: Trial) -> None:
    """What a run's token may not do: see Secrets, make pods or workflows."""
    account = f"--as=system:serviceaccount:{RUNS_NAMESPACE}:{trial.names.account}"
    asked = ("list secrets", "get secrets", "create pods", "create workflows.argoproj.io", "create pods/exec")
    for namespace in (RUNS_NAMESPACE, trial.names.namespace):
        for what in asked:
            assert not may(namespace, what, account), f"{account} may {what} in {namespace}"
    assert may(RUNS_NAMESPACE, "create workflowtaskresults.argoproj.io", account)


def promoters_start_the_template_and_nothing_else(trial: Trial) -> None:
    """A promoter's Job is the template's with a run and a device; whatever else it could be is refused."""
    who = ("--as=somebody", f"--as-group={trial.names.promoters}")
    namespace, template = trial.names.namespace, f"cronjob/{trial.names.project}-promotion"
    made = ("create", "job", "promotion", f"--from={template}", "--dry-run=client", "-o", "json")
    job = json.loads(kubectl("-n", namespace, *made))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if variable["name"] in ("RUN", "DEVICE"):
            variable["value"] = "chosen"
    _is_held_to(job, who, "Only RUN and DEVICE")
    for what in ("get secrets", "create pods", "create pods/exec", "update cronjobs.batch"):
        assert not may(namespace, what, *who), f"a promoter may {what}"


def receiver_makes_the_template_and_nothing_else(trial: Trial) -> None:
    """The receiver's Job is the template with a run; whatever else it could be is refused, and it may nothing else."""
    namespace = trial.names.namespace
    who = (f"--as=system:serviceaccount:{namespace}:{trial.names.receiver}",)
    (config,) = objects("configmap", namespace, "app.kubernetes.io/component=decision")
    job = yaml.safe_load(config["data"]["job.yaml"])
    job["metadata"] |= {"name": "e2e-offered", "namespace": namespace}
    _is_held_to(job, who, "Only RUN")
    for what in ("get secrets", "create pods", "delete jobs.batch", "update jobs.batch", "list jobs.batch"):
        assert not may(namespace, what, *who), f"the receiver may {what}"


def _is_held_to(job: dict[str, Any], who: Sequence[str], only: str) -> None:
    """The Job is taken as it is; with anything changed in it that is not to be chosen it is refused, in words."""
    assert refusal(job, *who) == ""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    for key, value, why in (
        ("image", "evernas/other:1", "runs the release's image"),
        ("command", ["sh"], "the template's command"),
        ("terminationMessagePath", "/etc/evernas/config/evernas.yaml", "the template's command"),
        ("env", [*container["env"], {"name": "PYTHONPATH", "value": "/tmp"}], only),
        ("env", [one for one in container["env"] if one["name"] != "HOME"], "all of the template's environment"),
        ("env", [*container["env"], {"name": "HOME", "value": "/tmp"}], "all of the template's environment"),
        ("envFrom", [{"secretRef": {"name": "evernas-mlflow-database"}}], "given the template's Secrets"),
    ):
        changed = copy.deepcopy(job)
        changed["spec"]["template"]["spec"]["containers"][0][key] = value
        assert why in refusal(changed, *who), key
    for key in ("parallelism", "completions"):
        assert "is one pod" in refusal({**job, "spec": {**job["spec"], key: 2}}, *who), key
    changed = copy.deepcopy(job)
    changed["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] = "receiver"
    assert "the template's labels" in refusal(changed, *who)


def training_pod_does_nothing_that_it_must_not(trial: Trial, pods: Pods) -> None:
    """It starts no run, moves no alias, makes no model; with keys of its own, neither gate/ nor registry/ is its."""
    prevented = pods.acts()
    assert not prevented.pop("tell"), "it reaches MLflow, and its user is known there"
    separate = trial.place.settings.separate
    for act in (*BY_KFP, *BY_MLFLOW, *(BY_S3 if separate else ())):
        assert prevented[act], f"nothing prevents {act}"
    assert {prevented[act] for act in BY_MLFLOW} == {"403"}, prevented
    if not separate:
        trial.said.append(
            "NOT RUN: that a training pod neither reads gate/ nor writes over the champion's bytes, since "
            "S3_PROMOTER_ACCESS_KEY and S3_PROMOTER_SECRET_KEY are not given"
        )


def nothing_is_left(trial: Trial) -> None:
    """The release takes its recurring run away with it; the trial all else."""
    assert trial.runs.recurring() == []
    assert objects("serviceaccount", RUNS_NAMESPACE, f"evernas.dev/project={trial.names.project}") == []
