"""Logs of production are read as they come: late labels, repeats, files moved, torn or gone; incidents tell."""

from __future__ import annotations

import json
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

import serving
from evernas.digest import digest_bytes
from evernas.errors import IntegrityError, UsageError
from evernas.loop.monitoring import log_files, look_at
from evernas.monitor.inputs import features, tails
from evernas.registry.keys import keyring
from evernas.registry.promotion import check_leave, promote
from evernas.registry.verdicts import moment
from evernas.state import Home
from evernas.state.notices import notices
from evernas.steps.decision import policy_digest
from evernas.storage.s3 import S3Address, S3Storage
from small_project import Place, project_in


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A project with two champions, the second of which is in production; its promise is an error of 20 %."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("EVERNAS_HOME", str(home.path))
    (tmp_path / "data").mkdir()
    made = project_in(home, tmp_path / "data")
    made.change(monitor={"max_error": 0.2, "max_latency_ms": 1.0})
    for seed in (1, 2):
        bundle, config = made.bundle(seed), made.config
        signed, _ = made.verdict(bundle, f"run-{seed}")
        policy = policy_digest(config, "laptop")
        keys = keyring(config.registry, home)
        leave = check_leave(signed, keys, moment(), made.journal, made.project, "laptop", policy)
        promote(made.journal, leave, bundle, f"models:/x/{seed}")
    return made


def log(
    path: Path,
    bundle: str,
    rows: int = 400,
    wrong: float = 0.1,
    latency_ms: float | list[Any] = 0.5,
    start: int = 0,
    labelled: bool = True,
    domains: int = 4,
    **more: list[Any],
) -> Path:
    """A file of predictions: each a recording of its own, of people in turn, so many of them wrong."""
    rng = np.random.default_rng(start)
    bad = rng.random(rows) < wrong
    table = {
        "id": [f"r{start + n}" for n in range(rows)],
        "bundle": [bundle] * rows,
        "predicted": ["run" if b else "walk" for b in bad],
        "domain": [f"person-{n % domains}" for n in range(rows)],
        "latency_ms": latency_ms
        if isinstance(latency_ms, list)
        else (latency_ms * rng.uniform(0.8, 1.2, rows)).tolist(),
        **({"label": ["walk"] * rows} if labelled else {}),
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path)
    return path


def _labels(path: Path, start: int, rows: int) -> None:
    pq.write_table(pa.table({"id": [f"r{start + n}" for n in range(rows)], "label": ["walk"] * rows}), path)


def _look(place: Place, folder: Path) -> Any:
    return look_at(place.config, place.home, "laptop", str(folder))


def _of(look: Any, test: str) -> Any:
    return next(f for f in look.findings if f.test == test)


def test_a_promise_that_is_kept_is_no_incident_however_often_one_looks(place: Place, tmp_path: Path) -> None:
    for day in range(12):
        log(tmp_path / "log" / f"{day}.parquet", place.head.bundle, rows=50, start=50 * day)
        look = _look(place, tmp_path / "log")
        assert look.new == []
    assert _of(look, "quality").units == 600
    assert notices(place.home, place.project) == {}


def test_a_broken_promise_is_told_once_with_a_rollback_proposed_and_no_name_of_a_person(
    place: Place, tmp_path: Path
) -> None:
    log(tmp_path / "log" / "a.parquet", place.head.bundle, wrong=0.5)
    look = _look(place, tmp_path / "log")
    assert any("answers" in sentence and "20.0 % was promised at most" in sentence for sentence in look.new)
    assert look.proposal == 1
    told = list(notices(place.home, place.project).values())
    assert {notice.kind for notice in told} == {"incident", "rollback.proposed"}
    assert "person-" not in json.dumps([vars(notice) for notice in told])
    again = _look(place, tmp_path / "log")
    assert again.new == []
    assert len(notices(place.home, place.project)) == len(told)
    assert _of(again, "quality").broken


