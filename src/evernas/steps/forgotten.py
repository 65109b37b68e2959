"""What was erased of a project, as ingest and the commands know it, and the key of its hashes."""

from __future__ import annotations

import contextlib
import os
import re
import secrets

from evernas.config import Config
from evernas.data.forgotten import KINDS, Forgotten, Kind
from evernas.errors import EvernasError, IntegrityError, UsageError
from evernas.state import Home
from evernas.state.sharing import erasures_of, storage_of
from evernas.storage import AlreadyExists, FileStorage

PENDING = "pending.json"
"""What an erasure under way is to erase, by name, and how far it has come; there until it is completed."""
KEY_VARIABLE = "EVERNAS_ERASURE_KEY"
LOCAL_KEY = "erasure.key"
_KEY = re.compile(r"[0-9a-f]{64}")


def forgotten_of(home: Home, project: str) -> Forgotten | None:
    """What was erased; None where nothing ever was. UsageError, IntegrityError where the key is lost."""
    records = erasures_of(home, project).all()
    if not records:
        return None
    hashes: dict[Kind, frozenset[str]] = {
        kind: frozenset(record["hash"] for record in records if record["kind"] == kind) for kind in KINDS
    }
    forgotten = Forgotten(erasure_key(home, make=False), project, hashes)
    if any(record["key"] != key_name(forgotten.key) for record in records):
        raise IntegrityError(
            f"The key of erasures is not the one that {project}'s erasures were made with, so that what was erased "
            f"could be taken in again: restore {LOCAL_KEY}, or set {KEY_VARIABLE} to what it held."
        )
    return forgotten


def erasure_key(home: Home, *, make: bool) -> bytes:
    """The key of the hashes: what the environment says, else that of the state folder, made if asked for.

    UsageError where there is none; a state in a bucket keeps none beside its journal.
    """
    text = os.environ.get(KEY_VARIABLE)
    if text is None and home.bucket is not None:
        raise UsageError(
            f"{KEY_VARIABLE} is not set, and the state lies in a bucket, which must not hold the key of its erasures: "
            "set it to 64 hexadecimal digits, always the same, where data is taken in and erased."
        )
    if text is None:
        keys = FileStorage(home.keys)
        try:
            text = keys.read(LOCAL_KEY).decode()
        except KeyError:
            if not make:
                raise UsageError(
                    f"{home.keys / LOCAL_KEY} is gone, and without it nobody can tell what was erased: restore it from "
                    f"a backup, or set {KEY_VARIABLE} to what it held."
                ) from None
            text = _made(home)
    if not _KEY.fullmatch(text.strip()):
        raise UsageError(
            f"The key of erasures is no 64 hexadecimal digits: set {KEY_VARIABLE}, or restore {LOCAL_KEY}."
        )
    return bytes.fromhex(text.strip())


def key_name(key: bytes) -> str:
    """What records say of a key, to tell it from another."""
    return Forgotten(key, "", {}).hash_of("key", "")[:16]


def _made(home: Home) -> str:
    home.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = FileStorage(home.keys)
    # Another command may make it at the same moment: the one that is there counts.
    with contextlib.suppress(AlreadyExists):
        keys.create(LOCAL_KEY, secrets.token_hex(32).encode())
    (home.keys / LOCAL_KEY).chmod(0o600)
    return keys.read(LOCAL_KEY).decode()


def refuse_naming(home: Home, config: Config) -> None:
    """UsageError for a config that names a domain that was erased: runs would write it down again."""
    forgotten = forgotten_of(home, config.project)
    if forgotten is None:
        return
    splits = config.data.splits
    for key, names in (
        ("splits.gate", splits.gate_domains),
        ("splits.search", splits.search_domains),
        ("strata", [name for of in (config.data.strata or {}).values() for name in of]),
        ("retired", config.data.retired),
    ):
        if any(forgotten.hides("domain", name) for name in names):
            raise UsageError(
                f"data.{key} names a domain that was erased (see `evernas data erasures`): take it out of the config."
            )


def is_pending(home: Home, project: str) -> bool:
    """Whether an erasure was stopped and waits to be completed."""
    return storage_of(home, home.erasures(project), kept=False).exists(PENDING)


def refuse_pending(home: Home, project: str) -> None:
    """EvernasError while an erasure waits to be completed: what a run takes in from there could not be told apart."""
    if is_pending(home, project):
        raise EvernasError(
            "An erasure was stopped before its end, and until it is completed no data is taken in: give the same "
            "`evernas data forget` again."
        )
