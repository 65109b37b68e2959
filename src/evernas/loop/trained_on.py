"""Which supernets and networks were trained on what is erased, and what the next run begins with instead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evernas.bundle import MANIFEST, SAMPLES
from evernas.config import Config
from evernas.digest import digest_bytes, digest_file, short
from evernas.registry.opening import open_journal
from evernas.state import Done, Guard, Head, Home
from evernas.state.files import read_json, write_bytes
from evernas.state.runs import completed_runs, unended_runs
from evernas.state.sharing import steps_of, storage_of
from evernas.steps.exporting import network_files
from evernas.steps.loading import LEARNED, SUPERNET, TOKENISER, TRAINED, trained_rows
from evernas.steps.ranking import supernet_of_key
from evernas.steps.versions import VERSIONS
from evernas.storage import FileStorage, Storage


@dataclass(frozen=True)
class Trained:
    """What was trained on it: supernets and bundles by name, and of each device the entries whose network stands.

    `supernets` are removed, `bundles` too; `champions` are not, since they serve. `begins_with` is the supernet that
    the next run starts from; empty where it trains cold. `weights` are the digests of the removed supernets' files, of
    which MLflow has copies. `unread` is the last supernet where it could not be read: it may have been trained on it.
    """

    supernets: list[str]
    bundles: list[str]
    champions: list[dict[str, Any]]
    begins_with: str
    weights: list[str]
    unread: str = ""


def trained_on(config: Config, home: Home, snapshots: Mapping[str, list[str]], digests: Collection[str]) -> Trained:
    """What was trained on rows with these payload digests, of snapshots that held them (with the splits that did)."""
    erased = frozenset(digests)
    store = steps_of(home, config.project)
    tainted = sorted(ref for ref in _supernets(home, config.project) if _saw(store.find(ref), erased))
    bad = {id for id, splits in snapshots.items() if "train" in splits}
    champions = _champions(config, home, bad, erased)
    kept = {champion["bundle"] for champion in _champions(config, home, None, erased)}
    bundles = [digest for digest, manifest in _bundles(home, config.project) if _snapshot(manifest) in bad]
    head = Head.read(home, config.project)
    last = "" if head is None else head.supernet
    unread = last if head is not None and store.find(last) is None else ""
    clean = _clean(config, home, set(tainted)) if last in tainted else ""
    found = [store.find(ref) for ref in tainted]
    files = sorted({digest_file(done.file(SUPERNET)) for done in found if done and done.file(SUPERNET).exists()})
    mine = sorted(set(bundles) - {short(digest) for digest in kept})
    supernets = sorted({*tainted, *([unread] if unread else [])})
    return Trained(supernets, mine, champions, clean, files, unread)


def both(before: Trained, again: Trained) -> Trained:
    """What was trained on it by what was found before, when a part of it may have been removed since, and again."""
    champions = {(each["device"], each["number"]): each for each in (*before.champions, *again.champions)}
    serving = {short(each["bundle"]) for each in champions.values()}
    return Trained(
        sorted({*before.supernets, *again.supernets}),
        sorted({*before.bundles, *again.bundles} - serving),
        [champions[key] for key in sorted(champions)],
        again.begins_with or before.begins_with,
        sorted({*before.weights, *again.weights}),
        again.unread or before.unread,
    )


def _supernets(home: Home, project: str) -> list[str]:
    keys = storage_of(home, home.steps(project), kept=False).list("supernet/")
    return sorted({"/".join(key.split("/")[:2]) for key in keys})


def _saw(supernet: Done | None, erased: frozenset[str]) -> bool:
    """Whether a supernet, or one before it, was trained on any of these. One that cannot be read may have been."""
    return supernet is None or not erased.isdisjoint(trained_rows(supernet))


def _clean(config: Config, home: Home, tainted: Collection[str]) -> str:
    """The newest supernet before the head's that has weights and never saw it; empty if there is none."""
    store, head = steps_of(home, config.project), Head.read(home, config.project)
    ref = None if head is None else head.supernet
    while ref is not None:
        done = store.find(ref)
        if done is None:
            return ""
        if ref not in tainted:
            return ref if _has_weights(done) else ""
        ref = done.inputs["last"]
    return ""


def _champions(
    config: Config, home: Home, snapshots: Collection[str] | None, erased: Collection[str]
) -> list[dict[str, Any]]:
    """Each device's champion and all before it, those trained on these snapshots; all of them for None."""
    manifests = dict(_bundles(home, config.project))
    journal, found = open_journal(home, config), list[dict[str, Any]]()
    for device in sorted(_devices(config, home)):
        seen = set[str]()
        for number in range(journal.head_number(device), 0, -1):
            entry = journal.read(device, number)
            if entry.bundle in seen:
                continue
            seen.add(entry.bundle)
            manifest = manifests.get(short(entry.bundle))
            if snapshots is None or manifest is None or _snapshot(manifest) in snapshots:
                samples = snapshots is not None and _shows(home, config.project, entry.bundle, erased)
                found.append({"device": device, "number": number, "bundle": entry.bundle, "samples": samples})
    return found


def _devices(config: Config, home: Home) -> set[str]:
    """The config's devices, and those that earlier runs had."""
    names = {device.name for device in config.devices}
    if home.bucket is None:
        for run in [*completed_runs(home, config.project), *unended_runs(home, config.project)]:
            names |= {device["name"] for device in read_json(home.run(run) / "run.json")["config"]["devices"]}
    return names


