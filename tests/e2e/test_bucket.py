"""The loop as a cluster runs it: a process and an empty scratch folder for each step, the state in a bucket."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from place import ROOT, Place, unnamed, write_config
from warm import Warm

sys.path.insert(0, str(ROOT / "benchmarks"))

from registry_servers import BUCKET, s3

from evernas.registry.keys import public_text
from evernas.state.opening import opened
from evernas.storage.s3 import S3Address, S3Storage
from evernas.triggers.lease import leases_of

pytestmark = pytest.mark.e2e

TIMEOUT_S = 600
# After the step has begun, so that it has something to lose.
MOMENT_S = 1.0


@dataclass
class Apart:
    """The state in a bucket, and the runs on it."""

    port: int
    folder: Path
    key: Ed25519PrivateKey
    warm: Warm

    def address(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{self.port}&region=us-east-1"

    @property
    def state(self) -> S3Storage:
        return S3Storage(S3Address.parse(self.address("state")))

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def deliver(self, place: Place, names: list[str]) -> None:
        raw = S3Storage(S3Address.parse(self.address("raw")))
        for name in names:
            raw.write(name, (place.home / "incoming" / "watch" / name).read_bytes())

    def run(self, name: str, recorded: Path) -> subprocess.CompletedProcess[str]:
        return self.warm.run(*self._command(name, recorded), self.folder, TIMEOUT_S)

    def take_away(self, name: str, recorded: Path, step: str) -> None:
        """Start a run, end a step as a node that is taken away does, and the run as its exit handler does."""
        process = self.warm.start(*self._command(name, recorded), self.folder)
        key = f"candidates/state/_runs/{name}/steps/{step}.json"
        while not self.state.exists(key):
            assert process.poll() is None, process.output()
            time.sleep(0.05)
        time.sleep(MOMENT_S)
        os.kill(json.loads(self.state.read(key))["attempts"][-1]["pid"], signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 1
        with opened(self.address("state")) as home:
            leases_of(home, "watch").end(name)

    def _command(self, name: str, recorded: Path) -> tuple[list[str], dict[str, str]]:
        device = {"name": "laptop", "runtime": "onnxruntime-cpu", "threads": 1, "recorded": str(recorded)}
        config = write_config(
            self.folder / f"{name}.yaml",
            data={"source": self.address("raw")},
            devices=[device],
            registry={"verdict_keys": [public_text(self.key.public_key())]},
            triggers={"submit": {"to": "kfp", "kfp": {"host": "http://192.0.2.1", "home": self.address("state")}}},
        )
        script = str(ROOT / "tests" / "support" / "apart.py")
        arguments = [script, str(config), self.address("state"), name, str(self.log(name))]
        return arguments, self._environment(config)

    def log(self, name: str) -> Path:
        return self.folder / name / "log.txt"

    def result(self, name: str) -> dict[str, Any]:
        return json.loads(self.state.read(f"candidates/state/_runs/{name}/result.json"))

    def traffic(self, name: str) -> list[tuple[int, int, int]]:
        """Requests, bytes read and bytes written of each step in turn."""
        said = re.findall(r"(\d+) requests to S3 .*?, (\d+) bytes read, (\d+) written", self.log(name).read_text())
        return [(int(requests), int(read), int(written)) for requests, read, written in said]

    def _environment(self, config: Path) -> dict[str, str]:
        place = Place(self.folder / "nothing", config)
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        mlflow = f"sqlite:///{self.folder / 'mlflow.db'}"
        more = {"EVERNAS_SCRATCH": str(self.scratch), "EVERNAS_GATE_KEY": pem, "MLFLOW_TRACKING_URI": mlflow}
        clean = {key: value for key, value in place.environment.items() if key != "EVERNAS_HOME"}
        return {**clean, **more}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Apart]:
    with s3() as port:
        made = Apart(port, tmp_path_factory.mktemp("apart"), Ed25519PrivateKey.generate(), warm)
        made.scratch.mkdir()
        yield made


def measured(place: Place, run: str, file: Path) -> Path:
    """What one run in a folder measured, as a file that a device's `recorded` can name."""
    accounts = place.home / "runs" / run / "steps"
    refs = {p.stem: json.loads(p.read_text())["ref"] for p in accounts.glob("*.json")}
    steps = place.home / "projects" / "watch" / "steps"

    def facts(step: str) -> dict[str, Any]:
        return json.loads((steps / refs[step] / "done.json").read_text())["facts"]

    subnets = {subnet["id"]: subnet["digest"] for subnet in facts("supernet")["profile"]}
    profile = {subnets[arch]: ms for arch, ms in facts("profile@laptop")["latency_ms"].items()}
    found = {m["digest"]: m for m in facts("benchmark@laptop")["measurements"].values()}
    file.write_text(json.dumps({"version": 1, "measurements": found, "profile": profile}))
    return file


def computed(result: dict[str, Any]) -> dict[str, Any]:
    """What a run computes, whatever the device did that day: nothing of when, how long, or where."""
    (device,) = result["devices"]
    named = ("evaluations", "points", "front", "hypervolume", "hypervolume_random", "candidate")
    champion = device["champion_before"]
    return {
        "snapshot": result["snapshot"],
        "supernet": unnamed(result["supernet"]),
        **{name: device[name] for name in named},
        "finalists": [{**finalist, "measurement": None} for finalist in device["finalists"]],
        "champion": None if champion is None else champion["bundle"],
    }


def test_runs_with_nothing_in_common_but_a_bucket_compute_what_runs_in_a_folder_do(
    one_round: Place, apart: Apart
) -> None:
    cold, warm = (run for run in one_round.runs() if one_round.result(run)["outcome"] != "nothing-new")
    for name, run in (("cold", cold), ("warm", warm)):
        there = one_round.result(run)
        apart.deliver(one_round, there["snapshot"]["added"])
        recorded = measured(one_round, run, apart.folder / f"{name}.json")
        if name == "cold":
            apart.take_away(name, recorded, "supernet")
        done = apart.run(name, recorded)
        assert done.returncode == 0, done.stdout + done.stderr + apart.log(name).read_text()
        assert computed(apart.result(name)) == computed(there)
        _print_costs(name, apart)
    attempts = {step["step"]: step["attempts"] for step in apart.result("cold")["steps"]}
    assert attempts["supernet"] == 2
    assert apart.result("cold")["devices"][0]["champion_after"]["number"] == 1
    assert apart.result("warm")["supernet"]["parent"] == apart.result("cold")["supernet"]["digest"]
    assert list(apart.scratch.iterdir()) == [], "no step leaves anything for the next but in the bucket"
    assert apart.state.list("candidates/state/watch/handed-over/") == [], "what is decided waits no longer"


def _print_costs(name: str, apart: Apart) -> None:
    print(f"\n{name}: requests, bytes read and bytes written of each step in turn")
    for costs in apart.traffic(name):
        print(*(f"{cost:>10}" for cost in costs))


def test_a_night_with_nothing_new_asks_little_of_the_bucket(apart: Apart) -> None:
    done = apart.run("night", apart.folder / "warm.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert apart.result("night")["outcome"] == "nothing-new"
    # Ingest, and the exit handler.
    costs = apart.traffic("night")
    assert len(costs) == 2
    requests, read, written = (sum(each) for each in zip(*costs, strict=True))
    print(f"nothing new: {requests} requests, {read} bytes read, {written} written")
    assert requests < 60
