"""What a supernet said of finalists beside what they were once fine-tuned: kept over runs, and whether both rank alike.

<generation>/<began>.<supernet>.<digest>.json   the pairs of errors that one run added

A generation is a supernet that was trained cold with all that were trained from its weights; it is named for the first.
Pairs of another supernet, other rows or another fine-tuning are of another group: their errors cannot be compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evernas.digest import digest_value, short
from evernas.result import RankedPair, RankingRecord
from evernas.search.agreement import agreement, comparable
from evernas.state import Done
from evernas.state.files import json_bytes, read_json
from evernas.state.sharing import fetched, storage_of
from evernas.steps.context import Context, Setting
from evernas.steps.forgetting import gave_up_warm
from evernas.storage import AlreadyExists, Storage

RANKING_VERSION = 1
NEEDED = 20
"""Architectures before tau says anything: with as many of them its interval is still some 0.9 wide."""
NEWEST = 100
"""Runs whose pairs count: each has to be read, and what a supernet was years ago says little of what it is."""
Groups = Mapping[str, Mapping[str, tuple[float, float]]]


def ranking_record(context: Context, supernet: Done, finalists: Sequence[Done]) -> RankingRecord:
    """Add what this run's finalists showed of the supernet's ranking, once, and say what all runs together show."""
    storage = storage_of(context.home, context.home.rankings(context.project), kept=False)
    known = list(_named(storage.list()))
    generation = _generation(context, supernet, {each.supernet: each.generation for each in known})
    found = groups_of(context, finalists)
    _add(context, storage, [each for each in known if each.generation == generation], generation, supernet, found)
    return _said(_kept(context, storage, generation), found, context.manifest.run)


def groups_of(context: Setting, finalists: Sequence[Done]) -> Groups:
    """The pairs (inherited, tuned) of a run's finalists, by group and architecture; one where devices share it.

    An architecture counts once, in the first of its number formats: others are made of it, and say nothing new.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {}
    tuning = context.config.finalists.model_dump(mode="json", exclude={"count"})
    for done in finalists:
        if not done.facts["finalists"]:
            continue
        each = done.facts["finalists"]
        precision = "fp32" if any(f["precision"] == "fp32" for f in each) else each[0]["precision"]
        shared = {name: done.inputs[name] for name in ("supernet", "train", "search_split")}
        group = found.setdefault(short(digest_value({**shared, "tuning": tuning, "precision": precision})), {})
        for finalist in each:
            if finalist["precision"] == precision:
                arch = context.space.architecture(finalist["architecture"]["genes"]).id
                group[arch] = (finalist["error_inherited"], finalist["error"])
    return found


def supernet_of_key(key: str) -> str | None:
    """The key of the supernet that a file of the table is of; None for a file that is none of it."""
    return next((each.supernet for each in _named([key])), None)


@dataclass(frozen=True)
class _Name:
    """What a file's name says."""

    key: str
    generation: str
    supernet: str
    digest: str


def _named(keys: Sequence[str]) -> Iterator[_Name]:
    for key in keys:
        parts = key.split("/")
        name = parts[-1].split(".")
        if len(parts) == 2 and not key.startswith(".") and len(name) == 4 and name[-1] == "json":
            yield _Name(key, parts[0], name[1], name[2])


def _key_of(ref: str) -> str:
    return ref.rpartition("/")[2]


def _generation(context: Context, supernet: Done, known: Mapping[str, str]) -> str:
    """The key of the supernet that was trained cold, from which this one's weights came.

    Where one in between is gone and the table knows nothing of it, the generation begins after it.
    """
    at: Done = supernet
    while (key := _key_of(at.ref)) not in known:
        # One that fell back to a cold start has a parent that it was tried from, and nothing of it.
        parent = None if gave_up_warm(at.facts) else at.inputs["parent"]
        before = None if parent is None else context.store.find(parent)
        if before is not None and before.inputs["space"] != at.inputs["space"]:
            return key
        if parent is not None and _key_of(parent) in known:
            return known[_key_of(parent)]
        if before is None:
            return key
        at = before
    return known[key]


def _add(
    context: Context, storage: Storage, known: Sequence[_Name], generation: str, supernet: Done, found: Groups
) -> None:
    """Keep the pairs under their digest, unless they are there: a run that is repeated adds nothing."""
    groups = {group: {arch: list(pair) for arch, pair in sorted(of.items())} for group, of in sorted(found.items())}
    digest = short(digest_value(groups))
    if not any(groups.values()) or any(each.digest == digest for each in known):
        return
    began = datetime.fromisoformat(context.manifest.started_at)
    key = f"{generation}/{began:%Y%m%d-%H%M%S}.{_key_of(supernet.ref)}.{digest}.json"
    document = {"version": RANKING_VERSION, "run": context.manifest.run, "groups": groups}
    # Another attempt at the same step may have added it meanwhile.
    with context.guard.publishing(), contextlib.suppress(AlreadyExists):
        storage.create(key, json_bytes(document))


def _kept(context: Context, storage: Storage, generation: str) -> list[dict[str, Any]]:
    """What the newest runs of a generation added, oldest first."""
    newest = [each.key for each in _named(storage.list(f"{generation}/"))][-NEWEST:]
    folder = context.home.rankings(context.project)
    return [read_json(fetched(context.home, folder / key)) for key in newest]


def _said(documents: Sequence[Mapping[str, Any]], found: Groups, run: str) -> RankingRecord:
    """All pairs, each once, and how far both errors rank them alike."""
    groups: dict[str, dict[str, tuple[float, float]]] = {}
    by: dict[tuple[str, str], str] = {}
    for of_run, of in [*((each["run"], each["groups"]) for each in documents), (run, found)]:
        for group, pairs in of.items():
            for arch, (inherited, tuned) in pairs.items():
                groups.setdefault(group, {}).setdefault(arch, (inherited, tuned))
                by.setdefault((group, arch), of_run)
    tables = list(groups.values())
    compared, result = comparable(tables), agreement(tables)
    enough = compared >= NEEDED
    return RankingRecord(
        pairs=[
            RankedPair(
                arch=arch,
                run=by[group, arch],
                group=number,
                inherited=inherited,
                tuned=tuned,
                new=arch in found.get(group, {}),
            )
            for number, (group, pairs) in enumerate(groups.items(), 1)
            for arch, (inherited, tuned) in pairs.items()
        ],
        compared=compared,
        needed=NEEDED,
        alike=result.alike,
        otherwise=result.otherwise,
        tau=result.tau if enough else None,
        low=result.low if enough else None,
        high=result.high if enough else None,
    )
