"""What runs hand over is decided by one Job each, found by looking, and counts as done only then."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import serving
from desk import Desk
from evernas.config import load_config
from evernas.errors import EvernasError, UsageError
from evernas.storage import FileStorage
from evernas.triggers.database import Database
from evernas.triggers.decisions import LARGEST_BYTES, LOOKED_AT, Decisions
from evernas.triggers.jobs import Jobs
from evernas.triggers.lease import Lease
from evernas.triggers.submission import UnavailableError
from machines import Server
from self_signed import self_signed

TEMPLATE = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"generateName": "evernas-decision-"},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "decision", "env": [{"name": "A", "value": "a"}, {"name": "RUN", "value": ""}]}]
            }
        }
    },
}


class Kubernetes:
    """The API of Jobs in one namespace, kept in memory."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.refusal = 0
        self.leads_to = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = outer.jobs.get(self.path.rpartition("/")[2])
                self._answer(200 if found else 404, found or {"message": "not found"})

            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["content-length"])))
                name = job["metadata"]["name"]
                if name in outer.jobs:
                    self._answer(409, {"message": "exists"})
                    return
                outer.jobs[name] = {**job, "status": {}}
                self._answer(201, outer.jobs[name])

            def _answer(self, status: int, document: dict[str, Any]) -> None:
                outer.asked.append((self.path, self.headers["authorization"]))
                body = json.dumps({"message": "no"} if outer.refusal else document).encode()
                self.send_response(302 if outer.leads_to else outer.refusal or status)
                if outer.leads_to:
                    self.send_header("location", outer.leads_to)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def runs(self) -> list[str]:
        """The run of each Job."""
        return [
            variable["value"]
            for job in self.jobs.values()
            for variable in job["spec"]["template"]["spec"]["containers"][0]["env"]
            if variable["name"] == "RUN"
        ]

    def fail(self) -> None:
        for job in self.jobs.values():
            job["status"] = {"conditions": [{"type": "Failed", "status": "True", "message": "it ended with 3"}]}

    def complete(self) -> None:
        for job in self.jobs.values():
            before = {"type": "SuccessCriteriaMet", "status": "True"}
            job["status"] = {"conditions": [before, {"type": "Complete", "status": "True"}]}


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    server = Kubernetes()
    yield server
    server.server.shutdown()
    server.server.server_close()


def jobs_of(folder: Path, address: str) -> Jobs:
    account = folder / "account"
    account.mkdir(exist_ok=True)
    (account / "namespace").write_text("nas")
    (account / "token").write_text("first")
    (folder / "job.yaml").write_text(json.dumps(TEMPLATE))
    return Jobs(folder / "job.yaml", account, address)


class Place:
    """A dispatcher whose runs hand over."""

    def __init__(self, database: Database, folder: Path, kubernetes: Kubernetes) -> None:
        self.desk = Desk(database, folder)
        self.waiting = FileStorage(folder / "handed-over")
        self.kubernetes = kubernetes
        self.leases = self.desk.leases
        self.decisions = Decisions(self.waiting, jobs_of(folder, kubernetes.url), self.leases)
        self.desk.dispatcher = self.desk.another(self.decisions)

    def ask_for_a_run(self) -> str:
        """An event, the run that it starts, and what that hands over before it succeeds."""
        self.desk.tell("a")
        self.desk.look(2)
        run = self.desk.cluster.submitted[-1]
        self.hand_over(run)
        self.desk.cluster.end("succeeded")
        self.desk.look(2)
        return run

    def hand_over(self, run: str) -> Lease:
        """What a run leaves that decides nothing: its claim, and what it has made."""
        lease = self.leases.claim(run)
        assert lease is not None
        self.waiting.write(f"{run}.json", b"{}")
        return lease


@pytest.fixture
def place(database: Database, tmp_path: Path, kubernetes: Kubernetes) -> Place:
    return Place(database, tmp_path, kubernetes)


def test_what_an_event_asked_for_is_done_once_its_run_is_decided_on(place: Place) -> None:
    run = place.ask_for_a_run()
    place.desk.look(3)
    assert place.kubernetes.runs() == [run]
    assert place.desk.states() == {"a": "gathered"}
    place.waiting.delete(f"{run}.json")
    place.desk.look(2)
    assert place.desk.states() == {"a": "done"}
    assert place.desk.cluster.submitted == [run]


