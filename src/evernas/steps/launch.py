"""How a pipeline component starts a step: context in, reference out, failures as sentences with their exit code."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from evernas.budget import Attempt, BudgetSpentError
from evernas.config import Config, parse_config, source_address
from evernas.errors import EXIT_FAILURE, EvernasError, OwnershipError
from evernas.state import Home, RunManifest
from evernas.state.files import write_json
from evernas.state.keeping import EVERY_S
from evernas.state.opening import opened
from evernas.state.runs import NOTHING_NEW
from evernas.state.sharing import fenced, fetched, share
from evernas.steps import stopped as ending
from evernas.steps.accounting import BOOK_SECONDS, Account, record_path
from evernas.steps.allowance import Allowance, book_of, pin_budget, pinned_budget
from evernas.steps.apart import check_given, guard_of, kept, owner_of
from evernas.steps.context import Context
from evernas.steps.leased import defer, ending_on_failure, execution_of, release, remember, renewing
from evernas.steps.progress import Progress
from evernas.steps.shown import Shown
from evernas.triggers.lease import Lease, leases_of

FIRST_STEP, LAST_STEPS = "ingest", ("report", "conclude")
# The last step of a run that does not decide itself; what it hands over may be decided under the run's claim.
HANDOVER = "handover"


def launch(
    step: str,
    *,
    home: str,
    run: str,
    device: str | None = None,
    config: str | None = None,
    execution: str = "",
    taken: RunManifest | None = None,
    told: str | None = None,
    page: str | None = None,
    **inputs: object,
) -> str:
    """Run one step of the loop and return its output for the pipeline: a reference, or the branch to take.

    `home` is the state's address, a folder or s3://. `config` (JSON), and `execution`, which tells two submissions of
    one run apart, are given to the first step alone, which opens the run. `taken` is given by whoever decides apart
    from the run, which may write its own manifest anew at any time: it was read once and checked, and counts alone.
    `told` and `page` are files in which the step is shown where the pipeline has an interface: Markdown, and HTML.
    A failure is written to the run's failure.json and ends the process with the exit code of its kind.
    """
    # Threads that spin while they wait for one another starve on a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with opened(home) as place:
            if place.bucket is None:
                os.environ.setdefault("EVERNAS_HOME", home)
            shown = Shown(None if told is None else Path(told), None if page is None else Path(page))
            shown.begin()
            return _launch(place, step, run, device, config, execution, taken, inputs, shown)
    except EvernasError as error:
        # What is wrong with the address; all else has ended by SystemExit.
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _launch(
    place: Home,
    step: str,
    run: str,
    device: str | None,
    config: str | None,
    execution: str,
    taken: RunManifest | None,
    inputs: Mapping[str, object],
    shown: Shown,
) -> str:
    progress = Progress(place.run(run) / "progress.jsonl", step, device)
    try:
        owner = owner_of(place)
        owner.check()
        if config is None:
            manifest = RunManifest.read(place, run) if taken is None else taken
            check_given(place, manifest.config)
            lease = leases_of(place, manifest.config.project).join(run)
            place = fenced(place, lease.check)
        else:
            parsed = parse_config(json.loads(config), "the pipeline's config")
            check_given(place, parsed)
            leases = leases_of(place, parsed.project)
            claimed = leases.claim(run, execution=execution_of(execution))
            if claimed is None:
                return _end_at_once(place, run, defer(leases, run))
            place = fenced(place, claimed.check)
            lease, manifest = claimed, open_run(place, run, parsed)
            pin_budget(place, run, parsed.budget)
        progress.start()
        guard = guard_of(place, owner, lease)
        fetched(place, record_path(place.run(run), step, device))
        account = Account(place.run(run), step, device, guard)
        allowance = _allowance(place, manifest, account, step, device)
        context = Context(place, manifest, device, guard, account, progress, step, allowance)
        try:
            # Whoever decides apart tries a step again, for which the claim has to be there; the receiver ends it.
            alone = device is None and taken is None
            with ending_on_failure(lease, alone), renewing(lease), kept(context):
                output = _run(context, inputs)
            shown.end(context, output)
        finally:
            account.close()
            share(place, account.path)
        if step in LAST_STEPS or output == NOTHING_NEW or (step == HANDOVER and ending.stopped(place, run) is not None):
            _end(place, run, lease)
        return output
    except OwnershipError as error:
        # The run goes on under another owner: its files are no longer ours to write.
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except EvernasError as error:
        shown.fail()
        _fail(place, run, step, device, str(error), error.exit_code, progress)
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, the person is told and the run ends
        text = f"The step {step} failed with {type(error).__name__}: {error}"
        shown.fail()
        _fail(place, run, step, device, text, EXIT_FAILURE, progress)
        traceback.print_exc()
        raise SystemExit(EXIT_FAILURE) from None


def _run(context: Context, inputs: Mapping[str, object]) -> str:
    """Do the step, unless the budget is spent: then it stops at a checkpoint, and the steps after it pass."""
    spent = ending.stopped(context.home, context.manifest.run)
    if spent is None:
        try:
            if context.step not in ending.ENDING:
                context.allowance.check()
            output: str = importlib.import_module(f"evernas.steps.{context.step}").run(context, **inputs)
            return output
        except BudgetSpentError as reached:
            ending.stop(context, reached)
            spent = reached
    if context.step in (FIRST_STEP, *LAST_STEPS, HANDOVER):
        importlib.import_module("evernas.steps.spent").conclude(context, spent)
    # Where nothing was begun the pipeline need not go through all its steps to say so.
    return NOTHING_NEW if context.step == FIRST_STEP else ending.passed(context)


def _allowance(home: Home, manifest: RunManifest, account: Account, step: str, device: str | None) -> Allowance:
    """What the step may spend, and the entry in the book of costs that tells what it spends."""
    project, run = manifest.config.project, manifest.run
    book = book_of(home, project)
    attempt = Attempt(book, run, f"{step if device is None else f'{step}@{device}'}.{account.attempt}")
    account.keep_book(attempt, BOOK_SECONDS if home.bucket is None else EVERY_S)
    return Allowance(pinned_budget(home, run), book, run, attempt.key, account.spent, attempt.this_month)


def _end(home: Home, run: str, lease: Lease) -> None:
    """End the claim. What a month's spent budget has ended is still to be done, and is remembered for the next."""
    spent = ending.stopped(home, run)
    if spent is not None and spent.of_month:
        remember(lease)
    release(lease, done=spent is None or not spent.of_month)


