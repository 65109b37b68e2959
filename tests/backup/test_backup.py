"""A backup holds one moment, shows a changed byte wherever it is, and gives the same champions in an empty place."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from evernas.backup.comparing import compare
from evernas.backup.container import BLOCK, checked
from evernas.backup.contents import Contents
from evernas.backup.inbox import rows_of
from evernas.backup.restoring import restore
from evernas.backup.saving import back_up
from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import short
from evernas.errors import EvernasError, IntegrityError, UsageError
from evernas.outbox.sending import database_of
from evernas.registry.delivery import deliver
from evernas.registry.models import fetch
from evernas.registry.opening import open_journal
from evernas.state import Home
from evernas.state.restoring import begin, under_way
from evernas.state.sharing import storage_of
from evernas.steps.allowance import book_of
from evernas.triggers.database import Database
from evernas.triggers.events import Event
from evernas.triggers.inbox import Entry, keep
from evernas.triggers.rules import Match
from small_project import Place

PASSPHRASE = "a passphrase drawn at random 0123456789"


def _everything(config: Config, home: Home) -> dict[str, bytes]:
    contents = Contents(config, home)
    return dict([*contents.settled(), *contents.bundles(), *contents.loose()])


def _rows(config: Config, home: Home) -> list[Any]:
    database = database_of(config, home)
    database.migrate()
    found = [
        {key: value for key, value in row.items() if key not in ("seq", "id", "work")}
        for rows in rows_of(database, config.project).values()
        for row in rows
    ]
    database.close()
    return found


def test_restoring_into_an_empty_place_gives_the_same_champions_and_all_that_was_decided(
    kept: Any, tmp_path: Path
) -> None:
    before = _everything(kept.config, kept.home)
    saved = back_up(kept.config, kept.home, tmp_path / "b", PASSPHRASE)
    assert (saved.entries, saved.bundles, saved.rows) == (3, 2, 1)
    found = restore(kept.empty_config, kept.empty_home, checked(tmp_path / "b"), PASSPHRASE)
    assert _everything(kept.empty_config, kept.empty_home) == before
    assert _rows(kept.empty_config, kept.empty_home) == _rows(kept.config, kept.home)
    journal, there = open_journal(kept.home, kept.config), open_journal(kept.empty_home, kept.empty_config)
    assert there.head("laptop") == journal.head("laptop")
    assert [there.read("laptop", n) for n in (1, 2, 3)] == [journal.read("laptop", n) for n in (1, 2, 3)]
    head = there.head("laptop")
    assert head is not None
    assert found.champions == {"laptop": (3, head.bundle)}
    assert load_bundle(fetch(kept.empty_home, kept.config.project, head.bundle), expected=head.bundle)
    if kept.empty_home.bucket is None:
        served = deliver(kept.empty_config, kept.empty_home, "laptop", tmp_path / "models")
        assert served.entry == head, "its signature counts: the key is there, too"
    assert book_of(kept.empty_home, kept.config.project).of_month("2026-11").evaluations == 3


def test_rows_are_saved_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/inbox.db")
    database.migrate()
    with database.write() as connection:
        # By their index they would come the other way round.
        for version in ("3", "2", "1"):
            event = Entry("lake", Event("a", version, "raw", "a", "created"), Match("r", ""), 0.0)
            keep(connection, "ordered", [event], database.is_sqlite)
    rows = rows_of(database, "ordered")["events"]
    database.close()
    assert [row["version"] for row in rows] == ["3", "2", "1"]


def test_a_changed_byte_is_found_wherever_it_is(on_files: Any, tmp_path: Path) -> None:
    file = tmp_path / "b"
    back_up(on_files.config, on_files.home, file, PASSPHRASE)
    good = file.read_bytes()
    rng = random.Random(0)
    places = {rng.randrange(len(good)) for _ in range(150)}
    # Headers of members and the padding after them; the tar's end; the whole seal.
    places |= {*range(0, 160, 7), *range(len(good) - 2 * BLOCK, len(good), 9), len(good) - 1}
    for place in sorted(places):
        damaged = bytearray(good)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        with pytest.raises(IntegrityError):
            checked(file)
    for length in (0, 1, BLOCK, len(good) // 2, len(good) - BLOCK, len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(IntegrityError, match="damaged, or was cut off"):
            checked(file)
    file.write_bytes(good + b"\0" * BLOCK)
    with pytest.raises(IntegrityError):
        checked(file)
    file.write_bytes(good)
    assert checked(file).index["project"] == on_files.config.project


def test_what_was_damaged_is_named(on_files: Any, tmp_path: Path) -> None:
    file = tmp_path / "b"
    back_up(on_files.config, on_files.home, file, None)
    data = file.read_bytes()
    at = data.index(b'"rollback-1"')
    file.write_bytes(data[:at] + data[at:].replace(b"rollback-1", b"rollback-2", 1))
    with pytest.raises(IntegrityError, match=r"journal/laptop/000003\.json changed"):
        checked(file)


def test_a_place_without_any_state_of_the_project_gives_no_backup(kept: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no state of ") as refused:
        back_up(kept.empty_config, kept.empty_home, tmp_path / "b", None)
    assert "No backup was written" in str(refused.value)
    assert not (tmp_path / "b").exists()


def test_private_keys_are_left_out_or_encrypted_and_it_is_said(on_files: Any, tmp_path: Path) -> None:
    pem = (on_files.home.keys / "gate-ed25519.pem").read_bytes()
    without, within = tmp_path / "without", tmp_path / "within"
    saved = back_up(on_files.config, on_files.home, without, None)
    assert any("are NOT in it" in remark for remark in saved.remarks)
    saved = back_up(on_files.config, on_files.home, within, PASSPHRASE)
    assert any("are in it, encrypted" in remark for remark in saved.remarks)
    for file in (without, within):
        assert pem[40:80] not in file.read_bytes()
        assert PASSPHRASE.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="passphrase has 5 characters"):
        back_up(on_files.config, on_files.home, tmp_path / "weak", "short")
    assert not (tmp_path / "weak").exists()
    with pytest.raises(UsageError, match="does not open the keys"):
        restore(on_files.empty_config, on_files.empty_home, checked(within), "another passphrase 0123456789")
    found = restore(on_files.empty_config, on_files.empty_home, checked(within), None)
    assert any("put" in remark and "registry.verdict_keys" in remark for remark in found.remarks)


def test_a_place_that_is_not_empty_and_another_project_are_refused(on_files: Any, tmp_path: Path) -> None:
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    backup = checked(tmp_path / "b")
    before = _everything(on_files.config, on_files.home)
    with pytest.raises(UsageError, match="has the journal of laptop, ledger, told, sealed, the inbox here"):
        restore(on_files.config, on_files.home, backup, None)
    assert _everything(on_files.config, on_files.home) == before
    other = on_files.empty_config.model_copy(update={"project": "other"})
    with pytest.raises(UsageError, match="and the config of other"):
        restore(other, on_files.empty_home, backup, None)
    with pytest.raises(UsageError, match="never written over"):
        back_up(on_files.config, on_files.home, tmp_path / "b", None)


def _consumed(kept: Any) -> None:
    own = storage_of(kept.empty_home, kept.empty_home.project(kept.config.project), kept=False)
    own.create("consumed.json", b'{"version": 1, "run": "another"}')


def _manifest(kept: Any) -> None:
    data = storage_of(kept.empty_home, kept.empty_home.snapshots(kept.config.project), kept=False)
    data.create("manifests/abc.json", b'{"version": 2}')


def _run_of_the_backup(kept: Any) -> None:
    storage_of(kept.empty_home, kept.empty_home.run("run-1"), kept=False).create("result.json", b"{}")


@pytest.mark.parametrize(
    ("leave", "named"), [(_consumed, r"consumed\.json"), (_manifest, "data"), (_run_of_the_backup, "the run run-1")]
)
def test_a_place_that_has_a_file_of_the_project_is_refused_before_anything_is_noted(
    kept: Any, tmp_path: Path, leave: Any, named: str
) -> None:
    own = storage_of(kept.home, kept.home.project(kept.config.project), kept=False)
    own.create("consumed.json", b'{"version": 1, "run": "run-1"}')
    _run(kept, "run-1")
    back_up(kept.config, kept.home, tmp_path / "b", None)
    leave(kept)
    for _ in range(2):
        with pytest.raises(UsageError, match=f"has {named} here.*Nothing was changed"):
            restore(kept.empty_config, kept.empty_home, checked(tmp_path / "b"), None)
    assert under_way(kept.empty_home, kept.config.project) is None, "other commands may use the place as it is"


def _run(kept: Any, run: str) -> None:
    """A run that has left its result, as a backup finds it."""
    folder = storage_of(kept.home, kept.home.run(run), kept=False)
    folder.create("run.json", json.dumps({"version": 1, "config": {"project": kept.config.project}}).encode())
    folder.create("result.json", b'{"version": 1}')
    if kept.home.bucket is not None:
        ends = storage_of(kept.home, kept.home.project(kept.config.project) / "ended", kept=False)
        ends.create(f"20261101-000000.held.{run}", b"")


def test_a_place_that_has_runs_of_the_project_is_refused(on_files: Any, tmp_path: Path) -> None:
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    folder = on_files.empty_home.run("run-9")
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"config": {"project": on_files.config.project}}))
    with pytest.raises(UsageError, match="has the run run-9 here"):
        restore(on_files.empty_config, on_files.empty_home, checked(tmp_path / "b"), None)


KILLED_RESTORE = """
import os, signal, sys
from pathlib import Path
from evernas.backup.container import checked
from evernas.backup.restoring import restore
from evernas.config import load_config
from evernas.errors import IntegrityError
from evernas.registry.opening import open_journal
from evernas.state import Home
from evernas.storage import FileStorage
config, home, backup = load_config(Path(sys.argv[1])), Home(Path(sys.argv[2])), checked(Path(sys.argv[3]))
create, point = FileStorage.create, 0
while True:
    point += 2
    child = os.fork()
    if child == 0:
        count = 0
        def dying(self, key, data):
            global count
            count += 1
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)
            create(self, key, data)
        FileStorage.create = dying
        restore(config, home, backup, None)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
    try:
        open_journal(home, config).head("laptop")
        # Before the very first file of it there is nothing to be taken for anything.
        assert not list(home.path.rglob("*.json")), "half a state was taken for whole"
    except IntegrityError as error:
        assert "evernas state restore" in str(error)