def test_run_that_nobody_announced_is_decided_once_also_by_two_receivers(place: Place) -> None:
    place.hand_over("nightly-1")
    for dispatcher in (place.desk.dispatcher, *(place.desk.another(place.decisions) for _ in range(2))):
        dispatcher.look()
    assert place.kubernetes.runs() == ["nightly-1"]
    (name,) = place.kubernetes.jobs
    assert name.startswith("evernas-decision-")
    assert len(name.removeprefix("evernas")) <= 63 - 40, "with the longest name of a release, what a label may have"
    assert {path for path, _ in place.kubernetes.asked} == {
        "/apis/batch/v1/namespaces/nas/jobs",
        f"/apis/batch/v1/namespaces/nas/jobs/{name}",
    }


def test_job_is_the_template_with_a_run_and_what_it_holds_besides_stays(place: Place) -> None:
    place.hand_over("nightly-1")
    place.desk.look()
    (job,) = place.kubernetes.jobs.values()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "RUN", "value": "nightly-1"}, {"name": "A", "value": "a"}]


def test_run_that_could_not_be_decided_on_is_tried_again_and_leaves_nothing(place: Place) -> None:
    run = place.ask_for_a_run()
    place.kubernetes.fail()
    place.desk.look(4)
    assert place.leases.is_free()
    assert place.waiting.list() == []
    assert place.desk.cluster.submitted == [run, run.removesuffix("1") + "2"]
    assert place.desk.tried()[0] == (1, "failed")


def test_nightly_run_that_could_not_be_decided_on_holds_up_nobody(place: Place) -> None:
    place.hand_over("nightly-1")
    place.desk.look()
    place.kubernetes.fail()
    place.desk.look()
    assert place.leases.is_free()
    assert place.waiting.list() == []


def test_refusal_of_kubernetes_lets_events_start_runs_and_leaves_theirs_open(place: Place) -> None:
    place.kubernetes.refusal = 403
    run = place.ask_for_a_run()
    place.desk.look(3)
    assert place.desk.cluster.submitted == [run]
    assert place.desk.states() == {"a": "gathered"}
    place.kubernetes.refusal = 0
    place.desk.look(3)
    assert place.kubernetes.runs() == [run]


def test_token_is_read_anew_for_each_request(kubernetes: Kubernetes, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, kubernetes.url)
    jobs.find("a")
    (tmp_path / "account" / "token").write_text("second")
    jobs.find("a")
    assert [token for _, token in kubernetes.asked] == ["Bearer first", "Bearer second"]


def test_refusal_says_why_and_silence_that_nothing_is_known(kubernetes: Kubernetes, tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, kubernetes.url)
    kubernetes.refusal = 403
    with pytest.raises(EvernasError, match="refuses the Job with 403: no"):
        jobs.make("a", "run-1")
    with pytest.raises(UnavailableError, match="does not answer"):
        jobs_of(tmp_path, f"http://127.0.0.1:{serving.free_port()}").find("a")


@pytest.mark.parametrize("text", ["", "[]", "kind: Pod", "{kind: Job, metadata: {name: a}}"])
def test_template_that_is_none_is_refused_before_anything_is_served(text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"triggers.submit.decision names .*job.yaml, which is no Job"):
        Jobs(tmp_path / "job.yaml", tmp_path, "http://192.0.2.1")


def test_run_on_this_machine_decides_itself(tmp_path: Path) -> None:
    section = serving.triggers_config(submit={"decision": "/job.yaml"})
    with pytest.raises(UsageError, match="a run on this machine decides itself"):
        load_config(serving.write_config(tmp_path / "evernas.yaml", section))


def test_lease_of_a_run_is_not_ended_while_its_decision_works(place: Place) -> None:
    place.ask_for_a_run()
    place.desk.look(3)
    assert not place.leases.is_free()


@pytest.mark.parametrize(
    ("key", "document"),
    [
        ("nightly-1.json", b"\xff\xfe"),
        ("a/b.json", b"{}"),
        (".json", b"{}"),
        ("-f.json", b"{}"),
        ("...json", b"{}"),
        ("a b.json", b"{}"),
        ("a\nb.json", b"{}"),
        ("another.json", b"{}"),
        ("another.json", b" " * (LARGEST_BYTES + 1)),
    ],
)
def test_whatever_lies_there_gets_no_job_and_keeps_no_other_run_from_its_own(
    place: Place, key: str, document: bytes
) -> None:
    place.waiting.write(key, document)
    run = place.ask_for_a_run()
    place.desk.look(3)
    assert place.kubernetes.runs() == [run]
    place.waiting.delete(f"{run}.json")
    place.desk.look(2)
    assert place.desk.states() == {"a": "done"}


