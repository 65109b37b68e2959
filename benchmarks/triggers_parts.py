"""The parts of the triggers benchmark: each does one thing to real processes and returns its figures."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "triggers")]

import serving  # noqa: E402
from kfp_server import FakeKfp  # noqa: E402

WAITING = {"quiet_s": 3600, "max_wait_s": 3600}
CLIENTS = 8
PENDING = (
    "SELECT 1 FROM events WHERE state IN ('new', 'gathered') "
    "UNION ALL SELECT 1 FROM works WHERE state IN ('waiting', 'sealed', 'running')"
)
SETTLED_S = 1.0


@contextlib.contextmanager
def receiver(kind: str, **triggers: Any) -> Iterator[tuple[serving.Server, serving.Postgres | None]]:
    """A receiver that is not started, and its database server if it has one."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(serving.postgres()) if kind == "postgresql" else None
        section = serving.triggers_config(**{"debounce": WAITING, **triggers})
        if postgres is not None:
            section["database"] = {"env": "INBOX_URL"}
        server = serving.server(folder, section, INBOX_URL="" if postgres is None else postgres.url)
        try:
            yield server, postgres
        finally:
            if server.process is not None:
                server.stop()


def _generator(server: serving.Server, rate: float, seconds: float, prefix: str, *more: str) -> subprocess.Popen[str]:
    script = str(Path(__file__).with_name("triggers_load.py"))
    arguments = [str(server.port), str(rate), str(seconds), "--secret", serving.SECRET, "--prefix", prefix, *more]
    return subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, text=True)


def _ids(server: serving.Server, postgres: serving.Postgres | None) -> list[str]:
    look = server.rows if postgres is None else postgres.rows
    return [str(row[0]) for row in look("SELECT id FROM events")]


def load(kind: str, rate: float, seconds: float) -> dict[str, float]:
    """Signed events with distinct ids in an open loop. A short warm-up is not counted."""
    with receiver(kind) as (server, postgres):
        server.start()
        _generator(server, rate / 2, min(5.0, seconds / 3), "warm").communicate()
        assert server.process is not None
        before, loaded = _cpu_seconds(server.process.pid), os.getloadavg()[0]
        output, _ = _generator(server, rate, seconds, "load").communicate()
        sent = json.loads(output)
        cpu = _cpu_seconds(server.process.pid) - before
        kept = sum(name.startswith("load-") for name in _ids(server, postgres))
        accepted = len(sent["acknowledged"])
        return {
            "sent": sent["sent"],
            "accepted": accepted,
            "kept": kept,
            "rejected": sent["sent"] - accepted,
            "per_second": sent["per_second"],
            **{f"{name}_ms": value for name, value in sent["latency_ms"].items()},
            "server_cpu_ms_per_event": 1000 * cpu / max(1, accepted),
            "generator_cpu_ms_per_event": sent["cpu_ms_per_event"],
            "load_average_before": loaded,
            "load_average_after": os.getloadavg()[0],
        }


def killed(kind: str, what: str, rate: float, seconds: float) -> dict[str, float]:
    """SIGKILL of the receiver or of PostgreSQL under load; both are started again, and senders go on."""
    with receiver(kind) as (server, postgres):
        server.start()
        generator = _generator(server, rate, seconds, "kill", "--again")
        expected = int(rate * seconds)
        kills = 0
        for share in (0.2, 0.5):
            serving.wait_until(lambda share=share: len(_ids(server, postgres)) > share * expected, 300)
            if what == "server":
                server.kill()
                server.start()
            else:
                assert postgres is not None
                postgres.kill()
                postgres.start()
            kills += 1
        sent = json.loads(generator.communicate()[0])
        names = _ids(server, postgres)
        acknowledged = {f"kill-{number:07d}" for number in sent["acknowledged"]}
        return {
            "kills": kills,
            "sent": sent["sent"],
            "acknowledged": len(acknowledged),
            "of_which_409_after_a_lost_202": sent["statuses"].get("409", 0),
            "acknowledged_but_lost": len(acknowledged - set(names)),
            "kept_twice": len(names) - len(set(names)),
        }


