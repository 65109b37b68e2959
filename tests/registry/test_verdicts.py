"""Promote takes a verdict only as the gate signed it: whole, in time, by a known key, at the journal's head, once."""

from __future__ import annotations

import copy
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from evernas.bundle import Bundle, Contract, Samples, write_bundle
from evernas.config import RegistryConfig
from evernas.errors import HoldError, IntegrityError, UsageError
from evernas.registry.journal import Journal
from evernas.registry.keys import Keyring, key_id, keyring, keyring_of, local_key, public_text, signing_key
from evernas.registry.opening import open_slots
from evernas.registry.promotion import anchor, check_leave, promote, roll_back, rollback_target
from evernas.registry.verdicts import Statement, expiry, sign
from evernas.state import Home

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
KEYS = Keyring({key_id(KEY.public_key()): KEY.public_key()})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(open_slots(None, Home(tmp_path / "home"), "watch"))


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    samples = Samples(np.zeros((1, 1, 8), np.float32), np.zeros((1, 2), np.float32))
    return [
        write_bundle(tmp_path / "bundles", b"network %d" % n, ["a", "b"], Contract(("x",), (8,)), samples, {})
        for n in range(3)
    ]


def statement(at: Journal, bundle: Bundle, **changes: Any) -> Statement:
    head = at.head("laptop")
    made_at, expires_at = expiry(NOW, 72)
    made = Statement(
        project="watch",
        device="laptop",
        run="run-1",
        outcome="promote",
        verdict={"outcome": "promote", "sentence": "Promote: it is better.", "level": 0.025},
        candidate=bundle.digest,
        candidate_model=bundle.model_digest,
        champion=None if head is None else head.bundle,
        champion_model=None,
        policy="policy",
        gate_split="split",
        evidence=None,
        journal=0 if head is None else head.number,
        made_at=made_at,
        expires_at=expires_at,
    )
    return replace(made, **changes)


def leave(journal: Journal, signed: Any, now: datetime = NOW, keys: Keyring = KEYS, policy: str = "policy") -> Any:
    return check_leave(signed, keys, now, journal, "watch", "laptop", policy)


def promoted(journal: Journal, bundle: Bundle, **changes: Any) -> dict[str, Any]:
    """Promote a bundle by a verdict made now; the signed verdict."""
    signed = sign(statement(journal, bundle, **changes), KEY)
    promote(journal, leave(journal, signed), bundle, f"models:/m/{bundle.digest[:4]}")
    return signed


def test_a_signed_verdict_promotes_and_is_kept_with_the_entry(journal: Journal, bundles: list[Bundle]) -> None:
    signed = promoted(journal, bundles[0])
    head = journal.head("laptop")
    assert head is not None
    assert (head.number, head.bundle, head.kind, head.previous) == (1, bundles[0].digest, "promotion", 0)
    assert head.signed == signed


def test_a_verdict_is_spent_once(journal: Journal, bundles: list[Bundle]) -> None:
    first = promoted(journal, bundles[0])
    again = leave(journal, first)
    assert again.done is not None, "a promotion that was killed after its claim is done"
    assert promote(journal, again, bundles[0], "models:/m/9").number == 1
    promoted(journal, bundles[1])
    with pytest.raises(HoldError, match="made at journal number 0, and laptop is now at 2: it was spent"):
        leave(journal, first)


def test_a_decision_signed_twice_is_spent_once(journal: Journal, bundles: list[Bundle]) -> None:
    made = statement(journal, bundles[0])
    later = sign(replace(made, made_at="2026-01-01T01:00:00+00:00"), KEY)
    promote(journal, leave(journal, sign(made, KEY)), bundles[0], "models:/m/1")
    assert leave(journal, later).done is not None
    assert journal.head_number("laptop") == 1


def test_a_rollback_voids_verdicts_made_before_it(journal: Journal, bundles: list[Bundle]) -> None:
    promoted(journal, bundles[0])
    promoted(journal, bundles[1])
    waiting = sign(statement(journal, bundles[2]), KEY)
    roll_back(journal, *rollback_target(journal, "laptop", None), "by-hand", "it fails in the field")
    with pytest.raises(HoldError, match="made at journal number 2, and laptop is now at 3"):
        leave(journal, waiting)


def test_two_verdicts_at_one_number_have_one_winner(journal: Journal, bundles: list[Bundle]) -> None:
    leaves = [leave(journal, sign(statement(journal, bundle), KEY)) for bundle in bundles[:2]]
    promote(journal, leaves[0], bundles[0], "models:/m/1")
    with pytest.raises(HoldError, match="cannot be claimed"):
        promote(journal, leaves[1], bundles[1], "models:/m/2")