def test_labels_that_come_later_are_put_to_their_predictions_and_nothing_counts_twice(
    place: Place, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    log(folder / "a.parquet", place.head.bundle, wrong=0.5, labelled=False)
    look = _look(place, folder)
    assert not [f for f in look.findings if f.kind == "quality"]
    assert "400 predictions have no label yet." in look.remarks
    _labels(folder / "labels.parquet", 0, 100)
    assert _of(_look(place, folder), "quality").units == 100
    _labels(folder / "more-labels.parquet", 50, 350)
    look = _look(place, folder)
    assert _of(look, "quality").units == 400
    assert _of(look, "quality").broken
    log(folder / "again.parquet", place.head.bundle, wrong=0.5)
    repeated = _look(place, folder)
    assert _of(repeated, "quality").units == 400
    assert any("more than once" in remark for remark in repeated.remarks)


def test_a_day_a_look_and_a_folder_a_look_come_to_the_same_and_files_that_are_gone_still_count(
    place: Place, tmp_path: Path
) -> None:
    first, second = (
        log(tmp_path / "log" / f"{day}.parquet", place.head.bundle, rows=200, start=200 * day) for day in (0, 1)
    )
    _look(place, first)
    by_day = _look(place, second)
    assert _of(by_day, "quality").units == 400
    assert _of(_look(place, tmp_path / "log"), "quality").units == 400
    first.rename(tmp_path / "log" / "archived.parquet")
    assert _of(_look(place, tmp_path / "log"), "quality").units == 400, "a file under another name counts once"
    (tmp_path / "log" / "archived.parquet").unlink()
    assert _of(_look(place, tmp_path / "log"), "quality").units == 400, "what was counted is not forgotten"


def test_a_prediction_counts_once_over_all_looks_in_whatever_files_it_comes(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    for day, (start, rows) in enumerate(((0, 30), (10, 40), (0, 50))):
        export = log(folder / f"export-{day}.parquet", place.head.bundle, rows=rows, start=start)
        look = _look(place, export)
    assert _of(look, "quality").units == 50
    assert _of(look, "latency").units == 50
    assert any("more than once" in remark for remark in look.remarks)
    assert _of(_look(place, folder), "quality").units == 50


def test_rows_of_a_recording_in_several_files_are_one_witness(place: Place, tmp_path: Path) -> None:
    for day in range(3):
        path = tmp_path / "log" / f"{day}.parquet"
        log(path, place.head.bundle, rows=20, start=20 * day, recording=["the same"] * 20, domains=1)
        look = _look(place, path)
    assert _of(look, "quality").units == 1


def test_labels_find_predictions_whose_file_has_gone(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    first = log(folder / "a.parquet", place.head.bundle, wrong=0.5, labelled=False)
    _look(place, folder)
    first.unlink()
    _labels(folder / "labels.parquet", 0, 400)
    look = _look(place, folder)
    assert _of(look, "quality").units == 400
    assert _of(look, "quality:person-3").units == 100
    assert _of(look, "quality").broken


def test_labels_may_come_before_their_predictions(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    _labels(folder / "0-labels.parquet", 0, 400)
    _look(place, folder)
    log(folder / "a.parquet", place.head.bundle, labelled=False)
    assert _of(_look(place, folder), "quality").units == 400


def test_a_file_that_is_written_anew_takes_back_nothing_that_was_counted(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "log" / "current.parquet"
    log(path, place.head.bundle, rows=10)
    _look(place, path)
    log(path, place.head.bundle, rows=5, start=10)
    assert _of(_look(place, path), "quality").units == 15
    log(path, place.head.bundle, rows=5, start=15, labelled=False)
    assert _of(_look(place, path), "quality").units == 15


def test_of_looks_at_once_none_loses_what_another_counted(place: Place, tmp_path: Path) -> None:
    files = [log(tmp_path / f"{n}.parquet", place.head.bundle, rows=50, start=50 * n) for n in range(8)]
    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(lambda file: _look(place, file), files))
    assert _of(_look(place, files[0]), "quality").units == 400


def test_a_look_that_is_killed_while_it_tells_tells_it_again_by_the_same_name(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evernas.loop.monitoring as monitoring

    log(tmp_path / "a.parquet", place.head.bundle, wrong=0.5)
    tell = monitoring._tell

    def dying(*arguments: Any) -> None:
        tell(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(monitoring, "_tell", dying)
        with pytest.raises(KeyboardInterrupt):
            _look(place, tmp_path / "a.parquet")
    told = set(notices(place.home, place.project))
    assert told
    # People in another order: they keep the numbers by which they were told.
    log(tmp_path / "b.parquet", place.head.bundle, rows=4, start=400, domain=[f"person-{n}" for n in (9, 8, 7, 3)])
    look = _look(place, tmp_path)
    assert look.new
    assert told <= set(notices(place.home, place.project))
    assert _of(look, "quality").units == 404
    kinds = [notice.about["kind"] for notice in notices(place.home, place.project).values()]
    assert len(kinds) == 2 * len(look.new), "an incident and a proposal each"


def test_only_one_file_of_the_log_is_held_at_a_time(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evernas.loop.monitoring as monitoring

    for day in range(5):
        log(tmp_path / f"{day}.parquet", place.head.bundle, rows=10, start=10 * day)
    held: list[weakref.ref[Any]] = []

    def watched(address: str) -> Any:
        for file in log_files(address):
            held.append(weakref.ref(file))
            yield file
            del file
            assert sum(reference() is not None for reference in held) <= 1

    monkeypatch.setattr(monitoring, "log_files", watched)
    assert _of(_look(place, tmp_path), "quality").units == 50
    assert len(held) == 5


def test_a_file_that_was_read_is_not_taken_apart_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evernas.monitor.taking as taking

    log(tmp_path / "a.parquet", place.head.bundle)
    _look(place, tmp_path)
    monkeypatch.setattr(taking, "read_rows", lambda file: pytest.fail(f"{file.name} was read again"))
    assert _of(_look(place, tmp_path), "quality").units == 400


@pytest.mark.parametrize(
    ("column", "values"),
    [("latency_ms", ["fast"] * 400), ("latency_ms", [[1.0]] * 400), ("input_mean_x", ["1.0"] * 400)],
)
def test_what_should_be_numbers_and_is_not_is_refused_with_the_column(
    place: Place, tmp_path: Path, column: str, values: list[Any]
) -> None:
    log(tmp_path / "bad.parquet", place.head.bundle, start=400, **{column: values})
    log(tmp_path / "good.parquet", place.head.bundle)
    look = _look(place, tmp_path)
    assert f"its column {column} is of " in look.refused[str(tmp_path / "bad.parquet")]
    assert _of(look, "quality").units == 400


def test_latencies_may_be_whole_numbers_or_missing(place: Place, tmp_path: Path) -> None:
    log(tmp_path / "a.parquet", place.head.bundle, rows=4, latency_ms=[2, None, 3, 0])
    found = _of(_look(place, tmp_path), "latency")
    assert (found.units, found.value) == (3, 2 / 3)


def test_after_another_limit_on_latency_answers_are_counted_against_that_one(place: Place, tmp_path: Path) -> None:
    log(tmp_path / "a.parquet", place.head.bundle, latency_ms=1.5)
    _look(place, tmp_path)
    place.change(monitor={"max_error": 0.2, "max_latency_ms": 3.0})
    look = _look(place, tmp_path)
    assert any("limit on latency is another" in remark for remark in look.remarks)
    assert not [f for f in look.findings if f.kind == "latency"]
    log(tmp_path / "b.parquet", place.head.bundle, latency_ms=1.5, start=400)
    assert _of(_look(place, tmp_path), "latency").value == 0


def test_of_a_memory_of_version_1_what_was_told_is_kept_and_what_is_there_is_counted_anew(
    place: Place, tmp_path: Path
) -> None:
    there = log(
        tmp_path / "log" / "person-3.parquet", place.head.bundle, wrong=1.0, domains=1, domain=["person-3"] * 400
    )
    memory = place.home.project(place.project) / "monitor" / f"laptop-{place.head.number}.json"
    memory.parent.mkdir(parents=True)
    counted = {str(there): {"digest": digest_bytes(there.read_bytes()), "tests": {"quality:person-3": [7, 0.0]}}}
    said = {"quality:person-3": "It was told.", "quality:gone": "It was erased.", "latency": "That too."}
    document = {"version": 1, "bundle": place.head.bundle, "domains": {"person-3": 1}}
    memory.write_text(json.dumps({**document, "files": counted, "incidents": said}))
    look = _look(place, tmp_path / "log")
    assert _of(look, "quality:person-3").units == 400
    assert len(look.new) == 1, "of all domains together; of the one it was told"
    document = json.loads(memory.read_text())
    assert document["version"] == 2
    assert document["domains"].pop("person-3") == 1
    assert "person-3" not in json.dumps(document)
    assert document["incidents"] == {"quality:1": "It was told.", "latency": "That too.", "quality": look.new[0]}


def test_torn_and_strange_files_are_said_and_the_others_are_read(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    good = log(folder / "good.parquet", place.head.bundle)
    (folder / "torn.parquet").write_bytes(good.read_bytes()[:1000])
    pq.write_table(pa.table({"x": [1]}), folder / "strange.parquet")
    look = _look(place, folder)
    assert _of(look, "quality").units == 400
    said = {Path(name).name: why for name, why in look.refused.items()}
    assert "no Parquet file" in said["torn.parquet"]
    assert "predictions need id, bundle and predicted" in said["strange.parquet"]
    with pytest.raises(UsageError, match="no Parquet file at"):
        _look(place, tmp_path / "nowhere")


def test_what_others_answered_is_counted_apart_and_a_new_champion_begins_anew(place: Place, tmp_path: Path) -> None:
    former = place.journal.read("laptop", 1).bundle
    log(tmp_path / "log" / "former.parquet", former, wrong=0.9)
    look = _look(place, tmp_path / "log")
    assert look.new == []
    assert look.answers[former][1] == 400


def test_recordings_are_the_witnesses_not_their_windows(place: Place, tmp_path: Path) -> None:
    recordings = [f"rec-{n // 40}" for n in range(400)]
    log(tmp_path / "log" / "a.parquet", place.head.bundle, recording=recordings, domains=1)
    assert _of(_look(place, tmp_path / "log"), "quality").units == 10


def test_slow_answers_are_an_incident_without_a_rollback(place: Place, tmp_path: Path) -> None:
    log(tmp_path / "log" / "a.parquet", place.head.bundle, latency_ms=1.5)
    look = _look(place, tmp_path / "log")
    assert [f.test for f in look.findings if f.broken] == ["latency"]
    assert "longer than the promised median" in look.new[0]
    assert look.proposal is None


def test_inputs_that_moved_are_seen_by_the_tails_of_what_was_trained_on() -> None:
    from evernas.monitor import LogFile, Measure, Memory, Promise, Taking, judge

    rng = np.random.default_rng(0)
    trained = rng.normal(size=(500, 2, 16)).astype(np.float32)
    limits = tails(trained, ["x", "y"], 0.1)
    for shift, broken in ((0.0, set()), (1.0, {"drift:mean_x:high"})):
        seen = rng.normal(size=(300, 2, 16)).astype(np.float32)
        seen[:, 0] += shift
        table = {"id": [str(n) for n in range(300)], "bundle": ["b"] * 300, "predicted": ["walk"] * 300}
        table |= {f"input_{name}": values.tolist() for name, values in features(seen, ["x", "y"]).items()}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(table), sink)
        taking = Taking(Memory("b"), Measure(["walk", "run"], None, limits))
        taking.take(LogFile("a", sink.getvalue().to_pybytes()))
        taking.end()
        findings = judge(taking.memory.tests(), Promise(None, None, None, 0.15), 0.01, {})
        assert {f.test for f in findings if f.broken} == broken


def test_a_log_in_a_bucket_is_read_as_one_in_a_folder_is(place: Place, tmp_path: Path) -> None:
    with s3() as port:
        address = f"s3://{BUCKET}/log?endpoint=http://127.0.0.1:{port}&region=us-east-1"
        file = log(tmp_path / "a.parquet", place.head.bundle)
        S3Storage(S3Address.parse(address)).write("day/a.parquet", file.read_bytes())
        look = look_at(place.config, place.home, "laptop", address)
        assert _of(look, "quality").units == 400
        with pytest.raises(UsageError, match="no Parquet file under s3://"):
            look_at(place.config, place.home, "laptop", address.replace("/log", "/nothing"))


def test_an_incident_is_an_event_that_asks_for_a_run_once(place: Place, tmp_path: Path) -> None:
    place.change(triggers=serving.triggers_config())
    log(tmp_path / "log" / "a.parquet", place.head.bundle, latency_ms=1.5)
    asked = ("monitor", tmp_path / "log", "--config", place.path)
    code, said = place.evernas(*asked, "--fail-on-incident")
    assert (code, "Incident in production" in said) == (3, True)
    assert place.evernas(*asked, "--fail-on-incident")[0] == 0
    rows = json.loads(place.evernas("events", "list", place.path, "--json")[1])
    assert [(row["source"], row["label"], row["state"], row["key"]) for row in rows] == [
        ("(monitor)", "incident", "new", "laptop")
    ]


def test_the_command_names_domains_only_if_asked(place: Place, tmp_path: Path) -> None:
    log(tmp_path / "log" / "a.parquet", place.head.bundle)
    asked = ("monitor", tmp_path / "log", "--config", place.path)
    assert "person-" not in place.evernas(*asked)[1]
    assert "person-" not in place.evernas(*asked, "--json")[1]
    assert "person-3" in place.evernas(*asked, "--domains")[1]
    assert "quality of domain 4" in place.evernas(*asked)[1]


def test_what_a_newer_evernas_remembers_is_refused(place: Place, tmp_path: Path) -> None:
    log(tmp_path / "log" / "a.parquet", place.head.bundle)
    _look(place, tmp_path / "log")
    (memory,) = (place.home.project(place.project) / "monitor").glob("*.json")
    memory.write_text(json.dumps({**json.loads(memory.read_text()), "version": 3}))
    with pytest.raises(IntegrityError, match="newer evernas"):
        _look(place, tmp_path / "log")
