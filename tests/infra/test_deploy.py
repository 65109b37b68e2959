"""The deploy script against stand-ins for AWS and the cluster, and its SQL against a real PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra" / "deploy"
PASSWORD = "admin-password-of-the-test"
OUTPUTS = {
    "cluster_name": "evernas-dev",
    "region": "eu-central-1",
    "bucket": "evernas-dev-123456789012",
    "database": {"host": "database.internal", "port": 5432, "admin_secret_arn": "arn:aws:secretsmanager:x"},
    "namespaces": {"release": "evernas", "runs": "kubeflow"},
    "repositories": {"core": "registry/core"},
    "pools": {},
}
# Writes down how it was called; answers as the tool would where the script reads the answer.
STAND_IN = """#!{python}
import json, os, pathlib, sys
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
given = sys.stdin.read() if arguments[-1:] == ["-"] else ""
call = {{"tool": name, "arguments": arguments, "given": given, "kubeconfig": os.environ.get("KUBECONFIG")}}
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps(call) + "\\n")
if name == "terraform":
    print(os.environ["OUTPUTS"])
if "get-secret-value" in arguments:
    print(json.dumps({{"SecretString": json.dumps({{"username": "evernas_admin", "password": {password!r}}})}}))
if os.environ.get("FAILS") and os.environ["FAILS"] in " ".join(arguments):
    sys.exit("it is refused")
"""


class Place:
    """A folder of stand-ins, and what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.calls_file = folder / "bin", folder / "calls"
        self.bin.mkdir()
        self.root = folder / "checkout"
        shutil.copytree(DEPLOY, self.root / "infra" / "deploy")
        for environment in ("dev", "prod"):
            (self.root / "infra" / "envs" / environment).mkdir(parents=True)
        for tool in ("terraform", "aws", "kubectl", "helm"):
            path = self.bin / tool
            path.write_text(STAND_IN.format(python=sys.executable, password=PASSWORD))
            path.chmod(0o755)

    def deploy(
        self, environment: str = "dev", outputs: dict | None = None, config: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        made = {name: {"value": value} for name, value in (OUTPUTS if outputs is None else outputs).items()}
        return subprocess.run(
            [
                sys.executable,
                str(self.root / "infra" / "deploy" / "deploy.py"),
                environment,
                *(() if config is None else ("--config", str(config))),
            ],
            env={"PATH": str(self.bin), "CALLS": str(self.calls_file), "OUTPUTS": json.dumps(made), **env},
            text=True,
            capture_output=True,
        )

    def chart(self, values: str) -> None:
        """A chart in the checkout, with the values that Terraform's outputs fill."""
        (self.root / "charts" / "evernas").mkdir(parents=True)
        (self.root / "charts" / "evernas" / "values-aws.yaml").write_text(values)

    def calls(self) -> list[dict]:
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEPLOY))
    import databases as module

    return module


def test_without_the_chart_everything_up_to_it_is_installed_and_that_is_said(place: Place) -> None:
    done = place.deploy()
    assert not done.returncode, done.stderr
    assert "no evernas" in done.stdout
    installed = [call["arguments"][2] for call in place.calls() if call["tool"] == "helm"]
    assert installed == ["cluster-autoscaler", "nvidia-device-plugin"]


def test_the_chart_is_installed_last_with_values_from_terraforms_outputs(place: Place) -> None:
    place.chart("bucket: $bucket\ncore: $image_core\n")
    done = place.deploy()
    assert not done.returncode, done.stderr
    last = place.calls()[-1]
    assert (last["tool"], last["arguments"][:3]) == ("helm", ["upgrade", "--install", "evernas"])
    assert last["given"] == "bucket: evernas-dev-123456789012\ncore: registry/core\n"