@pytest.mark.parametrize("document", [None, {}, [], "verdict", {"version": 1, "payload": {}}])
def test_unsigned_is_refused(journal: Journal, document: Any) -> None:
    with pytest.raises(HoldError, match="not signed"):
        leave(journal, document)


def test_every_altered_field_is_refused(journal: Journal, bundles: list[Bundle]) -> None:
    promoted(journal, bundles[0])
    signed = sign(statement(journal, bundles[1]), KEY)
    assert leave(journal, signed).done is None
    for name, value in signed["payload"].items():
        altered = copy.deepcopy(signed)
        altered["payload"][name] = {**value, "level": 0.5} if isinstance(value, dict) else f"{value}0"
        with pytest.raises(HoldError, match="altered after the gate signed it"):
            leave(journal, altered)
    for change in ({"signature": signed["signature"][:-4] + "AAA="}, {"signature": "?"}, {"signature": 7}):
        with pytest.raises(HoldError, match="altered"):
            leave(journal, {**signed, **change})
    added = copy.deepcopy(signed)
    added["payload"]["note"] = "x"
    with pytest.raises(HoldError, match="altered"):
        leave(journal, added)


def test_not_a_number_in_a_verdict_is_refused(journal: Journal, bundles: list[Bundle]) -> None:
    signed = sign(statement(journal, bundles[0]), KEY)
    signed["payload"]["verdict"]["level"] = float("nan")
    with pytest.raises(HoldError, match="altered"):
        leave(journal, signed)


def test_expired_is_refused(journal: Journal, bundles: list[Bundle]) -> None:
    signed = sign(statement(journal, bundles[0]), KEY)
    leave(journal, signed, NOW + timedelta(hours=71))
    with pytest.raises(HoldError, match="expired on 2026-01-04"):
        leave(journal, signed, NOW + timedelta(hours=72))


def test_an_unknown_key_is_refused(journal: Journal, bundles: list[Bundle]) -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(HoldError, match=f"signed with the key {key_id(other.public_key())}"):
        leave(journal, sign(statement(journal, bundles[0]), other))


def test_a_known_keys_name_on_anothers_signature_is_refused(journal: Journal, bundles: list[Bundle]) -> None:
    signed = sign(statement(journal, bundles[0]), Ed25519PrivateKey.generate())
    with pytest.raises(HoldError, match="altered"):
        leave(journal, {**signed, "key": key_id(KEY.public_key())})