def test_bytes_that_are_no_text_are_decided_on_like_any(place: Place) -> None:
    assert place.leases.claim("nightly-1") is not None
    place.waiting.write("nightly-1.json", b"\xff\xfe")
    place.desk.look()
    assert place.kubernetes.runs() == ["nightly-1"], "the Job says what is wrong with them"


def test_hand_over_that_is_larger_than_any_fails_and_is_not_read(place: Place) -> None:
    run = place.ask_for_a_run()
    place.waiting.write(f"{run}.json", b" " * (LARGEST_BYTES + 1))
    place.desk.look(4)
    assert place.desk.tried()[0] == (1, "failed")
    assert place.waiting.list() == []


def test_key_that_is_refused_leaves_its_run_open_and_the_others_alone(
    database: Database, tmp_path: Path, kubernetes: Kubernetes
) -> None:
    place = Place(database, tmp_path, kubernetes)
    server = Server(place.waiting.root, refuses="nightly-1")
    place.decisions = Decisions(server, jobs_of(tmp_path, kubernetes.url), place.leases)
    place.desk.dispatcher = place.desk.another(place.decisions)
    place.waiting.write("nightly-1.json", b"{}")
    run = place.ask_for_a_run()
    assert place.kubernetes.runs() == [run]
    found = place.decisions.look()
    assert {name: decision.state for name, decision in found.items()} == {"nightly-1": "unknown", run: "working"}


def test_of_very_many_hand_overs_few_are_looked_at_and_the_run_that_has_the_project_first(place: Place) -> None:
    for number in range(3 * LOOKED_AT):
        place.waiting.write(f"a-{number}.json", b"{}")
    place.hand_over("nightly-1")
    place.kubernetes.asked.clear()
    place.desk.look()
    assert place.kubernetes.runs() == ["nightly-1"]
    assert len(place.kubernetes.asked) <= LOOKED_AT + 1
    place.desk.look(4)
    assert place.waiting.list() == ["nightly-1.json"], "the others are void, and are taken away in their turn"


def test_run_that_lost_the_project_before_it_was_decided_on_is_tried_again(place: Place) -> None:
    place.desk.tell("a")
    place.desk.look(2)
    run = place.desk.cluster.submitted[-1]
    place.hand_over(run).release()
    other = place.leases.claim("nightly-1")
    assert other is not None
    place.desk.cluster.end("succeeded")
    place.desk.look(4)
    assert place.kubernetes.runs() == []
    assert place.desk.tried()[0] == (1, "failed")
    assert place.waiting.list() == []
    other.check()


def test_what_is_written_again_after_its_decision_is_taken_away(place: Place) -> None:
    run = place.ask_for_a_run()
    place.kubernetes.complete()
    place.desk.look(3)
    assert place.waiting.list() == []
    assert place.desk.states() == {"a": "done"}
    assert place.desk.cluster.submitted == [run]
    assert place.leases.is_free()


def test_lease_that_is_no_claim_leaves_the_receiver_serving(place: Place, tmp_path: Path) -> None:
    run = place.ask_for_a_run()
    FileStorage(tmp_path / "lease").write("claims/000000000009.claimed", b'{"version": 2}')
    place.desk.look(3)
    assert place.desk.states() == {"a": "gathered"}
    FileStorage(tmp_path / "lease").delete("claims/000000000009.claimed")
    place.waiting.delete(f"{run}.json")
    place.desk.look(3)
    assert place.desk.states() == {"a": "done"}


def test_token_goes_nowhere_else(kubernetes: Kubernetes, tmp_path: Path) -> None:
    kubernetes.leads_to = f"http://localhost:{kubernetes.server.server_address[1]}/elsewhere"
    with pytest.raises(EvernasError, match="refuses the Job with 302"):
        jobs_of(tmp_path, kubernetes.url).find("a")
    assert [path for path, _ in kubernetes.asked] == ["/apis/batch/v1/namespaces/nas/jobs/evernas-decision-a"]


@pytest.mark.parametrize("own", [True, False])
def test_api_is_known_by_the_clusters_own_authority_alone(
    kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    authority, other = tmp_path / "authority", tmp_path / "other"
    certificate, key = self_signed(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    kubernetes.server.socket = context.wrap_socket(kubernetes.server.socket, server_side=True)
    # An authority that the machine trusts has signed it.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    address = f"https://localhost:{kubernetes.server.server_address[1]}"
    jobs_of(tmp_path, address)
    trusted = certificate if own else self_signed(other)[0]
    (tmp_path / "account" / "ca.crt").write_bytes(trusted.read_bytes())
    jobs = jobs_of(tmp_path, address)
    if own:
        assert jobs.find("a") is None
    else:
        with pytest.raises(UnavailableError):
            jobs.find("a")
