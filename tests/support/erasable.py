"""A state folder of two ended runs, the second of which knew of a person who is to be erased; no step is run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from evernas.bundle import Contract, Samples, write_bundle
from evernas.config import Config, load_config
from evernas.data import Snapshot, ingest, load_rows
from evernas.loop.forget import forget
from evernas.registry.entries import Entry
from evernas.registry.keys import signing_key
from evernas.registry.opening import open_journal
from evernas.registry.verdicts import Statement, expiry, moment, sign
from evernas.state import Done, Head, Home, RunManifest
from evernas.state.files import write_json
from evernas.state.ownership import claim
from evernas.state.sharing import steps_of

ROOT = Path(__file__).parents[2]
WHO = "person-to-erase"
IDS = (f"{WHO}-sits", "walks-at-noon")
LABEL = "PEN"


@dataclass
class Place:
    """A state folder in which two runs ended: only the second one knew of the person."""

    home: Home
    config: Config
    path: Path
    snapshots: list[Snapshot]
    payloads: list[bytes]
    supernets: list[str]
    bundles: list[str]

    def forget(self, name: str = WHO, kind: Any = None) -> Any:
        return forget(self.config, self.home, name, kind, "It was asked for.")[-1]

    def holding(self, texts: list[bytes]) -> list[str]:
        """The files that have one of these, in their bytes or in their names."""
        found = []
        for path in self.home.path.rglob("*"):
            name = path.relative_to(self.home.path).as_posix()
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found += [name for text in texts if text in data or text in name.encode()]
        return found

    @property
    def traces(self) -> list[bytes]:
        """What nobody may find: the name, ids of recordings, and what was measured."""
        return [WHO.encode(), *(id.encode() for id in IDS), *self.payloads]


@pytest.fixture
def place(
    tmp_path: Path, source: Path, deliver: Callable[..., Path], recording: Callable[..., Any], monkeypatch: Any
) -> Place:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home(tmp_path / "home")
    document = yaml.safe_load((ROOT / "examples/watch/evernas.yaml").read_text())
    document["data"] |= {"source": str(source), "splits": {"gate": ["g"], "search": ["s"]}, "labels": [LABEL, "ABD"]}
    path = tmp_path / "evernas.yaml"
    path.write_text(yaml.safe_dump(document))
    config = load_config(path)
    store = home.snapshots(config.project)
    deliver("everyone.parquet", [recording(f"r{d}", d, LABEL, 200, channels=6) for d in ("g", "s", "t")])
    first = ingest(source, store, config.data, None)
    theirs = [recording(id, WHO, LABEL, 200, channels=6, seed=7) for id in IDS]
    deliver(f"{WHO}.parquet", theirs[:1])
    deliver("mixed.parquet", [recording("other", "t", LABEL, 200, channels=6), theirs[1]])
    second = ingest(source, store, config.data, first.id)
    made = Place(home, config, path, [first, second], [], [], [])
    made.payloads = [np.asarray(row["payload"], "<f4")[0, :64].tobytes() for row in theirs]
    with claim(home, 0, lambda text: None) as ownership:
        for run, snapshot in (("run-1", first), ("run-2", second)):
            end(made, run, snapshot, ownership.guard)
    _track(made)
    return made


def end(place: Place, run: str, snapshot: Snapshot, guard: Any) -> None:
    """Leave what a run leaves: results of steps, a candidate, its result and report."""
    home, config = place.home, place.config
    RunManifest.open(home, run, config, "source", {})
    steps = steps_of(home, config.project)
    rows = load_rows(snapshot)
    ref = f"validate/{run}"
    pq.write_table(rows.select(["sample_id", "recording", "domain", "split"]), steps.workspace(ref) / "kept.parquet")
    steps.finish(Done(ref, steps.folder / ref, {"domains": rows.column("domain").to_pylist()}, {}, run), [], guard)
    (steps.workspace(ref) / "data_docs").mkdir()
    (steps.workspace(ref) / "data_docs" / "index.html").write_text(f"<p>{rows.column('recording').to_pylist()}</p>")
    train = [r for r in rows.select(["split", "digest"]).to_pylist() if r["split"] == "train"]
    parent = place.supernets[-1] if place.supernets else None
    ref = f"supernet/{run}"
    (steps.workspace(ref) / "trained.txt").write_text("".join(f"{row['digest']}\n" for row in train))
    (steps.workspace(ref) / "supernet.safetensors").write_bytes(run.encode())
    domains = sorted(set(rows.column("domain").to_pylist()))
    facts = {"digest": run, "profile": [], "domains": domains}
    inputs = {"last": parent, "parent": parent, "space": "x", "labels": []}
    steps.finish(Done(ref, steps.folder / ref, facts, inputs, run), ["trained.txt", "supernet.safetensors"], guard)
    place.supernets.append(ref)
    # The second supernet was trained from the first one.
    write_json(home.rankings(config.project) / "run-1" / f"20260101-000000.{run}.d.json", {"run": run, "groups": {}})
    x = np.random.default_rng(len(run + snapshot.id)).normal(size=(1, 6, 128)).astype(np.float32)
    bundle = write_bundle(
        home.bundles(config.project),
        run.encode(),
        [LABEL, "ABD"],
        Contract(tuple("abcdef"), (128,)),
        Samples(x, np.zeros((1, 2), np.float32)),
        {"snapshot": snapshot.id},
    )
    place.bundles.append(bundle.digest)
    result = {"run": run, "snapshot": {"id": snapshot.id, "added": list(snapshot.manifest.added)}}
    said = f"The worst domain, {WHO}, has a higher error." if snapshot is place.snapshots[1] else "Held."
    write_json(
        home.run(run) / "result.json", {**result, "reason": said, "splits": {"train": dict.fromkeys(domains, 1)}}
    )
    (home.run(run) / "report.html").write_text(f"<td>{domains}</td>")
    write_json(home.run(run) / "snapshot.json", {"snapshot": snapshot.id})
    write_json(home.consumed(config.project), {"run": run, "objects": snapshot.manifest.digests})
    Head(run=run, key="k", snapshot=snapshot.id, supernet=place.supernets[-1], validated=f"validate/{run}").write(
        home, config.project
    )


def promoted(place: Place, bundle: str, sentence: str) -> None:
    """Make a bundle the champion of the laptop by a verdict that says this, and is signed."""
    made, expires = expiry(moment(), 72)
    verdict = {"outcome": "promote", "sentence": sentence, "reasons": [{"rule": "domains", "sentence": sentence}]}
    statement = Statement(
        project=place.config.project,
        device="laptop",
        run="run-1",
        outcome="promote",
        verdict=verdict,
        candidate=bundle,
        candidate_model="m",
        champion=None,
        champion_model=None,
        policy="p",
        gate_split="g",
        evidence=None,
        journal=0,
        made_at=made,
        expires_at=expires,
    )
    signed = sign(statement, signing_key(place.config.registry, place.home))
    entry = Entry(1, "laptop", bundle, None, "run-1", "promote", "m", "now", "token-1", signed=signed)
    open_journal(place.home, place.config).claim(entry)


def _track(place: Place) -> None:
    """What MLflow's store in the state folder knows."""
    with closing(sqlite3.connect(place.home.path / "mlflow.db")) as store:
        store.execute("CREATE TABLE params (key TEXT, value TEXT)")
        names = [("domains", f"s,t,{WHO}"), ("seed", "t"), ("reason", f"It saw {WHO}.")]
        store.executemany("INSERT INTO params VALUES (?, ?)", names)
        store.commit()
    folder = place.home.artifacts / place.config.project / "0" / "artifacts"
    write_json(folder / "validation.json", {"splits": {"train": {WHO: 3, "t": 1}}})
    (folder / "supernet.safetensors").write_bytes(b"run-2")
    (folder / "data_docs").mkdir()
    (folder / "data_docs" / "index.html").write_text(WHO)