def test_both_keys_count_while_keys_are_rotated(journal: Journal, bundles: list[Bundle]) -> None:
    new = Ed25519PrivateKey.generate()
    both = keyring_of([public_text(key.public_key()) for key in (KEY, new)])
    for key in (KEY, new):
        leave(journal, sign(statement(journal, bundles[0]), key), keys=both)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"project": "other"}, "for the project other, not for watch"),
        ({"device": "phone"}, "for the device phone, not for laptop"),
        ({"outcome": "hold"}, "is to hold"),
        ({"verdict": {"outcome": "hold", "sentence": "Hold."}}, "is to hold: Hold."),
        ({"journal": 1}, "made at journal number 1, and laptop is now at 0"),
        ({"champion": "c" * 64}, "compares with the champion cccccccccccccccc"),
        ({"policy": "another"}, "made under the policy another"),
    ],
)
def test_a_verdict_for_something_else_is_refused(
    journal: Journal, bundles: list[Bundle], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(HoldError, match=message):
        leave(journal, sign(statement(journal, bundles[0], **changes), KEY))


def test_other_bytes_than_were_judged_are_not_promoted(journal: Journal, bundles: list[Bundle]) -> None:
    granted = leave(journal, sign(statement(journal, bundles[0]), KEY))
    with pytest.raises(IntegrityError, match="restore the bundle that was judged"):
        promote(journal, granted, bundles[1], "models:/m/1")
    assert journal.head("laptop") is None


def test_two_rollbacks_go_back_two_champions(journal: Journal, bundles: list[Bundle]) -> None:
    for bundle in bundles:
        promoted(journal, bundle)
    for expected in (bundles[1], bundles[0]):
        roll_back(journal, *rollback_target(journal, "laptop", None), "by-hand", "why")
        head = journal.head("laptop")
        assert head is not None
        assert (head.bundle, head.kind, head.reason) == (expected.digest, "rollback", "why")
    with pytest.raises(UsageError, match="No champion stood on laptop before"):
        rollback_target(journal, "laptop", None)
    promoted(journal, bundles[2])
    head, target = rollback_target(journal, "laptop", None)
    assert (head.number, target.bundle) == (6, bundles[0].digest)


def test_a_rollback_to_any_number_follows_rollbacks_to_what_they_took_up(
    journal: Journal, bundles: list[Bundle]
) -> None:
    for bundle in bundles[:2]:
        promoted(journal, bundle)
    roll_back(journal, *rollback_target(journal, "laptop", 1), "by-hand", "why")
    promoted(journal, bundles[2])
    assert rollback_target(journal, "laptop", 3)[1].number == 1
    for number, message in [(0, "has the entries 1 to 4"), (5, "and no 5"), (4, "the champion already")]:
        with pytest.raises(UsageError, match=message):
            rollback_target(journal, "laptop", number)


def test_an_anchor_keeps_the_champion_and_what_stands_behind_it(journal: Journal, bundles: list[Bundle]) -> None:
    for bundle in bundles[:2]:
        promoted(journal, bundle)
    before = journal.head("laptop")
    assert before is not None
    anchor(journal, before, "by-hand", "a person looked")
    head = journal.head("laptop")
    assert head is not None
    assert (head.number, head.kind, head.bundle, head.stands) == (3, "anchor", before.bundle, 2)
    assert rollback_target(journal, "laptop", None)[1].bundle == bundles[0].digest


def test_the_laptops_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    key = local_key(home)
    path = home.keys / "gate-ed25519.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_id(local_key(home).public_key()) == key_id(key.public_key())
    assert [p.name for p in home.keys.iterdir()] == ["gate-ed25519.pem"]
    path.chmod(0o644)
    with pytest.raises(UsageError, match="mode 0644"):
        local_key(home)


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.delenv("EVERNAS_GATE_KEY", raising=False)
    monkeypatch.delenv("EVERNAS_GATE_KEY_FILE", raising=False)

    def given(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return given


def test_on_a_cluster_the_key_comes_from_the_environment_or_a_file(
    tmp_path: Path, environment: Callable[..., None]
) -> None:
    config = RegistryConfig(verdict_keys=[public_text(KEY.public_key())])
    with pytest.raises(UsageError, match="neither EVERNAS_GATE_KEY nor EVERNAS_GATE_KEY_FILE"):
        signing_key(config, Home(tmp_path))
    environment(EVERNAS_GATE_KEY=_pem(KEY))
    assert key_id(signing_key(config, Home(tmp_path)).public_key()) == key_id(KEY.public_key())
    (tmp_path / "key.pem").write_text(_pem(KEY))
    environment(EVERNAS_GATE_KEY="", EVERNAS_GATE_KEY_FILE=str(tmp_path / "key.pem"))
    assert key_id(signing_key(config, Home(tmp_path)).public_key()) == key_id(KEY.public_key())
    assert not (tmp_path / "keys").exists(), "no key is made where one is given"
    assert list(keyring(config, Home(tmp_path)).keys) == [key_id(KEY.public_key())]


def test_a_key_that_nobody_would_take_is_refused_where_the_gate_runs(
    tmp_path: Path, environment: Callable[..., None]
) -> None:
    config = RegistryConfig(verdict_keys=[public_text(KEY.public_key())])
    environment(EVERNAS_GATE_KEY=_pem(Ed25519PrivateKey.generate()))
    with pytest.raises(UsageError, match=r"none of registry\.verdict_keys"):
        signing_key(config, Home(tmp_path))


@pytest.mark.parametrize(("text", "message"), [("no key", "holds no Ed25519"), ("-----BEGIN", "holds no Ed25519")])
def test_what_is_no_key_is_refused(tmp_path: Path, environment: Callable[..., None], text: str, message: str) -> None:
    environment(EVERNAS_GATE_KEY=text)
    with pytest.raises(UsageError, match=message):
        signing_key(RegistryConfig(), Home(tmp_path))
    environment(EVERNAS_GATE_KEY="", EVERNAS_GATE_KEY_FILE=str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="cannot be read"):
        signing_key(RegistryConfig(), Home(tmp_path))
    with pytest.raises(UsageError, match=r"registry\.verdict_keys has 'AAAA'"):
        keyring_of(["AAAA"])


def test_more_than_two_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 2"):
        RegistryConfig(verdict_keys=[public_text(Ed25519PrivateKey.generate().public_key()) for _ in range(3)])
    assert os.environ.get("EVERNAS_GATE_KEY") is None
