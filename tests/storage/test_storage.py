from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from evernas.errors import UsageError
from evernas.storage import AlreadyExists, FileStorage, TooLarge


def test_what_is_written_is_read_listed_and_deleted(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.write("a/b.bin", b"1")
    storage.write("a/b.bin", b"2")
    storage.write("ab", b"3")
    assert storage.read("a/b.bin") == b"2"
    assert storage.list() == ["a/b.bin", "ab"]
    assert storage.list("a/") == ["a/b.bin"]
    assert storage.list("a") == ["a/b.bin", "ab"]
    assert storage.list("nowhere/") == []
    storage.delete("a/b.bin")
    storage.delete("a/b.bin")
    assert not storage.exists("a/b.bin")
    with pytest.raises(KeyError):
        storage.read("a/b.bin")


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "a//b", ".", "", "a/.tmp-1", "a\0b", "..\\x"])
def test_a_key_that_could_leave_the_root_is_refused(tmp_path: Path, key: str) -> None:
    storage = FileStorage(tmp_path / "root")
    for act in (storage.read, storage.exists, storage.delete, lambda k: storage.write(k, b"")):
        with pytest.raises(UsageError, match="plain relative path"):
            act(key)
    assert list(tmp_path.iterdir()) == []


def test_create_never_replaces(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.create("journal/1", b"first")
    with pytest.raises(AlreadyExists, match="journal/1"):
        storage.create("journal/1", b"second")
    assert storage.read("journal/1") == b"first"
    assert storage.list() == ["journal/1"]


def test_of_many_creators_at_once_one_wins(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    won: list[int] = []
    start = threading.Barrier(8)

    def claim(number: int) -> None:
        start.wait()
        try:
            storage.create("claim", str(number).encode())
            won.append(number)
        except AlreadyExists:
            pass

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert storage.read("claim") == str(won[0]).encode()


def test_a_failed_write_leaves_the_old_bytes_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FileStorage(tmp_path)
    storage.write("a", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write("a", b"new")
    assert storage.read("a") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        FileStorage(tmp_path).write("a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_sweep_removes_what_a_killed_writer_left_and_spares_a_running_one(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    old, young = tmp_path / "d" / ".tmp-1", tmp_path / "d" / ".tmp-2"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1, 1))
    storage = FileStorage(tmp_path)
    assert storage.list() == []
    assert storage.sweep() == 1
    assert [path.name for path in (tmp_path / "d").iterdir()] == [".tmp-2"]


def test_what_is_kept_under_its_own_name_is_written_once_and_mended_when_torn(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.keep("named", b"12")
    first = storage.path("named").stat().st_ino
    storage.keep("named", b"12")
    assert storage.path("named").stat().st_ino == first
    storage.path("named").write_bytes(b"1")
    storage.keep("named", b"12")
    assert storage.read("named") == b"12"


def test_more_bytes_than_are_taken_are_refused(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.write("a", b"123")
    assert storage.read_within("a", 3) == b"123"
    with pytest.raises(TooLarge, match="a holds more than 2 bytes"):
        storage.read_within("a", 2)
    with pytest.raises(KeyError):
        storage.read_within("b", 2)
