"""How a pipeline component starts a step: context in, reference out, failures as sentences with their exit code."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping

from evernas.config import Config, parse_config, source_address
from evernas.errors import EXIT_FAILURE, EvernasError, OwnershipError
from evernas.state import Home, RunManifest
from evernas.state.files import write_json
from evernas.state.opening import opened
from evernas.state.runs import NOTHING_NEW
from evernas.state.sharing import fenced, fetched, share
from evernas.steps.accounting import Account, record_path
from evernas.steps.apart import check_given, guard_of, kept, owner_of
from evernas.steps.context import Context
from evernas.steps.leased import defer, ending_on_failure, execution_of, release, renewing
from evernas.steps.progress import Progress
from evernas.triggers.lease import leases_of

LAST_STEPS = ("report", "conclude")


def launch(
    step: str,
    *,
    home: str,
    run: str,
    device: str | None = None,
    config: str | None = None,
    execution: str = "",
    **inputs: object,
) -> str:
    """Run one step of the loop and return its output for the pipeline: a reference, or the branch to take.

    `home` is the state's address, a folder or s3://. `config` (JSON), and `execution`, which tells two submissions of
    one run apart, are given to the first step alone, which opens the run. A failure is written to the run's
    failure.json and ends the process with the exit code of its kind.
    """
    # Threads that spin while they wait for one another starve on a machine that is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with opened(home) as place:
            if place.bucket is None:
                os.environ.setdefault("EVERNAS_HOME", home)
            return _launch(place, step, run, device, config, execution, inputs)
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
    inputs: Mapping[str, object],
) -> str:
    progress = Progress(place.run(run) / "progress.jsonl", step, device)
    try:
        owner = owner_of(place)
        owner.check()
        if config is None:
            manifest = RunManifest.read(place, run)
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
        progress.start()
        guard = guard_of(place, owner, lease)
        fetched(place, record_path(place.run(run), step, device))
        account = Account(place.run(run), step, device, guard)
        context = Context(place, manifest, device, guard, account, progress, step)
        try:
            with ending_on_failure(lease, alone=device is None), renewing(lease), kept(context):
                output: str = importlib.import_module(f"evernas.steps.{step}").run(context, **inputs)
        finally:
            account.close()
            share(place, account.path)
        if step in LAST_STEPS or output == NOTHING_NEW:
            release(lease, done=True)
        return output
    except OwnershipError as error:
        # The run goes on under another owner: its files are no longer ours to write.
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except EvernasError as error:
        _fail(place, run, step, device, str(error), error.exit_code, progress)
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, the person is told and the run ends
        text = f"The step {step} failed with {type(error).__name__}: {error}"
        _fail(place, run, step, device, text, EXIT_FAILURE, progress)
        traceback.print_exc()
        raise SystemExit(EXIT_FAILURE) from None


def _end_at_once(home: Home, run: str, sentence: str) -> str:
    """End successfully without having worked: the pipeline has nothing to do, and who started it is told why."""
    write_json(home.run(run) / "deferred.json", {"sentence": sentence})
    print(sentence)
    return NOTHING_NEW


def open_run(home: Home, run: str, config: Config) -> RunManifest:
    """The manifest of a run: pinned now, with the journal's heads, unless it was opened before."""
    from evernas.registry.opening import open_journal

    source = source_address(config, home.path)
    return RunManifest.open(home, run, config, source, open_journal(home, config).heads(d.name for d in config.devices))


def _fail(home: Home, run: str, step: str, device: str | None, text: str, code: int, progress: Progress) -> None:
    write_json(home.run(run) / "failure.json", {"step": step, "device": device, "exit_code": code, "sentence": text})
    progress.fail(text)
    if home.bucket is None:
        return
    path = home.run(run) / "failures" / record_path(home.run(run), step, device).name
    write_json(path, {"step": step, "device": device, "exit_code": code, "sentence": text})
    try:
        share(home, path)
    except EvernasError as error:
        print(f"This failure could not be kept: {error}", file=sys.stderr)