print(point)
"""


def test_a_restore_that_is_killed_anywhere_leaves_nothing_that_is_taken_for_whole(
    on_files: Any, tmp_path: Path
) -> None:
    """Killed at every second file; each time the same command goes on, and the place is refused until it has ended."""
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    arguments = [str(on_files.place.path), str(on_files.empty_home.path), str(tmp_path / "b")]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RESTORE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    assert _everything(on_files.empty_config, on_files.empty_home) == _everything(on_files.config, on_files.home)


def test_a_place_that_is_half_restored_is_refused_by_every_command(on_files: Any, tmp_path: Path) -> None:
    place: Place = on_files.place
    begin(on_files.home, place.project, "a" * 64)
    for command in (("champion", place.path), ("rollback", place.path)):
        code, said = place.evernas(*command, "--home", on_files.home.path)
        assert code in (1, 2), said
        assert "is being put back here" in said
    with pytest.raises(IntegrityError, match="being put back"):
        back_up(on_files.config, on_files.home, tmp_path / "b", None)


def test_a_backup_that_is_killed_leaves_no_file_of_its_name(on_files: Any, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from evernas.backup import container, saving\n"
        "from evernas.config import load_config\n"
        "from evernas.state import Home\n"
        "add, count = container.Writer.add, 0\n"
        "def dying(self, name, data):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    add(self, name, data)\n"
        "container.Writer.add = dying\n"
        "saving.back_up(load_config(Path(sys.argv[1])), Home(Path(sys.argv[2])), Path(sys.argv[3]), None)\n"
    )
    file = tmp_path / "backups" / "b"
    arguments = [str(on_files.place.path), str(on_files.home.path), str(file)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not file.exists()
    for left in file.parent.iterdir():
        with pytest.raises(IntegrityError):
            checked(left)
    back_up(on_files.config, on_files.home, file, None)
    checked(file)


def test_a_backup_made_while_decisions_are_made_holds_one_moment_or_is_not_made(on_files: Any, tmp_path: Path) -> None:
    """Each decision claims the ledger, then the journal: a backup that held the second without the first were torn."""
    place, stop = on_files.place, threading.Event()
    ledger = storage_of(on_files.home, on_files.home.ledger(place.project), kept=False)
    told = storage_of(on_files.home, on_files.home.told(place.project), kept=False)

    def decide() -> None:
        number = 3
        while not stop.wait(0.15):
            number += 1
            ledger.create(f"gate/{number:06d}.json", b"{}")
            told.create(f"gate/{number:06d}.json", b"{}")

    thread = threading.Thread(target=decide)
    thread.start()
    made = 0
    try:
        for number in range(12):
            try:
                back_up(on_files.config, on_files.home, tmp_path / f"b{number}", None)
            except EvernasError:
                assert not (tmp_path / f"b{number}").exists()
                continue
            made += 1
            names = set(checked(tmp_path / f"b{number}").index["members"])
            decided = {name.rpartition("/")[2] for name in names if name.startswith("told/")}
            assert decided <= {name.rpartition("/")[2] for name in names if name.startswith("ledger/")}
    finally:
        stop.set()
        thread.join()
    assert made, "between two decisions there is time for a backup"


@pytest.mark.parametrize("what", ["journal", "ledger", "bundle"])
def test_verify_finds_what_was_changed_in_the_state_since_a_backup(on_files: Any, tmp_path: Path, what: str) -> None:
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    backup, project = checked(tmp_path / "b"), on_files.config.project
    assert compare(on_files.config, on_files.home, backup) > 10
    storage_of(on_files.home, on_files.home.ledger(project)).create("gate/000003.json", b"{}")
    compare(on_files.config, on_files.home, backup)
    folder = {
        "journal": on_files.home.journal(project),
        "ledger": on_files.home.ledger(project),
        "bundle": on_files.home.bundles(project),
    }[what]
    path = next(p for p in sorted(folder.rglob("*")) if p.is_file() and p.name in ("000001.json", "model.onnx"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1) + b" ")
    with pytest.raises(EvernasError):
        compare(on_files.config, on_files.home, backup)


def _earlier(kept: Any) -> Path:
    """The folder of a champion that does not stand any more."""
    journal = open_journal(kept.home, kept.config)
    head, second = journal.head("laptop"), journal.read("laptop", 2)
    assert head is not None
    assert head.bundle != second.bundle
    return kept.home.bundles(kept.config.project) / short(second.bundle)


def test_verify_takes_an_earlier_champion_that_has_gone_for_no_damage(on_files: Any, tmp_path: Path) -> None:
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    backup = checked(tmp_path / "b")
    whole = compare(on_files.config, on_files.home, backup)
    _earlier(on_files).rename(tmp_path / "gone")
    assert compare(on_files.config, on_files.home, backup) == whole - 5, "what has gone is not as it was"


def test_verify_finds_an_earlier_champion_that_was_changed(on_files: Any, tmp_path: Path) -> None:
    back_up(on_files.config, on_files.home, tmp_path / "b", None)
    model = _earlier(on_files) / "model.onnx"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="changed or went since"):
        compare(on_files.config, on_files.home, checked(tmp_path / "b"))


def test_the_commands_do_it_and_take_a_passphrase_by_reference(
    on_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, file = on_files.place, tmp_path / "b"
    monkeypatch.setenv("PASS", PASSPHRASE)
    common = ("--config", place.path)
    code, said = place.evernas(
        "state", "backup", file, *common, "--home", on_files.home.path, "--passphrase-env", "PASS"
    )
    assert code == 0, said
    assert "3 entries of the journal, 2 champions and 1 rows" in said
    assert "is whole" in place.evernas("state", "verify", file)[1]
    code, said = place.evernas("state", "verify", file, *common, "--home", on_files.home.path)
    assert (code, "byte for byte" in said) == (0, True)
    code, said = place.evernas(
        "state", "restore", file, *common, "--home", on_files.empty_home.path, "--passphrase-env", "PASS", "--json"
    )
    assert code == 0, said
    assert json.loads(said)["champions"]["laptop"]["number"] == 3
    assert place.evernas("state", "restore", file, *common, "--home", on_files.home.path)[0] == 2
    assert place.evernas("state", "verify", tmp_path / "none")[0] == 2