def _bundles(home: Home, project: str) -> list[tuple[str, dict[str, Any]]]:
    """The manifests of all bundles, by short digest."""
    storage = storage_of(home, home.bundles(project), kept=False)
    names = [key for key in storage.list() if key.endswith(f"/{MANIFEST}") and not key.startswith(".")]
    return [(name.partition("/")[0], json.loads(storage.read(name))) for name in names]


def _snapshot(manifest: Mapping[str, Any]) -> str | None:
    found: str | None = manifest["extra"].get("snapshot")
    return found


def _shows(home: Home, project: str, bundle: str, erased: Collection[str]) -> bool:
    """Whether the check samples of a bundle hold one of these payloads, as bundles of older versions do."""
    storage = storage_of(home, home.bundles(project), kept=False)
    try:
        inputs = json.loads(storage.read(f"{short(bundle)}/{SAMPLES}"))["inputs"]
    except KeyError:
        return False
    payloads = [np.ascontiguousarray(np.array(each, "<f4") + np.float32(0)) for each in inputs]
    return any(hashlib.sha256(payload.tobytes()).hexdigest() in erased for payload in payloads)


def start_over(
    config: Config,
    home: Home,
    trained: Trained,
    moved: Mapping[str, str],
    erased: Collection[str],
    number: int,
    guard: Guard,
) -> None:
    """Let the next run begin with a supernet that never saw it, or cold, on the rewritten snapshot.

    What any supernet so far was trained on, but for what is erased, still judges nothing. `number` is the erasure's.
    """
    head = Head.read(home, config.project)
    if head is None:
        return
    supernet = head.supernet
    if supernet in trained.supernets:
        supernet = _stand_in(config, home, head, trained, frozenset(erased), number, guard)
    snapshot = moved.get(head.snapshot, head.snapshot)
    replace(head, key="", snapshot=snapshot, supernet=supernet).write(home, config.project)


def _stand_in(
    config: Config, home: Home, head: Head, trained: Trained, erased: frozenset[str], number: int, guard: Guard
) -> str:
    """A step in the place of the head's supernet: the clean one's weights, or none that fit anything.

    Where the head's cannot be read, it is taken to have been trained on what the newest was that can.
    """
    store = steps_of(home, config.project)
    before = store.find(head.supernet) or _newest(home, config.project) or _none(head)
    clean = store.find(trained.begins_with) if trained.begins_with else None
    inputs = {**(before if clean is None else clean).inputs, "last": None, "parent": None}
    if clean is None:
        inputs["space"] = ""
    inputs["erasures"] = number
    ref = store.ref("supernet", VERSIONS["supernet"], inputs)
    if store.find(ref) is not None:
        return ref
    folder = store.workspace(ref)
    rows = sorted(trained_rows(before) - erased) if before.ref else []
    write_bytes(folder / TRAINED, "".join(f"{digest}\n" for digest in rows).encode())
    outputs = [TRAINED]
    if clean is not None:
        profile = [f"profile/{name}" for name in network_files(clean.facts["profile"])]
        more = [name for name in (TOKENISER, LEARNED) if clean.file(name).exists()]
        for name in [SUPERNET, *more, *profile]:
            write_bytes(folder / name, clean.file(name).read_bytes())
            outputs.append(name)
    facts = {**(before if clean is None else clean).facts, "remark": "stands in for one that was erased"}
    if clean is None:
        facts |= {"digest": digest_bytes(b""), "parent": None, "domains": [], "windows": 0, "curve": []}
        facts |= {"lost": None, "incomparable": None, "diverged": None}
    store.finish(Done(ref, folder, facts, inputs, before.run), outputs, guard)
    return ref


def _newest(home: Home, project: str) -> Done | None:
    """The supernet of the latest run of which one can be read."""
    store = steps_of(home, project)
    found = [done for ref in _supernets(home, project) if (done := store.find(ref)) is not None]
    return max(found, key=lambda done: (done.run, done.ref), default=None)


def _none(head: Head) -> Done:
    """What is known of a supernet where none can be read."""
    return Done("", Path(), {"steps": 0, "profile": []}, {"labels": []}, head.run)


def _has_weights(supernet: Done) -> bool:
    """Not so for one that stands in where the next run is to train cold."""
    return bool(supernet.inputs["space"])


def remove_networks(home: Home, project: str, trained: Trained, searched: Collection[str]) -> None:
    """Remove supernets and candidates that were trained on it, and what the search found out with it."""
    steps = storage_of(home, home.steps(project), kept=False)
    for ref in trained.supernets:
        _erase_all(steps, f"{ref}/")
    evaluations = storage_of(home, home.evaluations(project), kept=False)
    names = {ref.partition("/")[2] for ref in trained.supernets}
    for key in evaluations.list():
        if searched or key.partition("/")[0].rsplit("-", 2)[0] in names:
            evaluations.erase(key)
    rankings = storage_of(home, home.rankings(project), kept=False)
    for key in rankings.list():
        if searched or supernet_of_key(key) in names:
            rankings.erase(key)
    bundles = storage_of(home, home.bundles(project), kept=False)
    for name in trained.bundles:
        _erase_all(bundles, f"{name}/")
    if home.bucket is None:
        _remove_artifacts(home, project, trained)


def _remove_artifacts(home: Home, project: str, trained: Trained) -> None:
    """The copies that MLflow has, where its store is here."""
    artifacts = FileStorage(home.artifacts)
    for key in artifacts.list(f"{project}/"):
        parts = key.split("/")
        is_copy = parts[-1] == SUPERNET and digest_file(artifacts.path(key)) in trained.weights
        if is_copy or any(name in parts for name in trained.bundles):
            artifacts.erase(key)


def _erase_all(storage: Storage, prefix: str) -> None:
    for key in storage.list(prefix):
        storage.erase(key)
