"""Who serves the champion has a whole one at every moment, by the journal, signed; and a new one without a restart."""

from __future__ import annotations

import json
import os
import runpy
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evernas.bundle import load_bundle
from evernas.errors import HoldError, IntegrityError, UsageError
from evernas.registry.delivery import KEPT, deliver
from evernas.registry.entries import Entry
from evernas.registry.keys import keyring
from evernas.registry.promotion import check_leave, promote, roll_back, rollback_target
from evernas.registry.verdicts import moment
from evernas.state import Home
from evernas.steps.decision import policy_digest
from small_project import Place, project_in

ROOT = Path(__file__).parents[2]
CONSUMER = runpy.run_path(str(ROOT / "examples" / "consumer" / "serving.py"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("EVERNAS_HOME", str(home.path))
    return project_in(home, tmp_path)


def promoted(place: Place, seed: int) -> Entry:
    """A network made champion by a signed verdict, without MLflow."""
    bundle = place.bundle(seed)
    signed, _ = place.verdict(bundle, f"run-{seed}")
    config = place.config
    keys = keyring(config.registry, place.home)
    policy = policy_digest(config, "laptop")
    leave = check_leave(signed, keys, moment(), place.journal, config.project, "laptop", policy)
    return promote(place.journal, leave, bundle, f"models:/x/{seed}")


def fetched(place: Place, folder: Path) -> Any:
    return deliver(place.config, place.home, "laptop", folder)


def test_current_is_the_journals_champion_and_nothing_changes_until_it_does(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    with pytest.raises(UsageError, match="no champion yet"):
        fetched(place, folder)
    assert not (folder / "current").exists()
    first = promoted(place, 1)
    assert fetched(place, folder).changed
    about = json.loads((folder / "current" / "champion.json").read_text())
    assert (about["number"], about["bundle"], about["device"]) == (1, first.bundle, "laptop")
    assert load_bundle(folder / "current" / "bundle", expected=first.bundle).digest == first.bundle
    assert not fetched(place, folder).changed
    second = promoted(place, 2)
    assert fetched(place, folder).changed
    assert json.loads((folder / "current" / "champion.json").read_text())["bundle"] == second.bundle


def test_a_consumer_follows_a_hundred_changes_and_never_sees_half_a_champion(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    promoted(place, 0)
    fetched(place, folder)
    follower, wrong, seen = CONSUMER["Champions"](folder), list[str](), set[int]()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            version = (folder / os.readlink(folder / "current")).resolve()
            about = json.loads((version / "champion.json").read_text())
            bundle = load_bundle(version / "bundle", expected=about["bundle"])
            champion = follower.champion()
            seen.add(champion.number)
            if champion.number == about["number"]:
                found = champion.scores(bundle.samples.inputs)
                if not np.allclose(found, bundle.samples.scores, atol=1e-5):
                    wrong.append(f"entry {champion.number} answers otherwise")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 101):
            if number % 3 == 0:
                head, target = rollback_target(place.journal, "laptop", None)
                roll_back(place.journal, head, target, f"rollback-{number}", "a test")
            else:
                promoted(place, number % 7)
            assert fetched(place, folder).changed
    finally:
        done.set()
        reader.join(20)
    assert not reader.is_alive()
    assert wrong == []
    assert len(seen) > 5, "it followed while they changed"
    assert place.head.number == 101
    assert follower.champion().number == 101
    assert not list((folder / "versions").glob(".*"))


def test_versions_that_nobody_reads_any_more_go(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for seed in range(KEPT + 3):
        promoted(place, seed)
        version = fetched(place, folder).folder
        if seed != 1:
            os.utime(version, (0, 0))
    promoted(place, 9)
    (folder / "versions" / ".writing-killed").mkdir()
    newest = fetched(place, folder).folder
    left = sorted(path.name for path in (folder / "versions").iterdir())
    assert [name[:6] for name in left] == ["000002", "000005", "000006", "000007"], "a young one, and the last three"
    assert left[-1] == newest.name


def test_two_who_deliver_at_once_leave_the_newest(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    promoted(place, 1)
    threads = [threading.Thread(target=lambda: [fetched(place, folder) for _ in range(10)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    last = promoted(place, 2)
    for thread in threads:
        thread.join()
    fetched(place, folder)
    assert json.loads((folder / "current" / "champion.json").read_text())["bundle"] == last.bundle


def test_a_folder_is_of_one_device(place: Place, tmp_path: Path) -> None:
    promoted(place, 1)
    fetched(place, tmp_path / "models")
    place.change(devices=[{"name": "laptop"}, {"name": "phone"}])
    with pytest.raises(UsageError, match=r"holds the champion of laptop of .*, not of phone"):
        deliver(place.config, place.home, "phone", tmp_path / "models")


def _tampered(place: Place, **changes: Any) -> None:
    """The newest entry with other content, as one who can write there would leave it."""
    (path,) = place.home.journal(place.project).rglob(f"*{place.head.number}.json")
    entry = place.head
    path.chmod(0o644)
    path.write_bytes(replace(entry, **changes).to_bytes())


@pytest.mark.parametrize("what", ["unsigned", "another bundle", "altered", "another key"])
def test_what_no_signature_bears_out_is_not_served(place: Place, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "models"
    good = promoted(place, 1)
    fetched(place, folder)
    promoted(place, 2)
    signed = place.head.signed
    assert signed is not None
    if what == "unsigned":
        _tampered(place, signed=None)
    elif what == "another bundle":
        _tampered(place, bundle=place.bundle(3).digest)
    elif what == "altered":
        _tampered(place, signed={**signed, "payload": {**signed["payload"], "run": "other"}})
    else:
        place.change(registry={"verdict_keys": ["A" * 43 + "="]})
    with pytest.raises(HoldError):
        fetched(place, folder)
    assert json.loads((folder / "current" / "champion.json").read_text())["bundle"] == good.bundle


def test_damaged_files_are_not_served_and_are_mended_by_good_ones(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    promoted(place, 1)
    model = fetched(place, folder).folder / "bundle" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + b"x")
    assert fetched(place, folder).changed
    assert model.read_bytes() == good
    promoted(place, 2)
    kept = place.home.bundles(place.project) / place.head.bundle[:16] / "model.onnx"
    kept.chmod(0o644)
    kept.write_bytes(b"other")
    with pytest.raises(IntegrityError):
        fetched(place, folder)
    assert json.loads((folder / "current" / "champion.json").read_text())["number"] == 1


def test_the_command_says_what_is_current_and_ends_with_2_without_a_champion(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    asked = ("champion", "download", folder, "--config", place.path)
    assert place.evernas(*asked)[0] == 2
    assert not place.home.keys.exists(), "who only looks makes no key to sign with"
    entry = promoted(place, 1)
    code, said = place.evernas(*asked)
    assert (code, f"is now {entry.bundle[:12]}, entry 1 of laptop" in said) == (0, True)
    assert json.loads(place.evernas(*asked, "--json")[1])["changed"] is False


def test_the_example_answers_samples_in_a_file(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = promoted(place, 1)
    found = fetched(place, tmp_path / "models")
    bundle = load_bundle(found.folder / "bundle", expected=entry.bundle)
    champion = CONSUMER["Champions"](tmp_path / "models").champion()
    assert champion.shape == bundle.contract.shape
    wanted = [bundle.labels[index] for index in bundle.samples.scores.argmax(1)]
    assert champion.answer(bundle.samples.inputs) == wanted