def test_the_projects_config_is_one_of_the_charts_values(place: Place) -> None:
    import yaml

    place.chart("core: $image_core\n")
    config = place.root / "evernas.yaml"
    config.write_text("version: 1\nproject: watch\nlabels: |\n  two\n  lines\n")
    assert not place.deploy(config=config).returncode
    given = yaml.safe_load(place.calls()[-1]["given"])
    assert given == {"core": "registry/core", "config": yaml.safe_load(config.read_text())}


def test_a_config_that_is_not_there_is_refused_before_anything_is_done(place: Place) -> None:
    done = place.deploy(config=place.root / "nowhere.yaml")
    assert "name the project's evernas.yaml" in done.stderr
    assert not place.calls_file.exists()


def test_a_value_that_terraform_does_not_know_is_refused_by_name(place: Place) -> None:
    place.chart("bucket: $bukcet\n")
    done = place.deploy()
    assert done.returncode == 1
    assert "names $bukcet, which is none of bucket, " in done.stderr


def test_kubeflow_is_installed_at_one_release_and_only_in_the_environments_cluster(place: Place) -> None:
    place.deploy()
    calls = place.calls()
    sources = [call["arguments"][2] for call in calls if call["arguments"][:2] == ["apply", "-k"]]
    assert len(sources) == 2
    assert all(source.endswith("?ref=2.17.0") for source in sources)
    own = {call["kubeconfig"] for call in calls if call["tool"] in ("kubectl", "helm")}
    assert len(own) == 1
    assert own.pop().endswith("/kubeconfig")


def test_no_password_is_on_a_command_line_and_the_administrators_is_taken_away(place: Place) -> None:
    place.deploy()
    calls = place.calls()
    assert not any(PASSWORD in " ".join(call["arguments"]) for call in calls)
    given = [json.loads(call["given"]) for call in calls if call["given"].startswith("{")]
    holding = [manifest for manifest in given if PASSWORD in json.dumps(manifest)]
    assert [manifest["metadata"]["namespace"] for manifest in holding] == ["evernas-databases"]
    deleted = [call["arguments"][:3] for call in calls if "delete" in call["arguments"]]
    assert deleted == [["delete", "namespace", "evernas-databases"]]


def test_the_administrators_password_is_taken_away_when_the_job_fails_too(place: Place) -> None:
    done = place.deploy(FAILS="condition=complete")
    assert done.returncode == 1
    assert "it is refused" in done.stderr
    assert place.calls()[-1]["arguments"][:3] == ["delete", "namespace", "evernas-databases"]


def test_training_and_promotion_are_other_users_of_mlflow_and_only_trainings_leaves_the_release(place: Place) -> None:
    place.deploy()
    given = [json.loads(call["given"]) for call in place.calls() if call["given"].startswith("{")]
    made = {
        (m["metadata"]["namespace"], m["metadata"]["name"]): m["stringData"]
        for m in given
        if m.get("kind") == "Secret" and "mlflow-" in m["metadata"]["name"] and "TRACKING" in json.dumps(m)
    }
    training = ("evernas", "evernas-mlflow-training")
    assert set(made) == {training, ("kubeflow", training[1]), ("evernas", "evernas-mlflow-promoter")}
    assert made[training] == made["kubeflow", training[1]]
    passwords = {secret["MLFLOW_TRACKING_PASSWORD"] for secret in made.values()}
    assert len(passwords) == 2
    assert not any(word in " ".join(call["arguments"]) for call in place.calls() for word in passwords)


def test_the_release_namespace_is_restricted_and_so_is_the_job(place: Place) -> None:
    place.deploy()
    given = [json.loads(call["given"]) for call in place.calls() if call["given"].startswith("{")]
    spaces = {m["metadata"]["name"]: m["metadata"]["labels"] for m in given if m.get("kind") == "Namespace"}
    assert set(spaces) == {"evernas", "evernas-databases"}
    assert all(labels == {"pod-security.kubernetes.io/enforce": "restricted"} for labels in spaces.values())
    pod = next(m for m in given if m.get("kind") == "Job")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_an_unknown_environment_names_those_there_are(place: Place) -> None:
    done = place.deploy("staging")
    assert done.stderr.strip() == "There is no environment 'staging': use one of dev, prod."


