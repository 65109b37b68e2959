"""Promoters that race for the journal of champions, on every storage that it can lie in.

    python benchmarks/registry.py [--quick] [--json FILE] [--only files,sqlite,postgresql,s3]

Every count in the table but those of what was tried must be 0. PostgreSQL is started with initdb and pg_ctl; where they
are missing that row says so. The S3 server is moto's, which answers one request at a time; S3_ENDPOINT (http) with
S3_ACCESS_KEY and S3_SECRET_KEY names another one, in which a bucket is made and removed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for _name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "EVERNAS_GATE_KEY", "EVERNAS_GATE_KEY_FILE"):
    os.environ.pop(_name, None)

# MLflow prints the whole trace of an alias that two set at once; project_alias sets it again.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

# Everything that a promoter needs is imported here, once, before the first fork.
import boto3  # noqa: E402, F401
import mlflow  # noqa: E402, F401
import psycopg  # noqa: E402, F401
from registry_race import Kills, Outcome, Place, empty_store, killed, prepare, race, stopped, timed  # noqa: E402
from registry_servers import Missing, given_s3, lossy, postgres, postgres_url, s3, s3_url  # noqa: E402

import evernas.registry.database  # noqa: E402
import evernas.storage.s3  # noqa: E402, F401
from evernas.state import Home  # noqa: E402

BACKENDS = ("files", "sqlite", "postgresql", "s3")
LOSS = 0.1
NETWORK_LOSS = 0.03


@contextmanager
def storage(name: str, folder: Path) -> Iterator[tuple[str | None, Any]]:
    """A storage: its address, and how to reach it over a network that loses answers (None: there is no network)."""
    if name == "files":
        yield None, None
    elif name == "sqlite":
        yield f"sqlite:///{folder / 'journal.db'}", None
    elif name == "postgresql":
        with postgres() as port:
            yield postgres_url(port), lambda: _through(port, postgres_url)
    elif os.environ.get("S3_ENDPOINT"):
        with given_s3() as (host, port, bucket):

            def url(at: int, of: str = "127.0.0.1") -> str:
                return s3_url(at, of, bucket)

            yield url(port, host), lambda: _through(port, url, host)
    else:
        with s3() as port:
            yield s3_url(port), lambda: _through(port, s3_url)


@contextmanager
def _through(port: int, url: Any, host: str = "127.0.0.1") -> Iterator[tuple[str, Any]]:
    with lossy(port, NETWORK_LOSS, host=host) as (proxy, lost):
        yield url(proxy), lost


def measure(name: str, folder: Path, size: argparse.Namespace) -> dict[str, Any]:
    """All races on one storage."""
    empty = empty_store(folder)
    with storage(name, folder) as (url, network):

        def place(project: str) -> Place:
            home = Home(folder / project)
            home.path.mkdir()
            prepare(home, project, empty)
            return Place(home, url, project)

        fair = race(place("fair"), size.promoters, size.rounds)
        deaf = _with_lost_answers(place("lossy"), network, size)
        stop = place("stopped")
        stops = [stopped(stop, inside) for _ in range(size.stops) for inside in (False, True)]
        with timed() as took:
            kills = killed(place("killed"), size.every) if name in size.killed else Kills()
        for why in filter(None, (fair.why, deaf.why)):
            print(f"{name}: an alias was not projected by its winner: {why}", file=sys.stderr)
        return _figures(fair, deaf, stops, kills, took[0])


def _with_lost_answers(place: Place, network: Any, size: argparse.Namespace) -> Outcome:
    rounds = max(2, size.rounds // 4)
    if network is None:
        outcome = race(replace(place, loss=LOSS), size.promoters, rounds)
        return outcome
    with network() as (url, lost):
        outcome = race(place, size.promoters, rounds, url)
        outcome.lost = int(lost.value)
    return outcome


def _figures(fair: Outcome, deaf: Outcome, stops: list[Outcome], kills: Kills, kill_s: float) -> dict[str, Any]:
    return {
        "rounds": fair.rounds,
        "wrong_winners": fair.winners_wrong,
        "gaps": fair.gaps,
        "alias_wrong": fair.alias_wrong,
        "projections_failed": fair.projections_failed,
        "claim_median_ms": round(median(fair.claims_ms), 2),
        "seconds": round(fair.seconds, 1),
        "lossy_rounds": deaf.rounds,
        "lossy_answers_lost": deaf.lost,
        "lossy_wrong_winners": deaf.winners_wrong,
        "lossy_gaps": deaf.gaps,
        "lossy_alias_wrong": deaf.alias_wrong,
        "stopped": len(stops),
        "stopped_faults": sum(stop.faults + stop.projections_failed for stop in stops),
        "kill_points": kills.points,
        "kills_old_champion": kills.old,
        "kills_new_champion": kills.new,
        "kills_faults": kills.faults,
        "kill_seconds": round(kill_s, 1),
    }


def table(rows: dict[str, dict[str, Any]], missing: dict[str, str]) -> str:
    """The figures as text, a storage a column."""
    names = list(next(iter(rows.values()))) if rows else []
    lines = [f"{'':24}" + "".join(f"{name:>12}" for name in rows)]
    lines += [
        f"{figure.replace('_', ' '):24}" + "".join(f"{row[figure]:>12}" for row in rows.values()) for figure in names
    ]
    return "\n".join([*lines, *(f"{name}: not run; {why}" for name, why in missing.items())])


def faults(rows: dict[str, dict[str, Any]]) -> int:
    """How much was wrong, all together."""
    counted = ("wrong_winners", "gaps", "alias_wrong", "stopped_faults", "kills_faults")
    return sum(int(value) for row in rows.values() for name, value in row.items() if name.endswith(counted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 promoters, 20 rounds, fewer kills")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--only", default=",".join(BACKENDS), help="storages, joined by commas")
    asked = parser.parse_args()
    size = argparse.Namespace(
        promoters=8 if asked.quick else 64,
        rounds=20 if asked.quick else 200,
        stops=1 if asked.quick else 10,
        every=150 if asked.quick else 7,
        killed=("files",) if asked.quick else BACKENDS,
    )
    rows: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for name in asked.only.split(","):
        with tempfile.TemporaryDirectory(prefix="evernas-race-") as folder:
            try:
                rows[name] = measure(name, Path(folder), size)
            except Missing as why:
                missing[name] = str(why)
        print(table(rows, missing), flush=True)
    figures = {f"{name}_{figure}": value for name, row in rows.items() for figure, value in row.items()}
    about = {
        "quick": asked.quick,
        "promoters": size.promoters,
        "faults": faults(rows),
        "not_run": ",".join(missing),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        **{f"version_{package}": version(package) for package in ("mlflow", "sqlalchemy", "boto3", "moto", "psycopg")},
    }
    if asked.json is not None:
        asked.json.write_text(json.dumps({**figures, **about}, indent=1) + "\n")
    if about["faults"]:
        sys.exit(f"{about['faults']} faults: the table says where.")


if __name__ == "__main__":
    main()
