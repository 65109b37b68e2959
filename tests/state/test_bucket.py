"""The state in a bucket: what comes, what goes, what others see after a kill, and who may publish."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from evernas.config import RegistryConfig, load_config
from evernas.errors import IntegrityError, OwnershipError, UsageError
from evernas.registry.keys import signing_key
from evernas.state import Done, Guard, Head, Home, RunManifest
from evernas.state.bucket_steps import BucketSteps
from evernas.state.keeping import Keeper, keeping
from evernas.state.layout import folders_of, key_of
from evernas.state.opening import opened
from evernas.state.ownership import claim
from evernas.state.runs import completed_runs, failure_of, note_end
from evernas.state.sharing import fenced, fetched, fetched_folder, share, steps_of, storage_of
from evernas.steps.stopping import Stopping
from evernas.storage import FileStorage
from machines import Killed, Server, machine, server

__all__ = ["machine", "server"]

ROOT = Path(__file__).parents[2]


def steps(home: Home) -> BucketSteps:
    found = steps_of(home, "p")
    assert isinstance(found, BucketSteps)
    return found


def guard(home: Home) -> Guard:
    with claim(home, 0.0, print) as owner:
        return owner.guard


def make(home: Home, run: str = "r1", text: str = "weights", ref: str = "supernet/k") -> Done:
    """Do a step with two outputs."""
    folder = steps(home).renew(ref, run)
    (folder / "profile").mkdir(exist_ok=True)
    (folder / "a.bin").write_text(text)
    (folder / "profile" / "b.onnx").write_text("onnx")
    done = Done(ref, folder, {"text": text}, {"seed": 0}, run)
    return steps(home).finish(done, ["a.bin", "profile/b.onnx"], guard(home))


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("projects/p/data/shards/gate/d.parquet", "gate/p/shards/d.parquet"),
        ("projects/p/data/shards/train/d.parquet", "snapshots/p/shards/train/d.parquet"),
        ("projects/p/data/rows/gate/d.parquet", "snapshots/p/rows/gate/d.parquet"),
        ("projects/p/journal/laptop/000001.json", "registry/p/journal/laptop/000001.json"),
        ("projects/p/sealed/gate/000001.json", "registry/p/sealed/gate/000001.json"),
        ("projects/p/steps/gate/k/done.json", "registry/p/steps/gate/k/done.json"),
        ("projects/p/steps/search/k/done.json", "candidates/state/p/steps/search/k/done.json"),
        ("projects/p/lease/claims/1.claimed", "candidates/state/p/lease/claims/1.claimed"),
        ("runs/r/run.json", "candidates/state/_runs/r/run.json"),
        ("runs/r/steps/search@laptop.json", "candidates/state/_runs/r/steps/search@laptop.json"),
        ("runs/r/steps/gate@laptop.json", "registry/_runs/r/steps/gate@laptop.json"),
        ("runs/r/decisions/laptop.json", "registry/_runs/r/decisions/laptop.json"),
    ],
)
def test_each_part_of_the_state_lies_where_those_who_may_write_it_write(path: str, key: str) -> None:
    assert key_of(path) == key
    folder, _, name = path.rpartition("/")
    assert key.removesuffix(name) in folders_of(folder)


def test_what_is_of_one_machine_alone_has_no_place_in_the_bucket() -> None:
    with pytest.raises(ValueError, match="nothing that a run's steps share"):
        key_of("owner.lock")


def test_another_machine_finds_a_finished_step_and_fetches_what_it_asks_for(
    machine: Callable[..., Home], server: Server
) -> None:
    make(machine())
    other = machine()
    server.asked.clear()
    found = steps(other).get("supernet/k")
    assert found.facts == {"text": "weights"}
    assert found.file("profile/b.onnx").read_text() == "onnx"
    assert [line for line in server.asked if "a.bin" in line] == []
    assert steps(other).find("supernet/other") is None


@pytest.mark.parametrize("writes", range(3))
def test_a_kill_before_the_marker_leaves_a_step_that_is_not_done(
    machine: Callable[..., Home], server: Server, writes: int
) -> None:
    server.writes_left = writes
    with pytest.raises(Killed):
        make(machine())
    server.writes_left = 1000
    assert steps(machine()).find("supernet/k") is None
    make(machine())
    assert steps(machine()).get("supernet/k").file("a.bin").read_text() == "weights"


def test_of_two_machines_that_finish_one_step_the_first_counts_for_both(machine: Callable[..., Home]) -> None:
    one, two = machine(), machine()
    make(one, text="one")
    stands = make(two, text="two")
    assert stands.facts == {"text": "one"}
    assert stands.file("a.bin").read_text() == "one"
    assert steps(machine()).get("supernet/k").file("a.bin").read_text() == "one"


def test_a_lost_answer_to_the_marker_is_no_failure(machine: Callable[..., Home], server: Server) -> None:
    server.loses_answers = True
    assert make(machine()).facts == {"text": "weights"}
    assert steps(machine()).get("supernet/k").file("a.bin").read_text() == "weights"


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_output_is_found_when_it_is_read_and_the_step_made_anew(
    machine: Callable[..., Home], server: Server, damage: str
) -> None:
    make(machine())
    (output,) = [key for key in server.list() if key.endswith("a.bin")]
    server.delete(output)
    if damage == "changed":
        server.write(output, b"other")
    with pytest.raises(IntegrityError, match="run again to make it anew"):
        steps(machine()).get("supernet/k").file("a.bin")
    server.delete(output)
    assert steps(machine()).find("supernet/k") is None
    make(machine())
    assert steps(machine()).get("supernet/k").file("a.bin").read_text() == "weights"


def test_a_step_that_is_not_settled_counts_for_its_run_alone_until_another_makes_it_anew(
    machine: Callable[..., Home],
) -> None:
    first = machine()
    make(first, "r1", "busy")
    steps(first).unsettle("supernet/k", "r1", guard(first))
    assert steps(machine()).find_for("supernet/k", "r1") is not None
    second = machine()
    assert steps(second).find_for("supernet/k", "r2") is None
    assert make(second, "r2", "quiet").facts == {"text": "quiet"}
    for run in ("r1", "r2", "r3"):
        found = steps(machine()).find_for("supernet/k", run)
        assert found is not None
        assert found.facts == {"text": "quiet"}


def test_an_attempt_goes_on_from_what_the_one_before_had_come_to(machine: Callable[..., Home], server: Server) -> None:
    killed = machine()
    folder = steps(killed).renew("supernet/k", "r1")
    keeper = Keeper(steps(killed))
    (folder / "curve.jsonl").write_text("1\n")
    (folder / "state.bin").write_text("1")
    (folder / ".state.bin.tmp").write_text("torn")
    keeper.keep()
    (folder / "state.bin").write_text("22")
    server.asked.clear()
    keeper.keep()
    assert server.asked == ["write candidates/state/p/steps/supernet/k/work/state.bin"], "only what is new"
    resumed = machine()
    folder = steps(resumed).renew("supernet/k", "r1")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"curve.jsonl": "1\n", "state.bin": "22"}
    make(resumed)
    assert not [key for key in server.list() if "/work/" in key]


def test_a_file_that_must_outlive_its_attempt_does(machine: Callable[..., Home], server: Server) -> None:
    """Evidence, before anybody is told what was decided by it."""
    killed = machine()
    folder = steps(killed).renew("gate/k", "r1")
    steps(killed).keep("gate/k", "evidence.json")
    (folder / "evidence.json").write_text("shown")
    steps(killed).keep("gate/k", "evidence.json")
    assert server.list() == ["registry/p/steps/gate/k/work/evidence.json"]
    resumed = steps(machine())
    folder = resumed.renew("gate/k", "r1")
    assert (folder / "evidence.json").read_text() == "shown"
    done = resumed.finish(Done("gate/k", folder, {}, {}, "r1"), ["evidence.json"], guard(machine()))
    assert steps(machine()).get("gate/k").file("evidence.json").read_text() == "shown"
    assert done.file("evidence.json") == folder / "evidence.json"


def test_what_grows_is_written_before_what_rests_on_it(machine: Callable[..., Home], server: Server) -> None:
    home = machine()
    folder = steps(home).renew("supernet/k", "r1")
    for name in ("curve.jsonl", "a.bin", "z.bin"):
        (folder / name).write_text("1")
    server.asked.clear()
    Keeper(steps(home)).keep()
    assert server.asked[0].endswith("curve.jsonl")


def test_work_is_kept_when_the_step_is_stopped_and_not_once_another_run_works(
    machine: Callable[..., Home], server: Server
) -> None:
    home = machine()
    folder = steps(home).renew("supernet/k", "r1")
    (folder / "state.bin").write_text("1")
    with pytest.raises(SystemExit), keeping(Keeper(steps(home)).keep):
        raise SystemExit(143)
    assert server.list("candidates/state/p/steps/supernet/k/work/")
    assert steps(home).place("supernet/k") == f"{server.root}/candidates/state/p/steps/supernet/k/work"
    (folder / "state.bin").write_text("22")
    server.asked.clear()
    with pytest.raises(OwnershipError), keeping(Keeper(steps(home)).keep):
        raise OwnershipError("another run works")
    assert server.asked == []


def test_a_run_that_lost_its_lease_publishes_nothing_that_counts(machine: Callable[..., Home], server: Server) -> None:
    def lost() -> None:
        raise OwnershipError("another run works")

    home = fenced(machine(), lost)
    with pytest.raises(OwnershipError):
        make(home)
    (home.path / "runs" / "r1").mkdir(parents=True)
    (home.path / "runs" / "r1" / "snapshot.json").write_text("{}")
    with pytest.raises(OwnershipError):
        share(home, home.path / "runs" / "r1" / "snapshot.json")
    with pytest.raises(OwnershipError):
        storage_of(home, home.ledger("p")).create("gate/000001.json", b"{}")
    assert [key for key in server.list() if "/outputs/" not in key] == []


def test_files_are_shared_and_fetched_once(machine: Callable[..., Home], server: Server) -> None:
    home, other = machine(), machine()
    for name in ("search@a.json", "gate@a.json"):
        path = home.run("r") / "steps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(name))
        share(home, path)
    found = fetched_folder(other, other.run("r") / "steps")
    assert sorted(path.name for path in found.iterdir()) == ["gate@a.json", "search@a.json"]
    server.asked.clear()
    assert fetched(other, found / "gate@a.json").read_text() == '"gate@a.json"'
    assert not fetched(other, found / "promote@a.json").exists()
    assert server.asked == ["read registry/_runs/r/steps/promote@a.json"]


def test_what_never_changes_is_read_from_the_server_once(machine: Callable[..., Home], server: Server) -> None:
    home = machine()
    ledger, lease = storage_of(home, home.ledger("p")), storage_of(home, home.project("p") / "lease", kept=False)
    for storage in (ledger, lease):
        FileStorage(server.root / "x").write("unrelated", b"")
        storage.create("gate/1", b"1")
    other = machine()
    ledger, lease = storage_of(other, other.ledger("p")), storage_of(other, other.project("p") / "lease", kept=False)
    server.asked.clear()
    ledger.prefetch(["gate/1", "gate/2"])
    assert [ledger.read("gate/1"), ledger.read("gate/1"), lease.read("gate/1"), lease.read("gate/1")] == [b"1"] * 4
    assert ledger.list("gate/") == ["gate/1"]
    reads = [line for line in server.asked if line.endswith("1")]
    assert reads == ["read registry/p/ledger/gate/1", *["read candidates/state/p/lease/gate/1"] * 2]


def test_without_a_bucket_nothing_is_copied(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    path = home.run("r") / "run.json"
    assert fetched(home, path) == path
    share(home, path)
    assert fenced(home, lambda: None) is home
    assert type(storage_of(home, home.ledger("p"))) is FileStorage
    assert not isinstance(steps_of(home, "p"), BucketSteps)
    assert not home.path.exists()


def test_two_attempts_at_the_first_step_pin_one_run(machine: Callable[..., Home]) -> None:
    config = load_config(ROOT / "examples" / "watch" / "evernas.yaml")
    one, two = machine(), machine()
    first = RunManifest.open(one, "r", config, "s3://raw", {"laptop": 1})
    second = RunManifest.open(two, "r", config, "s3://elsewhere", {"laptop": 2})
    assert (second.source, second.journal) == (first.source, first.journal) == ("s3://raw", {"laptop": 1})
    assert RunManifest.read(machine(), "r").head is None
    Head("r", "key", "snapshot", "supernet/k").write(one, config.project)
    assert Head.read(machine(), config.project) == Head("r", "key", "snapshot", "supernet/k")


def test_runs_that_had_something_to_do_are_found_in_the_order_in_which_they_began(machine: Callable[..., Home]) -> None:
    config = load_config(ROOT / "examples" / "watch" / "evernas.yaml")
    home = machine()
    for run, began, outcome in (("b", "10", "held"), ("a", "11", "promoted"), ("c", "12", "nothing-new")):
        manifest = RunManifest(run, config, "", f"2026-11-25T{began}:00:00+00:00", None, {}, "")
        note_end(home, "p", manifest, outcome)
    assert completed_runs(machine(), "p") == ["b", "a"]


def test_no_private_key_is_made_where_the_next_step_would_not_find_it(machine: Callable[..., Home]) -> None:
    with pytest.raises(UsageError, match=r"set EVERNAS_GATE_KEY or .*verdict_keys"):
        signing_key(RegistryConfig(), machine())


def test_a_bucket_is_no_folder_for_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERNAS_HOME", "s3://bucket/state")
    with pytest.raises(UsageError, match="commands work on a state folder"):
        Home.default()


def test_the_scratch_folder_goes_with_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERNAS_SCRATCH", str(tmp_path))
    with opened("s3://bucket/state?endpoint=http://127.0.0.1:1&region=us-east-1") as home:
        (home.path / "file").write_text("")
        assert home.path.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    assert "0 requests to S3" in capsys.readouterr().err
    with opened(str(tmp_path)) as home:
        assert home == Home(tmp_path)
    with pytest.raises(UsageError, match="no address of an S3 bucket"), opened("gs://bucket"):
        raise AssertionError


@pytest.mark.parametrize("place", ["steps", "work"])
def test_a_name_that_would_leave_the_scratch_folder_is_refused(
    machine: Callable[..., Home], server: Server, place: str
) -> None:
    """Who may write to a part of the bucket must not come to write on the machines that read it."""
    home = machine()
    key = "candidates/state/_runs/r/steps" if place == "steps" else "candidates/state/p/steps/supernet/k/work"
    outside = server.root / key / "x"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(b"evil")
    names, read = server.list, server.read
    server.list = lambda prefix="": [name.replace("/x", "/../../../../../evil") for name in names(prefix)]
    server.read = lambda key: b"evil" if key.endswith("evil") else read(key)

    def bring() -> None:
        if place == "steps":
            fetched_folder(home, home.run("r") / "steps")
        else:
            steps(home).renew("supernet/k", "r")

    with pytest.raises(UsageError, match="no plain relative path"):
        bring()
    assert not list(home.path.parent.rglob("evil*"))


def test_a_step_that_has_lost_its_lease_is_ended(machine: Callable[..., Home]) -> None:
    def lost() -> None:
        raise OwnershipError("another run works")

    stopping, ends = Stopping(), threading.Event()
    with pytest.raises(OwnershipError), stopping.handled(), keeping(lost, every_s=0.01):
        ends.wait(30)


def test_why_a_step_failed_is_told_to_whoever_ends_the_run(machine: Callable[..., Home]) -> None:
    home = machine()
    assert failure_of(home, "r") is None
    for step in ("search@laptop.json", "gate@laptop.json"):
        path = home.run("r") / "failures" / step
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"sentence": step}))
        share(home, path)
    assert failure_of(machine(), "r") == {"sentence": "gate@laptop.json"}
