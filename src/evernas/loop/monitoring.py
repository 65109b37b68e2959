"""Holding what production logged against a champion's promise, look after look; an incident is a trigger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import short
from evernas.errors import EvernasError, UsageError
from evernas.monitor import Finding, Log, LogFile, Promise, Tests, judge, read_log
from evernas.monitor.inputs import tails
from evernas.monitor.judging import TAIL, add
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.models import fetch
from evernas.registry.opening import open_journal
from evernas.state import Home, RunManifest
from evernas.state.files import read_json
from evernas.state.formats import newer
from evernas.state.notices import record
from evernas.state.sharing import fetched, storage_of
from evernas.steps.accounting import record_path
from evernas.steps.context import Setting
from evernas.steps.loading import samples
from evernas.storage import Storage

MONITOR_VERSION = 1


@dataclass
class Memory:
    """What the looks at one champion came to: counts by file, domains in the order of appearance, incidents by test."""

    bundle: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)
    incidents: dict[str, str] = field(default_factory=dict)

    def take(self, log: Log) -> None:
        """Take in what a look has read: a file that came again, under its name or another, counts once."""
        for name, (digest, tests) in log.files.items():
            moved = [known for known, file in self.files.items() if file["digest"] == digest and known != name]
            for known in moved:
                del self.files[known]
            self.files[name] = {"digest": digest, "tests": {test: list(counts) for test, counts in tests.items()}}
            for test in sorted(tests):
                kind, _, domain = test.partition(":")
                if kind == "quality" and domain:
                    self.domains.setdefault(domain, len(self.domains) + 1)

    def tests(self) -> Tests:
        """The counts of all files together."""
        total: Tests = {}
        for file in self.files.values():
            total = add(total, {test: (int(units), float(value)) for test, (units, value) in file["tests"].items()})
        return total


@dataclass(frozen=True)
class Look:
    """What one look came to. `proposal` is the entry of the journal that a rollback would go to, if any."""

    entry: Entry
    promise: Promise
    findings: list[Finding]
    new: list[str]
    answers: dict[str, tuple[int, int]]
    refused: dict[str, str]
    remarks: list[str]
    proposal: int | None
    domains: dict[str, int]
    """Their numbers, by which they are called where no name belongs."""

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {
            "device": self.entry.device,
            "number": self.entry.number,
            "bundle": self.entry.bundle,
            "promise": asdict(self.promise),
            "findings": [finding.to_json() for finding in self.findings],
            "incidents": self.new,
            "answers": {bundle: {"right": right, "of": of} for bundle, (right, of) in self.answers.items()},
            "refused_files": self.refused,
            "remarks": self.remarks,
            "proposal": self.proposal,
        }


def look_at(config: Config, home: Home, device: str, address: str) -> Look:
    """Read the log at an address (a file, a folder, or s3://bucket/prefix), and judge the device's champion by it.

    UsageError if there is no champion, or no log. An incident is told once for each of the champion's promises.
    """
    journal = open_journal(home, config)
    head = journal.head(device)
    if head is None:
        raise UsageError(f"{device} has no champion yet: there is nothing to hold production against.")
    remarks: list[str] = []
    promise = promise_of(config, journal, head)
    limits = _tails(config, home, journal, head, remarks)
    log = read_log(
        list(log_files(address)),
        head.bundle,
        load_bundle(fetch(home, config.project, head.bundle), expected=head.bundle).labels,
        promise.latency_ms,
        limits,
    )
    storage, name = (
        storage_of(home, home.project(config.project) / "monitor", kept=False),
        f"{device}-{head.number}.json",
    )
    memory = _read(storage, name, head.bundle)
    memory.take(log)
    findings = judge(memory.tests(), promise, config.monitor.alpha, memory.domains)
    broken = [finding for finding in findings if finding.broken and finding.test not in memory.incidents]
    proposal = head.previous if head.previous and any(f.kind == "quality" for f in findings if f.broken) else None
    sentences = {finding.test: sentence_of(head, finding, memory.domains) for finding in broken}
    for finding in broken:
        _tell(config, home, head, finding, sentences[finding.test], proposal)
        memory.incidents[finding.test] = sentences[finding.test]
    # After it was told: a look that is killed before tells it again, under the same name.
    storage.write(name, json.dumps({"version": MONITOR_VERSION, **asdict(memory)}, indent=1, sort_keys=True).encode())
    remarks += _remarks(config, log, promise)
    if limits and not any(finding.kind == "drift" for finding in findings):
        remarks.append("Inputs are not compared: the log has no columns input_mean_<channel> or input_std_<channel>.")
    new = list(sentences.values())
    return Look(head, promise, findings, new, log.answers, log.refused, remarks, proposal, memory.domains)


def promise_of(config: Config, journal: Journal, head: Entry) -> Promise:
    """What was shown of the champion when it was promoted, or what the config demands."""
    monitor = config.monitor
    stands = head if head.stands == head.number else journal.read(head.device, head.stands)
    constraints = [c for c in config.constraints if c.device in (None, head.device)]
    error = monitor.max_error
    if error is None and config.gate.quality.metric == "error":
        error = _shown(stands) or min(
            [c.max for c in constraints if c.metric == "error"], default=config.gate.max_error
        )
    latency = monitor.max_latency_ms or min([c.max for c in constraints if c.metric == "latency_ms"], default=None)
    of_domain = None if error is None else min(error + config.gate.domain_margin, 0.999)
    return Promise(error, of_domain, latency, monitor.drift)


def _shown(stands: Entry) -> float | None:
    """The largest error that the verdict of its promotion left possible; None where it bounded none."""
    verdict = {"reasons": []} if stands.signed is None else stands.signed["payload"]["verdict"]
    bounds = {reason["rule"]: reason["bound"] for reason in verdict["reasons"]}
    found = [bounds[rule] for rule in ("constraint:error", "floor:error") if bounds.get(rule) is not None]
    return float(min(found)) if found and 0 < min(found) < 1 else None


def log_files(address: str) -> Iterator[LogFile]:
    """The Parquet files at an address; UsageError if there are none."""
    if address.startswith("s3://"):
        from evernas.storage.s3 import S3Address, S3Storage

        bucket = S3Storage(S3Address.parse(address))
        keys = [key for key in bucket.list() if key.endswith(".parquet")]
        if not keys:
            raise UsageError(f"There is no Parquet file under {address.partition('?')[0]}: name where production logs.")
        yield from (LogFile(f"{address.partition('?')[0]}/{key}", bucket.read(key)) for key in keys)
        return
    path = Path(address).absolute()
    paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    # A name that begins with a dot is a write under way.
    paths = [found for found in paths if found.is_file() and not found.name.startswith(".")]
    if not paths:
        raise UsageError(f"There is no Parquet file at {address}: name a file or folder that production logs to.")
    yield from (LogFile(str(found), found.read_bytes()) for found in paths)


def sentence_of(head: Entry, finding: Finding, domains: dict[str, int]) -> str:
    """An incident in words. Domains stand as numbers: the sentence goes where no name of a person belongs."""
    who = f"Incident in production: the champion of {head.device} (entry {head.number})"
    if finding.kind == "quality":
        where = "" if finding.of is None else f" in domain {domains[finding.of]} of {len(domains)}"
        return (
            f"{who} answers {100 * finding.value:.1f} % wrong{where}, at least {100 * finding.bound:.1f} % at all "
            f"looks together, and {100 * finding.limit:.1f} % was promised at most ({finding.units} recordings)."
        )
    if finding.kind == "latency":
        return (
            f"{who} takes longer than the promised median in {100 * finding.value:.0f} % of its answers, at least "
            f"{100 * finding.bound:.0f} % at all looks together, where 50 % may."
        )
    name, _, side = str(finding.of).rpartition(":")
    return (
        f"{who} gets other inputs than it was trained on: {name} lies {'below' if side == 'low' else 'above'} nine "
        f"tenths of the training in {100 * finding.value:.0f} % of the recordings, at least {100 * finding.bound:.0f} "
        f"% at all looks together, where {100 * finding.limit:.0f} % may."
    )


def _tell(config: Config, home: Home, head: Entry, finding: Finding, sentence: str, proposal: int | None) -> None:
    """Leave word for the outbox, and an event that asks for a run where there is a receiver."""
    project, about = config.project, {"device": head.device, "entry": head.number, "kind": finding.kind}
    # The test's name may be a person's: what tells one from the next is its digest.
    about["test"] = short(_digest(finding.test))
    record(home, project, "incident", head.device, sentence, about)
    if proposal is not None and finding.kind == "quality":
        said = f"A rollback of {head.device} to entry {proposal} is proposed. {sentence}"
        record(home, project, "rollback.proposed", head.device, said, {**about, "to": proposal})
    if config.triggers is None:
        return
    from evernas.outbox.sending import database_of
    from evernas.triggers.upkeep import note_incident

    database = database_of(config, home)
    try:
        database.migrate()
        with database.write() as connection:
            name = f"{head.device}-{head.number}-{about['test']}"
            note_incident(connection, project, name, head.device, database.is_sqlite)
    finally:
        database.close()


def _digest(text: str) -> str:
    from evernas.digest import digest_value

    return digest_value(text)


def _read(storage: Storage, name: str, bundle: str) -> Memory:
    try:
        document = json.loads(storage.read(name))
    except KeyError:
        return Memory(bundle)
    version = document.pop("version", None)
    if version != MONITOR_VERSION:
        raise newer(f"What the monitor knows of {name}", version, MONITOR_VERSION)
    memory = Memory(**document)
    return memory if memory.bundle == bundle else Memory(bundle)


def _tails(
    config: Config, home: Home, journal: Journal, head: Entry, remarks: list[str]
) -> dict[str, tuple[float, float]]:
    """The tails of what the champion was trained on; empty, and said, where that cannot be told any more."""
    stands = head if head.stands == head.number else journal.read(head.device, head.stands)
    try:
        setting = Setting(home, RunManifest.read(home, stands.run), head.device)
        account = read_json(fetched(home, record_path(setting.run_folder, "validate", None)))
        train = samples(setting, setting.store.get(account["ref"]), "train")
    except (EvernasError, OSError) as error:
        remarks.append(f"Inputs are not compared: what the champion was trained on is not here ({error}).")
        return {}
    return tails(train.x, config.data.sample.channels, TAIL)


def _remarks(config: Config, log: Log, promise: Promise) -> list[str]:
    said = [f"{name} was not read: {why}." for name, why in log.refused.items()]
    if promise.error is None:
        said.append(f"Errors are not judged: the gate judges by {config.gate.quality.metric}; give monitor.max_error.")
    if promise.latency_ms is None:
        said.append("Latency is not judged: there is neither a constraint on latency_ms nor monitor.max_latency_ms.")
    if log.unlabelled:
        said.append(f"{log.unlabelled} predictions have no label yet.")
    if log.repeated:
        said.append(f"{log.repeated} predictions were logged more than once, and count once.")
    return said


def with_names(look: Look, names: bool) -> Look:
    """The look without the names of domains, unless they are asked for."""
    if names:
        return look

    def hidden(finding: Finding) -> Finding:
        if finding.kind != "quality" or finding.of is None:
            return finding
        number = f"domain {look.domains[finding.of]}"
        return replace(finding, test=f"quality:{number}", of=number)

    return replace(look, findings=[hidden(finding) for finding in look.findings])
