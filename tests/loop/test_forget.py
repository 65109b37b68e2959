"""What is erased is nowhere any more, is not taken in again, and nothing that was trained on it is gone on from."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from erasable import IDS, LABEL, WHO, Place, place
from evernas.cli import app
from evernas.config_monitor import MonitorConfig
from evernas.data import Snapshot, ingest, load_rows, open_snapshot, pending
from evernas.errors import OwnershipError, UsageError
from evernas.loop.forget import finish, forget, is_pending
from evernas.loop.monitoring import look_at
from evernas.loop.redaction import Redaction
from evernas.registry.entries import Entry
from evernas.registry.opening import open_journal
from evernas.state import Head
from evernas.state.files import read_json, write_json
from evernas.state.ownership import claim
from evernas.state.sharing import erasures_of, steps_of
from evernas.steps.forgotten import forgotten_of, refuse_naming
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
    (record,) = erasures_of(place.home, place.config.project).all()
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


def test_candidates_that_were_trained_on_it_go(place: Place) -> None:
    erased = place.forget()
    assert erased.record["bundles"] == [place.bundles[1][:16]]
    assert [path.name for path in place.home.bundles(place.config.project).iterdir()] == [place.bundles[0][:16]]


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
    killed = 0
    for left in (0, 2, 5, 9):
        pid = os.fork()
        if pid == 0:
            _dying(place, method, left)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
    assert killed >= 3
    with claim(place.home, 0, lambda text: None) as ownership:
        finish(place.config, place.home, ownership.guard)
    (record,) = erasures_of(place.home, place.config.project).all()
    assert record["rows"] == 4
    assert record["supernets"] == [place.supernets[1]]
    assert place.holding(place.traces) == []
    assert load_rows(_last(place)).num_rows == 8


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
