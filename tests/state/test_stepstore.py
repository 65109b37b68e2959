"""A step is done when its marker is there and its bytes are what the marker says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evernas.errors import IntegrityError, OwnershipError
from evernas.state import Done, Guard, Home, StepStore
from evernas.state.files import write_bytes
from evernas.state.ownership import claim


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with claim(Home(tmp_path / "home"), 0, lambda text: None) as ownership:
        yield ownership.guard


def _finished(store: StepStore, guard: Guard) -> str:
    ref = store.ref("train", 1, {"data": "a"})
    folder = store.workspace(ref)
    write_bytes(folder / "weights", b"1234")
    store.finish(Done(ref, folder, {"loss": 0.5}, {"data": "a"}, "maker"), ["weights"], guard)
    return ref


def test_a_finished_step_is_found_with_its_facts(tmp_path: Path, guard: Guard) -> None:
    store = StepStore(tmp_path / "steps")
    done = store.get(_finished(store, guard))
    assert done.facts == {"loss": 0.5}
    assert done.inputs == {"data": "a"}
    assert done.run == "maker"
    assert done.file("weights").read_bytes() == b"1234"


def test_other_inputs_or_another_version_are_another_step(tmp_path: Path) -> None:
    store = StepStore(tmp_path)
    refs = {
        store.ref("train", 1, {"a": 1}),
        store.ref("train", 2, {"a": 1}),
        store.ref("train", 1, {"a": 2}),
        store.ref("fit", 1, {"a": 1}),
    }
    assert len(refs) == 4


def test_a_flipped_byte_makes_a_step_unfinished(tmp_path: Path, guard: Guard) -> None:
    store = StepStore(tmp_path / "steps")
    ref = _finished(store, guard)
    (store.workspace(ref) / "weights").write_bytes(b"1235")
    assert store.find(ref) is None
    with pytest.raises(IntegrityError, match="run again"):
        store.get(ref)


def test_a_missing_output_makes_a_step_unfinished(tmp_path: Path, guard: Guard) -> None:
    store = StepStore(tmp_path / "steps")
    ref = _finished(store, guard)
    (store.workspace(ref) / "weights").unlink()
    assert store.find(ref) is None


def test_work_without_a_marker_is_not_done(tmp_path: Path) -> None:
    store = StepStore(tmp_path)
    ref = store.ref("train", 1, {})
    write_bytes(store.workspace(ref) / "weights", b"1234")
    assert store.find(ref) is None


def test_an_orphan_cannot_finish_a_step(tmp_path: Path) -> None:
    home, store = Home(tmp_path / "home"), StepStore(tmp_path / "steps")
    first = claim(home, 0, lambda text: None)
    first.release()
    with claim(home, 0, lambda text: None), pytest.raises(OwnershipError):
        _finished(store, first.guard)
    assert store.find(store.ref("train", 1, {"data": "a"})) is None


def test_an_unsettled_step_is_kept_by_its_run_and_made_anew_by_the_next(tmp_path: Path, guard: Guard) -> None:
    store = StepStore(tmp_path / "steps")
    ref = _finished(store, guard)
    store.unsettle(ref, "first", guard)
    assert store.find_for(ref, "first") is not None, "a run that goes on after a kill keeps to what it decided by"
    assert store.find_for(ref, "second") is None
    assert store.get(ref).facts == {"loss": 0.5}, "what the first run reported stays readable until it is made anew"
    assert list(store.renew(ref, "second").iterdir()) == [], "old raw results would only give the old result again"
    _finished(store, guard)
    assert store.find_for(ref, "second") is not None
    assert store.find_for(ref, "third") is not None


def test_what_a_kill_left_of_a_step_is_gone_on_with(tmp_path: Path) -> None:
    store = StepStore(tmp_path)
    ref = store.ref("train", 1, {})
    write_bytes(store.workspace(ref) / "checkpoint", b"half")
    assert [path.name for path in store.renew(ref, "again").iterdir()] == ["checkpoint"]


def test_an_orphan_cannot_unsettle_a_step(tmp_path: Path) -> None:
    home, store = Home(tmp_path / "home"), StepStore(tmp_path / "steps")
    first = claim(home, 0, lambda text: None)
    ref = _finished(store, first.guard)
    first.release()
    with claim(home, 0, lambda text: None), pytest.raises(OwnershipError):
        store.unsettle(ref, "orphan", first.guard)
    assert store.find_for(ref, "another") is not None