def redeliveries(changes: int, deliveries: int) -> dict[str, float]:
    """Redeliveries of changes from 8 clients against two replicas on PostgreSQL, in three waves.

    Half of the changes match a rule. The first two waves each bring half of all changes, many times over; the third
    brings all of them again. The rules say: one run for each of the first two waves, none for the third.
    """
    kfp = FakeKfp(ends_at_once=True)
    kfp.upload("watch-evernas", "v1")
    submit = {"to": "kfp", "kfp": {"host": kfp.url}, "poll_s": 0.2, "retry_s": 0.5}
    quiet = {"quiet_s": 3.0, "max_wait_s": 600.0}
    with receiver("postgresql", submit=submit, debounce=quiet) as (first, postgres):
        assert postgres is not None
        second = serving.Server(first.config, first.home, serving.free_port(), first.environment, first.log)
        second.config = first.config.with_name("second.yaml")
        second.config.write_text(first.config.read_text().replace(f"port: {first.port}", f"port: {second.port}"))
        first.start(ready=False)
        try:
            second.start()
            first.wait()
            halves = [range(changes // 2), range(changes // 2, changes), range(changes)]
            runs, statuses = [], {}
            for wave, half in enumerate(halves):
                sent = _redeliver([first, second], list(half), deliveries // 3 + (wave == 2) * (deliveries % 3), wave)
                for status, count in sent.items():
                    statuses[status] = statuses.get(status, 0) + count
                # Without an event or a work that is not at its end, no further run can come; a moment shows it.
                serving.wait_until(lambda: not postgres.rows(PENDING), 120)
                time.sleep(SETTLED_S)
                runs.append(len(kfp.runs()))
            rows = postgres.rows("SELECT count(*), count(DISTINCT id) FROM events")[0]
        finally:
            second.stop()
            kfp.close()
        return {
            "deliveries": sum(statuses.values()),
            "answered_202": statuses.get(202, 0),
            "answered_409": statuses.get(409, 0),
            "events_kept": rows[0],
            "distinct_events": rows[1],
            "runs_after_wave_1": runs[0],
            "runs_after_wave_2": runs[1],
            "runs_after_wave_3": runs[2],
        }


def _redeliver(replicas: list[serving.Server], changes: list[int], deliveries: int, wave: int) -> dict[int, int]:
    statuses: dict[int, int] = {}
    lock = threading.Lock()
    order = [changes[number % len(changes)] for number in range(deliveries)]

    def client(number: int) -> None:
        chance = random.Random(f"{wave}-{number}")
        mine = order[number::CLIENTS]
        chance.shuffle(mine)
        links = [http.client.HTTPConnection("127.0.0.1", one.port, timeout=60) for one in replicas]
        for change in mine:
            prefix = "watch" if change % 2 == 0 else "elsewhere"
            body = serving.change(f"{prefix}/{change}")
            # Each redelivery is signed anew; one whose moment is not after all before it counts as a replay, 409.
            headers = serving.signed(body, f"change-{change}", time.time() + chance.uniform(-200, 200))
            link = chance.choice(links)
            link.request("POST", "/v1/events/lake", body, headers)
            answer = link.getresponse()
            answer.read()
            with lock:
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def fuzzed(examples: int) -> dict[str, float]:
    """Fuzzed bodies behind a valid proof, through the whole application; memory before and after."""
    import gc

    import psutil

    from fuzzing import Target, fuzz

    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        fuzz(Target(Path(folder)), max(200, examples // 20))
        gc.collect()
        before = process.memory_info().rss / 2**20
        target = Target(Path(folder))
        posted = fuzz(target, examples)
        gc.collect()
        after = process.memory_info().rss / 2**20
    return {
        "bodies": posted,
        "answered_5xx": sum(count for status, count in target.statuses.items() if status >= 500),
        "answered_202": target.statuses[202],
        "memory_before_mb": before,
        "memory_after_mb": after,
    }


def kill_points(kinds: list[str], points: int | None) -> dict[str, float]:
    """SIGKILL at every named point between the 202 and the submitted run, on each database."""
    from test_kills import killed_at

    from dying_serve import POINTS

    survived = 0
    chosen = list(POINTS)[:points]
    for kind in kinds:
        for point in chosen:
            with contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                postgres = stack.enter_context(serving.postgres()) if kind == "postgresql" else None
                kfp = FakeKfp(ends_at_once=True)
                kfp.upload("watch-evernas", "v1")
                killed_at(point, folder, kfp, postgres)
                kfp.close()
                survived += 1
    return {"points": len(chosen) * len(kinds), "each_event_led_to_one_run": survived}


def _cpu_seconds(pid: int) -> float:
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