def test_an_environment_that_was_not_applied_is_refused(place: Place) -> None:
    done = place.deploy(outputs={})
    assert "run terraform apply" in done.stderr
    assert [call["tool"] for call in place.calls()] == ["terraform"]


def test_a_missing_tool_is_named_before_anything_is_done(place: Place) -> None:
    (place.bin / "helm").unlink()
    done = place.deploy()
    assert done.stderr.startswith("helm is not on the PATH")
    assert not place.calls_file.exists()


def test_a_password_that_exists_is_kept(databases: ModuleType) -> None:
    class Cluster:
        def run(self, *command: str, given: str | None = None) -> str:
            return json.dumps({"data": {"password": "b2xk"}}) if "secret" in command else ""

        def apply(self, manifest: dict) -> None:
            applied.append(manifest)

    applied: list[dict] = []
    databases.make(Cluster(), "evernas", OUTPUTS["database"], {"username": "a", "password": "b"})
    users = [
        manifest["stringData"]["password"]
        for manifest in applied
        if manifest["metadata"]["name"].startswith("evernas-") and "stringData" in manifest
    ]
    assert users == ["old", "old"]


@contextlib.contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A server whose administrator is no superuser, as on RDS; the environment that psql needs."""
    folder = Path(tempfile.mkdtemp(prefix="evernas-infra-"))
    as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if as_user:
        os.chown(folder, 65534, 65534)
    binaries = Path(shutil.which("initdb") or "").resolve().parent
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=folder)

    run(
        str(binaries / "initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        "root",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c log_statement=ddl"
    run(str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "-o", options, "start")
    try:
        make = "CREATE ROLE evernas_admin LOGIN CREATEDB CREATEROLE PASSWORD 'pw'"
        run(str(binaries / "psql"), "-h", str(folder), "-p", port, "-U", "root", "-d", "postgres", "-c", make)
        yield {"PGHOST": "127.0.0.1", "PGPORT": port, "LOG": str(folder / "log"), "PATH": os.environ["PATH"]}
    finally:
        run(str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.mark.skipif(
    shutil.which("initdb") is None,
    reason="PostgreSQL is not on the PATH: apt-get install postgresql, and add the folder of initdb and pg_ctl",
)
def test_each_user_gets_a_database_of_its_own_and_no_password_is_logged(databases: ModuleType) -> None:
    words = {"mlflow": "first-password", "inbox": "second-password"}

    def psql(
        env: dict[str, str], user: str, password: str, database: str, sql: str
    ) -> subprocess.CompletedProcess[str]:
        login = {"PGUSER": user, "PGPASSWORD": password, "PGDATABASE": database}
        command = ["psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"]
        return subprocess.run(command, input=sql, env={**env, **login}, text=True, capture_output=True)

    with postgresql() as env:
        verifiers = {f"{user.upper()}_VERIFIER": databases.verifier(word) for user, word in words.items()}
        for _ in range(2):  # again changes nothing
            done = psql({**env, **verifiers}, "evernas_admin", "pw", "postgres", databases.sql())
            assert not done.returncode, done.stderr
        for user, word in words.items():
            made = psql(env, user, word, user, "CREATE TABLE t (i int); INSERT INTO t VALUES (1);")
            assert not made.returncode, made.stderr
            other = next(name for name in words if name != user)
            assert "permission denied for database" in psql(env, user, word, other, "SELECT 1;").stderr
            assert "password authentication failed" in psql(env, user, "wrong", user, "SELECT 1;").stderr
        log = Path(env["LOG"]).read_text()
        assert "ALTER ROLE mlflow" in log
        assert not any(word in log for word in words.values())
