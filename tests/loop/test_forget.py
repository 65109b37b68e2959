"""What is erased is nowhere any more, is not taken in again, and nothing that was trained on it is gone on from."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from erasable import IDS, LABEL, WHO, Place, end, place, promoted
from evernas.cli import app
from evernas.config_monitor import MonitorConfig
from evernas.data import Snapshot, ingest, load_rows, open_snapshot, pending
from evernas.errors import EvernasError, OwnershipError, UsageError
from evernas.loop.erasures import erasures
from evernas.loop.forget import finish, forget
from evernas.loop.monitoring import look_at
from evernas.loop.plan import plan_of
from evernas.loop.start import start
from evernas.redaction import Redaction
from evernas.registry.delivery import deliver as deliver_champion
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Head, RunManifest
from evernas.state.files import read_json, write_json
from evernas.state.ownership import claim
from evernas.state.sharing import releases_of, steps_of
from evernas.steps.forgotten import forgotten_of, is_pending, refuse_naming, refuse_pending
from evernas.storage import FileStorage

__all__ = ["place"]


def _champion(place: Place, number: int, bundle: str) -> None:
    entry = Entry(number, "laptop", bundle, None, f"run-{number}", "promote", "m", "now", f"token-{number}")
    open_journal(place.home, place.config).claim(entry)


def test_after_an_erasure_no_byte_of_the_state_folder_tells_of_it(place: Place) -> None:
    assert len(place.holding(place.traces)) > 12, "it was in many places"
    erased = place.forget()
    assert place.holding(place.traces) == []
    assert (erased.record["rows"], erased.record["recordings"]) == (4, 2)
    (record,) = erasures(place.home, place.config.project)
    assert record == erased.record | {"version": 1}
    assert (record["kind"], record["reason"], len(record["hash"])) == ("domain", "It was asked for.", 64)
    assert not is_pending(place.home, place.config.project)
    values = closing(sqlite3.connect(place.home.path / "mlflow.db"))
    with values as store:
        kept = dict(store.execute("SELECT key, value FROM params").fetchall())
    assert kept["domains"] == f"s,t,erased-{record['hash'][:8]}"
    assert kept["seed"] == "t"
    assert "Backups" in erased.left[-1]


def _look(place: Place, path: Path, people: list[str], start: int) -> Any:
    """Production logs an answer to each of these people, and the monitor looks."""
    head = open_journal(place.home, place.config).head("laptop")
    assert head is not None
    rows = range(start, start + len(people))
    table = {"id": [f"p{n}" for n in rows], "bundle": [head.bundle] * len(people), "domain": people}
    table |= {"predicted": [LABEL] * len(people), "label": [LABEL] * len(people)}
    # The erased person's recordings, by their own names.
    table["recording"] = [f"{IDS[n % 2]}-{n}" for n in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path)
    config = place.config.model_copy(update={"monitor": MonitorConfig(max_error=0.2)})
    return look_at(config, place.home, "laptop", str(path))


def _quality(look: Any) -> dict[str, int]:
    return {finding.test: finding.units for finding in look.findings if finding.kind == "quality"}


def test_the_monitor_forgets_the_name_keeps_the_counts_and_does_not_learn_the_name_again(
    place: Place, tmp_path: Path
) -> None:
    _champion(place, 1, place.bundles[1])
    # A file that is named for the person, too.
    look = _look(place, tmp_path / "log" / f"{WHO}.parquet", ["t", WHO, WHO], 0)
    assert _quality(look) == {"quality": 3, "quality:t": 1, f"quality:{WHO}": 2}
    assert [name for name in place.holding([WHO.encode()]) if "/monitor/" in name]
    erased = place.forget()
    assert place.holding(place.traces) == []
    stands = f"quality:erased-{erased.record['hash'][:8]}"
    again = _look(place, tmp_path / "log" / "later.parquet", [WHO, "t", WHO], 3)
    assert _quality(again) == {"quality": 6, "quality:t": 2, stands: 4}
    assert place.holding(place.traces) == []


def test_what_the_monitor_kept_in_its_first_version_forgets_the_name(place: Place, tmp_path: Path) -> None:
    _champion(place, 1, place.bundles[1])
    memory = place.home.project(place.config.project) / "monitor" / "laptop-1.json"
    tests = {"quality": [9, 0.0], f"quality:{WHO}": [4, 0.0]}
    files = {f"/log/{WHO}.parquet": {"digest": "d", "tests": tests}}
    incidents = {f"quality:{WHO}": "The champion answers wrong in domain 1 of 1."}
    kept = {"version": 1, "bundle": place.bundles[1], "domains": {WHO: 1}, "files": files, "incidents": incidents}
    write_json(memory, kept)
    erased = place.forget()
    assert place.holding(place.traces) == []
    look = _look(place, tmp_path / "later.parquet", [WHO], 0)
    assert _quality(look) == {"quality": 1, f"quality:erased-{erased.record['hash'][:8]}": 1}


def test_no_look_is_taken_while_an_erasure_is_under_way(place: Place, tmp_path: Path) -> None:
    _champion(place, 1, place.bundles[1])
    write_json(place.home.erasures(place.config.project) / "pending.json", {"version": 1})
    with pytest.raises(OwnershipError, match="is being erased"):
        _look(place, tmp_path / "log.parquet", [WHO], 0)
    assert not list((place.home.project(place.config.project) / "monitor").glob("*"))


def test_names_go_from_keys_that_hold_more_than_the_name() -> None:
    redaction = Redaction({WHO: "erased-1", "t": "erased-2"}, {})
    assert redaction.document({f"quality:{WHO}": 1, "domains": {"t": 2}, "t": 3, f"{WHO}-else": 4}) == {
        "quality:erased-1": 1,
        "domains": {"erased-2": 2},
        "t": 3,
        f"{WHO}-else": 4,
    }


@pytest.mark.parametrize(
    "sentence",
    [
        "The domain {} has one recording, and with 3 of 5 domains each needs two.",
        "The domain {} has no sample of class 2, from 0 on.",
        "The worst domain, {}, has a higher error than with the champion.",
    ],
)
@pytest.mark.parametrize("name", ["p7", "12"])
def test_a_short_name_goes_from_what_the_gate_says_of_domains(sentence: str, name: str) -> None:
    redaction = Redaction({name: "erased-1"}, {})
    assert redaction.text(sentence.format(name)) == sentence.format("erased-1")


def test_what_others_left_stays_as_it_was(place: Place) -> None:
    store = place.home.snapshots(place.config.project)
    before = load_rows(place.snapshots[1])
    erased = place.forget()
    head = Head.read(place.home, place.config.project)
    assert head is not None
    assert head.snapshot == erased.record["snapshots"][place.snapshots[1].id]
    assert open_snapshot(store, place.snapshots[0].id).manifest == place.snapshots[0].manifest, "it never knew"
    after = load_rows(open_snapshot(store, head.snapshot))
    columns = ["sample_id", "domain", "label", "digest", "split", "generation"]
    others = before.filter(pa.array([domain != WHO for domain in before.column("domain").to_pylist()]))
    assert after.select(columns).equals(others.select(columns))
    assert read_json(place.home.run("run-2") / "result.json")["snapshot"]["id"] == head.snapshot


def test_it_is_refused_when_it_is_delivered_again(
    place: Place, source: Path, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    place.forget()
    head = Head.read(place.home, place.config.project)
    assert head is not None
    store, forgotten = place.home.snapshots(place.config.project), forgotten_of(place.home, place.config.project)
    last = open_snapshot(store, head.snapshot)
    assert pending(source, last, forgotten) == [], "the source still has it, and that is no news"
    deliver(
        "later.parquet", [recording("new", WHO, LABEL, 200, channels=6), recording("n", "t", LABEL, 200, channels=6)]
    )
    deliver(f"{WHO}-again.parquet", [recording("newer", WHO, LABEL, 200, channels=6)])
    said: list[str] = []
    after = ingest(source, store, place.config.data, last.id, say=said.append, forgotten=forgotten)
    assert set(load_rows(after).column("domain").to_pylist()) == {"g", "s", "t"}
    assert load_rows(after).num_rows == load_rows(last).num_rows + 2
    assert after.manifest.erased == 4
    assert said == [
        "4 recordings of the source are of what was erased, and are refused: take them out of the source, too."
    ]
    assert place.holding(place.traces) == []
    assert ingest(source, store, place.config.data, after.id, forgotten=forgotten).id == after.id
    splits = place.config.data.splits.model_copy(update={"search": ["s", WHO]})
    data = place.config.data.model_copy(update={"splits": splits})
    with pytest.raises(UsageError, match="names a domain that was erased"):
        refuse_naming(place.home, place.config.model_copy(update={"data": data}))


def test_a_plan_refuses_a_config_that_names_it_as_the_run_would(place: Place) -> None:
    place.forget()
    splits = place.config.data.splits.model_copy(update={"search": ["s", WHO]})
    data = place.config.data.model_copy(update={"splits": splits})
    with pytest.raises(UsageError, match=r"data\.splits\.search names a domain that was erased"):
        plan_of(place.config.model_copy(update={"data": data}), place.home)
    runs = sorted(place.home.runs.glob("*"))
    with pytest.raises(UsageError, match="names a domain that was erased"):
        start(
            place.config.model_copy(update={"data": data}), place.home, 0, lambda text: None, lambda path: nullcontext()
        )
    assert sorted(place.home.runs.glob("*")) == runs, "a run that is refused at its door leaves no folder"


def test_an_object_of_nothing_but_what_was_erased_is_read_again_where_it_or_the_schema_changed(
    place: Place, source: Path, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    store, project = place.home.snapshots(place.config.project), place.config.project
    place.forget()
    forgotten, last = forgotten_of(place.home, project), _last(place)
    deliver(f"{WHO}.parquet", [recording("another", WHO, LABEL, 200, channels=6)])
    changed = ingest(source, store, place.config.data, last.id, forgotten=forgotten)
    assert changed.manifest.changed == (forgotten.masked(f"{WHO}.parquet"),)
    signal = place.config.data.signal.model_copy(update={"length": 64})
    data = place.config.data.model_copy(update={"signal": signal})
    anew = ingest(source, store, data, changed.id, forgotten=forgotten)
    assert not anew.manifest.refused_objects
    assert anew.manifest.erased == 2
    assert place.holding(place.traces) == []
    deliver(f"{WHO}.parquet", [recording("of-a-friend", "t", LABEL, 200, channels=6)])
    after = ingest(source, store, data, anew.id, forgotten=forgotten)
    assert after.manifest.rows > anew.manifest.rows, "what others deliver under the name is taken in"


def test_the_next_run_begins_with_a_supernet_that_never_saw_it(place: Place) -> None:
    steps = steps_of(place.home, place.config.project)
    knew = set(steps.get(place.supernets[1]).file("trained.txt").read_text().split())
    erased = place.forget()
    assert erased.record["supernets"] == [place.supernets[1]]
    assert erased.record["begins_with"] == place.supernets[0]
    head = Head.read(place.home, place.config.project)
    assert head is not None
    assert head.key == "", "there is something to do"
    stand_in = steps.get(head.supernet)
    assert stand_in.file("supernet.safetensors").read_bytes() == b"run-1"
    rows = set(stand_in.file("trained.txt").read_text().split())
    assert len(knew - rows) == 4, "of what any was trained on, only what was erased is forgotten"
    assert steps.find(place.supernets[1]) is None
    assert not list(place.home.artifacts.rglob("*.safetensors"))


def test_where_every_supernet_saw_it_the_next_run_trains_cold(place: Place) -> None:
    erased = place.forget("t")
    assert erased.record["supernets"] == sorted(place.supernets)
    head = Head.read(place.home, place.config.project)
    assert head is not None
    supernet = steps_of(place.home, place.config.project).get(head.supernet)
    assert (supernet.inputs["space"], supernet.inputs["last"]) == ("", None)
    assert len(supernet.file("trained.txt").read_text().split()) == 4, "the rows of the other"


def test_champions_that_were_trained_on_it_serve_on_and_are_named(place: Place) -> None:
    for number, bundle in enumerate(place.bundles, 1):
        _champion(place, number, bundle)
    erased = place.forget()
    assert [(c["device"], c["number"]) for c in erased.record["champions"]] == [("laptop", 2)]
    assert any("entry 2) was trained on it" in sentence for sentence in erased.left)
    assert {path.name for path in place.home.bundles(place.config.project).iterdir()} == {
        digest[:16] for digest in place.bundles
    }


def test_a_champion_whose_signed_verdict_names_it_is_delivered_on(place: Place, tmp_path: Path) -> None:
    promoted(place, place.bundles[0], f"The worst domain, {WHO}, has a higher error.")
    deliver_champion(place.config, place.home, "laptop", tmp_path / "served")
    erased = place.forget()
    assert any("signature no champion is delivered: entry 1 of laptop." in sentence for sentence in erased.left)
    assert deliver_champion(place.config, place.home, "laptop", tmp_path / "other").entry.number == 1
    assert {Path(name).parts[2] for name in place.holding(place.traces)} == {"journal"}, "it is nowhere else"


def test_of_a_signed_verdict_without_names_nothing_is_left(place: Place, tmp_path: Path) -> None:
    promoted(place, place.bundles[0], "The worst domain, number 1 of 1, has a higher error.")
    erased = place.forget("g")
    assert not any("signed" in sentence for sentence in erased.left)
    assert deliver_champion(place.config, place.home, "laptop", tmp_path / "served").entry.number == 1


def test_no_reason_that_a_person_gave_names_it(place: Place) -> None:
    releases = releases_of(place.home, place.config.project)
    releases.append({"rule": "range", "rows": ["a"], "reason": f"{WHO} wore it on the other hand.", "at": "now"})
    forget(place.config, place.home, "walks-at-noon", None, f"A mistake of {WHO}.")
    forget(place.config, place.home, WHO, None, f"{WHO} asked for it.")
    assert place.holding(place.traces) == []
    first, second = erasures(place.home, place.config.project)
    pseudonym = f"erased-{second['hash'][:8]}"
    assert (first["reason"], second["reason"]) == (f"A mistake of {pseudonym}.", f"{pseudonym} asked for it.")
    assert releases.all()[0]["reason"] == f"{pseudonym} wore it on the other hand."


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_last_supernet_that_cannot_be_read_is_erased_too(damaged: int, place: Place) -> None:
    steps = steps_of(place.home, place.config.project)
    for ref in place.supernets[-damaged:]:
        (steps.folder / ref / "supernet.safetensors").write_bytes(b"damaged")
    erased = place.forget()
    assert erased.record["unread"] == place.supernets[1]
    assert any(f"{place.supernets[1]}, could not be read" in sentence for sentence in erased.left)
    assert steps.find(place.supernets[1]) is None
    head = Head.read(place.home, place.config.project)
    assert head is not None
    stand_in = steps.get(head.supernet)
    assert (stand_in.inputs["space"], stand_in.inputs["last"]) == ("", None), "the next run trains cold"
    seen = [] if damaged == 2 else steps.get(place.supernets[0]).file("trained.txt").read_text().split()
    assert stand_in.file("trained.txt").read_text().split() == sorted(seen)
    assert place.holding(place.traces) == []


def test_after_a_cold_start_somebody_new_is_erased_to_a_cold_start_again(
    place: Place, source: Path, deliver: Callable[..., Path], recording: Callable[..., Any]
) -> None:
    store, project = place.home.snapshots(place.config.project), place.config.project
    place.forget("t")
    head = Head.read(place.home, project)
    assert head is not None
    deliver("newcomer.parquet", [recording("of-a-newcomer", "newcomer", LABEL, 200, channels=6, seed=11)])
    after = ingest(source, store, place.config.data, head.snapshot, forgotten=forgotten_of(place.home, project))
    place.supernets.append(head.supernet)
    with claim(place.home, 0, lambda text: None) as ownership:
        end(place, "run-3", after, ownership.guard)
    assert place.forget("newcomer").record["begins_with"] == ""
    last = Head.read(place.home, project)
    assert last is not None
    assert steps_of(place.home, project).get(last.supernet).inputs["space"] == ""


def test_candidates_that_were_trained_on_it_go(place: Place) -> None:
    erased = place.forget()
    assert erased.record["bundles"] == [place.bundles[1][:16]]
    assert [path.name for path in place.home.bundles(place.config.project).iterdir()] == [place.bundles[0][:16]]


@pytest.mark.parametrize(("who", "left"), [(WHO, ["run-1"]), ("s", [])])
def test_what_a_supernet_that_saw_it_said_of_finalists_goes_and_all_that_was_judged_on_it(
    who: str, left: list[str], place: Place
) -> None:
    place.forget(who)
    found = sorted(place.home.rankings(place.config.project).rglob("*.json"))
    assert [path.name.split(".")[1] for path in found] == left


def test_a_single_recording_is_erased_by_its_id(place: Place) -> None:
    erased = place.forget("walks-at-noon")
    assert (erased.record["kind"], erased.record["recordings"]) == ("id", 1)
    assert place.holding([b"walks-at-noon", place.payloads[1]]) == []
    assert place.holding([f"{WHO}-sits".encode()]), "the other recording stays"
    assert set(load_rows(_last(place)).column("domain").to_pylist()) == {"g", "s", "t", WHO}


def _last(place: Place) -> Snapshot:
    head = Head.read(place.home, place.config.project)
    assert head is not None
    return open_snapshot(place.home.snapshots(place.config.project), head.snapshot)


@pytest.mark.parametrize("method", ["write", "erase"])
def test_killed_in_the_middle_the_next_call_completes_it(method: str, place: Place) -> None:
    _stop_a_run(place)
    killed = 0
    for left in (0, 2, 5, 9):
        code = _killed(place, method, left)
        killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
    assert killed >= 3
    with claim(place.home, 0, lambda text: None) as ownership:
        finish(place.config, place.home, ownership.guard)
    (record,) = erasures(place.home, place.config.project)
    assert record["rows"] == 4
    assert record["supernets"] == [place.supernets[1]]
    assert place.holding(place.traces) == []
    assert load_rows(_last(place)).num_rows == 8


def _stop_a_run(place: Place) -> None:
    """A run that was stopped, whose files tell of the person."""
    RunManifest.open(place.home, "run-3", place.config, "source", {})
    for name in ("log.txt", "validation.json"):
        (place.home.run("run-3") / name).write_text(json.dumps({"domains": [WHO]}))


def test_from_before_anything_is_changed_it_is_refused_and_no_run_takes_data_in(place: Place) -> None:
    project = place.config.project
    refuse_pending(place.home, project)
    assert _killed(place, "write", 1) == -signal.SIGKILL, "at the first key of a snapshot"
    assert open_snapshot(place.home.snapshots(project), _last(place).id).id == place.snapshots[1].id
    forgotten = forgotten_of(place.home, project)
    assert forgotten is not None
    assert forgotten.hides("domain", WHO)
    with pytest.raises(EvernasError, match=r"An erasure was stopped.*`evernas data forget` again"):
        refuse_pending(place.home, project)
    asked = ["data", "erasures", "--config", str(place.path), "--home", str(place.home.path)]
    assert "not completed yet: It was asked for." in CliRunner().invoke(app, asked).stdout
    place.forget()
    refuse_pending(place.home, project)


@pytest.mark.parametrize("left", [0, 1, 5])
def test_what_was_taken_in_beside_a_stopped_erasure_is_erased_too(left: int, place: Place, source: Path) -> None:
    project = place.config.project
    assert _killed(place, "erase", left) == -signal.SIGKILL
    head = Head.read(place.home, project)
    assert head is not None
    again = ingest(source, place.home.snapshots(project), place.config.data, head.snapshot)
    if again.id == head.snapshot:
        again = ingest(source, place.home.snapshots(project), place.config.data, None)
    assert WHO in load_rows(again).column("domain").to_pylist()
    with claim(place.home, 0, lambda text: None) as ownership:
        end(place, "run-4", again, ownership.guard)
    erased = place.forget()
    assert place.holding(place.traces) == []
    assert {place.supernets[1], place.supernets[2]} <= set(erased.record["supernets"])
    assert {place.snapshots[1].id, again.id} <= set(erased.record["snapshots"])
    stand_in = steps_of(place.home, project).get(str(Head.read(place.home, project).supernet))  # type: ignore[union-attr]
    assert not {WHO, *IDS} & set(str(stand_in.facts))
    assert load_rows(_last(place)).num_rows == 8


def _killed(place: Place, method: str, left: int) -> int:
    pid = os.fork()
    if pid == 0:
        _dying(place, method, left)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _dying(place: Place, method: str, left: int) -> None:
    """Erase in this process, which ends at the call of a storage's method after so many."""
    original, calls = getattr(FileStorage, method), [left]

    def die(*arguments: Any) -> Any:
        if calls[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        calls[0] -= 1
        return original(*arguments)

    setattr(FileStorage, method, die)
    code = 1
    try:
        forget(place.config, place.home, WHO, None, "It was asked for.")
        code = 0
    finally:
        os._exit(code)


def test_what_is_unknown_or_ambiguous_is_asked_for(place: Place) -> None:
    with pytest.raises(UsageError, match=r"'nobody' is neither a domain nor a recording.*--kind"):
        place.forget("nobody")
    assert place.forget("nobody", "domain").record["rows"] == 0, "to be refused if it ever comes"
    with claim(place.home, 0, lambda text: None), pytest.raises(OwnershipError):
        place.forget()


def test_the_command_says_what_was_done_and_what_is_left(place: Place) -> None:
    asked = ["--config", str(place.path), "--home", str(place.home.path)]
    with pytest.raises(UsageError, match="--reason"):
        raise CliRunner().invoke(app, ["data", "forget", WHO, *asked]).exception or AssertionError
    said = CliRunner().invoke(app, ["data", "forget", WHO, "--reason", "asked", *asked]).stdout
    assert said.startswith("Erased 4 rows of 2 recordings from 1 snapshots; 1 supernets and 1 candidates")
    assert "take it out there" in said
    shown = CliRunner().invoke(app, ["data", "erasures", *asked]).stdout
    assert shown.startswith("1: domain ")
    assert WHO not in shown
    assert place.holding(place.traces) == []
    assert json.loads(CliRunner().invoke(app, ["data", "erasures", "--json", *asked]).stdout)[0]["rows"] == 4
