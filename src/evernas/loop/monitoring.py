"""Holding what production logged against a champion's promise, look after look; an incident is a trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from evernas.bundle import load_bundle
from evernas.config import Config
from evernas.digest import digest_value, short
from evernas.errors import EvernasError, OwnershipError, UsageError
from evernas.loop.remembering import read_memory, sole, write_memory
from evernas.monitor import Finding, LogFile, Measure, Memory, Promise, Taking, judge
from evernas.monitor.inputs import tails
from evernas.monitor.judging import TAIL
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.models import fetch
from evernas.registry.opening import open_journal
from evernas.state import Home, RunManifest
from evernas.state.files import read_json
from evernas.state.notices import record
from evernas.state.sharing import fetched
from evernas.steps.accounting import record_path
from evernas.steps.context import Setting
from evernas.steps.forgotten import forgotten_of, is_pending
from evernas.steps.loading import samples

CHANGED = "The limit on latency is another than at the last look: answers are counted against it from here on."


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
    labels = load_bundle(fetch(home, config.project, head.bundle), expected=head.bundle).labels
    with sole(home, config.project):
        shown = _names_shown(home, config.project)
        memory = read_memory(home, config.project, head)
        if memory.hold_to(promise.latency_ms):
            remarks.append(CHANGED)
        taking = Taking(memory, Measure(labels, promise.latency_ms, limits, shown))
        for file in log_files(address):
            taking.take(file)
        taking.end()
        # Before it is told: domains keep the numbers that they are told by.
        write_memory(home, config.project, head, memory)
        findings = judge(memory.tests(), promise, config.monitor.alpha, memory.domains)
        proposal = head.previous if head.previous and any(f.kind == "quality" for f in findings if f.broken) else None
        new = _tell_new(config, home, head, memory, findings, proposal)
    remarks += _remarks(config, taking, promise)
    if limits and not any(finding.kind == "drift" for finding in findings):
        remarks.append("Inputs are not compared: the log has no columns input_mean_<channel> or input_std_<channel>.")
    answers = {bundle: (right, of) for bundle, (right, of) in memory.answers.items()}
    return Look(head, promise, findings, new, answers, taking.refused, remarks, proposal, memory.domains)


def _names_shown(home: Home, project: str) -> Callable[[str], str]:
    """What the monitor calls a domain. OwnershipError while something is being erased: who, is not yet known to all."""
    if is_pending(home, project):
        raise OwnershipError(
            f"Something of {project} is being erased: look again when that has ended. If it was stopped, the same "
            "`evernas data forget`, or the next run, completes it."
        )
    forgotten = forgotten_of(home, project)
    return str if forgotten is None else partial(forgotten.shown, "domain")


def _tell_new(
    config: Config, home: Home, head: Entry, memory: Memory, findings: list[Finding], proposal: int | None
) -> list[str]:
    """Tell what was not told before. A look that is killed before it was noted tells it again, by the same name."""
    broken = [f for f in findings if f.broken and memory.kept_name(f.test) not in memory.incidents]
    sentences = {memory.kept_name(finding.test): sentence_of(head, finding, memory.domains) for finding in broken}
    for finding, (test, sentence) in zip(broken, sentences.items(), strict=True):
        _tell(config, home, head, finding, test, sentence, proposal)
    if sentences:
        memory.incidents |= sentences
        write_memory(home, config.project, head, memory)
    return list(sentences.values())


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
    """The Parquet files at an address, one after another; one that has gone meanwhile is passed over.

    UsageError if there are none.
    """
    if address.startswith("s3://"):
        from evernas.storage.s3 import S3Address, S3Storage

        bucket = S3Storage(S3Address.parse(address))
        keys = [key for key in bucket.list() if key.endswith(".parquet")]
        if not keys:
            raise UsageError(f"There is no Parquet file under {address.partition('?')[0]}: name where production logs.")
        for key in keys:
            with suppress(KeyError):
                yield LogFile(f"{address.partition('?')[0]}/{key}", bucket.read(key))
        return
    path = Path(address).absolute()
    paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    # A name that begins with a dot is a write under way.
    paths = [found for found in paths if found.is_file() and not found.name.startswith(".")]
    if not paths:
        raise UsageError(f"There is no Parquet file at {address}: name a file or folder that production logs to.")
    for found in paths:
        with suppress(FileNotFoundError):
            yield LogFile(str(found), found.read_bytes())


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


def _tell(
    config: Config, home: Home, head: Entry, finding: Finding, test: str, sentence: str, proposal: int | None
) -> None:
    """Leave word for the outbox, and an event that asks for a run where there is a receiver."""
    project, about = config.project, {"device": head.device, "entry": head.number, "kind": finding.kind}
    about["test"] = short(digest_value(test))
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


def _remarks(config: Config, taking: Taking, promise: Promise) -> list[str]:
    said = [f"{name} was not read: {why}." for name, why in taking.refused.items()]
    if promise.error is None:
        said.append(f"Errors are not judged: the gate judges by {config.gate.quality.metric}; give monitor.max_error.")
    if promise.latency_ms is None:
        said.append("Latency is not judged: there is neither a constraint on latency_ms nor monitor.max_latency_ms.")
    ours = taking.memory.ours
    if len(ours.waiting):
        said.append(f"{len(ours.waiting)} predictions have no label yet.")
    if taking.repeated:
        said.append(
            f"{taking.repeated} predictions were logged more than once, or are of recordings that were counted before, "
            "and do not count again."
        )
    if ours.halvings:
        said.append(f"One of {2**ours.halvings} recordings is counted: production has logged more than is remembered.")
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