def _end_at_once(home: Home, run: str, sentence: str) -> str:
    """End successfully without having worked: the pipeline has nothing to do, and who started it is told why."""
    write_json(home.run(run) / "deferred.json", {"version": 1, "sentence": sentence})
    print(sentence)
    return NOTHING_NEW


def open_run(home: Home, run: str, config: Config) -> RunManifest:
    """The manifest of a run: pinned now, with the journal's heads, unless it was opened before."""
    # Only where a run begins, which no device's image does: it reads no data.
    from evernas.registry.opening import open_journal
    from evernas.steps.forgotten import refuse_naming

    source = source_address(config, home.path)
    refuse_naming(home, config)
    return RunManifest.open(home, run, config, source, open_journal(home, config).heads(d.name for d in config.devices))


def _fail(home: Home, run: str, step: str, device: str | None, text: str, code: int, progress: Progress) -> None:
    failure = {"version": 1, "step": step, "device": device, "exit_code": code, "sentence": text}
    write_json(home.run(run) / "failure.json", failure)
    progress.fail(text)
    if home.bucket is None:
        return
    path = home.run(run) / "failures" / record_path(home.run(run), step, device).name
    write_json(path, failure)
    try:
        share(home, path)
    except EvernasError as error:
        print(f"This failure could not be kept: {error}", file=sys.stderr)
