"""The lease in a bucket: racing claims, lost answers, a holder that was stopped, and whose clock counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import serving
from evernas.errors import OwnershipError
from evernas.state import Home
from evernas.storage.s3 import S3Address, S3Storage
from evernas.triggers.lease import Leases, leases_of

HOLDER = """
import sys
from evernas.storage.s3 import S3Address, S3Storage
from evernas.errors import OwnershipError
from evernas.steps.leased import renewing
from evernas.triggers.lease import Leases

lease = Leases(S3Storage(S3Address.parse(sys.argv[1])), slack_s=1.0).claim("stopped", term_s=1.5)
with renewing(lease, every_s=0.2):
    print("holds", flush=True)
    sys.stdin.readline()
try:
    lease.check()
except OwnershipError as error:
    print(error)
"""


def _leases(address: str, slack_s: float = 30.0) -> Leases:
    return Leases(S3Storage(S3Address.parse(address)), slack_s=slack_s)


def test_shared_lease_lies_under_the_project_in_the_bucket(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERNAS_LEASE", bucket)
    assert leases_of(Home(tmp_path / "one"), "watch").claim("a") is not None
    assert leases_of(Home(tmp_path / "two"), "watch").claim("b") is None
    assert leases_of(Home(tmp_path / "two"), "other").claim("b") is not None
    keys = S3Storage(S3Address.parse(bucket)).list()
    expected = [f"candidates/state/{project}/lease/claims/{1:012d}.claimed" for project in ("other", "watch")]
    assert keys == expected


def test_receiver_looks_at_the_lease_in_the_state_of_the_runs_that_it_submits(bucket: str, tmp_path: Path) -> None:
    from evernas.config import load_config
    from evernas.triggers.config_file import ConfigFile
    from evernas.triggers.local import LocalSubmitter
    from evernas.triggers.service import Service, database_of

    kfp = {"host": "http://127.0.0.1:9", "home": bucket}
    waiting = {"quiet_s": 3600, "max_wait_s": 3600}
    triggers = serving.triggers_config(sources=[], rules=[], submit={"to": "kfp", "kfp": kfp}, debounce=waiting)
    path = serving.write_config(tmp_path / "evernas.yaml", triggers)
    config = load_config(path)
    leases = leases_of(Home(tmp_path / "a-pod"), "watch", bucket)
    working = leases.claim("nightly-1")
    assert working is not None
    leases.defer("by-hand")
    home = Home(tmp_path / "receiver")
    database = database_of(config, home)
    database.migrate()
    service = Service(ConfigFile(path, config), home, LocalSubmitter(path, home.path, "watch"), database)
    service.dispatcher.tidy()
    service.dispatcher.look()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT key, state FROM events").fetchall() == [("by-hand", "gathered")]
    assert leases.deferred() == []
    database.close()


def test_of_many_that_claim_at_once_in_a_bucket_one_wins_every_time(bucket: str) -> None:
    racers = [_leases(bucket) for _ in range(5)]
    with ThreadPoolExecutor(len(racers)) as pool:
        for turn in range(3):
            claims = pool.map(lambda racer: racer[1].claim(f"run-{racer[0]}"), enumerate(racers))
            (won,) = [lease for lease in claims if lease is not None]
            assert won.number == turn + 1
            won.check()
            won.release()


def test_claim_whose_answer_is_lost_is_known_by_its_token(s3_port: int, bucket: str) -> None:
    from registry_servers import lossy

    with lossy(s3_port, loss=0.4, seed=3) as (proxy, lost):
        through = bucket.replace(str(s3_port), str(proxy))
        for number in range(1, 6):
            lease = _leases(through).claim("one-run")
            assert lease is not None
            assert lease.number == number
            _leases(bucket).join("one-run").check()
        assert lost.value > 2


def test_holder_that_was_stopped_loses_the_lease_after_its_term_and_publishes_nothing_more(bucket: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, bucket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        ours = _leases(bucket, slack_s=1.0)
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            assert ours.claim("next") is None, "it renews, for longer than its term"
        os.kill(holder.pid, signal.SIGSTOP)
        taken = serving.wait_until(lambda: ours.claim("next"))
        os.kill(holder.pid, signal.SIGCONT)
        said = holder.communicate("\n", timeout=60)[0]
        assert "Run stopped held its project's lease under number 1, but it is at 2 now" in said
        taken.check()
    finally:
        holder.kill()
        holder.wait()


def test_clock_of_the_bucket_counts_and_not_the_machines(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = S3Storage(S3Address.parse(bucket))
    lease = Leases(storage).claim("a")
    assert lease is not None
    now = time.time
    for days in (-3, 3):
        monkeypatch.setattr(time, "time", lambda days=days: now() + days * 86400)
        assert 0 <= storage.age_s(f"claims/{1:012d}.claimed") < 60
        assert Leases(storage).claim("b") is None
        lease.renew()
    with pytest.raises(KeyError):
        storage.age_s("nothing")


def test_run_that_lost_the_lease_in_a_bucket_cannot_join_it(bucket: str) -> None:
    leases = _leases(bucket)
    assert leases.claim("a") is not None
    leases.end("a")
    assert leases.claim("b") is not None
    with pytest.raises(OwnershipError, match="Run a no longer holds its project's lease, run b does"):
        leases.join("a")
